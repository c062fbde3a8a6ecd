"""Draw chest radiographs from the side; attenuations add up along the ray.

The geometry is in centimetres from the middle of the chest, the breast bone to the left; nobody's chest is traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.demo.ink import Floats, ramp
from firmware_tools.phantoms import film, vary
from firmware_tools.phantoms.canvas import Canvas, branches, curve, jitter, random_pose
from firmware_tools.phantoms.chest import bowel_gas

_BODY: Final = (
    (-9, -26), (-10, -18), (-10.5, -11), (-11.5, -3), (-12, 5), (-12.5, 14), (-12, 26), (12, 26), (12.5, 12),
    (13.5, 2), (13, -7), (12, -14), (12.5, -20), (12, -26),
)  # fmt: skip
_LUNG: Final = (
    (2, -14.5), (6.5, -12), (9.6, -6), (10.2, 2), (9.8, 9), (9.0, 13.5), (6.5, 11.5), (1.5, 8.2), (-4, 7.6),
    (-8.2, 9.8), (-9.4, 5), (-8.8, -3), (-6.4, -9), (-2.5, -13.5),
)  # fmt: skip
_HEART: Final = ((-1, -2.5), (-5.5, 1), (-7.8, 5), (-7.5, 9), (-3, 9.5), (1.2, 8.8), (3, 4), (2, -0.5))


def chest_lateral(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a film from the side, the breast bone to the left, the spine to the right, or the other way round."""
    shape = vary.shape_of(rng, side, 0.62, 1.15)
    pose = random_pose(rng, shape, 27.0, turn=0.05, zoom=(0.85, 1.3), shift=0.05, bend=0.03, mirror=0.5)
    canvas = Canvas(shape, pose)
    _, y = canvas.grid()
    body = canvas.shapes([jitter(rng, _BODY, 0.6)], 0.3)
    lung = jitter(rng, _LUNG, 0.4) * (rng.uniform(0.85, 1.12), 1)
    second = jitter(rng, lung, 0.35) + rng.normal((0.3, 0.8), (0.4, 0.6))
    lungs = np.float32(0.5) * (canvas.shapes([lung], 0.12) + canvas.shapes([second], 0.12))
    air = lungs * (np.float32(0.65) + np.float32(0.35) * canvas.shapes([lung], 1.6))
    heart = canvas.shapes([jitter(rng, _HEART, 0.4) * (rng.uniform(0.85, 1.2), 1)], 0.3)
    arms = canvas.shapes([jitter(rng, ((-8, -26), (-7, -13), (0, -11), (8, -12), (11, -26)), 1.0)], 0.8)

    total = body * (
        np.float32(0.85) - np.float32(0.15) * ramp(y, -2, -14) + np.float32(rng.uniform(0, 0.25)) * ramp(y, 6, 12)
    )
    total = total + np.float32(rng.uniform(0.05, 0.3)) * arms
    total = total - np.float32(rng.uniform(0.36, 0.55)) * air + np.float32(rng.uniform(0.1, 0.26)) * heart
    total = total + _side_bones(canvas, rng)
    knot = canvas.ovals([((1.0, -2.6), (1.8, 1.6)), ((1.8, -0.6), (1.0, 1.2))], 0.5)
    total = total + np.float32(rng.uniform(0.05, 0.15)) * knot
    total = total + np.float32(rng.uniform(0.02, 0.09)) * _side_vessels(canvas, rng) * lungs
    windpipe = canvas.shapes([[(0.8, -22), (1.4, -12), (2.2, -4), (3.2, -4), (2.6, -12), (2.2, -22)]], 0.15)
    total = (
        total
        - np.float32(rng.uniform(0.06, 0.15)) * windpipe
        - np.float32(0.12) * bowel_gas(canvas, rng) * (1 - lungs) * ramp(y, 6, 9)
    )
    if rng.random() < 0.2:
        total = total + np.float32(rng.uniform(0.1, 0.3)) * film.wires(canvas, rng, 26)
    return film.develop(np.asarray(total + film.tissue(canvas, rng, 0.018) * body), rng)


def _side_bones(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw the column of vertebrae behind, the breast bone in front, and slanting ribs on both sides."""
    column, ribs = canvas.layer(), canvas.layer()
    bow = rng.uniform(1.5, 4.0)
    rib = curve([(1, -1), (-5, 0.6), (-11, 4.5), (-16, 8.5)])
    box = np.array([(-1.5, -1), (0, -0.9), (1.5, -1), (1.4, 0), (1.5, 1), (0, 0.9), (-1.5, 1), (-1.4, 0)])
    y = -17 + 2.45 * np.arange(16)
    at = np.stack([6.0 + bow * np.cos((y - 1) / 14), y], axis=1)[:, None]
    tilt = -bow / 14 * np.sin((y - 1) / 14)
    turn = np.stack([np.ones(16), tilt, -tilt, np.ones(16)], axis=1).reshape(16, 2, 2)
    column.polygons(box @ turn + at, 220)
    column.polygons(0.8 * box @ turn + at, 150)
    column.strokes(np.array([(1.5, 0), (3.6, 1.4)]) + at, 0.7, 120)
    both = np.concatenate([at[3:13], at[3:13] + rng.normal(0, (0, 0.5))])
    ribs.strokes(rib + both, 1.1, 150)
    ribs.strokes(rib + both, 0.7, 85)
    ribs.stroke(curve([(-7.5, -11), (-10.3, -5), (-11, 2), (-10.8, 7)]), 1.0, 200)
    bones = np.float32(rng.uniform(0.08, 0.24)) * column.cover(rng.uniform(0.1, 0.25))
    return np.asarray(bones + np.float32(rng.uniform(0.03, 0.12)) * ribs.cover(0.08))


def _side_vessels(canvas: Canvas, rng: np.random.Generator) -> Floats:
    layer = canvas.layer()
    start = np.array([1.5, -1.5]) + rng.normal(0, 0.8, (16, 2))
    layer.strokes(
        branches(rng, start, rng.uniform(-3.1, 3.1, 16), length=8, wander=0.12), (rng.uniform(0.3, 0.7), 0.1), 200
    )
    return layer.cover(0.15)
