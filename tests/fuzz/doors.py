"""The doors through which bytes of strangers come in, each as one function: bytes in, nothing out.

The rule kept here: a door refuses by an error that its documentation names, or it takes what it was given. Whatever else
leaves one is an escape. What an adversary signs for himself is signed here too (a stolen device, a hostile receiver):
otherwise nothing behind a signature would ever be reached.
"""

from __future__ import annotations

import atexit
import contextlib
import hashlib
import json
import os
import shutil
import tempfile
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

import cbor2

from edge import catalogue, decrypt, protocol
from edge.envelope import metadata, seal, sign, wire
from edge.errors import EnvelopeError, IncompleteFile, IntakeError, PixelsUnavailable, ReceiptError
from edge.intake import exif
from edge.intake.capture import read_embedded, read_sidecar
from edge.intake.extent import extent
from edge.intake.formats import HEAD_BYTES, Format, check_complete, identify, refuse_unfinished
from edge.intake.pixels import encode_pixels
from edge.intake.segments import Cursor
from edge.names import harmless_name
from edge.receiver import Receiver
from edge.spool import Spool, SpooledImage
from edge.transfer import messages
from edge.transfer.messages import Topics
from edge.transfer.receive import ReceiveLoop
from edge.transfer.send import SendLoop
from edge.transport.base import Message
from edge.transport.memory import MemoryBroker
from tests.envelope import party
from tests.world import DEVICE, RECEIVER, Clock, Hospital, UnhurriedTransport, bytes_of, device_keyring, spool_image

NOW = datetime(2026, 11, 28, tzinfo=UTC)
CONTENT_KEY = bytes(range(32))
IMAGE_ID = bytes(range(16))
BULK_LIMIT = 1 << 32
MEGABYTE = 1 << 20


class Escape(AssertionError):
    """A door did what it never may."""


@dataclass(frozen=True)
class Door:
    """One way in: `errors` are what it refuses with, `memory` is how many bytes it may take at once for one input.

    `longest` is the longest input to try, in bytes.
    """

    enter: Callable[[bytes], None]
    errors: tuple[type[Exception], ...] = ()
    longest: int = 4096
    memory: int = 8 * MEGABYTE

    def knock(self, data: bytes) -> None:
        """Let `data` in; whatever this raises is an escape."""
        with warnings.catch_warnings(), contextlib.suppress(*self.errors):
            warnings.simplefilter("ignore")  # the worker's standard error, where readers warn, goes nowhere
            self.enter(data)


def insist(condition: object, what: str) -> None:
    """Call it an escape where `condition` does not hold."""
    if not condition:
        raise Escape(what)


@cache
def folder() -> Path:
    """Return a folder in memory, where there is one, that is gone when this process ends."""
    memory = Path("/dev/shm")  # noqa: S108 - nothing is kept there
    made = Path(tempfile.mkdtemp(dir=memory if memory.is_dir() else None))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


# --- the envelope ---------------------------------------------------------------------------------------------------


def signed_again(raw: bytes, names: tuple[str, ...]) -> bytes:
    """Return a COSE_Sign1 with the signature of whom it names, as far as it can be read at all."""
    try:
        item = wire.decode(raw, limit=protocol.MANIFEST_MAX_BYTES)
        protected, _, payload, _ = item.value
        kid = wire.decode(protected, limit=protocol.MANIFEST_MAX_BYTES)[protocol.HEADER_KID]
        signer = next(party.signer(name) for name in names if party.signer(name).kid == kid)
        signature = signer.sign(wire.encode(["Signature1", protected, b"", payload]))
        return wire.encode(cbor2.CBORTag(protocol.TAG_SIGN1, [protected, {}, payload, signature]))
    except (EnvelopeError, AttributeError, TypeError, ValueError, LookupError, StopIteration):
        return raw


def enter_wire(data: bytes) -> None:
    """Read one value, and the items of a sequence."""
    reader = wire.SequenceReader(BytesIO(data))
    with contextlib.suppress(EnvelopeError):
        item = reader.small_item(protocol.HEADER_MAX_BYTES)
        insist(data.startswith(item), "an item is not what came")
        insist(wire.skip(data, 0) == len(item), "an item has two lengths")
        reader.bytes_length(MEGABYTE)
        reader.end()
    value = wire.decode(data, limit=protocol.HEADER_MAX_BYTES)
    insist(wire.encode(value) == data, "a value has two encodings")


def enter_manifest(data: bytes) -> None:
    """Read a manifest as it comes, and as an enrolled device would have signed it."""
    for raw in (data, signed_again(data, ("device-1", "device-2", "device-3"))):
        signed = sign.read_manifest(raw)
        insist(sign.read_envelope(BytesIO(raw)) == signed, "a manifest reads in two ways")
        sign.verify_manifest(signed, devices=party.DEVICES, audience=RECEIVER, bulk_limit=BULK_LIMIT)


