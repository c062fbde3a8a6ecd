"""Header and body of a sealed image: wrap a content key for the recipients, encrypt the plaintext stream, and back.

Both directions stream: no more than a step of 1 MiB and its ciphertext is ever held (PROTOCOL.md, 2.2 and 2.3). Salt and
OAEP seed come from the operating system inside `cryptography`; key, secret and image id are arguments.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import cbor2
from cryptography.cobblestone import Cobblestone256Decryptor, Cobblestone256Encryptor
from cryptography.exceptions import AlreadyFinalized, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from edge import protocol
from edge.envelope import wire
from edge.envelope.keys import key_id, require_rsa_policy
from edge.envelope.sign import VerifiedEnvelope
from edge.errors import KeyringError, MalformedEnvelope, NotARecipient, OpeningFailed, UnsupportedEnvelope

_OAEP: Final = padding.OAEP(mgf=padding.MGF1(hashes.SHA256()), algorithm=hashes.SHA256(), label=None)
_PROTECTED: Final = wire.encode({protocol.HEADER_ALG: protocol.ALG_COBBLESTONE_256})


class Recipient:
    """Somebody who may open the image: wraps content keys for one RSA key."""

    def __init__(self, public_key: RSAPublicKey) -> None:
        require_rsa_policy(public_key)
        self._public_key = public_key
        self.kid = key_id(public_key)

    def wrap(self, content_key: bytes) -> bytes:
        """Return `content_key` under RSAES-OAEP with SHA-256 (RFC 8230), as long as the modulus."""
        return self._public_key.encrypt(content_key, _OAEP)


class Unwrapper:
    """The private half of a recipient."""

    def __init__(self, private_key: RSAPrivateKey) -> None:
        require_rsa_policy(private_key.public_key())
        self._private_key = private_key
        self.kid = key_id(private_key.public_key())

    def unwrap(self, wrapped: bytes) -> bytes:
        """Return the content key.

        Raises:
            OpeningFailed: whatever is wrong with `wrapped`.
        """
        try:
            content_key = self._private_key.decrypt(wrapped, _OAEP)
        except ValueError as error:
            raise OpeningFailed from error
        if len(content_key) != protocol.CONTENT_KEY_BYTES:
            raise OpeningFailed
        return content_key


def body_size(plaintext_bytes: int) -> int:
    """Return the bytes of the chunked encryption of this much plaintext (PROTOCOL.md, 2.3)."""
    chunks = plaintext_bytes // protocol.BODY_CHUNK_BYTES + 1
    return protocol.BODY_PREFIX_BYTES + plaintext_bytes + protocol.BODY_TAG_BYTES * chunks


def header(recipients: Sequence[Recipient], content_key: bytes) -> bytes:
    """Return item 2 for 1 to 16 recipients with distinct keys.

    Raises:
        KeyringError: none, too many, or one key twice.
    """
    if not 1 <= len(recipients) <= protocol.RECIPIENTS_MAX:
        raise KeyringError(f"an image needs 1 to {protocol.RECIPIENTS_MAX} recipients")
    if len({recipient.kid for recipient in recipients}) != len(recipients):
        raise KeyringError("two recipients have the same key")
    wrapped = [
        [
            b"",
            {protocol.HEADER_ALG: protocol.ALG_RSA_OAEP_SHA256, protocol.HEADER_KID: recipient.kid},
            recipient.wrap(content_key),
        ]
        for recipient in recipients
    ]
    return wire.encode(cbor2.CBORTag(protocol.TAG_ENCRYPT, [_PROTECTED, {}, None, wrapped]))


def seal(
    plaintext: Iterable[bytes | memoryview],
    plaintext_bytes: int,
    *,
    item_2: bytes,
    content_key: bytes,
    signer_kid: bytes,
    image_id: bytes,
) -> Iterator[bytes]:
    """Yield the bulk: item 2, then item 3 over exactly `plaintext_bytes` bytes of `plaintext`.

    Raises:
        ValueError: `plaintext` is not as long as said: the caller's arithmetic is wrong.
    """
    yield item_2
    yield wire.bytes_head(body_size(plaintext_bytes))
    encryptor = Cobblestone256Encryptor(content_key, _context(_PROTECTED, signer_kid, image_id))
    left = plaintext_bytes
    for piece in plaintext:
        left -= len(piece)
        for start in range(0, len(piece), protocol.SEALING_STEP_BYTES):
            yield encryptor.update(piece[start : start + protocol.SEALING_STEP_BYTES])
    if left:
        raise ValueError("the plaintext is not as long as its parts")
    yield encryptor.finalize()


class Opening:
    """The plaintext of a sealed image as a stream: authenticated chunk by chunk, final once `finish` has returned.

    Until then a caller keeps what it reads under a temporary name.
    """

    def __init__(self, envelope: VerifiedEnvelope, bulk: wire.Readable, unwrappers: Mapping[bytes, Unwrapper]) -> None:
        """Read item 2 from `bulk`, unwrap the content key, and stand at the plaintext's first byte.

        Raises:
            MalformedEnvelope, TruncatedEnvelope, UnsupportedEnvelope: item 2 or the head of item 3.
            NotARecipient: none of `unwrappers` is named.
            OpeningFailed: the content key does not unwrap.
        """
        reader = wire.SequenceReader(bulk)
        item_2 = reader.small_item(protocol.HEADER_MAX_BYTES)
        protected, wrapped = _read_header(item_2)
        known = [kid for kid in wrapped if kid in unwrappers]
        if not known:
            raise NotARecipient("the image was sealed for other keys")
        content_key = unwrappers[known[0]].unwrap(wrapped[known[0]])
        signed = envelope.envelope
        self._left = reader.bytes_length(signed.manifest.bulk_bytes)
        self._bulk = bulk
        self._decryptor = Cobblestone256Decryptor(
            content_key, _context(protected, signed.kid, signed.manifest.image_id)
        )
        self._buffer = memoryview(b"")
        self._final = False

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes of plaintext, b"" only at its end.

        Raises:
            OpeningFailed: a chunk is not authentic, or the body is cut.
        """
        while not self._buffer and not self._final:
            self._step()
        taken = bytes(self._buffer[:size])
        self._buffer = self._buffer[size:]
        return taken

    def readinto(self, target: memoryview, /) -> int:
        """Fill `target` as far as one step goes and return how many bytes that were, 0 only at the end.

        Raises:
            OpeningFailed: as `read`.
        """
        while not self._buffer and not self._final:
            self._step()
        count = min(len(target), len(self._buffer))
        target[:count] = self._buffer[:count]
        self._buffer = self._buffer[count:]
        return count

    def finish(self) -> None:
        """Insist that the plaintext, the body and the bulk end here; from now on what was read is final.

        Raises:
            OpeningFailed: one of them goes on, or the last chunk is missing.
        """
        if self.read(1) or self._left or self._bulk.read(1):
            raise OpeningFailed

    def _step(self) -> None:
        piece = self._bulk.read(min(self._left, protocol.SEALING_STEP_BYTES)) if self._left else b""
        self._left -= len(piece)
        try:
            if piece:
                self._buffer = memoryview(self._decryptor.update(piece))
            else:
                self._buffer = memoryview(self._decryptor.finalize() or b"")
                self._final = True
        # A decryptor that has refused a chunk is finalized: whoever reads on learns no more than before.
        except (InvalidTag, AlreadyFinalized) as error:
            raise OpeningFailed from error


