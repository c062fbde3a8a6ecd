"""Draw radiographs of the pelvis, the hips and the abdomen above them, with gas, hip joints of metal and clips.

The geometry is in centimetres from the middle of the pelvis; nobody's pelvis is traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import film, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, curve, ellipse, jitter, lump, mirrored, random_pose

# Outlines of one side, to be mirrored.
_WING: Final = (
    (1.8, -3.0), (3.6, -8.2), (8.0, -10.4), (12.6, -9.0), (14.0, -5.0), (11.8, -1.0), (10.2, 2.4), (8.0, 3.6),
    (5.4, 2.2), (3.4, 0.2),
)  # fmt: skip
_RING: Final = (
    (0.3, 5.8), (2.8, 4.4), (6.4, 3.2), (9.2, 4.6), (8.2, 8.4), (6.4, 11.4), (3.8, 11.2), (1.6, 8.6), (0.4, 8.4),
)  # fmt: skip
_HOLE: Final = ((2.4, 6.6), (5.2, 5.6), (6.4, 7.2), (5.2, 9.6), (3.4, 9.0))
_THIGH: Final = (
    (10.2, 2.6), (12.6, 3.2), (14.4, 5.2), (15.0, 8.6), (14.2, 12), (13.8, 26), (10.9, 26), (10.8, 12), (11.6, 8.4),
    (10.4, 6.2),
)  # fmt: skip
_SACRUM: Final = ((-4.6, -5.4), (0, -6.0), (4.6, -5.4), (3.4, -1.0), (1.4, 3.4), (0, 4.4), (-1.4, 3.4), (-3.4, -1.0))


def pelvis(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a film from the front: the whole pelvis, one hip, or the abdomen."""
    pick = rng.random()
    shape = vary.shape_of(rng, side, *((0.95, 1.4) if pick < 0.5 else (0.62, 1.05)))
    zoom = (0.9, 1.25) if pick < 0.8 else (1.3, 2.0)
    pose = random_pose(rng, shape, 30.0, turn=0.05, zoom=zoom, shift=0.05, bend=0.03, mirror=0.5)
    centre = (0.0, 1.0) if pick < 0.5 else (0.0, -14.0) if pick < 0.8 else (9.5, 5.0)
    canvas = Canvas(shape, pose.aimed(centre))
    return film.develop(_attenuation(canvas, rng), rng, inverted=0.04, ceiling=(94, 99.9))


