"""Hold the ledger's SQLite file: make it, check it, and give transactions whose effect survives a power cut.

WAL mode with synchronous=FULL: a commit is on the disk before it returns, and all before it. A transaction may do without,
where losing it loses nothing: a power cut takes back the last ones of that kind, and never a part of one. SQLite's errors
end here, as plain words.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

from edge import durable
from edge.errors import ConfigError, DiskFailing, DiskFull, DiskReadOnly, EdgeError, LedgerCorrupt, StorageError

SCHEMA_VERSION: Final = 1
_APPLICATION_ID: Final = 0x45444745  # "EDGE": tells our file from any other SQLite database
_BUSY_SECONDS: Final = 10.0  # how long one process waits for the other's transaction

_SCHEMA: Final = (
    """
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        relative BLOB NOT NULL, inode TEXT NOT NULL, size INTEGER NOT NULL, mtime_ns TEXT NOT NULL,
        state TEXT NOT NULL, reason TEXT NOT NULL DEFAULT '', hint TEXT NOT NULL DEFAULT '',
        image_id TEXT UNIQUE, sequence INTEGER, sha256 BLOB, sealed_bytes INTEGER,
        captured TEXT NOT NULL DEFAULT '', capture_source TEXT NOT NULL DEFAULT '',
        network TEXT NOT NULL DEFAULT '', map TEXT NOT NULL DEFAULT '', domain TEXT NOT NULL DEFAULT '',
        first_seen TEXT NOT NULL, changed TEXT NOT NULL,
        UNIQUE (relative, inode, size, mtime_ns)
    )""",
    "CREATE INDEX files_by_state ON files (state)",
    "CREATE INDEX files_by_hash ON files (sha256) WHERE sha256 IS NOT NULL",
    """
    CREATE TABLE events (
        file INTEGER NOT NULL REFERENCES files (id) ON DELETE CASCADE,
        state TEXT NOT NULL, reason TEXT NOT NULL, at TEXT NOT NULL
    )""",
    "CREATE INDEX events_by_file ON events (file)",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL)",
    "INSERT INTO counters VALUES ('sequence', 0)",
)

_SQLITE_SAYS: Final[Mapping[int, tuple[type[StorageError], str, str]]] = {
    sqlite3.SQLITE_FULL: (DiskFull, "the disk is full", "free space on the disk of the state directory"),
    sqlite3.SQLITE_IOERR: (DiskFailing, "the disk reports an input/output error", ""),
    sqlite3.SQLITE_READONLY: (
        *(DiskReadOnly, "the ledger cannot be written"),
        "check its owner, and whether the disk is read-only",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        *(StorageError, "the ledger cannot be opened"),
        "check that it exists and run this as the service's user",
    ),
    sqlite3.SQLITE_PERM: (StorageError, "the ledger may not be opened", "run this as the service's user"),
    sqlite3.SQLITE_BUSY: (StorageError, "the ledger is held by another process", "try again"),
    sqlite3.SQLITE_LOCKED: (StorageError, "the ledger is held by another process", "try again"),
}
_DAMAGED: Final = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT})
_REBUILD: Final = "edge-encryptor sets it aside when it starts, and builds a new one from the spool; no image is lost"


class LedgerFile:
    """One connection to the ledger's file, guarded by a lock, so threads may share it."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.lock = threading.RLock()
        self._connection = connection
        self._path = path
        self._doubtful = False
        self._syncs: bool | None = None

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open the ledger for writing, making it if there is none, and check its integrity.

        Raises:
            LedgerCorrupt: it is damaged, or no database.
            ConfigError: a newer version of this program wrote it, or another program.
            StorageError: the disk refused.
        """
        if not path.exists():
            # A log without its database belongs to one that is gone: SQLite would play it into the new one.
            set_aside(path)
            _create_empty(path)
        file = cls(_connect(path, "rw"), path)
        with file._closed_on_error():
            if file._connection.execute("PRAGMA quick_check(1)").fetchall() != [("ok",)]:
                raise LedgerCorrupt("the ledger is damaged", hint=_REBUILD)
            version = file._check_schema()
            file._connection.execute("PRAGMA journal_mode = WAL").fetchall()
            file._sync_commits(True)
            file._connection.execute("PRAGMA foreign_keys = ON")
            if version == 0:
                file._create_schema()
        return file

    @classmethod
    def open_read_only(cls, path: Path) -> Self:
        """Open an existing ledger for reading only, beside a process that writes it.

        Raises:
            LedgerCorrupt: it is damaged, or no database.
            ConfigError: a newer version of this program wrote it, or another program.
            StorageError: there is none, or it may not be read.
        """
        if not path.exists():
            raise StorageError("there is no ledger yet", hint="it is made when edge-encryptor first runs")
        file = cls(_connect(path, "ro"), path)
        with file._closed_on_error():
            if file._check_schema() == 0:
                raise StorageError("the ledger is still being made", hint="try again")
        return file

    @contextmanager
    def _closed_on_error(self) -> Iterator[None]:
        try:
            with _in_plain_words(self._path):
                yield
        except BaseException:
            self._connection.close()
            raise

    def _check_schema(self) -> int:
        """Return the schema's version, 0 for an empty file."""
        # In one transaction: another process may be making the schema just now.
        self._connection.execute("BEGIN")
        [(version,)] = self._connection.execute("PRAGMA user_version").fetchall()
        [(application,)] = self._connection.execute("PRAGMA application_id").fetchall()
        [(tables,)] = self._connection.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        self._connection.execute("ROLLBACK")
        if version > SCHEMA_VERSION:
            raise ConfigError("a newer version of this program wrote the ledger", hint="install that version again")
        if (application, bool(tables)) not in {(_APPLICATION_ID, True), (0, False)}:
            raise ConfigError(
                "another program's database lies in the ledger's place", hint="give device.state a folder of its own"
            )
        return int(version)

    def _create_schema(self) -> None:
        with self.transaction() as connection:
            for statement in _SCHEMA:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")

    def close(self) -> None:
        """Close the connection; closing twice is fine."""
        with self.lock:
            self._connection.close()

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """Commit what the block does, durably; undo it if the block or the commit fails.

        With `durable` false nothing is synced: a power cut may take the commit back, until a durable one follows.

        Raises:
            StorageError: the disk refused; nothing has changed.
        """
        with self.lock, _in_plain_words(self._path):
            self._sync_commits(durable)
            self._leave_doubtful_log()
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException as error:
                self._doubtful = self._doubtful or _primary_code(error) == sqlite3.SQLITE_IOERR
                # After some disk errors SQLite has rolled back by itself.
                if self._connection.in_transaction:
                    with contextlib.suppress(sqlite3.Error):
                        self._connection.execute("ROLLBACK")
                raise

    def _leave_doubtful_log(self) -> None:
        """Empty the log after an error of the disk: a sync that failed may have cost what was written before it, too.

        Whatever is committed behind such a hole would be lost with it by a power cut.
        """
        if self._doubtful:
            [(was_busy, *_)] = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
            self._doubtful = bool(was_busy)

    def _sync_commits(self, durable: bool) -> None:
        """Have the next commits synced, or not."""
        if durable is not self._syncs:
            self._syncs = None  # a stop may come in between: then the next one says it again
            # In WAL mode, NORMAL leaves out the sync of a commit and nothing else.
            self._connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            self._syncs = durable

    def select(self, query: str, values: tuple[object, ...] = ()) -> list[Any]:
        """Return all rows of a query.

        Raises:
            StorageError: the disk refused.
        """
        return self.select_each(query, [values])[0]

    def select_each(self, query: str, values: Iterable[tuple[object, ...]]) -> list[list[Any]]:
        """Return all rows of a query, once for each tuple of values.

        Raises:
            StorageError: the disk refused.
        """
        with self.lock, _in_plain_words(self._path):
            return [self._connection.execute(query, each).fetchall() for each in values]


