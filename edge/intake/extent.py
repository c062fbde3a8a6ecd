"""Reads an image's width and height from its header; pixels are never decoded and no claim is believed further."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from edge.intake.formats import Format
from edge.intake.segments import Cursor, boxes, jpeg_segments, riff_chunks

# Start-of-frame markers; 0xC4, 0xC8 and 0xCC are tables. 0xF7 is JPEG-LS.
_FRAMES = frozenset([*range(0xC0, 0xD0), 0xF7]) - {0xC4, 0xC8, 0xCC}


def extent(cursor: Cursor, format: Format) -> tuple[int, int]:  # noqa: A002 - the word of the interface
    """Return (width, height) in pixels, or (0, 0) where the header of this format is not read here.

    TIFF and DICOM state theirs among their tags: `edge.intake.capture` reads them there.

    Raises:
        IncompleteFile: The file ends inside its header.
    """
    read = _READERS.get(format)
    return read(cursor) if read else (0, 0)


def _pair(piece: bytes, width: int, order: Literal["big", "little"]) -> tuple[int, int]:
    return int.from_bytes(piece[:width], order), int.from_bytes(piece[width : 2 * width], order)


def _jpeg(cursor: Cursor) -> tuple[int, int]:
    for segment in jpeg_segments(cursor):
        if segment.name[0] in _FRAMES and segment.length >= 6:
            height, width = _pair(cursor.need(segment.offset + 1, 4), 2, "big")
            return width, height
    return 0, 0


def _bmp(cursor: Cursor) -> tuple[int, int]:
    head = cursor.need(14, 12)
    if int.from_bytes(head[:4], "little") == 12:
        return _pair(head[4:8], 2, "little")
    width, height = (int.from_bytes(head[p : p + 4], "little", signed=True) for p in (4, 8))
    return abs(width), abs(height)


def _webp(cursor: Cursor) -> tuple[int, int]:
    for chunk in riff_chunks(cursor):
        piece = cursor.at(chunk.offset, 10)
        if len(piece) < 10:
            continue
        if chunk.name == b"VP8X":
            width, height = _pair(piece[4:10], 3, "little")
            return width + 1, height + 1
        if chunk.name == b"VP8 ":
            width, height = _pair(piece[6:10], 2, "little")
            return width & 0x3FFF, height & 0x3FFF
        if chunk.name == b"VP8L":
            bits = int.from_bytes(piece[1:5], "little")
            return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return 0, 0


def _siz(piece: bytes) -> tuple[int, int]:
    right, bottom, left, top = (int.from_bytes(piece[p : p + 4], "big") for p in (0, 4, 8, 12))
    return max(0, right - left), max(0, bottom - top)


def _jp2(cursor: Cursor) -> tuple[int, int]:
    for box in boxes(cursor):
        # The image header is the first box inside jp2h: its own eight bytes of header, then height and width.
        if box.name == b"jp2h" and cursor.at(box.offset + 4, 4) == b"ihdr":
            height, width = _pair(cursor.need(box.offset + 8, 8), 4, "big")
            return width, height
    return 0, 0


_READERS: dict[Format, Callable[[Cursor], tuple[int, int]]] = {
    Format.JPEG: _jpeg,
    Format.JPEG_LS: _jpeg,
    Format.PNG: lambda cursor: _pair(cursor.need(16, 8), 4, "big"),
    Format.GIF: lambda cursor: _pair(cursor.need(6, 4), 2, "little"),
    Format.BMP: _bmp,
    Format.WEBP: _webp,
    Format.J2K: lambda cursor: _siz(cursor.need(8, 16)),
    Format.JP2: _jp2,
}
