"""Memory and reading for the cipher: aligned arrays that are made once and reused, and sources read to the last byte."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from edge.chaos.layout import BAND_BYTES, Layout

# Bytes: a cache line, and the widest vector register. Unaligned lanes cost up to a factor of two (measured).
ALIGNMENT = 64

WORD_BYTES = 4  # bytes of a key word

Scalar = TypeVar("Scalar", bound=np.generic)


class Readable(Protocol):
    """Whatever bytes can be read from: a binary file, a BytesIO, a section of an opened envelope."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Read some bytes into the buffer and return how many; 0 at the end."""
        ...


def address(array: NDArray[Any]) -> int:
    """Return the address of an array's first element."""
    if array.flags.writeable and array.flags.c_contiguous and array.size:
        return ctypes.addressof(ctypes.c_char.from_buffer(array.data))  # `array.ctypes` takes four times as long
    return array.ctypes.data


def aligned(count: int, dtype: type[Scalar]) -> NDArray[Scalar]:
    """Return an uninitialised array of `count` elements that starts on a cache line and is padded to a whole one."""
    size = count * np.dtype(dtype).itemsize
    room = -(-size // ALIGNMENT) * ALIGNMENT
    raw = np.empty(room + ALIGNMENT, dtype=np.uint8)
    start = -address(raw) % ALIGNMENT
    array: NDArray[Any] = raw[start : start + size].view(dtype)
    return array


# Bytes of a band buffer: a band, and the incomplete row of any file up to 4 GiB. Larger ones are made when needed.
BUFFER_BYTES = BAND_BYTES + (64 << 10)

# The most that one image takes: plain, cipher, the two of its proof, and two of keys.
MOST_BUFFERS = 6

# Band buffers that no image uses now. Fresh memory costs an eighth of the time of a 32 MiB image in page faults.
_spare: deque[NDArray[np.uint8]] = deque(maxlen=MOST_BUFFERS)


@contextmanager
def band_buffers(layout: Layout, count: int) -> Iterator[list[NDArray[np.uint8]]]:
    """Lend `count` buffers, each for the largest band of a layout rounded up to a cache line; what they hold is undefined.

    A buffer is lent to one image at a time, and as many as any image takes are kept for the next. Whoever hands a view of one to others
    must release the view in time, so that no image can read another's bytes.
    """
    size = -(-layout.largest_band // ALIGNMENT) * ALIGNMENT
    if size > BUFFER_BYTES:
        # An image with very long rows needs its own: what is kept would only add to them.
        _spare.clear()
    lent = [_take_spare() if size <= BUFFER_BYTES else aligned(size, np.uint8) for _ in range(count)]
    try:
        yield [buffer[:size] for buffer in lent]
    finally:
        _spare.extend(buffer for buffer in lent if buffer.size == BUFFER_BYTES)


def _take_spare() -> NDArray[np.uint8]:
    try:
        return _spare.pop()
    except IndexError:
        return aligned(BUFFER_BYTES, np.uint8)


def fill(source: Readable, buffer: memoryview) -> int:
    """Read until the buffer is full or the source ends; return the bytes read."""
    position = 0
    while position < len(buffer):
        count = source.readinto(buffer[position:])
        if not count:
            break
        position += count
    return position
