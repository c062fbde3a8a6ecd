"""One file's way into the spool: what is sealed close together is kept together, and each file answers for itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from edge import durable
from edge.carrying import TOGETHER_MAX, Carrier
from edge.errors import EdgeError, StorageError
from edge.intake.ledger import FileState, Ledger
from edge.records import SettledFile
from edge.sealing import Sealed
from edge.spool import Spool, SpooledImage
from edge.stopping import Left
from tests.world import Site, bytes_of, png

T0 = "2026-01-02T03:04:05+00:00"


@dataclass
class Way:
    """A carrier over a site's folders, and what it told."""

    site: Site
    ledger: Ledger
    spool: Spool
    carrier: Carrier
    told: list[SpooledImage] = field(default_factory=list)
    errors: list[tuple[str, str]] = field(default_factory=list)

    def seal(self, *names: str, size: int = 300) -> list[SettledFile]:
        """Let the scanner write images, and seal them without keeping them."""
        files = [settled(self.site, name, png(name, size)) for name in names]
        for file in files:
            assert self.carrier.seal(file, self.carrier.begin(file))
        return files

    def kept(self) -> list[str]:
        """Return the files whose images lie in the spool, as a new start would find them."""
        return [image.origin.relative for image in self.spool.images()]

    def states(self) -> dict[str, FileState]:
        """Return each file's state."""
        return {entry.relative: entry.state for entry in self.ledger.entries()}


