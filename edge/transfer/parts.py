"""A part file: the chunks of one bulk that have come so far. It survives a restart.

    <device>-<image id>.part    the bulk, with holes          <...>.have    4-byte numbers of the chunks written

A chunk's number is appended after the chunk is written. Neither is synced: after a power cut the digest of the whole
bulk finds what was lost, and the part is fetched again.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, Self

from edge import durable, protocol
from edge.envelope.sign import VerifiedManifest
from edge.errors import MalformedEnvelope, StoreFull
from edge.transfer import messages

_NUMBER_BYTES: Final = 4
_SPARE_BYTES: Final = 64 * 1024 * 1024
"""Free space to leave beside a bulk and its plain image: the catalogue and the next receipt need a disk too."""


class PartFile:
    """The chunks of one bulk. One thread uses it."""

    def __init__(self, folder: Path, verified: VerifiedManifest, chunk_bytes: int) -> None:
        """Begin, or resume where an earlier run with the same manifest and chunk size ended.

        Raises:
            StoreFull: the bulk and its image would not fit on the disk.
            StorageError: the disk refused.
        """
        self.verified = verified
        self.chunk_bytes = chunk_bytes
        manifest = verified.envelope.manifest
        self.bulk_bytes = manifest.bulk_bytes
        self.count = messages.chunk_count(manifest.bulk_bytes, chunk_bytes)
        stem = f"{manifest.device}-{manifest.image_id.hex()}"
        self._part, self._have, self._key = (folder / f"{stem}.{kind}" for kind in ("part", "have", "key"))
        key = verified.envelope.manifest_hash + chunk_bytes.to_bytes(4, "big")
        self._bulk_file = self._have_file = -1
        try:
            if not (self._key.exists() and self._key.read_bytes() == key):
                self.remove()
                if durable.free_bytes(folder) < 2 * manifest.bulk_bytes + _SPARE_BYTES:
                    raise StoreFull("the receiver's disk has no room for this image")
                self._key.write_bytes(key)
            self._bulk_file = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._have_file = os.open(self._have, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            self._written = self._resume()
        except OSError as error:
            # The device offers the image again and again: nothing may stay open of what failed.
            self.close()
            raise durable.storage_error(error) from error

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
        try:
            done = 0
            while done < len(chunk):
                done += os.pwrite(self._bulk_file, memoryview(chunk)[done:], start + done)
            os.write(self._have_file, number.to_bytes(_NUMBER_BYTES, "big"))
        except OSError as error:
            raise durable.storage_error(error) from error
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

    @contextmanager
    def bulk(self) -> Iterator[BinaryIO]:
        """Open the bulk for reading from its start.

        Raises:
            StorageError: the disk refused.
        """
        try:
            file = self._part.open("rb")
        except OSError as error:
            raise durable.storage_error(error) from error
        with file:
            yield file

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

    def close(self) -> None:
        """Let go of the files; what has come stays."""
        for name in ("_bulk_file", "_have_file"):
            descriptor = getattr(self, name)
            if descriptor >= 0:
                os.close(descriptor)
                setattr(self, name, -1)

    def remove(self) -> None:
        """Remove the part.

        Raises:
            StorageError: the disk refused.
        """
        try:
            for path in (self._key, self._have, self._part):
                path.unlink(missing_ok=True)
        except OSError as error:
            raise durable.storage_error(error) from error

    def _resume(self) -> bytearray:
        written = bytearray(self.count)
        numbers = os.pread(self._have_file, _NUMBER_BYTES * self.count, 0)
        whole = len(numbers) // _NUMBER_BYTES * _NUMBER_BYTES
        os.ftruncate(self._have_file, whole)
        for start in range(0, whole, _NUMBER_BYTES):
            number = int.from_bytes(numbers[start : start + _NUMBER_BYTES], "big")
            if number < self.count:
                written[number] = 1
        self._left = written.count(0)
        return written
