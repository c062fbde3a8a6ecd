"""What papers on image ciphers measure, by the published definitions, for 8 and 16 bits, grey and colour.

The rule kept here: a figure comes with what a perfect cipher would give, where theory says it. A good figure shows that an
image looks like noise, and nothing more.

Images are uint8 or uint16, (height, width) or (height, width, channels).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, gammaincc, gammaln, ndtri

from edge.errors import UsageError

Image: TypeAlias = NDArray[Any]

SIGNIFICANCE: Final = 0.05
_NORMAL_FROM: Final = 100
"""From how many expected equal samples on a normal distribution stands for the binomial one."""
LOCAL_BLOCKS: Final = 30
LOCAL_SIDE: Final = 44
"""Thirty blocks of 44 x 44 samples: the choice of Wu et al. 2013, for which they give what to expect."""


class Direction(Enum):
    """Which neighbour a sample is compared with: how far down and to the right it is."""

    HORIZONTAL = (0, 1)
    VERTICAL = (1, 0)
    DIAGONAL = (1, 1)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What two images that differ in all but chance give: the mean, and what 95 of 100 such pairs lie within."""

    mean: float
    low: float
    high: float


def bits_of(image: Image) -> int:
    """Return how many bits a sample has.

    Raises:
        UsageError: samples are neither uint8 nor uint16.
    """
    if image.dtype not in (np.uint8, np.uint16):
        raise UsageError("samples of 8 or 16 unsigned bits are measured, nothing else")
    return 8 * image.itemsize


# --- one image ------------------------------------------------------------------------------------------------------


def histogram(image: Image) -> NDArray[np.int64]:
    """Return how often each sample value occurs, int64 (2 ** bits,)."""
    return np.bincount(image.ravel(), minlength=1 << bits_of(image))


def entropy(image: Image) -> float:
    """Return Shannon's entropy of the samples, in bits a sample; `bits` at most, and that only of as many samples."""
    counts = histogram(image)
    shares = counts[counts > 0] / image.size
    return float(-(shares * np.log2(shares)).sum())


def noise_entropy(samples: int, bits: int) -> float:
    """Return the entropy that so many random samples have on the average, in bits: less than `bits`, the more so the fewer.

    It is the exact mean over binomial counts, without what is rarer than ten deviations.
    """
    mean = samples / (1 << bits)
    reach = 10 * math.sqrt(mean) + 20
    counts = np.arange(max(1, math.floor(mean - reach)), min(samples, math.ceil(mean + reach)) + 1.0)
    chance = -bits * math.log(2)
    rest = (samples - counts) * math.log1p(-(2.0**-bits))
    shares = counts / samples
    return -float(
        (np.exp(_log_choices(samples, counts) + counts * chance + rest) * shares * np.log2(shares)).sum() * 2**bits
    )


def samples_of_entropy(value: float, bits: int) -> float:
    """Return how many random samples have this entropy on the average: infinite where no number has.

    Fewer samples would need to be flatter than chance, more of them less flat.
    """
    if value >= bits:
        return math.inf
    low, high = 1.0, 2.0
    while noise_entropy(round(high), bits) < value:
        low, high = high, 2 * high
        if high > 2**48:
            return math.inf
    while high - low > 0.5:
        middle = (low + high) / 2
        low, high = (middle, high) if noise_entropy(round(middle), bits) < value else (low, middle)
    return high


