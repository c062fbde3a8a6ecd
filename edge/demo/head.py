"""Draw axial sections of a head, as a CT and as an MR scanner show them.

Both come from one map of tissue shares, in units of half the picture's side, front up; nobody's head is traced.
"""

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from edge.demo.ink import Floats, Frame, Point, Stroke, cloud, line, noise, ramp, resize, smooth


class _Tissues(NamedTuple):
    """For each tissue the share of every pixel, (n, n) in 0..1; the last four lie over the others."""

    scalp: Floats
    bone: Floats
    fluid: Floats
    gray: Floats
    white: Floats
    fat: Floats
    marrow: Floats
    falx: Floats
    calcium: Floats


# Hounsfield units, and the T1-weighted signal of each tissue.
_UNITS: Final = dict(zip(_Tissues._fields, (45, 1250, 7, 39, 29, -75, 620, 62, 110), strict=True))
_SIGNAL: Final = dict(zip(_Tissues._fields, (0.42, 0.05, 0.13, 0.47, 0.69, 0.95, 0.36, 0.30, 0.22), strict=True))


def draw_head_ct(rng: np.random.Generator) -> NDArray[np.uint16]:
    """Draw an axial CT in Hounsfield units + 1024, with the head holder and the scanner's round field; (512, 512)."""
    size = 512
    frame = Frame(size, size, 256.0, 256.0, 256.0, fine=3)
    units = _mix(_section(rng, frame, 0.0), _UNITS, air=-1000)
    x, y = frame.grid()
    # The holder is a thin carbon shell under the head.
    shell = ramp(np.abs(np.hypot(x, y - 0.02) - 0.925), 0.012, 0.006) * ramp(y - 0.25 - 0.12 * np.abs(x), 0.0, 0.03)
    units = units + shell * (640 * (units < -900))
    # Filtered back-projection leaves correlated noise.
    grain = noise(rng, (size, size))
    units = units + 4.6 * (0.75 * grain + 1.6 * smooth(grain)) + 1.2 * cloud(rng, (size, size), 9)
    seen = x**2 + y**2 < 0.995
    return np.asarray(np.clip(np.where(seen, units, -1024) + 1024, 0, 4095).round(), dtype=np.uint16)


def draw_head_mr(rng: np.random.Generator) -> NDArray[np.uint16]:
    """Draw three T1-weighted slices, from below upwards, with a coil's bias field and Rician noise; (3, 384, 384).

    The signal fills the 16-bit range, as in an export for viewing, so that any viewer shows it.
    """
    size, sigma = 384, 0.018
    frame = Frame(size, size, 1.12 * 192.0, 192.0, 192.0, fine=3)
    x, y = frame.grid()
    bias = 1 + 0.10 * cloud(rng, (size, size), 3) + 0.11 * (0.4 * x - 0.6 * y)
    pages = []
    for level in (0.0, 0.55, 1.0):
        signal = _mix(_section(rng, frame, level), _SIGNAL, air=0.0)
        signal = signal * (1 + 0.02 * cloud(rng, (size, size), 60)) * bias
        magnitude = np.hypot(signal + sigma * noise(rng, (size, size)), sigma * noise(rng, (size, size)))
        pages.append(np.clip(magnitude * 55_000, 0, 65_535).round())
    return np.asarray(np.stack(pages), dtype=np.uint16)


def _mix(tissues: _Tissues, values: Mapping[str, float], *, air: float) -> Floats:
    """Weigh the tissues' values by their shares; what no tissue fills is air."""
    shares = tissues._asdict()
    names = list(shares)
    picture = np.full_like(tissues.scalp, air)
    for name in names[:5]:
        picture = picture + shares[name] * np.float32(values[name] - air)
    for name in names[5:]:
        picture = picture + shares[name] * (np.float32(values[name]) - picture)
    return picture


