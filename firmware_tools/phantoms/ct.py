"""Show sections as a CT scanner does: Hounsfield units, the table, correlated noise, streaks, windows, round fields."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from edge.demo.ink import Floats, cloud, resize
from firmware_tools.phantoms import head, marks, profile, trunk, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, Shape, curve, random_pose
from firmware_tools.phantoms.tissue import Tissue, hounsfield

# Windows as viewers offer them: level and width in Hounsfield units.
_BRAIN: Final = ((40, 80), (35, 120), (60, 200), (40, 350))
_LUNG: Final = ((-600, 1500), (-500, 1800))
_SOFT: Final = ((40, 400), (50, 350), (20, 600))
_BONE: Final = ((400, 1800), (600, 2800), (300, 1200))


def ct_head(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw one section of a head, or a page of several."""
    pick = rng.random()
    if pick < 0.25:
        return _page(rng, side)
    return marks.annotated(_head(rng, vary.shape_of(rng, side, 0.78, 1.25), "any"), rng)


def _page(rng: np.random.Generator, side: int) -> vary.Picture:
    """Lay two to four sections side by side, as teaching files do."""
    columns, rows = ((2, 1), (2, 2), (1, 2), (3, 1), (3, 2))[int(rng.choice(5, p=[0.4, 0.35, 0.1, 0.1, 0.05]))]
    cell = side // max(columns, rows)
    page = np.zeros((rows * cell, columns * cell), dtype=np.uint8)
    gap = int(rng.integers(0, 3))
    for i in range(rows * columns):
        shape = (cell - gap, cell - gap)
        top, left = i // columns * cell, i % columns * cell
        view = ("axial", "coronal", "sagittal", "any")[int(rng.integers(4))]
        page[top : top + shape[0], left : left + shape[1]] = _head(rng, shape, view)
    return marks.annotated(page, rng, 0.15)


def _head(rng: np.random.Generator, shape: Shape, view: str) -> vary.Picture:
    """Draw one view of a head in one window."""
    if view == "any":
        view = ("axial", "axial", "axial", "coronal", "sagittal")[int(rng.integers(5))]
    mirror = 0.5 if view == "axial" else 0.2
    pose = random_pose(rng, shape, 2.15, turn=0.09, zoom=(0.72, 1.2), shift=0.03, mirror=mirror)
    canvas = Canvas(shape, pose)
    layer = canvas.layer()
    if view == "axial":
        _holder(layer, rng)
        head.axial(layer, rng, rng.uniform(0, 1))
    elif view == "coronal":
        profile.coronal(layer, rng)
    else:
        profile.sagittal(layer, rng)
    table = hounsfield(rng, enhanced=rng.random() < 0.2)
    if rng.random() < 0.09:
        return _bare_brain(canvas, rng, layer, table)
    # The brain's window narrows noise down to a few units; whatever shows bone hides it.
    units = _scanned(canvas, rng, layer, table, rng.uniform(1.5, 9))
    if rng.random() < 0.15:
        units = _streaks(units, rng)
    pick = rng.random()
    windows = _BRAIN if pick < 0.62 else _BONE if pick < 0.78 else None
    return _shown(canvas, rng, units, windows)


def _bare_brain(canvas: Canvas, rng: np.random.Generator, layer: Layer, table: Floats) -> vary.Picture:
    """Keep the brain alone, as maps of perfusion do: what is no brain, or too far from it, is black."""
    keep = np.zeros(len(table), dtype=np.float32)
    keep[[Tissue.GRAY, Tissue.WHITE, Tissue.NUCLEUS, Tissue.OEDEMA, Tissue.TUMOUR]] = 1
    mask = layer.values(keep)
    tone = np.float32(rng.uniform(0.4, 1.1)) + np.float32(rng.uniform(0.0, 0.12)) * cloud(rng, canvas.shape, 16)
    tone = tone + np.float32(rng.uniform(0, 0.01)) * (layer.values(table) - np.float32(32))
    return vary.eight_bits(np.where(mask > 0.6, tone, 0))


def _holder(layer: Layer, rng: np.random.Generator) -> None:
    """Lay the head into its holder: an arc behind it, with or without a pad."""
    if rng.random() < 0.35:
        return
    reach = rng.uniform(1.03, 1.15)
    angle = np.linspace(0.35, math.pi - 0.35, 15)
    arc = np.stack([0.85 * reach * np.cos(angle), reach * np.sin(angle)], axis=1)
    layer.stroke(arc, rng.uniform(0.02, 0.08), Tissue.FOAM)
    if rng.random() < 0.5:
        layer.stroke(arc * 1.04, 0.015, Tissue.CALCIUM)


