"""How much memory a block takes, as Python's allocator counts it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass
class Peak:
    """How many bytes more than at its start a block took at its worst; 0 until it has ended."""

    bytes: int = 0


@contextmanager
def measured() -> Iterator[Peak]:
    """Measure the memory of a block."""
    peak = Peak()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        yield peak
        peak.bytes = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


@contextmanager
def memory_within(limit: int) -> Iterator[None]:
    """Insist that no more than `limit` bytes are taken at any moment of the block."""
    with measured() as peak:
        yield
    assert peak.bytes <= limit, "the block took more memory than it may"