def _section(rng: np.random.Generator, frame: Frame, level: float) -> _Tissues:
    """Build an axial section at `level`: 0 through the basal ganglia, 1 above the ventricles."""
    x, y = frame.grid()
    tilt = rng.normal(0, 0.02)
    x, y = x * math.cos(tilt) - y * math.sin(tilt), x * math.sin(tilt) + y * math.cos(tilt)
    # An egg with its blunt end at the back, a little fuller on one side, as heads are.
    shrink = 1 - 0.05 * level
    half = (0.665 + 0.045 * np.clip(y, -1, 1) - 0.02 * (y - 0.1) ** 2) * (1 + 0.010 * np.sign(tilt) * np.sign(x))
    theta = np.arctan2(x, -y)
    rho = np.hypot(x / (half * shrink), (y - 0.01) / (0.835 * shrink))
    rho = rho + 0.006 * np.sin(3 * theta + rng.uniform(0, 6)) + 0.004 * np.sin(5 * theta + rng.uniform(0, 6))

    def within(limit: float | Floats) -> Floats:
        """Fill up to radius `limit`, with an edge one pixel wide."""
        return np.asarray(np.clip((limit - rho) * (0.66 * frame.scale) + 0.5, 0, 1))

    # The skull's thickness varies, and it has a crest inside at the front and a larger one at the back.
    thin = 0.010 * np.cos(2 * theta) + 0.006 * np.sin(4 * theta)
    thick = 0.012 * np.exp(-((theta / 0.07) ** 2)) + 0.022 * np.exp(-(((np.abs(theta) - np.pi) / 0.16) ** 2))
    outer, inner = within(0.945 + 0.4 * thin), within(0.865 - thin - thick)
    scalp, bone = within(1.0) * (1 - outer), outer - inner
    marrow = within(0.927) * (1 - within(0.886 - thin - thick)) * bone

    sulci, folds = _gyri(rng, rho, theta, level)
    fissure = ramp(np.abs(x + 0.006 * np.sin(9 * y)), 0.012, 0.006) * ramp(np.abs(y + 0.02), 0.36 * (1 - level), 0.42)
    cleft = ramp(np.abs(x), 0.05, 0.02) * ramp(np.abs(y + 0.02), 0.40 * (1 - level) + 0.02, 0.46)
    falx = ramp(np.abs(x), 0.0045, 0.002) * ramp(np.abs(y + 0.02), 0.45 * (1 - level), 0.5) * inner
    ventricles, nuclei, calcium, sylvian = _depths(rng, frame, level)

    opercula = frame.strokes([s._replace(start=0.085, end=0.085) for s in sylvian], 0.01)
    cortex = np.maximum.reduce([ramp(rho, 0.765, 0.80), folds, cleft, opercula, nuclei])
    around = 1 - within(0.852 - thin - thick)
    fluid = np.maximum.reduce([sulci, fissure, frame.strokes(sylvian, 0.004), ventricles, around]) * inner
    brain = inner * (1 - fluid)
    fat = within(0.988) * (1 - outer)
    return _Tissues(scalp, bone, fluid, cortex * brain, (1 - cortex) * brain, fat, marrow, falx, calcium)


def _gyri(rng: np.random.Generator, rho: Floats, theta: Floats, level: float) -> tuple[Floats, Floats]:
    """Draw the sulci and the cortex along them: the zero lines of noise that is stretched along the radius."""
    shape = (rho.shape[0], rho.shape[1])
    warp = 0.035 * cloud(rng, shape, 14)
    polar = resize(noise(rng, (7, 56)), (256, 4096)) + 0.6 * resize(noise(rng, (10, 90)), (256, 4096))
    rows = np.clip((rho + 0.5 * warp) / 1.2 * 255, 0, 255).astype(np.int32)
    columns = np.clip((theta / (2 * np.pi) + 0.5 + 0.4 * warp) * 4096, 0, 4095).astype(np.int32)
    field = smooth(polar[rows, columns])
    slope = np.hypot(*np.gradient(field)) * (shape[0] / 2)
    # The distance to a zero line is the value over the slope; the floor keeps flat places from becoming lakes.
    away = np.abs(field) / (slope + 2.5)
    reach = 0.66 - 0.20 * level + 0.04 * cloud(rng, shape, 7)
    depth = ramp(rho - reach, 0.0, 0.14)
    sulci = ramp(away, 0.0125, 0.0045) * depth * (0.35 + 0.65 * ramp(rho, 0.7, 0.85))
    return sulci, ramp(away, 0.042, 0.030) * depth


