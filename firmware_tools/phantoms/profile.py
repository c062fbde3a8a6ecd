"""Paint sections of the head that show its height: sagittal with face and neck, and coronal.

The geometry is in half lengths of the head, the face to the left; nobody's head is traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms.canvas import Layer, branches, curve, jitter, lump, mirrored
from firmware_tools.phantoms.head import brain, lesion
from firmware_tools.phantoms.tissue import Tissue

_Points = NDArray[np.float64]
_PROFILE: Final = (
    (-0.93, -0.45), (-0.98, -0.1), (-0.93, 0.05), (-1.16, 0.42), (-1.0, 0.5), (-1.05, 0.62), (-1.0, 0.7), (-1.03, 0.78),
    (-0.96, 0.88), (-0.98, 1.05), (-0.7, 1.12), (-0.4, 1.08), (-0.36, 1.6), (0.7, 1.6), (0.72, 0.9), (0.92, 0.45),
    (1.02, 0.0), (0.94, -0.5), (0.6, -0.87), (0.1, -1.0), (-0.5, -0.86),
)  # fmt: skip
_VAULT: Final = (
    (-0.87, 0.1), (-0.88, -0.3), (-0.72, -0.65), (-0.35, -0.85), (0.1, -0.92), (0.55, -0.78), (0.85, -0.45),
    (0.93, 0.0), (0.8, 0.38), (0.5, 0.55), (0.22, 0.52), (0.0, 0.35), (-0.25, 0.25), (-0.55, 0.12),
)  # fmt: skip
_CEREBRUM: Final = (
    (-0.8, 0.02), (-0.8, -0.3), (-0.64, -0.6), (-0.3, -0.78), (0.1, -0.84), (0.5, -0.7), (0.77, -0.4), (0.84, -0.05),
    (0.72, 0.18), (0.4, 0.12), (0.1, 0.1), (-0.1, 0.14), (-0.45, 0.05),
)  # fmt: skip

_SQUARE: Final = ((1, 1), (-1, 1), (-1, -1), (1, -1))
# The inside of the skull from the front; one side, to be mirrored.
_DOME: Final = (
    (0, -0.92), (0.33, -0.86), (0.57, -0.65), (0.69, -0.3), (0.68, 0.1), (0.58, 0.38), (0.3, 0.46), (0, 0.42),
)  # fmt: skip


def sagittal(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a section along the midline or a little beside it."""
    profile = jitter(rng, _PROFILE, 0.012)
    layer.blob(profile, Tissue.SKIN)
    layer.blob(profile * (0.98, 0.985), Tissue.FAT)
    _neck(layer, rng)
    _mouth(layer, rng)
    vault = jitter(rng, _VAULT, 0.012) * rng.uniform(0.94, 1.01)
    bone = rng.uniform(0.92, 0.96)
    layer.blob(vault * 1.015, Tissue.BONE)
    layer.blob(vault * (0.5 + 0.5 * bone), Tissue.MARROW if rng.random() < 0.8 else Tissue.BONE)
    layer.blob(vault * bone, Tissue.BONE)
    inner = vault * (bone - 0.015)
    layer.blob(inner, Tissue.FLUID)
    atrophy = rng.uniform(0.2, 1.5)
    midline = rng.random() < 0.65
    brain(layer, rng, jitter(rng, _CEREBRUM, 0.012), depth=rng.uniform(0.6, 0.95), atrophy=atrophy)
    _cerebellum(layer, rng)
    if midline:
        _middle(layer, rng)
    else:
        _beside(layer, rng)
    if rng.random() < 0.35:
        lesion(layer, rng, jitter(rng, _CEREBRUM, 0.01))


