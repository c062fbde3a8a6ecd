"""A device, its hospital and a real broker, on one machine: started with faults in them, and judged at the end.

    Site: device/ (keys, state, scans, moved)   receiver/ (keys, state, store)   shadow/ (what a power cut may leave)

Each start is a process of its own that runs the real command (`tests.faults.launcher`).
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from edge.intake.ledger import Ledger, LedgerEntry
from tests.brokers import Mosquitto
from tests.cli.programs import QUICK_DEVICE, environment
from tests.faults.steps import ESCAPED, Fault
from tests.world import until

ROOT = Path(__file__).resolve().parent.parent.parent
PATIENCE_SECONDS = 90.0
ENVIRONMENT: Mapping[str, str] = {
    **QUICK_DEVICE,
    "EDGE_ENCRYPTOR_TRANSFER_OFFER_FIRST": "0.3",
    "EDGE_ENCRYPTOR_TRANSFER_OFFER_MAX": "1",
    "EDGE_RECEIVER_TRANSFER_STALL": "0.5",
    "EDGE_RECEIVER_LOG_LEVEL": "debug",
    "EDGE_ENCRYPTOR_LOG_LEVEL": "debug",
}


class Launcher:
    """The process that starts the programs; one serves a whole test run."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.launcher"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            # Forking a process with threads is what numpy's pool of them would make it.
            env=environment({"OPENBLAS_NUM_THREADS": "1"}),
        )

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request and return its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it, and every program that still runs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()


class Started:
    """One start of a program."""

    def __init__(self, launcher: Launcher, log: Path, start: Mapping[str, Any]) -> None:
        self._launcher = launcher
        self.log = log
        self._code: int | None = None
        self._said_before = log.stat().st_size if log.exists() else 0
        self.pid: int = launcher.ask({"start": start})

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        if self._code is None:
            self._code = self._launcher.ask({"ended": self.pid})
        return self._code

    @property
    def said(self) -> str:
        """What it, and what ran before it under this log, has printed."""
        return self.log.read_text(errors="replace")

    @property
    def connected(self) -> bool:
        """Whether its start is over: it connects last."""
        return self.log.exists() and b"connected to the broker" in self.log.read_bytes()[self._said_before :]

    def end(self, how: signal.Signals | None = None) -> int:
        """Send a signal, if any, and return the exit code of the program once it is gone."""
        if how is not None and self.code is None:
            os.kill(self.pid, how)
        until(lambda: self.code is not None, seconds=PATIENCE_SECONDS)
        assert self.code is not None
        return self.code

    def stop(self) -> int:
        """Ask it to end once its start is over, and return its exit code."""
        until(lambda: self.code is not None or self.connected, seconds=PATIENCE_SECONDS)
        return self.end(signal.SIGTERM)


