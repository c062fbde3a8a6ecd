"""Speak MQTT to a real broker through paho; the rule: nothing is ever queued inside the client library.

paho keeps what it could not send and sends it later, for ever if the broker rejects it. So each connection gets a client
object of its own, which is thrown away with everything in it when the connection ends, and a slot in the window must be
free before a message is handed over. One thread does all network work; callbacks only copy, count and notify.
"""

from __future__ import annotations

import logging
import random
import secrets
import socket
import threading
import time
from collections.abc import Callable
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion, LogLevel, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.errors import BrokerUnreachable, ConfigError, TransportError
from edge.transport.backoff import Backoff
from edge.transport.base import (
    PAYLOAD_MAX_BYTES,
    TOPIC_MAX_BYTES,
    BrokerSettings,
    Message,
    Transport,
    publish_packet_bytes,
)
from edge.transport.diagnosis import explain_dialling, explain_refusal, explain_silence, read_password, tls_context
from edge.transport.link import Link, Session

_log = logging.getLogger(__name__)

_TURN_SECONDS: Final = 1.0
"""How long the network thread waits for traffic before it turns over and looks at the deadlines."""

_PROBE_SECONDS: Final = 5.0
"""How long an MQTT 5 greeting may stay unanswered while 3.1.1 is still to be tried: amqtt never answers one with a will."""

_FAREWELL_SECONDS: Final = 2.0
"""How long `stop` waits for the last message, and again for the goodbye."""

_STEADY_SECONDS: Final = 10.0
"""A connection that lasted this long speaks well of the broker: the delays begin with the shortest again."""

_RENAME_FAILURES: Final = 3
"""After so many connections in a row that were accepted and did not last, somebody else may be using the client id."""

_NO_MATCHING_SUBSCRIBERS: Final = 0x10
_SESSION_TAKEN_OVER: Final = 0x8E
_UNSUPPORTED_PROTOCOL_VERSION: Final = 0x84

_V5: Final = MQTTProtocolVersion.MQTTv5
_V311: Final = MQTTProtocolVersion.MQTTv311

_P = ParamSpec("_P")


def _guarded(callback: Callable[Concatenate[_Connection, _P], None]) -> Callable[Concatenate[_Connection, _P], None]:
    """Keep an exception in a callback from ending paho's loop: it is counted, and its class is logged, not its text."""

    @wraps(callback)
    def wrapper(connection: _Connection, /, *arguments: _P.args, **keywords: _P.kwargs) -> None:
        try:
            callback(connection, *arguments, **keywords)
        except Exception as error:  # noqa: BLE001  # Whatever it is, the connection must outlive one bad message.
            connection.owner.note_fault(error)

    return wrapper


def _leave_writing_to_the_network_thread(_client: Client, _userdata: object, _sock: object) -> None:
    """Do nothing, but be there, for as long as the client lives.

    Without this callback paho 2.2 writes from the publisher's thread too unless its own thread is in use, and two writers
    tear packets apart. It is no method, because the client is still published to while its connection is discarded.
    """


