"""The fifteen tests give NIST's own P-values, see what they are there to see, and many sequences are assessed together."""

from __future__ import annotations

import math

import pytest

from firmware_tools.evaluation.sp800_22.assessment import SIGNIFICANCE, TESTS, Assessment, assess
from tests.firmware_tools.evaluation.sp800_22.sequences import biased, e, periodic, pi, random_bits, register, sticky

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
        assert min(TESTS[test](good)) > SIGNIFICANCE, f"{test} refuses a good sequence"
        assert min(TESTS[test](weakness(good))) < 1e-6, f"{test} does not see it"


def test_many_good_sequences_pass_and_one_repeated_does_not() -> None:
    names = ("frequency", "runs", "cumulative sums")
    chosen = {name: TESTS[name] for name in names}
    good = assess([random_bits(seed, 10_000) for seed in range(100)], chosen)
    assert [each.test for each in good] == ["frequency", "runs", "cumulative sums", "cumulative sums"]
    assert all(each.passed and each.sequences == 100 for each in good)
    assert good[0].needed == pytest.approx(0.960150, abs=1e-6)  # section 4.2.1, for 100 sequences
    assert not any(each.passed for each in assess([random_bits(1, 10_000)] * 100, chosen))
    assert not assess([biased(random_bits(seed, 100_000)) for seed in range(100)], chosen)[0].passed


def test_how_often_random_bits_miss_an_assessment_is_the_binomial_chance() -> None:
    def chance(sequences: int, needed: float) -> float:
        return Assessment("frequency", 0, sequences, 1.0, needed, 0.5).chance

    below = sum(math.comb(100, k) * 0.99**k * 0.01 ** (100 - k) for k in range(97))
    assert chance(100, 0.96015) == pytest.approx(below + 0.0001)
    assert chance(100, 0.96) < chance(100, 0.96015)
