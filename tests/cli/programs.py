"""Run the commands as a user does: processes, with what they print kept in files."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

PATIENCE_SECONDS = 60.0
# A user waits a second for a file to settle; a test suite need not.
QUICK_DEVICE: Mapping[str, str] = {
    "EDGE_ENCRYPTOR_WATCH_SETTLE": "0.05",
    "EDGE_ENCRYPTOR_WATCH_STUCK_AFTER": "0.3",
    "EDGE_ENCRYPTOR_WATCH_RESCAN": "0.5",
    "EDGE_ENCRYPTOR_SPOOL_RESERVE_BYTES": "0",
    "EDGE_ENCRYPTOR_SPOOL_RESERVE_PERCENT": "0",
}


def command(program: str) -> str:
    """Return the path of one of this project's commands, as installed beside the interpreter."""
    return str(Path(sys.executable).with_name(program))


def environment(changes: Mapping[str, str]) -> dict[str, str]:
    """Return this environment without settings of ours that a developer may have, and with `changes`."""
    ours = ("EDGE_", "CREDENTIALS_DIRECTORY")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)} | dict(changes)


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(
    program: str,
    *arguments: str | Path,
    env: Mapping[str, str] = QUICK_DEVICE,
    cwd: Path | None = None,
    timeout: float = PATIENCE_SECONDS,
) -> Done:
    """Run a command to its end."""
    done = subprocess.run(
        [command(program), *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        env=environment(env),
        cwd=cwd,
        timeout=timeout,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


class Program:
    """A command that runs until it is told to stop; leaving the block ends it."""

    def __init__(
        self,
        log: Path,
        program: str,
        *arguments: str | Path,
        env: Mapping[str, str] = QUICK_DEVICE,
        within: Sequence[str] = (),
    ) -> None:
        """Start `program`; `within` is a command that runs it, in a network namespace for example."""
        self._log = log
        self._file = log.open("wb")
        self._process = subprocess.Popen(
            [*within, command(program), *map(str, arguments)],
            stdout=self._file,
            stderr=self._file,
            env=environment(env),
        )

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """What it has printed so far, on both outputs."""
        return self._log.read_text(errors="replace")

    def send(self, what: signal.Signals) -> None:
        """Send a signal, and wait for nothing."""
        self._process.send_signal(what)

    def stop(self, how: signal.Signals = signal.SIGTERM, *, timeout: float = 10.0) -> int:
        """Send a signal and return the exit code; fail where it does not end in time."""
        if self.running:
            self._process.send_signal(how)
        code = self._process.wait(timeout)
        self._file.close()
        return code

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.stop(signal.SIGKILL)
            if error is None:
                raise