def _attenuation(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Sum flesh, bones, gas and metal."""
    x, _ = canvas.grid()
    wide = rng.uniform(16, 21)
    trunk = [(-wide, -40), (-wide + 1, -18), (-wide - 0.5, -4), (-wide - 1, 6), (-wide + 1, 28)]
    body = canvas.shapes([jitter(rng, [*trunk, *mirrored(trunk)[::-1]], 0.5)], 0.3)
    thick = np.sqrt(np.clip(1 - (x / np.float32(wide + 1.5)) ** 2, 0, 1))
    total = body * (np.float32(0.25) + np.float32(rng.uniform(0.2, 0.5)) * thick)
    crease = canvas.shapes([[(0, 10), (rng.uniform(0.5, 2), 14), (3, 28), (-3, 28), (-rng.uniform(0.5, 2), 14)]], 0.6)
    total = total - np.float32(rng.uniform(0.05, 0.4)) * crease * body
    spongy = 1 + np.float32(rng.uniform(0.0, 0.12)) * cloud(rng, canvas.shape, int(rng.integers(40, 80)))
    total = total + np.float32(rng.uniform(0.14, 0.4)) * _bones(canvas, rng) * spongy
    total = total + np.float32(rng.uniform(0.02, 0.1)) * _soft_organs(canvas, rng)
    total = total - np.float32(rng.uniform(0.04, 0.2)) * _gas(canvas, rng)
    if rng.random() < 0.3:
        total = total + np.float32(rng.uniform(0.4, 1.0)) * _metal(canvas, rng)
    return np.asarray(total + film.tissue(canvas, rng, 0.03) * body)


def _bones(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw hip bones, sacrum, thighs and the lower spine with the last ribs."""
    deep, front = canvas.layer(), canvas.layer()
    _spine(deep, rng)
    deep.blob(jitter(rng, _SACRUM, 0.25), 130)
    for i in range(4):
        for sign in (-1.0, 1.0):
            deep.oval((sign * (1.7 - 0.2 * i), -3.8 + 1.7 * i), (0.4, 0.35), 80)
    for sign in (-1.0, 1.0):
        flip = (sign, 1.0)
        wing, ring = jitter(rng, _WING, 0.2), jitter(rng, _RING, 0.15)
        front.blob(wing * flip, 190)
        front.blob(((wing - wing.mean(axis=0)) * 0.87 + wing.mean(axis=0)) * flip, int(rng.integers(70, 120)))
        front.blob(ring * flip, 190)
        front.blob(((ring - ring.mean(axis=0)) * 0.88 + ring.mean(axis=0)) * flip, 130)
        front.blob(jitter(rng, _HOLE, 0.15) * flip, 0)
        thigh = jitter(rng, _THIGH, 0.15) * flip
        front.blob(thigh, 220)
        front.blob(thigh * (0.92, 1) + (sign * 0.95, 0), 140)
        front.oval((sign * 9.3, 3.7), (2.5, 2.5), 215)
        front.oval((sign * 9.3, 3.7), (2.25, 2.25), 170)
        front.stroke(curve(np.array([(7.4, 1.6), (9.6, 0.8), (11.6, 1.8)]) * flip), 0.5, 250)
    return deep.cover(0.1) + front.cover(0.06)


def _spine(layer: Layer, rng: np.random.Generator) -> None:
    """Draw vertebrae with their processes and pedicles, and the last ribs."""
    rank = np.arange(9)
    at = np.stack([rng.normal(0, 0.5) * np.sin(0.5 * rank), -9.6 - 3.7 * rank], axis=1)[:, None]
    wide = np.stack([2.6 - 0.07 * rank, np.ones(9)], axis=1)[:, None]
    body = jitter(rng, [(-1, 0), (1, 0), (0.85, 1.5), (1, 3.0), (-1, 3.0), (-0.85, 1.5)], 0.04)
    layer.polygons(body * wide + at, 190)
    layer.polygons(body * wide * (0.9, 0.86) + at + (0, 0.2), 140)
    for side in (-1, 1):
        flip = (side, 1)
        layer.strokes(np.array([(2.5, 0.9), (4.5, 0.6)]) * flip + at, (0.9, 0.5), 90)
        layer.polygons(ellipse((side * 1.35, 0.9), (0.4, 0.6)) + at, 215)
        rib = curve(np.array([(2.4, 0.4), (6, -0.3), (11, 2.5), (14, 7)]) * flip)
        layer.strokes(rib + at[4:], 1.0, 100)
    layer.polygons(ellipse((0, 2.2), (0.35, 0.9)) + at, 215)


def _soft_organs(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw psoas muscles, kidneys, liver and bladder, whose edges show in their fat."""
    layer = canvas.layer()
    layer.blob(lump(rng, (-10, -30), (7, 6), 0.12), 180)
    for sign in (-1, 1):
        layer.blob(lump(rng, (sign * 7, -23), (2.6, 5.2), 0.08), 130)
        layer.blob([(sign * 2.4, -26), (sign * 4.6, -16), (sign * 6.0, -8), (sign * 2.6, -8)], 150)
    layer.blob(lump(rng, (0, 3.0), (4.2, 3.4), 0.1), 160)
    return layer.cover(0.35)


def _gas(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Fill loops of bowel with gas and mottled contents."""
    layer = canvas.layer()
    for centre in rng.uniform((-12, -32), (12, -2), (int(rng.integers(3, 18)), 2)):
        layer.blob(lump(rng, centre, rng.uniform((0.6, 0.6), (2.4, 1.8)), 0.25), int(rng.integers(90, 256)))
    return layer.cover(0.2)


def _metal(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Put in a hip joint, a nail with a screw, wires of the spine, or clips."""
    layer = canvas.layer()
    sign = float(rng.choice([-1, 1]))
    choice = rng.random()
    if choice < 0.45:
        layer.blob(np.array([(10, 3.4), (12.2, 4.2), (13.6, 8), (12.6, 17), (12.0, 17), (11.2, 8)]) * (sign, 1))
        layer.oval((sign * 9.3, 3.7), (1.7, 1.7), 255)
        layer.stroke(curve(np.array([(7.0, 5.4), (6.9, 2.4), (9.4, 0.9), (11.9, 2.0)]) * (sign, 1)), 0.5, 240)
    elif choice < 0.65:
        layer.stroke([(sign * 13.4, 5), (sign * 12.4, 22)], 1.1)
        layer.stroke([(sign * 14.6, 8.6), (sign * 8.4, 3.2)], 0.9)
    elif choice < 0.8:
        for x in (-1.5, 1.5):
            layer.stroke([(x, -24), (x, -8)], 0.5)
            for y in (-23, -19, -15, -10):
                layer.oval((x, y), (0.5, 0.5), 255)
    else:
        for spot in rng.uniform((-10, -28), (10, 6), (int(rng.integers(1, 8)), 2)):
            layer.stroke([spot, spot + rng.normal(0, 0.7, 2)], 0.25)
    return layer.cover(0.03)
