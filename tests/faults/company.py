"""Devices, a group of receivers over one store, and the broker between them, as processes that a test kills at will."""

from __future__ import annotations

import hashlib
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from edge.errors import StorageError
from edge.intake.ledger import FileState, Ledger
from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.cli.programs import environment
from tests.faults.stage import ENVIRONMENT, Launcher, Started, check_logs, check_whole

BROKER = "broker"
_GOING = (FileState.SEEN, FileState.SETTLED, FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED)


class Company:
    """Some devices, a group of receivers over one store, and the broker between them."""

    def __init__(
        self,
        root: Path,
        launcher: Launcher,
        *,
        devices: Sequence[str],
        receivers: Sequence[str],
        settings: Mapping[str, str] | None = None,
    ) -> None:
        self._root = root
        self._launcher = launcher
        self._keys = root / "keys"
        self.devices = tuple(devices)
        self.receivers = tuple(receivers)
        self._environment = environment({**ENVIRONMENT, "EDGE_RECEIVER_TRANSFER_STALL": "2", **(settings or {})})
        for device in devices:
            provision(device=device, receiver="hospital", out=self._keys)
            self.scans(device).mkdir()
        self.store = root / "store"
        self.broker = Mosquitto(root / "mosquitto")
        self.kills: Counter[str] = Counter()
        self.running: dict[str, Started] = {}

    def scans(self, device: str) -> Path:
        """Return the folder of a device's scanner."""
        return self._root / f"{device}.scans"

    def state(self, name: str) -> Path:
        """Return the folder of a program's state."""
        return self._root / f"{name}.state"

    def log(self, name: str) -> Path:
        """Return the file of what a program printed in all of its lives."""
        return self._root / f"{name}.log"

    def start(self, name: str) -> None:
        """Start one of the company."""
        if name == BROKER:
            self.broker.start()
            return
        if name in self.devices:
            folder = self._keys / ("device" if name == self.devices[0] else name)
            program, arguments = "edge-encryptor", ["--watch", self.scans(name)]
        else:
            folder = self._keys / "receiver"
            program, arguments = "edge-receiver", ["--store", self.store, "--group", "ward"]
        arguments += ["--config", folder / "config.toml", "--state", self.state(name), "--broker", self.broker.url]
        self.running[name] = Started(
            self._launcher,
            self.log(name),
            {
                "program": program,
                "arguments": [str(each) for each in arguments],
                "env": self._environment,
                "log": str(self.log(name)),
                "roots": [],
            },
        )

    def start_all(self) -> None:
        """Start everybody."""
        for name in (BROKER, *self.receivers, *self.devices):
            self.start(name)

    def kill(self, name: str) -> None:
        """End one of the company as a power cut would."""
        if name == BROKER:
            self.broker.kill()
        else:
            assert self.running[name].end(signal.SIGKILL) == -signal.SIGKILL, self.running[name].said[-2000:]
        self.kills[name] += 1

    def stop(self) -> None:
        """Ask every program to end, and insist that it does so well."""
        for name, program in self.running.items():
            code = program.stop()
            assert code == 0, f"{name} ended with {code}: {program.said[-2000:]}"

    def end(self) -> None:
        """Kill what still runs."""
        for program in self.running.values():
            program.end(signal.SIGKILL)
        self.broker.kill()

    # --- the verdict ------------------------------------------------------------------------------------------------

    def states(self) -> Counter[FileState]:
        """Count the files of all devices by state."""
        counts: Counter[FileState] = Counter()
        for device in self.devices:
            # One that is being killed or made anew says nothing now.
            with suppress(StorageError), Ledger.open_read_only(self.state(device) / "ledger.sqlite") as ledger:
                counts.update(entry.state for entry in ledger.entries())
        return counts

    def all_disposed(self, count: int) -> bool:
        """Whether so many images have gone the whole way, and nothing else is on it."""
        states = self.states()
        return states[FileState.DISPOSED] == count and not set(states) & set(_GOING)

    def stored(self) -> Counter[str]:
        """Count what lies in the store by its SHA-256 in hexadecimal digits."""
        return Counter(self._hashes())

    def left_over(self) -> list[Path]:
        """Return what should be gone once all are stopped.

        A receiver keeps parts of images that another of its group stored, until they age.
        """
        # Any receiver of the group sweeps at its start what killed ones left in clear.
        self.start(self.receivers[0])
        self.stop()
        spools = [path for device in self.devices for path in self.state(device).glob("spool/**/*") if path.is_file()]
        scratch = [path for device in self.devices for path in self.state(device).glob("scratch/*")]
        everybody = (*self.devices, *self.receivers)
        temporary = [path for name in everybody for path in self.state(name).rglob(".edge-*")]
        quarantine = [path for name in self.receivers for path in self.state(name).glob("quarantine/*")]
        clear = (self.store / ".incoming").iterdir()
        return [*spools, *scratch, *temporary, *quarantine, *self.store.rglob(".edge-*"), *clear]

    def check_databases(self) -> None:
        """Insist that ledgers and catalogues are whole, and that the catalogues name what lies in the store."""
        for name in (*self.devices, *self.receivers):
            check_whole(self.state(name) / ("ledger.sqlite" if name in self.devices else "catalogue.sqlite"))
        recorded = {path for name in self.receivers for path in self._recorded(name)}
        assert recorded == {str(path.relative_to(self.store)) for path in self._files()}

    def check_logs(self) -> None:
        """Insist that nobody met a defect of its own."""
        for name in (*self.devices, *self.receivers):
            check_logs(self.log(name))

    def _files(self) -> list[Path]:
        return [path for path in self.store.glob("[!.]*/**/*") if path.is_file()]

    def _hashes(self) -> Iterator[str]:
        for path in self._files():
            with path.open("rb") as file:
                yield hashlib.file_digest(file, "sha256").hexdigest()

    def _recorded(self, receiver: str) -> list[str]:
        connection = sqlite3.connect(f"file:{self.state(receiver) / 'catalogue.sqlite'}?mode=ro", uri=True)
        try:
            return [path for (path,) in connection.execute("SELECT path FROM images WHERE status = 'stored'")]
        finally:
            connection.close()
