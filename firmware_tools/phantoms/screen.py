"""Draw the screen of an ultrasound machine round its field: gray bar, scales, a trace, menus, text, coloured flow.

Some screens are gray, some have coloured marks; all parts come and go by chance.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import marks, vary

_Ink: TypeAlias = int | tuple[int, int, int]
_HUES: Final = ((200, 200, 200), (90, 120, 190), (220, 200, 60), (60, 200, 90))


def on_screen(field: Floats, rng: np.random.Generator) -> vary.Picture:
    """Put `field` (0..1) on a screen of its own size; uint8, gray or with three channels."""
    # Rooms are dark where one scans, and so are many screens.
    dim = np.float32(rng.uniform(0.3, 1.0) if rng.random() < 0.4 else 1)
    picture = vary.eight_bits(dim * vary.tone(field, rng, 0.25, flat=0.05))
    if rng.random() < 0.08:
        picture = _flow(picture, rng)
    if rng.random() < 0.3:
        return picture
    image = Image.fromarray(picture)
    if image.mode == "L" and rng.random() < 0.25:
        image = image.convert("RGB")
    gray = image.mode == "L"
    pen = ImageDraw.Draw(image)
    hue: _Ink = int(rng.integers(110, 256)) if gray else _HUES[int(rng.integers(len(_HUES)))]
    chance = rng.random(6)
    if chance[0] < 0.12:
        _light_bar(pen, rng, gray=gray)
    if chance[1] < 0.35:
        _gray_bar(pen, gray=gray)
    if chance[2] < 0.6:
        _depths(pen, rng, hue)
    if chance[3] < 0.35:
        _trace(pen, rng, hue)
    if chance[4] < 0.4:
        _menu(pen, rng, hue, gray=gray)
    if chance[5] < 0.6:
        _settings(pen, rng, hue)
    return np.array(image, dtype=np.uint8)


def _light_bar(pen: ImageDraw.ImageDraw, rng: np.random.Generator, *, gray: bool) -> None:
    """Let a program's light bar take a part of the screen."""
    width, height = pen.im.size
    level = int(rng.integers(150, 256))
    ends = [0, 0, width, height * rng.uniform(0.04, 0.14)] if rng.random() < 0.6 else [0, 0, 0.12 * width, height]
    pen.rectangle(ends, fill=level if gray else (level, level, level))


def _gray_bar(pen: ImageDraw.ImageDraw, *, gray: bool) -> None:
    width, height = pen.im.size
    for step in range(12):
        level, y = round(255 * (1 - step / 12)), height * (0.08 + 0.02 * step)
        ends = [0.02 * width, y, 0.045 * width, y + 0.02 * height]
        pen.rectangle(ends, fill=level if gray else (level, level, level))


def _depths(pen: ImageDraw.ImageDraw, rng: np.random.Generator, hue: _Ink) -> None:
    """Draw ticks along one side."""
    width, height = pen.im.size
    x = width * (0.03, 0.93, 0.97)[int(rng.integers(3))]
    for y in np.linspace(0.06, 0.94, int(rng.integers(6, 20))):
        pen.line([x, y * height, x + 0.015 * width, y * height], fill=hue)


def _trace(pen: ImageDraw.ImageDraw, rng: np.random.Generator, hue: _Ink) -> None:
    """Draw the heart's beats along the bottom."""
    width, height = pen.im.size
    t = np.linspace(0, 1, 90)
    beat = np.exp(-((((t * rng.uniform(3, 6)) % 1) - 0.5) ** 2) / 0.003)
    pen.line(np.stack([t * width, height * (0.95 - 0.08 * beat)], axis=1).ravel().tolist(), fill=hue)


def _menu(pen: ImageDraw.ImageDraw, rng: np.random.Generator, hue: _Ink, *, gray: bool) -> None:
    width, height = pen.im.size
    top = height * rng.uniform(0.92, 0.97)
    pen.rectangle([0.05 * width, top, 0.95 * width, top + 0.035 * height], fill=40 if gray else (25, 35, 70))
    letters = marks.font(max(4, round(0.035 * height)))
    pen.text((0.08 * width, top - 1), marks.phrase(rng, 5), fill=hue, font=letters)


def _settings(pen: ImageDraw.ImageDraw, rng: np.random.Generator, hue: _Ink) -> None:
    """Write the machine's settings into the upper corners, and mark the probe's side."""
    width, height = pen.im.size
    size = max(4, round(height * rng.uniform(0.03, 0.055)))
    for x in (0.01, 0.82):
        for row in range(int(rng.integers(0, 7))):
            at = (x * width, height * 0.03 + 1.2 * size * row)
            pen.text(at, marks.phrase(rng, 1), fill=hue, font=marks.font(size))
    pen.ellipse([0.48 * width, 0.01 * height, 0.5 * width, 0.01 * height + 0.02 * width], fill=hue)


def _flow(picture: vary.Picture, rng: np.random.Generator) -> vary.Picture:
    """Colour what moves: red towards the probe, blue away, in the dark parts of a box."""
    height, width = picture.shape
    rgb = np.repeat(picture[:, :, None], 3, axis=2)
    top, left = int(height * rng.uniform(0.2, 0.5)), int(width * rng.uniform(0.25, 0.5))
    box = (slice(top, top + int(0.35 * height)), slice(left, left + int(0.3 * width)))
    speed = cloud(rng, (rgb[box].shape[0], rgb[box].shape[1]), 4)
    moving = (np.abs(speed) > 0.5) & (picture[box] < 110)
    warm = np.stack([speed * 90 + 120, speed * 60, np.zeros_like(speed)], axis=-1)
    cool = np.stack([np.zeros_like(speed), -speed * 60, -speed * 90 + 120], axis=-1)
    tint = np.clip(np.where(speed[..., None] > 0, warm, cool), 0, 255).astype(np.uint8)
    rgb[box] = np.where(moving[..., None], tint, rgb[box])
    return rgb
