"""Sections 2.5, 2.6 and 2.10: rank, spectrum, linear complexity."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.evaluation.sp800_22.bits import Bits, PValues, chi_square, classified, in_blocks

_COMPLEXITY_BLOCK: Final = 500
_RANK_SIDE: Final = 32


def rank(bits: Bits) -> PValues:
    """Return the P-value of the ranks over GF(2) of 32 x 32 matrices (2.5)."""
    rows = np.packbits(in_blocks(bits, _RANK_SIDE), axis=1).view(">u4").astype(np.uint32)
    count = len(rows) // _RANK_SIDE
    ranks = _ranks(rows[: count * _RANK_SIDE].reshape(count, _RANK_SIDE))
    full, less = (_rank_share(_RANK_SIDE - missing) for missing in (0, 1))
    observed = [int((ranks == _RANK_SIDE).sum()), int((ranks == _RANK_SIDE - 1).sum())]
    return (chi_square([*observed, count - sum(observed)], (full, less, 1 - full - less)),)


def _rank_share(of: int) -> float:
    """Return the probability that a random matrix of `_RANK_SIDE` rows and columns has this rank (3.5)."""
    side = _RANK_SIDE
    product = math.prod((1 - 2.0 ** (i - side)) ** 2 / (1 - 2.0 ** (i - of)) for i in range(of))
    return float(2.0 ** (of * (2 * side - of) - side * side) * product)


def _ranks(matrices: NDArray[np.uint32]) -> NDArray[np.int64]:
    """Return the rank of each matrix, uint32 (n, 32), a row in each element."""
    rows, places = matrices.copy(), np.arange(matrices.shape[1])
    found = np.zeros(len(rows), np.int64)
    each = np.arange(len(rows))
    for bit in range(_RANK_SIDE - 1, -1, -1):
        has = ((rows >> np.uint32(bit)) & 1).astype(bool)
        pivot = (has & (places >= found[:, None])).argmax(axis=1)
        there = has[each, pivot] & (pivot >= found)
        chosen, target = each[there], found[there]
        source = pivot[there]
        rows[chosen, source], rows[chosen, target] = rows[chosen, target], rows[chosen, source]
        below = ((rows[chosen] >> np.uint32(bit)) & 1).astype(bool) & (places > target[:, None])
        rows[chosen] ^= np.where(below, rows[chosen, target][:, None], np.uint32(0))
        found[there] += 1
    return found


def spectral(bits: Bits) -> PValues:
    """Return the P-value of the discrete Fourier transform (2.6)."""
    n = bits.size
    moduli = np.abs(np.fft.rfft(2.0 * bits - 1))[: n // 2]
    below = int((moduli < math.sqrt(math.log(1 / 0.05) * n)).sum())
    deviation = (below - 0.95 * n / 2) / math.sqrt(n * 0.95 * 0.05 / 4)
    return (math.erfc(abs(deviation) / math.sqrt(2)),)


_COMPLEXITY_SHARES: Final = (0.01047, 0.03125, 0.125, 0.5, 0.25, 0.0625, 0.020833)


def linear_complexity(bits: Bits, block: int = _COMPLEXITY_BLOCK) -> PValues:
    """Return the P-value of the linear complexities of blocks of `block` bits (2.10)."""
    blocks = in_blocks(bits, block)
    sign = -1 if block % 2 else 1
    mean = block / 2 + (9 - sign) / 36 - (block / 3 + 2 / 9) / 2.0**block
    deviations = sign * (_complexities(blocks) - mean) + 2 / 9
    classes = np.ceil(deviations - 0.5).astype(np.int64) + 3  # T <= -2.5 is the first class, T > 2.5 the last
    return (chi_square(classified(classes, len(_COMPLEXITY_SHARES)), _COMPLEXITY_SHARES),)


def _complexities(blocks: Bits) -> NDArray[np.int64]:
    """Return each row's linear complexity: the algorithm of Berlekamp and Massey, in step for all rows."""
    count, length = blocks.shape
    connection = np.zeros((count, length + 1), np.uint8)
    connection[:, 0] = 1
    before = connection.copy()
    complexity = np.zeros(count, np.int64)
    for i in range(length):
        before[:, 1:] = before[:, :-1]
        before[:, 0] = 0
        wrong = np.bitwise_and(connection[:, : i + 1], blocks[:, i::-1]).sum(axis=1) & 1 == 1
        grows = wrong & (2 * complexity <= i)
        kept = connection[grows]
        connection[wrong] ^= before[wrong]
        before[grows] = kept
        complexity[grows] = i + 1 - complexity[grows]
    return complexity
