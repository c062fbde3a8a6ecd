"""The two diffusions of cipher B: two-dimensional prefix XORs over a matrix of bytes, from one corner and from the other.

    forward:  S[k, l] = X[k, l] ^ S[k-1, l] ^ S[k, l-1] ^ S[k-1, l-1]    the XOR of all X above and to the left, itself included
    backward: the same from the last row and the last column

The rule kept here: the last row may be short; what is missing of it counts as zero. Rows are handled in tiles that stay in
the cache, eight bytes at a time.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.chaos import kernel
from edge.chaos.buffers import aligned
from edge.chaos.permute import TILE_BYTES, Bytes

Words = NDArray[np.uint64]

_WORD: Final = 8  # bytes; the lowest byte of a word is the leftmost in memory on every processor that is supported
_SHIFTS: Final = tuple(np.uint64(bits) for bits in (8, 16, 32))
_TOP: Final = np.uint64(56)
_LOWEST: Final = np.uint64(0xFF)
_EVERY_BYTE: Final = np.uint64(0x0101010101010101)


class Diffusion:
    """The diffusions of matrices with rows of one length; the tile is reused for every matrix."""

    def __init__(self, row_bytes: int) -> None:
        self._row = row_bytes
        words = -(-row_bytes // _WORD)
        rows = max(1, TILE_BYTES // (words * _WORD))
        self._tile = aligned(rows * words, np.uint64).reshape(rows, words)
        self._scratch = aligned(rows * words, np.uint64).reshape(rows, words)

    def forward(self, data: Bytes) -> None:
        """Replace a matrix by its prefix XOR from the first corner, in place: uint8 (bytes,), rows one after the other."""
        if compiled := kernel.active():
            compiled.forward(data, self._row)
        else:
            self._diffuse(data, backward=False)

    def backward(self, data: Bytes) -> None:
        """Replace a matrix by its prefix XOR from the last corner, in place: uint8 (bytes,)."""
        if compiled := kernel.active():
            compiled.backward(data, self._row)
        else:
            self._diffuse(data, backward=True)

    def _diffuse(self, data: Bytes, *, backward: bool) -> None:
        rows = -(-len(data) // self._row)
        step = len(self._tile)
        carry = np.zeros(self._tile.shape[1], np.uint64)
        starts = range(0, rows, step)
        for start in reversed(starts) if backward else starts:
            count = min(step, rows - start)
            part = data[start * self._row : (start + count) * self._row]
            tile = self._load(part, count)
            # Down the columns, from the row that the tile before ended with; in the cache this is fast, elsewhere not.
            tile[-1 if backward else 0] ^= carry
            downwards = tile[::-1] if backward else tile
            np.bitwise_xor.accumulate(downwards, axis=0, out=downwards)
            carry[:] = downwards[-1]
            _along(tile, self._scratch[:count], backward=backward)
            self._store(part, count)

    def _load(self, part: Bytes, count: int) -> Words:
        """Copy rows into the tile, each filled up with zeros to whole words."""
        tile = self._tile[:count]
        lines = tile.view(np.uint8)
        whole = len(part) // self._row
        lines[:whole, : self._row] = part[: whole * self._row].reshape(whole, self._row)
        lines[:whole, self._row :] = 0
        if whole < count:
            rest = len(part) - whole * self._row
            lines[whole, :rest] = part[whole * self._row :]
            lines[whole, rest:] = 0
        return tile

    def _store(self, part: Bytes, count: int) -> None:
        lines = self._tile[:count].view(np.uint8)
        whole = len(part) // self._row
        part[: whole * self._row].reshape(whole, self._row)[:] = lines[:whole, : self._row]
        if whole < count:
            part[whole * self._row :] = lines[whole, : len(part) - whole * self._row]


def undo_forward(data: Bytes, scratch: Bytes, row_bytes: int) -> None:
    """Undo `Diffusion.forward`, in place.

    Args:
        data: The matrix, uint8 (bytes,).
        scratch: As long; used up.
        row_bytes: The length of its rows.
    """
    if compiled := kernel.active():
        compiled.undo_forward(data, scratch, row_bytes)
        return
    scratch[0] = data[0]
    np.bitwise_xor(data[1:], data[:-1], out=scratch[1:])
    scratch[row_bytes::row_bytes] = data[row_bytes::row_bytes]  # nothing stands left of the first column
    data[:row_bytes] = scratch[:row_bytes]
    np.bitwise_xor(scratch[row_bytes:], scratch[: max(0, len(data) - row_bytes)], out=data[row_bytes:])


def undo_backward(data: Bytes, scratch: Bytes, row_bytes: int) -> None:
    """Undo `Diffusion.backward`, in place; arguments are those of `undo_forward`."""
    if compiled := kernel.active():
        compiled.undo_backward(data, scratch, row_bytes)
        return
    scratch[-1] = data[-1]
    np.bitwise_xor(data[:-1], data[1:], out=scratch[:-1])
    scratch[row_bytes - 1 :: row_bytes] = data[row_bytes - 1 :: row_bytes]  # nor right of the last one
    above = max(0, len(data) - row_bytes)
    data[above:] = scratch[above:]
    np.bitwise_xor(scratch[:above], scratch[row_bytes:], out=data[:above])


def _along(tile: Words, scratch: Words, *, backward: bool) -> None:
    """XOR each byte with all before it in its row; backward with all behind it."""
    shift = np.right_shift if backward else np.left_shift
    for bits in _SHIFTS:
        shift(tile, bits, out=scratch)
        np.bitwise_xor(tile, scratch, out=tile)
    # The last byte of each word is now the XOR of the whole word: carried over all words that follow.
    if backward:
        np.bitwise_and(tile, _LOWEST, out=scratch)
        tile, scratch = tile[:, ::-1], scratch[:, ::-1]
    else:
        np.right_shift(tile, _TOP, out=scratch)
    np.bitwise_xor.accumulate(scratch, axis=1, out=scratch)
    np.multiply(scratch, _EVERY_BYTE, out=scratch)
    np.bitwise_xor(tile[:, 1:], scratch[:, :-1], out=tile[:, 1:])
