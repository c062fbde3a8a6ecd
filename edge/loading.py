"""Files in: listing > settle > read > encipher > seal > spool, each step recorded in the ledger.

The listing is the truth, whatever events said. One rule for errors: a retryable one waits and keeps, any other
quarantines and goes on. Logs never name a file.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections.abc import Callable
from typing import BinaryIO, Final

from edge.config import DeviceConfig
from edge.encrypt import Entropy
from edge.envelope.sign import SignedEnvelope
from edge.errors import EdgeError, FileTooLarge, IntakeError, VanishedFile
from edge.intake.image import Inspection
from edge.intake.ledger import FileState, ImageFacts, Ledger, LedgerEntry
from edge.intake.opening import hash_file
from edge.intake.settle import Settler, StuckFile
from edge.intake.states import CARRIED
from edge.intake.watch import Watcher
from edge.records import SettledFile
from edge.sealing import Sealed, Sealer
from edge.spool import Origin, Spool, SpooledImage

_LOG = logging.getLogger(__name__)
_ONCE_STUCK_LOOKS: Final = 4
"""With `once`, a file that stays empty or incomplete is given up after this many settle intervals."""


class Loader:
    """Bring the files of one folder into the spool. One thread uses it."""

    def __init__(
        self,
        *,
        config: DeviceConfig,
        watcher: Watcher,
        sealer: Sealer,
        ledger: Ledger,
        spool: Spool,
        once: bool,
        clock: Callable[[], float],
        timestamp: Callable[[], str],
        on_sealed: Callable[[Sealed, SpooledImage], None],
        on_known: Callable[[LedgerEntry, SettledFile], None],
    ) -> None:
        self._config = config
        self._watcher = watcher
        self._sealer = sealer
        self._ledger = ledger
        self._spool = spool
        self._clock = clock
        self._timestamp = timestamp
        self._on_sealed = on_sealed
        self._on_known = on_known
        stuck_after = config.watch.stuck_after
        if once:
            stuck_after = min(stuck_after, _ONCE_STUCK_LOOKS * config.watch.settle)
        self._settler = Settler(interval=config.watch.settle, stuck_after=stuck_after)
        self.paused = ""
        self.next_look: float | None = None

    def take_in(self, stop: threading.Event) -> bool:
        """Look at the folder once, carry what has settled, and return whether nothing there is being waited for."""
        listing = list(self._watcher.listing())
        self._say_whether_paused()
        self._ledger.observe_all(listing, now=self._timestamp())
        if self._watcher.complete:
            self._ledger.forget_vanished({file.relative for file in listing})
        result = self._settler.look(listing, self._clock())
        self.next_look = result.next_look
        for file in result.settled:
            if stop.is_set():
                return False
            self._carry(file)
        stuck = self._settler.stuck(self._clock())
        for each in stuck:
            self._on_stuck(each)
        return not result.settled and result.waiting <= len(stuck)

    def _carry(self, file: SettledFile) -> None:
        """Bring one settled file into the spool, or say why not."""
        try:
            entry = self._ledger.observe(file, now=self._timestamp())
            if entry.state in CARRIED or (entry.state is FileState.IGNORED and not self._carries_unknown):
                return
            inspection = self._sealer.inspect(file)
            if inspection.known or self._carries_unknown:
                self._seal(file, inspection)
            else:
                self._ledger.ignore(file, reason="unknown-format", now=self._timestamp())
        except EdgeError as error:
            self._on_error(file, error)
        except Exception as error:  # noqa: BLE001 - a defect that one file shows must not keep the others back
            _LOG.error("a file met a defect: %s", type(error).__name__)
            self._ledger.quarantine(file, reason="internal-error", now=self._timestamp())

    def _seal(self, file: SettledFile, inspection: Inspection) -> None:
        if file.size > self._config.limits.image_bytes:
            raise FileTooLarge("the file is over the size limit")
        self._spool.require_room(file.size)
        sha256 = hash_file(file)
        known = self._ledger.recognise(file, sha256, now=self._timestamp())
        if known is not None:
            self._on_known(known, file)
            return
        self._ledger.advance(file, FileState.SETTLED, now=self._timestamp())
        sequence = self._ledger.next_sequence()
        entropy = Entropy.draw(secrets.token_bytes)
        sealed: list[Sealed] = []

        def write(sink: BinaryIO) -> SignedEnvelope:
            sealed.append(self._sealer.seal(file, inspection, sink, sequence=sequence, entropy=entropy, sha256=sha256))
            return sealed[0].envelope

        image = self._spool.put(sequence, entropy.image_id, Origin.of(file, sha256), write)
        self._ledger.advance(file, FileState.SEALED, now=self._timestamp(), facts=_facts(sealed[0]))
        _LOG.info("image %s sealed", entropy.image_id.hex())
        self._on_sealed(sealed[0], image)

    def _on_error(self, file: SettledFile, error: EdgeError) -> None:
        """Wait and keep, or quarantine and go on."""
        if error.retryable:
            entry = self._ledger.find(file)
            if not isinstance(error, IntakeError):
                _LOG.warning("intake waits: %s (%s)", error.message, error.code)
            elif entry is not None and entry.state is FileState.SETTLED:
                self._ledger.advance(file, FileState.SEEN, now=self._timestamp())
            # One that is gone needs no second look: the next listing forgets it.
            if not isinstance(error, VanishedFile):
                self._settler.defer(file, error, self._clock())
            return
        _LOG.error("a file is quarantined: %s", error.code)
        self._ledger.quarantine(file, reason=error.code, hint=error.hint, now=self._timestamp())

    def _on_stuck(self, stuck: StuckFile) -> None:
        entry = self._ledger.find(stuck.file)
        if entry is None or entry.state is FileState.STUCK:
            return
        if self._config.watch.incomplete == "carry" and stuck.file.size:
            self._carry_incomplete(stuck.file)
            return
        _LOG.warning("a file is stuck: %s", stuck.error.code)
        self._ledger.stuck(stuck.file, reason=stuck.error.code, hint=stuck.error.hint, now=self._timestamp())

    def _carry_incomplete(self, file: SettledFile) -> None:
        try:
            self._seal(file, self._sealer.inspect(file, incomplete=True))
            self._settler.take(file)
        except EdgeError as error:
            self._on_error(file, error)

    @property
    def _carries_unknown(self) -> bool:
        return self._config.watch.unknown == "carry"

    def _say_whether_paused(self) -> None:
        reason = self._watcher.pause_reason
        if reason != self.paused:
            self.paused = reason
            if reason:
                _LOG.warning("watching is paused: %s", reason)
            else:
                _LOG.info("watching again")


def _facts(sealed: Sealed) -> ImageFacts:
    manifest = sealed.envelope.manifest
    network = sealed.parameters.network
    return ImageFacts(
        image_id=manifest.image_id.hex(),
        sequence=manifest.sequence,
        sha256=sealed.scan.sha256,
        sealed_bytes=len(sealed.envelope.raw) + manifest.bulk_bytes,
        capture=sealed.scan.capture,
        network=network.value if network else "",
        map=sealed.parameters.map.value,
        domain=sealed.domain.value,
    )
