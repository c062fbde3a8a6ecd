"""The listing: which names are files to carry, and what is counted and left out."""

import errno
import os

import pytest

from edge.intake.watch import DEFAULT_IGNORED, ListingReport, Watcher
from tests.intake.watch.looking import names
from tests.world import refuse_listing


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


def test_a_file_that_goes_during_the_listing_is_left_out(watcher, folder):
    for name in "ab":
        (folder / name).write_bytes(b"x")
    listing = watcher.listing()
    first = next(listing)
    (folder / ("b" if first.relative == "a" else "a")).unlink()
    assert list(listing) == []
    assert watcher.complete


def test_an_unreadable_sub_folder_makes_the_listing_incomplete(watcher, folder, monkeypatch):
    (folder / "study").mkdir()
    (folder / "a.png").write_bytes(b"x")
    refuse_listing(monkeypatch, folder / "study", PermissionError(errno.EACCES, "no"))
    assert names(watcher) == ["a.png"]
    assert watcher.report.unreadable == 1
    assert not watcher.complete
    monkeypatch.undo()
    assert names(watcher) == ["a.png"]
    assert watcher.complete
