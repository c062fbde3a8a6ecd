"""The receiver's store and its catalogue: what was delivered, where it lies, and the receipt that was given.

    decipher aside > fsync > link under its final name > fsync the folder > record > (receipt)

Files lie under `<store>/<device>/<yyyy>/<mm>/<dd>/<original name>` by capture time. The name comes from inside the
envelope and is made harmless first; nothing is ever overwritten. The catalogue is SQLite, WAL, synchronous=FULL.
"""

from __future__ import annotations

import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedRandom
from pathlib import Path
from typing import BinaryIO, Final

from edge import durable
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope
from edge.errors import AlreadyRunning, LedgerCorrupt, StorageError
from edge.names import harmless_name, numbered

_INCOMING: Final = ".incoming"
_SIDE_NAME: Final = re.compile(r"[^a-z0-9-]")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS images (
    device        TEXT NOT NULL,
    image_id      TEXT NOT NULL,
    manifest_hash BLOB NOT NULL,
    sequence      INTEGER NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('stored', 'rejected')),
    reason        TEXT NOT NULL,
    sha256        TEXT NOT NULL,
    path          TEXT NOT NULL,
    received_at   TEXT NOT NULL,
    description   TEXT NOT NULL,
    PRIMARY KEY (device, image_id)
) STRICT;
CREATE INDEX IF NOT EXISTS images_by_content ON images (device, sha256);
"""


@dataclass(frozen=True, slots=True)
class Delivered:
    """One row of the catalogue. `path` is relative to the store, empty where the image was rejected."""

    device: str
    image_id: str
    manifest_hash: bytes
    sequence: int
    status: str
    reason: str
    sha256: str
    path: str
    received_at: str
    description: str


class Archive:
    """Store and catalogue. One thread at a time uses it."""

    def __init__(self, store: Path, catalogue: Path) -> None:
        """Open or make both, and sweep what an interrupted write left.

        Raises:
            StorageError: the disk refused.
            LedgerCorrupt: the catalogue fails its integrity check.
        """
        self._store = store
        self._incoming = store / _INCOMING
        durable.make_folder(store)
        self._mount = _mount_of(store)
        durable.make_folder(self._incoming)
        durable.make_folder(catalogue.parent)
        self._sweep()
        self._catalogue = _open_catalogue(catalogue)

    def close(self) -> None:
        """Close the catalogue."""
        self._catalogue.close()

    def find(self, device: str, image_id: bytes) -> Delivered | None:
        """Return what became of an image, None where it is unknown."""
        with self._catalogue_errors():
            row = self._catalogue.execute(
                "SELECT * FROM images WHERE device = ? AND image_id = ?", (device, image_id.hex())
            ).fetchone()
        return None if row is None else Delivered(*row)

    def deliveries(self) -> list[Delivered]:
        """Return the whole catalogue, in order of arrival."""
        with self._catalogue_errors():
            rows = self._catalogue.execute("SELECT * FROM images ORDER BY rowid").fetchall()
        return [Delivered(*row) for row in rows]

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Give a private folder on the store's file system for one image; it is gone when the block ends.

        Raises:
            StorageError: the disk refused.
        """
        if _mount_of(self._store) != self._mount:
            # What was stored below a mount point would be hidden, though receipted, as soon as the share is back.
            raise StorageError("the store is no longer mounted", hint="mount it again, or restart the receiver")
        folder = self._incoming / os.urandom(8).hex()
        durable.make_folder(folder)
        # The lock tells the other receivers of a group, whose store this may be too, that the folder is in use.
        with durable.lock_folder(folder):
            try:
                yield folder
            finally:
                _remove_folder(folder)

    def _sweep(self) -> None:
        """Remove what an interrupted receiver left in `incoming`, but not what another one is storing just now."""
        for left in self._incoming.iterdir():
            if not left.is_dir():
                durable.remove_durably(left)
                continue
            try:
                with durable.lock_folder(left):
                    _remove_folder(left)
            except AlreadyRunning:
                continue

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[BufferedRandom]:
        """Open an empty file in a folder of `incoming`, for reading and writing.

        Raises:
            StorageError: the disk refused.
        """
        try:
            with (folder / "scratch").open("x+b") as file:
                yield file
        except OSError as error:
            raise durable.storage_error(error) from error

    def keep(self, plain: Path, suffix: str, envelope: SignedEnvelope, metadata: Metadata) -> Path:
        """Give a deciphered image in `incoming` its place in the store, durably, and return the place.

        An image whose very content the device delivered before is not stored twice.

        Args:
            plain: the whole image, on the store's file system.
            suffix: what to append to the original name where the content is not the original file's.
            envelope: who sent it.
            metadata: what is known of it.

        Raises:
            StorageError: the disk refused.
        """
        device = envelope.manifest.device
        moment = metadata.capture.moment
        folder = self._store / device / f"{moment.year:04d}" / f"{moment.month:02d}" / f"{moment.day:02d}"
        durable.make_folder(folder)
        taken = self._paths_of(device, metadata.sha256.hex())
        make_whole(plain, metadata.mtime_ns)
        for name in numbered(harmless_name(metadata.name) + suffix):
            place = folder / name
            if str(place.relative_to(self._store)) in taken and _same_content(plain, place):
                return place
            try:
                durable.put_in_place(plain, place, overwrite=False)
            except FileExistsError:
                if _same_content(plain, place):  # stored just before a crash, not yet recorded
                    return place
                continue
            return place
        raise AssertionError("unreachable: the names never end")

    def record(self, envelope: SignedEnvelope, metadata: Metadata, place: Path, *, received_at: str) -> None:
        """Record a stored image durably: from now on a receipt may be given for it.

        Raises:
            StorageError: the disk refused.
        """
        self._insert(
            envelope,
            status="stored",
            reason="",
            sha256=metadata.sha256.hex(),
            path=str(place.relative_to(self._store)),
            received_at=received_at,
            description=json.dumps(describe(metadata)),
        )

    def record_rejected(self, envelope: SignedEnvelope, reason: str, *, received_at: str) -> None:
        """Record that an image was refused for good.

        Raises:
            StorageError: the disk refused.
        """
        self._insert(
            envelope, status="rejected", reason=reason, sha256="", path="", received_at=received_at, description="{}"
        )

    def _insert(self, envelope: SignedEnvelope, **columns: str) -> None:
        manifest = envelope.manifest
        with self._catalogue_errors(), self._catalogue:
            self._catalogue.execute(
                "INSERT OR REPLACE INTO images (device, image_id, manifest_hash, sequence, status, reason, sha256, path,"
                " received_at, description) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    manifest.device,
                    manifest.image_id.hex(),
                    envelope.manifest_hash,
                    manifest.sequence,
                    columns["status"],
                    columns["reason"],
                    columns["sha256"],
                    columns["path"],
                    columns["received_at"],
                    columns["description"],
                ),
            )

    def _paths_of(self, device: str, sha256: str) -> set[str]:
        with self._catalogue_errors():
            rows = self._catalogue.execute(
                "SELECT path FROM images WHERE device = ? AND sha256 = ? AND status = 'stored'", (device, sha256)
            ).fetchall()
        return {row[0] for row in rows}

    @contextmanager
    def _catalogue_errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.DatabaseError as error:
            raise StorageError("the receiver's catalogue cannot be read or written now") from error


