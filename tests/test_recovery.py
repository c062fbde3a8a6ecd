"""What a start finds: after each step that a crash can end at, with a ledger or a sealed file lost, with two images of one file."""

from __future__ import annotations

import os
from itertools import product
from pathlib import Path

import pytest

from edge import durable
from edge.daemon import Summary
from edge.intake.ledger import FileState, Ledger
from edge.spool import Origin, Spool, SpooledImage
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    flip,
    png,
    receiver_keyring,
    spool_image,
    until,
)

STEPS = ("put", "sealed", "offered", "receipted", "discarded", "disposed")


class PowerCutError(BaseException):
    """What ends a daemon in the middle of a step: nothing may catch it."""


@pytest.mark.parametrize(
    ("step", "original"),
    # What is kept is disposed of with its receipt.
    [pair for pair in product(STEPS, ("keep", "move", "delete")) if pair != ("disposed", "keep")],
)
def test_a_restart_after_any_step_delivers_exactly_one_image(
    site: Site, receiving: Hospital, broker: MemoryBroker, step: str, original: str
) -> None:
    done = site.root / "done"
    site.settings = {"watch.original": original, "watch.move_to": done}
    path = site.scan("a.png", png("a"))
    with pytest.MonkeyPatch.context() as patch:
        _cut_the_power_after(patch, step)
        with pytest.raises(PowerCutError):
            site.run_once(broker)

    summary = site.run_once(broker)

    assert summary == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("a")]
    assert len(receiving.catalogue()) == 1
    assert site.spooled() == []
    assert site.states() == {"a.png": FileState.DISPOSED}
    assert path.exists() == (original == "keep")
    moved = list(done.glob("*")) if original == "move" else []
    assert len(moved) == (original == "move")


def _cut_the_power_after(patch: pytest.MonkeyPatch, step: str) -> None:
    """End the daemon right after this step became durable."""
    from edge import delivery

    owner, name = {
        "put": (Spool, "keep"),
        "discarded": (Spool, "discard"),
        "disposed": (delivery, "dispose"),
    }.get(step, (Ledger, "advance_all"))
    real = getattr(owner, name)

    def then_cut(*arguments: object, **options: object) -> object:
        done = real(*arguments, **options)
        if name != "advance_all" or step in arguments[2:]:
            raise PowerCutError
        return done

    patch.setattr(owner, name, then_cut)


def test_a_move_that_a_crash_interrupted_leaves_one_copy(
    site: Site, receiving: Hospital, broker: MemoryBroker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings = {"watch.original": "move", "watch.move_to": tmp_path / "done"}
    path = site.scan("a.png", png("a"))
    remove = durable.remove_durably
    with monkeypatch.context() as patch:

        def cut(gone: Path) -> None:
            if gone == path:
                raise PowerCutError
            remove(gone)

        patch.setattr(durable, "remove_durably", cut)
        with pytest.raises(PowerCutError):
            site.run_once(broker)
    assert site.run_once(broker).all_arrived
    assert not path.exists()
    assert [copy.read_bytes() for copy in (tmp_path / "done").iterdir()] == [png("a")]


def test_a_removal_that_a_crash_interrupted_is_durable_before_the_image_is_disposed_of(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.settings = {"watch.original": "delete"}
    path = site.scan("a.png", png("a"))
    with monkeypatch.context() as patch:

        def cut(gone: Path) -> None:
            gone.unlink()
            if gone == path:
                raise PowerCutError

        patch.setattr(durable, "remove_durably", cut)
        with pytest.raises(PowerCutError):
            site.run_once(broker)
    assert site.states() == {"a.png": FileState.RECEIPTED}
    synced: list[Path] = []
    real = durable.fsync_folder
    monkeypatch.setattr(durable, "fsync_folder", lambda folder: (synced.append(folder), real(folder))[1])
    assert site.run_once(broker).all_arrived
    assert site.scans in synced
    assert site.states() == {"a.png": FileState.DISPOSED}


def test_a_lost_ledger_is_rebuilt_from_the_spool_and_nothing_is_stored_twice(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    for path in site.state.glob("ledger.sqlite*"):
        path.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
        # Lost once more, now after delivery: the image travels again, and is stored once.
        for path in site.state.glob("ledger.sqlite*"):
            path.unlink()
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert list(hospital.files().values()) == [png("a")]


def test_an_image_whose_sealed_file_was_removed_by_hand_is_sealed_again(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    for path in site.spooled():
        path.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]


def test_an_image_that_the_disk_damaged_in_the_spool_is_sealed_again(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
        [spooled] = site.spooled()
        with spooled.open("r+b") as file:
            file.seek(20_000)
            file.write(b"another content")
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: hospital.contents() == [png("a")])
            until(lambda: not site.spooled())
    # It stays set aside.
    with RunningReceiver(hospital, MemoryTransport(broker)):
        for _ in range(2):
            assert site.run_once(broker) == Summary(images=1, arrived=1)
            assert len(site.quarantined()) == 1
    assert hospital.contents() == [png("a")]


def test_of_two_sealed_images_of_one_file_a_new_ledger_takes_the_newer(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    [damaged] = site.spooled()
    damaged.rename(damaged.parent / "quarantine" / damaged.name)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(site.spooled)
    for file in site.state.glob("ledger.sqlite*"):
        file.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert [path.name for path in site.quarantined()] == [damaged.name]
    assert hospital.contents() == [png("a")]


def test_an_image_travels_although_its_original_is_gone(site: Site, hospital: Hospital, broker: MemoryBroker) -> None:
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    path.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]


def test_a_rejected_image_is_offered_once_more_though_its_taking_back_was_interrupted(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolled = hospital.keyring
    site.scan("a.png", png("a"))
    hospital.keyring = receiver_keyring(devices=("device-2",))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, refused=1)
    hospital.keyring = enrolled
    with monkeypatch.context() as patch:

        def then_cut(spool: Spool, image: SpooledImage) -> None:
            spool._move(image.path, spool._folder)
            raise PowerCutError

        patch.setattr(Spool, "take_back", then_cut)
        with pytest.raises(PowerCutError):
            site.run_once(broker)
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]


def test_a_rejected_image_is_not_forgotten_with_a_lost_ledger(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    enrolled = hospital.keyring
    path = site.scan("a.png", png("a"))
    hospital.keyring = receiver_keyring(devices=("device-2",))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, refused=1)
    path.unlink()
    for file in site.state.glob("ledger.sqlite*"):
        file.unlink()
    hospital.keyring = enrolled
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]
    assert site.quarantined() == []


# --- two images of one file ---------------------------------------------------------------------------------------------


def stray(site: Site, origin: Origin, plain: bytes) -> Path:
    """Put a second image of a file into the spool, of which the ledger knows nothing."""
    spool = Spool(site.state / "spool", max_bytes=1 << 30, reserve_bytes=0)
    return spool_image(spool, plain, label="a", sequence=9, origin=origin).path


def origin_of(site: Site) -> Origin:
    """Return which file the only image of the spool was made of."""
    [image] = Spool(site.state / "spool", max_bytes=1 << 30, reserve_bytes=0).images()
    return image.origin


@pytest.mark.parametrize("first_is_there", [True, False])
def test_of_two_images_of_one_file_one_is_delivered(
    site: Site, hospital: Hospital, broker: MemoryBroker, first_is_there: bool
) -> None:
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    path.unlink()
    [first] = site.spooled()
    second = stray(site, origin_of(site), png("a"))
    if not first_is_there:
        first.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]
    assert site.spooled() == []
    [row] = hospital.catalogue()
    assert row.image_id in (first if first_is_there else second).name


