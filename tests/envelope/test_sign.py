"""Manifests and receipts: each step of PROTOCOL.md, 2.1 and 4, refuses what it must, in its order."""

from __future__ import annotations

import dataclasses
import hashlib
from io import BytesIO

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from edge import protocol
from edge.envelope import keys, sign
from edge.errors import (
    BadSignature,
    EnvelopeError,
    ForgedReceipt,
    KeyringError,
    MalformedEnvelope,
    MismatchedReceipt,
    ReceiptError,
    TruncatedEnvelope,
    UnknownSigner,
    UnsupportedEnvelope,
    WrongAudience,
)
from tests.envelope import independent, party

BULK = b"not a bulk, but what was signed"
MANIFEST = sign.Manifest(
    device="device-1",
    audience=party.AUDIENCE,
    issued_at=party.ISSUED_AT,
    image_id=bytes(range(16)),
    sequence=12,
    bulk_bytes=len(BULK),
)
RECEIPT = sign.Receipt(
    receiver="receiver-1",
    device="device-1",
    image_id=bytes(range(16)),
    manifest_hash=bytes(range(32)),
    status=sign.ReceiptStatus.STORED,
    reason="",
    issued_at=party.ISSUED_AT,
)
RECEIVERS = party.trust("receiver-1", "receiver-2", "receiver-3")


def manifest(device: str = "device-1", *, by: str = "", **changes: object) -> bytes:
    value = dataclasses.replace(MANIFEST, device=device, **changes)
    return sign.sign_manifest(value, hashlib.sha256(BULK).digest(), party.signer(by or device))


def verify(raw: bytes, *, devices=party.DEVICES, audience=party.AUDIENCE, limit=1000) -> sign.VerifiedManifest:
    return sign.verify_manifest(sign.read_manifest(raw), devices=devices, audience=audience, bulk_limit=limit)


def receipt(*, by: str = "receiver-1", **changes: object) -> bytes:
    return sign.sign_receipt(dataclasses.replace(RECEIPT, **changes), party.signer(by))


def flipped(data: bytes) -> list[bytes]:
    return [
        data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :] for bit in range(8 * len(data))
    ]


# --- manifests ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("device", ["device-1", "device-3"])
def test_a_manifest_is_read_and_verified_as_it_was_signed(device):
    raw = manifest(device)
    envelope = verify(raw).envelope
    assert envelope.manifest == dataclasses.replace(MANIFEST, device=device)
    assert envelope.raw == raw
    assert envelope.digest == hashlib.sha256(BULK).digest()
    assert envelope.manifest_hash == hashlib.sha256(raw).digest()
    assert envelope.kid == independent.kid_of(party.private_key(f"{device}.sign").public_key())
    assert len(raw) == sign.manifest_size(envelope.manifest, party.signer(device)) <= protocol.MANIFEST_MAX_BYTES


def test_the_longest_manifest_fits_its_limit():
    class Longest:
        """The shape of the longest signature that the policy allows; making such a key takes a second."""

        alg, kid, signature_size = protocol.ALG_PS256, bytes(16), protocol.RSA_MAX_BITS // 8

        def sign(self, data: bytes, /) -> bytes:
            return bytes(self.signature_size)

    longest = sign.Manifest(
        device="d" * 48,
        audience="r" * 48,
        issued_at=protocol.SEQUENCE_MAX,
        image_id=bytes(16),
        sequence=protocol.SEQUENCE_MAX,
        bulk_bytes=4 * protocol.IMAGE_MAX_BYTES,
    )
    raw = sign.sign_manifest(longest, bytes(32), Longest())
    assert sign.read_manifest(raw).manifest == longest
    assert len(raw) <= protocol.MANIFEST_MAX_BYTES


def test_the_size_is_known_before_the_digest_for_odd_moduli_too():
    signer = keys.Pss256Signer(rsa.generate_private_key(65_537, 3073))
    assert sign.manifest_size(MANIFEST, signer) == len(sign.sign_manifest(MANIFEST, bytes(32), signer))


def test_step_1_refuses_another_type():
    with pytest.raises(UnsupportedEnvelope):
        sign.read_manifest(receipt())


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("device", "Device"),
        ("device", "ab"),
        ("device", "d" * 49),
        ("device", "a/b"),
        ("device", "a\n"),
        ("audience", "+"),
        ("audience", ""),
        ("issued_at", -1),
        ("issued_at", True),
        ("issued_at", 1.5),
        ("issued_at", 2**64 - 1),
        ("image_id", bytes(15)),
        ("image_id", bytes(17)),
        ("image_id", "0123456789abcdef"),
        ("sequence", -1),
        ("sequence", 2**53 + 1),
        ("sequence", None),
        ("bulk_bytes", 2**60),
        ("bulk_bytes", b""),
    ],
)
def test_step_1_refuses_malformed_values(change, value):
    raw = sign.sign_manifest(dataclasses.replace(MANIFEST, **{change: value}), bytes(32), party.signer("device-1"))
    with pytest.raises(MalformedEnvelope):
        sign.read_manifest(raw)


