"""The device's daemon: files in (`edge.loading`), images out (`edge.transfer.send`), receipts in (`edge.delivery`).

Two threads: the one that calls `run` takes files in, another runs the transfer. They meet in the spool and the ledger.
"""

from __future__ import annotations

import json
import logging
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge import __version__, durable
from edge.clock import WallClock
from edge.config import DeviceConfig
from edge.delivery import Delivery
from edge.envelope.sign import Receipt
from edge.errors import NotConnected, StorageError, UnreadableFile
from edge.intake.ledger import FileState, Ledger
from edge.intake.watch import DEFAULT_IGNORED, Watcher
from edge.keyring import DeviceKeyring
from edge.loading import Loader
from edge.sealing import Sealed, Sealer
from edge.spool import Spool, SpooledImage
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
        self._on_progress = on_progress
        self._on_sealed = on_sealed
        self._on_receipt = on_receipt
        state = config.device.state
        durable.sweep_temporaries(state)
        self._ledger = Ledger.open_or_begin_anew(state / "ledger.sqlite")
        self._spool = Spool(state / "spool", max_bytes=config.spool.max_bytes, reserve_bytes=config.spool.reserve_bytes)
        poll = {"auto": None, "always": True, "never": False}[config.watch.poll]
        self._watcher = Watcher(folder, poll=poll, ignore=(*DEFAULT_IGNORED, *config.watch.ignore))
        self._delivery = Delivery(
            folder=folder, watch=config.watch, ledger=self._ledger, spool=self._spool, timestamp=self._wall.timestamp
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
            on_offered=self._delivery.offered,
            on_receipt=self._receipted,
            on_damaged=self._damaged,
        )
        for image in self._delivery.recover():
            self._loop.add(image)
        self._boot = secrets.token_hex(8)
        self._generation = 0
        self._status_at = 0.0
        self._alarms: tuple[str, ...] = ()
        self._failure: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of watcher and ledger."""
        self._watcher.close()
        self._ledger.close()

    def run(self, stop: threading.Event) -> Summary:
        """Take files in and deliver them until `stop` is set or, with `once`, until nothing is left to wait for.

        Raises:
            UnreadableFile: with `once`, the folder or a part of it could not be listed.
            BaseException: whatever ended the transfer thread, which nothing but a defect can.
        """
        self._loop.subscribe()
        will = Message(self._topics.status(self._config.device.id), self._status("offline"))
        self._transport.start(will)
        done = threading.Event()
        transfer = threading.Thread(target=self._transfer, args=(done,), name="transfer")
        transfer.start()
        try:
            while not stop.is_set() and self._failure is None:
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

    def _take_in(self, stop: threading.Event) -> bool:
        """Take in what has settled and return whether the folder holds nothing to wait for."""
        try:
            idle = self._loader.take_in(stop)
            self._on_progress(self.summary())
        except StorageError as error:
            if not error.retryable:
                raise
            # What is in the folder is still there at the next look.
            _LOG.warning("intake waits: %s", error.message)
            return False
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

    def _wait(self, stop: threading.Event) -> None:
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
            left = deadline - self._clock()
            if left <= 0 or self._watcher.wait(min(left, pause)) or (self._once and self._loop.unreceipted == 0):
                return

    def _sealed(self, sealed: Sealed, image: SpooledImage) -> None:
        self._on_sealed(sealed)
        self._loop.add(image)
        self._on_progress(self.summary())

    # --- images out -------------------------------------------------------------------------------------------------

    def _transfer(self, done: threading.Event) -> None:
        try:
            while not done.is_set():
                self._publish_status()
                self._loop.step()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that runs the daemon, which raises it
            self._failure = error

    def _receipted(self, image: SpooledImage, receipt: Receipt) -> None:
        self._wall.confirm(receipt.issued_at)
        self._delivery.receipted(image, receipt)
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
        generation, alarms = self._transport.generation, self._all_alarms()
        news = generation != self._generation or alarms != self._alarms
        if not self._transport.connected or (not news and self._clock() < self._status_at):
            return
        try:
            self._transport.publish(self._topics.status(self._config.device.id), self._status("online"), retain=True)
        except NotConnected:
            return  # the next connection publishes it
        self._generation, self._alarms = generation, alarms
        self._status_at = self._clock() + _STATUS_SECONDS

    def _status(self, state: str) -> bytes:
        status = {
            "id": self._config.device.id,
            "role": "device",
            "state": state,
            "boot": self._boot,
            "version": __version__,
            "paused": self._loader.paused,
            "alarms": list(self._all_alarms()),
        }
        return json.dumps(status | self._figures()).encode()

    def _all_alarms(self) -> tuple[str, ...]:
        """Return the codes of what does not work now."""
        return (*self._sealer.alarms, *self._loop.alarms, *self._wall.alarms())

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
