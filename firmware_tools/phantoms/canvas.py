"""Draw shapes through one pose: turned, zoomed, shifted and bent together, so that organs keep their places.

Shapes are vectors until they are painted: no picture is ever resampled to turn it, so turning leaves no trace.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageDraw, ImageFilter

from edge.demo.ink import Floats, Point

Shape: TypeAlias = tuple[int, int]
# Pixels; the eye sees no less, and a blur takes as long as all the painting.
_LEAST_BLUR: Final = 0.35
Outline: TypeAlias = Sequence[Point] | NDArray[np.float64]


def _weights(steps: int) -> NDArray[np.float64]:
    """Give the Catmull-Rom weights of four neighbours at `steps` places between the middle two; (steps, 4)."""
    t = np.linspace(0, 1, steps, endpoint=False)
    rows = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
    return np.asarray(0.5 * np.stack(rows, axis=1))


_OPEN: Final = _weights(3)
_CLOSED: Final = _weights(5)
_NINE: Final = np.linspace(0, 2 * np.pi, 9, endpoint=False)
_CIRCLE: Final = np.stack([np.cos(a := np.linspace(0, 2 * np.pi, 28, endpoint=False)), np.sin(a)], axis=1)


@dataclass(frozen=True, slots=True)
class Pose:
    """Where units lie on the picture: an affine map to pixels after a gentle bend.

    `matrix` (2, 2) is pixels a unit, `offset` (2,) pixels. The bend is a sum of waves: `waves` (n, 2) radians a unit,
    `phases` (n,), `sway` (n, 2) units.
    """

    matrix: NDArray[np.float64]
    offset: NDArray[np.float64]
    waves: NDArray[np.float64]
    phases: NDArray[np.float64]
    sway: NDArray[np.float64]

    @property
    def scale(self) -> float:
        """Pixels a unit, on average over directions."""
        return math.sqrt(abs(float(np.linalg.det(self.matrix))))

    def aimed(self, at: ArrayLike, magnification: float = 1.0) -> Pose:
        """Look at `at` (units) where this pose looks at the origin, and nearer by `magnification`."""
        matrix = self.matrix * magnification
        return replace(self, matrix=matrix, offset=self.offset - matrix @ np.asarray(at, dtype=np.float64))

    def place(self, points: ArrayLike) -> NDArray[np.float64]:
        """Map units (n, 2) to pixels (n, 2)."""
        p = np.asarray(points, dtype=np.float64)
        bent = p + np.dot(np.sin(np.dot(p, self.waves.T) + self.phases), self.sway)
        return np.asarray(np.dot(bent, self.matrix.T) + self.offset)


def random_pose(
    rng: np.random.Generator,
    shape: Shape,
    extent: float,
    *,
    turn: float = 0.06,
    zoom: tuple[float, float] = (0.9, 1.15),
    stretch: float = 0.08,
    shift: float = 0.06,
    bend: float = 0.02,
    mirror: float = 0.0,
) -> Pose:
    """Choose a pose in which `extent` units, centred on the origin, fill the shorter side at zoom 1.

    `turn` is radians (standard deviation), `stretch` the spread of width against height, `shift` a share of the
    picture's side, `bend` a share of `extent`, `mirror` the probability of a left-right flip.
    """
    scale = min(shape) / extent * rng.uniform(*zoom)
    ratio = math.exp(rng.normal(0, stretch))
    angle = rng.normal(0, turn)
    c, s = math.cos(angle), math.sin(angle)
    flip = -1.0 if rng.random() < mirror else 1.0
    matrix = np.array([[c, -s], [s, c]]) @ np.diag([flip * scale * math.sqrt(ratio), scale / math.sqrt(ratio)])
    middle = np.array([shape[1], shape[0]]) * 0.5
    offset = middle + rng.normal(0, shift, 2) * min(shape)
    waves = rng.normal(0, 4.0 / extent, (3, 2))
    sway = rng.normal(0, bend * extent / 3.5, (3, 2))
    return Pose(matrix, offset, waves, rng.uniform(0, 2 * np.pi, 3), sway)


class Canvas:
    """A picture of `shape` (height, width) on which everything is drawn through `pose`."""

    def __init__(self, shape: Shape, pose: Pose) -> None:
        self.shape = shape
        self.pose = pose
        self.scale = pose.scale

    def layer(self, background: int = 0, fine: int = 2) -> Layer:
        """Start a layer, `fine` times the picture's size while it is painted."""
        return Layer(self, background, fine)

    def shapes(self, outlines: Iterable[Outline], blur: float = 0.0) -> Floats:
        """Fill closed splines through `outlines`; float32 of the picture's shape in 0..1. `blur` is in units."""
        layer = self.layer(fine=self._fine_for(blur))
        for outline in outlines:
            layer.blob(outline)
        return layer.cover(blur)

    def ovals(self, ovals: Iterable[tuple[ArrayLike, ArrayLike]], blur: float = 0.0) -> Floats:
        """Fill ellipses, each a centre and its radii; like `shapes`."""
        layer = self.layer(fine=self._fine_for(blur))
        for centre, radii in ovals:
            layer.oval(centre, radii)
        return layer.cover(blur)

    def _fine_for(self, blur: float) -> int:
        """Spare the fine pixels where the blur would swallow them."""
        return 1 if blur * self.scale > 0.8 else 2

    def grid(self) -> tuple[Floats, Floats]:
        """Give the x and y in units of the pixels' centres, each float32 of the picture's shape.

        The bend is left out: soft fields do not show it.
        """
        height, width = self.shape
        column = np.arange(width, dtype=np.float32)[None, :] + np.float32(0.5 - self.pose.offset[0])
        row = np.arange(height, dtype=np.float32)[:, None] + np.float32(0.5 - self.pose.offset[1])
        inverse = np.linalg.inv(self.pose.matrix).astype(np.float32)
        x = inverse[0, 0] * column + inverse[0, 1] * row
        y = inverse[1, 0] * column + inverse[1, 1] * row
        return x, y


