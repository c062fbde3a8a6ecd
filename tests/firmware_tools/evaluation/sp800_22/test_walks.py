"""The examples of the text, and where a walk has no cycles."""

from __future__ import annotations

import numpy as np
import pytest

from firmware_tools.evaluation.sp800_22 import walks
from tests.firmware_tools.evaluation.sp800_22.sequences import BITS, HUNDRED


def test_the_examples_of_the_text() -> None:
    assert walks.cumulative_sums(HUNDRED) == pytest.approx((0.219194, 0.114866), abs=1e-6)


def test_excursions_do_not_apply_to_a_walk_that_never_comes_back() -> None:
    never_back = np.ones(BITS, np.uint8)
    assert walks.random_excursions(never_back) == ()
    assert walks.random_excursions_variant(never_back) == ()
