"""Signatures: the manifest that introduces a sealed image, and the receipt that frees it (PROTOCOL.md, 2.1 and 4).

The signed bytes are kept and verified as they came; nothing is serialised again to verify it. Unverified and verified
are different types: `read_manifest` gives a `SignedEnvelope`, only `verify_manifest` turns it into a
`VerifiedManifest`, and only `verify_bulk` turns that, with the bulk in hand, into a `VerifiedEnvelope` that `edge.envelope
.seal` will open.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import cbor2

from edge import protocol
from edge.envelope import wire
from edge.envelope.keys import Signer, Trusted
from edge.errors import (
    BadSignature,
    ForgedReceipt,
    MalformedEnvelope,
    MismatchedReceipt,
    TruncatedEnvelope,
    UnknownSigner,
    UnsupportedEnvelope,
    WrongAudience,
)

_MANIFEST_LABELS: Final = frozenset(
    {
        protocol.HEADER_ALG,
        protocol.HEADER_KID,
        protocol.HEADER_CLAIMS,
        protocol.HEADER_TYP,
        protocol.HEADER_PAYLOAD_HASH_ALG,
        protocol.HEADER_PREIMAGE_TYPE,
        protocol.HEADER_BULK_BYTES,
    }
)
_RECEIPT_LABELS: Final = frozenset(
    {protocol.HEADER_ALG, protocol.HEADER_KID, protocol.HEADER_CLAIMS, protocol.HEADER_TYP}
)
_CLAIMS: Final = frozenset(
    {protocol.CLAIM_ISSUER, protocol.CLAIM_AUDIENCE, protocol.CLAIM_ISSUED_AT, protocol.CLAIM_ID}
)
_REASON_MAX: Final = 64
_FIRST_BYTE: Final = bytes([0xC0 | protocol.TAG_SIGN1])


# --- manifest -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What the outside of a sealed image says. `issued_at` in seconds since 1970, `bulk_bytes` = items 2 and 3."""

    device: str
    audience: str
    issued_at: int
    image_id: bytes
    sequence: int
    bulk_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedEnvelope:
    """A manifest as it came: parsed, not verified. `raw` is item 1, byte for byte."""

    raw: bytes
    manifest: Manifest
    alg: int
    kid: bytes
    digest: bytes
    signature: bytes
    protected: bytes

    @property
    def manifest_hash(self) -> bytes:
        """SHA-256 over item 1."""
        return hashlib.sha256(self.raw).digest()


@dataclass(frozen=True, slots=True)
class VerifiedManifest:
    """Proof that an enrolled device signed this manifest for this audience: reason enough to take the bulk."""

    envelope: SignedEnvelope


@dataclass(frozen=True, slots=True)
class VerifiedEnvelope:
    """Proof that the bulk, too, is what the device signed: reason enough to open it."""

    envelope: SignedEnvelope


def sign_manifest(manifest: Manifest, digest: bytes, signer: Signer) -> bytes:
    """Return item 1 for a bulk with this SHA-256 (PROTOCOL.md, 2.1)."""
    protected = wire.encode(
        {
            protocol.HEADER_ALG: signer.alg,
            protocol.HEADER_KID: signer.kid,
            protocol.HEADER_CLAIMS: {
                protocol.CLAIM_ISSUER: manifest.device,
                protocol.CLAIM_AUDIENCE: manifest.audience,
                protocol.CLAIM_ISSUED_AT: manifest.issued_at,
                protocol.CLAIM_ID: manifest.image_id,
                protocol.CLAIM_SEQUENCE: manifest.sequence,
            },
            protocol.HEADER_TYP: protocol.SEALED_TYPE,
            protocol.HEADER_PAYLOAD_HASH_ALG: protocol.ALG_SHA256,
            protocol.HEADER_PREIMAGE_TYPE: protocol.SEALED_CONTENT_TYPE,
            protocol.HEADER_BULK_BYTES: manifest.bulk_bytes,
        }
    )
    return _sign1(protected, digest, signer)


