"""Bound what strangers can make this end do: how often it answers them, and how many lines it writes about them.

The rule kept here: everything refused is counted by who refuses it; only answers and lines are spared, and a line says how
many were.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

_LINES_AT_ONCE: Final = 20
_SECONDS_A_LINE: Final = 5.0
"""A flood fills at most 17,000 lines a day, about 2 MB: no log rotation is overrun by it."""


class Allowance:
    """Allow `burst` things at once, and one more each `seconds`. One thread uses it."""

    def __init__(self, *, burst: int, seconds: float, clock: Callable[[], float]) -> None:
        self._burst = burst
        self._seconds = seconds
        self._clock = clock
        self._left = float(burst)
        self._looked = clock()

    def allows(self) -> bool:
        """Return whether one more may happen now, and count it where it may."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._looked) / self._seconds)
        self._looked = now
        if self._left < 1:
            return False
        self._left -= 1
        return True


class SparingLog:
    """Write warnings about what came from outside, at a bounded pace."""

    def __init__(self, log: logging.Logger, *, clock: Callable[[], float]) -> None:
        self._log = log
        self._pace = Allowance(burst=_LINES_AT_ONCE, seconds=_SECONDS_A_LINE, clock=clock)
        self._left_out = 0

    def warning(self, text: str, *values: object) -> None:
        """Write the line, or count it as left out."""
        if not self._pace.allows():
            self._left_out += 1
            return
        if self._left_out:
            self._log.warning("%d more of these were left out", self._left_out)
            self._left_out = 0
        self._log.warning(text, *values)
