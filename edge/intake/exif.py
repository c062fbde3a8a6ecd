"""Finds the EXIF blocks of an image file by its structure and reads the few tags that matter from them.

A block is never longer than 64 KiB, and no pixel is decoded to reach one (Pillow's own way on a PNG decodes them all).
piexif reads a block first; it fails on real files in many ways, so Pillow's reader stands behind it. It also makes room
for as many values as a directory claims: a block that claims more than one can hold is not shown to it. Both run only
inside the memory-limited worker.
"""

from __future__ import annotations

import struct
import warnings
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from edge.errors import IncompleteFile
from edge.intake.formats import Format
from edge.intake.segments import Cursor, Part, TiffWalk, jpeg_segments, png_chunks, riff_chunks

MAX_BLOCK = 64 * 1024  # bytes of one EXIF block; a JPEG segment holds no more
MAX_BLOCKS = 4  # blocks looked at in one file
_MAX_TEXT = 3 * MAX_BLOCK  # a block as hexadecimal text with line ends
_PREFIX = b"Exif\0\0"

_MAKE, _MODEL, _WIDTH, _HEIGHT, _DATETIME = 271, 272, 256, 257, 306
_ORIGINAL, _DIGITIZED = 36867, 36868
_OFFSET, _OFFSET_ORIGINAL, _OFFSET_DIGITIZED = 36880, 36881, 36882
_SUBSEC, _SUBSEC_ORIGINAL, _SUBSEC_DIGITIZED = 37520, 37521, 37522
_EXIF_DIRECTORY = 34665
_POINTERS = frozenset((_EXIF_DIRECTORY, 34853, 40965))  # to the directories of EXIF, GPS and interoperability
_DIRECTORIES = 8  # directories in one block; real ones have five at most
# Bytes of one value of each kind that piexif unpacks one by one; text and undefined bytes are slices of the block.
_UNPACKED = {1: 1, 3: 2, 4: 4, 5: 8, 6: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}


@dataclass(frozen=True, slots=True)
class Stamp:
    """One EXIF time as it stands in the file: its text, its fraction of a second, its offset from UTC."""

    text: str = ""
    fraction: str = ""
    offset: str = ""


@dataclass(frozen=True, slots=True)
class Tags:
    """What a block says of its image. Nothing here is checked yet."""

    original: Stamp = Stamp()
    digitized: Stamp = Stamp()
    datetime: Stamp = Stamp()
    make: str = ""
    model: str = ""
    width: int = 0
    height: int = 0


def blocks(cursor: Cursor, format: Format) -> Iterator[bytes]:  # noqa: A002 - the word of the interface
    """Yield up to MAX_BLOCKS EXIF blocks of a JPEG, PNG or WebP file; a sound one starts with a TIFF header.

    Raises:
        IncompleteFile: The file ends inside a part that had to be walked.
    """
    found = 0
    for part in _candidates(cursor, format):
        block = part.removeprefix(_PREFIX)
        if block:
            yield block
            found += 1
            if found == MAX_BLOCKS:
                return


def _candidates(cursor: Cursor, format: Format) -> Iterator[bytes]:  # noqa: A002
    if format in (Format.JPEG, Format.JPEG_LS):
        for part in jpeg_segments(cursor):
            if part.name == b"\xe1" and cursor.at(part.offset, 6) == _PREFIX:
                yield cursor.at(part.offset, part.length)
    elif format is Format.PNG:
        for part in png_chunks(cursor):
            if part.name in (b"tEXt", b"zTXt", b"iTXt"):
                yield _raw_profile(cursor, part)
            elif part.name == b"eXIf":
                yield cursor.at(part.offset, min(part.length, MAX_BLOCK))
    elif format is Format.WEBP:
        chunks = (part for part in riff_chunks(cursor) if part.name == b"EXIF")
        yield from (cursor.at(part.offset, min(part.length, MAX_BLOCK)) for part in chunks)


def _raw_profile(cursor: Cursor, part: Part) -> bytes:
    """Return the block that ImageMagick writes as hexadecimal text, or nothing."""
    payload = cursor.at(part.offset, min(part.length, _MAX_TEXT))
    keyword, _, rest = payload.partition(b"\0")
    if keyword not in (b"Raw profile type exif", b"Raw profile type APP1"):
        return b""
    compressed = part.name == b"zTXt"
    if part.name == b"zTXt":
        rest = rest[1:]
    elif part.name == b"iTXt":
        compressed = rest[:1] == b"\1"
        rest = rest[2:].partition(b"\0")[2].partition(b"\0")[2]
    if compressed:
        try:
            rest = zlib.decompressobj().decompress(rest, _MAX_TEXT)
        except zlib.error:
            return b""
    # A line with the profile's name, a line with its length, then the digits.
    lines = rest.strip().split(b"\n", 2)
    if len(lines) < 3:
        return b""
    try:
        return bytes.fromhex(lines[2].decode("ascii"))[: MAX_BLOCK + len(_PREFIX)]
    except ValueError:
        return b""


