"""Every file is in exactly one state, over restarts, crashes and other processes; illegal steps are refused."""

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import ConfigError, EdgeError, LedgerCorrupt, StorageError
from edge.intake.ledger import FileState, ImageFacts, Ledger
from edge.intake.states import STEPS, UNREADABLE
from edge.records import CaptureSource, CaptureTime

T0, T1, T2 = (f"2026-01-02T03:04:0{n}+00:00" for n in range(3))


@dataclass(frozen=True)
class Version:
    relative: str = "study/a.png"
    inode: int = 7
    size: int = 10
    mtime_ns: int = 5


FILE = Version()
FACTS = ImageFacts(
    image_id="00" * 15 + "01",
    sequence=1,
    sha256=b"\x01" * 32,
    sealed_bytes=1234,
    capture=CaptureTime(datetime.fromisoformat("2026-01-01T08:30:00.250000"), CaptureSource.EXIF_ORIGINAL),
    network="mobilenetv2",
    map="logistic",
    domain="file",
)


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened


def bring_to(ledger, state, file=FILE, facts=FACTS):
    """Take the shortest legal way to a state."""
    ledger.observe(file, now=T0)
    if state is FileState.IGNORED:
        ledger.ignore(file, reason="no-image", now=T0)
    elif state is FileState.STUCK:
        ledger.stuck(file, reason="empty-file", now=T0)
    elif state is FileState.QUARANTINED:
        bring_to(ledger, FileState.SEALED, file, facts)
        ledger.quarantine(file, reason="unknown-signer", hint="enrol it", now=T0)
    else:
        way = (FileState.SEEN, *(s for s in FileState if s in PROGRESS))
        for step in way[1 : way.index(state) + 1]:
            ledger.advance(file, step, now=T0, facts=facts if step is FileState.SEALED else None)


PROGRESS = (FileState.SETTLED, FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED, FileState.DISPOSED)


def step(ledger, state, file, facts):
    if state is FileState.QUARANTINED:
        return ledger.quarantine(file, reason="r", now=T1)
    if state is FileState.IGNORED:
        return ledger.ignore(file, reason="r", now=T1)
    if state is FileState.STUCK:
        return ledger.stuck(file, reason="r", now=T1)
    return ledger.advance(file, state, now=T1, facts=facts if state is FileState.SEALED else None)


def test_an_image_goes_all_the_way_and_its_row_says_so(ledger):
    entry = ledger.observe(FILE, now=T0)
    assert (entry.state, entry.first_seen, entry.changed, entry.image_id) == (FileState.SEEN, T0, T0, None)
    ledger.advance(FILE, FileState.SETTLED, now=T1)
    entry = ledger.advance(FILE, FileState.SEALED, now=T1, facts=FACTS)
    assert (entry.relative, entry.inode, entry.size, entry.mtime_ns) == ("study/a.png", 7, 10, 5)
    assert (entry.image_id, entry.sequence, entry.sha256, entry.sealed_bytes) == (
        FACTS.image_id,
        1,
        FACTS.sha256,
        1234,
    )
    assert (entry.captured, entry.capture_source) == ("2026-01-01T08:30:00.250000", "exif_original")
    assert (entry.network, entry.map, entry.domain) == ("mobilenetv2", "logistic", "file")
    for state in (FileState.OFFERED, FileState.RECEIPTED, FileState.DISPOSED):
        ledger.advance(FACTS.image_id, state, now=T2)
    entry = ledger.by_image(FACTS.image_id)
    assert (entry.state, entry.first_seen, entry.changed) == (FileState.DISPOSED, T0, T2)
    assert ledger.find(FILE) == ledger.find(entry) == entry
    assert [(event.state, event.at) for event in ledger.history(FILE)] == [
        (FileState.SEEN, T0),
        (FileState.SETTLED, T1),
        (FileState.SEALED, T1),
        (FileState.OFFERED, T2),
        (FileState.RECEIPTED, T2),
        (FileState.DISPOSED, T2),
    ]


@pytest.mark.parametrize("before", FileState)
def test_only_the_steps_of_the_table_are_taken(ledger, before):
    for number, after in enumerate(FileState):
        file, facts = Version(relative=after), replace(FACTS, image_id=f"{number:032x}")
        bring_to(ledger, before, file, facts)
        row = ledger.find(file)
        if before is after or after in STEPS[before]:
            assert step(ledger, after, file, facts).state is after
        else:
            with pytest.raises(EdgeError, match=f"from {before} to {after}"):
                step(ledger, after, file, facts)
            assert ledger.find(file) == row
    assert sum(ledger.counts().values()) == len(FileState)


