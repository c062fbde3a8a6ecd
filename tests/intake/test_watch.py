"""Whatever arrives in whatever way is listed; events only wake; a folder may come and go; names may be anything."""

import errno
import logging
import os
import shutil
import threading

import pytest

from edge.intake import notify, watch
from edge.intake.notify import filesystem_type
from edge.intake.watch import DEFAULT_IGNORED, ListingReport, Watcher

LONG = 60.0  # seconds; a test that waits so long has failed


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "scanner"
    path.mkdir()
    return path


@pytest.fixture(params=["events", "polling"])
def watcher(request, folder):
    poll = request.param == "polling"
    with Watcher(folder, poll=poll, poll_interval=0.05 if poll else 5.0) as opened:
        yield opened


@pytest.fixture
def by_events(folder):
    with Watcher(folder, poll=False) as opened:
        yield opened


def names(watcher):
    return sorted(file.relative for file in watcher.listing())


def wait_until(watcher, wanted, looks=400):
    """Wait and list until exactly these names are there."""
    found = None
    for _ in range(looks):
        assert watcher.wait(LONG)
        found = names(watcher)
        if found == sorted(wanted):
            return
    pytest.fail(f"{len(found)} files listed, {len(wanted)} wanted")


def drain(watcher):
    """Use up what events are left of the preparation."""
    while watcher.wait(0.3):
        names(watcher)


def test_files_from_before_the_start_are_found_by_the_first_wait(folder):
    (folder / "a.png").write_bytes(b"x")
    with Watcher(folder, poll=False) as watcher:
        assert watcher.wait(LONG)
        [file] = watcher.listing()
    details = (folder / "a.png").stat()
    assert (file.path, file.relative, file.size) == (folder / "a.png", "a.png", 1)
    assert (file.mtime_ns, file.inode, file.device) == (details.st_mtime_ns, details.st_ino, details.st_dev)


def slow_write(folder, outside):
    with (folder / "a.png").open("wb") as file:
        file.write(b"1")
        file.flush()
        file.write(b"2")
    return ["a.png"]


def rename_inside(folder, outside):
    (folder / "a.png.part").write_bytes(b"x")
    (folder / "a.png.part").rename(folder / "a.png")
    return ["a.png"]


def move_in(folder, outside):
    (outside / "a.png").write_bytes(b"x")
    (outside / "a.png").rename(folder / "a.png")
    return ["a.png"]


def hard_link(folder, outside):
    (outside / "a.png").write_bytes(b"x")
    (folder / "a.png").hardlink_to(outside / "a.png")
    return ["a.png"]


def folder_moved_in(folder, outside):
    (outside / "study" / "series").mkdir(parents=True)
    (outside / "study" / "series" / "a.dcm").write_bytes(b"x")
    (outside / "study").rename(folder / "study")
    return ["study/series/a.dcm"]


def folder_made_later(folder, outside):
    (folder / "study").mkdir()
    (folder / "study" / "a.dcm").write_bytes(b"x")
    return ["study/a.dcm"]


def folder_unhidden(folder, outside):
    (folder / "study.tmp").mkdir()
    (folder / "study.tmp" / "a.dcm").write_bytes(b"x")
    (folder / "study.tmp").rename(folder / "study")
    return ["study/a.dcm"]


@pytest.mark.parametrize(
    "arrive", [slow_write, rename_inside, move_in, hard_link, folder_moved_in, folder_made_later, folder_unhidden]
)
def test_every_way_of_arriving_wakes_and_is_listed(watcher, folder, tmp_path, arrive):
    assert watcher.wait(LONG)
    assert names(watcher) == []
    wait_until(watcher, arrive(folder, tmp_path))


def test_a_file_in_a_sub_folder_made_long_before_wakes(by_events, folder):
    (folder / "study").mkdir()
    drain(by_events)
    (folder / "study" / "a.dcm").write_bytes(b"x")
    wait_until(by_events, ["study/a.dcm"])


def test_a_burst_of_2000_files_is_listed_whole(watcher, folder):
    def burst():
        for number in range(2000):
            (folder / f"{number:04d}.dcm").write_bytes(b"x")

    writer = threading.Thread(target=burst)
    writer.start()
    wait_until(watcher, [f"{number:04d}.dcm" for number in range(2000)])
    writer.join()
    assert watcher.report.files == 2000


def test_a_quiet_folder_does_not_wake(by_events):
    drain(by_events)
    assert not by_events.wait(0.01)
    assert not by_events.wait(0.0)


def test_listing_and_reading_do_not_wake(by_events, folder):
    (folder / "a.png").write_bytes(b"x")
    drain(by_events)
    (folder / "a.png").read_bytes()
    names(by_events)
    (folder / "a.png").unlink()
    assert not by_events.wait(0.5)
    assert names(by_events) == []