@dataclass(kw_only=True)
class Stage:
    """Both ends over one broker, each in a folder of its own."""

    root: Path
    launcher: Launcher
    broker: Mosquitto
    environment: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, root: Path, keys: Path, launcher: Launcher, broker: Mosquitto) -> Self:
        """Make a stage with keys that were made before."""
        shutil.copytree(keys, root)
        stage = cls(root=root, launcher=launcher, broker=broker)
        stage.scans.mkdir()
        return stage

    @property
    def device(self) -> Path:
        """The device's folder."""
        return self.root / "device"

    @property
    def receiver(self) -> Path:
        """The receiver's folder."""
        return self.root / "receiver"

    @property
    def scans(self) -> Path:
        """The scanner's folder."""
        return self.device / "scans"

    @property
    def moved(self) -> Path:
        """Where delivered originals go, where they are moved."""
        return self.device / "moved"

    @property
    def store(self) -> Path:
        """The receiver's store."""
        return self.receiver / "store"

    @property
    def spool(self) -> Path:
        """The device's spool."""
        return self.device / "state" / "spool"

    def scan(self, images: Mapping[str, bytes]) -> None:
        """Let the scanner write these files."""
        for name, data in images.items():
            path = self.scans / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def start(
        self,
        end: str,
        *,
        fault: Fault | None = None,
        trace: Path | None = None,
        shadow: bool = False,
        goes_on: bool = False,
        once: bool = True,
    ) -> Started:
        """Start an end, "device" or "receiver": with a fault, or noting its steps, or on a disk that may lose power."""
        if end == "device":
            program, arguments = "edge-encryptor", ["--watch", self.scans, *(["--once"] if once else [])]
            arguments += ["--config", self.device / "config.toml"]
        else:
            program, arguments = "edge-receiver", ["--config", self.receiver / "config.toml"]
        arguments += ["--broker", self.broker.url]
        log = self.root / f"{end}.log"
        request = {
            "program": program,
            "arguments": [str(each) for each in arguments],
            "env": environment({**ENVIRONMENT, **self.environment}),
            "log": str(log),
            "roots": [str(self.root / end)],
            "fault": asdict(fault) if fault else None,
            "trace": str(trace) if trace else None,
            "shadow": str(self.root / f"{end}.shadow") if shadow else None,
            "goes_on": goes_on,
        }
        return Started(self.launcher, log, request)

    # --- the verdict ------------------------------------------------------------------------------------------------

    def stored(self) -> dict[str, bytes]:
        """Return every stored file by its path below the store."""
        found = [path for path in self.store.glob("[!.]*/**/*") if path.is_file()]
        return {str(path.relative_to(self.store)): path.read_bytes() for path in found}

    def ledger(self) -> tuple[LedgerEntry, ...]:
        """Return every row of the device's ledger."""
        with Ledger.open_read_only(self.device / "state" / "ledger.sqlite") as ledger:
            return ledger.entries()

    def catalogue(self) -> list[tuple[str, str, str]]:
        """Return image id, status and path of every row of the receiver's catalogue."""
        connection = sqlite3.connect(f"file:{self.receiver / 'state' / 'catalogue.sqlite'}?mode=ro", uri=True)
        try:
            return connection.execute("SELECT image_id, status, path FROM images").fetchall()
        finally:
            connection.close()

    def leftovers(self) -> list[str]:
        """Return what should be gone: temporaries anywhere, parts, images in clear, sealed images."""
        temporary = [path for root in (self.device, self.receiver) for path in root.rglob(".edge-*")]
        clear = list((self.store / ".incoming").iterdir()) if self.store.exists() else []
        known = {entry.image_id for entry in self.ledger()}
        # A device that gave an image up and sealed its original anew leaves a part that ages until it is swept.
        parts = [path for path in (self.receiver / "state" / "parts").iterdir() if path.stem[-32:] in known]
        scratch = list((self.device / "state" / "scratch").iterdir())
        spool = [path for path in self.spool.iterdir() if path.is_file()]
        return sorted(str(path.relative_to(self.root)) for path in (*temporary, *clear, *parts, *scratch, *spool))


def check(stage: Stage, images: Mapping[str, bytes], *, original: str = "keep") -> None:
    """Insist on what is promised: stored once, spool empty, both databases whole, nothing left, originals as said."""
    assert Counter(stage.stored().values()) == Counter(images.values()), "not every image is stored exactly once"
    check_tidy(stage)
    states = [(entry.relative, str(entry.state)) for entry in stage.ledger()]
    assert {(name, "disposed") for name in images} <= set(states)
    assert {state for name, state in states if name in images} <= {"disposed", "quarantined"}
    there = {str(path.relative_to(stage.scans)): path.read_bytes() for path in stage.scans.rglob("*") if path.is_file()}
    assert {name: there[name] for name in images if name in there} == (dict(images) if original == "keep" else {})
    moved = Counter(path.read_bytes() for path in stage.moved.rglob("*") if path.is_file())
    assert moved == (Counter(images.values()) if original == "move" else Counter())


def check_tidy(stage: Stage) -> None:
    """Insist that both databases are whole and agree with what lies in the folders, and that nothing is left over."""
    left = stage.leftovers()
    assert left == [], f"left over: {left}"
    for end, database in ((stage.device, "ledger.sqlite"), (stage.receiver, "catalogue.sqlite")):
        check_whole(end / "state" / database)
        check_logs(end.with_suffix(".log"))
    sequences = [entry.sequence for entry in stage.ledger() if entry.sequence is not None]
    assert len(set(sequences)) == len(sequences)
    rows = stage.catalogue()
    assert {path for _, status, path in rows if status == "stored"} <= set(stage.stored())


def steps_of(trace: Path) -> list[str]:
    """Return the names that a run wrote down, in order; fail where something was changed past the wrappers."""
    names = trace.read_text().splitlines()
    escaped = sorted({name for name in names if name.startswith(ESCAPED)})
    assert escaped == [], "a durable step cannot be struck"
    return names


def check_whole(database: Path) -> None:
    """Insist that a database passes SQLite's own check."""
    connection = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    finally:
        connection.close()


def check_logs(log: Path) -> None:
    """Insist that a program met no defect of its own."""
    said = log.read_text(errors="replace")
    assert "Traceback" not in said, said[-2000:]
    assert "defect" not in said, said[-2000:]
