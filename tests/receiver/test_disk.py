"""What is damaged on the way or refused by the receiver's disk comes again; meanwhile it waits at the device."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from edge import durable
from edge.envelope import sign
from edge.envelope.sign import ReceiptStatus
from edge.errors import StorageError
from edge.receiver import Receiver
from edge.transfer.messages import Topics
from edge.transfer.parts import Part, PartFile
from edge.transport.memory import MemoryBroker
from tests.faults.ear import Ear
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, Hospital, UnhurriedTransport, bytes_of, connected

PLAIN = bytes_of("plain", 100_000)


def test_a_bit_flipped_on_the_way_makes_the_image_come_again_and_never_rejects_it(duo: Duo) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 2)
    [part] = (duo.hospital.state / "parts").glob("*.part")
    with part.open("r+b") as file:
        file.write(b"flip")

    duo.deliver_all()

    assert receiver.counts.damaged == 1
    assert receiver.counts.rejected == 0
    assert [receipt.status for receipt in duo.receipts] == [ReceiptStatus.STORED]
    assert duo.hospital.contents() == [PLAIN]


def test_a_flipped_chunk_on_the_broker_makes_the_image_come_again(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 1)
    connected(duo.broker).publish(Topics().chunk(RECEIVER, DEVICE, image.image_id, 4), bytes(16 * 1024))
    duo.deliver_all()
    assert receiver.counts.damaged == 1
    assert duo.hospital.contents() == [PLAIN]


def test_an_image_waits_at_the_device_while_the_receiver_s_disk_is_full(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr("edge.transfer.parts.durable.free_bytes", lambda _path: 1000)
        duo.step(300)
        assert duo.receipts == []
        assert duo.sender.counts.offers > 3
        assert duo.sender.counts.chunks == 0
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]
    assert receiver.counts.rejected == 0


@pytest.mark.parametrize("where", ["take_name", "make_folder"])
def test_an_image_that_cannot_be_stored_is_stored_later(duo: Duo, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    receiver = duo.start_receiver()

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr(durable, where, refuse)
        duo.step(100)
        assert duo.receipts == []
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]
    assert (receiver.counts.stored, receiver.counts.rejected) == (1, 0)
    assert duo.sender.counts.chunks == 7  # what had come stays


def test_an_image_of_one_chunk_that_cannot_be_stored_comes_again(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    duo = Duo(tmp_path, broker, chunk_bytes=256 * 1024)
    receiver = duo.start_receiver()

    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr(durable, "take_name", refuse)
        duo.step(100)
        assert duo.receipts == []
        assert not receiver.busy, "what came is not held while it cannot be stored"
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]
    assert (receiver.counts.stored, receiver.counts.rejected) == (1, 0)
    assert duo.sender.counts.chunks == duo.sender.counts.offers > 1
    duo.close()


def test_an_image_of_one_chunk_that_was_flipped_on_the_broker_comes_again(tmp_path: Path, broker: MemoryBroker) -> None:
    duo = Duo(tmp_path, broker, chunk_bytes=256 * 1024)
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.step_until(lambda: receiver.busy)
    flipped = bytes(image.envelope.manifest.bulk_bytes)
    connected(duo.broker).publish(Topics().chunk(RECEIVER, DEVICE, image.image_id, 0), flipped)
    duo.deliver_all()
    assert receiver.counts.damaged == 1
    assert duo.hospital.contents() == [PLAIN]
    duo.close()


def test_a_catalogue_that_cannot_be_written_keeps_the_receipt_back(duo: Duo) -> None:
    receiver = duo.start_receiver()
    receiver.archive.catalogue._connection.execute("PRAGMA query_only = ON")
    duo.spool_image(PLAIN, label="scan")
    duo.step(100)
    assert receiver._loop.counts.chunks == 7, "all of it has come"
    assert duo.receipts == []
    receiver.archive.catalogue._connection.execute("PRAGMA query_only = OFF")
    duo.deliver_all()
    assert list(duo.hospital.files().values()) == [PLAIN]


def test_a_chunk_that_the_disk_refuses_comes_again(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    refusals = 0
    pwrite = os.pwrite

    def refuse(descriptor: int, data: bytes, offset: int, /) -> int:
        nonlocal refusals
        if refusals < 5:
            refusals += 1
            raise OSError(28, "No space left on device")
        return pwrite(descriptor, data, offset)

    monkeypatch.setattr("edge.transfer.parts.os.pwrite", refuse)
    duo.deliver_all()
    assert refusals == 5
    assert duo.hospital.contents() == [PLAIN]


def test_a_bulk_that_the_disk_does_not_give_back_is_an_alarm_and_no_defect(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    receiver = duo.start_receiver()
    ear = Ear(UnhurriedTransport(duo.broker), RECEIVER)

    def refuse(*_: object) -> None:
        raise OSError(5, "Input/output error")

    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr(sign, "verify_bulk", refuse)
        duo.step_until(lambda: ear.alarms == ["disk-failing"])
    duo.deliver_all()
    assert receiver._loop.counts.faults == 0
    assert duo.hospital.contents() == [PLAIN]


@pytest.mark.parametrize("where", [DEVICE, ".incoming"])
def test_a_store_whose_folders_may_not_be_looked_at_is_an_alarm_and_no_defect(
    duo: Duo, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="first")
    duo.deliver_all()
    ear = Ear(UnhurriedTransport(duo.broker), RECEIVER)
    duo.clock.tick(61)
    receiver.step()  # it lets go of the store
    duo.spool_image(PLAIN[:-1], label="second")
    is_dir = Path.is_dir

    def refuse(path: Path) -> bool:
        if path.is_relative_to(duo.hospital.store / where):
            raise PermissionError(13, "Permission denied")
        return is_dir(path)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "is_dir", refuse)
        duo.step_until(lambda: ear.alarms == ["storage-error"])
    duo.deliver_all()
    assert receiver._loop.counts.faults == 0


def test_a_part_whose_closing_the_disk_refuses_does_not_end_the_receiver(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network disk says only then what it has lost."""
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 1)
    [fetch] = receiver._loop._active.values()
    assert isinstance(fetch.part, PartFile)
    lost = [fetch.part._bulk_file]
    close = os.close

    def refuse(descriptor: int) -> None:
        close(descriptor)
        if descriptor in lost:
            lost.clear()
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("edge.transfer.parts.os.close", refuse)
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


