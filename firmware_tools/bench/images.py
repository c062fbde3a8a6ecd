"""The images that the benchmark carries: plain grey PNM files of any size, known by their magic and always complete."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import numpy as np

from edge.records import SettledFile

_WIDTH: Final = 4096
_STEP: Final = 16 << 20


def write_image(path: Path, size: int, *, seed: int) -> Path:
    """Write an image of `size` bytes of pixels drawn from `seed`, rounded down to whole rows, and return its path.

    It is synced, so that its own way to the disk does not disturb what is measured next.
    """
    generator = np.random.default_rng(seed)
    rows = max(1, size // _WIDTH)
    left = rows * _WIDTH
    with path.open("wb") as file:
        file.write(f"P5\n{_WIDTH} {rows}\n255\n".encode())
        while left:
            piece = min(left, _STEP)
            file.write(generator.bytes(piece))
            left -= piece
        file.flush()
        os.fsync(file.fileno())
    return path


def settled(path: Path) -> SettledFile:
    """Return the file as intake knows it once it stands still."""
    details = path.stat()
    return SettledFile(path, path.name, details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
