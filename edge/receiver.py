"""The receiver: pull > verify > unseal > decipher > store > record > receipt; the mirror of `edge.daemon`.

A receipt is given last, when the image is durable under its final name and recorded. Logs name devices and image ids,
never a file name or a value from inside an envelope.
"""

from __future__ import annotations

import json
import logging
import math
import re
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edge import __version__, durable, protocol
from edge.archive import Archive
from edge.clock import WallClock
from edge.config import ReceiverConfig
from edge.envelope import sign
from edge.envelope.metadata import Metadata
from edge.envelope.sign import Receipt, ReceiptStatus, SignedEnvelope, VerifiedManifest
from edge.errors import (
    BadSignature,
    EdgeError,
    EnvelopeError,
    NotConnected,
    ReplayedEnvelope,
    StorageError,
    StoreFull,
    UnknownSigner,
)
from edge.health import IMAGE_SECONDS, TURN_SECONDS, Mark, Stage
from edge.keyring import ReceiverKeyring
from edge.storing import Arrival, Storer
from edge.transfer.messages import Topics
from edge.transfer.parts import Part, part_file
from edge.transfer.receive import ReceiveLoop
from edge.transfer.sparing import Allowance, SparingLog
from edge.transport.base import Message, Transport

_LOG = logging.getLogger(__name__)
_STATUS_SECONDS: Final = 60.0
_REST_SECONDS: Final = 60.0
"""How long after the last image nothing is held open in the store, which somebody may want to unmount."""
_SPARE_BYTES: Final = 64 * 1024 * 1024
"""Free space to leave beside a bulk and its plain image: the catalogue and the next receipt need a disk too."""
_PART_SECONDS: Final = 30 * 86_400.0
"""A part that has not grown for so long is removed: its device gave the image up, or offers it again from the start."""
_STRANGERS_AT_ONCE: Final = 32
_SECONDS_A_STRANGER: Final = 0.25
"""How often offers that no enrolled device signed are answered. The others are counted; an honest device offers again."""
_PART_NAME: Final = re.compile(rf"({protocol.IDENTITY_PATTERN})-([0-9a-f]{{32}})\.(?:part|have|key)")


@dataclass(slots=True)
class ReceiverCounts:
    """What happened since the start."""

    stored: int = 0
    rejected: int = 0
    repeated: int = 0
    not_ours: int = 0
    damaged: int = 0