def set_aside(path: Path) -> None:
    """Give the files of a ledger names under which they are kept, and nobody's: `<name>.damaged-<number>`.

    The database goes first: what a crash leaves of its log is set aside when the next one is made.

    Raises:
        StorageError: the disk refused.
    """
    moved = False
    try:
        for suffix in ("", "-wal", "-shm"):
            source = path.with_name(f"{path.name}{suffix}")
            if source.exists():
                names = (path.with_name(f"{path.name}.damaged-{number}{suffix}") for number in count(1))
                source.rename(next(name for name in names if not name.exists()))
                moved = True
    except OSError as error:
        raise durable.storage_error(error) from error
    if moved:
        durable.fsync_folder(path.parent)


def _create_empty(path: Path) -> None:
    """Make the empty file first, so that SQLite's three files get its mode, whatever the umask is."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise durable.storage_error(error) from error
    durable.fsync_folder(path.parent)


def _connect(path: Path, mode: str) -> sqlite3.Connection:
    with _in_plain_words(path):
        return sqlite3.connect(
            f"{path.absolute().as_uri()}?mode={mode}",
            uri=True,
            timeout=_BUSY_SECONDS,
            isolation_level=None,
            check_same_thread=False,
        )


@contextmanager
def _in_plain_words(path: Path) -> Iterator[None]:
    """Turn SQLite's errors into ours; its messages stay behind, because they can quote values."""
    try:
        yield
    except sqlite3.Error as error:
        code = _primary_code(error)
        if code in _DAMAGED:
            raise LedgerCorrupt("the ledger is damaged", hint=_REBUILD) from error
        if code == sqlite3.SQLITE_IOERR:
            _ask_the_disk(path)
        if code in _SQLITE_SAYS:
            kind, message, hint = _SQLITE_SAYS[code]
            raise kind(message, hint=hint) from error
        raise EdgeError("the ledger refuses a statement: this is a fault in the program") from error


def _primary_code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & 0xFF  # the low byte is the primary code


def _ask_the_disk(path: Path) -> None:
    """Raise what the disk itself says: SQLite calls a file system an error that has just turned read-only."""
    try:
        os.utime(path)
    except OSError as error:
        raise durable.storage_error(error) from error
