"""Paint what ultrasound meets, by depth and beam: echoes of organs and sheets, and what casts a shadow.

The picture's units are depths of view, the skin at the top; nobody's organ is traced.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike, NDArray

from firmware_tools.phantoms.canvas import Canvas, Pose, Shape, branches, closed, curve, ellipse, jitter, lump

_Points = NDArray[np.float64]

# Middles and radii of the heart's chambers, as seen from its tip and from the side.
_FOUR_CHAMBERS: Final = (
    ((-0.13, -0.12), (0.11, 0.2)), ((0.15, -0.1), (0.09, 0.19)), ((-0.12, 0.22), (0.12, 0.12)),
    ((0.15, 0.22), (0.11, 0.11)),
)  # fmt: skip
_THREE_CHAMBERS: Final = (((0.02, -0.05), (0.18, 0.16)), ((0.0, 0.22), (0.2, 0.1)), ((-0.05, -0.27), (0.15, 0.06)))


@dataclass(frozen=True, slots=True)
class Fan:
    """A probe's field: beams from `-half` to `half` radians leave an apex that lies `apex` depths above the skin."""

    half: float
    apex: float

    def beam(self, points: _Points) -> _Points:
        """Map the picture's units, depth 0..1 downwards, to (beam, depth) in 0..1 each; (n, 2)."""
        x, y = points[:, 0], points[:, 1] + self.apex
        depth = np.sqrt(x * x + y * y) - self.apex
        return np.stack([np.arctan2(x, y) / (2 * self.half) + 0.5, depth], axis=1)


class Echoes:
    """Echo strengths, painted in units and kept by beam and depth: reflectors 0..255 and what casts a shadow."""

    def __init__(self, size: Shape, fan: Fan | None, background: int) -> None:
        self.size = size
        self._fan = fan
        straight = np.zeros((1, 2))
        pose = Pose(np.diag([float(size[1]), float(size[0])]), np.zeros(2), straight, np.zeros(1), straight)
        canvas = Canvas(size, pose)
        self.map = canvas.layer(background, 1)
        self.hard = canvas.layer(0, 1)

    def _placed(self, points: _Points) -> _Points:
        return self._fan.beam(points) if self._fan else points + np.array([0.5, 0.0])

    def blob(self, outline: _Points, value: int) -> None:
        """Fill a closed spline."""
        self.map.polygon(self._placed(closed(outline)), value)

    def oval(self, centre: ArrayLike, radii: ArrayLike, value: int, turn: float = 0.0) -> None:
        """Fill an ellipse."""
        self.map.polygon(self._placed(ellipse(centre, radii, turn)), value)

    def line(self, points: _Points, width: float, value: int) -> None:
        """Draw a reflector `width` deep."""
        self.map.stroke(self._placed(curve(points)), width, value)

    def shadow(self, points: _Points, width: float, value: int = 255) -> None:
        """Let a reflector cast a shadow behind it."""
        self.hard.stroke(self._placed(curve(points)), width, value)


