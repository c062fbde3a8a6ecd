"""How many keys there are: as papers on image ciphers count them, and as an attacker does.

The rule kept here: a key space is what an attacker has to try, not what a format could hold. A number that follows from a
time stamp or from fewer bits is no larger for being written in floating point.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from edge.chaos.parameters import BOXES, COORDINATES
from edge.protocol import SECRET_BYTES
from edge.records import MapName

DIGITS: Final = 15
"""Decimal digits of a real number that papers count as so many keys: the precision of a double."""
_QUANTISED: Final = 13
"""Digits that cipher B's published quantiser takes from a state: floor(((x + 500) mod 1) 10^13) mod 256."""
_PRINTED: Final = 4
"""Digits of the example key of cipher B's text."""
_YEAR: Final = 365.25 * 86_400  # seconds


@dataclass(frozen=True, slots=True)
class KeySpace:
    """One way to count.

    Attributes:
        system: of what.
        counted: how.
        bits: the binary logarithm of the number.
        honest: whether an attacker has to try so many.
        why: what stands behind it.
    """

    system: str
    counted: str
    bits: float
    honest: bool
    why: str


def key_spaces(side: int = 256) -> Iterator[KeySpace]:
    """Yield the counts for both ciphers; the key file's for an image of `side` x `side` bytes."""
    a, b, both = "cipher A", "cipher B", "the product"
    digit = math.log2(10)
    indices = 2 * math.lgamma(side + 1) / math.log(2)
    yield KeySpace(
        a,
        f"all key files of {side} x {side} bytes: xindex, yindex, zkey",
        indices + 8 * side**2,
        honest=False,
        why="no orbit gives more key files than it has keys",
    )
    yield KeySpace(
        a, f"r and x0 of the logistic map, {DIGITS} digits each", 2 * DIGITS * digit, honest=False, why=_FOLLOW
    )
    yield KeySpace(
        a,
        f"sigma, rho, beta, x0, y0, z0 of the Lorenz map, {DIGITS} digits each",
        6 * DIGITS * digit,
        honest=False,
        why=_FOLLOW,
    )
    yield KeySpace(
        a,
        "time stamps of ten years, to the second",
        math.log2(10 * _YEAR),
        honest=True,
        why="all there is to try where the time stamp alone makes the key, as published; tried live below",
    )
    ranges = BOXES[MapName.HYPERLORENZ_DNA][:COORDINATES]
    volume = sum(math.log2(high - low) for low, high in ranges)
    yield KeySpace(
        b,
        f"x1 to x4 in their ranges, {_QUANTISED} digits each, and two bytes",
        volume + COORDINATES * _QUANTISED * digit + 16,
        honest=False,
        why="that many digits must be drawn at random and carried along; nearby states also run into one another",
    )
    yield KeySpace(
        b,
        f"the same with the {_PRINTED} digits of the text's own example",
        volume + COORDINATES * _PRINTED * digit + 16,
        honest=True,
        why="what an attacker tries where keys are written as in the text; V_B follows from the image",
    )
    yield KeySpace(
        both,
        "the image's secret",
        8.0 * SECRET_BYTES,
        honest=True,
        why="32 bytes from the operating system for each image; parameters, features and time stamps add nothing",
    )
    yield KeySpace(
        both,
        "AES-256-GCM around the cipher image",
        256.0,
        honest=True,
        why="under a key of its own, wrapped by RSA-OAEP: RSA of 3072 bits counts as 128 bits (NIST SP 800-57)",
    )


_FOLLOW: Final = "they follow from the metadata through the network, so there are no more of them than of these"
