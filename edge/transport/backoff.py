"""How long to wait before the next attempt to connect: longer each time, and never in step with other devices.

The rule kept here: a broker that comes back after an hour must not be met by all devices of a hospital at once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

_DOUBLINGS_MAX: Final = 32
"""Beyond this the longest delay holds anyway."""


class Backoff:
    """The delays between attempts, in seconds: drawn between the shortest and a ceiling that doubles up to the longest."""

    def __init__(self, shortest: float, longest: float, chance: Callable[[], float]) -> None:
        """Begin with the lowest ceiling; `chance` gives numbers from 0 to 1."""
        self._shortest = shortest
        self._longest = longest
        self._chance = chance
        self.failures = 0

    def after(self, *, steady: bool) -> float:
        """Return the delay after a connection that was lost; `steady` where it had lasted, so that the ceiling falls back."""
        self.failures = 0 if steady else min(self.failures + 1, _DOUBLINGS_MAX)
        ceiling = min(self._longest, self._shortest * 2.0 ** (self.failures + 1))
        return self._shortest + (ceiling - self._shortest) * self._chance()
