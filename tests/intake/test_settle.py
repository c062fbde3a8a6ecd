"""A file is handed out once for each content, when it stood still for two looks an interval apart."""

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from edge.errors import ChangedWhileRead, EmptyFile, IncompleteFile, SpoolFull
from edge.intake.settle import FoundFile, Settler

FILE = FoundFile(path="/in/a.png", relative="a.png", size=10, mtime_ns=5, inode=7, device=1)
YEAR_9999_NS = 253_370_764_800 * 10**9


def relatives(result):
    return [file.relative for file in result.settled]


def test_two_looks_an_interval_apart_settle_a_file_once():
    settler = Settler(interval=1.0)
    first = settler.look([FILE], 100.0)
    assert (first.settled, first.waiting, first.next_look) == ((), 1, 101.0)
    early = settler.look([FILE], 100.9)
    assert (early.settled, early.waiting, early.next_look) == ((), 1, 101.0)
    due = settler.look([FILE], 101.0)
    assert relatives(due) == ["a.png"]
    assert due.settled == (FILE,)
    assert (due.waiting, due.next_look) == (0, None)
    assert settler.look([FILE], 200.0).settled == ()


CHANGES = [{"size": 11}, {"mtime_ns": 6}, {"inode": 8}, {"device": 2}]


@pytest.mark.parametrize("change", CHANGES)
def test_of_a_file_that_stands_still_the_first_look_is_kept(change):
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    assert settler.kept(replace(FILE)) is FILE
    changed = replace(FILE, **change)
    assert settler.kept(changed) is changed


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_starts_again(change):
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    changed = replace(FILE, **change)
    assert settler.look([changed], 1.0).settled == ()
    assert relatives(settler.look([changed], 2.0)) == ["a.png"]


def test_new_content_after_handing_out_is_handed_out_again():
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    settler.look([FILE], 1.0)
    newer = replace(FILE, mtime_ns=9)
    assert settler.look([newer], 2.0).settled == ()
    assert relatives(settler.look([newer], 3.0)) == ["a.png"]


@pytest.mark.parametrize("mtime_ns", [-1, 0, YEAR_9999_NS])
def test_a_scanner_with_any_clock_settles(mtime_ns):
    settler = Settler(interval=1.0)
    file = replace(FILE, mtime_ns=mtime_ns)
    settler.look([file], 0.0)
    assert relatives(settler.look([file], 1.0)) == ["a.png"]


def test_settled_files_come_in_the_order_of_their_mtimes():
    settler = Settler(interval=1.0)
    files = [replace(FILE, relative=name, mtime_ns=ns) for name, ns in (("c", 3), ("b", 1), ("a", 1), ("d", 2))]
    settler.look(files, 0.0)
    assert relatives(settler.look(files, 1.0)) == ["a", "b", "d", "c"]


def test_an_empty_file_never_settles_and_gets_stuck():
    settler = Settler(interval=1.0, stuck_after=60.0)
    empty = replace(FILE, size=0)
    assert settler.look([empty], 0.0).next_look == 60.0
    assert settler.look([empty], 59.0).settled == ()
    assert settler.stuck(59.0) == ()
    result = settler.look([empty], 60.0)
    assert (result.settled, result.waiting, result.next_look) == ((), 1, None)
    [stuck] = settler.stuck(61.0)
    assert isinstance(stuck.error, EmptyFile)
    assert (stuck.file.relative, stuck.still_for) == ("a.png", 61.0)
    settler.look([FILE], 62.0)
    assert settler.stuck(200.0) == ()
    assert relatives(settler.look([FILE], 63.0)) == ["a.png"]


def test_a_deferred_file_is_looked_at_again_at_growing_intervals():
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    now, delays = 1.0, []
    for _ in range(11):
        [file] = settler.look([FILE], now).settled
        settler.defer(file, IncompleteFile("it ends early"), now)
        again = settler.look([FILE], now)
        assert (again.settled, again.waiting) == ((), 1)
        due = settler._tracks["a.png"].due
        assert again.next_look == (min(due, 60.0) if now < 60.0 else due)
        assert settler.look([FILE], due - 0.001).settled == ()
        delays.append(due - now)
        now = due
    assert delays == [2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 300.0, 300.0, 300.0]


def test_a_deferred_file_that_grows_settles_at_the_usual_pace():
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    [file] = settler.look([FILE], 1.0).settled
    settler.defer(file, IncompleteFile("it ends early"), 1.0)
    grown = replace(FILE, size=20)
    settler.look([grown], 1.5)
    assert relatives(settler.look([grown], 2.5)) == ["a.png"]


