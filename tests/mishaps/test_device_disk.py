"""What the device's disk spoils, loses or refuses to record is sealed again or told, and holds back no other image."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.intake.ledger import FileState, Ledger
from edge.spool import Spool
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import Hospital, RunningDaemon, RunningReceiver, Site, cut, flip, png, until


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
def test_a_sealed_image_that_the_disk_spoils_keeps_no_other_back_and_is_sealed_once_more(
    site: Site, hospital: Hospital, broker: MemoryBroker, harm: Callable[[Path], None]
) -> None:
    plains = {name: png(name) for name in ("a.png", "b.png", "c.png")}
    for name, plain in plains.items():
        site.scan(name, plain)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: list(site.states().values()) == [FileState.OFFERED] * 3)
        harm(site.spooled()[0])
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: list(site.states().values()) == [FileState.DISPOSED] * 3)
    assert hospital.contents() == sorted(plains.values())
    assert site.spooled() == []


@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_an_image_lost_by_spool_and_scanner_stays_listed_and_counts_as_not_arrived(
    site: Site, hospital: Hospital, broker: MemoryBroker, harm: Callable[[Path], None]
) -> None:
    original = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    harm(site.spooled()[0])
    original.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        summary = site.run_once(broker)
    assert site.reasons() == {"a.png": "missing-from-spool"}
    assert not summary.all_arrived
    # The scanner's archive has it still: it is carried after all.
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]


def test_a_lost_image_whose_original_is_cut_is_listed_and_stops_nothing(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    original = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    before = original.stat()
    site.spooled()[0].unlink()
    original.write_bytes(png("a")[:-20] + bytes(20))
    os.utime(original, ns=(before.st_mtime_ns, before.st_mtime_ns))
    site.scan("b.png", png("b"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        site.run_once(broker)
    assert site.states() == {"a.png": FileState.QUARANTINED, "b.png": FileState.DISPOSED}
    assert hospital.contents() == [png("b")]


def test_files_whose_sealing_the_ledger_cannot_record_are_not_sealed_twice(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = refuse_to_record(monkeypatch, FileState.SEALED, times=2)
    for name in "abc":
        site.scan(f"{name}.png", png(name))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert len(refused) == 2
    assert len(hospital.catalogue()) == 3
    assert site.spooled() == []


def test_a_receipt_frees_a_full_disk_that_has_no_room_to_record_it(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> bool:
        return bool(site.spooled())

    refused = refuse_to_record(monkeypatch, FileState.RECEIPTED, where=full)
    monkeypatch.setattr(Spool, "exhausted", property(lambda _spool: full()))
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert refused
    assert hospital.contents() == [png("a")]


def refuse_to_record(
    monkeypatch: pytest.MonkeyPatch, refused: FileState, *, times: int = 1000, where: Callable[[], bool] = lambda: True
) -> list[FileState]:
    """Let the ledger refuse the step to a state so many times; the list grows with each."""
    real = Ledger.advance_all
    refusals: list[FileState] = []

    def advance_all(ledger: Ledger, files: object, *states: FileState, now: str) -> object:
        if refused in states and len(refusals) < times and where():
            refusals.append(refused)
            raise StorageError("the disk is full")
        return real(ledger, files, *states, now=now)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "advance_all", advance_all)
    return refusals
