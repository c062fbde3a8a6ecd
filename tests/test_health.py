"""A stage without progress is found, whatever keeps it; one that has merely stood still with the whole process is not."""

from __future__ import annotations

import math
import subprocess
import sys
import threading

import pytest

from edge.daemon import ALARM_STALLED
from edge.errors import ExitCode
from edge.health import Guard, Mark, Stage
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import PATIENCE_SECONDS, Hospital, RunningDaemon, Site, png, until


class Clock:
    """Seconds that a test sets."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Watched:
    """A guard over stages, looked through by hand, and what it said."""

    def __init__(self, *stages: Stage, clock: Clock) -> None:
        self.well = 0
        self.stuck: list[str] = []
        self._clock = clock
        self._guard = Guard(
            stages, on_well=self._on_well, on_stuck=lambda stage: self.stuck.append(stage.name), clock=clock, interval=5
        )

    def _on_well(self) -> None:
        self.well += 1

    def pass_time(self, seconds: float) -> None:
        """Let time pass with a look every five seconds."""
        for _ in range(int(seconds / 5)):
            self._clock.now += 5
            self._guard.look()

    def look_after(self, seconds: float) -> None:
        """Let time pass without a look, then look once."""
        self._clock.now += seconds
        self._guard.look()


def test_a_stage_that_leaves_marks_is_well_and_one_that_does_not_is_stuck_after_its_limit() -> None:
    clock = Clock()
    turning, standing = Mark(clock), Mark(clock)
    watched = Watched(Stage("turning", turning.idle, 60), Stage("standing", standing.idle, 60), clock=clock)
    for _ in range(12):
        watched.pass_time(5)
        turning.leave()
    assert (watched.well, watched.stuck) == (12, [])
    watched.pass_time(5)
    assert (watched.well, watched.stuck) == (12, ["standing"])


def test_a_process_that_stood_still_as_a_whole_gets_its_time_again() -> None:
    clock = Clock()
    mark = Mark(clock)
    watched = Watched(Stage("intake", mark.idle, 60), clock=clock)
    watched.look_after(3600)  # stopped and continued, or starved
    watched.pass_time(60)
    assert watched.stuck == []
    watched.pass_time(5)
    assert watched.stuck == ["intake"]


def test_a_thread_that_has_ended_is_stuck() -> None:
    clock = Clock()
    watched = Watched(Stage("network", lambda: math.inf, 60), clock=clock)
    watched.pass_time(60)
    assert watched.stuck == []
    watched.pass_time(5)
    assert watched.stuck == ["network"]


def test_every_thread_of_a_daemon_leaves_marks(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: receiving.contents() == [png("a")])
        assert running.daemon is not None
        stages = {stage.name: stage for stage in running.daemon.stages}
        assert stages.keys() == {"transfer", "network"}
        for seconds in (stages["transfer"].idle, running.daemon._taking.idle):
            # Seconds since the last mark grow by themselves; that they fall again takes another mark.
            idle: list[float] = []
            until(lambda seconds=seconds, idle=idle: idle.append(seconds()) or idle[-1] < max(idle))
    assert stages["network"].idle() == math.inf


def test_intake_that_hangs_raises_an_alarm_and_ends_nothing(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon._STALLED_SECONDS", 1.0)
    site.scan("a.png", png("a"))
    hanging, over = threading.Event(), threading.Event()

    def hang(_sealed: object) -> None:
        hanging.set()
        over.wait(PATIENCE_SECONDS)

    with RunningDaemon(site, MemoryTransport(broker), on_sealed=hang) as running:
        try:
            assert hanging.wait(PATIENCE_SECONDS)
            assert running.daemon is not None
            until(lambda: running.daemon is not None and ALARM_STALLED in running.daemon.alarms)
            # No start anew mends a share that hangs, and what is sealed would not be delivered meanwhile.
            assert [stage.name for stage in running.daemon.stages] == ["transfer", "network"]
            assert running.daemon.stages[0].idle() < 2.0
        finally:
            over.set()


STUCK = """
import time
from edge import health
from edge.cli import common, service
from edge.config import LogTable
health.Guard.__init__.__kwdefaults__["interval"] = 0.05
common.set_up_logging(LogTable())
with service.guarded([health.Stage("intake", lambda: 99.0, 0.1)]):
    time.sleep(60)
"""


def test_a_process_without_progress_ends_by_itself_and_says_why() -> None:
    done = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == ExitCode.STUCK
    assert "no progress in intake for 99 seconds" in done.stderr


RELOADED = """
import weakref
from edge.cli import service

class Made:
    def __init__(self):
        self.itself = self

def turn():
    made = Made()
    with service.guarded([]):
        return weakref.ref(made)

turns = [turn() for _ in range(3)]
print([made() is None for made in turns])
"""


def test_what_was_made_for_the_turn_before_a_reload_is_let_go_of() -> None:
    done = subprocess.run([sys.executable, "-c", RELOADED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[True, True, False]"
