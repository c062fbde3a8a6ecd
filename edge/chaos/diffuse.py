"""The XOR of a band with its key words, fused with the permutation so that key bytes never leave the cache."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edge.chaos.buffers import WORD_BYTES
from edge.chaos.kernel import KeyArrays

# Key words are little-endian in the key stream, whatever the processor.
LITTLE = np.dtype("<u4")


class KeyWords(Protocol):
    """A stream of key words."""

    piece: int
    """Words that `xor` takes at a time."""

    arrays: KeyArrays
    """The same words, as the compiled kernel takes them."""

    def xor(self, target: NDArray[np.uint32], /) -> None:
        """XOR the next key words into uint32 (n,): `piece` of them, fewer only at the very end."""
        ...


def _nothing(_end: int) -> None:
    pass


def diffuse(
    data: NDArray[np.uint8],
    size: int,
    words: KeyWords,
    *,
    before: Callable[[int], None] = _nothing,
) -> None:
    """XOR the first `size` bytes of `data` with the key words, in place.

    Args:
        data: uint8, at least `size` rounded up to a whole word; the bytes beyond `size` are left undefined.
        size: Bytes to XOR.
        words: At least as many as are needed.
        before: Called with `end` before the bytes up to `end`, which may lie beyond `size`, are touched.
    """
    count = -(-size // WORD_BYTES)
    target = data[: count * WORD_BYTES].view(LITTLE)
    for start in range(0, count, words.piece):
        end = start + words.piece
        before(end * WORD_BYTES)
        words.xor(target[start:end])
