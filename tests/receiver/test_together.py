"""Images that are complete at once are handed on together, and each is answered for itself."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from edge import durable
from edge.envelope.sign import ReceiptStatus
from edge.errors import DiskFull, NotConnected
from edge.receiver import Receiver
from edge.stopping import Left
from edge.storing import Arrival, Storer
from edge.transfer.parts import Part, PartInMemory
from edge.transport.memory import MemoryBroker
from tests.faults.ear import Ear
from tests.transfer.duo import Duo
from tests.world import RECEIVER, Hospital, UnhurriedTransport, bytes_of

PLAIN = [bytes_of(f"plain {number}", 50_000) for number in range(20)]


@pytest.fixture
def duo(tmp_path: Path, broker: MemoryBroker) -> Iterator[Duo]:
    """Both ends, with room for all images at once, each of one chunk."""
    hospital = Hospital(tmp_path / "hospital", settings={"transfer.active": 20})
    duo = Duo(tmp_path, broker, chunk_bytes=256 * 1024, hospital=hospital, outstanding=20)
    yield duo
    duo.close()


@pytest.fixture
def together(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many bulks were handed on each time."""
    counts: list[int] = []
    finish = Receiver.finish

    def count(receiver: Receiver, parts: Sequence[Part]) -> list[bytes | None]:
        counts.append(len(parts))
        return finish(receiver, parts)

    monkeypatch.setattr(Receiver, "finish", count)
    return counts


def test_small_images_that_are_complete_at_once_are_handed_on_together(duo: Duo, together: list[int]) -> None:
    duo.start_receiver()
    for number in range(11):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
    duo.deliver_all()
    assert together == [8, 3]
    assert duo.hospital.contents() == sorted(PLAIN[:11])
    assert [receipt.status for receipt in duo.receipts] == [ReceiptStatus.STORED] * 11


def test_an_image_that_comes_alone_waits_for_no_other(duo: Duo, together: list[int]) -> None:
    receiver = duo.start_receiver()
    for number in range(3):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
        duo.step_until(lambda number=number: receiver.counts.stored == number + 1)
    assert together == [1, 1, 1]


def test_large_images_are_handed_on_alone(duo: Duo, together: list[int]) -> None:
    duo.start_receiver()
    for number in range(3):
        duo.spool_image(bytes_of("large", 4_500_000), label=f"scan-{number}")
    duo.deliver_all()
    assert together == [1, 1, 1]


def test_small_images_do_not_wait_for_a_large_one_that_is_complete_in_the_same_step(
    duo: Duo, together: list[int]
) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(bytes_of("large", 4_500_000), label="large")
    for number in range(3):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
    duo.sender.step()
    receiver.step()
    for _ in range(20):
        duo.sender.step()
    receiver.step()
    assert together == [3, 1]


