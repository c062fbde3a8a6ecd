"""A folder that is missing, unmounted or unreadable is paused, not empty, and comes back by itself."""

import errno
import os
import shutil

import pytest

from edge.intake.watch import Watcher
from tests.intake.watch.looking import LONG, drain, names, wait_until
from tests.world import refuse_listing


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


@pytest.mark.parametrize(
    ("error", "words"),
    [(PermissionError(errno.EACCES, "no"), "may not be read"), (OSError(errno.ESTALE, "stale"), "does not answer")],
)
def test_an_unreadable_folder_is_paused(watcher, folder, monkeypatch, error, words):
    refuse_listing(monkeypatch, folder, error)
    assert names(watcher) == []
    assert words in watcher.pause_reason
    assert str(folder) not in watcher.pause_reason
    monkeypatch.undo()
    assert watcher.wait(LONG)
    assert not watcher.paused


def test_a_sub_folder_without_a_descriptor_for_it_is_a_pause_and_no_fault_of_the_folder(watcher, folder, monkeypatch):
    (folder / "study").mkdir()
    refuse_listing(monkeypatch, folder / "study", OSError(errno.EMFILE, "no"))
    names(watcher)
    assert "open files" in watcher.pause_reason
    assert not watcher.complete
    monkeypatch.undo()
    while watcher.paused:
        assert watcher.wait(LONG)
    assert names(watcher) == []
    assert watcher.complete
