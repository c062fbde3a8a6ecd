"""How chaotic the cipher's maps are: Lyapunov spectra at an image's parameters, and how long orbits are.

The rule kept here: the maps are stepped as the cipher steps them, with its own step size and the image's own parameters. An
orbit of numbers that a computer holds always ends in a cycle; what counts is whether an image is longer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import shake_256
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from edge.chaos.hyperlorenz import SCHEMES, SEED_BYTES, HyperLanes, seeded_states
from edge.chaos.maps import STEP, lanes_for
from edge.chaos.parameters import BOXES, COORDINATES
from edge.records import ChaosParameters, MapName, Quantiser
from firmware_tools.acceptance import lyapunov

Floats: TypeAlias = NDArray[np.float64]

LANE_STEPS: Final = 4096
"""Steps of a lane at most before the cipher seeds anew."""
_ORBITS: Final = 32
_SPECTRUM_UNITS: Final = 180
_TRANSIENT_UNITS: Final = 20
_LEAST_STEP: Final = 0.01
"""Of a smaller step the exponents are those of the flow itself, so a smaller one is not taken: it would only take longer."""
_A, _B, _C = 10.0, 8.0 / 3.0, 28.0


# --- Lyapunov exponents ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The Lyapunov exponents of a map at an image's parameters.

    Attributes:
        way: what enciphers.
        parameters: of the image; of cipher B, whose parameters are states, those of the map.
        exponents: largest first, in nats a step of the logistic map, nats a time unit of the others.
        divergence: what the exponents must add up to: the mean rate at which volumes grow. NaN of the logistic map.
    """

    way: str
    parameters: tuple[float, ...]
    exponents: tuple[float, ...]
    divergence: float


def spectrum(way: str, parameters: ChaosParameters) -> Spectrum:
    """Compute the Lyapunov exponents at the parameters of an image."""
    if parameters.map is MapName.LOGISTIC:
        return Spectrum(way, parameters.values, (logistic_exponent(parameters.values[0]),), math.nan)
    if parameters.map is MapName.LORENZ:
        sigma, rho, beta = parameters.values
        exponents = _exponents(lorenz(sigma, rho, beta), np.array([1.0, 1.0, rho - 1]), STEP)
        return Spectrum(way, parameters.values, exponents, -(sigma + 1 + beta))
    step = float(SCHEMES[parameters.quantiser or Quantiser.WIDE].step)
    exponents = _exponents(hyper_lorenz, np.array(parameters.values[:COORDINATES]), step)
    return Spectrum(way, (_A, _B, _C), exponents, -(_A + 1 + _B + 1))


@dataclass(frozen=True, slots=True)
class Range:
    """The largest Lyapunov exponent over the whole range of parameters that a map may have.

    Attributes:
        map: its name.
        points: how many parameters were drawn from the range, evenly.
        least, most: of their exponents, in nats a step of the logistic map, nats a time unit of the other.
    """

    map: str
    points: int
    least: float
    most: float


def ranges(points: int = 2000) -> Iterator[Range]:
    """Yield the exponents over the ranges of both maps of cipher A, whose parameters a network chooses."""
    generator = np.random.default_rng(1)
    for chaotic_map, exponents_of in ((MapName.LOGISTIC, _over_r), (MapName.LORENZ, lyapunov.lorenz)):
        low, high = np.array(BOXES[chaotic_map]).T
        exponents = exponents_of(low + (high - low) * generator.random((points, low.size)))
        yield Range(chaotic_map.value, points, float(exponents.min()), float(exponents.max()))


def _over_r(parameters: Floats) -> Floats:
    return lyapunov.logistic(parameters[:, 0])


