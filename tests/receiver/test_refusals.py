"""What can never be accepted is rejected by name, with a receipt that says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.envelope.sign import ReceiptStatus
from edge.transport.memory import MemoryBroker
from tests.transfer.duo import Duo
from tests.world import DEVICE, Hospital, bytes_of, receiver_keyring, spool_image

PLAIN = bytes_of("plain", 100_000)


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


@pytest.mark.parametrize("chunk_bytes", [16 * 1024, 256 * 1024])
def test_an_image_that_does_not_open_is_quarantined_on_both_sides(
    tmp_path: Path, broker: MemoryBroker, chunk_bytes: int
) -> None:
    duo = Duo(tmp_path, broker, chunk_bytes=chunk_bytes)
    duo.start_receiver()
    image = duo.spool_image(PLAIN, label="bad", recipients=("receiver-2",))
    duo.deliver_all()
    kept = duo.hospital.state / "quarantine" / f"{DEVICE}-{image.image_id.hex()}.sealed"
    set_aside = duo.spool._folder / "quarantine" / image.path.name
    assert kept.read_bytes() == set_aside.read_bytes()[: image.sealed_bytes]
    assert "not-a-recipient" in kept.with_suffix(".reason.json").read_text()
    [delivered] = duo.hospital.catalogue()
    assert (delivered.status, delivered.reason, delivered.path) == ("rejected", "not-a-recipient", "")
    # The receiver keeps its word, also after a restart.
    duo.stop_receiver(duo.receivers[0])
    duo.start_receiver()
    duo.sender.add(image)
    duo.step(5)
    assert [receipt.reason for receipt in duo.receipts] == ["not-a-recipient"] * 2
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
