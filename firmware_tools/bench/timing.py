"""How the benchmark measures time: candidates in turn, several rounds, processor time beside the clock's.

Rule: what is compared is measured in the same minutes on the same bytes. Rounds are interleaved, so that whatever else
the machine does hits all candidates alike. What only computes is judged by its best round, since other load can add time
and never take any away; what waits for a disk or another process by the median.
"""

from __future__ import annotations

import os
import resource
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
    """Over the rounds, in seconds: the median on the clock, the median of processor time, the best on the clock."""

    wall: float
    cpu: float
    best: float

    def rate(self, size: int) -> float:
        """Return the median MB/s for `size` bytes a round."""
        return size / MEGABYTE / self.wall

    def best_rate(self, size: int) -> float:
        """Return the best round's MB/s for `size` bytes a round."""
        return size / MEGABYTE / self.best


def interleaved(candidates: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, Timing]:
    """Run all candidates once to warm up, then in turn, and return each one's medians."""
    for work in candidates.values():
        work()
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(rounds):
        for name, work in candidates.items():
            wall, cpu = time.perf_counter(), processor_seconds()
            work()
            taken[name].append((time.perf_counter() - wall, processor_seconds() - cpu))
    timings = {}
    for name, rows in taken.items():
        walls, processor = zip(*rows, strict=True)
        timings[name] = Timing(wall=statistics.median(walls), cpu=statistics.median(processor), best=min(walls))
    return timings


def processor_seconds() -> float:
    """Return the processor time of this process and of all its children that have ended, with their own."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    )


def copy_durably(source: Path, target: Path) -> None:
    """Copy a file in steps of 1 MiB, sync it, and remove the copy: the least that anything which keeps a file must do."""
    buffer = memoryview(bytearray(_STEP))
    with source.open("rb", buffering=0) as plain, target.open("wb", buffering=0) as copy:
        while count := plain.readinto(buffer):
            copy.write(buffer[:count])
        os.fsync(copy.fileno())
    target.unlink()


def synced_files(folder: Path, size: int, count: int) -> float:
    """Write new files of `size` bytes, sync each, and return how many a second this disk takes; nothing is left."""
    content = os.urandom(size)
    paths = [folder / f"synced-{number}" for number in range(count)]
    start = time.perf_counter()
    for path in paths:
        with path.open("wb", buffering=0) as file:
            file.write(content)
            os.fsync(file.fileno())
    rate = count / (time.perf_counter() - start)
    for path in paths:
        path.unlink()
    return rate
