"""Sections 2.13 to 2.15: the bits as a random walk, how far it goes and where it comes by."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from firmware_tools.evaluation.sp800_22.bits import Bits, PValues, chi_square, classified

EXCURSION_STATES: Final = (-4, -3, -2, -1, 1, 2, 3, 4)
VARIANT_STATES: Final = (*range(-9, 0), *range(1, 10))


def cumulative_sums(bits: Bits) -> PValues:
    """Return the P-values of the largest excursion of the cumulative sums, forward and backward (2.13)."""
    walk = _walk(bits)
    forward = int(np.abs(walk).max())
    backward = int(np.abs(walk[-1] - np.concatenate(([0], walk[:-1]))).max())
    return _excursion(forward, bits.size), _excursion(backward, bits.size)


def _excursion(largest: int, n: int) -> float:
    root, ratio = math.sqrt(n), n / largest
    first = np.arange(math.trunc((-ratio + 1) / 4), math.trunc((ratio - 1) / 4) + 1)
    second = np.arange(math.trunc((-ratio - 3) / 4), math.trunc((ratio - 1) / 4) + 1)
    inner = ndtr((4 * first + 1) * largest / root) - ndtr((4 * first - 1) * largest / root)
    outer = ndtr((4 * second + 3) * largest / root) - ndtr((4 * second + 1) * largest / root)
    return float(1 - inner.sum() + outer.sum())


def random_excursions(bits: Bits) -> PValues:
    """Return a P-value for the visits in each cycle to each of `EXCURSION_STATES` (2.14).

    They are none where the walk has too few cycles for the test to apply.
    """
    walk = _walk(bits)
    cycles = _cycles(walk)
    if cycles is None:
        return ()
    # The cycle that each step belongs to: a return to zero ends one.
    belongs = np.concatenate(([0], np.cumsum(walk == 0)[:-1]))
    values = []
    for state in EXCURSION_STATES:
        visits = np.bincount(belongs[walk == state], minlength=cycles)
        stay = 1 - 1 / (2 * abs(state))
        shares = [stay, *(stay ** (k - 1) / (4 * state**2) for k in range(1, 5)), stay**4 / (2 * abs(state))]
        values.append(chi_square(classified(visits, len(shares)), shares))
    return tuple(values)


def random_excursions_variant(bits: Bits) -> PValues:
    """Return a P-value for all visits to each of `VARIANT_STATES` (2.15); none where there are too few cycles."""
    walk = _walk(bits)
    cycles = _cycles(walk)
    if cycles is None:
        return ()
    return tuple(
        math.erfc(abs(int((walk == state).sum()) - cycles) / math.sqrt(2 * cycles * (4 * abs(state) - 2)))
        for state in VARIANT_STATES
    )


def _cycles(walk: NDArray[np.int64]) -> int | None:
    """Return how many cycles from zero to zero the walk has, the last one completed; None where they are too few."""
    cycles = int((walk == 0).sum()) + int(walk[-1] != 0)
    return cycles if cycles >= max(0.005 * math.sqrt(walk.size), 500) else None


def _walk(bits: Bits) -> NDArray[np.int64]:
    """Return the partial sums, a one counting +1 and a zero -1."""
    return np.cumsum(2 * bits.astype(np.int8) - 1, dtype=np.int64)
