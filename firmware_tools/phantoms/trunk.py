"""Paint axial sections of the trunk and the thighs as maps of tissues.

The geometry is in half widths of the body, front up, the patient's right to the left; nobody's body is traced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms.canvas import Layer, branches, curve, jitter, lump, mirrored
from firmware_tools.phantoms.tissue import Tissue

_Points = NDArray[np.float64]
_TRUNKS: Final = 20
Painter: TypeAlias = Callable[[Layer, np.random.Generator], None]


def _ring(rng: np.random.Generator, tall: float) -> _Points:
    """Outline a trunk: an oval that is flatter at the back; (20, 2)."""
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    power = rng.uniform(0.75, 1.0)
    x = np.sign(np.cos(angle)) * np.abs(np.cos(angle)) ** power
    y = np.sign(np.sin(angle)) * np.abs(np.sin(angle)) ** power
    y = np.where(y > 0, 0.92 * y - 0.05 * np.exp(-((x / 0.15) ** 2)), y)
    return jitter(rng, np.stack([0.95 * x, tall * y], axis=1), 0.01)


def _wall(layer: Layer, rng: np.random.Generator, outline: _Points, muscle: float) -> _Points:
    """Paint skin, fat and the muscular wall; give the outline of what lies within."""
    fat = rng.uniform(0.02, 0.08) if rng.random() < 0.6 else rng.uniform(0.08, 0.25)
    layer.blob(outline, Tissue.SKIN)
    layer.blob(outline * 0.985, Tissue.FAT)
    layer.blob(jitter(rng, outline * (1 - fat), 0.008), Tissue.MUSCLE)
    return np.asarray(outline * (1 - fat - muscle))


def vertebra(layer: Layer, rng: np.random.Generator, at: tuple[float, float], size: float) -> None:
    """Paint a vertebra with its arch and processes round the canal."""
    x, y = at
    spread = rng.uniform(0.7, 1.3)
    for side in (-1, 1):
        layer.stroke(
            [(x + side * 0.5 * size, y + 0.9 * size), (x + side * 1.5 * size * spread, y + 1.2 * size)],
            (0.45 * size, 0.3 * size),
            Tissue.BONE,
        )
        layer.stroke(
            [(x + side * 0.75 * size, y + 0.5 * size), (x + side * 0.6 * size, y + 1.5 * size), (x, y + 1.9 * size)],
            0.32 * size,
            Tissue.BONE,
        )
    layer.stroke([(x, y + 1.7 * size), (x, y + 2.7 * size)], (0.4 * size, 0.25 * size), Tissue.BONE)
    layer.oval((x, y + 1.2 * size), (0.6 * size, 0.48 * size), Tissue.FAT)
    layer.oval((x, y + 1.2 * size), (0.5 * size, 0.42 * size), Tissue.FLUID)
    layer.oval((x, y + 1.2 * size), (0.28 * size, 0.24 * size), Tissue.WHITE)
    body = np.array(
        [(-1, -0.2), (-0.75, -0.85), (0, -1.0), (0.75, -0.85), (1, -0.2), (0.85, 0.6), (0, 0.72), (-0.85, 0.6)]
    )
    body = jitter(rng, body, 0.03)
    layer.blob(body * size + at, Tissue.BONE)
    layer.blob(body * (rng.uniform(0.84, 0.94) * size) + at, Tissue.MARROW)


def _back(layer: Layer, rng: np.random.Generator, y: float) -> None:
    """Paint the muscles beside the spine, and the broad ones behind them."""
    wide = rng.uniform(0.28, 0.6)
    layer.blob(lump(rng, (0, y + 0.02), (wide, rng.uniform(0.1, 0.2)), 0.06), Tissue.MUSCLE)
    for side in (-1, 1):
        layer.blob(lump(rng, (side * 0.17, y), (0.16, 0.13), 0.08), Tissue.FAT)
        layer.blob(lump(rng, (side * 0.17, y), (0.15, 0.12), 0.08), Tissue.MUSCLE)


def thorax(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a section through heart or great vessels, with lungs and ribs."""
    tall = rng.uniform(0.58, 0.76)
    outline = _ring(rng, tall)
    if rng.random() < 0.25:
        for side in (-1, 1):
            layer.blob(lump(rng, (side * 0.42, -tall * 0.92), (0.34, rng.uniform(0.12, 0.3)), 0.06), Tissue.FAT)
    cavity = _wall(layer, rng, outline, rng.uniform(0.06, 0.14))
    _cage(layer, rng, cavity)
    spine = rng.uniform(0.38, 0.56) * tall
    lungs = jitter(rng, cavity * 0.97, 0.006)
    layer.blob(lungs, Tissue.LUNG)
    with layer.inside(lungs):
        _airways_and_vessels(layer, rng, spine)
    with layer.inside(outline * 0.95):
        _back(layer, rng, spine + 0.28)
    right = np.array([(0, -0.9 * tall), (0.22, -0.4 * tall), (0.2, 0.2), (0.14, spine), (0, spine + 0.3)])
    middle = np.concatenate([right, mirrored(right[1:-1])[::-1]])
    layer.blob(jitter(rng, middle, 0.02), Tissue.FAT)
    if rng.random() < 0.6:
        _heart(layer, rng)
    else:
        _great_vessels(layer, rng)
    _effusion(layer, rng, lungs)
    layer.oval((0.17, spine - 0.1), (0.08, 0.08), Tissue.VESSEL)
    layer.oval((0.04, spine - 0.16), (0.045, 0.03), Tissue.BOWEL)
    vertebra(layer, rng, (0.0, spine), rng.uniform(0.12, 0.155))
    layer.blob(lump(rng, (0, -0.86 * tall), (rng.uniform(0.08, 0.16), 0.045), 0.06), Tissue.BONE)
    layer.blob(lump(rng, (0, -0.86 * tall), (0.07, 0.022), 0.06), Tissue.MARROW)


