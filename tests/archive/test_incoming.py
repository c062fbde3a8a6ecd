"""The private folder of a receiver: what lies in it is gone afterwards, and receivers of a group leave each other's alone."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge import durable
from edge.archive import Archive
from edge.errors import StorageError
from tests.archive.storing import DAY, deliver, files_in, opened


def test_what_an_interrupted_store_left_is_swept_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    left = tmp_path / "store" / ".incoming" / "0123456789abcdef"
    left.mkdir()
    (left / "plain").write_bytes(b"half an image")
    (tmp_path / "store" / ".incoming" / "stray").write_bytes(b"")
    with opened(tmp_path) as archive:
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []
        deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store")) == [f"{DAY}/scan.png"]
    assert list((tmp_path / "store" / ".incoming").iterdir()) == []


def test_one_private_folder_serves_one_image_after_the_other(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        for label in "ab":
            deliver(archive, b"plain", label=label)
            [folder] = (tmp_path / "store" / ".incoming").iterdir()
            with archive.incoming() as again:
                assert again == folder
                assert folder.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "store" / ".incoming").iterdir()) == []


def test_a_private_folder_that_is_gone_is_made_anew(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    [folder] = (tmp_path / "store" / ".incoming").iterdir()
    shutil.rmtree(folder)
    deliver(archive, b"after", label="b")
    assert sorted(files_in(tmp_path / "store").values()) == [b"after", b"before"]
    [other] = (tmp_path / "store" / ".incoming").iterdir()
    assert other != folder


def test_a_private_folder_that_cannot_be_locked_is_not_left(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse(folder: Path) -> Iterator[None]:
        raise StorageError("the disk is full")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(durable, "lock_folder", refuse)
        for _ in range(3):
            with pytest.raises(StorageError), archive.incoming():
                pass
    deliver(archive, b"plain")
    assert len(list((tmp_path / "store" / ".incoming").iterdir())) == 1


def test_what_could_not_be_removed_is_in_no_later_image_s_way_and_goes_as_soon_as_it_can(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(StorageError), archive.incoming() as folder:  # noqa: PT012
        (folder / "plain").write_bytes(b"in clear")
        patch.setattr(Path, "unlink", refuse)
    assert (folder / "plain").exists()
    deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]
    assert not folder.exists()


def test_a_private_folder_that_could_not_be_emptied_and_is_gone_then_is_made_anew(
    archive: Archive, tmp_path: Path
) -> None:
    with pytest.raises(StorageError), archive.incoming() as folder:
        folder.rename(tmp_path / "gone")
    deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]


def test_a_second_receiver_of_the_group_does_not_sweep_what_the_first_is_storing(tmp_path: Path) -> None:
    with opened(tmp_path) as first, first.incoming() as folder:
        (folder / "plain").write_bytes(b"nearly whole")
        with opened(tmp_path, catalogue="other") as second:
            deliver(second, b"plain")
        assert (folder / "plain").read_bytes() == b"nearly whole"


def test_a_second_receiver_of_the_group_leaves_the_folder_of_one_that_waits_for_an_image(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        deliver(first, b"plain")
        before = list((tmp_path / "store" / ".incoming").iterdir())
        with opened(tmp_path, catalogue="other"):
            assert list((tmp_path / "store" / ".incoming").iterdir()) == before


def test_nothing_is_left_where_storing_fails(archive: Archive, tmp_path: Path) -> None:
    def stumble(folder: Path) -> None:
        (folder / "plain").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError), archive.incoming() as folder:
        stumble(folder)
    assert files_in(tmp_path / "store") == {}


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_scratch_file_gives_back_what_was_written_and_has_no_name(archive: Archive, size: int) -> None:
    data = os.urandom(size)
    with archive.incoming() as folder, archive.scratch(folder) as scratch:
        scratch.write(data)
        scratch.seek(0)
        read = bytearray(size)
        assert scratch.readinto(memoryview(read)) == size
        assert read == data
        assert [path.name for path in folder.iterdir()] == ["lock"]


def test_a_folder_that_another_receiver_took_for_a_left_one_does_not_count_against_the_image(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.lock_folder

    def swept(folder: Path) -> object:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return real(folder)

    monkeypatch.setattr(durable, "lock_folder", swept)
    with pytest.raises(StorageError) as caught, archive.incoming():
        pass
    assert caught.value.retryable


def test_a_receiver_starts_while_another_of_its_group_removes_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "store" / ".incoming" / "0123456789abcdef").mkdir()
    real = durable.lock_folder

    def late(folder: Path) -> object:
        if folder.parent.name == ".incoming":
            folder.rmdir()
        return real(folder)

    monkeypatch.setattr(durable, "lock_folder", late)
    with opened(tmp_path):
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []
