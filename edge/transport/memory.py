"""Be a broker and its clients within one process: the fake world for tests; the rule: it behaves as the real one does.

Messages are delivered in the publisher's thread before `publish` returns, so that a test with one thread sees the same
order each time. The broker can be frozen, taken offline, and told to lose, repeat and reorder by a seeded rule.
"""

from __future__ import annotations

import random
import threading
from collections import Counter
from dataclasses import dataclass

from edge.errors import BrokerUnreachable, TransportError
from edge.protocol import WINDOW_PUBLISHES
from edge.transport.base import INBOX_MESSAGES, Message, Transport
from edge.transport.link import Link, Session

_SHARED_PREFIX = "$share"


def matches(topic_filter: str, topic: str) -> bool:
    """Tell whether a topic belongs to a filter (MQTT 5, section 4.7); wildcards do not reach topics that begin with $."""
    wanted, given = topic_filter.split("/"), topic.split("/")
    if given[0].startswith("$") and wanted[0] in {"+", "#"}:
        return False
    for position, level in enumerate(wanted):
        if level == "#":
            return True
        if position >= len(given) or level not in {"+", given[position]}:
            return False
    return len(wanted) == len(given)


@dataclass(frozen=True, slots=True, kw_only=True)
class Disorder:
    """How unreliable deliveries are: probabilities from 0 to 1 that a message is lost, comes twice, or is overtaken."""

    seed: int
    drop: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


class _MemorySession(Session):
    """A session, the transport it belongs to, its will, its filters, and the messages that wait to be overtaken."""

    def __init__(self, transport: MemoryTransport, window: int, will: Message | None) -> None:
        super().__init__(window)
        self.transport = transport
        self.will = will
        self.filters: list[str] = []
        self.overtaken: list[Message] = []


class MemoryBroker:
    """A broker that lives in this process; `maximum_packet` is in bytes, `receive_maximum` in messages.

    It forgets retained messages when it goes offline, as a broker without persistence does.
    """

    def __init__(
        self,
        *,
        disorder: Disorder | None = None,
        maximum_packet: int | None = None,
        receive_maximum: int | None = None,
    ) -> None:
        self._lock = threading.RLock()
        self._maximum_packet = maximum_packet
        self._receive_maximum = receive_maximum
        self._online = True
        self._frozen = False
        self._transports: list[MemoryTransport] = []
        self._sessions: list[_MemorySession] = []
        self._retained: dict[str, bytes] = {}
        self._turns: Counter[str] = Counter()
        self._held: list[tuple[_MemorySession, Message, bool]] = []
        self.set_disorder(disorder)

    def set_disorder(self, disorder: Disorder | None) -> None:
        """Follow another rule from here on; None means that every delivery succeeds once and in order."""
        with self._lock:
            self._disorder = disorder
            # Chance in a test, not a secret: the seed makes it repeatable.
            self._chance = random.Random(disorder.seed if disorder is not None else 0)  # noqa: S311

    def settle(self) -> None:
        """Deliver what still waits to be overtaken."""
        with self._lock:
            for session in self._sessions:
                self._release(session)

    def go_offline(self) -> None:
        """Break all connections, as a broker that is killed does: no will is published, nothing is kept."""
        with self._lock:
            self._online = False
            self._frozen = False
            self._held.clear()
            self._retained.clear()
            for session in self._sessions:
                session.transport.lose(BrokerUnreachable("nothing listens at the broker's address"))
            self._sessions.clear()

    def go_online(self) -> None:
        """Accept connections again: every transport that is started connects at once."""
        with self._lock:
            self._online = True
            for transport in list(self._transports):
                self._accept(transport)

    def freeze(self) -> None:
        """Take messages but neither deliver nor acknowledge them, as a broker that hangs does."""
        with self._lock:
            self._frozen = True

    def thaw(self) -> None:
        """Deliver and acknowledge what came in meanwhile, and go on."""
        with self._lock:
            self._frozen = False
            held, self._held = self._held, []
            for session, message, retain in held:
                self._handle(session, message, retain=retain)

    def cut(self, transport: MemoryTransport) -> None:
        """Break one connection without a goodbye: its will is published, and it connects anew."""
        with self._lock:
            session = self._session_of(transport)
            if session is None:
                return
            self._sessions.remove(session)
            transport.lose(BrokerUnreachable("the connection to the broker was lost"))
            if session.will is not None:
                self._spread(session.will, retain=True)
            self._accept(transport)

    # --- what transports call ----------------------------------------------------------------------------------------

    def attach(self, transport: MemoryTransport) -> None:
        """Let a transport in, now where the broker is online, and each time it comes back."""
        with self._lock:
            self._transports.append(transport)
            if self._online:
                self._accept(transport)
            else:
                transport.lose(BrokerUnreachable("nothing listens at the broker's address"))

    def detach(self, transport: MemoryTransport) -> None:
        """Let a transport go with a goodbye: its will is forgotten."""
        with self._lock:
            if transport in self._transports:
                self._transports.remove(transport)
            session = self._session_of(transport)
            if session is not None:
                self._sessions.remove(session)

    def publish(self, session: _MemorySession, message: Message, *, retain: bool) -> bool:
        """Take one message; return False where the session is over."""
        with self._lock:
            if session not in self._sessions:
                return False
            if self._frozen:
                self._held.append((session, message, retain))
            else:
                self._handle(session, message, retain=retain)
            return True

    def subscribe(self, session: _MemorySession, topic_filter: str) -> None:
        """Add a filter to a session, and deliver the retained messages that it matches, except to a shared one."""
        with self._lock:
            if session not in self._sessions:
                return
            session.filters.append(topic_filter)
            session.transport.answer_filter(session)
            for topic, payload in self._retained.items():
                if matches(topic_filter, topic):
                    self._deliver(session, Message(topic, payload))

    # --- inside; the lock is held ------------------------------------------------------------------------------------

    def _session_of(self, transport: MemoryTransport) -> _MemorySession | None:
        return next((session for session in self._sessions if session.transport is transport), None)

    def _accept(self, transport: MemoryTransport) -> None:
        session = transport.new_session()
        session.maximum_packet = self._maximum_packet
        session.window = min(session.window, self._receive_maximum or session.window)
        self._sessions.append(session)
        transport.adopt(session)

    def _handle(self, session: _MemorySession, message: Message, *, retain: bool) -> None:
        heard = self._spread(message, retain=retain)
        session.transport.acknowledge(session, unheard=not heard)

    def _spread(self, message: Message, *, retain: bool) -> bool:
        """Deliver to every session once and to every shared group once; return whether anybody had subscribed."""
        if retain and message.payload:
            self._retained[message.topic] = message.payload
        elif retain:
            self._retained.pop(message.topic, None)
        groups: dict[str, list[_MemorySession]] = {}
        heard = False
        for session in list(self._sessions):
            own = False
            for topic_filter in session.filters:
                shared, _, rest = topic_filter.partition("/")
                if shared == _SHARED_PREFIX:
                    if matches(rest.partition("/")[2], message.topic):
                        groups.setdefault(topic_filter, []).append(session)
                else:
                    own = own or matches(topic_filter, message.topic)
            if own:
                heard = True
                self._deliver(session, message)
        for group, members in groups.items():
            heard = True
            self._deliver(members[self._turns[group] % len(members)], message)
            self._turns[group] += 1
        return heard

    def _deliver(self, session: _MemorySession, message: Message) -> None:
        rule = self._disorder
        if rule is None:
            session.transport.take(message)
            return
        if self._chance.random() < rule.drop:
            return
        copies = 2 if self._chance.random() < rule.duplicate else 1
        if self._chance.random() < rule.reorder:
            session.overtaken.extend([message] * copies)
            return
        for _ in range(copies):
            session.transport.take(message)
        self._release(session)

    def _release(self, session: _MemorySession) -> None:
        for message in session.overtaken:
            session.transport.take(message)
        session.overtaken.clear()


