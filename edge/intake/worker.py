"""Runs the readers of untrusted files in a child process that cannot take much memory or time, nor the parent with it.

The rule: whatever a hostile file does to a reader, the parent gets a Reply. The child has a hard address-space limit
(RLIMIT_AS: it counts every mapping, so it bounds the resident set too; RLIMIT_DATA would leave out shared mappings and
file pages), writes no core dump, opens no path, and gets each file as an open descriptor over a Unix socket. Its
standard error goes nowhere, because native libraries quote what they read. It ends when the socket does.

Frames both ways: four bytes of length, big endian, then JSON. A request is answered by {"begun": true} as soon as the
modules that it needs are loaded, which starts its clock, and then by one reply.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from threading import Lock
from typing import Any

from edge.durable import storage_error
from edge.errors import StorageError, TooManyOpenFiles, WorkerUnavailable

MAX_FRAME = 256 * 1024  # bytes; a reply about pixels holds at most 48 KiB of base64-coded side data
_EXIT_MEMORY = 86  # the child's status where its memory limit was reached
_START_TIMEOUT = 60.0  # seconds for the interpreter and its modules: cold storage on a small board
_STOP_TIMEOUT = 1.0  # seconds given to a child to end by itself
_BUSY_TIMEOUT = 0.1  # seconds until a call in another thread is ended, where its worker is closed, and ended again
_FILES_PER_CHILD = 2000  # a fresh child now and then makes leaks in native readers harmless
_BACKSTOP = 2.0  # seconds after which a child whose parent no longer times it ends itself
# Where the machine runs out of memory, the kernel ends this child before the parent: a file cost it its reader, no more.
_ENDED_FIRST = b"1000"

TIMEOUT, MEMORY, CRASHED = "inspection-timeout", "inspection-memory", "inspection-crashed"
FAILURES = frozenset({TIMEOUT, MEMORY, CRASHED})


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: the child's fields, or the code of the failure that kept it from answering."""

    fields: dict[str, Any] = field(default_factory=dict)
    failure: str = ""