def ct_chest(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw an axial section of a chest, whole, or magnified about a vertebra or the heart."""
    return _body(rng, side, trunk.thorax, lungs=0.45)


def ct_abdomen(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw an axial section of an abdomen or a pelvis."""
    return _body(rng, side, trunk.belly if rng.random() < 0.75 else trunk.hips, lungs=0.08)


def _body(rng: np.random.Generator, side: int, paint: trunk.Painter, lungs: float) -> vary.Picture:
    shape = vary.shape_of(rng, side, 0.9, 1.4) if rng.random() < 0.5 else (side, side)
    magnified = rng.random() < 0.25
    zoom = (1.5, 3.3) if magnified else (0.85, 1.25)
    pose = random_pose(rng, shape, 2.05, turn=0.04, zoom=zoom, shift=0.02, bend=0.04, mirror=0.1)
    if magnified:
        spot = ((0, 0.45), (0, -0.1), (0.3, 0.1), (-0.4, 0.0))[int(rng.choice(4, p=[0.55, 0.2, 0.1, 0.15]))]
        pose = pose.aimed(rng.normal(spot, 0.05))
    canvas = Canvas(shape, pose)
    layer = canvas.layer()
    _table(layer, rng)
    paint(layer, rng)
    units = _scanned(canvas, rng, layer, hounsfield(rng, enhanced=rng.random() < 0.6), rng.uniform(6, 30))
    if rng.random() < 0.12:
        units = _streaks(units, rng)
    pick = rng.random()
    lungs, bones = (0.2, 0.25) if magnified else (lungs, 0.12)
    rest = None if rng.random() < 0.5 else _SOFT
    windows = _LUNG if pick < lungs else _BONE if pick < lungs + bones else rest
    # A magnified picture shows how soft the scanner's own pixels are.
    soft = pose.scale / min(shape) * rng.uniform(0.0, 1.6) if magnified else 0.0
    return marks.annotated(_shown(canvas, rng, units, windows, soft), rng)


def _table(layer: Layer, rng: np.random.Generator) -> None:
    """Put the patient on a table: one or two arcs or flat boards below."""
    if rng.random() < 0.15:
        return
    y, sag = rng.uniform(0.74, 0.9), rng.uniform(-0.02, 0.2)
    for drop in (0.0, rng.uniform(0.05, 0.14)):
        x = np.array([-0.8, -0.4, 0, 0.4, 0.8])
        board = curve(np.stack([x, y + drop - 1.6 * sag * x * x], axis=1))
        layer.stroke(board, 0.02, Tissue.CALCIUM if rng.random() < 0.4 else Tissue.FOAM)
        if rng.random() < 0.4:
            break


def _scanned(canvas: Canvas, rng: np.random.Generator, layer: Layer, table: Floats, sigma: float) -> Floats:
    """Turn tissues into Hounsfield units with the noise that filtered back-projection leaves."""
    rough = np.full(len(table), 2, dtype=np.float32)
    rough[[Tissue.MARROW, Tissue.BONE]], rough[Tissue.LUNG] = rng.uniform(30, 110), rng.uniform(5, 50)
    units = layer.values(table) + layer.rough_values(rough) * cloud(rng, canvas.shape, int(rng.integers(30, 80)))
    height, width = canvas.shape
    grain = vary.grain(rng, (height, width))
    if rng.random() < 0.6:
        coarse = resize(vary.grain(rng, (2 * height // 3, 2 * width // 3)), (height, width))
        grain = np.float32(0.5) * grain + coarse
    if rng.random() < 0.25:
        # Shoulders and hips starve the detector along the rows.
        grain = grain + resize(vary.grain(rng, (height, width // 8 + 2)), (height, width))
    return np.asarray(units + np.float32(sigma) * grain)


def _streaks(units: Floats, rng: np.random.Generator) -> Floats:
    """Send bright and dark rays out of one spot, as metal does."""
    height, width = units.shape
    x = np.arange(width, dtype=np.float32)[None, :] - np.float32(rng.uniform(0.3, 0.7) * width)
    y = np.arange(height, dtype=np.float32)[:, None] - np.float32(rng.uniform(0.3, 0.7) * height)
    angle = np.arctan2(y, x)
    rays = np.sin(angle * np.float32(rng.integers(6, 20)) + np.float32(rng.uniform(0, 6))) * np.sin(angle * 7)
    fade = 1 / (1 + np.sqrt(x * x + y * y) * np.float32(6 / width))
    return np.asarray(units + np.float32(rng.uniform(10, 120)) * rays * fade)


def _shown(
    canvas: Canvas,
    rng: np.random.Generator,
    units: Floats,
    windows: tuple[tuple[int, int], ...] | None,
    soft: float = 0.0,
) -> vary.Picture:
    """Window the section; None stretches all that is there, with the black that some scanners put outside the field.

    `soft` is a blur in pixels of a picture 112 wide.
    """
    height, width = canvas.shape
    field: Floats | None = None
    if rng.random() < (0.65 if windows is None else 0.25):
        x = np.arange(width, dtype=np.float32)[None, :] - np.float32(0.5 * width)
        y = np.arange(height, dtype=np.float32)[:, None] - np.float32(0.5 * height)
        radius = max(height, width) * 0.5 * rng.uniform(0.98, 1.06)
        field = np.asarray(np.sqrt(x * x + y * y) < np.float32(radius))
    if field is not None:
        units = np.where(field, units, np.float32(-2000 if windows is None and rng.random() < 0.8 else -1024))
    if windows is None:
        picture = vary.stretch(np.clip(units, -2000, 3071), rng)
    else:
        middle, span = windows[int(rng.integers(len(windows)))]
        level, wide = middle + rng.normal(0, 0.08 * span), span * math.exp(rng.normal(0, 0.2))
        picture = vary.window(units, level - wide / 2, level + wide / 2)
    if rng.random() < 0.25:
        picture = vary.sharpened(picture, max(height, width) / 112 * rng.uniform(0.6, 1.5), rng.uniform(0.3, 1.0))
    picture = vary.blurred(np.clip(picture, 0, 1), max(height, width) / 112 * (rng.uniform(0.0, 0.5) + soft))
    return vary.eight_bits(vary.tone(picture, rng, 0.1))
