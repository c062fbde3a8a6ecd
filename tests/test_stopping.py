"""A stop waits for the image in hand, but not for ever; what is left is left at once, and what goes on is not disturbed."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import pytest

from edge.stopping import Left, Stop
from tests.world import PATIENCE_SECONDS


@pytest.fixture(autouse=True)
def no_alarm_is_left() -> Iterator[None]:
    """Give back SIGALRM, which belongs to the whole process."""
    before = signal.getsignal(signal.SIGALRM)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def work_on() -> None:
    """Work for longer than any test waits."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        time.sleep(0.001)
    pytest.fail("the work in hand was not left")


def test_work_that_can_be_left_is_left_when_its_grace_is_over() -> None:
    stop = Stop()
    cleaned = False
    with stop.leaving():
        stop.insist(0.05)
        try:
            work_on()
        finally:
            cleaned = True
    assert cleaned


def test_what_handles_errors_does_not_keep_the_work_going() -> None:
    stop = Stop()
    handled: list[Exception] = []
    with stop.leaving():
        stop.insist(0.05)
        try:
            work_on()
        except Exception as error:  # noqa: BLE001 - what is tested: a stop is none
            handled.append(error)
        work_on()
    assert handled == []


def test_an_interruption_that_gets_lost_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.stopping._AGAIN_SECONDS", 0.05)
    stop = Stop()
    interrupted = 0
    with stop.leaving():
        stop.insist(0.05)
        while interrupted < 2:
            with contextlib.suppress(Left):  # as a destructor drops it
                work_on()
            interrupted += 1
        work_on()
    assert interrupted == 2


def test_nothing_else_is_interrupted() -> None:
    stop = Stop()
    with stop.leaving():
        stop.insist(0.02)
    time.sleep(0.1)  # what follows a stop, the leave that is taken of the broker, ends by itself
    assert not stop.is_set()
