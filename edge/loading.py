"""Files in: listing > settle > read > encipher > seal > spool, each step recorded in the ledger.

The listing is the truth, whatever events said. One rule for errors: a retryable one waits and keeps, any other
quarantines and goes on. Logs never name a file.
"""

from __future__ import annotations

import logging
import secrets
import threading
from collections import deque
from collections.abc import Callable
from typing import BinaryIO, Final

from edge.config import DeviceConfig
from edge.encrypt import Entropy
from edge.envelope.sign import SignedEnvelope
from edge.errors import EdgeError, FileTooLarge, IncompleteFile, IntakeError, SpoolFull
from edge.intake.image import Inspection
from edge.intake.ledger import FileState, ImageFacts, Ledger, LedgerEntry
from edge.intake.opening import hash_file
from edge.intake.settle import FoundFile, Settler, StuckFile
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
        on_turn: Callable[[], None],
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
        self._on_turn = on_turn
        self._on_sealed = on_sealed
        self._on_known = on_known
        stuck_after = config.watch.stuck_after
        if once:
            stuck_after = min(stuck_after, _ONCE_STUCK_LOOKS * config.watch.settle)
        self._settler = Settler(interval=config.watch.settle, stuck_after=stuck_after)
        self._held: dict[str, SettledFile] = {}
        self._again: deque[str] = deque()
        self.paused = ""
        self.next_look: float | None = None

    def look_again(self, relative: str) -> None:
        """Carry the file of this relative path once more, if it is still there. Any thread may call this."""
        self._again.append(relative)

    @property
    def holds(self) -> bool:
        """Whether settled files wait for room in the spool."""
        return bool(self._held)

    def take_in(self, stop: threading.Event) -> bool:
        """Look at the folder once, carry what has settled, and return whether nothing there is being waited for.

        Raises:
            StorageError: the disk refused; `next_look` says when to try again, and nothing is forgotten until then.
        """
        self.next_look = self._clock() + self._config.watch.settle
        listing = list(self._watcher.listing())
        self._say_whether_paused()
        self._ledger.observe_all(listing, now=self._timestamp())
        if self._watcher.complete:
            self._ledger.forget_vanished({file.relative for file in listing})
        while self._again:
            self._settler.forget(self._again.popleft())
        result = self._settler.look(listing, self._clock())
        self.next_look = result.next_look
        self._hold(listing, result.settled)
        self._carry_held(stop)
        stuck = self._settler.stuck(self._clock())
        for each in stuck:
            self._on_stuck(each)
        self.next_look = self._settler.next_look(self._clock())
        return not result.settled and not self._held and result.waiting <= len(stuck)

    def _hold(self, listing: list[FoundFile], settled: tuple[SettledFile, ...]) -> None:
        """Add what has just settled to what is held; what is gone, or no longer as it was, is the next looks' matter."""
        there = {(file.relative, file.inode, file.size, file.mtime_ns) for file in listing}
        held = (*self._held.values(), *settled)
        self._held = {
            file.relative: file for file in held if (file.relative, file.inode, file.size, file.mtime_ns) in there
        }

    def _carry_held(self, stop: threading.Event) -> None:
        """Carry every held file, in order; those that find no room in the spool are held until a receipt makes some."""
        too_large: int | None = None
        for file in list(self._held.values()):
            if stop.is_set():
                return
            self._on_turn()
            if too_large is not None and file.size >= too_large:
                continue
            try:
                self._carry(file)
            except SpoolFull as error:
                if too_large is None:
                    _LOG.warning("intake waits: %s; %s", error.message, error.hint)
                too_large = file.size
            else:
                del self._held[file.relative]

    def _carry(self, file: SettledFile, *, incomplete: bool = False) -> None:
        """Bring one settled file into the spool, or say why not.

        Raises:
            SpoolFull: there is no room for it now.
            StorageError: the ledger cannot be written now.
        """
        try:
            entry = self._ledger.observe(file, now=self._timestamp())
            carried = entry.state in CARRIED and not entry.lost
            if carried or (entry.state is FileState.IGNORED and not self._carries_unknown):
                return
            # Before the file is read: nothing else would come of it while there is no room.
            self._spool.require_room(file.size)
            inspection = self._sealer.inspect(file, incomplete=incomplete)
            if inspection.known or self._carries_unknown:
                self._seal(file, inspection)
            else:
                self._ledger.ignore(file, reason="unknown-format", now=self._timestamp())
        except SpoolFull:
            raise
        except EdgeError as error:
            self._on_error(file, error)
        except Exception as error:  # noqa: BLE001 - a defect that one file shows must not keep the others back
            _LOG.error("a file met a defect: %s", type(error).__name__)
            self._ledger.quarantine(file, reason="internal-error", now=self._timestamp())

    def _seal(self, file: SettledFile, inspection: Inspection) -> None:
        if file.size > self._config.limits.image_bytes:
            raise FileTooLarge("the file is over the size limit")
        sha256 = hash_file(file)
        known = self._ledger.recognise(file, sha256, now=self._timestamp())
        if known is not None and not known.lost:
            self._on_known(known, file)
            return
        if known is not None:
            self._ledger.advance(file, FileState.SEEN, now=self._timestamp())
        self._ledger.advance(file, FileState.SETTLED, now=self._timestamp())
        sequence = self._ledger.next_sequence()
        entropy = Entropy.draw(secrets.token_bytes)
        sealed: list[Sealed] = []

        def write(sink: BinaryIO) -> SignedEnvelope:
            sealed.append(self._sealer.seal(file, inspection, sink, sequence=sequence, entropy=entropy, sha256=sha256))
            return sealed[0].envelope

        image = self._spool.put(sequence, entropy.image_id, Origin.of(file, sha256), write)
        try:
            self._ledger.advance(file, FileState.SEALED, now=self._timestamp(), facts=_facts(sealed[0]))
        except EdgeError:
            # The file will be sealed once more; nobody has heard of this image, and two of one file must not be kept.
            self._spool.discard(image)
            raise
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
            # Also one that is gone: a share that loses a name for a moment still lists it afterwards.
            self._settler.defer(file, error, self._clock())
            return
        _LOG.error("a file is quarantined: %s", error.code)
        self._ledger.quarantine(file, reason=error.code, hint=error.hint, now=self._timestamp())

    def _on_stuck(self, stuck: StuckFile) -> None:
        if self._config.watch.incomplete == "carry" and isinstance(stuck.error, IncompleteFile):
            self._settler.take(stuck.file)
            self._carry_incomplete(stuck.file)
            return
        entry = self._ledger.find(stuck.file)
        if entry is None or entry.state is FileState.STUCK or entry.state in CARRIED:
            return
        _LOG.warning("a file is stuck: %s", stuck.error.code)
        self._ledger.stuck(stuck.file, reason=stuck.error.code, hint=stuck.error.hint, now=self._timestamp())

    def _carry_incomplete(self, file: SettledFile) -> None:
        try:
            self._carry(file, incomplete=True)
        except SpoolFull as error:
            self._settler.defer(file, error, self._clock())

    @property
    def _carries_unknown(self) -> bool:
        return self._config.watch.unknown == "carry"

    def _say_whether_paused(self) -> None:
        reason = self._watcher.pause_reason
        if not reason and not self._watcher.complete:
            reason = "a part of the folder may not be read: check its owner and its mode"
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
