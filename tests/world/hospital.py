"""A receiver, its store and its state."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from edge.catalogue import Catalogue, Delivered
from edge.config import ReceiverConfig
from edge.keyring import ReceiverKeyring
from edge.receiver import Receiver
from edge.stopping import Stop
from edge.transport.base import Transport
from edge.transport.memory import MemoryTransport
from edge.transport.mqtt import MqttTransport
from tests.world.keyrings import RECEIVER, receiver_keyring
from tests.world.waiting import Running


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
        with Catalogue.open_read_only(self.state / "catalogue.sqlite") as catalogue:
            return catalogue.deliveries()


class RunningReceiver(Running):
    """A receiver in a thread of its own; leaving the block stops it and raises what ended it early."""

    def __init__(self, hospital: Hospital, transport: MemoryTransport | MqttTransport) -> None:
        super().__init__("receiver")
        self._transport = transport
        self.receiver = hospital.receiver(transport)

    def run(self, stop: Stop) -> None:
        """Step the receiver."""
        self.receiver.start()
        while not stop.is_set():
            self.receiver.step()

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self.receiver

    def end(self) -> None:
        """Stop it, and wait until it has ended and let go of all files."""
        self._stop.set()
        self._transport.inbox.close()  # wakes it at once
        super().end()
        self.receiver.close()
