"""Paint sections of joints as maps of tissues: bones with thin dark rims, cartilage, tendons, muscles, fat.

The geometry is in half heights of the section; nobody's joint is traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms.canvas import Layer, Outline, branches, curve, jitter, lump, mirrored
from firmware_tools.phantoms.tissue import Tissue

_Points = NDArray[np.float64]

# The knee from the side, the front to the left.
_LEG: Final = (
    (-0.5, -1.3), (-0.52, -0.5), (-0.62, -0.1), (-0.5, 0.35), (-0.45, 1.3), (0.62, 1.3), (0.6, 0.4), (0.55, 0),
    (0.66, -0.5), (0.7, -1.3),
)  # fmt: skip
_HOLLOW: Final = (
    (0.2, -1.3), (0.24, -0.3), (0.32, 0.1), (0.24, 0.5), (0.3, 1.3), (0.16, 1.3), (0.14, 0.2), (0.1, -0.4),
    (0.08, -1.3),
)  # fmt: skip
_PAD: Final = ((-0.44, -0.28), (-0.2, -0.05), (-0.16, 0.16), (-0.4, 0.38), (-0.46, 0.1))
_FEMUR: Final = (
    (-0.2, -1.3), (-0.2, -0.55), (-0.3, -0.3), (-0.26, 0), (0, 0.1), (0.3, 0.02), (0.35, -0.25), (0.16, -0.5),
    (0.12, -1.3),
)  # fmt: skip
_TIBIA: Final = (
    (-0.34, 0.2), (0, 0.17), (0.33, 0.2), (0.3, 0.42), (0.14, 0.65), (0.12, 1.3), (-0.18, 1.3), (-0.2, 0.65),
    (-0.36, 0.46),
)  # fmt: skip
# The knee from the front; halves, to be mirrored.
_LEG_FRONT: Final = ((0.75, -1.3), (0.7, -0.4), (0.64, 0.1), (0.66, 0.5), (0.55, 1.3))
_FEMUR_FRONT: Final = (
    (0, -0.16), (0.08, -0.02), (0.28, 0.06), (0.48, -0.05), (0.46, -0.32), (0.2, -0.6), (0.17, -1.3),
)  # fmt: skip
_TIBIA_FRONT: Final = ((0, 0.1), (0.1, 0.15), (0.48, 0.16), (0.46, 0.36), (0.2, 0.65), (0.16, 1.3))
_FIBULA_FRONT: Final = ((0.44, 0.42), (0.56, 0.42), (0.54, 0.7), (0.52, 1.3), (0.44, 1.3), (0.42, 0.7))
# The shoulder from the front, the arm to the left.
_SHOULDER: Final = (
    (-0.85, 1.4), (-0.82, 0.3), (-0.7, -0.3), (-0.4, -0.66), (0.1, -0.85), (0.6, -0.95), (1.5, -1.0), (1.5, 1.4),
)  # fmt: skip
_INWARD: Final = ((1, 0), (1, 0), (0.9, 0.4), (0.5, 1), (0, 1), (0, 1), (0, 1), (0, 0))
_ACROMION: Final = ((-0.3, -0.62), (0.06, -0.66), (0.2, -0.58), (0.06, -0.52), (-0.26, -0.54))
_CLAVICLE: Final = ((0.22, -0.64), (0.8, -0.74), (1.4, -0.78), (1.4, -0.68), (0.8, -0.64), (0.24, -0.54))
_GLENOID: Final = (
    (0.22, -0.28), (0.3, -0.34), (0.6, -0.22), (1.0, -0.14), (0.7, 0.1), (0.45, 0.3), (0.24, 0.2), (0.16, -0.05),
)  # fmt: skip
_HUMERUS: Final = (
    (-0.44, -0.2), (-0.2, -0.34), (0.04, -0.28), (0.13, -0.06), (0.06, 0.14), (-0.1, 0.26), (-0.14, 0.5), (-0.14, 1.4),
    (-0.4, 1.4), (-0.42, 0.4), (-0.5, 0.0),
)  # fmt: skip
# The hip from the front, the thigh to the left.
_FLANK: Final = ((-1.6, -1.4), (-0.75, -1.4), (-0.8, -0.4), (-0.85, 0.4), (-0.8, 1.4), (-1.6, 1.4))
_SOCKET: Final = (
    (-0.3, -1.3), (0.2, -1.1), (0.45, -0.5), (0.42, -0.1), (0.4, 0.35), (0.7, 0.5), (0.5, 0.65), (0.3, 0.4), (0.32, 0),
    (0.1, -0.36), (-0.26, -0.32), (-0.34, -0.7),
)  # fmt: skip
_THIGH: Final = (
    (-0.72, 0.05), (-0.5, -0.05), (-0.25, -0.2), (0, -0.3), (0.25, -0.12), (0.26, 0.12), (0.05, 0.26), (-0.16, 0.22),
    (-0.34, 0.5), (-0.36, 1.4), (-0.64, 1.4), (-0.68, 0.5),
)  # fmt: skip
# The ankle from the side, the toes to the left.
_FOOT: Final = (
    (-0.35, -1.3), (-0.35, -0.3), (-0.9, 0.15), (-1.4, 0.3), (-1.4, 0.62), (-0.4, 0.68), (0.5, 0.78), (0.72, 0.5),
    (0.6, 0.1), (0.46, -0.4), (0.5, -1.3),
)  # fmt: skip
_ANKLE_BONES: Final = (
    ((-0.24, -1.3), (-0.2, -0.4), (-0.28, -0.1), (0, -0.14), (0.22, -0.05), (0.16, -0.4), (0.12, -1.3)),
    ((-0.5, 0.08), (-0.28, -0.04), (0, -0.1), (0.22, 0.0), (0.3, 0.14), (0.0, 0.22), (-0.4, 0.28)),
    ((-0.34, 0.36), (0.0, 0.26), (0.34, 0.2), (0.58, 0.26), (0.6, 0.56), (0.3, 0.6), (-0.28, 0.54)),
    ((-1.08, 0.3), (-1.6, 0.42), (-1.6, 0.54), (-1.05, 0.44)),
)  # fmt: skip


def joint(layer: Layer, rng: np.random.Generator) -> None:
    """Paint one of several joints, in one of several planes."""
    _JOINTS[int(rng.integers(len(_JOINTS)))](layer, rng)


def _bone(layer: Layer, rng: np.random.Generator, outline: Outline, rim: float = 0.02) -> None:
    """Paint marrow within a thin cortex, sometimes with a bruise."""
    points = jitter(rng, outline, 0.012)
    middle = points.mean(axis=0)
    reach = float(np.sqrt(((points - middle) ** 2).sum(axis=1)).mean())
    layer.blob(points, Tissue.BONE)
    layer.blob((points - middle) * (1 - rim / reach) + middle, Tissue.MARROW)
    if rng.random() < 0.15:
        layer.blob(lump(rng, middle + rng.normal(0, 0.3, 2) * reach, (0.3 * reach, 0.25 * reach), 0.3), Tissue.OEDEMA)


def _flesh(layer: Layer, rng: np.random.Generator, outline: Outline, fat: float) -> None:
    """Paint skin and fat round muscle that is parted by strands of fat."""
    points = jitter(rng, outline, 0.015)
    middle = points.mean(axis=0)
    layer.blob(points, Tissue.SKIN)
    layer.blob((points - middle) * (0.975, 0.995) + middle, Tissue.FAT)
    layer.blob((points - middle) * (1 - fat, 1.02) + middle, Tissue.MUSCLE)
    with layer.inside(points):
        _strands(layer, rng, (-0.8, -0.8), (0.8, 0.8), math.pi / 2)


def _strands(
    layer: Layer, rng: np.random.Generator, low: tuple[float, float], high: tuple[float, float], heading: float
) -> None:
    """Part muscles by strands of fat that start between two corners."""
    starts = rng.uniform(low, high, (int(rng.integers(3, 14)), 2))
    lines = branches(rng, starts, rng.normal(heading, 0.45, len(starts)), length=0.9, wander=0.12, points=7)
    layer.strokes(lines, rng.uniform(0.008, 0.03), Tissue.FAT)


def _both(half: Outline) -> _Points:
    """Join a half outline and its mirror image, up one side and down the other."""
    return np.concatenate([mirrored(half)[::-1], np.asarray(half)])


def _knee_side(layer: Layer, rng: np.random.Generator) -> None:
    _flesh(layer, rng, _LEG, rng.uniform(0.1, 0.3))
    layer.blob(jitter(rng, _HOLLOW, 0.02), Tissue.FAT)
    layer.blob(jitter(rng, _PAD, 0.02), Tissue.FAT)
    for outline in (_FEMUR, _TIBIA):
        _bone(layer, rng, outline)
    _bone(layer, rng, lump(rng, (-0.46, rng.uniform(-0.36, -0.2)), (0.085, 0.19), 0.06), 0.015)
    gristle = curve([(-0.28, -0.25), (-0.23, 0.0), (0, 0.105), (0.3, 0.03), (0.36, -0.2)])
    layer.stroke(gristle, rng.uniform(0.02, 0.045), Tissue.CARTILAGE)
    layer.stroke([(-0.32, 0.18), (0.3, 0.18)], 0.025, Tissue.CARTILAGE)
    for x, sign in ((-0.27, 1), (0.26, -1)):
        layer.polygon([(x, 0.08), (x, 0.18), (x + sign * 0.17, 0.145)], Tissue.TENDON)
    layer.stroke(curve([(-0.47, -0.16), (-0.44, 0.1), (-0.35, 0.45)]), 0.05, Tissue.TENDON)
    layer.stroke(curve([(-0.4, -1.2), (-0.44, -0.7), (-0.47, -0.4)]), 0.05, Tissue.TENDON)
    if rng.random() < 0.6:
        layer.stroke(curve([(0.16, -0.1), (0.04, 0.06), (-0.12, 0.16)]), 0.05, Tissue.TENDON)
        layer.stroke(curve([(-0.02, -0.05), (0.18, 0.04), (0.3, 0.24)]), 0.05, Tissue.TENDON)
    if rng.random() < 0.5:
        layer.blob(jitter(rng, [(-0.36, -0.75), (-0.3, -0.4), (-0.36, -0.3), (-0.42, -0.5)], 0.02), Tissue.FLUID)


def _knee_front(layer: Layer, rng: np.random.Generator) -> None:
    _flesh(layer, rng, _both(_LEG_FRONT), rng.uniform(0.08, 0.25))
    layer.blob([(-0.55, -0.4), (0.55, -0.4), (0.55, 0.4), (-0.55, 0.4)], Tissue.FAT)
    _bone(layer, rng, _both(_FEMUR_FRONT[::-1]))
    _bone(layer, rng, _both(_TIBIA_FRONT))
    for side in (-1.0, 1.0):
        flip = (side, 1.0)
        layer.stroke(curve(np.array([(0.09, 0.0), (0.28, 0.075), (0.47, -0.02)]) * flip), 0.035, Tissue.CARTILAGE)
        layer.polygon(np.array([(0.5, 0.04), (0.5, 0.15), (0.3, 0.11)]) * flip, Tissue.TENDON)
        ligament = curve(np.array([(0.5, -0.3), (0.55, 0.1), (0.48, 0.5)]) * flip)
        layer.stroke(ligament, rng.uniform(0.02, 0.04), Tissue.TENDON)
    layer.stroke([(0.06, -0.14), (-0.06, 0.12)], 0.05, Tissue.TENDON)
    if rng.random() < 0.7:
        _bone(layer, rng, _FIBULA_FRONT, 0.015)


def _shoulder(layer: Layer, rng: np.random.Generator) -> None:
    skin, inward = jitter(rng, _SHOULDER, 0.02), np.array(_INWARD)
    layer.blob(skin, Tissue.SKIN)
    layer.blob(skin + 0.03 * inward, Tissue.FAT)
    layer.blob(jitter(rng, skin + rng.uniform(0.05, 0.23) * inward, 0.015), Tissue.MUSCLE)
    _strands(layer, rng, (0.1, -0.5), (1.0, 0.8), 0.1)
    layer.stroke(curve([(-0.56, 1.2), (-0.52, 0.2), (-0.4, -0.25), (-0.1, -0.4)]), 0.03, Tissue.FAT)
    layer.stroke(curve([(-0.3, -0.32), (0.0, -0.42), (0.4, -0.42), (1.2, -0.45)]), (0.06, 0.2), Tissue.MUSCLE)
    layer.stroke(curve([(-0.42, -0.12), (-0.28, -0.34), (0.02, -0.42)]), 0.06, Tissue.TENDON)
    _bone(layer, rng, _ACROMION, 0.015)
    if rng.random() < 0.7:
        _bone(layer, rng, _CLAVICLE, 0.015)
    _bone(layer, rng, _GLENOID)
    _bone(layer, rng, _HUMERUS)
    layer.stroke(curve([(-0.1, -0.33), (0.08, -0.26), (0.15, -0.05), (0.06, 0.16)]), 0.035, Tissue.CARTILAGE)
    if rng.random() < 0.4:
        layer.stroke(curve([(0.12, 0.2), (0.15, 0.0), (0.14, -0.22)]), 0.03, Tissue.FLUID)


def _hip(layer: Layer, rng: np.random.Generator) -> None:
    layer.blob([(-1.6, -1.4), (1.6, -1.4), (1.6, 1.4), (-1.6, 1.4)], Tissue.MUSCLE)
    layer.blob(jitter(rng, _FLANK, 0.03), Tissue.FAT)
    layer.blob(jitter(rng, np.array(_FLANK) - np.array([0.28, 0]), 0.03), Tissue.AIR)
    _strands(layer, rng, (-0.6, -1), (1, 1), 1.2)
    layer.blob(lump(rng, (0.95, -0.3), (0.45, 0.6), 0.1), Tissue.FAT)
    layer.blob(lump(rng, (1.0, 0.1), (0.3, 0.25), 0.05), Tissue.FLUID)
    _bone(layer, rng, _SOCKET)
    _bone(layer, rng, _THIGH)
    layer.stroke(curve([(-0.22, -0.24), (0.02, -0.33), (0.28, -0.12), (0.28, 0.1)]), 0.035, Tissue.CARTILAGE)


def _ankle(layer: Layer, rng: np.random.Generator) -> None:
    _flesh(layer, rng, _FOOT, 0.14)
    layer.blob(jitter(rng, [(0.2, -0.9), (0.42, -0.3), (0.5, 0.2), (0.25, 0.1), (0.14, -0.3)], 0.02), Tissue.FAT)
    layer.blob(jitter(rng, [(-0.6, 0.5), (0.55, 0.5), (0.6, 0.72), (-0.5, 0.66)], 0.02), Tissue.FAT)
    layer.stroke(curve([(0.44, -1.2), (0.47, -0.4), (0.56, 0.2)]), 0.06, Tissue.TENDON)
    for outline in _ANKLE_BONES:
        _bone(layer, rng, outline)
    for spot, radii in (((-0.66, 0.2), (0.11, 0.15)), ((-0.92, 0.3), (0.13, 0.11)), ((-0.56, 0.44), (0.16, 0.09))):
        _bone(layer, rng, lump(rng, spot, radii, 0.06), 0.015)
    layer.stroke(curve([(-0.28, -0.075), (0, -0.12), (0.22, -0.03)]), 0.03, Tissue.CARTILAGE)


# The commoner, the more often.
_JOINTS: Final[tuple[Callable[[Layer, np.random.Generator], None], ...]] = (
    _knee_side, _knee_side, _knee_front, _shoulder, _shoulder, _shoulder, _hip, _ankle,
)  # fmt: skip
