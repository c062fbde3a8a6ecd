"""What somebody with bad intent says on the broker: it is refused, counted and bounded, and a correct device's images arrive.

The adversary may publish on every topic. He may hold the key of an enrolled device, or of one that was revoked.
"""

from __future__ import annotations

import hashlib
import logging
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path

import psutil
import pytest

from edge import archive, protocol
from edge.envelope import sign, wire
from edge.envelope.seal import Opening
from edge.envelope.sign import Manifest, ReceiptStatus
from edge.intake.ledger import FileState
from edge.spool import SpooledImage
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want, decode, encode
from edge.transport.memory import MemoryBroker
from edge.transport.mqtt import MqttTransport
from tests.brokers import HOST, Mosquitto
from tests.envelope import party
from tests.fuzz.doors import sealed_bulk
from tests.fuzz.test_corpus import KEPT
from tests.transfer.duo import Duo
from tests.transport.worlds import settings
from tests.world import (
    DEVICE,
    RECEIVER,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    UnhurriedTransport,
    bytes_of,
    png,
    receipt_for,
    receiver_keyring,
    until,
)

PLAIN = bytes_of("plain", 300_000)
CHUNK = protocol.CHUNK_MIN_BYTES
MEGABYTE = 1 << 20
HOSTILE = "device-2"
"""A device that is enrolled unless a test says otherwise, and whose key the adversary holds."""


@pytest.fixture
def duo(tmp_path: Path, broker: MemoryBroker) -> Iterator[Duo]:
    """A correct device, and a hospital whose receiver does not run yet."""
    duo = Duo(tmp_path, broker)
    yield duo
    duo.close()


@pytest.fixture
def mouth(broker: MemoryBroker) -> Iterator[UnhurriedTransport]:
    """What the adversary speaks through."""
    mouth = UnhurriedTransport(broker)
    mouth.start()
    yield mouth
    mouth.stop()


def manifest(number: int, *, device: str = HOSTILE, signer: str = HOSTILE, bulk_bytes: int = 10 * CHUNK) -> bytes:
    """Return a manifest of an image that does not exist."""
    image_id = hashlib.sha256(b"%d" % number).digest()[: protocol.IMAGE_ID_BYTES]
    made = Manifest(
        device=device,
        audience=RECEIVER,
        issued_at=party.NOW,
        image_id=image_id,
        sequence=number,
        bulk_bytes=bulk_bytes,
    )
    return sign.sign_manifest(made, bytes(32), party.signer(signer))


def say_offer(mouth: UnhurriedTransport, raw: bytes, *, device: str = HOSTILE, chunk_bytes: int = CHUNK) -> None:
    mouth.publish(Topics().offer(device), encode(Offer(raw, chunk_bytes)))


@contextmanager
def memory_within(limit: int) -> Iterator[None]:
    """Insist that no more than `limit` bytes are taken at any moment of the block."""
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield
        assert tracemalloc.get_traced_memory()[1] - before <= limit
    finally:
        tracemalloc.stop()


def under_way(duo: Duo) -> list[Path]:
    return list((duo.hospital.state / "parts").iterdir())


# --- forged and revoked ---------------------------------------------------------------------------------------------


def test_endless_offers_of_an_unknown_device_cost_neither_memory_nor_log_nor_the_others_images(
    duo: Duo, mouth: UnhurriedTransport, caplog: pytest.LogCaptureFixture
) -> None:
    receiver = duo.start_receiver()
    ear = UnhurriedTransport(duo.broker, inbox_limit=10_000)
    ear.subscribe(Topics().control("device-9"))
    ear.start()
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


def test_a_stolen_device_that_was_revoked_brings_nothing_in_new_or_old(
    tmp_path: Path, broker: MemoryBroker, mouth: UnhurriedTransport
) -> None:
    keyring = receiver_keyring(revoked=(HOSTILE,))
    duo = Duo(tmp_path, broker, hospital=Hospital(tmp_path / "hospital", keyring=keyring))
    receiver = duo.start_receiver()
    ear = UnhurriedTransport(broker)
    ear.subscribe(Topics().control(HOSTILE))
    ear.start()
    # What it signs now, what it signed before it was stolen, and another device's image signed anew.
    old = sign.read_manifest(party.split(party.sealed(PLAIN, device=HOSTILE))[0])
    image = duo.spool_image(PLAIN, label="scan")
    again = sign.sign_manifest(
        replace(image.envelope.manifest, device=HOSTILE), image.envelope.digest, party.signer(HOSTILE)
    )
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


