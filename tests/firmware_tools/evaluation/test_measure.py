"""Files become samples as the product decodes them, and every figure of a way on an image is what it says."""

from __future__ import annotations

import io
import math
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from edge.errors import UsageError
from firmware_tools.evaluation import metrics, pictures
from firmware_tools.evaluation.dynamics import Cycles
from firmware_tools.evaluation.images import Sample, read_images
from firmware_tools.evaluation.measure import Measured, measure_all
from firmware_tools.evaluation.speed import Timed
from firmware_tools.evaluation.ways import ways

MOMENT = datetime(2026, 11, 21, 9, 30, 0)
CHOSEN = [way for way in ways() if way.name in {"logistic bare", "hyperlorenz-dna wide", "aes-256-ctr"}]
GRAY = (np.add.outer(np.arange(300), np.arange(260)) // 3).astype(np.uint8)


def test_files_are_read_as_they_are_and_what_is_no_image_is_named_with_its_reason(tmp_path: Path) -> None:
    colour = np.stack([GRAY, GRAY.T[:260, :300].repeat(2, axis=0)[:300, :260], 255 - GRAY], axis=2)
    deep = (GRAY.astype(np.uint16) * 251).astype(np.uint16)
    for name, samples in (("a.png", GRAY), ("b.png", colour), ("c.png", deep), ("tiny.png", GRAY[:8, :8])):
        Pillow.fromarray(samples).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    found = list(read_images([tmp_path]))
    samples = {each.name: each.samples for each in found if isinstance(each, Sample)}
    assert samples.keys() == {"a.png", "b.png", "c.png"}
    for name, expected in (("a.png", GRAY), ("b.png", colour), ("c.png", deep)):
        assert samples[name].dtype == expected.dtype
        assert np.array_equal(samples[name], expected)
    assert {each[0] for each in found if isinstance(each, tuple)} == {"tiny.png", "notes.txt", "cut.png"}
    assert [each.name for each in read_images([tmp_path / "b.png"]) if isinstance(each, Sample)] == ["b.png"]
    with pytest.raises(UsageError):
        list(read_images([tmp_path / "gone.png"]))


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


def test_pictures_are_drawn() -> None:
    deep = GRAY.astype(np.uint16) * 200
    generator = np.random.default_rng(1)
    drawn = [
        pictures.journey(GRAY, 255 - GRAY, GRAY),
        pictures.journey(deep, deep, deep),
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
