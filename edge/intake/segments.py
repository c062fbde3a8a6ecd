"""Walks the parts of image files (JPEG segments, PNG chunks, RIFF chunks, TIFF directories) without decoding any.

Every walk reads small pieces, counts its steps, and trusts no length: what lies beyond the file's end raises
IncompleteFile, what makes no sense ends the walk quietly, because damage is not the same as a missing end.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from edge.errors import IncompleteFile

WINDOW = 16 * 1024  # bytes; one read serves many neighbouring small looks
MAX_SEGMENTS = 4096  # JPEG marker segments before the image: 256 MiB of metadata
MAX_CHUNKS = 200_000  # PNG chunks: at 8 KiB each, 1.6 GB
MAX_DIRECTORIES = 10_000  # TIFF directories, sub-directories included
MAX_ENTRIES = 4096  # entries in one TIFF directory; real ones hold fewer than 200
ABSURD = 4096  # a TIFF value this many times larger than the file is damage, not a missing end


class Cursor:
    """Reads pieces of a file of known size through one small window, so that memory stays bounded."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self.size = size
        self._start = 0
        self._window = b""

    def at(self, offset: int, count: int) -> bytes:
        """Return up to `count` bytes from `offset`; fewer where the file ends."""
        if offset < 0 or count <= 0 or offset >= self.size:
            return b""
        count = min(count, self.size - offset)
        skip = offset - self._start
        if skip < 0 or skip + count > len(self._window):
            self._file.seek(offset)
            self._window = self._file.read(max(count, WINDOW))
            self._start, skip = offset, 0
        return self._window[skip : skip + count]

    def twin(self) -> Cursor:
        """Return a second cursor over the same file, with a window of its own."""
        return Cursor(self._file, self.size)

    def need(self, offset: int, count: int) -> bytes:
        """Return exactly `count` bytes from `offset`, or raise IncompleteFile."""
        piece = self.at(offset, count)
        if len(piece) < count:
            raise IncompleteFile("the file ends inside one of its parts")
        return piece

    def holds(self, end: int) -> None:
        """Raise IncompleteFile where a part that ends at `end` does not fit into the file."""
        if end > self.size:
            raise IncompleteFile("the file ends inside one of its parts")


def _no_hole(piece: bytes) -> None:
    # Writers that reserve the room first (SMB copies do) leave zeros where the next part will stand.
    if not any(piece):
        raise IncompleteFile("the file holds only zeros where its next part must stand")


@dataclass(frozen=True, slots=True)
class Part:
    """One segment or chunk: its name, and where its payload lies."""

    name: bytes
    offset: int
    length: int


SOS, EOI = b"\xda", b"\xd9"
_STANDALONE = frozenset([0x01, *range(0xD0, 0xD9)])


def jpeg_segments(cursor: Cursor, start: int = 0) -> Iterator[Part]:
    """Yield the marker segments up to the first SOS or EOI, that one included; `name` is the marker's second byte.

    `start` is where the JPEG begins: a file may hold several.
    """
    offset = start + 2
    for _ in range(MAX_SEGMENTS):
        head = cursor.at(offset, 4)
        if len(head) < 2:
            raise IncompleteFile("the JPEG ends before its image data")
        if head[0] != 0xFF:
            _no_hole(head)
            return
        marker = head[1]
        if marker == 0xFF:
            offset += 1
        elif marker in _STANDALONE:
            offset += 2
        elif head[1:2] == EOI:
            yield Part(EOI, offset + 2, 0)
            return
        else:
            length = int.from_bytes(cursor.need(offset + 2, 2), "big")
            if length < 2:
                return
            cursor.holds(offset + 2 + length)
            yield Part(head[1:2], offset + 4, length - 2)
            if head[1:2] == SOS:
                return
            offset += 2 + length


def png_chunks(cursor: Cursor) -> Iterator[Part]:
    """Yield the chunks up to IEND, that one included; a chunk counts only with its checksum."""
    offset = 8
    for _ in range(MAX_CHUNKS):
        head = cursor.need(offset, 8)
        length, name = int.from_bytes(head[:4], "big"), head[4:]
        _no_hole(name)
        if not name.isalpha() or length > 0x7FFFFFFF:
            return
        cursor.holds(offset + 12 + length)
        yield Part(name, offset + 8, length)
        if name == b"IEND":
            return
        offset += 12 + length