class MemoryTransport(Link[_MemorySession], Transport):
    """A `Transport` to a `MemoryBroker`; see `edge.transport.base.Transport` for what each method promises."""

    def __init__(
        self, broker: MemoryBroker, *, window: int = WINDOW_PUBLISHES, inbox_limit: int = INBOX_MESSAGES
    ) -> None:
        super().__init__(window=window, inbox_limit=inbox_limit)
        self._broker = broker
        self._will: Message | None = None
        self._started = False

    @property
    def alive(self) -> bool:
        """See `Transport.alive`."""
        return self._started and not self._stopping.is_set()

    @property
    def idle_seconds(self) -> float:
        """See `Transport.idle_seconds`: there is no thread to watch."""
        return 0.0

    def start(self, will: Message | None = None) -> None:
        """See `Transport.start`. A transport is started once."""
        if self._started:
            raise RuntimeError("a transport is started once")
        self._started = True
        self._will = will
        self._broker.attach(self)

    def stop(self, last: Message | None = None) -> None:
        """See `Transport.stop`."""
        if last is not None and self.connected:
            try:
                self.publish(last.topic, last.payload, retain=True, timeout=0)
            except TransportError as error:
                self.lose(error)
        self._stopping.set()
        self._broker.detach(self)
        with self._changed:
            self._session = None
            self._changed.notify_all()
        self.inbox.close()

    # --- what the broker calls ---------------------------------------------------------------------------------------

    def new_session(self) -> _MemorySession:
        """Return a session that the broker is about to accept."""
        return _MemorySession(self, self._window, self._will)

    def adopt(self, session: _MemorySession) -> None:
        """Use an accepted session, asking for every filter first."""
        with self._changed:
            self._session = session
        while (topic_filter := self.next_filter(session)) is not None:
            self._ask(session, topic_filter)

    def take(self, message: Message) -> None:
        """Put a message into the inbox; a fault there is this transport's and not the publisher's."""
        try:
            self.inbox.put(message)
        except Exception:  # noqa: BLE001  # As in the real transport, where the network thread must survive it.
            self._count_fault()

    def lose(self, error: TransportError) -> None:
        """Give up the session for the reason named."""
        with self._changed:
            session, self._session = self._session, None
            self._last_error = error
        if session is not None:
            self.end(session)

    def _send(self, session: _MemorySession, message: Message, *, retain: bool) -> bool:
        return self._broker.publish(session, message, retain=retain)

    def _ask(self, session: _MemorySession, topic_filter: str) -> None:
        self._broker.subscribe(session, topic_filter)
