"""Paint sections of the head as maps of tissues: axial at any height, coronal, sagittal.

The geometry is in half lengths of the head, the face up or to the left; nobody's head is traced.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms.canvas import Layer, branches, curve, jitter, lump, mirrored
from firmware_tools.phantoms.tissue import Tissue

_Points = NDArray[np.float64]
_HALF_EGG: Final = (
    (0, -1), (0.28, -0.95), (0.52, -0.76), (0.66, -0.45), (0.73, -0.05), (0.76, 0.3), (0.68, 0.65), (0.44, 0.9),
    (0.18, 0.99), (0, 1.0),
)  # fmt: skip
# Outlines of one side, to be mirrored.
_HORN: Final = (
    (0.018, -0.17), (0.05, -0.32), (0.12, -0.36), (0.14, -0.33), (0.085, -0.2), (0.05, -0.06), (0.022, -0.04),
)  # fmt: skip
_TRIGONE: Final = ((0.115, 0.2), (0.175, 0.25), (0.22, 0.35), (0.19, 0.44), (0.165, 0.37), (0.135, 0.28))
_BODY: Final = (
    (0.022, -0.26), (0.065, -0.32), (0.1, -0.22), (0.115, 0.0), (0.16, 0.19), (0.15, 0.27), (0.095, 0.14),
    (0.035, -0.02),
)  # fmt: skip
_CAUDATE: Final = ((0.1, -0.28), (0.15, -0.28), (0.165, -0.2), (0.11, -0.11), (0.075, -0.14))
_LENTIFORM: Final = ((0.18, -0.16), (0.25, -0.17), (0.3, -0.07), (0.27, 0.04), (0.22, 0.02), (0.18, -0.06))
_THALAMUS: Final = ((0.022, -0.05), (0.08, -0.04), (0.145, 0.04), (0.155, 0.13), (0.1, 0.17), (0.03, 0.13))


def egg(rng: np.random.Generator) -> _Points:
    """Outline a head from above."""
    half = jitter(rng, _HALF_EGG, 0.012) * (rng.uniform(0.9, 1.12), 1)
    half[[0, -1], 0] = 0
    return np.concatenate([half, mirrored(half[1:-1])[::-1]])


def axial(layer: Layer, rng: np.random.Generator, level: float) -> None:
    """Paint an axial section: `level` 0 cuts the base of the skull, 1 the top of the brain."""
    outline = egg(rng) * (1 - 0.12 * max(0.0, level - 0.6) / 0.4)
    if level < 0.22:
        _base(layer, rng, outline)
        return
    inner = _shell(layer, rng, outline)
    atrophy = rng.uniform(0.4, 1.8)
    brain(layer, rng, inner, depth=0.55 + 0.35 * level, atrophy=atrophy)
    shift = rng.normal(0, 0.012)
    wide = rng.uniform(0.7, 2.2) if rng.random() < 0.3 else rng.uniform(0.8, 1.3)
    if level < 0.5:
        _fissure(layer, -0.93, -0.4, atrophy)
        _fissure(layer, 0.42, 0.9, atrophy)
        _depths(layer, rng, shift, wide)
    elif level < 0.75:
        _fissure(layer, -0.93, -0.36, atrophy)
        _fissure(layer, 0.36, 0.93, atrophy)
        for side in (1.0, -1.0):
            layer.blob(np.asarray(_CAUDATE) * (1.15 * side, 1) + (shift, 0), Tissue.NUCLEUS)
            layer.blob(jitter(rng, _BODY, 0.005) * (side * wide, 1) + (shift, 0), Tissue.FLUID)
    else:
        _fissure(layer, -0.95, 0.95, atrophy)
    lesion(layer, rng, inner)


def _shell(layer: Layer, rng: np.random.Generator, outline: _Points) -> _Points:
    """Paint scalp, skull and the fluid within; give the skull's inner outline."""
    scalp, bone = rng.uniform(0.03, 0.09), rng.uniform(0.06, 0.13)
    layer.blob(outline, Tissue.SKIN)
    layer.blob(outline * (1 - 0.25 * scalp), Tissue.FAT)
    if rng.random() < 0.5:
        layer.blob(outline * (1 - 0.8 * scalp), Tissue.MUSCLE)
    outer = outline * (1 - scalp)
    layer.blob(outer, Tissue.BONE)
    if rng.random() < 0.75:
        layer.blob(outer * (1 - 0.3 * bone), Tissue.MARROW)
        layer.blob(jitter(rng, outer * (1 - 0.72 * bone), 0.004), Tissue.BONE)
    inner = jitter(rng, outer * (1 - bone), 0.004)
    layer.blob(inner, Tissue.FLUID)
    return inner