class Worker:
    """A child process that answers one request at a time; killed and replaced where it exceeds a limit.

    `memory_limit` is in bytes of address space, `output_limit` in bytes of any file it writes, `timeout` in seconds
    per request, not counting the loading of modules.
    """

    def __init__(self, *, memory_limit: int, timeout: float, output_limit: int = 0) -> None:
        self._memory_limit = memory_limit
        self._timeout = timeout
        self._output_limit = output_limit
        self._lock = Lock()
        self._closing = False
        self._process: subprocess.Popen[bytes] | None = None
        self._socket: socket.socket | None = None
        self._served = 0
        # Children that ignore a kill for now: one that waits for a stalled network disk cannot end before it.
        self._undead: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int | None:
        """The running child's process id, None where none runs."""
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Begin to start the child, so that the first request need not wait for all of that."""
        with self._lock:
            if self._socket is None:
                try:
                    self._start()
                except OSError:
                    self._discard()  # the first request tries again, and says so where that fails

    def call(self, request: dict[str, Any], descriptors: list[int]) -> Reply:
        """Send one request with open files, and wait for its reply.

        Raises:
            TooManyOpenFiles, WorkerUnavailable: No child can be started now, or the worker is closed meanwhile. No file is
                the cause of that.
        """
        with self._lock:
            self._undead = [process for process in self._undead if process.poll() is None]
            if self._served >= _FILES_PER_CHILD or (self._process and self._process.poll() is not None):
                self._discard()
            try:
                channel = self._socket or self._start()
            except OSError as error:
                self._discard()
                raise _unavailable(error) from error
            self._served += 1
            try:
                _send(channel, {**request, "timeout": self._timeout}, descriptors)
                _receive(channel, time.monotonic() + _START_TIMEOUT)
                return Reply(_receive(channel, time.monotonic() + self._timeout))
            except TimeoutError:
                self._discard()
                return Reply(failure=TIMEOUT)
            except (OSError, EOFError, ValueError) as error:
                if self._closing:
                    self._discard()
                    raise WorkerUnavailable("the worker is closed") from error
                return Reply(failure=MEMORY if self._discard() == _EXIT_MEMORY else CRASHED)

    def close(self) -> None:
        """End the child. It may be used again: the next call starts another.

        A call in another thread is not waited for: a stop must not take as long as a file may.
        """
        self._closing = True
        while not self._lock.acquire(timeout=_BUSY_TIMEOUT):
            # To the call it looks as if the child had ended, which one that waits for a stalled network disk cannot.
            with contextlib.suppress(OSError):
                if channel := self._socket:
                    channel.shutdown(socket.SHUT_RDWR)
        try:
            self._discard(patience=_STOP_TIMEOUT)
        finally:
            self._closing = False
            self._lock.release()

    def _start(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket, self._served = ours, 0
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edge.intake.worker", str(self._memory_limit), str(self._output_limit)],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env=_environment(),
                start_new_session=True,  # an interrupt at the terminal is the parent's to handle
            )
        return ours

    def _discard(self, *, patience: float = 0.0) -> int | None:
        """Forget the child and make sure that it ends; return its status where it had ended by itself."""
        process, channel = self._process, self._socket
        self._process = self._socket = None
        self._served = 0
        if channel:
            channel.close()
        if process is None:
            return None
        # One that closed its end is on its way out: its status says why.
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(patience or 0.2)
        process.kill()
        try:
            return process.wait(_STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self._undead.append(process)
            return None


def _unavailable(error: OSError) -> StorageError:
    refused = storage_error(error)
    return refused if isinstance(refused, TooManyOpenFiles) else WorkerUnavailable("no worker can be started")


def _environment() -> dict[str, str]:
    """Return the child's whole environment: nothing of the parent's, one thread, one heap."""
    return {
        "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        "PYTHONDONTWRITEBYTECODE": "1",
        "LC_ALL": "C.UTF-8",
        "OPENBLAS_NUM_THREADS": "1",
        "OMP_NUM_THREADS": "1",
        "MALLOC_ARENA_MAX": "1",
    }


# --- frames ---------------------------------------------------------------------------------------------------------


def _send(channel: socket.socket, message: dict[str, Any], descriptors: list[int]) -> None:
    body = json.dumps(message).encode()
    if len(body) > MAX_FRAME:
        raise ValueError("the message is too long")
    channel.settimeout(_START_TIMEOUT)
    # The descriptors travel with the first bytes; the rest follows as on any stream.
    socket.send_fds(channel, [len(body).to_bytes(4, "big")], descriptors)
    channel.sendall(body)


def _receive(channel: socket.socket, deadline: float) -> dict[str, Any]:
    """Read one frame until a time on the monotonic clock.

    Raises:
        TimeoutError: It did not come in time.
        EOFError: The other end is closed.
        ValueError: It is no frame of ours.
    """
    length = int.from_bytes(_exactly(channel, 4, deadline), "big")
    if length > MAX_FRAME:
        raise ValueError("the frame is too long")
    message = json.loads(_exactly(channel, length, deadline))
    if not isinstance(message, dict):
        raise ValueError("the frame holds no map")  # noqa: TRY004 - one kind of error for all bad frames
    return message


def _exactly(channel: socket.socket, count: int, deadline: float) -> bytes:
    pieces = []
    while count:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        channel.settimeout(left)
        piece = channel.recv(count)
        if not piece:
            raise EOFError
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


# --- the child ------------------------------------------------------------------------------------------------------


def main() -> None:
    """Answer requests on standard input, a Unix socket, until it closes."""
    memory_limit, output_limit = int(sys.argv[1]), int(sys.argv[2])
    with contextlib.suppress(OSError):  # a kernel without /proc decides as it likes
        Path("/proc/self/oom_score_adj").write_bytes(_ENDED_FIRST)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (output_limit, output_limit))
    resource.setrlimit(resource.RLIMIT_AS, (memory_limit, memory_limit))
    try:
        with socket.socket(fileno=0) as channel:
            while _serve(channel):
                pass
    except MemoryError:
        os._exit(_EXIT_MEMORY)


# Each module offers `load(request)`, which imports what the request needs, and `run(request, *files)`.
_OPERATIONS = {
    "inspect": "edge.intake.reading",
    "pixels": "edge.intake.decoding",
    "picture": "edge.intake.picturing",
}


def _serve(channel: socket.socket) -> bool:
    """Answer one request; False where the parent is gone."""
    channel.settimeout(None)
    head, descriptors, _, _ = socket.recv_fds(channel, 4, 2)
    with contextlib.ExitStack() as stack:
        # The first file is read; the second, where there is one, is written.
        files = [stack.enter_context(FileIO(d, mode)) for d, mode in zip(descriptors, ("rb", "wb"), strict=False)]
        if len(head) < 4:
            return False
        request = json.loads(_exactly(channel, int.from_bytes(head, "big"), time.monotonic() + _START_TIMEOUT))
        operation = importlib.import_module(_OPERATIONS[request["operation"]])
        operation.load(request)
        _send(channel, {"begun": True}, [])
        # The parent times each request; should it be gone, the default action of SIGALRM ends this process.
        signal.setitimer(signal.ITIMER_REAL, request["timeout"] + _BACKSTOP)
        reply = operation.run(request, *files)
        signal.setitimer(signal.ITIMER_REAL, 0)
    _send(channel, reply, [])
    return True


if __name__ == "__main__":
    main()
