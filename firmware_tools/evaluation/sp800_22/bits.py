"""What the tests take and give: bits, in rows where a test looks at blocks, and P-values.

Bits are uint8 (n,), each 0 or 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaincc

Bits: TypeAlias = NDArray[np.uint8]
PValues: TypeAlias = tuple[float, ...]


def in_blocks(bits: Bits, size: int) -> Bits:
    """Return the bits in rows of `size`; what does not fill a row is left out."""
    count = bits.size // size
    return bits[: count * size].reshape(count, size)


def igamc(a: float, x: float) -> float:
    """Return the upper incomplete gamma function, regularised (section 5.5.3)."""
    return float(gammaincc(a, x))


def chi_square(observed: Sequence[int] | NDArray[np.int64], shares: Sequence[float]) -> float:
    """Return the P-value of counts whose classes have these probabilities."""
    expected = np.asarray(shares) * np.sum(observed)
    statistic = float(((np.asarray(observed) - expected) ** 2 / expected).sum())
    return igamc((len(shares) - 1) / 2, statistic / 2)


def classified(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Count numbers by value, those below 0 with 0 and those from `count` on with the last."""
    return np.bincount(np.clip(numbers, 0, count - 1), minlength=count)
