"""The fifteen tests of NIST SP 800-22 Rev. 1a, vectorised.

The rule kept here: each function is its section of the publication, takes bits and returns P-values, and decides nothing.
Where NIST's program sts 2.1.2 and the text differ in the digits of a constant, the program's are taken, because the
P-values of Appendix B are its own. Passing these tests is no evidence of security: a counter fed to any hash passes.

Bits are uint8 (n,), each 0 or 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammaincc, ndtr

from edge.errors import UsageError

Bits: TypeAlias = NDArray[np.uint8]
PValues: TypeAlias = tuple[float, ...]

BITS_MIN: Final = 1_000_000
"""What NIST recommends for a sequence: below this some tests do not apply."""
SIGNIFICANCE: Final = 0.01
UNIFORMITY: Final = 0.0001
"""What the P-value of P-values must exceed to count as uniform (section 4.2.2)."""

_BLOCK: Final = 128
_TEMPLATE: Final = 9
_TEMPLATE_BLOCKS: Final = 8
_OVERLAPPING_BLOCK: Final = 1032
_ENTROPY_LENGTH: Final = 10
_SERIAL_LENGTH: Final = 16
_COMPLEXITY_BLOCK: Final = 500
_RANK_SIDE: Final = 32


# --- 2.1 to 2.4, 2.13: sums and runs --------------------------------------------------------------------------------


def frequency(bits: Bits) -> PValues:
    """Return the P-value of the monobit test (2.1)."""
    total = abs(2 * int(bits.sum(dtype=np.int64)) - bits.size)
    return (math.erfc(total / math.sqrt(2 * bits.size)),)


def block_frequency(bits: Bits, block: int = _BLOCK) -> PValues:
    """Return the P-value of the frequency within blocks of `block` bits (2.2)."""
    blocks = _blocks(bits, block)
    shares = blocks.sum(axis=1, dtype=np.int64) / block
    statistic = 4 * block * float(((shares - 0.5) ** 2).sum())
    return (_igamc(len(blocks) / 2, statistic / 2),)


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
    blocks = _blocks(bits, block)
    ones = np.cumsum(blocks, axis=1, dtype=np.int32)
    # Since the last zero: what had been counted there is taken off again.
    longest = (ones - np.maximum.accumulate(np.where(blocks == 0, ones, 0), axis=1)).max(axis=1)
    return (_chi_square(_classes(longest - first, len(shares)), shares),)


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


# --- 2.5, 2.6, 2.10: rank, spectrum, linear complexity --------------------------------------------------------------


def rank(bits: Bits) -> PValues:
    """Return the P-value of the ranks over GF(2) of 32 x 32 matrices (2.5)."""
    rows = np.packbits(_blocks(bits, _RANK_SIDE), axis=1).view(">u4").astype(np.uint32)
    count = len(rows) // _RANK_SIDE
    ranks = _ranks(rows[: count * _RANK_SIDE].reshape(count, _RANK_SIDE))
    full, less = (_rank_share(_RANK_SIDE - missing) for missing in (0, 1))
    observed = [int((ranks == _RANK_SIDE).sum()), int((ranks == _RANK_SIDE - 1).sum())]
    return (_chi_square([*observed, count - sum(observed)], (full, less, 1 - full - less)),)


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
    blocks = _blocks(bits, block)
    sign = -1 if block % 2 else 1
    mean = block / 2 + (9 - sign) / 36 - (block / 3 + 2 / 9) / 2.0**block
    deviations = sign * (_complexities(blocks) - mean) + 2 / 9
    classes = np.ceil(deviations - 0.5).astype(np.int64) + 3  # T <= -2.5 is the first class, T > 2.5 the last
    return (_chi_square(_classes(classes, len(_COMPLEXITY_SHARES)), _COMPLEXITY_SHARES),)


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


# --- 2.7, 2.8: templates --------------------------------------------------------------------------------------------


def aperiodic_templates(length: int = _TEMPLATE) -> list[int]:
    """Return the words of so many bits that cannot overlap themselves, ascending; 148 of nine bits."""

    def overlaps(word: int) -> bool:
        return any(word >> shift == word & ((1 << (length - shift)) - 1) for shift in range(1, length))

    return [word for word in range(1 << length) if not overlaps(word)]


def non_overlapping_templates(bits: Bits, length: int = _TEMPLATE) -> PValues:
    """Return a P-value for each aperiodic template of `length` bits, in eight blocks (2.7)."""
    blocks = _blocks(bits, bits.size // _TEMPLATE_BLOCKS)
    size = blocks.shape[1]
    # Such a template cannot overlap itself, so every occurrence counts and no window need be skipped.
    counts = np.stack([np.bincount(_windows(block, length), minlength=1 << length) for block in blocks])
    mean = (size - length + 1) / 2**length
    variance = size * (2.0**-length - (2 * length - 1) * 2.0 ** (-2 * length))
    statistics = ((counts - mean) ** 2 / variance).sum(axis=0)
    return tuple(_igamc(len(blocks) / 2, float(statistics[word]) / 2) for word in aperiodic_templates(length))


def overlapping_templates(bits: Bits, length: int = _TEMPLATE) -> PValues:
    """Return the P-value of runs of `length` ones, overlapping, in blocks of 1032 bits (2.8)."""
    blocks = _blocks(bits, _OVERLAPPING_BLOCK)
    ones = np.lib.stride_tricks.sliding_window_view(blocks, length, axis=1).all(axis=2).sum(axis=1)
    half = (_OVERLAPPING_BLOCK - length + 1) / 2**length / 2
    shares = [_overlapping_share(count, half) for count in range(5)]
    return (_chi_square(_classes(ones, 6), (*shares, 1 - sum(shares))),)


def _overlapping_share(count: int, eta: float) -> float:
    """Return the probability of so many occurrences in a block (3.8)."""
    if count == 0:
        return math.exp(-eta)
    return sum(
        math.exp(-eta - count * math.log(2) + i * math.log(eta) - math.lgamma(i + 1)) * math.comb(count - 1, i - 1)
        for i in range(1, count + 1)
    )


# --- 2.9, 2.11, 2.12: compressibility, words, entropy ---------------------------------------------------------------

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
    words = _blocks(bits, length) @ (1 << np.arange(length - 1, -1, -1))
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
        _igamc(2 ** (length - 2), (most - less) / 2),
        _igamc(2 ** (length - 3), (most - 2 * less + least) / 2),
    )


def approximate_entropy(bits: Bits, length: int = _ENTROPY_LENGTH) -> PValues:
    """Return the P-value of the approximate entropy of words of `length` bits (2.12)."""

    def phi(word: int) -> float:
        counts = _circular_counts(bits, word)
        shares = counts[counts > 0] / bits.size
        return float((shares * np.log(shares)).sum())

    entropy = phi(length) - phi(length + 1)
    return (_igamc(2 ** (length - 1), bits.size * (math.log(2) - entropy)),)


# --- 2.14, 2.15: random excursions ----------------------------------------------------------------------------------

EXCURSION_STATES: Final = (-4, -3, -2, -1, 1, 2, 3, 4)
VARIANT_STATES: Final = (*range(-9, 0), *range(1, 10))


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
        values.append(_chi_square(_classes(visits, len(shares)), shares))
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


# --- all of them ----------------------------------------------------------------------------------------------------

TESTS: Final[Mapping[str, Callable[[Bits], PValues]]] = MappingProxyType(
    {
        "frequency": frequency,
        "block frequency": block_frequency,
        "runs": runs,
        "longest run": longest_run,
        "rank": rank,
        "spectral": spectral,
        "non-overlapping templates": non_overlapping_templates,
        "overlapping templates": overlapping_templates,
        "universal": universal,
        "linear complexity": linear_complexity,
        "serial": serial,
        "approximate entropy": approximate_entropy,
        "cumulative sums": cumulative_sums,
        "random excursions": random_excursions,
        "random excursions variant": random_excursions_variant,
    }
)


@dataclass(frozen=True, slots=True)
class Assessment:
    """What one P-value of one test says of many sequences (section 4.2).

    Attributes:
        test: the test's name.
        part: which of the test's P-values, from 0.
        sequences: how many sequences the test applied to.
        proportion: the share of sequences with a P-value of 0.01 or more.
        needed: the least share that is expected: 0.99 - 3 sqrt(0.99 * 0.01 / sequences).
        uniformity: the P-value of the P-values' being uniform in ten classes.
    """

    test: str
    part: int
    sequences: int
    proportion: float
    needed: float
    uniformity: float

    @property
    def passed(self) -> bool:
        """Whether both the proportion and the uniformity are as expected."""
        return self.proportion >= self.needed and self.uniformity >= UNIFORMITY

    @property
    def chance(self) -> float:
        """How often random bits miss this: the binomial chance of too few sequences, and that of the uniformity.

        `needed` is three deviations of a normal distribution, beyond which random bits fall more often than it says: of 100
        sequences 1.8 times in 100, not 0.13 times.
        """
        too_few = math.ceil(self.needed * self.sequences) - 1
        return float(bdtr(too_few, self.sequences, 1 - SIGNIFICANCE)) + UNIFORMITY


def assess(sequences: Iterable[Bits], tests: Mapping[str, Callable[[Bits], PValues]] = TESTS) -> list[Assessment]:
    """Run tests on all sequences and assess each P-value over them (sections 4.2.1 and 4.2.2)."""
    found: dict[tuple[str, int], list[float]] = {}
    for bits in sequences:
        for name, test in tests.items():
            for part, value in enumerate(test(bits)):
                found.setdefault((name, part), []).append(value)
    return [_assessed(name, part, np.array(values)) for (name, part), values in found.items()]


def _assessed(test: str, part: int, values: NDArray[np.float64]) -> Assessment:
    count = values.size
    good = 1 - SIGNIFICANCE
    classes = _classes(np.floor(values * 10).astype(np.int64), 10)
    return Assessment(
        test=test,
        part=part,
        sequences=count,
        proportion=float((values >= SIGNIFICANCE).mean()),
        needed=good - 3 * math.sqrt(good * SIGNIFICANCE / count),
        uniformity=_chi_square(classes, [0.1] * 10),
    )


# --- inside ---------------------------------------------------------------------------------------------------------


def _igamc(a: float, x: float) -> float:
    """Return the upper incomplete gamma function, regularised (section 5.5.3)."""
    return float(gammaincc(a, x))


def _chi_square(observed: Sequence[int] | NDArray[np.int64], shares: Sequence[float]) -> float:
    """Return the P-value of counts whose classes have these probabilities."""
    expected = np.asarray(shares) * np.sum(observed)
    statistic = float(((np.asarray(observed) - expected) ** 2 / expected).sum())
    return _igamc((len(shares) - 1) / 2, statistic / 2)


def _classes(numbers: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Count numbers by value, those below 0 with 0 and those from `count` on with the last."""
    return np.bincount(np.clip(numbers, 0, count - 1), minlength=count)


def _blocks(bits: Bits, size: int) -> Bits:
    """Return the bits in rows of `size`; what does not fill a row is left out."""
    count = bits.size // size
    return bits[: count * size].reshape(count, size)


def _walk(bits: Bits) -> NDArray[np.int64]:
    """Return the partial sums, a one counting +1 and a zero -1."""
    return np.cumsum(2 * bits.astype(np.int8) - 1, dtype=np.int64)


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