def manifest_size(manifest: Manifest, signer: Signer) -> int:
    """Return the length of item 1 before the bulk's digest is known: every part of it has a known length."""

    class _Blank:
        alg = signer.alg
        kid = signer.kid
        signature_size = signer.signature_size

        def sign(self, _data: bytes, /) -> bytes:
            return bytes(signer.signature_size)

    return len(sign_manifest(manifest, bytes(protocol.DIGEST_BYTES), _Blank()))


def read_manifest(raw: bytes) -> SignedEnvelope:
    """Parse item 1 without believing it: the first step of PROTOCOL.md, 2.1.

    Raises:
        MalformedEnvelope: size or syntax.
        UnsupportedEnvelope: another version, algorithm or label.
    """
    protected_bytes, protected, digest, signature = _read_sign1(raw, protocol.SEALED_TYPE, _MANIFEST_LABELS)
    if (
        protected[protocol.HEADER_PAYLOAD_HASH_ALG] != protocol.ALG_SHA256
        or protected[protocol.HEADER_PREIMAGE_TYPE] != protocol.SEALED_CONTENT_TYPE
    ):
        raise UnsupportedEnvelope("the manifest names a hash or a content type of another version")
    if len(digest) != protocol.DIGEST_BYTES:
        raise MalformedEnvelope("the manifest's digest has a wrong length")
    claims = _claims(protected, _CLAIMS | {protocol.CLAIM_SEQUENCE})
    return SignedEnvelope(
        raw=raw,
        manifest=Manifest(
            device=_identity(claims[protocol.CLAIM_ISSUER]),
            audience=_identity(claims[protocol.CLAIM_AUDIENCE]),
            issued_at=_uint(claims[protocol.CLAIM_ISSUED_AT], protocol.SEQUENCE_MAX),
            image_id=_bytes(claims[protocol.CLAIM_ID], protocol.IMAGE_ID_BYTES),
            sequence=_uint(claims[protocol.CLAIM_SEQUENCE], protocol.SEQUENCE_MAX),
            bulk_bytes=_uint(protected[protocol.HEADER_BULK_BYTES], protocol.IMAGE_MAX_BYTES * 4),
        ),
        alg=protected[protocol.HEADER_ALG],
        kid=protected[protocol.HEADER_KID],
        digest=digest,
        signature=signature,
        protected=protected_bytes,
    )


def read_envelope(source: wire.Readable) -> SignedEnvelope:
    """Read item 1 from the start of a sealed image without believing it; `source` stands at item 2 afterwards.

    Raises:
        UnsupportedEnvelope: this is no sealed image, or one of another version.
        MalformedEnvelope, TruncatedEnvelope: its manifest is damaged.
    """
    reader = wire.SequenceReader(source)
    first = reader.exactly(1)
    if first != _FIRST_BYTE:
        raise UnsupportedEnvelope("this is no sealed image")
    return read_manifest(reader.small_item(protocol.MANIFEST_MAX_BYTES, begun=first))


def verify_manifest(
    signed: SignedEnvelope, *, devices: Mapping[bytes, Trusted], audience: str, bulk_limit: int
) -> VerifiedManifest:
    """Decide whether the bulk may come: steps 2 to 5 of PROTOCOL.md, 2.1. The limit is in bytes.

    Raises:
        UnknownSigner, BadSignature, WrongAudience, MalformedEnvelope: the step that failed.
    """
    # Step 2: an enrolled key, and the device it belongs to.
    trusted = devices.get(signed.kid)
    if trusted is None or trusted.revoked or trusted.id != signed.manifest.device:
        raise UnknownSigner("no enrolled device signed this image")
    # Step 3: its signature, over the bytes as they came.
    trusted.verifier.verify(signed.alg, signed.signature, _to_be_signed(signed.protected, signed.digest))
    # Step 4: for us.
    if signed.manifest.audience != audience:
        raise WrongAudience("the image was sealed for another receiver")
    # Step 5: of a size that this receiver takes.
    if signed.manifest.bulk_bytes > bulk_limit:
        raise MalformedEnvelope("the image is over this receiver's size limit", hint="raise limits.image_bytes")
    return VerifiedManifest(signed)


