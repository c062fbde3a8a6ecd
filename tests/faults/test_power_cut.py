"""Cut the power of either machine before, within and after every durable step; what was not synced is lost or torn."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count, cycle, product
from typing import Final

import pytest

from tests.faults.disk import Names
from tests.faults.listed import listed, together
from tests.faults.stage import Stage
from tests.faults.steps import AFTER, BEFORE, WITHIN, Fault
from tests.faults.stories import STORIES, Strike, play

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(300)]

_EVERY: Final[tuple[Names, ...]] = ("lost", "any", "kept", "prefix")
_CUTS: Final = [
    (each.story, Strike(each.end, each.act, Fault(each.step, moment), names, seed))
    for (each, moment), names, seed in zip(
        ((each, moment) for each in listed() for moment in (BEFORE, WITHIN, AFTER)),
        cycle(_EVERY),
        count(),
        strict=False,
    )
]
# The second fault after the first: a process killed after a step leaves names that its successor must not take for durable.
_LATER: Final = [
    (each.story, Strike(each.end, each.act, Fault(each.step, AFTER), "lost", 0, later=True)) for each in listed()
]
# In the middle of several images.
_TOGETHER: Final = [
    (each.story, Strike(each.end, each.act, fault, names, seed))
    for seed, (each, names) in enumerate(product(together(), ("lost", "any")))
    for fault in each.faults((AFTER,))
]
_SOME: Final = [*_CUTS[:: max(1, len(_CUTS) // 7)], *_LATER[:: max(1, len(_LATER) // 3)]]


def _named(cut: tuple[str, Strike]) -> str:
    strike = cut[1]
    how = f"{strike.names}, later" if strike.later else f"{strike.names}"
    nth = f", {strike.fault.nth}" if cut[0] == "together" else ""
    return f"{strike.end}: {strike.fault.moment} {strike.fault.step} ({how}{nth})"


@pytest.mark.parametrize("cut", _SOME, ids=_named)
def test_an_end_whose_power_is_cut_at_a_durable_step_goes_on(
    stage: Callable[[], Stage], cut: tuple[str, Strike]
) -> None:
    assert play(stage(), STORIES[cut[0]], cut[1]), "the step was never taken"


@pytest.mark.faults
@pytest.mark.parametrize("cut", _TOGETHER, ids=_named)
def test_an_end_whose_power_is_cut_among_several_images_goes_on(
    stage: Callable[[], Stage], cut: tuple[str, Strike]
) -> None:
    struck = play(stage(), STORIES[cut[0]], cut[1])
    # Some steps are taken once for all of them.
    assert struck or cut[1].fault.nth > 1, "the step was never taken"


@pytest.mark.faults
@pytest.mark.parametrize("cut", [*_CUTS, *_LATER], ids=_named)
def test_an_end_whose_power_is_cut_at_any_durable_step_goes_on(
    stage: Callable[[], Stage], cut: tuple[str, Strike]
) -> None:
    assert play(stage(), STORIES[cut[0]], cut[1]), "the step was never taken"
