"""Draw a fundus photograph: the retina's pigment, the disc, the vessels that leave it, the camera's aperture.

The geometry is in units of 100 pixels from the middle of the picture; nobody's retina is traced.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.demo.ink import Floats, Frame, Point, Steer, Stroke, cloud, noise, oval, ramp, tree

_FRAME: Final = Frame(1400, 1400, 100.0, 700.0, 700.0)
_SHAPE: Final = (_FRAME.height, _FRAME.width)
# The aperture's radius; the camera's mask also cuts its top and bottom.
_RADIUS: Final = 6.75


class _Eye(NamedTuple):
    """Where things are: `nasal` is the sign of x towards the nose, where the disc lies."""

    nasal: float
    disc: Point
    fovea: Point


def draw_fundus(rng: np.random.Generator, *, right_eye: bool, bits: int = 8) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Draw a colour photograph of 45 degrees, of 8 or 16 bits a channel; uint8 or uint16 (1400, 1400, 3).

    A right eye has its disc on the right.
    """
    nasal = 1.0 if right_eye else -1.0
    disc = (nasal * (2.55 + rng.normal(0, 0.12)), rng.normal(-0.1, 0.1))
    eye = _Eye(nasal, disc, (nasal * (-0.55 + rng.normal(0, 0.1)), 0.32 + rng.normal(0, 0.06)))
    arteries, veins = _vessels(rng, eye)
    channels = _retina(rng, eye)
    # Veins are wider and darker; arteries are lighter, with a bright reflex along the middle.
    channels = _bleed(channels, veins, eye, depths=(0.30, 0.66, 0.44), glint=0.05)
    channels = _bleed(channels, arteries, eye, depths=(0.16, 0.50, 0.40), glint=0.16)

    picture = np.stack(channels, axis=-1) * np.float32(255)
    picture += 2.0 * noise(rng, _SHAPE)[..., None] + 1.4 * rng.standard_normal(picture.shape, dtype=np.float32)
    x, y = _FRAME.grid()
    aperture = ramp(np.hypot(x, y), _RADIUS + 0.05, _RADIUS - 0.03) * ramp(np.abs(y), 6.42, 6.36)
    # The notch tells the reader which way up the film lies.
    notch = 1 - oval(x, y, (nasal * 6.72, -1.6), (0.22, 0.22), 0.12)
    picture = picture * (aperture * notch)[..., None] + 3
    largest = (1 << bits) - 1
    levels = np.clip(picture * np.float32(largest / 255), 0, largest)
    return levels.astype(np.uint8) if bits == 8 else levels.astype(np.uint16)


def _vessels(rng: np.random.Generator, eye: _Eye) -> tuple[list[Stroke], list[Stroke]]:
    """Grow arteries and veins from the disc: on either side an arcade, a nasal trunk, and a twig to the macula."""
    grown: tuple[list[Stroke], list[Stroke]] = ([], [])
    for strokes, thick, turn in zip(grown, (0.118, 0.165), (0.13, -0.13), strict=True):
        for up in (-1.0, 1.0):
            begin = (eye.disc[0] + eye.nasal * 0.10, eye.disc[1] + 0.10 * up)
            for angle, width, steer in (
                (up * (1.75 + turn + rng.normal(0, 0.06)), thick, _arcade(eye, 3.15 - 1.5 * turn)),
                (up * (0.80 + 1.4 * turn), 0.74 * thick, _free(eye)),
                (up * (2.75 - 0.5 * turn), 0.30 * thick, _free(eye)),
            ):
                heading = angle if eye.nasal > 0 else math.pi - angle
                vessel = tree(
                    rng, begin, heading, width, step=0.11, thinnest=0.015, taper=0.986, branching=0.10,
                    steer=steer, wander=0.036,
                )  # fmt: skip
                strokes.extend(vessel)
    return grown


def _free(eye: _Eye) -> Steer:
    """Let a vessel run as it likes, but end it at the aperture and outside the fovea, which has no vessels."""

    def steer(x: float, y: float, _heading: float) -> float:
        near = math.hypot(x - eye.fovea[0], y - eye.fovea[1]) < 0.8
        return math.nan if near or math.hypot(x, y) > _RADIUS + 0.15 else 0.0

    return steer


