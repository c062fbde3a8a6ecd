"""Decide by stillness when a file is finished: the same size, mtime and inode at two looks an interval apart.

Pure: what was found and what time it is are arguments. No file's own time is ever compared with a clock, so a scanner
whose clock is a year ahead settles like any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from edge.errors import EdgeError, EmptyFile, IncompleteFile, IntakeError
from edge.records import SettledFile

# An incomplete file is tried again after 2, 4, 8 ... intervals: a slow copy that stalls keeps its size and mtime for a
# while, and a scanner may leave a broken file for days.
_GROWTH = 2.0
_LONGEST_DELAY = 300.0  # seconds
_MOST_DOUBLINGS = 16  # beyond this the longest delay holds anyway


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file as a listing shows it at one moment. `relative` is its path below the watched folder.

    `path` is text: one of these is kept for every file of the folder, and a Path is three times as large.
    """

    path: str
    relative: str
    size: int
    mtime_ns: int
    inode: int
    device: int

    def settled(self) -> SettledFile:
        """Return the file as what it is once it stood still."""
        return SettledFile(Path(self.path), self.relative, self.size, self.mtime_ns, self.inode, self.device)


@dataclass(frozen=True, slots=True)
class StuckFile:
    """A file that stands still and still is no whole image, why, and for how many seconds by now."""

    file: SettledFile
    error: IntakeError
    still_for: float


@dataclass(frozen=True, slots=True)
class SettleResult:
    """What one look found.

    `settled` is in the order of the files' mtimes; each is handed out once. `waiting` counts the files that are not
    handed out. `next_look` is the monotonic time of the next look that can change anything, None if none can.
    `vanished` are the files that the look before this one found.
    """

    settled: tuple[FoundFile, ...]
    waiting: int
    next_look: float | None
    vanished: tuple[FoundFile, ...] = ()


@dataclass(slots=True)
class _Track:
    """One content of one file: since when it is still, when it is due, and what was wrong with it last time."""

    file: FoundFile
    still_since: float
    due: float
    handed_out: bool = False
    attempts: int = 0
    error: EdgeError | None = None


class Settler:
    """Remember what earlier looks saw, and hand out each content of each file once, when it stands still."""

    def __init__(self, *, interval: float = 1.0, stuck_after: float = 60.0) -> None:
        self._interval = interval
        self._stuck_after = stuck_after
        self._tracks: dict[str, _Track] = {}

    def kept(self, file: FoundFile) -> FoundFile:
        """Return what the look before kept of a file where nothing of it has changed: two of 100,000 files are too many."""
        track = self._tracks.get(file.relative)
        return track.file if track is not None and track.file == file else file

    def look(self, found: Iterable[FoundFile], now_monotonic: float) -> SettleResult:
        """Compare a whole listing with the looks before it.

        Args:
            found: every file in the folder now; one that is missing is forgotten.
            now_monotonic: seconds on a clock that only goes forwards.
        """
        now = now_monotonic
        tracks: dict[str, _Track] = {}
        settled = []
        for file in found:
            track = self._tracks.get(file.relative)
            if track is None or not _same_content(track.file, file):
                track = _Track(file=file, still_since=now, due=now + self._interval)
            tracks[file.relative] = track
            # Nothing is in an empty file yet, however still it is: scanners reserve a name that way.
            if not track.handed_out and file.size and now >= track.due:
                track.handed_out = True
                settled.append(file)
        vanished = tuple(track.file for relative, track in self._tracks.items() if relative not in tracks)
        self._tracks = tracks
        return SettleResult(
            settled=tuple(sorted(settled, key=lambda file: (file.mtime_ns, file.relative))),
            waiting=sum(not track.handed_out for track in tracks.values()),
            next_look=self.next_look(now),
            vanished=vanished,
        )

    def next_look(self, now: float) -> float | None:
        """Return the monotonic time of the next look that can change anything, None if none can; `defer` changes it."""
        waiting = (track for track in self._tracks.values() if not track.handed_out)
        moment = min((self._next_change(track, now) for track in waiting), default=math.inf)
        return None if math.isinf(moment) else moment

    def defer(self, file: FoundFile | SettledFile, error: EdgeError, now: float) -> None:
        """Take back a file that was handed out too early or could not be carried on: it is looked at again.

        At once when it changes, otherwise after a delay that doubles from two intervals to 300 seconds. A file that has
        changed or gone meanwhile is left as it is: the next look decides.
        """
        track = self._tracks.get(file.relative)
        if track is None or not _same_content(track.file, file):
            return
        track.handed_out = False
        if not track.attempts and not isinstance(error, IncompleteFile):
            # Reading a large file may have taken longer than `stuck_after`: it gets a second try before it is stuck.
            track.still_since = now
        track.error = error
        track.attempts = min(track.attempts + 1, _MOST_DOUBLINGS)
        track.due = now + min(self._interval * _GROWTH**track.attempts, _LONGEST_DELAY)

    def forget(self, relative: str) -> None:
        """Hand the file of this relative path out once more, as if it had just been found."""
        self._tracks.pop(relative, None)

    def take(self, file: FoundFile | SettledFile) -> None:
        """Count a stuck file as handed out: it is carried as it is, or given up, until it changes."""
        track = self._tracks.get(file.relative)
        if track is not None and _same_content(track.file, file):
            track.handed_out = True

    def stuck(self, now: float) -> tuple[StuckFile, ...]:
        """Return the files that stand still since `stuck_after` seconds and are empty or incomplete, oldest first.

        A file deferred for another reason, e.g. a full spool, waits but is not stuck: nothing is wrong with it.
        """
        found = []
        for track in self._tracks.values():
            error = self._intake_error(track)
            if error is not None and now >= track.still_since + self._stuck_after:
                found.append(StuckFile(file=track.file.settled(), error=error, still_for=now - track.still_since))
        return tuple(sorted(found, key=lambda stuck: (-stuck.still_for, stuck.file.relative)))

    @staticmethod
    def _intake_error(track: _Track) -> IntakeError | None:
        if track.handed_out:
            return None
        if track.file.size == 0:
            return EmptyFile("the file is empty")
        return track.error if isinstance(track.error, IntakeError) else None

    def _next_change(self, track: _Track, now: float) -> float:
        """Return when a look or `stuck` can next say something new of a waiting file; infinity for never."""
        moments = [track.due] if track.file.size else []
        stuck_at = track.still_since + self._stuck_after
        if now < stuck_at and self._intake_error(track) is not None:
            moments.append(stuck_at)
        return min(moments, default=math.inf)


def _same_content(one: FoundFile | SettledFile, other: FoundFile | SettledFile) -> bool:
    return (one.size, one.mtime_ns, one.inode, one.device) == (other.size, other.mtime_ns, other.inode, other.device)
