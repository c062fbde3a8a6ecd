"""The bare cipher gives back what was not damaged; the product gives back nothing."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from firmware_tools.evaluation.refusal import TRIED, one_bit_changed
from firmware_tools.evaluation.robustness import DAMAGES, deciphered, robustness
from firmware_tools.evaluation.ways import ways

MOMENT = datetime(2026, 11, 21, 9, 30, 0)
WAYS = {way.name: way for way in ways()}
GRAY = (np.add.outer(np.arange(96), np.arange(128)) // 2).astype(np.uint8)


@pytest.mark.parametrize("name", ["logistic bare", "lorenz bare", "aes-256-ctr"])
@pytest.mark.parametrize("image", [GRAY, GRAY.astype(np.uint16) * 200], ids=["8 bit", "16 bit"])
def test_a_key_stream_loses_exactly_what_is_damaged(name: str, image: np.ndarray) -> None:
    way = WAYS[name]
    found = list(robustness(way, image, way.key(image, MOMENT), np.random.default_rng(3)))
    assert [each.damage for each in found] == list(DAMAGES)
    for each in found:
        assert each.exact == pytest.approx(100 - each.touched)
    assert found[0].touched == pytest.approx(100 / image.size)


def test_cipher_b_spreads_damage_to_neighbours_only() -> None:
    way = WAYS["hyperlorenz-dna wide"]
    found = list(robustness(way, GRAY, way.key(GRAY, MOMENT), np.random.default_rng(3)))
    for each in found:
        assert 100 - 20 * each.touched <= each.exact < 100


def test_what_is_cropped_is_black() -> None:
    way = WAYS["aes-256-ctr"]
    damaged, _ = deciphered(way, GRAY, way.key(GRAY, MOMENT), "a quarter cropped", np.random.default_rng(3))
    assert not damaged[24:72, 32:96].any()


def test_the_product_refuses_every_changed_bit() -> None:
    found = one_bit_changed(GRAY, np.random.default_rng(3))
    assert (found.tried, found.by_signature, found.by_seal) == (TRIED, TRIED, TRIED)
