"""Files in: listing > settle > hold > carry (`edge.carrying`), and what keeps files from that.

While one file is sealed, the next ones are read: that writes nothing, and waits for other things than the disk.

The rule kept here: the listing is the truth, whatever events said. A retryable error waits and keeps, any other
quarantines and goes on; what the disk or the machine refuses is held back, whole, and named in `alarms` until it works
again. Logs never name a file.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from edge.carrying import TOGETHER_BYTES, TOGETHER_MAX, Carrier, Reading
from edge.config import DeviceConfig
from edge.errors import EdgeError, IncompleteFile, IntakeError, SpoolFull, StorageError, UnreadableFile
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.settle import FoundFile, Settler, StuckFile
from edge.intake.states import CARRIED, UNREADABLE
from edge.intake.watch import Watcher
from edge.records import SettledFile
from edge.sealing import Sealed, Sealer
from edge.spool import Spool, SpooledImage

_LOG = logging.getLogger(__name__)
_ONCE_STUCK_LOOKS: Final = 4
"""With `once`, a file that stays empty or incomplete is given up after this many settle intervals."""
_REFUSALS_MAX: Final = 4
"""After so many files in a row that the disk or the machine refused, the others wait for the next look too."""

_BEGUN_MIN: Final = 2
"""Files that are begun, however large: one that is sealed, and one that is read. Of small ones, as many as are kept together."""

ALARM_PAUSED: Final = "folder-paused"
ALARM_PARTLY: Final = "folder-partly-unreadable"
ALARM_EVENTS: Final = "events-unavailable"
ALARM_STUCK: Final = "files-stuck"
ALARM_QUARANTINED: Final = "files-quarantined"


class Loader:
    """Bring the files of one folder into the spool. One thread uses it."""

    def __init__(
        self,
        *,
        config: DeviceConfig,
        watcher: Watcher,
        sealer: Sealer,
        ledger: Ledger,
        spool: Spool,
        once: bool,
        clock: Callable[[], float],
        timestamp: Callable[[], str],
        on_turn: Callable[[], None],
        on_sealed: Callable[[Sealed, SpooledImage], None],
        on_known: Callable[[LedgerEntry, SettledFile], None],
    ) -> None:
        self._config = config
        self._watcher = watcher
        self._ledger = ledger
        self._clock = clock
        self._timestamp = timestamp
        self._on_turn = on_turn
        stuck_after = config.watch.stuck_after
        if once:
            stuck_after = min(stuck_after, _ONCE_STUCK_LOOKS * config.watch.settle)
        self._settler = Settler(interval=config.watch.settle, stuck_after=stuck_after)
        self._carrier = Carrier(
            config=config,
            sealer=sealer,
            ledger=ledger,
            spool=spool,
            timestamp=timestamp,
            on_sealed=on_sealed,
            on_known=on_known,
            on_error=self._on_error,
        )
        self._held: dict[str, FoundFile] = {}
        self._begun: deque[tuple[SettledFile, Reading]] = deque()
        self._again: deque[str] = deque()
        self._refusal: StorageError | None = None
        self._overflows = 0
        self._counts = ledger.counts()
        self.paused = ""
        self.watching = ""
        self.next_look: float | None = None

    def close(self) -> None:
        """Begin no more reading."""
        self._carrier.close()

    def look_again(self, relative: str) -> None:
        """Carry the file of this relative path once more, if it is still there. Any thread may call this."""
        self._again.append(relative)

    @property
    def holds(self) -> bool:
        """Whether settled files wait for room in the spool."""
        return bool(self._held)

    @property
    def waits(self) -> str:
        """Why intake waits for the disk or the machine, in plain words; empty while it does not."""
        refusal = self._refusal
        return refusal.message if refusal else ""

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the codes of what keeps files from being taken in, or sets them aside. Any thread may read them."""
        refusal, counts = self._refusal, self._counts
        partly = self.paused and not self._watcher.paused
        standing = (
            (self._watcher.paused, ALARM_PAUSED),
            (partly, ALARM_PARTLY),
            (self._watcher.degraded, ALARM_EVENTS),
            (refusal, refusal.code if refusal else ""),
            (counts[FileState.STUCK], ALARM_STUCK),
            (counts[FileState.QUARANTINED], ALARM_QUARANTINED),
        )
        return tuple(alarm for stands, alarm in standing if stands)

    def take_in(self, stop: threading.Event) -> bool:
        """Look at the folder once, carry what has settled, and return whether nothing there is being waited for.

        Raises:
            StorageError: the disk refused; `next_look` says when to try again, and nothing is forgotten until then.
        """
        with self._told():
            self.next_look = self._retry_at()
            listing = [self._settler.kept(file) for file in self._watcher.listing()]
            self._say_how_the_folder_is_watched()
            self._ledger.observe_all(listing, now=self._timestamp())
            if self._watcher.complete:
                self._ledger.forget_vanished({file.relative for file in listing})
            while self._again:
                self._settler.forget(self._again.popleft())
            result = self._settler.look(listing, self._clock())
            self.next_look = result.next_look
            self._hold(listing, result.settled)
            idle, waiting = not result.settled, result.waiting
            del listing, result  # carrying may take hours
            refusal = self._carry_held(stop)
            stuck = self._settler.stuck(self._clock())
            for each in stuck:
                self._on_stuck(each)
            self.next_look = self._settler.next_look(self._clock())
            if self._held and not isinstance(refusal, SpoolFull):
                # Nobody says when the disk works again; where the spool is full, a receipt does.
                self.next_look = self._clock() if refusal is None else self._retry_at()
            self._counts = self._ledger.counts()
        self._say_whether_it_waits(refusal)
        return idle and not self._held and waiting <= len(stuck)

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except StorageError as error:
            self._say_whether_it_waits(error)
            raise

    def _retry_at(self) -> float:
        return self._clock() + self._config.watch.settle

    def _hold(self, listing: list[FoundFile], settled: tuple[FoundFile, ...]) -> None:
        """Add what has just settled to what is held; what is gone, or no longer as it was, is the next looks' matter."""
        listed = {file.relative: file for file in listing}
        finished = (*self._held.values(), *settled)
        self._held = {file.relative: file for file in finished if _stands(file, listed.get(file.relative))}
        if self._watcher.complete:
            gone = [file for file in finished if self._held.get(file.relative) is not file]
            inodes = {(file.device, file.inode) for file in listing} if gone else set()
            for file in gone:
                if (file.device, file.inode) not in inodes:
                    # Renamed, it would be listed still. Whoever removed it has to know that nobody else has it.
                    _LOG.error("a finished file was removed before it could be carried")

    def _carry_held(self, stop: threading.Event) -> StorageError | None:
        """Carry every held file, in order, and return what the disk or the machine refused first, if anything.

        A file that finds no room in the spool is held until a receipt makes some, and so are those that are not
        smaller. One that is refused otherwise goes to the end of the line: were it the cause, the others would starve.
        """
        look = _Look(self._held)
        # Thousands of files take hours to carry: the folder is looked at meanwhile, as often as it is promised.
        listed_again_at = self._clock() + self._config.watch.rescan
        begun = self._begun = deque(each for each in self._begun if self._is_still_wanted(*each))
        going = {file.relative for file, _ in begun}
        files = iter([file for file in self._held.values() if file.relative not in going])
        try:
            while not stop.is_set() and look.refused < _REFUSALS_MAX and self._clock() < listed_again_at:
                while _may_begin(begun) and (found := next(files, None)) is not None:
                    if look.too_large is None or found.size < look.too_large:
                        file = found.settled()
                        begun.append((file, self._carrier.begin(file)))
                if not begun:
                    break
                self._on_turn()
                file, reading = begun.popleft()
                try:
                    waits = self._carrier.seal(file, reading)
                except StorageError as error:
                    look.conclude(file, error)
                else:
                    if not waits:
                        look.conclude(file, None)
                if self._carrier.full or not (begun and _follows_at_once(*begun[0])):
                    look.conclude_all(self._carrier.keep())
            look.conclude_all(self._carrier.keep())
        finally:
            self._carrier.give_up()
        return look.refusal

    def _is_still_wanted(self, file: SettledFile, reading: Reading) -> bool:
        """Say whether what was begun at the look before serves at this one: the file stands as it was, and no error came."""
        goes_on = reading is not None and not (reading.done() and reading.exception())
        held = self._held.get(file.relative)
        return goes_on and held is not None and held.settled() == file

    def _on_error(self, file: SettledFile, error: EdgeError) -> None:
        """Wait and keep, or quarantine and go on."""
        if error.retryable:
            entry = self._ledger.find(file)
            if not isinstance(error, IntakeError):
                _LOG.warning("intake waits: %s (%s)", error.message, error.code)
            elif entry is not None and entry.state is FileState.SETTLED:
                self._ledger.advance(file, FileState.SEEN, now=self._timestamp())
            # Also one that is gone: a share that loses a name for a moment still lists it afterwards.
            self._settler.defer(file, error, self._clock())
            return
        _LOG.error("a file is quarantined: %s", error.code)
        self._ledger.quarantine(file, reason=error.code, hint=error.hint, now=self._timestamp())

    def _on_stuck(self, stuck: StuckFile) -> None:
        if self._config.watch.incomplete == "carry" and isinstance(stuck.error, IncompleteFile):
            self._settler.take(stuck.file)
            self._carry_incomplete(stuck.file)
            return
        entry = self._ledger.find(stuck.file)
        if entry is None or entry.state is FileState.STUCK or entry.state in CARRIED:
            return
        if isinstance(stuck.error, UnreadableFile):
            # The settler hands it out again all the same: a disk, or a technician, may give it back.
            _LOG.error("a file is quarantined: %s", stuck.error.code)
            self._ledger.quarantine(stuck.file, reason=UNREADABLE, hint=stuck.error.hint, now=self._timestamp())
            return
        _LOG.warning("a file is stuck: %s", stuck.error.code)
        self._ledger.stuck(stuck.file, reason=stuck.error.code, hint=stuck.error.hint, now=self._timestamp())

    def _carry_incomplete(self, file: SettledFile) -> None:
        try:
            self._carrier.seal(file, self._carrier.begin(file, incomplete=True))
            for _, error in self._carrier.keep():
                if error is not None:
                    raise error
        except StorageError as error:
            if not error.retryable:
                raise
            self._settler.defer(file, error, self._clock())

    def _say_how_the_folder_is_watched(self) -> None:
        reason = self._watcher.pause_reason
        if not reason and not self._watcher.complete:
            reason = "a part of the folder may not be read: check its owner and its mode"
        if reason != self.paused:
            self.paused = reason
            if reason:
                _LOG.warning("watching is paused: %s", reason)
            else:
                _LOG.info("watching again")
        watching = "" if self._watcher.paused else self._watcher.how
        if watching and watching != self.watching:
            self.watching = watching
            _LOG.info("the folder is watched by %s", watching)
        if self._watcher.overflows != self._overflows:
            self._overflows = self._watcher.overflows
            _LOG.warning("the kernel's queue of events overflowed; the listing finds what it lost")

    def _say_whether_it_waits(self, refusal: StorageError | None) -> None:
        if (refusal and refusal.message) != (self._refusal and self._refusal.message):
            if refusal is None:
                _LOG.info("intake goes on")
            else:
                _LOG.warning("intake waits: %s (%s); %s", refusal.message, refusal.code, refusal.hint)
        self._refusal = refusal