def verify_bulk(verified: VerifiedManifest, bulk: wire.Readable) -> VerifiedEnvelope:
    """Read the whole bulk and compare its length and SHA-256 with the signed ones.

    Raises:
        TruncatedEnvelope: shorter than signed.
        MalformedEnvelope: longer than signed.
        BadSignature: another digest: a flipped bit somewhere.
    """
    digest = hashlib.sha256()
    left = verified.envelope.manifest.bulk_bytes
    while left:
        piece = bulk.read(min(left, protocol.SEALING_STEP_BYTES))
        if not piece:
            raise TruncatedEnvelope("the sealed image ends before its length")
        digest.update(piece)
        left -= len(piece)
    if bulk.read(1):
        raise MalformedEnvelope("the sealed image is followed by bytes that belong to none")
    if digest.digest() != verified.envelope.digest:
        raise BadSignature("the sealed image is not the one that was signed")
    return VerifiedEnvelope(verified.envelope)


# --- receipt --------------------------------------------------------------------------------------------------------


class ReceiptStatus(StrEnum):
    """What became of an image at the receiver."""

    STORED = "stored"
    REJECTED = "rejected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Receipt:
    """A receiver's word about one image. `reason` is the code of an error, empty for `stored`."""

    receiver: str
    device: str
    image_id: bytes
    manifest_hash: bytes
    status: ReceiptStatus
    reason: str
    issued_at: int


def sign_receipt(receipt: Receipt, signer: Signer) -> bytes:
    """Return the receipt as it travels (PROTOCOL.md, 4)."""
    protected = wire.encode(
        {
            protocol.HEADER_ALG: signer.alg,
            protocol.HEADER_KID: signer.kid,
            protocol.HEADER_CLAIMS: {
                protocol.CLAIM_ISSUER: receipt.receiver,
                protocol.CLAIM_AUDIENCE: receipt.device,
                protocol.CLAIM_ISSUED_AT: receipt.issued_at,
                protocol.CLAIM_ID: receipt.image_id,
            },
            protocol.HEADER_TYP: protocol.RECEIPT_TYPE,
        }
    )
    payload = wire.encode({1: receipt.manifest_hash, 2: receipt.status.value, 3: receipt.reason})
    return _sign1(protected, payload, signer)


def verify_receipt(raw: bytes, *, receivers: Mapping[bytes, Trusted], device: str) -> Receipt:
    """Return the receipt in `raw` if a trusted receiver signed it for `device`.

    Whether it belongs to an image of the spool is for the caller to say.

    Raises:
        MalformedEnvelope, UnsupportedEnvelope: not a receipt of this version.
        ForgedReceipt: no trusted receiver's signature.
        MismatchedReceipt: for another device.
    """
    protected_bytes, protected, payload, signature = _read_sign1(raw, protocol.RECEIPT_TYPE, _RECEIPT_LABELS)
    claims = _claims(protected, _CLAIMS)
    trusted = receivers.get(protected[protocol.HEADER_KID])
    if trusted is None or trusted.revoked or trusted.id != claims[protocol.CLAIM_ISSUER]:
        raise ForgedReceipt("no trusted receiver signed this receipt")
    try:
        trusted.verifier.verify(protected[protocol.HEADER_ALG], signature, _to_be_signed(protected_bytes, payload))
    except BadSignature as error:
        raise ForgedReceipt("the receipt's signature does not verify") from error
    if claims[protocol.CLAIM_AUDIENCE] != device:
        raise MismatchedReceipt("the receipt is for another device")
    body = wire.decode(payload, limit=protocol.MANIFEST_MAX_BYTES)
    if not isinstance(body, Mapping) or set(body) != {1, 2, 3} or body[2] not in list(ReceiptStatus):
        raise MalformedEnvelope("the receipt's payload is malformed")
    if not isinstance(body[3], str) or not re.fullmatch(r"[a-z0-9-]*", body[3]) or len(body[3]) > _REASON_MAX:
        raise MalformedEnvelope("the receipt's reason is malformed")
    return Receipt(
        receiver=trusted.id,
        device=device,
        image_id=_bytes(claims[protocol.CLAIM_ID], protocol.IMAGE_ID_BYTES),
        manifest_hash=_bytes(body[1], protocol.DIGEST_BYTES),
        status=ReceiptStatus(body[2]),
        reason=body[3],
        issued_at=_uint(claims[protocol.CLAIM_ISSUED_AT], protocol.SEQUENCE_MAX),
    )


