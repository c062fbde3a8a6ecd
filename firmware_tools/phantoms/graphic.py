"""Draw what is neither medical nor photographed: pages, signs, test patterns, charts, screens, codes, ramps, noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from PIL import Image, ImageDraw

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import marks, vary
from firmware_tools.phantoms.canvas import Shape, closed, lump
from firmware_tools.phantoms.photo import colour_of


def graphic(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw one made picture, in colour or in gray."""
    shape = vary.shape_of(rng, side, 0.55, 2.4)
    picture = _STYLES[int(rng.integers(len(_STYLES)))](rng, shape)
    if picture.ndim == 3 and rng.random() < 0.3:
        picture = np.asarray(Image.fromarray(picture).convert("L"))
    return picture


def _paper(rng: np.random.Generator, shape: Shape) -> tuple[Image.Image, ImageDraw.ImageDraw, tuple[int, int, int]]:
    """Take a sheet, white, dark or coloured, and an ink that shows on it."""
    pick = rng.random()
    if pick < 0.5:
        sheet, ink = (int(rng.integers(225, 256)),) * 3, (int(rng.integers(0, 80)),) * 3
    elif pick < 0.75:
        sheet, ink = (int(rng.integers(0, 40)),) * 3, (int(rng.integers(170, 256)),) * 3
    else:
        sheet, ink = colour_of(rng), colour_of(rng)
    image = Image.new("RGB", (shape[1], shape[0]), sheet)
    return image, ImageDraw.Draw(image), ink


