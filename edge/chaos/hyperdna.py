"""Cipher B on one band: XOR with V_B, diffuse forward with R, add columns as DNA, diffuse backward with Z.

The signed system on deep features, as DESIGN and PROTOCOL.md 3.11 state it. What differs from its published text:

- The first line of the map is a (x2 - x1) + x4; the text prints x2 - x2, which would be zero.
- The backward diffusion starts with v2; the text prints v1 again and never uses v2. It recurs on its own results C; the
  text prints the intermediate matrix on the right-hand side, with which nothing would diffuse.
- An image is a matrix of bytes, whatever its samples, in bands of at most 8 MiB that are diffused each by itself, so that
  memory is bounded; its last row may be short.
- R takes x1 and x2, Z takes x3 and x4, of thousands of short orbits instead of one long one. They start half way between
  the private key and states drawn from the image's secret, so no two images share a key stream, whatever their keys are.
- The private key itself is drawn from the image's secret. A pair of bytes is added into its second byte; V_B, 1000 bits,
  is repeated over the image. With the quantiser `wide` a state yields four bytes and a step is 3/64 instead of 0.002.
- SHA-256 and a signature stand where the text has MD5.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from typing import ClassVar

import numpy as np

from edge.chaos import dna
from edge.chaos.bandcipher import BandCipher
from edge.chaos.buffers import Readable, fill
from edge.chaos.hyperlorenz import SCHEMES, SEED_BYTES, HyperLanes, seeded_states
from edge.chaos.layout import Band, Layout
from edge.chaos.permute import Bytes
from edge.chaos.prefix import Diffusion, undo_backward, undo_forward
from edge.errors import MalformedKeyFile, ParametersOutOfRange
from edge.records import ChaosParameters, Quantiser

LABEL = b"edge-encryptor/chaos-b/1\x00"
MAP_CODE = 3
QUANTISER_CODES = {Quantiser.PAPER: 1, Quantiser.WIDE: 2}

LEAST_LANES = 256
MOST_LANES = 8192
STEPS_WANTED = 64

_PIECE_BYTES = 256 << 10
_WORD = 8  # bytes


@dataclass(frozen=True, slots=True)
class BandKeys:
    """The chaotic matrices of one band, uint8 (bytes,) each, as long as the band."""

    r: Bytes
    z: Bytes


class HyperDnaCipher(BandCipher[BandKeys]):
    """Cipher B for one image."""

    key_buffers: ClassVar[int] = 2
    file_buffers: ClassVar[int] = 2

    def __init__(self, layout: Layout, parameters: ChaosParameters) -> None:
        if parameters.quantiser is None:
            raise ParametersOutOfRange("cipher B needs a quantiser")
        self._layout = layout
        self._key = parameters.values
        self._quantiser = parameters.quantiser
        self._pattern = parameters.pattern
        self._v1, self._v2 = (int(value) for value in parameters.values[4:])
        self._diffusion = Diffusion(layout.row_bytes)
        # As long as a piece and one period more, so that a piece may begin anywhere in the period.
        self._bits = np.resize(np.frombuffer(self._pattern, np.uint8), _PIECE_BYTES + len(self._pattern))

    @classmethod
    def key_file_size(cls, layout: Layout) -> int:
        """Return the bytes of the explicit key file: R and Z, each as long as the image."""
        return 2 * layout.size

    def keys(self, secret: bytes, band: Band, buffers: Sequence[Bytes]) -> BandKeys:
        """Make R and Z.

        Raises:
            CipherError: An orbit left the floating-point numbers.
        """
        r, z = (buffer[: band.size] for buffer in buffers)
        lanes = lane_count(self._quantiser, band.size)
        seed = shake_256(self._message(secret, band) + struct.pack(">I", lanes)).digest(lanes * SEED_BYTES)
        x1, x2, x3, x4, *_ = self._key
        HyperLanes(seeded_states(seed, (x1, x2, x3, x4)), self._quantiser).fill(r, z)
        return BandKeys(r, z)

    def key_pieces(self, secret: bytes, band: Band, buffers: Sequence[Bytes]) -> Iterator[memoryview]:
        """Yield R, then Z."""
        keys = self.keys(secret, band, buffers)
        for matrix in (keys.r, keys.z):
            with matrix.data as view:
                yield view

    def read_keys(self, source: Readable, band: Band, buffers: Sequence[Bytes]) -> BandKeys:
        """Read R, then Z.

        Raises:
            MalformedKeyFile: They end early.
        """
        r, z = (buffer[: band.size] for buffer in buffers)
        for matrix in (r, z):
            if fill(source, matrix.data) < band.size:
                raise MalformedKeyFile("the key file ends early")
        return BandKeys(r, z)

    def encipher(self, band: Band, plain: Bytes, cipher: Bytes, keys: BandKeys) -> None:
        """M xor V_B, forward with R and v1, columns added, backward with Z and v2."""
        data = cipher[: band.size]
        np.bitwise_xor(plain[: band.size], keys.r, out=data)
        self._apply_pattern(band, data)
        self._diffusion.forward(data)
        np.bitwise_xor(data, np.uint8(self._v1), out=data)
        dna.add_columns(_padded(cipher, band))
        np.bitwise_xor(data, keys.z, out=data)
        self._diffusion.backward(data)
        np.bitwise_xor(data, np.uint8(self._v2), out=data)

    def decipher(self, band: Band, cipher: Bytes, plain: Bytes, keys: BandKeys) -> None:
        """Do the steps of `encipher` backwards."""
        data, scratch = cipher[: band.size], plain[: band.size]
        np.bitwise_xor(data, np.uint8(self._v2), out=data)
        undo_backward(data, scratch, self._layout.row_bytes)
        np.bitwise_xor(data, keys.z, out=data)
        dna.subtract_columns(_padded(cipher, band))
        np.bitwise_xor(data, np.uint8(self._v1), out=data)
        undo_forward(data, scratch, self._layout.row_bytes)
        self._apply_pattern(band, data)
        np.bitwise_xor(data, keys.r, out=scratch)

    def _apply_pattern(self, band: Band, data: Bytes) -> None:
        """XOR V_B, repeated over the whole image, with a band of it."""
        for start in range(0, band.size, _PIECE_BYTES):
            piece = data[start : start + _PIECE_BYTES]
            phase = (band.offset + start) % len(self._pattern)
            np.bitwise_xor(piece, self._bits[phase : phase + piece.size], out=piece)

    def _message(self, secret: bytes, band: Band) -> bytes:
        """Return what a band's lanes are seeded from. Every field has a fixed length."""
        layout = self._layout
        return b"".join(
            (
                LABEL,
                struct.pack(">BB", MAP_CODE, QUANTISER_CODES[self._quantiser]),
                secret,
                struct.pack(">6d", *self._key),
                self._pattern,
                struct.pack(">QIBQ", layout.size, layout.width, layout.sample, band.index),
            ),
        )


def lane_count(quantiser: Quantiser, size: int) -> int:
    """Return the lanes of a band of `size` bytes: a power of two, at least 64 steps a lane if it can."""
    bytes_a_step = 2 * SCHEMES[quantiser].dtype.itemsize
    lanes = MOST_LANES
    while lanes > LEAST_LANES and lanes * bytes_a_step * STEPS_WANTED > size:
        lanes //= 2
    return lanes


def _padded(buffer: Bytes, band: Band) -> Bytes:
    """Return a band rounded up to whole words."""
    return buffer[: -(-band.size // _WORD) * _WORD]
