"""Keys are counted as papers count them, and none beyond 256 bits is called work."""

from __future__ import annotations

import math

import pytest

from firmware_tools.evaluation.keyspace import key_spaces


def test_nothing_an_attacker_must_try_is_more_than_the_secret() -> None:
    found = list(key_spaces())
    assert max(each.bits for each in found if each.honest) == 256
    assert any(each.bits > 256 for each in found if not each.honest)


def test_counts_follow_from_their_numbers() -> None:
    bits = {each.counted: each.bits for each in key_spaces(side=2)}
    # 2! xindex, 2! yindex, 256^4 zkey.
    assert bits["all key files of 2 x 2 bytes: xindex, yindex, zkey"] == pytest.approx(34)
    assert bits["time stamps of ten years, to the second"] == pytest.approx(math.log2(315_576_000))
    published = 80 * 80 * 80 * 500 * 10**52 * 256**2
    assert bits["x1 to x4 in their ranges, 13 digits each, and two bytes"] == pytest.approx(math.log2(published))
