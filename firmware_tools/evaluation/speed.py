"""How long each way takes by the size of an image, in both directions, grey and colour, 8 and 16 bits.

The rule kept here: what is timed is one call after another in one process, on samples drawn at random, as no way looks at
them; the fastest of five is given, which other work on the machine disturbs least. `edge-firmware bench` measures the whole
way to the hospital, and against AES-256-GCM.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from statistics import median
from typing import Any, Final

import numpy as np

from firmware_tools.evaluation.ways import Image, Way

SIDES: Final = (256, 512, 1024, 2048)
KINDS: Final = ((1, 8), (3, 8), (1, 16), (3, 16))
"""Channels and bits a sample."""
_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class Timed:
    """How long one way takes for one kind of image.

    Attributes:
        way: what enciphers.
        side: rows, and columns.
        channels: 1 or 3.
        bits: of a sample.
        key: seconds to make the key, the network's inference within it.
        encipher, decipher: seconds.
    """

    way: str
    side: int
    channels: int
    bits: int
    key: float
    encipher: float
    decipher: float

    @property
    def size(self) -> int:
        """The image's bytes."""
        return self.side**2 * self.channels * self.bits // 8


def time_all(ways: Sequence[Way], moment: datetime, *, largest: int, seed: int) -> Iterator[Timed]:
    """Time all ways, on images of `SIDES` up to `largest` pixels a side."""
    generator = np.random.default_rng(seed)
    for side in (side for side in SIDES if side <= largest):
        for channels, bits in KINDS:
            dtype = np.uint8 if bits == 8 else np.uint16
            shape = (side, side) if channels == 1 else (side, side, channels)
            image = generator.integers(1 << bits, size=shape, dtype=dtype)
            for way in ways:
                yield _timed(way, image, moment)


def as_lines(found: Sequence[Timed]) -> Iterator[str]:
    """Yield the lines of docs/evaluation.md's table: grey images of 8 bits, and the largest in colour of 16 bits."""
    sides = sorted({each.side for each in found})
    yield "| " + " | ".join(("way", "key", *(f"{side} x {side}" for side in sides), "MB/s")) + " |"
    yield "|---" * (len(sides) + 3) + "|"
    for way in dict.fromkeys(each.way for each in found):
        of = {(each.side, each.channels, each.bits): each for each in found if each.way == way}
        grey = [of[side, 1, 8] for side in sides]
        deep = of[sides[-1], 3, 16]
        yield (
            "| "
            + " | ".join(
                (
                    way,
                    f"{1000 * median(each.key for each in of.values()):.1f}",
                    *(f"{1000 * each.encipher:.2f} / {1000 * each.decipher:.2f}" for each in grey),
                    f"{deep.size / 1e6 / deep.encipher:.0f} / {deep.size / 1e6 / deep.decipher:.0f}",
                )
            )
            + " |"
        )


def _timed(way: Way, image: Image, moment: datetime) -> Timed:
    side, _, *channels = image.shape
    key_seconds, key = _fastest(lambda: way.key(image, moment))
    enciphered, cipher = _fastest(lambda: way.encipher(image, key))
    deciphered, _ = _fastest(lambda: way.decipher(cipher, key))
    return Timed(
        way=way.name,
        side=side,
        channels=channels[0] if channels else 1,
        bits=8 * image.itemsize,
        key=key_seconds,
        encipher=enciphered,
        decipher=deciphered,
    )


def _fastest(run: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of the fastest of five runs, and what the last one gave."""
    seconds = []
    result = None
    for _ in range(_RUNS):
        began = time.perf_counter()
        result = run()
        seconds.append(time.perf_counter() - began)
    return min(seconds), result
