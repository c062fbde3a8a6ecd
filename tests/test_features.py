"""Deep features as the cipher and the hospital use them: their bits, and how alike two images are."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelFailed
from edge.features import pattern_from_features, similarities

VECTORS = st.binary(min_size=1000, max_size=1000)


def vector(*starts):
    """Return features that begin with these numbers and are zero behind them."""
    return np.array([*starts, *[0] * (1000 - len(starts))], np.int8).tobytes()


def test_a_bit_is_one_where_the_feature_is_above_zero_the_first_in_the_highest_bit():
    pattern = pattern_from_features(vector(1, 0, -1, 127, -128, 0, 0, 5, 3))
    assert pattern[:2] == bytes([0b10010001, 0b10000000])
    assert len(pattern) == 125


@given(VECTORS)
def test_every_feature_has_its_bit(values):
    bits = "".join(f"{byte:08b}" for byte in pattern_from_features(values))
    assert bits == "".join("1" if 0 < value < 128 else "0" for value in values)


@pytest.mark.parametrize("count", [0, 999, 1001])
def test_another_number_of_features_is_refused(count):
    with pytest.raises(ModelFailed):
        pattern_from_features(bytes(count))


def test_likeness_is_the_cosine():
    found = similarities(vector(3, 4), [vector(3, 4), vector(-3, -4), vector(4, -3), vector(4, 3), vector()])
    assert found.tolist() == pytest.approx([1, -1, 0, 24 / 25, 0])
    assert similarities(vector(), [vector(1)]).tolist() == [0]
    assert similarities(vector(1), []).tolist() == []


@given(VECTORS, VECTORS)
def test_likeness_goes_both_ways_and_stays_in_range(one, other):
    [there], [back] = similarities(one, [other]), similarities(other, [one])
    assert there == pytest.approx(back)
    assert -1.0000001 <= there <= 1.0000001
