"""Draw radiographs of the skull: from the side, from the front, and the panorama of the jaws.

The geometry is in centimetres from the middle of the head, the face to the left; nobody's skull is traced.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import film, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, branches, curve, jitter, lump, mirrored, random_pose

_VAULT: Final = (
    (-8.6, 1.0), (-9.0, -2.0), (-8.2, -5.8), (-4.8, -8.9), (0, -9.9), (5.2, -8.9), (8.8, -5.2), (9.7, -0.6), (8.4, 3.4),
    (5.4, 5.4), (1.5, 4.6), (-2.5, 3.0), (-6.0, 2.0),
)  # fmt: skip
_FACE: Final = (
    (-9.2, -9), (-9.6, -2), (-9.2, 1), (-11.6, 5.2), (-9.9, 6.2), (-10.4, 8.0), (-9.8, 9.4), (-9.6, 12.4), (-5, 12.9),
    (-2.4, 11.6), (-2.2, 18), (6.4, 18), (7.4, 9), (10.6, 3), (10.9, -4), (7, -10.4), (0, -11.2), (-6, -10.4),
)  # fmt: skip
_JAW: Final = (
    (-9.0, 9.6), (-8.8, 12.1), (-6.2, 12.3), (-1.2, 9.2), (1.4, 4.4), (0.2, 3.4), (-1.4, 5.2), (-2.6, 8.2),
    (-6.5, 10.0),
)  # fmt: skip
_UPPER_JAW: Final = ((-8.4, 1.4), (-9.4, 5.0), (-8.9, 7.4), (-4.0, 7.0), (-2.4, 4.6), (-3.6, 1.8))

_TOOTH: Final = ((-0.3, 0), (0.3, 0), (0.3, 0.6), (0.12, 1.7), (-0.12, 1.7), (-0.3, 0.6))
# One side as seen from the front, to be mirrored.
_FRONT: Final = ((0, -9.8), (4.8, -8.8), (7.4, -5.2), (7.7, -1), (6.6, 3.4), (5.4, 7.4), (3.2, 11.2), (0, 12.2))
_PETROUS: Final = ((1.0, 1.5), (4, 0.4), (6.6, 1.4), (6, 3), (2.5, 3))


def skull(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a skull in one of three views."""
    pick = rng.random()
    if pick < 0.2:
        return _panorama(rng, side)
    shape = vary.shape_of(rng, side, 0.68, 1.25)
    mirror = 0.5 if pick < 0.6 else 0.0
    pose = random_pose(rng, shape, 23.0, turn=0.08, zoom=(0.8, 1.35), shift=0.06, bend=0.03, mirror=mirror)
    canvas = Canvas(shape, pose)
    total = _from_side(canvas, rng) if pick < 0.6 else _from_front(canvas, rng)
    return film.develop(total, rng, inverted=0.05, ceiling=(95, 99.9))


