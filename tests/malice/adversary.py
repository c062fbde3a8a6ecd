"""What the adversary can do: publish on every topic, with the key of a device that is enrolled, or was revoked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

from edge import protocol
from edge.envelope import sign
from edge.envelope.sign import Manifest
from edge.spool import SpooledImage
from edge.transfer.messages import Offer, Topics, encode
from tests.envelope import party
from tests.transfer.duo import Duo
from tests.world import RECEIVER, UnhurriedTransport, bytes_of

PLAIN = bytes_of("plain", 300_000)
CHUNK = protocol.CHUNK_MIN_BYTES
MEGABYTE = 1 << 20
HOSTILE = "device-2"
"""A device that is enrolled unless a test says otherwise, and whose key the adversary holds."""


def manifest(number: int, *, device: str = HOSTILE, signer: str = HOSTILE, bulk_bytes: int = 10 * CHUNK) -> bytes:
    """Return a manifest of an image that does not exist."""
    image_id = hashlib.sha256(b"%d" % number).digest()[: protocol.IMAGE_ID_BYTES]
    made = Manifest(
        device=device,
        audience=RECEIVER,
        issued_at=party.NOW,
        image_id=image_id,
        sequence=number,
        bulk_bytes=bulk_bytes,
    )
    return sign.sign_manifest(made, bytes(32), party.signer(signer))


def signed_anew(image: SpooledImage, signer: str, **changes: object) -> bytes:
    """Return a spooled image's manifest with `changes`, signed by another."""
    made = replace(image.envelope.manifest, **changes)  # type: ignore[arg-type]
    return sign.sign_manifest(made, image.envelope.digest, party.signer(signer))


def say_offer(mouth: UnhurriedTransport, raw: bytes, *, device: str = HOSTILE, chunk_bytes: int = CHUNK) -> None:
    mouth.publish(Topics().offer(device), encode(Offer(raw, chunk_bytes)))


def restart_device(duo: Duo) -> None:
    """Start the device's end anew, with the keys and the spool that are there now."""
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(duo.broker)
    duo.sender = duo.start_sender(duo.device_transport)


def under_way(duo: Duo) -> list[Path]:
    return list((duo.hospital.state / "parts").iterdir())
