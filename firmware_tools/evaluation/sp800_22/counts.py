"""Sections 2.1 to 2.4: how many ones there are, and how they stand in runs."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edge.errors import UsageError
from firmware_tools.evaluation.sp800_22.bits import Bits, PValues, chi_square, classified, igamc, in_blocks

_BLOCK: Final = 128


def frequency(bits: Bits) -> PValues:
    """Return the P-value of the monobit test (2.1)."""
    total = abs(2 * int(bits.sum(dtype=np.int64)) - bits.size)
    return (math.erfc(total / math.sqrt(2 * bits.size)),)


def block_frequency(bits: Bits, block: int = _BLOCK) -> PValues:
    """Return the P-value of the frequency within blocks of `block` bits (2.2)."""
    blocks = in_blocks(bits, block)
    shares = blocks.sum(axis=1, dtype=np.int64) / block
    statistic = 4 * block * float(((shares - 0.5) ** 2).sum())
    return (igamc(len(blocks) / 2, statistic / 2),)


def runs(bits: Bits) -> PValues:
    """Return the P-value of the number of runs (2.3), 0 where the frequency test's prerequisite fails."""
    n, share = bits.size, float(bits.mean())
    if abs(share - 0.5) >= 2 / math.sqrt(n):
        return (0.0,)
    observed = 1 + int(np.count_nonzero(bits[1:] != bits[:-1]))
    spread = share * (1 - share)
    return (math.erfc(abs(observed - 2 * n * spread) / (2 * math.sqrt(2 * n) * spread)),)


# Section 2.4.4 and 3.4: from how many bits, the block, the classes' first and last run, their probabilities.
_LONGEST_RUNS: Final = (
    (750_000, 10_000, 10, (0.0882, 0.2092, 0.2483, 0.1933, 0.1208, 0.0675, 0.0727)),
    (6_272, 128, 4, (0.1174035788, 0.242955959, 0.249363483, 0.17517706, 0.102701071, 0.112398847)),
    (128, 8, 1, (0.21484375, 0.3671875, 0.23046875, 0.1875)),
)


def longest_run(bits: Bits) -> PValues:
    """Return the P-value of the longest run of ones in a block (2.4).

    Raises:
        UsageError: there are fewer than 128 bits.
    """
    row = next((row for row in _LONGEST_RUNS if bits.size >= row[0]), None)
    if row is None:
        raise UsageError("the test of longest runs needs 128 bits at least")
    _, block, first, shares = row
    blocks = in_blocks(bits, block)
    ones = np.cumsum(blocks, axis=1, dtype=np.int32)
    # Since the last zero: what had been counted there is taken off again.
    longest = (ones - np.maximum.accumulate(np.where(blocks == 0, ones, 0), axis=1)).max(axis=1)
    return (chi_square(classified(longest - first, len(shares)), shares),)