def describe(metadata: Metadata) -> dict[str, object]:
    """Return what is known of an image as plain JSON values: for the catalogue and for `edge-receiver inspect`."""
    cipher = metadata.cipher
    return {
        "name": metadata.name.decode("utf-8", "replace"),
        "folder": metadata.folder.decode("utf-8", "replace"),
        "media_type": metadata.media_type,
        "size": metadata.size,
        "sha256": metadata.sha256.hex(),
        "mtime_ns": metadata.mtime_ns,
        "capture_time": metadata.capture.moment.isoformat(),
        "capture_source": metadata.capture.source.value,
        "camera": metadata.camera,
        "width": metadata.width,
        "height": metadata.height,
        "notes": list(metadata.notes),
        "map": cipher.parameters.map.value,
        "parameters": list(cipher.parameters.values),
        "parameters_from": cipher.parameters.origin,
        "network": cipher.parameters.network.value if cipher.parameters.network else None,
        "model_sha256": cipher.parameters.model_sha256.hex() if cipher.parameters.model_sha256 else None,
        "numeric_profile": cipher.parameters.profile,
        "domain": cipher.domain.value,
        "key_file": cipher.key_file.value,
        "pixels": None
        if metadata.pixels is None
        else {
            "shape": list(metadata.pixels.shape),
            "dtype": metadata.pixels.dtype,
            "photometric": metadata.pixels.photometric,
            "beside": sorted(metadata.pixels.side),
        },
    }


