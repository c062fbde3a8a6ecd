"""Kill devices, receivers of a group and the broker at random while images come in: each is stored exactly once."""

from __future__ import annotations

import hashlib
import random
import shutil
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.errors import StorageError
from edge.intake.ledger import FileState, Ledger
from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.cli.programs import environment
from tests.faults.stage import ENVIRONMENT, Launcher, Started, check_logs, check_whole
from tests.world import png

pytestmark = pytest.mark.mosquitto

DEVICES = ("xray-1", "xray-2")
RECEIVERS = ("receiver-1", "receiver-2", "receiver-3")
BROKER = "broker"
_GOING = (FileState.SEEN, FileState.SETTLED, FileState.SEALED, FileState.OFFERED, FileState.RECEIPTED)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done: how many images of which sizes in bytes, how many kills, up to how many seconds apart."""

    images: int
    smallest: int
    largest: int
    kills: int
    apart: float
    patience: float


class Company:
    """Two devices, a group of three receivers over one store, and the broker between them."""

    def __init__(self, root: Path, launcher: Launcher) -> None:
        self._root = root
        self._launcher = launcher
        self._keys = root / "keys"
        for device in DEVICES:
            provision(device=device, receiver="hospital", out=self._keys)
            self.scans(device).mkdir()
        self.store = root / "store"
        self.broker = Mosquitto(root / "mosquitto")
        self.kills: Counter[str] = Counter()
        self._running: dict[str, Started] = {}
        self._stack = ExitStack()

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
        if name in DEVICES:
            folder = self._keys / ("device" if name == DEVICES[0] else name)
            program, arguments = "edge-encryptor", ["--watch", self.scans(name)]
        else:
            folder = self._keys / "receiver"
            program, arguments = "edge-receiver", ["--store", self.store, "--group", "ward"]
        arguments += ["--config", folder / "config.toml", "--state", self.state(name), "--broker", self.broker.url]
        self._running[name] = Started(
            self._launcher,
            self.log(name),
            {
                "program": program,
                "arguments": [str(each) for each in arguments],
                "env": environment({**ENVIRONMENT, "EDGE_RECEIVER_TRANSFER_STALL": "2"}),
                "log": str(self.log(name)),
                "roots": [],
            },
        )

    def kill(self, name: str) -> None:
        """End one of the company as a power cut would."""
        if name == BROKER:
            self.broker.kill()
        else:
            assert self._running[name].end(signal.SIGKILL) == -signal.SIGKILL, self._running[name].said[-2000:]
        self.kills[name] += 1

    def states(self, device: str) -> list[FileState]:
        """Return the states of a device's files."""
        try:
            with Ledger.open_read_only(self.state(device) / "ledger.sqlite") as ledger:
                return [entry.state for entry in ledger.entries()]
        except StorageError:
            return []

    def stop(self) -> None:
        """Ask every program to end, and insist that it does so well."""
        for name, program in self._running.items():
            code = program.stop()
            assert code == 0, f"{name} ended with {code}: {program.said[-2000:]}"

    def end(self) -> None:
        """Kill what still runs."""
        for program in self._running.values():
            program.end(signal.SIGKILL)
        self.broker.kill()


@pytest.fixture
def company(tmp_path: Path, launcher: Launcher) -> Iterator[Company]:
    """Give a company at work."""
    company = Company(tmp_path, launcher)
    try:
        for name in (BROKER, *RECEIVERS, *DEVICES):
            company.start(name)
        yield company
    finally:
        company.end()
        shutil.rmtree(tmp_path, ignore_errors=True)


