"""The fifteen tests give NIST's own P-values, and see what they are there to see."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest

from edge.errors import UsageError
from firmware_tools.evaluation import sp800_22
from firmware_tools.evaluation.sp800_22 import TESTS, Assessment, assess

BITS = 1_000_000


def bits_of(number: int) -> np.ndarray:
    """Return the first bits of a number's binary expansion."""
    text = bin(number)[2 : 2 + BITS]
    return (np.frombuffer(text.encode(), np.uint8) - ord("0")).astype(np.uint8)


def split(first: int, last: int, term) -> tuple[int, int, int]:
    """Sum a hypergeometric series exactly by binary splitting; return P, Q, T with T / Q its sum."""
    if last - first == 1:
        return term(first)
    middle = (first + last) // 2
    p, q, t = split(first, middle, term)
    p_, q_, t_ = split(middle, last, term)
    return p * p_, q * q_, t * q_ + p * t_


@cache
def pi() -> np.ndarray:
    """Return 1,000,000 bits of pi (Chudnovsky and Chudnovsky 1988)."""

    def term(k: int) -> tuple[int, int, int]:
        if k == 0:
            return 1, 1, 13591409
        p = -(6 * k - 5) * (2 * k - 1) * (6 * k - 1)
        return p, k**3 * (640320**3 // 24), p * (13591409 + 545140134 * k)

    guard = BITS + 64
    _, q, t = split(0, guard // 47 + 2, term)
    return bits_of(q * 426880 * math.isqrt(10005 << (2 * guard)) // t)


@cache
def e() -> np.ndarray:
    """Return 1,000,000 bits of e, the sum of 1 / k!."""
    _, q, t = split(0, 80_000, lambda k: (1, max(k, 1), 1))
    return bits_of((t << (BITS + 64)) // q)


@cache
def root(of: int) -> np.ndarray:
    """Return 1,000,000 bits of a square root."""
    return bits_of(math.isqrt(of << (2 * (BITS + 64))))


# SP 800-22 Rev. 1a, Appendix B: of tests with several P-values the one named there.
NAMED = {"random excursions": 4, "random excursions variant": 8}
PUBLISHED = {
    "pi": {
        "frequency": 0.578211,
        "block frequency": 0.380615,
        "cumulative sums": 0.628308,
        "runs": 0.419268,
        "longest run": 0.024390,
        "rank": 0.083553,
        "spectral": 0.010186,
        "non-overlapping templates": 0.165757,
        "overlapping templates": 0.296897,
        "universal": 0.669012,
        "approximate entropy": 0.361595,
        "random excursions": 0.844143,
        "random excursions variant": 0.760966,
        "linear complexity": 0.255475,
        "serial": 0.143005,
    },
    "e": {
        "frequency": 0.953749,
        "block frequency": 0.211072,
        "cumulative sums": 0.669887,
        "runs": 0.561917,
        "longest run": 0.718945,
        "rank": 0.306156,
        "spectral": 0.847187,
        "non-overlapping templates": 0.078790,
        "overlapping templates": 0.110434,
        "universal": 0.282568,
        "approximate entropy": 0.700073,
        "random excursions": 0.786868,
        "random excursions variant": 0.826009,
        "linear complexity": 0.826335,
        "serial": 0.766182,
    },
}
# They are printed with six digits, and NIST's program has an error function of its own.
BACKWARD = {"pi": 0.663369, "e": 0.724266}
EXPANSIONS = {"pi": pi, "e": e}


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("test", TESTS)
def test_each_test_gives_the_p_value_that_nist_published(name: str, test: str) -> None:
    values = TESTS[test](EXPANSIONS[name]())
    assert values[NAMED.get(test, 0)] == pytest.approx(PUBLISHED[name][test], abs=1e-6)
    if test == "cumulative sums":
        assert values[1] == pytest.approx(BACKWARD[name], abs=1e-6)


# The example of sections 2.1.8, 2.2.8, 2.3.8 and 2.13.8: the first hundred bits of pi.
HUNDRED = "1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000"


def test_the_examples_of_the_text() -> None:
    bits = bits_of(int(HUNDRED, 2))
    assert bits.size == 100
    assert sp800_22.frequency(bits)[0] == pytest.approx(0.109599, abs=1e-6)
    assert sp800_22.block_frequency(bits, 10)[0] == pytest.approx(0.706438, abs=1e-6)
    assert sp800_22.runs(bits)[0] == pytest.approx(0.500798, abs=1e-6)
    assert sp800_22.cumulative_sums(bits) == pytest.approx((0.219194, 0.114866), abs=1e-6)


def test_a_linear_complexity_is_the_length_of_the_shortest_register() -> None:
    # Section 2.10.4: 1101011110001 comes from a register of 4; zeros from none; 0...01 from one as long as itself.
    blocks = np.array([[int(bit) for bit in word] for word in ("1101011110001", "0" * 13, "0" * 12 + "1")], np.uint8)
    assert sp800_22._complexities(blocks).tolist() == [4, 0, 13]


def test_ranks_are_those_of_elimination_over_two_elements() -> None:
    identity = np.uint32(1) << np.arange(32, dtype=np.uint32)
    repeated = identity.copy()
    repeated[5] = repeated[6] ^ repeated[7]
    matrices = np.stack([identity, identity[::-1], repeated, np.zeros(32, np.uint32), np.full(32, 7, np.uint32)])
    assert sp800_22._ranks(matrices).tolist() == [32, 32, 31, 0, 1]


def random_bits(seed: int, count: int = BITS) -> np.ndarray:
    """Return bits of a good generator."""
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def biased(bits: np.ndarray) -> np.ndarray:
    """Turn four zeros of a hundred into ones."""
    return bits | (np.random.default_rng(9).random(bits.size) < 0.04)


def sticky(bits: np.ndarray) -> np.ndarray:
    """Let each bit equal the one before a little more often than every other time."""
    again = np.random.default_rng(9).random(bits.size) < 0.55
    return (np.cumsum(~again) & 1).astype(np.uint8)


def periodic(bits: np.ndarray) -> np.ndarray:
    """Repeat five hundred bits."""
    return np.tile(bits[:500], bits.size // 500)


def register(bits: np.ndarray) -> np.ndarray:
    """Give the bits of a register of 31 with two taps, x^31 + x^3 + 1: well spread, and predictable from 62 of them."""
    state = [int(bit) for bit in bits[:31]]
    for _ in range(bits.size - 31):
        state.append(state[-31] ^ state[-3])
    return np.array(state, np.uint8)


@pytest.mark.parametrize(
    ("weakness", "tests"),
    [
        (biased, {"frequency", "block frequency", "cumulative sums"}),
        (sticky, {"runs", "serial", "approximate entropy"}),
        (periodic, {"spectral", "universal", "serial"}),
        (register, {"linear complexity", "rank"}),
    ],
)
def test_a_weak_sequence_fails_the_tests_made_for_its_weakness(weakness, tests: set[str]) -> None:
    good = random_bits(3)
    for test in tests:
        assert min(TESTS[test](good)) > sp800_22.SIGNIFICANCE, f"{test} refuses a good sequence"
        assert min(TESTS[test](weakness(good))) < 1e-6, f"{test} does not see it"


def test_tests_that_do_not_apply_say_so() -> None:
    never_back = np.ones(BITS, np.uint8)
    assert sp800_22.random_excursions(never_back) == ()
    assert sp800_22.random_excursions_variant(never_back) == ()
    assert sp800_22.runs(never_back) == (0.0,)
    for test in (sp800_22.longest_run, sp800_22.universal):
        with pytest.raises(UsageError):
            test(random_bits(1, 100))


def test_many_good_sequences_pass_and_one_repeated_does_not() -> None:
    names = ("frequency", "runs", "cumulative sums")
    chosen = {name: TESTS[name] for name in names}
    good = assess([random_bits(seed, 10_000) for seed in range(100)], chosen)
    assert [each.test for each in good] == ["frequency", "runs", "cumulative sums", "cumulative sums"]
    assert all(each.passed and each.sequences == 100 for each in good)
    assert good[0].needed == pytest.approx(0.960150, abs=1e-6)  # section 4.2.1, for 100 sequences
    assert not any(each.passed for each in assess([random_bits(1, 10_000)] * 100, chosen))
    assert not assess([biased(random_bits(seed, 100_000)) for seed in range(100)], chosen)[0].passed


def test_there_are_as_many_templates_as_nist_has() -> None:
    # Table of section 2.7.2: 2, 4, 6, 12, 20, 40, 74, 148, 284 for 2 to 10 bits.
    assert [len(sp800_22.aperiodic_templates(bits)) for bits in range(2, 11)] == [2, 4, 6, 12, 20, 40, 74, 148, 284]


def test_how_often_random_bits_miss_an_assessment_is_the_binomial_chance() -> None:
    def chance(sequences: int, needed: float) -> float:
        return Assessment("frequency", 0, sequences, 1.0, needed, 0.5).chance

    below = sum(math.comb(100, k) * 0.99**k * 0.01 ** (100 - k) for k in range(97))
    assert chance(100, 0.96015) == pytest.approx(below + 0.0001)
    assert chance(100, 0.96) < chance(100, 0.96015)
