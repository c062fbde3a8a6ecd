"""Write, make and remove so that a power cut leaves either the old or the new: nothing is ever half there.

    write aside > fsync the file > rename > fsync the folder

Whatever keeps state on a disk goes through here. A disk that refuses becomes a `StorageError` in plain words; the one
foreign exception that leaves this module is `FileExistsError`, where the caller asked not to overwrite.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import BinaryIO

from edge.errors import AlreadyRunning, DiskFailing, DiskFull, DiskReadOnly, StorageError, TooManyOpenFiles

# Our mark inside the temporary name: the sweep at start-up must never touch another program's temporaries.
_TEMPORARY = re.compile(r"\.edge-[0-9a-f]{16}\.tmp")

# What the disk or the kernel says, whoever was writing: these mean the same wherever they are raised.
_DISK_SAYS: dict[int, tuple[type[StorageError], str, str]] = {
    errno.ENOSPC: (DiskFull, "the disk is full", ""),
    errno.EDQUOT: (DiskFull, "the disk quota is used up", "raise the quota, or free space"),
    errno.EROFS: (DiskReadOnly, "the file system is read-only", ""),
    errno.EIO: (DiskFailing, "the disk reports an input/output error", ""),
    errno.EFBIG: (
        StorageError,
        "the file is larger than this file system allows",
        "use a file system without that limit",
    ),
    errno.EMFILE: (TooManyOpenFiles, "this process has too many open files", ""),
    errno.ENFILE: (TooManyOpenFiles, "this machine has too many open files", ""),
}
_NOT_ALLOWED = ("the file system does not allow it", "check the owner and the mode of the folder")

# Some network and FUSE file systems cannot fsync a folder. They answer one of these, and order renames themselves.
_NO_FOLDER_FSYNC = frozenset({errno.EINVAL, errno.ENOTSUP})
# FAT and some FUSE file systems know no hard links.
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK})

# FAT knows none, but this instead; of network and FUSE file systems some do. Linux alone has the call.
_NO_RENAME_FLAGS = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP})
_LIBC = ctypes.CDLL(None, use_errno=True)
_HERE = -100  # AT_FDCWD
_NOREPLACE = 1


def storage_error(error: OSError) -> StorageError:
    """Say in plain words, without a path, what the disk refused; the class names the state that a technician sees."""
    if error.errno in _DISK_SAYS:
        kind, message, hint = _DISK_SAYS[error.errno]
        return kind(message, hint=hint)
    if error.errno in {errno.EACCES, errno.EPERM}:
        message, hint = _NOT_ALLOWED
        return StorageError(message, hint=hint)
    name = errno.errorcode.get(error.errno or 0, "no error number")
    return StorageError(f"the file system refuses the operation ({name})")


@contextmanager
def _in_plain_words() -> Iterator[None]:
    """Turn every OSError of our own steps into a StorageError."""
    try:
        yield
    except OSError as error:
        raise storage_error(error) from error


class Aside:
    """A file that is written under a temporary name in the folder where it belongs, and then gets its own name."""

    def __init__(self, path: Path, *, mode: int = 0o600) -> None:
        """Make it, empty and open for writing in `file`.

        Args:
            path: the name it is to get; its folder must exist.
            mode: the permission bits, whatever the umask is.

        Raises:
            StorageError: the disk refused.
        """
        self.path = path
        self._at = path.parent / f".edge-{secrets.token_hex(8)}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        with _in_plain_words():
            descriptor = os.open(self._at, flags, mode)
        self.file: BinaryIO = os.fdopen(descriptor, "wb")
        try:
            with _in_plain_words():
                if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:  # the umask has taken bits from it
                    os.fchmod(descriptor, mode)
        except BaseException:
            self.discard()
            raise
        _lock(descriptor)

    def begin_to_sync(self) -> None:
        """Have the disk begin with what was written, and do not wait: what it refuses, `sync` says."""
        with contextlib.suppress(OSError):
            self.file.flush()
            begin_to_sync(self.file.fileno())

    def sync(self) -> None:
        """Make its content durable, and close it.

        Raises:
            StorageError: the disk refused.
        """
        with _in_plain_words(), self.file:
            self.file.flush()
            # A failed fsync may have dropped the dirty pages; a second one would lie, so the file is given up.
            os.fsync(self.file.fileno())

    def take_name(self) -> None:
        """Give it its name, in place of whatever has it; that is durable once the folder is synced.

        Raises:
            StorageError: the disk refused.
        """
        with _in_plain_words():
            self._at.replace(self.path)
        self._at = self.path

    def put_in_place(self, *, overwrite: bool) -> None:
        """Give it its name, durably; raises as the function of this name."""
        put_in_place(self._at, self.path, overwrite=overwrite)

    def discard(self) -> None:
        """Give it up: nothing is left of it."""
        # What is still to be written out need not be.
        with contextlib.suppress(OSError):
            self.file.close()
        _discard(self._at)


@contextmanager
def aside(path: Path, *, mode: int = 0o600) -> Iterator[Aside]:
    """Write a file aside in the block, which is to give it its name; it is given up where the block fails.

    Raises:
        StorageError: the disk refused.
    """
    new = Aside(path, mode=mode)
    try:
        yield new
    except OSError as error:
        new.discard()
        # The block's own errors, e.g. of the file it copies from, pass as they are, unless only a disk says such a thing.
        if error.errno in _DISK_SAYS:
            raise storage_error(error) from error
        raise
    except BaseException:
        new.discard()
        raise


@contextmanager
def atomic_file(path: Path, *, mode: int = 0o600, overwrite: bool) -> Iterator[BinaryIO]:
    """Open a file that appears under `path` whole and durable when the block ends, or not at all.

    Args:
        path: the final name; its folder must exist.
        mode: the permission bits, whatever the umask is.
        overwrite: whether an existing file is replaced; if not, it stays untouched.

    Raises:
        FileExistsError: `overwrite` is false and the name is taken.
        StorageError: the disk refused; no temporary is left and an existing file is as it was.
    """
    with aside(path, mode=mode) as new:
        yield new.file
        new.sync()
        new.put_in_place(overwrite=overwrite)


def put_in_place(source: Path, path: Path, *, overwrite: bool) -> None:
    """Give a file whose content is synced already its final name on the same file system, durably.

    Raises:
        FileExistsError: `overwrite` is false and the name is taken; `source` is still there.
        StorageError: the disk refused; without `overwrite`, `source` is still there and `path` is free.
    """
    if overwrite:
        with _in_plain_words():
            source.replace(path)
        fsync_folder(path.parent)
        return
    take_name(source, path)
    try:
        fsync_folder(path.parent)
    except StorageError:
        # Whoever hears that it failed may try the same name again.
        with contextlib.suppress(OSError):
            if os.path.lexists(source):
                path.unlink()
            else:
                path.rename(source)
        raise
    _discard(source)


def take_name(source: Path, path: Path) -> None:
    """Give a file a free name on the same file system; that is durable once the folder is synced.

    `source` stays where it is, too, where the file system knows hard links.

    Raises:
        FileExistsError: the name is taken.
        StorageError: the disk refused.
    """
    try:
        # Unlike a rename, a link fails where the name is taken, in one step.
        os.link(source, path, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise storage_error(error) from error
        _rename_to_free_name(source, path)


def _rename_to_free_name(source: Path, path: Path) -> None:
    # Where the kernel or the file system does not know this flag, the folder lock keeps other writers out between two steps.
    refusal = _rename_without_replacing(source, path)
    if refusal in _NO_RENAME_FLAGS:
        refusal = errno.EEXIST if os.path.lexists(path) else 0
        if not refusal:
            with _in_plain_words():
                source.rename(path)
    if refusal == errno.EEXIST:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if refusal:
        raise storage_error(OSError(refusal, os.strerror(refusal)))


def _rename_without_replacing(source: Path, path: Path) -> int:
    """Rename as renameat2(2) does with RENAME_NOREPLACE, and return the error number, 0 for success."""
    rename = getattr(_LIBC, "renameat2", None)
    if rename is None:
        return errno.ENOSYS
    done = rename(_HERE, os.fsencode(source), _HERE, os.fsencode(path), ctypes.c_uint(_NOREPLACE))
    return 0 if done == 0 else ctypes.get_errno()


def _discard(path: Path) -> None:
    # A disk that cannot even remove has its first error reported already; start-up sweeps what is left.
    with contextlib.suppress(OSError):
        path.unlink()


def write_atomically(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace the content of `path` by `data`, durably.

    Raises:
        StorageError: the disk refused; an existing file is as it was.
    """
    with atomic_file(path, mode=mode, overwrite=True) as file:
        file.write(data)


