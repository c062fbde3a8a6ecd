"""The receiver's end of the pull protocol: judge offers, ask for chunks with credit, hand on what is complete.

Credit is what bounds memory and the broker's queue: at most `credit` chunks of at most `active` images are on their way.
A lost, repeated or reordered chunk changes nothing but the time it takes. One thread runs it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from edge.envelope import sign
from edge.envelope.sign import SignedEnvelope, VerifiedManifest
from edge.errors import EnvelopeError, MalformedEnvelope, NotConnected, StorageError
from edge.transfer import messages
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want
from edge.transfer.parts import PartFile
from edge.transport.base import Message, Transport

_LOG = logging.getLogger(__name__)
_IDLE_SECONDS: Final = 0.25
_STALLS_MAX: Final = 6
"""After so many stalls in a row a slot is given to another image; the device offers this one again."""
_STALL_PAUSES: Final = 4.0
_STALL_FACTOR_MAX: Final = 10.0
"""On a slow link a stall is so many of the pauses between an image's chunks, and at most so many times the configured
one: a chunk that is asked for again while it is on its way comes twice."""
_MESSAGES_MAX: Final = 256
"""How many messages one step takes: a flood of them must not keep stalled images and the end of the run waiting."""
_WAITING_MAX: Final = 1024
"""How many judged offers wait for a slot. One that finds no room is offered again by its device."""


class Judge(Protocol):
    """What the receiver does with an offer and with a complete bulk."""

    def judge(self, signed: SignedEnvelope) -> VerifiedManifest | bytes | None:
        """Return a verified manifest to fetch, a signed receipt to answer with, or None to say nothing."""
        ...

    def finish(self, part: PartFile) -> bytes | None:
        """Open and store a complete bulk; return the signed receipt, or None where another try is needed."""
        ...


@dataclass(slots=True)
class _Fetch:
    """An image being pulled. `asked` are the numbers on their way; times in seconds of a monotonic clock."""

    part: PartFile
    stall_at: float
    asked: set[int] = field(default_factory=set)
    stalls: int = 0
    came_at: float | None = None


@dataclass(slots=True)
class ReceiveCounts:
    """What happened since the start."""

    offers: int = 0
    wants: int = 0
    chunks: int = 0
    chunk_bytes: int = 0
    unexpected: int = 0
    malformed: int = 0
    stalls: int = 0
    faults: int = 0


class ReceiveLoop:
    """Pull what devices offer."""

    def __init__(
        self,
        *,
        receiver: str,
        transport: Transport,
        topics: Topics,
        group: str,
        judge: Judge,
        parts: Path,
        credit: int,
        active: int,
        stall: float,
        clock: Callable[[], float],
    ) -> None:
        self._receiver = receiver
        self._transport = transport
        self._topics = topics
        self._group = group
        self._judge = judge
        self._parts = parts
        self._credit = credit
        self._active_max = active
        self._stall = stall
        self._clock = clock
        self._active: dict[tuple[str, bytes], _Fetch] = {}
        self._waiting: OrderedDict[tuple[str, bytes], tuple[VerifiedManifest, int]] = OrderedDict()
        self._pauses: dict[str, float] = {}  # by device, between the last two chunks of one of its images
        self.counts = ReceiveCounts()

    def subscribe(self) -> None:
        """Ask for offers and for this receiver's chunks."""
        self._transport.subscribe(self._topics.chunks(self._receiver))
        self._transport.subscribe(self._topics.offers(self._group))

    @property
    def busy(self) -> bool:
        """Whether an image is being pulled or waits for a slot."""
        return bool(self._active or self._waiting)

    def step(self) -> None:
        """Take the messages that are there, or wait briefly for one; start what waits; ask again for what stalled."""
        timeout = _IDLE_SECONDS
        for _ in range(_MESSAGES_MAX):
            message = self._transport.receive(timeout)
            if message is None:
                break
            self._take(message)
            timeout = 0.0
        try:
            self._start_waiting()
            self._ask_again()
        except NotConnected:
            return  # stalls ask again once there is a connection
        except StorageError as error:
            _LOG.warning("store: %s", error.message)
        except Exception as error:  # noqa: BLE001 - one device's image must not end the service of all others
            self.counts.faults += 1
            _LOG.error("an image met a defect: %s", type(error).__name__)

    def close(self) -> None:
        """Let go of the part files; what has come stays for the next start."""
        for fetch in self._active.values():
            fetch.part.close()
        self._active.clear()

    # --- offers -----------------------------------------------------------------------------------------------------

    def _take(self, message: Message) -> None:
        try:
            chunk = self._topics.read_chunk(message.topic, self._receiver)
            if chunk is not None:
                self._on_chunk(*chunk, message.payload)
                return
            device = self._topics.read_offer(message.topic)
            if device is not None:
                self._on_offer(device, message.payload)
        except EnvelopeError as error:
            self.counts.malformed += 1
            _LOG.warning("message refused: %s", error.code)
        except StorageError as error:
            _LOG.warning("store: %s", error.message)
        except NotConnected:
            return  # the device offers again
        except Exception as error:  # noqa: BLE001 - one device's message must not end the service of all others
            self.counts.faults += 1
            _LOG.error("a message met a defect: %s", type(error).__name__)

    def _on_offer(self, device: str, payload: bytes) -> None:
        offer = messages.decode(payload)
        if not isinstance(offer, Offer):
            raise MalformedEnvelope("what came as an offer is none")
        signed = sign.read_manifest(offer.manifest)
        if signed.manifest.device != device:
            raise MalformedEnvelope("an offer names another device than its topic")
        self.counts.offers += 1
        key = (device, signed.manifest.image_id)
        fetch = self._active.get(key)
        if (
            fetch is not None
            and fetch.part.verified.envelope.raw == offer.manifest
            and fetch.part.chunk_bytes == offer.chunk_bytes
        ):
            # The device starts anew, or has not heard us: what was on its way is lost.
            fetch.asked.clear()
            self._ask(fetch)
            return
        verdict = self._judge.judge(signed)
        if isinstance(verdict, bytes):
            self._answer(device, verdict)
        elif verdict is not None and (key in self._waiting or len(self._waiting) < _WAITING_MAX):
            if fetch is not None:
                # Only now: a forged offer must not end the pull of the true image.
                self._drop(key)
            self._waiting[key] = (verdict, offer.chunk_bytes)
            self._start_waiting()

    def _start_waiting(self) -> None:
        while self._waiting and len(self._active) < self._active_max:
            key, (verified, chunk_bytes) = self._waiting.popitem(last=False)
            if key in self._active:
                continue
            try:
                part = PartFile(self._parts, verified, chunk_bytes)
            except StorageError as error:
                # No receipt: the device keeps its image and offers it again.
                _LOG.warning("store: %s", error.message)
                continue
            self._active[key] = _Fetch(part, self._clock() + self._stall_of(key[0]))
            self._go_on(key)

    def _answer(self, device: str, receipt: bytes) -> None:
        self._transport.publish(self._topics.control(device), messages.encode(SignedReceipt(receipt)))

    # --- chunks -----------------------------------------------------------------------------------------------------

    def _on_chunk(self, device: str, image_id: bytes, number: int, payload: bytes) -> None:
        key = (device, image_id)
        fetch = self._active.get(key)
        if fetch is None:
            self.counts.unexpected += 1
            return
        new = fetch.part.write(number, payload)
        fetch.asked.discard(number)
        if not new:
            self.counts.unexpected += 1
            return
        self.counts.chunks += 1
        self.counts.chunk_bytes += len(payload)
        now = self._clock()
        if fetch.came_at is not None:
            self._pauses[device] = now - fetch.came_at
        fetch.came_at, fetch.stalls = now, 0
        fetch.stall_at = now + self._stall_of(device)
        if fetch.part.complete or len(fetch.asked) <= self._credit // 2:
            self._go_on(key)

    def _go_on(self, key: tuple[str, bytes]) -> None:
        fetch = self._active[key]
        if not fetch.part.complete:
            self._ask(fetch)
            return
        del self._active[key]
        with fetch.part:
            receipt = self._judge.finish(fetch.part)
        if receipt is not None:
            self._answer(key[0], receipt)

    def _ask(self, fetch: _Fetch) -> None:
        numbers = fetch.part.missing(self._credit - len(fetch.asked), but=fetch.asked)
        if not numbers:
            return
        manifest = fetch.part.verified.envelope.manifest
        want = Want(manifest.image_id, self._receiver, messages.ranges_of(numbers))
        self._transport.publish(self._topics.control(manifest.device), messages.encode(want))
        fetch.asked.update(number for first, end in want.ranges for number in range(first, end))
        self.counts.wants += 1

    def _ask_again(self) -> None:
        now = self._clock()
        for key, fetch in list(self._active.items()):
            if fetch.stall_at > now:
                continue
            self.counts.stalls += 1
            fetch.stalls += 1
            fetch.stall_at = now + self._stall_of(key[0])
            fetch.asked.clear()
            if fetch.stalls > _STALLS_MAX:
                self._drop(key)
                continue
            self._ask(fetch)

    def _stall_of(self, device: str) -> float:
        """Return for how many seconds no chunk must come until an image of a device counts as stalled."""
        return min(max(self._stall, _STALL_PAUSES * self._pauses.get(device, 0.0)), _STALL_FACTOR_MAX * self._stall)

    def _drop(self, key: tuple[str, bytes]) -> None:
        self._active.pop(key).part.close()