def enter_receipt(data: bytes) -> None:
    """Read a receipt as it comes, and as a trusted receiver would have signed it."""
    receivers = device_keyring(receivers=(RECEIVER, "receiver-2")).receivers
    raw = signed_again(data, (RECEIVER, "receiver-2"))
    receipt = sign.verify_receipt(raw, receivers=receivers, device=DEVICE)
    insist(receipt.device == DEVICE, "a receipt for another device")
    sign.verify_receipt(data, receivers=receivers, device=DEVICE)


def _envelope(bulk: bytes) -> sign.VerifiedEnvelope:
    """Return what a receiver knows of a bulk that its device signed."""
    manifest = sign.Manifest(
        device=DEVICE, audience=RECEIVER, issued_at=party.NOW, image_id=IMAGE_ID, sequence=1, bulk_bytes=len(bulk)
    )
    signed = sign.read_manifest(sign.sign_manifest(manifest, hashlib.sha256(bulk).digest(), party.signer(DEVICE)))
    verified = sign.verify_manifest(signed, devices=party.DEVICES, audience=RECEIVER, bulk_limit=BULK_LIMIT)
    return sign.verify_bulk(verified, BytesIO(bulk))


def enter_bulk(data: bytes) -> None:
    """Open a bulk that its device signed, whatever is in it."""
    decrypt.decrypt(_envelope(data), BytesIO(data), BytesIO(), unwrappers=party.unwrappers(RECEIVER), scratch=BytesIO())


@cache
def _header() -> bytes:
    return seal.header([party.recipient(RECEIVER)], CONTENT_KEY)


def sealed_bulk(plaintext: bytes, image_id: bytes = IMAGE_ID) -> bytes:
    """Return the bulk of a device that seals what it likes."""
    pieces = seal.seal(
        [plaintext],
        len(plaintext),
        item_2=_header(),
        content_key=CONTENT_KEY,
        signer_kid=party.signer(DEVICE).kid,
        image_id=image_id,
    )
    return b"".join(pieces)


def enter_plaintext(data: bytes) -> None:
    """Open what a device sealed by the rules, with a plaintext of its own making, and write it as an image."""
    bulk, target = sealed_bulk(data), BytesIO()
    known = decrypt.decrypt(
        _envelope(bulk), BytesIO(bulk), target, unwrappers=party.unwrappers(RECEIVER), scratch=BytesIO()
    )
    _described(known)
    if known.pixels is not None:
        raw = folder() / "dump"
        raw.write_bytes(target.getvalue())
        encode_pixels(raw, known.pixels, folder() / "image")


def enter_metadata(data: bytes) -> None:
    """Read what an image says of itself, and make a name and a catalogue row of it."""
    _described(metadata.decode(data))


def _described(known: metadata.Metadata) -> None:
    name = harmless_name(known.name)
    insist(name not in ("", ".", "..") and not name.startswith("."), "a name that hides or climbs")
    insist("/" not in name and "\0" not in name and len(os.fsencode(name)) <= 200, "a name that is no component")
    json.dumps(catalogue.describe(known)).encode()
    insist(metadata.decode(metadata.encode(known)) == known, "metadata that reads in two ways")


# --- the transfer ---------------------------------------------------------------------------------------------------


def enter_control(data: bytes) -> None:
    """Read one control message."""
    insist(messages.encode(messages.decode(data)) == data, "a message has two encodings")


def enter_topic(data: bytes) -> None:
    """Read one topic."""
    topics, topic = Topics(), data.decode("utf-8", "surrogateescape")
    chunk = topics.read_chunk(topic, RECEIVER)
    insist(chunk is None or topics.chunk(RECEIVER, *chunk) == topic, "a chunk has two topics")
    for read, write in ((topics.read_offer, topics.offer), (topics.read_status, topics.status)):
        identity = read(topic)
        insist(identity is None or write(identity) == topic, "an id has two topics")


def said(data: bytes) -> list[tuple[int, bytes]]:
    """Cut an input into messages: a byte of kind, two of length, a payload, and so on."""
    found = []
    while len(data) >= 3 and len(found) < 16:
        length = int.from_bytes(data[1:3], "big")
        found.append((data[0], data[3 : 3 + length]))
        data = data[3 + length :]
    return found


@cache
def _spooled() -> tuple[Spool, SpooledImage]:
    spool = Spool(folder() / "spool", max_bytes=1 << 40, reserve_bytes=0)
    return spool, spool_image(spool, bytes_of("plain", 100_000), label="fuzz")


