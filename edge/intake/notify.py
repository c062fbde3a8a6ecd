"""Ask the kernel to say when something happens in a folder, through watchdog, and say why where it cannot.

An event is a hint and no more: not even its path is looked at. watchdog's own state is not trusted either: it says that
it is alive when its threads are dead, and passes over sub-folders that the kernel has no watch left for.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from watchdog.events import (
    DirCreatedEvent,
    DirDeletedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver
from watchdog.utils import BaseThread

# Contents that other machines, or another kernel, change without an event here.
_SILENT: Final = re.compile(
    r"9p|afs|beegfs|ceph|cifs|coda|davfs|fuse(\..*)?|gfs2|glusterfs|gpfs|lustre|ncpfs|nfs4?|ocfs2|prl_fs|smb3|smbfs|"
    r"vboxsf|virtiofs|vmhgfs"
)

# No FileModified and no FileDeleted: a growing file is looked at by time anyway, and our own removals must not wake us.
_HINTS: Final[list[type[FileSystemEvent]]] = [
    *(FileCreatedEvent, FileClosedEvent, FileMovedEvent),
    *(DirCreatedEvent, DirMovedEvent, DirDeletedEvent),
]

NO_WATCHES_LEFT: Final = "the kernel's limit of inotify watches is reached (fs.inotify.max_user_watches)"
_NO_INSTANCES_LEFT: Final = (
    "no inotify instance is to be had (fs.inotify.max_user_instances, or this process has too many open files)"
)


class Events:
    """One life of a watchdog observer over one folder and its sub-folders.

    Raises:
        OSError: the kernel gives no watch (ENOSPC, EMFILE) or no thread (EAGAIN), or the folder has gone.
    """

    def __init__(self, folder: Path, *, on_event: Callable[[], None], on_overflow: Callable[[], None]) -> None:
        threads, queues = set(threading.enumerate()), _inotify_queues()
        self._log = _WatchdogLog(on_overflow)
        self._observer: BaseObserver | None = None
        try:
            _require_a_thread()
            self._observer = Observer()
            self._observer.schedule(_Hint(on_event), os.fspath(folder), recursive=True, event_filter=_HINTS)
            self._observer.start()
        except RuntimeError as error:
            # What `threading` says instead of the kernel's EAGAIN.
            self.close()
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        except BaseException:
            self.close()
            raise
        # The observer says that it is alive when the threads it depends on are dead: ask each of them.
        self._threads = [one for one in threading.enumerate() if isinstance(one, BaseThread) and one not in threads]
        self._queues = _inotify_queues() - queues

    def alive(self) -> bool:
        """Return whether every thread that events depend on still runs."""
        return all(thread.is_alive() for thread in self._threads)

    def watched_folders(self) -> int | None:
        """Ask the kernel how many watches it holds for this observer; None where it does not say."""
        try:
            return (
                sum(Path(f"/proc/self/fdinfo/{one}").read_bytes().count(b"\ninotify ") for one in self._queues) or None
            )
        except OSError:
            return None

    def close(self) -> None:
        """Stop the threads and wait for their end."""
        if self._observer is not None:
            self._observer.stop()
            if self._observer.is_alive():
                self._observer.join()
        self._log.remove()


class _Hint(FileSystemEventHandler):
    """Turn any event into a wake-up; what it is about is not even looked at."""

    def __init__(self, on_event: Callable[[], None]) -> None:
        self._on_event = on_event

    def dispatch(self, event: FileSystemEvent) -> None:
        """Wake."""
        del event
        self._on_event()


class _WatchdogLog(logging.Handler):
    """Keep watchdog's own messages, which name folders, out of every log; count the overflows that they tell of."""

    _LOGGER = logging.getLogger("watchdog")

    def __init__(self, on_overflow: Callable[[], None]) -> None:
        super().__init__()
        self._on_overflow = on_overflow
        self._LOGGER.addHandler(self)
        self._LOGGER.propagate = False

    def emit(self, record: logging.LogRecord) -> None:
        """Count an overflow; drop everything else."""
        if record.name.endswith("inotify_c") and "overflow" in str(record.msg):
            self._on_overflow()

    def remove(self) -> None:
        """Stop listening to watchdog's logger."""
        self._LOGGER.removeHandler(self)


def why_poll(folder: Path) -> str:
    """Return why events cannot be relied on in this folder, in plain words; empty if they can."""
    try:
        mounts = os.fsdecode(Path("/proc/self/mountinfo").read_bytes())
    except OSError:
        return ""  # another system than Linux: watchdog's own means do
    kind = filesystem_type(os.path.realpath(folder), mounts)
    if _SILENT.fullmatch(kind):
        return f"changes that other machines make raise no events on {kind}"
    return ""


def filesystem_type(path: str, mountinfo: str) -> str:
    """Return the type of the file system that holds an absolute real path, "" if unknown (proc(5), mountinfo)."""
    best, kind = "", ""
    for line in mountinfo.splitlines():
        place, separator, source = line.partition(" - ")
        fields = place.split(" ")
        if not separator or len(fields) < 5:
            continue
        point = re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields[4])
        inside = point in ("/", path) or path.startswith(point + "/")
        # The later of two mounts on one point hides the earlier.
        if inside and len(point) >= len(best):
            best, kind = point, source.split(" ")[0]
    return kind


def _require_a_thread() -> None:
    """Raise RuntimeError where no thread can be started: where it finds that out itself, watchdog leaves descriptors open."""
    probe = threading.Thread(target=lambda: None, name="probe")
    probe.start()
    probe.join()


def _inotify_queues() -> set[str]:
    """Return the file descriptors of this process that are inotify queues; empty where /proc is unknown."""
    found = set()
    for link in Path("/proc/self/fd").glob("*"):
        with contextlib.suppress(OSError):  # the descriptor was closed meanwhile
            if str(link.readlink()) == "anon_inode:inotify":
                found.add(link.name)
    return found


def why_no_events(error: OSError) -> str:
    """Say in plain words, without a path, why `Events` failed."""
    if error.errno == errno.ENOSPC:
        return NO_WATCHES_LEFT
    if error.errno == errno.EMFILE:
        return _NO_INSTANCES_LEFT
    if error.errno == errno.EAGAIN:
        return "no thread can be started"
    return f"the kernel gives no events ({errno.errorcode.get(error.errno or 0, 'no error number')})"
