"""What only a real broker can show: TLS, passwords, access lists, limits, shared subscriptions, protocol versions."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.errors import BrokerRefused, BrokerUnreachable, CertificateRefused, ConfigError, MessageTooLarge, NotConnected
from edge.protocol import CHUNK_MIN_BYTES
from edge.transport import mqtt
from edge.transport.base import TOPIC_MAX_BYTES, Message
from edge.transport.mqtt import MqttTransport
from tests.brokers import HOST, Amqtt, Mosquitto, Proxy
from tests.certificates import LOOPBACK, Authority
from tests.transport.contract import A_WHILE, SOON, eventually, received
from tests.transport.worlds import settings

Connect = Callable[..., MqttTransport]


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Start a transport to a URL with the settings named; every one is stopped at the end."""
    clients = []

    def start(url: str, *filters: str, will: Message | None = None, **changes: object) -> MqttTransport:
        client = MqttTransport(settings(url, **changes))
        clients.append(client)
        for topic_filter in filters:
            client.subscribe(topic_filter)
        client.start(will)
        return client

    yield start
    for client in clients:
        client.stop()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "authority")


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "broker") as broker:
        yield broker


@pytest.mark.mosquitto
class TestTls:
    def test_a_broker_with_the_right_certificate_is_trusted(
        self, tmp_path: Path, authority: Authority, connect: Connect
    ) -> None:
        with Mosquitto(tmp_path / "broker", server=authority.issue("broker", hosts=LOOPBACK)) as broker:
            client = connect(broker.url, "t/#", ca_file=authority.ca_file)
            assert client.wait_subscribed(SOON)
            client.publish("t/x", bytes(range(256)) * 1024)
            assert client.receive(SOON) == Message("t/x", bytes(range(256)) * 1024)

    @pytest.mark.parametrize("flaw", ["wrong CA", "wrong host", "expired", "no CA named"])
    def test_any_other_certificate_is_refused(
        self, tmp_path: Path, authority: Authority, connect: Connect, flaw: str
    ) -> None:
        lifetime = timedelta(minutes=-5) if flaw == "expired" else timedelta(days=1)
        hosts = ["broker.example"] if flaw == "wrong host" else LOOPBACK
        server = authority.issue("broker", hosts=hosts, lifetime=lifetime)
        trusted = Authority(tmp_path / "other").ca_file if flaw == "wrong CA" else authority.ca_file
        with Mosquitto(tmp_path / "broker", server=server) as broker:
            client = connect(broker.url, ca_file=None if flaw == "no CA named" else trusted)
            assert eventually(lambda: isinstance(client.last_error, CertificateRefused))
            assert not client.connected
            # A machine whose clock is wrong finds every certificate expired, or not yet valid.
            assert client.last_error is not None
            assert ("clock" in client.last_error.hint) == (flaw == "expired")

    def test_a_plain_listener_is_told_from_a_bad_certificate(
        self, plain: Mosquitto, authority: Authority, connect: Connect
    ) -> None:
        client = connect(f"mqtts://{HOST}:{plain.port}", ca_file=authority.ca_file)
        assert eventually(lambda: isinstance(client.last_error, BrokerUnreachable))
        assert "TLS" in str(client.last_error)

    def test_the_client_certificate_is_the_identity_that_the_access_list_sees(
        self, tmp_path: Path, authority: Authority, connect: Connect
    ) -> None:
        device, receiver = authority.issue("dev-1"), authority.issue("rx-1")
        acl = "pattern write p/offer/%u\nuser rx-1\ntopic read p/#\n"
        with Mosquitto(
            tmp_path / "broker",
            server=authority.issue("broker", hosts=LOOPBACK),
            client_ca_file=authority.ca_file,
            acl=acl,
        ) as broker:
            files = {"ca_file": authority.ca_file}
            reader = connect(broker.url, "p/#", cert_file=receiver.cert_file, key_file=receiver.key_file, **files)
            writer = connect(broker.url, cert_file=device.cert_file, key_file=device.key_file, **files)
            assert reader.wait_subscribed(SOON)
            assert writer.wait_connected(SOON)
            writer.publish("p/offer/dev-2", b"forged")
            writer.publish("p/offer/dev-1", b"own")
            assert reader.receive(SOON) == Message("p/offer/dev-1", b"own")
            assert writer.drain(SOON)
            assert (writer.counts.acknowledged, writer.counts.denied) == (2, 1)

    @pytest.mark.parametrize("flaw", ["none", "another CA's"])
    def test_a_client_without_a_valid_certificate_is_told_so(
        self, tmp_path: Path, authority: Authority, connect: Connect, flaw: str
    ) -> None:
        stranger = Authority(tmp_path / "other").issue("dev-1")
        files = {} if flaw == "none" else {"cert_file": stranger.cert_file, "key_file": stranger.key_file}
        server = authority.issue("broker", hosts=LOOPBACK)
        with Mosquitto(tmp_path / "broker", server=server, client_ca_file=authority.ca_file) as broker:
            client = connect(broker.url, ca_file=authority.ca_file, **files)
            assert eventually(lambda: isinstance(client.last_error, BrokerRefused))
            assert "certificate" in str(client.last_error)

    def test_a_renewed_ca_file_is_read_at_the_next_connection(
        self, tmp_path: Path, authority: Authority, connect: Connect
    ) -> None:
        ca_file = tmp_path / "ca.pem"
        ca_file.write_bytes(Authority(tmp_path / "other").ca_file.read_bytes())
        with Mosquitto(tmp_path / "broker", server=authority.issue("broker", hosts=LOOPBACK)) as broker:
            client = connect(broker.url, ca_file=ca_file)
            assert eventually(lambda: isinstance(client.last_error, CertificateRefused))
            ca_file.write_text("half a file")
            assert eventually(lambda: "CA file" in str(client.last_error))
            ca_file.write_bytes(authority.ca_file.read_bytes())
            assert client.wait_connected(SOON)