def test_of_two_images_of_one_file_the_whole_one_is_delivered(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    """The recorded one is damaged, as the ledger says; the process died before it was moved aside."""
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    path.unlink()
    [first] = site.spooled()
    stray(site, origin_of(site), png("a"))
    flip(first)
    with Ledger.open(site.state / "ledger.sqlite") as ledger:
        ledger.quarantine(first.stem[17:], reason="damaged-in-spool", now="2026-01-02T03:04:05+00:00")
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]


def test_a_second_image_of_a_file_is_not_delivered_where_the_share_numbers_its_files_anew(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    # A second one that the disk refused to record, and then to remove; the daemon has not been started anew yet.
    before = site.ledger()[0].inode
    with RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: running.daemon is not None)
        stray(site, origin_of(site), png("a"))
        copy = path.with_name(".copy")
        copy.write_bytes(png("a"))
        os.utime(copy, ns=(path.stat().st_mtime_ns,) * 2)
        copy.rename(path)
        until(lambda: [entry.inode for entry in site.ledger()] not in ([before], []) and len(site.ledger()) == 1)
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert len(hospital.catalogue()) == 1


def test_a_damaged_image_is_kept_though_other_content_was_sealed_of_its_file(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    original = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    [first] = site.spooled()
    flip(first)
    name = first.name
    with Ledger.open(site.state / "ledger.sqlite") as ledger:
        ledger.quarantine(first.stem[17:], reason="damaged-in-spool", now="2026-01-02T03:04:05+00:00")
    status = original.stat()
    original.write_bytes(png("b"))  # in place, as a tool does that keeps times
    os.utime(original, ns=(status.st_mtime_ns, status.st_mtime_ns))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        site.run_once(broker)
        site.run_once(broker)
    assert name in [path.name for path in site.quarantined()]


def test_a_second_image_of_a_file_that_has_arrived_is_not_delivered(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    origin = origin_of(site)
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
        stray(site, origin, png("a"))
        assert site.run_once(broker).all_arrived
    assert len(hospital.catalogue()) == 1
    assert site.spooled() == []


def test_a_damaged_ledger_is_rebuilt_from_the_spool(site: Site, hospital: Hospital, broker: MemoryBroker) -> None:
    path = site.scan("a.png", png("a"))
    site.run_until_offered(broker)
    path.unlink()
    ledger = site.state / "ledger.sqlite"
    damaged = b"torn" + ledger.read_bytes()[4:]
    ledger.write_bytes(damaged)
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]
    assert (site.state / "ledger.sqlite.damaged-1").read_bytes() == damaged
