"""The SHA-256 of a stream, computed in a thread of its own while whoever makes the stream goes on.

The rule kept here: the digest is that of the pieces in the order in which they came. A piece must stay as it is until the
next `wait`, or be immutable.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections import deque
from concurrent.futures import Future
from types import TracebackType
from typing import Final, Self

from edge.ahead import Ahead
from edge.errors import WorkerUnavailable

_PIECES_MAX: Final = 4
"""Pieces that wait at most: each takes memory until it is hashed. More of them gain nothing (measured)."""


class Digest:
    """A running SHA-256. A context manager: behind it nothing is hashed any more."""

    def __init__(self, *, beside: bool) -> None:
        """Begin, in a thread if `beside`: for a small stream it costs more than it saves."""
        self._sha256 = hashlib.sha256()
        self._beside = beside
        self._ahead = Ahead("hashing")
        self._pending: deque[Future[None]] = deque()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ahead.close()

    def update(self, piece: bytes | memoryview) -> None:
        """Append a piece."""
        if self._beside:
            while len(self._pending) >= _PIECES_MAX:
                self._pending.popleft().result()
            with contextlib.suppress(WorkerUnavailable):
                self._pending.append(self._ahead.do(lambda: self._sha256.update(piece)))
                return
            self.wait()
        self._sha256.update(piece)

    def wait(self) -> None:
        """Return when all that was appended is hashed: then its memory may be used again."""
        while self._pending:
            self._pending.popleft().result()

    def digest(self) -> bytes:
        """Return the digest of what was appended so far."""
        self.wait()
        return self._sha256.digest()
