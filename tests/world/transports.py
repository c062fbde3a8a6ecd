"""Clients of the memory broker for tests with one thread."""

from __future__ import annotations

from edge.transport.base import INBOX_MESSAGES, Message
from edge.transport.memory import MemoryBroker, MemoryTransport


class UnhurriedTransport(MemoryTransport):
    """A memory transport that never sleeps: a test with one thread and a clock of its own steps both ends itself."""

    def receive(self, timeout: float) -> Message | None:
        """Take what is there and never wait for more."""
        return super().receive(0.0)


def connected(broker: MemoryBroker, *filters: str, inbox_limit: int = INBOX_MESSAGES) -> UnhurriedTransport:
    """Connect a client that is neither device nor receiver: it may publish anything, and hears what it asked for."""
    client = UnhurriedTransport(broker, inbox_limit=inbox_limit)
    for topic_filter in filters:
        client.subscribe(topic_filter)
    client.start()
    return client
