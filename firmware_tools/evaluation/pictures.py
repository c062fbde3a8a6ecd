"""The pictures of an evaluation: what a cipher image looks like, its histogram, its neighbours, and the maps themselves.

The rule kept here: the paper of every picture is white, so that it reads on a light page, on a dark one and in print.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from firmware_tools.acceptance import lyapunov
from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.dynamics import Cycles, Floats
from firmware_tools.evaluation.metrics import Direction
from firmware_tools.evaluation.speed import Timed
from firmware_tools.evaluation.ways import Image
from firmware_tools.training.curves import as_png, pyplot

_BLUE, _RED = "#2060c0", "#c04020"
_CHANNELS: Final = ("#c04020", "#208040", _BLUE)
_BARS: Final = 256
_COLOURS: Final = 64
_POINTS: Final = 3000
_SHOWN: Final = 360
"""Pixels a side, at most, of an image in a picture."""


def journey(plain: Image, cipher: Image, back: Image) -> bytes:
    """Draw an image, its cipher image and what that deciphers to, each over its histogram: a PNG file."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 3, figsize=(9, 5), dpi=100, facecolor="white", height_ratios=(3, 1))
    for column, (title, image) in enumerate((("plain", plain), ("enciphered", cipher), ("deciphered", back))):
        axes[0, column].imshow(_eight_bits(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axes[0, column].set(title=title, xticks=[], yticks=[])
        low, high = _range(image)
        # So many values in each bar, one as in another: else the bars would show a pattern that the image has not.
        bins = np.arange(low, high + 2 + (width := -(-(high - low + 1) // _BARS)), width)
        if image.ndim == 2:
            axes[1, column].hist(image.ravel(), bins=bins, color=_BLUE)
        else:
            for channel, colour in enumerate(_CHANNELS):
                axes[1, column].hist(
                    image[..., channel].ravel(), bins=bins, color=colour, histtype="step", linewidth=0.7
                )
        axes[1, column].set(xlim=(low, high + 1), ylim=(0, None), xticks=[low, (low + high + 1) // 2, high], yticks=[])
    axes[1, 0].set_ylabel("samples")
    figure.tight_layout()
    return _png(figure)


def neighbours(plain: Image, cipher: Image, generator: np.random.Generator) -> bytes:
    """Draw each of 3,000 random samples against its neighbour, plain and enciphered, in three directions: a PNG file."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 3, figsize=(9, 5.6), dpi=100, facecolor="white", sharex="row", sharey="row")
    for row, (name, image) in enumerate((("plain", plain), ("enciphered", cipher))):
        for column, direction in enumerate(Direction):
            first, second = metrics.neighbours(image, direction)
            chosen = generator.integers(first.size, size=_POINTS)
            axis = axes[row, column]
            axis.scatter(first[chosen], second[chosen], s=2, color=_BLUE, linewidths=0)
            r = metrics.adjacent_correlation(image, direction)
            axis.set_title(f"{name}, {direction.name.lower()}, r = {r:.4f}", fontsize=9)
            axis.set(xlim=_range(image), ylim=_range(image))
    figure.tight_layout()
    return _png(figure)


def side_by_side(images: Sequence[tuple[str, Image]]) -> bytes:
    """Draw four images in a row, each under its title: a PNG file."""
    plt = pyplot()
    tallest = max(image.shape[0] / image.shape[1] for _, image in images)
    height = 0.8 + min(4, 2.2 * tallest)
    figure, axes = plt.subplots(1, len(images), figsize=(9, height), dpi=100, facecolor="white")
    for axis, (title, image) in zip(axes, images, strict=True):
        axis.imshow(_eight_bits(image), cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    figure.tight_layout()
    return _png(figure)


def bifurcation(r: Floats, exponents: Floats, settings: Sequence[float]) -> bytes:
    """Draw the logistic map's states and its Lyapunov exponent, over all r and over the cipher's range: a PNG file.

    Args:
        r: The cipher's range, float64 (n,).
        exponents: The exponent at each r.
        settings: The r of some images.
    """
    plt = pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(9, 5.4), dpi=100, facecolor="white", sharex="col", height_ratios=(2, 1))
    wide = np.linspace(2.8, 4.0, 1600)
    for column, (over, found) in enumerate(((wide, lyapunov.logistic(wide)), (r, exponents))):
        states, exponent = axes[:, column]
        x = np.full(over.size, 0.3123)
        for step in range(560):
            x = over * x * (1 - x)
            if step >= 500:
                states.plot(over, x, ",", color=_BLUE, alpha=0.35)
        exponent.plot(over, found, color=_BLUE, linewidth=0.6)
        exponent.axhline(0, color="#808080", linewidth=0.6)
        exponent.axhline(math.log(2), color="#808080", linewidth=0.6, linestyle=":")
        states.set(xlim=(over[0], over[-1]), ylim=(0, 1), ylabel="x")
        exponent.set(xlabel="r", ylabel="exponent", ylim=(-1 if over is wide else 0, 0.8))
        exponent.ticklabel_format(axis="x", useOffset=False)
    for value in dict.fromkeys(settings):
        for axis in axes[:, 1]:
            axis.axvline(value, color=_RED, linewidth=0.8)
    axes[0, 0].set_title("the logistic map")
    axes[0, 1].set_title("the cipher's range, and these images' r")
    axes[1, 1].tick_params(axis="x", labelrotation=15)
    figure.tight_layout()
    return _png(figure)


def attractor(points: Floats, title: str) -> bytes:
    """Draw an orbit, its first coordinate against its third: a PNG file.

    Args:
        points: float64 (steps, 3 or 4).
        title: What stands above.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(5, 4), dpi=100, facecolor="white")
    axis.plot(points[:, 0], points[:, 2], color=_BLUE, linewidth=0.4)
    axis.set(xlabel="first coordinate", ylabel="third coordinate")
    axis.set_title(title, fontsize=9)
    figure.tight_layout()
    return _png(figure)


def cycles(found: Sequence[Cycles]) -> bytes:
    """Draw how long the cycles of the logistic map are by the bits of a state, each orbit a point: a PNG file."""
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.5, 4), dpi=100, facecolor="white")
    for each in found:
        met = [length for length in each.lengths if length]
        axis.plot([each.bits] * len(met), met, ".", color=_BLUE, markersize=5)
    bits = np.array(sorted(each.bits for each in found))
    axis.plot(bits, 2.0 ** (bits / 2), color=_RED, linewidth=1, label="root of the number of states")
    for name, length in (("256 x 256", 256**2), ("1024 x 1024", 1024**2), ("3000 x 2400", 3000 * 2400)):
        axis.axhline(length, color="#808080", linewidth=0.6, linestyle=":")
        axis.text(bits[0], length * 1.15, f"bytes of an image of {name}", fontsize=7, color="#606060")
    axis.set(yscale="log", xlabel="bits of a state", ylabel="steps until it repeats itself")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8, loc="lower right")
    figure.tight_layout()
    return _png(figure)


def timings(found: Sequence[Timed]) -> bytes:
    """Draw seconds against bytes for each way, in both directions, the least and the most samples a pixel: a PNG file."""
    plt = pyplot()
    figure, axes = plt.subplots(2, 2, figsize=(9, 6.4), dpi=100, facecolor="white", sharey=True)
    kinds = sorted({(each.channels, each.bits) for each in found})
    for row, (channels, bits) in zip(axes, (kinds[0], kinds[-1]), strict=True):
        of_kind = [each for each in found if (each.channels, each.bits) == (channels, bits)]
        for axis, direction in zip(row, ("encipher", "decipher"), strict=True):
            for number, name in enumerate(dict.fromkeys(each.way for each in of_kind)):
                of = sorted((each for each in of_kind if each.way == name), key=lambda each: each.size)
                axis.plot(
                    [each.size for each in of],
                    [1000 * getattr(each, direction) for each in of],
                    marker="osv^D<>pX*"[number % 10],
                    markersize=4,
                    linewidth=0.9,
                    label=name,
                )
            axis.set(xscale="log", yscale="log", xlabel="bytes of samples")
            axis.set_title(f"{direction}, {'grey' if channels == 1 else 'colour'}, {bits} bit", fontsize=10)
            axis.xaxis.set_minor_formatter("")  # labels of its own between two powers of ten would overlap
            axis.grid(alpha=0.3)
        row[0].set_ylabel("milliseconds")
    handles, names = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, names, loc="lower center", ncols=3, fontsize=9)
    figure.tight_layout(rect=(0, 0.12, 1, 1))
    return _png(figure)


def _png(figure: Any) -> bytes:
    """Return a drawn figure as a PNG file of 64 colours: noise does not compress, and true colour would take four times as much."""
    with Pillow.open(io.BytesIO(as_png(figure))) as picture:
        target = io.BytesIO()
        picture.convert("RGB").quantize(_COLOURS, dither=Pillow.Dither.NONE).save(target, "PNG", optimize=True)
    return target.getvalue()


def _range(image: Image) -> tuple[int, int]:
    """Return the range of samples to draw: all of 8 bits, and of 16 what is there, as scanners use but a part of them."""
    return (0, 255) if image.dtype == np.uint8 else (int(image.min()), int(image.max()))


def _eight_bits(image: Image) -> NDArray[Any]:
    step = max(1, max(image.shape[:2]) // _SHOWN)
    shown = image[::step, ::step]
    if shown.dtype == np.uint8:
        return shown
    # As a viewer windows it: between the lowest and the highest value there is.
    low, high = _range(shown)
    return ((shown.astype(np.int64) - low) * 255 // max(1, high - low)).astype(np.uint8)
