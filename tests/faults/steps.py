"""Name every durable step of a running program by its call site, and let a fault strike at one of them.

    os.open, io.open > fsync > rename, link, remove, mkdir, rmdir, truncate > write > SQLite's commit

The program itself knows nothing of this: the functions that it calls are wrapped from outside, before it starts. An audit
hook hears of every file that is opened for writing, renamed, linked or removed, whoever does it: what happened in a
watched folder past the wrappers is recorded as an escape, so a new durable step cannot hide.
"""

from __future__ import annotations

import builtins
import io
import os
import re
import signal
import sqlite3
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

# Modules through which others write: a step is named for who asked them, and for which of their doors was used.
_DOORS: Final = ("edge.durable", "edge.intake.ledgerfile", "edge.intake.ledger", "edge.catalogue")
_TEMPORARY: Final = re.compile(r"\.edge-[0-9a-f]{16}\.tmp")
_CHANGES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
ESCAPED: Final = "ESCAPED"

BEFORE, WITHIN, AFTER = "before", "within", "after"


@dataclass(frozen=True)
class Fault:
    """What strikes where: at the `nth` time that the program reaches this moment of this step."""

    step: str
    moment: str
    nth: int = 1


class Disk:
    """What hears of each step that may change what a power cut leaves; this one does not listen."""

    def created(self, path: Path) -> None:
        """Hear that a file was made."""

    def renamed(self, source: Path, target: Path) -> None:
        """Hear that a file has another name."""

    def linked(self, source: Path, target: Path) -> None:
        """Hear that a file has one more name."""

    def removed(self, path: Path) -> None:
        """Hear that a name is gone."""

    def folder_made(self, path: Path) -> None:
        """Hear that a folder was made."""

    def synced(self, path: Path, descriptor: int) -> None:
        """Hear that a file's content, or a folder's names, are durable."""

    def committed(self, database: Path, *, durable: bool) -> None:
        """Hear that SQLite has committed, and whether a commit is synced."""

    def cut(self) -> None:
        """Write down what a power cut at this moment may leave."""


