"""Keep one transport's books: who is connected, which slots are taken, what was counted; the rule: no I/O in here.

The real transport and the fake one share it, so that they cannot differ in when they wait, refuse and count.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Final, Generic, TypeVar

from edge.errors import MessageTooLarge, NotConnected, TransportError
from edge.protocol import CHUNK_MIN_BYTES
from edge.transport.base import (
    PACKET_MAX_BYTES,
    PUBLISH_TIMEOUT_SECONDS,
    TOPIC_MAX_BYTES,
    Message,
    TransportCounts,
    check_filter,
    check_topic,
    payload_room,
    publish_packet_bytes,
)
from edge.transport.inbox import Inbox

_CHOKED_TIMES: Final = 2
"""One connection may break by chance with a large message on its way; two in a row are taken for the message's fault."""
_LEARNED_MIN: Final = publish_packet_bytes(TOPIC_MAX_BYTES, CHUNK_MIN_BYTES)
"""No lower limit is ever concluded: the smallest chunk must go through."""


class Session:
    """One connection from its first packet to its last. The link's condition guards every field.

    `window` counts messages; `maximum_packet` is bytes, None where the broker names no limit. `sizes` are the bytes of the
    messages on their way, in order, `passed` those of the largest one acknowledged. `accepted` and `ended` become true once
    and stay so.
    """

    def __init__(self, window: int) -> None:
        self.window = window
        self.maximum_packet: int | None = None
        self.sizes: deque[int] = deque()
        self.passed = 0
        self.filters_sent: set[str] = set()
        self.filters_answered = 0
        self.accepted = False
        self.ended = False


AnySession = TypeVar("AnySession", bound=Session)


