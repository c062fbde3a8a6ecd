"""The names and numbers of PROTOCOL.md that both ends share; each limit is checked before anything is allocated.

Labels and algorithm numbers are those of the COSE registry (RFC 9052, 9053, 8230, 9864, 9995) unless a comment says
"private": private-use integers lie below -65536.
"""

from typing import Final

# --- identities -----------------------------------------------------------------------------------------------------

IDENTITY_PATTERN: Final = r"[a-z0-9-]{3,48}"
"""Device and receiver ids: safe as an MQTT topic level, a folder name and a certificate's common name."""

KEY_ID_BYTES: Final = 16
IMAGE_ID_BYTES: Final = 16
DIGEST_BYTES: Final = 32
CONTENT_KEY_BYTES: Final = 32
SECRET_BYTES: Final = 32
FEATURES: Final = 1000
"""Deep features of an image: one signed byte each, 128 times a number in [-1, 1)."""
PATTERN_BYTES: Final = FEATURES // 8
"""Bytes of the binarised features, V_B: one bit a feature, the first in the highest bit of the first byte."""

# --- COSE ----------------------------------------------------------------------------------------------------------

TAG_SIGN1: Final = 18
TAG_ENCRYPT: Final = 96

HEADER_ALG: Final = 1
HEADER_KID: Final = 4
HEADER_CLAIMS: Final = 15
HEADER_TYP: Final = 16
HEADER_PAYLOAD_HASH_ALG: Final = 258
HEADER_PREIMAGE_TYPE: Final = 259
HEADER_BULK_BYTES: Final = -70001  # private: bytes of items 2 and 3 together

CLAIM_ISSUER: Final = 1  # the device's id
CLAIM_AUDIENCE: Final = 3  # the receiver's id
CLAIM_ISSUED_AT: Final = 6  # whole seconds since 1970
CLAIM_ID: Final = 7  # the image's id, 16 random bytes
CLAIM_SEQUENCE: Final = -70002  # private: per-device sequence number

ALG_ED25519: Final = -19
ALG_PS256: Final = -37
ALG_SHA256: Final = -16
ALG_RSA_OAEP_SHA256: Final = -41
ALG_COBBLESTONE_256: Final = -70256  # private: C2SP chunked-encryption with AES-256-GCM

SEALED_TYPE: Final = "application/vnd.edge-encryptor.sealed; v=1"
RECEIPT_TYPE: Final = "application/vnd.edge-encryptor.receipt; v=1"
SEALED_CONTENT_TYPE: Final = "application/cbor-seq"

# --- limits ---------------------------------------------------------------------------------------------------------

MANIFEST_MAX_BYTES: Final = 1024
HEADER_MAX_BYTES: Final = 65_536
METADATA_MAX_BYTES: Final = 65_536
CONTROL_MAX_BYTES: Final = 2_048
"""Twice what the longest has, an offer with its manifest: reading 16 KiB of hostile CBOR took 54 ms (measured)."""
RECIPIENTS_MAX: Final = 16
NESTING_MAX: Final = 8
SEQUENCE_MAX: Final = 2**53
IMAGE_MAX_BYTES: Final = 2**40
CLOCK_SKEW_SECONDS: Final = 86_400
"""A manifest issued further ahead of the receiver's clock is reported: one of the two clocks is wrong."""

RSA_MIN_BITS: Final = 3072
RSA_MAX_BITS: Final = 4096
RSA_EXPONENT: Final = 65_537

# --- body: C2SP chunked encryption ("Cobblestone-256") --------------------------------------------------------------

BODY_CHUNK_BYTES: Final = 16_384
BODY_TAG_BYTES: Final = 16
BODY_PREFIX_BYTES: Final = 24 + 32  # salt and key commitment
SEALING_STEP_BYTES: Final = 1 << 20
"""At most this much goes to the AEAD at once: longer calls hold the interpreter's lock for too long."""

# --- transfer -------------------------------------------------------------------------------------------------------

TOPIC_PREFIX: Final = "edge/v1"
CHUNK_BYTES: Final = 256 * 1024
CHUNK_MIN_BYTES: Final = 16 * 1024
CHUNK_MAX_BYTES: Final = 1 << 20
CREDIT_CHUNKS: Final = 32
RANGES_MAX: Final = 64
WINDOW_PUBLISHES: Final = 8
