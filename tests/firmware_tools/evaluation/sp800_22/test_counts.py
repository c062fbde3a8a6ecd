"""The examples of the text, and what there are too few bits for."""

from __future__ import annotations

import numpy as np
import pytest

from edge.errors import UsageError
from firmware_tools.evaluation.sp800_22 import counts
from tests.firmware_tools.evaluation.sp800_22.sequences import BITS, HUNDRED, random_bits


def test_the_examples_of_the_text() -> None:
    assert HUNDRED.size == 100
    assert counts.frequency(HUNDRED)[0] == pytest.approx(0.109599, abs=1e-6)
    assert counts.block_frequency(HUNDRED, 10)[0] == pytest.approx(0.706438, abs=1e-6)
    assert counts.runs(HUNDRED)[0] == pytest.approx(0.500798, abs=1e-6)


def test_where_the_frequency_fails_there_are_no_runs_to_count() -> None:
    assert counts.runs(np.ones(BITS, np.uint8)) == (0.0,)


def test_longest_runs_need_enough_bits() -> None:
    with pytest.raises(UsageError):
        counts.longest_run(random_bits(1, 100))