def _cage(layer: Layer, rng: np.random.Generator, cavity: _Points) -> None:
    """Paint the ribs where a slanting cage meets the section, and sometimes the shoulder blades and arms."""
    ring = curve(np.concatenate([cavity, cavity[:1]])) * 1.03
    for start in np.arange(0, len(ring) - 7, 7) + rng.integers(0, 4):
        span = int(rng.integers(1, 5))
        layer.stroke(ring[start : start + span + 1], 0.05, Tissue.BONE)
        layer.stroke(ring[start : start + span + 1], 0.02, Tissue.MARROW)
    if rng.random() < 0.4:
        for side in (-1, 1):
            blade = curve([(side * 0.38, 0.56), (side * 0.62, 0.5), (side * 0.8, 0.25)])
            layer.stroke(blade, 0.12, Tissue.MUSCLE)
            layer.stroke(blade, 0.03, Tissue.BONE)


def _airways_and_vessels(layer: Layer, rng: np.random.Generator, spine: float) -> None:
    """Paint the lungs' branching vessels, dots where they are cut across, and what clouds the air spaces."""
    for spot in rng.uniform((0.25, -0.4), (0.75, 0.4), (int(rng.integers(0, 4)) if rng.random() < 0.5 else 0, 2)):
        radii = rng.uniform((0.03, 0.03), (0.22, 0.2))
        layer.blob(
            lump(rng, spot * (rng.choice([-1, 1]), 1), radii, 0.3), Tissue.MUSCLE if rng.random() < 0.6 else Tissue.FOAM
        )
    side = np.where(np.arange(_TRUNKS) % 2 == 0, 1.0, -1.0)
    start = np.stack([side * 0.24, rng.uniform(-0.15, 0.25, _TRUNKS)], axis=1)
    heading = np.where(side > 0, 0.0, np.pi) + rng.uniform(-1.2, 1.2, _TRUNKS)
    trunks = branches(rng, start, heading, length=0.42, wander=0.12, points=9)
    which = rng.integers(0, _TRUNKS, 60)
    twigs = branches(
        rng,
        trunks[which, rng.integers(2, 8, 60)],
        heading[which] + rng.normal(0, 0.8, 60),
        length=0.16,
        wander=0.15,
        points=5,
    )
    layer.strokes(trunks, (rng.uniform(0.014, 0.036), 0.008), Tissue.VESSEL)
    layer.strokes(twigs, 0.01, Tissue.FOAM)
    for spot in rng.uniform((0.25, -0.45), (0.8, spine), (int(rng.integers(5, 40)), 2)):
        radius = rng.uniform(0.005, 0.014)
        layer.oval((spot[0] * float(rng.choice([-1, 1])), spot[1]), (radius, radius), Tissue.VESSEL)


