"""Paint bones of limbs and the flesh round them, break them, mend them with metal, and develop the film.

The geometry is in centimetres; a bone is a tube whose cortex shows where the ray runs along it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from edge.demo.ink import Floats, cloud
from firmware_tools.phantoms import film, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, branches, closed

Points: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Bone:
    """A long bone from `start` to `end`; `widths` are half widths at its start, its shaft and its end.

    `notch` hollows its ends (-1..1), `bow` is how far its middle bends aside.
    """

    start: ArrayLike
    end: ArrayLike
    widths: tuple[float, float, float]
    notch: float = 0.0
    bow: float = 0.0


@dataclass(frozen=True, slots=True)
class Limb:
    """What lies in the beam: long bones, short bones as outlines, flesh as outlines; all lists are in draw order."""

    tubes: list[Bone]
    pebbles: list[Points]
    flesh: list[Points]


def expose(canvas: Canvas, rng: np.random.Generator, limb: Limb, *, metal: float) -> vary.Picture:
    """Add up flesh, bones and, with probability `metal`, metal; develop the film."""
    layer = canvas.layer()
    for outline in limb.flesh:
        layer.blob(outline)
    # The blurred outline is brightest in the middle, as flesh is thickest there.
    skin, thick = layer.cover(0.25), layer.cover(1.3)
    soft = skin * (np.float32(rng.uniform(0.1, 0.35)) + np.float32(rng.uniform(0.05, 0.3)) * thick)
    hard = _bones(canvas, limb, int(rng.integers(70, 170)))
    spongy = 1 + np.float32(rng.uniform(0.0, 0.07)) * cloud(rng, canvas.shape, int(rng.integers(30, 80)))
    total = soft + np.float32(rng.uniform(0.35, 0.9)) * hard * spongy
    if rng.random() < 0.25:
        total = total * (1 - np.float32(rng.uniform(0.2, 0.6)) * _fracture(canvas, rng, limb))
    if rng.random() < metal:
        total = total + np.float32(rng.uniform(0.5, 1.2)) * _metal(canvas, rng, limb)
    if rng.random() < 0.12:
        # A cast lies round the limb, its weave shows.
        total = total + np.float32(0.2) * canvas.shapes([o * (1.15, 1.0) for o in limb.flesh], 0.1) * spongy
    total = total + film.tissue(canvas, rng, 0.02) * soft
    return film.develop(np.asarray(total), rng, collimated=0.35, inverted=0.05, ceiling=(94, 99.9))


def _bones(canvas: Canvas, limb: Limb, marrow: int) -> Floats:
    """Paint bright rims round darker marrow; neighbours share no layer, so that where they overlap both show."""
    layers = canvas.layer(), canvas.layer()
    for i, layer in enumerate(layers):
        _tubes(layer, limb.tubes[i::2], marrow)
        for outline in limb.pebbles[i::2]:
            middle = outline.mean(axis=0)
            layer.blob(outline, min(255, marrow + 70))
            layer.blob((outline - middle) * 0.84 + middle, min(255, marrow + 15))
    return layers[0].cover(0.04) + layers[1].cover(0.04)


def _tubes(layer: Layer, bones: list[Bone], marrow: int) -> None:
    """Paint long bones: the cortex is thick along the shaft and thin at the ends."""
    if bones:
        layer.polygons(closed(_profiles(bones, (1.0, 1.0, 1.0))), min(255, marrow + 85))
        layer.polygons(closed(_profiles(bones, (0.93, 0.55, 0.93))), marrow)


def _profiles(bones: list[Bone], factors: tuple[float, float, float]) -> Points:
    """Outline long bones whose half widths are scaled by `factors`; (bones, 20, 2)."""
    start = np.array([bone.start for bone in bones], dtype=np.float64)
    along = np.array([bone.end for bone in bones], dtype=np.float64) - start
    length = np.sqrt((along * along).sum(axis=1))
    first, shaft, last = (np.array([bone.widths for bone in bones]) * factors).T
    notch = np.array([bone.notch for bone in bones])
    cap0, cap1, zero, one = 0.45 * first / length, 0.45 * last / length, np.zeros(len(bones)), np.ones(len(bones))
    t = [-0.4 * cap0, 0.02 * one, 0.09 * one, 0.25 * one, 0.5 * one, 0.75 * one, 0.91 * one, 0.98 * one, 1 + 0.6 * cap1]
    v = [
        0.55 * first,
        0.95 * first,
        0.85 * first,
        1.1 * shaft,
        shaft,
        1.1 * shaft,
        0.85 * last,
        0.95 * last,
        0.55 * last,
    ]
    t = [(notch - 0.6) * cap0, *t, 1 + cap1 * (0.6 - 2.2 * notch), *t[::-1]]
    v = [zero, *v, zero, *(-w for w in v[::-1])]
    down, aside = np.stack(t, axis=1), np.stack(v, axis=1)
    aside = aside + np.array([bone.bow for bone in bones])[:, None] * np.sin(np.pi * np.clip(down, 0, 1))
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / length[:, None]
    return np.asarray(start[:, None] + down[..., None] * along[:, None] + aside[..., None] * across[:, None])


def _fracture(canvas: Canvas, rng: np.random.Generator, limb: Limb) -> Floats:
    """Run a dark crack across one long bone."""
    bone = limb.tubes[int(rng.integers(len(limb.tubes)))]
    share = rng.uniform(0.15, 0.85)
    at = (1 - share) * np.asarray(bone.start) + share * np.asarray(bone.end) - np.array([2.5, 0])
    crack = branches(rng, [at], [rng.normal(0, 0.5)], length=5.0, wander=0.35, points=9)
    layer = canvas.layer()
    layer.strokes(crack, rng.uniform(0.08, 0.25))
    return layer.cover(0.03)


def _metal(canvas: Canvas, rng: np.random.Generator, limb: Limb) -> Floats:
    """Screw a plate along a bone, drive a nail or wires through it, or put a ring on it."""
    layer, bone = canvas.layer(), limb.tubes[int(rng.integers(len(limb.tubes)))]
    start, end = np.asarray(bone.start, dtype=np.float64), np.asarray(bone.end, dtype=np.float64)
    along = (end - start) / np.hypot(*(end - start))
    across = np.array([-along[1], along[0]])
    wide = bone.widths[1]
    choice = rng.random()
    if choice < 0.45:
        low, high = sorted(rng.uniform(0.05, 0.95, 2).tolist())
        ends = start + np.outer((low, high), end - start) + across * wide * rng.uniform(-1.1, 1.1)
        layer.stroke(ends, 0.5 * wide + 0.15)
        for at in np.linspace(ends[0], ends[1], int(rng.integers(3, 8))):
            layer.stroke(np.array([at - across * 1.3 * wide, at + across * 1.3 * wide]), 0.18 * wide + 0.08, 230)
    elif choice < 0.65:
        layer.stroke(np.array([start + along * wide, end - along * wide]), 0.5 * wide)
    elif choice < 0.85:
        for _ in range(int(rng.integers(1, 4))):
            at = start + (end - start) * rng.uniform(0.1, 0.9)
            way = along * rng.normal(0, 1) + across * rng.normal(0, 1)
            layer.stroke(np.array([at - 3 * wide * way, at + 3 * wide * way]), 0.14)
    else:
        at = start + (end - start) * 0.5
        layer.stroke(np.array([at - across * 1.6 * wide, at + across * 1.6 * wide]), 0.5 * wide)
    return layer.cover(0.02)
