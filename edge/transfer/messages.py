"""Topics and control messages of the pull protocol, strictly read (PROTOCOL.md, section 5)."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from edge import protocol
from edge.envelope import wire
from edge.errors import MalformedEnvelope

_OFFER: Final = 1
_WANT: Final = 2
_RECEIPT: Final = 3
_CHUNK_NUMBER_MAX: Final = protocol.IMAGE_MAX_BYTES * 4 // protocol.CHUNK_MIN_BYTES


@dataclass(frozen=True, slots=True)
class Topics:
    """The topic names below one prefix."""

    prefix: str = protocol.TOPIC_PREFIX

    def offer(self, device: str) -> str:
        """Return where a device offers."""
        return f"{self.prefix}/offer/{device}"

    def offers(self, group: str = "") -> str:
        """Return the filter under which a receiver hears all offers, shared in a group where one is named."""
        filter_ = f"{self.prefix}/offer/+"
        return f"$share/{group}/{filter_}" if group else filter_

    def control(self, device: str) -> str:
        """Return where a device hears wants and receipts."""
        return f"{self.prefix}/dev/{device}/ctl"

    def chunk(self, receiver: str, device: str, image_id: bytes, number: int) -> str:
        """Return where chunk `number` of an image goes."""
        return f"{self.prefix}/rx/{receiver}/{device}/{image_id.hex()}/{number}"

    def chunks(self, receiver: str) -> str:
        """Return the filter under which a receiver hears its chunks."""
        return f"{self.prefix}/rx/{receiver}/#"

    def status(self, identity: str) -> str:
        """Return where a device's or a receiver's retained status stands."""
        return f"{self.prefix}/status/{identity}"

    def read_offer(self, topic: str) -> str | None:
        """Return the device id of an offer topic, None where `topic` is none."""
        match = re.fullmatch(re.escape(self.prefix) + rf"/offer/({protocol.IDENTITY_PATTERN})", topic)
        return match[1] if match else None

    def read_status(self, topic: str) -> str | None:
        """Return the id of a status topic, None where `topic` is none."""
        match = re.fullmatch(re.escape(self.prefix) + rf"/status/({protocol.IDENTITY_PATTERN})", topic)
        return match[1] if match else None

    def read_chunk(self, topic: str, receiver: str) -> tuple[str, bytes, int] | None:
        """Return (device id, image id, chunk number) of a chunk for `receiver`, None where `topic` is none."""
        match = re.fullmatch(
            re.escape(f"{self.prefix}/rx/{receiver}/")
            + rf"({protocol.IDENTITY_PATTERN})/([0-9a-f]{{32}})/(0|[1-9][0-9]{{0,9}})",
            topic,
        )
        return (match[1], bytes.fromhex(match[2]), int(match[3])) if match else None


@dataclass(frozen=True, slots=True)
class Offer:
    """A device's word that it holds an image: the manifest, and how it will cut the bulk."""

    manifest: bytes
    chunk_bytes: int


@dataclass(frozen=True, slots=True)
class Want:
    """A receiver's demand for chunks: half-open ranges of chunk numbers."""

    image_id: bytes
    receiver: str
    ranges: tuple[tuple[int, int], ...]


@dataclass(frozen=True, slots=True)
class SignedReceipt:
    """A receipt as it travels, not yet verified."""

    raw: bytes


def encode(message: Offer | Want | SignedReceipt) -> bytes:
    """Return the payload of a control message."""
    match message:
        case Offer(manifest, chunk_bytes):
            return wire.encode([_OFFER, manifest, chunk_bytes])
        case Want(image_id, receiver, ranges):
            return wire.encode([_WANT, image_id, receiver, [list(pair) for pair in ranges]])
        case SignedReceipt(raw):
            return wire.encode([_RECEIPT, raw])


def decode(payload: bytes) -> Offer | Want | SignedReceipt:
    """Return the control message in `payload`.

    Raises:
        MalformedEnvelope: too long, not deterministic CBOR, or none of the three messages.
    """
    value = wire.decode(payload, limit=protocol.CONTROL_MAX_BYTES)
    match value:
        case [int(kind), bytes(manifest), int(chunk_bytes)] if (
            kind == _OFFER and protocol.CHUNK_MIN_BYTES <= chunk_bytes <= protocol.CHUNK_MAX_BYTES
        ):
            return Offer(manifest, chunk_bytes)
        case [int(kind), bytes(image_id), str(receiver), [*ranges]] if (
            kind == _WANT
            and len(image_id) == protocol.IMAGE_ID_BYTES
            and re.fullmatch(protocol.IDENTITY_PATTERN, receiver)
            and 1 <= len(ranges) <= protocol.RANGES_MAX
        ):
            return Want(image_id, receiver, tuple(_range(pair) for pair in ranges))
        case [int(kind), bytes(raw)] if kind == _RECEIPT:
            return SignedReceipt(raw)
    raise MalformedEnvelope("a control message is malformed")


def _range(pair: object) -> tuple[int, int]:
    match pair:
        case [int(first), int(end)] if 0 <= first < end <= _CHUNK_NUMBER_MAX:
            return first, end
    raise MalformedEnvelope("a control message names an impossible range")


def ranges_of(numbers: Sequence[int]) -> tuple[tuple[int, int], ...]:
    """Return sorted chunk `numbers` as half-open ranges, at most RANGES_MAX of them."""
    ranges: list[tuple[int, int]] = []
    for number in numbers:
        if ranges and ranges[-1][1] == number:
            ranges[-1] = (ranges[-1][0], number + 1)
        elif len(ranges) == protocol.RANGES_MAX:
            break
        else:
            ranges.append((number, number + 1))
    return tuple(ranges)


def chunk_count(bulk_bytes: int, chunk_bytes: int) -> int:
    """Return how many chunks a bulk has."""
    return -(-bulk_bytes // chunk_bytes)


def life_of_receiver(payload: bytes) -> str:
    """Return what names one connection of one process of a receiver that is online, "" for any other status."""
    if len(payload) > protocol.CONTROL_MAX_BYTES:
        return ""
    try:
        status = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(status, dict) or status.get("role") != "receiver" or status.get("state") != "online":
        return ""
    return f"{status.get('boot')}/{status.get('connection')}"[:64]
