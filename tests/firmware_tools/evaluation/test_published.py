"""Published values stand with their origin, and only what cannot be is said not to be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.published import PUBLISHED, Origin, Published, remarks

ORIGIN = Origin("a cipher", "somebody", "https://doi.org/10.0/0", "abstract")
ALL_FIELDS = ("entropy", "npcr", "uaci", "psnr", "correlations", "seconds", "key_bits")


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda each: each.origin.link)
def test_every_value_has_an_origin_that_can_be_looked_up(published: Published) -> None:
    assert published.origin.link.startswith("https://")
    assert published.origin.read
    assert any(getattr(published, name) is not None for name in ALL_FIELDS)


@given(st.integers(0, 2**32 - 1))
def test_nothing_is_said_against_what_noise_gives(seed: int) -> None:
    generator = np.random.default_rng(seed)
    plain = (generator.integers(0, 256, (1, 256)) // generator.integers(1, 9) + np.zeros((256, 1))).astype(np.uint8)
    cipher = generator.integers(0, 256, (256, 256), np.uint8)
    honest = Published(
        ORIGIN,
        "noise",
        uaci=round(metrics.uaci(plain, cipher), 2),
        psnr=round(metrics.psnr(plain, cipher), 2),
    )
    assert not [said for said in remarks(honest) if said.startswith("PSNR")]


def test_impossible_values_are_found() -> None:
    def said(**values: float) -> str:
        return " ".join(remarks(replace(Published(ORIGIN, "images"), **values)))

    assert "740,000 samples" in said(entropy=7.9998)
    assert "hardly of one image" in said(entropy=7.9998, npcr=99.58)
    assert "hardly of one image" not in said(entropy=7.9972, npcr=99.61)
    assert "far from that of noise" in said(entropy=7.901)
    assert "not of the same pairs" in said(uaci=29.93, psnr=7.43)
    assert "not of the same pairs" not in said(uaci=29.93, psnr=8.8)
    assert "plain and a cipher image" in said(uaci=29.93)
    assert said(uaci=33.4) == ""


@given(st.sampled_from([8, 16]), st.integers(0, 2**32 - 1))
def test_uaci_against_noise_fixes_the_squared_error(bits: int, seed: int) -> None:
    # Against all values at once, which is what noise is on the average.
    generator = np.random.default_rng(seed)
    values = np.arange(1 << bits, dtype=np.float64)
    image = generator.integers(0, 1 << bits, 50)
    uaci = 100 * np.mean([np.abs(values - v).mean() for v in image]) / values[-1]
    error = np.mean([((values - v) ** 2).mean() for v in image])
    assert metrics.mse_of_uaci(float(uaci), bits) == pytest.approx(error, rel=1e-9)


@given(st.integers(500, 5_000_000))
def test_the_samples_of_an_entropy_are_those_whose_noise_has_it(samples: int) -> None:
    value = metrics.noise_entropy(samples, 8)
    assert metrics.samples_of_entropy(value, 8) == pytest.approx(samples, rel=0.01)


def test_no_number_of_samples_has_all_the_entropy() -> None:
    assert metrics.samples_of_entropy(8.0, 8) == float("inf")
