"""Hold received messages until somebody takes them; the rule: who puts never waits, and what does not fit is counted."""

from __future__ import annotations

import threading
from collections import deque

from edge.transport.base import INBOX_BYTES, PAYLOAD_MAX_BYTES, Message


class Inbox:
    """A bounded first-in first-out queue of at most `limit` messages, whose payloads have at most INBOX_BYTES together."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self._arrival = threading.Condition()
        self._closed = False
        self._woken = False
        self.received = 0
        self.dropped = 0

    def put(self, message: Message) -> None:
        """Keep the message where there is room; count it as dropped where there is none."""
        with self._arrival:
            size = len(message.payload)
            if len(self._messages) >= self._limit or size > PAYLOAD_MAX_BYTES or self._bytes + size > INBOX_BYTES:
                self.dropped += 1
                return
            self._messages.append(message)
            self._bytes += size
            self.received += 1
            self._arrival.notify()

    def take(self, timeout: float) -> Message | None:
        """Return the oldest message, waiting up to `timeout` seconds; None where none came, woken or closed."""
        with self._arrival:
            self._arrival.wait_for(lambda: self._messages or self._closed or self._woken, timeout)
            if not self._messages:
                self._woken = False
                return None
            message = self._messages.popleft()
            self._bytes -= len(message.payload)
            return message

    def wake(self) -> None:
        """End a wait for a message without one: that under way, or the next one."""
        with self._arrival:
            self._woken = True
            self._arrival.notify_all()

    def close(self) -> None:
        """Wake everyone who waits; what is already there can still be taken."""
        with self._arrival:
            self._closed = True
            self._arrival.notify_all()