def _from_side(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Sum flesh, vault, base and face; the vault's wall is densest at its rim, where the rays run along it."""
    vault = jitter(rng, _VAULT, 0.3)
    total = np.float32(rng.uniform(0.15, 0.35)) * canvas.shapes([jitter(rng, _FACE, 0.25)], 0.25)
    shell = canvas.layer()
    thick = rng.uniform(0.88, 0.95)
    shell.blob(vault, 255)
    shell.blob(vault * thick, int(rng.integers(90, 170)))
    brain = canvas.shapes([vault], 2.2)
    total = total + np.float32(rng.uniform(0.25, 0.5)) * shell.cover(0.06) + np.float32(rng.uniform(0.0, 0.2)) * brain
    total = total + np.float32(rng.uniform(0.25, 0.55)) * _base(canvas, rng)
    total = total - np.float32(rng.uniform(0.02, 0.1)) * _seams(canvas, rng)
    total = total + np.float32(rng.uniform(0.3, 0.6)) * _teeth_and_neck(canvas, rng)
    return np.asarray(total + film.tissue(canvas, rng, 0.02) * brain)


def _base(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw the dense base, the petrous bones, the face's bones and its dark sinuses."""
    layer = canvas.layer()
    layer.blob(jitter(rng, _UPPER_JAW, 0.25), 110)
    layer.blob(jitter(rng, [(-7.5, 1.2), (-3, 1.6), (1, 2.8), (4.5, 5.2), (2.5, 5.8), (-1, 4.2), (-6, 2.8)], 0.2), 190)
    layer.blob(lump(rng, (1.8, 3.6), (2.1, 1.4), 0.15), 245)
    layer.blob(lump(rng, (2.6, 4.9), (1.3, 1.0), 0.2), 150)
    layer.blob(jitter(rng, _JAW, 0.2), 170)
    layer.blob(jitter(rng, np.asarray(_JAW) * 0.86 + (-0.6, 1.1), 0.15), 125)
    layer.stroke(curve([(-8.6, 1.2), (-6.5, 1.0), (-5.0, 2.4), (-5.6, 4.0), (-7.6, 4.2)]), 0.3, 220)
    layer.stroke(curve([(-9.2, 6.4), (-6, 6.0), (-3, 5.6)]), 0.35, 220)
    layer.blob(lump(rng, (-7.0, 4.9), (1.2, 1.0), 0.15), 60)
    layer.blob(lump(rng, (-8.2, -0.4), (0.6, 1.1), 0.2), 40)
    layer.stroke(curve([(-2.2, 1.9), (-1.9, 2.5), (-1.2, 2.5), (-1.0, 1.8)]), 0.25, 235)
    return layer.cover(0.12)


def _seams(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw sutures and the grooves of vessels, which are lucent."""
    layer = canvas.layer()
    seams = np.stack([np.linspace((-1.5, -9.5), (-3.2, 1.5), 24), np.linspace((8.2, -4.5), (3.2, 4.0), 24)])
    layer.strokes(seams + rng.normal(0, 0.14, seams.shape), 0.12, 255)
    starts = np.array([[-2.5, 1.0], [-2.0, 0.5], [-1, 1], [0, 1]])
    grooves = branches(rng, starts, rng.uniform(-1.9, -0.6, 4), length=8, wander=0.18)
    layer.strokes(grooves, (0.28, 0.1), 160)
    return layer.cover(0.05)


def _teeth_and_neck(canvas: Canvas, rng: np.random.Generator) -> Floats:
    layer = canvas.layer()
    for i in range(8):
        x = -9.3 + 0.72 * i
        for y, down in ((7.6 - 0.07 * i, -1.0), (9.0 - 0.2 * i, 1.0)):
            if rng.random() < 0.9:
                crown = np.array(_TOOTH) * (1, down) + np.array([x, y])
                layer.polygon(crown, 255 if rng.random() < 0.1 else 200)
    bow = rng.uniform(-0.8, 1.2)
    for i in range(6):
        x, y = 3.0 + bow * math.sin(0.6 * i), 7.2 + 1.75 * i
        layer.polygon([(x - 0.95, y), (x + 0.9, y - 0.1), (x + 0.95, y + 1.3), (x - 1.0, y + 1.4)], 120)
        layer.stroke([(x + 0.9, y + 0.5), (x + 2.6, y + 0.8), (x + 4.0, y + 1.6)], 0.7, 100)
    return layer.cover(0.08)


def _from_front(canvas: Canvas, rng: np.random.Generator) -> Floats:
    wide = rng.uniform(0.9, 1.08)
    vault = jitter(rng, _FRONT, 0.2)
    vault = np.concatenate([vault, mirrored(vault)[::-1][1:-1]]) * (wide, 1)
    flesh = canvas.shapes([vault * (1.1, 1.06), [(-4.5, 9), (4.5, 9), (5.5, 20), (-5.5, 20)]], 0.25)
    shell, face = canvas.layer(), canvas.layer()
    shell.blob(vault, 255)
    shell.blob(vault * (0.91, 0.93), int(rng.integers(90, 170)))
    _front_face(face, rng)
    face.polygon([(-0.9, 11.5), (0.9, 11.5), (1.1, 20), (-1.1, 20)], 120)
    total = np.float32(rng.uniform(0.15, 0.35)) * flesh + np.float32(rng.uniform(0.25, 0.5)) * shell.cover(0.08)
    inside = canvas.shapes([vault * 0.97], 0.3)
    total = total + np.float32(rng.uniform(0.4, 0.8)) * (face.cover(0.12) - np.float32(0.25)) * inside
    return np.asarray(total + film.tissue(canvas, rng, 0.025) * flesh)


def _front_face(layer: Layer, rng: np.random.Generator) -> None:
    """Draw orbits, nose, sinuses, cheeks, petrous ridges, jaw and teeth, brighter or darker than the 64 around."""
    layer.polygon([(-12, -14), (12, -14), (12, 22), (-12, 22)], 64)
    ridge = rng.uniform(-0.8, 1.6)
    for sign in (-1, 1):
        layer.blob((jitter(rng, _PETROUS, 0.2) + np.array([0, ridge])) * (sign, 1), 165)
        eye = np.array([(1.3, -0.8), (3, -1.9), (5.2, -1.2), (5.4, 0.8), (4, 2), (2, 1.6)]) * (sign, 1)
        layer.blob(eye * (1.08, 1.12), 150)
        layer.blob(eye, int(rng.integers(45, 75)))
        layer.blob(lump(rng, (sign * 3.2, 4.2), (1.5, 1.6), 0.15), 35)
        layer.blob(lump(rng, (sign * 5.5, 3.4), (1.1, 1.3), 0.15), 110)
        layer.stroke(curve(np.array([(6.4, 3.4), (6.0, 7.2), (4.2, 10.2), (0, 11.4)]) * (sign, 1)), (1.0, 1.7), 165)
        layer.blob(lump(rng, (sign * 1.1, -3.2), (1.3, 1.0), 0.25), 40)
    layer.blob(jitter(rng, [(0, 0.5), (1.1, 3.0), (1.5, 4.8), (0, 5.4), (-1.5, 4.8), (-1.1, 3.0)], 0.1), 25)
    layer.stroke([(0, 0.6), (rng.normal(0, 0.15), 5.3)], 0.25, 130)
    for i in range(10):
        x = -3.0 + 0.66 * i
        for y, high in ((6.4, 1.5), (8.0, 1.6)):
            layer.polygon([(x, y), (x + 0.5, y), (x + 0.42, y + high), (x + 0.08, y + high)], 190)


def _panorama(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw the jaws unrolled: two bowed rows of teeth over the mandible, the spine's ghost in the middle."""
    shape = vary.shape_of(rng, side, 1.5, 2.2)
    pose = random_pose(rng, shape, 13.0, turn=0.02, zoom=(0.9, 1.4), shift=0.04, bend=0.03)
    canvas = Canvas(shape, pose)
    bow = rng.uniform(0.005, 0.02)
    jaw = canvas.layer()
    half = np.array(
        [(0, 5.2), (4.5, 5.0), (8, 3.6), (10.2, 0.2), (10.8, -4.0), (9.4, -5.2), (8.4, -3.0), (7.2, 0.2), (0, 1.6)]
    )
    jaw.blob(jitter(rng, np.concatenate([half, mirrored(half)[::-1][1:-1]]), 0.15), 150)
    jaw.blob(jitter(rng, [(-7, -1.4), (0, -0.4), (7, -1.4), (7.6, -4.4), (0, -3.6), (-7.6, -4.4)], 0.2), 110)
    for sign in (-1, 1):
        jaw.blob(lump(rng, (sign * 4.2, -3.2), (2.2, 1.2), 0.15), 45)
        jaw.stroke(curve([(sign * 3, 3.9), (sign * 6.5, 3.3), (sign * 9, -0.5)]), 0.35, 95)
    teeth = canvas.layer()
    for i in range(16):
        x = -6.4 + 0.86 * i
        sag = -bow * x * x
        wide = 0.28 + 0.03 * abs(i - 7.5) / 2
        for y, down in ((0.25 + sag, -1.0), (0.55 + sag, 1.0)):
            if rng.random() < 0.92:
                tooth = np.array([(-wide, 0), (wide, 0), (wide, 0.8), (0.14, 2.3), (-0.14, 2.3), (-wide, 0.8)])
                tooth = tooth * (1, down * rng.uniform(0.8, 1.15)) + (x + rng.normal(0, 0.05), y)
                teeth.polygon(tooth, 180)
                teeth.polygon((tooth - tooth.mean(axis=0)) * (0.3, 0.6) + tooth.mean(axis=0), 130)
                if rng.random() < 0.15:
                    teeth.oval((x, y + 0.35 * down), (0.8 * wide, 0.3), 255)
    across, _ = canvas.grid()
    total = np.float32(rng.uniform(0.2, 0.4)) + np.float32(rng.uniform(0, 0.25)) * np.exp(-((across / 2.2) ** 2))
    spongy = 1 + np.float32(rng.uniform(0.02, 0.12)) * cloud(rng, canvas.shape, 50)
    total = total + np.float32(rng.uniform(0.25, 0.45)) * jaw.cover(0.12) * spongy
    total = total + np.float32(rng.uniform(0.3, 0.6)) * teeth.cover(0.05) + film.tissue(canvas, rng, 0.03)
    return film.develop(np.asarray(total), rng, collimated=0.1, ceiling=(97, 99.9))
