"""The benchmark's world of real processes: broker, receiver and daemon on the loopback, and what the kernel says of them.

Rule: every process started here is ended here, by its own id, whatever happens; a name is never used to end anything.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from edge.errors import EdgeError
from edge.intake.ledger import FileState, Ledger

HOST: Final = "127.0.0.1"
DEVICE: Final = "bench-device"
RECEIVER: Final = "bench-receiver"
NO_BROKER: Final = "mosquitto is not installed (Debian package mosquitto)"
NO_PROC: Final = "this system has no /proc with what the kernel counts of each process"

# Debian puts the broker where an ordinary user's PATH does not look.
_SEARCH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"))
_START_SECONDS: Final = 20.0
_STOP_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.1
_SUBSCRIBE_SECONDS: Final = 1.0
_SAMPLE_SECONDS: Final = 0.02
_MAIN: Final = "import sys; from {module} import main; sys.exit(main(sys.argv[1:]))"
_MODULES: Final = {
    "edge-encryptor": "edge.cli.encryptor",
    "edge-receiver": "edge.cli.receiver",
    "edge-firmware": "firmware_tools.cli",
}


def mosquitto() -> str | None:
    """Return the path of the broker, None where it is not installed."""
    return shutil.which("mosquitto", path=_SEARCH)


def command(program: str, *arguments: str | Path) -> list[str | Path]:
    """Return how to call one of this project's programs with the interpreter that runs now."""
    return [sys.executable, "-P", "-c", _MAIN.format(module=_MODULES[program]), *arguments]


class Process:
    """A child process with its standard error in a file; it is ended when the context is left."""

    def __init__(self, arguments: Sequence[str | Path], log: Path) -> None:
        self._log = log
        self.started = time.time()
        with log.open("ab") as sink:
            # Nothing of the caller's environment may configure what is measured.
            environ = {name: value for name, value in os.environ.items() if not name.startswith("EDGE_")}
            self._process = subprocess.Popen(arguments, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, env=environ)

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def require_running(self) -> None:
        """Insist that the process has not ended.

        Raises:
            EdgeError: it has.
        """
        if self._process.poll() is not None:
            raise EdgeError(f"a process ended early with status {self._process.returncode}: {self.tail}")

    def finish(self, timeout: float) -> None:
        """Wait until the process ends by itself, with status 0.

        Raises:
            EdgeError: it does not, or not in time.
        """
        try:
            status = self._process.wait(timeout)
        except subprocess.TimeoutExpired as error:
            raise EdgeError(f"a process did not end within {timeout:.0f} s") from error
        if status:
            raise EdgeError(f"a process ended with status {status}: {self.tail}")

    def end(self) -> None:
        """Ask the process to end, and make sure that it does."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    @property
    def tail(self) -> str:
        """The last two lines that the process wrote: usually a sentence and its hint."""
        lines = [line for line in self._log.read_text(errors="replace").splitlines() if line.strip()]
        return "; ".join(lines[-2:]) or "it wrote nothing"


def interpreter(folder: Path, *, linger: bool = True) -> Process:
    """Start an interpreter that only imports what the daemon imports, and then sleeps or ends: the floor of all costs."""
    code = "import edge.cli.encryptor" + ("; import time; time.sleep(3600)" if linger else "")
    return Process([sys.executable, "-P", "-c", code], folder / "interpreter.log")


def free_port() -> int:
    """Return a port of the loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def await_listener(process: Process, port: int) -> None:
    """Wait until a broker listens.

    Raises:
        EdgeError: it ended, or does not.
    """
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        process.require_running()
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        time.sleep(_POLL_SECONDS)
    raise EdgeError("the broker does not listen")