def _send_small_packets_at_once(_client: Client, _userdata: object, sock: Any) -> None:
    """Switch off Nagle's algorithm: a small message that waits for the last one's acknowledgement costs 40 ms (measured)."""
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Connection(Session):
    """A session and the paho client that carries it."""

    def __init__(self, owner: MqttTransport, protocol: MQTTProtocolVersion, will: Message | None) -> None:
        settings = owner.settings
        super().__init__(settings.window)
        self.owner = owner
        self.protocol = protocol
        self.began = time.monotonic()
        self.refusal: TransportError | None = None
        self.version_refused = False
        self.taken_over = False
        self.denied = False
        self.complaint = ""
        self.client = client = Client(
            CallbackAPIVersion.VERSION2,
            client_id=owner.client_id,
            clean_session=None if protocol == _V5 else True,
            protocol=protocol,
            reconnect_on_failure=False,
        )
        client.suppress_exceptions = True
        client.connect_timeout = settings.connect_timeout
        client.max_inflight_messages = settings.window
        context = tls_context(settings)
        if context is not None:
            client.tls_set_context(context)
        if settings.username is not None:
            client.username_pw_set(settings.username, read_password(settings))
        if will is not None:
            client.will_set(will.topic, will.payload, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_log = self._on_log
        client.on_socket_open = _send_small_packets_at_once
        client.on_socket_register_write = _leave_writing_to_the_network_thread

    def dial(self) -> None:
        """Open the socket, shake hands if it is TLS, and queue the greeting.

        Raises:
            TransportError: It did not come to that.
        """
        settings = self.owner.settings
        options: dict[str, Any] = {}
        if self.protocol == _V5:
            # clean_start is for MQTT 5 alone; paho refuses any other value beside 3.1.1, where the constructor has said it.
            # paho puts a packet together before anybody sees its length: the broker is told to send none that is too long.
            limits: Any = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            limits.MaximumPacketSize = publish_packet_bytes(TOPIC_MAX_BYTES, PAYLOAD_MAX_BYTES)
            options = {"clean_start": True, "properties": limits}
        try:
            self.client.connect(settings.address.host, settings.address.port, settings.keepalive, **options)
        except (OSError, ValueError) as error:
            raise explain_dialling(error, tls=settings.address.tls) from error

    def discard(self) -> None:
        """Close the socket and cut the circle of references, so that paho's buffers go at once."""
        client = self.client
        sock = client.socket()
        if sock is not None:
            sock.close()
        client.on_connect = client.on_disconnect = client.on_message = None
        client.on_publish = client.on_subscribe = client.on_log = None

    @_guarded
    def _on_connect(self, client: Client, _userdata: object, _flags: object, reason: Any, properties: Any) -> None:
        if reason.is_failure:
            self.version_refused = reason.value == _UNSUPPORTED_PROTOCOL_VERSION
            self.refusal = explain_refusal(str(reason))
            return
        # For each message paho would put a line together for nothing: complaints are asked for until here.
        client.on_log = None
        # paho knows neither of these limits (MQTT 5, sections 3.2.2.3.3 and 3.2.2.3.6).
        self.maximum_packet = getattr(properties, "MaximumPacketSize", None)
        self.window = max(1, min(self.window, getattr(properties, "ReceiveMaximum", self.window)))
        while (topic_filter := self.owner.next_filter(self)) is not None:
            client.subscribe(topic_filter, qos=1)

    @_guarded
    def _on_disconnect(self, _client: Client, _userdata: object, flags: Any, reason: Any, _properties: object) -> None:
        # paho may call this twice for one loss, and calls it after a refused greeting too.
        if self.refusal is None and flags.is_disconnect_packet_from_server:
            self.refusal = explain_refusal(str(reason))
            self.taken_over = reason.value == _SESSION_TAKEN_OVER
        self.owner.end(self)

    @_guarded
    def _on_message(self, _client: Client, _userdata: object, message: Any) -> None:
        self.owner.inbox.put(Message(topic=message.topic, payload=bytes(message.payload)))

    @_guarded
    def _on_publish(self, _client: Client, _userdata: object, _mid: int, reason: Any, _properties: object) -> None:
        self.owner.acknowledge(self, denied=reason.is_failure, unheard=reason.value == _NO_MATCHING_SUBSCRIBERS)
        self._say_denied(denied=reason.is_failure)

    @_guarded
    def _on_subscribe(self, _client: Client, _userdata: object, _mid: int, reasons: Any, _properties: object) -> None:
        refused = any(reason.is_failure for reason in reasons)
        self.owner.answer_filter(self, refused=refused)
        self._say_denied(denied=refused)

    def _say_denied(self, *, denied: bool) -> None:
        # Once a connection: which message it was must not be said, and how many there are is counted.
        if denied and not self.denied:
            self.denied = True
            _log.warning("the broker denies messages or subscriptions of this client: check its access list")

    def _on_log(self, _client: Client, _userdata: object, level: int, text: str) -> None:
        # paho swallows the socket's exception; its text, with the name of a TLS alert, is to be had nowhere else.
        if level == LogLevel.MQTT_LOG_ERR:
            self.complaint = text


class MqttTransport(Link[_Connection], Transport):
    """A `Transport` over MQTT 5 or 3.1.1; see `edge.transport.base.Transport` for what each method promises.

    With `protocol = "auto"` MQTT 5 is tried first. A broker that refuses it, hangs up on it, or leaves it unanswered for
    five seconds is spoken to in 3.1.1, and remains so once it has accepted that.
    """

    def __init__(self, settings: BrokerSettings) -> None:
        super().__init__(window=settings.window, inbox_limit=settings.inbox_limit)
        self.settings = settings
        self._name_client()
        self._short_lives = 0
        self._protocol = _V311 if settings.protocol == "3.1.1" else _V5
        self._protocol_is_settled = settings.protocol != "auto"
        self._thread: threading.Thread | None = None
        self._turned_over = time.monotonic()

    @property
    def protocol(self) -> str:
        """The protocol version in use or next to be tried: `5` or `3.1.1`."""
        return "5" if self._protocol == _V5 else "3.1.1"

    @property
    def alive(self) -> bool:
        """See `Transport.alive`."""
        return self._thread is not None and self._thread.is_alive()

    @property
    def idle_seconds(self) -> float:
        """See `Transport.idle_seconds`."""
        return time.monotonic() - self._turned_over if self._thread is not None else 0.0

    def start(self, will: Message | None = None) -> None:
        """See `Transport.start`. A transport is started once."""
        if self._thread is not None or self._stopping.is_set():
            raise RuntimeError("a transport is started once")
        tls_context(self.settings)
        read_password(self.settings)
        self._turned_over = time.monotonic()
        self._thread = threading.Thread(target=self._run, args=(will,), name=f"mqtt-{self.client_id}", daemon=True)
        self._thread.start()

    def stop(self, last: Message | None = None) -> None:
        """See `Transport.stop`. A thread that is held up in a handshake is not waited for; it ends with it."""
        if last is not None:
            try:
                self.publish(last.topic, last.payload, retain=True, timeout=_FAREWELL_SECONDS)
                self.drain(_FAREWELL_SECONDS)
            except TransportError:
                _log.info("the last status could not be published")
        self._stopping.set()
        with self._changed:
            connection = self._session
            self._changed.notify_all()
        if connection is not None and connection.accepted:
            # The network thread would say goodbye by itself at its next turn; this wakes it.
            connection.client.disconnect()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(2 * _FAREWELL_SECONDS)
        self.inbox.close()

    def _name_client(self) -> None:
        self.client_id = f"{self.settings.client_id_prefix}-{secrets.token_hex(4)}"

    def note_fault(self, error: Exception) -> None:
        """Count an exception that was caught in the network thread."""
        self._count_fault()
        _log.error("the network thread caught %s", type(error).__name__)

    def _send(self, session: _Connection, message: Message, *, retain: bool) -> bool:
        info = session.client.publish(message.topic, message.payload, qos=1, retain=retain)
        # Where there is no connection paho keeps the message, but in a client that is about to be thrown away.
        return info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def _ask(self, session: _Connection, topic_filter: str) -> None:
        session.client.subscribe(topic_filter, qos=1)

    # --- the network thread ------------------------------------------------------------------------------------------

    def _run(self, will: Message | None) -> None:
        """Connect, serve the connection until it ends, wait, and begin again until stopped."""
        backoff = Backoff(self.settings.min_delay, self.settings.max_delay, random.SystemRandom().random)
        said = ""
        while not self._stopping.is_set():
            tried = self._protocol
            error, steady = self._live_once(will)
            if self._stopping.is_set():
                return
            if tried == _V5 and self._protocol == _V311:
                _log.info("the broker does not take MQTT 5; trying 3.1.1")
                continue
            with self._changed:
                self._last_error = error
            # Each cause is said once: a broker that is away or hangs up all night must not fill the log.
            if steady or said != error.message:
                said = error.message
                hint = f"; {error.hint}" if error.hint else ""
                _log.warning("no connection to the broker: %s%s (trying on)", error.message, hint)
            self._stopping.wait(backoff.after(steady=steady))

    def _live_once(self, will: Message | None) -> tuple[TransportError, bool]:
        """Make one connection and serve it to its end; return why it ended and whether it had been a steady one."""
        connection: _Connection | None = None
        try:
            connection = _Connection(self, self._protocol, will)
            connection.dial()
            with self._changed:
                self._session = connection
            error = self._serve(connection)
        except TransportError as caught:
            error = caught
        except ConfigError as caught:
            # A certificate that was renewed badly may be renewed again: say so and go on trying.
            error = BrokerUnreachable(caught.message, hint=caught.hint)
        except Exception as unforeseen:  # noqa: BLE001  # A fault in paho must cost one connection, not the service.
            self.note_fault(unforeseen)
            error = BrokerUnreachable("the connection to the broker ended with an unforeseen fault")
        with self._changed:
            self._session = None
            self._changed.notify_all()
        if connection is None:
            return error, False
        self.end(connection)
        connection.discard()
        steady = connection.accepted and time.monotonic() - connection.began > _STEADY_SECONDS
        self._short_lives = self._short_lives + 1 if connection.accepted and not steady else 0
        if connection.taken_over or self._short_lives >= _RENAME_FAILURES:
            # Two clients of one id throw each other off for ever. MQTT 3.1.1 does not say that this is the reason.
            self._short_lives = 0
            self._name_client()
        return error, steady

    def _serve(self, connection: _Connection) -> TransportError:
        """Drive a dialled connection until it is over; return why."""
        patience = self.settings.connect_timeout
        if not self._protocol_is_settled and connection.protocol == _V5:
            patience = min(_PROBE_SECONDS, patience)
        greeted = time.monotonic()
        parted: float | None = None
        silent = False
        while not connection.ended and not silent:
            self._turned_over = now = time.monotonic()
            silent = not connection.accepted and now - greeted > patience
            if self._stopping.is_set():
                if parted is None:
                    # The goodbye keeps the broker from publishing the will.
                    parted = now
                    connection.client.disconnect()
                if now - parted > _FAREWELL_SECONDS:
                    break
            if connection.client.loop(timeout=_TURN_SECONDS) != MQTTErrorCode.MQTT_ERR_SUCCESS:
                break
        if connection.accepted:
            return connection.refusal or BrokerUnreachable("the connection to the broker was lost")
        return self._judge_refusal(connection, silent=silent)

    def _judge_refusal(self, connection: _Connection, *, silent: bool) -> TransportError:
        """Say why the broker did not accept a connection, and choose the protocol version for the next attempt."""
        if silent:
            error: TransportError = BrokerUnreachable("the broker accepts connections but does not answer in MQTT")
        else:
            error = connection.refusal or explain_silence(tls=self.settings.address.tls, complaint=connection.complaint)
        # A refused version says it plainly; a hang-up or silence may mean the same. A refused password does not.
        doubtful = isinstance(error, BrokerUnreachable) and not self._protocol_is_settled
        if self.settings.protocol == "auto" and (connection.version_refused or doubtful):
            self._protocol = _V311 if connection.protocol == _V5 else _V5
        return error

    def next_filter(self, session: _Connection) -> str | None:
        """See `Link.next_filter`; an accepted connection settles which protocol version this broker takes."""
        topic_filter = super().next_filter(session)
        if topic_filter is None:
            self._protocol_is_settled = True
            _log.info("connected to the broker with MQTT %s", self.protocol)
        return topic_filter