class Link(Generic[AnySession]):
    """The half of a `Transport` that only waits and counts, for the kind of session that the other half serves.

    The other half implements `_send`, `_ask` and the start and end of sessions. It never takes a lock that is held while
    one of the methods named "for the network side" is called, and this half never calls it with the condition held.
    """

    def __init__(self, *, window: int, inbox_limit: int) -> None:
        self.inbox = Inbox(inbox_limit)
        self._window = window
        self._changed = threading.Condition()
        self._session: AnySession | None = None
        self._filters: list[str] = []
        self._generation = 0
        self._choked = 0
        self._learned: int | None = None
        self._last_error: TransportError | None = None
        self._published = self._acknowledged = self._denied = self._unheard = 0
        self._refused_filters = self._faults = 0
        self._stopping = threading.Event()

    # --- what callers see; `edge.transport.base.Transport` says what each promises ------------------------------------

    @property
    def connected(self) -> bool:
        """See `Transport.connected`."""
        with self._changed:
            return self._usable() is not None

    @property
    def generation(self) -> int:
        """See `Transport.generation`."""
        with self._changed:
            return self._generation

    @property
    def last_error(self) -> TransportError | None:
        """See `Transport.last_error`."""
        with self._changed:
            return self._last_error

    @property
    def max_payload(self) -> int | None:
        """See `Transport.max_payload`."""
        with self._changed:
            session = self._usable()
            if session is None:
                return None
            limits = [limit for limit in (session.maximum_packet, self._learned) if limit is not None]
            return payload_room(min(limits, default=None))

    @property
    def in_flight(self) -> int:
        """See `Transport.in_flight`."""
        with self._changed:
            session = self._usable()
            return len(session.sizes) if session is not None else 0

    @property
    def counts(self) -> TransportCounts:
        """See `Transport.counts`."""
        with self._changed:
            return TransportCounts(
                published=self._published,
                acknowledged=self._acknowledged,
                denied=self._denied,
                unheard=self._unheard,
                received=self.inbox.received,
                dropped=self.inbox.dropped,
                refused_filters=self._refused_filters,
                faults=self._faults,
            )

    def wait_connected(self, timeout: float) -> bool:
        """See `Transport.wait_connected`."""
        with self._changed:
            self._changed.wait_for(lambda: self._usable() is not None or self._stopping.is_set(), timeout)
            return self._usable() is not None

    def wait_subscribed(self, timeout: float) -> bool:
        """See `Transport.wait_subscribed`."""

        def subscribed() -> bool:
            session = self._usable()
            return session is not None and session.filters_answered >= len(self._filters)

        with self._changed:
            self._changed.wait_for(lambda: subscribed() or self._stopping.is_set(), timeout)
            return subscribed()

    def subscribe(self, topic_filter: str) -> None:
        """See `Transport.subscribe`."""
        check_filter(topic_filter)
        with self._changed:
            if topic_filter in self._filters:
                return
            self._filters.append(topic_filter)
            session = self._usable()
            if session is None:
                return
            session.filters_sent.add(topic_filter)
        # Should the connection break here, the next one asks for every filter again.
        self._ask(session, topic_filter)

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = PUBLISH_TIMEOUT_SECONDS
    ) -> None:
        """See `Transport.publish`."""
        size = publish_packet_bytes(len(check_topic(topic).encode()), len(payload))
        session = self._take_slot(size, timeout)
        if not self._send(session, Message(topic, payload), retain=retain):
            raise NotConnected("the connection to the broker broke before the message was sent")
        with self._changed:
            self._published += 1

    def receive(self, timeout: float) -> Message | None:
        """See `Transport.receive`."""
        return self.inbox.take(timeout)

    def wake(self) -> None:
        """See `Transport.wake`."""
        self.inbox.wake()

    def drain(self, timeout: float) -> bool:
        """See `Transport.drain`."""

        def settled() -> bool:
            session = self._usable()
            return session is None or not session.sizes

        with self._changed:
            return self._changed.wait_for(settled, timeout) and self._usable() is not None

    # --- for the network side ----------------------------------------------------------------------------------------

    def next_filter(self, session: AnySession) -> str | None:
        """Return a filter that this new session has yet to ask for; when none is left, the session counts as accepted."""
        with self._changed:
            for topic_filter in self._filters:
                if topic_filter not in session.filters_sent:
                    session.filters_sent.add(topic_filter)
                    return topic_filter
            session.accepted = True
            self._generation += 1
            self._last_error = None
            self._changed.notify_all()
            return None

    def acknowledge(self, session: AnySession, *, denied: bool = False, unheard: bool = False) -> None:
        """Free the slot of one message, and count what the broker said of it."""
        with self._changed:
            # A broker acknowledges in the order in which it received (MQTT 5, section 4.6).
            session.passed = max(session.passed, session.sizes.popleft())
            self._acknowledged += 1
            self._denied += denied
            self._unheard += unheard
            self._changed.notify_all()

    def answer_filter(self, session: AnySession, *, refused: bool = False) -> None:
        """Note that the broker has answered one subscription."""
        with self._changed:
            session.filters_answered += 1
            self._refused_filters += refused
            self._changed.notify_all()

    def end(self, session: AnySession) -> None:
        """Mark a session as over, as often as it is said; whoever waits for one of its slots learns of it."""
        with self._changed:
            if not session.ended:
                session.ended = True
                self._learn(session)
            self._changed.notify_all()

    def _count_fault(self) -> None:
        with self._changed:
            self._faults += 1

    # --- what the other half does --------------------------------------------------------------------------------------

    def _send(self, session: AnySession, message: Message, *, retain: bool) -> bool:
        """Hand a message to the broker; return False where the session is already over."""
        raise NotImplementedError

    def _ask(self, session: AnySession, topic_filter: str) -> None:
        """Ask the broker for the messages of one filter."""
        raise NotImplementedError

    # --- inside ------------------------------------------------------------------------------------------------------

    def _usable(self) -> AnySession | None:
        """Return the session that messages can go through, if there is one. The condition must be held."""
        session = self._session
        if session is None or not session.accepted or session.ended or self._stopping.is_set():
            return None
        return session

    def _take_slot(self, size: int, timeout: float) -> AnySession:
        with self._changed:
            session = self._usable()
            if session is None:
                raise NotConnected("there is no connection to the broker")
            if size > (session.maximum_packet or PACKET_MAX_BYTES):
                raise MessageTooLarge("the message is larger than the broker takes")

            def decided() -> bool:
                return self._usable() is not session or len(session.sizes) < session.window

            if not self._changed.wait_for(decided, timeout):
                raise NotConnected("the broker acknowledges nothing: the window stayed full")
            if self._usable() is not session:
                raise NotConnected("the connection to the broker broke while waiting for a slot")
            session.sizes.append(size)
            return session

    def _learn(self, session: AnySession) -> None:
        """Conclude from a connection that broke how large a message may be. The condition must be held.

        A broker of MQTT 3.1.1 cannot name its limit: it hangs up. On a link so slow that a message takes longer than the
        keep-alive, the connection breaks too. Either way only smaller messages will ever arrive.
        """
        largest = max(session.sizes, default=0)
        if session.passed >= max(largest, _LEARNED_MIN):
            self._choked = 0
        elif largest > _LEARNED_MIN and not self._stopping.is_set():
            self._choked += 1
            if self._choked >= _CHOKED_TIMES:
                self._choked = 0
                self._learned = max(_LEARNED_MIN, largest // 2)
