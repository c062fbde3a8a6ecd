"""The demo's broker comes up, restarts at its port, goes without a trace, and is missed in plain words."""

from __future__ import annotations

import socket
import sys
import threading

import pytest

from edge.demo.broker import EmbeddedBroker
from edge.errors import BrokerUnreachable, UsageError
from edge.transport.base import BrokerAddress, Message
from edge.transport.mqtt import MqttTransport
from tests.transport.contract import SOON
from tests.transport.worlds import settings


def test_it_serves_within_its_context_and_leaves_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    before = set(threading.enumerate())
    with EmbeddedBroker() as broker:
        address = BrokerAddress.parse(broker.url)
        assert (address.host, address.tls) == ("127.0.0.1", False)
        client = MqttTransport(settings(broker.url, protocol=EmbeddedBroker.PROTOCOL))
        client.subscribe("t/#")
        client.start()
        assert client.wait_subscribed(SOON)
        client.publish("t/x", b"1")
        assert client.receive(SOON) == Message("t/x", b"1")
        client.stop()
    assert set(threading.enumerate()) <= before
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address.host, address.port))
    assert capfd.readouterr() == ("", "")


def test_a_second_start_uses_the_same_port() -> None:
    broker = EmbeddedBroker()
    urls = []
    for _ in range(2):
        with broker:
            urls.append(broker.url)
    assert urls[0] == urls[1]


def test_a_taken_port_is_reported() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(BrokerUnreachable):
        EmbeddedBroker(port=other.getsockname()[1]).start()


def test_the_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "amqtt.broker", None)
    with pytest.raises(UsageError) as caught:
        EmbeddedBroker().start()
    assert "edge-encryptor[demo]" in caught.value.hint
