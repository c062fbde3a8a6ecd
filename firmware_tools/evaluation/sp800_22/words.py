"""Sections 2.7 to 2.9, 2.11 and 2.12: which words the bits spell, how often, and after how long again."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import UsageError
from firmware_tools.evaluation.sp800_22.bits import Bits, PValues, chi_square, classified, igamc, in_blocks

_TEMPLATE: Final = 9
_TEMPLATE_BLOCKS: Final = 8
_OVERLAPPING_BLOCK: Final = 1032
_ENTROPY_LENGTH: Final = 10
_SERIAL_LENGTH: Final = 16


def aperiodic_templates(length: int = _TEMPLATE) -> list[int]:
    """Return the words of so many bits that cannot overlap themselves, ascending; 148 of nine bits."""

    def overlaps(word: int) -> bool:
        return any(word >> shift == word & ((1 << (length - shift)) - 1) for shift in range(1, length))

    return [word for word in range(1 << length) if not overlaps(word)]


def non_overlapping_templates(bits: Bits, length: int = _TEMPLATE) -> PValues:
    """Return a P-value for each aperiodic template of `length` bits, in eight blocks (2.7)."""
    blocks = in_blocks(bits, bits.size // _TEMPLATE_BLOCKS)
    size = blocks.shape[1]
    # Such a template cannot overlap itself, so every occurrence counts and no window need be skipped.
    counts = np.stack([np.bincount(_windows(block, length), minlength=1 << length) for block in blocks])
    mean = (size - length + 1) / 2**length
    variance = size * (2.0**-length - (2 * length - 1) * 2.0 ** (-2 * length))
    statistics = ((counts - mean) ** 2 / variance).sum(axis=0)
    return tuple(igamc(len(blocks) / 2, float(statistics[word]) / 2) for word in aperiodic_templates(length))


def overlapping_templates(bits: Bits, length: int = _TEMPLATE) -> PValues:
    """Return the P-value of runs of `length` ones, overlapping, in blocks of 1032 bits (2.8)."""
    blocks = in_blocks(bits, _OVERLAPPING_BLOCK)
    ones = np.lib.stride_tricks.sliding_window_view(blocks, length, axis=1).all(axis=2).sum(axis=1)
    half = (_OVERLAPPING_BLOCK - length + 1) / 2**length / 2
    shares = [_overlapping_share(count, half) for count in range(5)]
    return (chi_square(classified(ones, 6), (*shares, 1 - sum(shares))),)


def _overlapping_share(count: int, eta: float) -> float:
    """Return the probability of so many occurrences in a block (3.8)."""
    if count == 0:
        return math.exp(-eta)
    return sum(
        math.exp(-eta - count * math.log(2) + i * math.log(eta) - math.lgamma(i + 1)) * math.comb(count - 1, i - 1)
        for i in range(1, count + 1)
    )


# Section 2.9.4 and 3.9: from how many bits, the word, its expected value and variance.
_UNIVERSAL: Final = (
    (1_059_061_760, 16, 15.167379, 3.421),
    (496_435_200, 15, 14.167488, 3.419),
    (231_669_760, 14, 13.167693, 3.416),
    (107_560_960, 13, 12.168070, 3.410),
    (49_643_520, 12, 11.168765, 3.401),
    (22_753_280, 11, 10.170032, 3.384),
    (10_342_400, 10, 9.1723243, 3.356),
    (4_654_080, 9, 8.1764248, 3.311),
    (2_068_480, 8, 7.1836656, 3.238),
    (904_960, 7, 6.1962507, 3.125),
    (387_840, 6, 5.2177052, 2.954),
)


def universal(bits: Bits) -> PValues:
    """Return the P-value of Maurer's universal statistic (2.9).

    Raises:
        UsageError: there are fewer than 387,840 bits.
    """
    row = next((row for row in _UNIVERSAL if bits.size >= row[0]), None)
    if row is None:
        raise UsageError("Maurer's test needs 387,840 bits at least")
    _, length, expected, variance = row
    words = in_blocks(bits, length) @ (1 << np.arange(length - 1, -1, -1))
    first = 10 << length
    order = np.argsort(words, kind="stable")
    ordered = words[order]
    gaps = np.empty(words.size, np.int64)
    gaps[order[1:]] = np.where(ordered[1:] == ordered[:-1], order[1:] - order[:-1], order[1:] + 1)
    gaps[order[0]] = order[0] + 1
    count = words.size - first
    mean = float(np.log2(gaps[first:]).mean())
    factor = 0.7 - 0.8 / length + (4 + 32 / length) * count ** (-3 / length) / 15
    return (math.erfc(abs(mean - expected) / (math.sqrt(2) * factor * math.sqrt(variance / count))),)


def serial(bits: Bits, length: int = _SERIAL_LENGTH) -> PValues:
    """Return the two P-values of the frequencies of all words of `length` bits (2.11)."""

    def psi(word: int) -> float:
        if word == 0:
            return 0.0
        counts = _circular_counts(bits, word).astype(np.float64)
        squares = float((counts**2).sum())
        return squares * (1 << word) / bits.size - bits.size

    most, less, least = psi(length), psi(length - 1), psi(length - 2)
    return (
        igamc(2 ** (length - 2), (most - less) / 2),
        igamc(2 ** (length - 3), (most - 2 * less + least) / 2),
    )


def approximate_entropy(bits: Bits, length: int = _ENTROPY_LENGTH) -> PValues:
    """Return the P-value of the approximate entropy of words of `length` bits (2.12)."""

    def phi(word: int) -> float:
        counts = _circular_counts(bits, word)
        shares = counts[counts > 0] / bits.size
        return float((shares * np.log(shares)).sum())

    entropy = phi(length) - phi(length + 1)
    return (igamc(2 ** (length - 1), bits.size * (math.log(2) - entropy)),)


def _windows(bits: Bits, length: int) -> NDArray[np.int64]:
    """Return the word of `length` bits that begins at each bit, as far as there are so many."""
    count = bits.size - length + 1
    words = np.zeros(count, np.int64)
    for i in range(length):
        words = (words << 1) | bits[i : i + count]
    return words


def _circular_counts(bits: Bits, length: int) -> NDArray[np.int64]:
    """Count each word of `length` bits in the bits, the first ones following the last."""
    return np.bincount(_windows(np.concatenate((bits, bits[: length - 1])), length), minlength=1 << length)
