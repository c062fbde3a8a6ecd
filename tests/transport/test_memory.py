"""What the fake world can do beyond the contract: seeded disorder, limits, shared subscriptions; and how it matches."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from edge.errors import BrokerUnreachable, MessageTooLarge, NotConnected
from edge.transport.base import Message, check_filter
from edge.transport.memory import Disorder, MemoryBroker, MemoryTransport, matches


def client(broker: MemoryBroker, *filters: str, **limits: int) -> MemoryTransport:
    transport = MemoryTransport(broker, **limits)
    for topic_filter in filters:
        transport.subscribe(topic_filter)
    transport.start()
    return transport


def everything(transport: MemoryTransport) -> list[bytes]:
    messages = iter(lambda: transport.receive(0), None)
    return [message.payload for message in messages]


def run(disorder: Disorder | None, count: int = 200) -> list[int]:
    """Send `count` numbered messages through a broker of that disorder; return the numbers that came."""
    broker = MemoryBroker(disorder=disorder)
    receiver, sender = client(broker, "t", inbox_limit=4 * count), client(broker)
    for number in range(count):
        sender.publish("t", b"%d" % number, timeout=0)
    assert sender.counts.acknowledged == count, "the broker acknowledges what it loses"
    broker.settle()
    return [int(payload) for payload in everything(receiver)]


def test_without_disorder_all_arrives_once_and_in_order() -> None:
    assert run(None) == run(Disorder(seed=1)) == list(range(200))


def test_disorder_is_the_same_for_the_same_seed() -> None:
    rule = {"drop": 0.1, "duplicate": 0.1, "reorder": 0.3}
    assert run(Disorder(seed=1, **rule)) == run(Disorder(seed=1, **rule)) != run(Disorder(seed=2, **rule))


def test_messages_are_lost() -> None:
    numbers = run(Disorder(seed=3, drop=0.25))
    assert 100 < len(numbers) < 200
    assert numbers == sorted(set(numbers))


def test_messages_come_twice() -> None:
    counted = Counter(run(Disorder(seed=4, duplicate=0.25)))
    assert set(counted) == set(range(200))
    assert set(counted.values()) == {1, 2}


def test_messages_are_overtaken_but_not_lost() -> None:
    numbers = run(Disorder(seed=5, reorder=0.3))
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(200))


def test_a_shared_subscription_takes_turns_and_skips_who_left() -> None:
    broker = MemoryBroker()
    members = [client(broker, "$share/g/offer/+") for _ in range(3)]
    outsider, sender = client(broker, "offer/#"), client(broker)
    for _ in range(9):
        sender.publish("offer/dev", b"x")
    assert [len(everything(member)) for member in members] == [3, 3, 3]
    assert len(everything(outsider)) == 9
    members[0].stop()
    for _ in range(4):
        sender.publish("offer/dev", b"x")
    assert [len(everything(member)) for member in members[1:]] == [2, 2]


def test_a_shared_subscription_gets_no_retained_messages() -> None:
    broker = MemoryBroker()
    client(broker).publish("status/dev", b"online", retain=True)
    assert everything(client(broker, "$share/g/status/+")) == []
    assert everything(client(broker, "status/+")) == [b"online"]


def test_the_brokers_limits_hold() -> None:
    broker = MemoryBroker(maximum_packet=1000, receive_maximum=2)
    transport = client(broker, "t", window=8)
    assert transport.max_payload is not None
    transport.publish("t", bytes(transport.max_payload))
    with pytest.raises(MessageTooLarge):
        transport.publish("t", bytes(1000))
    broker.freeze()
    transport.publish("t", b"1")
    transport.publish("t", b"2")
    with pytest.raises(NotConnected):
        transport.publish("t", b"3", timeout=0)


def test_a_client_that_starts_while_the_broker_is_away_waits_for_it() -> None:
    broker = MemoryBroker()
    broker.go_offline()
    transport = client(broker, "t")
    assert isinstance(transport.last_error, BrokerUnreachable)
    broker.go_online()
    assert transport.connected
    assert transport.last_error is None
    transport.publish("t", b"x")
    assert transport.receive(0) == Message("t", b"x")


def test_nobody_listening_is_counted() -> None:
    transport = client(MemoryBroker())
    transport.publish("t", b"x")
    assert transport.counts.unheard == 1


LEVELS = st.sampled_from(["a", "b", "", "$a", "long"])


@given(
    wanted=st.lists(st.one_of(LEVELS, st.just("+")), min_size=1, max_size=4),
    rest=st.booleans(),
    topic=st.lists(LEVELS, min_size=1, max_size=5),
)
def test_filters_match_as_the_mqtt_client_has_it(wanted: list[str], rest: bool, topic: list[str]) -> None:
    topic_filter, name = "/".join([*wanted, *["#"] * rest]), "/".join(topic)
    if topic_filter and name:
        assert matches(check_filter(topic_filter), name) == topic_matches_sub(topic_filter, name)
