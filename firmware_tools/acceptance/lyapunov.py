"""The largest Lyapunov exponent of the cipher's maps at given parameters, computed, not assumed.

The rule kept here: the very map that enciphers is followed, step for step as in PROTOCOL.md 3.4, at the image's own
parameters.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.chaos.maps import HALF_STEP, SIXTH_STEP, STEP

Floats = NDArray[np.float64]

_BLOCK: Final = 8192
_SEED: Final = 1
_BURN_IN: Final = 200


def logistic(r: Floats, *, steps: int = 4000) -> Floats:
    """Return the Lyapunov exponent of x' = r x (1 - x), in nats a step.

    Args:
        r: float64 (n,).
        steps: Steps over which the logarithm of the slope is averaged, after 200 that are left out.

    Returns:
        float64 (n,): the mean of log |r (1 - 2 x)|; ln 2 at r = 4.
    """
    x = np.random.default_rng(_SEED).uniform(0.2, 0.8, len(r))
    for _ in range(_BURN_IN):
        x = r * x * (1 - x)
    total = np.zeros(len(r))
    for _ in range(steps):
        total += np.log(np.abs(r * (1 - 2 * x)) + np.finfo(float).tiny)
        x = r * x * (1 - x)
    return total / steps


def lorenz(parameters: Floats, *, steps: int = 3200) -> Floats:
    """Return the largest Lyapunov exponent of the Lorenz system under the cipher's own integrator, in nats a time unit.

    Args:
        parameters: sigma, rho and beta, float64 (n, 3).
        steps: Steps of 1/32 time unit over which growth is averaged, after 200 that are left out.

    Returns:
        float64 (n,): the mean logarithmic growth of a tangent vector (Benettin et al. 1980).
    """
    blocks = [_lorenz(parameters[start : start + _BLOCK].T, steps) for start in range(0, len(parameters), _BLOCK)]
    return np.concatenate(blocks) if blocks else np.empty(0)


def _lorenz(parameters: Floats, steps: int) -> Floats:
    generator = np.random.default_rng(_SEED)
    count = parameters.shape[1]
    state = generator.uniform(-8, 8, (3, count)) + np.array([[0.0], [0.0], [24.0]])
    tangent = generator.standard_normal((3, count))
    total = np.zeros(count)
    for step in range(_BURN_IN + steps):
        state, tangent = _runge_kutta(state, tangent, parameters)
        length = np.sqrt((tangent**2).sum(axis=0))
        tangent /= length
        if step >= _BURN_IN:
            total += np.log(length)
    return total / (steps * STEP)


def _runge_kutta(state: Floats, tangent: Floats, parameters: Floats) -> tuple[Floats, Floats]:
    """Advance a state and its tangent vector by one step."""
    slopes = [_slopes(state, tangent, parameters)]
    for share in (HALF_STEP, HALF_STEP, STEP):
        along, across = slopes[-1]
        slopes.append(_slopes(state + share * along, tangent + share * across, parameters))
    (a1, t1), (a2, t2), (a3, t3), (a4, t4) = slopes
    return state + ((a2 + a3) * 2 + a1 + a4) * SIXTH_STEP, tangent + ((t2 + t3) * 2 + t1 + t4) * SIXTH_STEP


def _slopes(state: Floats, tangent: Floats, parameters: Floats) -> tuple[Floats, Floats]:
    (x, y, z), (dx, dy, dz), (sigma, rho, beta) = state, tangent, parameters
    along = np.stack([sigma * (y - x), x * (rho - z) - y, x * y - beta * z])
    across = np.stack([sigma * (dy - dx), dx * (rho - z) - x * dz - dy, dx * y + x * dy - beta * dz])
    return along, across
