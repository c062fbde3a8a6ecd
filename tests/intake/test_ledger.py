"""Every file is in exactly one state, over restarts and crashes; illegal steps are refused."""

import contextlib
import os
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.errors import EdgeError
from edge.intake.ledger import FileState, Ledger
from edge.intake.states import DAMAGED_IN_SPOOL, MISSING_FROM_SPOOL, STEPS, UNREADABLE
from tests.intake.rows import FACTS, FILE, PROGRESS, T0, T1, T2, Version, bring_to, step


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
        ledger.observe(FILE, now=T0)
        assert ledger.begin_sealing(FILE, FACTS.sha256, now=T1) == 5
        assert ledger.find(FILE).state is FileState.SETTLED
        assert (
            ledger.begin_sealing(FILE, FACTS.sha256, now=T1) == 6
        )  # it was not sealed after all: another image, another number
        for number, file in ((100, Version("b")), (50, Version("c"))):
            ledger.restore(file, image_id=f"{number:032x}", sequence=number, sha256=bytes(32), sealed_bytes=1, now=T1)
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


def test_only_the_steps_that_may_be_lost_are_not_synced(ledger):
    level, commits = ["FULL"], []

    def hear(said):
        if said.startswith("PRAGMA synchronous = "):
            level[0] = said.rpartition(" ")[2]
        if said == "COMMIT":
            commits.append(level[0])

    ledger._file._connection.set_trace_callback(hear)

    def is_synced(act, *values, **options):
        commits.clear()
        act(*values, **options)
        assert len(commits) == 1
        return commits == ["FULL"]

    assert is_synced(ledger.observe, FILE, now=T0)
    synced = [
        state
        for state in PROGRESS
        if is_synced(ledger.advance, FILE, state, now=T0, facts=FACTS if state is FileState.SEALED else None)
    ]
    assert synced == [FileState.SEALED, FileState.RECEIPTED]
    assert is_synced(ledger.next_sequence)
    other = Version("b")
    assert is_synced(ledger.observe, other, now=T0)
    assert not is_synced(ledger.begin_sealing, other, FACTS.sha256, now=T0)
    assert is_synced(ledger.advance, other, FileState.SEALED, now=T0, facts=replace(FACTS, image_id="f" * 32))
    assert is_synced(ledger.advance, other, FileState.RECEIPTED, FileState.DISPOSED, now=T0)


@pytest.mark.parametrize("reason", [UNREADABLE, MISSING_FROM_SPOOL, DAMAGED_IN_SPOOL])
def test_what_is_sealed_once_more_begins_anew(ledger, reason):
    bring_to(ledger, FileState.SEALED if reason != UNREADABLE else FileState.SEEN)
    ledger.quarantine(FILE, reason=reason, now=T1)
    assert ledger.begin_sealing(FILE, FACTS.sha256, now=T2) == 1
    entry = ledger.find(FILE)
    assert (entry.state, entry.reason, entry.image_id) == (FileState.SETTLED, "", None)
    assert [event.state for event in ledger.history(FILE)][-3:] == [
        FileState.QUARANTINED,
        FileState.SEEN,
        FileState.SETTLED,
    ]
    assert sum(ledger.counts().values()) == ledger.counts()[FileState.SETTLED] == 1


def test_a_lost_image_is_not_forgotten_for_other_content_of_the_same_file(ledger):
    bring_to(ledger, FileState.SEALED)
    lost = ledger.quarantine(FILE, reason=MISSING_FROM_SPOOL, now=T1)
    with pytest.raises(EdgeError, match="from quarantined to settled"):
        ledger.begin_sealing(FILE, b"\x02" * 32, now=T2)
    assert ledger.find(FILE) == lost


def test_what_was_refused_is_not_sealed_once_more(ledger):
    bring_to(ledger, FileState.QUARANTINED)
    with pytest.raises(EdgeError, match="from quarantined to settled"):
        ledger.begin_sealing(FILE, FACTS.sha256, now=T2)


def test_steps_of_one_file_are_taken_at_once_and_those_behind_it_left_out(ledger):
    bring_to(ledger, FileState.OFFERED)
    entry = ledger.advance(FACTS.image_id, FileState.RECEIPTED, FileState.DISPOSED, now=T2)
    assert (entry.state, entry.changed) == (FileState.DISPOSED, T2)
    assert [event.state for event in ledger.history(FILE)][-3:] == [*PROGRESS[-3:]]
    assert ledger.advance(FILE, FileState.RECEIPTED, FileState.DISPOSED, now=T2) == entry
    assert len(ledger.history(FILE)) == 1 + len(PROGRESS)
    with pytest.raises(EdgeError, match="from disposed to offered"):
        ledger.advance(FILE, FileState.OFFERED, FileState.RECEIPTED, now=T2)


def test_files_are_sealed_together_all_of_them_or_none(ledger):
    files = [Version(name) for name in "abc"]
    facts = [replace(FACTS, image_id=f"{number:032x}", sequence=number) for number in range(3)]
    for file in files:
        ledger.observe(file, now=T0)
    for file in files[:2]:
        ledger.begin_sealing(file, FACTS.sha256, now=T0)
    with pytest.raises(EdgeError, match="from seen to sealed"):
        ledger.advance_all(list(zip(files, facts, strict=True)), FileState.SEALED, now=T1)
    assert ledger.counts()[FileState.SETTLED] == 2
    assert [entry.image_id for entry in ledger.entries()] == [None] * 3
    ledger.begin_sealing(files[2], FACTS.sha256, now=T0)
    ledger.advance_all(list(zip(files, facts, strict=True)), FileState.SEALED, now=T1)
    assert [(entry.relative, entry.sequence, entry.changed) for entry in ledger.entries({FileState.SEALED})] == [
        (name, number, T1) for number, name in enumerate("abc")
    ]
    assert ledger.counts()[FileState.SEALED] == 3


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
