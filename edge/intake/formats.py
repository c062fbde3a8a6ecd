"""Names a file's format by its content, and tells a file that is still being written from a finished one.

Only the file's own structure decides: no name, no extension, no decoding. IncompleteFile means "the format itself says
that more must follow"; a format that makes no such statement, or a damaged structure, is taken as it is. Trailing
bytes after the end are allowed, so a cut inside such a trailer is not noticed. Nor is a cut exactly between two parts
where the format does not count them: between the pictures of a JPEG, behind DICOM pixel data, between two boxes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import BinaryIO, Literal

from edge.errors import EmptyFile, IncompleteFile
from edge.intake import dicomwalk
from edge.intake.segments import (
    ABSURD,
    EOI,
    SOS,
    Cursor,
    Part,
    TiffEntry,
    TiffWalk,
    boxes,
    jpeg_segments,
    png_chunks,
    riff_chunks,
)

HEAD_BYTES = 4096  # what `identify` wants to see
_SCAN = 1 << 20  # bytes of JPEG entropy data searched at once
_MAX_MARKERS = 200_000  # JPEG markers after the first SOS; hostile data is nothing else
_MAX_PICTURES = 16  # pictures in one JPEG file that are looked at
_MAX_BLOCKS = 2_000_000  # GIF sub-blocks: 500 MB
_MAX_STRIPS = 2_000_000  # TIFF strips and tiles, all directories together
_UNSTATED = 0xFFFFFFFF  # the byte count that some writers leave in a single strip
_TAIL = 4096  # bytes looked at for an end marker


class Format(StrEnum):
    """A still-image format known by its content. Not all can be decoded here; all can be carried as bytes."""

    JPEG = "jpeg"
    PNG = "png"
    TIFF = "tiff"
    WEBP = "webp"
    GIF = "gif"
    BMP = "bmp"
    DICOM = "dicom"
    JP2 = "jp2"
    J2K = "j2k"
    JPEG_LS = "jpeg-ls"
    JPEG_XL = "jpeg-xl"
    JPEG_XR = "jpeg-xr"
    HEIF = "heif"
    AVIF = "avif"
    PNM = "pnm"
    NIFTI = "nifti"
    NRRD = "nrrd"
    FITS = "fits"
    EXR = "openexr"
    PSD = "psd"

    @property
    def media_type(self) -> str:
        """The media type that travels inside the envelope."""
        return _MEDIA_TYPES.get(self, f"image/{self.value}")


_MEDIA_TYPES = {
    Format.DICOM: "application/dicom",
    Format.J2K: "image/j2c",
    Format.JPEG_LS: "image/jls",
    Format.JPEG_XL: "image/jxl",
    Format.JPEG_XR: "image/jxr",
    Format.PNM: "image/x-portable-anymap",
    Format.NIFTI: "application/x-nifti",
    Format.NRRD: "application/x-nrrd",
    Format.EXR: "image/x-exr",
    Format.PSD: "image/vnd.adobe.photoshop",
}

UNKNOWN_MEDIA_TYPE = "application/octet-stream"

_MAGICS: tuple[tuple[bytes, Format], ...] = (
    (b"\xff\xd8\xff\xf7", Format.JPEG_LS),
    (b"\xff\xd8\xff", Format.JPEG),
    (b"\x89PNG\r\n\x1a\n", Format.PNG),
    (b"II*\x00", Format.TIFF),
    (b"MM\x00*", Format.TIFF),
    (b"II+\x00\x08\x00\x00\x00", Format.TIFF),
    (b"MM\x00+\x00\x08\x00\x00", Format.TIFF),
    (b"II\xbc\x01", Format.JPEG_XR),
    (b"GIF87a", Format.GIF),
    (b"GIF89a", Format.GIF),
    (b"\x00\x00\x00\x0cjP  \r\n\x87\n", Format.JP2),
    (b"\xff\x4f\xff\x51", Format.J2K),
    (b"\x00\x00\x00\x0cJXL \r\n\x87\n", Format.JPEG_XL),
    (b"\xff\x0a", Format.JPEG_XL),
    (b"NRRD000", Format.NRRD),
    (b"SIMPLE  =", Format.FITS),
    (b"\x76\x2f\x31\x01", Format.EXR),
    (b"8BPS\x00\x01", Format.PSD),
    (b"8BPS\x00\x02", Format.PSD),
)
_BRANDS = dict.fromkeys((b"heic", b"heix", b"hevc", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"), Format.HEIF)
_BRANDS |= {b"avif": Format.AVIF, b"avis": Format.AVIF}
_PNM = re.compile(rb"P[1-6](?:\s|#)|P7\nWIDTH|P[Ff]\n")
_BMP_HEADERS = frozenset([12, 16, 40, 52, 56, 64, 108, 124])


def identify(head: bytes) -> Format | None:
    """Name the format of a file from its first HEAD_BYTES bytes; None where the content is no known still image.

    DICOM is claimed only with its preamble (``DICM`` at 128), whatever that preamble holds.
    """
    if head[128:132] == b"DICM":
        return Format.DICOM
    for magic, found in _MAGICS:
        if head.startswith(magic):
            return found
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12])
    return next((found for found, test in _TESTS if test(head)), None)


def _is_bmp(head: bytes) -> bool:
    return head[:2] == b"BM" and len(head) >= 18 and int.from_bytes(head[14:18], "little") in _BMP_HEADERS


def _is_nifti(head: bytes) -> bool:
    return head[344:348] in (b"n+1\0", b"ni1\0") or head[4:12] in (b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")


_TESTS: tuple[tuple[Format, Callable[[bytes], object]], ...] = (
    (Format.WEBP, lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP"),
    (Format.BMP, _is_bmp),
    (Format.NIFTI, _is_nifti),
    (Format.PNM, _PNM.match),
)


def refuse_unfinished(file: BinaryIO, size: int) -> None:
    """Refuse a file of no known format that cannot be a finished one: a cut magic number, or reserved room of zeros.

    Raises:
        EmptyFile: The file holds no byte.
        IncompleteFile: The file is a beginning of a magic number, or only zeros at its head, middle and end.
    """
    if size == 0:
        raise EmptyFile("the file is empty")
    cursor = Cursor(file, size)
    head = cursor.at(0, 16)
    if size < 16 and any(magic.startswith(head) for magic, _ in _MAGICS):
        raise IncompleteFile("the file ends inside its first bytes")
    if not any(b.strip(b"\0") for b in (cursor.at(p, _TAIL) for p in (0, size // 2, max(0, size - _TAIL)))):
        raise IncompleteFile("the file holds only zeros")


def check_complete(file: BinaryIO, size: int, format: Format) -> None:  # noqa: A002 - the word of the interface
    """Check that a file reaches the end that its own structure names. Decodes nothing; memory and steps are bounded.

    Args:
        file: The file, seekable; its position is moved.
        size: Its length in bytes.
        format: What `identify` said.

    Raises:
        EmptyFile: The file holds no byte.
        IncompleteFile: The file ends before its structure does.
    """
    if size == 0:
        raise EmptyFile("the file is empty")
    if check := _CHECKS.get(format):
        check(Cursor(file, size))


# --- JPEG -----------------------------------------------------------------------------------------------------------

# Inside entropy-coded data 0xFF is followed by a stuffed zero, a restart marker or a fill byte; all else is a marker.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _check_jpeg(cursor: Cursor) -> None:
    further = _check_picture(cursor, 0)
    for start in sorted(further)[:_MAX_PICTURES]:
        _check_picture(cursor, start)


def _check_picture(cursor: Cursor, start: int) -> set[int]:
    """Check one picture of a JPEG file, and return where its index says that further ones begin."""
    last, further = None, set()
    for segment in jpeg_segments(cursor, start):
        last = segment
        if segment.name == b"\xe2" and cursor.at(segment.offset, 4) == b"MPF\0":
            further |= _further_pictures(cursor, segment.offset + 4)
    if last is not None and last.name == SOS:
        # No entropy-coded byte pair reads as EOI, so an EOI as the last bytes is an image's: no need to read them all.
        tail = cursor.at(max(last.offset, cursor.size - _TAIL), _TAIL).rstrip(b"\0")
        if not tail.endswith(b"\xff" + EOI):
            _find_end_of_image(cursor, last.offset + last.length)
    return further


def _find_end_of_image(cursor: Cursor, offset: int) -> None:
    start, piece, position, markers = offset, b"", 0, 0
    while markers < _MAX_MARKERS:
        found = _MARKER.search(piece, position)
        if found is None:
            # The last byte may be the first half of a marker.
            start, position = start + max(position, len(piece) - 1), 0
            piece = cursor.at(start, _SCAN)
            if len(piece) < 2:
                raise IncompleteFile("the JPEG has no end marker")
            continue
        markers += 1
        position = found.end()
        if found.group()[1:] == EOI:
            return
        if found.group()[1] >= 0xC0 and found.group()[1] != 0xD8:
            # Between the scans of a progressive JPEG stand tables: their bytes are no entropy data.
            length = int.from_bytes(cursor.need(start + position, 2), "big")
            cursor.holds(start + position + length)
            position += max(length, 2)


def _further_pictures(cursor: Cursor, base: int) -> set[int]:
    """Return where a CIPA DC-007 index places pictures; places that hold none are an editor's leftovers.

    The lengths in the index are not used: a common writer states wrong ones.
    """
    order: Literal["little", "big"] = "little" if cursor.at(base, 2) == b"II" else "big"

    def number(at: int, count: int) -> int:
        return int.from_bytes(cursor.at(at, count), order)

    found = set()
    directory = base + number(base + 4, 4)
    for index in range(min(number(directory, 2), 16)):
        entry = directory + 2 + 12 * index
        if number(entry, 2) != 0xB002:
            continue
        table = base + number(entry + 8, 4)
        for picture in range(min(number(entry + 4, 4) // 16, _MAX_PICTURES)):
            offset = number(table + 16 * picture + 8, 4)
            if offset and cursor.at(base + offset, 2) == b"\xff\xd8":
                found.add(base + offset)
    return found


# --- TIFF -----------------------------------------------------------------------------------------------------------

# (offsets, byte counts) of strips, of tiles, and of an old-style JPEG stream.
_PLACES = ((273, 279), (324, 325), (513, 514))


def _check_tiff(cursor: Cursor) -> None:
    walk = TiffWalk(cursor)
    left = _MAX_STRIPS
    for directory in walk:
        for entry in directory.values():
            if entry.length <= ABSURD * cursor.size:
                cursor.holds(entry.at + entry.length)
        for offsets, counts in _PLACES:
            if offsets in directory and counts in directory:
                left -= _check_strips(cursor, walk, directory[offsets], directory[counts], left)


def _check_strips(cursor: Cursor, walk: TiffWalk, offsets: TiffEntry, counts: TiffEntry, limit: int) -> int:
    # Each list is read through a window of its own: one shared window would jump to and fro.
    other = TiffWalk(cursor.twin())
    seen = 0
    for offset, count in zip(walk.values(offsets, limit=limit), other.values(counts, limit=limit), strict=False):
        seen += 1
        if count != _UNSTATED:
            cursor.holds(offset + count)
    return seen


# --- GIF and BMP ----------------------------------------------------------------------------------------------------


def _check_gif(cursor: Cursor) -> None:
    flags = cursor.need(10, 3)[0]
    offset = 13 + _gif_table(flags)
    blocks = 0
    while blocks < _MAX_BLOCKS:
        blocks += 1
        match cursor.need(offset, 1):
            case b";":
                return
            case b",":
                offset += 11 + _gif_table(cursor.need(offset + 9, 1)[0])
            case b"!":
                offset += 2
            case b"\0":
                raise IncompleteFile("the GIF holds zeros where a block must stand")
            case _:
                return
        while (step := cursor.need(offset, 1)[0]) and blocks < _MAX_BLOCKS:
            offset += 1 + step
            blocks += 1
        offset += 1


def _gif_table(flags: int) -> int:
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _check_bmp(cursor: Cursor) -> None:
    head = cursor.need(0, 26)
    start, header = int.from_bytes(head[10:14], "little"), int.from_bytes(head[14:18], "little")
    if header == 12:
        width, height = int.from_bytes(head[18:20], "little"), int.from_bytes(head[20:22], "little")
        depth, compression, stated = int.from_bytes(head[24:26], "little"), 0, 0
    else:
        head = cursor.need(0, 38)
        width = abs(int.from_bytes(head[18:22], "little", signed=True))
        height = abs(int.from_bytes(head[22:26], "little", signed=True))
        depth, compression = int.from_bytes(head[28:30], "little"), int.from_bytes(head[30:34], "little")
        stated = int.from_bytes(head[34:38], "little")
    pixels = (width * depth + 31) // 32 * 4 * height if compression in (0, 3, 6) else stated
    if pixels <= 4096 * cursor.size:
        cursor.holds(start + pixels)


# --- formats whose parts state their lengths -----------------------------------------------------------------------


def _check_parts(walk: Callable[[Cursor], Iterator[Part]]) -> Callable[[Cursor], None]:
    def check(cursor: Cursor) -> None:
        for _ in walk(cursor):
            pass

    return check


def _check_jpeg_xl(cursor: Cursor) -> None:
    if cursor.at(0, 2) != b"\xff\x0a":  # a bare code stream states no length
        _check_parts(boxes)(cursor)


_CHECKS: dict[Format, Callable[[Cursor], None]] = {
    Format.JPEG: _check_jpeg,
    Format.JPEG_LS: _check_jpeg,
    Format.PNG: _check_parts(png_chunks),
    Format.TIFF: _check_tiff,
    Format.WEBP: _check_parts(riff_chunks),
    Format.GIF: _check_gif,
    Format.BMP: _check_bmp,
    Format.DICOM: dicomwalk.check,
    Format.JP2: _check_parts(boxes),
    Format.HEIF: _check_parts(boxes),
    Format.AVIF: _check_parts(boxes),
    Format.JPEG_XL: _check_jpeg_xl,
}
