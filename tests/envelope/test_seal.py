"""Header and body: only the named keys open, only whole and in order, and in memory that does not grow with the image."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from collections.abc import Iterator
from io import BytesIO

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from edge import protocol
from edge.envelope import seal, sign, wire
from edge.errors import (
    EnvelopeError,
    KeyringError,
    MalformedEnvelope,
    NotARecipient,
    OpeningFailed,
    TruncatedEnvelope,
    UnsupportedEnvelope,
)
from tests.envelope import independent, party
from tests.memory import memory_within

CONTENT_KEY = bytes(range(32))
IMAGE_ID = bytes(range(16))
KID = party.signer("device-1").kid
CHUNK = protocol.BODY_CHUNK_BYTES
SEALED_CHUNK = CHUNK + protocol.BODY_TAG_BYTES


def bulk_of(plaintext: bytes, *names: str, step: int = 1 << 20, signer_kid: bytes = KID, image_id=IMAGE_ID) -> bytes:
    pieces = [plaintext[start : start + step] for start in range(0, len(plaintext), step)]
    item_2 = seal.header([party.recipient(name) for name in names or ("receiver-1",)], CONTENT_KEY)
    return b"".join(
        seal.seal(
            pieces, len(plaintext), item_2=item_2, content_key=CONTENT_KEY, signer_kid=signer_kid, image_id=image_id
        )
    )


def envelope_of(bulk: bytes, device: str = "device-1", image_id: bytes = IMAGE_ID) -> sign.VerifiedEnvelope:
    """Sign whatever the bulk is, by an enrolled device: these tests are about what stands behind the signature."""
    manifest = sign.Manifest(
        device=device,
        audience=party.AUDIENCE,
        issued_at=party.ISSUED_AT,
        image_id=image_id,
        sequence=1,
        bulk_bytes=len(bulk),
    )
    raw = sign.sign_manifest(manifest, hashlib.sha256(bulk).digest(), party.signer(device))
    return party.verified(raw + bulk)


def opened(
    bulk: bytes, *names: str, device: str = "device-1", image_id: bytes = IMAGE_ID, step: int = 1 << 20
) -> bytes:
    keys = party.unwrappers(*names or ("receiver-1",))
    opening = seal.Opening(envelope_of(bulk, device, image_id), BytesIO(bulk), keys)
    plaintext = b"".join(iter(lambda: opening.read(step), b""))
    opening.finish()
    return plaintext


def parts(bulk: bytes) -> tuple[bytes, bytes]:
    """Return (item 2, body)."""
    stream = BytesIO(bulk)
    reader = wire.SequenceReader(stream)
    return reader.small_item(protocol.HEADER_MAX_BYTES), stream.read()[reader_head(bulk) :]


def reader_head(bulk: bytes) -> int:
    item_2 = wire.SequenceReader(BytesIO(bulk)).small_item(protocol.HEADER_MAX_BYTES)
    return wire.head(bulk, len(item_2))[2] - len(item_2)


def with_body(item_2: bytes, body: bytes) -> bytes:
    return item_2 + wire.bytes_head(len(body)) + body


# --- arithmetic and round trips -------------------------------------------------------------------------------------

SIZES = sorted({max(0, CHUNK * k + d) for k in range(4) for d in (-17, -16, -15, -1, 0, 1, 15, 16, 17)})


@pytest.mark.parametrize("size", SIZES)
def test_sizes_around_chunks_are_as_computed_and_open(size):
    plaintext = random.Random(size).randbytes(size)
    bulk = bulk_of(plaintext, step=10_007)
    item_2, body = parts(bulk)
    assert len(body) == seal.body_size(size) == 56 + size + 16 * (size // 16_384 + 1)
    assert opened(bulk, step=4_099) == plaintext
    context = independent.enc_structure(independent.write({1: -70256}), KID, IMAGE_ID)
    assert independent.chunks_open(CONTENT_KEY, context, body) == plaintext
    again = independent.chunks_seal(CONTENT_KEY, hashlib.sha256(b"salt").digest()[:24], context, plaintext)
    assert opened(with_body(item_2, again)) == plaintext


@pytest.mark.parametrize(("said", "given"), [(10, 9), (10, 11), (0, 1), (1, 0), (20_000, 16_384)])
def test_a_plaintext_of_another_length_is_not_finished(said, given):
    stream = seal.seal([bytes(given)], said, item_2=b"", content_key=CONTENT_KEY, signer_kid=KID, image_id=IMAGE_ID)
    with pytest.raises(ValueError, match="plaintext"):
        list(stream)


def test_reading_into_a_buffer_gives_the_same():
    plaintext = random.Random(1).randbytes(100_000)
    bulk = bulk_of(plaintext)
    opening = seal.Opening(envelope_of(bulk), BytesIO(bulk), party.unwrappers("receiver-1"))
    target, position = bytearray(100_010), 0
    while count := opening.readinto(memoryview(target)[position : position + 33_333]):
        position += count
    opening.finish()
    assert bytes(target[:position]) == plaintext


# --- recipients -----------------------------------------------------------------------------------------------------


def test_each_of_two_recipients_opens():
    bulk = bulk_of(b"for both", "receiver-1", "receiver-2")
    assert opened(bulk, "receiver-1") == opened(bulk, "receiver-2") == b"for both"
    assert opened(bulk, "receiver-2", "receiver-1") == b"for both"


def test_somebody_else_is_not_a_recipient():
    with pytest.raises(NotARecipient):
        opened(bulk_of(b"not for a stranger", "receiver-1", "receiver-2"), "stranger")


@pytest.mark.parametrize("count", [0, 17])
def test_no_or_too_many_recipients_are_refused(count):
    with pytest.raises(KeyringError, match="recipients"):
        seal.header([party.recipient("receiver-1")] * count, CONTENT_KEY)


def test_the_same_recipient_twice_is_refused():
    with pytest.raises(KeyringError, match="same key"):
        seal.header([party.recipient("receiver-1")] * 2, CONTENT_KEY)


def test_sixteen_recipients_fit():
    class Copy(seal.Recipient):
        """One key under many ids: making sixteen keys takes seconds."""

        def __init__(self, number: int) -> None:
            key = party.private_key("receiver-1.wrap")
            assert isinstance(key, rsa.RSAPrivateKey)
            super().__init__(key.public_key())
            if number:
                self.kid = bytes([number]) * 16

    item_2 = seal.header([Copy(number) for number in range(16)], CONTENT_KEY)
    assert len(item_2) <= protocol.HEADER_MAX_BYTES
    old = bulk_of(b"many")
    assert opened(item_2 + old[len(parts(old)[0]) :]) == b"many"


def test_weak_keys_neither_wrap_nor_unwrap():
    key = rsa.generate_private_key(65_537, 2048)
    with pytest.raises(KeyringError):
        seal.Recipient(key.public_key())
    with pytest.raises(KeyringError):
        seal.Unwrapper(key)


@pytest.mark.parametrize("wrapped", [b"", b"\x00", bytes(383), bytes(384), b"\xff" * 384, bytes(385), bytes(5000)])
def test_whatever_is_wrong_with_a_wrapped_key_has_one_error(wrapped):
    with pytest.raises(OpeningFailed):
        party.unwrapper("receiver-1").unwrap(wrapped)


@pytest.mark.parametrize("length", [0, 16, 31, 33, 64])
def test_a_content_key_of_another_length_is_refused(length):
    with pytest.raises(OpeningFailed):
        party.unwrapper("receiver-1").unwrap(party.recipient("receiver-1").wrap(bytes(length)))


def test_wrapped_keys_exchanged_between_recipients_do_not_open():
    bulk = bulk_of(b"exchanged", "receiver-1", "receiver-2")
    item = independent.read(bulk)[0]
    one, two = item.value[3]
    one[2], two[2] = two[2], one[2]
    forged = independent.write(item) + bulk[len(parts(bulk)[0]) :]
    for name in ("receiver-1", "receiver-2"):
        with pytest.raises(OpeningFailed):
            opened(forged, name)


# --- headers that an enrolled device signed, and that are wrong all the same ----------------------------------------


def test_a_header_over_its_limit_is_refused():
    bulk = bulk_of(b"")
    item_2, body = parts(bulk)
    value = independent.read_whole(item_2)
    value.value[3][0][2] = bytes(protocol.HEADER_MAX_BYTES)
    with pytest.raises(MalformedEnvelope, match="limit"):
        opened(with_body(independent.write(value), body))


def test_headers_with_odd_types_are_refused_with_an_error_of_ours():
    bulk = bulk_of(b"")
    item_2, body = parts(bulk)
    odd = [0, -1, b"", "", [], {}, None, [[]], {1: 1}, b"\xa0", 2**63]
    for path in [(), (0,), (1,), (2,), (3,), (3, 0), (3, 0, 0), (3, 0, 1), (3, 0, 2), (3, 0, 1, 1), (3, 0, 1, 4)]:
        for value in odd:
            item = independent.read_whole(item_2).value
            place = item
            for step in path[:-1]:
                place = place[step]
            if path and value != place[path[-1]]:
                place[path[-1]] = value
            elif path:
                continue
            changed = independent.write(independent.Tagged(96, item if path else value))
            with pytest.raises(EnvelopeError):
                opened(with_body(changed, body))


def test_a_header_in_another_content_encryption_is_unsupported():
    _, body = parts(bulk_of(b""))
    for alg in (1, 3, -70257, "A256GCM"):
        item = independent.Tagged(96, [independent.write({1: alg}), {}, None, []])
        with pytest.raises(UnsupportedEnvelope):
            opened(with_body(independent.write(item), body))


def test_every_flipped_bit_of_a_header_is_refused():
    bulk = bulk_of(b"header")
    item_2, _ = parts(bulk)
    envelope = envelope_of(bulk)
    wrapped = 8 * (len(item_2) - 384)
    # Of the wrapped key a sample: each of its bits costs an RSA operation.
    for bit in [*range(wrapped), *range(wrapped, 8 * len(item_2), 13)]:
        forged = bytearray(bulk)
        forged[bit // 8] ^= 1 << bit % 8
        # Even without the signature over the bulk, one recipient's header has no bit that does not matter.
        with pytest.raises(EnvelopeError):
            opened_unsigned(bytes(forged), envelope)


def opened_unsigned(bulk: bytes, envelope: sign.VerifiedEnvelope) -> bytes:
    """Open a bulk as if its digest had been right."""
    opening = seal.Opening(envelope, BytesIO(bulk), party.unwrappers("receiver-1"))
    plaintext = b"".join(iter(lambda: opening.read(1 << 20), b""))
    opening.finish()
    return plaintext


# --- bodies ---------------------------------------------------------------------------------------------------------


def test_every_flipped_bit_of_a_small_body_is_refused():
    bulk = bulk_of(b"0123456789")
    start, envelope = len(bulk) - seal.body_size(10), envelope_of(bulk)
    for bit in range(8 * start, 8 * len(bulk)):
        forged = bytearray(bulk)
        forged[bit // 8] ^= 1 << bit % 8
        with pytest.raises(OpeningFailed):
            opened_unsigned(bytes(forged), envelope)


def test_a_bulk_cut_anywhere_is_refused():
    bulk = bulk_of(b"0123456789")
    envelope = envelope_of(bulk)
    for end in range(len(bulk)):
        with pytest.raises((TruncatedEnvelope, OpeningFailed)):
            opened_unsigned(bulk[:end], envelope)
        with pytest.raises((TruncatedEnvelope, MalformedEnvelope, OpeningFailed)):
            opened(bulk[:end])


@pytest.mark.parametrize("more", [b"\x00", b"\xf6", bytes(16), bytes(20_000)])
def test_bytes_behind_the_body_are_refused(more):
    with pytest.raises(OpeningFailed):
        opened(bulk_of(b"0123456789") + more)


def test_a_body_cut_at_a_chunk_is_refused():
    item_2, body = parts(bulk_of(bytes(2 * CHUNK + 5)))
    for end in (56, 56 + SEALED_CHUNK, 56 + 2 * SEALED_CHUNK):
        with pytest.raises(OpeningFailed):
            opened(with_body(item_2, body[:end]))


def test_chunks_in_another_order_or_twice_are_refused():
    item_2, body = parts(bulk_of(random.Random(2).randbytes(3 * CHUNK + 5)))
    prefix, chunks = body[:56], [body[k : k + SEALED_CHUNK] for k in range(56, len(body), SEALED_CHUNK)]
    for order in ([1, 0, 2, 3], [0, 2, 1, 3], [0, 0, 1, 2, 3], [0, 1, 2], [1, 2, 3], [3], [0, 1, 2, 3, 3], [0, 3]):
        with pytest.raises(OpeningFailed):
            opened(with_body(item_2, prefix + b"".join(chunks[k] for k in order)))
    assert opened(with_body(item_2, prefix + b"".join(chunks)))


def test_chunks_of_another_image_under_the_same_key_are_refused():
    item_2, body = parts(bulk_of(bytes(CHUNK + 5)))
    _, other = parts(bulk_of(bytes(CHUNK + 5)))
    with pytest.raises(OpeningFailed):
        opened(with_body(item_2, body[: 56 + SEALED_CHUNK] + other[56 + SEALED_CHUNK :]))


def test_another_enrolled_device_cannot_sign_it_anew():
    bulk = bulk_of(b"mine")
    with pytest.raises(OpeningFailed):
        opened(bulk, device="device-2")
    assert opened(bulk) == b"mine"


def test_the_same_device_cannot_give_it_another_id():
    with pytest.raises(OpeningFailed):
        opened(bulk_of(b"mine"), image_id=bytes(16))


def test_reading_on_after_a_refusal_is_refused_again():
    bulk = bulk_of(bytes(50_000))
    forged = bulk[:-30_000] + bytes([bulk[-30_000] ^ 1]) + bulk[-29_999:]
    opening = seal.Opening(envelope_of(forged), BytesIO(forged), party.unwrappers("receiver-1"))
    for _ in range(3):
        with pytest.raises(OpeningFailed):
            deque(iter(lambda: opening.read(1 << 20), b""), maxlen=0)
        with pytest.raises(OpeningFailed):
            opening.finish()


def test_what_was_not_read_to_its_end_is_not_final():
    bulk = bulk_of(bytes(50_000))
    opening = seal.Opening(envelope_of(bulk), BytesIO(bulk), party.unwrappers("receiver-1"))
    assert opening.read(49_999)
    with pytest.raises(OpeningFailed):
        opening.finish()


def test_the_context_is_that_of_the_standard():
    context = cbor2.loads(independent.enc_structure(b"\xa1\x01\x3a\x00\x01\x12\x6f", KID, IMAGE_ID))
    assert context == ["Encrypt", b"\xa1\x01\x3a\x00\x01\x12\x6f", cbor2.dumps([KID, IMAGE_ID])]
    assert cbor2.loads(context[1]) == {1: -70256}


class Pipe:
    """A bulk that is made while it is read, so that nothing but the code under test holds any of it."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.size = 0

    def read(self, size: int, /) -> bytes:
        if not self._rest:
            self._rest = memoryview(next(self._pieces, b""))
        piece, self._rest = bytes(self._rest[:size]), self._rest[size:]
        self.size += len(piece)
        return piece


def test_200_mb_are_sealed_and_opened_in_bounded_memory():
    size, block = 200 << 20, bytes(3 << 20)
    plaintext = (block[: min(len(block), size - start)] for start in range(0, size, len(block)))
    item_2 = seal.header([party.recipient("receiver-1")], CONTENT_KEY)
    expected = len(item_2) + 5 + seal.body_size(size)
    manifest = sign.Manifest(
        device="device-1",
        audience=party.AUDIENCE,
        issued_at=1,
        image_id=IMAGE_ID,
        sequence=1,
        bulk_bytes=expected,
    )
    raw = sign.sign_manifest(manifest, bytes(32), party.signer("device-1"))
    envelope = sign.VerifiedEnvelope(sign.read_manifest(raw))
    pipe = Pipe(seal.seal(plaintext, size, item_2=item_2, content_key=CONTENT_KEY, signer_kid=KID, image_id=IMAGE_ID))
    with memory_within(10 << 20):
        opening = seal.Opening(envelope, pipe, party.unwrappers("receiver-1"))
        buffer, count = memoryview(bytearray(1 << 20)), 0
        while taken := opening.readinto(buffer):
            count += taken
        opening.finish()
    assert (count, pipe.size) == (size, expected)
