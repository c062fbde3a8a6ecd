"""Run a device, its receiver and the broker for minutes, strike them with faults of every kind, and say what came of it.

    python -m tests.faults.soak --minutes 10 --seed 1

Each promise is a line of the table at the end, and a broken one is the exit code 1. Nothing outside this machine's
loopback is spoken to, and everything lies in a temporary folder that is removed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import signal
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tqdm import tqdm

from edge.intake.ledger import FileState
from edge.transport.base import BrokerAddress, BrokerSettings
from edge.transport.mqtt import MqttTransport
from firmware_tools.bench.processes import anonymous_bytes
from tests.faults.company import BROKER, Company
from tests.faults.stage import Launcher
from tests.world import png

DEVICE, RECEIVER = "xray-1", "receiver-1"
_SMALLEST, _LARGEST = 100_000, 5_000_000  # bytes of an image
_BETWEEN_IMAGES = (0.1, 1.5)  # seconds
_BETWEEN_FAULTS = (2.0, 8.0)  # seconds
_SAMPLE_SECONDS = 0.5
_DRAIN_SECONDS = 300.0
_JUDGED_SECONDS = 40.0
"""A process that lived shorter is too young for its memory and open files to say anything."""
_SETTLING_SECONDS = 15.0
"""How long after its start a process may still grow: networks, buffers and caches come with the first images."""
_MORE_MEMORY = 24 << 20
"""Bytes by which the second half of a life may lie above the first one: an image in hand or not."""
_MORE_FILES = 12
"""Open files by which the second half of a life may lie above the first one: a part, an image, a connection."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a process held: seconds since its start, bytes of anonymous memory, open files."""

    age: float
    memory: int
    files: int


