"""What the feature network reads of an image: any depth, any shape, any channels, on one square of bytes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.picture import prepare
from edge.records import SIDE

DTYPES = st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"])


@given(st.tuples(st.integers(1, 40), st.integers(1, 40)), st.booleans(), DTYPES, st.booleans(), st.data())
def test_every_image_has_a_picture(extent, colour, dtype, inverted, data):
    shape = (*extent, 3) if colour else extent
    samples = data.draw(hnp.arrays(dtype, shape, fill=st.nothing()) if dtype[0] != "f" else hnp.arrays(dtype, shape))
    picture = prepare(samples, inverted=inverted)
    assert picture.shape == (SIDE, SIDE, 3)
    assert picture.dtype == np.uint8


def test_bytes_are_taken_as_they_are():
    samples = np.full((224, 224), 77, np.uint8)
    assert (prepare(samples) == 77).all()
    assert (prepare(samples, inverted=True) == 178).all()


def test_colour_stays_colour():
    samples = np.zeros((10, 10, 3), np.uint8)
    samples[..., 1] = 200
    assert (prepare(samples) == (0, 200, 0)).all()


def test_the_whole_image_is_shown_in_its_proportions_on_black():
    picture = prepare(np.full((100, 400), 255, np.uint8))
    lit = picture[..., 0] > 0
    assert lit.any(axis=1).sum() == 56
    assert lit.any(axis=0).all()
    assert lit.any(axis=1)[84:140].all()


def test_wide_samples_are_stretched_between_their_percentiles():
    samples = np.linspace(1000, 3000, 224 * 224).reshape(224, 224).astype(np.int16)
    samples[0, 0] = 32767  # one hot pixel does not decide
    picture = prepare(samples)[..., 0]
    assert (picture.min(), picture.max()) == (0, 255)
    assert abs(int(np.median(picture)) - 127) <= 2


def test_a_flat_image_and_one_that_is_not_finite_are_black():
    assert not prepare(np.full((5, 5), 4000, np.uint16)).any()
    assert not prepare(np.full((5, 5), np.nan)).any()


@pytest.mark.parametrize("shape", [(0, 5), (5, 0), (5,), (5, 5, 2), (5, 5, 4), (1, 5, 5, 3)])
def test_another_shape_is_refused(shape):
    with pytest.raises(ValueError, match="samples"):
        prepare(np.zeros(shape, np.uint8))