def test_repeating_a_step_writes_nothing(ledger):
    bring_to(ledger, FileState.OFFERED)
    before = ledger.find(FILE)
    assert ledger.advance(FILE, FileState.OFFERED, now=T2) == before
    assert ledger.history(FILE)[-1].at == T0


def test_a_step_needs_what_it_records(ledger):
    with pytest.raises(EdgeError, match="does not know"):
        ledger.advance(FILE, FileState.SETTLED, now=T0)
    bring_to(ledger, FileState.SETTLED)
    with pytest.raises(EdgeError, match="without an image"):
        ledger.advance(FILE, FileState.SEALED, now=T1)
    for state in (FileState.QUARANTINED, FileState.IGNORED, FileState.STUCK):
        with pytest.raises(EdgeError, match="reason"):
            ledger.advance(FILE, state, now=T1)
    ledger.advance(FILE, FileState.SEALED, now=T1, facts=FACTS)
    with pytest.raises(EdgeError, match="another image"):
        ledger.advance(FILE, FileState.SEALED, now=T1, facts=replace(FACTS, image_id="ff" * 16))
    other = Version(relative="b")
    bring_to(ledger, FileState.SETTLED, other)
    with pytest.raises(EdgeError, match="fault"):
        ledger.advance(other, FileState.SEALED, now=T1, facts=FACTS)
    assert ledger.find(other).state is FileState.SETTLED


def test_reasons_and_hints_stay_with_the_state_they_explain(ledger):
    bring_to(ledger, FileState.QUARANTINED)
    entry = ledger.find(FILE)
    assert (entry.reason, entry.hint) == ("unknown-signer", "enrol it")
    entry = ledger.advance(FILE, FileState.SEALED, now=T1)
    assert (entry.reason, entry.hint, entry.image_id) == ("", "", FACTS.image_id)


def test_a_file_that_is_read_anew_loses_its_image(ledger):
    bring_to(ledger, FileState.QUARANTINED)
    entry = ledger.advance(FILE, FileState.SEEN, now=T1)
    assert (entry.image_id, entry.sha256, entry.captured) == (None, None, "")
    assert ledger.by_image(FACTS.image_id) is None


@pytest.mark.parametrize("state", [FileState.SEEN, FileState.SETTLED, FileState.STUCK, FileState.IGNORED])
def test_new_content_takes_over_the_row_of_content_that_was_never_sealed(ledger, state):
    bring_to(ledger, state)
    grown = replace(FILE, size=20)
    entry = ledger.observe(grown, now=T2)
    assert (entry.state, entry.reason, entry.size, entry.first_seen) == (FileState.SEEN, "", 20, T0)
    assert ledger.find(FILE) is None
    assert sum(ledger.counts().values()) == 1


@pytest.mark.parametrize("state", [FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED, FileState.DISPOSED])
def test_new_content_at_the_path_of_a_carried_image_is_a_new_file(ledger, state):
    bring_to(ledger, state)
    newer = ledger.observe(replace(FILE, mtime_ns=6), now=T2)
    assert (newer.state, newer.first_seen) == (FileState.SEEN, T2)
    assert ledger.find(FILE).state is state


def test_a_file_that_could_not_be_read_stays_on_record_until_new_content_takes_its_path(ledger):
    ledger.observe(FILE, now=T0)
    assert ledger.quarantine(FILE, reason=UNREADABLE, now=T0).unread
    assert ledger.forget_vanished(set()) == 0
    again = replace(FILE, mtime_ns=6)
    assert ledger.observe(again, now=T1).state is FileState.SEEN
    assert [(entry.state, entry.reason) for entry in ledger.entries()] == [(FileState.SEEN, "")]
    ledger.quarantine(again, reason="file-too-large", now=T1)
    assert not ledger.find(again).unread
    ledger.observe(replace(FILE, mtime_ns=7), now=T2)
    assert len(ledger.entries()) == 2


def test_a_quarantined_file_is_not_read_anew_once_newer_content_took_its_path(ledger):
    bring_to(ledger, FileState.QUARANTINED)
    ledger.observe(replace(FILE, mtime_ns=6), now=T1)
    with pytest.raises(EdgeError, match="newer content"):
        ledger.advance(FILE, FileState.SEEN, now=T2)


def test_a_whole_listing_is_one_transaction_and_writes_only_what_is_new(ledger, tmp_path):
    files = [Version(relative=f"{n:05d}.dcm", inode=n) for n in range(2000)]
    assert ledger.observe_all([*files, files[0]], now=T0) == 2000
    wal = tmp_path / "ledger.sqlite-wal"
    before = wal.stat().st_mtime_ns, wal.stat().st_size
    assert ledger.observe_all(files, now=T1) == 0
    assert (wal.stat().st_mtime_ns, wal.stat().st_size) == before
    assert ledger.counts()[FileState.SEEN] == 2000


