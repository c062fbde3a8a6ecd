"""Offers that are forged, repeated, or signed by a revoked device: refused, bounded, and correct images arrive."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge import protocol
from edge.envelope import sign
from edge.envelope.sign import ReceiptStatus
from edge.transfer.messages import SignedReceipt, Topics, decode
from edge.transport.memory import MemoryBroker
from tests.envelope import party
from tests.malice.adversary import (
    CHUNK,
    HOSTILE,
    MEGABYTE,
    PLAIN,
    manifest,
    say_offer,
    signed_anew,
    under_way,
)
from tests.memory import memory_within
from tests.transfer.duo import Duo
from tests.world import (
    DEVICE,
    RECEIVER,
    Hospital,
    UnhurriedTransport,
    bytes_of,
    connected,
    receiver_keyring,
    sealed_data,
)


def test_endless_offers_of_an_unknown_device_cost_neither_memory_nor_log_nor_the_others_images(
    duo: Duo, mouth: UnhurriedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = duo.start_receiver()
    ear = connected(duo.broker, Topics().control("device-9"), inbox_limit=10_000)
    offers = [manifest(number, device="device-9", signer="stranger") for number in range(400)]
    with memory_within(2 * MEGABYTE):
        for start in range(0, len(offers), 100):
            for raw in offers[start : start + 100]:
                say_offer(mouth, raw, device="device-9")
            receiver.step()
    assert receiver.counts.rejected == 400
    assert b'"rejected": 400' in receiver._status("online")
    # The clock stood still: what is said at once is all that is said.
    assert ear.counts.received == 32
    assert len([each for each in caplog.records if each.levelno >= logging.WARNING]) == 20
    assert under_way(duo) == []
    assert not receiver.busy

    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


def test_what_is_left_out_of_the_log_is_said_later(
    duo: Duo, mouth: UnhurriedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = duo.start_receiver()
    for number in range(50):
        say_offer(mouth, manifest(number, device="device-9", signer="stranger"), device="device-9")
    receiver.step()
    duo.clock.tick(10)
    say_offer(mouth, manifest(51, device="device-9", signer="stranger"), device="device-9")
    receiver.step()
    assert "30 more of these were left out" in caplog.text


@pytest.mark.parametrize("signer", ["stranger", HOSTILE])
def test_forged_offers_in_a_correct_device_s_name_do_not_hold_its_images_up(
    duo: Duo, mouth: UnhurriedTransport, signer: str
) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    forged = [manifest(number, device=DEVICE, signer=signer) for number in range(100)]
    # The same image id, too.
    forged += [
        sign.sign_manifest(replace(image.envelope.manifest, sequence=n), bytes(32), party.signer(signer))
        for n in range(100)
    ]
    while duo.sender.unreceipted:
        for raw in forged[:5]:
            say_offer(mouth, raw, device=DEVICE)
        forged = forged[5:] + forged[:5]
        duo.step()
    assert receiver.counts.rejected > 0
    assert [receipt.status for receipt in duo.receipts] == [ReceiptStatus.STORED]
    assert duo.hospital.contents() == [PLAIN]
    assert receiver._loop.counts.chunks == -(-image.envelope.manifest.bulk_bytes // CHUNK)


def test_a_forged_offer_does_not_end_the_pull_of_the_true_image(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    plain = bytes_of("more than the credit", 1_500_000)
    image = duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 4)
    say_offer(mouth, signed_anew(image, HOSTILE, sequence=99), device=DEVICE)
    duo.step(2)
    assert receiver.counts.rejected == 1
    assert receiver.busy

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]


def test_a_stolen_device_that_was_revoked_brings_nothing_in_new_or_old(
    tmp_path: Path, broker: MemoryBroker, mouth: UnhurriedTransport
) -> None:
    keyring = receiver_keyring(revoked=(HOSTILE,))
    duo = Duo(tmp_path, broker, hospital=Hospital(tmp_path / "hospital", keyring=keyring))
    receiver = duo.start_receiver()
    ear = connected(broker, Topics().control(HOSTILE))
    # What it signs now, what it signed before it was stolen, and another device's image signed anew.
    old = sign.read_manifest(party.split(party.sealed(PLAIN, device=HOSTILE))[0])
    image = duo.spool_image(PLAIN, label="scan")
    again = signed_anew(image, HOSTILE, device=HOSTILE)
    offered = [manifest(1), old.raw, again]
    for raw in offered:
        say_offer(mouth, raw)
        duo.step()
    assert receiver.counts.rejected == len(offered)
    heard = [decode(message.payload) for message in iter(lambda: ear.receive(0), None) if message]
    receivers = duo.keyring.receivers
    answers = [
        sign.verify_receipt(each.raw, receivers=receivers, device=HOSTILE)
        for each in heard
        if isinstance(each, SignedReceipt)
    ]
    assert [(each.status, each.reason) for each in answers] == [(ReceiptStatus.REJECTED, "unknown-signer")] * 3
    assert not [path for path in under_way(duo) if path.name.startswith(HOSTILE)]
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]
    duo.close()


def say_chunks(duo: Duo, mouth: UnhurriedTransport, image_id: bytes, bulk: bytes) -> None:
    """Let the adversary serve a whole bulk."""
    [receiver] = duo.receivers
    receiver.step()
    for number, start in enumerate(range(0, len(bulk), CHUNK)):
        mouth.publish(Topics().chunk(RECEIVER, HOSTILE, image_id, number), bulk[start : start + CHUNK])
        receiver.step()


def test_an_image_signed_anew_by_another_enrolled_device_does_not_open(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    stolen = signed_anew(image, HOSTILE, device=HOSTILE)
    bulk = sealed_data(image)[len(image.envelope.raw) :]
    say_offer(mouth, stolen)
    say_chunks(duo, mouth, image.image_id, bulk)
    assert receiver.counts.rejected == 1
    [row] = [each for each in duo.hospital.catalogue() if each.device == HOSTILE]
    assert (row.status, row.reason) == ("rejected", "opening-failed")
    duo.deliver_all()
    assert duo.hospital.files().keys() == {f"{DEVICE}/2023/11/14/scan.png"}


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 2 * CHUNK, protocol.CHUNK_MAX_BYTES])
def test_an_offer_repeated_by_somebody_else_undoes_nothing_and_asks_for_little(
    duo: Duo, mouth: UnhurriedTransport, chunk_bytes: int
) -> None:
    plain = bytes_of("plain", 3_000_000)
    receiver = duo.start_receiver()
    image = duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 1)
    began = duo.clock()
    while duo.sender.unreceipted:
        say_offer(mouth, image.envelope.raw, device=DEVICE, chunk_bytes=chunk_bytes)
        duo.step()
    needed = -(-image.envelope.manifest.bulk_bytes // CHUNK)
    assert receiver._loop.counts.chunks == needed
    # Once a second at most, one message asks again: for all that is on its way, or for the first chunk.
    heeded = int(duo.clock() - began) + 1
    assert duo.sender.counts.chunks <= needed + heeded * protocol.CREDIT_CHUNKS
    assert duo.hospital.contents() == [plain]


def test_an_image_arrives_though_somebody_else_offered_it_first_in_chunks_of_another_size(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    sizes = [protocol.CHUNK_MAX_BYTES, 2 * CHUNK, 20_000]
    say_offer(mouth, image.envelope.raw, device=DEVICE, chunk_bytes=sizes[0])
    receiver.step()
    while duo.sender.unreceipted:
        sizes = sizes[1:] + sizes[:1]
        say_offer(mouth, image.envelope.raw, device=DEVICE, chunk_bytes=sizes[0])
        duo.step()
    # The first want came before the device itself had offered.
    assert receiver._loop.counts.stalls <= 1
    assert duo.hospital.contents() == [PLAIN]


@pytest.mark.parametrize("chunk_bytes", [CHUNK, 2 * CHUNK, protocol.CHUNK_MAX_BYTES])
def test_an_offer_that_somebody_else_repeats_behind_the_last_chunk_undoes_nothing(
    duo: Duo, mouth: UnhurriedTransport, chunk_bytes: int
) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")

    def step_both() -> bool:
        duo.sender.step()
        say_offer(mouth, image.envelope.raw, device=DEVICE, chunk_bytes=chunk_bytes)
        receiver.step()
        duo.clock.tick(duo.STEP_SECONDS)
        return duo.sender.unreceipted == 0

    assert any(step_both() for _ in range(200)), "the image arrives"
    assert (receiver.counts.stored, receiver.counts.damaged) == (1, 0)
    assert receiver._loop.counts.chunks == -(-image.envelope.manifest.bulk_bytes // CHUNK)
