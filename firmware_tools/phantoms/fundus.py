"""Draw fundus photographs, whole and in detail: pigment, disc, vessels, lesions, and the camera's aperture and glare.

The geometry is in radii of a field of 45 degrees; the temple lies to the left, unless mirrored; nobody's eye is traced.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

from edge.demo.ink import Floats, Point, cloud, oval, ramp, resize
from firmware_tools.phantoms import marks, vary
from firmware_tools.phantoms.canvas import Canvas, Layer, Shape, branches, lump, random_pose

_Points = NDArray[np.float64]
# What blood takes from red, green and blue; green shows vessels best.
_BLOOD: Final = (0.26, 0.56, 0.42)


def colour(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a whole field through the camera's aperture; uint8 (height, width, 3)."""
    shape = vary.shape_of(rng, side, 0.95, 1.02) if rng.random() < 0.45 else vary.shape_of(rng, side, 0.9, 1.6)
    pose = random_pose(rng, shape, 2.0, turn=0.12, zoom=(0.72, 1.15), shift=0.02, bend=0.05, mirror=0.5)
    aperture, radius = _aperture(rng, shape, pose.scale)
    # The eye looks aside: mostly the macula is central, sometimes the disc, sometimes neither.
    gaze = rng.normal((0, 0), (0.12, 0.1)) + np.array([(0, 0), (0, 0), (0.45, 0), (0.3, 0.3)][int(rng.integers(4))])
    pose = pose.aimed(gaze, rng.uniform(0.75, 1.5))
    channels = _retina(Canvas(shape, pose), rng, reach=(radius / pose.scale) + 0.6)
    picture = _photograph(channels, rng, aperture)
    return marks.annotated(picture, rng, 0.1)


