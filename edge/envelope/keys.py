"""Signing keys and their verifiers: Ed25519 by default, RSA-PSS for keys in older tokens; and the policy for RSA.

A key is named by its kid, and a verifier's key decides the algorithm, never the message alone.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from edge import protocol
from edge.errors import BadSignature, KeyringError

_PSS: Final = padding.PSS(mgf=padding.MGF1(hashes.SHA256()), salt_length=hashes.SHA256.digest_size)


def key_id(public_key: Ed25519PublicKey | RSAPublicKey) -> bytes:
    """Return the kid: the first 16 bytes of SHA-256 over the DER SubjectPublicKeyInfo."""
    der = public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(der).digest()[: protocol.KEY_ID_BYTES]


class Signer(Protocol):
    """Something that signs: a key in memory, or later one in a token. `signature_size` is in bytes."""

    alg: int
    kid: bytes
    signature_size: int

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature over `data`."""
        ...


class Ed25519Signer:
    """Sign with Ed25519 (RFC 8032; COSE algorithm -19, RFC 9864)."""

    alg = protocol.ALG_ED25519
    signature_size = 64

    def __init__(self, private_key: Ed25519PrivateKey) -> None:
        self._private_key = private_key
        self.kid = key_id(private_key.public_key())

    def sign(self, data: bytes, /) -> bytes:
        """Return the 64-byte signature over `data`."""
        return self._private_key.sign(data)


class Pss256Signer:
    """Sign with RSASSA-PSS, SHA-256, salt of 32 bytes (RFC 8230; COSE algorithm -37)."""

    alg = protocol.ALG_PS256

    def __init__(self, private_key: RSAPrivateKey) -> None:
        require_rsa_policy(private_key.public_key())
        self._private_key = private_key
        self.kid = key_id(private_key.public_key())
        self.signature_size = (private_key.key_size + 7) // 8

    def sign(self, data: bytes, /) -> bytes:
        """Return the signature over `data`, as long as the modulus."""
        return self._private_key.sign(data, _PSS, hashes.SHA256())


class Verifier:
    """Verify with the public half of either kind of key. The key decides the algorithm, never the message alone."""

    def __init__(self, public_key: Ed25519PublicKey | RSAPublicKey) -> None:
        if isinstance(public_key, RSAPublicKey):
            require_rsa_policy(public_key)
        self._public_key = public_key
        self.kid = key_id(public_key)
        self.alg = protocol.ALG_ED25519 if isinstance(public_key, Ed25519PublicKey) else protocol.ALG_PS256

    def verify(self, alg: int, signature: bytes, data: bytes) -> None:
        """Return if `signature` over `data` is this key's.

        Raises:
            BadSignature: it is not, or `alg` is not this key's algorithm.
        """
        if alg != self.alg:
            raise BadSignature("the signature names another algorithm than its key")
        try:
            if isinstance(self._public_key, Ed25519PublicKey):
                self._public_key.verify(signature, data)
            else:
                self._public_key.verify(signature, data, _PSS, hashes.SHA256())
        except InvalidSignature as error:
            raise BadSignature("the signature does not verify") from error


def require_rsa_policy(public_key: RSAPublicKey) -> None:
    """Insist on 3,072 to 4,096 bits and e = 65,537.

    Raises:
        KeyringError: another size or exponent.
    """
    if not protocol.RSA_MIN_BITS <= public_key.key_size <= protocol.RSA_MAX_BITS:
        raise KeyringError(
            f"an RSA key of {public_key.key_size} bits is refused",
            hint=f"use {protocol.RSA_MIN_BITS} to {protocol.RSA_MAX_BITS} bits",
        )
    if public_key.public_numbers().e != protocol.RSA_EXPONENT:
        raise KeyringError("an RSA key with another exponent than 65537 is refused")


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """An enrolled key: whose it is, and whether it was withdrawn; `revoked_at` where its entry names a time."""

    id: str
    verifier: Verifier
    revoked: bool = False
    revoked_at: datetime | None = None
