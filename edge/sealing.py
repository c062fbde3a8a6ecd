"""One settled file's way into a sealed image: read > metadata image > model > parameters > encipher > seal > sign.

Used by the daemon, which writes into the spool, and by `edge-encryptor encrypt`, which writes beside. The clock and all
random values come in; a network that cannot be used costs variety, never an image.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from edge import encrypt
from edge.chaos import parameters as chaos_parameters
from edge.config import DeviceConfig
from edge.encrypt import Entropy, Sender, Source
from edge.envelope.sign import SignedEnvelope
from edge.errors import ModelError, PixelsUnavailable
from edge.inference import ParameterNetwork
from edge.intake.image import Inspection, Inspector
from edge.intake.opening import opened
from edge.intake.pixels import PixelLimits, PixelReader
from edge.keyring import DeviceKeyring
from edge.metadata_image import metadata_image
from edge.records import (
    ChaosParameters,
    Domain,
    KeyFileMode,
    MapName,
    MetadataImage,
    MetadataRecord,
    NetworkOutputs,
    PixelImage,
    Scan,
    SettledFile,
)

_LOG = logging.getLogger(__name__)
NOTE_NO_NETWORK: Final = "parameters-from-secret"
NOTE_NO_PIXELS: Final = "pixels-unavailable"


class Network(Protocol):
    """Something that turns a metadata image into 16 output bytes."""

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Run the network once."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """Which of the published ways an image takes."""

    map: MapName
    domain: Domain
    key_file: KeyFileMode


@dataclass(slots=True)
class StageTimes:
    """Seconds that each stage took."""

    read: float = 0.0
    model: float = 0.0
    seal: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sealed:
    """What came of sealing one file."""

    scan: Scan
    parameters: ChaosParameters
    envelope: SignedEnvelope
    domain: Domain
    times: StageTimes = field(default_factory=StageTimes)


class Sealer:
    """Turn settled files into sealed images. One thread uses it."""

    def __init__(
        self,
        *,
        sender: Sender,
        choices: Choices,
        inspector: Inspector,
        load_network: Callable[[], Network],
        now: Callable[[], float],
        scratch: Path,
        operator_time: datetime | None = None,
        pixels: PixelReader | None = None,
    ) -> None:
        """Keep what all files share.

        Args:
            sender: for whom and by whom images are sealed.
            choices: map, domain and key file.
            inspector: reads metadata within limits.
            load_network: loads the parameter network; called when the first file needs it.
            now: seconds since 1970.
            scratch: a private folder for decoded pixels.
            operator_time: the operator's `--datetime`.
            pixels: decodes pixels within limits; needed for domain = pixels.
        """
        self._sender = sender
        self._choices = choices
        self._inspector = inspector
        self._load_network = load_network
        self._now = now
        self._scratch = scratch
        self._operator_time = operator_time
        self._pixel_reader = pixels
        self._network: Network | None = None
        self._network_failed = False

    def close(self) -> None:
        """End the worker process that decodes pixels."""
        if self._pixel_reader is not None:
            self._pixel_reader.close()

    def inspect(self, file: SettledFile, *, incomplete: bool = False) -> Inspection:
        """Read what the file says of itself; with `incomplete` also of one that ends too early.

        Raises:
            EmptyFile, IncompleteFile, UnreadableFile, VanishedFile: a later look can help.
        """
        return self._inspector.inspect(
            file,
            now=datetime.fromtimestamp(self._now(), UTC),
            operator=self._operator_time,
            incomplete=incomplete,
        )

    def seal(
        self,
        file: SettledFile,
        inspection: Inspection,
        sink: BinaryIO,
        *,
        sequence: int,
        entropy: Entropy,
        sha256: bytes,
    ) -> Sealed:
        """Encipher, seal and sign `file`, whose content has this SHA-256, into `sink`.

        Raises:
            ChangedWhileRead, VanishedFile, UnreadableFile: a later look can help.
            CipherError, EnvelopeError, StorageError: as the stages say.
        """
        times = StageTimes()
        scan = _scan(file, inspection, sha256)
        with _timed(times, "model"):
            parameters, scan = self._parameters(scan, entropy)
        with _timed(times, "seal"), self._plain(scan) as (source, pixels, scan):
            envelope = encrypt.encrypt(
                source,
                sink,
                scan=scan,
                parameters=parameters,
                key_file=self._choices.key_file,
                pixels=pixels,
                sender=self._sender,
                entropy=entropy,
                sequence=sequence,
                issued_at=int(self._now()),
            )
        domain = Domain.FILE if pixels is None else Domain.PIXELS
        return Sealed(scan=scan, parameters=parameters, envelope=envelope, domain=domain, times=times)

    # --- metadata image > model > parameters ------------------------------------------------------------------------

    def _parameters(self, scan: Scan, entropy: Entropy) -> tuple[ChaosParameters, Scan]:
        record = MetadataRecord(scan.capture.moment, scan.camera, scan.width, scan.height, scan.file.size)
        try:
            image = metadata_image(record)
            if self._network is None and not self._network_failed:
                self._network = self._load_network()
            if self._network is not None:
                outputs = self._network.outputs(image)
                return chaos_parameters.parameters_from_outputs(self._choices.map, outputs), scan
        except ModelError as error:
            # The image still goes: parameters are drawn from its secret, and it is said with it.
            self._network_failed = self._network is None
            _LOG.error("parameter network unusable, parameters come from each image's secret: %s", error.code)
        drawn = chaos_parameters.parameters_from_secret(self._choices.map, entropy.secret)
        return drawn, replace(scan, notes=(*scan.notes, NOTE_NO_NETWORK))

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
            if self._choices.domain is Domain.PIXELS:
                scan = replace(scan, notes=(*scan.notes, NOTE_NO_PIXELS))
            with opened(scan.file) as source:
                yield source, None, scan
        finally:
            dump.unlink(missing_ok=True)

    def _pixels(self, file: SettledFile, dump: Path) -> PixelImage | None:
        if self._choices.domain is Domain.FILE or self._pixel_reader is None:
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
) -> Sealer:
    """Join the parts that turn a settled file into a sealed image, as a configuration describes them."""
    limits = PixelLimits(
        memory=config.limits.pixels_memory, timeout=config.limits.pixels_timeout, max_pixels=config.limits.max_pixels
    )
    return Sealer(
        sender=Sender(
            device=config.device.id,
            audience=config.device.audience,
            signer=keyring.signer,
            recipients=keyring.recipients,
        ),
        choices=Choices(map=config.cipher.map, domain=config.cipher.domain, key_file=config.cipher.key_file),
        inspector=inspector,
        load_network=lambda: ParameterNetwork.load(config.cipher.network),
        now=time.time,
        scratch=scratch,
        operator_time=operator_time,
        pixels=PixelReader(limits) if config.cipher.domain is Domain.PIXELS else None,
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


@contextmanager
def _timed(times: StageTimes, stage: str) -> Iterator[None]:
    start = time.perf_counter()
    try:
        yield
    finally:
        setattr(times, stage, getattr(times, stage) + time.perf_counter() - start)
