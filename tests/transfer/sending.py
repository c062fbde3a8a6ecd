"""What the tests of the sending end do and hear."""

from __future__ import annotations

from dataclasses import replace

from edge.spool import SpooledImage
from edge.transfer.messages import Offer, decode
from edge.transport.memory import MemoryBroker
from tests.transfer.duo import Duo
from tests.world import (
    UnhurriedTransport,
    bytes_of,
    spool_image,
)


def add(duo: Duo, name: str, size: int = 1000) -> SpooledImage:
    """Seal an image of a file of this name below the watched folder, and put it in line."""
    image = spool_image(duo.spool, bytes_of(name, size), label=name.replace("/", "-"), sequence=len(duo.images) + 1)
    image = replace(image, origin=replace(image.origin, relative=name))
    duo.images.append(image)
    duo.sender.add(image)
    return image


def receipted(duo: Duo) -> list[str]:
    names = {image.image_id: image.origin.relative for image in duo.images}
    return [names[receipt.image_id] for receipt in duo.receipts]


def ear_for_offers(broker: MemoryBroker) -> UnhurriedTransport:
    ear = UnhurriedTransport(broker, inbox_limit=100_000)
    ear.subscribe("edge/v1/offer/+")
    ear.start()
    return ear


def offered(ear: UnhurriedTransport) -> list[bytes]:
    found = []
    while (message := ear.receive(0)) is not None:
        offer = decode(message.payload)
        assert isinstance(offer, Offer)
        found.append(offer.manifest)
    return found
