"""Sealed images that no daemon made, and the receipts for them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from edge.chaos.parameters import parameters_from_secret
from edge.encrypt import Entropy, Sender, encrypt
from edge.envelope import sign
from edge.envelope.sign import Receipt, ReceiptStatus, SignedEnvelope
from edge.errors import StorageError
from edge.records import KeyFileMode, MapName, SettledFile
from edge.spool import Origin, Spool, SpooledImage, WrittenImage
from tests.envelope import party
from tests.world.keyrings import DEVICE, RECEIVER


def spool_image(
    spool: Spool,
    plain: bytes,
    *,
    label: str = "image",
    sequence: int = 1,
    origin: Origin | None = None,
    **changes: object,
) -> SpooledImage:
    """Put a sealed image into a spool, as the carrier does; `changes` are those of `_seal`."""
    return keep(spool, write_image(spool, plain, label=label, sequence=sequence, origin=origin, **changes))


def write_image(
    spool: Spool,
    plain: bytes,
    *,
    label: str = "image",
    sequence: int = 1,
    origin: Origin | None = None,
    **changes: object,
) -> WrittenImage:
    """Write a sealed image into a spool's folder, and do not keep it."""
    entropy = party.fixed_entropy(label)
    file = SettledFile(Path("/nowhere"), f"{label}.png", len(plain), 1_700_000_000_000_000_000, sequence, 1)
    return spool.write(
        sequence,
        entropy.image_id,
        origin or Origin.of(file, hashlib.sha256(plain).digest()),
        lambda sink: _seal(
            sink,
            plain,
            entropy=entropy,
            sequence=sequence,
            **{"name": f"{label}.png", **changes},  # type: ignore[arg-type]
        ),
    )


def sealed_data(image: SpooledImage) -> bytes:
    """Return a spooled image as it travels: without its origin."""
    return image.path.read_bytes()[: image.sealed_bytes]


def replace_sealed(image: SpooledImage, data: bytes) -> None:
    """Have the spool hold another sealed image in place of one, of the same origin."""
    image.path.write_bytes(data + image.path.read_bytes()[image.sealed_bytes :])


def keep(spool: Spool, written: WrittenImage) -> SpooledImage:
    """Keep one written image."""
    [outcome] = spool.keep([written])
    if isinstance(outcome, StorageError):
        raise outcome
    return outcome


def _seal(
    sink: BinaryIO,
    plain: bytes,
    *,
    entropy: Entropy,
    sequence: int,
    name: str,
    device: str = DEVICE,
    signer: str | None = None,
    audience: str = RECEIVER,
    recipients: Sequence[str] = (RECEIVER,),
) -> SignedEnvelope:
    """Seal `plain` for a receiver; `signer` signs in the device's name where it is another."""
    return encrypt(
        BytesIO(plain),
        sink,
        scan=party.scan_of(plain, relative=name),
        parameters=parameters_from_secret(MapName.LOGISTIC, entropy.secret),
        key_file=KeyFileMode.COMPACT,
        pixels=None,
        sender=Sender(
            device=device,
            audience=audience,
            signer=party.signer(signer or device),
            recipients=[party.recipient(each) for each in recipients],
        ),
        entropy=entropy,
        sequence=sequence,
        issued_at=party.ISSUED_AT,
    )


def receipt_for(
    image: SpooledImage,
    *,
    signer: str = RECEIVER,
    receiver: str = RECEIVER,
    status: ReceiptStatus = ReceiptStatus.STORED,
    **changes: object,
) -> bytes:
    """Return a signed receipt for a spooled image; `changes` spoil fields of it."""
    receipt = Receipt(
        receiver=receiver,
        device=image.envelope.manifest.device,
        image_id=image.image_id,
        manifest_hash=image.envelope.manifest_hash,
        status=status,
        reason="" if status is ReceiptStatus.STORED else "unknown-signer",
        issued_at=party.NOW,
    )
    return sign.sign_receipt(replace(receipt, **changes), party.signer(signer))  # type: ignore[arg-type]