def test_step_1_refuses_every_truncation_and_appended_bytes():
    raw = manifest()
    for end in range(len(raw)):
        with pytest.raises(TruncatedEnvelope):
            sign.read_manifest(raw[:end])
    for more in (b"\x00", b"\xf6", raw, bytes(1024)):
        with pytest.raises(MalformedEnvelope):
            sign.read_manifest(raw + more)


def test_step_2_refuses_an_unknown_key():
    with pytest.raises(UnknownSigner):
        verify(manifest(), devices=party.trust("device-2"))


def test_step_2_refuses_a_revoked_key():
    with pytest.raises(UnknownSigner):
        verify(manifest("device-4"))
    assert verify(manifest("device-4"), devices=party.trust("device-4"))


def test_step_2_refuses_an_enrolled_key_under_another_id():
    with pytest.raises(UnknownSigner):
        verify(manifest("device-2", by="device-1"))


def test_step_3_refuses_another_devices_signature():
    signed = sign.read_manifest(manifest())
    other = sign.read_manifest(manifest(sequence=13))
    with pytest.raises(BadSignature):
        sign.verify_manifest(
            dataclasses.replace(signed, signature=other.signature),
            devices=party.DEVICES,
            audience=party.AUDIENCE,
            bulk_limit=1000,
        )


def test_step_3_comes_before_step_4_5_and_6():
    signed = sign.read_manifest(manifest(audience="receiver-2", issued_at=party.NOW * 2, bulk_bytes=10**6))
    with pytest.raises(BadSignature):
        sign.verify_manifest(
            dataclasses.replace(signed, signature=bytes(64)),
            devices=party.DEVICES,
            audience=party.AUDIENCE,
            bulk_limit=1000,
        )


def test_step_4_refuses_another_audience_before_step_5():
    with pytest.raises(WrongAudience):
        verify(manifest(audience="receiver-2", bulk_bytes=10**9))


@pytest.mark.parametrize("issued_at", [0, party.NOW, 2 * party.NOW])
def test_the_time_of_issue_decides_nothing(issued_at):
    assert verify(manifest(issued_at=issued_at)).envelope.manifest.issued_at == issued_at


def test_step_5_refuses_a_bulk_over_the_limit():
    with pytest.raises(MalformedEnvelope, match="limit"):
        verify(manifest(), limit=len(BULK) - 1)
    verify(manifest(), limit=len(BULK))


@pytest.mark.parametrize("device", ["device-1", "device-3"])
def test_every_flipped_bit_of_a_manifest_is_refused(device):
    raw = manifest(device)
    assert verify(raw)
    for forged in flipped(raw):
        with pytest.raises(EnvelopeError):
            verify(forged)


def test_the_key_decides_the_algorithm():
    for name, alg in (("device-1", protocol.ALG_PS256), ("device-3", protocol.ALG_ED25519)):
        key = party.private_key(f"{name}.sign")
        verifier = keys.Verifier(key.public_key())
        signature = party.signer(name).sign(b"data")
        verifier.verify(verifier.alg, signature, b"data")
        with pytest.raises(BadSignature, match="algorithm"):
            verifier.verify(alg, signature, b"data")


@pytest.mark.parametrize("name", ["device-1", "device-3"])
@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 383, 384, 385, 600])
def test_signatures_of_any_length_are_refused_with_an_error_of_ours(name, length):
    verifier = keys.Verifier(party.private_key(f"{name}.sign").public_key())
    for byte in (b"\x00", b"\xff"):
        with pytest.raises(BadSignature):
            verifier.verify(verifier.alg, byte * length, b"data")


def test_the_bulk_must_be_the_signed_one():
    verified = verify(manifest())
    assert sign.verify_bulk(verified, BytesIO(BULK)).envelope is verified.envelope
    for end in range(len(BULK)):
        with pytest.raises(TruncatedEnvelope):
            sign.verify_bulk(verified, BytesIO(BULK[:end]))
    with pytest.raises(MalformedEnvelope):
        sign.verify_bulk(verified, BytesIO(BULK + b"\x00"))
    for forged in flipped(BULK):
        with pytest.raises(BadSignature):
            sign.verify_bulk(verified, BytesIO(forged))


def test_the_independent_implementation_reads_a_manifest():
    raw = manifest("device-3")
    item = independent.read_whole(raw)
    protected = independent.read_whole(item.value[0])
    assert protected[15] == {1: "device-3", 3: party.AUDIENCE, 6: party.ISSUED_AT, 7: bytes(range(16)), -70002: 12}
    assert independent.write(item) == raw


