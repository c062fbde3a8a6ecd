"""How the benchmark measures time: candidates in turn, several rounds, medians, processor time beside the clock's.

Rule: what is compared is measured in the same minutes on the same bytes. Rounds are interleaved, so that whatever else
the machine does hits all candidates alike.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MEGABYTE: Final = 1_000_000
_STEP: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Timing:
    """Medians over the rounds, in seconds."""

    wall: float
    cpu: float

    def rate(self, size: int) -> float:
        """Return MB/s for `size` bytes a round."""
        return size / MEGABYTE / self.wall


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Run all candidates once to warm up, then in turn, and return each one's medians."""
    for work in candidates.values():
        work()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            wall, cpu = time.perf_counter(), time.process_time()
            work()
            taken[name].append((time.perf_counter() - wall, time.process_time() - cpu))
    return {
        name: Timing(*(statistics.median(column) for column in zip(*rows, strict=True))) for name, rows in taken.items()
    }


def copy_durably(source: Path, target: Path) -> None:
    """Copy a file in steps of 1 MiB, sync it, and remove the copy: the least that anything which keeps a file must do."""
    buffer = memoryview(bytearray(_STEP))
    with source.open("rb", buffering=0) as plain, target.open("wb", buffering=0) as copy:
        while count := plain.readinto(buffer):
            copy.write(buffer[:count])
        os.fsync(copy.fileno())
    target.unlink()
