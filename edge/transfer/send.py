"""The device's end of the pull protocol: offer what the spool holds, serve the chunks asked for, act on receipts.

It keeps no state that matters: the spool is the queue, and a signed receipt is the only thing that empties it. PUBACK
means nothing here. However much waits, few images are offered at once, so that a broker that comes back meets no flood.
One thread runs it; `add` may be called from others.
"""

from __future__ import annotations

import logging
import random
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from edge import protocol
from edge.envelope import sign
from edge.envelope.keys import Trusted
from edge.envelope.sign import Receipt, ReceiptStatus
from edge.errors import (
    EnvelopeError,
    MessageTooLarge,
    MismatchedReceipt,
    NotConnected,
    ReceiptError,
    StorageError,
)
from edge.spool import Spool, SpooledImage
from edge.transfer import messages
from edge.transfer.line import Line
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want
from edge.transfer.offers import Offered, Offers
from edge.transfer.pace import Pace
from edge.transfer.sparing import SparingLog
from edge.transport.base import Message, Transport, publish_packet_bytes

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS: Final = 0.05
"""How long one look into an empty inbox may take: it bounds how late a repeated offer goes out."""
_PENDING_MAX: Final = 256
"""How many chunks of one image a receiver may ask for at once: the largest credit that a receiver can be given."""
_MESSAGES_MAX: Final = 256
"""How many messages one step takes: a flood of them must not keep chunks, offers and the end of the run waiting."""
_LIVES_MAX: Final = 1024
"""How many receivers' statuses are remembered: anybody who may publish a status could otherwise fill the memory."""
_HURRY_SHARE: Final = 0.1
"""All devices hear at once that a receiver is online: each offers within this share of `offer_first`, not all together."""
_FRUITLESS_MAX: Final = 8
"""After so many offers and wants in a row that bring an image no further, somebody should look. With the default pauses
a receiver that does not answer has then been away for a quarter of an hour."""
_SENT_MAX: Final = 64
"""How many of the last chunks are remembered while they may be on their way: no window is larger."""
_CHANCE: Final = random.SystemRandom().random

ALARM_DENIED: Final = "publishing-denied"
ALARM_UNANSWERED: Final = "images-unanswered"
_HINTS: Final = {
    ALARM_DENIED: "the broker denies messages of this device: check its access list (docs/broker.md)",
    ALARM_UNANSWERED: "images are offered and do not arrive: check that the receiver runs, and the broker's access list; "
    "a broker may deny in silence (docs/broker.md)",
}


