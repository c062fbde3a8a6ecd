"""Time in tests: a clock that stands still, waits that end, and threads that end with their block."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from edge.stopping import Stop

PATIENCE_SECONDS = 30.0


class Clock:
    """A monotonic clock that goes on only when it is told to; seconds."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def tick(self, seconds: float) -> None:
        self.seconds += seconds


def until(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds; fail by name where it does not in a generous time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)


@contextmanager
def alarm(seconds: float = PATIENCE_SECONDS) -> Iterator[Stop]:
    """Give a stop event that sets itself after a while: a daemon that waits for ever must not hold up the suite."""
    stop = Stop()
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


class Running:
    """A thread for what runs until it is stopped; leaving the block stops it and raises what ended it early."""

    def __init__(self, name: str) -> None:
        self._stop = Stop()
        self._thread = threading.Thread(target=self._guarded, name=name)
        self._failure: BaseException | None = None

    def run(self, stop: Stop) -> None:
        """Run until `stop` is set."""
        raise NotImplementedError

    def _guarded(self) -> None:
        try:
            self.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self._failure = error

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def end(self) -> None:
        """Stop it, and wait until it has ended."""
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()
        if error is None:
            if self._failure is not None:
                raise self._failure
            assert not self.alive, "it was stopped and did not end"
