"""How a running program is asked to stop, and how it leaves the image it is in the middle of.

The rule kept here: a stop waits a few seconds for the image in hand. Then that image is left as a crash would leave it,
which loses nothing, and the next start begins it again.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

_LOG = logging.getLogger(__name__)
GRACE_SECONDS: Final = 3.0
"""How long the image in hand may still take. With the leave that is taken of the broker a stop stays below 10 seconds."""
_AGAIN_SECONDS: Final = 2.0
"""How soon to insist, should the first interruption have been lost in a destructor, where Python drops exceptions."""


class Left(BaseException):
    """The work in hand is left. No `Exception`: what handles the errors of one image must not handle this."""


class Stop(threading.Event):
    """The event that says stop. `insist` and `leaving` belong to the main thread; any thread may set it and ask for it."""

    def __init__(self) -> None:
        super().__init__()
        self._leavable = False

    def insist(self, grace: float = GRACE_SECONDS) -> None:
        """Leave the work in hand once `grace` seconds have passed. Call this from the main thread."""
        signal.signal(signal.SIGALRM, self._interrupt)
        signal.setitimer(signal.ITIMER_REAL, grace, _AGAIN_SECONDS)

    @contextmanager
    def leaving(self) -> Iterator[None]:
        """Run a piece of work that can be left at any point; where it is left, go on behind the block."""
        self._leavable = True
        try:
            yield
        except Left:
            _LOG.info("the image in hand is left; the next start takes it up again")
        finally:
            self._leavable = False

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        if self._leavable:
            raise Left
