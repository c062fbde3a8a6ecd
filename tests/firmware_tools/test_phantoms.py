"""The training images must follow from their seed alone, have the network's shape, and vary within every kind."""

import numpy as np
import pytest

from firmware_tools.phantoms import LARGEST_SIDE, SMALLEST_SIDE, Kind, Modality, draw, labels

SIDE = 64
# What colours these is part of the picture; all others are gray but for rare tints.
COLOURED = {
    Kind.FUNDUS_COLOUR,
    Kind.FUNDUS_DETAIL,
    Kind.US_SECTOR,
    Kind.US_LINEAR,
    Kind.OTHER_PHOTO,
    Kind.OTHER_GRAPHIC,
}


@pytest.fixture(scope="module")
def drawn():
    """Give twenty pictures of each kind; a warning on the way is an error."""
    return {kind: np.stack([draw(kind, np.random.default_rng([7, i]), SIDE) for i in range(20)]) for kind in Kind}


@pytest.mark.parametrize("kind", Kind)
def test_a_picture_is_what_the_network_takes(drawn, kind):
    assert (drawn[kind].shape, drawn[kind].dtype) == ((20, SIDE, SIDE, 3), np.uint8)
    brightest = drawn[kind].reshape(20, -1).max(axis=1)
    assert np.count_nonzero(brightest > 60) >= 18


@pytest.mark.parametrize("kind", Kind)
def test_one_seed_gives_one_picture_and_another_seed_another(drawn, kind):
    assert np.array_equal(draw(kind, np.random.default_rng([7, 3]), SIDE), drawn[kind][3])
    assert len({picture.tobytes() for picture in drawn[kind]}) == 20


def test_a_generator_that_went_on_gives_another_picture():
    rng = np.random.default_rng(1)
    first = draw(Kind.CT_HEAD, rng, SIDE)
    assert not np.array_equal(draw(Kind.CT_HEAD, rng, SIDE), first)


def test_the_global_random_state_is_neither_read_nor_touched():
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    for kind in Kind:
        draw(kind, np.random.default_rng(5), SMALLEST_SIDE)
    assert np.array_equal(np.random.get_state()[1], before)  # noqa: NPY002


@pytest.mark.parametrize("kind", sorted(set(Kind) - COLOURED))
def test_gray_kinds_are_gray_but_for_rare_tints(drawn, kind):
    gray = [np.array_equal(p[..., 0], p[..., 1]) and np.array_equal(p[..., 1], p[..., 2]) for p in drawn[kind]]
    assert sum(gray) >= 16


def test_photographs_of_the_retina_are_coloured(drawn):
    red, _, blue = np.moveaxis(drawn[Kind.FUNDUS_COLOUR].reshape(-1, 3).astype(float).T, 0, 0)
    assert red.mean() > 1.5 * blue.mean()


@pytest.mark.parametrize("kind", Kind)
def test_pictures_of_a_kind_vary_in_brightness_contrast_and_place(drawn, kind):
    pictures = drawn[kind].mean(axis=3)
    assert pictures.mean(axis=(1, 2)).std() > 8
    assert pictures.std(axis=(1, 2)).std() > 5
    # No pixel is the same in all pictures, but for corners that a round field or a black border leaves out.
    assert np.median(pictures.std(axis=0)) > 20


def test_pictures_are_letterboxed_on_black_at_many_aspect_ratios(drawn):
    heights = {int(np.count_nonzero(p.max(axis=(1, 2)) > 0)) for kind in Kind for p in drawn[kind]}
    widths = {int(np.count_nonzero(p.max(axis=(0, 2)) > 0)) for kind in Kind for p in drawn[kind]}
    assert len(heights) > 20
    assert len(widths) > 20


@pytest.mark.parametrize("side", [SMALLEST_SIDE, 33, 151])
def test_any_side_is_drawn_at_that_side(side):
    for kind in Kind:
        assert draw(kind, np.random.default_rng(2), side).shape == (side, side, 3)


@pytest.mark.parametrize("side", [-1, 0, SMALLEST_SIDE - 1, LARGEST_SIDE + 1])
def test_an_impossible_side_is_named(side):
    with pytest.raises(ValueError, match=f"a side of {side} pixels"):
        draw(Kind.XRAY_CHEST_PA, np.random.default_rng(1), side)


def test_labels_number_modalities_and_kinds():
    assert [labels(kind)[1] for kind in Kind] == list(range(len(Kind)))
    assert {labels(kind)[0] for kind in Kind} == set(range(len(Modality)))
    for kind in Kind:
        assert list(Modality)[labels(kind)[0]] is kind.modality


def test_every_modality_has_kinds_that_name_it():
    assert Kind("xray-chest-pa").modality is Modality.XRAY
    assert Kind("us-sector").modality is Modality.ULTRASOUND
    assert Kind("other-photo").modality is Modality.OTHER
