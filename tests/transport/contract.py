"""State what every transport must do; the real ones and the fake one run the same tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Protocol

import pytest

from edge.errors import BrokerUnreachable, NotConnected
from edge.protocol import CHUNK_BYTES
from edge.transport.base import PAYLOAD_MAX_BYTES, Message, Transport

# How long a test waits for what must happen, and how long it looks out for what must not.
SOON = 15.0
A_WHILE = 0.4


class World(Protocol):
    """A broker with its clients, and the mishaps that can befall them."""

    def client(self, *, window: int = 8, inbox_limit: int = 256, cuttable: bool = False) -> Transport:
        """Return a transport that is not started; the world stops it at the end."""

    def break_broker(self) -> None:
        """Kill the broker."""

    def mend_broker(self) -> None:
        """Start it again at the same address."""

    def freeze(self) -> None:
        """Make the broker hang."""

    def thaw(self) -> None:
        """Let the broker go on."""

    def cut(self, client: Transport) -> None:
        """Break the connection of one client that was made `cuttable`."""


def started(world: World, *filters: str, window: int = 8, inbox_limit: int = 256) -> Transport:
    client = world.client(window=window, inbox_limit=inbox_limit)
    for topic_filter in filters:
        client.subscribe(topic_filter)
    client.start()
    assert client.wait_subscribed(SOON)
    return client


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + SOON
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


def received(client: Transport, count: int) -> list[Message]:
    messages = []
    for _ in range(count):
        message = client.receive(SOON)
        assert message is not None, f"only {len(messages)} of {count} messages came"
        messages.append(message)
    return messages


class TransportContract:
    """Inherit from this and provide a fixture `world`."""

    @pytest.fixture
    def world(self) -> Iterator[World]:
        raise NotImplementedError

    def test_a_message_reaches_its_subscriber(self, world: World) -> None:
        receiver, sender = started(world, "t/one"), started(world)
        sender.publish("t/one", b"payload")
        sender.publish("t/two", b"not for you")
        assert receiver.receive(SOON) == Message("t/one", b"payload")
        assert receiver.receive(A_WHILE) is None
        assert sender.drain(SOON)
        assert sender.counts.published == sender.counts.acknowledged == 2

    def test_waking_ends_one_wait_for_a_message_and_takes_none_away(self, world: World) -> None:
        receiver, sender = started(world, "t/one"), started(world)
        timer = threading.Timer(A_WHILE, receiver.wake)
        timer.start()
        began = time.monotonic()
        assert receiver.receive(2 * SOON) is None
        assert time.monotonic() - began < SOON
        timer.join()
        receiver.wake()
        assert receiver.receive(2 * SOON) is None
        assert time.monotonic() - began < SOON
        sender.publish("t/one", b"payload")
        assert receiver.receive(SOON) == Message("t/one", b"payload")

    def test_wildcards_match_whole_levels(self, world: World) -> None:
        receiver, sender = started(world, "p/+/ctl", "q/#"), started(world)
        for topic in ("p/a/ctl", "p/a/b/ctl", "p/ctl", "q", "q/a/b", "r/a"):
            sender.publish(topic, b"x")
        assert [message.topic for message in received(receiver, 3)] == ["p/a/ctl", "q", "q/a/b"]
        assert receiver.receive(A_WHILE) is None

    def test_a_filter_added_while_connected_works_at_once(self, world: World) -> None:
        receiver, sender = started(world), started(world)
        receiver.subscribe("late/#")
        assert receiver.wait_subscribed(SOON)
        sender.publish("late/x", b"1")
        assert receiver.receive(SOON) == Message("late/x", b"1")

    def test_a_retained_message_waits_for_latecomers_until_it_is_cleared(self, world: World) -> None:
        sender = started(world)
        sender.publish("status/dev", b"online", retain=True)
        assert sender.drain(SOON)
        assert started(world, "status/+").receive(SOON) == Message("status/dev", b"online")
        sender.publish("status/dev", b"", retain=True)
        assert sender.drain(SOON)
        assert started(world, "status/+").receive(A_WHILE) is None

    def test_the_will_speaks_when_a_client_is_lost(self, world: World) -> None:
        observer = started(world, "status/+")
        client = world.client(cuttable=True)
        client.start(Message("status/dev", b"offline"))
        assert client.wait_connected(SOON)
        world.cut(client)
        assert observer.receive(SOON) == Message("status/dev", b"offline")
        assert eventually(lambda: client.generation == 2), "a lost client comes back by itself"
        assert started(world, "status/+").receive(SOON) == Message("status/dev", b"offline"), "a will is retained"

    def test_the_will_is_silent_and_the_last_status_stands_when_a_client_stops(self, world: World) -> None:
        observer = started(world, "status/+")
        client = world.client()
        client.start(Message("status/dev", b"offline"))
        assert client.wait_connected(SOON)
        client.stop(Message("status/dev", b"stopped"))
        assert observer.receive(SOON) == Message("status/dev", b"stopped")
        assert observer.receive(A_WHILE) is None
        assert started(world, "status/+").receive(SOON) == Message("status/dev", b"stopped")

    def test_connection_and_subscriptions_come_back_with_the_broker(self, world: World) -> None:
        receiver, sender = started(world, "t/#", "u/+"), started(world)
        assert (receiver.generation, sender.generation) == (1, 1)
        world.break_broker()
        assert eventually(lambda: not receiver.connected and not sender.connected)
        assert eventually(lambda: isinstance(sender.last_error, BrokerUnreachable))
        world.mend_broker()
        assert receiver.wait_subscribed(SOON)
        assert sender.wait_connected(SOON)
        assert sender.last_error is None
        assert (receiver.generation, sender.generation) == (2, 2)
        sender.publish("t/x", b"1")
        sender.publish("u/y", b"2")
        assert [message.payload for message in received(receiver, 2)] == [b"1", b"2"]

    def test_a_message_published_while_offline_is_refused_and_never_sent(self, world: World) -> None:
        receiver, sender = started(world, "t/#"), started(world)
        world.break_broker()
        assert eventually(lambda: not sender.connected)
        with pytest.raises(NotConnected):
            sender.publish("t/x", b"offline")
        world.mend_broker()
        assert sender.wait_connected(SOON)
        assert receiver.wait_subscribed(SOON)
        sender.publish("t/x", b"online")
        assert receiver.receive(SOON) == Message("t/x", b"online")
        assert receiver.receive(A_WHILE) is None

    def test_a_message_on_its_way_when_the_broker_dies_is_not_sent_again(self, world: World) -> None:
        receiver, sender = started(world, "t/#"), started(world, window=2)
        world.freeze()
        for payload in (b"1", b"2"):
            sender.publish("t/x", payload)
        world.break_broker()
        assert eventually(lambda: not sender.connected)
        assert not sender.drain(A_WHILE)
        world.mend_broker()
        assert sender.wait_connected(SOON)
        assert receiver.wait_subscribed(SOON)
        # All slots are free again, and nothing but these comes through.
        for number in range(4):
            sender.publish("t/x", b"new %d" % number, timeout=SOON)
        assert [message.payload for message in received(receiver, 4)] == [b"new %d" % number for number in range(4)]

    def test_a_publisher_before_the_first_connection_is_refused(self, world: World) -> None:
        world.break_broker()
        client = world.client()
        with pytest.raises(NotConnected):
            client.publish("t/x", b"not started")
        client.start()
        assert not client.wait_connected(A_WHILE)
        assert eventually(lambda: isinstance(client.last_error, BrokerUnreachable))
        assert not client.drain(0)
        world.mend_broker()
        assert client.wait_connected(SOON)

    def test_no_more_than_the_window_is_on_its_way(self, world: World) -> None:
        receiver, sender = started(world, "t/#"), started(world, window=8)
        world.freeze()
        for number in range(8):
            sender.publish("t/x", b"%d" % number, timeout=SOON)
        with pytest.raises(NotConnected, match="window"):
            sender.publish("t/x", b"ninth", timeout=0.1)
        assert not sender.drain(0.1)
        assert sender.counts.published - sender.counts.acknowledged == 8
        world.thaw()
        assert sender.drain(SOON)
        sender.publish("t/x", b"8", timeout=SOON)
        assert [message.payload for message in received(receiver, 9)] == [b"%d" % number for number in range(9)]

    def test_a_waiting_publisher_learns_that_the_connection_broke(self, world: World) -> None:
        sender = started(world, window=1)
        world.freeze()
        sender.publish("t/x", b"1")
        outcome: list[Exception] = []

        def publish() -> None:
            try:
                sender.publish("t/x", b"2", timeout=SOON)
            except NotConnected as error:
                outcome.append(error)

        waiting = threading.Thread(target=publish)
        waiting.start()
        world.break_broker()
        waiting.join(SOON)
        assert not waiting.is_alive()
        assert len(outcome) == 1

    def test_whole_chunks_arrive_intact(self, world: World) -> None:
        receiver, sender = started(world, "c/#"), started(world)
        block = bytes(range(256)) * (CHUNK_BYTES // 256)
        chunks = [block[number:] + block[:number] for number in range(12)]
        for number, chunk in enumerate(chunks):
            sender.publish(f"c/{number}", chunk)
        assert received(receiver, 12) == [Message(f"c/{number}", chunk) for number, chunk in enumerate(chunks)]

    def test_five_hundred_messages_of_one_publisher_stay_in_order(self, world: World) -> None:
        receiver, sender = started(world, "t/#", inbox_limit=500), started(world)
        for number in range(500):
            sender.publish("t/x", b"%d" % number)
        assert [int(message.payload) for message in received(receiver, 500)] == list(range(500))

    def test_several_threads_can_publish_at_once(self, world: World) -> None:
        receiver, sender = started(world, "t/+"), started(world, window=3)

        def publish(name: str) -> None:
            for number in range(25):
                sender.publish(f"t/{name}", b"%d" % number)

        threads = [threading.Thread(target=publish, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        messages = received(receiver, 100)
        for name in "abcd":
            assert [int(m.payload) for m in messages if m.topic == f"t/{name}"] == list(range(25))
        assert sender.drain(SOON)

    def test_a_full_inbox_drops_and_counts_and_goes_on(self, world: World) -> None:
        receiver, sender = started(world, "t/#", inbox_limit=5), started(world)
        for number in range(8):
            sender.publish("t/x", b"%d" % number)
        assert eventually(lambda: receiver.counts.dropped == 3)
        assert [message.payload for message in received(receiver, 5)] == [b"%d" % number for number in range(5)]
        sender.publish("t/x", b"after")
        assert receiver.receive(SOON) == Message("t/x", b"after")
        assert receiver.counts.received == 6

    def test_a_message_longer_than_any_of_the_protocol_reaches_nobody(self, world: World) -> None:
        receiver, sender = started(world, "t/#"), started(world)
        sender.publish("t/x", bytes(PAYLOAD_MAX_BYTES + 1000))
        sender.publish("t/x", bytes(PAYLOAD_MAX_BYTES))
        assert [len(message.payload) for message in received(receiver, 1)] == [PAYLOAD_MAX_BYTES]
        assert receiver.counts.received == 1

    def test_a_fault_in_the_network_thread_costs_one_message(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        receiver, sender = started(world, "t/#"), started(world)
        keep = receiver.inbox.put

        def fail_once(message: Message) -> None:
            monkeypatch.setattr(receiver.inbox, "put", keep)
            raise ZeroDivisionError

        monkeypatch.setattr(receiver.inbox, "put", fail_once)
        sender.publish("t/x", b"1")
        sender.publish("t/x", b"2")
        assert receiver.receive(SOON) == Message("t/x", b"2")
        assert receiver.counts.faults == 1
        assert receiver.alive
        assert receiver.connected
        assert receiver.generation == 1

    def test_stopping_leaves_no_thread_and_no_way_to_publish(self, world: World) -> None:
        before = set(threading.enumerate())
        client = started(world, "t/#")
        assert client.alive
        assert client.idle_seconds < SOON
        client.stop()
        assert set(threading.enumerate()) <= before
        assert not client.alive
        assert not client.connected
        with pytest.raises(NotConnected):
            client.publish("t/x", b"1")
        assert not client.wait_connected(SOON)
        assert client.receive(SOON) is None, "nobody waits for a transport that is stopped"
        client.stop()

    def test_stopping_while_the_broker_is_away_is_prompt(self, world: World) -> None:
        client = started(world)
        world.break_broker()
        assert eventually(lambda: not client.connected)
        client.stop(Message("status/dev", b"stopped"))
        assert not client.alive

    def test_a_transport_is_started_once(self, world: World) -> None:
        client = started(world)
        with pytest.raises(RuntimeError):
            client.start()

    @pytest.mark.parametrize("topic", ["", "a/+", "a/#", "x" * 257, "a\0b"])
    def test_a_topic_that_cannot_be_published_to_is_the_callers_mistake(self, world: World, topic: str) -> None:
        with pytest.raises(ValueError, match="topic"):
            started(world).publish(topic, b"x")

    @pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a#", "a/b+", "a\0b"])
    def test_a_filter_that_cannot_match_is_the_callers_mistake(self, world: World, topic_filter: str) -> None:
        client = world.client()
        with pytest.raises(ValueError, match="filter"):
            client.subscribe(topic_filter)
        client.start()
        assert client.wait_subscribed(SOON), "it is not remembered"