@dataclass(slots=True)
class SendCounts:
    """What happened since the start."""

    offers: int = 0
    wants: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    receipts: int = 0
    refused_receipts: int = 0
    refused_wants: int = 0
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
        newest_first: bool = False,
        urgent: Iterable[str] = (),
        bandwidth: int = 0,
        chance: Callable[[], float] = _CHANCE,
        on_offered: Callable[[Sequence[SpooledImage]], None],
        on_receipts: Callable[[Sequence[tuple[SpooledImage, Receipt]]], None],
        on_damaged: Callable[[SpooledImage], None] = lambda _image: None,
    ) -> None:
        """Make the device's end, which offers nothing yet.

        Args:
            device: this device's id.
            transport: the connection, not yet started.
            spool: where the images lie.
            receivers: whose receipts are believed, by key id.
            topics: the names of the topics.
            chunk_bytes: bytes of a chunk; fewer where the broker or `bandwidth` asks for it.
            outstanding: images offered at once, of those of one chunk twice as many; urgent ones have as many places of
                their own.
            offer_first: seconds until an offer that nobody takes is repeated.
            offer_max: the longest pause between two offers in seconds.
            clock: a monotonic clock, seconds.
            newest_first: whether images sealed later are offered first.
            urgent: name patterns of what goes before everything else; see `Line`.
            bandwidth: bytes a second that offers and chunks may take, 0 for no cap.
            chance: numbers from 0 to 1, for pauses that do not keep step with those of other devices.
            on_offered: called with the images that have been offered at once.
            on_receipts: called with the verified receipts that came at once; called again for each where it fails.
            on_damaged: called with each image that the spool no longer holds as it was signed.
        """
        self._device = device
        self._transport = transport
        self._spool = spool
        self._receivers = receivers
        self._receiver_ids = {trusted.id for trusted in receivers.values()}
        self._topics = topics
        self._chunk_bytes = chunk_bytes
        self._offer_first = offer_first
        self._offer_max = offer_max
        self._clock = clock
        self._pace = Pace(bandwidth, clock)
        self._bandwidth = bandwidth
        self._chance = chance
        self._on_offered = on_offered
        self._on_receipts = on_receipts
        self._on_damaged = on_damaged
        self._added: deque[SpooledImage] = deque()
        self._offers = Offers(Line(newest_first=newest_first, urgent=urgent), outstanding, chunk_bytes)
        self._lives: set[tuple[str, str]] = set()
        self._generation = 0
        self._log = SparingLog(_LOG, clock=clock)
        self._sent: deque[tuple[bytes, int]] = deque(maxlen=_SENT_MAX)
        self._denied_before = 0
        self.alarms: tuple[str, ...] = ()
        self.counts = SendCounts()

    def subscribe(self) -> None:
        """Ask for what concerns this device: its control topic, and who comes online."""
        self._transport.subscribe(self._topics.control(self._device))
        self._transport.subscribe(self._topics.status("+"))

    def add(self, image: SpooledImage) -> None:
        """Put an image of the spool in line, and offer it now if it is its turn. Any thread may call this."""
        self._added.append(image)
        self._transport.wake()

    @property
    def unreceipted(self) -> int:
        """How many images wait for a receipt."""
        return len(self._added) + len(self._offers)

    def step(self) -> None:
        """Take one message or wait briefly for one, serve one chunk, and make the offers that are due."""
        if self._transport.generation != self._generation:
            # A new connection: whoever listens there has not heard us yet, and chunks on their way are gone.
            self._generation = self._transport.generation
            self._sent.clear()
            self._offers.forget_wants()
            self._hurry(within=0.0)
        serving = any(each.pending for each in self._offers)
        self._take_messages(min(self._pace.wait(), _IDLE_SECONDS) if serving else _IDLE_SECONDS)
        if not self._transport.connected:
            return
        try:
            self._serve()
            self._offer_due()
        except NotConnected:
            return  # the next generation offers again
        except StorageError as error:
            _LOG.warning("spool: %s", error.message)
        finally:
            self._watch_progress()

    # --- offers -----------------------------------------------------------------------------------------------------

    def _offer_due(self) -> None:
        now = self._clock()
        # An image enters the line before it leaves `_added`: `unreceipted`, in another thread, must not miss it.
        while self._added:
            self._offers.add(self._added[0])
            self._added.popleft()
        self._offers.fill(self._offer_first, now)
        offered: list[SpooledImage] = []
        waits = False
        try:
            for each in self._offers.in_order():
                if each.offer_at <= now and not each.pending:
                    self._offer(each, now)
                    # Behind one that the receiver is at, an offer has to wait: it pulls fewer at once than are offered.
                    each.fruitless += not waits
                    offered.append(each.image)
                waits = waits or each.wanted
        finally:
            if offered:
                self._on_offered(offered)

    def _offer(self, each: Offered, now: float) -> None:
        each.chunk_bytes = self._chunk_size()
        payload = messages.encode(Offer(each.image.envelope.raw, each.chunk_bytes))
        self._publish(self._topics.offer(self._device), payload)
        self.counts.offers += 1
        # From half the pause to the whole of it: devices that were cut off together must not come back in step.
        each.offer_at = now + each.interval * (1 + self._chance()) / 2
        each.interval = min(2 * each.interval, self._offer_max)

    def _publish(self, topic: str, payload: bytes) -> None:
        self._transport.publish(topic, payload)
        self._pace.spend(publish_packet_bytes(len(topic), len(payload)))

    def _hurry(self, *, within: float) -> None:
        """Offer everything outstanding within so many seconds, and begin the pauses anew."""
        now = self._clock()
        self._offers.hurry(self._offer_first, lambda: now + within * self._chance())

    def _chunk_size(self) -> int:
        room = self._transport.max_payload
        if room is not None and room < protocol.CHUNK_MIN_BYTES:
            raise MessageTooLarge("the broker takes no message large enough for a chunk")
        limits = [self._chunk_bytes] if room is None else [self._chunk_bytes, room]
        if self._bandwidth:
            # A chunk a second: the receiver must not take an image for stalled while another one has its turn.
            limits.append(max(self._bandwidth, protocol.CHUNK_MIN_BYTES))
        if min(limits) == self._chunk_bytes:
            return self._chunk_bytes
        return min(limits) // protocol.CHUNK_MIN_BYTES * protocol.CHUNK_MIN_BYTES

    # --- messages ---------------------------------------------------------------------------------------------------

    def _take_messages(self, timeout: float) -> None:
        receipts: dict[bytes, tuple[SpooledImage, Receipt]] = {}
        for _ in range(_MESSAGES_MAX):
            message = self._transport.receive(timeout)
            if message is None:
                break
            self._take(message, receipts)
            timeout = 0.0
        self._conclude(list(receipts.values()))

    def _take(self, message: Message, receipts: dict[bytes, tuple[SpooledImage, Receipt]]) -> None:
        """Act on a message, or add it to the receipts that are acted on together."""
        identity = self._topics.read_status(message.topic)
        if identity is not None:
            self._on_status(identity, message.payload)
            return
        try:
            match messages.decode(message.payload):
                case Want() as want:
                    if want.image_id not in receipts:
                        self._on_want(want)
                case SignedReceipt(raw):
                    self._collect(raw, receipts)
                case Offer():
                    self.counts.malformed += 1
        except ReceiptError as error:
            self.counts.refused_receipts += 1
            self._log.warning("receipt refused: %s", error.code)
        except EnvelopeError as error:
            self.counts.malformed += 1
            self._log.warning("control message refused: %s", error.code)
        except StorageError as error:
            _LOG.warning("spool: %s", error.message)
        except Exception as error:  # noqa: BLE001 - a message from outside must not end the delivery of all images
            self._note_fault(error)

    def _note_fault(self, error: Exception) -> None:
        self.counts.faults += 1
        _LOG.error("a message met a defect: %s", type(error).__name__)

    def _on_status(self, identity: str, payload: bytes) -> None:
        """Offer at once to a receiver that has just come online; its regular repetitions change nothing."""
        if identity not in self._receiver_ids:
            return
        life = (identity, messages.life_of_receiver(payload))
        # The receivers of a group have one id and several lives at once.
        if life[1] and life not in self._lives:
            if len(self._lives) >= _LIVES_MAX:
                self._lives.clear()
            self._lives.add(life)
            self._hurry(within=_HURRY_SHARE * self._offer_first)

    def _on_want(self, want: Want) -> None:
        each = self._offers.get(want.image_id)
        if each is None or not each.chunk_bytes:
            return  # receipted meanwhile, never ours, or not offered since the start
        if want.receiver != each.image.envelope.manifest.audience:
            # No other receiver could open it: chunks sent there would only be missing where they belong.
            self.counts.refused_wants += 1
            self._log.warning("a want by another receiver than the one the image is for is refused")
            return
        self.counts.wants += 1
        each.wanted = True
        each.fruitless += not each.held
        if want.ranges[0][0] > each.reached:
            each.reached, each.fruitless = want.ranges[0][0], 0
        count = messages.chunk_count(each.image.envelope.manifest.bulk_bytes, each.chunk_bytes)
        if each.served >= count and want.ranges[0][0] == 0:
            # All of it was sent, and it is asked for from its start again: it came damaged, and the damage may be ours.
            self._check(each)
            if self._offers.get(want.image_id) is None:
                return
        on_the_way = self._on_the_way()
        for first, end in want.ranges:
            for number in range(first, min(end, count)):
                if len(each.pending) >= _PENDING_MAX:
                    break  # nobody may ask for more at once; the rest is asked for again
                if (want.image_id, number) not in on_the_way:
                    each.pending[number] = None
        # Somebody is at work on it: no need to offer it again soon.
        each.offer_at, each.interval = self._clock() + self._offer_first, self._offer_first

    def _on_the_way(self) -> set[tuple[bytes, int]]:
        """Return the chunks that have not even reached the broker: on a slow link they are asked for before they can come."""
        count = self._transport.in_flight
        return set(list(self._sent)[-count:]) if count else set()

    def _collect(self, raw: bytes, receipts: dict[bytes, tuple[SpooledImage, Receipt]]) -> None:
        verified = self._verified(raw)
        # What is stored is stored, whatever is said beside it.
        if verified and (verified[0].image_id not in receipts or verified[1].status is ReceiptStatus.STORED):
            receipts[verified[0].image_id] = verified

    def _verified(self, raw: bytes) -> tuple[SpooledImage, Receipt] | None:
        """Return the image that a signed receipt is for, and the receipt; None where it is repeated.

        Raises:
            ReceiptError: it is not by whom it should be, or for another image under this id.
        """
        receipt = sign.verify_receipt(raw, receivers=self._receivers, device=self._device)
        image = self._offers.image(receipt.image_id)
        if image is None:
            return None  # the image is already disposed of
        if receipt.manifest_hash != image.envelope.manifest_hash:
            raise MismatchedReceipt("the receipt is for another image under this id")
        if receipt.receiver != image.envelope.manifest.audience:
            raise MismatchedReceipt("the receipt is by another receiver than the one the image is for")
        self.counts.receipts += 1
        return image, receipt

    def _conclude(self, receipts: Sequence[tuple[SpooledImage, Receipt]]) -> None:
        """Act on receipts, and offer their images no more; one by one where that fails, so that each answers for itself."""
        if not receipts:
            return
        try:
            self._on_receipts(receipts)
        except Exception as error:  # noqa: BLE001 - as above
            if len(receipts) > 1:
                for each in receipts:
                    self._conclude([each])
            elif isinstance(error, StorageError):
                # It could not be acted on durably: the image is offered again, and the receipt comes again.
                _LOG.warning("receipt not recorded: %s", error.message)
            else:
                self._note_fault(error)
            return
        for image, _ in receipts:
            self._offers.remove(image.image_id)
        self._denied_before = self._transport.counts.denied

    # --- chunks -----------------------------------------------------------------------------------------------------

    def _serve(self) -> None:
        """Publish one chunk of each image whose turn it is, so that none waits for another to end."""
        for each in self._offers.turn(self._clock()):
            if self._pace.wait():
                return
            number = next(iter(each.pending))
            try:
                chunk = each.image.read_chunk(number, each.chunk_bytes)
            except StorageError as error:
                # What one image lacks must not keep the others back; the receiver asks for this one again.
                _LOG.warning("spool: %s", error.message)
                each.pending.clear()
                self._check(each)
                continue
            receiver = each.image.envelope.manifest.audience
            self._publish(self._topics.chunk(receiver, self._device, each.image.image_id, number), chunk)
            del each.pending[number]
            self._sent.append((each.image.image_id, number))
            each.served += 1
            self.counts.chunks += 1
            each.turn = self.counts.chunks
            self.counts.chunk_bytes += len(chunk)

    def _watch_progress(self) -> None:
        """Raise the alarms, and say each once."""
        denied = self._transport.counts.denied > self._denied_before
        unanswered = any(each.fruitless >= _FRUITLESS_MAX for each in self._offers)
        raised = ((ALARM_DENIED, denied), (ALARM_UNANSWERED, unanswered))
        alarms = tuple(alarm for alarm, is_raised in raised if is_raised)
        for alarm in alarms:
            if alarm not in self.alarms:
                _LOG.warning("%s: %s", alarm, _HINTS[alarm])
        self.alarms = alarms

    def _check(self, each: Offered) -> None:
        """Give an image up that the spool no longer holds as it was signed: no receiver could ever take it.

        Raises:
            StorageError: the disk does not say now.
        """
        each.served = 0
        try:
            each.image.check()
        except EnvelopeError:
            self._on_damaged(each.image)
            self._offers.remove(each.image.image_id)