@pytest.mark.parametrize("missing", ["ca_file", "cert_file", "key_file", "password_file"])
def test_a_file_that_cannot_be_used_is_named_at_the_start(tmp_path: Path, authority: Authority, missing: str) -> None:
    own = authority.issue("dev-1")
    files = {"ca_file": authority.ca_file, "cert_file": own.cert_file, "key_file": own.key_file}
    files[missing] = tmp_path / "absent"
    with pytest.raises(ConfigError) as caught:
        MqttTransport(settings("mqtts://localhost", username="user", **files)).start()
    assert missing in caught.value.hint
    assert str(tmp_path) not in str(caught.value)


@pytest.mark.mosquitto
class TestPasswords:
    @pytest.mark.parametrize("protocol", ["auto", "5", "3.1.1"])
    def test_a_wrong_password_is_told_until_the_file_is_mended(
        self, tmp_path: Path, connect: Connect, protocol: str
    ) -> None:
        password_file = tmp_path / "password"
        password_file.write_text("wrong\n")
        with Mosquitto(tmp_path / "broker", passwords={"dev-1": "right"}) as broker:
            client = connect(broker.url, username="dev-1", password_file=password_file, protocol=protocol)
            assert eventually(lambda: isinstance(client.last_error, BrokerRefused))
            password_file.write_text("right\n")
            assert client.wait_connected(SOON)
            assert client.protocol == ("3.1.1" if protocol == "3.1.1" else "5"), "a refused password is no reason"

    def test_no_password_where_one_is_asked_for(self, tmp_path: Path, connect: Connect) -> None:
        with Mosquitto(tmp_path / "broker", passwords={"dev-1": "right"}) as broker:
            client = connect(broker.url)
            assert eventually(lambda: isinstance(client.last_error, BrokerRefused))


