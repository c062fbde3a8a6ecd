"""The time of day, on machines whose clock may be wrong: before it was ever set, or years off.

The rule kept here: no image is kept, sent, refused or put in order by the time of day. It is written down and shown;
intervals are those of a monotonic clock, and images are ordered by their sequence numbers.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from edge.protocol import CLOCK_SKEW_SECONDS

_LOG = logging.getLogger(__name__)
UNSET_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""A clock that shows less has not been set since the machine started: this program is younger."""
_LATEST: Final = datetime(9999, 12, 30, tzinfo=UTC)
ALARM_CLOCK: Final = "clock-wrong"


class WallClock:
    """The time of day as this machine has it, and whether it can be right. Any thread may use it."""

    def __init__(
        self, *, now: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        """Begin to watch a clock.

        Args:
            now: seconds since 1970.
            monotonic: seconds of a clock that only goes forwards.
        """
        self._now = now
        self._monotonic = monotonic
        self._reference: tuple[float, float] | None = None
        self._was_wrong = False

    def moment(self) -> datetime:
        """Return the present as the clock shows it, from 1970 to 9999."""
        return datetime.fromtimestamp(min(max(self._now(), 0.0), _LATEST.timestamp()), UTC)

    def seconds(self) -> int:
        """Return the present in whole seconds since 1970."""
        return int(self.moment().timestamp())

    def timestamp(self, timespec: str = "milliseconds") -> str:
        """Return the present in ISO 8601."""
        return self.moment().isoformat(timespec=timespec)

    def confirm(self, issued_at: int) -> None:
        """Take the time at which a trusted receiver signed a message just now, seconds since 1970, for the true one."""
        if issued_at >= UNSET_BEFORE.timestamp():
            self._reference = (float(issued_at), self._monotonic())

    def latest(self) -> datetime:
        """Return the latest moment that may be the present: a time beyond it lies in the future."""
        shown, expected = self.moment(), self._expected()
        if shown < UNSET_BEFORE and expected is None:
            return _LATEST
        return shown if expected is None else max(shown, expected)

    def alarms(self) -> tuple[str, ...]:
        """Return the alarm of a clock that was never set, or that is more than a day off what it should show by now."""
        shown, expected = self.moment(), self._expected()
        wrong = shown < UNSET_BEFORE
        if expected is None and not wrong:
            self._reference = (self._now(), self._monotonic())
        elif expected is not None:
            wrong = wrong or abs(shown - expected) > timedelta(seconds=CLOCK_SKEW_SECONDS)
        if wrong != self._was_wrong:
            self._was_wrong = wrong
            if wrong:
                _LOG.warning(
                    "%s: the clock of this machine cannot be right: set it, or mend its time service", ALARM_CLOCK
                )
            else:
                _LOG.info("the clock of this machine is right again")
        return (ALARM_CLOCK,) if wrong else ()

    def _expected(self) -> datetime | None:
        """Return what the clock should show by what it showed, or a receiver confirmed, before; None where unknown."""
        if self._reference is None:
            return None
        shown, at = self._reference
        seconds = shown + (self._monotonic() - at)
        return datetime.fromtimestamp(min(max(seconds, 0.0), _LATEST.timestamp()), UTC)
