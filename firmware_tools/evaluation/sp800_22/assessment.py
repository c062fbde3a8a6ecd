"""Section 4.2: all tests over many sequences, and what the P-values of each say together."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr

from firmware_tools.evaluation.sp800_22 import counts, structure, walks, words
from firmware_tools.evaluation.sp800_22.bits import Bits, PValues, chi_square, classified

BITS_MIN: Final = 1_000_000
"""What NIST recommends for a sequence: below this some tests do not apply."""
SIGNIFICANCE: Final = 0.01
UNIFORMITY: Final = 0.0001
"""What the P-value of P-values must exceed to count as uniform (section 4.2.2)."""

TESTS: Final[Mapping[str, Callable[[Bits], PValues]]] = MappingProxyType(
    {
        "frequency": counts.frequency,
        "block frequency": counts.block_frequency,
        "runs": counts.runs,
        "longest run": counts.longest_run,
        "rank": structure.rank,
        "spectral": structure.spectral,
        "non-overlapping templates": words.non_overlapping_templates,
        "overlapping templates": words.overlapping_templates,
        "universal": words.universal,
        "linear complexity": structure.linear_complexity,
        "serial": words.serial,
        "approximate entropy": words.approximate_entropy,
        "cumulative sums": walks.cumulative_sums,
        "random excursions": walks.random_excursions,
        "random excursions variant": walks.random_excursions_variant,
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
    classes = classified(np.floor(values * 10).astype(np.int64), 10)
    return Assessment(
        test=test,
        part=part,
        sequences=count,
        proportion=float((values >= SIGNIFICANCE).mean()),
        needed=good - 3 * math.sqrt(good * SIGNIFICANCE / count),
        uniformity=chi_square(classes, [0.1] * 10),
    )
