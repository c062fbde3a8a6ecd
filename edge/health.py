"""Whether a program makes progress, not merely whether it runs.

The rule kept here: each thread that images depend on leaves a mark at every turn. One that has left none for longer than
it can possibly need is stuck, whatever the reason, and the program ends itself: a crash loses nothing, and the supervisor
starts it anew.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Self

GUARD_SECONDS: Final = 5.0
"""How often the guard looks."""
IMAGE_SECONDS: Final = 900.0
"""How long a thread that reads or writes whole images may be at one of them: a gigabyte from a slow share."""
TURN_SECONDS: Final = 180.0
"""How long one turn may take of a thread that handles pieces and messages: a disk that spins up, a dead name server."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One thread that images depend on: its name, how many seconds ago it left its last mark, and how many it may take."""

    name: str
    idle: Callable[[], float]
    limit: float


class Mark:
    """What a thread leaves at each turn."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._at = clock()

    def leave(self) -> None:
        """Say that the thread turns."""
        self._at = self._clock()

    def idle(self) -> float:
        """Return the seconds since the last mark."""
        return self._clock() - self._at


class Guard:
    """Look at all stages every few seconds from a thread of its own, for as long as the block lasts."""

    def __init__(
        self,
        stages: Sequence[Stage],
        *,
        on_well: Callable[[], None],
        on_stuck: Callable[[Stage], None],
        clock: Callable[[], float] = time.monotonic,
        interval: float = GUARD_SECONDS,
    ) -> None:
        """Keep what to watch.

        Args:
            stages: What is watched.
            on_well: Called after each look that found nothing.
            on_stuck: Called for each stage that is over its limit.
            clock: Seconds, monotonic.
            interval: Seconds between looks.
        """
        self._stages = stages
        self._on_well = on_well
        self._on_stuck = on_stuck
        self._clock = clock
        self._interval = interval
        self._looked = self._awake = clock()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def look(self) -> None:
        """Look at every stage once."""
        now = self._clock()
        if now - self._looked > 2 * self._interval:
            # The whole process stood still, stopped or starved. The others have yet to get their turn.
            self._awake = now
        self._looked = now
        stuck = [stage for stage in self._stages if min(stage.idle(), now - self._awake) > stage.limit]
        for stage in stuck:
            self._on_stuck(stage)
        if not stuck:
            self._on_well()

    def _run(self) -> None:
        while not self._done.wait(self._interval):
            self.look()
