"""Draw radiographs of limbs: joints and shafts of long bones, at any angle.

The geometry is in centimetres about the joint; nobody's bone is traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np

from firmware_tools.phantoms import vary
from firmware_tools.phantoms.bone import Bone, Limb, Points, expose
from firmware_tools.phantoms.canvas import Canvas, jitter, lump, random_pose

_WRIST: Final = ((-0.9, 10.2), (0.4, 10.3), (1.7, 10.2), (-1.3, 11.7), (0, 11.8), (1.2, 11.8), (2.3, 11.6))
_FOOT: Final = ((-6.8, 3.2), (-2, 1.2), (4, 0.9), (9, 3.2), (15, 6), (15, 8.2), (4, 7.4), (-3, 7.8), (-6.8, 6.8))
# Middles and radii of the bones of the heel.
_HEEL: Final = (
    (0.6, 2.4, 2.6, 1.5), (-3.0, 4.6, 3.6, 1.9), (3.6, 3.4, 1.2, 1.5), (5.6, 4.3, 1.2, 1.3), (3.2, 5.4, 1.5, 1.1),
)  # fmt: skip
_BLADE: Final = ((1.4, -4.5), (2.2, -1.5), (1.2, 1.5), (-3.5, 10), (-5.2, 6), (-4.6, -3), (-1.5, -5))
_SPUR: Final = ((-4, -4.2), (1, -6.2), (4, -6.6), (4.2, -5.6), (1.2, -5), (-3.8, -3.2))
_SHOULDER: Final = (
    (-14, -9), (-6, -8.6), (2, -8.8), (7.6, -7), (9.4, -1), (10.3, 8), (10.5, 18), (3, 18), (2.4, 8), (-4, 11),
    (-14, 17),
)  # fmt: skip


def limb(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a joint or a shaft on a dark ground."""
    shape = vary.shape_of(rng, side, 0.42, 1.3)
    turn = (0.1, 0.1, 0.5, 3.0)[int(rng.integers(4))]
    pose = random_pose(rng, shape, 17.0, turn=turn, zoom=(0.7, 1.5), shift=0.08, bend=0.03, mirror=0.5)
    laid = _VIEWS[int(rng.integers(len(_VIEWS)))](rng)
    return expose(Canvas(shape, pose), rng, laid, metal=0.25)


def _sleeve(rng: np.random.Generator, *rows: tuple[float, float, float]) -> Points:
    """Outline flesh by rows of (y, left, right)."""
    left, right = [(row[1], row[0]) for row in rows], [(row[2], row[0]) for row in rows[::-1]]
    return jitter(rng, [*left, *right], 0.25)


def _knee(rng: np.random.Generator) -> Limb:
    gap, w, wide = rng.uniform(0.2, 0.6), rng.uniform(0.9, 1.15), rng.uniform(5.4, 7.5)
    femur = Bone((rng.normal(0, 0.4), -17), (0, -1.2), (3, 1.5 * w, 4.0 * w), rng.uniform(0.2, 0.5))
    tibia = Bone((0, 0.3 + gap), (rng.normal(0, 0.4), 17), (3.9 * w, 1.35 * w, 2.5), rng.uniform(-0.2, 0.1))
    fibula = Bone((3.2 * w, 2.2), (2.6, 17), (0.95, 0.55, 1.1), bow=0.2)
    patella = [lump(rng, (rng.normal(0, 0.4), -2.6), (1.9, 2.1), 0.05)] if rng.random() < 0.8 else []
    thigh, calf = (-6, -wide, wide), (6, -wide + 0.3, wide - 0.3)
    flesh = _sleeve(rng, (-18, -wide - 1, wide + 1), thigh, (0, -5.3 * w, 5.3 * w), calf, (18, -4.5, 4.6))
    return Limb([femur, tibia, fibula], patella, [flesh])


def _knee_side(rng: np.random.Generator) -> Limb:
    flex = rng.uniform(-0.1, 1.2)
    x, y = -16 * math.sin(flex), 1 + 16 * math.cos(flex)
    femur = Bone((rng.normal(0, 0.5), -17), (-0.4, -0.8), (3, 1.5, 3.0))
    tibia = Bone((-0.7 * math.sin(flex), 1.8), (x, y), (2.9, 1.3, 2.0))
    fibula = Bone((-1.8, 3.4), (x - 1.0, y), (0.9, 0.5, 0.9))
    patella = lump(rng, (3.6 - 0.3 * flex, -2.0 + 1.2 * flex), (1.0, 1.9), 0.06)
    upper = _sleeve(rng, (-18, -7, 5), (-8, -6, 4.6), (-2, -4.6, 5.0), (1.5, -4.2, 4.0), (4, -3.5, 3))
    lower = [(3.6, -1), (4.0, 2), (x + 3, y), (x - 4.5, y), (-5.5 - 2 * flex, 6), (-4, 0)]
    return Limb([femur, tibia, fibula], [patella], [upper, jitter(rng, lower, 0.3)])


