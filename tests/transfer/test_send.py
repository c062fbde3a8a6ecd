"""What the device's end sends, in which order, how often and how fast: order, urgency, cap, pauses, alarms."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.envelope.sign import ReceiptStatus
from edge.errors import NotConnected, StorageError
from edge.spool import Spool, SpooledImage
from edge.transfer.messages import SignedReceipt, Topics, Want, encode
from edge.transfer.send import ALARM_UNANSWERED, SendLoop
from edge.transport.base import Message
from edge.transport.memory import Disorder, MemoryBroker
from tests.transfer.duo import Duo
from tests.transfer.sending import add, ear_for_offers, offered, receipted
from tests.world import (
    DEVICE,
    RECEIVER,
    Clock,
    Hospital,
    UnhurriedTransport,
    device_keyring,
    flip,
    receipt_for,
    spool_image,
)

HOUR = 3600.0


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


def test_what_was_offered_before_the_connection_was_lost_is_recorded(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    recorded: list[list[SpooledImage]] = []
    monkeypatch.setattr(duo.sender, "_on_offered", recorded.append)
    first, second, third = (add(duo, f"{number}.png") for number in range(3))
    publish = duo.device_transport.publish

    def lose_second(topic: str, payload: bytes) -> None:
        if second.envelope.raw in payload:
            raise NotConnected("the connection is lost")
        publish(topic, payload)

    with monkeypatch.context() as patch:
        patch.setattr(duo.device_transport, "publish", lose_second)
        duo.step()
    assert recorded == [[first]]
    duo.step()
    assert recorded == [[first], [second, third]]


# --- a broker that is away ------------------------------------------------------------------------------------------


def test_an_hour_without_a_broker_costs_no_image_and_ends_without_a_flood(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker)
    duo.start_receiver()
    broker.go_offline()
    for number in range(30):
        add(duo, f"{number:03d}.png")
        for _ in range(12):
            duo.step()
            duo.clock.tick(10.0)
    assert duo.clock() > HOUR
    for receiver in list(duo.receivers):
        duo.stop_receiver(receiver)
    ear = ear_for_offers(broker)
    broker.go_online()
    duo.step(20)
    # Only a few are named, though 30 wait.
    first_second = offered(ear)
    assert len(set(first_second)) == 2 * duo.outstanding
    assert len(first_second) <= 4 * duo.outstanding
    duo.start_receiver()
    duo.deliver_all()
    assert receipted(duo) == [f"{number:03d}.png" for number in range(30)]
    assert len(duo.hospital.contents()) == 30
    duo.close()


@pytest.mark.parametrize("pauses", [1, 3])
def test_devices_that_wait_for_one_receiver_do_not_offer_in_step(
    tmp_path: Path, broker: MemoryBroker, pauses: int
) -> None:
    clock, chance, devices = Clock(), random.Random(pauses), 40
    spool = Spool(tmp_path / "spool", max_bytes=1 << 30, reserve_bytes=0)
    image = spool_image(spool, b"x", label="scan")
    fleet = []
    for _ in range(devices):
        transport = UnhurriedTransport(broker)
        loop = SendLoop(
            device=DEVICE,
            transport=transport,
            spool=spool,
            receivers=device_keyring().receivers,
            topics=Topics(),
            chunk_bytes=16_384,
            outstanding=4,
            offer_first=10.0,
            offer_max=300.0,
            clock=clock,
            chance=chance.random,
            on_offered=lambda _images: None,
            on_receipts=lambda _receipts: None,
        )
        loop.add(image)
        transport.start()
        fleet.append(loop)
    ear = ear_for_offers(broker)
    at_once = []
    while sum(loop.counts.offers for loop in fleet) < devices * (pauses + 1):
        for loop in fleet:
            loop.step()
        at_once.append(len(offered(ear)))
        clock.tick(0.1)
    assert at_once[0] == devices  # a new image is offered at once
    assert max(at_once[1:]) <= devices / 4


# --- receipts -------------------------------------------------------------------------------------------------------


def say(duo: Duo, *messages: Want | SignedReceipt) -> None:
    """Let the receiver say all this at once."""
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    for message in messages:
        mouth.publish(Topics().control(DEVICE), encode(message))


def say_receipts(duo: Duo, *images: SpooledImage) -> None:
    """Let the receiver's receipts for these images come at once."""
    say(duo, *(SignedReceipt(receipt_for(image)) for image in images))


