"""What the product does with a sealed image of which a bit was changed: it refuses it, twice over.

The rule kept here: the product's own sealing and opening run, with keys made for the occasion.
"""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from dataclasses import dataclass
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key

from edge import protocol
from edge.envelope import seal, sign
from edge.envelope.keys import Ed25519Signer, Trusted, Verifier
from edge.errors import EnvelopeError
from firmware_tools.evaluation.ways import Image

TRIED: Final = 64
_AUDIENCE: Final = "hospital"
_DEVICE: Final = "scanner"


@dataclass(frozen=True, slots=True)
class Refusal:
    """How many of so many sealed images, one bit of each changed, were refused.

    Attributes:
        tried: bits that were changed, one at a time, all over the sealed image.
        by_signature: refused because the device did not sign this.
        by_seal: refused by AES-256-GCM and RSA-OAEP alone, had a device signed the changed image.
    """

    tried: int
    by_signature: int
    by_seal: int


def one_bit_changed(image: Image, generator: np.random.Generator) -> Refusal:
    """Seal a cipher image, change one bit, try to open it; 64 times."""
    signer = Ed25519Signer(key := Ed25519PrivateKey.generate())
    private = generate_private_key(public_exponent=protocol.RSA_EXPONENT, key_size=protocol.RSA_MIN_BITS)
    unwrapper = seal.Unwrapper(private)
    data = np.ascontiguousarray(image).tobytes()
    content_key, image_id = (
        secrets.token_bytes(protocol.CONTENT_KEY_BYTES),
        secrets.token_bytes(protocol.IMAGE_ID_BYTES),
    )
    item_2 = seal.header([seal.Recipient(private.public_key())], content_key)
    bulk = b"".join(
        seal.seal([data], len(data), item_2=item_2, content_key=content_key, signer_kid=signer.kid, image_id=image_id)
    )
    devices = {signer.kid: Trusted(id=_DEVICE, verifier=Verifier(key.public_key()))}

    def signed(of: bytes) -> sign.VerifiedManifest:
        manifest = sign.Manifest(
            device=_DEVICE,
            audience=_AUDIENCE,
            issued_at=int(time.time()),
            image_id=image_id,
            sequence=1,
            bulk_bytes=len(of),
        )
        raw = sign.sign_manifest(manifest, hashlib.sha256(of).digest(), signer)
        return sign.verify_manifest(sign.read_manifest(raw), devices=devices, audience=_AUDIENCE, bulk_limit=len(of))

    def opens(manifest: sign.VerifiedManifest, arrived: bytes) -> bool:
        try:
            verified = sign.verify_bulk(manifest, io.BytesIO(arrived))
            opening = seal.Opening(verified, io.BytesIO(arrived), {unwrapper.kid: unwrapper})
            back = b"".join(iter(lambda: opening.read(protocol.SEALING_STEP_BYTES), b""))
            opening.finish()
        except EnvelopeError:
            return False
        return back == data

    honest = signed(bulk)
    if not opens(honest, bulk):
        raise AssertionError("an image that nobody touched does not open")
    by_signature = by_seal = 0
    for place in generator.integers(8 * len(bulk), size=TRIED):
        changed = bytearray(bulk)
        changed[int(place) // 8] ^= 1 << (int(place) % 8)
        by_signature += not opens(honest, bytes(changed))
        by_seal += not opens(signed(bytes(changed)), bytes(changed))
    return Refusal(TRIED, by_signature, by_seal)