def test_each_of_those_that_came_together_is_answered_for_itself(
    duo: Duo, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    keep = PartInMemory._keep
    flipped: list[int] = []

    def flip_once(part: PartInMemory, number: int, chunk: bytes) -> None:
        if part.verified.envelope.manifest.sequence == 2 and not flipped:
            flipped.append(number)
            chunk = bytes([chunk[0] ^ 1]) + chunk[1:]
        keep(part, number, chunk)

    monkeypatch.setattr(PartInMemory, "_keep", flip_once)
    duo.spool_image(PLAIN[0], label="sound")
    duo.spool_image(PLAIN[1], label="flipped on the way")
    bad = duo.spool_image(PLAIN[2], label="for another", recipients=("receiver-2",))
    duo.spool_image(PLAIN[3], label="sound too")
    duo.deliver_all()
    assert together == [4, 1]
    assert duo.hospital.contents() == sorted([PLAIN[0], PLAIN[1], PLAIN[3]])
    counts = receiver.counts
    assert (counts.stored, counts.rejected, counts.damaged) == (3, 1, 1)
    rejected = [receipt.image_id for receipt in duo.receipts if receipt.status is ReceiptStatus.REJECTED]
    assert rejected == [bad.image_id]


def test_one_that_the_disk_does_not_let_be_answered_for_costs_no_other_its_receipt(
    duo: Duo, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN[0], label="sound")
    bad = duo.spool_image(PLAIN[1], label="for another", recipients=("receiver-2",))
    duo.spool_image(PLAIN[2], label="sound too")
    with monkeypatch.context() as patch:
        patch.setattr(Receiver, "_move_aside", refuse)
        duo.step_until(lambda: together)
        duo.step(2)
    assert together == [3]
    assert [receipt.status for receipt in duo.receipts] == [ReceiptStatus.STORED] * 2
    duo.deliver_all()
    assert duo.receipts[-1].image_id == bad.image_id
    assert receiver.counts.stored == 2


def test_a_connection_that_is_lost_between_their_receipts_costs_a_delay_and_no_more(
    duo: Duo, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    for number in range(3):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
    answer = receiver._loop._answer
    answers: list[str] = []

    def lose_second(device: str, receipt: bytes) -> None:
        answers.append(device)
        if len(answers) == 2:
            raise NotConnected("the connection is lost")
        answer(device, receipt)

    monkeypatch.setattr(receiver._loop, "_answer", lose_second)
    duo.deliver_all()
    assert together == [3]
    assert (receiver.counts.stored, receiver.counts.repeated, receiver._loop.counts.faults) == (3, 2, 0)
    assert duo.hospital.contents() == sorted(PLAIN[:3])


def test_nothing_stays_open_of_what_was_complete_when_the_receiver_was_stopped(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()

    def leave() -> None:
        if receiver._loop._complete:
            raise Left

    monkeypatch.setattr(receiver._loop, "_go_round", leave)
    duo.spool_image(bytes_of("plain", 300_000), label="scan")
    with pytest.raises(Left):
        duo.deliver_all()
    duo.stop_receiver(receiver)
    links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
    assert not [link for link in links if link.startswith(str(duo.hospital.state / "parts"))]


def refuse(*_: object) -> None:
    """Be a disk that is full."""
    raise DiskFull("the disk is full")


def test_the_alarm_of_one_that_is_refused_is_not_ended_by_those_that_came_with_it(
    duo: Duo, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear(UnhurriedTransport(duo.broker), RECEIVER)
    duo.start_receiver()
    take_name = durable.take_name

    def refuse_first(source: Path, path: Path) -> None:
        if path.name == "first.png":
            refuse()
        take_name(source, path)

    duo.spool_image(PLAIN[0], label="first", name="first.png")
    duo.spool_image(PLAIN[1], label="second", name="second.png")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "take_name", refuse_first)
        duo.step_until(lambda: together)
        duo.step(2)
        assert together == [2]
        assert ear.alarms == ["disk-full"]
    duo.deliver_all()
    duo.step(2)
    assert ear.alarms == []


def test_a_defect_that_one_of_them_shows_costs_no_other_its_answer(
    duo: Duo, together: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    opened = Storer._open
    met: list[int] = []

    def stumble(self: Storer, arrival: Arrival, folder: Path, number: int) -> None:
        if arrival.part.verified.envelope.manifest.sequence == 2 and len(met) < 2:
            met.append(number)
            raise OverflowError
        opened(self, arrival, folder, number)

    monkeypatch.setattr(Storer, "_open", stumble)
    for number in range(3):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
    duo.step_until(lambda: receiver.counts.stored == 2)
    assert together == [3, 1, 1, 1]
    assert receiver._loop.counts.faults == 1
    duo.deliver_all()  # what stumbled is offered again
    assert duo.hospital.contents() == sorted(PLAIN[:3])


def test_what_comes_next_is_asked_for_before_what_has_come_is_stored(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    hospital = Hospital(tmp_path / "hospital", settings={"transfer.active": 1})
    duo = Duo(tmp_path, broker, chunk_bytes=256 * 1024, hospital=hospital)
    receiver = duo.start_receiver()
    wants: list[int] = []
    finish = Receiver.finish

    def note(self: Receiver, parts: Sequence[Part]) -> list[bytes | None]:
        wants.append(receiver._loop.counts.wants)
        return finish(self, parts)

    monkeypatch.setattr(Receiver, "finish", note)
    for number in range(3):
        duo.spool_image(PLAIN[number], label=f"scan-{number}")
    duo.deliver_all()
    assert wants == [2, 3, 3]
    duo.close()
