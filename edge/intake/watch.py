"""Watch the scanner's folder: events only wake, the listing is the truth.

    wait (an event, or the time is over) > listing (every file there is, stat-ed) > wait ...

Events get lost: the kernel's queue overflows, shares raise none for what other machines do, a share drops and comes back
under a dead watch. So no name is ever taken from an event, and whatever goes wrong with events costs promptness, never a
file: the watcher polls and says why. A folder that is missing is paused, not empty.
"""

from __future__ import annotations

import errno
import fnmatch
import os
import re
import stat
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from edge.durable import storage_error
from edge.intake.notify import NO_WATCHES_LEFT, Events, why_no_events, why_poll
from edge.intake.settle import FoundFile

# Names that writers use until a file is finished, and what file managers leave. Compared without regard to case.
DEFAULT_IGNORED = (
    *(".*", "~$*", "~syncthing~*"),  # hidden; Office; Syncthing (rsync's and newer Syncthing's are hidden)
    *("*.partial", "*.part", "*.filepart", "*.crdownload", "*.download", "*.tmp", "*.temp", "*.sealed.tmp"),
    *("thumbs.db", "desktop.ini", "$recycle.bin", "system volume information", "lost+found", "@eadir", "#recycle"),
)
# A side-car may come before its image: were it only passed over beside one, it would be carried as a file of its own.
_SIDECARS = "*.json"

# A replaced folder raises no event at all, so the folder itself is looked at this often, in seconds.
_GUARD = 1.0
# From the end of a listing to the next wake, in seconds: a burst of events makes one listing, not many.
_SHORTEST_GAP = 0.25
# Event threads that died so often in a row will not live; polling does.
_REARMS = 3
# A limit of the kernel's may be raised, or another program end: events are asked for again after so many seconds.
_RETRY = 600.0
# What is wrong with this process or this machine, and says nothing of a folder.
_NOT_THE_FOLDER = frozenset({errno.EMFILE, errno.ENFILE})


@dataclass(frozen=True, slots=True)
class ListingReport:
    """What the last whole listing went through: every name in the folder is counted once."""

    files: int = 0
    folders: int = 0
    temporary: int = 0
    sidecars: int = 0
    links: int = 0
    special: int = 0
    unreadable: int = 0


