"""The device's daemon: files in (`edge.loading`), images out (`edge.transfer.send`), receipts in (`edge.delivery`).

Two threads: the one that calls `run` takes files in, another runs the transfer. They meet in the spool and the ledger.

The rule kept here: whatever stops files on their way has a name in `alarms`, and the device's status says it as soon as it
stands and as soon as it is over. The status needs no disk: it goes out where not one byte can be written any more.
"""

from __future__ import annotations

import json
import logging
import math
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge import __version__, durable
from edge.chaos import kernel
from edge.clock import WallClock
from edge.config import DeviceConfig
from edge.delivery import Delivery
from edge.envelope.sign import Receipt
from edge.errors import NotConnected, StorageError, UnreadableFile
from edge.health import TURN_SECONDS, Mark, Stage
from edge.intake.ledger import FileState, Ledger
from edge.intake.watch import DEFAULT_IGNORED, Watcher
from edge.keyring import DeviceKeyring
from edge.loading import Loader
from edge.sealing import Sealed, Sealer
from edge.spool import Spool, SpooledImage
from edge.stopping import Stop
from edge.transfer.messages import Topics
from edge.transfer.send import SendLoop
from edge.transport.base import Message, Transport

_LOG = logging.getLogger(__name__)
_STATUS_SECONDS: Final = 60.0
_STOP_SECONDS: Final = 0.5
"""How long a stop can go unnoticed while the folder is quiet."""
_ONCE_LOOK_SECONDS: Final = 1.0
"""With `once`, how often the folder is listed while images are still to be receipted: a look at thousands costs."""
_ONCE_WAIT_SECONDS: Final = 0.1
"""With `once`, how soon after the last receipt the last look comes."""
_STALLED_SECONDS: Final = 300.0
"""Intake that neither ended a look nor carried a file for so long hangs, as a share does whose server is gone."""