def test_receipts_that_come_at_once_are_acted_on_together(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker)
    images = [add(duo, f"{name}.png") for name in "abc"]
    together: list[list[SpooledImage]] = []
    duo.refuse = together.append
    duo.step(3)
    say_receipts(duo, *images, images[0])
    duo.step()
    assert together == [images]
    assert receipted(duo) == ["a.png", "b.png", "c.png"]
    assert duo.sender.unreceipted == 0
    assert duo.spool.images() == []
    duo.close()


@pytest.mark.parametrize(("error", "faults"), [(StorageError("the disk is full"), 0), (ZeroDivisionError(), 1)])
def test_a_receipt_that_cannot_be_acted_on_keeps_no_other_back(
    tmp_path: Path, broker: MemoryBroker, error: Exception, faults: int
) -> None:
    duo = Duo(tmp_path, broker)
    images = [add(duo, f"{name}.png") for name in "abc"]

    def refuse(of: list[SpooledImage]) -> None:
        if images[1] in of:
            raise error

    duo.refuse = refuse
    duo.step(3)
    say_receipts(duo, *images)
    duo.step()
    assert receipted(duo) == ["a.png", "c.png"]
    assert duo.sender.unreceipted == 1
    assert duo.sender.counts.faults == faults
    duo.refuse = lambda _images: None
    say_receipts(duo, images[1])
    duo.step()
    assert receipted(duo) == ["a.png", "c.png", "b.png"]
    assert duo.sender.unreceipted == 0
    duo.close()


@pytest.mark.parametrize("late_first", [False, True])
def test_what_is_stored_is_not_rejected_by_a_receipt_that_comes_with_it(
    tmp_path: Path, broker: MemoryBroker, late_first: bool
) -> None:
    duo = Duo(tmp_path, broker)
    image = add(duo, "a.png")
    duo.step(3)
    receipts = [SignedReceipt(receipt_for(image)), SignedReceipt(receipt_for(image, status=ReceiptStatus.REJECTED))]
    say(duo, *(reversed(receipts) if late_first else receipts))
    duo.step()
    assert [receipt.status for receipt in duo.receipts] == [ReceiptStatus.STORED]
    duo.close()


def test_an_image_whose_receipt_has_come_is_not_given_up_for_damage(tmp_path: Path, broker: MemoryBroker) -> None:
    damaged: list[SpooledImage] = []
    duo = Duo(tmp_path, broker, on_damaged=damaged.append)
    image = add(duo, "a.png")
    duo.step(3)
    say(duo, Want(image.image_id, RECEIVER, ((0, 1),)))
    duo.step(3)
    flip(image.path)
    say(duo, SignedReceipt(receipt_for(image)), Want(image.image_id, RECEIVER, ((0, 1),)))
    duo.step()
    assert receipted(duo) == ["a.png"]
    assert damaged == []
    duo.close()


# --- bandwidth ------------------------------------------------------------------------------------------------------


def test_a_chunk_that_has_not_reached_the_broker_is_not_sent_again(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker)
    image = add(duo, "a.png", 300_000)
    duo.step(2)
    control = Topics().control(DEVICE)
    first, again = (Message(control, encode(Want(image.image_id, RECEIVER, ((0, end),)))) for end in (4, 5))
    broker.freeze()
    duo.device_transport.take(first)
    duo.step(5)
    assert duo.sender.counts.chunks == 4
    # Asked for once more, as after a stall: four are still on their way to the broker, the fifth is not.
    duo.device_transport.take(again)
    duo.step(6)
    assert duo.sender.counts.chunks == 5
    broker.thaw()
    # The broker has had them; whoever asks again now has not got them.
    duo.device_transport.take(again)
    duo.step(6)
    assert duo.sender.counts.chunks == 10
    duo.close()


@pytest.mark.parametrize("drop", [0.0, 0.3])
def test_what_is_sent_and_sent_again_stays_within_the_cap(tmp_path: Path, broker: MemoryBroker, drop: float) -> None:
    rate, chunk = 32_000, 16 * 1024
    duo = Duo(tmp_path, broker, bandwidth=rate)
    if drop:
        broker.set_disorder(Disorder(seed=3, drop=drop))
    duo.start_receiver()
    for number in range(4):
        add(duo, f"{number}.png", 150_000)
    sent = [(duo.clock(), 0)]
    while duo.sender.unreceipted:
        duo.step()
        sent.append((duo.clock(), duo.sender.counts.chunk_bytes))
    seconds = sent[-1][0] - sent[0][0]
    assert sent[-1][1] <= rate * seconds + chunk
    for step in range(0, len(sent), 7):
        for later in range(step, len(sent), 7):
            elapsed, spent = sent[later][0] - sent[step][0], sent[later][1] - sent[step][1]
            assert spent <= rate * (elapsed + Duo.STEP_SECONDS) + chunk
    # The cap is used: the four images take hardly longer than they must.
    if not drop:
        assert sent[-1][1] >= 0.9 * rate * (seconds - 2)
    assert len(duo.hospital.contents()) == 4
    duo.close()


