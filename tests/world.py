"""Build both ends of the way for tests: keys, configurations, a device and a receiver over a memory broker or a real one.

A `Site` is one device beside its scanner's folder, a `Hospital` one receiver. Both can be built again over the same
folders, as restarts do. Keys are the frozen ones of the test vectors, so that nothing waits for key generation.
"""

from __future__ import annotations

import atexit
import hashlib
import sqlite3
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import BinaryIO, Self

from edge import durable
from edge.catalogue import Delivered
from edge.clock import WallClock
from edge.config import DeviceConfig, ReceiverConfig
from edge.daemon import Daemon, Summary
from edge.deriving import Deriver, FeatureSource, ParameterSource
from edge.encrypt import Entropy, Sender, encrypt
from edge.envelope import keys, sign
from edge.envelope.sign import Receipt, ReceiptStatus, SignedEnvelope
from edge.errors import StorageError
from edge.intake.image import Inspector
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.pixels import PixelReader
from edge.keyring import DeviceKeyring, ReceiverKeyring, Signer, Trusted
from edge.receiver import Receiver
from edge.records import (
    Domain,
    FeatureNetworkName,
    FeatureVector,
    KeyFileMode,
    MetadataImage,
    NetworkName,
    NetworkOutputs,
    Picture,
    SettledFile,
)
from edge.sealing import Sealed, Sealer
from edge.spool import Origin, Spool, SpooledImage
from edge.stopping import Stop
from edge.transport.base import Message, Transport
from edge.transport.memory import MemoryBroker, MemoryTransport
from edge.transport.mqtt import MqttTransport
from tests.envelope import party

DEVICE = "device-1"
RECEIVER = party.AUDIENCE
PATIENCE_SECONDS = 30.0
QUICK: Mapping[str, object] = MappingProxyType(
    {
        "watch.settle": 0.02,
        "watch.stuck_after": 0.1,
        "transfer.offer_first": 0.2,
        "transfer.offer_max": 0.4,
        "spool.reserve_bytes": 0,
        "spool.reserve_percent": 0,
    }
)


class Clock:
    """A monotonic clock that goes on only when it is told to; seconds."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def tick(self, seconds: float) -> None:
        self.seconds += seconds


class UnhurriedTransport(MemoryTransport):
    """A memory transport that never sleeps: a test with one thread and a clock of its own steps both ends itself."""

    def receive(self, timeout: float) -> Message | None:
        """Take what is there and never wait for more."""
        return super().receive(0.0)


class SteadyNetwork:
    """A parameter network whose outputs depend on the metadata image and on nothing else; no runtime is needed."""

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Return 64 bytes drawn from the image's hash."""
        values = hashlib.sha512(image.pixels.tobytes()).digest()
        return NetworkOutputs(values, NetworkName.MOBILENETV2, bytes(32), "test")


class SteadyFeatures:
    """A feature network whose features depend on the picture and on nothing else; no runtime is needed."""

    def features(self, picture: Picture) -> FeatureVector:
        """Return 1000 bytes drawn from the picture's hash."""
        values = hashlib.shake_256(picture.pixels.tobytes()).digest(1000)
        return FeatureVector(values, FeatureNetworkName.VGG16, bytes(32), "test")


def _signer(name: str) -> Signer:
    signer = party.signer(name)
    assert isinstance(signer, keys.Ed25519Signer | keys.Pss256Signer)
    return signer


def device_keyring(
    name: str = DEVICE, *, receivers: Sequence[str] = (RECEIVER,), revoked: Sequence[str] = ()
) -> DeviceKeyring:
    """Return a device's keys; it seals for, and believes, each of `receivers`."""
    verifiers = [(each, keys.Verifier(party.private_key(f"{each}.sign").public_key())) for each in receivers]
    return DeviceKeyring(
        device_id=name,
        signer=_signer(name),
        recipients=tuple(party.recipient(each) for each in receivers),
        receivers={
            verifier.kid: Trusted(id=each, verifier=verifier, revoked=each in revoked) for each, verifier in verifiers
        },
    )


