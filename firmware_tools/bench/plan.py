"""How much each part of the benchmark measures: the sizes of the contract, or smaller ones for a quick look."""

from __future__ import annotations

from dataclasses import dataclass, replace

from firmware_tools.bench.timing import MEGABYTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Sizes in bytes, times in seconds; with `judged` sizes are the contract's, and its targets for them hold."""

    judged: bool = True
    rounds: int = 9
    disk_rounds: int = 3
    cipher_bytes: int = 32 * MEGABYTE
    cipher_directions: bool = True
    cipher_sizes: tuple[int, ...] = (64_000, MEGABYTE, 8 * MEGABYTE, 256 * MEGABYTE)
    lanes: tuple[int, ...] = (256, 1024, 4096, 8192, 16384, 32768)
    seal_bytes: int = 500 * MEGABYTE
    seal_sizes: tuple[int, ...] = (64_000, MEGABYTE, 16 * MEGABYTE)
    network_processes: int = 3
    ways_rows: int = 1800
    start_rounds: int = 5
    latency_images: int = 25
    latency_bytes: int = MEGABYTE
    way_rounds: int = 3
    way_images: int = 20
    way_bytes: int = 20 * MEGABYTE
    small_images: int = 300
    small_bytes: int = 100_000
    files: tuple[int, ...] = (1, 10, 100)
    memory_bytes: int = 1000 * MEGABYTE
    idle_files: int = 1000
    idle_bytes: int = 4096
    idle_seconds: float = 20.0
    tool_bytes: int = 100 * MEGABYTE
    tool_image_bytes: int = 512 * 512 * 3
    tool_small_images: int = 50


FULL = Plan()
LARGEST = replace(FULL, files=(*FULL.files, 10_000, 100_000))
QUICK = Plan(
    judged=False,
    rounds=3,
    disk_rounds=1,
    cipher_directions=False,
    cipher_sizes=(64_000, MEGABYTE),
    lanes=(1024, 8192),
    seal_bytes=32 * MEGABYTE,
    seal_sizes=(MEGABYTE,),
    network_processes=1,
    ways_rows=300,
    start_rounds=1,
    latency_images=4,
    way_rounds=1,
    way_images=8,
    way_bytes=2 * MEGABYTE,
    small_images=30,
    files=(1,),
    memory_bytes=64 * MEGABYTE,
    idle_files=20,
    idle_seconds=3.0,
    tool_bytes=16 * MEGABYTE,
    tool_image_bytes=128 * 128 * 3,
    tool_small_images=10,
)
