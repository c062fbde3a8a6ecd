"""The people of the envelope's tests: devices, receivers and a stranger with frozen keys, and small images between them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from io import BytesIO
from pathlib import Path
from types import MappingProxyType

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edge.chaos.parameters import parameters_from_secret
from edge.decrypt import decrypt
from edge.encrypt import Entropy, Sender, encrypt
from edge.envelope import keys, sign
from edge.envelope.metadata import Metadata
from edge.envelope.seal import Recipient, Unwrapper
from edge.envelope.wire import SequenceReader
from edge.protocol import MANIFEST_MAX_BYTES
from edge.records import CaptureSource, CaptureTime, KeyFileMode, MapName, PixelImage, Scan, SettledFile

KEYS = Path(__file__).resolve().parent.parent / "vectors" / "keys"
NOW = 1_800_000_000
ISSUED_AT = 1_790_000_000
AUDIENCE = "receiver-1"
BULK_LIMIT = 1 << 32


@dataclass(frozen=True)
class Enrolled:
    """A trust entry."""

    id: str
    verifier: keys.Verifier
    revoked: bool = False


@cache
def private_key(name: str) -> Ed25519PrivateKey | RSAPrivateKey:
    """Return a frozen private key by its file's name without suffix."""
    key = load_pem_private_key((KEYS / f"{name}.pem").read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey | RSAPrivateKey)
    return key


@cache
def signer(name: str) -> keys.Signer:
    """Return the signer of a device or receiver."""
    key = private_key(f"{name}.sign")
    return keys.Ed25519Signer(key) if isinstance(key, Ed25519PrivateKey) else keys.Pss256Signer(key)


@cache
def unwrapper(name: str) -> Unwrapper:
    """Return the private half of a recipient."""
    key = private_key(f"{name}.wrap")
    assert isinstance(key, RSAPrivateKey)
    return Unwrapper(key)


@cache
def recipient(name: str) -> Recipient:
    """Return the public half of a recipient."""
    key = private_key(f"{name}.wrap")
    assert isinstance(key, RSAPrivateKey)
    return Recipient(key.public_key())


def trust(*names: str, revoked: tuple[str, ...] = ()) -> Mapping[bytes, Enrolled]:
    """Return trust entries by kid, each id being the name of its key."""
    verifiers = {name: keys.Verifier(private_key(f"{name}.sign").public_key()) for name in names}
    return MappingProxyType({v.kid: Enrolled(name, v, name in revoked) for name, v in verifiers.items()})


def unwrappers(*names: str) -> Mapping[bytes, Unwrapper]:
    """Return unwrappers by kid."""
    return {unwrapper(name).kid: unwrapper(name) for name in names}


DEVICES = trust("device-1", "device-2", "device-3", "device-4", revoked=("device-4",))


def fixed_entropy(label: str) -> Entropy:
    """Return values that stand for random ones, the same for a label."""
    counter = iter(range(3))
    return Entropy.draw(lambda count: hashlib.shake_256(f"{label} {next(counter)}".encode()).digest(count))


def scan_of(data: bytes, *, size: int | None = None, relative: str = "ward/image.bin") -> Scan:
    """Return what intake would know of a file with these bytes."""
    return Scan(
        file=SettledFile(
            path=Path("/nowhere"),
            relative=relative,
            size=len(data) if size is None else size,
            mtime_ns=1_700_000_000_000_000_001,
            inode=1,
            device=1,
        ),
        sha256=hashlib.sha256(data).digest(),
        media_type="application/octet-stream",
        capture=CaptureTime(datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC), CaptureSource.MTIME),
        camera="Maker Model",
        width=5,
        height=7,
        notes=("odd",),
    )


def sealed(
    plain: bytes,
    *,
    label: str = "test",
    chaotic_map: MapName = MapName.LOGISTIC,
    key_file: KeyFileMode = KeyFileMode.COMPACT,
    pixels: PixelImage | None = None,
    device: str = "device-1",
    recipients: tuple[str, ...] = ("receiver-1",),
) -> bytes:
    """Return a sealed image as the code under test makes it."""
    sink, entropy = BytesIO(), fixed_entropy(label)
    encrypt(
        BytesIO(plain),
        sink,
        scan=scan_of(plain),
        parameters=parameters_from_secret(chaotic_map, entropy.secret),
        key_file=key_file,
        pixels=pixels,
        sender=Sender(
            device=device,
            audience=AUDIENCE,
            signer=signer(device),
            recipients=[recipient(name) for name in recipients],
        ),
        entropy=entropy,
        sequence=3,
        issued_at=ISSUED_AT,
    )
    return sink.getvalue()


def split(data: bytes) -> tuple[bytes, bytes]:
    """Return (item 1, bulk)."""
    stream = BytesIO(data)
    manifest = SequenceReader(stream).small_item(MANIFEST_MAX_BYTES)
    return manifest, stream.read()


def verified(data: bytes, *, bulk_limit: int = BULK_LIMIT) -> sign.VerifiedEnvelope:
    """Take a sealed image through every check that needs no private key."""
    item_1, bulk = split(data)
    signed = sign.read_manifest(item_1)
    manifest = sign.verify_manifest(signed, devices=DEVICES, audience=AUDIENCE, bulk_limit=bulk_limit)
    return sign.verify_bulk(manifest, BytesIO(bulk))


def opened(
    data: bytes, *, bulk_limit: int = BULK_LIMIT, keys: tuple[str, ...] = ("receiver-1",)
) -> tuple[bytes, Metadata]:
    """Take a sealed image all the way in, as a receiver would; return the plain image and what is known of it."""
    envelope, target = verified(data, bulk_limit=bulk_limit), BytesIO()
    bulk = BytesIO(split(data)[1])
    known = decrypt(envelope, bulk, target, unwrappers=unwrappers(*keys), scratch=BytesIO())
    return target.getvalue(), known
