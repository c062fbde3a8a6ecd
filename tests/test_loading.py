"""Files in: what is no good image is held, refused or left alone by name, and never keeps the others back."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from edge.carrying import TOGETHER_MAX
from edge.daemon import Summary
from edge.deriving import ParameterSource
from edge.errors import ModelMissing
from edge.intake.image import Inspection
from edge.intake.ledger import FileState, FileVersion, Ledger, LedgerEntry
from edge.records import SettledFile
from edge.sealing import Sealed
from edge.spool import Spool, WrittenImage
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    Hospital,
    RunningDaemon,
    Site,
    alarm,
    png,
    until,
)


def test_once_ends_although_files_are_stuck_and_says_how_many(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    site.scan("good.png", png("good"))
    site.scan("empty.png", b"")
    site.scan("cut.png", png("cut")[:-7])
    site.scan("notes.txt", b"no image")
    summary = site.run_once(broker)
    assert summary == Summary(images=3, arrived=1, stuck=2, ignored=1)
    assert not summary.all_arrived
    assert site.states() == {
        "good.png": FileState.DISPOSED,
        "empty.png": FileState.STUCK,
        "cut.png": FileState.STUCK,
        "notes.txt": FileState.IGNORED,
    }
    assert site.reasons() == {
        "good.png": "",
        "empty.png": "empty-file",
        "cut.png": "incomplete-file",
        "notes.txt": "unknown-format",
    }
    assert receiving.contents() == [png("good")]


def test_a_stuck_file_that_becomes_whole_arrives(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan("slow.png", png("slow")[:-7])
    assert site.run_once(broker).stuck == 1
    site.scan("slow.png", png("slow"))
    assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("slow")]


def test_unknown_and_incomplete_files_are_carried_where_configured(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    site.scan("cut.png", png("cut")[:-7])
    site.scan("notes.txt", b"no image")
    site.scan("empty.png", b"")
    assert site.run_once(broker).arrived == 0
    # Also what an earlier run left alone.
    site.settings = {"watch.unknown": "carry", "watch.incomplete": "carry"}
    summary = site.run_once(broker)
    assert summary == Summary(images=3, arrived=2, stuck=1)
    assert receiving.contents() == sorted([png("cut")[:-7], b"no image"])


def test_a_file_over_the_size_limit_is_refused_by_name(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.settings = {"limits.image_bytes": 10_000}
    site.scan("large.png", png("large"))
    site.scan("small.png", png("small", 100))
    assert site.run_once(broker) == Summary(images=2, arrived=1, refused=1)
    assert site.reasons()["large.png"] == "file-too-large"


def test_temporary_names_links_pipes_and_folders_are_passed_over(
    site: Site, receiving: Hospital, broker: MemoryBroker, tmp_path: Path
) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(png("outside"))
    (site.scans / "link.png").symlink_to(outside)
    os.mkfifo(site.scans / "pipe.png")
    (site.scans / "folder.png").mkdir()
    site.scan(".hidden.png", png("hidden"))
    site.scan("half.png.part", png("half"))
    site.scan("good.png", png("good"))
    assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("good")]


def test_a_name_that_is_not_utf_8_arrives(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan(b"M\xfcller\xff.png".decode("utf-8", "surrogateescape"), png("a"))
    assert site.run_once(broker).all_arrived
    [name] = receiving.files()
    assert name.endswith("M\ufffdller\ufffd.png")


def test_a_file_that_vanishes_is_forgotten_and_the_others_arrive(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("a.png", png("a"))
    gone = site.scan("gone.png", png("gone"))
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        inspect = daemon._sealer.inspect

        def vanish(file: object, **options: object) -> object:
            gone.unlink(missing_ok=True)
            return inspect(file, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._sealer, "inspect", vanish)
        summary = daemon.run(stop)
    assert summary == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("a")]


def run_once_with_a_change(
    site: Site, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch, change: Callable[[], None]
) -> Summary:
    """Run a device once, and make a change after its first file was inspected and before it is sealed."""
    changes = [change]
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        real = daemon._sealer.seal

        def seal(*arguments: object, **options: object) -> Sealed:
            if changes:
                changes.pop()()
            return real(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._sealer, "seal", seal)
        summary = daemon.run(stop)
    assert not changes
    return summary


def test_a_file_that_changes_while_it_is_read_is_read_again(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.scan("a.png", png("before"))

    def change() -> None:
        path.write_bytes(png("after", 50_000))

    assert run_once_with_a_change(site, broker, monkeypatch, change) == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("after", 50_000)]
    assert len(receiving.catalogue()) == 1


def test_a_file_that_changes_while_its_bytes_are_enciphered_is_never_sent_mixed(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.scan("a.png", png("before", 3_000_000))
    stamp = path.stat()

    def change() -> None:
        # Same size, same modification time, same inode: only the hash can tell.
        with path.open("r+b") as file:
            file.seek(2_000_000)
            file.write(b"other content")
        os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))

    assert run_once_with_a_change(site, broker, monkeypatch, change) == Summary(images=1, arrived=1)
    assert receiving.contents() == [path.read_bytes()]


def test_an_unreadable_file_is_set_aside_and_arrives_once_it_can_be_read(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("good.png", png("good"))
    site.scan("secret.png", png("secret"))
    real_open = os.open

    def refuse(path: object, flags: int, *rest: object, **options: object) -> int:
        if str(path).endswith("secret.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.intake.opening.os.open", refuse)
    assert site.run_once(broker) == Summary(images=2, arrived=1, refused=1)
    assert site.reasons()["secret.png"] == "unreadable-file"
    assert site.states()["secret.png"] is FileState.QUARANTINED

    monkeypatch.undo()
    assert site.run_once(broker) == Summary(images=2, arrived=2)
    assert receiving.contents() == sorted([png("good"), png("secret")])


def test_a_file_that_meets_a_defect_is_listed_and_the_others_arrive(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("bad.png", png("bad"))
    site.scan("good.png", png("good"))
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        inspect = daemon._sealer.inspect

        def stumble(file: object, **options: object) -> object:
            if file.relative == "bad.png":  # type: ignore[attr-defined]
                raise ZeroDivisionError
            return inspect(file, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._sealer, "inspect", stumble)
        summary = daemon.run(stop)
    assert summary == Summary(images=2, arrived=1, refused=1)
    assert site.reasons()["bad.png"] == "internal-error"


def test_a_file_is_read_once_though_looks_at_the_folder_come_between(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings = {"watch.rescan": 0.02}
    images = {f"{number}.png": png(str(number), 500) for number in range(6)}
    for name, data in images.items():
        site.scan(name, data)
    read: list[str] = []
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        sealer = daemon._sealer
        inspect, seal = sealer.inspect, sealer.seal

        def count(file: SettledFile, **options: bool) -> Inspection:
            read.append(file.relative)
            return inspect(file, **options)

        def take_longer_than_a_look_may_wait(*arguments: object, **options: object) -> Sealed:
            time.sleep(0.05)
            return seal(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(sealer, "inspect", count)
        monkeypatch.setattr(sealer, "seal", take_longer_than_a_look_may_wait)
        daemon.run(stop)
    assert receiving.contents() == sorted(images.values())
    assert sorted(read) == sorted(images)


def test_images_that_are_read_while_the_disk_syncs_are_kept_together(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = {f"{number}.png": png(str(number), 500) for number in range(9)}
    for name, data in images.items():
        site.scan(name, data)
    together: list[int] = []
    keep = Spool.keep

    def keep_slowly(spool: Spool, written: Sequence[WrittenImage]) -> object:
        together.append(len(written))
        time.sleep(0.2)
        return keep(spool, written)

    monkeypatch.setattr(Spool, "keep", keep_slowly)
    assert site.run_once(broker) == Summary(images=9, arrived=9)
    assert receiving.contents() == sorted(images.values())
    assert sum(together) == 9
    assert 1 < max(together) <= TOGETHER_MAX


def test_small_images_do_not_wait_for_a_large_one_to_be_sealed(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = {"0.png": 500, "1.png": 500, "2.png": 500, "3.png": 500, "4.png": 500, "large.png": 8 << 20}
    for number, (name, size) in enumerate(sizes.items()):
        path = site.scan(name, png(name, size))
        os.utime(path, ns=(10**18 + number, 10**18 + number))
    steps: list[str] = []
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        seal, keep = daemon._sealer.seal, Spool.keep

        def hear_seal(prepared: object, *arguments: object, **options: object) -> Sealed:
            steps.append(f"seal {prepared.scan.file.relative}")  # type: ignore[attr-defined]
            time.sleep(0.1)  # as on a small machine: the next one is read meanwhile
            return seal(prepared, *arguments, **options)  # type: ignore[arg-type]

        def hear_keep(spool: Spool, written: Sequence[WrittenImage]) -> object:
            steps.append("keep " + " ".join(each.image.origin.relative for each in written))
            return keep(spool, written)

        monkeypatch.setattr(daemon._sealer, "seal", hear_seal)
        monkeypatch.setattr(Spool, "keep", hear_keep)
        daemon.run(stop)
    before_large = " ".join(step for step in steps[: steps.index("seal large.png")] if step.startswith("keep"))
    assert all(name in before_large for name in sizes if name != "large.png"), steps


def test_an_image_is_kept_while_the_next_file_is_still_read(
    site: Site, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = threading.Event()
    kept: list[str] = []
    keep = Spool.keep

    def hear_keep(spool: Spool, written: Sequence[WrittenImage]) -> object:
        kept.extend(each.image.origin.relative for each in written)
        return keep(spool, written)

    monkeypatch.setattr(Spool, "keep", hear_keep)
    with RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: running.daemon is not None)
        assert running.daemon is not None
        inspect = running.daemon._sealer.inspect

        def hang(file: SettledFile, **options: bool) -> Inspection:
            if file.relative == "2.png":
                hangs.wait(20)
            return inspect(file, **options)

        monkeypatch.setattr(running.daemon._sealer, "inspect", hang)
        for name in ("0.png", "1.png", "2.png"):
            site.scan(name, png(name, 500))
        try:
            until(lambda: sorted(kept) == ["0.png", "1.png"], seconds=10)
        finally:
            hangs.set()
        until(lambda: site.states().get("2.png") is FileState.OFFERED)


def test_a_file_that_meets_a_defect_before_it_is_read_is_listed_and_the_others_arrive(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("bad.png", png("bad"))
    site.scan("good.png", png("good"))
    observe = Ledger.observe

    def stumble(ledger: Ledger, file: FileVersion, *, now: str) -> LedgerEntry:
        if file.relative == "bad.png":
            raise ZeroDivisionError
        return observe(ledger, file, now=now)

    monkeypatch.setattr(Ledger, "observe", stumble)
    assert site.run_once(broker) == Summary(images=2, arrived=1, refused=1)
    assert site.reasons()["bad.png"] == "internal-error"


def test_an_image_without_a_network_takes_its_parameters_from_the_secret_and_says_so(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    def missing() -> ParameterSource:
        raise ModelMissing("the network is missing")

    site.load_parameters = missing
    site.scan("a.png", png("a"))
    assert site.run_once(broker).all_arrived
    [delivered] = receiving.catalogue()
    assert '"parameters_from": "secret"' in delivered.description
    assert "parameters-from-secret" in delivered.description
