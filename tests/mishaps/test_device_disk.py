"""What the device's disk spoils, loses or refuses to record is sealed again or told, and holds back no other image."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from edge.errors import DiskFailing, LedgerCorrupt, StorageError
from edge.intake.ledger import FileState, Ledger
from edge.spool import Origin, Spool, WrittenImage
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


def test_an_image_that_the_disk_refuses_is_tried_again_soon_though_another_found_no_room(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """0 is kept; a waits to be kept while b finds no room; then the disk refuses a, once."""
    site.settings = {"spool.max_bytes": 50_000}
    for number, (name, size) in enumerate({"0.png": 100, "a.png": 30_000, "b.png": 30_000}.items()):
        path = site.scan(name, png(name, size))
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    keep = Spool.keep
    kept: list[int] = []

    def refuse(spool: Spool, written: Sequence[WrittenImage]) -> object:
        kept.append(len(written))
        if len(kept) == 1:
            time.sleep(0.3)  # the others are read meanwhile
        if len(kept) == 2:
            spool.give_up(written)
            return [DiskFailing("the disk reports an input/output error") for _ in written]
        return keep(spool, written)

    monkeypatch.setattr(Spool, "keep", refuse)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: len(kept) >= 2)
        # There is room for one of them, and no receipt will come to say so.
        until(lambda: len(site.spooled()) == 2, seconds=5)


def test_refusals_of_the_ledger_do_not_end_the_delivery_of_what_waits(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every other original's last step is refused once: each time one of the places of offers is lost for ever."""
    site.settings = {"watch.original": "delete", "watch.rescan": 1.0}
    for number in range(8):
        site.scan(f"{number:02}.png", png(str(number), 500))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: len(site.spooled()) == 8)
    real = Ledger.advance_all
    refused: set[int] = set()

    def advance_all(ledger: Ledger, files: Sequence[Any], *states: FileState, now: str) -> object:
        if states == (FileState.DISPOSED,) and (row := files[0][0]).sequence % 2 == 0 and row.sequence not in refused:
            refused.add(row.sequence)
            raise StorageError("the disk is full")
        return real(ledger, files, *states, now=now)

    monkeypatch.setattr(Ledger, "advance_all", advance_all)
    with RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: running.daemon is not None)
        assert running.daemon is not None
        take = running.daemon._loop._take_messages

        def slowly(timeout: float) -> None:
            time.sleep(0.1)  # a busy machine: receipts come at once
            take(timeout)

        monkeypatch.setattr(running.daemon._loop, "_take_messages", slowly)
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: running.daemon._loop.unreceipted == 0, seconds=20)
        assert running.daemon._loop.counts.faults == 0
    assert len(hospital.files()) == 8


def test_files_that_the_disk_refuses_each_time_do_not_keep_the_others_back(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [*(f"bad-{number}.png" for number in range(6)), "good.png"]
    for number, name in enumerate(names):
        os.utime(site.scan(name, png(name)), ns=(10**18 + number, 10**18 + number))
    write = Spool.write

    def refuse(spool: Spool, sequence: int, image_id: bytes, origin: Origin, *rest: Any) -> WrittenImage:
        if origin.relative.startswith("bad"):
            raise DiskFailing("the disk reports an input/output error")
        return write(spool, sequence, image_id, origin, *rest)

    monkeypatch.setattr(Spool, "write", refuse)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states().get("good.png") is FileState.DISPOSED)
        assert receiving.contents() == [png("good.png")]
        monkeypatch.undo()
        until(lambda: len(receiving.contents()) == len(names))


def test_an_incomplete_file_that_the_disk_refuses_is_carried_later(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings = {"watch.incomplete": "carry"}
    cut_short = png("cut")[:-7]
    site.scan("cut.png", cut_short)
    keep = Spool.keep
    refused: list[int] = []

    def refuse(spool: Spool, written: Sequence[WrittenImage]) -> object:
        if refused:
            return keep(spool, written)
        refused.append(len(written))
        spool.give_up(written)
        return [DiskFailing("the disk reports an input/output error")]

    monkeypatch.setattr(Spool, "keep", refuse)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: receiving.contents() == [cut_short])
    assert refused == [1]


def test_what_ends_a_look_leaves_nothing_of_what_was_not_kept(
    site: Site, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("0.png", "a.png", "b.png")):
        os.utime(site.scan(name, png(name)), ns=(10**18 + number, 10**18 + number))
    keep, write = Spool.keep, Spool.write

    def keep_slowly(spool: Spool, written: Sequence[WrittenImage]) -> object:
        time.sleep(0.3)  # the others are read meanwhile
        return keep(spool, written)

    def end(spool: Spool, sequence: int, image_id: bytes, origin: Origin, *rest: Any) -> WrittenImage:
        if origin.relative == "b.png":
            assert list(spool._folder.glob(".edge-*.tmp")), "a.png does not wait to be kept"
            raise LedgerCorrupt("the ledger is damaged")
        return write(spool, sequence, image_id, origin, *rest)

    monkeypatch.setattr(Spool, "keep", keep_slowly)
    monkeypatch.setattr(Spool, "write", end)
    with pytest.raises(LedgerCorrupt), RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: not running.alive)
    assert [path.name for path in (site.state / "spool").iterdir() if path.suffix == ".tmp"] == []
    assert len(site.spooled()) == 1


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
