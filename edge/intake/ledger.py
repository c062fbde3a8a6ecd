r"""Keep every file that the device knows in exactly one state, across crashes and power cuts.

    seen > settled > sealed > offered > receipted > disposed
      \        \________\_________\____ quarantined (reason)
       ignored, stuck

SQLite in WAL mode with synchronous=FULL: when a method returns, what it did survives a power cut; each method is one
transaction. The steps to settled, offered and disposed are not synced: whatever a power cut takes back of them is found and
done again, and SD cards wear by syncs. Steps that are not in `STEPS` are refused. The ledger can be rebuilt from the spool
(`restore`).

A row is one content of one file: relative path, inode, size and mtime. Paths are kept as bytes, because file names need
not be UTF-8; inodes and mtimes as decimal text, because both can exceed SQLite's 63 bits. It holds file names and
capture times, so its file is readable by its owner only.
"""

from __future__ import annotations

import logging
import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final, Self

from edge.errors import EdgeError, LedgerCorrupt
from edge.intake.ledgerfile import LedgerFile, set_aside
from edge.intake.ledgerreader import SAME_FILE, LedgerReader, identity, listed
from edge.intake.sequence import SequenceNumbers
from edge.intake.states import (
    CARRIED,
    SUPERSEDED,
    UNREADABLE,
    FileState,
    FileVersion,
    ImageFacts,
    LedgerEntry,
    LedgerEvent,
)

__all__ = ["FileState", "FileVersion", "ImageFacts", "Ledger", "LedgerEntry", "LedgerEvent"]

_LOG: Final = logging.getLogger(__name__)
_AT_ONCE: Final = 1000
"""Files of a listing that are looked up at once."""
_NOT_SYNCED: Final = frozenset({FileState.SETTLED, FileState.OFFERED, FileState.DISPOSED})
"""Steps that may be lost: the file settles, is offered, or is disposed of once more."""


@dataclass(frozen=True, slots=True)
class _Steps:
    """The steps that one row is to take, none where it is there already."""

    row: int
    before: LedgerEntry
    states: tuple[FileState, ...]
    reason: str
    hint: str
    facts: ImageFacts | None


