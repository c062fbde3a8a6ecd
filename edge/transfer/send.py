"""The device's end of the pull protocol: offer what the spool holds, serve the chunks asked for, act on receipts.

It keeps no state that matters: the spool is the queue, and a signed receipt is the only thing that empties it. PUBACK
means nothing here. One thread runs it; `wake` may be called from others.
"""

from __future__ import annotations

import json
import logging
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from edge import protocol
from edge.envelope import sign
from edge.envelope.keys import Trusted
from edge.envelope.sign import Receipt
from edge.errors import (
    EnvelopeError,
    MessageTooLarge,
    MismatchedReceipt,
    NotConnected,
    ReceiptError,
    StorageError,
    WrongAudience,
)
from edge.spool import Spool, SpooledImage
from edge.transfer import messages
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want
from edge.transfer.sparing import SparingLog
from edge.transport.base import Message, Transport

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS: Final = 0.05
"""How long one look into an empty inbox may take: it bounds the time to a newly sealed image's first offer."""
_PENDING_MAX: Final = 256
"""How many chunks of one image a receiver may ask for at once: the largest credit that a receiver can be given."""
_MESSAGES_MAX: Final = 256
"""How many messages one step takes: a flood of them must not keep chunks, offers and the end of the run waiting."""
_LIVES_MAX: Final = 1024
"""How many receivers' statuses are remembered: anybody who may publish a status could otherwise fill the memory."""


@dataclass(slots=True)
class _Outstanding:
    """An image that has been offered, or is about to be. Times are those of a monotonic clock, in seconds."""

    image: SpooledImage
    interval: float
    offer_at: float
    chunk_bytes: int = 0
    served: int = 0  # chunks since the image was last known to be whole
    pending: OrderedDict[int, None] = field(default_factory=OrderedDict)


@dataclass(slots=True)
class SendCounts:
    """What happened since the start."""

    offers: int = 0
    wants: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    receipts: int = 0
    refused_receipts: int = 0
    malformed: int = 0
    faults: int = 0


