"""Random metadata records and what a parameter network shall answer for each.

The rule kept here: everything follows from a seed, and targets are plain functions of the digits that the metadata
image shows, so a network can learn them by reading and not only by remembering.

There are as many answers as fields. Each is a mixed-radix number of three digits, and each field leads one answer, where
a step of its digit moves the answer by a tenth (the radical inverse of van der Corput, in mixed radix). So no two
records, whatever they differ in, shall have the same answers, and neighbouring moments lie far apart.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.chaos.parameters import OUTPUTS
from edge.metadata_image import (
    DIGEST_AT,
    DIGEST_FIELDS,
    DIGITS,
    FIELDS,
    HEIGHT_AT,
    SIZE_AT,
    WIDTH_AT,
    ZONE_AT,
    draw,
)
from edge.records import SIDE

_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND, _MICROSECOND = 0, 4, 6, 8, 10, 12, 14

RADIX: Final = np.array([3 if f == ZONE_AT else DIGITS if f >= DIGEST_AT else 10 for f in range(FIELDS)])
"""How many symbols each field has: int64 (64,)."""

# The digits of answer k are those of the fields k, k + 27 and k + 54, modulo 64: 27 is odd, so every field has each of
# the three places once, and far enough from a power of two that no answer reads three digits of one group.
_STRIDE: Final = 27
# A quantised output has 256 values: a third digit is the last that can move it.
_DEPTH: Final = 3


def random_fields(generator: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Draw the digits of random records: every other one as cameras write them, every other one any digits at all.

    Real records leave most leading digits at zero. The others teach a network to read those digits too, so that a record
    unlike any camera's is told apart from its neighbours as well.

    Args:
        generator: The source of randomness; the same state gives the same records.
        count: How many records.

    Returns:
        Digits as `edge.metadata_image.metadata_fields` writes them, uint8 (count, 64).
    """
    fields = generator.integers(0, RADIX, (count, FIELDS)).astype(np.uint8)
    fields[::2] = camera_fields(generator, len(fields[::2]))
    return fields


def camera_fields(generator: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Draw the digits of random records in the spread of records that cameras write.

    Args:
        generator: The source of randomness; the same state gives the same records.
        count: How many records.

    Returns:
        Digits, uint8 (count, 64). A third of the moments have no fraction of a second and a third milliseconds only;
        half are naive; sizes have any number of digits.
    """
    fields = np.zeros((count, FIELDS), dtype=np.uint8)
    _write(fields, _YEAR, 4, generator.integers(1980, 2080, count))
    _write(fields, _MONTH, 2, generator.integers(1, 13, count))
    _write(fields, _DAY, 2, generator.integers(1, 32, count))
    _write(fields, _HOUR, 2, generator.integers(0, 24, count))
    _write(fields, _MINUTE, 2, generator.integers(0, 60, count))
    _write(fields, _SECOND, 2, generator.integers(0, 60, count))
    grain = generator.choice(np.array([1, 1_000, 1_000_000]), count)
    _write(fields, _MICROSECOND, 6, generator.integers(0, 1_000_000, count) // grain * grain)
    quarters = generator.integers(-48, 57, count) * (generator.random(count) < 0.5)
    fields[:, ZONE_AT] = np.where(quarters < 0, 2, quarters > 0)
    _write(fields, ZONE_AT + 1, 2, np.abs(quarters) // 4)
    _write(fields, ZONE_AT + 3, 2, np.abs(quarters) % 4 * 15)
    for start, stop, fewest in ((WIDTH_AT, HEIGHT_AT, 3), (HEIGHT_AT, SIZE_AT, 3), (SIZE_AT, DIGEST_AT, 4)):
        digits = generator.integers(fewest, stop - start + 1, count)
        _write(fields, start, stop - start, generator.integers(0, 10**digits))
    fields[:, DIGEST_AT:] = generator.integers(0, DIGITS, (count, DIGEST_FIELDS))
    return fields


def targets(fields: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a network shall answer.

    Args:
        fields: Digits of records, uint8 (n, 64).

    Returns:
        float32 (n, 64), each answer uniform in (0, 1) over uniform digits.
    """
    answers = np.zeros((len(fields), OUTPUTS))
    weight = np.ones(OUTPUTS)
    for place in range(_DEPTH):
        at = (np.arange(OUTPUTS) + place * _STRIDE) % FIELDS
        weight = weight / RADIX[at]
        answers += fields[:, at] * weight
    return (answers + weight / 2).astype(np.float32)


def images(fields: NDArray[np.uint8], side: int = SIDE) -> NDArray[np.float32]:
    """Draw the metadata images of records as a network in training sees them.

    Args:
        fields: Digits of records, uint8 (n, 64).
        side: Height and width, 224 divided by a whole number: each pixel is then the mean of a block.

    Returns:
        float32 (n, side, side, 3) in [0, 1].
    """
    block = SIDE // side
    blocks = draw(fields).reshape(-1, side, block, side, block, 3)
    sums = blocks.sum(axis=2, dtype=np.uint16).sum(axis=3, dtype=np.uint16) if block > 1 else blocks[:, :, 0, :, 0]
    return sums.astype(np.float32) / np.float32(255 * block * block)


def _write(fields: NDArray[np.uint8], start: int, digits: int, values: NDArray[np.int64]) -> None:
    """Write values as decimal digits into consecutive fields."""
    for place in range(digits):
        fields[:, start + place] = values // 10 ** (digits - 1 - place) % 10