def detail(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a patch of retina, mostly in gray as the green channel shows it, or a whole field without red."""
    if rng.random() < 0.25:
        return _red_free(rng, side)
    shape = vary.shape_of(rng, side, 0.8, 1.25)
    pose = random_pose(rng, shape, 2.0, turn=2.0, zoom=(0.6, 1.6), shift=0.1, bend=0.06, mirror=0.5)
    canvas = Canvas(shape, pose)
    blood = _patch_vessels(canvas, rng)
    light = 1 + np.float32(rng.uniform(0.01, 0.1)) * cloud(rng, shape, 4)
    light = light + np.float32(rng.uniform(0.005, 0.05)) * cloud(rng, shape, 50)
    if rng.random() < 0.3:
        light = light + np.float32(rng.uniform(0.02, 0.1)) * np.abs(cloud(rng, shape, 12))
    gray = rng.random() < 0.6
    base = _pigment(rng)
    channels = [
        np.float32(c) * light * (1 - np.float32(d * rng.uniform(0.5, 1.1)) * blood)
        for c, d in zip(base, _BLOOD, strict=True)
    ]
    channels = _lesions(canvas, rng, channels, often=0.6, reach=1.0, size=2.6)
    if rng.random() < 0.15:
        channels = _disc(canvas, rng, channels, (rng.uniform(-1, 1), rng.uniform(-1, 1)), rng.uniform(0.5, 0.9))
    if not gray:
        return _developed(channels, rng, 1.0)
    green = np.clip(channels[1] * np.float32(rng.uniform(0.6, 1.7)), 0, 1)
    green = vary.blurred(green, rng.uniform(0, 1.2) * side / 112)
    if rng.random() < 0.3:
        green = vary.stretch(green, rng)
    return vary.eight_bits(vary.mottle(vary.tone(green, rng), rng, rng.uniform(0.0, 0.03)))


def _red_free(rng: np.random.Generator, side: int) -> vary.Picture:
    """Draw a whole field in gray: without red light, or with a dye that makes vessels shine."""
    shape = vary.shape_of(rng, side, 0.9, 1.5)
    pose = random_pose(rng, shape, 2.0, turn=0.12, zoom=(0.8, 1.2), shift=0.03, bend=0.05, mirror=0.5)
    aperture, radius = _aperture(rng, shape, pose.scale)
    pose = pose.aimed(rng.normal(0, 0.2, 2))
    green = _retina(Canvas(shape, pose), rng, reach=radius / pose.scale + 0.6)[1]
    field = vary.stretch(green, rng)
    if rng.random() < 0.4:
        field = np.float32(rng.uniform(0.7, 1.0)) - np.float32(rng.uniform(0.6, 0.9)) * field
    field = vary.mottle(vary.tone(field, rng), rng, rng.uniform(0.0, 0.03))
    return marks.annotated(vary.eight_bits(np.clip(field, 0.02, 1) * aperture), rng, 0.25)


def _aperture(rng: np.random.Generator, shape: Shape, scale: float) -> tuple[Floats, float]:
    """Mask what the aperture shows, a disc, a disc cut above and below, or all; also give its radius in pixels."""
    height, width = shape
    radius = scale * rng.uniform(0.96, 1.03)
    pick = rng.random()
    if pick < 0.15:
        radius *= rng.uniform(1.15, 1.6)
    image = Image.new("L", (2 * width, 2 * height))
    pen = ImageDraw.Draw(image)
    cx, cy = width + rng.normal(0, 0.02) * width, height + rng.normal(0, 0.02) * height
    pen.ellipse([cx - 2 * radius, cy - 2 * radius, cx + 2 * radius, cy + 2 * radius], fill=255)
    if 0.1 < pick < 0.35:
        cut = 2 * radius * rng.uniform(0.72, 0.95)
        pen.rectangle([0, -1, 2 * width, max(-1, cy - cut)], fill=0)
        pen.rectangle([0, min(cy + cut, 2 * height), 2 * width, 2 * height], fill=0)
    if rng.random() < 0.35:
        # The notch tells which way up the film lies; it stands out of the disc or cuts into it.
        angle = rng.choice([-0.8, 0.0, 0.8, 2.4, 3.14]) + rng.normal(0, 0.1)
        tab, out = 2 * radius * rng.uniform(0.03, 0.07), rng.random() < 0.6
        x, y = cx + 2 * radius * math.cos(angle), cy + 2 * radius * math.sin(angle)
        corners = np.array([(-tab, -tab), (tab, -tab), (tab, tab), (-tab, tab)])
        c, s = math.cos(angle), math.sin(angle)
        pen.polygon((corners @ np.array([[c, s], [-s, c]]) + (x, y)).ravel().tolist(), fill=255 if out else 0)
    soft = image.reduce(2).filter(ImageFilter.GaussianBlur(rng.uniform(0.2, 1.2) * max(shape) / 112))
    return np.asarray(soft, dtype=np.float32) * np.float32(1 / 255), radius


def _pigment(rng: np.random.Generator) -> tuple[float, float, float]:
    """Choose the ground colour: from pale and orange to brown, from a warm lamp to a greenish one."""
    red = rng.uniform(0.42, 0.95)
    green = red * (rng.uniform(0.3, 0.6) if rng.random() < 0.75 else rng.uniform(0.5, 0.9))
    return red, green, green * rng.uniform(0.12, 0.85)


def _retina(canvas: Canvas, rng: np.random.Generator, reach: float) -> list[Floats]:
    """Paint red, green and blue in about 0..1; `reach` is how far from the middle anything can be seen."""
    x, y = canvas.grid()
    shape = canvas.shape
    light = 1 - np.float32(rng.uniform(0.0, 0.35)) * ramp(np.sqrt(x * x + y * y), 0.2, 1.2)
    light = light + np.float32(rng.uniform(0.01, 0.06)) * cloud(rng, shape, 4)
    light = light + np.float32(rng.uniform(0.005, 0.03)) * cloud(rng, shape, 40)
    weave = np.abs(cloud(rng, shape, int(rng.integers(16, 34)))) - np.float32(0.8)
    weave = weave * np.float32(rng.uniform(0, 0.07) if rng.random() < 0.4 else rng.uniform(0, 0.02))
    fovea, disc = (-0.08, 0.05 + rng.normal(0, 0.02)), (rng.uniform(0.38, 0.5), rng.normal(0, 0.04))
    dark = oval(x, y, fovea, (rng.uniform(0.15, 0.4), rng.uniform(0.15, 0.36)), 1.9)
    blood = _vessels(canvas, rng, disc, fovea)
    strength = rng.uniform(0.55, 1.15)
    channels = []
    for base, dip, mottle in zip(_pigment(rng), (0.12, 0.25, 0.2), (1.0, 1.1, 0.5), strict=True):
        ground = np.float32(base) * (light + np.float32(mottle) * weave)
        channels.append(ground * (1 - np.float32(dip * rng.uniform(0.3, 1.4)) * dark))
    channels = _disc(canvas, rng, channels, disc, rng.uniform(0.095, 0.15))
    channels = _lesions(canvas, rng, channels, often=0.3, reach=reach - 0.3, size=1.0)
    return [c * (1 - np.float32(d * strength) * blood) for c, d in zip(channels, _BLOOD, strict=True)]


def _vessels(canvas: Canvas, rng: np.random.Generator, disc: Point, fovea: Point) -> Floats:
    """Grow arcades, nasal trunks and their branches from the disc; veins are darker than arteries."""
    layer = canvas.layer()
    up = np.array([-1, -1, 1, 1, -1, -1, 1, 1])
    angle = up * np.array([1.75, 1.5, 1.75, 1.5, 0.75, 0.55, 0.75, 0.55]) + rng.normal(0, 0.15, 8)
    bow = up * np.array([1.35, 1.2, 1.35, 1.2, -0.3, 0.2, -0.3, 0.2]) * rng.uniform(0.75, 1.25, 8)
    wander = rng.uniform(0.05, 0.16)
    start = np.asarray(disc) + rng.normal(0, 0.02, (8, 2))
    trunks = branches(rng, start, angle, length=rng.uniform(1.3, 1.8), wander=wander, curl=bow, points=22)
    twigs = _offshoots(rng, trunks, 44, 0.75, wander)
    ends = _offshoots(rng, twigs, 90, 0.33, 1.3 * wander)
    macular = branches(rng, start, math.pi + rng.normal(0, 0.5, 8), length=0.38, wander=wander)
    thick = rng.uniform(0.6, 1.25)
    layer.strokes(ends, 0.006 * thick, int(rng.integers(60, 170)))
    layer.strokes(macular, (0.01 * thick, 0.004), 120)
    layer.strokes(twigs, (0.018 * thick, 0.007 * thick), 190)
    layer.strokes(trunks[::2], (0.045 * thick, 0.012 * thick), 255)
    layer.strokes(trunks[1::2], (0.032 * thick, 0.009 * thick), 165)
    x, y = canvas.grid()
    # No vessel crosses the fovea, and over the pale disc they show less.
    bare = oval(x, y, fovea, (0.16, 0.15), 0.8) + np.float32(0.45) * oval(x, y, disc, (0.11, 0.12), 0.5)
    return np.asarray(layer.cover(0.004) * (1 - bare))


def _offshoots(rng: np.random.Generator, parents: _Points, count: int, length: float, wander: float) -> _Points:
    """Let `count` branches leave lines (n, points, 2) at places of their own, to either side; (count, 11, 2)."""
    which, knot = rng.integers(0, len(parents), count), rng.integers(2, parents.shape[1] - 2, count)
    along = parents[which, knot + 1] - parents[which, knot]
    side = rng.choice([-1.0, 1.0], count)
    heading = np.arctan2(along[:, 1], along[:, 0]) + side * rng.uniform(0.4, 1.0, count)
    return branches(rng, parents[which, knot], heading, length=length, wander=wander, curl=-0.6 * side, points=11)


def _patch_vessels(canvas: Canvas, rng: np.random.Generator) -> Floats:
    """Let a few vessels cross the patch, roughly side by side, with branches between."""
    layer = canvas.layer()
    count = int(rng.integers(1, 6))
    start = np.stack([np.full(count, -2.2), np.sort(rng.uniform(-1.4, 1.4, count))], axis=1)
    wander = rng.uniform(0.06, 0.25)
    trunks = branches(rng, start, rng.normal(0, 0.25, count), length=4.6, wander=wander, points=30)
    twigs = _offshoots(rng, trunks, int(rng.integers(1, 14)), 1.3, wander)
    base = rng.uniform(0.02, 0.09)
    layer.strokes(twigs, (0.5 * base, 0.2 * base), int(rng.integers(80, 200)))
    for trunk in trunks:
        layer.stroke(trunk, base * rng.uniform(0.5, 1.6), int(rng.integers(130, 256)))
    return layer.cover(rng.uniform(0.005, 0.025))


def _disc(
    canvas: Canvas, rng: np.random.Generator, channels: list[Floats], at: tuple[float, float], radius: float
) -> list[Floats]:
    """Lay the pale disc with its paler cup over the ground, sometimes with a crescent beside it."""
    rims, cups = canvas.layer(), canvas.layer()
    tall = rng.uniform(1.0, 1.15)
    if rng.random() < 0.25:
        rims.oval((at[0] - 0.3 * radius, at[1]), (1.3 * radius, 1.25 * radius), 90)
    rims.oval(at, (radius, tall * radius), 255)
    share = rng.uniform(0.25, 0.75)
    cups.oval((at[0] + 0.05 * radius, at[1]), (share * radius, share * tall * radius))
    rim, cup = rims.cover(0.1 * radius), cups.cover(0.15 * radius)
    bright = rng.uniform(0.75, 1.05)
    painted = []
    for channel, tint, lift in zip(channels, (1.0, 0.74, 0.42), (0.02, 0.15, 0.2), strict=True):
        glow = np.float32(tint * bright * rng.uniform(0.9, 1.1)) - channel
        painted.append(channel + np.float32(0.85) * rim * glow + np.float32(lift) * cup)
    return painted


def _lesions(
    canvas: Canvas, rng: np.random.Generator, channels: list[Floats], *, often: float, reach: float, size: float
) -> list[Floats]:
    """Scatter bleedings, exudates, soft spots, drusen or laser scars, each with probability `often`."""
    if rng.random() < often:
        layer = canvas.layer()
        spots = rng.normal(0, 0.5 * reach, (int(rng.integers(1, 40)), 2))
        for i, spot in enumerate(spots):
            radii = rng.uniform((0.008, 0.008), (0.05, 0.05)) if i % 4 == 0 else np.full(2, rng.uniform(0.006, 0.014))
            _spot(layer, rng, spot, size * radii, int(rng.integers(140, 256)))
        channels = _blend(channels, layer.cover(0.006 * size), (0.35, 0.08, 0.06), 0.75)
    if rng.random() < often:
        layer = canvas.layer()
        middle = rng.normal(0, 0.3 * reach, 2)
        spread = rng.uniform(0.08, 0.4) * size
        for spot in middle + rng.normal(0, spread, (int(rng.integers(3, 60)), 2)):
            _spot(layer, rng, spot, size * rng.uniform((0.005, 0.005), (0.03, 0.03)), int(rng.integers(120, 256)))
        tint = (1.0, 0.9, rng.uniform(0.25, 0.65))
        channels = _blend(channels, layer.cover(0.006 * size), tint, rng.uniform(0.5, 0.9))
    if rng.random() < 0.4 * often:
        layer = canvas.layer()
        for spot in rng.normal(0, 0.5 * reach, (int(rng.integers(1, 7)), 2)):
            _spot(layer, rng, spot, size * rng.uniform((0.03, 0.03), (0.09, 0.07)), 200)
        channels = _blend(channels, layer.cover(0.025 * size), (0.95, 0.8, 0.6), 0.6)
    if rng.random() < 0.15 * often:
        layer = canvas.layer()
        for spot in rng.uniform(-reach, reach, (int(rng.integers(20, 120)), 2)):
            if math.hypot(*spot) > 0.35:
                radius = size * rng.uniform(0.015, 0.035)
                layer.oval(spot, (radius, radius), 200)
        tone = rng.uniform(0.1, 0.9)
        channels = _blend(channels, layer.cover(0.01 * size), (tone, 0.8 * tone, 0.5 * tone), 0.6)
    return channels


def _spot(layer: Layer, rng: np.random.Generator, at: _Points, radii: _Points, value: int) -> None:
    if radii[0] < 0.015:
        layer.oval(at, radii, value)
    else:
        layer.blob(lump(rng, at, radii, 0.3), value)


def _blend(channels: list[Floats], cover: Floats, tint: tuple[float, float, float], share: float) -> list[Floats]:
    return [c + np.float32(share) * cover * (np.float32(t) - c) for c, t in zip(channels, tint, strict=True)]


def _photograph(channels: list[Floats], rng: np.random.Generator, aperture: Floats) -> vary.Picture:
    """Pass the retina through hazy media and a camera with glare, and mask it."""
    shape = (aperture.shape[0], aperture.shape[1])
    if rng.random() < 0.25:
        haze, fog = rng.uniform(0.05, 0.4), rng.uniform(0.3, 0.7)
        veil = np.float32(haze) * np.clip(1 + np.float32(0.4) * cloud(rng, shape, 3), 0, 2)
        channels = [c + veil * (np.float32(fog * t) - c) for c, t in zip(channels, (1.0, 0.75, 0.5), strict=True)]
    if rng.random() < 0.2:
        glare = np.clip(cloud(rng, shape, 3) - np.float32(1.0), 0, 1) * np.float32(rng.uniform(0.1, 0.5))
        tint = rng.uniform(0.5, 1.0, 3)
        channels = [c + glare * np.float32(t) for c, t in zip(channels, tint, strict=True)]
    ground = rng.uniform(0, 0.03) if rng.random() < 0.95 else rng.uniform(0.6, 1.0)
    return _developed(channels, rng, aperture, ground)


def _developed(
    channels: list[Floats], rng: np.random.Generator, aperture: Floats | float, ground: float = 0.0
) -> vary.Picture:
    """Give the channels gains, gamma and noise; uint8 (height, width, 3)."""
    height, width = channels[0].shape
    gain = rng.uniform(0.75, 1.15) * np.exp(rng.normal(0, 0.06, 3))
    bend = np.float32(math.exp(rng.normal(0, 0.15)))
    grain = np.float32(rng.uniform(0, 0.02)) * resize(
        vary.grain(rng, (height // 2 + 1, width // 2 + 1)), (height, width)
    )
    picture = np.empty((height, width, 3), dtype=np.uint8)
    for i, channel in enumerate(channels):
        developed = np.power(np.clip(channel * np.float32(gain[i]), 0, 1), bend) + grain
        picture[:, :, i] = vary.eight_bits(developed * aperture + np.float32(ground) * (1 - aperture))
    if rng.random() < 0.5:
        blur = ImageFilter.GaussianBlur(rng.uniform(0.2, 0.9) * max(height, width) / 112)
        picture = np.array(Image.fromarray(picture).filter(blur), dtype=np.uint8)
    return picture
