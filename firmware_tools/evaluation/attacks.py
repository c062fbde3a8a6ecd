"""Break the image cipher as the papers use it, and try the same on the product.

The papers make an image's key from its time stamp, so two images of one second have one key. Everything here needs nothing
but that: the cipher permutes rows and columns and adds a key stream, and a key that is used twice gives itself away. The
product draws a fresh secret for each image and seals the cipher image with AES-256-GCM; the attacks find nothing to hold on
to. The rule kept here: an attack sees what an attacker sees, an oracle or cipher images, never a key.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.protocol import SECRET_BYTES
from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.metrics import Direction
from firmware_tools.evaluation.ways import Image, Way

Oracle: TypeAlias = Callable[[Image], Image]
"""Enciphers what the attacker hands in: the scanner's own folder is one, for whoever can write to it."""

PAPER_SECRET: Final = bytes(SECRET_BYTES)
"""What stands for the secret where a key comes from the time stamp alone: nothing that the attacker does not know."""
_ALIKE: Final = 0.5
"""Neighbouring rows of a medical image correlate more than this; those of a wrongly deciphered one hardly at all."""


@dataclass(frozen=True, slots=True)
class Recovered:
    """The key file of an image as an attacker rebuilt it: C[i, j] = P[yindex[i], xindex[j]] ^ zkey[i, j].

    Attributes:
        xindex: int64 (columns,).
        yindex: int64 (rows,).
        zkey: uint8 (rows, columns, bytes a pixel).
        images: how many chosen images it took.
    """

    xindex: NDArray[np.int64]
    yindex: NDArray[np.int64]
    zkey: NDArray[np.uint8]
    images: int

    @property
    def holds(self) -> bool:
        """Whether both indices name every place once: what a true recovery gives, and noise does not."""
        return all(np.array_equal(np.sort(each), np.arange(each.size)) for each in (self.xindex, self.yindex))

    def decipher(self, image: Image) -> Image:
        """Return the plain image of a cipher image under this key. Only a key that `holds` has one."""
        moved = _bytes(image) ^ self.zkey
        plain = np.empty_like(moved)
        plain[np.ix_(self.yindex, self.xindex)] = moved
        return plain.reshape(image.shape[0], -1).view(image.dtype).reshape(image.shape)


def recover_key_file(oracle: Oracle, like: Image) -> Recovered:
    """Rebuild xindex, yindex and zkey from a few chosen images of one shape, enciphered under one key.

    One image of zeros shows zkey. Images whose pixels spell the number of their column, and then of their row, in base 256
    show where each column and row goes: 3 images in all up to 256 x 256 pixels, 5 up to 65,536 a side.

    Args:
        oracle: Enciphers an image under the key that is looked for.
        like: An image of the shape and type in question. Its samples are not looked at.
    """
    rows, columns = like.shape[:2]
    zkey = _bytes(oracle(np.zeros_like(like)))
    taken = 1

    def places(count: int, along: int) -> NDArray[np.int64]:
        nonlocal taken
        found = np.zeros(count, np.int64)
        for digit in range(max(1, math.ceil(math.log(count, 256)))):
            numbers = (np.arange(count) >> (8 * digit)).astype(np.uint8)
            spelt = np.empty(zkey.shape, np.uint8)
            spelt[...] = numbers[:, None, None] if along == 0 else numbers[None, :, None]
            answer = _bytes(oracle(_image(spelt, like))) ^ zkey
            taken += 1
            found |= (answer[:, 0, 0] if along == 0 else answer[0, :, 0]).astype(np.int64) << (8 * digit)
        return found

    yindex, xindex = places(rows, 0), places(columns, 1)
    return Recovered(xindex, yindex, zkey, taken)


@dataclass(frozen=True, slots=True)
class TwoTimePad:
    """What the difference of two cipher images shows: chi-square's P-value of its histogram, and its entropy in bits.

    Under one key stream the stream cancels, and the difference is that of two permuted plain images: far from noise.
    """

    p_value: float
    entropy: float


def two_time_pad(first: Image, second: Image) -> TwoTimePad:
    """Look at the difference of two cipher images of one shape."""
    difference = np.bitwise_xor(first, second)
    return TwoTimePad(metrics.uniformity(difference)[1], metrics.entropy(difference))


@dataclass(frozen=True, slots=True)
class BruteForce:
    """What trying all times of an interval came to.

    Attributes:
        found: the time whose key gives an image, None where none does.
        tried: how many times were tried.
        seconds: how long that took.
        image: what it deciphers to, None where nothing was found.
    """

    found: datetime | None
    tried: int
    seconds: float
    image: Image | None

    @property
    def seconds_for_a_year(self) -> float:
        """How long all seconds of a year would take at this rate."""
        return 365.25 * 86_400 * self.seconds / self.tried


def brute_force(way: Way, cipher_image: Image, moments: Sequence[datetime]) -> BruteForce:
    """Try the key of each time, as the papers make it, until the cipher image becomes an image."""
    began = time.perf_counter()
    tried = 0
    for tried, moment in enumerate(moments, 1):
        plain = way.decipher(cipher_image, way.key(cipher_image, moment, PAPER_SECRET))
        if looks_like_an_image(plain):
            return BruteForce(moment, tried, time.perf_counter() - began, plain)
    return BruteForce(None, tried, time.perf_counter() - began, None)


def seconds_from(first: datetime, count: int) -> Iterator[datetime]:
    """Yield so many seconds in a row."""
    return (first + timedelta(seconds=number) for number in range(count))


def looks_like_an_image(image: Image) -> bool:
    """Whether neighbouring pixels resemble one another, as in everything that a scanner takes."""
    return metrics.adjacent_correlation(image, Direction.VERTICAL) > _ALIKE


def _bytes(image: Image) -> NDArray[np.uint8]:
    """Return an image's bytes, uint8 (rows, columns, bytes a pixel)."""
    rows, columns = image.shape[:2]
    return np.ascontiguousarray(image).view(np.uint8).reshape(rows, columns, -1)


def _image(samples: NDArray[np.uint8], like: Image) -> Any:
    return np.ascontiguousarray(samples).reshape(-1).view(like.dtype).reshape(like.shape)
