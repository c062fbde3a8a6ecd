"""Disks that are full, read-only or failing, and a process without descriptors: each has its name, nothing is lost.

The disks are real: small file systems in memory, and ext4 over a loop device whose own disk gives out.
"""

from __future__ import annotations

import io
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import psutil
import pytest
from PIL import Image

from edge.durable import write_atomically
from edge.errors import DiskFull, DiskReadOnly, SpoolFull, StorageError
from edge.intake.ledger import FileState, Ledger
from edge.spool import Spool
from edge.transport.base import BrokerAddress, BrokerSettings
from edge.transport.memory import MemoryBroker, MemoryTransport
from edge.transport.mqtt import MqttTransport
from tests.brokers import Mosquitto
from tests.faults.ear import Ear
from tests.faults.mounts import disk, fill, mounted, remount
from tests.faults.stage import PATIENCE_SECONDS, Stage, check_whole
from tests.world import (
    RECEIVER,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    UnhurriedTransport,
    png,
    until,
)


@pytest.fixture
def ear(broker: MemoryBroker) -> Ear:
    """Somebody who hears the device's status."""
    return Ear(UnhurriedTransport(broker))


@pytest.fixture
def mqtt_ear(mosquitto: Mosquitto) -> Iterator[Ear]:
    """Somebody who hears the status of the device of a stage."""
    settings = BrokerSettings(address=BrokerAddress.parse(mosquitto.url), client_id_prefix="ear")
    transport = MqttTransport(settings)
    yield Ear(transport, "xray-1")
    transport.stop()


# --- the device -----------------------------------------------------------------------------------------------------


def test_a_full_disk_stops_intake_deletes_nothing_and_raises_its_alarm_from_the_last_byte(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    site.settings = {"spool.reserve_bytes": 8_000_000, "watch.rescan": 0.3}
    images = {f"{number}.png": png(str(number), 4_000_000) for number in range(6)}
    with mounted(site.state, "20m"), RunningDaemon(site, MemoryTransport(broker)) as daemon:
        for name, data in images.items():
            site.scan(name, data)
        ear.hears("spool-full")
        assert "reserve" in ear.last["waits"]
        spooled = site.spooled()
        assert 0 < len(spooled) < len(images)
        ballast = fill(site.state)  # another program takes the reserve as well
        late = site.scan("late.png", png("late"))
        ear.hears("disk-full")
        assert daemon.alive
        assert site.spooled() == spooled
        ballast.unlink()
        ear.hears("spool-full")
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: Counter(hospital.contents()) == Counter([*images.values(), late.read_bytes()]))
            ear.hears_the_end_of("spool-full")
        until(lambda: not site.spooled())
        check_whole(site.state / "ledger.sqlite")
    assert len(hospital.catalogue()) == 7


def test_receipts_free_a_disk_that_is_full_to_its_last_byte(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    images = {f"{number}.png": png(str(number), 2_000_000) for number in range(3)}
    with mounted(site.state, "20m"), RunningDaemon(site, MemoryTransport(broker)):
        for name, data in images.items():
            site.scan(name, data)
        until(lambda: len(site.spooled()) == 3)
        fill(site.state)
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: hospital.contents() == sorted(images.values()))
            until(lambda: not site.spooled())
        until(lambda: site.states() == dict.fromkeys(images, FileState.DISPOSED))


@pytest.mark.parametrize(
    ("percent", "reserve", "fits"), [(5, 0, True), (0, 10_000_000, True), (70, 0, False), (5, 25_000_000, False)]
)
def test_a_share_of_the_disk_and_a_number_of_bytes_both_stay_free(
    tmp_path: Path, percent: int, reserve: int, fits: bool
) -> None:
    with mounted(tmp_path / "disk", "32m") as folder:
        spool = Spool(folder / "spool", max_bytes=1 << 40, reserve_bytes=reserve, reserve_percent=percent)
        if fits:
            spool.require_room(12_000_000)
        else:
            with pytest.raises(SpoolFull, match="reserve"):
                spool.require_room(12_000_000)