def brain(layer: Layer, rng: np.random.Generator, inner: _Points, *, depth: float, atrophy: float) -> None:
    """Fill `inner` with a brain: white matter, a ribbon of cortex that folds in, and fluid in the folds."""
    surface = inner * (1 - 0.018 * atrophy)
    layer.blob(surface, Tissue.GRAY)
    core = surface * rng.uniform(0.86, 0.91)
    layer.blob(jitter(rng, core, 0.015), Tissue.WHITE)
    rim = _resampled(rng, surface, int(rng.integers(34, 60)))
    middle = surface.mean(axis=0)
    inward = middle - rim
    heading = np.arctan2(inward[:, 1], inward[:, 0]) + rng.normal(0, 0.4, len(rim))
    folds = branches(rng, rim, heading, length=0.3 * depth, wander=0.28, points=7)
    side = branches(
        rng,
        folds[::2, 3],
        heading[::2] + rng.choice([-1, 1], len(folds[::2])) * 1.1,
        length=0.15,
        wander=0.25,
        points=5,
    )
    thin = 0.016 * atrophy
    with layer.inside(inner):
        layer.strokes(folds, rng.uniform(0.055, 0.085), Tissue.GRAY)
        layer.strokes(side, 0.06, Tissue.GRAY)
        layer.strokes(folds[:, :6], (1.3 * thin, 0.7 * thin), Tissue.FLUID)
        layer.strokes(side[:, :4], 0.8 * thin, Tissue.FLUID)


def _resampled(rng: np.random.Generator, outline: _Points, count: int) -> _Points:
    """Choose `count` points on the outline, not quite evenly."""
    at = (np.arange(count) + rng.uniform(-0.35, 0.35, count)) / count * len(outline) % len(outline)
    low = at.astype(np.int64)
    share = (at - low)[:, None]
    return np.asarray(outline[low] * (1 - share) + outline[(low + 1) % len(outline)] * share)


def _fissure(layer: Layer, front: float, back: float, atrophy: float) -> None:
    """Part the hemispheres from `front` to `back`, with the falx between them."""
    line = np.linspace((0, 0.86 * front), (0, 0.86 * back), 5)
    layer.stroke(line, 0.09, Tissue.GRAY)
    layer.stroke(line, 0.02 * atrophy, Tissue.FLUID)
    layer.stroke(line, 0.008, Tissue.TENDON)


def _depths(layer: Layer, rng: np.random.Generator, shift: float, wide: float) -> None:
    """Paint what lies at the height of the basal ganglia: nuclei, ventricles, Sylvian fissures, calcified plexus."""
    for side in (1.0, -1.0):
        flip, move = (side, 1.0), (shift, 0.0)
        for nucleus in (_CAUDATE, _LENTIFORM, _THALAMUS):
            layer.blob(jitter(rng, nucleus, 0.006) * flip + move, Tissue.NUCLEUS)
        fold = curve(np.array([(0.66, -0.12), (0.5, -0.08), (0.39, -0.05), (0.37, 0.1), (0.33, 0.17)]) * flip)
        layer.stroke(fold, 0.1, Tissue.GRAY)
        layer.stroke(fold, 0.025 * wide, Tissue.FLUID)
        layer.blob(jitter(rng, _HORN, 0.005) * (side * wide, 1) + move, Tissue.FLUID)
        layer.blob(jitter(rng, _TRIGONE, 0.006) * (side * wide**0.5, 1) + move, Tissue.FLUID)
        if rng.random() < 0.5:
            layer.oval((side * 0.17 * wide**0.5 + shift, 0.33), (0.014, 0.022), Tissue.CALCIUM)
    layer.oval((shift, 0.03), (0.012 * wide, 0.09), Tissue.FLUID)
    if rng.random() < 0.5:
        layer.oval((shift, 0.18), (0.014, 0.013), Tissue.CALCIUM)


