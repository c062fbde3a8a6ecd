"""What the bare cipher gives back of a cipher image that was damaged: papers call it robustness.

The rule kept here: this is a property of the bare cipher and **not of the product**, which refuses an image of which one bit
was changed. A cipher that lets an altered image through lets a forged one through; where it matters, a loss is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.ways import Image, Key, Way

_Damage: TypeAlias = Callable[[Image, np.random.Generator], Image]


@dataclass(frozen=True, slots=True)
class Damaged:
    """What deciphering a damaged cipher image gives.

    Attributes:
        way: what enciphered.
        damage: what was done to the cipher image.
        touched: the share of its samples that this changed, in percent.
        exact: the share of deciphered samples that are those of the image, in percent.
        psnr: of the image and the deciphered one, dB.
    """

    way: str
    damage: str
    touched: float
    exact: float
    psnr: float


def _salt_and_pepper(share: float) -> _Damage:
    def damage(image: Image, generator: np.random.Generator) -> Image:
        damaged = image.copy()
        drawn = generator.random(image.shape)
        damaged[drawn < share / 2] = 0
        damaged[drawn > 1 - share / 2] = np.iinfo(image.dtype).max
        return damaged

    return damage


def _cropped(rows: float, columns: float) -> _Damage:
    def damage(image: Image, _generator: np.random.Generator) -> Image:
        damaged = image.copy()
        height, width = (round(share * extent) for share, extent in zip((rows, columns), image.shape[:2], strict=True))
        top, left = (image.shape[0] - height) // 2, (image.shape[1] - width) // 2
        damaged[top : top + height, left : left + width] = 0
        return damaged

    return damage


def _one_bit(image: Image, generator: np.random.Generator) -> Image:
    damaged = image.copy()
    damaged.flat[int(generator.integers(image.size))] ^= 1
    return damaged


DAMAGES: Final = MappingProxyType(
    {
        "one bit": _one_bit,
        "salt and pepper, 1 %": _salt_and_pepper(0.01),
        "salt and pepper, 5 %": _salt_and_pepper(0.05),
        "salt and pepper, 10 %": _salt_and_pepper(0.1),
        "salt and pepper, 25 %": _salt_and_pepper(0.25),
        "a sixteenth cropped": _cropped(0.25, 0.25),
        "a quarter cropped": _cropped(0.5, 0.5),
        "half cropped": _cropped(1.0, 0.5),
    }
)
"""What papers do to a cipher image; what is cropped is black afterwards."""
SHOWN: Final = ("salt and pepper, 10 %", "a quarter cropped")


def deciphered(way: Way, image: Image, key: Key, damage: str, generator: np.random.Generator) -> tuple[Image, Image]:
    """Encipher an image and damage it; return the damaged cipher image and what it deciphers to."""
    damaged = DAMAGES[damage](way.encipher(image, key), generator)
    return damaged, way.decipher(damaged, key)


def robustness(way: Way, image: Image, key: Key, generator: np.random.Generator) -> Iterator[Damaged]:
    """Yield what is left of an image after each damage."""
    intact = way.encipher(image, key)
    for name in DAMAGES:
        damaged, back = deciphered(way, image, key, name, generator)
        yield Damaged(
            way=way.name,
            damage=name,
            touched=metrics.npcr(intact, damaged),
            exact=100 - metrics.npcr(image, back),
            psnr=metrics.psnr(image, back),
        )
