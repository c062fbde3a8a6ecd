"""Receipts in: ledger > spool > original > ledger, each step durable before the next, and the same after a crash.

A verified `stored` receipt is the only thing that frees the spool or touches an original.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

from edge import durable
from edge.config import WatchTable
from edge.disposal import dispose, sweep
from edge.envelope.sign import Receipt, ReceiptStatus
from edge.errors import EdgeError, StorageError
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.states import DAMAGED_IN_SPOOL, MISSING_FROM_SPOOL
from edge.records import SettledFile
from edge.spool import Spool, SpooledImage

_LOG = logging.getLogger(__name__)
_REJECTED = "rejected-"
_REFUSALS_MAX = 4
"""After so many originals in a row that could not be disposed of, the others wait too: each is read before it goes."""
_LOST_HINT = "it is sealed once more as long as its original is in the watched folder; check the device's disk"


class Delivery:
    """Record what became of the images of the spool. Ledger and spool may be shared with other threads."""

    def __init__(
        self,
        *,
        folder: Path,
        is_there: Callable[[], bool],
        watch: WatchTable,
        ledger: Ledger,
        spool: Spool,
        timestamp: Callable[[], str],
    ) -> None:
        self._folder = folder
        self._is_there = is_there
        self._watch = watch
        self._ledger = ledger
        self._spool = spool
        self._timestamp = timestamp
        self.originals_wait = False

    def offered(self, images: Sequence[SpooledImage]) -> None:
        """Record that images have been offered; those that have been before are recorded already."""
        entries = ((image.image_id.hex(), self._ledger.by_image(image.image_id.hex())) for image in images)
        new = [(name, None) for name, entry in entries if entry is not None and entry.state is FileState.SEALED]
        self._ledger.advance_all(new, FileState.OFFERED, now=self._timestamp())

    def receipted(self, receipts: Sequence[tuple[SpooledImage, Receipt]]) -> None:
        """Act on verified receipts, on all that came at once, each step durable before the next: ledger, spool, originals.

        Doing it again after an error does what is left.

        Raises:
            EdgeError: the ledger does not know an image, or has it in a state that no receipt can follow.
            StorageError: the disk refused.
        """
        stored = [image for image, receipt in receipts if receipt.status is ReceiptStatus.STORED]
        for image, receipt in receipts:
            if receipt.status is ReceiptStatus.REJECTED:
                self._rejected(image, receipt)
            else:
                _LOG.info("image %s is stored at %s", image.image_id.hex(), receipt.receiver)
        if not stored:
            return
        try:
            self._record(stored)
        except StorageError:
            if not self._spool.exhausted:
                raise
            # A full disk would stay full for ever: what the hospital has makes room to record that it has it.
            self._spool.discard(stored[0])
            self._record(stored)
        self._spool.discard(*stored)
        if self._watch.original == "keep":
            return
        for image in stored:
            entry = self._ledger.by_image(image.image_id.hex())
            if entry is not None and entry.state is FileState.RECEIPTED:
                self._dispose(entry)

    def _record(self, stored: Sequence[SpooledImage]) -> None:
        # Where originals are kept there is nothing to do with them: they are disposed of with the receipt.
        states = (FileState.RECEIPTED, *([FileState.DISPOSED] if self._watch.original == "keep" else []))
        names = [image.image_id.hex() for image in stored]
        if self._watch.original != "keep":
            # The originals of some may be disposed of already, where those of others could not be.
            names = [name for name in names if not self._is_disposed(name)]
        self._ledger.advance_all([(name, None) for name in names], *states, now=self._timestamp())

    def _is_disposed(self, name: str) -> bool:
        entry = self._ledger.by_image(name)
        return entry is not None and entry.state is FileState.DISPOSED

    def _rejected(self, image: SpooledImage, receipt: Receipt) -> None:
        name = image.image_id.hex()
        _LOG.error("image %s was rejected by %s: %s", name, receipt.receiver, receipt.reason)
        hint = "correct the reason at the receiver, then restart edge-encryptor: it offers rejected images once more"
        self._ledger.quarantine(name, reason=f"{_REJECTED}{receipt.reason}", hint=hint, now=self._timestamp())
        self._spool.quarantine(image)

    def damaged(self, image: SpooledImage) -> None:
        """Set aside an image that the spool no longer holds as it was signed; its original is sealed once more."""
        name = image.image_id.hex()
        _LOG.error("image %s is damaged in the spool", name)
        self._ledger.quarantine(name, reason=DAMAGED_IN_SPOOL, hint=_LOST_HINT, now=self._timestamp())
        self._spool.quarantine(image)

    def known(self, entry: LedgerEntry, file: SettledFile) -> None:
        """Dispose of a file that came back with content already delivered, as its first copy was."""
        if entry.state is FileState.DISPOSED:
            self._sweep(entry)
            self._act(entry, file)

    def recover(self) -> list[SpooledImage]:
        """Join what spool and ledger say after a crash, and return the images still to be delivered, oldest first.

        The spool's files are the truth about what is sealed; what a receipt did is never undone.

        Raises:
            StorageError: the disk refused.
        """
        waiting: list[SpooledImage] = []
        self._take_back()
        spooled = {image.image_id.hex(): image for image in self._spool.images()}
        for name, image in spooled.items():
            origin = image.origin
            rows = [row for row in self._ledger.by_hash(origin.sha256) if row.relative == origin.relative]
            if name not in {row.image_id for row in rows} and any(
                _has_arrived(row) or (row.image_id in spooled and not row.lost) for row in rows
            ):
                # The disk refused to record this one and then to remove it, and its file was sealed once more.
                self._spool.discard(image)
                continue
            entry = self._ledger.restore(
                origin,
                image_id=name,
                sequence=image.sequence,
                sha256=origin.sha256,
                sealed_bytes=len(image.envelope.raw) + image.envelope.manifest.bulk_bytes,
                now=self._timestamp(),
            )
            if _was_rejected(entry):
                entry = self._ledger.advance(name, FileState.SEALED, now=self._timestamp())
            if entry.state in (FileState.SEALED, FileState.OFFERED):
                waiting.append(image)
            elif entry.state is FileState.QUARANTINED:
                self._spool.quarantine(image)
            elif _has_arrived(entry):
                self._spool.discard(image)
        for entry in self._ledger.entries({FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED}):
            if entry.state is FileState.RECEIPTED:
                self._sweep(entry)
                self._dispose(entry)
            elif entry.image_id not in spooled:
                # Somebody removed the sealed file. Where the original is gone too, the row is all that tells of it.
                _LOG.error("image %s is missing from the spool", entry.image_id)
                self._ledger.quarantine(entry, reason=MISSING_FROM_SPOOL, hint=_LOST_HINT, now=self._timestamp())
        return waiting

    def _take_back(self) -> None:
        """Give what a receiver rejected one more try at each start: the reason may have been corrected since.

        Also an image of which a new ledger knows nothing: it cannot tell why the image was set aside, and without a row
        nobody would see it again. One whose file was sealed once more stays where it is.
        """
        carried = {(image.origin.relative, image.origin.sha256) for image in self._spool.images()}
        for image in reversed(self._spool.quarantined()):
            origin = image.origin
            entry = self._ledger.by_image(image.image_id.hex())
            if entry is None:
                rows = self._ledger.by_hash(origin.sha256)
                carried |= {(row.relative, origin.sha256) for row in rows}
                if (origin.relative, origin.sha256) in carried:
                    continue
                carried.add((origin.relative, origin.sha256))
            elif not _was_rejected(entry):
                continue
            self._spool.take_back(image)

    def dispose_again(self) -> None:
        """Try those originals once more that could not be moved or deleted: the folder may have been read-only.

        It belongs to the thread that hands receipts on.
        """
        waiting, refused = False, 0
        try:
            for entry in self._ledger.entries({FileState.RECEIPTED}):
                self._sweep(entry)
                refused = 0 if self._dispose(entry) else refused + 1
                waiting = waiting or refused > 0
                if refused >= _REFUSALS_MAX:
                    break
        except StorageError as error:
            _LOG.debug("originals stay: %s", error.message)
            waiting = True
        if not waiting:
            _LOG.info("all originals are disposed of")
        self.originals_wait = waiting

    def _dispose(self, entry: LedgerEntry) -> bool:
        """Dispose of the original of a receipted image, if it is still there, and return whether that is done."""
        path = self._folder / entry.relative
        try:
            # What is kept is not even looked at: its share may hang, and delivery must not hang with it.
            device = 0 if self._watch.original == "keep" else path.lstat().st_dev
        except OSError as error:
            gone = isinstance(error, FileNotFoundError | NotADirectoryError)
            if not (gone and self._is_there() and self._is_durably_gone(path)):
                # The share it is on may have gone, and the original with it for now.
                self.originals_wait = True
                return False
            self._ledger.advance(entry, FileState.DISPOSED, now=self._timestamp())
            return True
        file = SettledFile(path, entry.relative, entry.size, entry.mtime_ns, entry.inode, device)
        if not self._act(entry, file):
            return False
        self._ledger.advance(entry, FileState.DISPOSED, now=self._timestamp())
        return True

    def _is_durably_gone(self, path: Path) -> bool:
        """Make sure that a power cut does not bring back an original whose removal an earlier run did not sync."""
        if path.parent.is_dir():
            try:
                durable.fsync_folder(path.parent)
            except StorageError as error:
                _LOG.warning("the removal of an original is not durable yet: %s", error.message)
                return False
        return True

    def _sweep(self, entry: LedgerEntry) -> None:
        """Remove what is left of a move that did not come to its end."""
        if self._watch.original == "move" and self._watch.move_to is not None:
            try:
                sweep(entry.relative, self._watch.move_to)
            except StorageError as error:
                _LOG.warning("what an interrupted move left stays: %s", error.message)

    def _act(self, entry: LedgerEntry, file: SettledFile) -> bool:
        """Keep, move or delete; return whether that is done."""
        try:
            dispose(file, entry.sha256 or b"", policy=self._watch.original, move_to=self._watch.move_to)
        except EdgeError as error:
            # The image is safe at the hospital; the original stays where it is for now.
            level = logging.DEBUG if self.originals_wait else logging.WARNING
            _LOG.log(level, "the original of image %s stays: %s", entry.image_id, error.code)
            self.originals_wait = True
            return False
        return True


def _has_arrived(entry: LedgerEntry) -> bool:
    return entry.state in (FileState.RECEIPTED, FileState.DISPOSED)


def _was_rejected(entry: LedgerEntry) -> bool:
    return entry.state is FileState.QUARANTINED and entry.reason.startswith(_REJECTED)