class _Look:
    """What became of the held files that one look carries."""

    def __init__(self, held: dict[str, FoundFile]) -> None:
        self._held = held
        self.refusal: StorageError | None = None
        """What the disk or the machine refused first; before all else, anything but room in the spool."""
        self.too_large: int | None = None
        """The size of the smallest file for which the spool had no room."""
        self.refused = 0
        """How many files in a row were refused otherwise."""

    def conclude(self, file: SettledFile, error: StorageError | None) -> None:
        """Hold a file no longer, or go on holding it for what the disk refused.

        Raises:
            StorageError: it is no use to try again.
        """
        if error is None:
            self.refused = 0
            del self._held[file.relative]
            return
        if not error.retryable:
            raise error
        # For room in the spool a receipt is waited for; whatever else was refused is tried again before that.
        if self.refusal is None or isinstance(self.refusal, SpoolFull):
            self.refusal = error
        if isinstance(error, SpoolFull):
            self.too_large = min(file.size, self.too_large or file.size)
        else:
            self.refused += 1
            self._held[file.relative] = self._held.pop(file.relative)

    def conclude_all(self, outcomes: Iterable[tuple[SettledFile, StorageError | None]]) -> None:
        """Conclude several files; raises as `conclude`."""
        for file, error in outcomes:
            self.conclude(file, error)


def _may_begin(begun: Collection[tuple[SettledFile, Reading]]) -> bool:
    """Say whether one more file may be begun."""
    if any(reading is not None and reading.done() and reading.exception() for _, reading in begun):
        return len(begun) < _BEGUN_MIN  # where the spool is full, each counts what is in it
    small = len(begun) < TOGETHER_MAX and sum(file.size for file, _ in begun) < TOGETHER_BYTES
    return small or len(begun) < _BEGUN_MIN


def _follows_at_once(file: SettledFile, reading: Reading) -> bool:
    """Say whether what was sealed before a file may wait to be kept with it."""
    return file.size < TOGETHER_BYTES and _is_read(reading)


def _is_read(reading: Reading) -> bool:
    return reading is None or reading.done()


def _stands(file: FoundFile, found: FoundFile | None) -> bool:
    """Say whether a listing still shows a file as it settled."""
    return found is not None and (file.inode, file.size, file.mtime_ns) == (found.inode, found.size, found.mtime_ns)
