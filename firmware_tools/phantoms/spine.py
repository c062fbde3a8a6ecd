"""Paint sagittal sections of the spine as maps of tissues: vertebrae, discs, cord, and what lies before and behind.

The geometry is in half heights of the section, the front to the left; nobody's spine is traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms.canvas import Layer, curve, jitter, lump
from firmware_tools.phantoms.tissue import Tissue

_Points = NDArray[np.float64]
_VERTEBRA: Final = ((-1, -1), (-0.86, 0), (-1, 1), (0, 0.9), (1, 1), (0.86, 0), (1, -1), (0, -0.9))
_RING: Final = ((-1, 0), (-0.9, -0.5), (0, -0.6), (0.9, -0.5), (1, 0), (0.9, 0.5), (0, 0.6), (-0.9, 0.5))


def spine(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a sagittal section of the spine with discs, cord, canal and what lies before and behind."""
    neck = rng.random() < 0.4
    count, size = (int(rng.integers(6, 9)), 0.15) if neck else (int(rng.integers(5, 12)), rng.uniform(0.12, 0.2))
    pitch = size * rng.uniform(1.25, 1.5) * (1.0 if neck else 1.25)
    bend, lean = rng.normal(0, 0.28), rng.normal(0, 0.08)
    y = (np.arange(count + 4) - 0.5 * (count + 3)) * pitch
    x = -0.1 + bend * (y**2 - 0.4) + lean * y
    slope = 2 * bend * y + lean
    _around(layer, rng, np.stack([x, y], axis=1), size, neck=neck)
    path = np.stack([x + 1.45 * size, y], axis=1)
    layer.stroke(curve(path), size * rng.uniform(0.8, 1.15), Tissue.FLUID)
    _cord(layer, rng, path, size, neck=neck)
    wide = rng.uniform(0.85, 1.15)
    for i in range(len(y)):
        turn = np.array([[1, slope[i]], [-slope[i], 1]])
        body = np.array(_VERTEBRA) * (wide * size, 0.42 * pitch)
        at = np.array([x[i], y[i]])
        layer.blob(jitter(rng, body, 0.006) @ turn + at, Tissue.BONE)
        layer.blob(jitter(rng, body * 0.9, 0.004) @ turn + at, Tissue.MARROW)
        if rng.random() < 0.06:
            layer.blob(lump(rng, at, (0.5 * size, 0.3 * size), 0.2), Tissue.TUMOUR)
        _disc(layer, rng, at + np.array([0, 0.5 * pitch]) @ turn, turn * (size * wide))
        process = np.array([(1.9 * size, 0.3 * size), (2.6 * size, 0.55 * size), (3.2 * size, 0.9 * size)]) @ turn + at
        layer.stroke(process, (0.42 * size, 0.6 * size), Tissue.BONE)
        layer.stroke(process, (0.28 * size, 0.45 * size), Tissue.MARROW)
    layer.stroke(curve(np.stack([x - wide * size, y], axis=1)), 0.014, Tissue.TENDON)


def _around(layer: Layer, rng: np.random.Generator, middle: _Points, size: float, *, neck: bool) -> None:
    """Paint bowel, vessels or airway before the spine, muscles and fat behind it."""
    front = middle[:, 0].min()
    layer.blob([(front - 0.9, -2), (1.0 + size, -2), (1.0 + size, 2), (front - 0.9, 2)], Tissue.MUSCLE)
    back = middle + np.array([4.2 * size, 0])
    edge = back + np.array([rng.uniform(0.05, 0.5), 0])
    layer.polygon(np.concatenate([curve(back), curve(edge)[::-1]]), Tissue.FAT)
    layer.polygon(np.concatenate([curve(edge), [(3, 2), (3, -2)]]), Tissue.AIR)
    if neck:
        layer.stroke(curve(middle - (2.1 * size, 0)), 0.9 * size, Tissue.AIR)
        layer.polygon(np.concatenate([curve(middle - (rng.uniform(4, 6) * size, 0)), [(-3, 2), (-3, -2)]]), Tissue.AIR)
        if rng.random() < 0.7:
            at = middle[0] + np.array([2.6, -1.2]) * size
            layer.blob(lump(rng, at, (2.6 * size, 1.6 * size), 0.1), Tissue.GRAY)
    else:
        vessel = Tissue.VESSEL if rng.random() < 0.7 else Tissue.FAT
        layer.stroke(curve(middle - (1.7 * size, 0)), rng.uniform(0.3, 0.9) * size, vessel)
        for spot in rng.uniform((front - 0.9, -1), (front - 2.6 * size, 1), (int(rng.integers(4, 18)), 2)):
            stuff = (Tissue.FAT, Tissue.BOWEL, Tissue.GAS, Tissue.FLUID)[int(rng.integers(4))]
            layer.blob(lump(rng, spot, rng.uniform((0.05, 0.05), (0.16, 0.2)), 0.15), stuff)


def _cord(layer: Layer, rng: np.random.Generator, path: _Points, size: float, *, neck: bool) -> None:
    """Lay the cord into its canal, or end it and let the roots run on as strands."""
    line = curve(path)
    end = len(line) if neck or rng.random() < 0.3 else int(len(line) * rng.uniform(0.3, 0.6))
    for offset in rng.uniform(-0.3, 0.3, 5):
        layer.stroke(line[max(0, end - 2) :] + np.array([offset * size, 0]), 0.012, Tissue.WHITE)
    layer.stroke(line[:end], (0.45 * size, 0.42 * size if neck else 0.3 * size), Tissue.WHITE)


def _disc(layer: Layer, rng: np.random.Generator, at: _Points, turn: _Points) -> None:
    """Paint a disc: moist in the middle, or dried out, or bulging back; `turn` (2, 2) also carries its size."""
    ring = np.array(_RING) * (1, rng.uniform(0.5, 1.1))
    if rng.random() < 0.25:
        ring[4, 0] += rng.uniform(0.1, 0.4)
    layer.blob(ring @ turn + at, Tissue.TENDON)
    layer.blob((ring * (0.75, 0.8)) @ turn + at, Tissue.DISC if rng.random() < 0.75 else Tissue.CARTILAGE)
    if rng.random() < 0.3:
        layer.blob((ring * (0.4, 0.45)) @ turn + at, Tissue.FLUID)
