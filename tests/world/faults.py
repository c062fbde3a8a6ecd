"""What bad disks and bad shares do to files and folders."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # the fuzzer, which has no pytest, uses this world too
    import pytest


def cut(path: Path) -> None:
    """Lose the second half of a file, as a file system does after a power cut."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file, as a dying card does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def refuse_listing(monkeypatch: pytest.MonkeyPatch, folder: Path, error: OSError) -> None:
    """Make one folder unlistable: the tests may run as root, whom no mode stops."""
    real = os.scandir

    def scandir(place: int | str | os.PathLike[str] = ".") -> object:
        if not isinstance(place, int) and os.fspath(place) == os.fspath(folder):
            raise error
        return real(place)

    monkeypatch.setattr(os, "scandir", scandir)
