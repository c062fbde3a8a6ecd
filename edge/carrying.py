"""One settled file's way into the spool: read > recognise > encipher > seal > keep, each step recorded in the ledger.

Reading writes nothing, and is done in a thread of its own. What is sealed is kept together with what
comes right behind it: a disk takes hardly longer to sync eight small images than one, and SD cards wear by syncs.

The rule kept here: nobody hears of an image before it is durable in the spool and in the ledger. Logs never name a file.
"""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import BinaryIO, Final

from edge.ahead import Ahead
from edge.config import DeviceConfig
from edge.encrypt import Entropy
from edge.envelope.sign import SignedEnvelope
from edge.errors import EdgeError, FileTooLarge, StorageError
from edge.intake.ledger import FileState, ImageFacts, Ledger, LedgerEntry
from edge.intake.opening import hash_file
from edge.intake.states import CARRIED
from edge.intake.worker import FAILURES
from edge.records import SettledFile
from edge.sealing import Prepared, Sealed, Sealer
from edge.spool import Origin, Spool, SpooledImage, WrittenImage

_LOG = logging.getLogger(__name__)

TOGETHER_MAX: Final = 8
TOGETHER_BYTES: Final = 4 << 20
"""How many images, and bytes of files, are kept together at most. Syncing more of them costs a byte as much as one does."""

Reading = Future[Prepared | None] | None
"""What is being learnt of a file; nothing where it is not to be carried, or not any more."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A sealed image that is not kept yet."""

    file: SettledFile
    sealed: Sealed
    written: WrittenImage


