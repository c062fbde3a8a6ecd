"""Wants and statuses by others: a device serves nobody but the receiver that an image is for, and no more than it can hold."""

from __future__ import annotations

from edge import protocol
from edge.transfer.messages import Topics, Want, encode
from tests.malice.adversary import PLAIN
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, UnhurriedTransport, bytes_of, connected


def test_chunks_go_to_nobody_but_the_receiver_that_the_image_is_for(duo: Duo, mouth: UnhurriedTransport) -> None:
    ear = connected(duo.broker, "edge/v1/rx/nobody/#")
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    said = 0
    while duo.sender.unreceipted:
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, "nobody", ((0, 200),))))
        said += 1
        duo.step()
    assert ear.receive(0) is None
    assert 0 < duo.sender.counts.refused_wants <= said
    assert receiver._loop.counts.stalls == 0
    assert duo.hospital.contents() == [PLAIN]


def test_wants_in_the_receiver_s_name_make_a_device_hold_no_more_than_the_largest_credit(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    plain = bytes_of("plain", 6_000_000)
    duo.start_receiver()
    image = duo.spool_image(plain, label="scan")
    duo.step(2)
    everything = tuple((first, first + 1) for first in range(0, 2 * protocol.RANGES_MAX, 2))
    held = []
    for number in range(40):
        ranges = everything if number % 2 else ((0, 1 << 20),)
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, RECEIVER, ranges)))
        duo.step()
        [outstanding] = duo.sender._offers
        held.append(len(outstanding.pending))
    assert 250 < max(held) <= 256
    duo.deliver_all()
    assert duo.hospital.contents() == [plain]


def test_statuses_of_receivers_that_a_device_does_not_know_make_it_say_nothing(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    offers = duo.sender.counts.offers
    online = b'{"role": "receiver", "state": "online", "boot": "%d", "connection": 1}'
    for number in range(10):
        mouth.publish(Topics().status("nobody"), online % number)
        duo.step()
    assert duo.sender.counts.offers == offers
    assert not duo.sender._lives
    # The same of a receiver that it knows makes it offer at once.
    mouth.publish(Topics().status(RECEIVER), online % 0)
    duo.step(4)
    assert duo.sender.counts.offers == offers + 1
