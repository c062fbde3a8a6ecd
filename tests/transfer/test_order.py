"""Which of the waiting images goes first: in the order configured, and urgent ones before all others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edge.transport.memory import MemoryBroker
from tests.transfer.duo import Duo
from tests.transfer.sending import add, ear_for_offers, offered, receipted
from tests.world import (
    Hospital,
    UnhurriedTransport,
    spool_image,
)


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.mark.parametrize("newest_first", [False, True])
def test_what_has_waited_is_delivered_in_the_order_configured(
    tmp_path: Path, broker: MemoryBroker, newest_first: bool
) -> None:
    duo = Duo(tmp_path, broker, outstanding=1, newest_first=newest_first)
    names = [f"{number}.png" for number in range(6)]
    for name in names:
        add(duo, name, 20_000)  # two small ones would share the place
        duo.step(5)  # nobody answers: the one that was offered gives its place to one that comes before it
    duo.start_receiver()
    duo.deliver_all()
    assert receipted(duo) == (names[::-1] if newest_first else names)
    duo.close()


def test_newest_first_holds_across_a_restart(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker, outstanding=1, newest_first=True)
    names = [f"{number}.png" for number in range(4)]
    for name in names:
        add(duo, name)
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(broker)
    duo.sender = duo.start_sender(duo.device_transport)
    duo.start_receiver()
    duo.deliver_all()
    assert receipted(duo) == names[::-1]
    duo.close()


def test_an_image_that_is_being_pulled_keeps_its_place_from_newer_ones(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker, outstanding=1, newest_first=True)
    duo.start_receiver()
    add(duo, "large.png", 1_000_000)
    duo.step_until(lambda: duo.sender.counts.chunks >= 4)
    add(duo, "newer.png")
    duo.deliver_all()
    assert receipted(duo) == ["large.png", "newer.png"]
    duo.close()


def test_an_urgent_image_overtakes_a_full_pipe(tmp_path: Path, broker: MemoryBroker) -> None:
    hospital = Hospital(tmp_path / "hospital", settings={"transfer.stall": 1.0, "transfer.active": 2})
    duo = Duo(tmp_path, broker, hospital=hospital, outstanding=2, bandwidth=64_000, urgent=["stat"])
    receiver = duo.start_receiver()
    for number in range(6):
        add(duo, f"{number}.png", 600_000)
    duo.step_until(lambda: duo.sender.counts.chunks >= 8)
    before = duo.sender.counts.chunks
    add(duo, "stat/u.png", 50_000)
    duo.step_until(lambda: "stat/u.png" in receipted(duo))
    # Both of the receiver's places are taken: one of the two goes on alone until it has ended or the other was given up.
    # So no more is sent before than the 33 chunks that the one may lack, and the four of the urgent image.
    assert duo.sender.counts.chunks - before <= 40
    duo.deliver_all()
    assert sorted(receipted(duo)) == sorted(image.origin.relative for image in duo.images)
    # What was kept back is sent once all the same.
    assert receiver._loop.counts.unexpected <= 2
    duo.close()


def test_an_urgent_image_waits_for_no_large_ones_that_the_receiver_has_not_begun_with(
    tmp_path: Path, broker: MemoryBroker
) -> None:
    hospital = Hospital(tmp_path / "hospital", settings={"transfer.stall": 10.0, "transfer.active": 2})
    duo = Duo(tmp_path, broker, hospital=hospital, outstanding=2, bandwidth=64_000, urgent=["stat"])
    duo.start_receiver()
    for number in range(6):
        add(duo, f"{number}.png", 600_000)
    duo.step_until(lambda: duo.sender.counts.chunks >= 8)
    add(duo, "stat/u.png", 50_000)
    duo.step_until(lambda: "stat/u.png" in receipted(duo))
    # One of the two that the receiver is at ends before it.
    assert len(receipted(duo)) == 2
    duo.deliver_all()
    duo.close()


def test_an_urgent_image_is_offered_though_all_places_are_taken(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker, outstanding=2, bandwidth=64_000, urgent=["*.stat.png"])
    ear = ear_for_offers(broker)
    duo.start_receiver()
    for number in range(4):
        add(duo, f"{number}.png", 600_000)
    duo.step_until(lambda: duo.sender.counts.chunks >= 4)
    offered(ear)
    urgent = add(duo, "u.STAT.png")
    duo.step(1)
    assert offered(ear) == [urgent.envelope.raw]
    duo.close()


def test_urgent_images_that_no_receiver_takes_do_not_keep_the_others_back(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker, outstanding=2, urgent=["stat"])
    for number in range(3):
        foreign = spool_image(duo.spool, b"x", label=f"foreign-{number}", sequence=number, audience="receiver-2")
        duo.sender.add(replace(foreign, origin=replace(foreign.origin, relative="stat/x.png")))
    duo.start_receiver()
    for number in range(6):
        add(duo, f"{number}.png", 200_000)
    duo.step_until(lambda: len(duo.receipts) == 6)
    assert duo.sender.unreceipted == 3
    duo.close()
