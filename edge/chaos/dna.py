"""DNA arithmetic of cipher B: bytes as four bases each, added letter by letter; and the same on whole words.

The rule kept here: rule 4 encodes and decodes, so that adding two bytes as DNA is adding their bit pairs modulo 4, plus 2.
`add_columns` does that eight bytes at a time; the letters below say what it means.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.chaos import kernel
from edge.chaos.buffers import aligned
from edge.chaos.permute import Bytes

# Rule 4: the base of each bit pair, 00 first.
RULE_4: Final = "CTAG"
# The number of each base: letters add and subtract as their numbers do, modulo 4.
NUMBERS: Final = "AGCT"

_BLOCK_BYTES: Final = 128 << 10
_PAIR_HIGH: Final = np.uint64(0xFF00FF00FF00FF00)  # the second byte of every pair
_LOW_BITS: Final = np.uint64(0x5500550055005500)  # the lower bit of every bit pair of it
_PLUS_TWO: Final = np.uint64(0xAA00AA00AA00AA00)  # adding 2 modulo 4 turns the upper bit
_BYTE: Final = np.uint64(8)
_ONE: Final = np.uint64(1)


def encode(data: bytes) -> str:
    """Write bytes as DNA by rule 4, four bases a byte, highest bits first: 10011000 is ATAC."""
    return "".join(RULE_4[byte >> shift & 3] for byte in data for shift in (6, 4, 2, 0))


def decode(bases: str) -> bytes:
    """Read DNA as bytes by rule 4.

    Raises:
        ValueError: A letter is no base, or the letters are no whole bytes.
    """
    if len(bases) % 4:
        raise ValueError("four bases make a byte")
    pairs = [RULE_4.index(base) for base in bases]
    return bytes(a << 6 | b << 4 | c << 2 | d for a, b, c, d in zip(*(pairs[i::4] for i in range(4)), strict=True))


def add(one: str, other: str) -> str:
    """Add two strands letter by letter, modulo 4 with A = 0, G = 1, C = 2, T = 3.

    Raises:
        ValueError: They differ in length, or a letter is no base.
    """
    return "".join(NUMBERS[(NUMBERS.index(a) + NUMBERS.index(b)) % 4] for a, b in zip(one, other, strict=True))


def subtract(one: str, other: str) -> str:
    """Subtract a strand from another, the inverse of `add`.

    Raises:
        ValueError: They differ in length, or a letter is no base.
    """
    return "".join(NUMBERS[(NUMBERS.index(a) - NUMBERS.index(b)) % 4] for a, b in zip(one, other, strict=True))


def add_columns(data: Bytes) -> None:
    """Add to each second byte the byte before it, as DNA, in place.

    Args:
        data: uint8 (bytes,), a multiple of eight and aligned to eight; a last byte without a partner stays as it is when
            the byte behind it is not used.
    """
    if compiled := kernel.active():
        compiled.add_columns(data.view(np.uint64))
    else:
        _each_block(data, subtracting=False)


def subtract_columns(data: Bytes) -> None:
    """Subtract from each second byte the byte before it, as DNA, in place: the inverse of `add_columns`."""
    if compiled := kernel.active():
        compiled.subtract_columns(data.view(np.uint64))
    else:
        _each_block(data, subtracting=True)


def _each_block(data: Bytes, *, subtracting: bool) -> None:
    words = data.view(np.uint64)
    step = _BLOCK_BYTES // words.itemsize
    first, carries = aligned(min(step, words.size), np.uint64), aligned(min(step, words.size), np.uint64)
    for start in range(0, words.size, step):
        block = words[start : start + step]
        moved, carry = first[: block.size], carries[: block.size]
        # The first byte of every pair, where its partner stands. Bit pairs add modulo 4 as a ^ b ^ (a & b & 01) << 1.
        np.left_shift(block, _BYTE, out=moved)
        np.bitwise_and(moved, _PAIR_HIGH, out=moved)
        if subtracting:
            np.bitwise_xor(block, _PLUS_TWO, out=block)
            # s - a = s ^ a ^ (~s & a & 01) << 1
            np.invert(block, out=carry)
            np.bitwise_and(carry, moved, out=carry)
        else:
            np.bitwise_and(block, moved, out=carry)
        np.bitwise_and(carry, _LOW_BITS, out=carry)
        np.left_shift(carry, _ONE, out=carry)
        np.bitwise_xor(block, moved, out=block)
        np.bitwise_xor(block, carry, out=block)
        if not subtracting:
            np.bitwise_xor(block, _PLUS_TWO, out=block)