def heart(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint chambers, dark, in bright walls, with valves and the sac's bright rim."""
    at = np.array([rng.normal(0, 0.06), rng.uniform(0.42, 0.56)])
    turn, size = rng.normal(0, 0.3), rng.uniform(0.85, 1.25)
    echoes.oval((at[0], at[1]), (0.37 * size, 0.43 * size), int(rng.integers(90, 190)), turn)
    dark = int(rng.integers(0, 30))
    spots = _FOUR_CHAMBERS if rng.random() < 0.55 else _THREE_CHAMBERS
    c, s = math.cos(turn), math.sin(turn)
    turned = size * np.array([[c, s], [-s, c]])
    for spot, radii in spots:
        outline = lump(rng, spot, radii, 0.1) @ turned + at
        echoes.blob(outline, dark)
        if rng.random() < 0.6:
            echoes.line(outline[: int(rng.integers(3, 6))], 0.015, int(rng.integers(150, 256)))
    for x in (-0.12, 0.14):
        leaf = jitter(rng, [(x - 0.09, 0.09), (x - 0.02, 0.05), (x + 0.03, 0.0)], 0.02) @ turned + at
        echoes.line(leaf, 0.014, 240)
    echoes.line(jitter(rng, [(-0.4, 0.85), (0, 0.93), (0.4, 0.82)], 0.02), 0.03, int(rng.integers(150, 256)))


def liver(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint even tissue with veins, the diaphragm's bright arc, the gall bladder, sometimes with stones."""
    _wall(echoes, rng)
    count = int(rng.integers(2, 8))
    starts = rng.uniform((-0.5, 0.2), (0.5, 0.8), (count, 2))
    for vein in branches(rng, starts, rng.uniform(0, 6.3, count), length=rng.uniform(0.2, 0.6), wander=0.12, points=6):
        echoes.line(vein, rng.uniform(0.015, 0.06), int(rng.integers(0, 40)))
        if rng.random() < 0.3:
            echoes.line(vein + np.array([0, 0.03]), 0.012, 210)
    if rng.random() < 0.7:
        echoes.line(
            jitter(rng, [(-0.6, 0.6), (-0.25, 0.84), (0.1, 0.9), (0.5, 0.78)], 0.03), rng.uniform(0.015, 0.04), 250
        )
    if rng.random() < 0.5:
        at = (rng.uniform(-0.2, 0.3), rng.uniform(0.3, 0.6))
        radii = rng.uniform((0.06, 0.08), (0.13, 0.22))
        bag = lump(rng, at, radii, 0.08)
        echoes.blob((bag - at) * 1.12 + at, 170)
        echoes.blob(bag, int(rng.integers(0, 25)))
        if rng.random() < 0.5:
            stone = np.array(
                [
                    (at[0] - 0.04, at[1] + 0.8 * radii[1]),
                    (at[0], at[1] + 0.74 * radii[1]),
                    (at[0] + 0.05, at[1] + 0.8 * radii[1]),
                ]
            )
            echoes.line(stone, 0.03, 255)
            echoes.shadow(stone, 0.03)
    for spot in rng.uniform((-0.5, 0.2), (0.5, 0.8), (int(rng.integers(0, 4)) if rng.random() < 0.35 else 0, 2)):
        echoes.blob(lump(rng, spot, rng.uniform((0.03, 0.03), (0.14, 0.12)), 0.12), int(rng.integers(0, 200)))
    _gas(echoes, rng, 0.3)


def kidney(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint a bean with a bright middle beside the liver."""
    _wall(echoes, rng)
    at, turn = (rng.normal(0, 0.1), rng.uniform(0.42, 0.62)), rng.normal(0, 0.35)
    long, short = rng.uniform(0.25, 0.42), rng.uniform(0.13, 0.19)
    echoes.oval(at, (1.06 * long, 1.1 * short), int(rng.integers(130, 230)), turn)
    echoes.oval(at, (long, short), int(rng.integers(30, 75)), turn)
    echoes.oval(at, (0.62 * long, 0.42 * short), int(rng.integers(150, 240)), turn)
    for angle in rng.uniform(0, 6.3, int(rng.integers(3, 9))):
        spot = (at[0] + 0.72 * long * math.cos(angle), at[1] + 0.62 * short * math.sin(angle))
        echoes.oval(spot, (0.035, 0.025), int(rng.integers(10, 50)))
    if rng.random() < 0.3:
        echoes.blob(lump(rng, at, (0.3 * long, 0.35 * short), 0.15), 5)
    _gas(echoes, rng, 0.4)


def bladder(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint a dark bag with a bright back wall, and womb or prostate behind it."""
    _wall(echoes, rng)
    at, radii = (rng.normal(0, 0.05), rng.uniform(0.32, 0.45)), rng.uniform((0.18, 0.12), (0.38, 0.24))
    bag = lump(rng, at, radii, 0.06)
    echoes.blob((bag - at) * 1.08 + at, 190)
    echoes.blob(bag, int(rng.integers(0, 20)))
    echoes.blob(lump(rng, (at[0], at[1] + radii[1] + 0.16), (0.26, 0.14), 0.1), int(rng.integers(60, 140)))
    if rng.random() < 0.6:
        echoes.line(
            jitter(rng, [(at[0] - 0.15, at[1] + radii[1] + 0.15), (at[0] + 0.15, at[1] + radii[1] + 0.17)], 0.02),
            0.03,
            190,
        )
    _gas(echoes, rng, 0.5)


def womb(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint a dark sac with a child's head or body in it."""
    _wall(echoes, rng)
    at = np.array([rng.normal(0, 0.06), rng.uniform(0.48, 0.58)])
    echoes.blob(lump(rng, at, (rng.uniform(0.34, 0.5), rng.uniform(0.26, 0.36)), 0.08), int(rng.integers(0, 25)))
    echoes.line(jitter(rng, [(-0.5, 0.84), (0, 0.9), (0.5, 0.82)], 0.03), 0.06, 150)
    turn = rng.uniform(-0.6, 0.6)
    if rng.random() < 0.6:
        long, short = rng.uniform(0.2, 0.3), rng.uniform(0.15, 0.22)
        rim = ellipse((at[0], at[1]), (long, short), turn)
        echoes.blob(rim, int(rng.integers(25, 75)))
        echoes.line(np.concatenate([rim, rim[:1]]), rng.uniform(0.015, 0.03), 250)
        reach = 0.8 * long * np.array([1, turn])
        echoes.line(np.array([at - reach, at + reach]), 0.012, 170)
        for side in (-1, 1):
            echoes.oval((at[0] + 0.1, at[1] + side * 0.07), (0.05, 0.025), int(rng.integers(5, 200)), turn)
    else:
        echoes.blob(lump(rng, at + np.array([0.12, 0.03]), (0.19, 0.1), 0.12), int(rng.integers(90, 190)))
        echoes.blob(lump(rng, at - np.array([0.13, 0.02]), (0.09, 0.09), 0.08), int(rng.integers(110, 220)))
        for step in np.linspace(-0.02, 0.26, 9):
            echoes.oval((at[0] + step, at[1] + 0.06), (0.01, 0.008), 255)


def _wall(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint skin, fat and muscle under a curved probe as bright and dark sheets."""
    y = 0.01
    for _ in range(int(rng.integers(2, 6))):
        sheet = jitter(rng, [(-0.9, y), (-0.4, y), (0, y), (0.4, y), (0.9, y)], 0.006)
        echoes.line(sheet, rng.uniform(0.01, 0.03), int(rng.integers(90, 240)))
        y += rng.uniform(0.015, 0.05)


def _gas(echoes: Echoes, rng: np.random.Generator, often: float) -> None:
    """Lay bowel gas or a rib in the way, sometimes, with its shadow."""
    if rng.random() < often:
        x, y = rng.uniform(-0.5, 0.5), rng.uniform(0.1, 0.6)
        arc = jitter(rng, [(x - 0.1, y), (x, y - 0.02), (x + 0.1, y)], 0.01)
        echoes.line(arc, rng.uniform(0.015, 0.04), 250)
        echoes.shadow(arc, 0.03, int(rng.integers(100, 256)))


def layers(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint sheets of skin, fat, fascia and muscle, and one thing to be looked at."""
    y = rng.uniform(0.02, 0.05)
    echoes.line(np.array([(-0.6, 0.0), (0.6, 0.0)]), rng.uniform(0.02, 0.06), 230)
    while y < 0.98:
        thick, value = rng.uniform(0.05, 0.25), int(rng.integers(25, 150))
        slope = rng.normal(0, 0.04)
        top = jitter(rng, [(-0.7, y - slope), (-0.3, y), (0.1, y), (0.7, y + slope)], 0.012)
        echoes.blob(np.concatenate([top, np.array([(0.8, y + thick + 0.1), (-0.8, y + thick + 0.1)])]), value)
        for i in range(int(rng.integers(0, 7))):
            start, count = int(rng.integers(0, 2)), int(rng.integers(2, 4))
            fibre = top[start : start + count] + np.array([0, thick * (i + 0.5) / 7 + rng.normal(0, 0.01)])
            echoes.line(fibre, rng.uniform(0.004, 0.012), min(255, value + int(rng.integers(20, 90))))
        echoes.line(top, rng.uniform(0.008, 0.03), int(rng.integers(130, 256)))
        y += thick
    pick = int(rng.integers(7))
    if pick < 6:
        (_vessel, _vessel, _thyroid, _cyst, _cyst, _bone)[pick](echoes, rng)


def _vessel(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint an artery along or across, its wall two bright lines, sometimes with a plaque."""
    y, radius = rng.uniform(0.25, 0.6), rng.uniform(0.05, 0.14)
    if rng.random() < 0.55:
        axis = jitter(rng, [(-0.7, y), (-0.3, y), (0.1, y), (0.7, y)], 0.015) + np.outer(
            (-1, -0.3, 0.3, 1), (0, rng.normal(0, 0.05))
        )
        echoes.line(axis, 2.5 * radius, int(rng.integers(120, 230)))
        echoes.line(axis, 2 * radius, int(rng.integers(0, 30)))
        if rng.random() < 0.4:
            spot = axis[1] + (rng.uniform(0, 0.3), 0.7 * radius)
            echoes.blob(lump(rng, spot, (0.1, 0.5 * radius), 0.15), int(rng.integers(90, 240)))
    else:
        x = rng.uniform(-0.25, 0.1)
        for middle, size in (((x, y), radius), ((x + rng.uniform(0.18, 0.3), y - 0.03), 1.2 * radius)):
            outline = lump(rng, middle, (size, 0.85 * size), 0.06)
            echoes.blob((outline - middle) * 1.16 + middle, int(rng.integers(140, 230)))
            echoes.blob(outline, int(rng.integers(0, 25)))


def _thyroid(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint two even lobes beside the windpipe and its shadow, with nodules."""
    tone = int(rng.integers(110, 200))
    for side in (-1, 1):
        lobe = lump(rng, (side * 0.26, 0.36), (0.17, 0.15), 0.1)
        echoes.blob(lobe, tone)
        echoes.oval((side * 0.43, 0.44), (0.07, 0.065), 8)
        if rng.random() < 0.4:
            nodule = lump(rng, (side * 0.26, 0.36), rng.uniform((0.03, 0.03), (0.09, 0.08)), 0.12)
            echoes.blob(nodule, int(rng.integers(0, 230)))
    echoes.blob(jitter(rng, [(-0.15, 0.26), (0, 0.22), (0.15, 0.26), (0.15, 0.3), (-0.15, 0.3)], 0.01), tone)
    ring = jitter(rng, [(-0.13, 0.42), (-0.08, 0.33), (0.08, 0.33), (0.13, 0.42)], 0.008)
    echoes.line(ring, 0.02, 250)
    echoes.shadow(ring, 0.03, 140)


def _cyst(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint a dark cyst that brightens what lies behind it, or an uneven mass that shadows it."""
    at, radii = (rng.normal(0, 0.12), rng.uniform(0.25, 0.55)), rng.uniform((0.06, 0.05), (0.22, 0.18))
    outline = lump(rng, at, radii, rng.uniform(0.03, 0.2))
    if rng.random() < 0.6:
        echoes.blob((outline - at) * (0.95, 1.0) + (at[0], at[1] + 1.3 * radii[1]), 190)
        echoes.blob(outline, int(rng.integers(0, 20)))
    else:
        echoes.blob(outline, int(rng.integers(10, 70)))
        for spot in rng.normal(at, 0.4 * radii, (int(rng.integers(0, 10)), 2)):
            echoes.oval(spot, (0.01, 0.008), 255)
        echoes.shadow(
            np.array(
                [(at[0] - 0.8 * radii[0], at[1] + 0.5 * radii[1]), (at[0] + 0.8 * radii[0], at[1] + 0.5 * radii[1])]
            ),
            0.03,
            70,
        )


def _bone(echoes: Echoes, rng: np.random.Generator) -> None:
    """Paint the bright face of a bone, with nothing but shadow behind it."""
    y = rng.uniform(0.35, 0.75)
    ends = y + rng.normal(0, 0.08, 2)
    face = jitter(rng, [(-0.6, ends[0]), (-0.2, y), (0.2, y - 0.03), (0.6, ends[1])], 0.02)
    echoes.line(face, rng.uniform(0.02, 0.05), 255)
    echoes.shadow(face, 0.06, 255)
    if rng.random() < 0.4:
        echoes.blob(np.concatenate([face - (0, 0.1), face[::-1] - (0, 0.03)]), 12)