def test_an_incomplete_file_gets_stuck_and_can_be_taken_as_it_is():
    settler = Settler(interval=1.0, stuck_after=60.0)
    settler.look([FILE], 0.0)
    [file] = settler.look([FILE], 1.0).settled
    settler.defer(file, IncompleteFile("it ends early"), 1.0)
    assert settler.stuck(59.9) == ()
    [stuck] = settler.stuck(60.0)
    assert isinstance(stuck.error, IncompleteFile)
    settler.take(stuck.file)
    assert settler.stuck(60.0) == ()
    assert settler.look([FILE], 1000.0).settled == ()


def test_a_full_spool_makes_no_file_stuck():
    settler = Settler(interval=1.0, stuck_after=60.0)
    settler.look([FILE], 0.0)
    [file] = settler.look([FILE], 1.0).settled
    settler.defer(file, SpoolFull("full"), 1.0)
    assert settler.stuck(500.0) == ()
    assert relatives(settler.look([FILE], 500.0)) == ["a.png"]


def test_deferring_what_changed_or_vanished_meanwhile_changes_nothing():
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    [file] = settler.look([FILE], 1.0).settled
    grown = replace(FILE, size=20)
    settler.look([grown], 2.0)
    settler.defer(file, IncompleteFile("it ends early"), 2.0)
    assert relatives(settler.look([grown], 3.0)) == ["a.png"]
    settler.look([], 4.0)
    settler.defer(file, IncompleteFile("it ends early"), 4.0)
    assert settler.look([], 5.0).waiting == 0


def test_a_vanished_file_is_told_once_and_starts_again_when_it_is_back():
    settler = Settler(interval=1.0)
    settler.look([FILE], 0.0)
    assert settler.look([], 0.5).vanished == (FILE,)
    assert settler.look([], 0.6).vanished == ()
    assert settler.look([FILE], 1.0).settled == ()
    assert relatives(settler.look([FILE], 2.0)) == ["a.png"]


def test_a_file_that_changed_while_a_long_sealing_read_it_is_tried_again_before_it_is_stuck():
    settler = Settler(interval=1.0, stuck_after=4.0)
    settler.look([FILE], 0.0)
    settler.look([FILE], 1.0)
    settler.defer(FILE, ChangedWhileRead("the file changed"), 31.0)
    assert settler.stuck(31.0) == ()
    assert settler.next_look(31.0) == 33.0
    assert relatives(settler.look([FILE], 33.0)) == ["a.png"]
    settler.defer(FILE, ChangedWhileRead("the file changed"), 63.0)
    assert len(settler.stuck(63.0)) == 1


class Folder(RuleBasedStateMachine):
    """A folder that a scanner writes, removes and touches at will, beside a plain model of what must happen."""

    interval = 4

    def __init__(self):
        super().__init__()
        self.settler = Settler(interval=float(self.interval), stuck_after=16.0)
        self.now = 0
        self.files = {}
        self.first_look = {}  # content -> the look that saw it first, without a break
        self.handed_out = set()
        self.deferred = set()
        self.last = None

    @rule(name=st.sampled_from("abc"), size=st.integers(0, 2), mtime=st.integers(0, 2), inode=st.integers(1, 2))
    def write(self, name, size, mtime, inode):
        self.files[name] = replace(FILE, relative=name, size=size, mtime_ns=mtime, inode=inode)

    @precondition(lambda self: self.files)
    @rule(data=st.data())
    def remove(self, data):
        del self.files[data.draw(st.sampled_from(sorted(self.files)))]

    @rule(seconds=st.integers(0, 6))
    def look(self, seconds):
        self.now += seconds
        present = set(self.files.values())
        self.first_look = {file: self.first_look.get(file, self.now) for file in present}
        self.handed_out &= present
        self.deferred &= present
        self.last = self.settler.look(list(self.files.values()), float(self.now))
        for settled in self.last.settled:
            [file] = [file for file in present if file.relative == settled.relative]
            assert (settled.size, settled.mtime_ns, settled.inode) == (file.size, file.mtime_ns, file.inode)
            assert file.size
            assert self.now - self.first_look[file] >= self.interval
            assert file not in self.handed_out
            self.handed_out.add(file)
        for file in present - self.handed_out - self.deferred:
            assert not file.size or self.now - self.first_look[file] < self.interval
        assert self.last.waiting == len(present - self.handed_out)
        assert self.last.next_look is None or self.last.next_look > self.now

    @precondition(lambda self: self.handed_out)
    @rule(data=st.data())
    def defer(self, data):
        file = data.draw(st.sampled_from(sorted(self.handed_out, key=repr)))
        self.settler.defer(file, IncompleteFile("it ends early"), float(self.now))
        self.handed_out.discard(file)
        self.deferred.add(file)

    @invariant()
    def only_still_files_are_stuck(self):
        for stuck in self.settler.stuck(float(self.now)):
            [file] = [file for file in self.first_look if file.relative == stuck.file.relative]
            assert self.now - self.first_look[file] >= 16
            assert not file.size or file in self.deferred


Folder.TestCase.settings = settings(max_examples=60, stateful_step_count=30)
TestFolder = Folder.TestCase
