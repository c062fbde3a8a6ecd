"""The daemon as a whole: every file ends in one state, every image arrives once, whatever interrupts the way."""

from __future__ import annotations

import shutil
import threading
from functools import partial
from pathlib import Path

import pytest

from edge import durable
from edge.daemon import Summary
from edge.deriving import ParameterSource
from edge.envelope.sign import Receipt, ReceiptStatus
from edge.errors import MessageTooLarge, StorageError
from edge.intake.ledger import FileState
from edge.sealing import Sealed
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    DEVICE,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    alarm,
    connected,
    device_keyring,
    png,
    until,
)


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
        # The store holds an image before its receipt is on the way.
        until(lambda: set(site.states().values()) == {FileState.DISPOSED})
        assert daemon.alive
    assert daemon.summary == Summary(images=3, arrived=3)


def test_what_an_interrupted_write_left_in_the_state_is_swept(site: Site, broker: MemoryBroker) -> None:
    site.run_once(broker)
    (site.state / ".edge-0011223344556677.tmp").write_bytes(b"half")
    site.run_once(broker)
    assert list(site.state.glob(".edge-*")) == []


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


def test_a_finished_file_that_is_removed_before_there_is_room_for_it_is_told(
    site: Site, broker: MemoryBroker, caplog: pytest.LogCaptureFixture
) -> None:
    site.settings = {"spool.max_bytes": 50_000, "watch.rescan": 0.1}
    for number in range(3):
        site.scan(f"{number}.png", png(str(number)))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: len(site.spooled()) == 1)
        [kept, renamed] = [name for name, state in site.states().items() if state is FileState.SEEN]
        (site.scans / renamed).rename(site.scans / "renamed.png")
        (site.scans / kept).unlink()
        until(lambda: "removed before it could be carried" in caplog.text)
        until(lambda: site.states().get("renamed.png") is FileState.SEEN)
    assert caplog.text.count("removed before it could be carried") == 1


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


def test_a_machine_without_a_thread_to_spare_is_named_and_does_not_end_the_daemon(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    # A folder that is polled is watched without threads of its own.
    site.settings = {"watch.poll": "always"}
    with RunningDaemon(site, MemoryTransport(broker)) as running:
        until(lambda: running.daemon is not None and running.daemon._loader.watching)
        size = threading.stack_size(1 << 46)  # more than any machine has: no thread starts any more
        try:
            site.scan("a.png", png("a"))
            until(lambda: running.daemon is not None and "worker-unavailable" in running.daemon.alarms)
            assert site.states() == {"a.png": FileState.SEEN}
        finally:
            threading.stack_size(size)
        until(lambda: receiving.contents() == [png("a")])
        until(lambda: running.daemon is not None and running.daemon.alarms == ())


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


# --- what others see ---------------------------------------------------------------------------------------------------


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

    site.scan("Doe^Jane/a.png", png("a"))
    site.run_once(broker)
    ear = connected(broker, f"edge/v1/status/{DEVICE}")
    message = ear.receive(0)
    assert message is not None
    status = json.loads(message.payload)
    assert (status["id"], status["role"], status["state"]) == (DEVICE, "device", "offline")
    assert status["alarms"] == []
    assert "Doe" not in message.payload.decode()


def test_a_network_that_cannot_be_used_is_an_alarm_in_the_status(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    import json

    from edge.errors import ModelMissing

    def missing() -> ParameterSource:
        raise ModelMissing("the file of the network cannot be read")

    site.load_parameters = missing
    ear = connected(broker, f"edge/v1/status/{DEVICE}")
    heard = []

    def alarmed() -> bool:
        while (message := ear.receive(0)) is not None:
            heard.append(json.loads(message.payload))
        return any(status["alarms"] for status in heard)

    with RunningDaemon(site, MemoryTransport(broker)):
        site.scan("a.png", png("a"))
        # The next status would come after a minute: the alarm does not wait for it.
        until(alarmed)
    alarms = [status["alarms"] for status in heard if status["state"] == "online"]
    assert (alarms[0], alarms[-1]) == ([], ["parameter-network-unusable"])


def test_two_devices_deliver_to_one_receiver(
    tmp_path: Path, receiving: Hospital, broker: MemoryBroker, site: Site
) -> None:
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