def test_an_image_signed_anew_by_another_enrolled_device_does_not_open(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    stolen = sign.sign_manifest(
        replace(image.envelope.manifest, device=HOSTILE), image.envelope.digest, party.signer(HOSTILE)
    )
    bulk = image.path.read_bytes()[len(image.envelope.raw) :]
    say_offer(mouth, stolen)
    say_chunks(duo, mouth, image.image_id, bulk)
    assert receiver.counts.rejected == 1
    [row] = [each for each in duo.hospital.catalogue() if each.device == HOSTILE]
    assert (row.status, row.reason) == ("rejected", "opening-failed")
    duo.deliver_all()
    assert duo.hospital.files().keys() == {f"{DEVICE}/2023/11/14/scan.png"}


def say_chunks(duo: Duo, mouth: UnhurriedTransport, image_id: bytes, bulk: bytes) -> None:
    """Let the adversary serve a whole bulk."""
    [receiver] = duo.receivers
    receiver.step()
    for number, start in enumerate(range(0, len(bulk), CHUNK)):
        mouth.publish(Topics().chunk(RECEIVER, HOSTILE, image_id, number), bulk[start : start + CHUNK])
        receiver.step()


# --- replayed -------------------------------------------------------------------------------------------------------


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
            mouth.publish(Topics().control(DEVICE), encode(SignedReceipt(replayed[number % 3])))
            duo.step()
    assert duo.sender.counts.refused_receipts == 200
    assert duo.spool.images() == [second]
    assert len(duo.receipts) == 1
    # 15 seconds: twenty lines at once, and one each five seconds, each with one that says what was left out.
    assert len(caplog.records) <= 20 + 2 * 3
    duo.start_receiver()
    duo.deliver_all()
    assert len(duo.receipts) == 2


# --- huge, endless and slow -----------------------------------------------------------------------------------------


def test_a_huge_claimed_size_takes_neither_memory_nor_disk(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    limit = duo.hospital.config().limits.bulk_bytes
    with memory_within(4 * MEGABYTE + 4 * limit // CHUNK):
        for number, size in enumerate((limit, limit, limit + 1, protocol.IMAGE_MAX_BYTES * 4)):
            say_offer(mouth, manifest(number, bulk_bytes=size))
            receiver.step()
    # Over the limit it is refused; within, room must be there, and none of it is taken before the bytes come.
    assert receiver.counts.rejected == 2
    assert sum(path.stat().st_blocks * 512 for path in under_way(duo)) < MEGABYTE
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


def test_endless_offers_of_an_enrolled_device_do_not_keep_the_others_images_waiting(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    receiver = duo.start_receiver()
    numbers = count()
    with memory_within(4 * MEGABYTE):
        for _ in range(400):
            say_offer(mouth, manifest(next(numbers)))
            receiver.step()
    duo.spool_image(PLAIN, label="scan")
    while duo.sender.unreceipted:
        say_offer(mouth, manifest(next(numbers)))
        duo.step()
        assert duo.clock() < 1500, "it waits behind the other device's"
    assert duo.hospital.contents() == [PLAIN]
    # Three small files for each that has a slot or had one.
    assert len(under_way(duo)) < 3 * 50


def test_a_device_that_sends_as_slowly_as_it_can_does_not_hold_all_slots(duo: Duo, mouth: UnhurriedTransport) -> None:
    receiver = duo.start_receiver()
    images = [sign.read_manifest(manifest(number, bulk_bytes=1 << 30)) for number in range(8)]
    for image in images:
        say_offer(mouth, image.raw)
    receiver.step()
    duo.spool_image(PLAIN, label="scan")
    numbers = count()
    while duo.sender.unreceipted:
        for image in images:
            number = next(numbers) % 65536
            mouth.publish(Topics().chunk(RECEIVER, HOSTILE, image.manifest.image_id, number), bytes(CHUNK))
        duo.step(10)  # half a second: before any of them stalls
        assert duo.clock() < 1500, "it waits for a slot that is never given up"
    assert receiver._loop.counts.stalls == 0
    assert duo.hospital.contents() == [PLAIN]


@pytest.mark.parametrize("topic", [Topics().offer(DEVICE), Topics().control(DEVICE), Topics().status(RECEIVER)])
def test_bombs_of_cbor_and_json_are_refused_and_counted(duo: Duo, mouth: UnhurriedTransport, topic: str) -> None:
    receiver = duo.start_receiver()
    duo.step(2)
    bombs = [*KEPT["wire"], b"[" * 16_000, b"\x81" * 16_000, b"\x99\x3f\x00" + b"\xa0" * 0x3F00, b"{" * 3_000_000]
    with memory_within(16 * MEGABYTE):
        for bomb in bombs:
            mouth.publish(topic, bomb)
            duo.step()
    assert (receiver._loop.counts.faults, duo.sender.counts.faults) == (0, 0)
    counted = {
        Topics().offer(DEVICE): receiver._loop.counts.malformed + receiver._transport.counts.dropped,
        Topics().control(DEVICE): duo.sender.counts.malformed + duo.device_transport.counts.dropped,
        Topics().status(RECEIVER): len(bombs),
    }
    assert counted[topic] == len(bombs)
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert duo.hospital.contents() == [PLAIN]


# --- wants ----------------------------------------------------------------------------------------------------------


def test_chunks_go_to_nobody_but_the_receiver_that_the_image_is_for(duo: Duo, mouth: UnhurriedTransport) -> None:
    ear = UnhurriedTransport(duo.broker)
    ear.subscribe("edge/v1/rx/nobody/#")
    ear.start()
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    said = 0
    while duo.sender.unreceipted:
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, "nobody", ((0, 200),))))
        said += 1
        duo.step()
    assert ear.receive(0) is None
    assert 0 < duo.sender.counts.refused_wants <= said
    assert receiver._loop.counts.stalls == 0
    assert duo.hospital.contents() == [PLAIN]


def test_wants_in_the_receiver_s_name_make_a_device_hold_no_more_than_the_largest_credit(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    plain = bytes_of("plain", 6_000_000)
    duo.start_receiver()
    image = duo.spool_image(plain, label="scan")
    duo.step(2)
    everything = tuple((first, first + 1) for first in range(0, 2 * protocol.RANGES_MAX, 2))
    for number in range(40):
        ranges = everything if number % 2 else ((0, 1 << 20),)
        mouth.publish(Topics().control(DEVICE), encode(Want(image.image_id, RECEIVER, ranges)))
        duo.step()
        assert all(len(each.pending) <= 256 for each in duo.sender._offers)
    duo.deliver_all()
    assert duo.hospital.contents() == [plain]


def test_statuses_of_receivers_that_a_device_does_not_know_make_it_say_nothing(
    duo: Duo, mouth: UnhurriedTransport
) -> None:
    duo.spool_image(PLAIN, label="scan")
    duo.step(2)
    offers = duo.sender.counts.offers
    for number in range(10):
        online = b'{"role": "receiver", "state": "online", "boot": "%d", "connection": 1}' % number
        mouth.publish(Topics().status("nobody"), online)
        duo.step()
    assert duo.sender.counts.offers == offers
    assert not duo.sender._lives


# --- names ----------------------------------------------------------------------------------------------------------

NAMES = {
    "climbing": b"../../../../climbed.png",
    "absolute": b"/tmp/climbed.png",
    "dots": b"..",
    "hidden": b".climbed",
    "other separators": rb"..\..\climbed.png",
    "a line": b"a\nb\rc.png",
    "nul": b"a\0.png",
    "backwards": "\u202egnp.climbed".encode(),
    "not unicode": b"\xff\xfe/\xff.png",
    "long": b"../" * 300,
}


def hostile_image(duo: Duo, changes: Callable[[dict[int, object]], dict[int, object]]) -> SpooledImage:
    """Spool an image whose sealed metadata the device's owner has changed, and signed."""
    image = duo.spool_image(PLAIN, label="scan")
    data = image.path.read_bytes()
    opening = Opening(party.verified(data), BytesIO(party.split(data)[1]), party.unwrappers(RECEIVER))
    reader = wire.SequenceReader(opening)
    described = wire.decode(reader.small_item(protocol.METADATA_MAX_BYTES), limit=protocol.METADATA_MAX_BYTES)
    rest = b"".join(iter(lambda: opening.read(MEGABYTE), b""))
    bulk = sealed_bulk(wire.encode(changes(dict(described))) + rest, image.image_id)
    made = replace(image.envelope.manifest, bulk_bytes=len(bulk))
    raw = sign.sign_manifest(made, hashlib.sha256(bulk).digest(), party.signer(DEVICE))
    image.path.write_bytes(raw + bulk)
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(duo.broker)
    duo.sender = duo.start_sender(duo.device_transport)
    return image


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leads_out_of_the_store(duo: Duo, tmp_path: Path, name: bytes) -> None:
    duo.start_receiver()
    hostile_image(duo, lambda described: described | {1: name, 13: b"../../../.."})
    duo.deliver_all()
    [place] = duo.hospital.files()
    assert Path(place).parts[:-1] == (DEVICE, "2023", "11", "14")
    assert not place.rpartition("/")[2].startswith(".")
    assert not [path for path in tmp_path.rglob("*climbed*") if duo.hospital.store not in path.parents]
    assert not Path("/tmp/climbed.png").exists()  # noqa: S108 - the name that the adversary gave


def test_images_under_one_name_are_not_each_compared_with_all_others(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = archive._same_content
    monkeypatch.setattr(archive, "_same_content", lambda one, other: read.append(other) or real(one, other))
    duo.start_receiver()
    plains = [PLAIN[:50_000] + b"%02d" % number for number in range(12)]
    for number, plain in enumerate(plains):
        duo.spool_image(plain, label=f"scan-{number}", name="a.png")
    duo.deliver_all()
    assert duo.hospital.contents() == sorted(plains)
    assert read == []


LIES: dict[str, dict[int, object]] = {
    "another size": {3: 1},
    "a huge size": {3: protocol.IMAGE_MAX_BYTES},
    "another content": {4: bytes(32)},
    "huge pixels": {9: {1: [2**32, 2**32, 2**32, 2**32], 2: "f8", 3: "rgb", 4: {}}},
    "pixels in domain file": {9: {1: [1, 1, 1, 1], 2: "u1", 3: "gray", 4: {"../x": b""}}},
    "no time": {6: ["0000-00-00T00:00:00", "mtime"]},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_metadata_that_lie_are_refused_by_one_name_and_leave_nothing(duo: Duo, lie: dict[int, object]) -> None:
    receiver = duo.start_receiver()
    with memory_within(16 * MEGABYTE):
        hostile_image(duo, lambda described: described | lie)
        duo.deliver_all()
    assert [receipt.reason for receipt in duo.receipts] == ["opening-failed"]
    assert receiver._loop.counts.faults == 0
    assert duo.hospital.files() == {}
    assert list((duo.hospital.store / ".incoming").iterdir()) == []


# --- all of it at once, over a real broker --------------------------------------------------------------------------

ADVERSARY = """
import hashlib, os, random, sys
from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion
from edge.transfer.messages import Offer, SignedReceipt, Topics, encode
from tests.test_malice import manifest
host, port, device, receiver = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4]
client = Client(CallbackAPIVersion.VERSION2)
client.max_inflight_messages_set(20)
client.max_queued_messages_set(0)
client.connect(host, port)
client.loop_start()
topics, chance, number = Topics(), random.Random(1), 0
while True:
    number += 1
    said = [
        (topics.offer("device-9"), encode(Offer(manifest(number, device="device-9", signer="stranger"), 16384))),
        (topics.offer(device), encode(Offer(manifest(number, device=device, signer="stranger"), 16384))),
        (topics.offer(device), chance.randbytes(200)),
        (topics.chunk(receiver, device, chance.randbytes(16), number % 1000), bytes(16384)),
        (topics.control(device), encode(SignedReceipt(chance.randbytes(300)))),
        (topics.control(device), chance.randbytes(2000)),
        (topics.status(receiver), b'{"role": "receiver", "state": "online", "boot": "%d"}' % number),
    ]
    if number % 50 == 0:
        said.append((topics.chunk(receiver, device, bytes(16), 0), bytes(4 << 20)))
    last = [client.publish(*each, qos=1) for each in said][-1]
    last.wait_for_publish(30)
"""


@contextmanager
def adversary(broker: Mosquitto) -> Iterator[subprocess.Popen[bytes]]:
    """Let somebody say all that he can, as fast as he can."""
    command = [sys.executable, "-c", ADVERSARY, HOST, str(broker.port), DEVICE, RECEIVER]
    process = subprocess.Popen(command, cwd=Path(__file__).resolve().parent.parent)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.mosquitto
def test_images_arrive_beside_a_client_that_floods_every_topic(tmp_path: Path) -> None:
    site, hospital = Site(tmp_path / "device"), Hospital(tmp_path / "hospital", settings={"transfer.stall": 0.5})
    plains = [png(f"scan {number}", 400_000) for number in range(4)]
    with Mosquitto(tmp_path / "broker") as broker:
        receiving, sending = MqttTransport(settings(broker.url)), MqttTransport(settings(broker.url))
        with RunningReceiver(hospital, receiving) as receiver, adversary(broker) as process:
            until(lambda: receiver.counts.rejected > 100)
            before = psutil.Process().memory_info().rss
            for number, plain in enumerate(plains):
                site.scan(f"{number}.png", plain)
            with RunningDaemon(site, sending):
                until(lambda: list(site.states().values()) == [FileState.DISPOSED] * 4, seconds=100)
            grown = psutil.Process().memory_info().rss - before
            assert process.poll() is None
        assert hospital.contents() == sorted(plains)
        assert receiver._loop.counts.faults == 0
        assert receiver._loop.counts.unexpected > 0
        assert receiver._loop.counts.malformed > 0
        # The inbox of either end may be full of chunks, and an image is enciphered and deciphered meanwhile.
        assert grown < 200 * MEGABYTE
