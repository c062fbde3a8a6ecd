"""Walks a DICOM file's data elements by their lengths alone, to find its end and where its pixel data lie.

Nothing is decoded and no value larger than 64 bytes is read, so memory stays bounded whatever the file claims.
Source: DICOM PS3.5 (2024), sections 7 and A.
"""

from __future__ import annotations

import math
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from edge.errors import IncompleteFile
from edge.intake.segments import Cursor

DEFLATED = "1.2.840.10008.1.2.1.99"
_IMPLICIT = "1.2.840.10008.1.2"
_BIG_ENDIAN = "1.2.840.10008.1.2.2"

MAX_INFLATED = 64 << 20  # bytes that a deflated data set may grow to here; beyond, nothing is claimed about its end
_PIECE = 64 * 1024
_MAX_STEPS = 2_000_000  # elements and items; 5 s on a small board end the walk before that
_MAX_DEPTH = 64
_UNDEFINED = 0xFFFFFFFF

_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_FLOAT, _DOUBLE, _PIXELS = 0x7FE00008, 0x7FE00009, 0x7FE00010
_MEDIA_CLASS, _SYNTAX, _CLASS = 0x00020002, 0x00020010, 0x00080016
_SAMPLES, _PHOTOMETRIC, _FRAMES = 0x00280002, 0x00280004, 0x00280008
_ROWS, _COLUMNS, _ALLOCATED, _PROVIDER = 0x00280010, 0x00280011, 0x00280100, 0x00287FE0
_KEPT = frozenset(
    (_MEDIA_CLASS, _SYNTAX, _CLASS, _SAMPLES, _PHOTOMETRIC, _FRAMES, _ROWS, _COLUMNS, _ALLOCATED, _PROVIDER)
)

_LONG_FORM = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_VR = re.compile(rb"[A-Z]{2}")

# The storage classes whose objects must hold pixel data (PS3.4 annex B). MR Spectroscopy (4.2) holds none.
_IMAGE_CLASS = re.compile(
    r"1\.2\.840\.10008\.5\.1\.4\.1\.1\.(?!4\.2$)(?:(?:[1-7]|1[234]|20|77|128|130)(?:\.|$)|30$|66\.4$|481\.1$)"
)


@dataclass(frozen=True, slots=True)
class Element:
    """One data element: `start` is its tag's place, `offset` its value's; `length` is None where undefined."""

    tag: int
    vr: bytes
    start: int
    offset: int
    length: int | None


@dataclass(slots=True)
class Layout:
    """What a walk found: the transfer syntax, where the data set starts, small values by tag, and the pixel data."""

    syntax: str = ""
    dataset: int = 0
    values: dict[int, bytes] = field(default_factory=dict)
    elements: int = 0
    pixels: Element | None = None
    pixels_end: int = 0

    def number(self, tag: int) -> int:
        """Return a US value, or an IS value for NumberOfFrames; 0 where absent or unreadable."""
        value = self.values.get(tag, b"")
        if tag == _FRAMES:
            text = value.strip(b" \0")
            return int(text) if text.isdigit() and len(text) < 10 else 0
        return int.from_bytes(value[:2], "big" if self.syntax == _BIG_ENDIAN else "little")

    @property
    def extent(self) -> tuple[int, int, int, int]:
        """The (rows, columns, frames, samples a pixel) that the header states."""
        return self.number(_ROWS), self.number(_COLUMNS), max(1, self.number(_FRAMES)), max(1, self.number(_SAMPLES))

    @property
    def owes_pixels(self) -> bool:
        """Whether the object's storage class says that it holds pixel data."""
        uid = self.values.get(_CLASS) or self.values.get(_MEDIA_CLASS) or b""
        return _PROVIDER not in self.values and bool(_IMAGE_CLASS.match(text(uid)))


def text(value: bytes) -> str:
    """Return a value as text, without its padding; what is not ASCII is left out."""
    return value.strip(b" \0").decode("ascii", "ignore")


class _Damaged(Exception):
    """The structure makes no sense here: nothing can be said about the end."""


def check(cursor: Cursor) -> None:
    """Check that the data set reaches its end and that native pixel data have the length that the header states.

    Raises:
        IncompleteFile: The file ends inside an element, or without the pixel data that it owes.
    """
    layout = walk(cursor)
    if layout is None:
        return
    if layout.syntax == DEFLATED:
        _check_deflated(cursor, layout.dataset)
        return
    if layout.elements == 0:
        raise IncompleteFile("the DICOM file holds no data set")
    if layout.pixels is None:
        if layout.owes_pixels:
            raise IncompleteFile("the DICOM file ends before its pixel data")
    elif layout.pixels.length is not None and layout.pixels.length < _native_length(layout):
        raise IncompleteFile("the DICOM pixel data are shorter than the header says")


def walk(cursor: Cursor) -> Layout | None:
    """Walk all top-level elements; None where the structure is damaged. A deflated data set is not entered.

    Raises:
        IncompleteFile: The file ends inside an element.
    """
    layout = Layout()
    try:
        _walk_meta(cursor, layout)
        if layout.syntax != DEFLATED:
            _walk_dataset(cursor, layout)
    except _Damaged:
        return None
    return layout


def meta(cursor: Cursor) -> Layout:
    """Walk the file meta information only: its transfer syntax, and where the data set starts.

    Raises:
        IncompleteFile: The file ends inside it.
    """
    layout = Layout()
    try:
        _walk_meta(cursor, layout)
    except _Damaged:
        layout.syntax = ""
    return layout


