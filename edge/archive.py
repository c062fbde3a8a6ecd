"""The receiver's store: where delivered images lie, each whole, under its own name, with a row in the catalogue.

    decipher aside > fsync > link under its final name > fsync the folder > record > (receipt)

Files lie under `<store>/<device>/<yyyy>/<mm>/<dd>/<original name>` by capture time. The name comes from inside the
envelope and is made harmless first; nothing is ever overwritten.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, Final

from edge import durable
from edge.catalogue import Catalogue
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope
from edge.errors import AlreadyRunning, StorageError
from edge.names import harmless_name, numbered

_INCOMING: Final = ".incoming"
_LOCK: Final = "lock"
_SIDE: Final = "side"
_SCRATCH_IN_MEMORY_BYTES: Final = 1 << 20
_SIDE_NAME: Final = re.compile(r"[^a-z0-9-]")


@dataclass(frozen=True, slots=True)
class Incoming:
    """A whole deciphered image that is to be stored: a file in what `Archive.incoming` gave, and what is known of it.

    `suffix` is to be appended to the original name where the content is not the original file's.
    """

    plain: Path
    suffix: str
    envelope: SignedEnvelope
    metadata: Metadata


@dataclass(slots=True)
class _Going:
    """An image on its way into the store."""

    image: Incoming
    place: Path = Path()
    named: bool = False
    """Whether it has got its name just now, so that its folder is still to be synced."""
    refusal: StorageError | None = None

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Note what the disk refuses in the block."""
        try:
            yield
        except StorageError as error:
            self.refusal = error
        except OSError as error:  # also a mere look may be refused
            self.refusal = durable.storage_error(error)


class Archive:
    """Store and catalogue. One thread at a time uses them."""

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
        self._identity = _identity(store)
        self._dated: Path | None = None
        durable.make_folder(self._incoming)
        self._sweep()
        self._private: Path | None = None
        self._private_identity: tuple[int, int] | None = None
        self._held = ExitStack()
        self.catalogue = Catalogue.open(catalogue)

    def close(self) -> None:
        """Close the catalogue, and let go of the store."""
        self.rest()
        self.catalogue.close()

    def free_bytes(self) -> int:
        """Return how much room the store has, or would have where it is still to be made.

        Raises:
            StorageError: the disk does not say.
        """
        return durable.free_bytes(next(each for each in (self._store, *self._store.parents) if each.is_dir()))

    @contextmanager
    def incoming(self) -> Iterator[Path]:
        """Give a private folder on the store's file system for images; what lies in it is gone when the block ends.

        The folder itself stays for the next images, until `rest`.

        Raises:
            StorageError: the disk refused.
        """
        folder, identity = self._private, self._private_identity
        # One that is where it was shows that the store is, too.
        if folder is None or identity is None or _identity(folder) != identity:
            self._require_mount()
            self.rest()
            folder = self._make_private()
        try:
            yield folder
        finally:
            try:
                _empty_folder(folder)
            except BaseException:
                self._private_identity = None  # the next image gets another one
                raise

    def _make_private(self) -> Path:
        """Make a private folder, and hold it until `rest`."""
        folder = self._incoming / os.urandom(8).hex()
        try:
            if not self._incoming.is_dir():
                durable.make_folder(self._incoming)
            folder.mkdir(0o700)  # nothing in it has to survive a power cut
        except OSError as error:
            raise durable.storage_error(error) from error
        self._private, self._private_identity = folder, None  # `rest` removes it, whatever comes
        try:
            # It tells the other receivers of a group, whose store this may be too, that the folder is in use.
            self._held.enter_context(durable.lock_folder(folder))
        except AlreadyRunning as error:
            # One that starts just now took the folder for a left one. That must not count against the image.
            self._private = None
            raise StorageError("another receiver of the group sweeps the store") from error
        self._private_identity = _identity(folder)
        return folder

    def rest(self) -> None:
        """Hold nothing in the store until the next image comes, so that it can be unmounted.

        What cannot be removed of the private folder is swept at a next start.
        """
        if self._private is not None:
            with suppress(StorageError):
                _remove_folder(self._private)
            self._private = None
        with suppress(OSError):  # its share may be gone
            self._held.close()

    def _require_mount(self) -> None:
        """Insist that the store is where it was: what is stored below a mount point is hidden once the share is back."""
        identity = _identity(self._store)
        if identity != self._identity:
            if _mount_of(self._store) != self._mount:
                raise StorageError("the store is no longer mounted", hint="mount it again, or restart the receiver")
            self._identity = identity

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
            except StorageError:
                if left.exists():
                    raise
                continue  # another receiver of the group has removed it meanwhile

    @contextmanager
    def scratch(self, folder: Path) -> Iterator[SpooledTemporaryFile[bytes]]:
        """Open an empty file for reading and writing, in memory until it grows, then without a name in `folder`.

        Raises:
            StorageError: the disk refused.
        """
        try:
            with SpooledTemporaryFile(_SCRATCH_IN_MEMORY_BYTES, dir=str(folder)) as file:
                yield file
        except OSError as error:
            raise durable.storage_error(error) from error

    def store(self, images: Sequence[Incoming], *, received_at: str) -> list[Path | StorageError]:
        """Give deciphered images their places in the store, durably, and record them: from now on receipts may be given.

        Images that come together are synced and recorded together. One whose very content its device delivered before is
        not stored twice.

        Args:
            images: whole images in what `incoming` gave.
            received_at: UTC, ISO 8601.

        Returns:
            For each image, in order, its place, or what the disk refused: that one is not recorded, and may come again.
        """
        going = [_Going(image) for image in images]
        if len(going) > 1:
            for each in going:
                _begin_to_sync(each.image.plain)
        named: dict[Path, bytes] = {}
        for each in going:
            with each.noted():
                self._place(each, named)
        self._sync_places(going)
        for each in going:
            if each.refusal is None and (pixels := each.image.metadata.pixels) is not None:
                with each.noted():
                    keep_side(each.place, pixels.side, each.image.plain.parent)
        self._record([each for each in going if each.refusal is None], received_at)
        return [each.refusal or each.place for each in going]

    def _place(self, going: _Going, named: dict[Path, bytes]) -> None:
        """Sync an image and give it a name of its own, or find it there already.

        `named` are the names that were given to images which came together with it, and the hashes of their contents.

        Raises:
            StorageError: the disk refused.
        """
        image, metadata, device = going.image, going.image.metadata, going.image.envelope.manifest.device
        moment = metadata.capture.moment
        folder = self._store / device / f"{moment.year:04d}" / f"{moment.month:02d}" / f"{moment.day:02d}"
        if folder != self._dated or not folder.is_dir():
            durable.make_folder(folder)
            self._dated = folder
        taken = {known.path for known in self.catalogue.with_content(metadata.sha256.hex(), device)}
        make_whole(image.plain, metadata.mtime_ns)
        for name in numbered(harmless_name(metadata.name) + image.suffix):
            going.place = folder / name
            at = str(going.place.relative_to(self._store))
            if at in taken and _same_content(image.plain, going.place):
                durable.confirm(going.place)
                return
            try:
                durable.take_name(image.plain, going.place)
            except FileExistsError:
                # What is recorded there is another image. Only one that is not may be this one, stored just before a crash,
                # perhaps not yet synced. A device that uses one name for all would have each compared with all others.
                mate = named.get(going.place)
                may_be = mate == metadata.sha256 if mate is not None else not self.catalogue.stored_at(at)
                if may_be and _same_content(image.plain, going.place):
                    durable.confirm(going.place)
                    return
                continue
            going.named = True
            named[going.place] = metadata.sha256
            return
        raise AssertionError("unreachable: the names never end")

    @staticmethod
    def _sync_places(going: Sequence[_Going]) -> None:
        """Make new names durable, each folder's at once.

        Where a folder refuses, they stay in it, and the images are found there when they come again. Another receiver of
        the group may have found them meanwhile, and have given a receipt.
        """
        for folder in dict.fromkeys(each.place.parent for each in going if each.named):
            try:
                durable.fsync_folder(folder)
            except StorageError as error:
                # Also one that was found there: what it found may be another's new name.
                for each in going:
                    if each.refusal is None and each.place.parent == folder:
                        each.refusal = error

    def _record(self, going: Sequence[_Going], received_at: str) -> None:
        rows = [(each.image.envelope, each.image.metadata, str(each.place.relative_to(self._store))) for each in going]
        try:
            if rows:
                self.catalogue.record_stored(rows, received_at=received_at)
        except StorageError as error:
            if len(going) == 1:
                going[0].refusal = error
                return
            for each in going:  # one that cannot be recorded keeps no other back
                self._record([each], received_at)


