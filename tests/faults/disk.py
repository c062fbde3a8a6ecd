"""A model of what a disk holds after a power cut: content that was not synced is lost or torn, names likewise.

    content   durable as it was at the file's last fsync; later writes are there, are not, or are there in part
    names     durable once their folder was synced after; of the others any may be missing, in any order
    SQLite    its commit is durable where synchronous is FULL; of a commit that had not returned, a part may be there

This is less than any journalling file system promises. `WatchedDisk` runs inside the program and writes down what
happened; `leave` is called after its end, and makes the folders as one of the possible cuts leaves them.
"""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

from tests.faults.steps import Disk

_LOG: Final = "log.json"
_FOLDER: Final = -1
_BLOCK: Final = 512
_SQLITE_BESIDE: Final = ("-wal", "-shm", "-journal")

Names = Literal["lost", "kept", "prefix", "any"]
"""Which of the names that were not synced survive: none, all, the first of them, or any of them."""


class WatchedDisk(Disk):
    """Write down each change of a name with what makes it durable, and keep each file's synced content aside.

    `shadow` is a folder on the same file system. Every file gets one more link there, so that its last content outlives
    its removal, and its inode number is not given to another file.
    """

    def __init__(self, roots: Sequence[Path], shadow: Path, *, goes_on: bool = False) -> None:
        """Begin with what is there, as durable; with `goes_on`, with what an earlier process was killed over."""
        self._shadow = shadow
        self._roots = [str(root) for root in roots]
        for name in ("live", "synced"):
            (shadow / name).mkdir(parents=True, exist_ok=True)
        self._numbers: dict[str, int] = {}
        self._base: dict[str, int] = {}
        self._steps: list[dict[str, Any]] = []
        self._names: dict[str, int] = {}
        if goes_on:
            self._take_up(json.loads((shadow / _LOG).read_text()))
        else:
            for root in roots:
                self._begin(root)

    def _begin(self, root: Path) -> None:
        for folder, _, files in os.walk(root):
            self._base[folder] = _FOLDER
            for name in files:
                path = os.path.join(folder, name)
                number = self._number(path)
                shutil.copy2(path, self._synced(number))
                self._base[path] = number
        self._names = dict(self._base)

    def _take_up(self, log: dict[str, Any]) -> None:
        self._numbers, self._base, self._steps = log["numbers"], log["base"], log["steps"]
        self._names = dict(self._base)
        for step in self._steps:
            _apply(step["set"], self._names)

    # --- what is heard ----------------------------------------------------------------------------------------------

    def created(self, path: Path) -> None:
        self._set({str(path): self._number(str(path))})

    def renamed(self, source: Path, target: Path) -> None:
        self._set({str(source): None, str(target): self._names[str(source)]})

    def linked(self, source: Path, target: Path) -> None:
        self._set({str(target): self._names[str(source)]})

    def removed(self, path: Path) -> None:
        self._set({str(path): None})

    def folder_made(self, path: Path) -> None:
        self._set({str(path): _FOLDER})

    def synced(self, path: Path, descriptor: int) -> None:
        if path.is_dir():
            self._folder_synced(str(path))
            return
        details = os.fstat(descriptor)
        number = self._numbers.get(f"{details.st_dev}:{details.st_ino}")
        if number is not None:
            self._keep(number)

    def committed(self, database: Path, *, durable: bool) -> None:
        log = f"{database}-wal"
        if os.path.exists(log) and self._names.get(log) != self._number(log):
            self._set({log: self._number(log)})
            if durable:
                self._folder_synced(str(database.parent))  # SQLite does so when it first syncs a log that it made
        if durable:
            for path in (str(database), log):
                if os.path.exists(path):
                    self._keep(self._names[path])

    def cut(self) -> None:
        log = {"numbers": self._numbers, "base": self._base, "steps": self._steps}
        (self._shadow / _LOG).write_text(json.dumps(log))

    # --- how it is kept ---------------------------------------------------------------------------------------------

    def _number(self, path: str) -> int:
        details = os.stat(path)
        key = f"{details.st_dev}:{details.st_ino}"
        if key not in self._numbers:
            self._numbers[key] = len(self._numbers)
            os.link(path, self._shadow / "live" / str(self._numbers[key]))
        return self._numbers[key]

    def _synced(self, number: int) -> Path:
        return self._shadow / "synced" / str(number)

    def _keep(self, number: int) -> None:
        shutil.copy2(self._shadow / "live" / str(number), self._synced(number))

    def _set(self, names: dict[str, int | None]) -> None:
        folders = sorted({os.path.dirname(path) for path in names})
        self._steps.append({"set": names, "folders": folders, "durable": False})
        _apply(names, self._names)

    def _folder_synced(self, folder: str) -> None:
        for step in self._steps:
            step["durable"] = step["durable"] or folder in step["folders"]


