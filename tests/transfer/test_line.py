"""Whose turn it is: urgent ones first, then by age, whatever the order in which they came."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import pytest

from edge.spool import Spool, SpooledImage
from edge.transfer.line import Line
from tests.world import bytes_of, spool_image

NAMES = ("ward/a.png", "STAT/b.png", "ward/stat-c.png", "d.png", "stat.old/e.png")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[SpooledImage]:
    spool = Spool(Path(tmp_path_factory.mktemp("spool")), max_bytes=1 << 30, reserve_bytes=0)
    found = []
    for number, name in enumerate(NAMES, start=1):
        image = spool_image(spool, bytes_of(name, 100), label=f"image-{number}", sequence=number)
        found.append(replace(image, origin=replace(image.origin, relative=name)))
    return found


def drained(line: Line) -> list[str]:
    names = []
    for urgent in (True, False):
        while (image := line.first(urgent=urgent)) is not None:
            names.append(image.origin.relative)
            line.remove(image.image_id)
    return names


@pytest.mark.parametrize("newest_first", [False, True])
def test_images_come_by_age_whatever_the_order_they_came_in(images: list[SpooledImage], newest_first: bool) -> None:
    expected = list(reversed(NAMES)) if newest_first else list(NAMES)
    for permutation in itertools.permutations(images):
        line = Line(newest_first=newest_first)
        for image in permutation:
            line.add(image)
        assert drained(line) == expected


@pytest.mark.parametrize("newest_first", [False, True])
def test_urgent_images_come_before_all_others(images: list[SpooledImage], newest_first: bool) -> None:
    line = Line(newest_first=newest_first, urgent=["stat", "stat-*"])
    for image in images:
        line.add(image)
    urgent, others = ["STAT/b.png", "ward/stat-c.png"], ["ward/a.png", "d.png", "stat.old/e.png"]
    assert drained(line) == ([*urgent[::-1], *others[::-1]] if newest_first else [*urgent, *others])


def test_without_patterns_nothing_is_urgent(images: list[SpooledImage]) -> None:
    assert not any(Line().is_urgent(image) for image in images)


def test_what_was_removed_is_not_first_and_an_id_is_there_once(images: list[SpooledImage]) -> None:
    line = Line()
    for image in (*images, *images):
        line.add(image)
    assert len(line) == len(images)
    line.remove(images[0].image_id)
    line.remove(images[0].image_id)
    assert line.get(images[0].image_id) is None
    assert line.get(images[1].image_id) is images[1]
    assert drained(line) == list(NAMES[1:])
    assert line.first(urgent=False) is None