def logistic_exponent(r: float, steps: int = 200_000) -> float:
    """Return the Lyapunov exponent of the logistic map over 200,000 steps of 200 orbits, in nats a step; ln 2 at r = 4."""
    return float(lyapunov.logistic(np.full(200, r), steps=steps // 200).mean())


Flow: TypeAlias = Callable[[Floats], tuple[Floats, Floats]]
"""Takes states (orbits, n); returns slopes (orbits, n) and Jacobian matrices (orbits, n, n)."""


def lorenz(sigma: float, rho: float, beta: float) -> Flow:
    """Return the Lorenz system of these parameters."""

    def flow(state: Floats) -> tuple[Floats, Floats]:
        x, y, z = state.T
        o = np.zeros_like(x)
        slopes = np.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z], axis=1)
        rows = [[o - sigma, o + sigma, o], [rho - z, o - 1, -x], [y, x, o - beta]]
        return slopes, np.moveaxis(np.array(rows), 2, 0)

    return flow


def hyper_lorenz(state: Floats) -> tuple[Floats, Floats]:
    """Return slopes and Jacobian matrices of cipher B's system at many states."""
    x, y, z, w = state.T
    o = np.zeros_like(x)
    slopes = np.stack([_A * (y - x) + w, _C * x - y - x * z, x * y - _B * z, -w - y * z], axis=1)
    rows = [[o - _A, o + _A, o, o + 1], [_C - z, o - 1, -x, o], [y, x, o - _B, o], [o, -z, -y, o - 1]]
    return slopes, np.moveaxis(np.array(rows), 2, 0)


def orbit(flow: Flow, start: Sequence[float], *, step: float = 0.004, steps: int = 12_000) -> Floats:
    """Follow one orbit: float64 (steps, n), without the first two time units."""
    state = np.array([start])
    still = np.zeros((1, 1, 1))
    left_out = round(2 / step)
    points = []
    for number in range(left_out + steps):
        state, _ = _runge_kutta(lambda at: (flow(at)[0], still), state, still, step)
        if number >= left_out:
            points.append(state[0])
    return np.array(points)


def _exponents(flow: Flow, start: Floats, step: float) -> tuple[float, ...]:
    """Return all exponents (Benettin et al. 1980): tangent vectors carried along and made orthogonal at every step."""
    step = max(step, _LEAST_STEP)
    left_out, taken = round(_TRANSIENT_UNITS / step), round(_SPECTRUM_UNITS / step)
    generator = np.random.default_rng(1)
    state = start + generator.uniform(-1, 1, (_ORBITS, start.size))
    tangents = np.broadcast_to(np.eye(start.size), (_ORBITS, start.size, start.size)).copy()
    total = np.zeros(start.size)
    for number in range(left_out + taken):
        state, tangents = _runge_kutta(flow, state, tangents, step)
        tangents, lengths = np.linalg.qr(tangents)
        if number >= left_out:
            total += np.log(np.abs(np.diagonal(lengths, axis1=1, axis2=2))).mean(axis=0)
    return tuple(sorted((total / (taken * step)).tolist(), reverse=True))


def _runge_kutta(flow: Flow, state: Floats, tangents: Floats, step: float) -> tuple[Floats, Floats]:
    slopes: list[Floats] = []
    growths: list[Floats] = []
    for share in (0.0, step / 2, step / 2, step):
        at, vectors = (state + share * slopes[-1], tangents + share * growths[-1]) if slopes else (state, tangents)
        slope, jacobian = flow(at)
        slopes.append(slope)
        growths.append(jacobian @ vectors)
    weighted = [(one + 2 * two + 2 * three + four) * (step / 6) for one, two, three, four in (slopes, growths)]
    return state + weighted[0], tangents + weighted[1]


# --- cycles ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Cycles:
    """How long the cycles are into which orbits of the logistic map fall, its states rounded to so many bits.

    Attributes:
        bits: of a state; 53 is that of the machine, whose rounding is its own.
        r: the parameter.
        lengths: of each orbit, 0 where no cycle was met within the limit.
        limit: steps that were looked at.
    """

    bits: int
    r: float
    lengths: tuple[int, ...]
    limit: int

    @property
    def median(self) -> float:
        """The median length of those that were met, NaN where none was."""
        met = [length for length in self.lengths if length]
        return float(np.median(met)) if met else math.nan