def test_only_files_that_never_settled_are_forgotten(ledger):
    for number, state in enumerate(FileState):
        bring_to(ledger, state, Version(relative=state), replace(FACTS, image_id=f"{number:032x}"))
    ledger.observe(Version(relative="present"), now=T0)
    assert ledger.forget_vanished({"present"}) == 2
    counts = ledger.counts()
    assert counts.pop(FileState.STUCK) == 0
    assert set(counts.values()) == {1}
    assert ledger.find(Version(relative="present")).state is FileState.SEEN
    assert ledger.history(Version(relative=FileState.SEEN)) == ()


@pytest.mark.parametrize(
    "state", [FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED, FileState.DISPOSED, FileState.QUARANTINED]
)
def test_the_same_content_at_the_same_path_is_recognised_under_a_new_inode(ledger, state):
    bring_to(ledger, state)
    again = replace(FILE, inode=99, mtime_ns=77)
    bring_to(ledger, FileState.SETTLED, again)
    entry = ledger.recognise(again, FACTS.sha256, now=T2)
    assert (entry.state, entry.inode, entry.image_id) == (state, 99, FACTS.image_id)
    assert ledger.find(again) == entry == ledger.recognise(again, FACTS.sha256, now=T2)
    assert ledger.find(FILE) is None
    assert sum(ledger.counts().values()) == 1


def test_other_content_or_another_path_is_not_recognised(ledger):
    bring_to(ledger, FileState.DISPOSED)
    assert ledger.recognise(replace(FILE, inode=99), b"\x02" * 32, now=T2) is None
    assert ledger.recognise(replace(FILE, relative="copy.png"), FACTS.sha256, now=T2) is None
    assert ledger.recognise(FILE, b"\x02" * 32, now=T2) is None
    assert [entry.relative for entry in ledger.by_hash(FACTS.sha256)] == ["study/a.png"]
    assert ledger.by_hash(b"\x02" * 32) == ()


@pytest.mark.parametrize(
    "file",
    [
        Version(relative="patient\n\t 😀 ü.dcm"),
        Version(relative=os.fsdecode(b"caf\xe9/\xff\xfe.png")),
        Version(inode=2**64 - 1),
        Version(mtime_ns=253_370_764_800 * 10**9),
        Version(mtime_ns=-1),
        Version(size=2**62),
    ],
)
def test_any_name_inode_and_time_comes_back_as_it_was(ledger, file):
    entry = ledger.observe(file, now=T0)
    assert (entry.relative, entry.inode, entry.size, entry.mtime_ns) == (
        file.relative,
        file.inode,
        file.size,
        file.mtime_ns,
    )
    assert ledger.find(entry) == entry


@settings(max_examples=15)
@given(name=st.binary(min_size=1, max_size=50).map(os.fsdecode), mtime=st.integers(-(2**70), 2**70))
def test_any_bytes_are_a_name(name, mtime, tmp_path_factory):
    with Ledger.open(tmp_path_factory.mktemp("ledger") / "ledger.sqlite") as ledger:
        assert ledger.observe(Version(relative=name, mtime_ns=mtime), now=T0).relative == name


def test_entries_come_by_state_in_the_order_they_were_seen(ledger):
    for number, name in enumerate("cab"):
        ledger.observe(Version(relative=name), now=f"2026-01-0{3 - number}")  # a clock that is set back each time
    ledger.advance(Version(relative="a"), FileState.SETTLED, now=T1)
    assert [entry.relative for entry in ledger.entries()] == ["c", "a", "b"]
    assert [entry.relative for entry in ledger.entries({FileState.SEEN})] == ["c", "b"]
    assert [entry.relative for entry in ledger.entries({FileState.SEEN, FileState.SETTLED}, limit=2)] == ["c", "a"]
    assert ledger.entries({FileState.DISPOSED}) == ()


