"""The keys of one band, from the image's secret: the permutations of its columns and rows, and its key words.

Every band has its own lanes, bound to the secret, the parameters and the layout by SHAKE-256; nothing is used twice.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from hashlib import shake_256

import numpy as np

from edge.chaos.layout import Band, Layout
from edge.chaos.maps import Floats, Lanes, Words, lanes_for
from edge.chaos.parameters import check
from edge.chaos.permute import Indices
from edge.errors import CipherError
from edge.records import ChaosParameters, MapName

SECRET_BYTES = 32
LABEL = b"edge-encryptor/chaos-a/1\x00"
MAP_CODES = {MapName.LOGISTIC: 1, MapName.LORENZ: 2}

# Lanes of a band's key words. Fewer cost Python calls, more cost seeding and leave the second-level cache; an orbit
# should give at least 64 words, or seeding dominates.
LEAST_LANES = 256
MOST_LANES = {MapName.LOGISTIC: 8192, MapName.LORENZ: 4096}
STEPS_WANTED = 64


def validate(parameters: ChaosParameters, secret: bytes) -> None:
    """Refuse what no key may be made from.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
    """
    if len(secret) != SECRET_BYTES:
        raise CipherError("the image's secret must be 32 bytes")
    check(parameters)


class BandKeys:
    """The three keys of one band of one image, made anew at every call; `validate` comes first."""

    def __init__(self, secret: bytes, parameters: ChaosParameters, layout: Layout, band: Band) -> None:
        self._parameters = parameters
        self._layout = layout
        self._band = band
        values = parameters.values
        # Every field has a fixed length for a given map, so no two different inputs encode alike.
        self._message = b"".join(
            (
                LABEL,
                struct.pack(">B", MAP_CODES[parameters.map]),
                secret,
                struct.pack(f">{len(values)}d", *values),
                struct.pack(">QIBQ", layout.size, layout.width, layout.sample, band.index),
            ),
        )

    def columns(self) -> Indices:
        """Return xindex: column j of the permuted band is column xindex[j] of the plain one."""
        return sort_order(self._lanes(b"x", self._layout.width).first())

    def rows(self) -> Indices:
        """Return yindex: row i of the permuted band is row yindex[i] of the plain one."""
        if not self._band.rows:
            return np.empty(0, dtype=np.intp)
        return sort_order(self._lanes(b"y", self._band.rows).first())

    def words(self) -> Iterator[Words]:
        """Yield zkey in pieces of equal length for ever: uint32 words, the same buffer every time."""
        return self._lanes(b"z", lane_count(self._parameters.map, self._band.size)).words()

    def all(self) -> tuple[Indices, Indices, Iterator[Words]]:
        """Return xindex, yindex, and zkey in pieces."""
        return self.columns(), self.rows(), self.words()

    def _lanes(self, label: bytes, count: int) -> Lanes:
        kind = lanes_for(self._parameters)
        message = self._message + label + struct.pack(">I", count)
        return kind(shake_256(message).digest(count * kind.seed_bytes), self._parameters.values)


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