def read_block(block: bytes) -> Tags | None:
    """Read a block's tags with piexif, then with Pillow where piexif fails or sees no capture time; None if neither can."""
    if block[:4] not in (b"II*\0", b"MM\0*"):
        return None  # piexif would take it for the name of a file to open
    tags = _by_piexif(block)
    if tags is None or not (tags.original.text or tags.digitized.text):
        return _by_pillow(block) or tags
    return tags


def _believable(block: bytes) -> bool:
    """Return whether the directories that piexif reads claim no more single values than a block can hold.

    Raises:
        struct.error: A directory goes on behind the end of the block.
    """
    order = "<" if block[:2] == b"II" else ">"
    waiting, seen, claimed = list(struct.unpack_from(order + "I", block, 4)), set[int](), 0
    while waiting and len(seen) < _DIRECTORIES:
        place = waiting.pop()
        if place in seen:
            continue
        (count,) = struct.unpack_from(order + "H", block, place)
        end = place + 2 + 12 * count
        for tag, kind, number, value in struct.iter_unpack(order + "HHII", block[place + 2 : end]):
            claimed += number * _UNPACKED.get(kind, 0)
            if tag in _POINTERS:
                if (kind, number) != (4, 1):
                    return False
                waiting.append(value)
        if not seen and any(block[end : end + 4]):  # the first directory names that of the thumbnail
            waiting += struct.unpack_from(order + "I", block, end)
        seen.add(place)
    return not waiting and claimed <= MAX_BLOCK


def _by_piexif(block: bytes) -> Tags | None:
    import piexif  # noqa: PLC0415 - loaded in the worker, and only where a block is to be read

    try:
        if not _believable(block):
            return None
        found = piexif.load(_PREFIX + block)
    except Exception:  # noqa: BLE001 - struct.error, ValueError, TypeError, MemoryError and more, on real files
        return None
    return _tags(found["0th"], found["Exif"])


def _by_pillow(block: bytes) -> Tags | None:
    from PIL import Image  # noqa: PLC0415

    exif = Image.Exif()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # its warnings quote values
            exif.load(block)
            found = _tags(exif, exif.get_ifd(_EXIF_DIRECTORY))
    except Exception:  # noqa: BLE001 - hostile directories fail in many ways
        return None
    return found if len(exif) else None


def read_tiff(file: BinaryIO, cursor: Cursor) -> Tags | None:
    """Read the tags of a TIFF file's first directory with Pillow; None where it cannot.

    Raises:
        IncompleteFile: The file ends inside its header.
    """
    from PIL import Image  # noqa: PLC0415

    walk = TiffWalk(cursor)
    exif = Image.Exif()
    exif.endian, exif.bigtiff = walk.order, walk.big
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exif.load_from_fp(file, walk.first)
            found = _tags(exif, exif.get_ifd(_EXIF_DIRECTORY))
    except IncompleteFile:
        raise
    except Exception:  # noqa: BLE001 - hostile directories fail in many ways
        return None
    return found if len(exif) else None


def _tags(main: Mapping[int, Any], sub: Mapping[int, Any]) -> Tags:
    # Some cameras put the capture time into the main directory.
    def text(tag: int) -> str:
        return _text(sub.get(tag)) or _text(main.get(tag))

    return Tags(
        original=Stamp(text(_ORIGINAL), text(_SUBSEC_ORIGINAL), text(_OFFSET_ORIGINAL)),
        digitized=Stamp(text(_DIGITIZED), text(_SUBSEC_DIGITIZED), text(_OFFSET_DIGITIZED)),
        datetime=Stamp(text(_DATETIME), text(_SUBSEC), text(_OFFSET)),
        make=_text(main.get(_MAKE)),
        model=_text(main.get(_MODEL)),
        width=_count(main.get(_WIDTH)),
        height=_count(main.get(_HEIGHT)),
    )


def _text(value: object) -> str:
    """Return at most 64 characters, cut at the first NUL and trimmed: one real value ran on into kilobytes of binary."""
    if isinstance(value, bytes):
        value = value[:64].decode("latin-1")
    return value[:64].partition("\0")[0].strip() if isinstance(value, str) else ""


def _count(value: object) -> int:
    return value if isinstance(value, int) and 0 < value < 1 << 31 else 0
