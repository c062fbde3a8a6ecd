"""The images that are shown are of every kind there is."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from firmware_tools.evaluation.gallery import _picked
from firmware_tools.evaluation.images import Sample


def sample(name: str, *shape: int, dtype: type = np.uint8) -> Sample:
    """Return an image of zeros."""
    return Sample(name, np.zeros(shape, dtype), datetime(2026, 11, 21, tzinfo=UTC))


def test_one_image_of_each_kind_is_shown() -> None:
    samples = [sample(f"grey {number}", 40, 40) for number in range(20)]
    samples[11] = sample("deep colour", 40, 40, 3, dtype=np.uint16)
    samples[13] = sample("deep", 40, 40, dtype=np.uint16)
    samples[17] = sample("colour", 40, 40, 3)
    assert [each.name for each in _picked(samples)] == ["grey 0", "deep colour", "deep", "colour"]


def test_of_one_kind_images_from_all_over_are_shown_and_none_twice() -> None:
    samples = [sample(f"{number}", 40, 40) for number in range(31)]
    assert [each.name for each in _picked(samples)] == ["0", "1", "11", "21"]
    assert [each.name for each in _picked(samples[:3])] == ["0", "1", "2"]
    assert [each.name for each in _picked(samples[:1])] == ["0"]