def _heart(layer: Layer, rng: np.random.Generator) -> None:
    at = np.array([rng.uniform(0.05, 0.16), rng.uniform(-0.2, -0.05)])
    size = rng.uniform(0.85, 1.2)
    layer.blob(lump(rng, at, (0.37 * size, 0.3 * size), 0.06), Tissue.FAT)
    layer.blob(lump(rng, at, (0.35 * size, 0.28 * size), 0.06), Tissue.HEART)
    for spot, radii in (
        ((0.14, 0.02), (0.13, 0.1)),
        ((-0.02, -0.14), (0.14, 0.09)),
        ((-0.18, 0.0), (0.1, 0.12)),
        ((0.0, 0.15), (0.15, 0.08)),
    ):
        layer.blob(lump(rng, at + np.asarray(spot) * size, np.asarray(radii) * size, 0.12), Tissue.VESSEL)
    if rng.random() < 0.2:
        layer.oval(tuple(at + rng.normal(0, 0.1, 2)), (0.02, 0.012), Tissue.CALCIUM)


def _great_vessels(layer: Layer, rng: np.random.Generator) -> None:
    layer.blob(lump(rng, (0.0, -0.05), (0.24, 0.26), 0.08), Tissue.FAT)
    layer.oval((-0.06, -0.14), (0.11, 0.11), Tissue.VESSEL)
    layer.oval((-0.17, -0.08), (0.06, 0.065), Tissue.VESSEL)
    if rng.random() < 0.6:
        layer.stroke(curve([(0.1, -0.2), (0.06, -0.08), (-0.08, 0.03), (-0.22, 0.05)]), 0.13, Tissue.VESSEL)
        for side in (-1, 1):
            layer.oval((side * 0.12, 0.1), (0.05, 0.04), Tissue.AIR)
    else:
        layer.stroke(curve([(-0.08, -0.15), (0.06, -0.08), (0.16, 0.12)]), 0.16, Tissue.VESSEL)
        layer.oval((0, 0.08), (0.07, 0.065), Tissue.AIR)


def _effusion(layer: Layer, rng: np.random.Generator, lungs: _Points) -> None:
    """Let fluid collect behind a lung, sometimes."""
    if rng.random() > 0.2:
        return
    side = float(rng.choice([-1, 1]))
    low = lungs[(lungs[:, 0] * side > 0.15) & (lungs[:, 1] > -0.05)]
    if len(low) >= 3:
        order = np.argsort(low[:, 0] * side)
        rim = low[order]
        layer.polygon(np.concatenate([rim, rim[::-1] * (0.92, rng.uniform(0.4, 0.8))]), Tissue.FLUID)