def test_under_the_lowest_cap_four_images_do_not_stall(tmp_path: Path, broker: MemoryBroker) -> None:
    hospital = Hospital(tmp_path / "hospital", settings={"transfer.stall": 10.0})
    duo = Duo(tmp_path, broker, hospital=hospital, chunk_bytes=256 * 1024, bandwidth=8_000)
    receiver = duo.start_receiver()
    for number in range(4):
        add(duo, f"{number}.png", 60_000)
    duo.deliver_all()
    assert (receiver._loop.counts.stalls, receiver._loop.counts.unexpected) == (0, 0)
    duo.close()


# --- what somebody should look at -----------------------------------------------------------------------------------


@pytest.fixture
def duo(tmp_path: Path, broker: MemoryBroker) -> Iterator[Duo]:
    duo = Duo(tmp_path, broker)
    yield duo
    duo.close()


def test_images_that_nobody_answers_are_an_alarm_until_they_move(duo: Duo, caplog: pytest.LogCaptureFixture) -> None:
    add(duo, "a.png", 300_000)
    duo.step_until(lambda: duo.sender.alarms)
    assert duo.sender.alarms == (ALARM_UNANSWERED,)
    duo.step(600)
    assert caplog.text.count(ALARM_UNANSWERED) == 1
    duo.start_receiver()
    duo.step_until(lambda: duo.sender.counts.chunks)
    duo.step(1)
    assert duo.sender.alarms == ()
    duo.deliver_all()


def test_images_that_wait_behind_those_that_the_receiver_pulls_are_no_alarm(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    duo = Duo(tmp_path, broker, outstanding=8, bandwidth=32 * 1024)
    duo.start_receiver()
    for number in range(8):
        add(duo, f"{number}.png", 800_000)
    alarms = set()
    while duo.sender.unreceipted:
        duo.step()
        alarms.add(duo.sender.alarms)
    assert duo.sender.counts.offers > 50, "they were offered again and again"
    assert alarms == {()}
    duo.close()


def test_an_image_that_is_passed_over_is_an_alarm_though_others_arrive(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    passed_over = add(duo, "a.png", 300_000)
    judge = receiver.judge
    monkeypatch.setattr(
        receiver, "judge", lambda signed: None if signed.manifest.image_id == passed_over.image_id else judge(signed)
    )
    for number in range(200):
        add(duo, f"{number}.png", 100_000)
        duo.step(10)
        if duo.sender.alarms:
            break
    assert duo.sender.alarms == (ALARM_UNANSWERED,)
    assert len(duo.receipts) > 50


def test_chunks_that_never_arrive_are_an_alarm_though_they_are_asked_for(duo: Duo) -> None:
    # A broker of MQTT 3.1.1 acknowledges what its access list keeps back: only the wants tell.
    image = add(duo, "a.png", 300_000)
    duo.step(2)
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    for _ in range(10):
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, RECEIVER, ((0, 4),))))
        duo.step(20)
    assert duo.sender.alarms == (ALARM_UNANSWERED,)


def test_a_want_of_a_receiver_that_the_image_is_not_for_is_refused(duo: Duo) -> None:
    image = add(duo, "a.png", 300_000)
    duo.step(2)
    mouth = UnhurriedTransport(duo.broker)
    mouth.subscribe(Topics().chunks("receiver-2"))
    mouth.start()
    mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, "receiver-2", ((0, 19),))))
    duo.step(30)
    assert duo.sender.counts.refused_wants == 1
    assert duo.sender.counts.chunks == 0
    duo.start_receiver()
    duo.step_until(lambda: duo.sender.counts.chunks >= 4)
    for _ in range(20):
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, "receiver-2", ((0, 19),))))
        duo.step(1)
    duo.deliver_all()
    assert mouth.receive(0) is None
    assert duo.receivers[0]._loop.counts.stalls == 0