ALARM_ORIGINALS: Final = "originals-waiting"
ALARM_STALLED: Final = "intake-stalled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """How far things are, in files. `stuck` and `refused` did not arrive; `ignored` are no images."""

    images: int = 0
    arrived: int = 0
    refused: int = 0
    stuck: int = 0
    ignored: int = 0

    @property
    def not_arrived(self) -> int:
        """How many images are not at the hospital."""
        return self.images - self.arrived

    @property
    def all_arrived(self) -> bool:
        """Whether every image is at the hospital."""
        return self.not_arrived == 0

    def __str__(self) -> str:
        parts = [f"{self.arrived} of {self.images} images arrived"]
        parts += [
            f"{number} {word}"
            for number, word in ((self.refused, "refused"), (self.stuck, "stuck"), (self.ignored, "ignored"))
            if number
        ]
        return ", ".join(parts)


class Daemon:
    """One device over one folder and one transport. It owns its state directory (`durable.lock_folder`)."""

    def __init__(
        self,
        *,
        config: DeviceConfig,
        folder: Path,
        keyring: DeviceKeyring,
        transport: Transport,
        sealer: Sealer,
        once: bool = False,
        clock: Callable[[], float] = time.monotonic,
        wall: WallClock | None = None,
        alarms: Callable[[], tuple[str, ...]] = tuple,
        on_progress: Callable[[Summary], None] = lambda _summary: None,
        on_sealed: Callable[[Sealed], None] = lambda _sealed: None,
        on_receipt: Callable[[Receipt], None] = lambda _receipt: None,
    ) -> None:
        """Open ledger and spool, and join what each says of the images of an earlier run.

        Raises:
            StorageError, LedgerCorrupt: the disk refused.
        """
        self._config = config
        self._transport = transport
        self._sealer = sealer
        self._once = once
        self._clock = clock
        self._wall = wall or WallClock()
        self._outer_alarms = alarms
        self._on_progress = on_progress
        self._on_sealed = on_sealed
        self._on_receipt = on_receipt
        self._taking, self._transferring = Mark(clock), Mark(clock)
        self._transfers = False
        state = config.device.state
        durable.sweep_temporaries(state)
        self._ledger = Ledger.open_or_begin_anew(state / "ledger.sqlite")
        self._spool = Spool(
            state / "spool",
            max_bytes=config.spool.max_bytes,
            reserve_bytes=config.spool.reserve_bytes,
            reserve_percent=config.spool.reserve_percent,
        )
        poll = {"auto": None, "always": True, "never": False}[config.watch.poll]
        self._watcher = Watcher(folder, poll=poll, ignore=(*DEFAULT_IGNORED, *config.watch.ignore))
        self._delivery = Delivery(
            folder=folder,
            is_there=self._watcher.is_there,
            watch=config.watch,
            ledger=self._ledger,
            spool=self._spool,
            timestamp=self._wall.timestamp,
        )
        self._loader = Loader(
            config=config,
            watcher=self._watcher,
            sealer=sealer,
            ledger=self._ledger,
            spool=self._spool,
            once=once,
            clock=clock,
            timestamp=self._wall.timestamp,
            on_turn=self._taking.leave,
            on_sealed=self._sealed,
            on_known=self._delivery.known,
        )
        self._topics = Topics(config.broker.prefix)
        self._loop = SendLoop(
            device=config.device.id,
            transport=transport,
            spool=self._spool,
            receivers=keyring.receivers,
            topics=self._topics,
            chunk_bytes=config.transfer.chunk_size,
            outstanding=config.transfer.outstanding,
            offer_first=config.transfer.offer_first,
            offer_max=config.transfer.offer_max,
            newest_first=config.transfer.order == "newest",
            urgent=config.transfer.urgent,
            bandwidth=config.transfer.bandwidth,
            clock=clock,
            on_offered=self._offered,
            on_receipts=self._receipted,
            on_damaged=self._damaged,
        )
        try:
            for image in self._delivery.recover():
                self._loop.add(image)
        except BaseException:
            self.close()
            raise
        self._boot = secrets.token_hex(8)
        self._status_at = 0.0
        self._dispose_at = 0.0
        self._said: tuple[object, ...] = ()
        self._refusal: StorageError | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of watcher and ledger."""
        self._loader.close()
        self._watcher.close()
        self._ledger.close()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return what must make progress while the daemon runs, or it must be started anew.

        Intake is not among them: what holds it up is a share that hangs. No start anew helps against that, and what is
        sealed would not be delivered meanwhile. It raises an alarm.
        """
        network = self._transport
        return (
            Stage("transfer", lambda: self._transferring.idle() if self._transfers else 0.0, TURN_SECONDS),
            Stage("network", lambda: network.idle_seconds if network.alive else math.inf, TURN_SECONDS),
        )

    def run(self, stop: Stop) -> Summary:
        """Take files in and deliver them until `stop` is set or, with `once`, until nothing is left to wait for.

        Raises:
            UnreadableFile: with `once`, the folder or a part of it could not be listed.
            BaseException: whatever ended the transfer thread, which nothing but a defect can.
        """
        self._loop.subscribe()
        will = Message(self._topics.status(self._config.device.id), self._status("offline"))
        self._transport.start(will)
        done = threading.Event()
        transfer = threading.Thread(target=self._transfer, args=(done, stop), name="transfer")
        transfer.start()
        try:
            while not stop.is_set() and self._failure is None:
                idle = False
                with stop.leaving():
                    idle = self._take_in(stop)
                if self._once and idle and self._loop.unreceipted == 0:
                    break
                self._wait(stop)
        finally:
            done.set()
            transfer.join()
            self._transport.stop(Message(will.topic, self._status("offline")))
        if self._failure is not None:
            raise self._failure
        if self._once and self._loader.paused and not stop.is_set():
            raise UnreadableFile(f"not everything in the watched folder was seen: {self._loader.paused}")
        return self.summary()

    def _take_in(self, stop: Stop) -> bool:
        """Take in what has settled and return whether the folder holds nothing to wait for."""
        self._taking.leave()
        try:
            idle = self._loader.take_in(stop)
            self._on_progress(self.summary())
        except StorageError as error:
            if not error.retryable:
                raise
            return False  # what is in the folder is still there at the next look
        return idle

    def summary(self) -> Summary:
        """Count the files of the ledger by what became of them."""
        counts = self._ledger.counts()
        arrived = counts[FileState.RECEIPTED] + counts[FileState.DISPOSED]
        refused, stuck, ignored = (
            counts[state] for state in (FileState.QUARANTINED, FileState.STUCK, FileState.IGNORED)
        )
        return Summary(
            images=sum(counts.values()) - ignored, arrived=arrived, refused=refused, stuck=stuck, ignored=ignored
        )

    def _wait(self, stop: Stop) -> None:
        """Sleep until a look is worth while: an event, a settle interval, the next rescan, a stop."""
        timeout = self._config.watch.rescan
        if self._loader.next_look is not None:
            timeout = min(timeout, max(0.0, self._loader.next_look - self._clock()))
        if self._once:
            # Whether there is anything left to wait for can only be seen by looking.
            timeout = min(timeout, _ONCE_LOOK_SECONDS)
        deadline = self._clock() + timeout
        pause = _ONCE_WAIT_SECONDS if self._once else _STOP_SECONDS
        while not stop.is_set() and self._failure is None:
            self._taking.leave()
            left = deadline - self._clock()
            if left <= 0 or self._watcher.wait(min(left, pause)) or (self._once and self._loop.unreceipted == 0):
                return

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the codes of what does not work now (README.md, "Alarms"). Any thread may read them."""
        refusal = self._refusal
        own = (
            (self._taking.idle() > _STALLED_SECONDS, ALARM_STALLED),
            (self._delivery.originals_wait, ALARM_ORIGINALS),
            (refusal, refusal.code if refusal else ""),
        )
        alarms = (
            *self._outer_alarms(),
            *self._loader.alarms,
            *(alarm for stands, alarm in own if stands),
            *self._sealer.alarms,
            *self._loop.alarms,
            *self._wall.alarms(),
        )
        return tuple(dict.fromkeys(alarms))

    def _sealed(self, sealed: Sealed, image: SpooledImage) -> None:
        self._taking.leave()
        self._on_sealed(sealed)
        self._loop.add(image)
        self._on_progress(self.summary())

    # --- images out -------------------------------------------------------------------------------------------------

    def _transfer(self, done: threading.Event, stop: Stop) -> None:
        try:
            self._transfers = True
            while not done.is_set() and not stop.is_set():
                self._transferring.leave()
                self._publish_status()
                self._loop.step()
                if self._delivery.originals_wait and self._clock() >= self._dispose_at:
                    self._dispose_at = self._clock() + self._config.watch.rescan
                    self._delivery.dispose_again()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that runs the daemon, which raises it
            self._failure = error
        finally:
            self._transfers = False

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Raise the alarm where the disk refuses what delivery has to record, and end it where it no longer does."""
        try:
            yield
        except StorageError as error:
            self._refusal = error
            raise
        self._refusal = None

    def _offered(self, images: Sequence[SpooledImage]) -> None:
        with self._noted():
            self._delivery.offered(images)

    def _receipted(self, receipts: Sequence[tuple[SpooledImage, Receipt]]) -> None:
        for _, receipt in receipts:
            self._wall.confirm(receipt.issued_at)
        with self._noted():
            self._delivery.receipted(receipts)
        for _, receipt in receipts:
            self._on_receipt(receipt)
        if self._loader.holds:
            # There is room now. Otherwise a receipt is no reason to list a folder of thousands of files.
            self._watcher.wake()

    def _damaged(self, image: SpooledImage) -> None:
        self._delivery.damaged(image)
        self._loader.look_again(image.origin.relative)
        self._watcher.wake()

    # --- status -----------------------------------------------------------------------------------------------------

    def _publish_status(self) -> None:
        said = (self._transport.generation, self.alarms, self._loader.watching, self._loader.paused)
        if not self._transport.connected or (said == self._said and self._clock() < self._status_at):
            return
        try:
            self._transport.publish(self._topics.status(self._config.device.id), self._status("online"), retain=True)
        except NotConnected:
            return  # the next connection publishes it
        self._said = said
        self._status_at = self._clock() + _STATUS_SECONDS

    def _status(self, state: str) -> bytes:
        refusal = self._refusal
        status = {
            "id": self._config.device.id,
            "role": "device",
            "state": state,
            "boot": self._boot,
            "version": __version__,
            "ciphers": kernel.described(),
            "watching": self._loader.watching,
            "paused": self._loader.paused,
            "waits": self._loader.waits or (refusal.message if refusal else ""),
            "alarms": list(self.alarms),
            "refused_receipts": self._loop.counts.refused_receipts,
            "refused_wants": self._loop.counts.refused_wants,
            "malformed": self._loop.counts.malformed,
            "faults": self._loop.counts.faults,
            "dropped": self._transport.counts.dropped,
        }
        return json.dumps(status | self._figures()).encode()

    def _figures(self) -> dict[str, int]:
        """Return how much waits, nothing where the disk does not say: a status must not end the transfer."""
        try:
            counts = self._ledger.counts()
            return {
                "waiting": counts[FileState.SEALED] + counts[FileState.OFFERED],
                "stuck": counts[FileState.STUCK],
                "quarantined": counts[FileState.QUARANTINED],
                "spool_bytes": self._spool.used_bytes(),
            }
        except StorageError:
            return {}
