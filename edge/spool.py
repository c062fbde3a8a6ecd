"""The device's only queue: one sealed file an image, kept until a verified receipt frees it.

    write image and origin aside > fsync > rename > fsync the folder > (ledger)

Images that come close together are synced together. A file `<sequence>-<image id>.spooled` is the sealed image and, behind
it, its origin: which file of the scanner it was made of, so that a lost or torn ledger can be rebuilt, and no image is
sealed twice after a crash. Nothing is dropped by count, age or retry.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from edge import durable, protocol
from edge.envelope import sign
from edge.envelope.sign import SignedEnvelope
from edge.errors import EnvelopeError, SpoolFull, StorageError
from edge.records import SettledFile

SUFFIX: Final = ".spooled"
_NAME: Final = re.compile(rf"(\d{{16}})-([0-9a-f]{{32}})\{SUFFIX}")
_QUARANTINE: Final = "quarantine"
_LAST_BYTES: Final = 1 << 20
"""Less free space than this is none: SQLite may need some pages of its log for one step."""
_ORIGIN_MAX: Final = 64 << 10
"""Bytes of an origin at most: a path has 4,096, and JSON makes six of one that is no letter."""


@dataclass(frozen=True, slots=True)
class Origin:
    """The file an image was made of: enough to find its row in the ledger, or to write that row anew."""

    relative: str
    size: int
    mtime_ns: int
    inode: int
    device: int
    sha256: bytes

    @classmethod
    def of(cls, file: SettledFile, sha256: bytes) -> Origin:
        """Return the origin of a settled file with this content."""
        return cls(file.relative, file.size, file.mtime_ns, file.inode, file.device, sha256)

    def settled(self, folder: Path) -> SettledFile:
        """Return the settled file as it stood below the watched `folder`."""
        return SettledFile(folder / self.relative, self.relative, self.size, self.mtime_ns, self.inode, self.device)


@dataclass(frozen=True, slots=True)
class SpooledImage:
    """One image of the spool: its envelope, its origin, and the file that holds both and the bulk."""

    path: Path
    sequence: int
    envelope: SignedEnvelope
    origin: Origin

    @property
    def image_id(self) -> bytes:
        """The image's id."""
        return self.envelope.manifest.image_id

    @property
    def sealed_bytes(self) -> int:
        """The bytes of the sealed image."""
        return len(self.envelope.raw) + self.envelope.manifest.bulk_bytes

    def read_chunk(self, number: int, chunk_bytes: int) -> bytes:
        """Return chunk `number` of the bulk.

        Raises:
            StorageError: the disk does not give it back.
        """
        start = number * chunk_bytes
        length = min(chunk_bytes, self.envelope.manifest.bulk_bytes - start)
        try:
            with self.path.open("rb", buffering=0) as file:
                chunk = os.pread(file.fileno(), length, len(self.envelope.raw) + start)
        except OSError as error:
            raise durable.storage_error(error) from error
        if len(chunk) != length:
            raise StorageError("a sealed image in the spool is shorter than it was written")
        return chunk

    def check(self) -> None:
        """Insist that the bulk still is, byte for byte, what was signed.

        Raises:
            EnvelopeError: it is gone, cut or changed, and can never be delivered.
            StorageError: the disk does not say now.
        """
        digest = hashlib.sha256()
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(len(self.envelope.raw))
                left = self.envelope.manifest.bulk_bytes
                while piece := file.read(min(left, protocol.SEALING_STEP_BYTES)):
                    digest.update(piece)
                    left -= len(piece)
        except FileNotFoundError as error:
            raise EnvelopeError("a sealed image in the spool is gone") from error
        except OSError as error:
            raise durable.storage_error(error) from error
        if digest.digest() != self.envelope.digest:
            raise EnvelopeError("a sealed image in the spool is not what was written")


@dataclass(frozen=True, slots=True)
class WrittenImage:
    """An image that is written into the spool's folder and not kept yet: a crash leaves nothing of it."""

    image: SpooledImage
    aside: durable.Aside
    size: int


