"""Draw chest radiographs from the front; attenuations add up along the ray.

The geometry is in centimetres from the middle of the chest; nobody's chest is traced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.demo.ink import Floats, cloud, ramp
from firmware_tools.phantoms import film, vary
from firmware_tools.phantoms.canvas import (
    Canvas,
    Layer,
    Outline,
    branches,
    curve,
    ellipse,
    jitter,
    lump,
    mirrored,
    random_pose,
)

# Outlines of the left side, to be mirrored, at a half width of 13.4 cm.
_TORSO: Final = (
    (-5.0, -26), (-5.0, -18.5), (-6.6, -16.3), (-11, -14.8), (-15.2, -13.6), (-18.6, -11), (-20.5, -6), (-21, 30),
)  # fmt: skip
_WALL: Final = ((5.2, -14.0), (8.2, -12.8), (10.9, -9.1), (12.4, -4), (13.1, 2), (13.5, 7.5), (13.7, 11.2))
_BASE: Final = ((13.5, 13.6), (12.2, 11.6), (9.2, 9.6), (6.2, 9.2), (3.6, 10.4), (2.4, 10.8))
_MIDDLE: Final = ((1.5, 5), (1.4, -2), (1.5, -8), (2.4, -12))
_FLANK: Final = ((16.2, -5.5), (15.7, -2), (15.4, 4), (15.3, 11), (15.6, 30), (17.4, 30), (17.6, 10), (17.4, 0))
_HEART: Final = (
    (-2.2, -0.5), (-4.0, 2.5), (-4.5, 6), (-3.6, 9.5), (0.5, 11.5), (5.5, 11.6), (8.7, 10.4), (9.0, 8.4), (7.9, 5.0),
    (5.9, 1.6), (4.2, -1.2), (1.0, -3.0),
)  # fmt: skip
_MEDIASTINUM: Final = (
    (-2.3, -11), (-2.6, -6), (-2.4, -1), (2.5, -0.5), (3.7, -2.6), (3.1, -4.4), (3.8, -6.4), (3.2, -7.9), (2.2, -11),
)  # fmt: skip
_TRACHEA: Final = ((-0.8, -22), (-0.8, -12), (-0.6, -5.5), (0.1, -4.6), (0.8, -5.5), (0.8, -12), (0.9, -22))
_CLAVICLE: Final = ((1.6, -10.8), (3.4, -12), (6.6, -12.5), (10.0, -13.2), (13.4, -14.6))
_SCAPULA: Final = (
    (12.2, -11.8), (13.8, -10), (12.9, -6), (11.6, 0.5), (12.8, -0.5), (14.8, -6), (15.6, -10.2), (14.4, -12.6),
)  # fmt: skip
_HUMERUS: Final = (
    (15.0, -11.8), (16.8, -12.4), (18.6, -11), (19.4, -6), (20.2, 4), (18.2, 4), (17.0, -6), (15.3, -9.4),
)  # fmt: skip
# How far each rib reaches to the side, as a share of the chest's half width.
_REACH: Final = (0.62, 0.82, 0.93, 1.0, 1.03, 1.05, 1.07, 1.07, 1.07, 1.06)


@dataclass(frozen=True, slots=True)
class _Build:
    """A patient: widths are shares of the usual, `breath` and `high` are centimetres."""

    wide: float
    high: float
    breath: float
    heart: float
    fat: float


def chest_pa(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a frontal film, standing or lying, with whatever else lies in the beam."""
    shape = vary.shape_of(rng, side, 0.75, 1.4)
    pose = random_pose(rng, shape, 31.0, turn=0.045, zoom=(0.85, 1.3), shift=0.05, bend=0.03, mirror=0.06)
    canvas = Canvas(shape, pose)
    build = _Build(*rng.uniform((0.82, -1.5, -3.0, 0.75, 0.6), (1.1, 1.5, 2.0, 1.45, 1.6)))
    attenuation = _front(canvas, rng, build)
    if rng.random() < 0.35:
        attenuation = attenuation + np.float32(rng.uniform(0.1, 0.35)) * film.wires(canvas, rng, 32)
    return film.develop(attenuation, rng)