def _neck(layer: Layer, rng: np.random.Generator) -> None:
    """Paint the muscles of the nape, the vertebrae with their discs, the cord in its fluid."""
    layer.blob(jitter(rng, [(0.3, 0.62), (0.75, 0.55), (0.66, 1.0), (0.62, 1.7), (0.28, 1.7)], 0.02), Tissue.MUSCLE)
    layer.stroke(curve([(0.5, 0.66), (0.5, 1.1), (0.46, 1.7)]), 0.05, Tissue.FAT)
    bow = rng.uniform(-0.06, 0.1)
    layer.stroke(curve([(0.2, 0.55), (0.24 + bow, 1.0), (0.2, 1.7)]), 0.17, Tissue.FLUID)
    layer.stroke(curve([(0.16, 0.4), (0.23 + bow, 1.0), (0.19, 1.7)]), 0.085, Tissue.WHITE)
    for i in range(7):
        y = 0.6 + 0.165 * i
        x = 0.06 + 1.1 * bow * np.sin((y - 0.55) * 2.6)
        layer.polygon([(x - s * 0.085, y - t * 0.06) for s, t in _SQUARE], Tissue.MARROW)
        layer.stroke([(x - 0.08, y + 0.083), (x + 0.08, y + 0.083)], 0.04, Tissue.DISC)
        layer.stroke([(x + 0.24, y + 0.03), (x + 0.4, y + 0.07)], 0.06, Tissue.MARROW)


def _mouth(layer: Layer, rng: np.random.Generator) -> None:
    """Paint the nose's cavity, palate, tongue, jaw and the airway down to the throat."""
    layer.blob(
        jitter(rng, [(-0.9, 0.2), (-0.3, 0.16), (-0.16, 0.4), (-0.2, 1.1), (-0.8, 1.0), (-0.92, 0.6)], 0.02),
        Tissue.MUSCLE,
    )
    layer.blob(jitter(rng, [(-0.82, 0.16), (-0.4, 0.14), (-0.2, 0.38), (-0.45, 0.46), (-0.86, 0.42)], 0.02), Tissue.AIR)
    for i in range(3):
        y = 0.23 + 0.08 * i
        layer.stroke(curve([(-0.78, y), (-0.55, y + 0.02), (-0.36, y + 0.01)]), rng.uniform(0.02, 0.06), Tissue.MUCOSA)
    layer.blob(jitter(rng, [(-0.34, 0.18), (-0.12, 0.22), (-0.1, 0.38), (-0.28, 0.36)], 0.015), Tissue.AIR)
    layer.stroke(curve([(-0.88, 0.5), (-0.6, 0.47), (-0.36, 0.5)]), 0.04, Tissue.BONE)
    layer.stroke(curve([(-0.36, 0.5), (-0.22, 0.56), (-0.18, 0.68)]), 0.06, Tissue.MUSCLE)
    layer.stroke(curve([(-0.16, 0.32), (-0.1, 0.6), (-0.14, 1.0), (-0.2, 1.7)]), rng.uniform(0.04, 0.1), Tissue.AIR)
    layer.blob(lump(rng, (-0.55, 0.68), (0.28, 0.17), 0.06), Tissue.MUSCLE)
    layer.stroke([(-0.86, 0.56), (-0.85, 0.68)], 0.05, Tissue.BONE)
    layer.blob(lump(rng, (-0.86, 0.88), (0.07, 0.12), 0.08), Tissue.BONE)
    layer.blob(lump(rng, (-0.86, 0.88), (0.045, 0.09), 0.08), Tissue.MARROW)
    layer.oval((-0.84, 0.02), (0.05, 0.11), Tissue.AIR)


def _cerebellum(layer: Layer, rng: np.random.Generator) -> None:
    """Paint the cerebellum under its tent, a white tree within it."""
    outline = jitter(rng, [(0.24, 0.2), (0.44, 0.16), (0.7, 0.26), (0.68, 0.42), (0.46, 0.5), (0.27, 0.44)], 0.012)
    layer.stroke(curve([(0.2, 0.14), (0.5, 0.13), (0.82, 0.26)]), 0.03, Tissue.TENDON)
    layer.blob(outline * 1.02, Tissue.FLUID)
    layer.blob(outline, Tissue.GRAY)
    stem = np.array([0.27, 0.32])
    fan = branches(rng, np.repeat(stem[None], 8, axis=0), np.linspace(-1.0, 1.2, 8), length=0.36, wander=0.1, points=6)
    layer.strokes(fan, (0.035, 0.015), Tissue.WHITE)
    rim = outline[rng.integers(0, len(outline), 18)] + rng.normal(0, 0.05, (18, 2))
    inward = np.array([0.4, 0.32]) - rim
    leaves = branches(rng, rim, np.arctan2(inward[:, 1], inward[:, 0]), length=0.14, wander=0.1, points=4)
    layer.strokes(leaves, 0.012, Tissue.FLUID)