class Ledger(LedgerReader):
    """The ledger's one door. Threads may share it: one connection, guarded by a lock.

    One process writes (the state directory's lock sees to that); others may read at the same time, see
    `open_read_only`. `now` is always the caller's UTC time in ISO 8601. A `key` is a file version (a `SettledFile`, a
    `FoundFile`, a `LedgerEntry`, an origin of the spool) or an image id in hexadecimal.
    """

    def __init__(self, file: LedgerFile, numbers: SequenceNumbers) -> None:
        super().__init__(file)
        self._numbers = numbers
        # Counted along by the one process that writes: counting the rows of 100,000 files for every one of them takes longer
        # than sealing it. None where they must be counted.
        self._tally: dict[FileState, int] | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger for writing, making it if there is none, and check its integrity.

        Raises:
            LedgerCorrupt: it is damaged, or no database.
            ConfigError: a newer version of this program wrote it, or another program.
            StorageError: the disk refused.
        """
        file = LedgerFile.open(path)
        try:
            return cls(file, SequenceNumbers(file, path.with_name("sequence")))
        except BaseException:
            file.close()
            raise

    @classmethod
    def open_or_begin_anew(cls, path: Path) -> Self:
        """Open the ledger as `open` does; a damaged one is kept aside, and an empty one made in its place.

        Raises:
            ConfigError: a newer version of this program wrote it, or another program.
            StorageError: the disk refused.
        """
        try:
            return cls.open(path)
        except LedgerCorrupt:
            _LOG.error("the ledger is damaged: it is kept aside, and a new one is built from the spool")
            set_aside(path)
            return cls.open(path)

    # --- what the folder shows --------------------------------------------------------------------------------------

    def observe(self, file: FileVersion, *, now: str) -> LedgerEntry:
        """Record a file that a listing shows, as seen, and return its row; a known one is returned as it stands.

        New content takes over the row of the same path's earlier content if that was never sealed: it is one file.

        Raises:
            StorageError: the disk refused.
        """
        with self._file.lock:
            entry = self.find(file)
            if entry is None:
                self.observe_all([file], now=now)
                entry = self.find(file)
        if entry is None:
            raise EdgeError("a row of the ledger vanished between two statements")
        return entry

    def observe_all(self, files: Iterable[FileVersion], *, now: str) -> int:
        """Record a whole listing in one transaction, as `observe` does, and return how many files were new or changed.

        Raises:
            StorageError: the disk refused.
        """
        count = 0
        with self._file.lock:
            new = self._new(files)
            # Nothing is written, and so nothing synced, while nothing is new.
            if (first := next(new, None)) is not None:
                self._tally = None
                with self._file.transaction() as connection:
                    for file in chain([first], new):
                        self._insert_or_supersede(connection, file, now)
                        count += 1
        return count

    def _new(self, files: Iterable[FileVersion]) -> Iterator[FileVersion]:
        """Yield the files that are not in the ledger, and hold few of a listing of 100,000 at a time."""
        rest = iter(files)
        while some := {identity(file): file for file in islice(rest, _AT_ONCE)}:
            known = self._file.select_each(f"SELECT 1 FROM files WHERE {SAME_FILE}", some)  # noqa: S608 - constants
            yield from [file for file, rows in zip(some.values(), known, strict=True) if not rows]

    def _insert_or_supersede(self, connection: sqlite3.Connection, file: FileVersion, now: str) -> None:
        earlier = connection.execute(
            f"SELECT id, state FROM files WHERE relative = ? AND (state IN {listed(SUPERSEDED)} "  # noqa: S608
            "OR state = ? AND reason = ?)",
            (os.fsencode(file.relative), FileState.QUARANTINED, UNREADABLE),
        ).fetchall()
        if not earlier:
            cursor = connection.execute(
                "INSERT INTO files (relative, inode, size, mtime_ns, state, first_seen, changed) "
                "VALUES (?, ?, ?, ?, ?, ?, ?)",
                (*identity(file), FileState.SEEN, now, now),
            )
            self._enter(connection, cursor.lastrowid, FileState.SEEN, now=now)
            return
        row, state = earlier[0]
        self._take_over(connection, row, file, now)
        if state != FileState.SEEN:  # a growing file is no event at every look
            self._enter(connection, row, FileState.SEEN, now=now)

    @staticmethod
    def _take_over(connection: sqlite3.Connection, row: int, file: FileVersion, now: str) -> None:
        connection.execute(
            "UPDATE files SET inode = ?, size = ?, mtime_ns = ?, changed = ? WHERE id = ?",
            (str(file.inode), file.size, str(file.mtime_ns), now, row),
        )

    def forget_vanished(self, present: AbstractSet[str]) -> int:
        """Drop the seen and stuck files whose relative path is not in `present`, and count them.

        Nothing of them was ever whole. A file that settled, or went further, keeps its row: it is accounted for. Only a
        complete listing may be given.

        Raises:
            StorageError: the disk refused.
        """
        states = listed((FileState.SEEN, FileState.STUCK))
        with self._file.lock:
            rows = self._file.select(f"SELECT id, relative FROM files WHERE state IN {states}")  # noqa: S608 - constants
            gone = [(row,) for row, relative in rows if os.fsdecode(relative) not in present]
            if gone:
                self._tally = None
                with self._file.transaction() as connection:
                    connection.executemany("DELETE FROM files WHERE id = ?", gone)
        return len(gone)

    def recognise(self, file: FileVersion, sha256: bytes, *, now: str) -> LedgerEntry | None:
        """Find the same content at the same path among the files already carried, and return that row, else None.

        Inode and mtime may be new: FUSE and FAT number inodes anew at each mount, and a copy back changes both. The row
        takes the present ones over, and the row that `observe` made for them goes, so it stays one file in one state.

        Raises:
            StorageError: the disk refused.
        """
        with self._file.lock:
            own = self.find(file)
            if own is not None and own.state in CARRIED:
                return own if own.sha256 == sha256 else None
            known = self._file.select(
                f"SELECT id FROM files WHERE relative = ? AND sha256 = ? AND state IN {listed(CARRIED)} "  # noqa: S608
                "ORDER BY id DESC LIMIT 1",
                (os.fsencode(file.relative), sha256),
            )
            if not known:
                return None
            row = known[0][0]
            self._tally = None
            with self._file.transaction() as connection:
                connection.execute("DELETE FROM files WHERE id = ?", (self._row_id(file),))
                self._take_over(connection, row, file, now)
            return self._entry(row)

    # --- steps ------------------------------------------------------------------------------------------------------

    def advance(
        self, key: FileVersion | str, *states: FileState, now: str, facts: ImageFacts | None = None
    ) -> LedgerEntry:
        """Take the step to a state, or to one after another, and return the row. Being there already is no error.

        Args:
            key: the file, or the image id.
            states: the states to enter, all in one transaction; the side states have methods of their own.
            now: UTC, ISO 8601.
            facts: what the image is, required for the step to sealed.

        Raises:
            EdgeError: the ledger does not know the file, or no such step leads from its state.
            StorageError: the disk refused.
        """
        with self._file.lock:
            self.advance_all([(key, facts)], *states, now=now)
            return self._known(key)[1]

    def advance_all(
        self, files: Sequence[tuple[FileVersion | str, ImageFacts | None]], *states: FileState, now: str
    ) -> None:
        """Take the same steps with several files, each with its facts, as `advance` does with one: with all, or none."""
        for state in states:
            if state in {FileState.QUARANTINED, FileState.IGNORED, FileState.STUCK}:
                raise EdgeError(f"a file is {state} for a reason, and none is given")
        with self._file.lock:
            self._take([self._steps(*self._known(key), *states, facts=facts) for key, facts in files], now)

    def begin_sealing(self, file: FileVersion, sha256: bytes, *, now: str) -> int:
        """Record that a file has settled, and return the number of the image that is made of it: the next, never reused.

        A file whose image of this content the spool has lost, or that can be read at last, begins anew. A power cut may take
        the number back, and that the file settled: nobody hears of the image before it is in the spool and its step to
        sealed is recorded, both of which make the number durable.

        Raises:
            EdgeError, StorageError: as `advance`.
        """
        numbers: list[int] = []
        with self._file.lock:
            row, before = self._known(file)
            anew = [FileState.SEEN] if before.unread or (before.lost and before.sha256 == sha256) else []
            steps = self._steps(row, before, *anew, FileState.SETTLED)
            self._take([steps], now, also=lambda connection: numbers.append(self._numbers.take(connection)))
            self._numbers.cover(numbers[0])
        return numbers[0]

    def quarantine(self, key: FileVersion | str, *, reason: str, now: str, hint: str = "") -> LedgerEntry:
        """Set a file aside that can never be delivered as it is. `reason` is an error's code; raises as `advance`."""
        return self._set_aside(key, FileState.QUARANTINED, reason=reason, now=now, hint=hint)

    def ignore(self, key: FileVersion | str, *, reason: str, now: str, hint: str = "") -> LedgerEntry:
        """Leave a file alone that is no image to carry. `reason` is a code; raises as `advance`."""
        return self._set_aside(key, FileState.IGNORED, reason=reason, now=now, hint=hint)

    def stuck(self, key: FileVersion | str, *, reason: str, now: str, hint: str = "") -> LedgerEntry:
        """Report a file that stays empty or incomplete. `reason` is an error's code; raises as `advance`."""
        return self._set_aside(key, FileState.STUCK, reason=reason, now=now, hint=hint)

    def _set_aside(self, key: FileVersion | str, state: FileState, *, reason: str, now: str, hint: str) -> LedgerEntry:
        with self._file.lock:
            row, before = self._known(key)
            self._take([self._steps(row, before, state, reason=reason, hint=hint)], now)
            return self._entry(row)

    def _steps(
        self,
        row: int,
        before: LedgerEntry,
        *states: FileState,
        reason: str = "",
        hint: str = "",
        facts: ImageFacts | None = None,
    ) -> _Steps:
        """Insist that a file may go to these states; those that it has passed already are left out."""
        if facts is not None and before.image_id not in {None, facts.image_id}:
            raise EdgeError("the file has another image already")
        states = before.steps_to(states, reason)
        if (before.state, *states[:1]) == (FileState.QUARANTINED, FileState.SEEN) and self._has_newer(row, before):
            raise EdgeError("the file has newer content by now", hint="that is carried; this cannot be read again")
        if FileState.SEALED in states and facts is None and before.image_id is None:
            raise EdgeError("a file without an image cannot be sealed")
        return _Steps(row, before, states, reason, hint, facts)

    def _take(
        self, files: Sequence[_Steps], now: str, *, also: Callable[[sqlite3.Connection], None] | None = None
    ) -> None:
        """Take the steps of several files, and do `also` what is to be done with them, in one transaction."""
        taken = [state for steps in files for state in steps.states]
        if not taken and also is None:
            return
        tally, self._tally = self._tally, None
        with self._file.transaction(durable=not _NOT_SYNCED.issuperset(taken)) as connection:
            for steps in files:
                if FileState.SEEN in steps.states:
                    self._write_facts(connection, steps.row, None)
                if steps.states and steps.facts is not None:
                    self._write_facts(connection, steps.row, steps.facts)
                for state in steps.states:
                    self._enter(connection, steps.row, state, now=now, reason=steps.reason, hint=steps.hint)
            if also is not None:
                also(connection)
        if tally is not None:
            for steps in files:
                tally[steps.before.state] -= 1
                tally[(steps.before.state, *steps.states)[-1]] += 1
        self._tally = tally

    def _has_newer(self, row: int, entry: LedgerEntry) -> bool:
        path = os.fsencode(entry.relative)
        return bool(self._file.select("SELECT 1 FROM files WHERE relative = ? AND id > ? LIMIT 1", (path, row)))

    @staticmethod
    def _enter(
        connection: sqlite3.Connection,
        row: int | None,
        state: FileState,
        *,
        now: str,
        reason: str = "",
        hint: str = "",
    ) -> None:
        connection.execute(
            "UPDATE files SET state = ?, reason = ?, hint = ?, changed = ? WHERE id = ?",
            (state, reason, hint, now, row),
        )
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (row, state, reason, now))

    @staticmethod
    def _write_facts(connection: sqlite3.Connection, row: int, facts: ImageFacts | None) -> None:
        values = (None, None, None, None, "", "", "", "", "") if facts is None else facts.columns()
        connection.execute(
            "UPDATE files SET image_id = ?, sequence = ?, sha256 = ?, sealed_bytes = ?, captured = ?, "
            "capture_source = ?, network = ?, map = ?, domain = ? WHERE id = ?",
            (*values, row),
        )

    def restore(
        self, file: FileVersion, *, image_id: str, sequence: int, sha256: bytes, sealed_bytes: int, now: str
    ) -> LedgerEntry:
        """Write the row of an image that the spool holds and the ledger does not know, as sealed; a known one stays.

        The spool is the truth: a row of the same file that is not sealed yet (a crash came between spool and ledger)
        becomes this one. The sequence counter is raised to the image's number.

        Raises:
            StorageError: the disk refused.
        """
        with self._file.lock:
            known = self.by_image(image_id)
            if known is not None:
                return known
            facts = ImageFacts(image_id=image_id, sequence=sequence, sha256=sha256, sealed_bytes=sealed_bytes)
            self._tally = None
            with self._file.transaction() as connection:
                row = self._row_id(file)
                if row is None:
                    self._insert_or_supersede(connection, file, now)
                    row = self._row_id(file)
                if row is None:
                    raise EdgeError("a row of the ledger vanished between two statements")
                self._write_facts(connection, row, facts)
                self._enter(connection, row, FileState.SEALED, now=now)
                self._numbers.pass_over(connection, sequence)
            return self._entry(row)

    def next_sequence(self) -> int:
        """Return the next sequence number of this device, from 1; it is durable before it is returned, never reused.

        Raises:
            StorageError: the disk refused.
        """
        with self._file.lock:
            with self._file.transaction() as connection:
                number = self._numbers.take(connection)
            self._numbers.cover(number)
        return number

    # --- counts -----------------------------------------------------------------------------------------------------

    def counts(self) -> dict[FileState, int]:
        """Return how many files are in each state; together they are all files the device accounts for."""
        with self._file.lock:
            if self._tally is None:
                self._tally = super().counts()
            return dict(self._tally)