@pytest.mark.mosquitto
class TestLimits:
    PACKET = 131_072

    @pytest.fixture
    def broker(self, tmp_path: Path) -> Iterator[Mosquitto]:
        with Mosquitto(tmp_path / "broker", options=[f"max_packet_size {self.PACKET}"]) as broker:
            yield broker

    def test_what_the_broker_would_not_take_is_not_sent(self, broker: Mosquitto, connect: Connect) -> None:
        assert MqttTransport(settings(broker.url)).max_payload is None, "nothing is known before the connection"
        client = connect(broker.url, "t/#")
        assert client.wait_subscribed(SOON)
        room = client.max_payload
        assert room is not None
        assert self.PACKET - 512 < room < self.PACKET
        longest = "t/" + "x" * (TOPIC_MAX_BYTES - 2)
        with pytest.raises(MessageTooLarge):
            client.publish(longest, bytes(room + 1))
        client.publish(longest, bytes(room))
        assert client.receive(SOON) == Message(longest, bytes(room))
        assert client.generation == 1

    def test_what_the_broker_chokes_on_is_not_sent_for_ever(self, broker: Mosquitto, connect: Connect) -> None:
        # An MQTT 3.1.1 broker cannot name its limit: it breaks the connection.
        client = connect(broker.url, "t/#", protocol="3.1.1")
        assert client.wait_subscribed(SOON)
        assert client.max_payload is None
        client.publish("t/x", bytes(self.PACKET + 1))
        assert eventually(lambda: client.generation == 2)
        assert client.wait_subscribed(SOON)
        client.publish("t/x", b"small")
        assert client.receive(SOON) == Message("t/x", b"small")
        assert client.receive(A_WHILE) is None
        assert client.generation == 2

    @pytest.mark.parametrize("largest", [262_144, 1 << 20])
    def test_a_limit_that_the_broker_cannot_name_is_learned_from_its_hanging_up(
        self, broker: Mosquitto, connect: Connect, largest: int
    ) -> None:
        client = connect(broker.url, "t/#", protocol="3.1.1")
        tried = []
        while True:
            assert client.wait_subscribed(SOON)
            generation = client.generation
            tried.append(min(largest, client.max_payload or largest))
            client.publish("t/x", bytes(tried[-1]))
            if client.receive(0.5) is not None:
                break
            assert eventually(lambda: client.generation > generation)  # noqa: B023
        assert tried[-1] < self.PACKET
        # One break may be chance: each size is tried twice before half of it is.
        assert all(tried.count(size) == 2 for size in tried[:-1])
        assert client.max_payload == tried[-1]

    def test_the_smallest_chunk_is_never_given_up(self, tmp_path: Path, connect: Connect) -> None:
        with Mosquitto(tmp_path / "tight", options=["max_packet_size 10000"]) as broker:
            client = connect(broker.url, "t/#", protocol="3.1.1")
            for _ in range(8):
                assert client.wait_connected(SOON)
                generation = client.generation
                client.publish("t/x", bytes(min(40_000, client.max_payload or 40_000)))
                assert eventually(lambda: client.generation > generation)  # noqa: B023
            assert client.wait_connected(SOON)
            assert client.max_payload == CHUNK_MIN_BYTES

    def test_connections_that_break_after_large_messages_have_come_through_teach_nothing(
        self, plain: Mosquitto, connect: Connect
    ) -> None:
        with Proxy(plain.port) as way:
            client = connect(way.url, "t/#")
            for _ in range(4):
                assert client.wait_subscribed(SOON)
                generation = client.generation
                client.publish("t/x", bytes(100_000))
                assert client.receive(SOON) is not None
                assert client.drain(SOON)
                plain.freeze()
                client.publish("t/x", bytes(100_000))
                way.cut()
                plain.thaw()
                assert eventually(lambda: client.generation > generation)  # noqa: B023
            assert client.max_payload is None

    def test_the_window_shrinks_to_what_the_broker_permits(self, tmp_path: Path, connect: Connect) -> None:
        with Mosquitto(tmp_path / "tight", options=["max_inflight_messages 10"]) as broker:
            client = connect(broker.url, "t/#", window=20)
            assert client.wait_subscribed(SOON)
            broker.freeze()
            for _ in range(10):
                client.publish("t/x", b"x")
            with pytest.raises(NotConnected):
                client.publish("t/x", b"eleventh", timeout=0.1)
            broker.thaw()
            for _ in range(90):
                client.publish("t/x", b"x", timeout=SOON)
            assert len(received(client, 100)) == 100
            assert client.generation == 1

    def test_a_larger_message_than_the_protocol_knows_is_refused(self, plain: Mosquitto, connect: Connect) -> None:
        class Endless(bytes):
            """Claims to be 256 MiB without taking them."""

            def __len__(self) -> int:
                return 2**28

        client = connect(plain.url)
        assert client.wait_connected(SOON)
        with pytest.raises(MessageTooLarge):
            client.publish("t/x", Endless())


