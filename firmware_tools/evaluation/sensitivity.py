"""How much of a cipher image changes with one pixel of the plain image, and with the last bit of the key.

Both are measured of the whole system, which draws a secret for each image, and of the cipher alone under one key. The rule
kept here: a figure stands beside the bounds that two unrelated images of the same size and depth have.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np

from edge.chaos.parameters import BOXES
from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.metrics import Bounds
from firmware_tools.evaluation.ways import Image, Key, Way


@dataclass(frozen=True, slots=True)
class Change:
    """How two images differ, in percent, and what unrelated ones of their size and depth give.

    Attributes:
        what: what was changed.
        npcr: the share of samples that differ.
        uaci: the mean difference.
        npcr_bounds: what NPCR unrelated images have.
        uaci_bounds: what UACI unrelated images have.
    """

    what: str
    npcr: float
    uaci: float
    npcr_bounds: Bounds
    uaci_bounds: Bounds

    @property
    def unrelated(self) -> bool:
        """Whether the two images differ as unrelated ones do."""
        return self.npcr >= self.npcr_bounds.low and self.uaci_bounds.low <= self.uaci <= self.uaci_bounds.high


def change(what: str, first: Image, second: Image) -> Change:
    """Compare two images."""
    bits = metrics.bits_of(first)
    return Change(
        what=what,
        npcr=metrics.npcr(first, second),
        uaci=metrics.uaci(first, second),
        npcr_bounds=metrics.npcr_bounds(first.size, bits),
        uaci_bounds=metrics.uaci_bounds(first.size, bits),
    )


def one_pixel_changed(image: Image, generator: np.random.Generator) -> Image:
    """Return the image with the lowest bit of one random sample turned."""
    other = image.copy()
    other.flat[int(generator.integers(image.size))] ^= 1
    return other


def differential(way: Way, image: Image, moment: datetime, generator: np.random.Generator) -> tuple[Change, Change]:
    """Change one pixel; return what that changes with a fresh secret each, as in use, and under one and the same key."""
    other = one_pixel_changed(image, generator)
    system = [way.encipher(each, way.key(each, moment)) for each in (image, other)]
    key = way.key(image, moment)
    core = [way.encipher(each, key) for each in (image, other)]
    return change("one pixel, the system", *system), change("one pixel, the cipher alone", *core)


def nearby_keys(key: Key) -> Iterator[tuple[str, Key]]:
    """Yield the keys that differ from one in the last bit of its secret or of one number, each with its name."""
    last = bytes([key.secret[-1] ^ 1])
    yield "last bit of the secret", replace(key, secret=key.secret[:-1] + last)
    if key.parameters is None:
        return
    values = key.parameters.values
    for place, (value, (low, high)) in enumerate(zip(values, BOXES[key.parameters.map], strict=True)):
        # The first and last bytes of the hyperchaotic key are whole numbers.
        step = 1.0 if value.is_integer() and high - low == 255 else abs(float(np.spacing(value)))
        moved = value + step if value + step <= high else value - step
        changed = replace(key.parameters, values=(*values[:place], moved, *values[place + 1 :]))
        yield f"last bit of parameter {place + 1}", replace(key, parameters=changed)


def key_sensitivity(way: Way, image: Image, key: Key) -> Iterator[tuple[Change, Change]]:
    """Yield, for each nearby key, how the cipher images differ, and how what it deciphers differs from the image.

    What a wrong key deciphers to is compared with noise against this very image: its UACI is no other than
    `metrics.uaci_from`, so the bounds are shifted there.
    """
    enciphered = way.encipher(image, key)
    shift = metrics.uaci_from(image) - metrics.uaci_bounds(image.size, metrics.bits_of(image)).mean
    for name, near in nearby_keys(key):
        wrong = change(name, image, way.decipher(enciphered, near))
        bounds = wrong.uaci_bounds
        moved = Bounds(bounds.mean + shift, bounds.low + shift, bounds.high + shift)
        yield change(name, enciphered, way.encipher(image, near)), replace(wrong, uaci_bounds=moved)
