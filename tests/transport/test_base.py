"""Addresses, settings and names are checked before anything is connected."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ConfigError
from edge.transport.base import (
    BrokerAddress,
    BrokerSettings,
    Message,
    check_identity,
    payload_room,
    publish_packet_bytes,
)

PLAIN = BrokerAddress(host="broker", port=1883, tls=False)
TLS = BrokerAddress(host="broker", port=8883, tls=True)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("mqtt://broker", PLAIN),
        ("mqtts://broker", TLS),
        ("mqtts://broker/", TLS),
        ("mqtt://10.0.0.7:1884", BrokerAddress(host="10.0.0.7", port=1884, tls=False)),
        ("mqtts://[::1]", BrokerAddress(host="::1", port=8883, tls=True)),
        ("mqtt://[fe80::1]:99", BrokerAddress(host="fe80::1", port=99, tls=False)),
    ],
)
def test_an_address_is_read(text: str, address: BrokerAddress) -> None:
    assert BrokerAddress.parse(text) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "broker",
        "broker:1883",
        "http://broker",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://broker:0",
        "mqtt://broker:65536",
        "mqtt://broker:port",
        "mqtt://broker/topic",
        "mqtt://broker?x=1",
        "mqtt://broker#x",
        "mqtt://[::1",
        "mqtt://::1",
    ],
)
def test_any_other_address_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        BrokerAddress.parse(text)


@pytest.mark.parametrize("text", ["mqtt://dev:secret@broker", "mqtts://dev@broker:8883", "mqtt://:secret@broker"])
def test_a_password_in_the_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError, match="process list") as caught:
        BrokerAddress.parse(text)
    assert "password_file" in caught.value.hint
    assert "secret" not in str(caught.value) + caught.value.hint


@given(
    host=st.one_of(st.from_regex(r"[a-z][a-z0-9]{0,20}(\.[a-z]{2,5})?", fullmatch=True), st.ip_addresses().map(str)),
    port=st.integers(1, 65535),
    tls=st.booleans(),
)
def test_an_address_is_read_as_it_is_written(host: str, port: int, tls: bool) -> None:
    address = BrokerAddress(host=host, port=port, tls=tls)
    assert BrokerAddress.parse(str(address)) == address


@pytest.mark.parametrize(
    "changes",
    [
        {"ca_file": Path("ca.pem")},
        {"address": TLS, "cert_file": Path("cert.pem")},
        {"address": TLS, "key_file": Path("key.pem")},
        {"password_file": Path("password")},
        {"keepalive": 0},
        {"keepalive": 65_536},
        {"window": 0},
        {"inbox_limit": 0},
        {"connect_timeout": 0},
        {"min_delay": 0},
        {"min_delay": 2, "max_delay": 1},
        {"protocol": "3.1"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        BrokerSettings(**{"address": PLAIN, **changes})


def test_values_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        Message("t", b"").topic = "u"
    with pytest.raises(FrozenInstanceError):
        BrokerSettings(address=PLAIN).window = 9


@pytest.mark.parametrize("text", ["dev", "dev-1", "0" * 48])
def test_an_identity_is_one_safe_topic_level(text: str) -> None:
    assert check_identity(text) == text


@pytest.mark.parametrize("text", ["", "ab", "0" * 49, "Dev", "dev_1", "dev/1", "dev+", "dev#", "dev\n", "dév"])
def test_any_other_identity_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        check_identity(text)


@given(maximum=st.integers(1, 2**28), topic=st.integers(1, 256))
def test_what_there_is_room_for_fits(maximum: int, topic: int) -> None:
    room = payload_room(maximum)
    assert room is not None
    assert room == 0 or publish_packet_bytes(topic, room) <= maximum


def test_no_limit_is_no_limit() -> None:
    assert payload_room(None) is None
