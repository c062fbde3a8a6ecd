"""Kill either end with SIGKILL before and after every durable step, start it again, and insist on what is promised."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.faults.listed import listed, together
from tests.faults.stage import Stage
from tests.faults.steps import AFTER, BEFORE, Fault
from tests.faults.stories import STORIES, Strike, play

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(300)]

_KILLS = [
    (each.story, Strike(each.end, each.act, fault))
    for each in [*listed(), *together()]
    for fault in each.faults((BEFORE, AFTER))
]
# Steps of the transfer, at which the broker is killed too.
_WITH_BROKER = [
    (each.story, Strike(each.end, each.act, Fault(each.step, AFTER), broker=True))
    for each in listed()
    if each.story in {"kept", "in chunks"} and each.step.startswith(("delivery.", "spool.", "transfer.", "archive."))
]
# Those of the short form: some of every part of the way.
_SOME = _KILLS[:: max(1, len(_KILLS) // 10)]


def _named(kill: tuple[str, Strike]) -> str:
    fault = kill[1].fault
    among = ", together" if kill[0] == "together" else ""
    return f"{kill[1].end}: {fault.moment} {fault.step} ({fault.nth}{among})"


def _kill(stage: Stage, story: str, strike: Strike) -> None:
    struck = play(stage, STORIES[story], strike)
    # How often a step is taken may depend on which thread was faster; that it is taken does not.
    assert struck or strike.fault.nth > 1, "the step was never taken"


@pytest.mark.parametrize("kill", _SOME, ids=_named)
def test_an_end_killed_at_a_durable_step_goes_on(stage: Callable[[], Stage], kill: tuple[str, Strike]) -> None:
    _kill(stage(), *kill)


@pytest.mark.faults
@pytest.mark.parametrize("kill", _KILLS, ids=_named)
def test_an_end_killed_at_any_durable_step_goes_on(stage: Callable[[], Stage], kill: tuple[str, Strike]) -> None:
    _kill(stage(), *kill)


@pytest.mark.faults
@pytest.mark.parametrize("kill", _WITH_BROKER, ids=_named)
def test_an_end_killed_together_with_the_broker_goes_on(stage: Callable[[], Stage], kill: tuple[str, Strike]) -> None:
    _kill(stage(), *kill)