def keep_side(place: Path, side: Mapping[str, bytes], folder: Path) -> None:
    """Write what belongs beside decoded pixels (EXIF, ICC profile, DICOM header) next to the image, durably.

    It is written in `folder`, on the same file system, where a crash may leave it. Nothing is overwritten; what is there
    already is not written twice.

    Raises:
        StorageError: the disk refused.
    """
    for name, blob in side.items():
        for each in numbered(f"{place.name}.{_SIDE_NAME.sub('_', name)[:32]}"):
            target = place.with_name(each)
            if _holds(target, blob):
                durable.confirm(target)
                break
            durable.write_atomically(folder / _SIDE, blob, mode=0o640)
            try:
                durable.take_name(folder / _SIDE, target)
            except FileExistsError:
                continue
            durable.fsync_folder(target.parent)  # where that is refused it stays, as an image does
            break


def write_plain(path: Path, write: Callable[[BinaryIO], Metadata]) -> Metadata:
    """Let `write` fill a new file, and return what `write` returned.

    Raises:
        StorageError: the disk refused.
    """
    try:
        with path.open("xb") as file:
            return write(file)
    except OSError as error:
        raise durable.storage_error(error) from error


def _begin_to_sync(path: Path) -> None:
    with suppress(OSError):  # syncing it says so
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        durable.begin_to_sync(descriptor)
        os.close(descriptor)


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


def _identity(folder: Path) -> tuple[int, int] | None:
    """Return what tells a folder from every other one, also from the one beneath a mount; None where it is missing."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _mount_of(folder: Path) -> Path:
    """Return the mount point that a folder lies on, or would lie on if it were made."""
    folder = Path(os.path.realpath(folder))
    return next(each for each in (folder, *folder.parents) if os.path.ismount(each))


def _holds(path: Path, blob: bytes) -> bool:
    try:
        return path.is_file() and path.stat().st_size == len(blob) and path.read_bytes() == blob
    except OSError as error:
        raise durable.storage_error(error) from error


def _empty_folder(folder: Path) -> None:
    """Remove all but the lock."""
    try:
        with os.scandir(folder) as found:
            lefts = [Path(entry.path) for entry in found if entry.name != _LOCK]
        for left in lefts:
            left.unlink()
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