def _arcade(eye: _Eye, target: float) -> Steer:
    """Bow round the fovea along a circle of radius `target`, then run on towards the temple."""
    ends = _free(eye)

    def steer(x: float, y: float, heading: float) -> float:
        if math.isnan(ends(x, y, heading)):
            return math.nan
        dx, dy = x - eye.fovea[0], y - eye.fovea[1]
        if eye.nasal * dx < -0.6:
            off = math.remainder((math.pi if eye.nasal > 0 else 0.0) - heading, 2 * math.pi)
            return max(-0.03, min(0.03, 0.03 * off))
        outward = math.atan2(dy, dx)
        clockwise = 1.0 if math.sin(heading - outward) > 0 else -1.0
        pull = max(-0.9, min(0.9, 0.5 * (target - math.hypot(dx, dy))))
        off = math.remainder(outward + clockwise * (math.pi / 2 - pull) - heading, 2 * math.pi)
        return max(-0.07, min(0.07, 0.05 * off))

    return steer


def _retina(rng: np.random.Generator, eye: _Eye) -> list[Floats]:
    """Paint what lies behind the vessels: red, green and blue, each (1400, 1400) in about 0..1.

    Reflectance falls towards the rim, is mottled by the choroid, dips at the macula, and is highest at the disc.
    """
    x, y = _FRAME.grid()
    r = np.hypot(x, y)
    light = 1.06 - 0.20 * ramp(r, 1.5, 6.8) - 0.16 * ramp(r, 5.6, 6.9)
    light = light + 0.030 * cloud(rng, _SHAPE, 5) + 0.014 * cloud(rng, _SHAPE, 40)
    weave = np.abs(cloud(rng, _SHAPE, 34)) + np.abs(cloud(rng, _SHAPE, 55))
    choroid = 0.022 * (weave - 1.6) * ramp(r, 1.0, 5.5)
    channels = [share * light + mottle * choroid for share, mottle in ((0.83, 1.0), (0.385, 1.1), (0.155, 0.5))]

    channels = _add(channels, oval(x, y, eye.fovea, (1.75, 1.55), 1.9), (-0.10, -0.10, -0.05))
    channels = _add(channels, oval(x, y, eye.fovea, (0.55, 0.50), 1.9), (-0.08, -0.085, 0.0))
    reflex = (eye.fovea[0] + 0.03, eye.fovea[1] - 0.02)
    channels = _add(channels, oval(x, y, reflex, (0.07, 0.07), 1.8), (0.2, 0.2, 0.1))

    channels = _add(channels, oval(x, y, eye.disc, (1.15, 1.20), 0.8), (0.03, 0.03, 0.01))
    rim = oval(x, y, eye.disc, (0.83, 0.92), 0.16)
    channels = [c + rim * (tint - c) for c, tint in zip(channels, (0.965, 0.66, 0.33), strict=True)]
    return _add(channels, _cup(eye), (0.03, 0.17, 0.22))


def _cup(eye: _Eye) -> Floats:
    return oval(*_FRAME.grid(), (eye.disc[0] - eye.nasal * 0.08, eye.disc[1]), (0.40, 0.44), 0.55)


def _bleed(
    channels: list[Floats], strokes: list[Stroke], eye: _Eye, *, depths: tuple[float, ...], glint: float
) -> list[Floats]:
    """Darken each channel by `depths` along the vessels, less over the cup, and brighten the middle by `glint`."""
    blood = _FRAME.strokes(strokes, 0.012) * (1 - 0.25 * _cup(eye))
    middles = [s._replace(start=0.3 * s.start, end=0.3 * s.end) for s in strokes if s.start > 0.05]
    shine = 1 + glint * _FRAME.strokes(middles, 0.014)
    return [c * (1 - depth * blood) * shine for c, depth in zip(channels, depths, strict=True)]


def _add(channels: list[Floats], layer: Floats, weights: tuple[float, ...]) -> list[Floats]:
    return [c + weight * layer if weight else c for c, weight in zip(channels, weights, strict=True)]