def enter_device(data: bytes) -> None:
    """Say things to a device that has one image to deliver."""
    spool, image = _spooled()
    transport, clock = UnhurriedTransport(MemoryBroker()), Clock()
    loop = SendLoop(
        device=DEVICE,
        transport=transport,
        spool=spool,
        receivers=device_keyring().receivers,
        topics=Topics(),
        chunk_bytes=protocol.CHUNK_MIN_BYTES,
        outstanding=4,
        offer_first=1.0,
        offer_max=8.0,
        clock=clock,
        on_offered=lambda _images: None,
        on_receipts=lambda _receipts: None,
    )
    loop.subscribe()
    transport.start()
    loop.add(image)
    loop.step()
    for kind, payload in said(data):
        match kind % 4:
            case 0:
                message = Message(Topics().control(DEVICE), payload)
            case 1:
                raw = signed_again(payload, (RECEIVER,))
                message = Message(Topics().control(DEVICE), messages.encode(messages.SignedReceipt(raw)))
            case 2:
                message = Message(Topics().status(RECEIVER), payload)
            case _:
                message = Message(payload[:200].decode("utf-8", "replace"), payload)
        transport.take(message)
        loop.step()
        clock.tick(0.5)
    transport.stop()
    insist(loop.counts.faults == 0, "a message met a defect of the device")


@cache
def _receiver() -> Receiver:
    return Hospital(folder() / "hospital").receiver(UnhurriedTransport(MemoryBroker()))


def enter_receiver(data: bytes) -> None:
    """Say things to a receiver, some of them in the name of an enrolled device."""
    transport, clock = UnhurriedTransport(MemoryBroker()), Clock()
    parts = folder() / "parts"
    parts.mkdir(exist_ok=True)
    loop = ReceiveLoop(
        receiver=RECEIVER,
        transport=transport,
        topics=Topics(),
        group="",
        judge=_receiver(),
        parts=parts,
        credit=8,
        active=2,
        stall=1.0,
        clock=clock,
    )
    loop.subscribe()
    transport.start()
    image_id = IMAGE_ID
    for kind, payload in said(data):
        match kind % 4:
            case 0:
                message = Message(Topics().offer(DEVICE), payload)
            case 1:
                raw = signed_again(payload, (DEVICE,))
                try:
                    image_id = sign.read_manifest(raw).manifest.image_id
                except EnvelopeError:
                    image_id = IMAGE_ID
                message = Message(Topics().offer(DEVICE), messages.encode(messages.Offer(raw, 16384)))
            case 2:
                message = Message(Topics().chunk(RECEIVER, DEVICE, image_id, kind // 4), payload)
            case _:
                message = Message(payload[:200].decode("utf-8", "replace"), payload)
        transport.take(message)
        loop.step()
        clock.tick(0.5)
    loop.close()
    transport.stop()
    for left in parts.iterdir():
        left.unlink()
    insist(loop.counts.faults == 0, "a message met a defect of the receiver")


# --- the scanner's folder -------------------------------------------------------------------------------------------


def enter_file(data: bytes) -> None:
    """Look at a file as the intake does."""
    file, form = BytesIO(data), identify(data[:HEAD_BYTES])
    if form is None:
        refuse_unfinished(file, len(data))
        return
    with contextlib.suppress(IncompleteFile):
        extent(Cursor(file, len(data)), form)
    with contextlib.suppress(IntakeError):
        check_complete(file, len(data), form)
    _read_embedded(data, form)


def _read_embedded(data: bytes, form: Format) -> None:
    found = read_embedded(BytesIO(data), len(data), form, now=NOW)
    insist(0 <= found.width < 1 << 64 and 0 <= found.height < 1 << 64, "an extent that is none")
    insist(found.camera.isprintable() and len(found.camera) <= 64, "a camera's name that is none")
    insist(found.capture is None or found.capture.moment.isoformat(), "a time that is none")


def enter_dicom(data: bytes) -> None:
    """Look at a DICOM file: the same, but without the preamble that a fuzzer would have to keep."""
    enter_file(bytes(128) + b"DICM" + data)


def enter_exif(data: bytes) -> None:
    """Read one EXIF block."""
    exif.read_block(data)


def enter_sidecar(data: bytes) -> None:
    """Read a side-car file."""
    image = folder() / "image.png"
    image.with_name("image.png.json").write_bytes(data)
    read_sidecar(image, now=NOW)
    read_sidecar(image)


DOORS: Mapping[str, Door] = MappingProxyType(
    {
        "wire": Door(enter_wire, (EnvelopeError,)),
        "manifest": Door(enter_manifest, (EnvelopeError,), longest=1100),
        "receipt": Door(enter_receipt, (EnvelopeError, ReceiptError), longest=1100),
        "bulk": Door(enter_bulk, (EnvelopeError,)),
        "plaintext": Door(enter_plaintext, (EnvelopeError, PixelsUnavailable), memory=64 * MEGABYTE),
        "metadata": Door(enter_metadata, (EnvelopeError,)),
        "control": Door(enter_control, (EnvelopeError,)),
        "topic": Door(enter_topic, longest=300),
        "device": Door(enter_device, longest=8192),
        "receiver": Door(enter_receiver, longest=8192),
        "file": Door(enter_file, (IntakeError,), memory=16 * MEGABYTE),
        "dicom": Door(enter_dicom, (IntakeError,), memory=16 * MEGABYTE),
        "exif": Door(enter_exif),
        "sidecar": Door(enter_sidecar, longest=1024),
    }
)