@pytest.mark.parametrize(
    "name",
    [
        *(".hidden.png", "~$a.docx", "~syncthing~a.png.tmp", ".syncthing.a.png.tmp", ".a.png.Xb12Zq"),
        *("a.png.partial", "a.PART", "a.png.filepart", "a.crdownload", "a.Tmp", "a.sealed.tmp", "Thumbs.db"),
    ],
)
def test_temporary_names_are_passed_over(watcher, folder, name):
    (folder / name).write_bytes(b"x")
    (folder / "a.png").write_bytes(b"x")
    assert names(watcher) == ["a.png"]
    assert watcher.report.temporary == 1


def test_the_report_counts_every_name_once(watcher, folder, tmp_path):
    for name in ("a.png", "b.dcm", "a.png.json", "early.JSON", ".hidden"):
        (folder / name).write_bytes(b"x")
    (folder / "study").mkdir()
    (folder / "study" / "c").write_bytes(b"")
    (folder / ".stfolder").mkdir()
    (folder / ".stfolder" / "d.png").write_bytes(b"x")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "secret.png").write_bytes(b"x")
    (folder / "link.png").symlink_to(folder / "a.png")
    (folder / "link").symlink_to(tmp_path / "outside")
    (folder / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe")
    assert names(watcher) == ["a.png", "b.dcm", "study/c"]
    assert watcher.report == ListingReport(files=3, folders=2, temporary=2, sidecars=2, links=3, special=1)
    assert watcher.complete


def test_further_patterns_may_be_ignored(folder):
    for name in ("a.png", "b.BMP", "c.bmp", "x[1].png"):
        (folder / name).write_bytes(b"x")
    with Watcher(folder, poll=True, ignore=(*DEFAULT_IGNORED, "*.bmp")) as watcher:
        assert names(watcher) == ["a.png", "x[1].png"]
    with Watcher(folder, poll=True, ignore=()) as watcher:
        assert len(names(watcher)) == 4


@pytest.mark.parametrize(
    "name", [b"caf\xe9.png", b"\xff\xfe", b"line\nbreak\t.png", "ü😀é.dcm".encode(), b" ", b"x" * 255, b"a'\"*?\\.png"]
)
def test_any_name_is_listed_and_can_be_opened(watcher, folder, name):
    (folder / "sub").mkdir()
    for parent in (folder, folder / "sub"):
        (parent / os.fsdecode(name)).write_bytes(b"content")
    wait_until(watcher, [os.fsdecode(name), "sub/" + os.fsdecode(name)])
    assert [file.path.read_bytes() for file in watcher.listing()] == [b"content"] * 2


def test_a_file_that_goes_during_the_listing_is_left_out(watcher, folder):
    for name in "ab":
        (folder / name).write_bytes(b"x")
    listing = watcher.listing()
    first = next(listing)
    (folder / ("b" if first.relative == "a" else "a")).unlink()
    assert list(listing) == []
    assert watcher.complete


def test_a_missing_folder_is_paused_until_it_comes(tmp_path):
    folder = tmp_path / "scanner"
    with Watcher(folder, poll=False, poll_interval=0.05) as watcher:
        assert watcher.paused
        assert "missing" in watcher.pause_reason
        assert watcher.wait(LONG)
        assert names(watcher) == []
        assert not watcher.complete
        assert not watcher.wait(0.1)
        folder.mkdir()
        assert watcher.wait(LONG)
        assert not watcher.paused
        assert names(watcher) == []
        assert watcher.complete
        drain(watcher)
        (folder / "a.png").write_bytes(b"x")
        wait_until(watcher, ["a.png"])


def test_a_file_in_the_folders_place_is_a_pause(tmp_path):
    (tmp_path / "scanner").write_bytes(b"")
    with Watcher(tmp_path / "scanner", poll=False) as watcher:
        assert "no folder" in watcher.pause_reason


def test_a_folder_that_is_removed_and_made_again_is_watched_again(watcher, folder):
    watcher._poll_interval = 0.05
    (folder / "a.png").write_bytes(b"x")
    wait_until(watcher, ["a.png"])
    shutil.rmtree(folder)
    while not watcher.paused:
        assert watcher.wait(LONG)
    assert names(watcher) == []
    assert not watcher.complete
    folder.mkdir()
    while watcher.paused:
        assert watcher.wait(LONG)
    (folder / "b.png").write_bytes(b"x")
    wait_until(watcher, ["b.png"])


def test_a_folder_that_is_replaced_is_watched_again_by_events(by_events, folder, tmp_path):
    drain(by_events)
    folder.rename(tmp_path / "old")
    folder.mkdir()
    assert by_events.wait(LONG)
    drain(by_events)
    assert not by_events.polling
    (tmp_path / "old" / "wrong.png").write_bytes(b"x")
    assert not by_events.wait(0.3)
    (folder / "right.png").write_bytes(b"x")
    wait_until(by_events, ["right.png"])


def test_an_unmounted_share_is_paused_not_empty(by_events, folder, monkeypatch):
    (folder / "a.png").write_bytes(b"x")
    with monkeypatch.context() as mounted:
        mounted.setattr(os.path, "ismount", lambda _: True)
        assert names(by_events) == ["a.png"]
    assert names(by_events) == []
    assert "mounted" in by_events.pause_reason
    assert not by_events.complete
    monkeypatch.setattr(os.path, "ismount", lambda _: True)
    assert names(by_events) == ["a.png"]
    assert not by_events.paused


def refuse(monkeypatch, path, error):
    """Make one folder unlistable: the tests may run as root, whom no mode stops."""
    real = os.scandir

    def scandir(place):
        if not isinstance(place, int) and os.fspath(place) == os.fspath(path):
            raise error
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)


