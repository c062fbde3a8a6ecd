"""Draw a metadata record as the image that a parameter network reads, exactly the same on every platform.

The rule kept here: integers only, no clock, no disk, and two records that differ in anything give different images.

The `field` encoding is a printed form. Every digit of the record is a field with a band of its own: 112 pixels wide,
eight rows high for the date and time, four rows for the rest, in two columns that fill 224 x 224 exactly. In the band

- red holds the digit one-hot over 16 steps of 7 pixels,
- green holds it as a thermometer over the same steps,
- blue holds it in binary, most significant bit first, 28 pixels a bit.

The band's paper has a tint that no other field has, so each pixel tells which field it belongs to. That is what makes
the form readable for a network that ends in global average pooling, which forgets where a pixel lay.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelFailed
from edge.records import MetadataImage, MetadataRecord

ENCODING: Final = "field-1"
"""The name of this drawing. A network is trained for one drawing, so a change of it needs a new name and new networks."""

SIDE: Final = 224
"""Height and width of the metadata image in pixels: the input size both network families were published with."""

MOMENT_FIELDS: Final = 20
"""Year 4, month 2, day 2, hour 2, minute 2, second 2, microsecond 6 decimal digits."""
ZONE_FIELDS: Final = 13
"""One mark (0 naive, 1 east or zero, 2 west of UTC), then hours 2, minutes 2, seconds 2, microseconds 6 of the offset."""
WIDTH_FIELDS: Final = 7
HEIGHT_FIELDS: Final = 7
SIZE_FIELDS: Final = 13
"""Decimal digits of the sizes: 9,999,999 pixels a side and 9,999,999,999,999 bytes, both beyond what intake carries."""
CAMERA_FIELDS: Final = 32
"""Hexadecimal digits of the camera's digest: 128 bits, so that two cameras never share one by accident."""
FIELDS: Final = MOMENT_FIELDS + ZONE_FIELDS + WIDTH_FIELDS + HEIGHT_FIELDS + SIZE_FIELDS + CAMERA_FIELDS

ZONE_AT: Final = MOMENT_FIELDS
WIDTH_AT: Final = ZONE_AT + ZONE_FIELDS
HEIGHT_AT: Final = WIDTH_AT + WIDTH_FIELDS
SIZE_AT: Final = HEIGHT_AT + HEIGHT_FIELDS
CAMERA_AT: Final = SIZE_AT + SIZE_FIELDS

_STEPS = 16
_COLUMNS = 2
_BAND_WIDTH = SIDE // _COLUMNS
_MOMENT_ROWS = 8
_OTHER_ROWS = 4
_TINT_LEVELS = 5
# Unlit paper is 0, 24, 48, 72 or 96 and ink adds 159: lit never meets unlit, and both ends of the byte are used, so
# that quantisation maps a pixel to the network's input byte without any scaling.
_TINT_STEP = 24
_INK = 255 - _TINT_STEP * (_TINT_LEVELS - 1)


def _glyphs() -> NDArray[np.bool_]:
    """Return where ink lies for each digit: bool (16 digits, 112 pixels, 3 channels)."""
    digit = np.arange(_STEPS)[:, None]
    pixel = np.arange(_BAND_WIDTH)[None, :]
    step = pixel // (_BAND_WIDTH // _STEPS)
    bit = 3 - pixel // (_BAND_WIDTH // 4)
    return np.stack([step == digit, step <= digit, (digit >> bit) & 1 == 1], axis=-1)


def _tints() -> NDArray[np.uint8]:
    """Return the unlit paper of each field: uint8 (92 fields, 3 channels), no two alike."""
    field = np.arange(FIELDS)
    levels = [field // _TINT_LEVELS**2, field // _TINT_LEVELS % _TINT_LEVELS, field % _TINT_LEVELS]
    return (np.stack(levels, axis=-1) * _TINT_STEP).astype(np.uint8)


def _rows() -> NDArray[np.intp]:
    """Return which field each row of each column shows: (2 columns, 224 rows).

    Fields alternate between the columns, so both hold ten bands of eight rows and 36 bands of four.
    """
    field = np.arange(FIELDS)
    heights = np.where(field < MOMENT_FIELDS, _MOMENT_ROWS, _OTHER_ROWS)
    return np.stack([np.repeat(field[c::_COLUMNS], heights[c::_COLUMNS]) for c in range(_COLUMNS)])


_GLYPHS: Final = _glyphs()
_TINTS: Final = _tints()
_ROWS: Final = _rows()


def metadata_fields(record: MetadataRecord) -> NDArray[np.uint8]:
    """Write a record as its digits, most significant first in each group.

    Args:
        record: The canonical metadata. A moment without an offset is naive and marked as such.

    Returns:
        uint8 (92,): the moment, the zone, the width, the height, the size (decimal digits), then the camera's digest
        (hexadecimal digits). Records that differ give different digits, a SHAKE-256 collision apart.

    Raises:
        ModelFailed: A size is negative or has more digits than its field.
    """
    moment = record.moment
    text = (
        f"{moment.year:04}{moment.month:02}{moment.day:02}{moment.hour:02}{moment.minute:02}{moment.second:02}"
        f"{moment.microsecond:06}"
        f"{_zone(moment.utcoffset())}"
        f"{_decimal(record.width, WIDTH_FIELDS)}"
        f"{_decimal(record.height, HEIGHT_FIELDS)}"
        f"{_decimal(record.size, SIZE_FIELDS)}"
        f"{_camera(record.camera)}"
    )
    return np.array([int(digit, _STEPS) for digit in text], dtype=np.uint8)


def metadata_image(record: MetadataRecord) -> MetadataImage:
    """Draw a record as its metadata image.

    Args:
        record: The canonical metadata.

    Returns:
        The image, uint8 (224, 224, 3), read-only. Records that differ give different images.

    Raises:
        ModelFailed: A size is negative or has more digits than its field.
    """
    pixels = draw(metadata_fields(record))
    pixels.flags.writeable = False
    return MetadataImage(pixels=pixels)


def draw(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the digits of a record.

    Args:
        fields: Digits below 16, uint8 (92,).

    Returns:
        A new image, uint8 (224, 224, 3).
    """
    bands = _TINTS[:, None, :] + _GLYPHS[fields] * np.uint8(_INK)
    return np.concatenate([bands[rows] for rows in _ROWS], axis=1)


def _zone(offset: timedelta | None) -> str:
    """Return the 13 digits of a UTC offset; all zero for a naive moment."""
    if offset is None:
        return "0" * ZONE_FIELDS
    seconds, rest = divmod(abs(offset), timedelta(seconds=1))
    mark = "2" if offset < timedelta(0) else "1"
    return f"{mark}{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}{rest.microseconds:06}"


def _decimal(value: int, digits: int) -> str:
    """Return a size with leading zeros; refuse one that does not fit, because cutting it would make two records one."""
    if not 0 <= value < 10**digits:
        raise ModelFailed("a size of the record does not fit its field of the metadata image")
    return f"{value:0{digits}}"


def _camera(camera: str) -> str:
    """Return the hexadecimal digest of make and model: any text in any script, in a fixed number of fields."""
    # A name read from a damaged header may hold lone surrogates; they are text that differs, not an error.
    return hashlib.shake_256(camera.encode("utf-8", "surrogatepass")).hexdigest(CAMERA_FIELDS // 2)
