"""How an image becomes a matrix of samples, and the matrix bands of whole rows.

The layout alone fixes the bands, so both ends cut an image alike and neither holds more than one band of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt

from edge.errors import CipherError

# A band is the unit that is keyed, permuted and held in memory. 8 MiB: its keys cost at most a sixth of its time; smaller bands
# cost more, larger ones gain nothing (16 MiB measured), and a proving sender holds four of them.
BAND_BYTES = 8 << 20

# Rows a band, at most: matrices of very narrow rows would otherwise need row keys larger than the band itself.
BAND_ROWS = 1 << 16

# Column by column of single bytes the whole cipher runs at 0.88 GB/s, in groups of eight at 1.8 to 1.9 GB/s (measured).
FILE_SAMPLE_BYTES = 8

MAX_SIZE = 1 << 40  # bytes of an image: 1 TiB
MAX_WIDTH = 1 << 20  # samples a row, because every band holds a key a column; a row is then at most 16 MiB
MAX_SAMPLE_BYTES = 16  # bytes a sample: four channels of 32 bits


@dataclass(frozen=True, slots=True)
class Band:
    """One run of whole rows of an image; the last band also carries the bytes of the incomplete row.

    `index` counts from 0, `offset` is the bytes of the image before the band, `rows` are its whole rows, `body` is their
    bytes, `size` is `body` and the tail.
    """

    index: int
    offset: int
    rows: int
    body: int
    size: int


@dataclass(frozen=True, slots=True)
class Layout:
    """The sample matrix of an image: `size` bytes, `width` samples a row, `sample` bytes a sample.

    Raises:
        CipherError: A number is not an integer or lies outside the limits of this module.
    """

    size: int
    width: int
    sample: int

    def __post_init__(self) -> None:
        for value, limit in ((self.size, MAX_SIZE), (self.width, MAX_WIDTH), (self.sample, MAX_SAMPLE_BYTES)):
            if type(value) is not int or not 1 <= value <= limit:
                raise CipherError("the image does not fit the cipher's sample matrix")

    @classmethod
    def for_file(cls, size: int) -> Layout:
        """Lay out the exact bytes of a file as a near-square byte matrix whose columns move in groups of eight bytes.

        Args:
            size: Bytes of the file, at least 1.

        Raises:
            CipherError: The file is empty or larger than 1 TiB.
        """
        if size < 1:
            raise CipherError("an empty image cannot be enciphered")
        return cls(size=size, width=max(1, isqrt(size) // FILE_SAMPLE_BYTES), sample=FILE_SAMPLE_BYTES)

    @classmethod
    def for_pixels(cls, shape: tuple[int, int, int, int], itemsize: int) -> Layout:
        """Lay out a decoded pixel array: one pixel is one sample, the frames stand one below the other.

        Args:
            shape: Frames, rows, columns, channels.
            itemsize: Bytes of one channel of one pixel.

        Raises:
            CipherError: The array is empty, a pixel is larger than 16 bytes, or a row longer than 2^20 pixels.
        """
        frames, rows, columns, channels = shape
        if min(frames, rows, columns, channels, itemsize) < 1:
            raise CipherError("an empty image cannot be enciphered")
        sample = channels * itemsize
        return cls(size=frames * rows * columns * sample, width=columns, sample=sample)

    @property
    def row_bytes(self) -> int:
        """Return the bytes of one whole row."""
        return self.width * self.sample

    @property
    def rows_a_band(self) -> int:
        """Return the rows of every band but the last, which may have fewer; the bands are as even as they can be."""
        rows = self.size // self.row_bytes
        limit = min(BAND_ROWS, max(1, BAND_BYTES // self.row_bytes))
        return -(-rows // max(1, -(-rows // limit)))

    @property
    def band_count(self) -> int:
        """Return the number of bands: one where there is not even one whole row."""
        rows = self.size // self.row_bytes
        return -(-rows // self.rows_a_band) if rows else 1

    @property
    def largest_band(self) -> int:
        """Return the size of the largest band in bytes: what a buffer must hold."""
        return min(self.size, (self.rows_a_band + 1) * self.row_bytes)

    def bands(self) -> Iterator[Band]:
        """Yield the bands in order; their sizes add up to `size`."""
        rows, tail = divmod(self.size, self.row_bytes)
        last = self.band_count - 1
        for index in range(last + 1):
            inside = min(self.rows_a_band, rows - index * self.rows_a_band)
            body = inside * self.row_bytes
            offset = index * self.rows_a_band * self.row_bytes
            yield Band(index=index, offset=offset, rows=inside, body=body, size=body + (tail if index == last else 0))