# --- COSE_Sign1 -----------------------------------------------------------------------------------------------------


def _to_be_signed(protected: bytes, payload: bytes) -> bytes:
    """Return the Sig_structure of RFC 9052, 4.4."""
    return wire.encode(["Signature1", protected, b"", payload])


def _sign1(protected: bytes, payload: bytes, signer: Signer) -> bytes:
    signature = signer.sign(_to_be_signed(protected, payload))
    raw = wire.encode(cbor2.CBORTag(protocol.TAG_SIGN1, [protected, {}, payload, signature]))
    if len(raw) > protocol.MANIFEST_MAX_BYTES:
        raise MalformedEnvelope("the signed item would be longer than its limit")
    return raw


def _read_sign1(raw: bytes, typ: str, labels: frozenset[int]) -> tuple[bytes, Mapping[Any, Any], bytes, bytes]:
    """Return (protected as it came, protected, payload, signature)."""
    item = wire.decode(raw, limit=protocol.MANIFEST_MAX_BYTES)
    if not isinstance(item, cbor2.CBORTag) or item.tag != protocol.TAG_SIGN1:
        raise UnsupportedEnvelope("this is not a signed item of this protocol")
    value = item.value
    if not isinstance(value, list | tuple) or len(value) != 4 or value[1] != {}:
        raise MalformedEnvelope("the signed item is malformed")
    protected_bytes, _, payload, signature = value
    if not all(isinstance(part, bytes) for part in (protected_bytes, payload, signature)):
        raise MalformedEnvelope("the signed item is malformed")
    protected = wire.decode(protected_bytes, limit=protocol.MANIFEST_MAX_BYTES)
    if not isinstance(protected, Mapping):
        raise MalformedEnvelope("the signed item is malformed")
    if protected.get(protocol.HEADER_TYP) != typ:
        raise UnsupportedEnvelope("the signed item is of another type or version")
    if set(protected) != labels:
        raise UnsupportedEnvelope("the signed item carries unknown labels or lacks known ones")
    if protected[protocol.HEADER_ALG] not in (protocol.ALG_ED25519, protocol.ALG_PS256):
        raise UnsupportedEnvelope("the signed item names an unknown algorithm")
    _bytes(protected[protocol.HEADER_KID], protocol.KEY_ID_BYTES)
    return protected_bytes, protected, payload, signature


def _claims(protected: Mapping[Any, Any], labels: frozenset[int]) -> Mapping[Any, Any]:
    claims = protected[protocol.HEADER_CLAIMS]
    if not isinstance(claims, Mapping) or set(claims) != labels:
        raise UnsupportedEnvelope("the claims carry unknown labels or lack known ones")
    return claims


def _identity(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(protocol.IDENTITY_PATTERN, value):
        raise MalformedEnvelope("an id is malformed")
    return value


def _uint(value: object, limit: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= limit:
        raise MalformedEnvelope("a number is malformed or over its limit")
    return value


def _bytes(value: object, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise MalformedEnvelope("a byte string is malformed")
    return value