class SendLoop:
    """Offer, serve, and hand each verified receipt on."""

    def __init__(
        self,
        *,
        device: str,
        transport: Transport,
        spool: Spool,
        receivers: Mapping[bytes, Trusted],
        topics: Topics,
        chunk_bytes: int,
        outstanding: int,
        offer_first: float,
        offer_max: float,
        clock: Callable[[], float],
        on_offered: Callable[[SpooledImage], None],
        on_receipt: Callable[[SpooledImage, Receipt], None],
        on_damaged: Callable[[SpooledImage], None] = lambda _image: None,
    ) -> None:
        self._device = device
        self._transport = transport
        self._spool = spool
        self._receivers = receivers
        self._receiver_ids = {trusted.id for trusted in receivers.values()}
        self._topics = topics
        self._chunk_bytes = chunk_bytes
        self._outstanding_max = outstanding
        self._offer_first = offer_first
        self._offer_max = offer_max
        self._clock = clock
        self._on_offered = on_offered
        self._on_receipt = on_receipt
        self._on_damaged = on_damaged
        self._added: deque[SpooledImage] = deque()
        self._waiting: OrderedDict[bytes, SpooledImage] = OrderedDict()
        self._outstanding: OrderedDict[bytes, _Outstanding] = OrderedDict()
        self._lives: set[tuple[str, str]] = set()
        self._generation = 0
        self._log = SparingLog(_LOG, clock=clock)
        self.counts = SendCounts()

    def subscribe(self) -> None:
        """Ask for what concerns this device: its control topic, and who comes online."""
        self._transport.subscribe(self._topics.control(self._device))
        self._transport.subscribe(self._topics.status("+"))

    def add(self, image: SpooledImage) -> None:
        """Put an image of the spool in line. Any thread may call this."""
        self._added.append(image)

    @property
    def unreceipted(self) -> int:
        """How many images wait for a receipt."""
        return len(self._added) + len(self._waiting) + len(self._outstanding)

    def step(self) -> None:
        """Take one message or wait briefly for one, serve one chunk, and make the offers that are due."""
        if self._transport.generation != self._generation:
            # A new connection: whoever listens there has not heard us yet, and chunks on their way are gone.
            self._generation = self._transport.generation
            for each in self._outstanding.values():
                each.pending.clear()
            self._hurry()
        serving = any(each.pending for each in self._outstanding.values())
        self._take_messages(0.0 if serving else _IDLE_SECONDS)
        if not self._transport.connected:
            return
        try:
            self._serve()
            self._offer_due()
        except NotConnected:
            return  # the next generation offers again
        except StorageError as error:
            _LOG.warning("spool: %s", error.message)

    # --- offers -----------------------------------------------------------------------------------------------------

    def _offer_due(self) -> None:
        now = self._clock()
        # An image enters the next line before it leaves the last: `unreceipted`, in another thread, must not miss it.
        while self._added:
            self._waiting[self._added[0].image_id] = self._added[0]
            self._added.popleft()
        while self._waiting and len(self._outstanding) < self._outstanding_max:
            image_id, image = next(iter(self._waiting.items()))
            self._outstanding[image_id] = _Outstanding(image, self._offer_first, now)
            del self._waiting[image_id]
        for each in list(self._outstanding.values()):
            if each.offer_at <= now and not each.pending:
                self._offer(each, now)

    def _offer(self, each: _Outstanding, now: float) -> None:
        each.chunk_bytes = self._chunk_size()
        payload = messages.encode(Offer(each.image.envelope.raw, each.chunk_bytes))
        self._transport.publish(self._topics.offer(self._device), payload)
        self.counts.offers += 1
        each.offer_at = now + each.interval
        each.interval = min(2 * each.interval, self._offer_max)
        self._on_offered(each.image)

    def _hurry(self) -> None:
        now = self._clock()
        for each in self._outstanding.values():
            each.offer_at, each.interval = now, self._offer_first

    def _chunk_size(self) -> int:
        room = self._transport.max_payload
        if room is None or room >= self._chunk_bytes:
            return self._chunk_bytes
        if room < protocol.CHUNK_MIN_BYTES:
            raise MessageTooLarge("the broker takes no message large enough for a chunk")
        return room // protocol.CHUNK_MIN_BYTES * protocol.CHUNK_MIN_BYTES

    # --- messages ---------------------------------------------------------------------------------------------------

    def _take_messages(self, timeout: float) -> None:
        for _ in range(_MESSAGES_MAX):
            message = self._transport.receive(timeout)
            if message is None:
                return
            self._take(message)
            timeout = 0.0

    def _take(self, message: Message) -> None:
        identity = self._topics.read_status(message.topic)
        if identity is not None:
            self._on_status(identity, message.payload)
            return
        try:
            match messages.decode(message.payload):
                case Want() as want:
                    self._on_want(want)
                case SignedReceipt(raw):
                    self._on_signed_receipt(raw)
                case Offer():
                    self.counts.malformed += 1
        except ReceiptError as error:
            self.counts.refused_receipts += 1
            self._log.warning("receipt refused: %s", error.code)
        except EnvelopeError as error:
            self.counts.malformed += 1
            self._log.warning("control message refused: %s", error.code)
        except StorageError as error:
            # The receipt could not be acted on durably: the image is offered again and the receipt comes again.
            _LOG.warning("receipt not recorded: %s", error.message)
        except Exception as error:  # noqa: BLE001 - a message from outside must not end the delivery of all images
            self.counts.faults += 1
            _LOG.error("a message met a defect: %s", type(error).__name__)

    def _on_status(self, identity: str, payload: bytes) -> None:
        """Offer at once to a receiver that has just come online; its regular repetitions change nothing."""
        if identity not in self._receiver_ids:
            return
        life = (identity, _life_of_receiver(payload))
        # The receivers of a group have one id and several lives at once.
        if life[1] and life not in self._lives:
            if len(self._lives) >= _LIVES_MAX:
                self._lives.clear()
            self._lives.add(life)
            self._hurry()

    def _on_want(self, want: Want) -> None:
        each = self._outstanding.get(want.image_id)
        if each is None or not each.chunk_bytes:
            return  # receipted meanwhile, never ours, or not offered since the start
        if want.receiver != each.image.envelope.manifest.audience:
            # Chunks go to nobody else: what he would get he could not open, and the one it is for would wait for it.
            raise WrongAudience("a want by another receiver than the one the image is for")
        self.counts.wants += 1
        count = messages.chunk_count(each.image.envelope.manifest.bulk_bytes, each.chunk_bytes)
        if each.served >= count and want.ranges[0][0] == 0:
            # All of it was sent, and it is asked for from its start again: it came damaged, and the damage may be ours.
            self._check(each)
            if want.image_id not in self._outstanding:
                return
        for first, end in want.ranges:
            for number in range(first, min(end, count)):
                if len(each.pending) >= _PENDING_MAX:
                    break  # nobody may ask for more at once; the rest is asked for again
                each.pending[number] = None
        # Somebody is at work on it: no need to offer it again soon.
        each.offer_at, each.interval = self._clock() + self._offer_first, self._offer_first

    def _on_signed_receipt(self, raw: bytes) -> None:
        receipt = sign.verify_receipt(raw, receivers=self._receivers, device=self._device)
        each = self._outstanding.get(receipt.image_id)
        image = each.image if each else self._waiting.get(receipt.image_id)
        if image is None:
            return  # a repeated receipt for an image already disposed of
        if receipt.manifest_hash != image.envelope.manifest_hash:
            raise MismatchedReceipt("the receipt is for another image under this id")
        if receipt.receiver != image.envelope.manifest.audience:
            raise MismatchedReceipt("the receipt is by another receiver than the one the image is for")
        self.counts.receipts += 1
        self._on_receipt(image, receipt)
        self._outstanding.pop(receipt.image_id, None)
        self._waiting.pop(receipt.image_id, None)

    # --- chunks -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Publish one chunk of each image asked for, so that none waits for another to end."""
        for each in list(self._outstanding.values()):
            if not each.pending:
                continue
            number = next(iter(each.pending))
            try:
                chunk = each.image.read_chunk(number, each.chunk_bytes)
            except StorageError as error:
                # What one image lacks must not keep the others back; the receiver asks for this one again.
                _LOG.warning("spool: %s", error.message)
                each.pending.clear()
                self._check(each)
                continue
            manifest = each.image.envelope.manifest
            topic = self._topics.chunk(manifest.audience, self._device, manifest.image_id, number)
            self._transport.publish(topic, chunk)
            del each.pending[number]
            each.served += 1
            self.counts.chunks += 1
            self.counts.chunk_bytes += len(chunk)

    def _check(self, each: _Outstanding) -> None:
        """Give an image up that the spool no longer holds as it was signed: no receiver could ever take it.

        Raises:
            StorageError: the disk does not say now.
        """
        each.served = 0
        try:
            each.image.check()
        except EnvelopeError:
            self._on_damaged(each.image)
            del self._outstanding[each.image.image_id]


def _life_of_receiver(payload: bytes) -> str:
    """Return what names one connection of one process of a receiver that is online, "" for every other status."""
    if len(payload) > protocol.CONTROL_MAX_BYTES:
        return ""
    try:
        status = json.loads(payload)
    except (ValueError, RecursionError):
        return ""
    if not isinstance(status, dict) or status.get("role") != "receiver" or status.get("state") != "online":
        return ""
    return f"{status.get('boot')}/{status.get('connection')}"[:64]
