"""The way out: what is sealed opens again with every map, domain and key file; what changed meanwhile is never signed."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import random
from io import BytesIO

import pytest

from edge import protocol
from edge.chaos.parameters import parameters_from_secret
from edge.encrypt import Entropy, Sender, encrypt
from edge.envelope import sign
from edge.errors import (
    ChangedWhileRead,
    CipherError,
    EnvelopeError,
    KeyringError,
    MalformedEnvelope,
    ParametersOutOfRange,
    UnreadableFile,
)
from edge.records import ChaosParameters, Domain, KeyFileMode, MapName, PixelImage
from tests.envelope import independent, party
from tests.memory import measured

DEVICES = {party.signer(name).kid: party.private_key(f"{name}.sign").public_key() for name in ("device-1", "device-3")}
UNWRAP = {party.unwrapper(name).kid: party.private_key(f"{name}.wrap") for name in ("receiver-1", "receiver-2")}
SIZES = [1, 2, 7, 8, 9, 63, 64, 65, 1000, 16_383, 16_384, 16_385, 65_537, 1_000_003]


def bytes_of(size: int) -> bytes:
    return random.Random(size).randbytes(size)


def encrypted(source: object, *, scan=None, sink: BytesIO | None = None, **changes: object) -> sign.SignedEnvelope:
    entropy = party.fixed_entropy("encrypt")
    arguments = {
        "scan": scan or party.scan_of(b"plain"),
        "parameters": parameters_from_secret(MapName.LOGISTIC, entropy.secret),
        "key_file": KeyFileMode.COMPACT,
        "pixels": None,
        "sender": Sender(
            device="device-1",
            audience=party.AUDIENCE,
            signer=party.signer("device-1"),
            recipients=[party.recipient("receiver-1")],
        ),
        "entropy": entropy,
        "sequence": 3,
        "issued_at": party.ISSUED_AT,
    }
    return encrypt(source, sink if sink is not None else BytesIO(), **{**arguments, **changes})


@pytest.mark.parametrize("key_file", KeyFileMode)
@pytest.mark.parametrize("chaotic_map", MapName)
@pytest.mark.parametrize("size", SIZES)
def test_files_of_odd_sizes_come_back(size, chaotic_map, key_file):
    plain = bytes_of(size)
    data = party.sealed(plain, chaotic_map=chaotic_map, key_file=key_file)
    back, known = party.opened(data)
    assert back == plain
    assert (known.cipher.parameters.map, known.cipher.key_file, known.cipher.domain) == (
        chaotic_map,
        key_file,
        Domain.FILE,
    )
    if size > 64:
        assert plain not in data


@pytest.mark.parametrize("key_file", KeyFileMode)
@pytest.mark.parametrize("chaotic_map", MapName)
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((1, 1, 1, 1), "u1"),
        ((1, 13, 17, 3), "u1"),
        ((5, 31, 29, 1), "u2"),
        ((1, 300, 7, 4), "f4"),
        ((2, 9, 1, 2), "f8"),
    ],
)
def test_pixels_come_back(shape, dtype, chaotic_map, key_file):
    pixels = PixelImage(shape, dtype, "RGB", {"exif": b"Exif\x00\x00", "icc": bytes(200)})
    dump = bytes_of(pixels.size)
    data = party.sealed(dump, chaotic_map=chaotic_map, key_file=key_file, pixels=pixels)
    back, known = party.opened(data)
    assert back == dump
    assert (known.pixels, known.cipher.domain) == (pixels, Domain.PIXELS)


@pytest.mark.parametrize("key_file", KeyFileMode)
def test_the_independent_reader_opens_what_was_sealed(key_file):
    plain = bytes_of(40_000)
    data = party.sealed(plain, key_file=key_file, device="device-3", recipients=("receiver-2", "receiver-1"))
    image = independent.open_sealed(data, devices=DEVICES, receivers=UNWRAP)
    assert image.claims == {
        1: "device-3",
        3: party.AUDIENCE,
        6: party.ISSUED_AT,
        7: party.fixed_entropy("test").image_id,
        -70002: 3,
    }
    described = image.metadata
    assert (described[1], described[13], described[3]) == (b"image.bin", b"ward", len(plain))
    assert described[4] == hashlib.sha256(plain).digest()
    assert described[6] == ["2023-11-14T22:13:20+00:00", "mtime"]
    assert (described[10], described[11], described[12]) == (["odd"], "Maker Model", [5, 7])
    assert (described[7].get(8), image.key_file is None) == (
        (party.fixed_entropy("test").secret, True) if key_file is KeyFileMode.COMPACT else (None, False)
    )
    assert len(image.image) == len(plain)
    assert image.image != plain


def test_nothing_of_the_metadata_is_outside():
    plain = bytes_of(500)
    data = party.sealed(plain)
    for inside in (b"image.bin", b"ward", b"Maker", b"2023", b"mtime", hashlib.sha256(plain).digest(), plain[:16]):
        assert inside not in data


def test_the_envelope_returned_is_the_one_written():
    sink = BytesIO()
    envelope = encrypted(BytesIO(b"plain"), sink=sink)
    item_1, bulk = party.split(sink.getvalue())
    assert envelope == sign.read_manifest(item_1)
    assert (envelope.raw, envelope.manifest.bulk_bytes) == (item_1, len(bulk))
    assert envelope.digest == hashlib.sha256(bulk).digest()


def test_a_name_that_is_not_unicode_travels_as_its_bytes():
    sink = BytesIO()
    scan = party.scan_of(b"plain", relative=b"w\xe4rd/b\xff.bin".decode("utf-8", "surrogateescape"))
    encrypted(BytesIO(b"plain"), sink=sink, scan=scan)
    _, known = party.opened(sink.getvalue())
    assert (known.folder, known.name) == (b"w\xe4rd", b"b\xff.bin")


@pytest.mark.parametrize("size", [100, 20_000])
@pytest.mark.parametrize("change", ["shrunk", "empty", "grown", "grown a lot", "flipped first", "flipped last"])
def test_a_source_that_changed_is_never_signed(size, change):
    plain = bytes_of(size)
    source = {
        "shrunk": plain[:-1],
        "empty": b"",
        "grown": plain + b"\x00",
        "grown a lot": plain * 3,
        "flipped first": bytes([plain[0] ^ 1]) + plain[1:],
        "flipped last": plain[:-1] + bytes([plain[-1] ^ 128]),
    }[change]
    sink = BytesIO()
    with pytest.raises(ChangedWhileRead):
        encrypted(BytesIO(source), scan=party.scan_of(plain), sink=sink)
    # Nothing was written where the manifest goes: what lies there is no sealed image.
    with pytest.raises(EnvelopeError):
        party.verified(sink.getvalue())


@pytest.mark.parametrize("change", [-1, 1])
def test_a_dump_of_another_length_is_never_signed(change):
    pixels = PixelImage((1, 20, 30, 1), "u2", "MONOCHROME2")
    with pytest.raises(ChangedWhileRead):
        encrypted(BytesIO(bytes(pixels.size + change)), pixels=pixels)


def test_an_empty_file_is_refused():
    with pytest.raises(CipherError):
        encrypted(BytesIO(b""), scan=party.scan_of(b""))


def test_parameters_out_of_range_are_refused():
    with pytest.raises(ParametersOutOfRange):
        encrypted(BytesIO(b"plain"), parameters=ChaosParameters(MapName.LOGISTIC, (3.5,), "network"))


def test_a_name_over_its_limit_is_refused():
    with pytest.raises(MalformedEnvelope):
        encrypted(BytesIO(b"plain"), scan=party.scan_of(b"plain", relative="a" * 1025))


def test_a_signature_of_an_unexpected_length_is_refused():
    class Odd:
        alg, kid, signature_size = protocol.ALG_ED25519, bytes(16), 64

        def sign(self, data: bytes, /) -> bytes:
            return bytes(63)

    sender = Sender(
        device="device-1", audience=party.AUDIENCE, signer=Odd(), recipients=[party.recipient("receiver-1")]
    )
    with pytest.raises(KeyringError):
        encrypted(BytesIO(b"plain"), sender=sender)


@pytest.mark.parametrize("recipients", [[], ["receiver-1", "receiver-1"]])
def test_impossible_recipients_are_refused(recipients):
    sender = Sender(
        device="device-1",
        audience=party.AUDIENCE,
        signer=party.signer("device-1"),
        recipients=[party.recipient(name) for name in recipients],
    )
    with pytest.raises(KeyringError):
        encrypted(BytesIO(b"plain"), sender=sender)


def test_two_images_share_nothing_but_their_length():
    plain = bytes(5000)
    first, second = party.sealed(plain, label="one"), party.sealed(plain, label="two")
    assert len(first) == len(second)
    open_first, open_second = (
        independent.open_sealed(data, devices=DEVICES, receivers=UNWRAP) for data in (first, second)
    )
    same = sum(a == b for a, b in zip(open_first.image, open_second.image, strict=True))
    assert same < 60  # 5000 / 256 = 20 are expected


def test_entropy_asks_for_each_value_once():
    asked: list[int] = []

    def random_bytes(count: int) -> bytes:
        asked.append(count)
        return bytes([len(asked)]) * count

    entropy = Entropy.draw(random_bytes)
    assert asked == [protocol.IMAGE_ID_BYTES, protocol.SECRET_BYTES, protocol.CONTENT_KEY_BYTES]
    assert len({entropy.image_id[:1], entropy.secret[:1], entropy.content_key[:1]}) == 3


class Zeros:
    """A file of zeros that is nowhere."""

    def __init__(self, size: int) -> None:
        self.left = size

    def readinto(self, target: memoryview, /) -> int:
        count = min(self.left, len(target), 1 << 20)
        target[:count] = bytes(count)
        self.left -= count
        return count


class Nowhere:
    """A sink that keeps only how far it was written."""

    position = end = 0

    def write(self, data: bytes, /) -> int:
        self.position += len(data)
        self.end = max(self.end, self.position)
        return len(data)

    def seek(self, offset: int, /) -> int:
        self.position = offset
        return offset


@pytest.mark.parametrize("key_file", KeyFileMode)
def test_memory_does_not_grow_with_the_image(key_file):
    peaks = []
    for size in (24 << 20, 72 << 20):
        digest = hashlib.sha256(bytes(size)).digest()
        scan = dataclasses.replace(party.scan_of(b"", size=size), sha256=digest)
        sink = Nowhere()
        with measured() as peak:
            envelope = encrypted(Zeros(size), scan=scan, sink=sink, key_file=key_file)
        peaks.append(peak.bytes)
        assert sink.end == len(envelope.raw) + envelope.manifest.bulk_bytes
    assert peaks[1] < peaks[0] + (4 << 20)
    assert peaks[1] < 64 << 20


class Hanging:
    """A file on a share that hangs up in the middle."""

    def __init__(self) -> None:
        self.reads = 0

    def readinto(self, target: memoryview, /) -> int:
        self.reads += 1
        if self.reads > 1:
            raise OSError(errno.ESTALE, "Stale file handle")
        return min(len(target), 1000)


def test_a_share_that_hangs_up_in_the_middle_of_a_file_is_tried_again():
    source = Hanging()
    with pytest.raises(UnreadableFile) as caught:
        encrypted(source, scan=party.scan_of(b"", size=1 << 20))
    assert source.reads == 2
    assert caught.value.retryable
