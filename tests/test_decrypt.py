"""The way in: a small sealed image, attacked bit by bit and piece by piece, gives its plain image or an error of ours."""

from __future__ import annotations

import hashlib
import random
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge import decrypt as module
from edge.decrypt import decrypt, peek
from edge.envelope import sign
from edge.errors import (
    BadSignature,
    EdgeError,
    EnvelopeError,
    MalformedEnvelope,
    NotARecipient,
    OpeningFailed,
    TruncatedEnvelope,
)
from edge.records import KeyFileMode, MapName, PixelImage
from tests.envelope import independent, party

PLAIN = b"a small image of sixty bytes, which is all that is needed now"
SMALL = party.sealed(PLAIN)
EXPLICIT = party.sealed(PLAIN, key_file=KeyFileMode.EXPLICIT, chaotic_map=MapName.LORENZ)
MANIFEST_BYTES = len(party.split(SMALL)[0])
HEADER_END = MANIFEST_BYTES + independent.read(SMALL[MANIFEST_BYTES:])[1]


def flipped(data: bytes, bit: int) -> bytes:
    return data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def test_the_small_image_opens():
    assert party.opened(SMALL)[0] == party.opened(EXPLICIT)[0] == PLAIN


def test_every_flipped_bit_of_manifest_and_header_is_refused():
    for bit in range(8 * HEADER_END):
        with pytest.raises(EnvelopeError):
            party.opened(flipped(SMALL, bit))


def test_flipped_bits_of_the_body_are_refused():
    chosen = random.Random(0).sample(range(8 * HEADER_END, 8 * len(SMALL)), 800)
    for bit in chosen:
        with pytest.raises(BadSignature):
            party.opened(flipped(SMALL, bit))


@pytest.mark.parametrize("data", [SMALL, EXPLICIT], ids=["compact", "explicit"])
def test_a_sealed_image_cut_anywhere_is_refused(data):
    for end in range(len(data)):
        with pytest.raises(TruncatedEnvelope):
            party.opened(data[:end])


@pytest.mark.parametrize("more", [b"\x00", b"\xf6", b"\x40", bytes(2000), SMALL])
def test_appended_bytes_are_refused(more):
    with pytest.raises(MalformedEnvelope):
        party.opened(SMALL + more)


def test_the_bulk_of_another_image_is_refused():
    other = party.sealed(PLAIN, label="other")
    with pytest.raises(BadSignature):
        party.opened(party.split(SMALL)[0] + party.split(other)[1])


@pytest.mark.parametrize("data", [SMALL, EXPLICIT], ids=["compact", "explicit"])
def test_another_enrolled_device_cannot_sign_it_anew(data):
    item_1, bulk = party.split(data)
    old = sign.read_manifest(item_1)
    manifest = sign.Manifest(
        device="device-2",
        audience=party.AUDIENCE,
        issued_at=party.ISSUED_AT,
        image_id=old.manifest.image_id,
        sequence=1,
        bulk_bytes=len(bulk),
    )
    stolen = sign.sign_manifest(manifest, hashlib.sha256(bulk).digest(), party.signer("device-2")) + bulk
    assert party.verified(stolen)
    with pytest.raises(OpeningFailed):
        party.opened(stolen)


def test_somebody_else_cannot_open_it():
    with pytest.raises(NotARecipient):
        party.opened(SMALL, keys=("receiver-2",))
    with pytest.raises(NotARecipient):
        party.opened(SMALL, keys=())


def test_a_new_and_an_old_key_of_a_receiver_both_open():
    data = party.sealed(PLAIN, recipients=("receiver-2", "stranger"))
    assert party.opened(data, keys=("receiver-1", "receiver-2"))[0] == PLAIN


def resealed(plaintext: bytes) -> tuple[sign.VerifiedEnvelope, bytes]:
    """Return (verified envelope, bulk) of any plaintext at all, honestly sealed by an enrolled device."""
    entropy = party.fixed_entropy("resealed")
    key = party.recipient("receiver-1")
    content = independent.write({1: -70256})
    header = independent.Tagged(96, [content, {}, None, [[b"", {1: -41, 4: key.kid}, key.wrap(entropy.content_key)]]])
    context = independent.enc_structure(content, party.signer("device-1").kid, entropy.image_id)
    body = independent.chunks_seal(entropy.content_key, bytes(24), context, plaintext)
    bulk = independent.write(header) + independent.write(body)
    manifest = sign.Manifest(
        device="device-1",
        audience=party.AUDIENCE,
        issued_at=party.ISSUED_AT,
        image_id=entropy.image_id,
        sequence=1,
        bulk_bytes=len(bulk),
    )
    raw = sign.sign_manifest(manifest, hashlib.sha256(bulk).digest(), party.signer("device-1"))
    return party.verified(raw + bulk), bulk


