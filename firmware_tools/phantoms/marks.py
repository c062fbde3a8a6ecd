"""Write on pictures what people and machines write on them: corner text, side markers, rulers, frames, captions.

What is written is made up and the same for every kind, so that no kind can be told by its text.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Picture = NDArray[np.uint8]
_WORDS: Final = (
    "L", "R", "A", "P", "S", "I", "PA", "AP", "LAT", "ERECT", "SUPINE", "PORTABLE", "ANON", "TEST", "HOSPITAL",
    "CLINIC", "Se:", "Im:", "W:", "L:", "kV", "mA", "mm", "cm", "Zoom", "FOV", "THK", "TR", "TE", "FL", "OD", "OS",
    "GAIN", "MI", "TIS", "FR", "Hz", "dB", "Gen", "M", "F", "ID", "Study", "Page", "Series", "Exam", "Date", "C+",
    "STND", "Fig", "DFOV", "the", "and", "of", "not", "Total", "No.", "street", "summer", "water", "EXIT", "open",
    "RED", "file", "Time",
)  # fmt: skip


@lru_cache(maxsize=64)
def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Give Pillow's own font in `size` pixels."""
    return ImageFont.load_default(size=size)


def phrase(rng: np.random.Generator, words: int) -> str:
    """Make up a line of text: words, numbers, dates."""
    parts = []
    for pick in rng.random(words):
        if pick < 0.55:
            parts.append(_WORDS[int(rng.integers(len(_WORDS)))])
        elif pick < 0.85:
            parts.append(str(int(rng.integers(0, 10 ** int(rng.integers(1, 5))))))
        else:
            day, month, year = rng.integers(1, 29), rng.integers(1, 13), rng.integers(1990, 2030)
            parts.append(f"{day:02d}.{month:02d}.{year}")
    return " ".join(parts)


def annotated(picture: Picture, rng: np.random.Generator, often: float = 0.35) -> Picture:
    """Burn in what a viewer lays over a picture, with probability `often`: corners full of text, a ruler, a letter."""
    if rng.random() > often:
        return picture
    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    width, height = image.size
    ink = _ink(image, int(rng.integers(150, 256)) if rng.random() < 0.9 else int(rng.integers(0, 60)))
    size = max(4, round(max(width, height) * rng.uniform(0.028, 0.07)))
    chance = rng.random(5)
    for corner in range(4):
        if chance[0] < 0.6 and rng.random() < 0.5:
            _corner(pen, rng, corner, size, ink)
    if chance[1] < 0.35:
        _letter(pen, rng, (width, height), ink)
    if chance[2] < 0.25:
        _ruler(pen, rng, (width, height), ink)
    if chance[3] < 0.05:
        x, y = rng.uniform(0, width), rng.uniform(0, height)
        box = [x, y, x + rng.uniform(0.1, 0.4) * width, y + rng.uniform(0.03, 0.15) * height]
        pen.rectangle(box, fill=_ink(image, int(rng.choice([0, 0, 255, 128]))))
    if chance[4] < 0.04:
        x, y, reach = rng.uniform(0.2, 0.8) * width, rng.uniform(0.2, 0.8) * height, 0.12 * width
        pen.line(
            [x, y, x + rng.choice([-1, 1]) * reach, y + rng.uniform(-1, 1) * reach], fill=ink, width=max(1, width // 90)
        )
    return np.array(image, dtype=np.uint8)


def _ink(image: Image.Image, level: int) -> int | tuple[int, int, int]:
    return level if image.mode == "L" else (level, level, level)


def _corner(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, corner: int, size: int, ink: int | tuple[int, int, int]
) -> None:
    """Write a few lines into one corner."""
    width, height = pen.im.size
    lines = [phrase(rng, int(rng.integers(1, 4))) for _ in range(int(rng.integers(1, 5)))]
    top = 2 if corner < 2 else height - 2 - round(1.15 * size) * len(lines)
    right = corner % 2 == 1
    for i, text in enumerate(lines):
        at = (width - 2 if right else 2, top + round(1.15 * size) * i)
        pen.text(at, text, fill=ink, font=font(size), anchor="ra" if right else "la")


def _letter(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: int | tuple[int, int, int]
) -> None:
    """Lay a side marker near an edge, sometimes on a plate of its own."""
    letter = str(rng.choice(["L", "R", "L", "R", "A", "P", "H", "F", "S"]))
    tall = max(6, round(max(size) * rng.uniform(0.05, 0.12)))
    along, depth = rng.uniform(0.05, 0.9), rng.uniform(0.01, 0.12)
    depth = depth if rng.random() < 0.5 else 0.97 - depth - tall / max(size)
    at = (along * size[0], depth * size[1]) if rng.random() < 0.5 else (depth * size[0], along * size[1])
    if rng.random() < 0.2:
        pen.rectangle([at[0] - 2, at[1] - 1, at[0] + 0.8 * tall, at[1] + 1.1 * tall], fill=0)
    pen.text(at, letter, fill=ink, font=font(tall))


def _ruler(
    pen: ImageDraw.ImageDraw, rng: np.random.Generator, size: tuple[int, int], ink: int | tuple[int, int, int]
) -> None:
    """Draw a line with ticks along one edge."""
    width, height = size
    upright = rng.random() < 0.6
    ticks = int(rng.integers(5, 16))
    edge = rng.uniform(0.01, 0.06)
    edge = edge if rng.random() < 0.5 else 1 - edge
    low, high = rng.uniform(0.1, 0.35), rng.uniform(0.6, 0.9)
    for i, at in enumerate(np.linspace(low, high, ticks)):
        long = 0.03 if i % 5 == 0 else 0.015
        long = -long if edge > 0.5 else long
        if upright:
            pen.line([edge * width, at * height, (edge + long) * width, at * height], fill=ink)
        else:
            pen.line([at * width, edge * height, at * width, (edge + long) * height], fill=ink)
    if rng.random() < 0.7:
        ends = [edge * width, low * height, edge * width, high * height]
        pen.line(ends if upright else [low * width, edge * height, high * width, edge * height], fill=ink)


def framed(picture: Picture, rng: np.random.Generator) -> Picture:
    """Set a picture on a page with a border or a caption, as on the web; the page has the picture's size."""
    image = Image.fromarray(picture)
    width, height = image.size
    level = int(rng.choice([0, 0, 30, 128, 200, 240, 255, 255]))
    page = Image.new(image.mode, image.size, _ink(image, level))
    margins = rng.uniform(0, 0.08, 4)
    if rng.random() < 0.5:
        margins[int(rng.choice([1, 3]))] = rng.uniform(0.08, 0.2)
    left, top = round(margins[0] * width), round(margins[1] * height)
    inner = (width - left - round(margins[2] * width), height - top - round(margins[3] * height))
    page.paste(image.resize(inner, Image.Resampling.BILINEAR), (left, top))
    pen = ImageDraw.Draw(page)
    ink = _ink(image, 20 if level > 100 else 230)
    size = max(5, round(height * rng.uniform(0.035, 0.07)))
    if margins[3] > 0.08:
        pen.text((left + 2, top + inner[1] + 1), phrase(rng, 6), fill=ink, font=font(size))
    elif margins[1] > 0.08:
        pen.text((left + 2, 1), phrase(rng, 5), fill=ink, font=font(size))
    return np.array(page, dtype=np.uint8)
