"""Templates are as many as NIST has, and Maurer's test needs its bits."""

from __future__ import annotations

import pytest

from edge.errors import UsageError
from firmware_tools.evaluation.sp800_22 import words
from tests.firmware_tools.evaluation.sp800_22.sequences import random_bits


def test_there_are_as_many_templates_as_nist_has() -> None:
    # Table of section 2.7.2: 2, 4, 6, 12, 20, 40, 74, 148, 284 for 2 to 10 bits.
    assert [len(words.aperiodic_templates(bits)) for bits in range(2, 11)] == [2, 4, 6, 12, 20, 40, 74, 148, 284]


def test_maurers_test_needs_enough_bits() -> None:
    with pytest.raises(UsageError):
        words.universal(random_bits(1, 100))
