"""The receiver answers for every image exactly once, stores nothing twice, and nothing forged moves a device's spool."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edge import durable
from edge.envelope import sign
from edge.envelope.sign import ReceiptStatus
from edge.errors import StorageError
from edge.records import PixelImage
from edge.spool import SpooledImage
from edge.transfer.messages import SignedReceipt, Topics, encode
from edge.transport.memory import MemoryBroker
from tests.envelope import party
from tests.faults.ear import Ear
from tests.transfer.duo import Duo
from tests.world import (
    DEVICE,
    RECEIVER,
    Hospital,
    UnhurriedTransport,
    bytes_of,
    receipt_for,
    receiver_keyring,
    spool_image,
)

PLAIN = bytes_of("plain", 100_000)


@pytest.fixture
def duo(tmp_path: Path) -> Iterator[Duo]:
    """A device and a hospital whose receiver does not run yet."""
    duo = Duo(tmp_path, MemoryBroker())
    yield duo
    duo.close()


def say(duo: Duo, topic: str, payload: bytes) -> None:
    """Publish as somebody else."""
    mouth = UnhurriedTransport(duo.broker)
    mouth.start()
    mouth.publish(topic, payload)


# --- receipts at the device -----------------------------------------------------------------------------------------

FORGERIES: dict[str, Callable[[SpooledImage], bytes]] = {
    "signed by a stranger": lambda image: receipt_for(image, signer="stranger"),
    "signed by the device itself": lambda image: receipt_for(image, signer=DEVICE),
    "by another receiver": lambda image: receipt_for(image, signer="receiver-2", receiver="receiver-2"),
    "in another receiver's name": lambda image: receipt_for(image, signer="receiver-2"),
    "for another device": lambda image: receipt_for(image, device="device-2"),
    "for another manifest": lambda image: receipt_for(image, manifest_hash=bytes(32)),
    "with a flipped bit": lambda image: _flipped(receipt_for(image)),
    "rejected by a stranger": lambda image: receipt_for(image, signer="stranger", status=ReceiptStatus.REJECTED),
}


def _flipped(raw: bytes) -> bytes:
    return raw[:-1] + bytes([raw[-1] ^ 1])


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES)
def test_a_forged_receipt_leaves_the_spool_untouched(duo: Duo, forge: Callable[[SpooledImage], bytes]) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say(duo, Topics().control(DEVICE), encode(SignedReceipt(forge(image))))
    duo.step(2)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.receipts == []
    assert duo.spool.images() == [image]
    assert duo.sender.unreceipted == 1


def test_a_receipt_for_an_unknown_image_changes_nothing(duo: Duo) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say(duo, Topics().control(DEVICE), encode(SignedReceipt(receipt_for(image, image_id=bytes(16)))))
    duo.step(2)
    assert duo.spool.images() == [image]
    assert duo.receipts == []


def test_a_receipt_of_an_earlier_image_cannot_be_replayed_for_a_later_one(duo: Duo) -> None:
    duo.start_receiver()
    first = duo.spool_image(PLAIN, label="first")
    duo.deliver_all()
    second = duo.spool_image(PLAIN, label="second")
    duo.stop_receiver(duo.receivers[0])
    duo.step(2)
    say(duo, Topics().control(DEVICE), encode(SignedReceipt(receipt_for(first))))
    duo.step(2)
    assert duo.spool.images() == [second]
    assert len(duo.receipts) == 1


def test_a_revoked_receiver_is_not_believed(tmp_path: Path) -> None:
    from tests.world import device_keyring

    duo = Duo(tmp_path, MemoryBroker())
    duo.keyring = device_keyring(revoked=(RECEIVER,))
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(duo.broker)
    duo.sender = duo.start_sender(duo.device_transport)
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say(duo, Topics().control(DEVICE), encode(SignedReceipt(receipt_for(image))))
    duo.step(2)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.spool.images() == [image]
    duo.close()


def test_a_repeated_receipt_is_acted_on_once(duo: Duo) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    for _ in range(3):
        say(duo, Topics().control(DEVICE), encode(SignedReceipt(receipt_for(image))))
    duo.step(3)
    assert len(duo.receipts) == 1
    assert duo.sender.counts.refused_receipts == 0


# --- refusals -------------------------------------------------------------------------------------------------------


def test_an_image_of_an_unknown_device_is_rejected_and_kept_in_the_device_s_quarantine(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path / "hospital", keyring=receiver_keyring(devices=("device-2",)))
    duo = Duo(tmp_path, MemoryBroker(), hospital=hospital)
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    [receipt] = duo.receipts
    assert (receipt.status, receipt.reason) == (ReceiptStatus.REJECTED, "unknown-signer")
    assert (tmp_path / "spool" / "quarantine" / image.path.name).is_file()
    assert hospital.contents() == []
    assert receiver.counts.rejected == 1
    duo.close()


REFUSED: dict[str, tuple[dict[str, object], str]] = {
    "signed by another enrolled device": ({"signer": "device-2"}, "unknown-signer"),
    "signed by a stranger": ({"signer": "stranger"}, "unknown-signer"),
    "sealed for another key": ({"recipients": ("receiver-2",)}, "not-a-recipient"),
}


@pytest.mark.parametrize(("changes", "reason"), REFUSED.values(), ids=REFUSED)
def test_an_image_that_can_never_be_accepted_is_rejected_by_name(
    duo: Duo, changes: dict[str, object], reason: str
) -> None:
    duo.start_receiver()
    duo.spool_image(PLAIN, label="bad", **changes)
    duo.spool_image(PLAIN, label="good")
    duo.deliver_all()
    assert [(receipt.status.value, receipt.reason) for receipt in duo.receipts if receipt.reason] == [
        ("rejected", reason)
    ]
    assert duo.hospital.contents() == [PLAIN]


def test_an_image_that_does_not_open_is_quarantined_on_both_sides(duo: Duo) -> None:
    duo.start_receiver()
    image = duo.spool_image(PLAIN, label="bad", recipients=("receiver-2",))
    duo.deliver_all()
    kept = duo.hospital.state / "quarantine" / f"{DEVICE}-{image.image_id.hex()}.sealed"
    set_aside = duo.spool._folder / "quarantine" / image.path.name
    assert kept.read_bytes() == set_aside.read_bytes()
    assert "not-a-recipient" in kept.with_suffix(".reason.json").read_text()
    [delivered] = duo.hospital.catalogue()
    assert (delivered.status, delivered.reason, delivered.path) == ("rejected", "not-a-recipient", "")
    # The receiver keeps its word, also after a restart.
    duo.stop_receiver(duo.receivers[0])
    duo.start_receiver()
    duo.sender.add(image)
    duo.step(5)
    assert [receipt.reason for receipt in duo.receipts] == ["not-a-recipient"] * 2


def test_an_image_of_a_device_whose_clock_is_ahead_arrives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hospital = Hospital(tmp_path / "hospital", now=lambda: float(party.ISSUED_AT - 90_000))
    duo = Duo(tmp_path, MemoryBroker(), hospital=hospital)
    duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert hospital.contents() == [PLAIN]
    assert "ahead" in caplog.text
    duo.close()


def test_an_image_over_the_size_limit_is_rejected_before_any_of_it_is_fetched(tmp_path: Path) -> None:
    hospital = Hospital(tmp_path / "hospital", settings={"limits.image_bytes": 10_000})
    duo = Duo(tmp_path, MemoryBroker(), hospital=hospital)
    duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert [receipt.reason for receipt in duo.receipts] == ["malformed-envelope"]
    assert duo.sender.counts.chunks == 0
    duo.close()


# --- repetition and replay ------------------------------------------------------------------------------------------


def test_a_stored_image_offered_again_gets_the_same_receipt_and_is_not_stored_twice(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    data = image.path.read_bytes()
    duo.deliver_all()
    chunks = duo.sender.counts.chunks

    image.path.write_bytes(data)  # as if the receipt had been lost
    duo.sender.add(image)
    duo.deliver_all()

    first, second = duo.receipts
    assert (first.status, first.manifest_hash) == (second.status, second.manifest_hash)
    assert duo.sender.counts.chunks == chunks
    assert receiver.counts.repeated == 1
    assert duo.hospital.contents() == [PLAIN]
    assert len(duo.hospital.catalogue()) == 1


def test_another_image_under_a_known_id_is_refused_as_a_replay(duo: Duo, tmp_path: Path) -> None:
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    other = Duo(tmp_path / "other", duo.broker)
    other.device_transport.stop()
    image = spool_image(other.spool, bytes_of("other", 5000), label="scan", sequence=9)
    assert image.image_id == duo.images[0].image_id
    duo.sender.add(image)
    duo.deliver_all()
    assert [receipt.reason for receipt in duo.receipts] == ["", "replayed-envelope"]
    assert receiver.counts.rejected == 1
    assert duo.hospital.contents() == [PLAIN]


# --- damage and full disks ------------------------------------------------------------------------------------------


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
    say(duo, Topics().chunk(RECEIVER, DEVICE, image.image_id, 4), bytes(16 * 1024))
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


def test_the_alarm_of_a_full_disk_is_over_once_there_is_room_though_nobody_uses_it_yet(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear(UnhurriedTransport(duo.broker), RECEIVER)
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr("edge.durable.free_bytes", lambda _path: 1000)
        duo.step_until(lambda: ear.alarms == ["store-full"])
        duo.clock.tick(120)
        receiver.step()
        assert ear.alarms == ["store-full"]
    duo.clock.tick(120)
    receiver.step()  # the device is not stepped: it offers nothing
    assert ear.alarms == []
    assert receiver.counts.stored == 0


@pytest.mark.parametrize("where", ["put_in_place", "make_folder"])
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


def test_a_catalogue_that_cannot_be_written_keeps_the_receipt_back(duo: Duo) -> None:
    receiver = duo.start_receiver()
    receiver.archive.catalogue._connection.execute("PRAGMA query_only = ON")
    duo.spool_image(PLAIN, label="scan")
    duo.step(100)
    assert duo.receipts == []
    receiver.archive.catalogue._connection.execute("PRAGMA query_only = OFF")
    duo.deliver_all()
    assert list(duo.hospital.files().values()) == [PLAIN]


def test_a_chunk_that_the_disk_refuses_comes_again(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

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


def test_a_store_that_is_gone_does_not_end_the_receiver(duo: Duo) -> None:
    import shutil

    receiver = duo.start_receiver()
    shutil.rmtree(duo.hospital.store)
    duo.spool_image(PLAIN, label="scan")
    duo.clock.tick(120)  # a status is due, and it tells how much room is free
    duo.deliver_all()
    assert receiver._loop.counts.faults == 0
    assert duo.hospital.contents() == [PLAIN]


def test_a_part_that_a_crash_left_after_recording_is_swept(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    duo.stop_receiver(receiver)
    parts = duo.hospital.state / "parts"
    for kind in ("part", "have", "key"):
        (parts / f"{DEVICE}-{image.image_id.hex()}.{kind}").write_bytes(b"left")
    (parts / f"{DEVICE}-{'0' * 32}.part").write_bytes(b"of an image still under way")
    (parts / "what a person put here").write_bytes(b"")
    (parts / f"odd-{'z' * 32}.part").write_bytes(b"")
    duo.start_receiver()
    left = {path.name for path in parts.iterdir()}
    assert f"{DEVICE}-{'0' * 32}.part" in left
    assert not any(image.image_id.hex() in name for name in left)


def test_a_part_that_nobody_offers_any_more_is_swept_once_it_is_old(duo: Duo) -> None:
    receiver = duo.start_receiver()
    duo.stop_receiver(receiver)
    parts = duo.hospital.state / "parts"
    for label, days in (("0", 31), ("1", 29)):
        part = parts / f"{DEVICE}-{label * 32}.part"
        part.write_bytes(b"half")
        then = duo.hospital.now() - days * 86_400
        os.utime(part, (then, then))
    duo.start_receiver()
    assert [path.name for path in parts.iterdir()] == [f"{DEVICE}-{'1' * 32}.part"]


def test_what_an_interrupted_quarantine_left_is_swept_at_the_start(duo: Duo) -> None:
    duo.stop_receiver(duo.start_receiver())
    quarantine = duo.hospital.state / "quarantine"
    (quarantine / ".edge-0011223344556677.tmp").write_bytes(b"half")
    (quarantine / "what a person put here").write_bytes(b"")
    duo.start_receiver()
    assert [path.name for path in quarantine.iterdir()] == ["what a person put here"]


# --- status ---------------------------------------------------------------------------------------------------------


def test_the_status_is_retained_and_ends_with_the_receiver(duo: Duo) -> None:
    import json

    receiver = duo.start_receiver()
    duo.step(2)

    def status() -> dict[str, object]:
        ear = UnhurriedTransport(duo.broker)
        ear.subscribe(Topics().status(RECEIVER))
        ear.start()
        message = ear.receive(0)
        assert message is not None
        found: dict[str, object] = json.loads(message.payload)
        return found

    assert (status()["state"], status()["role"], status()["id"]) == ("online", "receiver", RECEIVER)
    duo.stop_receiver(receiver)
    assert status()["state"] == "offline"


# --- pixels ---------------------------------------------------------------------------------------------------------


def test_what_belongs_beside_the_pixels_lies_beside_them(duo: Duo) -> None:
    import numpy as np
    from PIL import Image

    samples = np.arange(12, dtype="u1")
    pixels = PixelImage((1, 3, 4, 1), "u1", "gray", {"dicom": b"header", "exif": b"II*\0block"})
    sealed = party.sealed(samples.tobytes(), label="pixels", pixels=pixels)
    manifest, _ = party.split(sealed)
    envelope = sign.read_manifest(manifest)
    receiver = duo.start_receiver()
    image = duo.spool_image(b"x" * 100, label="pixels")
    image.path.write_bytes(sealed)
    [image] = duo.spool.images() or [image]
    duo.sender.add(SpooledImage(image.path, 1, envelope, image.origin))
    duo.step_until(lambda: receiver.counts.stored == 1)
    files = duo.hospital.files()
    assert files[f"{DEVICE}/2023/11/14/image.bin.png.dicom"] == b"header"
    with Image.open(duo.hospital.store / f"{DEVICE}/2023/11/14/image.bin.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), samples.reshape(3, 4))
