"""Name what a broker connection takes and does, as frozen values and one Protocol; the rule: nothing waits inside it.

A transport holds at most `window` messages that the broker has not acknowledged and at most `inbox_limit` messages that
nobody has taken. The spool is the only queue; an acknowledgement by the broker frees a slot and proves nothing else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, Protocol
from urllib.parse import urlsplit

from edge.errors import ConfigError, TransportError
from edge.protocol import CHUNK_MAX_BYTES, IDENTITY_PATTERN, WINDOW_PUBLISHES

PORT_PLAIN: Final = 1883
PORT_TLS: Final = 8883

TOPIC_MAX_BYTES: Final = 256
"""The longest topic that every known broker takes (AWS IoT counts UTF-8 bytes)."""

PACKET_MAX_BYTES: Final = 268_435_455
"""The longest MQTT packet body: four length bytes of seven bits (MQTT 5, section 1.5.5)."""

PAYLOAD_MAX_BYTES: Final = CHUNK_MAX_BYTES
"""No message of this protocol is longer; what somebody else sends that is, is dropped."""

INBOX_MESSAGES: Final = 256
"""64 MiB of chunks: twice the credit of four images, so only a flood fills it."""

INBOX_BYTES: Final = 128 * PAYLOAD_MAX_BYTES
"""The credit of four images in the largest chunks: what a flood of long messages can take."""

PUBLISH_TIMEOUT_SECONDS: Final = 2.0
"""Callers try again; what they wait for here is what a stop has to wait for when a broker hangs."""

ProtocolChoice = Literal["auto", "5", "3.1.1"]

_IDENTITY = re.compile(IDENTITY_PATTERN)


def check_identity(text: str) -> str:
    """Return `text` where it can be one topic level that names a device or a receiver.

    Raises:
        ConfigError: It is not 3 to 48 characters of a-z, 0-9 and the hyphen.
    """
    if not _IDENTITY.fullmatch(text):
        raise ConfigError("a device or receiver id must be 3 to 48 characters of a-z, 0-9 and the hyphen")
    return text


def check_topic(topic: str) -> str:
    """Return `topic` where a message can be published to it: not empty, at most 256 bytes, no wildcard, no NUL.

    Raises:
        ValueError: It cannot; topics are built by this package, so this is a mistake in the caller.
    """
    if not 0 < len(topic.encode()) <= TOPIC_MAX_BYTES or any(mark in topic for mark in "+#\0"):
        raise ValueError("a topic must be 1 to 256 bytes without wildcards")
    return topic


def check_filter(topic_filter: str) -> str:
    """Return `topic_filter` where a broker can match it: `+` fills a whole level, `#` a whole level and the last one.

    Raises:
        ValueError: It cannot; filters are built by this package, so this is a mistake in the caller.
    """
    *body, last = topic_filter.split("/")
    misplaced = any("#" in level for level in body) or ("#" in last and last != "#")
    partial = any("+" in level and level != "+" for level in (*body, last))
    if not topic_filter or misplaced or partial or "\0" in topic_filter:
        raise ValueError("a topic filter must keep + and # to whole levels, and # to the last")
    return topic_filter


@dataclass(frozen=True, slots=True)
class Message:
    """One message on one topic."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """Where a broker listens, and whether the connection is TLS."""

    host: str
    port: int
    tls: bool

    @classmethod
    def parse(cls, text: str) -> BrokerAddress:
        """Read `mqtt://host[:1883]` or `mqtts://host[:8883]`; an IPv6 host stands in brackets.

        Raises:
            ConfigError: The text is no such address, or it carries a user name or a password: command lines and
                process lists would show them.
        """
        hint = "write mqtt://host:1883 or mqtts://host:8883"
        try:
            parts = urlsplit(text)
            host, port = parts.hostname, parts.port
        except ValueError as error:
            raise ConfigError("the broker's address cannot be read", hint=hint) from error
        if "@" in text:
            raise ConfigError(
                "the broker's address must not carry a user name or a password: the process list would show it",
                hint="set [broker] username and password_file instead",
            )
        if parts.scheme not in {"mqtt", "mqtts"}:
            raise ConfigError("the broker's address must begin with mqtt:// or mqtts://", hint=hint)
        if not host or port == 0 or parts.path not in {"", "/"} or "?" in text or "#" in text:
            raise ConfigError("the broker's address must be a host and, if need be, a port", hint=hint)
        tls = parts.scheme == "mqtts"
        return cls(host=host, port=port or (PORT_TLS if tls else PORT_PLAIN), tls=tls)

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'mqtts' if self.tls else 'mqtt'}://{host}:{self.port}"


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings:
    """How to reach a broker. Times are seconds; `window` and `inbox_limit` count messages.

    Certificates, keys and the password are files and are read anew at each connection, so that they can be renewed
    while the process runs. The client id is `client_id_prefix` and a random suffix, which is drawn anew where another
    client uses it too: two processes with one identity cannot throw each other off the broker.

    Raises:
        ConfigError: The fields contradict each other.
    """

    address: BrokerAddress
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None
    username: str | None = None
    password_file: Path | None = None
    client_id_prefix: str = "edge"
    keepalive: int = 30
    window: int = WINDOW_PUBLISHES
    inbox_limit: int = INBOX_MESSAGES
    connect_timeout: float = 15.0
    min_delay: float = 1.0
    max_delay: float = 60.0
    protocol: ProtocolChoice = "auto"

    def __post_init__(self) -> None:
        if not self.address.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ConfigError("certificates are given but the broker's address is not mqtts://")
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError("cert_file and key_file belong together: one of them is missing")
        if self.password_file is not None and not self.username:
            raise ConfigError("password_file needs a username")
        if not 1 <= self.keepalive <= 65_535 or not 1 <= self.window <= 65_535 or self.inbox_limit < 1:
            raise ConfigError("keepalive, window and inbox_limit must be whole numbers from 1 to 65535")
        if self.connect_timeout <= 0 or not 0 < self.min_delay <= self.max_delay:
            raise ConfigError("connect_timeout, min_delay and max_delay must be seconds, the last two in that order")
        if self.protocol not in {"auto", "5", "3.1.1"}:
            raise ConfigError('protocol must be "auto", "5" or "3.1.1"')


@dataclass(frozen=True, slots=True, kw_only=True)
class TransportCounts:
    """What happened since the start, in messages (or in events, where the name says so).

    `denied` counts publishes that the broker acknowledged with an error: an MQTT 3.1.1 broker hides them, so zero proves
    nothing. `unheard` counts those for which nobody had subscribed. `dropped` counts messages that found the inbox full or were too long.
    `refused_filters` counts subscriptions that were turned down, `faults` exceptions caught in the network thread.
    """

    published: int = 0
    acknowledged: int = 0
    denied: int = 0
    unheard: int = 0
    received: int = 0
    dropped: int = 0
    refused_filters: int = 0
    faults: int = 0


class Transport(Protocol):
    """One connection to a broker that mends itself. Every method may be called from any thread."""

    @property
    def connected(self) -> bool:
        """Whether the broker has accepted this client and the connection is not known to be lost."""

    @property
    def generation(self) -> int:
        """Return how many connections the broker has accepted so far: a caller that sees it grow offers again."""

    @property
    def last_error(self) -> TransportError | None:
        """Why there is no connection, as far as is known; None while connected."""

    @property
    def max_payload(self) -> int | None:
        """The largest payload in bytes that the broker takes on any permitted topic; None where no limit is known.

        The broker may have named it; or connections have broken, twice in a row, while a message was on its way than which
        none so large had come through.
        """

    @property
    def in_flight(self) -> int:
        """How many of the last messages the broker has not acknowledged yet on this connection."""

    @property
    def counts(self) -> TransportCounts:
        """The counters since the start."""

    @property
    def alive(self) -> bool:
        """Whether the network thread runs: False before `start`, after `stop`, and when it died."""

    @property
    def idle_seconds(self) -> float:
        """Seconds since the network thread last turned over; 0 where there is none to watch.

        It turns over each second while connected. A name look-up or a handshake may hold it for several times
        `connect_timeout`.
        """

    def start(self, will: Message | None = None) -> None:
        """Begin to connect, and return at once; `will` is retained by the broker when this client is lost.

        Raises:
            ConfigError: A certificate, a key or the password file cannot be used.
        """

    def wait_connected(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for a connection; return whether there is one."""

    def wait_subscribed(self, timeout: float) -> bool:
        """Wait until the broker has answered every subscription on this connection; return whether it has."""

    def subscribe(self, topic_filter: str) -> None:
        """Ask for the messages of a filter, now and after each reconnection. Return at once."""

    def publish(
        self, topic: str, payload: bytes, *, retain: bool = False, timeout: float = PUBLISH_TIMEOUT_SECONDS
    ) -> None:
        """Hand a message to the broker once (QoS 1), waiting up to `timeout` seconds for a free slot in the window.

        A message that is on its way when the connection breaks is gone: it is never sent again.

        Raises:
            NotConnected: There is no connection, it broke while waiting, or no slot came free in time.
            MessageTooLarge: The broker would refuse the message.
            ValueError: The topic cannot be published to.
        """

    def receive(self, timeout: float) -> Message | None:
        """Take the oldest message from the inbox, waiting up to `timeout` seconds; None where there is none."""

    def wake(self) -> None:
        """End a wait in `receive` without a message: that under way, or the next one."""

    def drain(self, timeout: float) -> bool:
        """Wait until the broker has acknowledged everything in the window; return whether it has."""

    def stop(self, last: Message | None = None) -> None:
        """Publish `last` (retained) where there is a connection, take leave of the broker, end the network thread."""


def payload_room(maximum_packet: int | None) -> int | None:
    """Return the largest payload in bytes that fits into a packet of `maximum_packet` bytes with the longest topic."""
    if maximum_packet is None:
        return None
    return max(0, maximum_packet - publish_packet_bytes(TOPIC_MAX_BYTES, 0))


def publish_packet_bytes(topic_bytes: int, payload_bytes: int) -> int:
    """Return the length of a QoS 1 PUBLISH packet, the longer of the two protocols' (MQTT 5, section 3.3).

    It has a first byte, one to four bytes of length, topic with a two-byte length, message id, an empty property list,
    payload. The length field is taken at its longest.
    """
    return 1 + 4 + 2 + topic_bytes + 2 + 1 + payload_bytes
