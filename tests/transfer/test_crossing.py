"""Images cross from a device's spool to a receiver's store, whatever happens to the messages between."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge.envelope.sign import ReceiptStatus
from edge.protocol import WINDOW_PUBLISHES
from edge.transfer.messages import Offer, Topics, Want, decode, encode
from edge.transport.base import Message
from edge.transport.memory import Disorder, MemoryBroker
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, Hospital, UnhurriedTransport, bytes_of, receiver_keyring


@pytest.fixture
def duo(tmp_path: Path) -> Iterator[Duo]:
    """A device and a hospital whose receiver does not run yet."""
    duo = Duo(tmp_path, MemoryBroker())
    yield duo
    duo.close()


@pytest.mark.parametrize("size", [1, 16 * 1024, 300_000])
def test_an_image_crosses(duo: Duo, size: int) -> None:
    plain = bytes_of("plain", size)
    receiver = duo.start_receiver()
    image = duo.spool_image(plain, label="scan")

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]
    [receipt] = duo.receipts
    assert (receipt.status, receipt.image_id) == (ReceiptStatus.STORED, image.image_id)
    assert duo.spool.images() == []
    assert not list((duo.hospital.state / "parts").iterdir())
    assert receiver.counts.stored == 1
    [delivered] = duo.hospital.catalogue()
    assert delivered.image_id == image.image_id.hex()
    assert duo.hospital.files() == {f"{DEVICE}/2023/11/14/scan.png": plain}


@pytest.mark.parametrize("seed", range(4))
def test_all_images_cross_where_three_messages_in_ten_are_lost_repeated_or_overtaken(duo: Duo, seed: int) -> None:
    duo.broker.set_disorder(Disorder(seed=seed, drop=0.3, duplicate=0.3, reorder=0.3))
    plains = [bytes_of(f"plain {number}", 40_000 + 30_000 * number) for number in range(6)]
    for number, plain in enumerate(plains):
        duo.spool_image(plain, label=f"scan-{number}")
    duo.start_receiver()

    duo.deliver_all()

    assert duo.hospital.contents() == sorted(plains)
    assert len(duo.hospital.catalogue()) == len(plains)
    assert duo.spool.images() == []


def test_no_image_is_lost_where_the_broker_goes_away_in_the_middle(duo: Duo) -> None:
    plain = bytes_of("plain", 600_000)
    duo.start_receiver()
    duo.spool_image(plain, label="scan")
    for round_ in range(3):
        target = 6 * (round_ + 1)
        duo.step_until(partial(lambda target: duo.sender.counts.chunks >= target, target))
        duo.broker.go_offline()
        duo.step(20)
        assert duo.hospital.contents() == []
        duo.broker.go_online()

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]


def test_a_receiver_that_restarts_fetches_only_what_its_part_file_lacks(duo: Duo) -> None:
    plain = bytes_of("plain", 1_200_000)
    receiver = duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 40)
    duo.stop_receiver(receiver)
    had = receiver._loop.counts.chunks

    again = duo.start_receiver()
    duo.deliver_all()

    assert duo.hospital.contents() == [plain]
    assert had + again._loop.counts.chunks == 74


def test_nothing_is_left_of_an_image_that_came_in_several_chunks_and_then_in_one(duo: Duo) -> None:
    plain = bytes_of("plain", 200_000)
    receiver = duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 5)
    assert list((duo.hospital.state / "parts").iterdir())
    duo.device_transport.stop()
    duo.device_transport, duo.chunk_bytes = UnhurriedTransport(duo.broker), 256 * 1024
    duo.sender = duo.start_sender(duo.device_transport)

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]
    assert not list((duo.hospital.state / "parts").iterdir())


def test_a_device_that_restarts_goes_on_with_what_its_spool_holds(duo: Duo) -> None:
    plain = bytes_of("plain", 600_000)
    duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.step_until(lambda: duo.sender.counts.chunks >= 10)
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(duo.broker)
    duo.sender = duo.start_sender(duo.device_transport)

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]


def test_a_second_receiver_takes_over_where_the_first_one_falls_silent(duo: Duo, tmp_path: Path) -> None:
    # Both are the same receiver to the device: one id, one set of keys, one store.
    plain = bytes_of("plain", 900_000)
    first = duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.step_until(lambda: first._loop.counts.chunks >= 8)
    duo.receivers.remove(first)  # it hangs: still connected, doing nothing
    spare = Hospital(tmp_path / "spare", settings={"transfer.stall": 1.0})
    duo.start_receiver(spare)

    duo.deliver_all()

    assert spare.contents() == [plain]
    assert duo.hospital.contents() == []
    first.close()


def test_two_receivers_of_a_group_share_the_images(duo: Duo, tmp_path: Path) -> None:
    store = tmp_path / "store"
    settings = {"transfer.stall": 1.0, "receiver.group": "night", "receiver.store": store}
    hospitals = [Hospital(tmp_path / f"hospital-{number}", settings=settings) for number in range(2)]
    for hospital in hospitals:
        duo.start_receiver(hospital)
    plains = [bytes_of(f"plain {number}", 50_000) for number in range(8)]
    for number, plain in enumerate(plains):
        duo.spool_image(plain, label=f"scan-{number}")

    duo.deliver_all()

    stored = [path.read_bytes() for path in store.glob("[!.]*/**/*") if path.is_file()]
    assert sorted(stored) == sorted(plains)
    assert all(hospital.catalogue() for hospital in hospitals)


@pytest.mark.parametrize(("size", "at_once"), [(1000, 4), (20_000, 2)])
def test_images_are_offered_oldest_first_and_no_more_than_configured_at_once(
    tmp_path: Path, size: int, at_once: int
) -> None:
    """Of those of one chunk twice as many."""
    duo = Duo(tmp_path, MemoryBroker(), outstanding=2)
    ear = UnhurriedTransport(duo.broker)
    ear.subscribe("edge/v1/offer/+")
    ear.start()
    images = [duo.spool_image(bytes_of(str(number), size), label=f"scan-{number}") for number in range(5)]
    duo.step(3)
    offered = [_offer_in(message) for message in _heard(ear)]
    assert offered == [image.envelope.raw for image in images[:at_once]]

    duo.start_receiver()
    duo.deliver_all()

    later = [_offer_in(message) for message in _heard(ear)]
    assert list(dict.fromkeys(later)) == [image.envelope.raw for image in images]
    duo.close()


def test_an_offer_that_nobody_takes_is_repeated_with_growing_pauses(duo: Duo) -> None:
    ear = UnhurriedTransport(duo.broker)
    ear.subscribe("edge/v1/offer/+")
    ear.start()
    duo.spool_image(bytes_of("plain", 1000), label="scan")
    moments = []
    for _ in range(800):
        before = duo.sender.counts.offers
        duo.step()
        if duo.sender.counts.offers > before:
            moments.append(duo.clock())
    pauses = [round(after - before) for before, after in itertools.pairwise(moments)]
    assert pauses[:6] == [1, 2, 4, 8, 8, 8]
    assert len(_heard(ear)) == len(moments)


def test_an_offer_comes_at_once_when_the_receiver_comes_online(duo: Duo) -> None:
    duo.spool_image(bytes_of("plain", 1000), label="scan")
    duo.step(200)
    offers = duo.sender.counts.offers
    duo.start_receiver()
    duo.step(5)
    assert duo.sender.counts.offers > offers


def test_chunks_never_wait_in_the_broker_beyond_the_window(duo: Duo) -> None:
    duo.spool_image(bytes_of("plain", 900_000), label="scan")
    duo.start_receiver()
    duo.step(3)
    duo.broker.freeze()
    chunks = duo.sender.counts.chunks
    for receiver in duo.receivers:
        receiver._transport.stop()
    duo.receivers.clear()
    # A publish would wait for a free slot: only as many steps as there are slots.
    free = WINDOW_PUBLISHES
    duo.step(free)
    assert duo.sender.counts.chunks <= chunks + free
    duo.broker.thaw()


def test_credit_is_never_exceeded(duo: Duo) -> None:
    hospital = Hospital(duo.hospital.root, settings={"transfer.stall": 1.0, "transfer.credit": 6})
    receiver = duo.start_receiver(hospital)
    duo.spool_image(bytes_of("plain", 900_000), label="scan")
    most = 0
    while duo.sender.unreceipted:
        duo.step()
        for each in duo.sender._offers:
            most = max(most, len(each.pending))
        for fetch in receiver._loop._active.values():
            assert len(fetch.asked) <= 6
    assert 0 < most <= 6


def test_a_receiver_with_the_largest_credit_never_stalls(duo: Duo) -> None:
    hospital = Hospital(duo.hospital.root, settings={"transfer.stall": 1.0, "transfer.credit": 256})
    receiver = duo.start_receiver(hospital)
    duo.spool_image(bytes_of("plain", 6_000_000), label="scan")
    # Many chunks between two looks of the receiver, as on a fast link.
    while duo.sender.unreceipted:
        for _ in range(20):
            duo.sender.step()
        duo.step()
    assert receiver._loop.counts.stalls == 0
    assert duo.sender.counts.offers == 1


def test_wants_for_unknown_images_and_chunks_are_passed_over(duo: Duo) -> None:
    image = duo.spool_image(bytes_of("plain", 100_000), label="scan")
    duo.step(2)
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    for want in (
        Want(bytes(16), RECEIVER, ((0, 3),)),
        Want(image.image_id, RECEIVER, ((1000, 2000),)),
        Want(image.image_id, "nobody", ((3, 900),)),
        Want(image.image_id, RECEIVER, ((5, 900),)),
    ):
        mouth.publish(Topics().control(DEVICE), encode(want))
    duo.step(10)
    # The last one names two chunks that exist, 5 and 6; the one before is by a receiver that the image is not for.
    assert duo.sender.counts.chunks == 2
    assert duo.sender.counts.refused_wants == 1
    duo.start_receiver()
    duo.deliver_all()
    assert duo.hospital.contents() == [bytes_of("plain", 100_000)]


def test_a_flood_of_chunks_for_an_unknown_image_is_dropped_and_counted(duo: Duo) -> None:
    receiver = duo.start_receiver()
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    for number in range(500):
        mouth.publish(Topics().chunk(RECEIVER, DEVICE, bytes(16), number), bytes(1000))
        if number % 100 == 99:
            duo.step()
    assert receiver._loop.counts.unexpected == 500
    assert not list((duo.hospital.state / "parts").iterdir())


@pytest.mark.parametrize("spoil", ["short", "long", "empty", "out-of-range"])
def test_chunks_of_a_wrong_length_or_number_are_refused_and_the_image_arrives(duo: Duo, spoil: str) -> None:
    plain = bytes_of("plain", 500_000)
    receiver = duo.start_receiver()
    image = duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 1)
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    payload = {"short": bytes(100), "long": bytes(20_000), "empty": b"", "out-of-range": bytes(16 * 1024)}[spoil]
    number = 99_999 if spoil == "out-of-range" else 29
    mouth.publish(Topics().chunk(RECEIVER, DEVICE, image.image_id, number), payload)

    duo.deliver_all()

    assert receiver._loop.counts.malformed == 1
    assert duo.hospital.contents() == [plain]


def test_a_forged_offer_under_an_image_s_id_does_not_stop_its_transfer(duo: Duo) -> None:
    plain = bytes_of("plain", 900_000)
    receiver = duo.start_receiver()
    image = duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 5)
    forged = bytearray(image.envelope.raw)
    forged[-1] ^= 1  # the signature does not verify any more
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    mouth.publish(Topics().offer(DEVICE), encode(Offer(bytes(forged), duo.chunk_bytes)))

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]
    assert receiver._loop.counts.unexpected == 0
    assert receiver._loop.counts.stalls == 0


@pytest.mark.parametrize("payload", [b"", b"\xff" * 100, bytes(20_000), encode(Want(bytes(16), RECEIVER, ((0, 1),)))])
def test_rubbish_on_every_topic_changes_nothing(duo: Duo, payload: bytes) -> None:
    receiver = duo.start_receiver()
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    topics = Topics()
    for topic in (
        topics.offer(DEVICE),
        topics.control(DEVICE),
        topics.status(RECEIVER),
        topics.status("anybody"),
        topics.chunk(RECEIVER, DEVICE, bytes(16), 0),
        f"edge/v1/rx/{RECEIVER}/x",
    ):
        mouth.publish(topic, payload)
    duo.spool_image(bytes_of("plain", 1000), label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [bytes_of("plain", 1000)]
    assert (duo.sender.counts.faults, receiver._loop.counts.faults) == (0, 0)


def test_an_offer_on_another_device_s_topic_is_refused(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(bytes_of("plain", 1000), label="scan")
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    mouth.publish(Topics().offer("device-2"), encode(Offer(image.envelope.raw, duo.chunk_bytes)))
    receiver.step()
    assert receiver._loop.counts.malformed == 1
    assert not receiver.busy


def test_no_chunk_is_larger_than_the_broker_takes(tmp_path: Path) -> None:
    duo = Duo(tmp_path, MemoryBroker(maximum_packet=40_000), chunk_bytes=256 * 1024)
    plain = bytes_of("plain", 300_000)
    duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [plain]
    assert duo.sender.counts.chunks == 10  # 32 KiB: the largest multiple of 16 KiB that fits
    duo.close()


def test_a_lower_limit_of_a_new_broker_is_kept_in_the_middle_of_an_image(tmp_path: Path) -> None:
    duo = Duo(tmp_path, MemoryBroker(), chunk_bytes=256 * 1024)
    plain = bytes_of("plain", 3_000_000)
    duo.start_receiver()
    duo.spool_image(plain, label="scan")
    duo.step_until(lambda: duo.sender.counts.chunks >= 4)
    duo.broker.go_offline()
    duo.broker._maximum_packet = 70_000
    duo.broker.go_online()
    duo.deliver_all()
    assert duo.hospital.contents() == [plain]
    duo.close()


def test_an_image_for_another_receiver_is_passed_over_in_silence(duo: Duo, tmp_path: Path) -> None:
    other = Hospital(tmp_path / "other", name="receiver-2", keyring=receiver_keyring("receiver-2", devices=()))
    ear = UnhurriedTransport(duo.broker)
    ear.subscribe(Topics().control(DEVICE))
    ear.start()
    receiver = duo.start_receiver(other)
    duo.spool_image(bytes_of("plain", 1000), label="scan")
    duo.step(100)
    assert _heard(ear) == []
    assert receiver.counts.not_ours > 0
    assert receiver.counts.rejected == 0
    assert duo.sender.unreceipted == 1


def test_chunks_that_come_slowly_are_not_asked_for_again_while_they_are_on_their_way(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(bytes_of("plain", 600_000), label="scan")
    ear = UnhurriedTransport(duo.broker)
    ear.subscribe(Topics().control(DEVICE))
    ear.start()
    receiver.step()
    # This device answers by hand: a chunk every three seconds, where the receiver counts a second as a stall.
    ear.publish(Topics().offer(DEVICE), encode(Offer(image.envelope.raw, duo.chunk_bytes)))
    for number in range(30):
        for _ in range(60):
            receiver.step()
            duo.clock.tick(duo.STEP_SECONDS)
        ear.publish(Topics().chunk(RECEIVER, DEVICE, image.image_id, number), image.read_chunk(number, duo.chunk_bytes))
    assert receiver._loop.counts.chunks == 29
    # Two before the first chunk and two before the second; from then on the pace is known.
    assert receiver._loop.counts.stalls == 4
    # A device that really falls silent is asked again all the same.
    for _ in range(400):
        receiver.step()
        duo.clock.tick(duo.STEP_SECONDS)
    assert receiver._loop.counts.stalls > 4


def _heard(ear: UnhurriedTransport) -> list[Message]:
    messages = []
    while (message := ear.receive(0)) is not None:
        messages.append(message)
    return messages


def _offer_in(message: Message) -> bytes:
    offer = decode(message.payload)
    assert isinstance(offer, Offer)
    return offer.manifest