def keep_side(place: Path, side: Mapping[str, bytes]) -> None:
    """Write what belongs beside decoded pixels (EXIF, ICC profile, DICOM header) next to the image, durably.

    Nothing is overwritten; what is there already is not written twice.

    Raises:
        StorageError: the disk refused.
    """
    for name, blob in side.items():
        for each in numbered(f"{place.name}.{_SIDE_NAME.sub('_', name)[:32]}"):
            target = place.with_name(each)
            if _holds(target, blob):
                break
            try:
                with durable.atomic_file(target, mode=0o640, overwrite=False) as file:
                    file.write(blob)
            except FileExistsError:
                continue
            break


def write_beside(folder: Path, write: Callable[[BinaryIO], Metadata]) -> tuple[Path, Metadata]:
    """Let `write` fill a file in `folder` and return the file and what `write` returned.

    Raises:
        StorageError: the disk refused.
    """
    plain = folder / "plain"
    try:
        with plain.open("xb") as file:
            metadata = write(file)
    except OSError as error:
        raise durable.storage_error(error) from error
    return plain, metadata


def make_whole(path: Path, mtime_ns: int) -> None:
    """Give the file the original's modification time, its mode, and make its content durable.

    Raises:
        StorageError: the disk refused.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fchmod(descriptor, 0o640)
            os.utime(descriptor, ns=(mtime_ns, mtime_ns))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise durable.storage_error(error) from error


def _mount_of(folder: Path) -> Path:
    """Return the mount point that a folder lies on, or would lie on if it were made."""
    folder = Path(os.path.realpath(folder))
    return next(each for each in (folder, *folder.parents) if os.path.ismount(each))


def _holds(path: Path, blob: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(blob) and path.read_bytes() == blob
    except OSError as error:
        raise durable.storage_error(error) from error


def _remove_folder(folder: Path) -> None:
    try:
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()
    except OSError as error:
        raise durable.storage_error(error) from error


def _same_content(one: Path, other: Path) -> bool:
    try:
        if not other.is_file() or one.stat().st_size != other.stat().st_size:
            return False
        with one.open("rb") as a, other.open("rb") as b:
            while piece := a.read(1 << 20):
                if piece != b.read(1 << 20):
                    return False
    except OSError as error:
        raise durable.storage_error(error) from error
    return True


def _open_catalogue(path: Path) -> sqlite3.Connection:
    try:
        # It holds file names. SQLite gives the mode of this file to the two beside it, whatever the umask is.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise durable.storage_error(error) from error
    try:
        connection = sqlite3.connect(path, check_same_thread=False)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise LedgerCorrupt("the receiver's catalogue fails its integrity check")
        connection.executescript(_SCHEMA)
    except sqlite3.OperationalError as error:
        # Full, read-only, not ours: nothing that moving it aside would mend.
        raise StorageError(
            "the receiver's catalogue cannot be opened now",
            hint="check the room, the owner and the mode of the state directory",
        ) from error
    except sqlite3.DatabaseError as error:
        raise LedgerCorrupt(
            "the receiver's catalogue cannot be opened", hint="move it aside; the store itself is untouched"
        ) from error
    return connection