class Steps:
    """The wrappers of one process. `install` is called once, before the program starts."""

    def __init__(
        self, roots: Sequence[Path], *, fault: Fault | None = None, trace: Path | None = None, disk: Disk | None = None
    ) -> None:
        """Watch what happens below `roots`; strike where `fault` says; write each step's name to `trace`."""
        self._roots = tuple(str(root) for root in roots)
        self._below = tuple(f"{root}{os.sep}" for root in roots)
        self._fault = fault
        self._disk = disk or Disk()
        self._reached = 0
        self._lock = threading.RLock()
        self._inside = threading.local()
        self._trace = -1 if trace is None else os.open(trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._write = os.write

    def install(self) -> None:
        """Wrap what programs write with."""
        sys.addaudithook(self._audit)
        for name, operation in (("rename", "rename"), ("replace", "rename"), ("link", "link")):
            self._wrap(os, name, operation, self._two_paths)
        for name, operation in (("unlink", "remove"), ("remove", "remove"), ("mkdir", "mkdir"), ("rmdir", "rmdir")):
            self._wrap(os, name, operation, self._one_path)
        for name in ("fsync", "fdatasync"):
            self._wrap(os, name, "fsync", self._descriptor)
        for name in ("write", "pwrite"):
            self._wrap(os, name, "write", self._descriptor)
        self._wrap(os, "ftruncate", "truncate", self._descriptor)
        self._wrap(os, "open", "create", self._opened)
        opened = self._wrap(io, "open", "create", self._opened)
        builtins.open = opened
        self._wrap_sqlite()

    def strike(self) -> None:
        """Cut the power now: nothing more is written by anybody, and the process is gone."""
        with self._lock:
            self._disk.cut()
            os.kill(os.getpid(), signal.SIGKILL)

    def finish(self) -> None:
        """Write down what a power cut just after the end of the program may leave."""
        self._disk.cut()

    # --- steps ------------------------------------------------------------------------------------------------------

    def step(self, operation: str, path: Path, real: Callable[[], Any], heard: Callable[[Any], None]) -> Any:
        """Do one step, with everything else held up: what is written down of it is what happened."""
        with self._lock:
            name = f"{_call_site()}: {operation}{_role(path, operation)}"
            self._note(name)
            self._at(name, BEFORE)
            self._inside.depth = getattr(self._inside, "depth", 0) + 1
            try:
                try:
                    result = real()
                finally:
                    self._at(name, WITHIN)
                heard(result)
            finally:
                self._inside.depth -= 1
                self._at(name, AFTER)
            return result

    def _at(self, name: str, moment: str) -> None:
        if self._fault is None or (self._fault.step, self._fault.moment) != (name, moment):
            return
        self._reached += 1
        if self._reached == self._fault.nth:
            self.strike()

    def _note(self, name: str) -> None:
        if self._trace >= 0:
            self._write(self._trace, f"{name}\n".encode())

    def watched(self, path: object) -> Path | None:
        """Return the path, where it lies below one of the roots."""
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        text = os.path.abspath(os.fsdecode(path))
        return Path(text) if text in self._roots or text.startswith(self._below) else None

    # --- wrapping ---------------------------------------------------------------------------------------------------

    def _wrap(self, module: Any, name: str, operation: str, concerns: Callable[..., _Concern | None]) -> Any:
        real = getattr(module, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            concern = None if self._busy else concerns(operation, *arguments, **options)
            if concern is None:
                return real(*arguments, **options)
            path, heard = concern
            return self.step(operation, path, lambda: real(*arguments, **options), heard)

        setattr(module, name, wrapped)
        return wrapped

    @property
    def _busy(self) -> bool:
        return getattr(self._inside, "depth", 0) > 0

    def _one_path(self, operation: str, path: Any, *_: Any, **__: Any) -> _Concern | None:
        watched = self.watched(path)
        if watched is None:
            return None
        heard = self._disk.folder_made if operation == "mkdir" else self._disk.removed
        return watched, lambda _result: heard(watched)

    def _two_paths(self, operation: str, source: Any, target: Any, **_: Any) -> _Concern | None:
        old, new = self.watched(source), self.watched(target)
        if old is None or new is None:
            return None
        heard = self._disk.renamed if operation == "rename" else self._disk.linked
        return new, lambda _result: heard(old, new)

    def _descriptor(self, operation: str, descriptor: Any, *_: Any, **__: Any) -> _Concern | None:
        number = descriptor if isinstance(descriptor, int) else descriptor.fileno()
        path = self.watched(os.readlink(f"/proc/self/fd/{number}"))
        if path is None or path.name == "lock":
            return None  # what a lock holds is for people who look
        if operation != "fsync":
            return path, lambda _result: None
        return path, lambda _result: self._disk.synced(path, number)

    def _opened(self, _operation: str, path: Any, mode: Any = "r", *_: Any, **__: Any) -> _Concern | None:
        watched = self.watched(path)
        makes = bool(mode & os.O_CREAT) if isinstance(mode, int) else any(letter in mode for letter in "wxa")
        if watched is None or not makes or os.path.lexists(watched):
            return None
        return watched, lambda _result: self._disk.created(watched)

    def _wrap_sqlite(self) -> None:
        steps, real = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            """A connection whose commits are steps."""

            def _commit(self, act: Callable[[], Any]) -> Any:
                if steps._busy:
                    return act()
                database = Path(super().execute("PRAGMA database_list").fetchone()[2])
                durable = super().execute("PRAGMA synchronous").fetchone()[0] >= 2
                return steps.step(
                    "commit", database, act, lambda _result: steps._disk.committed(database, durable=durable)
                )

            def execute(self, sql: str, *values: Any) -> Any:
                act = super().execute
                return self._commit(lambda: act(sql, *values)) if sql == "COMMIT" else act(sql, *values)

            def executescript(self, script: str) -> Any:
                act = super().executescript
                return self._commit(lambda: act(script))

            def commit(self) -> None:
                self._commit(super().commit)

            def __exit__(self, *error: object) -> Any:
                leave = super().__exit__
                return self._commit(lambda: leave(*error)) if error[0] is None else leave(*error)

        def connect(database: Any, **options: Any) -> sqlite3.Connection:
            path = str(database).removeprefix("file:")
            if steps.watched(path) is None or "mode=ro" in path:
                return real(database, **options)
            steps._inside.depth = getattr(steps._inside, "depth", 0) + 1
            try:
                return real(database, factory=Connection, **options)
            finally:
                steps._inside.depth -= 1

        sqlite3.connect = connect  # type: ignore[assignment]

    # --- what goes past the wrappers --------------------------------------------------------------------------------

    def _audit(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in _AUDITED or self._busy:
            return
        path = str(arguments[0]).removeprefix("file:") if event == "sqlite3.connect" else arguments[0]
        watched = self.watched(path)
        if watched is None or "mode=ro" in str(path):
            return
        if event == "open" and (not arguments[2] & _CHANGES or os.path.lexists(watched)):
            return  # it changes no name; what is written into it counts where it is synced
        self._note(f"{ESCAPED} {event} {_call_site()}:{_role(watched, event)}")


_AUDITED: Final = frozenset(
    {
        "open",
        "os.rename",
        "os.link",
        "os.symlink",
        "os.remove",
        "os.mkdir",
        "os.rmdir",
        "os.truncate",
        "sqlite3.connect",
    }
)
_Concern = tuple[Path, Callable[[Any], None]]


def _call_site() -> str:
    """Name the innermost function of the program that asked for this, and the door through which it went."""
    frame: FrameType | None = sys._getframe(1)
    door = ""
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if module.startswith("edge."):
            name = f"{module.removeprefix('edge.')}.{frame.f_code.co_qualname}".replace(".<locals>", "")
            states = frame.f_locals.get("states")
            if module == "edge.intake.ledger" and isinstance(states, tuple):
                name += f"({', '.join(states)})"
            if not module.startswith(_DOORS):
                return f"{name} > {door}" if door else name
            door = name
        frame = frame.f_back
    return door or "outside"


def _role(path: Path, operation: str) -> str:
    """Say what a path is, without what is different in each run; nothing where the operation says it."""
    if operation in {"mkdir", "rmdir", "commit"}:
        return ""
    if _TEMPORARY.fullmatch(path.name):
        return " temporary"
    if path.suffix in {".sealed", ".spooled", ".part", ".have", ".key", ".json", ".sqlite"}:
        return f" {path.suffix}"
    name = path.name.partition("-")[0]  # several images that came together are numbered
    return f" {name}" if name in {"plain", "scratch", "lock"} else " folder" if path.is_dir() else " file"