class Watcher:
    """Wake when something may have happened in a folder, and list what is there.

    `wait` and `listing` belong to one thread; `is_there`, `wake` and `close` may be called from any. The folder is looked
    at by these, and where a block is entered, but not when the object is made: its share may hang, and whoever makes one
    has other work to do.

    Args:
        folder: the scanner's folder; it may be missing, and it may come and go.
        poll: True polls, False uses events where it can, None uses events unless the file system raises none.
        poll_interval: seconds between two listings while polling.
        ignore: name patterns (fnmatch) of files and folders to pass over.
    """

    def __init__(
        self,
        folder: Path,
        *,
        poll: bool | None = None,
        poll_interval: float = 5.0,
        ignore: Iterable[str] = DEFAULT_IGNORED,
    ) -> None:
        self._folder = folder
        self._poll = poll
        self._poll_interval = poll_interval
        self._ignored = _any_of(ignore)
        self._sidecars = _any_of([_SIDECARS])
        self._condition = threading.Condition()
        self._arming = threading.RLock()  # `close` may come while the other thread arms
        self._hinted = False
        self._nudged = True  # what was there before the start raises no event: the first wait is over at once
        self._closed = False
        self._events: Events | None = None
        self._identity: tuple[int, int] | None = None
        self._was_mount = False
        self._pause_reason = ""
        self._poll_reason = ""
        self._retry_at = float("inf")
        self._rearmed = 0
        self._overflows = 0
        self._covered = 0
        self._short = False
        self._report = ListingReport()
        self._complete = False
        self._listed_at = -float("inf")
        self._listing_took = 0.0

    @property
    def paused(self) -> bool:
        """Whether the folder cannot be listed now; it is resumed by itself."""
        return bool(self._pause_reason)

    @property
    def pause_reason(self) -> str:
        """Why the folder cannot be listed, in plain words; empty while it can."""
        return self._pause_reason

    @property
    def polling(self) -> bool:
        """Whether the folder is listed by time alone."""
        return bool(self._poll_reason)

    @property
    def reason(self) -> str:
        """Why the folder is polled, in plain words; empty while events wake."""
        return self._poll_reason

    @property
    def degraded(self) -> bool:
        """Whether the folder is polled only because the kernel gives no events; they are asked for again by itself."""
        return self._retry_at < float("inf")

    @property
    def how(self) -> str:
        """By what the folder is watched, in plain words."""
        return f"polling every {self._poll_interval:g} s: {self._poll_reason}" if self._poll_reason else "events"

    @property
    def overflows(self) -> int:
        """How often the kernel's queue of events overflowed. Nothing is lost by it: the listing is the truth."""
        return self._overflows

    @property
    def report(self) -> ListingReport:
        """What the last listing that ran to its end went through."""
        return self._report

    @property
    def complete(self) -> bool:
        """Whether the last listing saw everything: only then is a file that it lacks really gone."""
        return self._complete

    def wait(self, timeout: float) -> bool:
        """Sleep until a look is worth while, or `timeout` seconds are over.

        Returns:
            True when something may have happened (an event, the folder came or went, a poll is due, `wake`), at the
            earliest a short gap after the last listing; False when only the time is over.
        """
        deadline = time.monotonic() + timeout
        gap = min(max(_SHORTEST_GAP, 2 * self._listing_took), self._poll_interval)
        while True:
            changed = self._tend()
            now = time.monotonic()
            earliest = self._listed_at + gap
            poll_due = self._listed_at + self._poll_interval if self._poll_reason else float("inf")
            with self._condition:
                if self._closed or self._nudged or changed or (not self.paused and now >= poll_due):
                    return self._woken()
                if not self.paused and self._hinted and now >= earliest:
                    return self._woken()
                if now >= deadline:
                    return False
                guard = now + (self._poll_interval if self._events is None else _GUARD)
                until = min(deadline, guard, float("inf") if self.paused else poll_due)
                if self._hinted and not self.paused:
                    until = min(until, earliest)
                self._condition.wait(until - now)

    def _woken(self) -> bool:
        self._hinted = self._nudged = False
        return True

    def is_there(self) -> bool:
        """Look at the folder itself now, and return whether what it lacks is really gone."""
        if self._tend():
            self.wake()
        return not self.paused

    def wake(self) -> None:
        """End the present wait, or the next one, at once."""
        with self._condition:
            self._nudged = True
            self._condition.notify_all()

    def _hint(self) -> None:
        with self._condition:
            if not self._hinted:
                self._hinted = True
                self._condition.notify_all()

    def _overflowed(self) -> None:
        self._overflows += 1
        self._hint()

    def listing(self) -> Iterator[FoundFile]:
        """Walk the folder and its sub-folders now, and yield every regular file with a finished file's name.

        Symbolic links are not followed. Nothing is yielded while paused. What cannot be read is counted in the report,
        and makes the listing incomplete; the rest goes on.
        """
        started = time.monotonic()
        self._complete = False
        self._tend()
        counts = dict.fromkeys(ListingReport.__slots__, 0)
        pending = [] if self.paused else [("", os.fspath(self._folder))]
        while pending:
            prefix, folder = pending.pop()
            try:
                with os.scandir(folder) as scan:
                    entries = deque(scan)
            except OSError as error:
                if not prefix or error.errno in _NOT_THE_FOLDER:
                    self._pause(_why_unlistable(error))
                    pending.clear()
                elif not isinstance(error, FileNotFoundError):
                    counts["unreadable"] += 1
                continue
            counts["folders"] += 1
            while entries:
                # An entry that was looked at is let go of at once: it keeps all that is known of its file.
                entry = entries.popleft()
                relative = prefix + entry.name
                try:
                    kind, details = self._classify(entry)
                except FileNotFoundError:
                    continue  # it was renamed or removed since the folder was read
                except OSError:
                    kind, details = "unreadable", None
                if kind == "folders":
                    pending.append((relative + "/", entry.path))
                    continue
                counts[kind] += 1
                if kind == "files" and details is not None:
                    yield _found(entry, relative, details)
        self._finish(ListingReport(**counts), started)

    def _classify(self, entry: os.DirEntry[str]) -> tuple[str, os.stat_result | None]:
        """Name the report's field that counts this entry, and stat it where it is a file to hand out."""
        if self._ignored.fullmatch(entry.name):
            return "temporary", None
        if entry.is_symlink():
            return "links", None
        if entry.is_dir(follow_symlinks=False):
            return "folders", None
        if self._sidecars.fullmatch(entry.name):
            return "sidecars", None
        details = entry.stat(follow_symlinks=False)
        return ("files" if stat.S_ISREG(details.st_mode) else "special"), details

    def _finish(self, report: ListingReport, started: float) -> None:
        self._listed_at = time.monotonic()
        self._listing_took = self._listed_at - started
        if self.paused:
            return
        self._report = report
        self._complete = not report.unreadable
        self._check_coverage(report.folders)

    def _check_coverage(self, folders: int) -> None:
        """Poll if the kernel watches fewer folders than there are: watchdog passes over a sub-folder it cannot watch.

        Only the second shortage in a row counts, because a folder made this moment is not watched yet.
        """
        with self._arming:
            if self._events is None or folders <= self._covered:
                return
            watched = self._events.watched_folders()
            if watched is None or watched >= folders:
                self._covered, self._short = folders, False
            elif self._short:
                self._fall_back(NO_WATCHES_LEFT)
            else:
                self._short = True

    def _tend(self) -> bool:
        """Look at the folder itself and at the event threads; pause, resume or arm again. True if anything changed."""
        with self._arming:
            if self._closed:
                return False
            try:
                identity = self._identify()
            except OSError as error:
                return self._pause(_why_unlistable(error))
            mounted = os.path.ismount(self._folder)
            if self._was_mount and not mounted:
                # The bare mount point is an empty folder of another file system. Taken for the share, it would look as
                # if every file were gone.
                return self._pause("nothing is mounted on the folder any more")
            self._was_mount = mounted
            lives = self._events is None or self._events.alive()
            if identity == self._identity and lives and time.monotonic() < self._retry_at:
                return False
            self._arm(identity)
            return True

    def _identify(self) -> tuple[int, int]:
        """Return the folder's device and inode, having opened it: a dead share answers a stat from its cache."""
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            details = os.fstat(descriptor)
            with os.scandir(descriptor) as scan:
                next(scan, None)
        finally:
            os.close(descriptor)
        return details.st_dev, details.st_ino

    def _pause(self, reason: str) -> bool:
        with self._arming:
            changed = reason != self._pause_reason
            self._disarm()
            self._identity, self._pause_reason = None, reason
            return changed

    def _arm(self, identity: tuple[int, int]) -> None:
        self._disarm()
        died = identity == self._identity and self._retry_at == float("inf")
        self._rearmed = self._rearmed + 1 if died else 0
        self._identity, self._pause_reason, self._poll_reason = identity, "", ""
        self._retry_at = float("inf")
        if self._poll:
            self._poll_reason = "the configuration asks for it"
        elif self._rearmed > _REARMS:
            self._fall_back("the watch for events keeps dying")
        elif self._poll is None:
            self._poll_reason = why_poll(self._folder)
        if self._poll_reason:
            return
        try:
            self._events = Events(self._folder, on_event=self._hint, on_overflow=self._overflowed)
        except OSError as error:
            self._fall_back(why_no_events(error))

    def _fall_back(self, reason: str) -> None:
        self._disarm()
        self._poll_reason, self._retry_at = reason, time.monotonic() + _RETRY

    def _disarm(self) -> None:
        with self._arming:
            self._covered, self._short = 0, False
            if self._events is not None:
                self._events.close()
                self._events = None

    def close(self) -> None:
        """Stop the event threads and end a wait. Closing twice is fine."""
        with self._condition:
            self._closed = True
            self._condition.notify_all()
        self._disarm()

    def __enter__(self) -> Self:
        self._tend()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def _any_of(patterns: Iterable[str]) -> re.Pattern[str]:
    return re.compile("|".join(fnmatch.translate(pattern) for pattern in patterns) or r"(?!)", re.IGNORECASE)


def _found(entry: os.DirEntry[str], relative: str, details: os.stat_result) -> FoundFile:
    return FoundFile(
        path=entry.path,
        relative=relative,
        size=details.st_size,
        mtime_ns=details.st_mtime_ns,
        inode=details.st_ino,
        device=details.st_dev,
    )


def _why_unlistable(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "the folder is missing"
    if isinstance(error, NotADirectoryError):
        return "something that is no folder has its name"
    if isinstance(error, PermissionError):
        return "the folder may not be read: check its owner and its mode"
    if error.errno in _NOT_THE_FOLDER:
        return storage_error(error).message
    return f"the folder does not answer ({errno.errorcode.get(error.errno or 0, 'no error number')})"