def test_a_disk_that_turned_read_only_is_named_and_after_its_repair_all_goes_on(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    image = site.root / "disk.img"
    with disk(site.state, image, size=64 << 20), RunningDaemon(site, MemoryTransport(broker)) as daemon:
        site.scan("a.png", png("a"))
        until(lambda: receiving.contents() == [png("a")])
        remount(site.state, "abort")  # what the kernel does when it meets an error of the disk
        site.scan("b.png", png("b"))
        ear.hears("disk-read-only")
        assert daemon.alive
        assert ear.last["waits"]
    with disk(site.state, image, size=64 << 20):
        assert site.run_once(broker).all_arrived
        assert receiving.contents() == sorted([png("a"), png("b")])
        check_whole(site.state / "ledger.sqlite")


def test_a_disk_that_refuses_to_record_receipts_is_named_though_no_file_comes(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    image = site.root / "disk.img"
    with disk(site.state, image, size=64 << 20), RunningDaemon(site, MemoryTransport(broker)):
        site.scan("a.png", png("a"))
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
        remount(site.state, "abort")
        with RunningReceiver(hospital, MemoryTransport(broker)):
            ear.hears("disk-read-only")
        assert len(site.spooled()) == 1
    with disk(site.state, image, size=64 << 20), RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert len(hospital.catalogue()) == 1


def test_a_disk_that_loses_what_is_written_is_named_and_nothing_that_it_lost_counts_as_sealed(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear, tmp_path: Path
) -> None:
    # The loop device's own disk is full: writes are taken, and the sync that follows them fails with EIO.
    with mounted(tmp_path / "below", "48m") as below, disk(site.state, below / "disk.img", size=200 << 20):
        with RunningDaemon(site, MemoryTransport(broker)) as daemon:
            site.scan("a.png", png("a"))
            until(lambda: receiving.contents() == [png("a")])
            ballast = fill(below)
            os.truncate(ballast, ballast.stat().st_size - 2_000_000)  # words in the ledger fit, the image does not
            site.scan("b.png", png("b", 8_000_000))
            until(lambda: {"disk-failing", "disk-read-only"} & set(ear.alarms))
            assert daemon.alive
            assert receiving.contents() == [png("a")]
            assert site.spooled() == []
            assert site.states()["b.png"] in (FileState.SEEN, FileState.SETTLED)
        ballast.unlink()
    assert (site.scans / "b.png").read_bytes() == png("b", 8_000_000)


@pytest.mark.parametrize(
    ("break_it", "kind"),
    [(fill, DiskFull), (lambda folder: remount(folder, "abort"), DiskReadOnly)],
    ids=["full", "read-only"],
)
def test_what_a_real_disk_refuses_has_the_name_of_its_reason(
    tmp_path: Path, break_it: Callable[[Path], object], kind: type[StorageError]
) -> None:
    with (
        disk(tmp_path / "disk", tmp_path / "disk.img", size=64 << 20) as folder,
        Ledger.open(folder / "ledger.sqlite") as ledger,
    ):
        break_it(folder)
        with pytest.raises(kind):
            write_atomically(folder / "file", bytes(100_000))
        with pytest.raises(kind):
            use_up(ledger)


def use_up(ledger: Ledger) -> None:
    """Write into a ledger until its disk refuses."""
    for _ in range(10_000):
        ledger.next_sequence()


def photograph(moment: str) -> bytes:
    """Return a JPEG that was taken at a moment."""
    exif = Image.Exif()
    exif[0x0132] = moment
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (len(moment), 9, 9)).save(file, "JPEG", exif=exif)
    return file.getvalue()


def _limit(pid: int, spare: int) -> int:
    """Return the limit that leaves a process so many descriptors to open."""
    taken = {int(each) for each in os.listdir(f"/proc/{pid}/fd")}
    free = (number for number in range(1 << 16) if number not in taken)
    return next(islice(free, spare, None))


@pytest.mark.mosquitto
@pytest.mark.timeout(300)
@pytest.mark.parametrize("spare", [pytest.param(1, marks=pytest.mark.faults), 4])
def test_a_process_without_descriptors_names_it_and_blames_no_file(
    stage: Callable[[], Stage], mqtt_ear: Ear, spare: int
) -> None:
    here = stage()
    here.environment = {"EDGE_ENCRYPTOR_WATCH_POLL": "always", "EDGE_ENCRYPTOR_LIMITS_INSPECT_TIMEOUT": "60"}
    device, receiver = here.start("device", once=False), here.start("receiver")
    try:
        until(lambda: device.connected and receiver.connected, seconds=PATIENCE_SECONDS)
        limits = resource.prlimit(device.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(device.pid, resource.RLIMIT_NOFILE, (_limit(device.pid, spare), limits[1]))
        for reader in psutil.Process(device.pid).children():
            reader.kill()  # so that there is one to be started
        images = {f"{number}.jpg": photograph(f"2026:11:2{number} 09:30:00") for number in range(4)}
        here.scan(images)
        until(lambda: set(mqtt_ear.alarms) & {"too-many-open-files", "folder-paused"}, seconds=PATIENCE_SECONDS)
        assert "open files" in mqtt_ear.last["waits"] + mqtt_ear.last["paused"]
        resource.prlimit(device.pid, resource.RLIMIT_NOFILE, limits)
        until(lambda: sorted(here.stored().values()) == sorted(images.values()), seconds=PATIENCE_SECONDS)
        until(lambda: mqtt_ear.alarms == [], seconds=PATIENCE_SECONDS)
        captured = {entry.relative: (entry.captured[:10], entry.capture_source[:4]) for entry in here.ledger()}
        # Had a file been blamed, its time would be that of its modification.
        assert captured == {f"{number}.jpg": (f"2026-11-2{number}", "exif") for number in range(4)}
    finally:
        for each in (device, receiver):
            each.end(signal.SIGKILL)
    assert "quarantined" not in device.said
    assert "stuck" not in device.said


# --- the receiver ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["store", pytest.param("state", marks=pytest.mark.faults)])
def test_a_full_receiver_gives_no_receipt_names_it_and_goes_on_by_itself(
    site: Site, hospital: Hospital, broker: MemoryBroker, where: str
) -> None:
    site.scan("a.png", png("a", 1_000_000))
    ear = Ear(UnhurriedTransport(broker), RECEIVER)
    with mounted(hospital.root / where, "100m") as folder, RunningReceiver(hospital, MemoryTransport(broker)) as there:
        ballast = fill(folder)
        with RunningDaemon(site, MemoryTransport(broker)) as daemon:
            ear.hears("store-full")
            offers = there._loop.counts.offers
            until(lambda: there._loop.counts.offers > offers + 2)
            assert there.counts.stored == there.counts.rejected == 0
            assert len(site.spooled()) == 1
            assert daemon.alive
            ballast.unlink()
            until(lambda: hospital.contents() == [png("a", 1_000_000)])
            until(lambda: not site.spooled())
            ear.hears_the_end_of("store-full")


def test_a_store_that_fills_up_while_an_image_is_fetched_keeps_its_receipt_back(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    site.scan("a.png", png("a", 3_000_000))
    ear = Ear(UnhurriedTransport(broker), RECEIVER)
    with mounted(hospital.store, "100m") as folder, RunningReceiver(hospital, MemoryTransport(broker)) as there:
        real = there.finish
        ballast: list[Path] = []

        def filled_first(part: object) -> bytes | None:
            if not ballast:
                ballast.append(fill(folder))
            return real(part)  # type: ignore[arg-type]

        there._loop._judge.finish = filled_first  # type: ignore[method-assign]
        with RunningDaemon(site, MemoryTransport(broker)):
            ear.hears("disk-full")
            assert len(site.spooled()) == 1
            ballast[0].unlink()
            until(lambda: hospital.contents() == [png("a", 3_000_000)])
            until(lambda: not site.spooled())
            ear.hears_the_end_of("disk-full")
    assert there.counts.rejected == 0