def begin_to_sync(descriptor: int) -> None:
    """Have the disk begin with what was written to an open file, and do not wait: a later fsync says what it refuses."""
    with contextlib.suppress(OSError):
        # Linux begins to write out what is dirty. It drops what is not from its cache: this is for small files.
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)


def fsync_folder(path: Path) -> None:
    """Make the names in a folder durable: a rename, a new file, a removal.

    Raises:
        StorageError: the disk refused.
    """
    with _in_plain_words():
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        except OSError as error:
            if error.errno not in _NO_FOLDER_FSYNC:
                raise
        finally:
            os.close(descriptor)


def confirm(path: Path) -> None:
    """Make a file that is there already durable, and its name: whoever wrote it may not have lived to do so.

    Raises:
        StorageError: the disk refused.
    """
    with _in_plain_words():
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    fsync_folder(path.parent)


def make_folder(path: Path, mode: int = 0o700) -> None:
    """Make a folder and its missing parents, each with `mode` whatever the umask is, durably. An existing one stays.

    Raises:
        StorageError: the disk refused, or something that is no folder is in the way.
    """
    with _in_plain_words():
        missing = list(takewhile(lambda folder: not folder.is_dir(), (path, *path.parents)))
    # Whoever made the deepest one that is there may have been killed before its name was synced.
    above = (missing[-1].parent if missing else path).parent
    if os.access(above, os.R_OK | os.W_OK):  # where this process may not write, it made nothing
        fsync_folder(above)
    for folder in reversed(missing):
        try:
            folder.mkdir(mode)
            folder.chmod(mode)
        except FileExistsError as error:
            if folder.is_dir():  # another process was faster
                continue
            raise StorageError("something that is no folder is in the way", hint="move it aside") from error
        except OSError as error:
            raise storage_error(error) from error
        fsync_folder(folder.parent)


