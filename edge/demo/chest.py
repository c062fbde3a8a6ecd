"""Draw a chest radiograph: attenuations add up along the ray, then the film's curve bends them.

The geometry is in centimetres on a film of 35 x 42 cm, from the middle of its top; nobody's chest is traced.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from edge.demo.ink import Floats, Frame, Point, Stroke, cloud, line, noise, oval, ramp, resize, tree

# Shapes are drawn at half the film's size: a radiograph's edges are no sharper than that; its noise is.
_FRAME: Final = Frame(900, 750, 750 / 35.0, 375.0, 0.0)
_FILM: Final = (1800, 1500)

# Outlines, most of one side only, to be mirrored.
_TORSO: Final = ((-5.0, -2), (-5.0, 1.6), (-6.6, 3.7), (-11, 5.2), (-15.2, 6.4), (-18.2, 8.6), (-20.5, 13), (-20.5, 45))
_FLANK: Final = ((16.4, 14.5), (15.9, 18), (15.6, 24), (15.5, 31), (15.8, 44), (16.9, 44), (17.1, 30), (17.2, 20))
_HEART: Final = (
    (-2.2, 19.5), (-4.0, 22.5), (-4.5, 26), (-3.6, 29.5), (0.5, 31.5), (5.5, 31.6),
    (8.7, 30.4), (9.0, 28.4), (7.9, 25.0), (5.9, 21.6), (4.2, 18.8), (1.0, 17.0),
)  # fmt: skip
_MEDIASTINUM: Final = (
    (-2.3, 9), (-2.6, 14), (-2.4, 19), (2.5, 19.5), (3.7, 17.4), (3.1, 15.6), (3.8, 13.6), (3.2, 12.1), (2.2, 9),
)  # fmt: skip
_TRACHEA: Final = ((-0.85, -1), (-0.8, 8), (-0.6, 14.5), (0.1, 15.4), (0.8, 14.5), (0.8, 8), (0.9, -1))
_CLAVICLE: Final = ((1.6, 9.2), (3.4, 8.0), (6.6, 7.5), (10.0, 6.8), (13.2, 5.5))
_SCAPULA: Final = ((12.2, 8.2), (13.6, 10.0), (12.7, 14), (11.4, 20.5), (12.6, 19.5), (14.6, 14), (15.4, 9.8), (14.4, 7.4))  # fmt: skip
_HUMERUS: Final = ((15.0, 8.2), (16.8, 7.6), (18.4, 8.9), (19.2, 13), (19.0, 20), (17.0, 18), (16.6, 12.0), (15.2, 10.6))  # fmt: skip
# How far each rib reaches to the side.
_RIB_REACH: Final = (8.3, 11.0, 12.5, 13.4, 13.8, 14.1, 14.3, 14.3, 14.3, 14.2)


def draw_chest(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a postero-anterior film, bright where dense; uint8 (1800, 1500)."""
    attenuation = resize(_attenuation(rng), _FILM)
    film = 250 / (1 + np.exp(-5.0 * (attenuation - 0.60))) - 14 * (1 - ramp(attenuation, 0.02, 0.3))
    # Fewer quanta reach the film where the body is dense; the screen blurs half of their noise.
    mottle = resize(noise(rng, (_FRAME.height, _FRAME.width)), _FILM)
    film = film + (2.6 + 2.2 * attenuation) * (0.75 * mottle + 0.8 * noise(rng, _FILM))
    return np.clip(_collimate(film, rng), 0, 255).astype(np.uint8)


