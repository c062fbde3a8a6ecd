"""Show echoes as an ultrasound machine does: speckle, gain, a fan or a box of beams, and the screen round it.

Depth and beam are the axes in which echoes arise, so speckle widens with depth and shadows follow the beams.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from edge.demo.ink import Floats, cloud, noise, resize
from firmware_tools.phantoms import echo, screen, vary
from firmware_tools.phantoms.canvas import Shape
from firmware_tools.phantoms.echo import Echoes, Fan

_Scene: TypeAlias = Callable[[Echoes, np.random.Generator], None]


def us_sector(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw the fan of a phased or a curved probe: heart, liver, kidney, bladder, womb."""
    shape = vary.shape_of(rng, side, 0.95, 1.5)
    cardiac = rng.random() < 0.45
    fan = (
        Fan(rng.uniform(0.5, 0.8), rng.uniform(0.0, 0.05))
        if cardiac
        else Fan(rng.uniform(0.4, 0.65), rng.uniform(0.25, 0.7))
    )
    scene: _Scene = (
        echo.heart if cardiac else (echo.liver, echo.liver, echo.kidney, echo.bladder, echo.womb)[int(rng.integers(5))]
    )
    beams = _received(rng, side, fan, scene)
    field = _fanned(beams, rng, shape, fan)
    return screen.on_screen(field, rng)


def us_linear(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw the box of a flat probe: skin, fat, muscle, vessels, thyroid, cysts, bone."""
    shape = vary.shape_of(rng, side, 0.75, 1.4)
    beams = _received(rng, side, None, echo.layers)
    height, width = shape
    full = rng.random() < 0.35
    high = round(height * (1.0 if full else rng.uniform(0.6, 0.92)))
    wide = min(width, round(width * (1.0 if full else rng.uniform(0.5, 0.92))))
    box = np.clip(resize(beams, (high, wide)), 0, 1)
    if rng.random() < 0.12:
        box = box * _slanted(high, wide, rng.uniform(0.08, 0.25))
    field = np.zeros(shape, dtype=np.float32)
    top, left = rng.integers(0, height - high + 1), rng.integers(0, width - wide + 1)
    field[top : top + high, left : left + wide] = box
    return screen.on_screen(field, rng)


def _slanted(height: int, width: int, slant: float) -> Floats:
    """Mask a box to the trapezium of steered beams."""
    image = Image.new("L", (width, height))
    ImageDraw.Draw(image).polygon([slant * width, 0, (1 - slant) * width, 0, width, height, 0, height], fill=255)
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def _received(rng: np.random.Generator, side: int, fan: Fan | None, scene: _Scene) -> Floats:
    """Send and receive: echoes by depth (rows) and beam (columns), compressed to 0..1."""
    size = (side, max(24, round(side * rng.uniform(0.5, 0.9))))
    echoes = Echoes(size, fan, int(rng.integers(8, 130)))
    scene(echoes, rng)
    soft = ImageFilter.GaussianBlur(rng.uniform(0.3, 1.2) * side / 112)
    strength = np.asarray(Image.fromarray(echoes.map.labels()).filter(soft), dtype=np.float32) * np.float32(1 / 255)
    uneven = rng.uniform(0.05, 0.3 if fan is None else 0.55)
    strength = strength * (1 + np.float32(uneven) * cloud(rng, size, int(rng.integers(4, 12))))
    blocked = np.cumsum(echoes.hard.labels().astype(np.float32), axis=0) * np.float32(1 / 255 * 10 / side)
    depth = np.linspace(0, 1, size[0], dtype=np.float32)[:, None]
    gain = np.exp(-blocked * np.float32(rng.uniform(1, 4)) - np.float32(rng.uniform(-0.3, 1.4)) * depth)
    gain = gain * (1 + np.float32(0.15) * cloud(rng, (4, size[1]), max(3, size[1] // 5))[:1])
    echo = np.clip(strength, 0, None) ** np.float32(rng.uniform(1.0, 2.2)) * gain * _speckle(rng, size)
    span = np.float32(math.exp(rng.uniform(1.5, 5.5)))
    shown = np.log1p(span * echo) / np.log1p(span * np.float32(rng.uniform(0.5, 1.1)))
    return np.asarray(np.clip(shown - np.float32(rng.uniform(0, 0.22)), 0, 1))


def _speckle(rng: np.random.Generator, size: Shape) -> Floats:
    """Give the envelope of many small echoes: Rayleigh, finer along the beam than across."""
    along, across = rng.uniform(0.35, 0.9), rng.uniform(0.25, 0.7)
    small = (max(16, round(size[0] * along)), max(12, round(size[1] * across)))
    real, other = resize(noise(rng, small), size), resize(noise(rng, small), size)
    envelope = np.sqrt(real * real + other * other)
    smooth = np.float32(rng.uniform(0.0, 0.6))
    return np.asarray(smooth + (1 - smooth) * envelope * np.float32(0.8))


def _fanned(beams: Floats, rng: np.random.Generator, shape: Shape, fan: Fan) -> Floats:
    """Spread the beams over the picture as a fan with its apex above."""
    height, width = shape
    reach = 1.0 + fan.apex
    scale = min(height * rng.uniform(0.82, 1.02), width * rng.uniform(0.8, 1.1) / (2 * reach * math.sin(fan.half)))
    top = rng.uniform(0.0, max(0.01, height - scale)) * 0.6
    x = (np.arange(width, dtype=np.float32)[None, :] - np.float32(width * (0.5 + rng.normal(0, 0.03)))) * np.float32(
        1 / scale
    )
    y = (np.arange(height, dtype=np.float32)[:, None] - np.float32(top)) * np.float32(1 / scale) + np.float32(
        fan.apex * math.cos(fan.half)
    )
    depth = np.sqrt(x * x + y * y) - np.float32(fan.apex)
    beam = np.arctan2(x, y) * np.float32(1 / (2 * fan.half)) + np.float32(0.5)
    seen = (depth > 0) & (depth < 1) & (beam > 0) & (beam < 1)
    rows = np.clip(depth * beams.shape[0], 0, beams.shape[0] - 1).astype(np.int32)
    columns = np.clip(beam * beams.shape[1], 0, beams.shape[1] - 1).astype(np.int32)
    return np.asarray(np.where(seen, beams[rows, columns], 0))