def receiver_keyring(
    name: str = RECEIVER, *, devices: Sequence[str] = (DEVICE, "device-2"), revoked: Sequence[str] = ()
) -> ReceiverKeyring:
    """Return a receiver's keys; it accepts the images of each of `devices` that is not among `revoked`."""
    verifiers = [(each, keys.Verifier(party.private_key(f"{each}.sign").public_key())) for each in devices]
    return ReceiverKeyring(
        receiver_id=name,
        unwrappers=party.unwrappers(name),
        signer=_signer(name),
        devices={
            verifier.kid: Trusted(id=each, verifier=verifier, revoked=each in revoked) for each, verifier in verifiers
        },
    )


def bytes_of(label: str, size: int) -> bytes:
    """Return `size` bytes that look random and are the same for a label."""
    return hashlib.shake_256(label.encode()).digest(size)


def slow_dicom() -> bytes:
    """Return a DICOM file of 5 MB that keeps its reader busy for many seconds: it has 600,000 elements."""
    preamble = bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    return preamble + struct.pack("<HH2sH", 9, 0x1001, b"LO", 0) * 600_000


def png(label: str, size: int = 40_000) -> bytes:
    """Return a file that is a PNG by its magic number and its end, and is filled up by a chunk that no reader minds."""

    def chunk(name: bytes, payload: bytes) -> bytes:
        import zlib

        return len(payload).to_bytes(4, "big") + name + payload + zlib.crc32(name + payload).to_bytes(4, "big")

    import zlib

    header = (1).to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"flLr", bytes_of(label, size))
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def receipt_for(
    image: SpooledImage,
    *,
    signer: str = RECEIVER,
    receiver: str = RECEIVER,
    status: ReceiptStatus = ReceiptStatus.STORED,
    **changes: object,
) -> bytes:
    """Return a signed receipt for a spooled image; `changes` spoil fields of it."""
    receipt = Receipt(
        receiver=receiver,
        device=image.envelope.manifest.device,
        image_id=image.image_id,
        manifest_hash=image.envelope.manifest_hash,
        status=status,
        reason="" if status is ReceiptStatus.STORED else "unknown-signer",
        issued_at=party.NOW,
    )
    return sign.sign_receipt(replace(receipt, **changes), party.signer(signer))  # type: ignore[arg-type]


def write_sealed(
    sink: BinaryIO,
    plain: bytes,
    *,
    entropy: Entropy,
    sequence: int,
    name: str = "image.png",
    device: str = DEVICE,
    signer: str | None = None,
    audience: str = RECEIVER,
    recipients: Sequence[str] = (RECEIVER,),
) -> SignedEnvelope:
    """Seal `plain` for a receiver; `signer` signs in the device's name where it is another."""
    from edge.chaos.parameters import parameters_from_secret
    from edge.records import MapName

    return encrypt(
        _Source(plain),
        sink,
        scan=party.scan_of(plain, relative=name),
        parameters=parameters_from_secret(MapName.LOGISTIC, entropy.secret),
        key_file=KeyFileMode.COMPACT,
        pixels=None,
        sender=Sender(
            device=device,
            audience=audience,
            signer=party.signer(signer or device),
            recipients=[party.recipient(each) for each in recipients],
        ),
        entropy=entropy,
        sequence=sequence,
        issued_at=party.ISSUED_AT,
    )


def spool_image(
    spool: Spool, plain: bytes, *, label: str = "image", sequence: int = 1, **changes: object
) -> SpooledImage:
    """Put a sealed image into a spool, as the loader does."""
    entropy = party.fixed_entropy(label)
    file = SettledFile(Path("/nowhere"), f"{label}.png", len(plain), 1_700_000_000_000_000_000, sequence, 1)
    return spool.put(
        sequence,
        entropy.image_id,
        Origin.of(file, hashlib.sha256(plain).digest()),
        lambda sink: write_sealed(
            sink,
            plain,
            entropy=entropy,
            sequence=sequence,
            **{"name": f"{label}.png", **changes},  # type: ignore[arg-type]
        ),
    )


class _Source:
    """Bytes as a stream."""

    def __init__(self, data: bytes) -> None:
        self._left = memoryview(data)

    def readinto(self, target: memoryview, /) -> int:
        """Fill `target` from its start."""
        count = min(len(target), len(self._left))
        target[:count] = self._left[:count]
        self._left = self._left[count:]
        return count


# --- the device's side ----------------------------------------------------------------------------------------------


