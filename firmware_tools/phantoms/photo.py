"""Draw what cameras photograph when they photograph no patient: scenes, buildings, rooms, people, things, textures.

Nothing here means to deceive a person; it spreads the statistics of colour, edges and blur that photographs have.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edge.demo.ink import Floats, cloud, ramp, resize
from firmware_tools.phantoms import vary
from firmware_tools.phantoms.canvas import Shape, closed, ellipse, lump

_Colour: TypeAlias = tuple[int, int, int]
_Points = NDArray[np.float64]


class Board:
    """A colour picture that is painted at twice its size; all places are shares of its width and height."""

    def __init__(self, shape: Shape, ground: _Colour) -> None:
        self.shape = shape
        self.image = Image.new("RGB", (2 * shape[1], 2 * shape[0]), ground)
        self.pen = ImageDraw.Draw(self.image)
        self._size = np.array(self.image.size, dtype=np.float64)

    def flat(self, points: _Points) -> list[float]:
        """Map shares (n, 2) to the coordinates that the pen takes."""
        return [float(v) for v in (points * self._size).ravel()]

    def polygon(self, points: _Points, colour: _Colour) -> None:
        """Fill a polygon."""
        self.pen.polygon(self.flat(points), fill=colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: _Colour) -> None:
        """Fill a rectangle."""
        self.polygon(np.array([(left, top), (right, top), (right, bottom), (left, bottom)]), colour)

    def line(self, points: _Points, width: float, colour: _Colour) -> None:
        """Draw a line, `width` a share of the picture's width."""
        self.pen.line(self.flat(points), fill=colour, width=max(1, round(width * self._size[0])))

    def pixels(self) -> Floats:
        """Give the picture in 0..1; float32 (height, width, 3)."""
        return np.asarray(self.image.reduce(2), dtype=np.float32) * np.float32(1 / 255)