def settled(site: Site, name: str, data: bytes) -> SettledFile:
    """Let the scanner write a file, and return it as settled."""
    path = site.scan(name, data)
    status = path.stat()
    return SettledFile(path, name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


@pytest.fixture
def way(site: Site) -> Iterator[Way]:
    config = site.config()
    durable.make_folder(config.device.state)
    spool = Spool(config.device.state / "spool", max_bytes=1 << 30, reserve_bytes=0)
    told: list[SpooledImage] = []
    errors: list[tuple[str, str]] = []
    with site.sealer(config) as sealer, Ledger.open(config.device.state / "ledger.sqlite") as ledger:
        carrier = Carrier(
            config=config,
            sealer=sealer,
            ledger=ledger,
            spool=spool,
            timestamp=lambda: T0,
            on_sealed=lambda _sealed, image: told.append(image),
            on_known=lambda _entry, _file: None,
            on_error=lambda file, error: errors.append((file.relative, error.code)),
        )
        yield Way(site, ledger, spool, carrier, told, errors)
        carrier.close()


def test_nobody_hears_of_an_image_before_it_is_kept(way: Way) -> None:
    files = way.seal("a.png", "b.png")
    assert (way.kept(), way.told) == ([], [])
    assert way.states() == {"a.png": FileState.SETTLED, "b.png": FileState.SETTLED}
    assert way.carrier.keep() == [(file, None) for file in files]
    assert way.kept() == ["a.png", "b.png"]
    assert [image.origin.relative for image in way.told] == ["a.png", "b.png"]
    assert way.states() == {"a.png": FileState.SEALED, "b.png": FileState.SEALED}
    assert way.carrier.keep() == []


def test_images_that_are_kept_together_share_the_syncs_of_the_folder_and_of_the_ledger(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    recorded: list[int] = []
    sync, advance_all = durable.fsync_folder, Ledger.advance_all

    def hear_sync(path: Path) -> None:
        synced.append(path)
        sync(path)

    def hear_steps(ledger: Ledger, files: Sequence[Any], *states: FileState, now: str) -> object:
        recorded.append(len(files))
        return advance_all(ledger, files, *states, now=now)

    way.seal(*(f"{number}.png" for number in range(5)))
    monkeypatch.setattr(durable, "fsync_folder", hear_sync)
    monkeypatch.setattr(Ledger, "advance_all", hear_steps)
    way.carrier.keep()
    assert synced == [way.site.state / "spool"]
    assert recorded == [5]
    assert len(way.kept()) == 5


def test_more_and_more_images_are_kept_together_up_to_a_bound(way: Way) -> None:
    names = iter(f"{number}.png" for number in range(100))
    for together in (1, 2, 4, 8, 8, 8):
        assert together <= TOGETHER_MAX
        for _ in range(together):
            assert not way.carrier.full
            way.seal(next(names))
        assert way.carrier.full
        way.carrier.keep()
    # What comes alone is kept alone.
    way.seal(next(names))
    way.carrier.keep()
    way.seal(next(names), next(names))
    assert way.carrier.full


def test_the_first_of_a_second_burst_goes_on_at_once(way: Way) -> None:
    names = iter(f"{number}.png" for number in range(100))
    for together in (1, 2, 4, 8):
        way.seal(*(next(names) for _ in range(together)))
        way.carrier.keep()
    way.carrier.keep()  # the end of the look: nothing waits
    way.seal(next(names))
    assert way.carrier.full


def test_large_images_are_kept_alone(way: Way) -> None:
    way.seal("0.png", "1.png", "2.png")
    way.carrier.keep()
    file = settled(way.site, "large.pnm", b"P5 4096 1024 255\n" + bytes_of("large", 4 << 20))
    assert way.carrier.seal(file, way.carrier.begin(file))
    assert way.carrier.full


def test_an_image_that_the_disk_refuses_holds_no_other_back(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    files = way.seal("a.png", "b.png", "c.png")
    monkeypatch.setattr(durable.os, "fsync", failing_at_call(2))  # b.png
    outcomes = dict(way.carrier.keep())
    monkeypatch.undo()
    assert way.kept() == ["a.png", "c.png"]
    assert outcomes[files[0]] is None
    assert outcomes[files[2]] is None
    assert isinstance(outcomes[files[1]], StorageError)
    assert way.states()["b.png"] is FileState.SETTLED
    assert temporaries(way) == []
    assert way.carrier.seal(files[1], way.carrier.begin(files[1]))
    assert way.carrier.keep() == [(files[1], None)]
    assert len(set(way.kept())) == len(way.kept()) == 3


def test_where_the_folder_cannot_be_synced_nothing_is_kept(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    way.seal("a.png", "b.png")
    monkeypatch.setattr(durable.os, "fsync", failing_at_call(3))  # two files, and the folder
    outcomes = way.carrier.keep()
    monkeypatch.undo()
    assert all(isinstance(error, StorageError) for _, error in outcomes)
    assert way.kept() == way.told == temporaries(way) == []


def test_images_that_the_ledger_cannot_record_are_not_in_the_spool_either(
    way: Way, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    way.seal("a.png", "b.png")
    monkeypatch.setattr(Ledger, "advance_all", refuse)
    assert [type(error) for _, error in way.carrier.keep()] == [StorageError] * 2
    assert way.kept() == way.told == []


@pytest.mark.parametrize("error", [ZeroDivisionError(), EdgeError("no step leads there")])
def test_a_file_that_meets_a_defect_as_it_is_recorded_takes_no_other_with_it(
    way: Way, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = Ledger.advance_all

    def stumble(ledger: Ledger, files: Sequence[Any], *states: FileState, now: str) -> object:
        if FileState.SEALED in states and any(file.relative == "b.png" for file, _ in files):
            raise error
        return real(ledger, files, *states, now=now)

    files = way.seal("a.png", "b.png", "c.png")
    monkeypatch.setattr(Ledger, "advance_all", stumble)
    assert way.carrier.keep() == [(file, None) for file in files]
    assert way.kept() == ["a.png", "c.png"]
    assert [image.origin.relative for image in way.told] == ["a.png", "c.png"]
    if isinstance(error, EdgeError):
        assert way.errors == [("b.png", error.code)]
    else:
        assert way.states()["b.png"] is FileState.QUARANTINED


def test_where_an_announcement_fails_the_others_are_announced(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    told = way.carrier._on_sealed

    def stumble(sealed: Sealed, image: SpooledImage) -> None:
        if image.origin.relative == "a.png":
            raise ZeroDivisionError
        told(sealed, image)

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    way.seal("a.png", "b.png", "c.png")
    way.carrier._on_sealed = stumble
    monkeypatch.setattr(Ledger, "quarantine", refuse)
    assert [isinstance(error, StorageError) for _, error in way.carrier.keep()] == [True, False, False]
    # At the next look both are carried already, and nobody offers them before a restart.
    assert [image.origin.relative for image in way.told] == ["b.png", "c.png"]


def test_a_stop_while_images_are_kept_leaves_nothing_of_them(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    way.seal("a.png", "b.png")

    def leave(_descriptor: int) -> None:
        raise Left

    monkeypatch.setattr(durable.os, "fsync", leave)
    with pytest.raises(Left):
        way.carrier.keep()
    monkeypatch.undo()
    way.carrier.close()
    assert temporaries(way) == []
    assert way.spool._unkept == 0


def test_images_are_durable_before_any_of_them_has_its_name(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    steps: list[str] = []
    way.seal("a.png", "b.png")
    take_name, sync, sync_folder = durable.Aside.take_name, durable.Aside.sync, durable.fsync_folder
    monkeypatch.setattr(durable.Aside, "take_name", lambda new: (steps.append("name"), take_name(new))[1])
    monkeypatch.setattr(durable.Aside, "sync", lambda new: (steps.append("sync"), sync(new))[1])
    monkeypatch.setattr(durable, "fsync_folder", lambda path: (steps.append("sync folder"), sync_folder(path))[1])
    way.carrier.keep()
    assert steps == ["sync", "sync", "name", "name", "sync folder"]


def test_what_is_given_up_leaves_nothing(way: Way) -> None:
    [file] = way.seal("a.png")
    way.carrier.close()
    assert way.carrier.keep() == []
    assert way.kept() == temporaries(way) == []
    assert way.states() == {file.relative: FileState.SETTLED}


def failing_at_call(number: int) -> Callable[[int], None]:
    """Return an fsync that fails once."""
    calls: list[int] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == number:
            raise OSError(5, "Input/output error")
        real(descriptor)

    return fsync


def temporaries(way: Way) -> list[str]:
    """Return what the spool's folder holds beside images."""
    folder = way.site.state / "spool"
    return [path.name for path in folder.iterdir() if path.is_file() and path.suffix != ".spooled"]
