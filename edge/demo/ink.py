"""Draw soft shapes, tapering lines, branching vessels and smooth noise: what the phantoms are made of.

Everything random comes from the generator that is passed in; nothing here keeps a state.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Floats: TypeAlias = NDArray[np.floating[Any]]
Point: TypeAlias = tuple[float, float]
Steer: TypeAlias = Callable[[float, float, float], float]


def spline(points: Sequence[Point], *, closed: bool = False, steps: int = 12) -> NDArray[np.float64]:
    """Join `points` by a Catmull-Rom spline; float64 (n, 2)."""
    p = np.asarray(points, dtype=np.float64)
    p = np.concatenate([p[-1:], p, p[:2]]) if closed else np.concatenate([p[:1], p, p[-1:]])
    t = np.linspace(0.0, 1.0, steps, endpoint=False)[None, :, None]
    a, b, c, d = (p[i : len(p) - 3 + i, None, :] for i in range(4))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
    flat = curve.reshape(-1, 2)
    return flat if closed else np.concatenate([flat, p[-1:]])


def line(points: Sequence[Point]) -> list[Point]:
    """Give the open spline through `points` as a list, as strokes take it."""
    return [(float(x), float(y)) for x, y in spline(points)]


class Frame(NamedTuple):
    """A drawing area: `height` x `width` pixels, `scale` pixels a unit, with the unit's origin at pixel (ox, oy)."""

    height: int
    width: int
    scale: float
    ox: float
    oy: float
    fine: int = 2

    def layer(self, paint: Callable[[ImageDraw.ImageDraw, float, float, float], None], blur: float = 0.0) -> Floats:
        """Paint at `fine` times the size, reduce, blur by `blur` units; float32 (height, width) in 0..1."""
        canvas = Image.new("L", (self.width * self.fine, self.height * self.fine))
        paint(ImageDraw.Draw(canvas), self.scale * self.fine, self.ox * self.fine, self.oy * self.fine)
        small = canvas.reduce(self.fine)
        if blur:
            small = small.filter(ImageFilter.GaussianBlur(blur * self.scale))
        return np.asarray(small, dtype=np.float32) / np.float32(255)

    def shapes(self, outlines: Iterable[Sequence[Point]], blur: float = 0.0) -> Floats:
        """Fill closed splines through `outlines`; like `layer`."""

        def paint(pen: ImageDraw.ImageDraw, scale: float, ox: float, oy: float) -> None:
            for outline in outlines:
                curve = spline(outline, closed=True) * scale + (ox, oy)
                pen.polygon([(float(x), float(y)) for x, y in curve], fill=255)

        return self.layer(paint, blur)

    def strokes(self, lines: Iterable["Stroke"], blur: float = 0.0) -> Floats:
        """Draw lines of varying width with round joints and square ends; like `layer`."""

        def paint(pen: ImageDraw.ImageDraw, scale: float, ox: float, oy: float) -> None:
            for stroke in lines:
                points = [(x * scale + ox, y * scale + oy) for x, y in stroke.points]
                widths = np.linspace(stroke.start, stroke.end, len(points)) * scale
                for (x0, y0), (x1, y1), w in zip(points, points[1:], widths[1:], strict=False):
                    pen.line([(x0, y0), (x1, y1)], fill=255, width=max(1, round(w)))
                    if w > 2.5 and (x1, y1) != points[-1]:
                        pen.ellipse([x1 - w / 2, y1 - w / 2, x1 + w / 2, y1 + w / 2], fill=255)

        return self.layer(paint, blur)

    def grid(self) -> tuple[Floats, Floats]:
        """Give the x (1, width) and y (height, 1) of the pixels' centres in units."""
        x = (np.arange(self.width, dtype=np.float32) + 0.5 - self.ox) / self.scale
        y = (np.arange(self.height, dtype=np.float32) + 0.5 - self.oy) / self.scale
        return x[None, :].astype(np.float32), y[:, None].astype(np.float32)


class Stroke(NamedTuple):
    """A line through `points` (units) whose width runs from `start` to `end`."""

    points: Sequence[Point]
    start: float
    end: float


def resize(field: Floats, shape: tuple[int, int]) -> Floats:
    """Resample `field` to `shape` (height, width) by a bicubic spline."""
    picture = Image.fromarray(field.astype(np.float32))
    return np.asarray(picture.resize((shape[1], shape[0]), Image.Resampling.BICUBIC), dtype=np.float32)


def noise(rng: np.random.Generator, shape: tuple[int, int]) -> Floats:
    """Give white noise of unit variance."""
    return rng.standard_normal(shape, dtype=np.float32)


def cloud(rng: np.random.Generator, shape: tuple[int, int], cells: int) -> Floats:
    """Give smooth noise with `cells` knots across; zero mean, unit variance."""
    field = resize(noise(rng, (max(2, round(cells * shape[0] / shape[1])), cells)), shape)
    return np.asarray((field - field.mean()) / (field.std() + 1e-6), dtype=np.float32)


def smooth(field: Floats) -> Floats:
    """Average each sample with its four neighbours, twice; edges wrap round."""
    for _ in range(2):
        field = (field + sum(np.roll(field, shift, axis) for shift in (1, -1) for axis in (0, 1))) / np.float32(5)
    return field


def ramp(x: Floats, low: float, high: float) -> Floats:
    """Rise smoothly from 0 at `low` to 1 at `high`; fall, where `high` is the smaller."""
    t = np.clip((x - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def oval(x: Floats, y: Floats, centre: Point, radii: Point, soft: float) -> Floats:
    """Give an ellipse that fades from 1 to 0 over the share `soft` of its radius."""
    return ramp(np.hypot((x - centre[0]) / radii[0], (y - centre[1]) / radii[1]), 1 + soft / 2, 1 - soft / 2)


def tree(
    rng: np.random.Generator,
    start: Point,
    heading: float,
    width: float,
    *,
    step: float,
    thinnest: float,
    taper: float,
    branching: float,
    steer: Steer,
    wander: float = 0.035,
) -> list[Stroke]:
    """Grow a vessel from `start`: it wanders, is steered, tapers, and gives off thinner vessels to either side.

    `heading` is in radians, all lengths in units. `steer(x, y, heading)` gives the turn in radians for a step, or NaN
    where growth must end; only the trunk follows the turn, its branches run free.
    """
    strokes: list[Stroke] = []
    stack: list[tuple[Point, float, float, float]] = [(start, heading, width, 1.0)]
    side = 1.0 if rng.random() < 0.5 else -1.0
    while stack:
        (x, y), angle, thick, obedience = stack.pop()
        points, first, drift = [(x, y)], thick, 0.0
        pace = taper if obedience else 1 - 1.9 * (1 - taper)
        while thick > thinnest and len(points) < 400:
            turn = steer(x, y, angle)
            if math.isnan(turn):
                break
            drift = 0.8 * drift + wander * rng.standard_normal()
            angle += obedience * turn + drift
            x, y = x + step * math.cos(angle), y + step * math.sin(angle)
            points.append((x, y))
            thick *= pace
            if len(points) > 4 and rng.random() < branching:
                side = -side
                child = thick * rng.uniform(0.5, 0.75)
                if child > thinnest:
                    stack.append(((x, y), angle + side * rng.uniform(0.5, 0.95), child, 0.0))
                    angle -= side * rng.uniform(0.02, 0.12)
                    thick *= 0.95
        if len(points) > 3:
            strokes.append(Stroke(points, first, thick))
    return strokes
