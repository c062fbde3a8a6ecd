"""Cipher A on one band: permute the rows, then the columns, then XOR with the key words.

Every band has its own lanes, bound to the secret, the parameters and the layout by SHAKE-256; nothing is used twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from typing import ClassVar

import numpy as np

from edge.chaos import kernel
from edge.chaos.bandcipher import BandCipher
from edge.chaos.buffers import WORD_BYTES, Readable, fill
from edge.chaos.diffuse import LITTLE, KeyWords, diffuse
from edge.chaos.kernel import KeyArrays, Moves
from edge.chaos.layout import Band, Layout
from edge.chaos.maps import Floats, Lanes, Words, lanes_for
from edge.chaos.permute import TILE_BYTES, Bytes, Indices, Permutation, inverse
from edge.errors import MalformedKeyFile
from edge.records import ChaosParameters, MapName

LABEL = b"edge-encryptor/chaos-a/1\x00"
MAP_CODES = {MapName.LOGISTIC: 1, MapName.LORENZ: 2}
INDEX_BYTES = 4  # bytes of an index in the key file: uint32, little-endian

# Lanes of a band's key words. Fewer cost Python calls, more cost seeding and leave the second-level cache; an orbit
# should give at least 64 words, or seeding dominates.
LEAST_LANES = 256
MOST_LANES = {MapName.LOGISTIC: 8192, MapName.LORENZ: 4096}
STEPS_WANTED = 64


@dataclass(frozen=True, slots=True)
class BandKeys:
    """The keys of one band: xindex, yindex, and zkey as a stream of words.

    Column j of the permuted band is column `columns[j]` of the plain one, row i is row `rows[i]`.
    """

    columns: Indices
    rows: Indices
    words: KeyWords


class RowColumnCipher(BandCipher[BandKeys]):
    """Cipher A for one image."""

    key_buffers: ClassVar[int] = 0
    file_buffers: ClassVar[int] = 1

    def __init__(self, layout: Layout, parameters: ChaosParameters) -> None:
        self._layout = layout
        self._parameters = parameters
        self._permutation = Permutation(layout)

    @classmethod
    def key_file_size(cls, layout: Layout) -> int:
        """Return the bytes of the explicit key file: four an index, one a byte of the image."""
        rows = layout.size // layout.row_bytes
        return INDEX_BYTES * (layout.band_count * layout.width + rows) + layout.size

    def keys(self, secret: bytes, band: Band, buffers: Sequence[Bytes] = ()) -> BandKeys:  # noqa: ARG002 - none needed
        """Make xindex, yindex, and zkey, which has no end."""
        message = self._message(secret, band)
        columns = sort_order(self._lanes(message, b"x", self._layout.width).first())
        rows = np.empty(0, dtype=np.intp)
        if band.rows:
            rows = sort_order(self._lanes(message, b"y", band.rows).first())
        words = self._lanes(message, b"z", lane_count(self._parameters.map, band.size))
        return BandKeys(columns, rows, words)

    def key_pieces(self, secret: bytes, band: Band, buffers: Sequence[Bytes]) -> Iterator[memoryview]:
        """Yield xindex, yindex and zkey."""
        (stream,) = buffers
        keys = self.keys(secret, band)
        for indices in (keys.columns, keys.rows):
            yield memoryview(indices.astype(LITTLE).tobytes())
        stream.fill(0)
        diffuse(stream, band.size, keys.words)
        with stream[: band.size].data as view:
            yield view

    def read_keys(self, source: Readable, band: Band, buffers: Sequence[Bytes]) -> BandKeys:
        """Read xindex, yindex and zkey.

        Raises:
            MalformedKeyFile: It ends early, or an index is not a permutation.
        """
        (stream,) = buffers
        columns = _read_permutation(source, self._layout.width)
        rows = _read_permutation(source, band.rows)
        if fill(source, stream[: band.size].data) < band.size:
            raise MalformedKeyFile("the key file ends early")
        return BandKeys(columns, rows, _StoredWords(_whole_words(stream, band).view(LITTLE)))

    def encipher(self, band: Band, plain: Bytes, cipher: Bytes, keys: BandKeys) -> None:
        """Permute into `cipher` just ahead of the XOR, so that a tile is still in the cache."""
        cipher[band.body : band.size] = plain[band.body : band.size]
        if compiled := kernel.active():
            moves = self._moves(keys.rows, keys.columns)
            compiled.encipher(_whole_words(cipher, band), plain, keys.words.arrays, moves)
            return
        gather = self._permutation.gather(plain[: band.body], cipher[: band.body], keys.rows, keys.columns)
        diffuse(cipher, band.size, keys.words, before=gather.until)

    def decipher(self, band: Band, cipher: Bytes, plain: Bytes, keys: BandKeys) -> None:
        """XOR, then permute with the inverse indices."""
        columns = inverse(keys.columns)
        if compiled := kernel.active():
            moves = self._moves(keys.rows, columns)
            compiled.decipher(_whole_words(cipher, band), plain, keys.words.arrays, moves)
        else:
            diffuse(cipher, band.size, keys.words)
            self._permutation.gather(cipher[: band.body], plain[: band.body], inverse(keys.rows), columns).until(
                band.body
            )
        plain[band.body : band.size] = cipher[band.body : band.size]

    def _moves(self, rows: Indices, columns: Indices) -> Moves:
        """Return a permutation as the compiled kernel takes it."""
        sample = self._layout.sample
        return Moves(rows.astype(np.int64, copy=False), (columns * sample).astype(np.uint32), sample)

    def _message(self, secret: bytes, band: Band) -> bytes:
        """Return what a band's lanes are seeded from. Every field has a fixed length for a given map."""
        layout, values = self._layout, self._parameters.values
        return b"".join(
            (
                LABEL,
                struct.pack(">B", MAP_CODES[self._parameters.map]),
                secret,
                struct.pack(f">{len(values)}d", *values),
                struct.pack(">QIBQ", layout.size, layout.width, layout.sample, band.index),
            ),
        )

    def _lanes(self, message: bytes, label: bytes, count: int) -> Lanes:
        kind = lanes_for(self._parameters)
        seed = shake_256(message + label + struct.pack(">I", count)).digest(count * kind.seed_bytes)
        return kind(seed, self._parameters.values)


