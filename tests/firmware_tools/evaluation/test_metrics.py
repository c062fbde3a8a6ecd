"""Each figure is its definition, meets what theory says of noise, and matches the numbers that were published with it."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edge.errors import UsageError
from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.metrics import Direction

IMAGES = arrays.arrays(
    st.sampled_from([np.uint8, np.uint16]), st.tuples(st.integers(2, 9), st.integers(2, 9)), fill=st.nothing()
)


def noise(seed: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    """Return samples of a good generator."""
    return np.random.default_rng(seed).integers(0, np.iinfo(dtype).max, shape, dtype, endpoint=True)


# Wu, Noonan and Agaian 2011, tables III and V, alpha = 0.05: side, NPCR's critical value, UACI's two.
PUBLISHED = [
    (256, 99.5693, 33.2824, 33.6447),
    (512, 99.5893, 33.3730, 33.5541),
    (1024, 99.5994, 33.4183, 33.5088),
]


@pytest.mark.parametrize(("side", "rate", "low", "high"), PUBLISHED)
def test_critical_values_are_those_published(side: int, rate: float, low: float, high: float) -> None:
    assert metrics.npcr_bounds(side * side, 8).low == pytest.approx(rate, abs=1e-4)
    bounds = metrics.uaci_bounds(side * side, 8)
    assert (bounds.low, bounds.high) == (pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4))
    assert metrics.npcr_bounds(side * side, 8).mean == pytest.approx(99.6094, abs=1e-4)
    assert bounds.mean == pytest.approx(33.4635, abs=1e-4)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_noise_lies_within_its_bounds_as_often_as_it_should(dtype: type) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    rates = metrics.npcr_bounds(64 * 64, bits)
    intensities = metrics.uaci_bounds(64 * 64, bits)
    pairs = [(noise(2 * n, 64, 64, dtype=dtype), noise(2 * n + 1, 64, 64, dtype=dtype)) for n in range(400)]
    inside = [intensities.low <= metrics.uaci(*pair) <= intensities.high for pair in pairs]
    assert 0.92 < np.mean(inside) < 0.98
    # Of 16 bits few samples are equal, so that the bound lies between whole numbers of them, on the safe side.
    assert 0.92 < np.mean([metrics.npcr(*pair) >= rates.low for pair in pairs]) <= (0.98 if bits == 8 else 1)


@pytest.mark.parametrize("shape", [(40, 100, 3), (128, 128), (256, 256), (440, 440), (512, 512, 3)])
def test_where_few_samples_are_equal_the_rates_bound_is_the_binomial_one(shape: tuple[int, ...]) -> None:
    samples = math.prod(shape)
    allowed = round(samples - metrics.npcr_bounds(samples, 16).low * samples / 100)
    terms = [math.comb(samples, k) * (Fraction(1, 65536)) ** k for k in range(allowed + 1)]
    rest = Fraction(65535, 65536)
    chances = [float(term) * float(rest) ** (samples - k) for k, term in enumerate(terms)]
    assert sum(chances[:-1]) < 0.95 <= sum(chances)
    # A pair with just so many equal samples passes, one more does not.
    first = noise(1, *shape, dtype=np.uint16)
    second = first ^ 1
    second.flat[:allowed] = first.flat[:allowed]
    assert metrics.npcr(first, second) >= metrics.npcr_bounds(samples, 16).low
    second.flat[: allowed + 1] = first.flat[: allowed + 1]
    assert metrics.npcr(first, second) < metrics.npcr_bounds(samples, 16).low


def test_colour_of_16_bits_gives_the_answers_worked_out_by_hand() -> None:
    first = np.array([[[0, 65535, 300], [256, 1, 300]], [[0, 40000, 300], [256, 2, 65535]]], np.uint16)
    second = np.array([[[65535, 65535, 301], [256, 257, 300]], [[1, 39999, 44], [0, 2, 0]]], np.uint16)
    # Of twelve samples four are equal; the differences are 65535, 1, 256, 1, 1, 256, 256 and 65535.
    assert metrics.npcr(first, second) == pytest.approx(100 * 8 / 12)
    assert metrics.uaci(first, second) == pytest.approx(100 * (2 * 65535 + 3 * 256 + 3) / 12 / 65535)
    error = (2 * 65535**2 + 3 * 256**2 + 3) / 12
    assert metrics.mse(first, second) == pytest.approx(error)
    assert metrics.psnr(first, second) == pytest.approx(10 * math.log10(65535**2 / error))
    # The values and how often they are there: 0 2, 256 2, 300 3, 65535 2, and 1, 2 and 40000 once.
    counts = metrics.histogram(first)
    assert {int(value): int(counts[value]) for value in np.flatnonzero(counts)} == {
        0: 2, 1: 1, 2: 1, 256: 2, 300: 3, 40000: 1, 65535: 2,
    }  # fmt: skip
    expected = -sum(count / 12 * math.log2(count / 12) for count in (2, 1, 1, 2, 3, 1, 2))
    assert metrics.entropy(first) == pytest.approx(expected)
    statistic, _ = metrics.uniformity(first)
    mean = 12 / 65536
    assert statistic == pytest.approx(
        ((65536 - 7) * mean**2 + sum((c - mean) ** 2 for c in (2, 1, 1, 2, 3, 1, 2))) / mean
    )
    # Horizontal neighbours are two pixels of one row, channel by channel, and never two channels of one pixel.
    pairs = {(0, 256), (65535, 1), (300, 300), (0, 256), (40000, 2), (300, 65535)}
    found = metrics.neighbours(first, Direction.HORIZONTAL)
    assert set(zip(*(side.tolist() for side in found), strict=True)) == pairs
    assert found[0].size == 6


def test_uaci_from_a_plain_image_is_the_mean_over_all_noise_there_is() -> None:
    plain = np.array([[[0, 65535, 40000], [1, 32768, 300]]], np.uint16)
    every = np.arange(65536, dtype=np.int64)
    expected = np.mean([np.abs(every - int(value)).mean() for value in plain.ravel()]) / 65535 * 100
    assert metrics.uaci_from(plain) == pytest.approx(expected)
    # And the squared error, of the same image and noise, from UACI alone.
    error = np.mean([((every - int(value)) ** 2).mean() for value in plain.ravel()])
    assert metrics.mse_of_uaci(expected, 16) == pytest.approx(error)


def test_noise_in_colour_of_16_bits_is_taken_for_noise_however_few_its_samples() -> None:
    images = [noise(n, 40, 100, 3, dtype=np.uint16) for n in range(300)]
    chances = np.array([metrics.uniformity(image)[1] for image in images])
    assert 0.02 < np.mean(chances < 0.05) < 0.09
    assert 0.4 < chances.mean() < 0.6
    found = np.mean([metrics.entropy(image) for image in images])
    assert metrics.noise_entropy(12_000, 16) == pytest.approx(found, abs=0.001)
    r = [metrics.adjacent_correlation(image, Direction.VERTICAL) for image in images]
    assert np.std(r) == pytest.approx(1 / math.sqrt(39 * 100 * 3), rel=0.2)
    local = metrics.local_entropy_bounds(16, channels=3)
    large = [noise(n, 264, 220, 3, dtype=np.uint16) for n in range(100)]
    inside = [local.low <= metrics.local_entropy(each, np.random.default_rng(1)) <= local.high for each in large]
    assert 0.88 < np.mean(inside) < 1
    # One value in sixteen bits too many, a hundred times, does not pass.
    assert (
        metrics.uniformity(np.where(np.arange(12_000).reshape(40, 100, 3) < 100, 7, images[0]).astype(np.uint16))[1]
        < 1e-9
    )


@given(IMAGES)
def test_an_image_and_itself(image: np.ndarray) -> None:
    assert metrics.npcr(image, image) == metrics.uaci(image, image) == metrics.mse(image, image) == 0
    assert metrics.psnr(image, image) == math.inf


@given(IMAGES)
def test_an_image_and_its_complement(image: np.ndarray) -> None:
    largest = np.iinfo(image.dtype).max
    other = (largest - image).astype(image.dtype)
    plain = [int(value) for value in image.ravel()]
    differences = [abs(largest - 2 * value) for value in plain]
    assert metrics.npcr(image, other) == 100
    assert metrics.uaci(image, other) == pytest.approx(100 * sum(differences) / len(plain) / largest)
    assert metrics.mse(image, other) == pytest.approx(sum(each**2 for each in differences) / len(plain))
    assert metrics.entropy(image) == pytest.approx(metrics.entropy(other))


def test_entropy_counts_what_can_happen() -> None:
    assert metrics.entropy(np.zeros((4, 4), np.uint8)) == 0
    assert metrics.entropy(np.arange(256, dtype=np.uint8).reshape(16, 16)) == 8
    assert metrics.entropy(np.arange(65_536, dtype=np.uint16).reshape(256, 256)) == 16
    assert metrics.entropy(np.array([[0, 0], [0, 255]], np.uint8)) == pytest.approx(0.811278, abs=1e-6)


@pytest.mark.parametrize(("side", "dtype"), [(44, np.uint8), (300, np.uint8), (128, np.uint16), (700, np.uint16)])
def test_noise_has_the_entropy_that_theory_says(side: int, dtype: type) -> None:
    bits = 8 * np.dtype(dtype).itemsize
    found = np.mean([metrics.entropy(noise(n, side, side, dtype=dtype)) for n in range(20)])
    assert metrics.noise_entropy(side * side, bits) == pytest.approx(found, abs=0.01)
    assert metrics.noise_entropy(1936, 8) == pytest.approx(metrics.local_entropy_bounds(8).mean, abs=1e-9)


def test_local_entropy_of_noise_is_what_theory_says() -> None:
    bounds = metrics.local_entropy_bounds(8)
    assert bounds.mean == pytest.approx(7.902469317, abs=1e-8)  # Wu et al. 2013, table 2
    values = [metrics.local_entropy(noise(n, 512, 512), np.random.default_rng(n)) for n in range(200)]
    assert 0.91 < np.mean([bounds.low <= value <= bounds.high for value in values]) < 0.99
    # The bounds that they print are narrower by the root of thirty, and noise itself mostly lies outside.
    assert np.mean([7.901901305 <= value <= 7.903037329 for value in values]) < 0.4
    assert (bounds.high - bounds.low) / (7.903037329 - 7.901901305) == pytest.approx(math.sqrt(30), rel=0.01)
    of_colour = metrics.local_entropy_bounds(8, channels=3)
    values = [metrics.local_entropy(noise(n, 300, 300, 3), np.random.default_rng(n)) for n in range(200)]
    assert 0.91 < np.mean([of_colour.low <= value <= of_colour.high for value in values]) < 0.99
    with pytest.raises(UsageError):
        metrics.local_entropy(noise(1, 100, 100), np.random.default_rng(1))


def test_a_gradient_is_correlated_and_noise_is_not() -> None:
    gradient = np.add.outer(np.arange(128), np.arange(128)).astype(np.uint8)
    for direction in Direction:
        assert metrics.adjacent_correlation(gradient, direction) > 0.9999
        assert abs(metrics.adjacent_correlation(noise(1, 256, 256), direction)) < 0.02
    assert math.isnan(metrics.adjacent_correlation(np.zeros((4, 4), np.uint8), Direction.VERTICAL))


def test_correlation_is_pearsons_of_the_very_neighbours() -> None:
    image = noise(5, 7, 9, 3)
    pairs = [
        (float(image[y, x, c]), float(image[y + 1, x + 1, c])) for y in range(6) for x in range(8) for c in range(3)
    ]
    expected = np.corrcoef(np.array(pairs).T)[0, 1]
    assert metrics.adjacent_correlation(image, Direction.DIAGONAL) == pytest.approx(expected)


def test_random_pairs_estimate_all_pairs() -> None:
    smooth = np.cumsum(noise(2, 64, 64).astype(np.int64) - 127, axis=1).clip(-8000, 8000).astype(np.int64) + 8000
    image = smooth.astype(np.uint16)
    all_pairs = metrics.adjacent_correlation(image, Direction.HORIZONTAL)
    some = metrics.adjacent_correlation(image, Direction.HORIZONTAL, pairs=2000, generator=np.random.default_rng(1))
    assert some == pytest.approx(all_pairs, abs=0.05)
    with pytest.raises(UsageError):
        metrics.adjacent_correlation(image, Direction.HORIZONTAL, pairs=2000)


def test_a_flat_histogram_passes_and_a_crooked_one_does_not() -> None:
    assert metrics.uniformity(noise(1, 256, 256))[1] > 0.01
    assert metrics.uniformity(noise(1, 256, 256) | 1)[1] < 1e-9
    statistic, p = metrics.uniformity(np.arange(256, dtype=np.uint8).reshape(16, 16))
    assert (statistic, p) == (0, 1)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_uaci_between_a_plain_image_and_noise_follows_from_the_plain_image_alone(dtype: type) -> None:
    plain = (noise(3, 300, 300, dtype=dtype) >> 2).astype(dtype)  # dark: only a quarter of the range
    assert metrics.uaci(plain, noise(4, 300, 300, dtype=dtype)) == pytest.approx(metrics.uaci_from(plain), abs=0.3)
    assert metrics.uaci_from(np.zeros((2, 2), dtype)) == pytest.approx(50)


def test_what_cannot_be_compared_is_refused() -> None:
    for first, second in (
        (noise(1, 4, 4), noise(1, 4, 5)),
        (noise(1, 4, 4), noise(1, 4, 4, dtype=np.uint16)),
        (np.zeros((0, 4), np.uint8), np.zeros((0, 4), np.uint8)),
    ):
        with pytest.raises(UsageError):
            metrics.npcr(first, second)
    with pytest.raises(UsageError):
        metrics.entropy(np.zeros((2, 2)))