def local_entropy(image: Image, generator: np.random.Generator) -> float:
    """Return the mean entropy of thirty random blocks of 44 x 44 samples that do not overlap (Wu et al. 2013).

    Raises:
        UsageError: the image has not so many blocks.
    """
    rows, columns = image.shape[0] // LOCAL_SIDE, image.shape[1] // LOCAL_SIDE
    if rows * columns < LOCAL_BLOCKS:
        raise UsageError("an image has local entropy from thirty blocks of 44 x 44 pixels on")
    values = []
    for number in generator.choice(rows * columns, LOCAL_BLOCKS, replace=False):
        top, left = LOCAL_SIDE * (number // columns), LOCAL_SIDE * (number % columns)
        block = image[top : top + LOCAL_SIDE, left : left + LOCAL_SIDE]
        planes = np.moveaxis(block, 2, 0) if block.ndim == 3 else (block,)
        values.append(sum(entropy(plane) for plane in planes) / len(planes))
    return sum(values) / LOCAL_BLOCKS


def local_entropy_bounds(bits: int, significance: float = SIGNIFICANCE, *, channels: int = 1) -> Bounds:
    """Return the local entropy that random samples have, in bits: mean and variance computed exactly.

    Of an image in colour it is a mean over the blocks of all channels, so its bounds are narrower.

    Wu et al. 2013 print the same mean, 7.902469 of 8 bits, but 7.901902 to 7.903037 as what 95 of 100 lie within. That is
    narrower by the root of thirty: it divides a block's deviation by the number of blocks and not by its root. A good
    cipher fails their test about seven times in ten, so the bounds given here are the right ones.
    """
    samples, values = LOCAL_SIDE * LOCAL_SIDE, 1 << bits
    # Counts that occur at all: the mean and ten deviations more.
    counts = np.arange(min(samples, math.ceil(samples / values + 10 * math.sqrt(samples / values) + 20)) + 1.0)
    shares = counts / samples
    terms = -shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)
    chance = 1 / values
    one = np.exp(_log_choices(samples, counts) + counts * math.log(chance) + (samples - counts) * math.log1p(-chance))
    rest = samples - counts[:, None] - counts
    possible = rest >= 0
    ways = gammaln(samples + 1) - gammaln(counts + 1)[:, None] - gammaln(counts + 1) - gammaln(np.maximum(rest, 0) + 1)
    rarity = (counts[:, None] + counts) * math.log(chance) + rest * math.log1p(-2 * chance)
    two = np.where(possible, np.exp(ways + rarity), 0.0)
    mean = values * float(terms @ one)
    square = values * float(terms**2 @ one) + values * (values - 1) * float(terms @ two @ terms)
    reach = -float(ndtri(significance / 2)) * math.sqrt((square - mean**2) / (LOCAL_BLOCKS * channels))
    return Bounds(mean, mean - reach, mean + reach)


def _log_choices(of: int, counts: NDArray[np.float64]) -> NDArray[np.float64]:
    ways: NDArray[np.float64] = gammaln(of + 1) - gammaln(counts + 1) - gammaln(of - counts + 1)
    return ways


def uniformity(image: Image) -> tuple[float, float]:
    """Return chi-square of the histogram against a flat one, and its P-value."""
    counts = histogram(image)
    expected = image.size / counts.size
    statistic = float(((counts - expected) ** 2).sum() / expected)
    return statistic, float(gammaincc((counts.size - 1) / 2, statistic / 2))


def adjacent_correlation(
    image: Image, direction: Direction, *, pairs: int | None = None, generator: np.random.Generator | None = None
) -> float:
    """Return the correlation of samples with their neighbours of the same channel, over the pairs of all channels together.

    Channels of different means correlate by that alone, so that noise must have one mean in all of them to come out as none.

    Args:
        image: What is measured.
        direction: Which neighbour.
        pairs: How many random pairs are taken, with repetition; None takes all there are.
        generator: Where random pairs come from.

    Returns:
        Pearson's coefficient, NaN of an image of one value.

    Raises:
        UsageError: random pairs are asked for without a generator.
    """
    first, second = neighbours(image, direction)
    if pairs is not None:
        if generator is None:
            raise UsageError("random pairs need a random generator")
        chosen = generator.integers(first.size, size=pairs)
        first, second = first[chosen], second[chosen]
    first, second = first - first.mean(), second - second.mean()
    spread = math.sqrt(float((first**2).sum()) * float((second**2).sum()))
    return float((first * second).sum()) / spread if spread else math.nan


