"""The chunks of one bulk that have come so far: in memory where one chunk is all of it, otherwise in a part file.

A part file survives a restart:

    <device>-<image id>.part    the bulk, with holes          <...>.have    4-byte numbers of the chunks written

A chunk's number is appended after the chunk is written. Neither is synced: after a power cut the digest of the whole
bulk finds what was lost, and the part is fetched again.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from io import BytesIO
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from edge import durable, protocol
from edge.envelope.sign import Manifest, VerifiedManifest
from edge.errors import MalformedEnvelope, StoreFull
from edge.transfer import messages

_NUMBER_BYTES: Final = 4
_SPARE_BYTES: Final = 64 * 1024 * 1024
"""Free space to leave beside a bulk and its plain image: the catalogue and the next receipt need a disk too."""


def open_part(folder: Path, verified: VerifiedManifest, chunk_bytes: int) -> Part:
    """Begin a part, or resume where an earlier run with the same manifest and chunk size ended.

    A bulk of one chunk is held in memory: nothing of it can be resumed. `folder` is where part files lie.

    Raises:
        StoreFull: the bulk and its image would not fit on the disk.
        StorageError: the disk refused.
    """
    if verified.envelope.manifest.bulk_bytes <= chunk_bytes:
        return PartInMemory(folder, verified, chunk_bytes)
    return PartFile(folder, verified, chunk_bytes)


def part_file(folder: Path, manifest: Manifest) -> Path:
    """Return where the bulk of an image lies if its chunks are kept on the disk."""
    return folder / f"{manifest.device}-{manifest.image_id.hex()}.part"


class Part(ABC):
    """The chunks of one bulk. One thread uses it."""

    def __init__(self, folder: Path, verified: VerifiedManifest, chunk_bytes: int) -> None:
        self.verified = verified
        self.chunk_bytes = chunk_bytes
        manifest = verified.envelope.manifest
        self.bulk_bytes = manifest.bulk_bytes
        self.count = messages.chunk_count(manifest.bulk_bytes, chunk_bytes)
        self._file = part_file(folder, manifest)
        self._written = bytearray(self.count)
        self._left = self.count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, number: int, chunk: bytes) -> bool:
        """Keep a chunk and return whether it is new.

        Raises:
            MalformedEnvelope: no such chunk, or not of its length.
            StorageError: the disk refused.
        """
        start = number * self.chunk_bytes
        if not 0 <= number < self.count or len(chunk) != min(self.chunk_bytes, self.bulk_bytes - start):
            raise MalformedEnvelope("a chunk has a wrong number or length")
        if self._written[number]:
            return False
        self._keep(number, chunk)
        self._written[number] = 1
        self._left -= 1
        return True

    @property
    def complete(self) -> bool:
        """Whether every chunk has come."""
        return self._left == 0

    def missing(self, limit: int, *, but: set[int]) -> list[int]:
        """Return up to `limit` numbers, ascending, of chunks that have not come and are not in `but`."""
        lacking = (number for number in self._holes() if number not in but)
        return list(islice(lacking, limit))

    def _holes(self) -> Iterator[int]:
        number = self._written.find(0)
        while number != -1:
            yield number
            number = self._written.find(0, number + 1)

    @abstractmethod
    def bulk(self) -> AbstractContextManager[BinaryIO]:
        """Open the bulk for reading from its start.

        Raises:
            StorageError: the disk refused.
        """

    def move_to(self, target: Path) -> None:
        """Keep manifest and bulk under `target` as one sealed image, and remove the part.

        Raises:
            StorageError: the disk refused.
        """
        with durable.atomic_file(target, overwrite=True) as sealed, self.bulk() as bulk:
            sealed.write(self.verified.envelope.raw)
            while piece := bulk.read(protocol.SEALING_STEP_BYTES):
                sealed.write(piece)
        self.close()
        self.remove()

    @abstractmethod
    def close(self) -> None:
        """Let go of it; what has come into a file stays."""

    def remove(self) -> None:
        """Remove every file of this part.

        Raises:
            StorageError: the disk refused.
        """
        try:
            for path in (self._file.with_suffix(".key"), self._file.with_suffix(".have"), self._file):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise durable.storage_error(error) from error

    @abstractmethod
    def _keep(self, number: int, chunk: bytes) -> None:
        """Keep a chunk that is new and fits.

        Raises:
            StorageError: the disk refused.
        """


class PartInMemory(Part):
    """A bulk that comes in one chunk."""

    _chunk = b""

    @contextmanager
    def bulk(self) -> Iterator[BinaryIO]:
        """See `Part.bulk`."""
        with BytesIO(self._chunk) as bulk:
            yield bulk

    def close(self) -> None:
        """See `Part.close`."""
        self._chunk = b""

    def remove(self) -> None:
        """Remove the files that are left where the image came in more chunks before.

        Raises:
            StorageError: the disk refused.
        """
        if os.path.lexists(self._file):
            super().remove()

    def _keep(self, _number: int, chunk: bytes) -> None:
        self._chunk = chunk


class PartFile(Part):
    """A bulk that comes in several chunks, on the disk."""

    def __init__(self, folder: Path, verified: VerifiedManifest, chunk_bytes: int) -> None:
        """Begin, or resume where an earlier run with the same manifest and chunk size ended.

        Raises:
            StoreFull: the bulk and its image would not fit on the disk.
            StorageError: the disk refused.
        """
        super().__init__(folder, verified, chunk_bytes)
        key_file = self._file.with_suffix(".key")
        key = verified.envelope.manifest_hash + chunk_bytes.to_bytes(4, "big")
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        self._bulk_file = self._have_file = -1
        try:
            if not (key_file.exists() and key_file.read_bytes() == key):
                self.remove()
                if durable.free_bytes(folder) < 2 * self.bulk_bytes + _SPARE_BYTES:
                    raise StoreFull("the receiver's disk has no room for this image")
                key_file.write_bytes(key)
            self._bulk_file = os.open(self._file, flags, 0o600)
            self._have_file = os.open(self._file.with_suffix(".have"), flags | os.O_APPEND, 0o600)
            self._resume()
        except OSError as error:
            # The device offers the image again and again: nothing may stay open of what failed.
            self.close()
            raise durable.storage_error(error) from error

    @contextmanager
    def bulk(self) -> Iterator[BinaryIO]:
        """See `Part.bulk`."""
        try:
            file = self._file.open("rb")
        except OSError as error:
            raise durable.storage_error(error) from error
        with file:
            yield file

    def close(self) -> None:
        """See `Part.close`."""
        for name in ("_bulk_file", "_have_file"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                setattr(self, name, -1)
                with suppress(OSError):  # what a disk refuses only now, the digest of the whole bulk will tell
                    os.close(descriptor)

    def _keep(self, number: int, chunk: bytes) -> None:
        start = number * self.chunk_bytes
        try:
            done = 0
            while done < len(chunk):
                done += os.pwrite(self._bulk_file, memoryview(chunk)[done:], start + done)
            os.write(self._have_file, number.to_bytes(_NUMBER_BYTES, "big"))
        except OSError as error:
            raise durable.storage_error(error) from error

    def _resume(self) -> None:
        numbers = os.pread(self._have_file, _NUMBER_BYTES * self.count, 0)
        whole = len(numbers) // _NUMBER_BYTES * _NUMBER_BYTES
        os.ftruncate(self._have_file, whole)
        for start in range(0, whole, _NUMBER_BYTES):
            number = int.from_bytes(numbers[start : start + _NUMBER_BYTES], "big")
            if number < self.count:
                self._written[number] = 1
        self._left = self._written.count(0)