class WithoutOrigin(io.RawIOBase):
    """What travels of an open file of a spool: all but the origin behind it. The file is the caller's to close."""

    def __init__(self, file: io.BufferedReader) -> None:
        """Begin where the sealed image does.

        Raises:
            EnvelopeError: this is no sealed image.
        """
        file.seek(0)
        envelope = sign.read_envelope(file)
        self._size = len(envelope.raw) + envelope.manifest.bulk_bytes
        self._file = file
        self._file.seek(0)

    def readable(self) -> bool:
        """Say so."""
        return True

    def seekable(self) -> bool:
        """Say so."""
        return True

    def readinto(self, target: Any, /) -> int:
        """Fill `target` as far as the sealed image goes, and return how many bytes that were."""
        left = max(0, self._size - self._file.tell())
        return self._file.readinto(memoryview(target).cast("B")[:left])

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Go to an offset, as in any file."""
        if whence == os.SEEK_END:
            return self._file.seek(self._size + offset)
        return self._file.seek(offset, whence)


class Spool:
    """The folder of sealed images. One process owns it (`durable.lock_folder`); its methods may be called by threads."""

    def __init__(self, folder: Path, *, max_bytes: int, reserve_bytes: int, reserve_percent: int = 0) -> None:
        """Open or make the spool and sweep what an interrupted write left.

        Args:
            folder: where the sealed images are.
            max_bytes: how much they may take together.
            reserve_bytes: how much of the disk stays free, for the ledger and for what a technician needs.
            reserve_percent: how many hundredths of the disk stay free, where that is more.

        Raises:
            StorageError: the disk refused.
        """
        self._folder = folder
        self._max_bytes = max_bytes
        self._reserve_bytes = reserve_bytes
        self._reserve_percent = reserve_percent
        durable.make_folder(folder)
        durable.make_folder(folder / _QUARANTINE)
        durable.sweep_temporaries(folder)
        # What an earlier run gave its name and did not live to sync.
        durable.fsync_folder(folder)
        # Counted along: listing a spool of 10,000 images for every new one would take longer than sealing it.
        self._lock = threading.Lock()
        self._used = self.used_bytes()
        self._unkept = 0

    def write(
        self, sequence: int, image_id: bytes, origin: Origin, write: Callable[[BinaryIO], SignedEnvelope]
    ) -> WrittenImage:
        """Let `write` fill a temporary file with a sealed image, which is then to be kept; on any error nothing is left.

        Raises:
            SpoolFull: there is no room for an image of this size.
            StorageError: the disk refused.
        """
        self.require_room(origin.size)
        path = self._folder / f"{sequence:016d}-{image_id.hex()}{SUFFIX}"
        with durable.aside(path) as aside:
            image = SpooledImage(path, sequence, write(aside.file), origin)
            aside.file.seek(0, os.SEEK_END)
            aside.file.write(_encode_origin(origin))
            written = WrittenImage(image, aside, aside.file.tell())
        with self._lock:
            self._unkept += written.size
        return written

    def keep(self, written: Sequence[WrittenImage]) -> list[SpooledImage | StorageError]:
        """Keep written images durably, and return for each, in order, the image or what the disk refused.

        Several are synced together: the disk begins with all of them, and the folder is synced for all. Of one that is
        refused nothing is left.
        """
        if len(written) > 1:
            for each in written:
                each.aside.begin_to_sync()
        outcomes = [_synced(each) for each in written]
        try:
            self._name([each for each, outcome in zip(written, outcomes, strict=True) if outcome is each.image])
        except StorageError as error:
            outcomes = [error if isinstance(outcome, SpooledImage) else outcome for outcome in outcomes]
        self.give_up([each for each, outcome in zip(written, outcomes, strict=True) if outcome is not each.image])
        with self._lock:
            kept = sum(each.size for each, outcome in zip(written, outcomes, strict=True) if outcome is each.image)
            self._unkept -= kept
            self._used += kept
        return outcomes

    def _name(self, written: Sequence[WrittenImage]) -> None:
        for each in written:
            each.aside.take_name()
        if written:
            durable.fsync_folder(self._folder)

    def give_up(self, written: Sequence[WrittenImage]) -> None:
        """Leave nothing of images that are not to be kept."""
        for each in written:
            each.aside.discard()
        with self._lock:
            self._unkept -= sum(each.size for each in written)

    def require_room(self, size: int) -> None:
        """Insist that an image of `size` bytes fits.

        Raises:
            SpoolFull: it does not; the caller waits.
        """
        if self._exceeds(size):
            # Somebody may have removed images by hand: the folder is the truth.
            with self._lock:
                self._used = self.used_bytes()
            if self._exceeds(size):
                raise SpoolFull("the spool has reached its size limit")
        free, total = durable.room(self._folder)
        reserve = max(self._reserve_bytes, total * self._reserve_percent // 100)
        if free < reserve + size + size // 512 + protocol.HEADER_MAX_BYTES:
            raise SpoolFull("the disk of the spool has less free space than the reserve")

    def _exceeds(self, size: int) -> bool:
        used = self._used + self._unkept
        return used > 0 and used + size > self._max_bytes

    def used_bytes(self) -> int:
        """Return the bytes of all images, the quarantined ones too.

        Raises:
            StorageError: the disk refused.
        """
        return sum(_size(path) for folder in (self._folder, self._folder / _QUARANTINE) for path in _images_of(folder))

    @property
    def exhausted(self) -> bool:
        """Whether the disk has no room left even for a word in the ledger.

        Raises:
            StorageError: the disk refused.
        """
        return durable.free_bytes(self._folder) < _LAST_BYTES

    def images(self) -> list[SpooledImage]:
        """Return the images to be delivered, oldest first. One that cannot be read is quarantined and left out."""
        return self._images(self._folder)

    def quarantined(self) -> list[SpooledImage]:
        """Return the images set aside, oldest first, as far as they can be read."""
        return self._images(self._folder / _QUARANTINE)

    def _images(self, folder: Path) -> list[SpooledImage]:
        found = []
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            match = _NAME.fullmatch(path.name)
            if match is None:
                continue
            try:
                found.append(_read(path, int(match[1]), bytes.fromhex(match[2])))
            except EnvelopeError:
                if folder == self._folder:
                    self._move(path, folder / _QUARANTINE)
        return found

    def discard(self, *images: SpooledImage) -> None:
        """Forget delivered images, all at once. Only a verified `stored` receipt for each justifies this.

        Raises:
            StorageError: the disk refused.
        """
        with self._lock:
            there = sum(_size(image.path) for image in images)
            durable.remove_durably(*(image.path for image in images))
            self._used = max(0, self._used - there)

    def quarantine(self, image: SpooledImage) -> None:
        """Move an image aside that can never be delivered as it is; it is kept.

        Raises:
            StorageError: the disk refused.
        """
        self._move(image.path, self._folder / _QUARANTINE)

    def take_back(self, image: SpooledImage) -> None:
        """Put an image that was set aside back in line.

        Raises:
            StorageError: the disk refused.
        """
        self._move(image.path, self._folder)

    @staticmethod
    def _move(path: Path, folder: Path) -> None:
        try:
            if path.exists():
                path.rename(folder / path.name)
        except OSError as error:
            raise durable.storage_error(error) from error
        durable.fsync_folder(folder)
        durable.fsync_folder(path.parent)


def _synced(written: WrittenImage) -> SpooledImage | StorageError:
    try:
        written.aside.sync()
    except StorageError as error:
        return error
    return written.image


def _images_of(folder: Path) -> list[Path]:
    try:
        return list(folder.glob(f"*{SUFFIX}"))
    except OSError as error:
        raise durable.storage_error(error) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0  # another thread has discarded it since the folder was listed
    except OSError as error:
        raise durable.storage_error(error) from error


def _read(path: Path, sequence: int, image_id: bytes) -> SpooledImage:
    try:
        with path.open("rb") as file:
            envelope = sign.read_envelope(file)
            file.seek(len(envelope.raw) + envelope.manifest.bulk_bytes)
            origin = _decode_origin(file.read(_ORIGIN_MAX))
    except FileNotFoundError as error:
        raise EnvelopeError("a sealed image in the spool is gone") from error
    except OSError as error:
        raise durable.storage_error(error) from error
    if envelope.manifest.image_id != image_id:
        raise EnvelopeError("a sealed image in the spool is not what its name says")
    return SpooledImage(path, sequence, envelope, origin)


def _encode_origin(origin: Origin) -> bytes:
    # JSON, because a person may have to read it; surrogates keep file names that are not UTF-8.
    fields = {name: getattr(origin, name) for name in Origin.__slots__ if name != "sha256"}
    return json.dumps(fields | {"sha256": origin.sha256.hex()}).encode("ascii")


def _decode_origin(data: bytes) -> Origin:
    try:
        fields = json.loads(data)
        origin = Origin(**(fields | {"sha256": bytes.fromhex(fields["sha256"])}))
        path = os.fsencode(origin.relative)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise EnvelopeError("the origin of a sealed image in the spool cannot be read") from error
    numbers = (origin.size, origin.mtime_ns, origin.inode, origin.device)
    if (
        not all(type(each) is int for each in numbers)
        or not 0 <= origin.size < 1 << 63
        or b"\0" in path
        or len(origin.sha256) != protocol.DIGEST_BYTES
    ):
        # The ledger and the watched folder could not take it: the device would not even start.
        raise EnvelopeError("the origin of a sealed image in the spool is none")
    return origin