def inflate(cursor: Cursor, offset: int, limit: int) -> Iterator[bytes]:
    """Yield a deflated data set in pieces of at most 64 KiB, up to `limit` bytes in all.

    Raises:
        IncompleteFile: The file ends before the deflated stream does.
    """
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    produced, waiting = 0, b""
    while not stream.eof and produced < limit:
        if not waiting:
            waiting = cursor.at(offset, _PIECE)
            offset += len(waiting)
            if not waiting:
                raise IncompleteFile("the deflated DICOM data set has no end")
        try:
            piece = stream.decompress(waiting, min(_PIECE, limit - produced))
        except zlib.error:
            return
        waiting = stream.unconsumed_tail
        produced += len(piece)
        yield piece


def _check_deflated(cursor: Cursor, offset: int) -> None:
    # The standard pads the stream to even length, so a cut of that one pad byte cannot be noticed.
    for _ in inflate(cursor, offset, MAX_INFLATED):
        pass


def _native_length(layout: Layout) -> int:
    bits = math.prod(layout.extent) * layout.number(_ALLOCATED)
    if text(layout.values.get(_PHOTOMETRIC, b"")) in ("YBR_FULL_422", "YBR_PARTIAL_422"):
        bits = bits * 2 // 3
    return (bits + 7) // 8


def _read(cursor: Cursor, start: int, *, explicit: bool, little: bool) -> Element:
    order = "little" if little else "big"
    head = cursor.need(start, 8)
    tag = int.from_bytes(head[0:2], order) << 16 | int.from_bytes(head[2:4], order)  # type: ignore[arg-type]
    vr, offset = head[4:6], start + 8
    if tag >> 16 == 0xFFFE or not explicit or not _VR.fullmatch(vr):
        # Items have no VR, and some writers fall back to implicit form inside explicit files.
        vr, length = b"", int.from_bytes(head[4:8], order)  # type: ignore[arg-type]
    elif vr in _LONG_FORM:
        length, offset = int.from_bytes(cursor.need(start + 8, 4), order), start + 12  # type: ignore[arg-type]
    else:
        length = int.from_bytes(head[6:8], order)  # type: ignore[arg-type]
    return Element(tag, vr, start, offset, None if length == _UNDEFINED else length)


def _walk_meta(cursor: Cursor, layout: Layout) -> None:
    offset = 132
    for _ in range(1000):
        if offset == cursor.size or cursor.need(offset, 2) != b"\x02\x00":
            layout.dataset = offset
            layout.syntax = text(layout.values.get(_SYNTAX, b""))
            return
        element = _read(cursor, offset, explicit=True, little=True)
        if element.length is None:
            raise _Damaged
        _keep(cursor, element, layout)
        offset = element.offset + element.length
    raise _Damaged


def _keep(cursor: Cursor, element: Element, layout: Layout) -> None:
    if element.length is not None:
        cursor.holds(element.offset + element.length)
        if element.tag in _KEPT and element.length <= 64:
            layout.values[element.tag] = cursor.need(element.offset, element.length)


def _walk_dataset(cursor: Cursor, layout: Layout) -> None:
    little = layout.syntax != _BIG_ENDIAN
    offset = layout.dataset
    # Without a transfer syntax the first element shows whether it has a VR.
    explicit = layout.syntax != _IMPLICIT if layout.syntax else bool(_VR.fullmatch(cursor.at(offset + 4, 2)))
    steps = _Steps()
    while offset < cursor.size:
        steps.count()
        rest = cursor.at(offset, 8)
        if layout.pixels and not any(rest):
            return  # zeros behind the pixel data pad the file
        if not any(rest):
            raise IncompleteFile("the DICOM file holds zeros where an element must stand")
        element = _read(cursor, offset, explicit=explicit, little=little)
        layout.elements += 1
        _keep(cursor, element, layout)
        end = _end(cursor, element, explicit=explicit, little=little, steps=steps)
        if element.tag in (_FLOAT, _DOUBLE, _PIXELS):
            layout.pixels, layout.pixels_end = element, end
        offset = end


class _Steps:
    """Counts all steps of one walk, nested ones included."""

    def __init__(self) -> None:
        self._left = _MAX_STEPS

    def count(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _Damaged


def _end(cursor: Cursor, element: Element, *, explicit: bool, little: bool, steps: _Steps) -> int:
    """Return where an element ends; one of undefined length is walked to its delimiter, without recursion."""
    if element.length is not None:
        return element.offset + element.length
    # Each level is (inside an item?, explicit form?); a UN of undefined length holds implicit little endian.
    levels = [(False, _form(element, explicit))]
    offset = element.offset
    while levels:
        steps.count()
        inner = _read(cursor, offset, explicit=levels[-1][1], little=little)
        offset = inner.offset + (inner.length or 0)
        cursor.holds(offset)
        _descend(levels, inner)
    return offset


def _descend(levels: list[tuple[bool, bool]], inner: Element) -> None:
    """Open or close a level as one element inside a value of undefined length demands."""
    inside, explicit = levels[-1]
    if inner.tag == (_ITEM_END if inside else _SEQUENCE_END):
        levels.pop()
    elif inner.tag == 0 and not inner.length:
        raise IncompleteFile("the DICOM file holds zeros where an item must stand")
    elif inner.tag >> 16 == 0xFFFE if inside else inner.tag != _ITEM:
        raise _Damaged
    elif inner.length is None:
        levels.append((not inside, _form(inner, explicit) if inside else explicit))
        if len(levels) > _MAX_DEPTH:
            raise _Damaged


def _form(element: Element, explicit: bool) -> bool:
    return explicit and element.vr != b"UN"