def rounded_cycles(r: float, bits: int, orbits: int = 256) -> Cycles:
    """Follow orbits of states rounded to multiples of 2 ** -bits, `bits` at most 32."""
    scale = 2.0**bits
    limit = 1 << (bits // 2 + 4)

    def step(x: Floats) -> Floats:
        return np.rint(r * x * (1 - x) * scale) / scale

    start = np.rint(np.random.default_rng(bits).uniform(0.1, 0.9, orbits) * scale) / scale
    return Cycles(bits, r, tuple(_cycle_lengths(step, start, limit).tolist()), limit)


def machine_cycles(r: float, orbits: int, limit: int = 1 << 27) -> Cycles:
    """Follow single orbits in double precision, as the papers run one for a whole image; some seconds each."""
    starts = np.random.default_rng(53).uniform(0.1, 0.9, orbits)
    return Cycles(53, r, tuple(_machine_cycle(r, float(start), limit) for start in starts), limit)


def _machine_cycle(r: float, x: float, limit: int) -> int:
    """Return the length of the cycle that an orbit falls into (Brent 1980), 0 where none shows within `limit` steps."""
    power = 1
    while power < limit:
        saved = x
        for length in range(1, power + 1):
            x = (r * x) * (1.0 - x)
            if x == saved:
                return length
        power *= 2
    return 0


def _cycle_lengths(step: Callable[[Floats], Floats], state: Floats, limit: int) -> NDArray[np.int64]:
    """Return for each of many orbits the length of its cycle (Brent 1980), 0 where none shows within `limit` steps."""
    found = np.zeros(state.shape[-1], np.int64)
    power = 1
    while power < limit and not found.all():
        saved = state.copy()
        for length in range(1, power + 1):
            state = step(state)
            back = (state == saved) & (found == 0)
            if back.any():
                found[back] = length
        power *= 2
    return found


@dataclass(frozen=True, slots=True)
class Repeats:
    """How many of the cipher's own lanes come back to a state within the steps that they run.

    A lane is followed over its burn-in and 4,096 steps, the most that it runs, and is compared with its state at steps 1, 2, 4
    up to 2,048: a cycle of any length up to 2,048 that is entered by then shows.
    """

    way: str
    lanes: int
    repeating: int


def lane_repeats(way: str, parameters: ChaosParameters, lanes: int = 8192) -> Repeats:
    """Follow lanes that are seeded as an image's are."""
    seen = _lane_states(parameters, lanes)
    repeating = np.zeros(lanes, bool)
    state = next(seen)
    power = 1
    while power < LANE_STEPS:
        saved = state.copy()
        for _ in range(power):
            state = next(seen)
            repeating |= (state == saved).all(axis=0)
        power *= 2
    return Repeats(way, lanes, int(repeating.sum()))


def _lane_states(parameters: ChaosParameters, lanes: int) -> Iterator[NDArray[np.float64] | NDArray[np.uint32]]:
    """Yield what each step shows of the lanes' states, (values, lanes): equal states show equal values."""
    if parameters.map is MapName.HYPERLORENZ_DNA:
        x1, x2, x3, x4, *_ = parameters.values
        seed = shake_256(b"cycles").digest(lanes * SEED_BYTES)
        hyper = HyperLanes(seeded_states(seed, (x1, x2, x3, x4)), Quantiser.WIDE)
        r, z = np.empty((2, 8 * lanes), np.uint8)
        while True:
            hyper.fill(r, z)
            yield np.concatenate((r, z)).view("<u4").reshape(COORDINATES, lanes)
    kind = lanes_for(parameters)
    orbits = kind(shake_256(b"cycles").digest(lanes * kind.seed_bytes), parameters.values)
    while True:
        yield orbits.first().copy()[None, :]


def exponents_over_box(count: int = 4000) -> tuple[Floats, Floats]:
    """Return r over the range that the cipher uses, evenly, and the Lyapunov exponent at each: float64 (n,) both."""
    [(low, high)] = BOXES[MapName.LOGISTIC]
    r = np.linspace(low, high, count)
    return r, lyapunov.logistic(r, steps=LANE_STEPS)