class Layer:
    """Painting in progress: later shapes lie over earlier ones; values are 0..255, shares or tissue numbers.

    Shapes wait until the layer is looked at: then all are placed at once, which takes a fraction of the time.
    """

    def __init__(self, canvas: Canvas, background: int, fine: int) -> None:
        self._canvas = canvas
        self._fine = fine
        height, width = canvas.shape
        self._image = Image.new("L", (width * fine, height * fine), background)
        self._pen = ImageDraw.Draw(self._image)
        # Points in units, value, and the width of a line in fine pixels or 0 for a filled polygon.
        self._waiting: list[tuple[NDArray[np.float64], int, int]] = []

    def blob(self, outline: Outline, value: int = 255) -> None:
        """Fill the closed spline through `outline`."""
        self._waiting.append((closed(outline), value, 0))

    def polygon(self, corners: Outline, value: int = 255) -> None:
        """Fill the polygon with `corners`, a few of them or many."""
        self._waiting.append((np.asarray(corners, dtype=np.float64), value, 0))

    def polygons(self, corners: NDArray[np.float64], value: int = 255) -> None:
        """Fill polygons (n, corners, 2), all alike in value."""
        self._waiting.extend((one, value, 0) for one in corners)

    def oval(self, centre: ArrayLike, radii: ArrayLike, value: int = 255, *, turn: float = 0.0) -> None:
        """Fill an ellipse, turned by `turn` radians."""
        self._waiting.append((ellipse(centre, radii, turn), value, 0))

    def stroke(self, points: Outline, width: float | tuple[float, float], value: int = 255) -> None:
        """Draw a line through `points` whose width in units runs from the first to the second of `width`."""
        self.strokes(np.asarray(points, dtype=np.float64)[None], width, value)

    def strokes(self, lines: NDArray[np.float64], width: float | tuple[float, float], value: int = 255) -> None:
        """Draw lines (n, points, 2) of the same widths; like `stroke`."""
        first, last = width if isinstance(width, tuple) else (width, width)
        pixels = 0.5 * (first + last) * self._canvas.scale * self._fine
        if pixels < 2.2:
            self._waiting.extend((line, value, max(1, round(pixels))) for line in lines)
            return
        along = np.empty_like(lines)
        along[:, 1:-1] = lines[:, 2:] - lines[:, :-2]
        along[:, 0], along[:, -1] = lines[:, 1] - lines[:, 0], lines[:, -1] - lines[:, -2]
        half = 0.5 * first + 0.5 * (last - first) / (lines.shape[1] - 1) * np.arange(lines.shape[1])
        half = half / (np.sqrt(along[..., 0] ** 2 + along[..., 1] ** 2) + 1e-9)
        across = along[..., ::-1] * half[..., None]
        across[..., 0] *= -1
        self.polygons(np.concatenate([lines + across, (lines - across)[:, ::-1]], axis=1), value)

    def _painted(self) -> Image.Image:
        """Paint what waits, and give the image."""
        if self._waiting:
            every = np.concatenate([points for points, _, _ in self._waiting])
            flat = (self._canvas.pose.place(every) * self._fine).ravel().tolist()
            start = 0
            for points, value, width in self._waiting:
                end = start + 2 * len(points)
                if width:
                    self._pen.line(flat[start:end], fill=value, width=width)
                else:
                    self._pen.polygon(flat[start:end], fill=value)
                start = end
            self._waiting.clear()
        return self._image

    @contextmanager
    def inside(self, outline: Outline) -> Iterator[None]:
        """Let whatever is painted meanwhile show only within the closed spline through `outline`."""
        before = self._painted().copy()
        yield
        mask = Image.new("1", before.size)
        corners = self._canvas.pose.place(closed(outline)) * self._fine
        ImageDraw.Draw(mask).polygon(corners.ravel().tolist(), fill=1)
        before.paste(self._painted(), (0, 0), mask)
        self._image.paste(before)

    def cover(self, blur: float = 0.0) -> Floats:
        """Give the layer as shares; float32 (height, width) in 0..1, blurred by `blur` units."""
        small = self._painted().reduce(self._fine) if self._fine > 1 else self._painted()
        if blur * self._canvas.scale > _LEAST_BLUR:
            small = small.filter(ImageFilter.GaussianBlur(blur * self._canvas.scale))
        return np.asarray(small, dtype=np.float32) * np.float32(1 / 255)

    def labels(self) -> NDArray[np.uint8]:
        """Give the tissue numbers at the layer's own fineness."""
        return np.array(self._painted())

    def values(self, table: Floats) -> Floats:
        """Look each tissue number up in `table` and average over the picture's pixels; float32 (height, width)."""
        fine = table.astype(np.float32)[np.asarray(self._painted())]
        return np.asarray(Image.fromarray(fine).reduce(self._fine), dtype=np.float32)

    def rough_values(self, table: Floats) -> Floats:
        """Look up one tissue number a pixel, without averaging: enough for textures."""
        numbers = np.asarray(self._painted())[:: self._fine, :: self._fine]
        return np.asarray(table.astype(np.float32)[numbers])