def _attenuation(rng: np.random.Generator) -> Floats:
    """Sum what each organ and bone takes away or adds; (900, 750), about 0 in air and 1 behind the spine."""
    x, y = _FRAME.grid()
    body = _FRAME.shapes([[*_TORSO, *_mirrored(_TORSO)[::-1]]], 0.15)
    gap = _FRAME.shapes([_FLANK, _mirrored(_FLANK)], 0.25)  # air between the chest wall and the arms
    outlines = _lungs(rng)
    lungs = _FRAME.shapes(outlines, 0.10)
    air = lungs * (0.62 + 0.38 * _FRAME.shapes(outlines, 1.6)) * (0.5 + 0.5 * ramp(np.abs(x), 0.6, 3.8))
    size = rng.uniform(0.95, 1.05)
    heart = _FRAME.shapes([[(size * px, py) for px, py in _HEART]], 0.16)
    hila = oval(x, y, (-3.4, 17.9), (1.5, 2.3), 1.3) + oval(x, y, (3.8, 16.9), (1.4, 2.0), 1.3)
    stomach = oval(x, y, (6.9 + rng.normal(0, 0.3), 33.4), (2.3, 1.2), 0.7) * (1 - lungs)
    marrow, cortex = _ribs(rng)
    vessels = _vessels(rng) * np.clip(lungs - 0.45 * heart, 0, 1) * (1.1 - 0.6 * ramp(np.abs(x), 4, 12))
    bones = 0.15 * _spine() * (1 - 0.35 * lungs) + 0.055 * marrow + 0.06 * cortex + 0.10 * _clavicles()
    bones = bones + 0.17 * _FRAME.shapes([_HUMERUS, _mirrored(_HUMERUS)], 0.12)
    bones = bones + 0.07 * _FRAME.shapes([_SCAPULA, _mirrored(_SCAPULA)], 0.1)

    thickness = np.sqrt(np.clip(1 - (x / 21.0) ** 2, 0, 1)) * (0.80 + 0.20 * ramp(y, 26, 33) - 0.12 * ramp(y, 10, 2))
    total = body * (thickness * (1 - 0.75 * gap) + bones)
    total = total - 0.47 * air * (0.92 + 0.08 * ramp(y, 8, 20)) - 0.22 * stomach
    total = total + 0.25 * heart * (0.5 + 0.5 * lungs) + 0.25 * _FRAME.shapes([_MEDIASTINUM], 0.18)
    total = total + 0.085 * hila + 0.105 * vessels - 0.13 * _FRAME.shapes([_TRACHEA], 0.12) - 0.06 * _bronchi()
    shape = (_FRAME.height, _FRAME.width)
    total = total + 0.014 * cloud(rng, shape, 22) * body + 0.012 * cloud(rng, shape, 90) * lungs
    return np.asarray(total)


def _mirrored(points: Sequence[Point]) -> list[Point]:
    return [(-x, y) for x, y in points]


def _both(points: Sequence[Point]) -> tuple[list[Point], list[Point]]:
    """Give the open spline through `points` on either side."""
    return line(_mirrored(points)), line(points)


def _lungs(rng: np.random.Generator) -> tuple[list[Point], list[Point]]:
    """Outline the right lung, whose dome is higher, and the left, down to the costophrenic angles."""
    breath = rng.uniform(-0.5, 0.8)
    wall = [(5.2, 6.0), (8.2, 7.2), (10.9, 10.9), (12.4, 16.0), (13.1, 22.0), (13.5, 27.5), (13.7, 31.2 + breath)]
    right = [*wall, (13.5, 33.4 + breath), (12.2, 31.2 + breath), (9.2, 29.1 + breath), (6.2, 28.8 + breath)]
    right += [(3.6, 30.0 + breath), (2.4, 30.4 + breath), (1.5, 25.0), (1.4, 18.0), (1.5, 12.0), (2.4, 8.0)]
    left = [*wall, (13.5, 34.6 + breath), (12.0, 32.6 + breath), (9.3, 30.9 + breath), (6.4, 30.6 + breath)]
    left += [(3.6, 31.2 + breath), (2.4, 31.2 + breath), (1.5, 25.0), (1.4, 18.0), (1.5, 12.0), (2.4, 8.0)]
    return _mirrored(right), left


