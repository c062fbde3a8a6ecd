"""Whatever arrives, in whatever way and under whatever name, wakes and is listed; nothing else does."""

import os
import threading
from pathlib import Path

import pytest

from edge.intake.watch import Watcher
from tests.intake.watch.looking import LONG, drain, names, wait_until


def test_files_from_before_the_start_are_found_by_the_first_wait(folder):
    (folder / "a.png").write_bytes(b"x")
    with Watcher(folder, poll=False) as watcher:
        assert watcher.wait(LONG)
        [file] = watcher.listing()
    details = (folder / "a.png").stat()
    assert (file.path, file.relative, file.size) == (str(folder / "a.png"), "a.png", 1)
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


@pytest.mark.parametrize(
    "name", [b"caf\xe9.png", b"\xff\xfe", b"line\nbreak\t.png", "ü😀é.dcm".encode(), b" ", b"x" * 255, b"a'\"*?\\.png"]
)
def test_any_name_is_listed_and_can_be_opened(watcher, folder, name):
    (folder / "sub").mkdir()
    for parent in (folder, folder / "sub"):
        (parent / os.fsdecode(name)).write_bytes(b"content")
    wait_until(watcher, [os.fsdecode(name), "sub/" + os.fsdecode(name)])
    assert [Path(file.path).read_bytes() for file in watcher.listing()] == [b"content"] * 2


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
