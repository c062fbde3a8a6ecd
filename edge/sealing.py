"""One settled file's way into a sealed image: read > metadata image > model > parameters | encipher > seal > sign.

What stands before the bar writes nothing and can be done while the file before is still being written. Used by the daemon,
which writes into the spool, and by `edge-encryptor encrypt`, which writes beside. The clock and all random values come in.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Final

from edge import encrypt
from edge.clock import WallClock
from edge.config import DeviceConfig
from edge.deriving import Derived, Deriver
from edge.encrypt import Entropy, Sender, Source
from edge.envelope.sign import SignedEnvelope
from edge.errors import PixelsUnavailable
from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.intake.image import Inspection, Inspector
from edge.intake.opening import opened
from edge.intake.pixels import PixelLimits, PixelReader
from edge.keyring import DeviceKeyring
from edge.records import (
    CaptureSource,
    CaptureTime,
    ChaosParameters,
    Domain,
    KeyFileMode,
    PixelImage,
    Scan,
    SettledFile,
)

_LOG = logging.getLogger(__name__)
NOTE_NO_PIXELS: Final = "pixels-unavailable"
NOTE_CLOCK_WRONG: Final = "clock-wrong"


@dataclass(frozen=True, slots=True)
class Prepared:
    """All that is known of a file before it is enciphered. The random values are its own: it is sealed once at most.

    `derived` is missing where it may not be needed.
    """

    scan: Scan
    entropy: Entropy
    derived: Derived | None


@dataclass(frozen=True, slots=True)
class StageTimes:
    """Seconds that the networks took, and what came after them."""

    model: float
    seal: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What came of sealing one file."""

    scan: Scan
    parameters: ChaosParameters
    envelope: SignedEnvelope
    domain: Domain
    times: StageTimes


class Sealer:
    """Turn settled files into sealed images. One thread seals; another one may inspect and prepare meanwhile."""

    def __init__(
        self,
        *,
        sender: Sender,
        domain: Domain,
        key_file: KeyFileMode,
        inspector: Inspector,
        deriver: Deriver,
        wall: WallClock,
        scratch: Path,
        operator_time: datetime | None = None,
        pixels: PixelReader | None = None,
    ) -> None:
        """Keep what all files share.

        Args:
            sender: for whom and by whom images are sealed.
            domain: what is enciphered.
            key_file: how the key file travels.
            inspector: reads metadata within limits.
            deriver: derives what an image's cipher starts from.
            wall: the time of day.
            scratch: a private folder for decoded pixels.
            operator_time: the operator's `--datetime`.
            pixels: decodes pixels within limits; needed for domain = pixels. The sealer ends its worker process.
        """
        self._sender = sender
        self._domain = domain
        self._key_file = key_file
        self._inspector = inspector
        self._deriver = deriver
        self._wall = wall
        self._scratch = scratch
        self._operator_time = operator_time
        self._pixel_reader = pixels

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the codes of what does not work now. Any thread may read them."""
        return self._deriver.alarms

    def load_networks(self) -> None:
        """Load the networks that images will need; one that cannot be used raises an alarm, not an error."""
        self._deriver.load()

    def close(self) -> None:
        """End the worker process that decodes pixels."""
        if self._pixel_reader is not None:
            self._pixel_reader.close()

    def inspect(self, file: SettledFile, *, incomplete: bool = False) -> Inspection:
        """Read what the file says of itself; with `incomplete` also of one that ends too early.

        Raises:
            EmptyFile, IncompleteFile, UnreadableFile, VanishedFile: a later look can help.
        """
        inspection = self._inspector.inspect(
            file,
            now=self._wall.latest(),
            operator=self._operator_time,
            incomplete=incomplete,
        )
        if inspection.capture.source is CaptureSource.CLOCK:
            inspection = replace(inspection, capture=CaptureTime(self._wall.moment(), CaptureSource.CLOCK))
        if self._wall.alarms():
            inspection = replace(inspection, notes=(*inspection.notes, NOTE_CLOCK_WRONG))
        return inspection

    def prepare(
        self, file: SettledFile, inspection: Inspection, sha256: bytes, entropy: Entropy, *, derive: bool = True
    ) -> Prepared:
        """Say what is known of a file whose content has this SHA-256, and with `derive` what its cipher starts from."""
        scan = _scan(file, inspection, sha256)
        return Prepared(scan, entropy, self._deriver.derive(scan, entropy.secret) if derive else None)

    def seal(self, prepared: Prepared, sink: BinaryIO, *, sequence: int) -> Sealed:
        """Encipher, seal and sign a file into `sink`.

        Raises:
            ChangedWhileRead, VanishedFile, UnreadableFile: a later look can help.
            CipherError, EnvelopeError, StorageError: as the stages say.
        """
        entropy = prepared.entropy
        derived = prepared.derived or self._deriver.derive(prepared.scan, entropy.secret)
        scan = replace(prepared.scan, notes=(*prepared.scan.notes, *derived.notes))
        start = time.perf_counter()
        with self._plain(scan) as (source, pixels, scan):
            envelope = encrypt.encrypt(
                source,
                sink,
                scan=scan,
                parameters=derived.parameters,
                features=derived.features,
                key_file=self._key_file,
                pixels=pixels,
                sender=self._sender,
                entropy=entropy,
                sequence=sequence,
                issued_at=self._wall.seconds(),
            )
        times = StageTimes(model=derived.seconds, seal=time.perf_counter() - start)
        domain = Domain.FILE if pixels is None else Domain.PIXELS
        return Sealed(scan=scan, parameters=derived.parameters, envelope=envelope, domain=domain, times=times)

    # --- plain bytes ------------------------------------------------------------------------------------------------

    @contextmanager
    def _plain(self, scan: Scan) -> Iterator[tuple[Source, PixelImage | None, Scan]]:
        """Open what is enciphered: the pixels where they are wanted and can be had, else the file's exact bytes."""
        dump = self._scratch / f"pixels-{os.urandom(8).hex()}.raw"
        try:
            pixels = self._pixels(scan.file, dump)
            if pixels is not None:
                with dump.open("rb", buffering=0) as source:
                    yield source, pixels, scan
                return
            if self._domain is Domain.PIXELS:
                scan = replace(scan, notes=(*scan.notes, NOTE_NO_PIXELS))
            with opened(scan.file) as source:
                yield source, None, scan
        finally:
            dump.unlink(missing_ok=True)

    def _pixels(self, file: SettledFile, dump: Path) -> PixelImage | None:
        if self._domain is Domain.FILE or self._pixel_reader is None:
            return None
        try:
            return self._pixel_reader.decode(file, dump)
        except PixelsUnavailable as error:
            _LOG.warning("pixels cannot be had, the file's bytes are carried: %s", error.code)
            return None