def test_a_store_that_is_gone_does_not_end_the_receiver(duo: Duo) -> None:
    receiver = duo.start_receiver()
    shutil.rmtree(duo.hospital.store)
    duo.spool_image(PLAIN, label="scan")
    duo.clock.tick(120)  # a status is due, and it tells how much room is free
    duo.deliver_all()
    assert receiver._loop.counts.faults == 0
    assert duo.hospital.contents() == [PLAIN]


def test_a_defect_that_one_image_shows_does_not_end_the_service_of_the_others(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one slot an image that is whole already is finished when the slot comes free, not when a message comes.
    duo = Duo(tmp_path, broker, hospital=Hospital(tmp_path / "hospital", settings={"transfer.active": 1}))
    receiver = duo.start_receiver()
    duo.step(2)
    real = Receiver.finish
    failed: list[object] = []

    def finish(self: Receiver, parts: Sequence[Part]) -> list[bytes | None]:
        [part] = parts
        if part.bulk_bytes < 1_000_000 and len(failed) < 3:
            failed.append(part)
            raise OverflowError
        return real(self, parts)

    monkeypatch.setattr(Receiver, "finish", finish)
    for number, size in enumerate((100_000, 3_000_000, 3_000_000)):
        duo.spool_image(bytes_of("plain", size), label=f"scan-{number}")
    duo.deliver_all()
    assert receiver.counts.stored == 3
    assert len(failed) == 3
    duo.close()