def ellipse(centre: ArrayLike, radii: ArrayLike, turn: float = 0.0) -> NDArray[np.float64]:
    """Give the corners of an ellipse; (28, 2)."""
    corners = _CIRCLE * np.asarray(radii)
    if turn:
        c, s = math.cos(turn), math.sin(turn)
        corners = corners @ np.array([[c, s], [-s, c]])
    return np.asarray(corners + np.asarray(centre))


def closed(outline: Outline) -> NDArray[np.float64]:
    """Join `outline` by a closed spline, or each row of many; (..., n, 2) to (..., 5 n, 2)."""
    p = np.asarray(outline, dtype=np.float64)
    return _joined(np.concatenate([p[..., -1:, :], p, p[..., :2, :]], axis=-2), _CLOSED)


def curve(points: Outline) -> NDArray[np.float64]:
    """Join `points` by an open spline, or each row of many; (..., n, 2) to (..., 3 n - 2, 2)."""
    p = np.asarray(points, dtype=np.float64)
    padded = np.concatenate([p[..., :1, :], p, p[..., -1:, :]], axis=-2)
    return np.concatenate([_joined(padded, _OPEN), p[..., -1:, :]], axis=-2)


def _joined(p: NDArray[np.float64], weights: NDArray[np.float64]) -> NDArray[np.float64]:
    count = p.shape[-2] - 3
    windows = np.empty((*p.shape[:-2], count, 4, 2))
    for i in range(4):
        windows[..., i, :] = p[..., i : count + i, :]
    return np.asarray((weights @ windows).reshape(*p.shape[:-2], count * len(weights), 2))


def lump(rng: np.random.Generator, centre: ArrayLike, radii: ArrayLike, rough: float = 0.15) -> NDArray[np.float64]:
    """Give the outline of an irregular round thing; (9, 2), to be joined by a spline."""
    angle = _NINE + rng.uniform(0, 1)
    circle = np.empty((9, 2))
    circle[:, 0], circle[:, 1] = np.cos(angle), np.sin(angle)
    circle *= rng.normal(1, rough, (9, 1))
    return np.asarray(circle * np.asarray(radii) + np.asarray(centre))


def jitter(rng: np.random.Generator, outline: Outline, amount: float) -> NDArray[np.float64]:
    """Move each point of `outline` a little, by `amount` units (standard deviation)."""
    points = np.asarray(outline, dtype=np.float64)
    return points + rng.normal(0, amount, points.shape)


def mirrored(outline: Outline) -> NDArray[np.float64]:
    """Give the outline on the other side of x = 0."""
    return np.asarray(outline, dtype=np.float64) * (-1.0, 1.0)


def branches(
    rng: np.random.Generator,
    starts: ArrayLike,
    headings: ArrayLike,
    *,
    length: float,
    wander: float,
    curl: ArrayLike = 0.0,
    points: int = 13,
) -> NDArray[np.float64]:
    """Let one wandering line grow from each start; (n, points, 2).

    `starts` (n, 2) and `length` are in units, `headings` (n,) and `curl` (n,), the turn over the whole length, in
    radians; `wander` is the standard deviation of a step's turn.
    """
    begin = np.asarray(starts, dtype=np.float64)
    drift = np.cumsum(rng.normal(0, wander, (len(begin), points - 1)), axis=1)
    bow = np.linspace(0, 1, points - 1) * np.broadcast_to(np.asarray(curl, dtype=np.float64), len(begin))[:, None]
    angle = np.asarray(headings, dtype=np.float64)[:, None] + drift + bow
    pace = length / (points - 1) * np.exp(rng.normal(0, 0.25, len(begin)))[:, None, None]
    steps = np.stack([np.cos(angle), np.sin(angle)], axis=-1) * pace
    return np.concatenate([begin[:, None], begin[:, None] + np.cumsum(steps, axis=1)], axis=1)
