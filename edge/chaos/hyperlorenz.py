"""The hyperchaotic Lorenz system of cipher B, stepped as many independent lanes side by side, and its two quantisers.

    x1' = a (x2 - x1) + x4      x2' = c x1 - x2 - x1 x3      x3' = x1 x2 - b x3      x4' = -x4 - x2 x3
    a = 10, b = 8/3, c = 28, by the classical Runge-Kutta method of order four

The rule kept here is that of `edge.chaos.maps`: one NumPy call an operation, so the result is the same everywhere, and the
order of the operations is part of the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edge.chaos import kernel
from edge.chaos.buffers import aligned
from edge.chaos.maps import BURN_IN, Floats
from edge.chaos.parameters import BOXES, COORDINATES
from edge.chaos.permute import Bytes
from edge.errors import CipherError
from edge.records import MapName, Quantiser

# Arrays, since NumPy takes longer to make one of a number than to call a loop.
_A: Final = np.array(10.0)
_B: Final = np.array(8.0 / 3.0)
_C: Final = np.array(28.0)
_TWO: Final = np.array(2.0)

# A lane's drawn state is low + m 2^-32 (high - low) over the ranges of the private key. The widths, 80 and 500, are small
# multiples of powers of two, so every value is exact.
_RANGES: Final = BOXES[MapName.HYPERLORENZ_DNA][:COORDINATES]
_LOWS: Final = tuple(low for low, _ in _RANGES)
_SCALES: Final = tuple((high - low) * 2.0**-32 for low, high in _RANGES)

SEED_BYTES: Final = 4 * COORDINATES  # bytes of a lane's seed

_OFFSET: Final = np.array(500.0)
_DECIMALS: Final = np.array(1e13)
_WORD_SHIFT: Final = 8  # the lowest byte of a coordinate holds round-off zeros

Units = NDArray[np.uint8] | NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Scheme:
    """A step size and what a coordinate yields: `half` and `sixth` are the step over two and over six, float64 ()."""

    half: Floats
    step: Floats
    sixth: Floats
    dtype: np.dtype[np.uint8] | np.dtype[np.uint32]


def _scheme(*, half: float, step: float, sixth: float, dtype: np.dtype[np.uint8] | np.dtype[np.uint32]) -> Scheme:
    return Scheme(half=np.array(half), step=np.array(step), sixth=np.array(sixth), dtype=dtype)


# `paper`: the published step. `wide`: at 0.002 an orbit is so smooth that the third difference of its words tells the next
# one (chi-square of its top byte in the millions for 255 degrees of freedom); at 3/64 differences up to the twelfth are
# uniform, and 10^6 lanes from the whole box stay finite. Its half and its sixth are exact.
SCHEMES: Final = {
    Quantiser.PAPER: _scheme(half=0.001, step=0.002, sixth=0.002 / 6.0, dtype=np.dtype(np.uint8)),
    Quantiser.WIDE: _scheme(half=3 * 2.0**-7, step=3 * 2.0**-6, sixth=2.0**-7, dtype=np.dtype("<u4")),
}


class _Point:
    """Four coordinates of many lanes: x1, x2, x3 and -x4, or their slopes.

    The fourth is kept negative, which saves two operations a derivative and changes no bit of a result. The views of the
    rows are made once: to make them takes as long as to add a thousand numbers.
    """

    def __init__(self, lanes: int) -> None:
        self.block: Floats = aligned(COORDINATES * lanes, np.float64).reshape(COORDINATES, lanes)
        self.x1, self.x2, self.x3, self.minus_x4 = self.block


class HyperLanes:
    """Independent orbits, stepped together. Each step yields two coordinates a lane for R and two for Z."""

    def __init__(self, states: Floats, quantiser: Quantiser, *, burn_in: int = BURN_IN) -> None:
        """Start the orbits.

        Args:
            states: x1 to x4 of each lane, float64 (4, lanes).
            quantiser: How states become bytes, and how far a step goes.
            burn_in: Steps that yield nothing.
        """
        lanes = states.shape[1]
        self._scheme = SCHEMES[quantiser]
        self._state, self._at, self._k1, self._k2, self._k3 = (_Point(lanes) for _ in range(5))
        self._scratch = aligned(lanes, np.float64)
        self._integers = aligned(COORDINATES * lanes, np.int64)
        np.copyto(self._state.block, states)
        np.negative(self._state.minus_x4, out=self._state.minus_x4)
        self._quantise = self._by_decimals if quantiser is Quantiser.PAPER else self._by_bits
        self._steps = np.array([self._scheme.half, self._scheme.step, self._scheme.sixth])
        if compiled := kernel.active():
            compiled.hyper_advance(self._state.block, self._steps, burn_in)
        else:
            for _ in range(burn_in):
                self._step()

    def fill(self, r: Bytes, z: Bytes) -> None:
        """Fill R and Z with the bytes that the next steps yield.

        Args:
            r: uint8 (bytes,); x1 of all lanes, then x2 of all lanes, step by step.
            z: As long; x3, then x4.

        Raises:
            CipherError: An orbit left the floating-point numbers.
        """
        if compiled := kernel.active():
            compiled.hyper_fill(r, z, self._state.block, self._steps, self._scheme.dtype.itemsize)
        else:
            self._fill(r, z)
        if not np.isfinite(self._state.block).all():
            raise CipherError("an orbit of the chaotic map left the floating-point numbers")

    def _fill(self, r: Bytes, z: Bytes) -> None:
        unit = self._scheme.dtype
        count = 2 * self._scratch.size  # coordinates a step and matrix
        whole = len(r) // (count * unit.itemsize)
        body = whole * count * unit.itemsize
        for to_r, to_z in zip(
            r[:body].view(unit).reshape(whole, count), z[:body].view(unit).reshape(whole, count), strict=True
        ):
            self._step()
            self._quantise(to_r, to_z)
        if body < len(r):
            self._step()
            last = np.empty((2, count), unit)
            self._quantise(*last)
            r[body:], z[body:] = last.view(np.uint8)[:, : len(r) - body]

    def _by_decimals(self, to_r: Units, to_z: Units) -> None:
        """Write floor(((x + 500) mod 1) 10^13) mod 256 of every coordinate (equations 6 and 7)."""
        states, scratch = self._at.block, self._k1.block
        np.add(self._state.block, _OFFSET, out=states)
        np.subtract(_OFFSET, self._state.minus_x4, out=self._at.minus_x4)
        np.floor(states, out=scratch)
        np.subtract(states, scratch, out=states)
        np.multiply(states, _DECIMALS, out=states)
        # Casting truncates, which is the floor of a number that is not negative; and only integers wrap alike everywhere.
        np.copyto(self._integers, states.reshape(-1).view(np.float64), casting="unsafe")
        self._write(to_r, to_z)

    def _by_bits(self, to_r: Units, to_z: Units) -> None:
        """Write bits 8 to 39 of every coordinate, little-endian; the sign is not among them."""
        np.right_shift(self._state.block.reshape(-1).view(np.int64), _WORD_SHIFT, out=self._integers)
        self._write(to_r, to_z)

    def _write(self, to_r: Units, to_z: Units) -> None:
        np.copyto(to_r, self._integers[: to_r.size], casting="unsafe")
        np.copyto(to_z, self._integers[to_r.size :], casting="unsafe")

    def _derive(self, at: _Point, slope: _Point) -> None:
        """Write the derivative at a point into `slope`."""
        x1, x2, x3, minus_x4 = at.x1, at.x2, at.x3, at.minus_x4
        d1, d2, d3, d4, scratch = slope.x1, slope.x2, slope.x3, slope.minus_x4, self._scratch
        multiply, subtract = np.multiply, np.subtract
        # The last argument is where the result goes.
        subtract(x2, x1, d1)
        multiply(d1, _A, d1)
        subtract(d1, minus_x4, d1)
        multiply(x2, x3, d4)
        subtract(d4, minus_x4, d4)
        multiply(x1, _C, d2)
        subtract(d2, x2, d2)
        multiply(x1, x3, scratch)
        subtract(d2, scratch, d2)
        multiply(x1, x2, d3)
        multiply(x3, _B, scratch)
        subtract(d3, scratch, d3)

    def _move(self, slope: _Point, step: Floats) -> None:
        """Set the probing point to state + step * slope."""
        at = self._at.block
        np.multiply(slope.block, step, at)
        np.add(self._state.block, at, at)

    def _step(self) -> None:
        """Advance by one step: s' = s + sixth (((k2 + k3) 2 + k1) + k4)."""
        state, k1, k2, k3, scheme = self._state, self._k1, self._k2, self._k3, self._scheme
        self._derive(state, k1)
        self._move(k1, scheme.half)
        self._derive(self._at, k2)
        self._move(k2, scheme.half)
        self._derive(self._at, k3)
        self._move(k3, scheme.step)
        total = k2.block
        np.add(total, k3.block, total)
        np.multiply(total, _TWO, total)
        np.add(total, k1.block, total)
        self._derive(self._at, k3)
        np.add(total, k3.block, total)
        np.multiply(total, scheme.sixth, total)
        np.add(state.block, total, state.block)


def seeded_states(seed: bytes, initial: tuple[float, float, float, float]) -> Floats:
    """Return each lane's initial state: half way between the private key's and a drawn one.

    Args:
        seed: 16 bytes a lane: for each coordinate one little-endian uint32 a lane.
        initial: x1 to x4 of the private key.

    Returns:
        float64 (4, lanes).
    """
    states = np.frombuffer(seed, dtype="<u4").astype(np.float64).reshape(COORDINATES, -1)
    np.multiply(states, np.array(_SCALES)[:, None], out=states)
    np.add(states, np.array(_LOWS)[:, None], out=states)
    np.add(states, np.array(initial)[:, None], out=states)
    np.multiply(states, 0.5, out=states)
    return states
