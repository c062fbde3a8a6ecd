"""What is huge, endless or slow takes neither memory nor disk nor the turn of others."""

from __future__ import annotations

from itertools import count

import pytest

from edge import protocol
from edge.envelope import sign
from edge.transfer.messages import Topics
from edge.transport.base import Message
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.fuzz.test_corpus import KEPT
from tests.malice.adversary import CHUNK, HOSTILE, MEGABYTE, PLAIN, manifest, say_offer, under_way
from tests.memory import memory_within
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, UnhurriedTransport


def test_a_huge_claimed_size_takes_neither_memory_nor_disk(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    limit = duo.hospital.config().limits.bulk_bytes
    with memory_within(4 * MEGABYTE + 4 * limit // CHUNK):
        for number, size in enumerate((limit, limit, limit + 1, protocol.IMAGE_MAX_BYTES * 4)):
            say_offer(mouth, manifest(number, bulk_bytes=size))
            receiver.step()
    # Over the limit it is refused; within, room must be there, and none of it is taken before the bytes come.
    assert receiver.counts.rejected == 2
    assert under_way(duo)
    assert sum(path.stat().st_blocks * 512 for path in under_way(duo)) < MEGABYTE
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


def test_endless_offers_of_an_enrolled_device_do_not_keep_the_others_images_waiting(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    receiver = duo.start_receiver()
    numbers = count()
    with memory_within(4 * MEGABYTE):
        for _ in range(400):
            say_offer(mouth, manifest(next(numbers)))
            receiver.step()
    duo.spool_image(PLAIN, label="scan")
    while duo.sender.unreceipted:
        say_offer(mouth, manifest(next(numbers)))
        duo.step()
        assert duo.clock() < 1500, "it waits behind the other device's"
    assert duo.hospital.contents() == [PLAIN]
    # Three small files for each that has a slot or had one.
    assert len(under_way(duo)) < 3 * 50


def test_a_device_that_sends_as_slowly_as_it_can_does_not_hold_all_slots(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    images = [sign.read_manifest(manifest(number, bulk_bytes=1 << 30)) for number in range(8)]
    for image in images:
        say_offer(mouth, image.raw)
    receiver.step()
    duo.spool_image(PLAIN, label="scan")
    numbers = count()
    while duo.sender.unreceipted:
        for image in images:
            number = next(numbers) % 65536
            mouth.publish(Topics().chunk(RECEIVER, HOSTILE, image.manifest.image_id, number), bytes(CHUNK))
        duo.step(10)  # half a second: before any of them stalls
        assert duo.clock() < 1500, "it waits for a slot that is never given up"
    assert receiver._loop.counts.stalls == 0
    assert duo.hospital.contents() == [PLAIN]


@pytest.mark.parametrize("topic", [Topics().offer(DEVICE), Topics().control(DEVICE), Topics().status(RECEIVER)])
def test_bombs_of_cbor_and_json_are_refused_and_counted(duo: Duo, mouth: UnhurriedTransport, topic: str) -> None:
    receiver = duo.start_receiver()
    duo.step(2)
    lives, heard = set(duo.sender._lives), duo.device_transport.counts.received
    bombs = [*KEPT["wire"], b"[" * 16_000, b"\x81" * 16_000, b"\x99\x3f\x00" + b"\xa0" * 0x3F00, b"{" * 3_000_000]
    with memory_within(16 * MEGABYTE):
        for bomb in bombs:
            mouth.publish(topic, bomb)
            duo.step()
    assert (receiver._loop.counts.faults, duo.sender.counts.faults) == (0, 0)
    counted = {
        Topics().offer(DEVICE): receiver._loop.counts.malformed + receiver._transport.counts.dropped,
        Topics().control(DEVICE): duo.sender.counts.malformed + duo.device_transport.counts.dropped,
        Topics().status(RECEIVER): duo.device_transport.counts.received - heard + duo.device_transport.counts.dropped,
    }
    assert counted[topic] == len(bombs)
    assert duo.sender._lives == lives, "a status that is none tells of a receiver"
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


class Flooded(MemoryTransport):
    """A transport whose inbox never runs dry."""

    def receive(self, timeout: float) -> Message | None:
        """Return what is there, else rubbish."""
        return super().receive(0.0) or Message(Topics().status("nobody"), b"rubbish")


def test_a_flood_of_messages_ends_no_step_of_the_receiver(duo: Duo, broker: MemoryBroker) -> None:
    receiver = duo.hospital.receiver(Flooded(broker), clock=duo.clock)
    receiver.start()
    duo.receivers.append(receiver)
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


def test_a_flood_of_messages_does_not_keep_a_device_from_offering(duo: Duo, broker: MemoryBroker) -> None:
    duo.device_transport.stop()
    flooded = Flooded(broker)
    duo.sender = duo.start_sender(flooded)
    duo.spool_image(PLAIN, label="scan")
    for _ in range(3):
        duo.sender.step()
    assert duo.sender.counts.offers == 1
    flooded.stop()
