"""Show sections as an MR scanner does: sequences, coils that shade, coarse matrices, ghosts, Rician noise."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from PIL import Image, ImageDraw

from edge.demo.ink import Floats, cloud, resize
from firmware_tools.phantoms import head, joint, marks, profile, spine, trunk, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, Pose, Shape, random_pose
from firmware_tools.phantoms.tissue import Tissue, signals

_Painter: TypeAlias = Callable[[Layer, np.random.Generator], None]


def mr_head_axial(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw an axial section of a head, from the skull's base to its top."""

    def paint(layer: Layer, rng: np.random.Generator) -> None:
        head.axial(layer, rng, rng.uniform(-0.15, 1))

    def one(shape: Shape) -> vary.Picture:
        pose = random_pose(rng, shape, 2.15, turn=0.07, zoom=(0.78, 1.25), shift=0.03, bend=0.02, mirror=0.5)
        return _shown(rng, shape, pose, paint)

    if rng.random() < 0.08:
        return _page(rng, side, one)
    return marks.annotated(one(vary.shape_of(rng, side, 0.75, 1.15)), rng, 0.25)


def mr_head_sagittal(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a sagittal section of a head, its face sometimes cut away."""
    shape = vary.shape_of(rng, side, 0.8, 1.2)
    pose = random_pose(rng, shape, 2.35, turn=0.1, zoom=(0.8, 1.2), shift=0.04, bend=0.025, mirror=0.3)
    picture = _shown(rng, shape, pose, profile.sagittal)
    if rng.random() < 0.2:
        picture = _defaced(picture, rng, pose)
    return marks.annotated(picture, rng, 0.25)


def mr_joint(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a section of a knee, a shoulder, a hip or an ankle."""
    shape = vary.shape_of(rng, side, 0.75, 1.25)
    pose = random_pose(rng, shape, 1.75, turn=0.12, zoom=(0.8, 1.4), shift=0.07, bend=0.03, mirror=0.5)
    return marks.annotated(_shown(rng, shape, pose, joint.joint, coil=0.7), rng, 0.25)


def mr_spine(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a sagittal section of the spine; rarely an axial one through a vertebra."""
    if rng.random() < 0.15:
        shape = vary.shape_of(rng, side, 0.9, 1.1)
        pose = random_pose(rng, shape, 0.95, turn=0.05, zoom=(0.8, 1.3), shift=0.03, bend=0.03, mirror=0.5)
        pose = pose.aimed((0.0, 0.38))
        return marks.annotated(_shown(rng, shape, pose, trunk.belly, coil=0.6), rng, 0.25)
    shape = vary.shape_of(rng, side, 0.45, 1.05)
    pose = random_pose(rng, shape, 1.75, turn=0.06, zoom=(0.8, 1.2), shift=0.05, bend=0.02, mirror=0.15)
    # A narrow field still shows the whole height.
    pose = pose.aimed((0, 0), max(1.0, max(shape) / min(shape) * 0.85))
    return marks.annotated(_shown(rng, shape, pose, spine.spine, coil=0.7), rng, 0.25)


def mr_body(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw an axial section of trunk or thighs, whole or magnified, often from a coarse matrix."""
    painter = (trunk.belly, trunk.belly, trunk.hips, trunk.hips, trunk.thorax, trunk.thighs)[int(rng.integers(6))]
    shape = vary.shape_of(rng, side, 0.9, 1.5)
    magnified = rng.random() < 0.4
    zoom = (1.3, 2.7) if magnified else (0.85, 1.25)
    pose = random_pose(rng, shape, 1.9, turn=0.06, zoom=zoom, shift=0.02, bend=0.05, mirror=0.2)
    if magnified:
        pose = pose.aimed(rng.uniform((-0.5, -0.35), (0.5, 0.35)))
    return marks.annotated(_shown(rng, shape, pose, painter, coarse=0.35 if magnified else 0.1), rng, 0.25)


def _page(rng: np.random.Generator, side: int, one: Callable[[Shape], vary.Picture]) -> vary.Picture:
    """Lay a grid of sections on one page."""
    columns, rows = ((2, 1), (2, 2), (3, 2))[int(rng.integers(3))]
    cell = side // columns
    page = np.zeros((rows * cell, columns * cell), dtype=np.uint8)
    for i in range(rows * columns):
        top, left = i // columns * cell, i % columns * cell
        page[top : top + cell, left : left + cell] = one((cell, cell))
    return page


def _shown(
    rng: np.random.Generator, shape: Shape, pose: Pose, paint: _Painter, *, coil: float = 0.25, coarse: float = 0.08
) -> vary.Picture:
    """Scan one section; `coil` is how often a surface coil shades it, `coarse` how often the matrix is very small."""
    canvas = Canvas(shape, pose)
    layer = canvas.layer()
    paint(layer, rng)
    table = signals(rng)
    if rng.random() < 0.12:
        # Some sequences show little but one tissue: diffusion the brain, angiography the blood, water pictures fluid.
        table *= np.float32(0.12)
        table[[Tissue.GRAY, Tissue.WHITE, Tissue.NUCLEUS] if rng.random() < 0.5 else [Tissue.VESSEL, Tissue.FLUID]] *= (
            rng.uniform(4, 9)
        )
    rough = np.full(len(table), 0.03, dtype=np.float32)
    rough[[Tissue.MARROW, Tissue.MUSCLE, Tissue.FAT, Tissue.LIVER]] = rng.uniform(0.02, 0.08)
    texture = layer.rough_values(table * rough) * (cloud(rng, shape, 60) + np.float32(0.6) * cloud(rng, shape, 25))
    signal: Floats = np.clip(layer.values(table) + texture, 0, None)
    if rng.random() < 0.4:
        signal = np.power(signal, np.float32(rng.uniform(0.9, 2.0)))
    signal = signal * _coils(canvas, rng, coil)
    signal = _sampled(signal, rng, coarse)
    if rng.random() < 0.12:
        shift = int(rng.integers(5, max(6, shape[0] // 2)))
        signal = signal + np.float32(rng.uniform(0.03, 0.15)) * np.roll(signal, shift, axis=int(rng.integers(2)))
    peak = float(np.percentile(signal[::2, ::2], 98)) + 1e-3
    signal = vary.rician(signal / np.float32(peak), rng, rng.uniform(0.0, 0.09) ** 1.3)
    return _windowed(signal, rng)


def _coils(canvas: Canvas, rng: np.random.Generator, coil: float) -> Floats:
    """Give the sensitivity over the picture: nearly even, best near the rim, or best at one side."""
    height, width = canvas.shape
    bias = 1 + np.float32(rng.uniform(0.02, 0.16)) * cloud(rng, canvas.shape, 3)
    x = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
    y = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    if rng.random() < 0.35:
        # An array of coils round the patient sees best what is nearest to it: the rim.
        bias = bias * (1 + np.float32(rng.uniform(0.3, 3.5)) * (x * x + y * y))
    if rng.random() < coil:
        angle, fall = rng.uniform(0, 2 * math.pi), rng.uniform(0.2, 1.8)
        bias = bias * np.exp(np.float32(fall * math.cos(angle)) * x + np.float32(fall * math.sin(angle)) * y)
    return np.asarray(bias)


def _sampled(signal: Floats, rng: np.random.Generator, coarse: float) -> Floats:
    """Measure on a matrix coarser than the picture, as scanners do that fill up k-space with zeros."""
    height, width = signal.shape
    share = rng.uniform(0.3, 0.6) if rng.random() < coarse else rng.uniform(0.6, 1.3)
    if share >= 1:
        return signal
    small = (max(8, round(height * share * rng.uniform(0.8, 1))), max(8, round(width * share)))
    reduced = Image.fromarray(signal.astype(np.float32)).resize((small[1], small[0]), Image.Resampling.BOX)
    return np.clip(resize(np.asarray(reduced), (height, width)), 0, None)


def _windowed(signal: Floats, rng: np.random.Generator) -> vary.Picture:
    """Choose a window as radiographers do: the brightest fat may burn out, noise may lie in the black."""
    high = float(np.percentile(signal[::2, ::2], rng.uniform(95, 99.9)))
    # Some windows reach below zero: then air is gray, and its noise shows.
    low = high * (rng.uniform(-0.15, 0) if rng.random() < 0.3 else rng.uniform(-0.02, 0.06))
    picture = vary.window(signal, low, high * math.exp(rng.normal(0, 0.15)))
    if rng.random() < 0.2:
        picture = vary.sharpened(picture, max(signal.shape) / 112 * rng.uniform(0.6, 1.5), rng.uniform(0.2, 0.8))
    if rng.random() < 0.02:
        picture = 1 - picture
    return vary.eight_bits(vary.tone(picture, rng, 0.22))


def _defaced(picture: vary.Picture, rng: np.random.Generator, pose: Pose) -> vary.Picture:
    """Cut the face away, as is done before data are shared."""
    image = Image.fromarray(picture)
    cut = [
        (-1.6, rng.uniform(-0.25, 0.15)),
        (-0.6, rng.uniform(0.1, 0.35)),
        (0.2, rng.uniform(0.7, 1.3)),
        (0.2, 2),
        (-1.6, 2),
    ]
    ImageDraw.Draw(image).polygon(pose.place(cut).ravel().tolist(), fill=0)
    return np.array(image, dtype=np.uint8)