def lane_count(chaotic_map: MapName, size: int) -> int:
    """Return the lanes of the key words of a band of `size` bytes: a power of two, at least 64 steps a lane if it can."""
    words = -(-size // 4)
    words_a_step = 3 if chaotic_map is MapName.LORENZ else 1
    lanes = MOST_LANES[chaotic_map]
    while lanes > LEAST_LANES and lanes * words_a_step * STEPS_WANTED > words:
        lanes //= 2
    return lanes


def sort_order(states: Floats) -> Indices:
    """Return the indices that sort the states, equal ones in the order of their numbers: float64 (n,) to (n,)."""
    # NumPy's default sort is twice as fast, but places equal values differently on every processor. Without equal
    # values there is only one order, whoever sorts.
    order = np.argsort(states)
    ordered = states[order]
    if bool((ordered[1:] == ordered[:-1]).any()):
        return np.argsort(states, kind="stable")
    return order


def _read_permutation(source: Readable, count: int) -> Indices:
    """Read `count` indices and refuse them unless each of 0 to count - 1 stands there once."""
    raw = bytearray(count * INDEX_BYTES)
    if fill(source, memoryview(raw)) < len(raw):
        raise MalformedKeyFile("the key file ends early")
    indices = np.frombuffer(raw, dtype=LITTLE).astype(np.intp)
    seen = np.zeros(count, dtype=np.bool_)
    if count and int(indices.max()) < count:
        seen[indices] = True
    if not seen.all():
        raise MalformedKeyFile("an index of the key file is not a permutation")
    return indices


def _whole_words(buffer: Bytes, band: Band) -> Bytes:
    """Return the band's bytes and what completes the last word of them."""
    return buffer[: -(-band.size // WORD_BYTES) * WORD_BYTES]


class _StoredWords:
    """The key words of a band that came in a key file: uint32 (n,)."""

    piece = TILE_BYTES // WORD_BYTES

    def __init__(self, words: Words) -> None:
        self._words = words
        self._position = 0
        self.arrays = KeyArrays(0, words, words, self.piece)

    def xor(self, target: Words) -> None:
        """XOR the next key words into uint32 (n,)."""
        end = self._position + target.size
        np.bitwise_xor(target, self._words[self._position : end], target)
        self._position = end