@dataclass
class Site:
    """One device: its scanner's folder, its state, its keys. `settings` are configuration keys by dotted names."""

    root: Path
    name: str = DEVICE
    keyring: DeviceKeyring = field(default_factory=device_keyring)
    settings: Mapping[str, object] = field(default_factory=dict)
    load_parameters: Callable[[], ParameterSource] = SteadyNetwork
    load_features: Callable[[], FeatureSource] = SteadyFeatures
    wall: WallClock = field(default_factory=WallClock)

    def __post_init__(self) -> None:
        self.scans.mkdir(parents=True, exist_ok=True)

    @property
    def scans(self) -> Path:
        """The folder that the scanner writes to."""
        return self.root / "scans"

    @property
    def state(self) -> Path:
        """The folder of ledger and spool."""
        return self.root / "state"

    def config(self) -> DeviceConfig:
        """Return the configuration, as if it had been read from a file."""
        self.root.mkdir(parents=True, exist_ok=True)
        file = self.root / "config.toml"
        file.write_text(f'[device]\nid = "{self.name}"\naudience = "{RECEIVER}"\n')
        return DeviceConfig.load(file, environ={}, overrides={**QUICK, **self.settings, "watch.folder": self.scans})

    def scan(self, name: str, data: bytes) -> Path:
        """Let the scanner write a file."""
        path = self.scans / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    @contextmanager
    def sealer(self, config: DeviceConfig) -> Iterator[Sealer]:
        """Give what turns a settled file into a sealed image."""
        scratch = config.device.state / "scratch"
        durable.make_folder(scratch)
        reader = PixelReader() if config.cipher.domain is Domain.PIXELS or config.cipher.needs_features else None
        sealer = Sealer(
            sender=Sender(
                device=self.name,
                audience=config.device.audience,
                signer=self.keyring.signer,
                recipients=self.keyring.recipients,
            ),
            domain=config.cipher.domain,
            key_file=config.cipher.key_file,
            inspector=_inspector(),
            deriver=Deriver(
                chaotic_map=config.cipher.map,
                quantiser=config.cipher.quantiser,
                features=config.cipher.features,
                load_parameters=self.load_parameters,
                load_features=self.load_features,
                pixels=reader,
            ),
            wall=self.wall,
            scratch=scratch,
            pixels=reader,
        )
        yield sealer
        sealer.close()

    @contextmanager
    def daemon(
        self,
        transport: Transport,
        *,
        once: bool = True,
        on_sealed: Callable[[Sealed], None] = lambda _sealed: None,
        on_receipt: Callable[[Receipt], None] = lambda _receipt: None,
    ) -> Iterator[Daemon]:
        """Build a daemon over this site's folders; each call is a restart."""
        config = self.config()
        with ExitStack() as stack:
            sealer = stack.enter_context(self.sealer(config))
            yield stack.enter_context(
                Daemon(
                    config=config,
                    folder=self.scans,
                    keyring=self.keyring,
                    transport=transport,
                    sealer=sealer,
                    once=once,
                    wall=self.wall,
                    on_sealed=on_sealed,
                    on_receipt=on_receipt,
                )
            )

    def run_once(self, broker: MemoryBroker) -> Summary:
        """Do what `edge-encryptor --watch --once` does."""
        with self.daemon(MemoryTransport(broker)) as daemon, alarm() as stop:
            return daemon.run(stop)

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Return every row of the ledger."""
        try:
            with Ledger.open_read_only(self.state / "ledger.sqlite") as ledger:
                return ledger.entries()
        except StorageError:
            return ()  # it is still being made

    def states(self) -> dict[str, FileState]:
        """Return each file's state by its path below the scanner's folder; of the newest content at that path."""
        return {entry.relative: entry.state for entry in self.ledger()}

    def reasons(self) -> dict[str, str]:
        """Return each file's reason by its path below the scanner's folder."""
        return {entry.relative: entry.reason for entry in self.ledger()}

    def spooled(self) -> list[Path]:
        """Return the sealed images that wait for delivery."""
        return sorted((self.state / "spool").glob("*.sealed"))

    def quarantined(self) -> list[Path]:
        """Return the sealed images that were set aside."""
        return sorted((self.state / "spool" / "quarantine").glob("*.sealed"))


@cache
def _inspector() -> Inspector:
    """Return one inspector for all daemons of a test run: its worker process takes half a second to start."""
    inspector = Inspector()
    atexit.register(inspector.close)
    return inspector


@contextmanager
def alarm(seconds: float = PATIENCE_SECONDS) -> Iterator[Stop]:
    """Give a stop event that sets itself after a while: a daemon that waits for ever must not hold up the suite."""
    stop = Stop()
    timer = threading.Timer(seconds, stop.set)
    timer.daemon = True
    timer.start()
    try:
        yield stop
    finally:
        timer.cancel()


class RunningDaemon:
    """A daemon in a thread of its own; leaving the block stops it and raises what ended it early."""

    def __init__(
        self,
        site: Site,
        transport: Transport,
        *,
        once: bool = False,
        on_sealed: Callable[[Sealed], None] = lambda _sealed: None,
    ) -> None:
        self._site = site
        self._transport = transport
        self._once = once
        self._on_sealed = on_sealed
        self.daemon: Daemon | None = None
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name="daemon")
        self._failure: BaseException | None = None
        self.summary: Summary | None = None

    def _run(self) -> None:
        try:
            with self._site.daemon(self._transport, once=self._once, on_sealed=self._on_sealed) as daemon:
                self.daemon = daemon
                self.summary = daemon.run(self._stop)
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self._failure = error

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self._thread.is_alive()

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join(PATIENCE_SECONDS)
        if self._failure is not None and error is None:
            raise self._failure


# --- the hospital's side --------------------------------------------------------------------------------------------


@dataclass
class Hospital:
    """One receiver: its store, its state, its keys."""

    root: Path
    name: str = RECEIVER
    keyring: ReceiverKeyring = field(default_factory=receiver_keyring)
    settings: Mapping[str, object] = field(default_factory=dict)
    now: Callable[[], float] = time.time

    @property
    def store(self) -> Path:
        """Where images are stored."""
        return self.root / "store"

    @property
    def state(self) -> Path:
        """The folder of catalogue, parts and quarantine."""
        return self.root / "state"

    def config(self) -> ReceiverConfig:
        """Return the configuration, as if it had been read from a file."""
        self.root.mkdir(parents=True, exist_ok=True)
        file = self.root / "config.toml"
        file.write_text(f'[receiver]\nid = "{self.name}"\n')
        return ReceiverConfig.load(file, environ={}, overrides={"transfer.stall": 0.2, **self.settings})

    def receiver(self, transport: Transport, *, clock: Callable[[], float] = time.monotonic) -> Receiver:
        """Build the receiver over this hospital's folders; each call is a restart."""
        return Receiver(config=self.config(), keyring=self.keyring, transport=transport, clock=clock, now=self.now)

    def files(self) -> dict[str, bytes]:
        """Return what lies in the store, by path below it."""
        found = [path for path in self.store.glob("[!.]*/**/*") if path.is_file()]
        return {str(path.relative_to(self.store)): path.read_bytes() for path in found}

    def contents(self) -> list[bytes]:
        """Return the content of every stored file, sorted."""
        return sorted(self.files().values())

    def catalogue(self) -> list[Delivered]:
        """Return the catalogue, read beside the receiver that may be writing it."""
        uri = f"file:{self.state / 'catalogue.sqlite'}?mode=ro"
        connection = sqlite3.connect(uri, uri=True)
        try:
            return [Delivered(*row) for row in connection.execute("SELECT * FROM images ORDER BY rowid")]
        finally:
            connection.close()


class RunningReceiver:
    """A receiver in a thread of its own; leaving the block stops it and raises what ended it early."""

    def __init__(self, hospital: Hospital, transport: MemoryTransport | MqttTransport) -> None:
        self._transport = transport
        self.receiver = hospital.receiver(transport)
        self._stop = Stop()
        self._thread = threading.Thread(target=self._run, name="receiver")
        self._failure: BaseException | None = None

    def _run(self) -> None:
        try:
            self.receiver.start()
            while not self._stop.is_set():
                self.receiver.step()
        except BaseException as error:  # noqa: BLE001 - raised where the block ends
            self._failure = error

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self.receiver

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._transport.inbox.close()  # wakes it at once
        self._thread.join(PATIENCE_SECONDS)
        self.receiver.close()
        if self._failure is not None and error is None:
            raise self._failure


def until(condition: Callable[[], object], *, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait until `condition` holds; fail by name where it does not in a generous time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "what the test waits for did not happen"
        time.sleep(0.01)
