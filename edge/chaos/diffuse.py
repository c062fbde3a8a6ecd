"""The XOR of a band with its key words, fused with the permutation so that key bytes never leave the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import NDArray

from edge.chaos.buffers import WORD_BYTES

# Key words are little-endian in the key stream, whatever the processor.
LITTLE = np.dtype("<u4")


def _nothing(_end: int) -> None:
    pass


def diffuse(
    data: NDArray[np.uint8],
    size: int,
    words: Iterable[NDArray[np.uint32]],
    *,
    before: Callable[[int], None] = _nothing,
) -> None:
    """XOR the first `size` bytes of `data` with the key words, in place.

    Args:
        data: uint8, at least `size` rounded up to a whole word; the bytes beyond `size` are left undefined.
        size: Bytes to XOR.
        words: Pieces of uint32 key words, at least as many as are needed.
        before: Called with `end` before the bytes up to `end`, which may lie beyond `size`, are touched.
    """
    count = -(-size // WORD_BYTES)
    target = data[: count * WORD_BYTES].view(LITTLE)
    position = 0
    xor = np.bitwise_xor
    for piece in words:
        end = position + piece.size
        part = target[position:end]
        before(end * WORD_BYTES)
        # Only the last part is shorter than its key words.
        xor(part, piece if part.size == piece.size else piece[: part.size], part)
        position = end
        if position >= count:
            return
