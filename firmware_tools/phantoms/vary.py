"""Turn a drawn field into an image as devices, files and exports leave it: tones, noise, resolution, JPEG, letterbox.

All kinds go through the same exports with the same odds, so that no kind can be told by its export.
"""

from __future__ import annotations

import io
import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from edge.demo.ink import Floats, resize
from firmware_tools.phantoms import marks
from firmware_tools.phantoms.canvas import Shape

Picture = NDArray[np.uint8]
_FILTERS: Final = (Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS)


def shape_of(rng: np.random.Generator, side: int, low: float, high: float) -> Shape:
    """Choose height and width of which the longer is `side`; their ratio width / height lies in `low`..`high`.

    A quarter of pictures that may be square are just that: nothing then is letterboxed.
    """
    if low <= 1 <= high and rng.random() < 0.25:
        return side, side
    ratio = math.exp(rng.uniform(math.log(low), math.log(high)))
    if ratio > 1:
        return max(8, round(side / ratio)), side
    return side, max(8, round(side * ratio))


def window(field: Floats, low: float, high: float) -> Floats:
    """Map `low`..`high` to 0..1 and cut what lies outside, as a viewer's window does."""
    scaled = (field - np.float32(low)) * np.float32(1 / max(high - low, 1e-6))
    return np.asarray(np.clip(scaled, 0, 1))


def stretch(field: Floats, rng: np.random.Generator) -> Floats:
    """Map the darkest and brightest few samples to 0 and 1, as a viewer does that knows no window."""
    cut = rng.uniform(0.1, 2.0)
    low, high = np.percentile(field[::2, ::2], (cut, 100 - cut))
    return window(field, float(low), float(high))


def tone(field: Floats, rng: np.random.Generator, gamma: float = 0.2, flat: float = 0.2) -> Floats:
    """Bend the scale 0..1 by a gamma whose logarithm spreads by `gamma`; narrow it with probability `flat`."""
    bent = np.power(np.clip(field, 0, 1), np.float32(math.exp(rng.normal(0, gamma))))
    if rng.random() < flat:
        floor, ceiling = rng.uniform(0, 0.25), rng.uniform(0.6, 1)
        bent = np.float32(floor) + np.float32(ceiling - floor) * bent
    return np.asarray(bent)


def eight_bits(field: Floats) -> Picture:
    """Write 0..1 as bytes."""
    return np.asarray(np.clip(field * np.float32(255) + np.float32(0.5), 0, 255).astype(np.uint8))


def grain(rng: np.random.Generator, shape: Shape) -> Floats:
    """Give white noise of unit variance from two bytes a sample: in eight bits nobody tells it from a Gaussian."""
    pair = rng.integers(0, 256, (2, *shape), dtype=np.uint8).astype(np.float32)
    # A byte's variance is 5461.25, the sum of two has twice that.
    return np.asarray((pair[0] + pair[1] - np.float32(255)) * np.float32(1 / 104.5))


def mottle(field: Floats, rng: np.random.Generator, amount: float) -> Floats:
    """Add quantum noise, fine and blurred by the screen; `amount` is its standard deviation, scale 0..1."""
    height, width = field.shape
    share = rng.uniform(0, 1)
    fine = grain(rng, (height, width))
    if share > 0.3:
        coarse = resize(grain(rng, (height // 2 + 1, width // 2 + 1)), (height, width))
        fine = np.float32(1 - share) * fine + np.float32(1.4 * share) * coarse
    return np.asarray(field + np.float32(amount) * fine)


def rician(signal: Floats, rng: np.random.Generator, sigma: float) -> Floats:
    """Give the magnitude of `signal` with noise of `sigma` in both of the receiver's channels."""
    shape = (signal.shape[0], signal.shape[1])
    real = signal + np.float32(sigma) * grain(rng, shape)
    other = np.float32(sigma) * grain(rng, shape)
    return np.asarray(np.sqrt(real * real + other * other))


def blurred(field: Floats, radius: float) -> Floats:
    """Blur 0..1 by `radius` pixels to 8 bits; below a third of a pixel nothing would show, and nothing is done."""
    if radius < 0.35:
        return field
    image = Image.fromarray(eight_bits(field)).filter(ImageFilter.GaussianBlur(radius))
    return np.asarray(image, dtype=np.float32) * np.float32(1 / 255)


def sharpened(field: Floats, radius: float, amount: float) -> Floats:
    """Lift edges over `radius` pixels by `amount`, as radiography's post-processing does."""
    return np.asarray(field + np.float32(amount) * (field - blurred(np.clip(field, 0, 1), radius)))


def export(picture: Picture, rng: np.random.Generator) -> Picture:
    """Do what happens between a device and a file: frames, fewer pixels, JPEG, rarely a turn, a tint, a tilt."""
    chance = rng.random(7)
    if chance[6] < 0.03:
        picture = np.ascontiguousarray(np.rot90(picture, int(rng.integers(1, 4))))
    if chance[0] < 0.05:
        picture = marks.framed(picture, rng)
    image = Image.fromarray(picture)
    size = image.size
    if chance[1] < 0.35:
        share = rng.uniform(0.35, 0.95)
        image = image.resize((max(8, round(size[0] * share)), max(8, round(size[1] * share))), _any_filter(rng))
    if chance[2] < 0.5:
        image = _recompressed(image, int(rng.integers(30, 96)))
    if image.size != size:
        nearest = rng.random() < 0.08
        image = image.resize(size, Image.Resampling.NEAREST if nearest else _any_filter(rng))
    if chance[3] < 0.12:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.0) * max(size) / 112))
    elif chance[3] < 0.27:
        image = image.filter(ImageFilter.UnsharpMask(rng.uniform(0.6, 2.5), int(rng.integers(30, 160)), 0))
    if chance[4] < 0.03:
        image = _tilted(image, rng)
    if chance[5] < 0.04:
        image = _tinted(image, rng)
    return np.array(image, dtype=np.uint8)


def letterbox(picture: Picture, side: int) -> Picture:
    """Centre a picture on black and give it three channels: uint8 (side, side, 3)."""
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    height, width = rgb.shape[:2]
    page = np.zeros((side, side, 3), dtype=np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    page[top : top + height, left : left + width] = rgb
    return page


def _any_filter(rng: np.random.Generator) -> Image.Resampling:
    return _FILTERS[int(rng.integers(len(_FILTERS)))]


def _recompressed(image: Image.Image, quality: int) -> Image.Image:
    """Carry an image through JPEG."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    file.seek(0)
    with Image.open(file) as back:
        back.load()
        return back.copy()


def _tinted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Give a picture the cast of a film, a light box or a camera's white balance."""
    cast = np.clip(1 + rng.normal(0, 0.06, 3), 0.75, 1.1)
    lift = rng.uniform(0, 14, 3)
    rgb = np.asarray(image.convert("RGB"), dtype=np.float32) * cast.astype(np.float32) + lift.astype(np.float32)
    return Image.fromarray(np.clip(rgb, 0, 255).astype(np.uint8))


def _tilted(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Photograph a picture from slightly aside: its corners move, what lies beyond is dark."""
    width, height = image.size
    corners = np.array([[0, 0], [0, height], [width, height], [width, 0]]) + rng.normal(0, 0.05, (4, 2)) * max(
        width, height
    )
    flat = tuple(float(v) for v in corners.ravel())
    return image.transform((width, height), Image.Transform.QUAD, flat, Image.Resampling.BILINEAR)
