"""The ledger's SQLite file: whose it is, what damage and other processes do to it, and that no commit is lost."""

import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edge.errors import ConfigError, LedgerCorrupt, StorageError
from edge.intake.ledger import FileState, Ledger
from edge.stopping import Left
from tests.intake.rows import FACTS, FILE, T0, T1, T2, Version


def test_the_file_is_for_its_owner_only_and_syncs_every_commit(ledger, tmp_path):
    ledger.observe(FILE, now=T0)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert ledger._file.select("PRAGMA synchronous") == [(2,)]
    assert ledger._file.select("PRAGMA journal_mode") == [("wal",)]


@pytest.mark.parametrize("content", [b"not a database, not at all" * 100, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_file_that_is_no_ledger_is_refused(tmp_path, content):
    (tmp_path / "ledger.sqlite").write_bytes(content)
    for opener in (Ledger.open, Ledger.open_read_only):
        with pytest.raises(LedgerCorrupt):
            opener(tmp_path / "ledger.sqlite")
    assert (tmp_path / "ledger.sqlite").read_bytes() == content


def test_another_programs_database_is_refused_and_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE precious (x)")
    other.close()
    before = path.read_bytes()
    for opener in (Ledger.open, Ledger.open_or_begin_anew, Ledger.open_read_only):
        with pytest.raises(ConfigError, match="another program"):
            opener(path)
    assert path.read_bytes() == before


def test_a_damaged_ledger_is_kept_aside_and_begun_anew(tmp_path):
    path = tmp_path / "ledger.sqlite"
    for number in (1, 2):
        damaged = b"not a database %d" % number * 100
        path.write_bytes(damaged)
        with Ledger.open_or_begin_anew(path) as ledger:
            assert ledger.entries() == ()
            assert ledger.observe(FILE, now=T0).state is FileState.SEEN
        assert (tmp_path / f"ledger.sqlite.damaged-{number}").read_bytes() == damaged


def test_the_log_of_a_ledger_that_is_gone_is_not_played_into_a_new_one(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.observe(FILE, now=T0)
        log = (tmp_path / "ledger.sqlite-wal").read_bytes()
        path.unlink()
        with Ledger.open(path) as anew:
            assert anew.entries() == ()
    assert (tmp_path / "ledger.sqlite.damaged-1-wal").read_bytes() == log


def test_damage_inside_is_found_at_opening(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        ledger.observe_all([Version(relative=f"{n:05d}", inode=n) for n in range(2000)], now=T0)
    content = bytearray(path.read_bytes())
    content[8192:16384] = b"\xff" * 8192
    path.write_bytes(content)
    with pytest.raises(LedgerCorrupt) as caught:
        Ledger.open(path)
    assert not caught.value.retryable
    path.write_bytes(content[:5000])
    with pytest.raises(LedgerCorrupt):
        Ledger.open(path)


def test_a_newer_versions_ledger_is_left_alone(tmp_path):
    path = tmp_path / "ledger.sqlite"
    Ledger.open(path).close()
    newer = sqlite3.connect(path)
    newer.execute("PRAGMA user_version = 99")
    newer.close()
    for opener in (Ledger.open, Ledger.open_read_only):
        with pytest.raises(ConfigError, match="newer version"):
            opener(path)


def test_a_missing_folder_or_ledger_is_a_storage_error(tmp_path):
    with pytest.raises(StorageError):
        Ledger.open(tmp_path / "missing" / "ledger.sqlite")
    with pytest.raises(StorageError, match="no ledger yet"):
        Ledger.open_read_only(tmp_path / "ledger.sqlite")
    (tmp_path / "ledger.sqlite").mkdir()
    with pytest.raises(StorageError, match="cannot be opened"):
        Ledger.open(tmp_path / "ledger.sqlite")


def test_nothing_is_committed_behind_a_commit_that_failed(ledger, tmp_path):
    class Refusing:
        """A connection whose next commit meets an error of the disk; it writes down what it is told."""

        def __init__(self, real):
            self.real, self.refuses, self.said = real, True, []

        def execute(self, statement, *values):
            self.said.append(statement)
            if statement == "COMMIT" and self.refuses:
                self.refuses = False
                error = sqlite3.OperationalError("disk I/O error")
                error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
                raise error
            return self.real.execute(statement, *values)

        def __getattr__(self, name):
            return getattr(self.real, name)

    ledger.observe(FILE, now=T0)
    log = tmp_path / "ledger.sqlite-wal"
    ledger._file._connection = refusing = Refusing(ledger._file._connection)
    before = log.stat().st_size
    with pytest.raises(StorageError):
        ledger.advance(FILE, FileState.SETTLED, now=T1)
    assert ledger.find(FILE).state is FileState.SEEN
    assert ledger.counts()[FileState.SEEN] == 1
    refusing.said.clear()
    assert ledger.advance(FILE, FileState.SETTLED, now=T1).state is FileState.SETTLED
    assert log.stat().st_size <= before  # begun anew
    assert refusing.said.index("PRAGMA wal_checkpoint(TRUNCATE)") < refusing.said.index("BEGIN IMMEDIATE")
    refusing.said.clear()
    ledger.advance(FILE, FileState.SEALED, now=T1, facts=FACTS)
    assert "PRAGMA wal_checkpoint(TRUNCATE)" not in refusing.said


def test_a_full_disk_is_said_in_plain_words_and_changes_nothing(ledger):
    ledger.observe(FILE, now=T0)
    [(pages,)] = ledger._file.select("PRAGMA page_count")
    ledger._file.select(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(StorageError, match="the disk is full"):
        ledger.observe_all([Version(relative=f"{n:0200d}", inode=n) for n in range(500)], now=T1)
    assert sum(ledger.counts().values()) == 1
    ledger._file.select("PRAGMA max_page_count = 1000000")
    assert ledger.advance(FILE, FileState.SETTLED, now=T2).state is FileState.SETTLED


def test_a_reader_sees_what_the_writer_committed_and_cannot_write(ledger, tmp_path):
    ledger.observe(FILE, now=T0)
    with Ledger.open_read_only(tmp_path / "ledger.sqlite") as reader:
        assert reader.find(FILE).state is FileState.SEEN
        ledger.advance(FILE, FileState.SETTLED, now=T1)
        assert reader.counts()[FileState.SETTLED] == 1
        with pytest.raises(StorageError, match="cannot be written"), reader._file.transaction() as connection:
            connection.execute("DELETE FROM files")
        assert reader.find(FILE).state is FileState.SETTLED


def test_a_reader_may_come_when_the_writer_is_gone(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        ledger.observe(FILE, now=T0)
    with Ledger.open_read_only(tmp_path / "ledger.sqlite") as reader:
        assert len(reader.entries()) == 1


def test_a_reader_may_come_while_the_ledger_is_being_made(tmp_path):
    for number in range(20):
        path = tmp_path / f"{number}.sqlite"
        writer = threading.Thread(target=lambda path=path: Ledger.open(path).close())
        writer.start()
        while True:
            try:
                Ledger.open_read_only(path).close()
                break
            except StorageError:
                continue  # there is none yet, or it is still being made; it is never taken for another program's
        writer.join()


def test_a_reader_in_another_process_during_a_transaction_sees_the_state_before(ledger, tmp_path):
    ledger.observe(FILE, now=T0)
    code = (
        "import sys\nfrom pathlib import Path\nfrom edge.intake.ledger import Ledger\n"
        "with Ledger.open_read_only(Path(sys.argv[1])) as ledger:\n"
        "    print(*(entry.state for entry in ledger.entries()))\n"
    )
    with ledger._file.transaction() as connection:
        connection.execute("UPDATE files SET state = 'settled'")
        done = subprocess.run(
            [sys.executable, "-c", code, tmp_path / "ledger.sqlite"],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    assert done.stdout == "seen\n"


def test_threads_share_a_ledger(ledger):
    numbers, errors = [], []

    def work(name):
        try:
            for n in range(20):
                file = Version(relative=f"{name}/{n}")
                ledger.observe(file, now=T0)
                ledger.advance(file, FileState.SETTLED, now=T1)
                numbers.append(ledger.next_sequence())
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(numbers) == list(range(1, 81))
    assert ledger.counts()[FileState.SETTLED] == 80


WRITER = """
import sys
from dataclasses import dataclass
from pathlib import Path
from edge.intake.ledger import FileState, ImageFacts, Ledger

@dataclass(frozen=True)
class Version:
    relative: str
    inode: int = 1
    size: int = 1
    mtime_ns: int = 1

ledger = Ledger.open(Path(sys.argv[1]))
while True:
    n = ledger.next_sequence()
    file = Version(f"{n}.png")
    ledger.observe(file, now="t")
    ledger.advance(file, FileState.SETTLED, now="t")
    facts = ImageFacts(image_id=f"{n:032x}", sequence=n, sha256=bytes(32), sealed_bytes=1)
    ledger.advance(file, FileState.SEALED, now="t", facts=facts)
    print(n, flush=True)
"""


def test_a_writer_killed_at_any_moment_loses_nothing_it_reported(tmp_path):
    path, reported = tmp_path / "ledger.sqlite", 0
    for round_number in range(3):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, path], stdout=subprocess.PIPE, text=True)
        for _ in range(7 + 5 * round_number):
            reported = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest, _ = writer.communicate(timeout=60)
        reported = max([reported, *(int(line) for line in rest.split("\n")[:-1])])
        with Ledger.open_read_only(path) as reader:
            assert reader.by_image(f"{reported:032x}").state is FileState.SEALED
        with Ledger.open(path) as ledger:
            entries = ledger.entries()
            for entry in entries:
                assert ledger.history(entry)[-1].state is entry.state
                assert (entry.state is FileState.SEALED) == (entry.image_id is not None)
            assert {entry.sequence for entry in entries} >= {reported}
            # A sequence number that was handed out is not handed out again, whether or not it was used.
            assert ledger.next_sequence() > reported
    assert Path(path).exists()


def test_a_stop_in_the_middle_of_a_switch_leaves_no_later_commit_unsynced(ledger):
    """`Left` may come at any point of one thread; another one goes on and records receipts."""
    file = ledger._file
    real = file._connection

    class Interrupted:
        def __getattr__(self, name):
            return getattr(real, name)

        def execute(self, statement, *values):
            done = real.execute(statement, *values)
            if statement == "PRAGMA synchronous = NORMAL":
                raise Left
            return done

    file._connection = Interrupted()
    with pytest.raises(Left), file.transaction(durable=False):
        pass
    file._connection = real
    with file.transaction(durable=True) as connection:
        pass
    assert connection.execute("PRAGMA synchronous").fetchall() == [(2,)]
