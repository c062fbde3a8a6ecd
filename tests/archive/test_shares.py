"""A store that is a share: it may go, come back, or be made anew."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from edge.archive import Archive
from edge.errors import StorageError
from tests.archive.storing import deliver, files_in, opened


def test_nothing_is_stored_below_a_mount_point_whose_share_is_gone(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "store" or ismount(path))
    with opened(tmp_path, catalogue="other") as mounted:
        monkeypatch.setattr(os.path, "ismount", ismount)
        (tmp_path / "store").rename(tmp_path / "share")
        (tmp_path / "store" / ".incoming").mkdir(parents=True)
        with pytest.raises(StorageError):
            deliver(mounted, b"plain")
    assert files_in(tmp_path / "store") == {}


def test_images_are_not_stored_below_a_mount_point_whose_share_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, ismount, mounted = (tmp_path / "share").resolve(), os.path.ismount, True
    monkeypatch.setattr(os.path, "ismount", lambda path: mounted if Path(path) == share else ismount(path))
    with opened(share, catalogue="../catalogue") as archive:
        deliver(archive, b"first", label="a")
        mounted = False
        share.rename(tmp_path / "gone")
        (share / "store" / ".incoming").mkdir(parents=True)
        with pytest.raises(StorageError, match="mounted"):
            deliver(archive, b"second", label="b")
        assert files_in(share / "store") == {}
        mounted = True
        shutil.rmtree(share)
        (tmp_path / "gone").rename(share)
        deliver(archive, b"second", label="b")
    assert sorted(files_in(share / "store").values()) == [b"first", b"second"]


def test_a_store_whose_share_was_mounted_anew_is_the_same_store(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "copy").rename(tmp_path / "store")
    [left] = (tmp_path / "store" / ".incoming").iterdir()
    deliver(archive, b"after", label="b")
    assert sorted(files_in(tmp_path / "store").values()) == [b"after", b"before"]
    assert not left.exists(), "it was made below the mount that is gone"


def test_a_store_that_is_removed_under_a_running_receiver_is_made_anew(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    shutil.rmtree(tmp_path / "store")
    deliver(archive, b"after", label="b")
    assert list(files_in(tmp_path / "store").values()) == [b"after"]


def test_the_store_may_be_removed_and_begun_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        deliver(archive, b"plain", label="a")
    shutil.rmtree(tmp_path / "store")
    with opened(tmp_path) as archive:
        # The catalogue knows the content, but its file is gone: it is stored again.
        deliver(archive, b"plain", label="b")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]