def _middle(layer: Layer, rng: np.random.Generator) -> None:
    """Paint callosum, fornix, ventricles, thalamus, stem and pituitary."""
    arch = curve(
        jitter(rng, [(-0.36, 0.0), (-0.44, -0.14), (-0.3, -0.28), (0.0, -0.32), (0.26, -0.2), (0.3, -0.04)], 0.01)
    )
    layer.stroke(arch, 0.2, Tissue.GRAY)
    hollow = np.concatenate([arch, curve([(0.24, -0.02), (0.0, -0.06), (-0.28, 0.0)])])
    layer.polygon(hollow, Tissue.FLUID)
    layer.stroke(arch, rng.uniform(0.05, 0.09), Tissue.WHITE)
    layer.oval((-0.02, 0.0), (0.13, 0.09), Tissue.NUCLEUS)
    layer.stroke(curve([(0.05, 0.06), (0.04, 0.2), (0.08, 0.36), (0.16, 0.56)]), (0.2, 0.1), Tissue.WHITE)
    layer.oval((0.0, 0.26), (0.1, 0.11), Tissue.WHITE)
    layer.blob(jitter(rng, [(0.15, 0.2), (0.25, 0.3), (0.18, 0.42), (0.15, 0.3)], 0.008), Tissue.FLUID)
    layer.stroke(curve([(-0.12, 0.12), (-0.13, 0.24), (-0.02, 0.42)]), 0.06, Tissue.FLUID)
    layer.oval((-0.24, 0.19), (0.04, 0.035), Tissue.NUCLEUS)
    layer.blob(jitter(rng, [(-0.2, 0.25), (-0.1, 0.32), (0.06, 0.52), (0.02, 0.54)], 0.01), Tissue.MARROW)


def _beside(layer: Layer, rng: np.random.Generator) -> None:
    """Paint the lateral ventricle's arc, nuclei, and the temporal lobe."""
    arc = curve([(-0.4, -0.08), (-0.2, -0.22), (0.15, -0.2), (0.34, -0.04), (0.2, 0.06)])
    layer.stroke(arc, rng.uniform(0.03, 0.1), Tissue.FLUID)
    layer.oval((-0.15, -0.05), (0.17, 0.1), Tissue.NUCLEUS)
    lobe = jitter(rng, [(-0.5, 0.14), (-0.2, 0.08), (0.2, 0.1), (0.3, 0.2), (-0.1, 0.3), (-0.45, 0.26)], 0.012)
    layer.blob(lobe * 1.05, Tissue.FLUID)
    layer.blob(lobe, Tissue.GRAY)
    layer.blob(lobe * (0.8, 0.8) + (-0.02, 0.03), Tissue.WHITE)
    if rng.random() < 0.5:
        layer.oval((-0.86, 0.14), (0.13, 0.13), Tissue.MUSCLE)
        layer.oval((-0.86, 0.14), (0.11, 0.11), Tissue.FLUID)