def inspector_for(config: DeviceConfig) -> Inspector:
    """Return the metadata reader that a configuration describes."""
    limits = config.limits
    return Inspector(
        memory_limit=limits.inspect_memory,
        timeout=limits.inspect_timeout,
        max_pixels=limits.max_pixels,
        fallbacks=config.watch.capture_fallbacks,
    )


def sealer_for(
    config: DeviceConfig,
    keyring: DeviceKeyring,
    inspector: Inspector,
    *,
    scratch: Path,
    operator_time: datetime | None = None,
    wall: WallClock | None = None,
) -> Sealer:
    """Join the parts that turn a settled file into a sealed image, as a configuration describes them."""
    cipher, limits = config.cipher, config.limits
    reader = None
    if cipher.domain is Domain.PIXELS or cipher.needs_features:
        reader = PixelReader(
            PixelLimits(memory=limits.pixels_memory, timeout=limits.pixels_timeout, max_pixels=limits.max_pixels)
        )
    return Sealer(
        sender=Sender(
            device=config.device.id,
            audience=config.device.audience,
            signer=keyring.signer,
            recipients=keyring.recipients,
        ),
        domain=cipher.domain,
        key_file=cipher.key_file,
        inspector=inspector,
        deriver=Deriver(
            chaotic_map=cipher.map,
            quantiser=cipher.quantiser,
            features=cipher.features,
            load_parameters=lambda: ParameterNetwork.load(cipher.network),
            load_features=FeatureNetwork.load,
            pixels=reader,
        ),
        wall=wall or WallClock(),
        scratch=scratch,
        operator_time=operator_time,
        pixels=reader,
    )


def _scan(file: SettledFile, inspection: Inspection, sha256: bytes) -> Scan:
    return Scan(
        file=file,
        sha256=sha256,
        media_type=inspection.media_type,
        capture=inspection.capture,
        camera=inspection.camera,
        width=inspection.width,
        height=inspection.height,
        notes=inspection.notes,
    )
