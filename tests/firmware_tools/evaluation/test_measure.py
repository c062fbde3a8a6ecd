"""Every figure of a way on an image is what it says, and pictures are drawn of all kinds of samples."""

from __future__ import annotations

import io
import math
from datetime import datetime

import numpy as np
import pytest
from PIL import Image as Pillow

from firmware_tools.evaluation import metrics, pictures
from firmware_tools.evaluation.dynamics import Cycles
from firmware_tools.evaluation.images import Sample
from firmware_tools.evaluation.measure import Measured, measure_all
from firmware_tools.evaluation.speed import Timed
from firmware_tools.evaluation.ways import ways

MOMENT = datetime(2026, 11, 21, 9, 30, 0)
CHOSEN = [way for way in ways() if way.name in {"logistic bare", "hyperlorenz-dna wide", "aes-256-ctr"}]
GRAY = (np.add.outer(np.arange(300), np.arange(260)) // 3).astype(np.uint8)


@pytest.fixture(scope="module")
def measured() -> dict[str, Measured]:
    """Measure some ways on one image."""
    return {each.way: each for each in measure_all(CHOSEN, Sample("a.png", GRAY, MOMENT), seed=1)}


def test_every_way_gives_the_image_back_and_noise_between(measured: dict[str, Measured]) -> None:
    assert set(measured) == {way.name for way in CHOSEN}
    for each in measured.values():
        assert (each.mse_back, each.psnr_back) == (0, math.inf)
        assert each.shape == (300, 260, 1)
        assert each.bits == 8
        assert each.cipher.entropy > 7.99
        assert each.cipher.chi_square_p > 1e-6
        assert each.cipher.local_entropy is not None
        assert each.cipher.local_entropy == pytest.approx(each.local_bounds.mean, abs=0.01)
        assert all(abs(correlation.all_pairs) < 0.03 for correlation in each.cipher.correlations)
        assert all(correlation.all_pairs > 0.99 for correlation in each.plain.correlations)
        assert each.psnr < 12
        assert min(each.encipher_seconds, each.decipher_seconds) > 0


def test_uaci_against_the_plain_image_is_what_the_plain_image_says(measured: dict[str, Measured]) -> None:
    expected = metrics.uaci_from(GRAY)
    for each in measured.values():
        assert each.uaci_expected == expected
        assert each.against_plain.uaci == pytest.approx(expected, abs=0.3)


def test_figures_of_the_plain_image_do_not_depend_on_the_way(measured: dict[str, Measured]) -> None:
    assert len({each.plain for each in measured.values()}) == 1


def test_one_changed_pixel_is_measured_of_system_and_cipher(measured: dict[str, Measured]) -> None:
    assert measured["logistic bare"].core.npcr == pytest.approx(100 / GRAY.size)
    assert measured["hyperlorenz-dna wide"].core.npcr > 1
    assert all(each.system.npcr > 99 for each in measured.values())


def deep_colour() -> np.ndarray:
    """Return something smooth in 16-bit colour, whose lowest bits are used too."""
    y, x = np.mgrid[0:280, 0:230]
    return np.stack([180 * y + x, 150 * x + y, 100 * (x + y) + 77], axis=2).astype(np.uint16)


def test_colour_of_16_bits_is_measured_as_such() -> None:
    image = deep_colour()
    # Keys are drawn anew in each run: what noise does once in a million runs is no failure.
    local = metrics.local_entropy_bounds(16, 1e-6, channels=3)
    for each in measure_all(CHOSEN, Sample("deep.tif", image, MOMENT), seed=1):
        assert (each.shape, each.bits) == ((280, 230, 3), 16)
        assert (each.mse_back, each.psnr_back) == (0, math.inf)
        assert each.noise_entropy == metrics.noise_entropy(280 * 230 * 3, 16)
        assert each.cipher.entropy == pytest.approx(each.noise_entropy, abs=0.01)
        assert local.low < each.cipher.local_entropy < local.high
        assert each.cipher.chi_square_p > 1e-6
        assert all(abs(correlation.all_pairs) < 0.025 for correlation in each.cipher.correlations)
        assert each.against_plain.uaci == pytest.approx(each.uaci_expected, abs=0.3)
        assert each.mse == pytest.approx(metrics.mse_of_uaci(each.uaci_expected, 16), rel=0.02)
        assert each.system.npcr > 99.98
        assert each.system.uaci == pytest.approx(100 / 3, abs=0.3)
        assert each.system.npcr_bounds == metrics.npcr_bounds(image.size, 16)
        if each.way != "hyperlorenz-dna wide":
            assert each.core.npcr == pytest.approx(100 / image.size)


def test_a_picture_in_16_bit_colour_keeps_its_colours() -> None:
    orange = np.zeros((40, 40, 3), np.uint16)
    orange[:, 20:] = (60_000, 30_000, 0)
    shown = pictures._eight_bits(orange)
    assert shown.dtype == np.uint8
    assert shown[0, 0].tolist() == [0, 0, 0]
    assert shown[0, 30].tolist() == [255, 127, 0]


def test_pictures_are_drawn() -> None:
    deep = GRAY.astype(np.uint16) * 200
    colour = deep_colour()
    generator = np.random.default_rng(1)
    drawn = [
        pictures.journey(GRAY, 255 - GRAY, GRAY),
        pictures.journey(deep, deep, deep),
        pictures.journey(colour, colour[::-1], colour),
        pictures.neighbours(colour, colour[::-1], generator),
        pictures.neighbours(GRAY, 255 - GRAY, generator),
        pictures.bifurcation(np.array([3.9998, 4.0]), np.array([0.68, 0.69]), [3.9999]),
        pictures.attractor(np.array([[0.0, 1.0, 2.0], [1.0, 0.0, 1.0]]), "title"),
        pictures.cycles([Cycles(16, 3.9, (5, 0, 7), 100), Cycles(32, 3.9, (0,), 100)]),
        pictures.side_by_side([("a", GRAY), ("b", deep)]),
        pictures.timings([Timed("a", side, 1, 8, key=0.1, encipher=side / 1e6, decipher=0.1) for side in (256, 512)]),
    ]
    for png in drawn:
        with Pillow.open(io.BytesIO(png)) as picture:
            picture.load()
            assert picture.width >= 400
            assert len(np.unique(np.asarray(picture.convert("L")))) > 10