def lesion(layer: Layer, rng: np.random.Generator, inner: _Points) -> None:
    """Put in one of the things that brains are scanned for, or none."""
    choice = int(rng.integers(0, 12))
    start, count = int(rng.integers(0, len(inner))), len(inner)
    if choice in {0, 1}:  # a clot outside the brain: a lens, or a crescent
        span = int(rng.integers(3, 5)) if choice == 0 else int(rng.integers(5, 8))
        arc = inner[(start + np.arange(span + 1)) % count]
        thick = rng.uniform(0.08, 0.28) if choice == 0 else rng.uniform(0.05, 0.15)
        sag = 1 - thick * np.sin(np.linspace(0, np.pi, span + 1)) ** (1.0 if choice == 0 else 0.5)
        kind = Tissue.CLOT if rng.random() < 0.8 else Tissue.OEDEMA
        layer.polygon(np.concatenate([curve(arc), curve(arc * sag[:, None])[::-1]]), kind)
        return
    at = inner[start] * rng.uniform(0.25, 0.75)
    size = rng.uniform(0.06, 0.22)
    if choice == 2:
        layer.blob(lump(rng, at, (1.35 * size, 1.35 * size), 0.2), Tissue.OEDEMA)
        layer.blob(lump(rng, at, (size, size), 0.2), Tissue.CLOT)
    elif choice == 3:
        layer.blob(lump(rng, at, (1.6 * size, 1.6 * size), 0.3), Tissue.OEDEMA)
        layer.blob(lump(rng, at, (size, size), 0.15), Tissue.TUMOUR)
        if rng.random() < 0.5:
            layer.blob(lump(rng, at, (0.65 * size, 0.65 * size), 0.2), Tissue.FLUID)
    elif choice == 4:
        layer.blob(lump(rng, at, (1.6 * size, 1.2 * size), 0.3), Tissue.OEDEMA)
    elif choice == 5:
        for spot in rng.normal(0, 0.28, (int(rng.integers(3, 16)), 2)):
            layer.oval(spot, rng.uniform(0.01, 0.035, 2), Tissue.OEDEMA)


def _base(layer: Layer, rng: np.random.Generator, outline: _Points) -> None:
    """Paint the section through eyes or sinuses, temporal lobes, petrous bones and cerebellum."""
    _face(layer, rng, outline)
    inner = outline * 0.82
    back = np.array(
        [
            (-0.56, 0.16),
            (-0.2, 0.2),
            (0, 0.14),
            (0.2, 0.2),
            (0.56, 0.16),
            (0.5, 0.6),
            (0.2, 0.8),
            (0, 0.83),
            (-0.2, 0.8),
            (-0.5, 0.6),
        ]
    )
    back = jitter(rng, back, 0.012)
    layer.blob(back * 1.16 + (0, -0.06), Tissue.BONE)
    layer.blob(back * 1.05 + (0, -0.02), Tissue.FLUID)
    for side in (1.0, -1.0):
        flip = np.array([side, 1.0])
        lobe = (
            jitter(rng, [(0.2, -0.1), (0.28, -0.36), (0.46, -0.4), (0.58, -0.2), (0.6, 0.04), (0.4, 0.08)], 0.015)
            * flip
        )
        layer.blob(lobe * 1.12, Tissue.BONE)
        _leafy(layer, rng, lobe, folds=9)
        half = (
            jitter(rng, [(0.03, 0.3), (0.3, 0.25), (0.5, 0.35), (0.44, 0.6), (0.2, 0.76), (0.03, 0.74)], 0.012) * flip
        )
        _leafy(layer, rng, half, folds=16)
        layer.blob(
            jitter(rng, [(0.14, 0.06), (0.62, 0.1), (0.66, 0.28), (0.5, 0.24), (0.2, 0.18)], 0.015) * flip, Tissue.BONE
        )
        for spot in rng.normal((0.55, 0.2), 0.05, (int(rng.integers(4, 16)), 2)):
            layer.oval(spot * flip, rng.uniform(0.008, 0.022, 2), Tissue.AIR)
        layer.oval((side * 0.14, -0.02), (0.035, 0.035), Tissue.VESSEL)
    layer.oval((0, 0.2), (0.17, 0.12), Tissue.WHITE)
    layer.oval((0, 0.36), (rng.uniform(0.03, 0.07), rng.uniform(0.03, 0.06)), Tissue.FLUID)
    layer.oval((0, 0.075), (0.03, 0.025), Tissue.VESSEL)
    if rng.random() < 0.4:
        lesion(layer, rng, inner * 0.8)