def photo(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw one picture as a camera would have taken it, in colour or, less often, in gray."""
    shape = vary.shape_of(rng, side, 0.6, 1.8)
    if rng.random() < 0.12:
        pixels = _texture(rng, shape)
    else:
        pick = int(rng.choice(len(_SCENES), p=[0.17, 0.13, 0.11, 0.13, 0.17, 0.29]))
        pixels = _SCENES[pick](rng, shape)
    pixels = _taken(_rough(pixels, rng), rng)
    picture = vary.eight_bits(pixels)
    if rng.random() < 0.22:
        picture = np.asarray(Image.fromarray(picture).convert("L"))
    return np.rot90(picture) if rng.random() < 0.08 else picture


def colour_of(rng: np.random.Generator, hue: float | None = None, spread: float = 0.05) -> _Colour:
    """Choose a colour, near `hue` (0..1) if one is given."""
    h = rng.random() if hue is None else hue + rng.normal(0, spread)
    r, g, b = colorsys.hsv_to_rgb(h % 1, rng.uniform(0.0, 0.95) ** 1.2, rng.uniform(0.08, 1.0))
    return round(255 * r), round(255 * g), round(255 * b)


def shaded(colour: _Colour, factor: float) -> _Colour:
    """Make a colour darker or lighter."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in colour)
    return r, g, b


def _landscape(rng: np.random.Generator, shape: Shape) -> Floats:
    """Paint sky, hills, a field or a road, trees, the sun."""
    horizon = rng.uniform(0.25, 0.75)
    board = Board(shape, colour_of(rng, 0.58))
    top, low = np.array(colour_of(rng, 0.6)), np.array(colour_of(rng, 0.56))
    for y in np.linspace(0, horizon, 16):
        share = y / horizon
        r, g, b = (round(float(v)) for v in top * (1 - share) + low * share)
        board.box(0, y, 1, 1, (r, g, b))
    if rng.random() < 0.4:
        at, radius = rng.uniform((0.1, 0.05), (0.9, horizon)), rng.uniform(0.02, 0.06)
        board.polygon(ellipse(at, (radius, radius * shape[1] / shape[0])), (255, 250, int(rng.integers(160, 255))))
    for i in range(int(rng.integers(1, 4))):
        crest = horizon - 0.12 + 0.06 * i + np.cumsum(rng.normal(0, 0.018, 14))
        hill = np.concatenate([np.stack([np.linspace(0, 1, 14), crest], axis=1), [(1, 1), (0, 1)]])
        board.polygon(hill, colour_of(rng, float(rng.choice([0.3, 0.25, 0.6, 0.1]))))
    board.box(0, horizon, 1, 1, colour_of(rng, float(rng.choice([0.28, 0.12, 0.6, 0.08]))))
    if rng.random() < 0.5:
        x = rng.uniform(0.3, 0.7)
        tone = int(rng.integers(60, 170))
        board.polygon(
            np.array(
                [(x - 0.01, horizon), (x + 0.01, horizon), (rng.uniform(0.6, 1.1), 1), (rng.uniform(-0.1, 0.4), 1)]
            ),
            (tone, tone, tone),
        )
        board.line(np.array([(x, horizon), (rng.uniform(0.4, 0.6), 1.0)]), 0.012, (230, 230, 220))
    for _ in range(int(rng.integers(0, 10))):
        _tree(board, rng, horizon)
    return board.pixels() + np.float32(rng.uniform(0, 0.06)) * cloud(rng, shape, 50)[..., None]


def _tree(board: Board, rng: np.random.Generator, horizon: float) -> None:
    x, size = rng.uniform(0, 1), rng.uniform(0.05, 0.3)
    y = horizon + rng.uniform(-0.02, 0.2) - 0.4 * size
    board.line(np.array([(x, y), (x, y + 0.8 * size)]), 0.1 * size, colour_of(rng, 0.07))
    base = colour_of(rng, 0.29)
    for _ in range(int(rng.integers(6, 22))):
        spot = rng.normal((x, y - 0.2 * size), 0.28 * size)
        board.polygon(
            ellipse((float(spot[0]), float(spot[1])), (0.2 * size, 0.18 * size)), shaded(base, rng.uniform(0.5, 1.5))
        )


def _street(rng: np.random.Generator, shape: Shape) -> Floats:
    """Paint buildings with rows of windows under a sky."""
    board = Board(shape, colour_of(rng, 0.58))
    x = -0.1
    while x < 1.05:
        wide, top = rng.uniform(0.12, 0.55), rng.uniform(-0.1, 0.6)
        lean = rng.normal(0, 0.02)
        wall = colour_of(rng, float(rng.choice([0.08, 0.1, 0.04, 0.6])))
        board.polygon(np.array([(x, 1), (x + lean, top), (x + wide, top + lean), (x + wide, 1)]), wall)
        columns, rows = int(rng.integers(2, 7)), int(rng.integers(2, 9))
        pane = shaded(wall, rng.uniform(0.2, 1.6))
        for i in range(columns):
            for j in range(rows):
                left, upper = x + wide * (i + 0.25) / columns, top + 0.05 + (0.95 - top) * (j + 0.2) / rows
                board.box(left, upper, left + 0.5 * wide / columns, upper + 0.55 * (0.95 - top) / rows, pane)
        x += wide * rng.uniform(0.8, 1.1)
    board.box(0, rng.uniform(0.8, 0.98), 1, 1, colour_of(rng, 0.1))
    return board.pixels() + np.float32(rng.uniform(0, 0.08)) * cloud(rng, shape, 60)[..., None]


def _room(rng: np.random.Generator, shape: Shape) -> Floats:
    """Paint a room in perspective with furniture of boxes."""
    wall = colour_of(rng, 0.12)
    board = Board(shape, wall)
    corner = np.array([rng.uniform(0.2, 0.8), rng.uniform(0.45, 0.75)])
    left, right = (0.0, rng.uniform(0.7, 1.0)), (1.0, rng.uniform(0.7, 1.0))
    board.polygon(np.array([(0, 0), (corner[0], 0), corner, left]), shaded(wall, rng.uniform(0.7, 1.2)))
    board.polygon(np.array([corner, right, (1, 1), (0, 1), left]), colour_of(rng, 0.08))
    for _ in range(int(rng.integers(3, 12))):
        x, y, w, h = *rng.uniform((0, 0.15), (0.9, 0.85)), *rng.uniform((0.05, 0.05), (0.4, 0.35))
        tone, depth = colour_of(rng), rng.uniform(0.0, 0.1)
        board.box(x, y, x + w, y + h, tone)
        board.polygon(
            np.array([(x, y), (x + depth, y - depth), (x + w + depth, y - depth), (x + w, y)]), shaded(tone, 1.3)
        )
        board.polygon(
            np.array([(x + w, y), (x + w + depth, y - depth), (x + w + depth, y + h - depth), (x + w, y + h)]),
            shaded(tone, 0.6),
        )
        for i in range(int(rng.integers(0, 4))):
            board.line(np.array([(x, y + h * (i + 0.5) / 4), (x + w, y + h * (i + 0.5) / 4)]), 0.006, shaded(tone, 0.5))
    return board.pixels()


def _portrait(rng: np.random.Generator, shape: Shape) -> Floats:
    """Paint a head and shoulders before something."""
    board = Board(shape, colour_of(rng))
    for _ in range(int(rng.integers(0, 8))):
        x, y = rng.uniform(-0.1, 0.9, 2)
        board.box(x, y, x + rng.uniform(0.05, 0.5), y + rng.uniform(0.05, 0.9), colour_of(rng))
    x, y, size = rng.uniform(0.3, 0.7), rng.uniform(0.25, 0.5), rng.uniform(0.12, 0.34)
    aspect = shape[1] / shape[0]
    skin = shaded((232, 190, 160), rng.uniform(0.35, 1.08))
    cloth = colour_of(rng)

    def oval(dx: float, dy: float, rx: float, ry: float, colour: _Colour) -> None:
        board.polygon(ellipse((x + dx * size, y + dy * size * aspect), (rx * size, ry * size * aspect)), colour)

    hair = shaded((120, 85, 50), rng.uniform(0.1, 1.9))
    oval(0, -0.15, rng.uniform(0.75, 1.0), rng.uniform(0.95, 1.4), hair)
    oval(0, 2.6, rng.uniform(1.4, 2.2), 1.5, cloth)
    oval(0, 1.0, 0.35, 0.6, shaded(skin, 0.85))
    oval(0, 0, 0.7, 0.95, skin)
    oval(0.2, 0.1, 0.45, 0.75, shaded(skin, 1.05))
    for dx in (-0.28, 0.28):
        oval(dx, -0.12, 0.12, 0.07, (245, 245, 245))
        oval(dx, -0.12, 0.06, 0.06, (40, 30, 30))
        oval(dx, -0.27, 0.16, 0.03, shaded(hair, 0.8))
    oval(0, 0.15, 0.09, 0.18, shaded(skin, 0.85))
    oval(0, 0.48, 0.24, rng.uniform(0.04, 0.12), (170, 70, 70))
    if rng.random() < 0.4:
        oval(0, -0.75, rng.uniform(0.75, 1.1), rng.uniform(0.25, 0.5), colour_of(rng))
    return board.pixels()


def _leaves(rng: np.random.Generator, shape: Shape) -> Floats:
    """Let shapes of all sizes fall over one another, as things in the world hide one another."""
    hues = rng.random(3)
    board = Board(shape, colour_of(rng))
    for _ in range(int(rng.integers(20, 110))):
        size = 0.5 * min(1.0, 0.06 / rng.uniform(0.03, 1.0))
        tone = colour_of(rng, float(hues[int(rng.integers(3))]), 0.06)
        at, radii = rng.uniform(0, 1, 2), size * rng.uniform((0.3, 0.3), (1, 1))
        pick = rng.random()
        if pick < 0.35:
            board.polygon(
                ellipse((float(at[0]), float(at[1])), (float(radii[0]), float(radii[1])), rng.uniform(0, 3)), tone
            )
        elif pick < 0.7:
            board.polygon(closed(lump(rng, at, radii, 0.3)), tone)
        else:
            board.polygon(at + rng.normal(0, 0.6, (int(rng.integers(3, 6)), 2)) * radii, tone)
    return board.pixels() * (
        1 + np.float32(rng.uniform(0, 0.15)) * cloud(rng, shape, int(rng.integers(10, 60)))[..., None]
    )


def _thing(rng: np.random.Generator, shape: Shape) -> Floats:
    """Set one lit thing with parts of its own before an even ground, often black or white."""
    ground: _Colour = ((0, 0, 0), (0, 0, 0), (0, 0, 0), (255, 255, 255), colour_of(rng), colour_of(rng))[
        int(rng.integers(6))
    ]
    board = Board(shape, ground)
    hue = rng.random()
    for _ in range(int(rng.integers(1, 6))):
        at, radii = rng.normal(0.5, 0.16, 2), rng.uniform((0.08, 0.08), (0.4, 0.4))
        base = colour_of(rng, hue, float(rng.choice([0.04, 0.3])))
        if rng.random() < 0.4:
            round_thing = ellipse(
                (float(at[0]), float(at[1])), (float(radii[0]), float(radii[0] * shape[1] / shape[0]))
            )
        else:
            round_thing = closed(lump(rng, at, radii, rng.uniform(0.02, 0.3)))
        light = rng.normal(0, 0.25, 2) * radii
        for share in np.linspace(1, 0.2, int(rng.integers(1, 9))):
            board.polygon((round_thing - at) * share + at + light * (1 - share), shaded(base, 0.6 + 0.9 * (1 - share)))
        for _ in range(int(rng.integers(0, 12))):
            spot = at + rng.normal(0, 0.4, 2) * radii
            board.polygon(closed(lump(rng, spot, radii * rng.uniform(0.04, 0.3), 0.3)), colour_of(rng, hue, 0.25))
        for spot in at + rng.normal(0, 0.6, (int(rng.integers(0, 9)), 2)) * radii:
            blade = ellipse(spot, radii * rng.uniform((0.2, 0.04), (0.6, 0.12)), rng.uniform(0, 3.2))
            board.polygon(blade, colour_of(rng, hue, 0.2))
        for _ in range(int(rng.integers(0, 6))):
            ends = at + rng.normal(0, 0.8, (2, 2)) * radii
            board.line(ends, rng.uniform(0.003, 0.03), colour_of(rng))
    pixels = board.pixels()
    if rng.random() < 0.5:
        lit = pixels.max(axis=2, keepdims=True) > 0.02
        pixels = pixels * (
            1 + np.float32(rng.uniform(0.02, 0.2)) * cloud(rng, shape, int(rng.integers(8, 60)))[..., None] * lit
        )
    return np.asarray(pixels)


def _texture(rng: np.random.Generator, shape: Shape) -> Floats:
    """Fill the picture with one stuff: clouds, cloth, bark, water."""
    field = np.zeros(shape, dtype=np.float32)
    cells, weight = int(rng.integers(2, 8)), 1.0
    fall, squash = rng.uniform(0.4, 0.95), math.exp(rng.normal(0, 0.6))
    while cells < min(shape):
        stretched = cloud(rng, (max(4, round(shape[0] / squash)), shape[1]), cells)
        field = field + np.float32(weight) * resize(stretched, shape)
        cells, weight = 2 * cells, weight * fall
    if rng.random() < 0.4:
        x, y = np.arange(shape[1], dtype=np.float32)[None, :], np.arange(shape[0], dtype=np.float32)[:, None]
        angle = rng.uniform(0, 3.2)
        wave = np.float32(rng.uniform(0.1, 0.9)) * (x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle)))
        field = field + np.float32(rng.uniform(0.3, 1.5)) * np.sin(wave + field)
    share = ramp(field, -2.2, 2.2)[..., None]
    dark, light = (np.array(colour_of(rng), dtype=np.float32) / 255 for _ in range(2))
    return np.asarray(dark * (1 - share) + light * share)


