"""The receiver's catalogue: what was delivered, where it lies, which receipt was given, and what the images look like.

SQLite, WAL, synchronous=FULL: what is recorded survives a power cut, and only then a receipt may be given.
"""

from __future__ import annotations

import heapq
import json
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge import durable
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope
from edge.errors import LedgerCorrupt, StorageError
from edge.features import similarities
from edge.records import FeatureVector

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
CREATE INDEX IF NOT EXISTS images_by_path ON images (path);
CREATE TABLE IF NOT EXISTS features (
    device        TEXT NOT NULL,
    image_id      TEXT NOT NULL,
    model_sha256  BLOB NOT NULL,
    vector        BLOB NOT NULL,
    PRIMARY KEY (device, image_id)
) STRICT;
"""
_COLUMNS: Final = "device, image_id, manifest_hash, sequence, status, reason, sha256, path, received_at, description"
# Rows compared at once when similar images are looked for: a thousand vectors are a megabyte.
_COMPARED: Final = 4096


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


@dataclass(frozen=True, slots=True)
class Similar:
    """A delivered image and how alike it is, from -1 to 1."""

    similarity: float
    image: Delivered


class Catalogue:
    """The catalogue. One thread at a time uses it."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open it for writing, making it if there is none, and check its integrity.

        Raises:
            StorageError: the disk refused.
            LedgerCorrupt: it fails its integrity check.
        """
        durable.make_folder(path.parent)
        try:
            # It holds file names. SQLite gives the mode of this file to the two beside it, whatever the umask is.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise durable.storage_error(error) from error
        with _opening():
            connection = sqlite3.connect(path, check_same_thread=False)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            if connection.execute("PRAGMA quick_check").fetchone() != ("ok",):
                raise LedgerCorrupt("the receiver's catalogue fails its integrity check")
            connection.executescript(_SCHEMA)
        return cls(connection)

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing catalogue for reading only, beside a receiver that writes it.

        Raises:
            StorageError: there is none, or it cannot be read.
            LedgerCorrupt: it is no catalogue.
        """
        if not path.is_file():
            raise StorageError("there is no catalogue yet", hint="it is made when edge-receiver first runs")
        with _opening():
            connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
            connection.execute("SELECT count(*) FROM features").fetchone()
        return cls(connection)

    def close(self) -> None:
        """Close it."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, device: str, image_id: bytes) -> Delivered | None:
        """Return what became of an image, None where it is unknown."""
        rows = self._select("WHERE device = ? AND image_id = ?", device, image_id.hex())
        return rows[0] if rows else None

    def deliveries(self) -> list[Delivered]:
        """Return the whole catalogue, in order of arrival."""
        return self._select("ORDER BY rowid")

    def stored_at(self, path: str) -> list[Delivered]:
        """Return the images that lie at a path relative to the store, the newest first."""
        return self._select("WHERE path = ? AND status = 'stored' ORDER BY rowid DESC", path)

    def with_content(self, sha256: str, device: str | None = None) -> list[Delivered]:
        """Return the stored images with this content, the newest first; of one device, or of any."""
        if device is None:
            return self._select("WHERE sha256 = ? AND status = 'stored' ORDER BY rowid DESC", sha256)
        return self._select("WHERE device = ? AND sha256 = ? AND status = 'stored' ORDER BY rowid DESC", device, sha256)

    def record_stored(self, images: Sequence[tuple[SignedEnvelope, Metadata, str]], *, received_at: str) -> None:
        """Record stored images, their paths and features durably, all or none: from now on receipts may be given for them.

        Raises:
            StorageError: the disk refused.
        """
        with self._transaction():
            for envelope, metadata, path in images:
                row = (metadata.sha256.hex(), path, received_at, json.dumps(describe(metadata)))
                self._insert(envelope, ("stored", "", *row), metadata.features)

    def record_rejected(self, envelope: SignedEnvelope, reason: str, *, received_at: str) -> None:
        """Record that an image was refused for good.

        Raises:
            StorageError: the disk refused.
        """
        with self._transaction():
            self._insert(envelope, ("rejected", reason, "", "", received_at, "{}"), None)

    def features_of(self, image: Delivered) -> tuple[bytes, bytes] | None:
        """Return the features of an image, 1000 bytes, and the SHA-256 of the network that made them; None without."""
        with _reading_or_writing():
            row = self._connection.execute(
                "SELECT vector, model_sha256 FROM features WHERE device = ? AND image_id = ?",
                (image.device, image.image_id),
            ).fetchone()
        return None if row is None else (row[0], row[1])

    def similar(self, vector: bytes, model_sha256: bytes, count: int) -> list[Similar]:
        """Return the stored images that look most like these features, the most similar first.

        Args:
            vector: Features, 1000 bytes.
            model_sha256: The network that made them: features of different networks mean different things.
            count: How many images at most. Of images with one content only the newest is returned.

        Raises:
            StorageError: the catalogue cannot be read.
        """
        best: dict[str, tuple[float, str, str]] = {}
        with _reading_or_writing():
            cursor = self._connection.execute(
                "SELECT device, image_id, sha256, vector FROM features JOIN images USING (device, image_id)"
                " WHERE model_sha256 = ? AND status = 'stored' ORDER BY images.rowid",
                (model_sha256,),
            )
            while rows := cursor.fetchmany(_COMPARED):
                found = similarities(vector, [row[3] for row in rows])
                alike = {row[2]: (float(value), row[0], row[1]) for row, value in zip(rows, found, strict=True)}
                best = dict(heapq.nlargest(count, (best | alike).items(), key=lambda item: item[1][0]))
        chosen = sorted(best.values(), key=lambda each: -each[0])
        images = [(value, self.find(device, bytes.fromhex(image_id))) for value, device, image_id in chosen]
        return [Similar(value, image) for value, image in images if image is not None]

    def _select(self, condition: str, *values: str) -> list[Delivered]:
        with _reading_or_writing():
            # The conditions are those of this module; values are bound.
            rows = self._connection.execute(f"SELECT {_COLUMNS} FROM images {condition}", values).fetchall()  # noqa: S608
        return [Delivered(*row) for row in rows]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with _reading_or_writing(), self._connection:
            yield

    def _insert(self, envelope: SignedEnvelope, rest: tuple[str, ...], features: FeatureVector | None) -> None:
        manifest = envelope.manifest
        image_id = manifest.image_id.hex()
        self._connection.execute(
            f"INSERT OR REPLACE INTO images ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (manifest.device, image_id, envelope.manifest_hash, manifest.sequence, *rest),
        )
        if features is not None:
            self._connection.execute(
                "INSERT OR REPLACE INTO features (device, image_id, model_sha256, vector) VALUES (?, ?, ?, ?)",
                (manifest.device, image_id, features.model_sha256, features.values),
            )


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
        "quantiser": cipher.parameters.quantiser.value if cipher.parameters.quantiser else None,
        "feature_network": metadata.features.network.value if metadata.features else None,
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


@contextmanager
def _opening() -> Iterator[None]:
    try:
        yield
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


@contextmanager
def _reading_or_writing() -> Iterator[None]:
    try:
        yield
    except sqlite3.DatabaseError as error:
        raise StorageError("the receiver's catalogue cannot be read or written now") from error
