"""What a bad disk does to a file."""

from __future__ import annotations

import os
from pathlib import Path


def cut(path: Path) -> None:
    """Lose the second half of a file, as a file system does after a power cut."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file, as a dying card does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