def _context(protected: bytes, signer_kid: bytes, image_id: bytes) -> bytes:
    """Return the Enc_structure of RFC 9052, 5.3, which binds the body to its signer and id."""
    return wire.encode(["Encrypt", protected, wire.encode([signer_kid, image_id])])


def _read_header(item_2: bytes) -> tuple[bytes, dict[bytes, bytes]]:
    """Return (protected as it came, kid -> wrapped content key)."""
    item = wire.decode(item_2, limit=protocol.HEADER_MAX_BYTES)
    if not isinstance(item, cbor2.CBORTag) or item.tag != protocol.TAG_ENCRYPT:
        raise UnsupportedEnvelope("the header is not of this protocol")
    value = item.value
    if not isinstance(value, list | tuple) or len(value) != 4 or value[1] != {} or value[2] is not None:
        raise MalformedEnvelope("the header is malformed")
    if value[0] != _PROTECTED:
        raise UnsupportedEnvelope("the header names another content encryption")
    recipients = value[3]
    if not isinstance(recipients, list | tuple) or not 1 <= len(recipients) <= protocol.RECIPIENTS_MAX:
        raise MalformedEnvelope("the header has no recipients or too many")
    wrapped: dict[bytes, bytes] = {}
    for recipient in recipients:
        kid, ciphertext = _read_recipient(recipient)
        if kid in wrapped:
            raise MalformedEnvelope("two recipients name the same key")
        wrapped[kid] = ciphertext
    return value[0], wrapped


def _read_recipient(recipient: Any) -> tuple[bytes, bytes]:
    """Return (kid, wrapped content key)."""
    if not isinstance(recipient, list | tuple) or len(recipient) != 3 or recipient[0] != b"":
        raise MalformedEnvelope("a recipient is malformed")
    _, unprotected, ciphertext = recipient
    if not isinstance(unprotected, Mapping) or set(unprotected) != {protocol.HEADER_ALG, protocol.HEADER_KID}:
        raise UnsupportedEnvelope("a recipient carries unknown labels or lacks known ones")
    if unprotected[protocol.HEADER_ALG] != protocol.ALG_RSA_OAEP_SHA256:
        raise UnsupportedEnvelope("a recipient names an unknown algorithm")
    kid = unprotected[protocol.HEADER_KID]
    if not isinstance(kid, bytes) or len(kid) != protocol.KEY_ID_BYTES or not isinstance(ciphertext, bytes):
        raise MalformedEnvelope("a recipient is malformed")
    return kid, ciphertext
