"""The scanner's folder comes and goes, is replaced, overflows the kernel's queue, and is a share: every image is found.

The folders, file systems and limits are real; what a test may not do on this machine it skips by name.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.intake.ledger import FileState, Ledger
from edge.intake.watch import Watcher
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.faults.ear import Ear
from tests.faults.fuse import share
from tests.faults.mounts import disk, mount, mounted, remount, unmount
from tests.faults.stage import PATIENCE_SECONDS, ROOT, Stage
from tests.world import Hospital, RunningDaemon, RunningReceiver, Site, UnhurriedTransport, png, until


@pytest.fixture
def ear(broker: MemoryBroker) -> Ear:
    """Somebody who hears the device's status."""
    return Ear(UnhurriedTransport(broker))


# --- a folder that comes and goes -----------------------------------------------------------------------------------


def test_a_share_that_is_unmounted_and_comes_back_is_a_pause_with_an_alarm(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    with mounted(site.scans), RunningDaemon(site, MemoryTransport(broker)):
        site.scan("a.png", png("a"))
        until(lambda: receiving.contents() == [png("a")])
        unmount(site.scans)
        ear.hears("folder-paused")
        assert "mounted" in ear.last["paused"]
        # Whatever is written below the bare mount point is not the scanner's, and what was there is not gone.
        site.scan("below.png", png("below"))
        assert site.states() == {"a.png": FileState.DISPOSED}
        mount(site.scans)
        site.scan("b.png", png("b"))
        until(lambda: receiving.contents() == sorted([png("a"), png("b")]))
        ear.hears_the_end_of("folder-paused")
        assert ear.last["paused"] == ""
    assert set(site.states()) == {"a.png", "b.png"}


def test_a_share_above_the_folder_that_goes_is_a_pause_too(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    folder = site.root / "share"
    with mounted(folder):
        shutil.rmtree(site.scans)
        (folder / "scans").mkdir()
        site.scans.symlink_to(folder / "scans")
        with RunningDaemon(site, MemoryTransport(broker)):
            until(lambda: ear.last.get("watching"))
            unmount(folder)
            ear.hears("folder-paused")
            assert "missing" in ear.last["paused"]
            mount(folder)
            (folder / "scans").mkdir()
            site.scan("a.png", png("a"))
            until(lambda: receiving.contents() == [png("a")])
            ear.hears_the_end_of("folder-paused")


def test_a_folder_that_is_replaced_is_watched_again_by_itself(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    # The folder is listed every 30 s: without a new watch for events the second image would come too late.
    site.settings = {"watch.poll": "never"}
    with RunningDaemon(site, MemoryTransport(broker)):
        site.scan("a.png", png("a"))
        until(lambda: receiving.contents() == [png("a")])
        site.scans.rename(site.scans.with_name("old"))
        site.scans.mkdir()
        site.scan("b.png", png("b"))
        until(lambda: len(receiving.contents()) == 2)
        site.scan("c.png", png("c"))
        until(lambda: receiving.contents() == sorted(png(each) for each in "abc"))
        assert ear.last["watching"] == "events"


def test_a_folder_that_may_only_be_read_is_carried_all_the_same(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    with mounted(site.scans):
        site.scan("a.png", png("a"))
        remount(site.scans, "ro")
        assert site.run_once(broker).all_arrived
        assert receiving.contents() == [png("a")]
    assert not any(status["alarms"] for status in ear.heard)


@pytest.mark.parametrize("original", ["move", "delete"])
def test_originals_of_a_read_only_folder_wait_with_an_alarm_until_it_can_be_written(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear, original: str
) -> None:
    site.settings = {"watch.original": original, "watch.move_to": site.root / "moved", "watch.rescan": 0.3}
    with mounted(site.scans):
        path = site.scan("a.png", png("a"))
        remount(site.scans, "ro")
        with RunningDaemon(site, MemoryTransport(broker)):
            ear.hears("originals-waiting")
            assert receiving.contents() == [png("a")]
            assert site.states() == {"a.png": FileState.RECEIPTED}
            remount(site.scans, "rw")
            until(lambda: not path.exists())
            ear.hears_the_end_of("originals-waiting")
            until(lambda: site.states() == {"a.png": FileState.DISPOSED})
    moved = [each.read_bytes() for each in (site.root / "moved").rglob("*") if each.is_file()]
    assert moved == ([png("a")] if original == "move" else [])
    assert len(receiving.catalogue()) == 1


def test_originals_on_a_share_that_is_gone_when_their_receipts_come_are_disposed_of_once_it_is_back(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    site.settings = {"watch.original": "delete", "watch.rescan": 0.3}
    image = site.root / "share.img"
    with disk(site.scans, image, size=16 << 20):
        path = site.scan("a.png", png("a"))
        with RunningDaemon(site, MemoryTransport(broker)):
            until(lambda: len(site.spooled()) == 1)
            unmount(site.scans)
            with RunningReceiver(hospital, MemoryTransport(broker)):
                ear.hears("originals-waiting")
            assert site.states() == {"a.png": FileState.RECEIPTED}
            with disk(site.scans, image, size=16 << 20):
                until(lambda: not path.exists())
                until(lambda: site.states() == {"a.png": FileState.DISPOSED})
                ear.hears_the_end_of("originals-waiting")
    assert hospital.contents() == [png("a")]


# --- how files are written ------------------------------------------------------------------------------------------


def pieces(data: bytes) -> list[bytes]:
    """Cut a file in three, the last piece being its last byte."""
    return [data[: len(data) // 2], data[len(data) // 2 : -1], data[-1:]]


def test_a_writer_that_pauses_longer_than_a_file_must_be_still_is_waited_for(
    site: Site, receiving: Hospital, broker: MemoryBroker, shared_images: Path
) -> None:
    kinds = {".jpg", ".png", ".tif", ".dcm", ".webp", ".gif", ".bmp"}
    real: dict[str, Path] = {}
    for path in sorted(shared_images.iterdir()):
        if path.suffix in kinds and path.stat().st_size < 3_000_000:
            real.setdefault(path.suffix, path)
    contents = {path.name: path.read_bytes() for path in real.values()}
    assert {".jpg", ".png", ".dcm"} <= set(real)
    with RunningDaemon(site, MemoryTransport(broker)):
        for stage in range(3):
            for name, data in contents.items():
                with (site.scans / name).open("ab") as file:
                    file.write(pieces(data)[stage])
            # Twenty times as long as a file must be still to count.
            time.sleep(0.4)
        until(lambda: Counter(receiving.contents()) == Counter(contents.values()))
    assert len(receiving.catalogue()) == len(contents)


def test_a_file_that_never_becomes_complete_is_an_alarm_until_it_does(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear
) -> None:
    path = site.scan("a.png", png("a")[:-5])
    with RunningDaemon(site, MemoryTransport(broker)):
        ear.hears("files-stuck")
        assert site.states() == {"a.png": FileState.STUCK}
        assert site.reasons() == {"a.png": "incomplete-file"}
        with path.open("ab") as file:
            file.write(png("a")[-5:])
        until(lambda: receiving.contents() == [png("a")])
        ear.hears_the_end_of("files-stuck")


def test_every_way_of_arriving_and_every_name_brings_each_image_once(
    site: Site, receiving: Hospital, broker: MemoryBroker, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    names = [b"caf\xe9.png", b"\xff\xfe", b"line\nbreak\t.png", "ü😀.png".encode(), "é.png".encode()]
    names += ["e\u0301.png".encode(), b"A.PNG", b"a.png", b" ", b"x" * 255, b"a'\"*?\\.png", b"-rf", b"con", b"%s%n"]
    wanted = {os.fsdecode(name): png(repr(name), 500) for name in names}
    with RunningDaemon(site, MemoryTransport(broker)):
        for name, data in wanted.items():
            (site.scans / name).write_bytes(data)
        for name in ("moved", "linked", "renamed.part", "folder/sub/inside"):
            (outside / name).parent.mkdir(parents=True, exist_ok=True)
            (outside / name).write_bytes(png(name, 500))
        (outside / "moved").rename(site.scans / "moved")
        (site.scans / "linked").hardlink_to(outside / "linked")
        (outside / "renamed.part").rename(site.scans / "renamed.part")
        (site.scans / "renamed.part").rename(site.scans / "renamed")
        (outside / "folder").rename(site.scans / "folder")
        (outside / "secret.png").write_bytes(png("secret", 500))
        (site.scans / "link.png").symlink_to(outside / "secret.png")
        (site.scans / "link").symlink_to(outside)
        wanted |= {name: png(name, 500) for name in ("moved", "linked", "folder/sub/inside")}
        wanted["renamed"] = png("renamed.part", 500)
        until(lambda: Counter(receiving.contents()) == Counter(wanted.values()))
        until(lambda: site.states() == dict.fromkeys(wanted, FileState.DISPOSED))
    assert len(receiving.catalogue()) == len(wanted)


# --- the kernel's queue and its limits ------------------------------------------------------------------------------


def overflow(folder: Path, files: int, *, renames: int) -> None:
    """Make more events than the kernel keeps (16,384): each rename is two, each file at least two."""
    (folder / "0.part").touch()
    for number in range(renames):
        (folder / f"{number}.part").rename(folder / f"{number + 1}.part")
    (folder / f"{renames}.part").unlink()
    for number in range(files):
        (folder / f"{number:05d}.png").write_bytes(png(str(number), 100))


def known(stage: Stage) -> int:
    """Return how many files the device accounts for."""
    with Ledger.open_read_only(stage.device / "state" / "ledger.sqlite") as ledger:
        return sum(ledger.counts().values())


def _stalled(stage: Stage, burst: Callable[[], None], files: int, *, patience: float) -> str:
    """Stop the device, let the scanner write, let the device go on; return its log once it knows every file."""
    stage.environment = {"EDGE_ENCRYPTOR_WATCH_RESCAN": "600", "EDGE_ENCRYPTOR_WATCH_POLL": "never"}
    device = stage.start("device", once=False)
    try:
        until(lambda: device.connected, seconds=patience)
        stage.scan({"first.png": png("first")})
        until(lambda: [entry.state for entry in stage.ledger()] == [FileState.OFFERED], seconds=patience)
        os.kill(device.pid, signal.SIGSTOP)
        burst()
        os.kill(device.pid, signal.SIGCONT)
        until(lambda: known(stage) == files + 1, seconds=patience)
        until(lambda: "overflowed" in device.said, seconds=patience)
    finally:
        device.end(signal.SIGKILL)
    names = {entry.relative for entry in stage.ledger()}
    assert names == {"first.png", *(f"{number:05d}.png" for number in range(files))}
    return device.said


@pytest.mark.mosquitto
@pytest.mark.timeout(300)
def test_files_whose_events_the_kernel_dropped_are_found_and_the_overflow_is_told(stage: Callable[[], Stage]) -> None:
    here = stage()
    said = _stalled(here, lambda: overflow(here.scans, 20, renames=9000), 20, patience=PATIENCE_SECONDS)
    assert "Traceback" not in said


@pytest.mark.faults
@pytest.mark.mosquitto
@pytest.mark.timeout(1800)
def test_30_000_files_that_come_while_the_process_is_stalled_are_all_found(stage: Callable[[], Stage]) -> None:
    here = stage()
    said = _stalled(here, lambda: overflow(here.scans, 30_000, renames=0), 30_000, patience=600.0)
    assert "Traceback" not in said


_LIMITED = """
import sys, time
from pathlib import Path
from edge.intake.watch import Watcher
folder, limit = Path(sys.argv[1]), sys.argv[2]
Path("/proc/sys/user/" + limit).write_text(sys.argv[3])
with Watcher(folder, poll_interval=0.1) as watcher:
    deadline = time.monotonic() + 60
    while not watcher.degraded and time.monotonic() < deadline:
        watcher.wait(0.2)
        list(watcher.listing())
    (folder / "late.png").touch()
    while "late.png" not in [found.relative for found in watcher.listing()] and time.monotonic() < deadline:
        watcher.wait(1)
    print(watcher.how)
"""


@pytest.mark.parametrize(
    ("limit", "number", "words"),
    [
        ("max_inotify_instances", 0, "max_user_instances"),
        ("max_inotify_watches", 0, "max_user_watches"),
        ("max_inotify_watches", 3, "max_user_watches"),
    ],
)
def test_where_the_kernel_has_no_watch_left_the_folder_is_polled_and_the_reason_shown(
    tmp_path: Path, limit: str, number: int, words: str
) -> None:
    folder = tmp_path / "scans"
    for study in range(6):
        (folder / str(study)).mkdir(parents=True)
    # A user namespace has limits of its own: nobody else on this machine is short of watches.
    command = ["unshare", "--user", "--map-root-user", sys.executable, "-c", _LIMITED, folder, limit, str(number)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    if "unshare failed" in done.stderr:
        pytest.skip("user namespaces are not permitted here")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("polling every 0.1 s: ")
    assert words in done.stdout


# --- a share --------------------------------------------------------------------------------------------------------


def test_a_share_is_polled_and_the_reason_is_shown(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "edge")
    server = site.root / "server"
    server.mkdir()
    with share(server, site.scans):
        with Watcher(site.scans, poll_interval=0.05) as watcher:
            assert watcher.polling
            assert list(watcher.listing()) == []
            # The server writes it: nothing on this side is told.
            (server / "a.png").write_bytes(png("a"))
            until(lambda: watcher.wait(1) and [found.relative for found in watcher.listing()] == ["a.png"])
        with RunningDaemon(site, MemoryTransport(broker)):
            until(lambda: receiving.contents() == [png("a")])
            until(lambda: "fuse.share" in ear.last.get("watching", ""))
            assert ear.alarms == []
    assert "raise no events on fuse.share" in caplog.text


def test_a_file_that_cannot_be_read_is_quarantined_alone_and_carried_once_it_can_be(
    site: Site, receiving: Hospital, broker: MemoryBroker, ear: Ear, tmp_path: Path
) -> None:
    server = tmp_path / "server"
    server.mkdir()
    for name in "ab":
        (server / f"{name}.png").write_bytes(png(name))
    with share(server, site.scans) as there:
        there.refuse("eio a.png")
        with RunningDaemon(site, MemoryTransport(broker)):
            until(lambda: receiving.contents() == [png("b")])
            ear.hears("files-quarantined")
            assert site.states()["a.png"] is FileState.QUARANTINED
            assert site.reasons()["a.png"] == "unreadable-file"
            there.refuse()
            until(lambda: receiving.contents() == sorted([png("a"), png("b")]))
            ear.hears_the_end_of("files-quarantined")
    assert len(receiving.catalogue()) == 2


@pytest.mark.faults
def test_intake_that_hangs_on_a_dead_share_is_an_alarm_and_delivery_goes_on(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon._STALLED_SECONDS", 0.5)
    server = site.root / "server"
    server.mkdir()
    (server / "a.png").write_bytes(png("a"))
    with share(server, site.scans) as there, RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: len(site.spooled()) == 1)
        there.refuse("hang b.png")
        (server / "b.png").write_bytes(png("b"))
        ear.hears("intake-stalled")
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: hospital.contents() == [png("a")])
            there.refuse()
            until(lambda: hospital.contents() == sorted([png("a"), png("b")]))
            ear.hears_the_end_of("intake-stalled")


def test_a_device_that_is_started_beside_a_dead_share_delivers_what_is_sealed(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.daemon._STALLED_SECONDS", 0.5)
    server = site.root / "server"
    server.mkdir()
    (server / "a.png").write_bytes(png("a"))
    with share(server, site.scans) as there:
        with RunningDaemon(site, MemoryTransport(broker)):
            until(lambda: len(site.spooled()) == 1)
        with contextlib.ExitStack() as hang:
            hang.enter_context(there.hanging())
            with RunningDaemon(site, MemoryTransport(broker)), RunningReceiver(hospital, MemoryTransport(broker)):
                until(lambda: hospital.contents() == [png("a")])
                ear.hears("intake-stalled")
                (server / "b.png").write_bytes(png("b"))
                hang.close()
                until(lambda: hospital.contents() == sorted([png("a"), png("b")]))
                ear.hears_the_end_of("intake-stalled")


def test_a_folder_is_looked_at_while_thousands_of_its_files_are_carried(
    site: Site, receiving: Hospital, broker: MemoryBroker
) -> None:
    # The files take longer to seal than the folder may go without a look.
    site.settings = {"watch.rescan": 0.05}
    for number in range(25):
        path = site.scan(f"{number:03d}.png", png(str(number), 500))
        os.utime(path, (1_700_000_000 + number,) * 2)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: len(site.spooled()) + len(receiving.contents()) > 2)
        site.scan("early.png", png("early", 500))
        until(lambda: len(receiving.contents()) == 26)
    with Ledger.open_read_only(site.state / "ledger.sqlite") as ledger:
        found = {entry.relative: entry.first_seen for entry in ledger.entries()}
        sealed = [event.at for entry in ledger.entries() for event in ledger.history(entry) if event.state == "sealed"]
    assert sum(at > found["early.png"] for at in sealed) > 1  # not only it was sealed after it was found