def _every_image_arrives_once(company: Company, size: Size, seed: int) -> None:
    chance = random.Random(seed)
    images = [(chance.choice(DEVICES), f"{number:03d}.png", _bytes(size, chance)) for number in range(size.images)]
    expected: Counter[str] = Counter()
    deadline = time.monotonic() + size.patience
    for number, (device, name, count) in enumerate(images):
        data = png(f"{seed}-{name}", count)
        expected[hashlib.sha256(data).hexdigest()] += 1
        (company.scans(device) / name).write_bytes(data)
        while company.kills.total() * size.images < size.kills * number:
            _kill_one(company, chance, size.apart)
    # What is left of the kills falls on the end, when the spools run empty.
    while company.kills.total() < size.kills:
        _kill_one(company, chance, size.apart)
    while not _all_disposed(company, size.images):
        assert time.monotonic() < deadline, {device: Counter(company.states(device)) for device in DEVICES}
        time.sleep(0.1)
    company.stop()

    assert Counter(_hashes(company.store)) == expected, "not every image is stored exactly once"
    assert _left_over(company) == []
    for name in (*DEVICES, *RECEIVERS):
        check_logs(company.log(name))
        check_whole(company.state(name) / ("ledger.sqlite" if name in DEVICES else "catalogue.sqlite"))
    recorded = {row for name in RECEIVERS for row in _recorded(company.state(name) / "catalogue.sqlite")}
    assert {path for _, path in recorded} == {str(path.relative_to(company.store)) for path in _files(company.store)}


def _kill_one(company: Company, chance: random.Random, apart: float) -> None:
    time.sleep(chance.uniform(0.05, apart))
    [name] = chance.choices((BROKER, *RECEIVERS, *DEVICES), weights=(2, 3, 3, 3, 4, 4))
    company.kill(name)
    time.sleep(chance.choice((0.0, 0.0, 0.3)))
    company.start(name)


def _bytes(size: Size, chance: random.Random) -> int:
    """Draw a size: small images are as frequent as large ones."""
    return int(size.smallest * (size.largest / size.smallest) ** chance.random())


def _all_disposed(company: Company, count: int) -> bool:
    states = [state for device in DEVICES for state in company.states(device)]
    return states.count(FileState.DISPOSED) == count and not set(states) & set(_GOING)


def _files(store: Path) -> list[Path]:
    return [path for path in store.glob("[!.]*/**/*") if path.is_file()]


def _hashes(store: Path) -> Iterator[str]:
    for path in _files(store):
        with path.open("rb") as file:
            yield hashlib.file_digest(file, "sha256").hexdigest()


def _left_over(company: Company) -> Sequence[Path]:
    """Return what should be gone. A receiver keeps parts of images that another of its group stored, until they age."""
    spools = [path for device in DEVICES for path in (company.state(device) / "spool").rglob("*") if path.is_file()]
    scratch = [path for device in DEVICES for path in (company.state(device) / "scratch").iterdir()]
    temporary = [path for name in (*DEVICES, *RECEIVERS) for path in company.state(name).rglob(".edge-*")]
    quarantine = [path for name in RECEIVERS for path in (company.state(name) / "quarantine").iterdir()]
    return [*spools, *scratch, *temporary, *quarantine, *company.store.rglob(".edge-*"), *_clear(company)]


def _clear(company: Company) -> list[Path]:
    """Return what is left in clear once any receiver of the group has started: it sweeps what killed ones left."""
    company.start(RECEIVERS[0])
    company.stop()
    return list((company.store / ".incoming").iterdir())


def _recorded(catalogue: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT sha256, path FROM images WHERE status = 'stored'").fetchall()
    finally:
        connection.close()


@pytest.mark.timeout(300)
def test_images_arrive_once_though_everything_is_killed_now_and_then(company: Company) -> None:
    size = Size(images=16, smallest=100_000, largest=1_000_000, kills=8, apart=0.6, patience=200.0)
    _every_image_arrives_once(company, size, seed=1)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_two_hundred_images_arrive_once_over_a_hundred_kills(company: Company) -> None:
    size = Size(images=200, smallest=100_000, largest=60_000_000, kills=110, apart=4.0, patience=3000.0)
    _every_image_arrives_once(company, size, seed=2)
    assert min(company.kills[name] for name in (BROKER, *DEVICES, *RECEIVERS)) > 0