def coronal(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a section from ear to ear, above the base of the skull with its cells of air."""
    half = np.array(
        [(0, -0.95), (0.34, -0.9), (0.6, -0.68), (0.74, -0.3), (0.75, 0.1), (0.66, 0.45), (0.6, 0.9), (0.62, 1.4)]
    )
    half = jitter(rng, half, 0.015) * (rng.uniform(0.9, 1.08), 1)
    outline = np.concatenate([half, mirrored(half[1:])[::-1]])
    layer.blob(outline, Tissue.SKIN)
    layer.blob(outline * 0.97, Tissue.FAT)
    layer.blob(outline * (0.92, 0.93), Tissue.MUSCLE)
    dome = jitter(rng, _DOME, 0.012)
    dome = np.concatenate([dome, mirrored(dome[1:-1])[::-1]])
    layer.blob(dome, Tissue.BONE)
    inner = dome * rng.uniform(0.86, 0.93)
    layer.blob(inner, Tissue.FLUID)
    upper = inner * (1, 0.96)
    brain(layer, rng, upper, depth=rng.uniform(0.6, 0.9), atrophy=(atrophy := rng.uniform(0.4, 1.7)))
    layer.stroke([(0, -0.82), (0, -0.3)], 0.08, Tissue.GRAY)
    layer.stroke([(0, -0.84), (0, -0.28)], 0.02 * atrophy, Tissue.FLUID)
    layer.stroke([(0, -0.84), (0, -0.36)], 0.01, Tissue.TENDON)
    wide = rng.uniform(0.7, 1.9)
    for side in (1.0, -1.0):
        flip = (side, 1.0)
        layer.blob(
            jitter(rng, [(0.02, -0.16), (0.1, -0.22), (0.16, -0.17), (0.06, -0.08)], 0.006) * (side * wide, 1),
            Tissue.FLUID,
        )
        layer.blob(jitter(rng, [(0.03, -0.06), (0.14, -0.06), (0.15, 0.06), (0.04, 0.08)], 0.01) * flip, Tissue.NUCLEUS)
        fold = curve(np.array([(0.62, -0.02), (0.45, -0.04), (0.38, -0.12), (0.36, 0.02)]) * flip)
        layer.stroke(fold, 0.09, Tissue.GRAY)
        layer.stroke(fold, 0.022 * atrophy, Tissue.FLUID)
        layer.oval((side * 0.3, 0.22), (0.05 * wide, 0.02), Tissue.FLUID)
    layer.oval((0, 0.0), (0.012 * wide, 0.07), Tissue.FLUID)
    _under(layer, rng)
    lesion(layer, rng, upper)


def _under(layer: Layer, rng: np.random.Generator) -> None:
    """Paint the stem or the cerebellum below, and the base's bone with air in it."""
    if rng.random() < 0.5:
        layer.blob(
            jitter(rng, [(-0.44, 0.28), (0, 0.18), (0.44, 0.28), (0.34, 0.5), (0, 0.56), (-0.34, 0.5)], 0.015),
            Tissue.FLUID,
        )
        layer.blob(
            jitter(rng, [(-0.4, 0.31), (0, 0.22), (0.4, 0.31), (0.31, 0.47), (0, 0.52), (-0.31, 0.47)], 0.015),
            Tissue.GRAY,
        )
        for y in (0.32, 0.38, 0.44):
            layer.stroke(curve([(-0.34, y + 0.02), (0, y - 0.02), (0.34, y + 0.02)]), 0.01, Tissue.FLUID)
    else:
        layer.blob([(-0.14, 0.12), (0.14, 0.12), (0.09, 0.6), (-0.09, 0.6)], Tissue.WHITE)
    for side in (1.0, -1.0):
        layer.blob(
            jitter(rng, [(0.16, 0.48), (0.5, 0.4), (0.66, 0.46), (0.56, 0.66), (0.2, 0.62)], 0.02) * (side, 1),
            Tissue.BONE,
        )
        for spot in rng.normal((side * 0.48, 0.52), 0.07, (int(rng.integers(5, 20)), 2)):
            layer.oval(spot, rng.uniform(0.008, 0.03, 2), Tissue.AIR)
        layer.blob(lump(rng, (side * 0.3, 0.85), (0.14, 0.2), 0.15), Tissue.MUSCLE)
        layer.stroke([(side * 0.5, 0.62), (side * 0.46, 1.1)], 0.06, Tissue.BONE)
    layer.blob(lump(rng, (0, 0.7), (0.12, 0.1), 0.1), Tissue.AIR if rng.random() < 0.5 else Tissue.MARROW)