def leave(roots: Sequence[Path], shadow: Path, *, names: Names, seed: int) -> None:
    """Make the folders as a power cut leaves them that the program under `shadow` was struck by; the shadow is gone."""
    chance = random.Random(seed)
    log = json.loads((shadow / _LOG).read_text())
    held: dict[str, int] = dict(log["base"])
    for step in _surviving(log["steps"], names, chance):
        _apply(step["set"], held)
    for root in roots:
        for each in list(root.iterdir()):
            shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
    for path in sorted(held):
        # A name below a folder that did not survive is gone with it.
        if not os.path.isdir(os.path.dirname(path)) or path.endswith("-shm"):
            continue
        if held[path] == _FOLDER:
            os.makedirs(path, exist_ok=True)
        else:
            _restore(Path(path), held[path], shadow, chance)
    shutil.rmtree(shadow)


def _surviving(steps: list[dict[str, Any]], names: Names, chance: random.Random) -> list[dict[str, Any]]:
    loose = [index for index, step in enumerate(steps) if not step["durable"]]
    if names == "lost":
        kept: set[int] = set()
    elif names == "kept":
        kept = set(loose)
    elif names == "prefix":
        kept = set(loose[: chance.randint(0, len(loose))])
    else:
        kept = {index for index in loose if chance.random() < 0.5}
    return [step for index, step in enumerate(steps) if step["durable"] or index in kept]


def _restore(path: Path, number: int, shadow: Path, chance: random.Random) -> None:
    live, synced = shadow / "live" / str(number), shadow / "synced" / str(number)
    new = live.read_bytes()
    old = synced.read_bytes() if synced.exists() else b""
    if old == new:
        os.link(live, path)  # the same inode: the ledger knows a file by it
        return
    path.write_bytes(_torn(path, old, new, chance))
    details = live.stat()
    path.chmod(details.st_mode & 0o777)
    os.utime(path, ns=(details.st_atime_ns, details.st_mtime_ns))


def _torn(path: Path, old: bytes, new: bytes, chance: random.Random) -> bytes:
    """Return one of the contents that a file may have whose last writes were not synced."""
    if path.suffix == ".sqlite":
        return old  # SQLite writes into it only what its synced log holds too
    if path.name.endswith(_SQLITE_BESIDE):
        # A log is appended to, or begun anew from its start, which a checkpoint allows.
        return new[: chance.randint(len(old), len(new))] if new.startswith(old) else old
    if chance.random() < 0.3:
        return old
    size = chance.choice((len(old), len(new)))
    blocks = []
    for start in range(0, size, _BLOCK):
        source = chance.choice((old, new))
        blocks.append(source[start : start + _BLOCK].ljust(min(_BLOCK, size - start), b"\0"))
    return b"".join(blocks)


def _apply(names: dict[str, int | None], held: dict[str, int]) -> None:
    for path, number in names.items():
        if number is None:
            held.pop(path, None)
        else:
            held[path] = number