def belly(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a section at the height of liver or kidneys."""
    tall = rng.uniform(0.58, 0.82)
    outline = _ring(rng, tall)
    cavity = _wall(layer, rng, outline, rng.uniform(0.04, 0.09))
    upper = rng.random() < 0.65
    if upper or rng.random() < 0.4:
        _cage(layer, rng, cavity)
    layer.blob(cavity, Tissue.FAT)
    if upper and rng.random() < 0.4:
        # Under the domes the lungs still line the wall.
        layer.blob(cavity * 0.97, Tissue.LUNG)
        within = jitter(rng, cavity * rng.uniform(0.7, 0.9), 0.02)
        layer.blob(within + np.array([0, rng.uniform(-0.1, 0.02)]), Tissue.FAT)
        cavity = cavity * 0.85
    spine = 0.45 * tall
    with layer.inside(outline * 0.95):
        _back(layer, rng, spine + 0.3)
    if upper and rng.random() < 0.35:
        for side in (-1, 1):
            layer.blob(lump(rng, (side * 0.45, 0.5 * tall), (0.22, 0.14), 0.1), Tissue.LUNG)
    if upper:
        _upper_organs(layer, rng, cavity)
    for centre in rng.uniform(
        (-0.6, -0.75 * tall), (0.65, 0.1), (int(rng.integers(2, 8)) if upper else int(rng.integers(10, 22)), 2)
    ):
        if not upper or centre[0] > 0:
            _loop(layer, rng, centre * (0.95, 0.8))
    for side in (-1, 1):
        layer.blob(lump(rng, (side * 0.2, spine + 0.02), (0.08, 0.09), 0.08), Tissue.MUSCLE)
        if rng.random() < 0.85:
            _kidney(layer, rng, (side * rng.uniform(0.36, 0.46), spine + rng.uniform(-0.1, 0.06)), side)
    layer.oval((0.05, spine - 0.22), (0.065, 0.06), Tissue.VESSEL)
    layer.oval((-0.1, spine - 0.21), (0.075, 0.055), Tissue.VESSEL)
    vertebra(layer, rng, (0, spine), rng.uniform(0.13, 0.165))


def _upper_organs(layer: Layer, rng: np.random.Generator, cavity: _Points) -> None:
    """Paint liver, spleen, stomach, pancreas and gall bladder."""
    liver = jitter(rng, cavity[(cavity[:, 0] < 0.1)] * 0.97, 0.01)
    order = np.argsort(np.arctan2(liver[:, 1], liver[:, 0]) % (2 * np.pi))
    reach = rng.uniform(-0.05, 0.3)
    edge = np.array([(-0.35, 0.35), (-0.22, 0.12), (-0.1, -0.05), (reach, -0.3)])
    layer.blob(np.concatenate([liver[order], edge[np.argsort(-edge[:, 1])][::-1]]), Tissue.LIVER)
    start = np.full((6, 2), (-0.15, -0.02))
    veins = branches(rng, start, rng.uniform(2.2, 4.0, 6), length=0.5, wander=0.12, points=9)
    layer.strokes(veins, (0.05, 0.012), Tissue.VESSEL)
    for spot in rng.uniform((-0.75, -0.3), (-0.3, 0.3), (int(rng.integers(0, 4)) if rng.random() < 0.4 else 0, 2)):
        layer.blob(
            lump(rng, spot, rng.uniform((0.02, 0.02), (0.12, 0.12)), 0.15),
            Tissue.TUMOUR if rng.random() < 0.5 else Tissue.FLUID,
        )
    layer.blob(lump(rng, (rng.uniform(0.6, 0.7), rng.uniform(0.1, 0.25)), (0.14, 0.24), 0.1), Tissue.SPLEEN)
    stomach = (rng.uniform(0.25, 0.45), rng.uniform(-0.35, -0.15))
    radii = rng.uniform((0.18, 0.12), (0.32, 0.24))
    layer.blob(lump(rng, stomach, radii, 0.1), Tissue.BOWEL)
    if rng.random() < 0.7:
        layer.oval((stomach[0], stomach[1] - 0.35 * radii[1]), (0.75 * radii[0], 0.5 * radii[1]), Tissue.GAS)
    layer.stroke(curve([(-0.15, 0.02), (0.05, -0.04), (0.3, 0.04)]), (0.12, 0.07), Tissue.SPLEEN)
    if rng.random() < 0.4:
        layer.blob(lump(rng, (-0.3, -0.12), (0.09, 0.07), 0.1), Tissue.FLUID)


def _loop(layer: Layer, rng: np.random.Generator, centre: _Points) -> None:
    """Paint a loop of bowel with what it holds."""
    radii = rng.uniform((0.05, 0.05), (0.13, 0.1))
    layer.blob(lump(rng, centre, radii, 0.12), Tissue.MUSCLE)
    layer.blob(
        lump(rng, centre, 0.75 * radii, 0.12),
        (Tissue.BOWEL, Tissue.FLUID, Tissue.GAS, Tissue.CALCIUM)[int(rng.choice(4, p=[0.45, 0.2, 0.28, 0.07]))],
    )


def _kidney(layer: Layer, rng: np.random.Generator, at: tuple[float, float], side: int) -> None:
    size = rng.uniform(0.85, 1.15)
    layer.blob(lump(rng, at, (0.13 * size, 0.16 * size), 0.06), Tissue.KIDNEY)
    layer.blob(lump(rng, (at[0] - side * 0.07, at[1] - 0.02), (0.08 * size, 0.07 * size), 0.15), Tissue.FAT)
    if rng.random() < 0.3:
        layer.oval((at[0] - side * 0.03, at[1]), (0.04, 0.03), Tissue.FLUID)
    if rng.random() < 0.15:
        layer.blob(lump(rng, (at[0] + side * 0.1, at[1] - 0.1), (0.09, 0.09), 0.05), Tissue.FLUID)


def hips(layer: Layer, rng: np.random.Generator) -> None:
    """Paint a section of the pelvis: iliac wings and sacrum, or the hip joints."""
    tall = rng.uniform(0.55, 0.7)
    cavity = _wall(layer, rng, _ring(rng, tall), 0.05)
    layer.blob(jitter(rng, cavity * (0.72, 0.8), 0.01), Tissue.FAT)
    low = rng.random() < 0.6
    for side in (-1.0, 1.0):
        flip = (side, 1.0)
        layer.stroke(curve(np.array([(0.2, 0.72 * tall), (0.5, 0.6 * tall), (0.72, 0.2)]) * flip), 0.02, Tissue.FAT)
        if low:
            layer.oval((side * 0.52, -0.02), (0.135, 0.135), Tissue.BONE)
            # One in fifteen joints is a prosthesis.
            layer.oval((side * 0.52, -0.02), (0.12, 0.12), Tissue.METAL if rng.random() < 0.07 else Tissue.MARROW)
            layer.stroke(curve(np.array([(0.34, -0.2), (0.36, 0.0), (0.46, 0.16)]) * flip), 0.08, Tissue.BONE)
            layer.blob(lump(rng, (side * 0.74, 0.06), (0.07, 0.09), 0.08), Tissue.BONE)
            layer.blob(lump(rng, (side * 0.74, 0.06), (0.05, 0.07), 0.08), Tissue.MARROW)
            layer.oval((side * 0.42, -0.42 * tall), (0.045, 0.045), Tissue.VESSEL)
        else:
            wing = curve(np.array([(0.24, 0.42), (0.42, 0.2), (0.56, -0.08), (0.6, -0.22)]) * flip)
            layer.stroke(wing, 0.1, Tissue.BONE)
            layer.stroke(wing, 0.06, Tissue.MARROW)
            layer.blob(lump(rng, (side * 0.4, 0.0), (0.1, 0.14), 0.1), Tissue.MUSCLE)
    if low:
        layer.blob(lump(rng, (0, -0.12), rng.uniform((0.16, 0.12), (0.28, 0.2)), 0.05), Tissue.FLUID)
        layer.blob(lump(rng, (0, 0.12), (0.12, 0.08), 0.08), Tissue.SPLEEN)
    else:
        for centre in rng.uniform((-0.35, -0.4), (0.35, 0.05), (int(rng.integers(5, 12)), 2)):
            _loop(layer, rng, centre)
    layer.blob(jitter(rng, [(-0.22, 0.36), (0, 0.3), (0.22, 0.36), (0.1, 0.52), (-0.1, 0.52)], 0.015), Tissue.BONE)
    layer.blob(jitter(rng, [(-0.17, 0.38), (0, 0.33), (0.17, 0.38), (0.07, 0.49), (-0.07, 0.49)], 0.015), Tissue.MARROW)
    layer.blob(lump(rng, (0, 0.24), (0.07, 0.06), 0.1), Tissue.GAS if rng.random() < 0.5 else Tissue.BOWEL)


def thighs(layer: Layer, rng: np.random.Generator) -> None:
    """Paint one or two limbs cut across: a bone amid bundles of muscle, vessels, fat around."""
    pair = rng.random() < 0.3
    for middle in (-0.48, 0.48) if pair else (0.0,):
        size = 0.46 if pair else 0.85
        at = np.array([middle, 0.0])
        outline = lump(rng, (0, 0), (size, size * rng.uniform(0.85, 1.05)), 0.04)
        fat = rng.uniform(0.05, 0.3)
        layer.blob(outline + at, Tissue.SKIN)
        layer.blob(outline * 0.97 + at, Tissue.FAT)
        layer.blob(outline * (0.97 - fat) + at, Tissue.MUSCLE)
        count = int(rng.integers(4, 9))
        fans = branches(
            rng,
            np.repeat(at[None], count, axis=0),
            rng.uniform(0, 6.3, count),
            length=size * 0.9,
            wander=0.25,
            points=8,
        )
        with layer.inside(outline + at):
            layer.strokes(fans, 0.02 * size, Tissue.FAT)
        bones = [(at + rng.normal(0, 0.1, 2) * size, rng.uniform(0.16, 0.26) * size)]
        if rng.random() < 0.4:
            bones.append((at + np.array([0.42, 0.25]) * size, 0.1 * size))
        for spot, radius in bones:
            layer.blob(lump(rng, spot, (radius, radius), 0.06), Tissue.BONE)
            layer.blob(lump(rng, spot, (0.62 * radius, 0.62 * radius), 0.06), Tissue.MARROW)
        for spot in at + rng.normal(0, 0.35, (4, 2)) * size:
            layer.oval(spot, (0.05 * size, 0.05 * size), Tissue.VESSEL)