class Site:
    """One device and one receiver below `folder`, provisioned by the real command, and a broker between them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.watched = folder / "scans"
        self.watched.mkdir(parents=True)
        self.port = 0

    @contextlib.contextmanager
    def broker(self) -> Iterator[Process]:
        """Run mosquitto on a free port and provision both ends for it."""
        path = mosquitto()
        if path is None:
            raise EdgeError(NO_BROKER)
        self.port = free_port()
        configuration = self.folder / "mosquitto.conf"
        lines = [f"listener {self.port} {HOST}", "allow_anonymous true", "persistence false", "log_dest stderr"]
        lines.append("set_tcp_nodelay true")  # as docs/broker.md says: without it each step waits 40 ms
        # Started by root, mosquitto would become a user who may not read this folder.
        configuration.write_text("\n".join([*lines, "user root", ""]))
        with Process([path, "-c", configuration], self.folder / "mosquitto.log") as process:
            await_listener(process, self.port)
            self.provision()
            yield process

    def provision(self) -> None:
        """Make keys and configurations of both ends."""
        names = ("--device", DEVICE, "--receiver", RECEIVER, "--out", self.folder / "site")
        broker = f"mqtt://{HOST}:{self.port or 1883}"
        arguments = command("edge-firmware", "provision", *names, "--broker", broker)
        with Process(arguments, self.folder / "provision.log") as process:
            process.finish(_START_SECONDS)

    @property
    def device_config(self) -> Path:
        """The device's configuration."""
        return self.folder / "site" / "device" / "config.toml"

    @property
    def receiver_config(self) -> Path:
        """The receiver's configuration."""
        return self.folder / "site" / "receiver" / "config.toml"

    @property
    def ledger(self) -> Path:
        """The device's ledger."""
        return self.device_config.parent / "state" / "ledger.sqlite"

    @property
    def store(self) -> Path:
        """The receiver's store."""
        return self.receiver_config.parent / "store"

    def receiver(self) -> Process:
        """Start a receiver."""
        return Process(command("edge-receiver", "--config", self.receiver_config), self.folder / "receiver.log")

    def daemon(self, *flags: str) -> Process:
        """Start a daemon on the watched folder."""
        arguments = command("edge-encryptor", "--watch", self.watched, "--config", self.device_config, *flags)
        return Process(arguments, self.folder / "daemon.log")

    def await_store(self, receiver: Process) -> None:
        """Wait until the receiver has made its store, and a little longer for its subscriptions.

        Raises:
            EdgeError: it does not.
        """
        deadline = time.monotonic() + _START_SECONDS
        while not self.store.is_dir():
            receiver.require_running()
            if time.monotonic() > deadline:
                raise EdgeError("the receiver does not start")
            time.sleep(_POLL_SECONDS)
        time.sleep(_SUBSCRIBE_SECONDS)

    def await_files(self, count: int, *, arrived: bool, timeout: float, running: Sequence[Process]) -> None:
        """Wait until the ledger knows `count` files, or with `arrived` until so many are at the receiver.

        Raises:
            EdgeError: a process ended meanwhile, or it took too long.
        """
        states = (FileState.RECEIPTED, FileState.DISPOSED) if arrived else tuple(FileState)
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline:
            for process in running:
                process.require_running()
            if self.ledger.exists() and self._count(states) >= count:
                return
            time.sleep(_POLL_SECONDS)
        raise EdgeError(f"the files were not carried within {timeout:.0f} s")

    def _count(self, states: Sequence[FileState]) -> int:
        # A ledger that is only just being made cannot be read yet.
        with contextlib.suppress(EdgeError), Ledger.open_read_only(self.ledger) as ledger:
            counts = ledger.counts()
            return sum(counts[state] for state in states)
        return 0

    def require_stored(self, count: int) -> None:
        """Insist that so many files of the watched folder lie in the store, of the same sizes.

        Raises:
            EdgeError: they do not.
        """
        sent = sorted(path.stat().st_size for path in self.watched.iterdir())
        stored = sorted(path.stat().st_size for path in self.store.rglob("*") if path.is_file())
        if len(stored) != count or sent != stored:
            raise EdgeError("what the receiver stored is not what was sent")


# --- what the kernel says -------------------------------------------------------------------------------------------


def has_proc() -> bool:
    """Say whether the kernel's counters can be read here."""
    return anonymous_bytes(os.getpid()) is not None


def anonymous_bytes(pid: int) -> int | None:
    """Return the anonymous memory that a process holds now, None where it is gone: bytes."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return None


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process and all its threads, children not counted; 0 where it is gone."""
    with contextlib.suppress(OSError):
        # The name in brackets may hold blanks; fields 14 and 15 are counted from behind it.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return 0.0


def children(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            found += map(int, (task / "children").read_text().split())
    return found


def command_line(pid: int) -> bytes:
    """Return the words a process was started with, empty where it is gone."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    return b""


@dataclass(slots=True)
class Peak:
    """The most anonymous memory that was seen of one process, in bytes."""

    bytes: int = 0
    seen: int = 0


class MemoryWatch:
    """Look at processes and their children fifty times a second while the context is entered.

    The kernel keeps a high-water mark of the whole resident set only, which counts mapped files too.
    """

    def __init__(self, watched: Mapping[str, int]) -> None:
        self._watched = watched
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memory-watch")
        self.peaks: dict[str, Peak] = {}

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            for name, pid in self._watched.items():
                self._look(name, pid)
                for child in children(pid):
                    # Between fork and exec a child shows its parent's memory.
                    if command_line(child) != command_line(pid):
                        self._look(f"{name}'s worker", child)

    def _look(self, name: str, pid: int) -> None:
        size = anonymous_bytes(pid)
        if size is not None:
            peak = self.peaks.setdefault(name, Peak())
            peak.bytes, peak.seen = max(peak.bytes, size), peak.seen + 1