def remove_durably(*paths: Path) -> None:
    """Remove files so that a power cut does not bring them back. One that is gone already is no error.

    Raises:
        StorageError: the disk refused.
    """
    with _in_plain_words():
        for path in paths:
            path.unlink(missing_ok=True)
    for folder in dict.fromkeys(path.parent for path in paths):
        fsync_folder(folder)


def sweep_temporaries(folder: Path) -> int:
    """Remove the temporaries that an interrupted run of ours left in `folder` (not below it), and count them.

    One that is being written, by this process or another, is locked and stays. Where a file system knows no locks only
    the folder's own lock tells, so that this is for start-up.

    Raises:
        StorageError: the disk refused.
    """
    with _in_plain_words():
        found = [Path(entry.path) for entry in os.scandir(folder) if _TEMPORARY.fullmatch(entry.name)]
        left = [path for path in found if not _is_being_written(path)]
        for path in left:
            path.unlink(missing_ok=True)
    if left:
        fsync_folder(folder)
    return len(left)


def _is_being_written(path: Path) -> bool:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False  # gone, or not to be opened: removing it says so
    try:
        return not _lock(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    """Lock a file for this process where the file system knows locks, and return whether nobody else holds it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True
    return True


def free_bytes(path: Path) -> int:
    """Return the bytes that an unprivileged process may still write to the file system of `path`.

    Raises:
        StorageError: the disk refused.
    """
    return room(path)[0]


def room(path: Path) -> tuple[int, int]:
    """Return the bytes of `free_bytes` and the size in bytes of the file system of `path`.

    Raises:
        StorageError: the disk refused.
    """
    with _in_plain_words():
        figures = os.statvfs(path)
    return figures.f_bavail * figures.f_frsize, figures.f_blocks * figures.f_frsize


@contextmanager
def lock_folder(path: Path) -> Iterator[None]:
    """Hold a folder for this process alone, by flock on the file `lock` in it, until the block or the process ends.

    The kernel drops the lock with the process, so a crash leaves none behind; the file stays, because removing it would
    let two processes hold two locks of one name. It names the holder's process id for people who look.

    Raises:
        AlreadyRunning: another process, or another block of this one, holds the folder.
        StorageError: the disk refused.
    """
    with _in_plain_words():
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise AlreadyRunning("another process holds the state directory") from error
        except OSError as error:
            raise storage_error(error) from error
        with _in_plain_words():
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(descriptor)
