"""A cap on bandwidth: a token bucket that holds one message, whatever its size.

The rule kept here: what is sent is paid for afterwards, also where it is sent again, so that over any time no more than
the cap and one message have gone out. Who does not ask before it sends, because it sends little, pays all the same.
"""

from __future__ import annotations

from collections.abc import Callable


class Pace:
    """When the next message may go. `bytes_per_second` of 0 is no cap. One thread uses it."""

    def __init__(self, bytes_per_second: int, clock: Callable[[], float]) -> None:
        self._rate = bytes_per_second
        self._clock = clock
        self._paid_at = 0.0

    def wait(self) -> float:
        """Return for how many seconds nothing may be sent; 0 where the next message may go now."""
        return max(0.0, self._paid_at - self._clock()) if self._rate else 0.0

    def spend(self, size: int) -> None:
        """Count a message of `size` bytes that was sent just now."""
        if self._rate:
            self._paid_at = max(self._paid_at, self._clock()) + size / self._rate