# Outlines on one side, to be mirrored.
_HORN: Final = ((0.018, -0.17), (0.05, -0.30), (0.115, -0.345), (0.135, -0.32), (0.085, -0.20), (0.05, -0.06), (0.022, -0.04))  # fmt: skip
_TRIGONE: Final = ((0.115, 0.20), (0.175, 0.25), (0.215, 0.34), (0.19, 0.42), (0.165, 0.36), (0.135, 0.28))
_BODY: Final = ((0.025, -0.24), (0.065, -0.28), (0.10, -0.20), (0.115, 0.0), (0.15, 0.17), (0.14, 0.24), (0.095, 0.13), (0.04, -0.02))  # fmt: skip
_CAUDATE: Final = ((0.10, -0.27), (0.15, -0.27), (0.16, -0.20), (0.11, -0.12), (0.075, -0.14))
_CAUDATE_TAIL: Final = ((0.11, -0.28), (0.145, -0.20), (0.16, 0.0), (0.195, 0.17), (0.15, 0.0), (0.12, -0.2))
_LENTIFORM: Final = ((0.17, -0.15), (0.24, -0.16), (0.285, -0.07), (0.26, 0.03), (0.215, 0.02), (0.17, -0.06))
_THALAMUS: Final = ((0.022, -0.05), (0.08, -0.04), (0.14, 0.04), (0.15, 0.12), (0.10, 0.155), (0.03, 0.12))
_SYLVIAN: Final = ((0.60, -0.10), (0.52, -0.075), (0.45, -0.085), (0.38, -0.05))
_INSULA: Final = ((0.325, -0.17), (0.355, -0.12), (0.38, -0.05), (0.385, 0.02), (0.37, 0.09), (0.335, 0.15))
_THIRD_VENTRICLE: Final = ((-0.011, -0.05), (0.011, -0.05), (0.013, 0.06), (0.006, 0.12), (-0.006, 0.12), (-0.013, 0.06))  # fmt: skip
# The pineal gland and the two choroid plexuses: centre and radii.
_CALCIUM: Final = ((0.0, 0.155, 0.012, 0.010), (0.168, 0.31, 0.012, 0.019), (-0.172, 0.315, 0.011, 0.016))


def _depths(rng: np.random.Generator, frame: Frame, level: float) -> tuple[Floats, Floats, Floats, list[Stroke]]:
    """Give the ventricles, the deep gray matter, the calcifications, and the lines of the Sylvian fissures."""
    wide = rng.uniform(0.95, 1.15)
    if level < 0.3:
        lines = [Stroke(line(side), 0.024, 0.014) for fold in (_SYLVIAN, _INSULA) for side in _both(fold)]
        cavities = [*_both(_HORN, wide), *_both(_TRIGONE, wide), _THIRD_VENTRICLE]
        nuclei = [*_both(_CAUDATE), *_both(_LENTIFORM), *_both(_THALAMUS)]
        return frame.shapes(cavities, 0.004), frame.shapes(nuclei, 0.008), frame.layer(_dot, 0.006), lines
    nothing = np.zeros((frame.height, frame.width), dtype=np.float32)
    if level < 0.8:
        return frame.shapes(_both(_BODY, wide), 0.004), frame.shapes(_both(_CAUDATE_TAIL, wide), 0.008), nothing, []
    return nothing, nothing, nothing, []


def _both(outline: tuple[Point, ...], factor: float = 1.0) -> list[list[Point]]:
    """Give both sides of an outline, not quite alike."""
    return [[(side * x * factor, y) for x, y in outline] for side in (1.0, -1.03)]


def _dot(pen: ImageDraw.ImageDraw, scale: float, ox: float, oy: float) -> None:
    for x, y, rx, ry in _CALCIUM:
        left, top, right, bottom = x - rx, y - ry, x + rx, y + ry
        pen.ellipse([ox + left * scale, oy + top * scale, ox + right * scale, oy + bottom * scale], fill=255)
