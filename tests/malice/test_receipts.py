"""No receipt but that of the receiver an image is for, and for that image, frees a device's spool."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from edge.envelope.sign import ReceiptStatus
from edge.spool import SpooledImage
from edge.transfer.messages import SignedReceipt, Topics, encode
from tests.malice.adversary import MEGABYTE, PLAIN, restart_device
from tests.memory import memory_within
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, UnhurriedTransport, device_keyring, receipt_for


def say_receipt(mouth: UnhurriedTransport, raw: bytes) -> None:
    mouth.publish(Topics().control(DEVICE), encode(SignedReceipt(raw)))


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
def test_a_forged_receipt_leaves_the_spool_untouched(
    duo: Duo, mouth: UnhurriedTransport, forge: Callable[[SpooledImage], bytes]
) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say_receipt(mouth, forge(image))
    duo.step(2)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.receipts == []
    assert duo.spool.images() == [image]
    assert duo.sender.unreceipted == 1


def test_a_receipt_for_an_unknown_image_changes_nothing(duo: Duo, mouth: UnhurriedTransport) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say_receipt(mouth, receipt_for(image, image_id=bytes(16)))
    duo.step(2)
    assert duo.spool.images() == [image]
    assert duo.receipts == []


def test_a_receipt_of_an_earlier_image_cannot_be_replayed_for_a_later_one(duo: Duo, mouth: UnhurriedTransport) -> None:
    duo.start_receiver()
    first = duo.spool_image(PLAIN, label="first")
    duo.deliver_all()
    second = duo.spool_image(PLAIN, label="second")
    duo.stop_receiver(duo.receivers[0])
    duo.step(2)
    say_receipt(mouth, receipt_for(first))
    duo.step(2)
    assert duo.spool.images() == [second]
    assert len(duo.receipts) == 1


def test_a_receipt_replayed_over_and_over_frees_nothing_and_is_counted(
    duo: Duo, mouth: UnhurriedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    first = duo.spool_image(PLAIN, label="first")
    duo.start_receiver()
    duo.deliver_all()
    duo.stop_receiver(duo.receivers[0])
    second = duo.spool_image(PLAIN, label="second")
    forged = receipt_for(second, signer="stranger")
    replayed = [receipt_for(first), receipt_for(second, manifest_hash=first.envelope.manifest_hash), forged]
    caplog.clear()
    with memory_within(2 * MEGABYTE):
        for number in range(300):
            say_receipt(mouth, replayed[number % 3])
            duo.step()
    assert duo.sender.counts.refused_receipts == 200
    assert duo.spool.images() == [second]
    assert len(duo.receipts) == 1
    # 15 seconds: twenty lines at once, and one each five seconds, each with one that says what was left out.
    assert len(caplog.records) <= 20 + 2 * 3
    duo.start_receiver()
    duo.deliver_all()
    assert len(duo.receipts) == 2


def test_a_revoked_receiver_is_not_believed(duo: Duo, mouth: UnhurriedTransport) -> None:
    duo.keyring = device_keyring(revoked=(RECEIVER,))
    restart_device(duo)
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    say_receipt(mouth, receipt_for(image))
    duo.step(2)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.spool.images() == [image]


def test_a_receipt_of_a_trusted_receiver_that_the_image_is_not_for_frees_nothing(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    duo.keyring = device_keyring(receivers=(RECEIVER, "receiver-2"))
    restart_device(duo)
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(3)
    say_receipt(mouth, receipt_for(image, signer="receiver-2", receiver="receiver-2"))
    duo.step(3)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.sender.unreceipted == 1
    assert [each.image_id for each in duo.spool.images()] == [image.image_id]


def test_a_repeated_receipt_is_acted_on_once(duo: Duo, mouth: UnhurriedTransport) -> None:
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    for _ in range(3):
        say_receipt(mouth, receipt_for(image))
    duo.step(3)
    assert len(duo.receipts) == 1
    assert duo.sender.counts.refused_receipts == 0