def test_sequence_numbers_are_never_used_twice(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        assert [ledger.next_sequence() for _ in range(3)] == [1, 2, 3]
    with Ledger.open(path) as ledger:
        assert ledger.next_sequence() == 4
        ledger.raise_sequence(100)
        ledger.raise_sequence(50)
        assert ledger.next_sequence() == 101


@pytest.mark.parametrize("given", [1, 999, 1000, 1001, 1500])
def test_sequence_numbers_are_not_used_twice_though_the_ledger_is_lost(tmp_path, given):
    path = tmp_path / "ledger.sqlite"
    with Ledger.open(path) as ledger:
        used = {ledger.next_sequence() for _ in range(given)}
    with Ledger.open(path) as ledger:
        used.add(ledger.next_sequence())  # nothing is passed over while the ledger is there
    assert used == set(range(1, given + 2))
    for file in tmp_path.glob("ledger.sqlite*"):
        file.unlink()
    with Ledger.open(path) as ledger:
        assert ledger.next_sequence() not in used


def test_a_reserve_that_cannot_be_read_is_written_anew(tmp_path):
    (tmp_path / "sequence").write_bytes(b"torn")
    with Ledger.open(tmp_path / "ledger.sqlite") as ledger:
        assert ledger.next_sequence() == 1
    assert (tmp_path / "sequence").read_bytes() == b"1000\n"


def test_a_lost_ledger_is_rebuilt_from_the_spool(ledger):
    known = {"image_id": FACTS.image_id, "sequence": 41, "sha256": FACTS.sha256, "sealed_bytes": 1234, "now": T1}
    entry = ledger.restore(FILE, **known)
    assert (entry.state, entry.image_id, entry.sequence) == (FileState.SEALED, FACTS.image_id, 41)
    assert ledger.observe(FILE, now=T2) == entry
    assert ledger.next_sequence() == 42
    ledger.advance(FILE, FileState.OFFERED, now=T2)
    assert ledger.restore(FILE, **known).state is FileState.OFFERED
    assert ledger.recognise(replace(FILE, inode=99), FACTS.sha256, now=T2).image_id == FACTS.image_id


def test_a_crash_between_spool_and_ledger_is_mended_by_the_spool(ledger):
    bring_to(ledger, FileState.SETTLED)
    entry = ledger.restore(FILE, image_id=FACTS.image_id, sequence=1, sha256=FACTS.sha256, sealed_bytes=1234, now=T1)
    assert (entry.state, entry.first_seen) == (FileState.SEALED, T0)
    assert sum(ledger.counts().values()) == 1


def test_the_file_is_for_its_owner_only_and_syncs_every_commit(ledger, tmp_path):
    ledger.observe(FILE, now=T0)
    for name in ("ledger.sqlite", "ledger.sqlite-wal", "ledger.sqlite-shm"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600
    assert ledger._file.select("PRAGMA synchronous") == [(2,)]
    assert ledger._file.select("PRAGMA journal_mode") == [("wal",)]


def test_only_the_steps_that_may_be_lost_are_not_synced(ledger):
    said = []
    ledger._file._connection.set_trace_callback(said.append)

    def is_synced(act, *values, **options):
        said.clear()
        act(*values, **options)
        assert said.count("COMMIT") == 1
        return "PRAGMA synchronous = NORMAL" not in said

    assert is_synced(ledger.observe, FILE, now=T0)
    synced = [
        state
        for state in PROGRESS
        if is_synced(ledger.advance, FILE, state, now=T0, facts=FACTS if state is FileState.SEALED else None)
    ]
    assert synced == [FileState.SEALED, FileState.RECEIPTED]
    assert is_synced(ledger.next_sequence)
    assert not is_synced(ledger.next_sequence, durable=False)
    assert ledger._file.select("PRAGMA synchronous") == [(2,)]


@settings(max_examples=30)
@given(
    steps=st.lists(st.tuples(st.integers(0, 3), st.sampled_from([*FileState, "recognise", "forget", "restore"]))),
)
def test_what_is_counted_along_is_what_there_is(steps, tmp_path_factory):
    path = tmp_path_factory.mktemp("ledger") / "ledger.sqlite"
    with Ledger.open(path) as ledger, Ledger.open_read_only(path) as reader:
        for number, what in steps:
            file = Version(relative=f"{number % 2}.png", inode=number)
            facts = replace(FACTS, image_id=f"{number:032x}", sequence=number)
            ledger.observe(file, now=T0)
            with contextlib.suppress(EdgeError):
                match what:
                    case "recognise":
                        ledger.recognise(file, FACTS.sha256, now=T1)
                    case "forget":
                        ledger.forget_vanished({"0.png"})
                    case "restore":
                        known = {"sequence": number, "sha256": FACTS.sha256, "sealed_bytes": 1, "now": T1}
                        ledger.restore(file, image_id=facts.image_id, **known)
                    case _:
                        step(ledger, what, file, facts)
            assert ledger.counts() == reader.counts()


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
        with pytest.raises(StorageError, match="cannot be written"):
            reader.observe(Version(relative="b"), now=T1)


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