def _forearm(rng: np.random.Generator) -> Limb:
    gap, wide = rng.uniform(0.8, 1.3), rng.uniform(2.6, 4.2)
    radius = Bone((gap, -13), (gap + 0.3, 9), (1.1, 0.75, 1.7), bow=rng.uniform(0, 0.6))
    ulna = Bone((-gap, -15), (-gap - 0.2, 8.3), (1.5, 0.7, 0.9), bow=-rng.uniform(0, 0.3))
    wrist = [lump(rng, spot, (0.75, 0.75), 0.12) for spot in jitter(rng, _WRIST, 0.12)]
    top, middle = (-18, -wide - 1.2, wide + 1.2), (-5, -wide - 0.5, wide + 0.5)
    return Limb([radius, ulna], wrist, [_sleeve(rng, top, middle, (6, -2.9, 3.0), (10, -2.7, 3.2), (18, -4, 4))])


def _shaft(rng: np.random.Generator) -> Limb:
    top, x, wide = rng.uniform(-22, -9), rng.uniform(2.2, 3.5), rng.uniform(3.5, 8)
    widths = (rng.uniform(2, 3.4), rng.uniform(1.0, 1.9), rng.uniform(2, 3.6))
    ends = rng.normal(0, 1, 2)
    tubes = [Bone((ends[0], top), (ends[1], top + 34), widths, rng.uniform(0, 0.3), rng.normal(0, 0.6))]
    if rng.random() < 0.5:
        tubes.append(Bone((x, top + 1.5), (x, top + 33), (1.1, 0.6, 1.2), bow=rng.normal(0, 0.4)))
    upper, lower = (-19, -wide - 0.6, wide + 1.2), (19, -0.7 * wide, 0.75 * wide)
    return Limb(tubes, [], [_sleeve(rng, upper, (-6, -wide, wide + 0.8), (6, -0.9 * wide, 0.9 * wide), lower)])


def _ankle_front(rng: np.random.Generator) -> Limb:
    tibia, fibula = Bone((-0.4, -17), (-0.4, 0.4), (2.2, 1.3, 2.5), -0.1), Bone((2.6, -17), (2.7, 1.6), (0.8, 0.6, 1.1))
    heel = [lump(rng, (0, 2.9), (2.2, 1.5), 0.08), lump(rng, (0.3, 5.8), (2.0, 1.9), 0.1)]
    flesh = _sleeve(rng, (-18, -4.5, 5), (-4, -3.4, 4.2), (2, -3.6, 4.5), (7, -3.5, 4.2), (9, -2.5, 3))
    return Limb([tibia, fibula], heel, [flesh])


def _ankle_side(rng: np.random.Generator) -> Limb:
    tubes = [Bone((0, -17), (0, 0.4), (2.2, 1.3, 2.1)), Bone((-0.7, -17), (-0.8, 1.6), (0.8, 0.55, 0.9))]
    tubes += [Bone((6.6, 4.8 + 0.3 * i), (12 - 0.4 * i, 6.2 + 0.35 * i), (0.8, 0.45, 0.7)) for i in range(4)]
    heel = [lump(rng, (cx, cy), (rx, ry), 0.1) for cx, cy, rx, ry in _HEEL]
    leg = _sleeve(rng, (-18, -4.2, 4), (-4, -3.2, 3.2), (2, -4, 3.8), (5, -6.5, 6))
    return Limb(tubes, heel, [leg, jitter(rng, _FOOT, 0.2)])


def _shoulder(rng: np.random.Generator) -> Limb:
    tubes = [Bone((4.6, -2.4), (6.5 + rng.normal(0, 1.5), 15), (2.7, 1.3, 2), -0.3)]
    tubes.append(Bone((-9, -4.8), (2.6, -6.9), (1.0, 0.65, 0.9), bow=rng.uniform(-0.8, 0.8)))
    tubes += [Bone((-12, -5 + 2.7 * i), (-4.6 - 0.15 * i, 0.2 + 3.0 * i), (0.7, 0.6, 0.7), bow=-1.2) for i in range(6)]
    flat = [jitter(rng, _BLADE, 0.3), jitter(rng, _SPUR, 0.2), lump(rng, (1.5, -0.8), (0.8, 2.1), 0.08)]
    return Limb(tubes, flat, [jitter(rng, _SHOULDER, 0.4)])


def _elbow(rng: np.random.Generator) -> Limb:
    flex, wide = rng.uniform(0.0, 1.7), rng.uniform(3.0, 4.5)
    s, c = math.sin(flex), math.cos(flex)
    far, across = np.array([15 * s, 15 * c]), np.array([c, -s])
    humerus = Bone((0, -16), (0, -0.7), (2.2, 1.1, rng.uniform(1.7, 2.9)), rng.uniform(0, 0.4))
    ulna = Bone((-0.8 * c, 0.2), far + np.array([-0.9, 0.3]), (1.5, 0.75, 0.8))
    radius = Bone((1.0 * c + 0.5 * s, 1.1), far + np.array([1.0, -0.5]), (1.1, 0.65, 1.2))
    upper = _sleeve(rng, (-18, -wide - 0.6, wide + 0.4), (-6, -wide, wide), (0, -3.2, 3.2), (2.5, -2.2, 2.4))
    left = [-3.1 * across, 0.3 * far - 3.4 * across, far - 2.6 * across]
    right = [far + 2.6 * across, 0.3 * far + 3.3 * across, 3.0 * across]
    return Limb([humerus, ulna, radius], [], [upper, jitter(rng, np.array([*left, *right]), 0.2)])


_VIEWS: Final[tuple[Callable[[np.random.Generator], Limb], ...]] = (
    _knee, _knee_side, _forearm, _shaft, _ankle_front, _ankle_side, _shoulder, _elbow,
)  # fmt: skip
