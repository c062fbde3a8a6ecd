"""Where events cannot be relied on, the folder is polled and the reason told."""

import errno
import threading
from pathlib import Path

import pytest
from watchdog.utils import BaseThread

from edge.intake import notify, watch
from edge.intake.notify import filesystem_type
from edge.intake.watch import Watcher
from tests.intake.watch.looking import LONG, drain, names, wait_until


@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "watches"), (errno.EMFILE, "instances"), (errno.EIO, "EIO")]
)
def test_without_inotify_the_folder_is_polled_and_the_reason_told(folder, monkeypatch, code, words):
    def no_observer():
        raise OSError(code, "no")

    monkeypatch.setattr(notify, "Observer", no_observer)
    with Watcher(folder, poll_interval=0.05) as watcher:
        assert watcher.polling
        assert words in watcher.reason
        (folder / "a.png").write_bytes(b"x")
        wait_until(watcher, ["a.png"])


@pytest.mark.parametrize("spare", range(3))
def test_where_no_thread_can_be_started_the_folder_is_polled_until_one_can(folder, monkeypatch, spare):
    monkeypatch.setattr(watch, "_RETRY", 0.05)
    before = set(threading.enumerate())
    real, started = threading.Thread.start, []

    def start(thread):
        if isinstance(thread, BaseThread):
            if len(started) == spare:
                raise RuntimeError("can't start new thread")
            started.append(thread)
        real(thread)

    with monkeypatch.context() as short:
        short.setattr(threading.Thread, "start", start)
        with Watcher(folder, poll_interval=0.05) as watcher:
            assert watcher.degraded
            assert watcher.how == "polling every 0.05 s: no thread can be started"
            for thread in started:
                thread.join(LONG)
            assert set(threading.enumerate()) == before
            (folder / "a.png").write_bytes(b"x")
            wait_until(watcher, ["a.png"])
            short.undo()
            while watcher.degraded:
                assert watcher.wait(LONG)
            assert watcher.how == "events"


def test_events_are_asked_for_again_where_the_kernel_had_none(folder, monkeypatch):
    monkeypatch.setattr(watch, "_RETRY", 0.05)

    def no_observer():
        raise OSError(errno.ENOSPC, "no")

    with monkeypatch.context() as short:
        short.setattr(notify, "Observer", no_observer)
        with Watcher(folder, poll_interval=0.05) as watcher:
            assert watcher.degraded
            assert watcher.how.startswith("polling every 0.05 s: the kernel's limit of inotify watches")
            assert watcher.wait(LONG)
            assert watcher.degraded
            short.undo()
            while watcher.degraded:
                assert watcher.wait(LONG)
            assert watcher.how == "events"
            drain(watcher)
            (folder / "a.png").write_bytes(b"x")
            wait_until(watcher, ["a.png"])


def test_too_few_watches_for_the_sub_folders_means_polling(by_events, folder, monkeypatch):
    drain(by_events)
    (folder / "study").mkdir()
    drain(by_events)
    assert not by_events.polling
    assert by_events._events.watched_folders() == 2
    monkeypatch.setattr(notify.Events, "watched_folders", lambda _: 1)
    (folder / "another").mkdir()
    names(by_events)
    assert not by_events.polling
    names(by_events)
    assert "max_user_watches" in by_events.reason


def test_network_file_systems_are_polled_unless_told_otherwise(folder, monkeypatch):
    monkeypatch.setattr(notify, "filesystem_type", lambda *_: "nfs4")
    with Watcher(folder) as watcher:
        assert watcher.polling
        assert "nfs4" in watcher.reason
    with Watcher(folder, poll=False) as watcher:
        assert not watcher.polling
    with Watcher(folder, poll=True) as watcher:
        assert "configuration" in watcher.reason


MOUNTINFO = """\
22 1 8:2 / / rw,relatime shared:1 - ext4 /dev/sda2 rw
30 22 0:26 / /mnt rw - tmpfs tmpfs rw
31 30 0:50 / /mnt/X\\040ray rw,relatime shared:9 master:3 - cifs //pacs/x rw,vers=3.0
32 22 0:51 / /srv rw - ext4 /dev/sdb1 rw
33 22 0:52 / /srv rw - fuse.sshfs host: rw
34 22 0:53 / /media rw - fuseblk /dev/sdc1 rw
a broken line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *(("/", "ext4"), ("/home/x", "ext4"), ("/mnt", "tmpfs"), ("/mnt/Xray", "tmpfs"), ("/mnt/X ray", "cifs")),
        *(("/mnt/X ray/a/b", "cifs"), ("/mnt/X rays", "tmpfs"), ("/srv/in", "fuse.sshfs"), ("/media/u", "fuseblk")),
    ],
)
def test_the_file_system_is_the_one_mounted_nearest_and_last(path, kind):
    assert filesystem_type(path, MOUNTINFO) == kind


def test_no_mountinfo_no_type():
    assert filesystem_type("/", "") == ""


@pytest.mark.parametrize(
    ("kind", "silent"),
    [
        *(("nfs", True), ("nfs4", True), ("cifs", True), ("smb3", True), ("fuse.sshfs", True), ("fuse", True)),
        *(("9p", True), ("ext4", False), ("btrfs", False), ("overlay", False), ("fuseblk", False), ("", False)),
    ],
)
def test_which_file_systems_raise_no_events(folder, monkeypatch, kind, silent):
    monkeypatch.setattr(notify, "filesystem_type", lambda *_: kind)
    assert bool(notify.why_poll(folder)) == silent


def test_where_no_thread_can_be_started_no_descriptor_is_left(folder, monkeypatch):
    def start(_thread):
        raise RuntimeError("can't start new thread")

    before = len(list(Path("/proc/self/fd").iterdir()))
    monkeypatch.setattr(threading.Thread, "start", start)
    for _ in range(3):
        with pytest.raises(OSError, match="unavailable"):
            notify.Events(folder, on_event=lambda: None, on_overflow=lambda: None)
    assert len(list(Path("/proc/self/fd").iterdir())) == before