@dataclass(slots=True)
class Life:
    """One process from its start to its end."""

    name: str
    began: float
    samples: list[Sample] = field(default_factory=list)

    def growth(self) -> tuple[float, float] | None:
        """Return by how much memory (bytes) and open files of its second half lie above its first; None if too young."""
        grown = [sample for sample in self.samples if sample.age > _SETTLING_SECONDS]
        if not grown or grown[-1].age < _JUDGED_SECONDS:
            return None
        early, late = grown[: len(grown) // 2], grown[len(grown) // 2 :]

        def rise(of: Callable[[Sample], int]) -> float:
            return statistics.median(map(of, late)) - statistics.median(map(of, early))

        return rise(lambda sample: sample.memory), rise(lambda sample: sample.files)


class Meter:
    """Sample memory and open files of both ends from a thread of its own."""

    def __init__(self, company: Company) -> None:
        self._company = company
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meter", daemon=True)
        self._lives: dict[int, Life] = {}

    @property
    def lives(self) -> list[Life]:
        """Return every process that was sampled."""
        return list(self._lives.values())

    def peak(self, name: str) -> tuple[int, int]:
        """Return the most bytes of memory and the most files that any process of this name had."""
        samples = [sample for life in self.lives if life.name == name for sample in life.samples]
        return max(sample.memory for sample in samples), max(sample.files for sample in samples)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            for name, program in list(self._company.running.items()):
                life = self._lives.setdefault(program.pid, Life(name, time.monotonic()))
                memory = anonymous_bytes(program.pid)
                # It may end at any moment.
                with suppress(OSError):
                    files = len(os.listdir(f"/proc/{program.pid}/fd"))
                    if memory is not None:
                        life.samples.append(Sample(time.monotonic() - life.began, memory, files))


class Offers:
    """Count the offers that the broker sees: what is above the number of images was tried again."""

    def __init__(self, url: str, prefix: str) -> None:
        address = BrokerAddress.parse(url)
        self._transport = MqttTransport(BrokerSettings(address=address, client_id_prefix="onlooker"))
        self._transport.subscribe(f"{prefix}/offer/+")

    def __enter__(self) -> Self:
        self._transport.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._transport.stop()

    @property
    def count(self) -> int:
        """Return how many there were so far."""
        counts = self._transport.counts
        while self._transport.receive(0.0) is not None:
            pass
        return counts.received


class Soak:
    """One run."""

    def __init__(self, company: Company, *, minutes: float, seed: int) -> None:
        self._company = company
        self._chance = random.Random(seed)
        self._seconds = minutes * 60
        self._seed = seed
        self.faults: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.sent_bytes = 0

    def run(self) -> None:
        """Let images come in and faults strike until the time is over.

        In the first half processes are killed and stopped; in the second one they live on through all else, so that
        what they hold can be compared.
        """
        began = time.monotonic()
        next_image = next_fault = 0.0
        with tqdm(total=round(self._seconds), unit="s", desc="soak", mininterval=1) as bar:
            while (passed := time.monotonic() - began) < self._seconds:
                bar.update(int(passed) - bar.n)
                if passed >= next_image:
                    self._scan()
                    next_image = passed + self._chance.uniform(*_BETWEEN_IMAGES)
                if passed >= next_fault:
                    self._strike(deadly=passed < self._seconds / 2)
                    next_fault = time.monotonic() - began + self._chance.uniform(*_BETWEEN_FAULTS)
                time.sleep(0.05)

    def drain(self) -> bool:
        """Wait until nothing is under way, and return whether it came to that."""
        deadline = time.monotonic() + _DRAIN_SECONDS
        while not self._company.all_disposed(self.sent.total()):
            if time.monotonic() > deadline:
                return False
            time.sleep(0.2)
        return True

    def _scan(self) -> None:
        size = int(_SMALLEST * (_LARGEST / _SMALLEST) ** self._chance.random())
        name = f"{self.sent.total():05d}.png"
        data = png(f"{self._seed}-{name}", size)
        self.sent[hashlib.sha256(data).hexdigest()] += 1
        self.sent_bytes += len(data)
        (self._company.scans(DEVICE) / name).write_bytes(data)

    def _strike(self, *, deadly: bool) -> None:
        mild = (self._hang_up, self._pause, self._restart_broker, self._freeze_broker)
        fault = self._chance.choice((self._kill, self._kill, self._kill, self._stop, *mild) if deadly else mild)
        fault()

    def _end(self) -> str:
        return self._chance.choice((DEVICE, RECEIVER))

    def _kill(self) -> None:
        name = self._end()
        self._company.kill(name)
        self._company.start(name)
        self.faults["killed"] += 1

    def _stop(self) -> None:
        name = self._end()
        code = self._company.running[name].stop()
        self.faults["stopped" if code == 0 else f"ended with {code}"] += 1
        self._company.start(name)

    def _hang_up(self) -> None:
        program = self._company.running[self._end()]
        if program.connected:  # before that, the signal's default action is to end it
            os.kill(program.pid, signal.SIGHUP)
            self.faults["reloaded"] += 1

    def _pause(self) -> None:
        pid = self._company.running[self._end()].pid
        os.kill(pid, signal.SIGSTOP)
        time.sleep(self._chance.uniform(0.5, 3.0))
        os.kill(pid, signal.SIGCONT)
        self.faults["held up"] += 1

    def _restart_broker(self) -> None:
        self._company.kill(BROKER)
        time.sleep(self._chance.uniform(0.0, 2.0))
        self._company.start(BROKER)
        self.faults["broker killed"] += 1

    def _freeze_broker(self) -> None:
        self._company.broker.freeze()
        time.sleep(self._chance.uniform(0.5, 4.0))
        self._company.broker.thaw()
        self.faults["broker held up"] += 1


# --- the verdict ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Line:
    """One promise, what was seen of it, and whether it held."""

    promise: str
    seen: str
    held: bool


def _verdict(company: Company, soak: Soak, meter: Meter, *, drained: bool) -> Iterator[Line]:
    stored, sent = company.stored(), soak.sent
    yield Line(
        "nothing is under way any more", ", ".join(f"{n} {s.value}" for s, n in company.states().items()), drained
    )
    yield Line("every image is stored", f"{len(sent & stored)} of {len(sent)}", sent <= stored)
    yield Line("none is stored twice, and nothing else is", f"{stored.total()} files", stored <= sent)
    disposed = company.states()[FileState.DISPOSED]
    yield Line("the ledger accounts for every image", f"{disposed} disposed", disposed == sent.total())
    codes = {name: program.code for name, program in company.running.items()}
    yield Line("a stop ends each process well", _listed(codes), set(codes.values()) == {0} and _ended_well(soak))
    left = company.left_over()
    yield Line("spools are empty, no temporary or clear file is left", f"{len(left)} files", not left)
    yield _checked("ledger and catalogue are whole and agree with the store", company.check_databases)
    yield _checked("no process met a defect of its own", company.check_logs)
    growths = [growth for life in meter.lives if (growth := life.growth()) is not None]
    memory, files = (max((growth[n] for growth in growths), default=0.0) for n in (0, 1))
    aged = f"{len(growths)} processes over {_JUDGED_SECONDS:.0f} s"
    yield Line("memory stays flat", f"{memory / 1e6:+.1f} MB, {aged}", bool(growths) and memory <= _MORE_MEMORY)
    yield Line("open files stay flat", f"{files:+.0f}, {aged}", bool(growths) and files <= _MORE_FILES)


def _ended_well(soak: Soak) -> bool:
    return not any(fault.startswith("ended") for fault in soak.faults)


def _checked(promise: str, check: Callable[[], None]) -> Line:
    try:
        check()
    except AssertionError as error:
        return Line(promise, str(error).strip().splitlines()[-1][-100:], held=False)
    return Line(promise, "checked", held=True)


def _listed(values: dict[str, int | None]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


@contextmanager
def _company() -> Iterator[Company]:
    with tempfile.TemporaryDirectory(prefix="edge-soak-") as folder:
        launcher = Launcher()
        settings = {"EDGE_ENCRYPTOR_WATCH_ORIGINAL": "delete"}
        company = Company(Path(folder), launcher, devices=(DEVICE,), receivers=(RECEIVER,), settings=settings)
        try:
            company.start_all()
            yield company
        finally:
            company.end()
            launcher.close()


def main(argv: list[str] | None = None) -> int:
    """Run, print what was seen, and return 0 where every line held."""
    parser = argparse.ArgumentParser(prog="soak", description="Run both ends under random faults.")
    parser.add_argument("--minutes", type=float, default=10.0, help="how long images come in (10)")
    parser.add_argument("--seed", type=int, default=None, help="of the faults and images (drawn, and printed)")
    arguments = parser.parse_args(argv)
    seed = random.SystemRandom().randrange(1 << 32) if arguments.seed is None else arguments.seed
    with _company() as company, Meter(company) as meter, Offers(company.broker.url, "edge/v1") as offers:
        soak = Soak(company, minutes=arguments.minutes, seed=seed)
        soak.run()
        drained = soak.drain()
        offered = offers.count
        peaks = {name: meter.peak(name) for name in (DEVICE, RECEIVER)}
        with suppress(AssertionError):
            company.stop()
        lines = list(_verdict(company, soak, meter, drained=drained))
    images = soak.sent.total()
    print(f"seed {seed}: {images} images, {soak.sent_bytes / 1e6:.0f} MB in {arguments.minutes:g} minutes")
    print("faults: " + ", ".join(f"{number} {name}" for name, number in sorted(soak.faults.items())))
    print(f"offers seen by an onlooker: {offered}, {max(0, offered - images)} of them again")
    for name, (memory, files) in peaks.items():
        print(f"{name}: at most {memory / 1e6:.0f} MB of anonymous memory, {files} open files")
    width = max(len(line.promise) for line in lines)
    for line in lines:
        print(f"{'held  ' if line.held else 'BROKEN'}  {line.promise:{width}}  {line.seen}")
    return 0 if all(line.held for line in lines) else 1


if __name__ == "__main__":
    sys.exit(main())
