"""Writes leave either the old or the new, whatever fails; one process holds a folder."""

import errno
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import durable
from edge.errors import AlreadyRunning, StorageError

HOLDER = """
import sys
from pathlib import Path
from edge import durable
with durable.lock_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def failing(code):
    def fail(*_args, **_kwargs):
        raise OSError(code, os.strerror(code), "/secret/name")

    return fail


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_has_the_content_and_the_mode_whatever_the_umask(tmp_path):
    before = os.umask(0o077)
    try:
        durable.write_atomically(tmp_path / "new", b"content", mode=0o644)
    finally:
        os.umask(before)
    assert (tmp_path / "new").read_bytes() == b"content"
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o644
    assert names(tmp_path) == ["new"]


@settings(max_examples=25)
@given(old=st.binary(max_size=100), new=st.binary(max_size=100))
def test_a_file_is_replaced_whole(tmp_path_factory, old, new):
    path = tmp_path_factory.mktemp("replace") / "file"
    durable.write_atomically(path, old)
    durable.write_atomically(path, new)
    assert path.read_bytes() == new


def test_file_and_folder_are_synced_in_order(tmp_path, monkeypatch):
    steps = []
    real_fsync, real_replace = os.fsync, Path.replace

    def fsync(descriptor):
        steps.append("fsync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "fsync file")
        real_fsync(descriptor)

    def replace(source, target):
        steps.append("rename")
        return real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    durable.write_atomically(tmp_path / "file", b"x")
    assert steps == ["fsync file", "rename", "fsync folder"]


def test_a_failed_fsync_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    durable.write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", failing(errno.EIO))
    with pytest.raises(StorageError, match="input/output") as caught:
        durable.write_atomically(tmp_path / "file", b"new")
    assert "secret" not in caught.value.message + caught.value.hint
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_a_failed_rename_leaves_the_old_content_and_nothing_else(tmp_path, monkeypatch):
    durable.write_atomically(tmp_path / "file", b"old")
    monkeypatch.setattr(Path, "replace", failing(errno.EROFS))
    with pytest.raises(StorageError, match="read-only"):
        durable.write_atomically(tmp_path / "file", b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("overwrite", [True, False])
def test_an_error_in_the_block_leaves_nothing_and_passes(tmp_path, overwrite):
    def write_half():
        with durable.atomic_file(tmp_path / "file", overwrite=overwrite) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names(tmp_path) == []


def test_the_blocks_own_os_errors_pass_as_they_are(tmp_path):
    with pytest.raises(FileNotFoundError), durable.atomic_file(tmp_path / "file", overwrite=True) as file:
        file.write((tmp_path / "source that is gone").read_bytes())
    assert names(tmp_path) == []


def test_a_full_disk_in_the_block_is_said_in_plain_words(tmp_path):
    with (
        pytest.raises(StorageError, match="the disk is full") as caught,
        durable.atomic_file(tmp_path / "file", overwrite=True),
    ):
        raise OSError(errno.ENOSPC, "no space", "/secret/name")
    assert caught.value.retryable
    assert names(tmp_path) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_disk_that_is_full_only_when_the_buffer_is_flushed(tmp_path, monkeypatch):
    real_open = os.open
    monkeypatch.setattr(
        os, "open", lambda path, flags, *rest: real_open("/dev/full", os.O_WRONLY) if flags & os.O_EXCL else 0
    )
    monkeypatch.setattr(os, "fchmod", lambda *_: None)
    with pytest.raises(StorageError, match="the disk is full"):
        durable.write_atomically(tmp_path / "file", b"x" * 100)


def test_without_overwrite_an_existing_file_stays(tmp_path):
    durable.write_atomically(tmp_path / "file", b"old")
    with pytest.raises(FileExistsError), durable.atomic_file(tmp_path / "file", overwrite=False) as file:
        file.write(b"new")
    assert (tmp_path / "file").read_bytes() == b"old"
    assert names(tmp_path) == ["file"]


def test_without_overwrite_a_dangling_link_is_in_the_way_too(tmp_path):
    (tmp_path / "file").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(FileExistsError), durable.atomic_file(tmp_path / "file", overwrite=False) as file:
        file.write(b"new")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("flag", [True, False])
def test_without_overwrite_and_without_hard_links(tmp_path, monkeypatch, flag):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    if not flag:
        monkeypatch.setattr(durable, "_rename_without_replacing", lambda *_: errno.EINVAL)
    with durable.atomic_file(tmp_path / "file", overwrite=False) as file:
        file.write(b"first")
    with pytest.raises(FileExistsError), durable.atomic_file(tmp_path / "file", overwrite=False) as file:
        file.write(b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_a_file_that_cannot_be_moved_to_its_name_stays_where_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EPERM))
    source = tmp_path / "source"
    source.write_bytes(b"content")
    with pytest.raises(StorageError, match="ENOENT"):
        durable.put_in_place(source, tmp_path / "no such folder" / "file", overwrite=False)
    assert names(tmp_path) == ["source"]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_put_in_place_keeps_its_source_until_the_folder_is_synced(tmp_path, monkeypatch, links):
    source = tmp_path / "source"
    source.write_bytes(b"content")
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.ENOTSUP))
    with monkeypatch.context() as broken:
        broken.setattr(os, "fsync", failing(errno.EIO))
        with pytest.raises(StorageError):
            durable.put_in_place(source, tmp_path / "file", overwrite=False)
    assert names(tmp_path) == ["source"]
    durable.put_in_place(source, tmp_path / "file", overwrite=False)
    assert names(tmp_path) == ["file"]
    assert (tmp_path / "file").read_bytes() == b"content"


def test_a_file_system_that_cannot_sync_folders_is_taken_as_it_is(tmp_path, monkeypatch):
    real = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "no")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    durable.write_atomically(tmp_path / "file", b"x")
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EACCES, errno.ESTALE])
def test_every_refusal_is_a_storage_error_without_a_path(code):
    error = durable.storage_error(OSError(code, "x", "/secret/name"))
    assert error.retryable
    assert "secret" not in f"{error.message} {error.hint}"


def test_folders_are_made_with_their_parents_and_mode(tmp_path):
    before = os.umask(0o077)
    try:
        durable.make_folder(tmp_path / "a" / "b", mode=0o750)
    finally:
        os.umask(before)
    durable.make_folder(tmp_path / "a" / "b")
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b")] == [0o750, 0o750]


def synced(monkeypatch):
    """Note what is synced from now on, by name."""
    paths = []
    real = os.fsync

    def fsync(descriptor):
        paths.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return paths


def test_a_folder_that_a_killed_process_made_and_did_not_sync_is_synced(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    paths = synced(monkeypatch)
    durable.make_folder(tmp_path / "a" / "b")
    assert paths == [tmp_path, tmp_path / "a"]
    durable.make_folder(tmp_path / "a" / "b")
    assert paths == [tmp_path, tmp_path / "a", tmp_path / "a"]


def test_a_file_that_is_there_is_made_durable_with_its_name(tmp_path, monkeypatch):
    (tmp_path / "file").write_bytes(b"x")
    paths = synced(monkeypatch)
    durable.confirm(tmp_path / "file")
    assert paths == [tmp_path / "file", tmp_path]
    with pytest.raises(StorageError):
        durable.confirm(tmp_path / "missing")


def test_a_file_in_a_folders_way_is_a_storage_error(tmp_path):
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(StorageError):
        durable.make_folder(tmp_path / "a")
    with pytest.raises(StorageError):
        durable.make_folder(tmp_path / "a" / "b")


def test_removing_twice_is_fine(tmp_path):
    durable.write_atomically(tmp_path / "file", b"x")
    durable.remove_durably(tmp_path / "file")
    durable.remove_durably(tmp_path / "file")
    assert names(tmp_path) == []


def test_files_of_several_folders_are_removed_durably(tmp_path, monkeypatch):
    paths = [tmp_path / folder / name for folder in ("a", "b") for name in ("1", "2")]
    for path in paths:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    synced = []
    monkeypatch.setattr(durable, "fsync_folder", synced.append)
    durable.remove_durably(*paths)
    assert not any(path.exists() for path in paths)
    assert synced == [tmp_path / "a", tmp_path / "b"]


def test_removing_in_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        durable.remove_durably(tmp_path / "missing" / "file")


def test_the_sweep_removes_our_temporaries_only(tmp_path):
    for name in (".edge-0123456789abcdef.tmp", ".other.tmp", "file.tmp", ".edge-0123456789abcdef.tmp2"):
        (tmp_path / name).write_bytes(b"")
    assert durable.sweep_temporaries(tmp_path) == 1
    assert names(tmp_path) == [".edge-0123456789abcdef.tmp2", ".other.tmp", "file.tmp"]
    assert durable.sweep_temporaries(tmp_path) == 0


def test_the_sweep_leaves_what_is_being_written(tmp_path):
    with durable.atomic_file(tmp_path / "file", overwrite=True) as file:
        file.write(b"whole")
        assert durable.sweep_temporaries(tmp_path) == 0
    assert names(tmp_path) == ["file"]


def test_a_killed_writer_leaves_the_old_file_and_the_sweep_cleans_up(tmp_path):
    durable.write_atomically(tmp_path / "file", b"old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom edge import durable\n"
        "with durable.atomic_file(Path(sys.argv[1]), overwrite=True) as file:\n"
        "    file.write(b'new')\n    file.flush()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    subprocess.run([sys.executable, "-c", code, tmp_path / "file"], check=False, timeout=60)
    assert len(names(tmp_path)) == 2
    assert durable.sweep_temporaries(tmp_path) == 1
    assert (tmp_path / "file").read_bytes() == b"old"


def test_free_bytes_are_told(tmp_path):
    assert durable.free_bytes(tmp_path) > 0
    with pytest.raises(StorageError):
        durable.free_bytes(tmp_path / "missing")


def test_the_lock_keeps_a_second_process_out_until_the_first_dies(tmp_path):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout.readline() == "held\n"
        assert (tmp_path / "lock").read_text() == f"{holder.pid}\n"
        with pytest.raises(AlreadyRunning), durable.lock_folder(tmp_path):
            pass
    finally:
        holder.kill()
        holder.communicate(timeout=60)
    with durable.lock_folder(tmp_path):
        pass


def test_the_lock_keeps_a_second_block_of_the_same_process_out(tmp_path):
    with durable.lock_folder(tmp_path), pytest.raises(AlreadyRunning), durable.lock_folder(tmp_path):
        pass
    with durable.lock_folder(tmp_path):
        pass


def test_a_lock_in_a_missing_folder_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError), durable.lock_folder(tmp_path / "missing"):
        pass
