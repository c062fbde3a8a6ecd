"""An original is moved or removed only while it is, byte for byte, what was delivered."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import BinaryIO

import pytest

from edge import disposal, durable
from edge.disposal import dispose, sweep
from edge.errors import StorageError, UnreadableFile
from edge.intake.opening import hash_file
from edge.records import SettledFile

DATA = b"an image" * 1000
SHA256 = hashlib.sha256(DATA).digest()


@pytest.fixture
def original(tmp_path: Path) -> SettledFile:
    """A delivered original in a sub-folder of the scanner's folder."""
    path = tmp_path / "scans" / "ward" / "a.tar.dcm"
    path.parent.mkdir(parents=True)
    path.write_bytes(DATA)
    return settled(path, tmp_path / "scans")


def settled(path: Path, folder: Path) -> SettledFile:
    """Return the file as it stands."""
    details = path.stat()
    relative = str(path.relative_to(folder))
    return SettledFile(path, relative, details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)


def copies(folder: Path) -> dict[str, bytes]:
    """Return what lies below a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_kept(original: SettledFile, tmp_path: Path) -> None:
    assert dispose(original, SHA256, policy="keep", move_to=tmp_path / "done") == "kept"
    assert original.path.read_bytes() == DATA
    assert not (tmp_path / "done").exists()


def test_deleted(original: SettledFile) -> None:
    assert dispose(original, SHA256, policy="delete", move_to=None) == "deleted"
    assert not original.path.exists()


def test_moved_with_its_sub_folder_and_time(original: SettledFile, tmp_path: Path) -> None:
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "moved"
    assert not original.path.exists()
    assert copies(tmp_path / "done") == {"ward/a.tar.dcm": DATA}
    assert (tmp_path / "done" / "ward" / "a.tar.dcm").stat().st_mtime_ns == original.mtime_ns


def test_a_move_overwrites_nothing(original: SettledFile, tmp_path: Path) -> None:
    there = tmp_path / "done" / "ward"
    there.mkdir(parents=True)
    (there / "a.tar.dcm").write_bytes(b"another image")
    (there / "a.tar (2).dcm").mkdir()
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "moved"
    assert copies(tmp_path / "done") == {"ward/a.tar.dcm": b"another image", "ward/a.tar (3).dcm": DATA}


def test_a_move_to_another_file_system(original: SettledFile, tmp_path: Path) -> None:
    shm = Path("/dev/shm")  # noqa: S108 - the one other file system that every Linux has
    if not os.access(shm, os.W_OK) or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system")
    import tempfile

    with tempfile.TemporaryDirectory(dir=shm) as folder:
        assert dispose(original, SHA256, policy="move", move_to=Path(folder)) == "moved"
        assert copies(Path(folder)) == {"ward/a.tar.dcm": DATA}


@pytest.mark.parametrize("policy", ["move", "delete"])
def test_an_original_that_is_gone_is_no_error(original: SettledFile, tmp_path: Path, policy: str) -> None:
    original.path.unlink()
    assert dispose(original, SHA256, policy=policy, move_to=tmp_path / "done") == "gone"  # type: ignore[arg-type]


@pytest.mark.parametrize("policy", ["move", "delete"])
@pytest.mark.parametrize(
    "change", ["other content", "same size and time", "replaced by a link", "replaced by a folder"]
)
def test_an_original_that_changed_stays(original: SettledFile, tmp_path: Path, policy: str, change: str) -> None:
    match change:
        case "other content":
            original.path.write_bytes(b"new image")
        case "same size and time":
            with original.path.open("r+b") as file:
                file.write(b"AN IMAGE")
            os.utime(original.path, ns=(original.mtime_ns, original.mtime_ns))
        case "replaced by a link":
            original.path.rename(tmp_path / "elsewhere")
            original.path.symlink_to(tmp_path / "elsewhere")
        case "replaced by a folder":
            original.path.unlink()
            original.path.mkdir()
    try:
        done = dispose(original, SHA256, policy=policy, move_to=tmp_path / "done")  # type: ignore[arg-type]
    except UnreadableFile:
        done = "changed"  # what stands there now is no file at all
    assert done == "changed"
    assert original.path.exists()
    assert not (tmp_path / "done").exists()


def test_content_that_changes_while_it_is_copied_stays(
    original: SettledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.make_folder

    def change(folder: Path) -> None:
        real(folder)
        with original.path.open("r+b") as file:
            file.write(b"AN IMAGE")
        os.utime(original.path, ns=(original.mtime_ns, original.mtime_ns))

    monkeypatch.setattr(durable, "make_folder", change)
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "changed"
    assert original.path.exists()
    assert copies(tmp_path / "done") == {}


def test_an_original_stays_where_the_target_s_disk_is_full(
    original: SettledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_original: object, _copy: BinaryIO, _sha256: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("edge.disposal._copy_content", refuse)
    with pytest.raises(StorageError):
        dispose(original, SHA256, policy="move", move_to=tmp_path / "done")
    assert original.path.read_bytes() == DATA
    assert copies(tmp_path / "done") == {}


def test_an_interrupted_move_is_finished_without_a_second_copy(original: SettledFile, tmp_path: Path) -> None:
    (tmp_path / "done" / "ward").mkdir(parents=True)
    (tmp_path / "done" / "ward" / "a.tar.dcm").write_bytes(DATA)
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "moved"
    assert copies(tmp_path / "done") == {"ward/a.tar.dcm": DATA}
    assert not original.path.exists()


def test_what_an_interrupted_move_left_is_swept(original: SettledFile, tmp_path: Path) -> None:
    sweep(original.relative, tmp_path / "done")  # nothing was moved yet
    left = tmp_path / "done" / "ward" / ".edge-0011223344556677.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(DATA[:100])
    sweep(original.relative, tmp_path / "done")
    assert copies(tmp_path / "done") == {}


def test_a_copy_made_before_a_crash_is_durable_before_the_original_goes(
    original: SettledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "done" / original.relative
    copy.parent.mkdir(parents=True)
    copy.write_bytes(DATA)
    confirmed: list[tuple[Path, bool]] = []
    monkeypatch.setattr(durable, "confirm", lambda path: confirmed.append((path, original.path.exists())))
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "moved"
    assert confirmed == [(copy, True)]


OTHER = b"another!" * 1000
"""Other content of the same length."""


def replace_by_another(path: Path) -> None:
    """Put another file in a file's place."""
    other = path.with_name("new")
    other.write_bytes(OTHER)
    other.replace(path)


@pytest.mark.parametrize("policy", ["move", "delete"])
def test_an_original_that_is_replaced_while_it_is_compared_is_left_alone(
    original: SettledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    def exchanged(compared: SettledFile) -> bytes:
        found = hash_file(compared)
        replace_by_another(original.path)
        return found

    monkeypatch.setattr("edge.disposal.hash_file", exchanged)
    done = dispose(original, SHA256, policy=policy, move_to=tmp_path / "done")  # type: ignore[arg-type]
    assert done == "changed"
    assert original.path.read_bytes() == OTHER


def test_an_original_that_is_replaced_while_it_is_copied_is_left_alone(
    original: SettledFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = disposal._copy

    def copy(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]
        replace_by_another(original.path)

    monkeypatch.setattr(disposal, "_copy", copy)
    assert dispose(original, SHA256, policy="move", move_to=tmp_path / "done") == "changed"
    assert original.path.read_bytes() == OTHER
