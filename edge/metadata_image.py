"""Draw a metadata record as the image that a parameter network reads, exactly the same on every platform.

The rule kept here: integers only, no clock, no disk, and two records that differ in anything give different images.

The `field` encoding is a printed form of 64 fields, one digit each, on a grid of 8 x 8 tiles in reading order: the first
line is the date, the second the time. A tile is 28 x 28 pixels, cut into 4 x 4 cells that stand for the digits 0 to 15:

- red inks the digit's own cell (one-hot),
- green inks that cell and all before it (a thermometer),
- blue inks the columns of cells that are the digit's bits, most significant first (binary).

A tile's paper has a tint that no other tile has, so each pixel tells which field it belongs to. That makes the form
readable for a network that ends in global average pooling, which forgets where a pixel lay. Everything that tells a digit
lies within 28 pixels, and is still there at a quarter of the side, which is how training sees most of its images.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelFailed
from edge.records import SIDE, MetadataImage, MetadataRecord

ENCODING: Final = "field-2"
"""The name of this drawing. A network is trained for one drawing, so a change of it needs a new name and new networks."""

MOMENT_FIELDS: Final = 20
"""Year 4, month 2, day 2, hour 2, minute 2, second 2, microsecond 6 decimal digits."""
ZONE_FIELDS: Final = 5
"""One mark (0 naive, 1 east or zero, 2 west of UTC), then hours 2 and minutes 2 of the offset."""
WIDTH_FIELDS: Final = 7
HEIGHT_FIELDS: Final = 7
SIZE_FIELDS: Final = 13
"""Decimal digits of the sizes: 9,999,999 pixels a side and 9,999,999,999,999 bytes, both beyond what intake carries."""
DIGEST_FIELDS: Final = 12
"""Hexadecimal digits of a digest of what has no fields of its own: the camera, and an offset finer than a minute."""

ZONE_AT: Final = MOMENT_FIELDS
WIDTH_AT: Final = ZONE_AT + ZONE_FIELDS
HEIGHT_AT: Final = WIDTH_AT + WIDTH_FIELDS
SIZE_AT: Final = HEIGHT_AT + HEIGHT_FIELDS
DIGEST_AT: Final = SIZE_AT + SIZE_FIELDS
FIELDS: Final = DIGEST_AT + DIGEST_FIELDS

DIGITS: Final = 16
"""Symbols that a tile can show."""

_TILES_A_SIDE = 8
_TILE = SIDE // _TILES_A_SIDE
_CELLS_A_SIDE = 4
_TINT_LEVELS = 4
# Unlit paper is 0, 32, 64 or 96 and ink adds 159: lit never meets unlit, and both ends of the byte are used, so
# that quantisation maps a pixel to the network's input byte without any scaling.
_TINT_STEP = 32
_INK = 255 - _TINT_STEP * (_TINT_LEVELS - 1)


def _tiles() -> NDArray[np.uint8]:
    """Return how each digit looks in each field: uint8 (64 fields, 16 digits, 28, 28, 3 channels)."""
    row, column = np.indices((_TILE, _TILE)) // (_TILE // _CELLS_A_SIDE)
    cell = row * _CELLS_A_SIDE + column
    digit = np.arange(DIGITS)[:, None, None]
    bit = _CELLS_A_SIDE - 1 - column
    ink = np.stack([cell == digit, cell <= digit, (digit >> bit) & 1 == 1], axis=-1) * _INK
    field = np.arange(FIELDS)
    levels = [field // _TINT_LEVELS**2, field // _TINT_LEVELS % _TINT_LEVELS, field % _TINT_LEVELS]
    tint = np.stack(levels, axis=-1) * _TINT_STEP
    tiles: NDArray[np.uint8] = (tint[:, None, None, None, :] + ink).astype(np.uint8)
    return tiles


_TILE_IMAGES: Final = _tiles()


def metadata_fields(record: MetadataRecord) -> NDArray[np.uint8]:
    """Write a record as its digits, most significant first in each group.

    Args:
        record: The canonical metadata. A moment without an offset is naive and marked as such.

    Returns:
        uint8 (64,): the moment, the zone, the width, the height, the size (decimal digits), then the digest
        (hexadecimal digits). Records that differ give different digits, a collision of 48-bit digests apart.

    Raises:
        ModelFailed: A size is negative or has more digits than its field.
    """
    moment = record.moment
    zone, rest = _zone(moment.utcoffset())
    text = (
        f"{moment.year:04}{moment.month:02}{moment.day:02}{moment.hour:02}{moment.minute:02}{moment.second:02}"
        f"{moment.microsecond:06}"
        f"{zone}"
        f"{_decimal(record.width, WIDTH_FIELDS)}"
        f"{_decimal(record.height, HEIGHT_FIELDS)}"
        f"{_decimal(record.size, SIZE_FIELDS)}"
        f"{_digest(record.camera, rest)}"
    )
    return np.array([int(digit, DIGITS) for digit in text], dtype=np.uint8)


def metadata_image(record: MetadataRecord) -> MetadataImage:
    """Draw a record as its metadata image.

    Args:
        record: The canonical metadata.

    Returns:
        The image, uint8 (224, 224, 3), read-only. Records that differ give different images.

    Raises:
        ModelFailed: A size is negative or has more digits than its field.
    """
    pixels = draw(metadata_fields(record)[None])[0]
    pixels.flags.writeable = False
    return MetadataImage(pixels=pixels)


def draw(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the digits of records.

    Args:
        fields: Digits below 16, uint8 (n, 64).

    Returns:
        New images, uint8 (n, 224, 224, 3).
    """
    tiles = _TILE_IMAGES[np.arange(FIELDS), fields]
    grid = tiles.reshape(-1, _TILES_A_SIDE, _TILES_A_SIDE, _TILE, _TILE, 3)
    images: NDArray[np.uint8] = grid.transpose(0, 1, 3, 2, 4, 5).reshape(-1, SIDE, SIDE, 3)
    return images


def _zone(offset: timedelta | None) -> tuple[str, timedelta]:
    """Return the five digits of a UTC offset, all zero for a naive moment, and what is finer than a minute of it."""
    if offset is None:
        return "0" * ZONE_FIELDS, timedelta(0)
    minutes, rest = divmod(abs(offset), timedelta(minutes=1))
    mark = "2" if offset < timedelta(0) else "1"
    return f"{mark}{minutes // 60:02}{minutes % 60:02}", rest


def _decimal(value: int, digits: int) -> str:
    """Return a size with leading zeros; refuse one that does not fit, because cutting it would make two records one."""
    if not 0 <= value < 10**digits:
        raise ModelFailed("a size of the record does not fit its field of the metadata image")
    return f"{value:0{digits}}"


def _digest(camera: str, rest: timedelta) -> str:
    """Return the hexadecimal digest of make and model, any text in any script, and of the rest of the zone."""
    # A name read from a damaged header may hold lone surrogates; they are text that differs, not an error.
    # The rest has a fixed length behind the name, so no two pairs are written alike.
    written = camera.encode("utf-8", "surrogatepass") + f"{rest.seconds:02}{rest.microseconds:06}".encode()
    return hashlib.shake_256(written).hexdigest(DIGEST_FIELDS // 2)