def test_an_unreadable_sub_folder_makes_the_listing_incomplete(watcher, folder, monkeypatch):
    (folder / "study").mkdir()
    (folder / "a.png").write_bytes(b"x")
    refuse(monkeypatch, folder / "study", PermissionError(errno.EACCES, "no"))
    assert names(watcher) == ["a.png"]
    assert watcher.report.unreadable == 1
    assert not watcher.complete
    monkeypatch.undo()
    assert names(watcher) == ["a.png"]
    assert watcher.complete


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(errno.EACCES, "no"), "may not be read"), (OSError(errno.ESTALE, "stale"), "does not answer")],
)
def test_an_unreadable_folder_is_paused(watcher, folder, monkeypatch, error, words):
    refuse(monkeypatch, folder, error)
    assert names(watcher) == []
    assert words in watcher.pause_reason
    assert str(folder) not in watcher.pause_reason
    monkeypatch.undo()
    assert watcher.wait(LONG)
    assert not watcher.paused


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


def test_a_sub_folder_without_a_descriptor_for_it_is_a_pause_and_no_fault_of_the_folder(watcher, folder, monkeypatch):
    (folder / "study").mkdir()
    refuse(monkeypatch, folder / "study", OSError(errno.EMFILE, "no"))
    names(watcher)
    assert "open files" in watcher.pause_reason
    assert not watcher.complete
    monkeypatch.undo()
    while watcher.paused:
        assert watcher.wait(LONG)
    assert names(watcher) == []
    assert watcher.complete


def test_an_observer_that_fails_to_start_leaves_no_thread(folder, monkeypatch):
    before = set(threading.enumerate())

    class Failing(notify.Observer):
        def schedule(self, *_args, **_kwargs):
            raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(notify, "Observer", Failing)
    with Watcher(folder) as watcher:
        assert watcher.polling
        assert set(threading.enumerate()) == before


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


def test_dead_event_threads_are_replaced_and_given_up_when_they_keep_dying(by_events, folder):
    drain(by_events)
    for _ in range(3):
        by_events._events._observer.stop()
        by_events._events._observer.join()
        assert by_events.wait(LONG)
        assert not by_events.polling
    (folder / "a.png").write_bytes(b"x")
    wait_until(by_events, ["a.png"])
    by_events._events._observer.stop()
    by_events._events._observer.join()
    assert by_events.wait(LONG)
    assert "keeps dying" in by_events.reason
    assert names(by_events) == ["a.png"]


def test_an_overflow_is_counted_and_wakes_and_watchdog_logs_nothing(by_events, monkeypatch):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    drain(by_events)
    logging.getLogger("edge.test").warning("the handler works")
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")
    logging.getLogger("watchdog.observers.inotify").warning("Inotify queue overflowed; below %r", b"/secret/name")
    assert by_events.overflows == 1
    assert by_events.wait(LONG)
    assert [record.name for record in records] == ["edge.test"]


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


def test_closing_ends_every_thread_and_a_wait(folder):
    before = set(threading.enumerate())
    watcher = Watcher(folder, poll=False)
    drain(watcher)
    assert set(threading.enumerate()) > before
    waiter = threading.Thread(target=watcher.wait, args=(LONG,))
    waiter.start()
    watcher.close()
    waiter.join(LONG)
    assert not waiter.is_alive()
    assert set(threading.enumerate()) == before
    watcher.close()
    logger = logging.getLogger("watchdog")
    assert [handler for handler in logger.handlers if isinstance(handler, notify._WatchdogLog)] == []


def test_waking_ends_the_present_or_the_next_wait(by_events):
    drain(by_events)
    by_events.wake()
    assert by_events.wait(LONG)
    results = []
    waiter = threading.Thread(target=lambda: results.append(by_events.wait(LONG)))
    waiter.start()
    by_events.wake()
    waiter.join(LONG)
    assert results == [True]


def test_a_wait_after_a_long_listing_gives_others_time(by_events, monkeypatch):
    monkeypatch.setattr(watch, "_SHORTEST_GAP", 30.0)
    drain(by_events)
    names(by_events)
    by_events._hint()
    by_events._poll_interval = 30.0
    assert not by_events.wait(0.05)
