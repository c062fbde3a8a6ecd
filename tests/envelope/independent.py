"""A second implementation of the sealed image, written from PROTOCOL.md and the C2SP text alone: it imports nothing of edge.

What the two agree on is the protocol; what only one of them does is a mistake. Everything is held in memory at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

CHUNK = 16_384
TAG = 16
LABEL = b"c2sp.org/chunked-encryption@v1+AEAD_AES_256_GCM\x00"
SEALED = "application/vnd.edge-encryptor.sealed; v=1"
RECEIPT = "application/vnd.edge-encryptor.receipt; v=1"

PublicKey = Ed25519PublicKey | RSAPublicKey


class RefusedError(Exception):
    """The bytes are not what PROTOCOL.md says."""


def require(condition: bool) -> None:
    """Raise RefusedError unless `condition` holds."""
    if not condition:
        raise RefusedError


# --- CBOR -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Tagged:
    """A tag and what it encloses."""

    tag: int
    value: Any


def write(value: Any) -> bytes:
    """Return the deterministic encoding of `value`."""
    match value:
        case None:
            written = b"\xf6"
        case int():
            written = _head(0, value) if value >= 0 else _head(1, -1 - value)
        case bytes():
            written = _head(2, len(value)) + value
        case str():
            written = _head(3, len(value.encode())) + value.encode()
        case list():
            written = _head(4, len(value)) + b"".join(map(write, value))
        case dict():
            pairs = sorted((write(key), write(each)) for key, each in value.items())
            written = _head(5, len(pairs)) + b"".join(key + each for key, each in pairs)
        case Tagged():
            written = _head(6, value.tag) + write(value.value)
        case _:
            raise TypeError(type(value))
    return written


def _head(major: int, argument: int) -> bytes:
    if argument < 24:
        return bytes([major << 5 | argument])
    for low, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if argument < 1 << 8 * width:
            return bytes([major << 5 | low]) + argument.to_bytes(width, "big")
    raise ValueError(argument)


def read(data: bytes, at: int = 0) -> tuple[Any, int]:
    """Return the value that begins at `at` and the offset behind it; anything but its one encoding is refused."""
    value, end = _read(data, at)
    require(write(value) == data[at:end])
    return value, end


def _read(data: bytes, at: int) -> tuple[Any, int]:
    require(at < len(data))
    major, low = data[at] >> 5, data[at] & 31
    if data[at] == 0xF6:
        return None, at + 1
    require(major < 7 and low < 28)
    width = 0 if low < 24 else 1 << low - 24
    start = at + 1 + width
    require(start <= len(data))
    argument = int.from_bytes(data[at + 1 : start], "big") if width else low
    if major < 2:
        return (argument, -1 - argument)[major], start
    if major < 4:
        end = start + argument
        require(end <= len(data))
        return (data[start:end], data[start:end].decode())[major - 2] if major == 3 else data[start:end], end
    if major == 6:
        value, end = _read(data, start)
        return Tagged(argument, value), end
    values = []
    for _ in range(argument * (major - 3)):
        value, start = _read(data, start)
        values.append(value)
    if major == 4:
        return values, start
    pairs = dict(zip(values[::2], values[1::2], strict=True))
    require(len(pairs) == argument)
    return pairs, start


def read_whole(data: bytes) -> Any:
    """Return the one value that `data` holds."""
    value, end = read(data)
    require(end == len(data))
    return value


# --- C2SP chunked encryption, AES-256-GCM, SHA-512 ------------------------------------------------------------------


def _keys(content_key: bytes, salt: bytes, context: bytes) -> tuple[AESGCM, int, bytes]:
    """Return (cipher, base nonce, commitment)."""
    okm = HKDFExpand(hashes.SHA512(), 32 + 12 + 32, LABEL + salt + context).derive(content_key)
    return AESGCM(okm[:32]), int.from_bytes(okm[32:44], "big"), okm[44:]


def chunks_seal(content_key: bytes, salt: bytes, context: bytes, plaintext: bytes) -> bytes:
    """Return salt | commitment | chunks; the last chunk is always shorter than the others, perhaps empty."""
    cipher, nonce, commitment = _keys(content_key, salt, context)
    pieces = [plaintext[start : start + CHUNK] for start in range(0, len(plaintext) + 1, CHUNK)]
    sealed = (cipher.encrypt((nonce ^ k).to_bytes(12, "big"), piece, None) for k, piece in enumerate(pieces))
    return salt + commitment + b"".join(sealed)


def chunks_open(content_key: bytes, context: bytes, body: bytes) -> bytes:
    """Return the plaintext of a body."""
    require(len(body) >= 56 + TAG)
    cipher, nonce, commitment = _keys(content_key, body[:24], context)
    require(body[24:56] == commitment)
    plaintext, at, k = b"", 56, 0
    while True:
        piece = body[at : at + CHUNK + TAG]
        try:
            opened = cipher.decrypt((nonce ^ k).to_bytes(12, "big"), piece, None)
        except (InvalidTag, ValueError) as error:
            raise RefusedError from error
        plaintext += opened
        if len(opened) < CHUNK:
            return plaintext
        at, k = at + CHUNK + TAG, k + 1


# --- COSE -----------------------------------------------------------------------------------------------------------


def kid_of(key: PublicKey) -> bytes:
    """Return the first 16 bytes of SHA-256 over the SubjectPublicKeyInfo."""
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()[:16]


def sig_structure(protected: bytes, payload: bytes) -> bytes:
    """Return what a COSE_Sign1 signs (RFC 9052, 4.4)."""
    return write(["Signature1", protected, b"", payload])


def enc_structure(protected: bytes, signer: bytes, image_id: bytes) -> bytes:
    """Return the context of the body (RFC 9052, 5.3)."""
    return write(["Encrypt", protected, write([signer, image_id])])


def _verify_sign1(item: Any, typ: str, keys: Mapping[bytes, PublicKey]) -> tuple[dict[Any, Any], bytes]:
    """Return (protected, payload) of a COSE_Sign1 by one of `keys`."""
    require(isinstance(item, Tagged) and item.tag == 18)
    protected_bytes, unprotected, payload, signature = item.value
    protected = read_whole(protected_bytes)
    require(unprotected == {} and protected[16] == typ and protected[4] in keys)
    key, signed = keys[protected[4]], sig_structure(protected_bytes, payload)
    try:
        if isinstance(key, Ed25519PublicKey):
            require(protected[1] == -19)
            key.verify(signature, signed)
        else:
            require(protected[1] == -37)
            key.verify(signature, signed, padding.PSS(padding.MGF1(hashes.SHA256()), 32), hashes.SHA256())
    except InvalidSignature as error:
        raise RefusedError from error
    return protected, payload


@dataclass(frozen=True)
class Opened:
    """All that is in a sealed image."""

    claims: dict[int, Any]
    metadata: dict[int, Any]
    image: bytes
    key_file: bytes | None


def open_sealed(
    sealed: bytes, *, devices: Mapping[bytes, PublicKey], receivers: Mapping[bytes, RSAPrivateKey]
) -> Opened:
    """Verify and open a sealed image.

    Raises:
        RefusedError: the bytes are not what PROTOCOL.md says.
    """
    item_1, end_1 = read(sealed)
    protected, digest = _verify_sign1(item_1, SEALED, devices)
    require(set(protected) == {1, 4, 15, 16, 258, 259, -70001} and set(protected[15]) == {1, 3, 6, 7, -70002})
    require(protected[258] == -16 and protected[259] == "application/cbor-seq")
    bulk = sealed[end_1:]
    require(len(bulk) == protected[-70001] and hashlib.sha256(bulk).digest() == digest)

    item_2, end_2 = read(bulk)
    require(isinstance(item_2, Tagged) and item_2.tag == 96)
    content, unprotected, detached, recipients = item_2.value
    require(read_whole(content) == {1: -70256} and unprotected == {} and detached is None and len(recipients) <= 16)
    wrapped = {parameters[4]: key for empty, parameters, key in recipients if empty == b"" and parameters[1] == -41}
    require(len(wrapped) == len(recipients))
    mine = next((kid for kid in wrapped if kid in receivers), None)
    if mine is None:
        raise RefusedError
    oaep = padding.OAEP(padding.MGF1(hashes.SHA256()), hashes.SHA256(), None)
    try:
        content_key = receivers[mine].decrypt(wrapped[mine], oaep)
    except ValueError as error:
        raise RefusedError from error

    body = read_whole(bulk[end_2:])
    plaintext = chunks_open(content_key, enc_structure(content, protected[4], protected[15][7]), body)
    metadata, at = read(plaintext)
    image, at = read(plaintext, at)
    key_file, at = read(plaintext, at) if metadata[7][7] == "explicit" else (None, at)
    require(at == len(plaintext))
    return Opened(protected[15], metadata, image, key_file)


def read_receipt(raw: bytes, *, receivers: Mapping[bytes, PublicKey]) -> tuple[dict[int, Any], dict[int, Any]]:
    """Return (claims, payload) of a receipt by one of `receivers`.

    Raises:
        RefusedError: the bytes are not what PROTOCOL.md says.
    """
    protected, payload = _verify_sign1(read_whole(raw), RECEIPT, receivers)
    require(set(protected) == {1, 4, 15, 16} and set(protected[15]) == {1, 3, 6, 7})
    return protected[15], read_whole(payload)