def _front(canvas: Canvas, rng: np.random.Generator, build: _Build) -> Floats:
    """Sum what each organ and bone takes away or adds; about 0 in air and 1 behind the spine."""
    x, y = canvas.grid()
    layer = canvas.layer()
    for lung in _lungs(rng, build):
        layer.blob(lung)
    lungs, depth = layer.cover(0.1), layer.cover(1.8)
    heart = canvas.shapes([jitter(rng, _HEART, 0.3) * (build.heart, 1.0)], rng.uniform(0.15, 0.4))
    body = canvas.shapes([[*_TORSO, *mirrored(_TORSO)[::-1]]], 0.2)
    arms = canvas.shapes([jitter(rng, _FLANK, 0.3), mirrored(_FLANK)], 0.3) if rng.random() < 0.5 else np.float32(0)

    girth = np.float32(1 / (21.0 * rng.uniform(0.95, 1.2)))
    belly = np.float32(rng.uniform(0.0, 0.3)) * ramp(y, 5, 14)
    thick = np.sqrt(np.clip(1 - (x * girth) ** 2, 0, 1)) * (
        np.float32(0.78) + belly - np.float32(0.15) * ramp(y, -9, -18)
    )
    total = body * thick * (1 - np.float32(rng.uniform(0.4, 0.9)) * arms)
    total = total + _bones(canvas, rng, build, lungs)
    air = lungs * (np.float32(0.6) + np.float32(0.4) * depth)
    total = total - np.float32(rng.uniform(0.36, 0.52)) * air * (1 - _opacities(canvas, rng, lungs))
    total = total + np.float32(rng.uniform(0.2, 0.34)) * heart * (np.float32(0.5) + np.float32(0.5) * lungs)
    total = total + np.float32(rng.uniform(0.12, 0.26)) * _middle(canvas, rng)
    vessels = _vessels(canvas, rng) * lungs * (1 - np.float32(0.5) * heart)
    total = total + np.float32(rng.uniform(0.05, 0.14)) * vessels
    total = total - np.float32(rng.uniform(0.07, 0.16)) * bowel_gas(canvas, rng) * (1 - lungs)
    if rng.random() < 0.3:
        drop = rng.uniform(4, 9)
        breasts = [((s * rng.uniform(6, 9), drop), (rng.uniform(4.5, 6.5), rng.uniform(4, 6))) for s in (-1, 1)]
        total = total + np.float32(rng.uniform(0.04, 0.12)) * canvas.ovals(breasts, 0.5)
    return np.asarray(total + film.tissue(canvas, rng, 0.018) * body)