def neighbours(image: Image, direction: Direction) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return every sample that has a neighbour, and that neighbour, float64 (n,) each."""
    down, right = direction.value
    height, width = image.shape[:2]
    first = image[: height - down, : width - right]
    second = image[down:, right:]
    return first.ravel().astype(np.float64), second.ravel().astype(np.float64)


# --- two images -----------------------------------------------------------------------------------------------------


def npcr(first: Image, second: Image) -> float:
    """Return the number of pixel change rate: the share of samples that differ, in percent."""
    _like(first, second)
    return 100 * float(np.count_nonzero(first != second)) / first.size


def uaci(first: Image, second: Image) -> float:
    """Return the unified average changing intensity: the mean difference, in percent of the largest one."""
    _like(first, second)
    return 100 * float(_difference(first, second).mean()) / ((1 << bits_of(first)) - 1)


def mse(first: Image, second: Image) -> float:
    """Return the mean squared error, in squared sample values."""
    _like(first, second)
    return float((_difference(first, second).astype(np.float64) ** 2).mean())


def psnr(first: Image, second: Image) -> float:
    """Return the peak signal-to-noise ratio in decibels; infinite where there is no error."""
    return psnr_of(mse(first, second), bits_of(first))


def npcr_bounds(samples: int, bits: int, significance: float = SIGNIFICANCE) -> Bounds:
    """Return what NPCR two unrelated random images have, in percent (Wu et al. 2011, equations 12, 13 and 18).

    The test has one side: only too low a rate is refused. Those equations take the number of equal samples to be normal,
    which it is not where few are expected: of 16 bits they refuse up to one noise pair in five instead of one in twenty. Below
    a hundred equal samples the binomial distribution itself is taken: at most `significance` of all pairs lie below `low`.
    """
    largest = (1 << bits) - 1
    mean = largest / (largest + 1)
    deviation = math.sqrt(largest / samples) / (largest + 1)
    low = 100 * (mean + float(ndtri(significance)) * deviation)
    if samples * (1 - mean) < _NORMAL_FROM:
        equal = next(count for count in range(samples + 1) if bdtr(count, samples, 1 - mean) >= 1 - significance)
        low = 100 * float(samples - equal) / samples  # as `npcr` computes it, so that equal is equal
    return Bounds(100 * mean, low, 100.0)


def uaci_bounds(samples: int, bits: int, significance: float = SIGNIFICANCE) -> Bounds:
    """Return what UACI two unrelated random images have, in percent (Wu et al. 2011, equations 15, 16 and 20)."""
    largest = (1 << bits) - 1
    mean = (largest + 2) / (3 * largest + 3)
    variance = (largest + 2) * (largest**2 + 2 * largest + 3) / (18 * (largest + 1) ** 2 * largest * samples)
    reach = -float(ndtri(significance / 2)) * math.sqrt(variance)
    return Bounds(100 * mean, 100 * (mean - reach), 100 * (mean + reach))


def uaci_from(image: Image) -> float:
    """Return the UACI to be expected between this very image and random noise, in percent.

    Between a plain and a cipher image nothing else can come out, whatever the cipher: it is a property of the plain image.
    """
    largest = (1 << bits_of(image)) - 1
    values = np.arange(largest + 1, dtype=np.float64)
    # The mean of |v - u| over all u: v (v + 1) / 2 below, (largest - v) (largest - v + 1) / 2 above.
    means = (values * (values + 1) + (largest - values) * (largest - values + 1)) / 2 / (largest + 1)
    return 100 * float((histogram(image) * means).sum()) / image.size / largest


def mse_of_uaci(percent: float, bits: int) -> float:
    """Return the mean squared error between an image and noise whose UACI is this, in squared sample values.

    Both are the same quadratic function of each sample v, sum of v^2 - L v with L the largest value, so one tells the
    other, of any image and of any average over images: MSE = L (L + 1) UACI - L (L + 2) / 6.
    """
    largest = (1 << bits) - 1
    return largest * (largest + 1) * percent / 100 - largest * (largest + 2) / 6


def psnr_of(error: float, bits: int) -> float:
    """Return the peak signal-to-noise ratio of a mean squared error, in decibels; infinite where there is none."""
    largest = (1 << bits) - 1
    return 10 * math.log10(largest**2 / error) if error else math.inf


def _difference(first: Image, second: Image) -> NDArray[np.int64]:
    return np.abs(first.astype(np.int64) - second.astype(np.int64))


def _like(first: Image, second: Image) -> None:
    if first.shape != second.shape or first.dtype != second.dtype or not first.size:
        raise UsageError("only images of one size and kind can be compared, and no empty ones")