def riff_chunks(cursor: Cursor) -> Iterator[Part]:
    """Yield the chunks of a RIFF file up to the end that its header names."""
    end = int.from_bytes(cursor.need(4, 4), "little") + 8
    cursor.holds(end)
    offset = 12
    for _ in range(MAX_CHUNKS):
        if offset + 8 > end:
            return
        head = cursor.need(offset, 8)
        length = int.from_bytes(head[4:], "little")
        if offset + 8 + length > end:
            return
        yield Part(head[:4], offset + 8, length)
        offset += 8 + length + (length & 1)


def boxes(cursor: Cursor) -> Iterator[Part]:
    """Yield the top-level boxes of an ISO base media file (JPEG 2000, JPEG XL, HEIF, AVIF)."""
    offset = 0
    for _ in range(MAX_CHUNKS):
        if offset == cursor.size:
            return
        head = cursor.need(offset, 8)
        length, name, header = int.from_bytes(head[:4], "big"), head[4:], 8
        _no_hole(name)
        if length == 1:
            length, header = int.from_bytes(cursor.need(offset + 8, 8), "big"), 16
        elif length == 0:
            length = cursor.size - offset
        if length < header:
            return
        cursor.holds(offset + length)
        yield Part(name, offset + header, length - header)
        offset += length


_TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q", 18: "Q"}
_SUB_DIRECTORIES = (330, 34665, 34853)  # SubIFDs, EXIF, GPS


@dataclass(frozen=True, slots=True)
class TiffEntry:
    """One directory entry: where its values lie in the file, and how many bytes they take."""

    kind: int
    count: int
    at: int
    length: int


class TiffWalk:
    """The directories of a TIFF or BigTIFF file, each as {tag: TiffEntry}; loops and absurd claims end the walk."""

    def __init__(self, cursor: Cursor) -> None:
        head = cursor.need(0, 8)
        self._cursor = cursor
        self.order = "<" if head[:2] == b"II" else ">"
        self.big = struct.unpack(self.order + "H", head[2:4])[0] == 43
        self.first = self._number(8, 8) if self.big else self._number(4, 4)

    def __iter__(self) -> Iterator[dict[int, TiffEntry]]:
        if self.first == 0:
            # Writers patch the first directory's place in last.
            raise IncompleteFile("the TIFF names no directory")
        waiting, seen = [self.first], {0}
        while waiting and len(seen) <= MAX_DIRECTORIES:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            directory, following = self._directory(place)
            yield directory
            if following:
                waiting.append(following)
            for tag in _SUB_DIRECTORIES:
                if tag in directory:
                    waiting.extend(self.values(directory[tag], limit=64))

    def _directory(self, place: int) -> tuple[dict[int, TiffEntry], int]:
        count = self._number(place, 8 if self.big else 2)
        if count == 0:
            raise IncompleteFile("the TIFF holds zeros where a directory must stand")
        if count > MAX_ENTRIES:
            return {}, 0
        width, start = (20, place + 8) if self.big else (12, place + 2)
        table = self._cursor.need(start, count * width)
        _no_hole(table)
        entries: dict[int, TiffEntry] = {}
        layout = self.order + ("HHQ8s" if self.big else "HHI4s")
        for index, (tag, kind, number, value) in enumerate(struct.iter_unpack(layout, table)):
            length = number * _TYPE_SIZES.get(kind, 1)
            at = start + width * (index + 1) - len(value)
            if length > len(value):
                at = int.from_bytes(value, "little" if self.order == "<" else "big")
            entries.setdefault(tag, TiffEntry(kind, number, at, length))
        return entries, self._number(start + count * width, 8 if self.big else 4)

    def values(self, entry: TiffEntry, *, limit: int) -> Iterator[int]:
        """Yield at most `limit` integers of an entry, read in small pieces."""
        code = _INTEGERS.get(entry.kind)
        if code is None or entry.length > ABSURD * self._cursor.size:
            return
        width, left, at = _TYPE_SIZES[entry.kind], min(entry.count, limit), entry.at
        while left > 0:
            step = min(left, 1024)
            piece = self._cursor.need(at, step * width)
            yield from struct.unpack(f"{self.order}{step}{code}", piece)
            left -= step
            at += step * width

    def _number(self, offset: int, count: int) -> int:
        return int.from_bytes(self._cursor.need(offset, count), "little" if self.order == "<" else "big")