def _middle(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Draw what lies between the lungs above the heart, with the hila at its sides; the windpipe is lighter."""
    layer = canvas.layer()
    for centre in ((-3.2, -2.0), (3.6, -3.0)):
        layer.blob(lump(rng, centre, (rng.uniform(0.9, 1.7), rng.uniform(1.3, 2.6)), 0.2), int(rng.integers(40, 130)))
    layer.blob(jitter(rng, _MEDIASTINUM, 0.25) * (rng.uniform(0.8, 1.4), 1.0), 235)
    layer.blob(jitter(rng, _TRACHEA, 0.1), int(rng.integers(90, 200)))
    return layer.cover(rng.uniform(0.2, 0.5))


def _lungs(rng: np.random.Generator, build: _Build) -> tuple[Outline, Outline]:
    """Outline the patient's right lung, left in the picture and higher at its base, and the left lung."""
    sides = []
    for sign, lower in ((-1.0, -0.9), (1.0, 0.9)):
        outline = np.array([*_WALL, *_BASE, *_MIDDLE])
        outline[len(_WALL) : -len(_MIDDLE), 1] += build.breath + lower + rng.normal(0, 0.6)
        outline[len(_WALL) : len(_WALL) + 2, 1] += rng.normal(0, 0.5)
        outline[:4, 1] -= build.high
        sides.append(jitter(rng, outline, 0.15) * (sign * build.wide, 1.0))
    return sides[0], sides[1]


def _bones(canvas: Canvas, rng: np.random.Generator, build: _Build, lungs: Floats) -> Floats:
    """Draw ribs, back and front, collar bones, shoulders and the spine, which shows least beside the lungs."""
    backs, fronts = canvas.layer(), canvas.layer()
    fall, gap = rng.uniform(0.7, 1.5), rng.uniform(2.1, 2.7)
    rank = np.arange(len(_REACH))
    out, high = 13.0 * build.wide * np.array(_REACH), -12.6 + gap * rank - 0.5 * build.high
    drop = fall * (2.0 + 0.36 * rank)
    across = np.outer(out, (0.13, 0.42, 0.75, 0.93, 1))
    down = high[:, None] + np.outer(drop, (0, -0.25, 0.14, 0.52, 1))
    _ribs(backs, np.stack([across, down], axis=-1), 1.15)
    across = np.outer(out, (1, 0.965, 0.8, 0.5))
    down = (high + drop)[:, None] + np.array([0, 1.7, 3.6, 5.5])
    _ribs(fronts, np.stack([across, down], axis=-1)[:7], 1.35)
    for sign in (-1.0, 1.0):
        fronts.blob(jitter(rng, _SCAPULA, 0.2) * (sign, 1), 70)
        fronts.blob(jitter(rng, _HUMERUS, 0.2) * (sign, 1), 210)
        collar = curve(jitter(rng, _CLAVICLE, 0.25) * (sign, 1))
        fronts.stroke(collar, (1.7, 1.2), 255)
        fronts.stroke(collar, (1.1, 0.7), 160)
    ribs = np.float32(rng.uniform(0.05, 0.15)) * backs.cover(0.05)
    ribs = ribs + np.float32(rng.uniform(0.03, 0.13)) * fronts.cover(0.06)
    spine = _spine(canvas, rng) * (1 - np.float32(rng.uniform(0.2, 0.6)) * lungs)
    return np.asarray(ribs + np.float32(rng.uniform(0.05, 0.18)) * spine)


def _ribs(layer: Layer, paths: NDArray[np.float64], width: float) -> None:
    """Draw ribs on both sides: their edges, where the rays run along the cortex, are denser than their middles."""
    pairs = curve(np.concatenate([paths, paths * (-1, 1)]))
    layer.strokes(pairs, width, 170)
    layer.strokes(pairs, width - 0.4, 95)


def _spine(canvas: Canvas, rng: np.random.Generator) -> Floats:
    layer, rank = canvas.layer(), np.arange(18)
    at = np.stack([rng.normal(0, 0.5) * np.sin(0.29 * rank), -22 + 2.42 * rank], axis=1)[:, None]
    box = np.array([(-1, 0), (1, 0), (0.9, 1), (1, 2), (-1, 2), (-0.9, 1)])
    wide = np.stack([1.3 + 0.04 * rank, np.ones(18)], axis=1)[:, None]
    layer.polygons(box * wide + at, 190)
    layer.polygons(ellipse((0, 1.6), (0.25, 0.6)) + at, 235)
    return layer.cover(rng.uniform(0.1, 0.3))


def _vessels(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Let vessels branch from the hila into the lungs."""
    layer = canvas.layer()
    for sign in (-1.0, 1.0):
        heading = np.array([-1.35, -0.9, -0.4, 0.1, 0.5, 0.85, 1.1, 1.35]) + rng.normal(0, 0.12, 8)
        heading = heading if sign > 0 else math.pi - heading
        start = np.full((8, 2), (sign * 3.0, -2.4)) + rng.normal(0, 0.7, (8, 2))
        trunks = branches(rng, start, heading, length=rng.uniform(7, 10), wander=0.09)
        which, knots = np.arange(24) % 8, rng.integers(3, 10, 24)
        turned = heading[which] + rng.choice([-1, 1], 24) * rng.uniform(0.4, 0.9, 24)
        layer.strokes(trunks, (rng.uniform(0.35, 0.7), 0.12), 200)
        layer.strokes(branches(rng, trunks[which, knots], turned, length=4.5, wander=0.1, points=7), 0.2, 160)
    return layer.cover(0.12)


def bowel_gas(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Put gas into the stomach under the left dome, and into some loops of bowel."""
    layer = canvas.layer()
    if rng.random() < 0.6:
        layer.blob(lump(rng, (rng.uniform(4, 8), rng.uniform(11.5, 14)), rng.uniform((1.2, 0.8), (3, 1.8))))
    for centre in rng.uniform((-11, 13), (11, 20), (int(rng.integers(0, 5)), 2)):
        layer.blob(lump(rng, centre, rng.uniform((0.8, 0.6), (2.2, 1.4))), 180)
    return layer.cover(0.2)


def _opacities(canvas: Canvas, rng: np.random.Generator, lungs: Floats) -> Floats:
    """Choose what fills the air spaces: nothing, an effusion, a consolidation, nodules, haze, a white lung; 0..1."""
    x, y = canvas.grid()
    sign = float(rng.choice([-1, 1]))
    choice = int(rng.integers(0, 9))
    if choice == 0:  # an effusion rises along the wall
        level = np.float32(rng.uniform(0, 9)) - np.float32(0.02) * np.abs(x) ** np.float32(1.9)
        filled = ramp(y - level, -0.8, 1.5) * (x * np.float32(sign) > 0)
    elif choice in {1, 2}:
        filled = _consolidations(canvas, rng)
    elif choice == 3:  # a whole side is white
        filled = np.float32(rng.uniform(0.6, 1.0)) * ramp(x * np.float32(sign), -1.0, 2.5)
    elif choice == 4:
        layer = canvas.layer()
        for spot in rng.uniform((3, -11), (12, 10), (int(rng.integers(1, 9)), 2)):
            radius = rng.uniform(0.3, 1.8)
            layer.oval((spot[0] * float(rng.choice([-1, 1])), spot[1]), (radius, radius), int(rng.integers(70, 200)))
        filled = layer.cover(0.15)
    elif choice == 5:
        wings = canvas.ovals([((-5, 0), (5, 7)), ((5.5, 0), (5, 7))], 2.5)
        filled = wings * np.clip(np.float32(0.4) + np.float32(0.25) * cloud(rng, canvas.shape, 18), 0, 0.9)
    else:
        return np.zeros_like(lungs)
    return np.asarray(filled * np.float32(rng.uniform(0.7, 1)), dtype=np.float32)


def _consolidations(canvas: Canvas, rng: np.random.Generator) -> Floats:
    layer = canvas.layer()
    for spot in rng.uniform((4, -8), (10, 9), (int(rng.integers(1, 4)), 2)):
        radii = rng.uniform((1.5, 1.5), (4.5, 4.5))
        layer.blob(lump(rng, spot * (rng.choice([-1, 1]), 1), radii, 0.3), int(rng.integers(80, 256)))
    patchy = np.clip(np.float32(0.75) + np.float32(0.3) * cloud(rng, canvas.shape, 24), 0, 1)
    return np.asarray(layer.cover(rng.uniform(0.4, 1.6)) * patchy)
