"""One piece of work after another in a thread of its own, while the caller does something else.

The rule kept here: no stop waits for it. The thread ends with the process, in the middle of whatever it does, so it is for
work that leaves no trace: reading, hashing, computing.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue
from typing import TypeVar

from edge.errors import WorkerUnavailable

_Result = TypeVar("_Result")


class Ahead:
    """A thread that does what it is given, in order. It begins with the first piece of work."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._line: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._thread: threading.Thread | None = None

    def do(self, work: Callable[[], _Result]) -> Future[_Result]:
        """Put a piece of work in line; the future gives what it returns, or raises what it raises.

        Raises:
            WorkerUnavailable: The machine has no thread to spare now.
        """
        future: Future[_Result] = Future()

        def run() -> None:
            try:
                result = work()
            except BaseException as error:  # noqa: BLE001 - handed to whoever asks for the result
                future.set_exception(error)
            else:
                future.set_result(result)

        if self._thread is None:
            thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise WorkerUnavailable("no thread can be started") from error
            self._thread = thread
        self._line.put(run)
        return future

    def close(self) -> None:
        """Let the thread end behind what it is at; what is in line behind that is not begun, and has no result."""
        if self._thread is not None:
            with contextlib.suppress(Empty):
                while True:
                    self._line.get_nowait()
            self._line.put(None)
            self._thread = None

    def _run(self) -> None:
        while (run := self._line.get()) is not None:
            run()