def _page(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Set paragraphs, in columns or not, with a heading, rules and boxes for pictures."""
    image, pen, ink = _paper(rng, shape)
    height, width = shape
    size = max(4, round(max(shape) * rng.uniform(0.025, 0.07)))
    columns = int(rng.choice([1, 1, 1, 2, 3]))
    y = margin = round(0.06 * height)
    if rng.random() < 0.6:
        pen.text((margin, y), marks.phrase(rng, 3), fill=ink, font=marks.font(2 * size))
        y += 3 * size
    while y < height - margin:
        gap = rng.random()
        for column in range(columns):
            left, wide = margin + column * (width - margin) // columns, (width - margin) // columns - margin // 2
            if gap < 0.12:
                continue
            if gap < 0.2:
                pen.line([left, y + size // 2, left + wide, y + size // 2], fill=ink)
            elif gap < 0.24:
                pen.rectangle(
                    [left, y, left + wide, y + 3 * size],
                    outline=ink,
                    fill=colour_of(rng) if rng.random() < 0.5 else None,
                )
            else:
                text = marks.phrase(rng, max(1, int(rng.uniform(0.5, 1) * wide / (2.6 * size))))
                pen.text((left, y), text, fill=ink, font=marks.font(size))
        y += round(1.35 * size) + (2 * size if 0.2 <= gap < 0.24 else 0)
    return np.array(image)


def _sign(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Write a few large words."""
    image, pen, ink = _paper(rng, shape)
    rows = int(rng.integers(1, 4))
    for i in range(rows):
        words = marks.phrase(rng, int(rng.integers(1, 4)))
        size = int(min(0.8 * shape[0] / rows, 1.7 * shape[1] / max(2, len(words))))
        at = (shape[1] * rng.uniform(0.4, 0.6), shape[0] * (i + 0.5) / rows)
        pen.text(at, words, fill=ink, font=marks.font(max(5, size)), anchor="mm", stroke_width=int(rng.integers(0, 3)))
    if rng.random() < 0.4:
        x, y = rng.uniform(0, 0.7, 2)
        pen.rectangle([x * shape[1], y * shape[0], (x + 0.25) * shape[1], (y + 0.08) * shape[0]], fill=colour_of(rng))
    return np.array(image)


def _pattern(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Draw bars, checks, rays, rings, a zone plate, or a figure of several mirrors."""
    x = np.linspace(-1, 1, shape[1], dtype=np.float32)[None, :] * np.float32(shape[1] / max(shape))
    y = np.linspace(-1, 1, shape[0], dtype=np.float32)[:, None] * np.float32(shape[0] / max(shape))
    turn, rate = rng.uniform(0, 3.2), np.float32(rng.uniform(4, 40))
    u = x * np.float32(math.cos(turn)) + y * np.float32(math.sin(turn))
    v = y * np.float32(math.cos(turn)) - x * np.float32(math.sin(turn))
    radius, angle = np.sqrt(x * x + y * y), np.arctan2(y, x + np.zeros_like(y))
    spokes = np.float32(int(rng.integers(3, 24)))
    fields: tuple[Callable[[], Floats], ...] = (
        lambda: np.sin(rate * u),
        lambda: np.sin(rate * u) * np.sin(rate * v),
        lambda: np.sin(spokes * angle),
        lambda: np.sin(rate * radius),
        lambda: np.sin(rate * rate * np.float32(0.5) * radius * radius),
        lambda: np.sin(spokes * angle) * np.sin(rate * np.log(radius + np.float32(0.05))),
        lambda: np.sin(rate * u + 3 * np.sin(rate * np.float32(0.3) * v)),
        lambda: u,
        lambda: radius * 2 - 1,
    )
    field = fields[int(rng.integers(len(fields)))]() * np.ones(shape, dtype=np.float32)
    if rng.random() < 0.5:
        field = np.clip(field * np.float32(rng.uniform(2, 60)), -1, 1)
    share = np.float32(0.5) + np.float32(0.5) * field
    if rng.random() < 0.5:
        return vary.eight_bits(share)
    dark, light = (np.array(colour_of(rng), dtype=np.float32) / 255 for _ in range(2))
    return vary.eight_bits(dark + (light - dark) * share[..., None])


def _ramp(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Blend colours over the picture, in steps or without, or leave one colour."""
    rows, columns = int(rng.choice([1, 1, 2, 3])), int(rng.integers(1, 6))
    grid = rng.integers(0, 256, (rows, columns, 3), dtype=np.uint8)
    if rng.random() < 0.6:
        grid[:] = grid[:, :, :1]
    if rng.random() < 0.3:
        grid = grid.swapaxes(0, 1)
    smooth = Image.Resampling.BICUBIC if rng.random() < 0.7 else Image.Resampling.NEAREST
    return np.array(Image.fromarray(grid).resize((shape[1], shape[0]), smooth))


def _noise(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Fill the picture with noise of one grain."""
    fine = max(1, int(rng.integers(1, 9)))
    small = (max(2, shape[0] // fine), max(2, shape[1] // fine))
    depth = 3 if rng.random() < 0.5 else 1
    grains = rng.integers(0, 256, (*small, depth), dtype=np.uint8)
    if rng.random() < 0.3:
        grains = np.where(grains > rng.integers(20, 236), 255, 0).astype(np.uint8)
    image = Image.fromarray(grains if depth == 3 else grains[:, :, 0])
    smooth = Image.Resampling.NEAREST if rng.random() < 0.5 else Image.Resampling.BICUBIC
    return np.array(image.resize((shape[1], shape[0]), smooth))


def _chart(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Plot curves, bars or a pie between axes."""
    image, pen, ink = _paper(rng, shape)
    height, width = shape
    left, right, top, bottom = 0.14 * width, 0.95 * width, 0.1 * height, 0.86 * height
    pick = rng.random()
    if pick < 0.3:
        start, reach = 0.0, 0.4 * min(shape)
        box = [width / 2 - reach, height / 2 - reach, width / 2 + reach, height / 2 + reach]
        for share in rng.dirichlet(np.ones(int(rng.integers(2, 8)))):
            pen.pieslice(box, start, start + max(1.0, 360 * share), fill=colour_of(rng))
            start += 360 * share
        return np.array(image)
    for i in range(int(rng.integers(0, 8))):
        y = top + (bottom - top) * i / 8
        pen.line([left, y, right, y], fill=tuple((c + 128) // 2 for c in ink))
    if pick < 0.6:
        count = int(rng.integers(3, 14))
        tone = colour_of(rng)
        for i, value in enumerate(rng.uniform(0.05, 1, count)):
            x = left + (right - left) * (i + 0.15) / count
            pen.rectangle([x, bottom - (bottom - top) * value, x + 0.7 * (right - left) / count, bottom], fill=tone)
    else:
        for _ in range(int(rng.integers(1, 5))):
            height_at = np.clip(np.cumsum(rng.normal(0, 0.06, 40)) + rng.uniform(0.2, 0.8), 0, 1)
            path = np.stack([np.linspace(left, right, 40), bottom - (bottom - top) * height_at], axis=1)
            pen.line(path.ravel().tolist(), fill=colour_of(rng), width=max(1, width // 90))
    pen.line([left, top, left, bottom, right, bottom], fill=ink, width=max(1, width // 110))
    pen.text((left, 1), marks.phrase(rng, 3), fill=ink, font=marks.font(max(5, height // 14)))
    return np.array(image)


def _screenshot(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Lay out windows with bars, buttons, lists and text."""
    image, pen, ink = _paper(rng, shape)
    height, width = shape
    size = max(4, height // 18)
    for _ in range(int(rng.integers(2, 9))):
        x, y = rng.uniform(0, 0.7) * width, rng.uniform(0, 0.7) * height
        right, low = x + rng.uniform(0.15, 0.7) * width, y + rng.uniform(0.1, 0.6) * height
        pen.rectangle([x, y, right, low], fill=colour_of(rng) if rng.random() < 0.5 else (240, 240, 240), outline=ink)
        pen.rectangle([x, y, right, y + size + 2], fill=colour_of(rng))
        for i in range(int(rng.integers(0, 7))):
            pen.text((x + 3, y + 3 + 1.4 * size * (i + 1)), marks.phrase(rng, 3), fill=ink, font=marks.font(size))
    return np.array(image)


def _code(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Print a bar code or a square code on white."""
    page = np.full(shape, 255, dtype=np.uint8)
    if rng.random() < 0.5:
        bits = rng.integers(0, 2, (1, int(rng.integers(30, 90))), dtype=np.uint8)
    else:
        count = int(rng.integers(17, 41))
        bits = rng.integers(0, 2, (count, count), dtype=np.uint8)
        for top, left in ((0, 0), (0, count - 7), (count - 7, 0)):
            bits[top : top + 7, left : left + 7] = 0
            bits[top + 1 : top + 6, left + 1 : left + 6] = 1
            bits[top + 2 : top + 5, left + 2 : left + 5] = 0
    size = min(shape) * rng.uniform(0.5, 0.95)
    wide = round(size) if bits.shape[0] > 1 else round(0.85 * shape[1])
    image = Image.fromarray(bits * 255).resize((wide, round(size)), Image.Resampling.NEAREST)
    top, left = (shape[0] - image.height) // 2, (shape[1] - image.width) // 2
    page[top : top + image.height, left : left + image.width] = np.asarray(image)
    return page


def _badge(rng: np.random.Generator, shape: Shape) -> vary.Picture:
    """Draw a few flat shapes, as signs and clip art have them, sometimes softly, sometimes in gray on black."""
    image = Image.new("RGB", (2 * shape[1], 2 * shape[0]), colour_of(rng) if rng.random() < 0.6 else (0, 0, 0))
    pen = ImageDraw.Draw(image)
    size = np.array(image.size, dtype=np.float64)
    for _ in range(int(rng.integers(1, 9))):
        at, radii = rng.uniform(0.2, 0.8, 2) * size, rng.uniform((0.05, 0.05), (0.4, 0.4)) * size.min()
        if rng.random() < 0.5:
            outline = closed(lump(rng, at, radii, rng.uniform(0, 0.3)))
        else:
            angle = np.linspace(0, 2 * np.pi, int(rng.integers(3, 9)), endpoint=False) + rng.uniform(0, 6)
            outline = at + np.stack([np.cos(angle), np.sin(angle)], axis=1) * radii
        pen.polygon(outline.ravel().tolist(), fill=colour_of(rng))
        if rng.random() < 0.4:
            pen.line(
                [*outline.ravel().tolist(), *outline[0].tolist()], fill=colour_of(rng), width=int(rng.integers(2, 9))
            )
    pixels = np.asarray(image.reduce(2))
    if rng.random() < 0.3:
        shade = 1 + np.float32(rng.uniform(0.05, 0.25)) * cloud(rng, shape, int(rng.integers(3, 40)))
        pixels = np.clip(pixels * shade[..., None], 0, 255).astype(np.uint8)
    return pixels


_STYLES: Final[tuple[Callable[[np.random.Generator, Shape], vary.Picture], ...]] = (
    _page, _page, _sign, _sign, _pattern, _pattern, _pattern, _ramp, _ramp, _ramp, _noise, _chart, _screenshot, _code,
    _badge, _badge,
)  # fmt: skip
