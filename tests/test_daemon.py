"""The daemon as a whole: every file ends in one state, every image arrives once, whatever interrupts the way."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from edge import durable
from edge.daemon import Summary
from edge.envelope.sign import Receipt, ReceiptStatus
from edge.errors import MessageTooLarge, ModelMissing, StorageError
from edge.intake.ledger import FileState
from edge.sealing import Network, Sealed
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    DEVICE,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    alarm,
    png,
    receiver_keyring,
    until,
)


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker."""
    return MemoryBroker()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A device beside a scanner."""
    return Site(tmp_path / "device")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """A hospital whose receiver does not run yet."""
    return Hospital(tmp_path / "hospital")


@pytest.fixture
def receiving(hospital: Hospital, broker: MemoryBroker) -> Iterator[Hospital]:
    """A hospital whose receiver runs."""
    with RunningReceiver(hospital, MemoryTransport(broker)):
        yield hospital


# --- the whole way --------------------------------------------------------------------------------------------------


def test_what_the_scanner_finished_arrives_and_the_original_stays(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    images = {"a.png": png("a"), "ward 3/b.png": png("b", 300_000)}
    for name, data in images.items():
        site.scan(name, data)

    summary = site.run_once(broker)

    assert summary == Summary(images=2, arrived=2)
    assert summary.all_arrived
    assert receiving.contents() == sorted(images.values())
    assert site.states() == dict.fromkeys(images, FileState.DISPOSED)
    assert site.spooled() == []
    assert all((site.scans / name).read_bytes() == data for name, data in images.items())


def test_an_image_goes_through_every_state_in_order(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan("a.png", png("a"))
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        daemon.run(stop)
        [entry] = daemon._ledger.entries()
        states = [event.state for event in daemon._ledger.history(entry)]
    assert states == [
        FileState.SEEN,
        FileState.SETTLED,
        FileState.SEALED,
        FileState.OFFERED,
        FileState.RECEIPTED,
        FileState.DISPOSED,
    ]


def test_a_running_daemon_takes_what_comes_later(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    with RunningDaemon(site, MemoryTransport(broker)) as daemon:
        for number in range(3):
            site.scan(f"{number}.png", png(str(number)))
            until(partial(lambda count: len(receiving.contents()) == count, number + 1))
        assert daemon.alive
    assert daemon.summary == Summary(images=3, arrived=3)


def test_an_empty_folder_is_done_at_once(site: Site, broker: MemoryBroker) -> None:
    assert site.run_once(broker) == Summary()


def test_an_image_that_comes_again_under_its_name_with_other_content_is_another_image(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    for label in ("first", "second"):
        site.scan("a.png", png(label))
        assert site.run_once(broker).all_arrived
    assert receiving.contents() == sorted([png("first"), png("second")])


def test_an_image_written_anew_with_the_same_content_is_not_sent_again(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    path = site.scan("a.png", png("a"))
    site.run_once(broker)
    path.unlink()
    site.scan("a.png", png("a"))
    summary = site.run_once(broker)
    assert summary == Summary(images=1, arrived=1)
    assert len(receiving.catalogue()) == 1


# --- what is no good image ------------------------------------------------------------------------------------------


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
    import os

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
        inspect = daemon._loader._sealer.inspect

        def vanish(file: object, **options: object) -> object:
            gone.unlink(missing_ok=True)
            return inspect(file, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._loader._sealer, "inspect", vanish)
        summary = daemon.run(stop)
    assert summary == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("a")]


def test_a_file_that_changes_while_it_is_read_is_read_again(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = site.scan("a.png", png("before"))
    changed = False
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        seal = daemon._loader._sealer.seal

        def change(*arguments: object, **options: object) -> Sealed:
            nonlocal changed
            if not changed:
                changed = True
                path.write_bytes(png("after", 50_000))
            return seal(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._loader._sealer, "seal", change)
        summary = daemon.run(stop)
    assert changed
    assert summary == Summary(images=1, arrived=1)
    assert receiving.contents() == [png("after", 50_000)]
    assert len(receiving.catalogue()) == 1


def test_a_file_that_changes_while_its_bytes_are_enciphered_is_never_sent_mixed(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    before = png("before", 3_000_000)
    path = site.scan("a.png", before)
    stamp = path.stat()
    changed = False
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        seal = daemon._loader._sealer.seal

        def change(*arguments: object, **options: object) -> Sealed:
            nonlocal changed
            if not changed:
                changed = True
                # Same size, same modification time, same inode: only the hash can tell.
                with path.open("r+b") as file:
                    file.seek(2_000_000)
                    file.write(b"other content")
                os.utime(path, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
            return seal(*arguments, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._loader._sealer, "seal", change)
        summary = daemon.run(stop)
    assert summary == Summary(images=1, arrived=1)
    assert receiving.contents() == [path.read_bytes()]


def test_an_unreadable_file_is_stuck_and_does_not_hold_up_the_others(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    site.scan("good.png", png("good"))
    site.scan("secret.png", png("secret"))
    real_open = os.open

    def refuse(path: object, flags: int, *rest: object, **options: object) -> int:
        if str(path).endswith("secret.png"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, flags, *rest, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.intake.opening.os.open", refuse)
    assert site.run_once(broker) == Summary(images=2, arrived=1, stuck=1)
    assert site.reasons()["secret.png"] == "unreadable-file"


def test_a_file_that_meets_a_defect_is_listed_and_the_others_arrive(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("bad.png", png("bad"))
    site.scan("good.png", png("good"))
    with site.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
        inspect = daemon._loader._sealer.inspect

        def stumble(file: object, **options: object) -> object:
            if file.relative == "bad.png":  # type: ignore[attr-defined]
                raise ZeroDivisionError
            return inspect(file, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(daemon._loader._sealer, "inspect", stumble)
        summary = daemon.run(stop)
    assert summary == Summary(images=2, arrived=1, refused=1)
    assert site.reasons()["bad.png"] == "internal-error"


def test_an_image_without_a_network_takes_its_parameters_from_the_secret_and_says_so(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    def missing() -> Network:
        raise ModelMissing("the network is missing")

    site.load_network = missing
    site.scan("a.png", png("a"))
    assert site.run_once(broker).all_arrived
    [delivered] = receiving.catalogue()
    assert '"parameters_from": "secret"' in delivered.description
    assert "parameters-from-secret" in delivered.description


# --- what happens to the original -----------------------------------------------------------------------------------


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
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
    path.write_bytes(png("second", 60_000))
    site.settings = {**site.settings, "watch.settle": 5.0, "watch.stuck_after": 5.0}
    with RunningReceiver(hospital, MemoryTransport(broker)), RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: hospital.contents() == [png("first")])
        until(lambda: FileState.DISPOSED in {entry.state for entry in site.ledger()})
        assert path.read_bytes() == png("second", 60_000)


# --- a full spool, no broker ----------------------------------------------------------------------------------------


def test_a_full_spool_holds_intake_and_goes_on_after_a_receipt(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    # The folder is listed every 30 s: nothing but a receipt can wake the daemon in time.
    site.settings = {"spool.max_bytes": 100_000}
    images = {f"{number}.png": png(str(number)) for number in range(6)}
    for name, data in images.items():
        site.scan(name, data)
    with RunningDaemon(site, MemoryTransport(broker)) as daemon:
        until(lambda: len(site.spooled()) == 2)
        # It has looked at the others more than once and found no room.
        until(lambda: sum(state is FileState.SEEN for state in site.states().values()) == 4)
        assert daemon.alive
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: hospital.contents() == sorted(images.values()))
            until(lambda: not site.spooled())
    assert site.states() == dict.fromkeys(images, FileState.DISPOSED)


def test_without_a_broker_images_are_sealed_and_wait(site: Site, hospital: Hospital, broker: MemoryBroker) -> None:
    broker.go_offline()
    site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)) as daemon:
        until(lambda: site.states() == {"a.png": FileState.SEALED})
        assert len(site.spooled()) == 1
        assert daemon.alive
        broker.go_online()
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: hospital.contents() == [png("a")])


def test_a_folder_that_is_missing_is_waited_for(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan("a.png", png("a"))
    away = site.scans.with_name("away")
    site.scans.rename(away)
    site.settings = {"watch.poll": "always"}
    with RunningDaemon(site, MemoryTransport(broker)) as daemon:
        until((site.state / "ledger.sqlite").exists)
        assert daemon.alive
        away.rename(site.scans)
        until(lambda: receiving.contents() == [png("a")])


def test_a_disk_that_refuses_for_a_while_does_not_end_the_daemon(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = 0
    real = durable.write_atomically

    def refuse(*arguments: object, **options: object) -> None:
        nonlocal refusals
        if refusals < 3:
            refusals += 1
            raise StorageError("the disk is full")
        real(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr("edge.spool.durable.write_atomically", refuse)
    site.scan("a.png", png("a"))
    assert site.run_once(broker).all_arrived
    assert refusals == 3


def test_a_ledger_that_cannot_be_written_for_a_while_does_not_end_the_daemon(
    site: Site, receiving: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edge.intake.ledger import Ledger

    refusals = 0
    real = Ledger.observe_all

    def refuse(self: Ledger, files: object, *, now: str) -> int:
        nonlocal refusals
        if refusals < 3:
            refusals += 1
            raise StorageError("the disk is full")
        return real(self, files, now=now)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "observe_all", refuse)
    site.scan("a.png", png("a"))
    assert site.run_once(broker).all_arrived
    assert refusals == 3


def test_a_broker_that_takes_no_chunk_is_named_and_the_images_are_kept(site: Site) -> None:
    site.scan("a.png", png("a"))
    with pytest.raises(MessageTooLarge) as refused:
        site.run_once(MemoryBroker(maximum_packet=10_000))
    assert "chunk_size" in refused.value.hint
    assert len(site.spooled()) == 1


# --- restarts -------------------------------------------------------------------------------------------------------

STEPS = ("put", "sealed", "offered", "receipted", "discarded", "disposed")


class PowerCutError(BaseException):
    """What ends a daemon in the middle of a step: nothing may catch it."""


@pytest.mark.parametrize("original", ["keep", "move", "delete"])
@pytest.mark.parametrize("step", STEPS)
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
    from edge.intake.ledger import Ledger
    from edge.spool import Spool

    owner, name = {
        "put": (Spool, "put"),
        "discarded": (Spool, "discard"),
        "disposed": (delivery, "dispose"),
    }.get(step, (Ledger, "advance"))
    real = getattr(owner, name)

    def then_cut(*arguments: object, **options: object) -> object:
        done = real(*arguments, **options)
        if name != "advance" or arguments[2] == step:
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


def test_a_lost_ledger_is_rebuilt_from_the_spool_and_nothing_is_stored_twice(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
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
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
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


def test_an_image_travels_although_its_original_is_gone(site: Site, hospital: Hospital, broker: MemoryBroker) -> None:
    path = site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
    path.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]


def test_the_receipt_is_handed_on(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    site.scan("a.png", png("a"))
    receipts: list[Receipt] = []
    sealed: list[Sealed] = []
    with (
        site.daemon(MemoryTransport(broker), on_sealed=sealed.append, on_receipt=receipts.append) as daemon,
        alarm() as stop,
    ):
        daemon.run(stop)
    assert [receipt.status for receipt in receipts] == [ReceiptStatus.STORED]
    assert [each.envelope.manifest.device for each in sealed] == [DEVICE]


def test_the_status_of_a_device_names_no_patient_and_ends_with_it(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    import json

    from tests.world import UnhurriedTransport

    site.scan("Doe^Jane/a.png", png("a"))
    site.run_once(broker)
    ear = UnhurriedTransport(broker)
    ear.subscribe(f"edge/v1/status/{DEVICE}")
    ear.start()
    message = ear.receive(0)
    assert message is not None
    status = json.loads(message.payload)
    assert (status["id"], status["role"], status["state"]) == (DEVICE, "device", "offline")
    assert "Doe" not in message.payload.decode()


def test_two_devices_deliver_to_one_receiver(
    tmp_path: Path, receiving: Hospital, broker: MemoryBroker, site: Site
) -> None:
    from tests.world import device_keyring

    other = Site(tmp_path / "other", name="device-2", keyring=device_keyring("device-2"))
    site.scan("a.png", png("a"))
    other.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        assert other.run_once(broker).all_arrived
        until(lambda: len(receiving.files()) == 2)
    assert {name.split("/")[0] for name in receiving.files()} == {"device-1", "device-2"}


def test_many_small_images_arrive(site: Site, receiving: Hospital, broker: MemoryBroker) -> None:
    images = {f"{number:03d}.png": png(str(number), 500) for number in range(40)}
    for name, data in images.items():
        site.scan(name, data)
    assert site.run_once(broker) == Summary(images=40, arrived=40)
    assert receiving.contents() == sorted(images.values())


def test_the_state_can_be_moved_to_another_disk(
    site: Site, hospital: Hospital, broker: MemoryBroker, tmp_path: Path
) -> None:
    site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(site.spooled)
    copy = Site(tmp_path / "copy")
    shutil.rmtree(copy.scans)
    shutil.copytree(site.scans, copy.scans)
    shutil.copytree(site.state, copy.state)
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert copy.run_once(broker) == Summary(images=1, arrived=1)
    assert hospital.contents() == [png("a")]
