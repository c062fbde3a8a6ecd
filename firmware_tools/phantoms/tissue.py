"""Name the tissues of a section and say how bright each is on CT and MR.

A section is a map of tissue numbers; scanners differ only in the table by which a number becomes a brightness.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from edge.demo.ink import Floats


class Tissue(IntEnum):
    """What a pixel of a section holds."""

    AIR = 0
    SKIN = 1
    FAT = 2
    MUSCLE = 3
    BONE = 4
    MARROW = 5
    FLUID = 6
    GRAY = 7
    WHITE = 8
    NUCLEUS = 9
    VESSEL = 10
    CLOT = 11
    OEDEMA = 12
    CALCIUM = 13
    TENDON = 14
    CARTILAGE = 15
    DISC = 16
    LUNG = 17
    LIVER = 18
    SPLEEN = 19
    KIDNEY = 20
    BOWEL = 21
    TUMOUR = 22
    FOAM = 23
    METAL = 24
    GAS = 25
    HEART = 26
    MUCOSA = 27


# Hounsfield units without contrast medium, in the order of `Tissue`.
_UNITS: Final = (
    -1000, 30, -95, 55, 1150, 320, 8, 38, 28, 37, 45, 68, 17, 240, 75, 85, 85, -840, 58, 50, 34, 32, 48, -120, 2800,
    -960, 45, 45,
)  # fmt: skip
# With contrast medium these differ.
_ENHANCED: Final = {
    Tissue.VESSEL: 260,
    Tissue.KIDNEY: 170,
    Tissue.LIVER: 105,
    Tissue.SPLEEN: 120,
    Tissue.HEART: 130,
    Tissue.TUMOUR: 85,
}

# Signals of MR sequences, in the order of `Tissue`.
_T1: Final = (
    0, 0.6, 1, 0.42, 0.04, 0.85, 0.13, 0.48, 0.68, 0.5, 0.08, 0.62, 0.35, 0.1, 0.06, 0.5, 0.42, 0.03, 0.56, 0.42,
    0.45, 0.4, 0.4, 0, 0, 0.01, 0.4, 0.45,
)  # fmt: skip
_T2: Final = (
    0, 0.4, 0.78, 0.2, 0.03, 0.6, 1, 0.55, 0.38, 0.45, 0.08, 0.3, 0.85, 0.1, 0.05, 0.5, 0.6, 0.04, 0.28, 0.52, 0.6,
    0.4, 0.75, 0, 0, 0.01, 0.3, 0.8,
)  # fmt: skip
_DARK_FLUID: Final = (
    0, 0.4, 0.8, 0.3, 0.04, 0.65, 0.08, 0.62, 0.5, 0.58, 0.1, 0.5, 0.95, 0.1, 0.05, 0.5, 0.5, 0.03, 0.35, 0.5, 0.5,
    0.4, 0.85, 0, 0, 0.01, 0.3, 0.8,
)  # fmt: skip
_DENSITY: Final = (
    0, 0.5, 0.85, 0.5, 0.05, 0.75, 0.8, 0.72, 0.6, 0.66, 0.15, 0.6, 0.8, 0.15, 0.06, 0.7, 0.6, 0.04, 0.5, 0.6, 0.65,
    0.5, 0.75, 0, 0, 0.01, 0.5, 0.8,
)  # fmt: skip
_NO_FAT: Final = (
    0, 0.25, 0.14, 0.3, 0.03, 0.16, 1, 0.6, 0.42, 0.5, 0.3, 0.5, 0.9, 0.08, 0.05, 0.65, 0.7, 0.04, 0.3, 0.6, 0.7, 0.4,
    0.8, 0, 0, 0.01, 0.35, 0.9,
)  # fmt: skip
_CONTRAST: Final = (
    0, 0.4, 0.18, 0.36, 0.04, 0.18, 0.12, 0.45, 0.55, 0.48, 1, 0.5, 0.3, 0.08, 0.06, 0.4, 0.35, 0.04, 0.6, 0.65, 0.85,
    0.5, 0.95, 0, 0, 0.01, 0.55, 0.95,
)  # fmt: skip
_SEQUENCES: Final = np.array([_T1, _T1, _T2, _DARK_FLUID, _DENSITY, _NO_FAT, _CONTRAST], dtype=np.float64)


def hounsfield(rng: np.random.Generator, *, enhanced: bool) -> Floats:
    """Give each tissue's density on CT for one patient; float32 (tissues,)."""
    units = np.array(_UNITS, dtype=np.float64)
    if enhanced:
        strength = rng.uniform(0.5, 1.5)
        for tissue, value in _ENHANCED.items():
            units[tissue] += strength * (value - units[tissue])
    soft = (units > -200) & (units < 200)
    units = units + soft * rng.normal(0, 6, len(units)) + (units > 200) * rng.normal(0, 90, len(units))
    return np.asarray(units, dtype=np.float32)


def signals(rng: np.random.Generator) -> Floats:
    """Give each tissue's signal for one MR sequence, or for something between two; float32 (tissues,)."""
    first, second = rng.integers(0, len(_SEQUENCES), 2)
    share = rng.uniform(0, 0.35)
    mixed = (1 - share) * _SEQUENCES[first] + share * _SEQUENCES[second]
    return np.asarray(mixed * np.exp(rng.normal(0, 0.13, len(mixed))), dtype=np.float32)
