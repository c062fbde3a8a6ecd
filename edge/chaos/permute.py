"""The permutation of a band's rows and columns by NumPy, tile by tile so that a tile is still in the cache when it is diffused.

Forward: cipher[i, j] = plain[yindex[i], xindex[j]]. The way back is the same gather with the inverse indices:
scattering rows costs half as much again (measured).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.chaos.buffers import aligned
from edge.chaos.layout import Layout

# Bytes of a tile: as good as any of 16 KiB to 512 KiB for the two gathers together (7.3 GB/s), with room for
# the lanes beside it in a second-level cache of 1 MiB.
TILE_BYTES = 256 << 10

Bytes = NDArray[np.uint8]
Indices = NDArray[np.intp]
Move: TypeAlias = Callable[[Indices, slice], None]
"""Writes the given rows of a source to a part of the target's rows."""


class Permutation:
    """The permutation machinery of one layout; its tile buffer is reused for every band.

    A row is seen as units of 1, 2, 4, 8 or 16 bytes, the sizes that NumPy gathers fast; a sample of three channels is
    three units that travel together.
    """

    def __init__(self, layout: Layout) -> None:
        # The largest power of two that divides the sample.
        self._unit = layout.sample & -layout.sample
        self._units = layout.sample // self._unit
        self._row_bytes = layout.row_bytes
        self._row_units = layout.width * self._units
        self._tile_rows = min(max(1, layout.rows_a_band), max(1, TILE_BYTES // self._row_bytes))
        self._tile = aligned(self._tile_rows * self._row_bytes, np.uint8).reshape(self._tile_rows, -1, self._unit)

    def gather(self, source: Bytes, target: Bytes, rows: Indices, columns: Indices) -> Gather:
        """Prepare to write `source`, permuted, into `target`: uint8 (bytes,), both of whole rows."""
        if self._units > 1:
            columns = (columns[:, None] * self._units + np.arange(self._units)).reshape(-1)
        shape = (-1, self._row_units, self._unit)
        from_rows, to_rows = source.reshape(shape), target.reshape(shape)

        def move(rows: Indices, to: slice) -> None:
            tile = self._tile[: len(rows)]
            # mode="clip" with out= is the only form that NumPy does not buffer; the indices are in range.
            from_rows.take(rows, axis=0, out=tile, mode="clip")
            tile.take(columns, axis=1, out=to_rows[to], mode="clip")

        return Gather(rows, self._row_bytes, len(self._tile), move)


class Gather:
    """The permutation of one band, done as far as it is asked for: `move` does some rows at a time."""

    def __init__(self, rows: Indices, row_bytes: int, step: int, move: Move) -> None:
        self._rows, self._row_bytes, self._step, self._move = rows, row_bytes, step, move
        self._done = 0

    def until(self, end: int) -> None:
        """Permute until at least the first `end` bytes of the target, or all of it, are in place."""
        while self._done * self._row_bytes < end and self._done < len(self._rows):
            part = slice(self._done, self._done + self._step)
            rows = self._rows[part]
            self._move(rows, part)
            self._done += len(rows)


def inverse(indices: Indices) -> Indices:
    """Return the inverse of a permutation."""
    result = np.empty_like(indices)
    result[indices] = np.arange(len(indices), dtype=indices.dtype)
    return result
