"""The inbox is bounded by count and by bytes, and what does not fit is counted."""

from __future__ import annotations

from edge.transport.base import INBOX_BYTES, PAYLOAD_MAX_BYTES, Message
from edge.transport.inbox import Inbox

LONGEST = bytes(PAYLOAD_MAX_BYTES)


def test_long_messages_take_no_more_than_the_inbox_may_hold() -> None:
    inbox, room = Inbox(10_000), INBOX_BYTES // PAYLOAD_MAX_BYTES
    for _ in range(room + 7):
        inbox.put(Message("t", LONGEST))
    assert (inbox.received, inbox.dropped) == (room, 7)
    for _ in range(room):
        assert inbox.take(0)
    assert inbox.take(0) is None
    inbox.put(Message("t", LONGEST))
    assert inbox.take(0)


def test_a_message_longer_than_any_of_the_protocol_is_dropped() -> None:
    inbox = Inbox(5)
    inbox.put(Message("t", LONGEST + b"0"))
    inbox.put(Message("t", LONGEST))
    assert (inbox.received, inbox.dropped) == (1, 1)
