"""How much each part of the benchmark measures: the sizes of the contract, or smaller ones for a quick look."""

from __future__ import annotations

from dataclasses import dataclass

from firmware_tools.bench.timing import MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes in bytes, times in seconds."""

    rounds: int = 9
    disk_rounds: int = 5
    cipher_bytes: int = 32 * MEGABYTE
    seal_bytes: int = 100 * MEGABYTE
    way_rounds: int = 3
    way_images: int = 20
    way_bytes: int = 5 * MEGABYTE
    memory_bytes: int = 1000 * MEGABYTE
    idle_files: int = 1000
    idle_bytes: int = 4096
    idle_seconds: float = 20.0
    start_rounds: int = 3
    ways_rows: int = 1800


FULL = Plan()
QUICK = Plan(
    rounds=3,
    disk_rounds=2,
    seal_bytes=32 * MEGABYTE,
    way_rounds=1,
    way_images=8,
    way_bytes=2 * MEGABYTE,
    memory_bytes=128 * MEGABYTE,
    idle_files=50,
    idle_seconds=5.0,
    start_rounds=1,
    ways_rows=300,
)
