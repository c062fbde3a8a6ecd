"""A device beside its scanner's folder."""

from __future__ import annotations

import atexit
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Self

from edge import durable
from edge.clock import WallClock
from edge.config import DeviceConfig
from edge.daemon import Daemon, Summary
from edge.deriving import Deriver, FeatureSource, ParameterSource
from edge.encrypt import Sender
from edge.envelope.sign import Receipt
from edge.errors import StorageError
from edge.intake.image import Inspector
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.pixels import PixelReader
from edge.keyring import DeviceKeyring
from edge.records import Domain
from edge.sealing import Sealed, Sealer
from edge.stopping import Stop
from edge.transport.base import Transport
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world.keyrings import DEVICE, RECEIVER, device_keyring
from tests.world.networks import SteadyFeatures, SteadyNetwork
from tests.world.waiting import Running, alarm, until

_QUICK: Mapping[str, object] = MappingProxyType(
    {
        "watch.settle": 0.02,
        "watch.stuck_after": 0.1,
        "transfer.offer_first": 0.2,
        "transfer.offer_max": 0.4,
        "spool.reserve_bytes": 0,
        "spool.reserve_percent": 0,
    }
)


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
        return DeviceConfig.load(file, environ={}, overrides={**_QUICK, **self.settings, "watch.folder": self.scans})

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

    def run_until_offered(self, broker: MemoryBroker) -> None:
        """Run a daemon until every file of the scanner's folder is sealed and offered, and stop it."""
        files = [str(path.relative_to(self.scans)) for path in self.scans.rglob("*") if path.is_file()]
        with RunningDaemon(self, MemoryTransport(broker)):
            until(lambda: self.states() == dict.fromkeys(files, FileState.OFFERED))

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
        return sorted((self.state / "spool").glob("*.spooled"))

    def quarantined(self) -> list[Path]:
        """Return the sealed images that were set aside."""
        return sorted((self.state / "spool" / "quarantine").glob("*.spooled"))


@cache
def _inspector() -> Inspector:
    """Return one inspector for all daemons of a test run: its worker process takes half a second to start."""
    inspector = Inspector()
    atexit.register(inspector.close)
    return inspector


class RunningDaemon(Running):
    """A daemon in a thread of its own; leaving the block stops it and raises what ended it early."""

    def __init__(
        self, site: Site, transport: Transport, *, on_sealed: Callable[[Sealed], None] = lambda _sealed: None
    ) -> None:
        super().__init__("daemon")
        self._site = site
        self._transport = transport
        self._on_sealed = on_sealed
        self.daemon: Daemon | None = None
        self.summary: Summary | None = None

    def run(self, stop: Stop) -> None:
        """Run a daemon over the site's folders."""
        with self._site.daemon(self._transport, once=False, on_sealed=self._on_sealed) as daemon:
            self.daemon = daemon
            self.summary = daemon.run(stop)

    def __enter__(self) -> Self:
        self._thread.start()
        return self