def _leafy(layer: Layer, rng: np.random.Generator, outline: _Points, folds: int) -> None:
    """Fill an outline with gray matter, a white core and folds."""
    layer.blob(outline, Tissue.GRAY)
    middle = outline.mean(axis=0)
    layer.blob((outline - middle) * 0.62 + middle, Tissue.WHITE)
    rim = _resampled(rng, outline, folds)
    inward = middle - rim
    heading = np.arctan2(inward[:, 1], inward[:, 0]) + rng.normal(0, 0.3, folds)
    leaves = branches(rng, rim, heading, length=0.14, wander=0.2, points=5)
    layer.strokes(leaves, 0.035, Tissue.GRAY)
    layer.strokes(leaves, (0.018, 0.008), Tissue.FLUID)


def _face(layer: Layer, rng: np.random.Generator, outline: _Points) -> None:
    """Paint skin, ears, muscles, eyes or cheeks, nose and sinuses of the base's section."""
    for side in (1.0, -1.0):
        if rng.random() < 0.7:
            layer.blob(lump(rng, (side * 0.8, 0.18), (0.07, 0.16), 0.2), Tissue.SKIN)
    if rng.random() < 0.6:
        layer.blob(jitter(rng, [(-0.14, -0.9), (0, -1.18), (0.14, -0.9), (0, -0.8)], 0.015), Tissue.SKIN)
    layer.blob(outline, Tissue.SKIN)
    layer.blob(outline * 0.975, Tissue.FAT)
    layer.blob(outline * 0.92, Tissue.MUSCLE)
    eyes = rng.random() < 0.6
    for side in (1.0, -1.0):
        flip = (side, 1.0)
        layer.stroke(curve(np.array([(0.42, -0.72), (0.6, -0.42), (0.64, -0.2)]) * flip), 0.035, Tissue.BONE)
        if eyes:
            layer.blob(np.array([(0.14, -0.78), (0.5, -0.74), (0.34, -0.4), (0.12, -0.22)]) * flip, Tissue.FAT)
            layer.stroke(np.array([(0.16, -0.6), (0.14, -0.25)]) * flip, 0.035, Tissue.MUSCLE)
            layer.stroke(np.array([(0.46, -0.62), (0.2, -0.26)]) * flip, 0.035, Tissue.MUSCLE)
            layer.stroke(np.array([(0.32, -0.6), (0.16, -0.2)]) * flip, 0.03, Tissue.WHITE)
            layer.oval((side * 0.32, -0.7), (0.145, 0.145), Tissue.MUSCLE)
            layer.oval((side * 0.32, -0.7), (0.125, 0.125), Tissue.FLUID)
            layer.oval((side * 0.32, -0.8), (0.06, 0.028), Tissue.MUSCLE)
        else:
            layer.blob(
                jitter(rng, [(0.16, -0.72), (0.44, -0.66), (0.42, -0.36), (0.2, -0.34)], 0.02) * flip, Tissue.BONE
            )
            cavity = Tissue.MUCOSA if rng.random() < 0.15 else Tissue.AIR
            layer.blob(jitter(rng, [(0.18, -0.69), (0.42, -0.63), (0.4, -0.39), (0.22, -0.37)], 0.015) * flip, cavity)
    layer.blob([(-0.13, -0.86), (0.13, -0.86), (0.12, -0.2), (-0.12, -0.2)], Tissue.BONE)
    layer.blob([(-0.11, -0.84), (0.11, -0.84), (0.1, -0.24), (-0.1, -0.24)], Tissue.AIR)
    layer.stroke([(0, -0.86), (rng.normal(0, 0.02), -0.3)], 0.02, Tissue.BONE)
    for side in (1, -1):
        layer.stroke(
            curve([(side * 0.06, -0.75), (side * 0.07, -0.55), (side * 0.05, -0.35)]),
            rng.uniform(0.02, 0.06),
            Tissue.MUCOSA,
        )
    layer.blob(lump(rng, (0, -0.14), (0.17, 0.1), 0.1), Tissue.BONE)
    if rng.random() < 0.7:
        layer.blob(lump(rng, (0, -0.15), (0.13, 0.07), 0.1), Tissue.AIR)
