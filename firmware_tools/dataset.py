"""Random metadata records and what a parameter network shall answer for each.

The rule kept here: everything follows from a seed, and targets are plain functions of the digits that the metadata
image shows, so a network can learn them by reading and not only by remembering.

The answer is the record as a digit-reversed mixed-radix number: what changes fastest weighs most, so neighbouring
seconds lie far apart (the radical inverse of van der Corput, in mixed radix). There are 16 answers. They read one ring
of digits, each from a starting point of its own, so that each of 16 digits leads one answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.metadata_image import (
    CAMERA_AT,
    CAMERA_FIELDS,
    FIELDS,
    HEIGHT_AT,
    SIZE_AT,
    WIDTH_AT,
    ZONE_AT,
    draw,
)

OUTPUTS: Final = 16
"""Outputs of a parameter network, one byte each after quantisation."""

_YEAR, _MONTH, _DAY, _HOUR, _MINUTE, _SECOND, _MICROSECOND = 0, 4, 6, 8, 10, 12, 14
_WIDTH_ONES, _HEIGHT_ONES, _SIZE_ONES = HEIGHT_AT - 1, SIZE_AT - 1, CAMERA_AT - 1


@dataclass(frozen=True, slots=True)
class _Digit:
    """One digit of the ring: the fields it is read from, its radix, and the value of its first symbol."""

    fields: tuple[int, ...]
    radix: int = 10
    first: int = 0


# Even entries lead an answer, odd ones follow: the fast digits of time lead, so does one digit of every other group.
_RING: Final = (
    _Digit((_SECOND + 1,)),
    _Digit((_HEIGHT_ONES,)),
    _Digit((_MICROSECOND,)),
    _Digit((_SIZE_ONES - 2,)),
    _Digit((_MINUTE + 1,)),
    _Digit((_WIDTH_ONES - 1,)),
    _Digit((_MICROSECOND + 1,)),
    _Digit((CAMERA_AT + 1,), 16),
    _Digit((_SECOND,), 6),
    _Digit((_SIZE_ONES - 3,)),
    _Digit((_MICROSECOND + 2,)),
    _Digit((_MICROSECOND + 4,)),
    _Digit((_HOUR, _HOUR + 1), 24),
    _Digit((_HEIGHT_ONES - 1,)),
    _Digit((_SIZE_ONES,)),
    _Digit((CAMERA_AT + 2,), 16),
    _Digit((_MINUTE,), 6),
    _Digit((_MICROSECOND + 5,)),
    _Digit((_DAY, _DAY + 1), 31, 1),
    _Digit((_WIDTH_ONES - 2,)),
    _Digit((_SIZE_ONES - 1,)),
    _Digit((_YEAR + 2,)),
    _Digit((_MONTH, _MONTH + 1), 12, 1),
    _Digit((_SIZE_ONES - 4,)),
    _Digit((_WIDTH_ONES,)),
    _Digit((CAMERA_AT + 3,), 16),
    _Digit((_MICROSECOND + 3,)),
    _Digit((_HEIGHT_ONES - 2,)),
    _Digit((_YEAR + 3,)),
    _Digit((CAMERA_AT + 4,), 16),
    _Digit((CAMERA_AT,), 16),
    _Digit((_SIZE_ONES - 5,)),
)
# A quantised output has 256 values: a third digit is the last that can move it.
_DEPTH = 3


def random_fields(generator: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Draw the digits of random records, in the spread of records that cameras write.

    Args:
        generator: The source of randomness; the same state gives the same records.
        count: How many records.

    Returns:
        Digits as `edge.metadata_image.metadata_fields` writes them, uint8 (count, 92). A third of the moments have no
        fraction of a second and a third milliseconds only; half are naive; sizes have any number of digits.
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
    for start, stop, fewest in ((WIDTH_AT, HEIGHT_AT, 3), (HEIGHT_AT, SIZE_AT, 3), (SIZE_AT, CAMERA_AT, 4)):
        digits = generator.integers(fewest, stop - start + 1, count)
        _write(fields, start, stop - start, generator.integers(0, 10**digits))
    fields[:, CAMERA_AT:] = generator.integers(0, 16, (count, CAMERA_FIELDS))
    return fields


def targets(fields: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Return what a network shall answer.

    Args:
        fields: Digits of records, uint8 (n, 92).

    Returns:
        float32 (n, 16), each answer uniform in [0, 1) over uniform digits.
    """
    digits = [_value(fields, digit) for digit in _RING]
    answers = np.zeros((len(fields), OUTPUTS))
    for k in range(OUTPUTS):
        weight = 1.0
        for place in range(_DEPTH):
            at = (2 * k + place) % len(_RING)
            weight /= _RING[at].radix
            answers[:, k] += digits[at] * weight
        answers[:, k] += weight / 2
    return answers.astype(np.float32)


def images(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw the metadata images of records: uint8 (n, 92) to uint8 (n, 224, 224, 3)."""
    return np.stack([draw(row) for row in fields])


def _write(fields: NDArray[np.uint8], start: int, digits: int, values: NDArray[np.int64]) -> None:
    """Write values as decimal digits into consecutive fields."""
    for place in range(digits):
        fields[:, start + place] = values // 10 ** (digits - 1 - place) % 10


def _value(fields: NDArray[np.uint8], digit: _Digit) -> NDArray[np.int64]:
    """Read one digit of the ring: int64 (n,), from 0 to its radix - 1."""
    value = np.zeros(len(fields), dtype=np.int64)
    for field in digit.fields:
        value = value * 10 + fields[:, field]
    return value - digit.first