class Carrier:
    """Bring files into the spool, one after the other. One thread uses it, and it has one of its own for reading ahead."""

    def __init__(
        self,
        *,
        config: DeviceConfig,
        sealer: Sealer,
        ledger: Ledger,
        spool: Spool,
        timestamp: Callable[[], str],
        on_sealed: Callable[[Sealed, SpooledImage], None],
        on_known: Callable[[LedgerEntry, SettledFile], None],
        on_error: Callable[[SettledFile, EdgeError], None],
    ) -> None:
        """Keep what all files share.

        Args:
            config: limits, and what is to be carried.
            sealer: reads and seals.
            ledger: where each step is recorded.
            spool: where sealed images go.
            timestamp: the time of day, as the ledger wants it.
            on_sealed: hears of each image that is kept.
            on_known: hears of a file whose content is carried already.
            on_error: hears of a file that cannot be carried as it is, or not now, for another reason than the disk's.
        """
        self._config = config
        self._sealer = sealer
        self._ledger = ledger
        self._spool = spool
        self._timestamp = timestamp
        self._on_sealed = on_sealed
        self._on_known = on_known
        self._on_error = on_error
        self._ahead = Ahead("reading")
        self._waiting: list[_Waiting] = []
        self._most = 1

    def close(self) -> None:
        """Begin no more reading, and leave nothing of what was not kept."""
        self._ahead.close()
        self.give_up()

    # --- reading ----------------------------------------------------------------------------------------------------

    def begin(self, file: SettledFile, *, incomplete: bool = False) -> Reading:
        """Begin to read a file that is to be carried; what keeps it from that is raised by the future."""
        try:
            entry = self._ledger.observe(file, now=self._timestamp())
            carried = entry.state in CARRIED and not entry.lost and not entry.unread
            if carried or (entry.state is FileState.IGNORED and not self._carries_unknown):
                return None
            # Before the file is read: nothing else would come of it while there is no room.
            self._spool.require_room(file.size)
            return self._ahead.do(lambda: self._read(file, incomplete=incomplete))
        except Exception as error:  # noqa: BLE001 - raised where the file has its turn, a defect too
            refused: Future[Prepared | None] = Future()
            refused.set_exception(error)
            return refused

    def _read(self, file: SettledFile, *, incomplete: bool) -> Prepared | None:
        """Learn all that sealing needs to know of a file; None where it is no image to carry. It writes nothing."""
        inspection = self._sealer.inspect(file, incomplete=incomplete)
        for failure in FAILURES.intersection(inspection.notes):
            _LOG.warning("a file is carried without its metadata: %s", failure)
        if not inspection.known and not self._carries_unknown:
            return None
        if file.size > self._config.limits.image_bytes:
            raise FileTooLarge("the file is over the size limit")
        sha256, entropy = hash_file(file), Entropy.draw(secrets.token_bytes)
        # What came back, as it does where a share numbers its files anew, is most likely not sealed once more.
        return self._sealer.prepare(file, inspection, sha256, entropy, derive=not self._ledger.knows(sha256))

    @property
    def _carries_unknown(self) -> bool:
        return self._config.watch.unknown == "carry"

    # --- sealing ----------------------------------------------------------------------------------------------------

    def seal(self, file: SettledFile, reading: Reading) -> bool:
        """Seal a file and return True: it waits to be kept. Or do what is to be done with it otherwise, and return False.

        Raises:
            SpoolFull: there is no room for it now.
            StorageError: the disk or the machine refuses now.
        """
        if reading is None:
            return False
        try:
            prepared = reading.result()
            if prepared is not None:
                return self._seal(file, prepared)
            self._ledger.ignore(file, reason="unknown-format", now=self._timestamp())
        except StorageError:
            raise
        except Exception as error:
            if refusal := self._set_aside(file, error):
                raise refusal from error
        return False

    def _seal(self, file: SettledFile, prepared: Prepared) -> bool:
        sha256 = prepared.scan.sha256
        known = self._ledger.recognise(file, sha256, now=self._timestamp())
        if known is not None and not known.lost:
            self._on_known(known, file)
            return False
        # The file before it may have taken what room there was when this one was begun.
        self._spool.require_room(file.size)
        sequence = self._ledger.begin_sealing(file, sha256, now=self._timestamp())
        sealed: list[Sealed] = []

        def write(sink: BinaryIO) -> SignedEnvelope:
            sealed.append(self._sealer.seal(prepared, sink, sequence=sequence))
            return sealed[0].envelope

        written = self._spool.write(sequence, prepared.entropy.image_id, Origin.of(file, sha256), write)
        self._waiting.append(_Waiting(file, sealed[0], written))
        return True

    def _set_aside(self, file: SettledFile, error: Exception) -> StorageError | None:
        """Say why a file is not carried, and return what kept that from being recorded."""
        try:
            if isinstance(error, EdgeError):
                self._on_error(file, error)
            else:
                _LOG.error("a file met a defect: %s", type(error).__name__)
                self._ledger.quarantine(file, reason="internal-error", now=self._timestamp())
        except StorageError as refusal:
            return refusal
        return None

    # --- keeping ----------------------------------------------------------------------------------------------------

    @property
    def full(self) -> bool:
        """Whether so much waits to be kept that no more should: of many images that come at once, the first go on at once."""
        return len(self._waiting) >= self._most or sum(each.file.size for each in self._waiting) >= TOGETHER_BYTES

    def keep(self) -> list[tuple[SettledFile, StorageError | None]]:
        """Keep what waits, and return each file with what the disk refused, if anything: it has to be carried once more."""
        if not self._waiting:
            self._most = 1
            return []
        self._most = min(2 * len(self._waiting), TOGETHER_MAX)
        outcomes = self._spool.keep([each.written for each in self._waiting])
        waiting, self._waiting = self._waiting, []
        kept: list[_Waiting] = []
        refused: list[tuple[SettledFile, StorageError | None]] = []
        for each, outcome in zip(waiting, outcomes, strict=True):
            if isinstance(outcome, StorageError):
                refused.append((each.file, outcome))
            else:
                kept.append(each)
        return [*self._record(kept), *refused]

    def _record(self, kept: Sequence[_Waiting]) -> list[tuple[SettledFile, StorageError | None]]:
        """Record images that the spool has, all at once, and let them be offered."""
        try:
            self._ledger.advance_all(
                [(each.file, _facts(each.sealed)) for each in kept], FileState.SEALED, now=self._timestamp()
            )
        except Exception as error:  # noqa: BLE001 - a defect that one file shows must not keep the others back
            if len(kept) > 1 and not isinstance(error, StorageError):
                return [outcome for each in kept for outcome in self._record([each])]
            try:
                # Nobody has heard of these images. Their files may be sealed once more, and two of one must not be kept.
                self._spool.discard(*(each.written.image for each in kept))
            except StorageError as refusal:
                return [(each.file, refusal) for each in kept]
            if isinstance(error, StorageError):
                return [(each.file, error) for each in kept]
            return [(each.file, self._set_aside(each.file, error)) for each in kept]
        return [(each.file, self._announce(each)) for each in kept]

    def _announce(self, kept: _Waiting) -> StorageError | None:
        _LOG.info("image %s sealed", kept.written.image.image_id.hex())
        try:
            self._on_sealed(kept.sealed, kept.written.image)
        except StorageError as error:
            return error
        except Exception as error:  # noqa: BLE001 - as above
            return self._set_aside(kept.file, error)
        return None

    def give_up(self) -> None:
        """Leave nothing of what waits to be kept: its files are as they were."""
        waiting, self._waiting = self._waiting, []
        self._spool.give_up([each.written for each in waiting])


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
