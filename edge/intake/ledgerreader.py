"""What the ledger says: its rows, found and counted.

The rule kept here: nothing here writes.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edge.errors import EdgeError
from edge.intake.ledgerfile import LedgerFile
from edge.intake.states import FileState, FileVersion, LedgerEntry, LedgerEvent

COLUMNS: Final = (
    "relative, inode, size, mtime_ns, state, reason, hint, image_id, sequence, sha256, sealed_bytes, captured, "
    "capture_source, network, map, domain, first_seen, changed"
)
SAME_FILE: Final = "relative = ? AND inode = ? AND size = ? AND mtime_ns = ?"


class LedgerReader:
    """The ledger as others may read it while one process writes. A `key` is what `Ledger` says."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    @staticmethod
    def open_read_only(path: Path) -> LedgerReader:
        """Open an existing ledger for reading only, beside a process that writes it.

        Raises:
            LedgerCorrupt: it is damaged, or no database.
            ConfigError: a newer version of this program wrote it, or another program.
            StorageError: there is none, or it may not be read.
        """
        return LedgerReader(LedgerFile.open_read_only(path))

    def close(self) -> None:
        """Close the file; closing twice is fine."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def find(self, file: FileVersion) -> LedgerEntry | None:
        """Return the row of exactly this content of this file."""
        found = self._entries(f"WHERE {_where(file)}", _values(file))
        return found[0] if found else None

    def by_image(self, image_id: str) -> LedgerEntry | None:
        """Return the row of an image, by its id in hexadecimal."""
        found = self._entries("WHERE image_id = ?", (image_id,))
        return found[0] if found else None

    def knows(self, sha256: bytes) -> bool:
        """Say whether any file was sealed with this content."""
        return bool(self._file.select("SELECT 1 FROM files WHERE sha256 = ? LIMIT 1", (sha256,)))

    def by_hash(self, sha256: bytes) -> tuple[LedgerEntry, ...]:
        """Return the rows of every file that was sealed with this content, oldest first."""
        return self._entries("WHERE sha256 = ? ORDER BY id", (sha256,))

    def entries(self, states: Collection[FileState] = (), *, limit: int | None = None) -> tuple[LedgerEntry, ...]:
        """Return the rows in these states (in any, if none is named), in the order in which they were first seen.

        That is the order of their numbers: the times are those of a clock that may have been years off.
        """
        where = f"WHERE state IN {listed(states)} " if states else ""
        return self._entries(where + "ORDER BY id LIMIT ?", (-1 if limit is None else limit,))

    def counts(self) -> dict[FileState, int]:
        """Return how many files are in each state; together they are all files the device accounts for."""
        counts = dict.fromkeys(FileState, 0)
        rows = self._file.select("SELECT state, count(*) FROM files GROUP BY state")
        counts.update({FileState(state): number for state, number in rows})
        return counts

    def history(self, key: FileVersion | str) -> tuple[LedgerEvent, ...]:
        """Return the states that a file went through, oldest first; empty for an unknown one."""
        with self._file.lock:
            rows = self._file.select(
                "SELECT state, reason, at FROM events WHERE file = ? ORDER BY rowid", (self._row_id(key),)
            )
        return tuple(LedgerEvent(FileState(state), reason, at) for state, reason, at in rows)

    def _row_id(self, key: FileVersion | str) -> int | None:
        found = self._file.select(f"SELECT id FROM files WHERE {_where(key)}", _values(key))  # noqa: S608 - constants
        return int(found[0][0]) if found else None

    def _known(self, key: FileVersion | str) -> tuple[int, LedgerEntry]:
        """Return the number of a row, and the row.

        Raises:
            EdgeError: there is none.
        """
        found = self._file.select(f"SELECT id, {COLUMNS} FROM files WHERE {_where(key)}", _values(key))  # noqa: S608
        if not found:
            raise EdgeError("the ledger does not know this file")
        row, *columns = found[0]
        return row, LedgerEntry.of_row(columns)

    def _entry(self, row: int) -> LedgerEntry:
        return self._entries("WHERE id = ?", (row,))[0]

    def _entries(self, rest: str, values: tuple[object, ...]) -> tuple[LedgerEntry, ...]:
        rows = self._file.select(f"SELECT {COLUMNS} FROM files {rest}", values)  # noqa: S608 - constants
        return tuple(LedgerEntry.of_row(row) for row in rows)


def _where(key: FileVersion | str) -> str:
    return "image_id = ?" if isinstance(key, str) else SAME_FILE


def _values(key: FileVersion | str) -> tuple[object, ...]:
    return (key,) if isinstance(key, str) else identity(key)


def identity(file: FileVersion) -> tuple[bytes, str, int, str]:
    """Return the values that `SAME_FILE` compares."""
    return os.fsencode(file.relative), str(file.inode), file.size, str(file.mtime_ns)


def listed(states: Iterable[FileState]) -> str:
    """Return states as the list of an SQL `IN`."""
    return "(" + ", ".join(f"'{FileState(state)}'" for state in states) + ")"