def _rough(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Give surfaces the grain of some stuff, finer and coarser, stronger here than there; not always."""
    if rng.random() < 0.4:
        return pixels
    height, width = pixels.shape[:2]
    cells = int(rng.integers(10, 30))
    grain = cloud(rng, (height, width), cells) + np.float32(0.6) * cloud(rng, (height, width), 3 * cells)
    share = np.float32(rng.uniform(0.0, 0.16)) * ramp(cloud(rng, (height, width), 4), -1.0, 1.0)
    return np.asarray(pixels * (1 + share * grain)[..., None])


_SCENES: Final[tuple[Callable[[np.random.Generator, Shape], Floats], ...]] = (
    _landscape,
    _street,
    _room,
    _portrait,
    _leaves,
    _thing,
)


def _taken(pixels: Floats, rng: np.random.Generator) -> Floats:
    """Light the scene, and take it through a lens with its blur and a sensor with its noise."""
    height, width = pixels.shape[:2]
    light = 1 + np.float32(rng.uniform(0, 0.25)) * cloud(rng, (height, width), 3)
    pixels = np.clip(pixels * light[..., None], 0, 1) ** np.float32(math.exp(rng.normal(0, 0.25)))
    pixels = pixels * np.exp(rng.normal(0, 0.07, 3)).astype(np.float32) * np.float32(rng.uniform(0.6, 1.1))
    if rng.random() < 0.5:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 1.4) * max(height, width) / 112)
        pixels = np.asarray(Image.fromarray(vary.eight_bits(pixels)).filter(blur), dtype=np.float32) * np.float32(
            1 / 255
        )
    grain = vary.grain(rng, (height, width))[..., None]
    return np.asarray(pixels + np.float32(rng.uniform(0, 0.04)) * grain)
