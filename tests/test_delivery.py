"""Receipts in: what becomes of originals, and of what a receiver rejected."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from edge.daemon import Summary
from edge.delivery import Delivery
from edge.envelope import sign
from edge.intake.ledger import FileState, Ledger
from edge.spool import Spool
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    connected,
    png,
    receipt_for,
    receiver_keyring,
    spool_image,
    until,
)


def test_a_delivered_original_is_moved(site: Site, receiving: Hospital, broker: MemoryBroker, tmp_path: Path) -> None:
    site.settings = {"watch.original": "move", "watch.move_to": tmp_path / "done"}
    site.scan("ward/a.png", png("a"))
    assert site.run_once(broker).all_arrived
    assert not (site.scans / "ward" / "a.png").exists()
    assert (tmp_path / "done" / "ward" / "a.png").read_bytes() == png("a")
    assert site.run_once(broker) == Summary(images=1, arrived=1)


def test_a_delivered_original_is_deleted(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.settings = {"watch.original": "delete"}
    path = site.scan("a.png", png("a"))
    assert site.run_once(broker).all_arrived
    assert not path.exists()


def test_what_waits_is_delivered_in_the_order_and_at_the_pace_configured(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.settings = {
        "transfer.outstanding": 1,
        "transfer.order": "newest",
        "transfer.urgent": ("stat",),
        "transfer.bandwidth": 400_000,
    }
    names = ["a.png", "stat/b.png", "c.png", "d.png"]
    broker.go_offline()
    with RunningDaemon(site, MemoryTransport(broker)):
        for name in names:
            site.scan(name, png(name, 60_000))
            until(lambda: site.states().get(name) is FileState.SEALED)  # noqa: B023
        ear = connected(broker, "edge/v1/rx/#")
        with RunningReceiver(hospital, MemoryTransport(broker)):
            broker.go_online()
            until(lambda: len(hospital.files()) == len(names))
    described = [json.loads(row.description) for row in hospital.catalogue()]
    assert [each["name"] for each in described] == ["b.png", "d.png", "c.png", "a.png"]
    # No chunk is larger than the cap lets through in a second.
    site.settings = {"transfer.bandwidth": 40_000}
    site.scan("e.png", png("e", 40_000))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        while ear.receive(0) is not None:
            pass
        assert site.run_once(broker).all_arrived
    chunks = []
    while (message := ear.receive(0)) is not None:
        chunks.append(len(message.payload))
    assert max(chunks) == 32 * 1024


@pytest.mark.parametrize("original", ["move", "delete"])
def test_an_original_is_untouched_until_a_stored_receipt_comes(
    site: Site, hospital: Hospital, broker: MemoryBroker, tmp_path: Path, original: str
) -> None:
    site.settings = {"watch.original": original, "watch.move_to": tmp_path / "done"}
    path = site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.spooled() and site.states() == {"a.png": FileState.OFFERED})
        assert path.exists()
    hospital.keyring = receiver_keyring(devices=("device-2",))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        summary = site.run_once(broker)
    assert summary == Summary(images=1, refused=1)
    assert path.read_bytes() == png("a")
    assert site.reasons() == {"a.png": "rejected-unknown-signer"}
    assert len(site.quarantined()) == 1


def test_what_was_rejected_is_offered_once_more_after_a_restart(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    enrolled = hospital.keyring
    site.scan("a.png", png("a"))
    hospital.keyring = receiver_keyring(devices=("device-2",))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, refused=1)
        assert site.run_once(broker) == Summary(images=1, refused=1)
    assert len(site.quarantined()) == 1
    hospital.keyring = enrolled
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]
    assert site.quarantined() == []


@pytest.mark.parametrize("original", ["move", "delete"])
def test_an_original_that_changed_since_is_another_image_and_stays(
    site: Site, hospital: Hospital, broker: MemoryBroker, tmp_path: Path, original: str
) -> None:
    site.settings = {"watch.original": original, "watch.move_to": tmp_path / "done"}
    path = site.scan("a.png", png("first"))
    site.run_until_offered(broker)
    path.write_bytes(png("second", 60_000))
    site.settings = {**site.settings, "watch.settle": 5.0, "watch.stuck_after": 5.0}
    with RunningReceiver(hospital, MemoryTransport(broker)), RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: hospital.contents() == [png("first")])
        until(lambda: FileState.DISPOSED in {entry.state for entry in site.ledger()})
        assert path.read_bytes() == png("second", 60_000)


def test_an_image_whose_receipt_is_recorded_may_be_offered_again(site: Site) -> None:
    """The disk refused to remove it from the spool: it is offered until it can be."""
    config = site.config()
    with closing(Ledger.open_or_begin_anew(site.root / "ledger.sqlite")) as ledger:
        spool = Spool(site.root / "spool", max_bytes=1 << 30, reserve_bytes=0)
        delivery = Delivery(
            folder=site.scans, is_there=lambda: True, watch=config.watch, ledger=ledger, spool=spool, timestamp=str
        )
        images = [spool_image(spool, png(name), label=name, name=f"{name}.png") for name in ("a", "b")]
        assert len(delivery.recover()) == 2
        ledger.advance(images[0].image_id.hex(), FileState.RECEIPTED, now="")
        delivery.offered(images)
        states = {entry.relative: entry.state for entry in ledger.entries()}
    assert states == {"a.png": FileState.RECEIPTED, "b.png": FileState.OFFERED}


def test_a_receipt_is_acted_on_again_though_its_original_is_disposed_of(site: Site, broker: MemoryBroker) -> None:
    site.settings = {"watch.original": "delete"}
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    with site.daemon(MemoryTransport(broker)) as daemon:
        [image] = daemon._spool.images()
        receipt = sign.verify_receipt(receipt_for(image), receivers=site.keyring.receivers, device=site.name)
        for _ in range(2):
            daemon._delivery.receipted([(image, receipt)])
            assert site.states() == {"a.png": FileState.DISPOSED}
    assert not path.exists()
