"""The receiver's end of the pull protocol: judge offers, ask for chunks with credit, hand on what is complete.

Credit is what bounds memory and the broker's queue: at most `credit` chunks of at most `active` images are on their way.
A lost, repeated or reordered chunk changes nothing but the time it takes. No device keeps another waiting for good: slots
go round by device, and are given up after a turn. Nothing that anybody could say undoes what has come: an offer is
believed for its signature, and how a device cuts its images is learnt from its chunks. One thread runs it.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from edge import protocol
from edge.envelope import sign
from edge.envelope.sign import SignedEnvelope, VerifiedManifest
from edge.errors import EnvelopeError, MalformedEnvelope, NotConnected, StorageError
from edge.transfer import messages
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want
from edge.transfer.parts import Part, open_part
from edge.transfer.sparing import SparingLog
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
_WAITING_MAX: Final = 256
"""How many judged offers of one device wait for a slot. One that finds no room is offered again by its device."""
_TURN_SECONDS: Final = 60.0
"""How long an image keeps its slot while other devices wait for one; what has come of it stays for its next turn."""
_TOGETHER_MAX: Final = 8
_TOGETHER_BYTES: Final = 4 << 20
"""How many bulks that are complete, and bytes of them, are handed on together at most: a disk syncs eight small images in
hardly more time than one. A larger one goes alone."""
_HEED_SECONDS: Final = 1.0
"""How often a repeated offer of an image that is being pulled is heeded: anybody may repeat one, and each costs chunks."""


class Judge(Protocol):
    """What the receiver does with an offer and with a complete bulk."""

    def judge(self, signed: SignedEnvelope) -> VerifiedManifest | bytes | None:
        """Return a verified manifest to fetch, a signed receipt to answer with, or None to say nothing."""
        ...

    def finish(self, parts: Sequence[Part]) -> list[bytes | None]:
        """Open and store complete bulks; return for each the signed receipt, or None where another try is needed."""
        ...


@dataclass(slots=True)
class _Fetch:
    """An image being pulled. `asked` are the numbers on their way; times in seconds of a monotonic clock."""

    part: Part
    stall_at: float
    turn_ends: float
    heed_at: float
    asked: set[int] = field(default_factory=set)
    stalls: int = 0
    came_at: float | None = None


@dataclass(frozen=True, slots=True)
class _Cut:
    """An image to pull, and into chunks of how many bytes its device cuts it, as far as is known."""

    verified: VerifiedManifest
    chunk_bytes: int


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
        self._complete: dict[tuple[str, bytes], Part] = {}
        # By device, next in turn first; then by image id, oldest first. No device is here without an image.
        self._waiting: OrderedDict[str, OrderedDict[bytes, _Cut]] = OrderedDict()
        self._log = SparingLog(_LOG, clock=clock)
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
        # What comes next is asked for first: it is on its way while this is stored.
        self._go_round()
        self._conclude()

    def _go_round(self) -> None:
        try:
            self._give_turns()
            self._start_waiting()
            self._ask_again()
        except NotConnected:
            return  # stalls ask again once there is a connection
        except StorageError as error:
            _LOG.warning("store: %s", error.message)
        except Exception as error:  # noqa: BLE001 - one device's image must not end the service of all others
            self._note_fault("an image", error)

    def _note_fault(self, what: str, error: Exception) -> None:
        self.counts.faults += 1
        _LOG.error("%s met a defect: %s", what, type(error).__name__)

    def close(self) -> None:
        """Let go of all parts; what has come into part files stays for the next start."""
        for part in (*(fetch.part for fetch in self._active.values()), *self._complete.values()):
            part.close()
        self._active.clear()
        self._complete.clear()

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
            self._log.warning("message refused: %s", error.code)
        except StorageError as error:
            self._log.warning("store: %s", error.message)
        except NotConnected:
            return  # the device offers again
        except Exception as error:  # noqa: BLE001 - one device's message must not end the service of all others
            self._note_fault("a message", error)

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
        if fetch is not None and fetch.part.verified.envelope.raw == offer.manifest:
            self._heed(fetch, offer)
            return
        if key in self._complete:
            # It is answered for in a moment. To begin it again would undo what has come, in chunks of another size.
            return
        verdict = self._judge.judge(signed)
        if isinstance(verdict, bytes):
            self._answer(device, verdict)
        elif verdict is not None and self._has_room(key):
            if fetch is not None:
                # Only now: a forged offer must not end the pull of the true image.
                self._drop(key)
            self._wait(key, _Cut(verdict, offer.chunk_bytes))
            self._start_waiting()

    def _heed(self, fetch: _Fetch, offer: Offer) -> None:
        """Ask anew for an image that is being pulled: its device has not heard us, or cuts it otherwise now."""
        now = self._clock()
        if now < fetch.heed_at:
            return
        fetch.heed_at = now + _HEED_SECONDS
        if offer.chunk_bytes == fetch.part.chunk_bytes:
            # The device starts anew, or has not heard us: what was on its way is lost.
            fetch.asked.clear()
            self._ask(fetch)
        else:
            # Nobody signs the size of chunks, and another one would undo what has come. The first chunk tells it.
            self._want(fetch, [0])

    def _has_room(self, key: tuple[str, bytes]) -> bool:
        waiting = self._waiting.get(key[0], OrderedDict())
        return key[1] in waiting or len(waiting) < _WAITING_MAX

    def _wait(self, key: tuple[str, bytes], cut: _Cut) -> None:
        self._waiting.setdefault(key[0], OrderedDict())[key[1]] = cut

    def _next(self) -> tuple[tuple[str, bytes], _Cut]:
        """Take the oldest waiting image of the device whose turn it is, and put that device last."""
        device, waiting = self._waiting.popitem(last=False)
        image_id, cut = waiting.popitem(last=False)
        if waiting:
            self._waiting[device] = waiting
        return (device, image_id), cut

    def _start_waiting(self) -> None:
        while self._waiting and len(self._active) < self._active_max:
            key, cut = self._next()
            if key not in self._active:
                self._start(key, cut)

    def _start(self, key: tuple[str, bytes], cut: _Cut) -> None:
        try:
            part = open_part(self._parts, cut.verified, cut.chunk_bytes)
        except StorageError as error:
            # No receipt: the device keeps its image and offers it again.
            self._log.warning("store: %s", error.message)
            return
        now = self._clock()
        self._active[key] = _Fetch(
            part, stall_at=now + self._stall_of(key[0]), turn_ends=now + _TURN_SECONDS, heed_at=now + _HEED_SECONDS
        )
        self._go_on(key)

    def _give_turns(self) -> None:
        """Let images whose turn has ended give their slots to devices that have none."""
        served = {device for device, _ in self._active}
        unserved = sum(device not in served for device in self._waiting)
        now = self._clock()
        for key, fetch in list(self._active.items()):
            if unserved and fetch.turn_ends <= now:
                unserved -= 1
                self._drop(key)
                self._wait(key, _Cut(fetch.part.verified, fetch.part.chunk_bytes))

    def _answer(self, device: str, receipt: bytes) -> None:
        self._transport.publish(self._topics.control(device), messages.encode(SignedReceipt(receipt)))

    # --- chunks -----------------------------------------------------------------------------------------------------

    def _on_chunk(self, device: str, image_id: bytes, number: int, payload: bytes) -> None:
        key = (device, image_id)
        fetch = self._active.get(key)
        if fetch is None:
            self.counts.unexpected += 1
            return
        if number == 0 and len(payload) != min(fetch.part.chunk_bytes, fetch.part.bulk_bytes):
            self._cut_otherwise(key, len(payload))
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

    def _cut_otherwise(self, key: tuple[str, bytes], size: int) -> None:
        """Begin an image again in chunks of the size of its first one.

        Raises:
            MalformedEnvelope: no chunk of this image can be as long.
        """
        part = self._active[key].part
        if not min(protocol.CHUNK_MIN_BYTES, part.bulk_bytes) <= size <= min(protocol.CHUNK_MAX_BYTES, part.bulk_bytes):
            raise MalformedEnvelope("a chunk has a wrong length")
        self._drop(key)
        self._start(key, _Cut(part.verified, max(size, protocol.CHUNK_MIN_BYTES)))

    def _go_on(self, key: tuple[str, bytes]) -> None:
        fetch = self._active[key]
        if not fetch.part.complete:
            self._ask(fetch)
            return
        size = sum(part.bulk_bytes for part in self._complete.values())
        if size + fetch.part.bulk_bytes > _TOGETHER_BYTES:
            self._conclude()  # small ones do not wait for a large one
        del self._active[key]
        self._complete[key] = fetch.part
        if len(self._complete) >= _TOGETHER_MAX or fetch.part.bulk_bytes >= _TOGETHER_BYTES:
            self._conclude()

    def _conclude(self) -> None:
        """Hand on what is complete and answer for it; one by one where that meets a defect."""
        complete, self._complete = self._complete, {}
        try:
            self._finish(list(complete.values()))
        except Exception as error:  # noqa: BLE001 - one device's image must not end the service of all others
            for key, part in complete.items() if len(complete) > 1 else ():
                self._complete = {key: part}
                self._conclude()
            if len(complete) == 1:
                self._note_fault("an image", error)
        finally:
            for part in complete.values():
                part.close()

    def _finish(self, parts: Sequence[Part]) -> None:
        try:
            receipts = self._judge.finish(parts) if parts else []
            for part, receipt in zip(parts, receipts, strict=True):
                if receipt is not None:
                    self._answer(part.verified.envelope.manifest.device, receipt)
        except NotConnected:
            return  # the device offers again
        except StorageError as error:
            self._log.warning("store: %s", error.message)

    def _ask(self, fetch: _Fetch) -> None:
        numbers = fetch.part.missing(self._credit - len(fetch.asked), but=fetch.asked)
        if numbers:
            fetch.asked.update(self._want(fetch, numbers))

    def _want(self, fetch: _Fetch, numbers: list[int]) -> Iterator[int]:
        """Ask for chunks, and return the numbers of those that one message could name."""
        manifest = fetch.part.verified.envelope.manifest
        want = Want(manifest.image_id, self._receiver, messages.ranges_of(numbers))
        self._transport.publish(self._topics.control(manifest.device), messages.encode(want))
        self.counts.wants += 1
        return (number for first, end in want.ranges for number in range(first, end))

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
