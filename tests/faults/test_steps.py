"""The list of durable steps is what the programs do: no step is missing in it, none is listed that is gone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.listed import LIST, Listed, found_in, listed, write
from tests.faults.stage import Stage
from tests.faults.stories import STORIES, play

pytestmark = pytest.mark.mosquitto


def _told(stage: Callable[[], Stage], name: str, folder: Path) -> list[Listed]:
    traces = folder / name.replace(" ", "-")
    traces.mkdir()
    play(stage(), STORIES[name], traces=traces)
    return found_in(name, len(STORIES[name].acts), traces)


def test_every_durable_step_of_a_delivery_is_listed(stage: Callable[[], Stage], tmp_path: Path) -> None:
    found = {(each.end, each.step) for each in _told(stage, "moved", tmp_path)}
    assert found <= {(each.end, each.step) for each in listed()}


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_the_list_of_durable_steps_is_complete_and_true(stage: Callable[[], Stage], tmp_path: Path) -> None:
    first: dict[tuple[str, str], Listed] = {}
    for name in STORIES:
        for each in _told(stage, name, tmp_path):
            first.setdefault((each.end, each.step), each)
    now = tmp_path / "durable_steps.tsv"
    write(sorted(first.values()), now)
    known = {(each.end, each.step) for each in listed()} if LIST.exists() else set()
    assert set(first) == known, f"durable steps came or went; where that is meant, {now} is the new list"