def _ribs(rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw the ribs' marrow and their cortices: the cortices are what shows on film."""
    groups: tuple[list[Stroke], ...] = ([], [], [])
    for i, out in enumerate(_RIB_REACH):
        y = 7.6 + 2.4 * i + rng.normal(0, 0.06)
        fall = 2.0 + 0.36 * i
        rib = [(1.7, y), (0.42 * out, y - 0.75), (0.75 * out, y + 0.14 * fall), (0.93 * out, y + 0.52 * fall)]
        rib.append((out, y + fall))
        if i < 7:
            rib += [(0.965 * out, y + fall + 1.7), (0.82 * out, y + fall + 3.6)]
            rib += [(0.62 * out, y + fall + 5.0), (0.44 * out, y + fall + 5.7)]
        # Every third rib shares a layer, so that a front crosses its neighbours' backs as two shadows, not as one.
        groups[i % 3].extend(Stroke(side, 1.05, 1.30) for side in _both(rib))
    marrow = np.zeros((_FRAME.height, _FRAME.width), dtype=np.float32)
    cortex = np.zeros_like(marrow)
    for bones in groups:
        whole = _FRAME.strokes(bones, 0.05)
        inner = _FRAME.strokes([b._replace(start=b.start - 0.24, end=b.end - 0.24) for b in bones], 0.05)
        marrow += whole
        cortex += np.clip(whole - inner, 0, 1)
    return marrow, cortex


def _clavicles() -> Floats:
    whole = _FRAME.strokes([Stroke(side, 1.75, 1.15) for side in _both(_CLAVICLE)], 0.05)
    inner = _FRAME.strokes([Stroke(side, 1.30, 0.75) for side in _both(_CLAVICLE)], 0.05)
    return 0.8 * whole + 0.45 * np.clip(whole - inner, 0, 1)


def _bronchi() -> Floats:
    right = Stroke([(0, 14.6), (-1.4, 16.2), (-2.8, 18)], 1.2, 0.9)
    left = Stroke([(0, 14.6), (2, 16.6), (3.6, 17.8)], 1.1, 0.8)
    return _FRAME.strokes([right, left], 0.15)


def _vessels(rng: np.random.Generator) -> Floats:
    """Grow the vessels of the lungs from the hila; the left hilum lies higher."""
    strokes: list[Stroke] = []
    for side in (-1.0, 1.0):
        for heading in (-1.35, -1.0, -0.6, -0.2, 0.25, 0.6, 0.9, 1.15, 1.4):
            angle = heading + rng.normal(0, 0.08)
            start = (side * (3.0 + 0.9 * math.cos(angle)), (17.8 if side < 0 else 16.8) + 1.6 * math.sin(angle))
            strokes += tree(
                rng, start, math.pi - angle if side < 0 else angle, rng.uniform(0.30, 0.44) + 0.1 * (heading > 0),
                step=0.3, thinnest=0.06, taper=0.972, branching=0.17, steer=lambda _x, _y, _h: 0.0, wander=0.05,
            )  # fmt: skip
    return _FRAME.strokes(strokes, 0.09)


def _spine() -> Floats:
    """Draw the vertebrae: a body each, two pedicles, a spinous process."""

    def paint(pen: ImageDraw.ImageDraw, scale: float, ox: float, oy: float) -> None:
        for i in range(17):
            y, half = 0.6 + 2.42 * i, 1.35 + 0.035 * i
            box = [ox - half * scale, oy + y * scale, ox + half * scale, oy + (y + 2.0) * scale]
            pen.rounded_rectangle(box, radius=0.35 * scale, fill=170)
            for side in (-1, 1):
                cx, cy = ox + side * 0.85 * scale, oy + (y + 0.75) * scale
                pen.ellipse([cx - 0.3 * scale, cy - 0.42 * scale, cx + 0.3 * scale, cy + 0.42 * scale], fill=215)
            cy = oy + (y + 1.55) * scale
            pen.ellipse([ox - 0.22 * scale, cy - 0.55 * scale, ox + 0.22 * scale, cy + 0.55 * scale], fill=235)

    return _FRAME.layer(paint, 0.09)


def _collimate(film: Floats, rng: np.random.Generator) -> Floats:
    """Lay the lead side marker on the film and shade what the collimator's blades covered."""
    height, width = film.shape
    plate = Image.new("L", (width, height))
    pen = ImageDraw.Draw(plate)
    x, y = 120 + int(rng.integers(0, 30)), 130 + int(rng.integers(0, 30))
    pen.text((x, y), "R", fill=255, font=ImageFont.load_default(size=120), stroke_width=4, stroke_fill=255)
    marker = plate.filter(ImageFilter.GaussianBlur(1.2))
    lead = np.asarray(marker, dtype=np.float32) / np.float32(255)
    film = film + lead * (246 - film)
    inside = np.zeros((height, width), dtype=np.float32)
    inset = [int(v) for v in rng.integers(14, 34, size=4)]
    inside[inset[0] : height - inset[1], inset[2] : width - inset[3]] = 1
    return (film * (0.06 + 0.94 * inside) + 6 * (1 - inside)).astype(np.float32)
