"""The pictures of an evaluation: what a cipher image looks like, its histogram, its neighbours, and the maps themselves.

The rule kept here: the paper of every picture is white, so that it reads on a light page, on a dark one and in print.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.metrics import Direction
from firmware_tools.evaluation.ways import Image
from firmware_tools.training.curves import as_png, pyplot

_BLUE, _RED = "#2060c0", "#c04020"
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
        axes[1, column].hist(image.ravel(), bins=min(256, high - low + 1), range=(low, high + 1), color=_BLUE)
        axes[1, column].set(xlim=(low, high + 1), xticks=[low, (low + high + 1) // 2, high], yticks=[])
    axes[1, 0].set_ylabel("samples")
    figure.tight_layout()
    return as_png(figure)


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
    return as_png(figure)


def bifurcation(low: float, high: float, settings: Sequence[float]) -> bytes:
    """Draw the logistic map's states for all r, the range that the cipher uses, and the r of some images: a PNG file."""
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), dpi=100, facecolor="white")
    for axis, (start, end) in zip(axes, ((2.8, 4.0), (low, high)), strict=True):
        r = np.linspace(start, end, 1200)
        x = np.full(r.size, 0.3123)
        for _ in range(500):
            x = r * x * (1 - x)
        for _ in range(60):
            x = r * x * (1 - x)
            axis.plot(r, x, ",", color=_BLUE, alpha=0.35)
        axis.set(xlim=(start, end), ylim=(0, 1), xlabel="r", ylabel="x")
        axis.ticklabel_format(useOffset=False)
    for value in settings:
        axes[1].axvline(value, color=_RED, linewidth=0.8)
    axes[0].set_title("the logistic map")
    axes[1].set_title("the cipher's range, and these images' r")
    axes[1].tick_params(axis="x", labelrotation=15)
    figure.tight_layout()
    return as_png(figure)


def attractor(sigma: float, rho: float, beta: float) -> bytes:
    """Draw the Lorenz attractor of these parameters: a PNG file."""
    plt = pyplot()
    step = 0.004
    orbit = np.empty((12_000, 3))
    point = np.array([1.0, 1.0, rho - 1])

    def slope(at: NDArray[np.float64]) -> NDArray[np.float64]:
        x, y, z = at
        return np.array([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])

    for number in range(len(orbit)):
        one = slope(point)
        two = slope(point + step / 2 * one)
        three = slope(point + step / 2 * two)
        four = slope(point + step * three)
        point = point + step / 6 * (one + 2 * two + 2 * three + four)
        orbit[number] = point
    figure, axis = plt.subplots(figsize=(5, 4), dpi=100, facecolor="white")
    axis.plot(orbit[500:, 0], orbit[500:, 2], color=_BLUE, linewidth=0.4)
    axis.set(xlabel="x", ylabel="z", title=f"sigma {sigma:.4f}, rho {rho:.4f}, beta {beta:.4f}")
    figure.tight_layout()
    return as_png(figure)


def timings(rows: Sequence[tuple[str, Sequence[float], Sequence[float]]]) -> bytes:
    """Draw seconds against bytes for each way, both logarithmic: a PNG file.

    Args:
        rows: Each way's name, the images' bytes, and the seconds that enciphering took.
    """
    plt = pyplot()
    figure, axis = plt.subplots(figsize=(7.5, 4), dpi=100, facecolor="white")
    for name, sizes, seconds in rows:
        order = np.argsort(sizes)
        axis.plot(np.array(sizes)[order], np.array(seconds)[order] * 1000, marker="o", markersize=3, label=name)
    axis.set(xscale="log", yscale="log", xlabel="bytes of samples", ylabel="milliseconds to encipher")
    axis.grid(alpha=0.3)
    axis.legend(fontsize=7, ncols=2)
    figure.tight_layout()
    return as_png(figure)


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
