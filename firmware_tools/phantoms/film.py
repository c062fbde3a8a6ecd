"""Develop attenuation into a radiograph: the film's curve, edge filters, quantum mottle, collimation, lead markers.

Bright is dense, as radiographs are shown, but for the few that come inverted.
"""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import marks, vary
from firmware_tools.phantoms.canvas import Canvas, branches, curve


def develop(
    attenuation: Floats,
    rng: np.random.Generator,
    *,
    collimated: float = 0.22,
    inverted: float = 0.04,
    ceiling: tuple[float, float] = (88, 99.8),
) -> vary.Picture:
    """Show `attenuation` (about 0 in air, 1 behind thick bone) as a gray picture; uint8 of the same shape.

    `ceiling` bounds the percentile that comes out white: low where bone fills the picture, high where it is sparse.
    """
    chance = rng.random(6)
    low, high = np.percentile(attenuation[::2, ::2], (rng.uniform(0.3, 7), rng.uniform(*ceiling)))
    scaled = (attenuation - np.float32(low)) * np.float32(1 / max(high - low, 0.05))
    if chance[0] < 0.6:
        slope = rng.uniform(2.0, 5.5)
        film = 1 / (1 + np.exp(np.float32(-slope) * (scaled - np.float32(rng.uniform(0.35, 0.65)))))
        edge = 1 / (1 + math.exp(0.5 * slope))
        film = (film - np.float32(edge * rng.uniform(0, 1))) * np.float32(rng.uniform(0.85, 1.0) / (1 - edge))
    else:
        film = np.clip(scaled, 0, 1)
    film = vary.tone(film, rng, 0.25, flat=0.35)
    if chance[1] < 0.45:
        reach = max(film.shape) / 112 * rng.uniform(1.0, 9.0)
        film = vary.sharpened(film, reach, rng.uniform(0.1, 0.9))
    film = vary.blurred(np.clip(film, 0, 1), max(film.shape) / 112 * rng.uniform(0.0, 0.9))
    film = _uneven(film, rng)
    film = vary.mottle(film, rng, rng.uniform(0.0, 0.03) ** 1.4)
    if chance[2] < inverted:
        film = 1 - film
    if chance[3] < collimated:
        film = _collimated(film, rng)
    picture = vary.eight_bits(film)
    if chance[4] < 0.4:
        picture = _marked(picture, rng)
    return marks.annotated(picture, rng, 0.3)


def _uneven(film: Floats, rng: np.random.Generator) -> Floats:
    """Let the exposure fall off to one side, as the anode's heel and crooked grids make it."""
    height, width = film.shape
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    a, b, c = (np.float32(v) for v in rng.normal(0, 0.035, 3))
    return np.asarray(film + a * x + b * y + c * (x * x + y * y))


def _collimated(film: Floats, rng: np.random.Generator) -> Floats:
    """Cover what the blades kept from the beam: black as viewers shut it, white as film leaves it, or half dark."""
    height, width = film.shape
    plate = Image.new("L", (width, height))
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], dtype=np.float64)
    inset = rng.uniform(-0.04, 0.13, 4)
    corners += np.array([[inset[0], inset[1]], [-inset[2], inset[1]], [-inset[2], -inset[3]], [inset[0], -inset[3]]])
    angle = rng.normal(0, 0.05)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    corners = (corners - 0.5) @ turn.T + 0.5
    ImageDraw.Draw(plate).polygon((corners * (width, height)).ravel().tolist(), fill=255)
    inside = np.asarray(plate, dtype=np.float32) * np.float32(1 / 255)
    outside = np.float32(rng.choice([0.0, 0.02, 0.06, 0.9, 1.0], p=[0.45, 0.15, 0.2, 0.1, 0.1]))
    through = np.float32(rng.uniform(0, 0.3) if rng.random() < 0.3 else 0)
    return np.asarray(film * (inside + through * (1 - inside)) + (1 - inside) * (1 - through) * outside)


def _marked(picture: vary.Picture, rng: np.random.Generator) -> vary.Picture:
    """Lay a lead letter on the cassette, upright or not."""
    size = max(7, round(max(picture.shape) * rng.uniform(0.05, 0.11)))
    plate = Image.new("L", (2 * size, 2 * size))
    letter = str(rng.choice(["R", "L"]))
    ImageDraw.Draw(plate).text(
        (size, size), letter, fill=255, font=marks.font(size), anchor="mm", stroke_width=size // 12
    )
    if rng.random() < 0.3:
        ImageDraw.Draw(plate).ellipse([1, 1, 2 * size - 2, 2 * size - 2], outline=255, width=max(1, size // 10))
    plate = plate.rotate(float(rng.choice([0, 0, 0, 90, 180, 12, -8])), Image.Resampling.BILINEAR)
    image = Image.fromarray(picture)
    depth, along = rng.uniform(0.0, 0.16), rng.uniform(0.0, 0.8)
    depth = depth if rng.random() < 0.5 else 0.84 - depth
    x, y = (depth, along) if rng.random() < 0.6 else (along, depth)
    image.paste(int(rng.integers(200, 256)), (round(x * image.width), round(y * image.height)), plate)
    return np.array(image, dtype=np.uint8)


def tissue(canvas: Canvas, rng: np.random.Generator, amount: float) -> Floats:
    """Give the soft unevenness of whatever lies in the beam; zero mean, standard deviation `amount`."""
    field = cloud(rng, canvas.shape, int(rng.integers(6, 14)))
    if rng.random() < 0.5:
        field = field + np.float32(0.7) * cloud(rng, canvas.shape, 40)
    return np.asarray(np.float32(amount * rng.uniform(0.4, 1.4)) * field)


def wires(canvas: Canvas, rng: np.random.Generator, extent: float) -> Floats:
    """Lay leads, tubes and clips over the patient; shares in 0..1. `extent` is the span of the anatomy in units."""
    layer = canvas.layer()
    count = int(rng.integers(1, 5))
    starts = rng.uniform(-0.5, 0.5, (count, 2)) * extent
    lines = branches(rng, starts, rng.uniform(-3.2, 3.2, count), length=0.6 * extent, wander=0.12, points=8)
    for line in lines:
        layer.stroke(curve(line), extent * rng.uniform(0.004, 0.012), int(rng.integers(90, 256)))
        if rng.random() < 0.6:
            radius = extent * rng.uniform(0.008, 0.022)
            layer.oval((line[0, 0], line[0, 1]), (radius, radius), int(rng.integers(120, 256)))
    return layer.cover()
