"""Draw radiographs of hands and forefeet with all their rays.

The geometry is in centimetres, fingers and toes up; nobody's hand is traced.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

import numpy as np

from firmware_tools.phantoms import vary
from firmware_tools.phantoms.bone import Bone, Limb, Points, expose
from firmware_tools.phantoms.canvas import Canvas, jitter, lump, random_pose

_PALM: Final = (
    (-3.9, 3.4), (-4.1, -1.6), (-2, -2.6), (2, -2.8), (3.9, -1.6), (4.0, 2.5), (2.9, 6), (3.2, 13), (-2.9, 13),
    (-2.8, 6),
)  # fmt: skip
# The lengths of each ray's bones, from the thumb to the little finger; half widths where they begin and end.
_RAYS: Final = ((4.2, 3.0, 2.3), (6.4, 4.0, 2.4, 1.7), (6.2, 4.5, 2.8, 1.8), (5.6, 4.2, 2.6, 1.8), (5.1, 3.3, 1.9, 1.6))
_BASES: Final = (0.82, 0.75, 0.62, 0.5)
_HEADS: Final = (0.78, 0.66, 0.52, 0.36)
_WRIST: Final = ((-1.7, 3.2), (-0.5, 3.4), (0.8, 3.3), (2.1, 3.3), (-1.9, 4.6), (-0.8, 4.9), (0.5, 5.0), (1.7, 4.8))
_SOLE: Final = ((-4.4, 1), (-4.3, -4), (-1, -6.4), (3.4, -6.6), (4.6, -2.5), (3.4, 5), (3.0, 13), (-3.0, 13), (-3.4, 6))
# Middles and radii of the tarsus.
_TARSUS: Final = (
    (1.5, 4.9, 1.1), (0.2, 5.2, 0.9), (-0.9, 5.4, 0.9), (-2.1, 5.9, 1.3), (0.7, 6.9, 1.5), (0.6, 9.6, 2.0),
    (-1.2, 10.5, 1.9),
)  # fmt: skip


def hand(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a hand or a forefoot, sometimes two of them, sometimes only the fingers."""
    pair = rng.random() < 0.12
    shape = vary.shape_of(rng, side, 1.1, 1.6) if pair else vary.shape_of(rng, side, 0.55, 1.2)
    turn = (0.15, 0.15, 0.4, 3.0)[int(rng.integers(4))]
    pose = random_pose(rng, shape, 19.0, turn=turn, zoom=(0.8, 1.6), shift=0.08, bend=0.03, mirror=0.5)
    limb = (_foot if rng.random() < 0.25 else _hand)(rng)
    if pair:
        # The other hand lies beside the first, as in a mirror.
        step = np.array([rng.uniform(4.5, 6.0), 0.0])
        one, other = _moved(limb, np.ones(2), -step), _moved(limb, np.array([-1.0, 1.0]), step)
        limb = Limb(one.tubes + other.tubes, one.pebbles + other.pebbles, one.flesh + other.flesh)
    return expose(Canvas(shape, pose), rng, limb, metal=0.1)


def _moved(limb: Limb, flip: Points, step: Points) -> Limb:
    tubes = [
        replace(b, start=np.asarray(b.start) * flip + step, end=np.asarray(b.end) * flip + step) for b in limb.tubes
    ]
    return Limb(tubes, [p * flip + step for p in limb.pebbles], [f * flip + step for f in limb.flesh])


def _hand(rng: np.random.Generator) -> Limb:
    """Lay out wrist, palm and five rays."""
    tubes = [Bone((1.0, 6.4), (1.1, 17), (1.5, 0.8, 1)), Bone((-1.6, 6.5), (-1.4, 17), (0.95, 0.65, 1))]
    flesh = [jitter(rng, _PALM, 0.15)]
    spread = rng.uniform(0.05, 0.22)
    for i, lengths in enumerate(_RAYS):
        at = np.array([3.0, 2.8] if i == 0 else [3.7 - 1.3 * i, 2.4 + 0.15 * abs(i - 2)])
        angle = rng.uniform(0.5, 0.85) if i == 0 else (2.2 - i) * spread + rng.normal(0, 0.03)
        begin, way = at, np.zeros(2)
        for j, length in enumerate(lengths):
            way = np.array([math.sin(angle), -math.cos(angle)])
            end = at + way * length * rng.uniform(0.93, 1.05)
            tubes.append(Bone(at + 0.12 * way, end - 0.12 * way, (_BASES[j], 0.45 * _BASES[j] + 0.06, _HEADS[j])))
            at, angle = end, angle + rng.normal(0, 0.05)
        across = np.array([way[1], -way[0]])
        middle, tip = 0.5 * (begin + at), at + 0.35 * way
        right = [begin + 1.25 * across, middle + 0.98 * across, at + 0.72 * across]
        left = [at - 0.72 * across, middle - 0.98 * across, begin - 1.25 * across]
        flesh.append(np.array([*right, tip, *left]))
    pebbles = [lump(rng, spot, (0.78, 0.82), 0.13) for spot in jitter(rng, _WRIST, 0.1)]
    return Limb(tubes, pebbles, flesh)


def _foot(rng: np.random.Generator) -> Limb:
    """Lay out a forefoot from above: short toes, long metatarsals, the tarsus crowded together."""
    tubes: list[Bone] = []
    flesh = [jitter(rng, _SOLE, 0.15)]
    for i in range(5):
        first = i == 0
        x, top = 3.0 - 1.65 * i + rng.normal(0, 0.1), -3.0 + 0.35 * i**1.3
        wide, big = (1.05, 1.0) if first else (0.68, 0.72)
        tubes.append(Bone((1.7 - 0.95 * i, 3.2 + 0.25 * i), (x, top), (wide, 0.5 * wide, wide)))
        at = np.array([x, top - 0.35])
        for j, length in enumerate((2.9, 1.9) if first else (2.2, 0.95, 0.8)):
            end = at + np.array([rng.normal(0, 0.08) - 0.02 * (i - 2), -length])
            tubes.append(Bone(at, end, (0.75 * big / (1 + 0.25 * j), 0.4 * big, 0.6 * big / (1 + 0.3 * j))))
            at = end - np.array([0, 0.2])
        right, left = [(x - 0.95, top + 2), (x - 0.9, top - 2)], [(x + 0.9, top - 2), (x + 0.95, top + 2)]
        flesh.append(np.array([*right, (at[0], at[1] - 0.5), *left]))
    return Limb(tubes, [lump(rng, (cx, cy), (r, r), 0.1) for cx, cy, r in _TARSUS], flesh)