def plaintext_of(data: bytes) -> bytes:
    key = party.private_key("receiver-1.wrap")
    image = independent.open_sealed(
        data,
        devices={party.signer("device-1").kid: party.private_key("device-1.sign").public_key()},
        receivers={party.unwrapper("receiver-1").kid: key},
    )
    parts = [image.metadata, image.image] + ([] if image.key_file is None else [image.key_file])
    return b"".join(map(independent.write, parts))


def opened_anew(plaintext: bytes) -> bytes:
    envelope, bulk = resealed(plaintext)
    target = BytesIO()
    decrypt(envelope, BytesIO(bulk), target, unwrappers=party.unwrappers("receiver-1"), scratch=BytesIO())
    return target.getvalue()


@pytest.mark.parametrize("data", [SMALL, EXPLICIT], ids=["compact", "explicit"])
def test_a_plaintext_cut_or_extended_has_one_error(data):
    plaintext = plaintext_of(data)
    assert opened_anew(plaintext) == PLAIN
    for end in range(len(plaintext)):
        with pytest.raises(OpeningFailed):
            opened_anew(plaintext[:end])
    for more in (b"\x00", b"\x40", plaintext):
        with pytest.raises(OpeningFailed):
            opened_anew(plaintext + more)


@pytest.mark.parametrize("data", [SMALL, EXPLICIT], ids=["compact", "explicit"])
@settings(max_examples=150)
@given(bit=st.integers(0), more=st.binary(max_size=3))
def test_a_malicious_plaintext_has_one_error_or_gives_the_image_that_its_hash_names(data, bit, more):
    plaintext = plaintext_of(data)
    changed = flipped(plaintext, bit % (8 * len(plaintext)))
    at = bit % len(changed)
    for each in (changed, changed[:at] + more + changed[at:]):
        try:
            assert opened_anew(each) == PLAIN
        except OpeningFailed:
            continue


def test_a_wrong_hash_is_an_opening_failure():
    metadata, end = independent.read(plaintext_of(SMALL))
    metadata[4] = bytes(32)
    with pytest.raises(OpeningFailed):
        opened_anew(independent.write(metadata) + plaintext_of(SMALL)[end:])


def test_a_small_body_cannot_claim_a_huge_image(monkeypatch):
    # One row of 64 MiB, in an image that fits every limit of the metadata: no buffer may be made for it.
    pixels = PixelImage((1, 1, 1 << 22, 2), "f8", "MONOCHROME2")
    metadata, _ = independent.read(plaintext_of(party.sealed(PLAIN * 8, pixels=PixelImage((1, 1, 61, 1), "f8", "M"))))
    metadata[7][5] = [pixels.size, 1 << 22, 16]
    metadata[9][1] = list(pixels.shape)
    monkeypatch.setattr(module.cipher, "decipher", None)
    with pytest.raises(OpeningFailed):
        opened_anew(independent.write(metadata) + b"\x5a" + pixels.size.to_bytes(4, "big") + bytes(100))


def test_opening_failed_says_nothing_about_the_reason():
    reasons = set()
    for plaintext in (b"", plaintext_of(SMALL)[:-1], plaintext_of(EXPLICIT)[:-1], b"\xa0", bytes(100)):
        with pytest.raises(OpeningFailed) as caught:
            opened_anew(plaintext)
        reasons.add((str(caught.value), caught.value.hint, caught.value.code))
    assert len(reasons) == 1


def test_peek_tells_what_the_image_is_without_deciphering_it():
    envelope = party.verified(SMALL)
    known = peek(envelope, BytesIO(party.split(SMALL)[1]), party.unwrappers("receiver-1"))
    assert (known.name, known.folder, known.size) == (b"image.bin", b"ward", len(PLAIN))
    assert known.sha256 == hashlib.sha256(PLAIN).digest()


def test_peek_refuses_as_decrypt_does():
    envelope, bulk = resealed(b"\xa0")
    with pytest.raises(OpeningFailed):
        peek(envelope, BytesIO(bulk), party.unwrappers("receiver-1"))
    with pytest.raises(NotARecipient):
        peek(envelope, BytesIO(bulk), party.unwrappers("receiver-2"))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_with_an_error_of_ours(data):
    with pytest.raises(EdgeError):
        party.opened(data)


def test_a_source_that_gives_one_byte_at_a_time_is_enough():
    class Dribble(BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(min(size or 0, 1))

    target = BytesIO()
    bulk = Dribble(party.split(SMALL)[1])
    decrypt(party.verified(SMALL), bulk, target, unwrappers=party.unwrappers("receiver-1"), scratch=BytesIO())
    assert target.getvalue() == PLAIN