class Receiver:
    """One receiver over one transport. `run` and `step` belong to one thread."""

    def __init__(
        self,
        *,
        config: ReceiverConfig,
        keyring: ReceiverKeyring,
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        alarms: Callable[[], tuple[str, ...]] = tuple,
        on_stored: Callable[[SignedEnvelope, Metadata, Path], None] | None = None,
    ) -> None:
        """Open store, catalogue and the folders of parts and quarantine.

        Raises:
            StorageError, LedgerCorrupt: the disk refused.
        """
        self._config = config
        self._keyring = keyring
        self._transport = transport
        self._wall = WallClock(now=now, monotonic=clock)
        self._outer_alarms = alarms
        self._said_alarms: tuple[str, ...] = ()
        self._clock = clock
        self._on_stored = on_stored
        state = config.receiver.state
        self._parts = state / "parts"
        self._quarantine = state / "quarantine"
        for folder in (self._parts, self._quarantine):
            durable.make_folder(folder)
        durable.sweep_temporaries(self._quarantine)
        self.archive = Archive(config.receiver.store, state / "catalogue.sqlite")
        self._storer = Storer(self.archive, keyring.unwrappers, self._timestamp)
        self._sweep_parts()
        self.topics = Topics(config.broker.prefix)
        self.counts = ReceiverCounts()
        self._log = SparingLog(_LOG, clock=clock)
        self._strangers = Allowance(burst=_STRANGERS_AT_ONCE, seconds=_SECONDS_A_STRANGER, clock=clock)
        self._boot = secrets.token_hex(8)
        self._generation = 0
        self._rest_at = math.inf
        self._status_at = 0.0
        self._turning = Mark()
        self._refusal: StorageError | None = None
        self._need = 0
        self._loop = ReceiveLoop(
            receiver=keyring.receiver_id,
            transport=transport,
            topics=self.topics,
            group=config.receiver.group,
            judge=self,
            parts=self._parts,
            credit=config.transfer.credit,
            active=config.transfer.active,
            stall=config.transfer.stall,
            clock=clock,
        )

    @property
    def busy(self) -> bool:
        """Whether an image is being pulled or waits for its turn."""
        return self._loop.busy

    @property
    def connected(self) -> bool:
        """Whether there is a broker to hear devices through."""
        return self._transport.connected

    @property
    def stages(self) -> tuple[Stage, ...]:
        """Return what must make progress while the receiver runs."""
        network = self._transport
        return (
            Stage("receiving", self._turning.idle, IMAGE_SECONDS),
            Stage("network", lambda: network.idle_seconds if network.alive else math.inf, TURN_SECONDS),
        )

    def start(self) -> None:
        """Connect and subscribe."""
        self._loop.subscribe()
        self._transport.start(Message(self.topics.status(self._keyring.receiver_id), self._status("offline")))

    def step(self) -> None:
        """Do what is there to do, or wait briefly."""
        self._turning.leave()
        if self._transport.generation != self._generation and self._transport.wait_subscribed(0.0):
            # Only once the subscriptions stand: this is what makes devices offer again at once.
            self._generation = self._transport.generation
            self._status_at = self._clock()
        if self._generation and (self._clock() >= self._status_at or self._outer_alarms() != self._said_alarms):
            self._publish_status()
        if self._clock() >= self._rest_at:
            self._rest_at = math.inf
            self.archive.rest()
        self._loop.step()

    def close(self) -> None:
        """Take leave of the broker and let go of all files."""
        self._transport.stop(Message(self.topics.status(self._keyring.receiver_id), self._status("offline")))
        self._loop.close()
        self.archive.close()

    # --- what ReceiveLoop asks --------------------------------------------------------------------------------------

    def judge(self, signed: SignedEnvelope) -> VerifiedManifest | bytes | None:
        """Verify a manifest; answer with a receipt where the image is known or can never be accepted."""
        manifest = signed.manifest
        if manifest.audience != self._keyring.receiver_id:
            # Before anything is verified: a device of another receiver is unknown here, and only that one answers it.
            self.counts.not_ours += 1
            return None
        try:
            verified = sign.verify_manifest(
                signed,
                devices=self._keyring.devices,
                audience=self._keyring.receiver_id,
                bulk_limit=self._config.limits.bulk_bytes,
            )
            known = self.archive.catalogue.find(manifest.device, manifest.image_id)
            if known is not None and known.manifest_hash != signed.manifest_hash:
                raise ReplayedEnvelope("another image came under this id before")
        except EnvelopeError as error:
            self.counts.rejected += 1
            self._log.warning("offer of %s rejected: %s", manifest.image_id.hex(), error.code)
            if isinstance(error, UnknownSigner | BadSignature) and not self._strangers.allows():
                return None
            return self._receipt(signed, ReceiptStatus.REJECTED, error.code)
        if manifest.issued_at > self._wall.seconds() + protocol.CLOCK_SKEW_SECONDS:
            self._log.warning("the clock of %s is more than a day ahead of this one", manifest.device)
        if known is not None:
            self.counts.repeated += 1
            return self._receipt(signed, ReceiptStatus(known.status), known.reason)
        try:
            self._require_room(manifest)
        except StorageError as error:
            # Nothing is asked for and nothing answered: the device keeps its image, and offers it again.
            self._on_refusal(error)
            return None
        return verified

    def _require_room(self, manifest: sign.Manifest) -> None:
        """Insist that an image can be fetched, deciphered and stored; one of which a part is here has its room.

        Raises:
            StoreFull: it cannot.
            StorageError: the disk does not say.
        """
        if not part_file(self._parts, manifest).exists():
            self._need = 2 * manifest.bulk_bytes + _SPARE_BYTES
            if self._least_free() < self._need:
                raise StoreFull("the receiver's disk has no room for this image")

    def finish(self, parts: Sequence[Part]) -> list[bytes | None]:
        """Open and store complete bulks, and answer for each, in order; None where another try is needed."""
        self._rest_at = self._clock() + _REST_SECONDS
        arrivals = self._storer.store(parts)
        receipts = [self._conclude(each) for each in arrivals]
        refusals = [each.error for each in arrivals if isinstance(each.error, StorageError)]
        if refusals or not all(each.error for each in arrivals):
            # Once for all: that others came with it and are stored must not hide what one of them met.
            self._on_refusal(refusals[-1] if refusals else None)
        return receipts

    def _conclude(self, arrival: Arrival) -> bytes | None:
        """Say what became of a bulk, and answer for it; None, too, where the disk does not let that come to an end."""
        try:
            return self._answer(arrival)
        except StorageError as error:
            # The others that came with it get their receipts.
            arrival.error = error
            name = arrival.part.verified.envelope.manifest.image_id.hex()
            _LOG.warning("image %s not answered for yet: %s", name, error.message)
            return None

    def _answer(self, arrival: Arrival) -> bytes | None:
        part, error = arrival.part, arrival.error
        signed = part.verified.envelope
        name = signed.manifest.image_id.hex()
        if isinstance(error, StorageError):
            _LOG.warning("image %s not stored yet: %s", name, error.message)
            return None
        if arrival.envelope is None and error is not None:
            # Damaged on the way or on our disk. The device's signature stands, so its image is fetched again; a
            # rejection here would let anybody who can flip a bit on the way keep an image from arriving.
            self.counts.damaged += 1
            _LOG.warning("image %s came damaged, fetching it again: %s", name, error.code)
            part.remove()
            return None
        if error is not None:
            self.counts.rejected += 1
            _LOG.error("image %s quarantined: %s", name, error.code)
            self._move_aside(part, error)
            self.archive.catalogue.record_rejected(signed, error.code, received_at=self._timestamp())
            return self._receipt(signed, ReceiptStatus.REJECTED, error.code)
        self.counts.stored += 1
        _LOG.info("image %s from %s stored", name, signed.manifest.device)
        if self._on_stored is not None and arrival.incoming is not None:
            self._on_stored(signed, arrival.incoming.metadata, arrival.place)
        part.remove()
        return self._receipt(signed, ReceiptStatus.STORED, "")

    def _move_aside(self, part: Part, error: EdgeError) -> None:
        manifest = part.verified.envelope.manifest
        stem = f"{manifest.device}-{manifest.image_id.hex()}"
        reason = {"reason": error.code, "message": error.message, "at": self._timestamp()}
        durable.write_atomically(self._quarantine / f"{stem}.reason.json", json.dumps(reason).encode())
        part.move_to(self._quarantine / f"{stem}.sealed")

    def _receipt(self, signed: SignedEnvelope, status: ReceiptStatus, reason: str) -> bytes:
        receipt = Receipt(
            receiver=self._keyring.receiver_id,
            device=signed.manifest.device,
            image_id=signed.manifest.image_id,
            manifest_hash=signed.manifest_hash,
            status=status,
            reason=reason,
            issued_at=self._wall.seconds(),
        )
        return sign.sign_receipt(receipt, self._keyring.signer)

    # --- status -----------------------------------------------------------------------------------------------------

    def _on_refusal(self, refusal: StorageError | None) -> None:
        """Note what the disk refused, or that it works again; the status says so at once."""
        if (refusal and refusal.code) != (self._refusal and self._refusal.code):
            if refusal is not None:
                _LOG.error("images are not stored now: %s (%s); %s", refusal.message, refusal.code, refusal.hint)
            else:
                _LOG.info("images are stored again")
            self._status_at = self._clock()
        self._refusal = refusal

    def _publish_status(self) -> None:
        self._said_alarms = self._outer_alarms()
        try:
            self._transport.publish(self.topics.status(self._keyring.receiver_id), self._status("online"), retain=True)
        except NotConnected:
            return  # the next connection publishes it
        self._status_at = self._clock() + _STATUS_SECONDS

    def _status(self, state: str) -> bytes:
        status = {
            "id": self._keyring.receiver_id,
            "role": "receiver",
            "state": state,
            "boot": self._boot,
            "connection": self._generation,
            "version": __version__,
            "stored": self.counts.stored,
            "rejected": self.counts.rejected,
            "damaged": self.counts.damaged,
            "malformed": self._loop.counts.malformed,
            "unexpected": self._loop.counts.unexpected,
            "faults": self._loop.counts.faults,
            "dropped": self._transport.counts.dropped,
            "free_bytes": self._free_bytes(),
            "alarms": [*self._outer_alarms(), *self._alarms(), *self._wall.alarms()],
        }
        return json.dumps(status).encode()

    def _alarms(self) -> list[str]:
        """Return the codes of what keeps images from being stored (README.md, "Alarms")."""
        try:
            free = self._least_free()
        except StorageError as error:
            return [error.code]
        if isinstance(self._refusal, StoreFull) and free >= self._need:
            self._on_refusal(None)  # there is room again, though nobody may have used it yet
        refusal = self._refusal or (StoreFull("the receiver's disk is all but full") if free < _SPARE_BYTES else None)
        return [refusal.code] if refusal else []

    def _free_bytes(self) -> int | None:
        """Return how much room the store has, None where it does not answer: a share may have gone."""
        try:
            return self.archive.free_bytes()
        except StorageError:
            return None

    def _least_free(self) -> int:
        return min(durable.free_bytes(self._parts), self.archive.free_bytes())

    def _timestamp(self) -> str:
        return self._wall.timestamp("seconds")

    def _sweep_parts(self) -> None:
        """Remove the parts of images that were recorded just before a crash, and those that nobody offers any more."""
        aged = self._wall.seconds() - _PART_SECONDS
        for path in self._parts.iterdir():
            match = _PART_NAME.fullmatch(path.name)
            if match is None:
                continue
            recorded = self.archive.catalogue.find(match[1], bytes.fromhex(match[2])) is not None
            try:
                if recorded or path.stat().st_mtime < aged:
                    path.unlink()
            except OSError as error:
                raise durable.storage_error(error) from error