@pytest.mark.mosquitto
class TestBehaviour:
    def test_mqtt_5_is_preferred(self, plain: Mosquitto, connect: Connect) -> None:
        client = connect(plain.url)
        assert client.wait_connected(SOON)
        assert client.protocol == "5"
        client.publish("nobody/listens", b"x")
        assert client.drain(SOON)
        assert client.counts.unheard == 1

    @pytest.mark.parametrize("protocol", ["5", "3.1.1"])
    def test_a_shared_subscription_splits_messages(self, plain: Mosquitto, connect: Connect, protocol: str) -> None:
        members = [connect(plain.url, "$share/hospital/p/offer/+", protocol=protocol) for _ in range(3)]
        assert all(member.wait_subscribed(SOON) for member in members)
        sender = connect(plain.url)
        assert sender.wait_connected(SOON)
        for number in range(30):
            sender.publish("p/offer/dev-1", b"%d" % number)
        taken = [int(message.payload) for member in members for message in received(member, 10)]
        assert sorted(taken) == list(range(30))

    def test_two_clients_of_one_name_do_not_throw_each_other_off(self, plain: Mosquitto, connect: Connect) -> None:
        clients = [connect(plain.url, "t/#", client_id_prefix="dev-1") for _ in range(2)]
        assert all(client.wait_subscribed(SOON) for client in clients)
        clients[0].publish("t/x", b"1")
        assert [client.receive(SOON) for client in clients] == [Message("t/x", b"1")] * 2
        assert [client.generation for client in clients] == [1, 1]

    @pytest.mark.parametrize("protocol", ["5", "3.1.1"])
    def test_another_client_of_the_same_id_is_given_way_to(
        self, plain: Mosquitto, connect: Connect, protocol: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        client = connect(plain.url, "t/#", protocol=protocol)
        assert client.wait_subscribed(SOON)
        stranger = Client(CallbackAPIVersion.VERSION2, client_id=client.client_id)
        stranger.reconnect_delay_set(1, 1)
        stranger.connect(HOST, plain.port)
        stranger.loop_start()
        try:
            # The stranger comes back each time; they would throw each other off for ever.
            assert eventually(lambda: client.client_id.encode() != stranger._client_id)
            assert eventually(lambda: client.wait_subscribed(0) and stranger.is_connected())
            before = client.generation
            client.publish("t/x", b"1")
            assert client.receive(SOON) == Message("t/x", b"1")
            assert client.receive(1.2) is None
            assert client.generation == before
        finally:
            stranger.disconnect()
            stranger.loop_stop()
        assert caplog.text.count("no connection to the broker") == 1, "what goes on is said once"

    def test_a_denied_message_is_said_once(
        self, tmp_path: Path, connect: Connect, caplog: pytest.LogCaptureFixture
    ) -> None:
        with Mosquitto(tmp_path / "closed", acl="topic read t/#\n") as broker:
            client = connect(broker.url, "t/#")
            assert client.wait_subscribed(SOON)
            for _ in range(3):
                client.publish("t/x", b"1")
            assert client.drain(SOON)
            assert client.counts.denied == 3
            assert caplog.text.count("access list") == 1
            assert "t/x" not in caplog.text

    def test_a_broker_that_hangs_is_noticed_by_its_silence(self, plain: Mosquitto, connect: Connect) -> None:
        client = connect(plain.url, keepalive=1)
        assert client.wait_connected(SOON)
        plain.freeze()
        assert eventually(lambda: not client.connected)
        plain.thaw()
        assert client.wait_connected(SOON)
        assert client.generation == 2

    def test_an_unforeseen_fault_costs_one_connection(
        self, plain: Mosquitto, connect: Connect, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        serve = MqttTransport._serve

        def fail_once(self: MqttTransport, connection: object) -> None:
            monkeypatch.setattr(MqttTransport, "_serve", serve)
            raise ZeroDivisionError

        monkeypatch.setattr(MqttTransport, "_serve", fail_once)
        client = connect(plain.url)
        assert client.wait_connected(SOON)
        assert client.counts.faults == 1


def test_a_dead_network_thread_shows(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(self: MqttTransport, will: object) -> None:
        raise SystemExit

    monkeypatch.setattr(threading, "excepthook", lambda _: None)
    monkeypatch.setattr(MqttTransport, "_live_once", die)
    client = connect(f"mqtt://{HOST}:1")
    assert eventually(lambda: not client.alive)
    idle = client.idle_seconds
    assert eventually(lambda: client.idle_seconds > idle)


class TestVersions:
    @pytest.fixture(autouse=True)
    def impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(mqtt, "_PROBE_SECONDS", 0.2)
        monkeypatch.setattr(mqtt, "_TURN_SECONDS", 0.1)

    # amqtt hangs up on an MQTT 5 greeting that names a limit; one with a will it never answers.
    @pytest.mark.parametrize("will", [None, Message("status/dev", b"offline")])
    def test_an_older_broker_is_spoken_to_in_its_version(self, connect: Connect, will: Message | None) -> None:
        with Amqtt() as broker:
            client = connect(broker.url, will=will)
            assert client.wait_connected(SOON)
            assert client.protocol == "3.1.1"
            broker.stop()
            assert eventually(lambda: not client.connected)
            broker.start()
            assert client.wait_connected(SOON)
            assert client.protocol == "3.1.1"

    def test_an_older_broker_is_reported_where_mqtt_5_is_demanded(self, connect: Connect) -> None:
        def refuse() -> None:
            # MQTT 3.1.1, section 3.2.2.3: "unacceptable protocol version".
            with contextlib.suppress(OSError):
                while True:
                    caller, _ = old.accept()
                    with caller:
                        caller.recv(4096)
                        caller.sendall(b"\x20\x02\x00\x01")

        with socket.create_server((HOST, 0)) as old:
            threading.Thread(target=refuse, daemon=True).start()
            client = connect(f"mqtt://{HOST}:{old.getsockname()[1]}", protocol="5")
            assert eventually(lambda: isinstance(client.last_error, BrokerRefused))
            assert "version" in str(client.last_error)
            old.shutdown(socket.SHUT_RDWR)  # wakes the thread; closing alone does not

    def test_a_listener_that_never_answers_is_told_from_one_that_is_absent(self, connect: Connect) -> None:
        with socket.create_server((HOST, 0)) as mute:
            port = mute.getsockname()[1]
            client = connect(f"mqtt://{HOST}:{port}", connect_timeout=0.2)
            assert eventually(lambda: "answer in MQTT" in str(client.last_error))
        absent = connect(f"mqtt://{HOST}:{port}")
        assert eventually(lambda: "nothing listens" in str(absent.last_error))

    def test_a_name_that_does_not_resolve_is_reported(self, connect: Connect) -> None:
        client = connect("mqtt://broker.invalid")
        assert eventually(lambda: "resolved" in str(client.last_error))
        assert isinstance(client.last_error, BrokerUnreachable)