@pytest.mark.parametrize("bits", [1024, 2048, 3071])
def test_short_rsa_keys_are_refused(bits):
    key = rsa.generate_private_key(65_537, bits)
    with pytest.raises(KeyringError):
        keys.Pss256Signer(key)
    with pytest.raises(KeyringError):
        keys.Verifier(key.public_key())


def test_rsa_keys_with_another_exponent_are_refused():
    key = party.private_key("device-3.sign").public_key()
    assert isinstance(key, rsa.RSAPublicKey)
    with pytest.raises(KeyringError):
        keys.Verifier(rsa.RSAPublicNumbers(3, key.public_numbers().n).public_key())


# --- receipts -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("receiver", ["receiver-1", "receiver-3"])
@pytest.mark.parametrize(("status", "reason"), [("stored", ""), ("rejected", "opening-failed")])
def test_a_receipt_is_verified_as_it_was_signed(receiver, status, reason):
    raw = receipt(by=receiver, receiver=receiver, status=sign.ReceiptStatus(status), reason=reason)
    got = sign.verify_receipt(raw, receivers=RECEIVERS, device="device-1")
    assert got == dataclasses.replace(RECEIPT, receiver=receiver, status=sign.ReceiptStatus(status), reason=reason)
    assert len(raw) <= protocol.MANIFEST_MAX_BYTES


@pytest.mark.parametrize(
    ("raw", "receivers"),
    [
        pytest.param(receipt(by="device-1"), RECEIVERS, id="by a device"),
        pytest.param(receipt(by="stranger"), RECEIVERS, id="by a stranger"),
        pytest.param(receipt(by="receiver-2"), RECEIVERS, id="by another receiver under this id"),
        pytest.param(receipt(), party.trust("receiver-1", revoked=("receiver-1",)), id="by a revoked key"),
        pytest.param(receipt(), {}, id="nobody is trusted"),
        pytest.param(
            receipt(), {party.signer("receiver-1").kid: party.DEVICES[party.signer("device-1").kid]}, id="wrong entry"
        ),
    ],
)
def test_a_forged_receipt_is_refused(raw, receivers):
    with pytest.raises(ForgedReceipt):
        sign.verify_receipt(raw, receivers=receivers, device="device-1")


def test_a_receipt_for_another_device_is_refused():
    with pytest.raises(MismatchedReceipt):
        sign.verify_receipt(receipt(), receivers=RECEIVERS, device="device-2")


def test_every_flipped_bit_of_a_receipt_is_refused():
    for forged in flipped(receipt()):
        with pytest.raises((EnvelopeError, ReceiptError)):
            sign.verify_receipt(forged, receivers=RECEIVERS, device="device-1")


def test_a_manifest_is_no_receipt_even_by_one_key_for_both():
    both = {
        party.signer("device-1").kid: party.Enrolled("device-1", party.DEVICES[party.signer("device-1").kid].verifier)
    }
    with pytest.raises(UnsupportedEnvelope):
        sign.verify_receipt(manifest(), receivers=both, device=party.AUDIENCE)
    with pytest.raises(UnsupportedEnvelope):
        sign.read_manifest(receipt(by="device-1", receiver="device-1"))


@pytest.mark.parametrize(
    "reason", ["A", "a b", "a\n", "<b>", "ünknown", "a" * 65, "a;b", "../a", "a_b", "\x00", 5, None]
)
def test_a_reason_with_odd_characters_is_refused(reason):
    with pytest.raises(MalformedEnvelope):
        sign.verify_receipt(receipt(reason=reason), receivers=RECEIVERS, device="device-1")


@pytest.mark.parametrize(
    ("change", "value"),
    [("image_id", bytes(17)), ("manifest_hash", bytes(31)), ("manifest_hash", "a" * 32), ("issued_at", -5)],
)
def test_malformed_values_of_a_receipt_are_refused(change, value):
    with pytest.raises(MalformedEnvelope):
        sign.verify_receipt(receipt(**{change: value}), receivers=RECEIVERS, device="device-1")


def test_what_would_be_over_the_limit_is_not_signed():
    with pytest.raises(MalformedEnvelope, match="limit"):
        receipt(reason="a" * 2000)


def test_one_key_never_counts_for_another():
    other = Ed25519PrivateKey.from_private_bytes(bytes(32))
    assert keys.key_id(other.public_key()) != party.signer("device-1").kid
    with pytest.raises(BadSignature):
        keys.Verifier(other.public_key()).verify(protocol.ALG_ED25519, party.signer("device-1").sign(b"x"), b"x")
