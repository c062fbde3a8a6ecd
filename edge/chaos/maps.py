"""The two chaotic maps, stepped as many independent lanes side by side.

Bit-exact everywhere: only + - * on float64, each rounded on its own (one NumPy call an operation, so nothing can be
fused), and seeds scaled by powers of two only. The order of the operations is part of the format.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from edge.chaos import kernel
from edge.chaos.buffers import aligned
from edge.records import ChaosParameters, MapName

# Steps before the first output. The seeds are uniform already; the steps carry them into the low mantissa bits:
# after 16 the words of both maps pass the tests of uniformity, with the neighbour lane and the step before alike.
BURN_IN = 16

# The Lorenz step is 2^-5 time units. At 2^-8 an orbit is so smooth that the fourth difference of its words tells the
# next word (chi-square in the millions); at 2^-5 differences up to the twelfth are uniform, the largest Lyapunov
# exponent over 3,200 steps was 0.82 or more in 229,000 lanes over the whole box, and orbits that start six times as far out stay finite.
HALF_STEP = 2.0**-6
STEP = 2.0**-5
SIXTH_STEP = float.fromhex("0x1.5555555555555p-8")  # the float64 next to STEP / 6 = 1/192

WORD_SHIFT = np.uint64(8)  # Lorenz: bits 8 to 39 of a coordinate; its lowest byte holds round-off zeros

_PIECE_WORDS = 64 << 10  # the 256 KiB of a tile of the permutation

Floats = NDArray[np.float64]
Words = NDArray[np.uint32]


class Lanes(ABC):
    """Independent orbits of one map, seeded together and stepped together.

    Args:
        seed: `seed_bytes` bytes a lane: for each coordinate, then for each parameter, one little-endian uint32 a lane.
        parameters: The image's parameters; each lane's own lie half way between these and a drawn set.
    """

    words_a_step: ClassVar[int]
    """Words that a lane yields at a step: one for each coordinate; there are as many parameters."""
    seed_bytes: ClassVar[int]
    piece: int
    """Words that `xor` takes at a time: those of whole steps."""
    arrays: kernel.KeyArrays
    """The lanes as the compiled kernel takes them."""

    def __init__(self, seed: bytes, parameters: tuple[float, ...]) -> None:
        shape = self.words_a_step, len(seed) // self.seed_bytes
        self._a_step = shape[0] * shape[1]
        self._state = aligned(self._a_step, np.float64).reshape(shape)
        self._parameters = aligned(self._a_step, np.float64).reshape(shape)
        self.piece = self._a_step * max(1, _PIECE_WORDS // self._a_step)
        self.arrays = kernel.KeyArrays(self.words_a_step, self._state, self._parameters, self.piece)
        if compiled := kernel.active():
            compiled.start(self.arrays, seed, parameters, BURN_IN)
        else:
            # 32-bit integers, exact as float64.
            self._seed(np.frombuffer(seed, dtype="<u4").astype(np.float64).reshape(2 * shape[0], shape[1]), parameters)
            self._advance(BURN_IN)

    @abstractmethod
    def _seed(self, draws: Floats, parameters: tuple[float, ...]) -> None:
        """Set states and parameters from the seed's integers, float64 (2 * words_a_step, lanes)."""

    @abstractmethod
    def _step(self) -> None:
        """Step all lanes with NumPy."""

    def _advance(self, steps: int) -> None:
        """Step all lanes without a word."""
        if compiled := kernel.active():
            compiled.advance(self.arrays, steps)
            return
        for _ in range(steps):
            self._step()

    def xor(self, target: Words) -> None:
        """XOR the next key words into uint32 (n,): `piece` of them, fewer only at the very end."""
        if compiled := kernel.active():
            compiled.xor(target, self.arrays)
            return
        for start, words in zip(range(0, target.size, self._a_step), self.words(), strict=False):
            part = target[start : start + self._a_step]
            # Only the last part is shorter than its key words.
            np.bitwise_xor(part, words if part.size == words.size else words[: part.size], part)

    def first(self) -> Floats:
        """Return each lane's first coordinate after one step: float64 (lanes,)."""
        self._advance(1)
        first: Floats = self._state[0]
        return first

    @abstractmethod
    def words(self) -> Iterator[Words]:
        """Yield each step's key words for ever: uint32 (words_a_step * lanes,), the same buffer every time."""


def lanes_for(parameters: ChaosParameters) -> type[Lanes]:
    """Return the class of lanes that belongs to the parameters' map."""
    return LogisticLanes if parameters.map is MapName.LOGISTIC else LorenzLanes


class LogisticLanes(Lanes):
    """x' = r x (1 - x) with r in (3.9998, 4), iterated as y = r x: y' = y (r - y), one multiplication less.

    r - y is never zero, since y is at most r^2 / 4 and r is below 4: no orbit can end at zero. The low bits pass the
    same tests of uniformity as those of x, gcc does not fuse y (r - y) even when it may (-ffp-contract=fast with FMA),
    and the key stream is 1.2 times as fast.
    """

    words_a_step = 1
    seed_bytes = 8

    def __init__(self, seed: bytes, parameters: tuple[float, ...]) -> None:
        self._t = aligned(len(seed) // self.seed_bytes, np.float64)
        super().__init__(seed, parameters)

    def _seed(self, draws: Floats, parameters: tuple[float, ...]) -> None:
        y, r = self._state[0], self._parameters[0]
        # y = 1 + m 2^-32 in [1, 2); [2, 3) would hold the mirror images of the same orbits.
        np.multiply(draws[0], 2.0**-32, out=y)
        np.add(y, 1.0, out=y)
        # r = ((4 - (m 2^-45 + 2^-33)) + r_image) / 2: every lane its own map, hence its own cycles.
        np.multiply(draws[1], 2.0**-45, out=r)
        np.add(r, 2.0**-33, out=r)
        np.subtract(4.0, r, out=r)
        np.add(r, parameters[0], out=r)
        np.multiply(r, 0.5, out=r)

    def _step(self) -> None:
        np.subtract(self._parameters[0], self._state[0], out=self._t)
        np.multiply(self._state[0], self._t, out=self._state[0])

    def words(self) -> Iterator[Words]:
        """Yield the low 32 bits of each lane's y; the bits above are not uniform."""
        # The hottest loop of the cipher: local names keep Python's share of it small.
        y, r, t = self._state[0], self._parameters[0], self._t
        bits = y.view(np.uint64)
        words = aligned(y.size, np.uint32)
        subtract, multiply, copyto = np.subtract, np.multiply, np.copyto
        while True:
            subtract(r, y, t)
            multiply(y, t, y)
            copyto(words, bits, "unsafe")
            yield words


class LorenzLanes(Lanes):
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z, by the classical Runge-Kutta method of order four."""

    words_a_step = 3
    seed_bytes = 24

    def __init__(self, seed: bytes, parameters: tuple[float, ...]) -> None:
        lanes = len(seed) // self.seed_bytes
        self._at, self._k1, self._k2, self._k3 = aligned(12 * lanes, np.float64).reshape(4, 3, lanes)
        self._scratch = aligned(lanes, np.float64)
        super().__init__(seed, parameters)

    def _seed(self, draws: Floats, parameters: tuple[float, ...]) -> None:
        # x, y = -8 + m 2^-28 in [-8, 8); z = 16 + m 2^-28 in [16, 32): away from the three equilibria.
        np.multiply(draws[:3], 2.0**-28, out=self._state)
        np.add(self._state, np.array([[-8.0], [-8.0], [16.0]]), out=self._state)
        # The drawn set is sigma = 9 + m 2^-31, rho = 32 + m 2^-29, beta = 5/2 + m 2^-33; a lane's is the mean.
        np.multiply(draws[3:], np.array([[2.0**-31], [2.0**-29], [2.0**-33]]), out=self._parameters)
        np.add(self._parameters, np.array([[9.0], [32.0], [2.5]]), out=self._parameters)
        np.add(self._parameters, np.array(parameters).reshape(3, 1), out=self._parameters)
        np.multiply(self._parameters, 0.5, out=self._parameters)

    def _derive(self, at: Floats, slope: Floats) -> None:
        """Write the derivative at (x, y, z), float64 (3, lanes), into `slope`."""
        x, y, z = at
        sigma, rho, beta = self._parameters
        scratch = self._scratch
        np.subtract(y, x, out=slope[0])
        np.multiply(sigma, slope[0], out=slope[0])
        np.subtract(rho, z, out=slope[1])
        np.multiply(x, slope[1], out=slope[1])
        np.subtract(slope[1], y, out=slope[1])
        np.multiply(x, y, out=slope[2])
        np.multiply(beta, z, out=scratch)
        np.subtract(slope[2], scratch, out=slope[2])

    def _move(self, slope: Floats, step: float) -> None:
        """Set the probing point to state + step * slope."""
        np.multiply(slope, step, out=self._at)
        np.add(self._state, self._at, out=self._at)

    def _step(self) -> None:
        """Advance by one step: s' = s + SIXTH_STEP (((k2 + k3) 2 + k1) + k4)."""
        k1, k2, k3 = self._k1, self._k2, self._k3
        self._derive(self._state, k1)
        self._move(k1, HALF_STEP)
        self._derive(self._at, k2)
        self._move(k2, HALF_STEP)
        self._derive(self._at, k3)
        self._move(k3, STEP)
        np.add(k2, k3, out=k2)
        np.multiply(k2, 2.0, out=k2)
        np.add(k2, k1, out=k2)
        self._derive(self._at, k3)
        np.add(k2, k3, out=k2)
        np.multiply(k2, SIXTH_STEP, out=k2)
        np.add(self._state, k2, out=self._state)

    def words(self) -> Iterator[Words]:
        """Yield bits 8 to 39 of every x, then of every y, then of every z."""
        bits = self._state.reshape(-1).view(np.uint64)
        shifted = aligned(bits.size, np.uint64)
        words = aligned(bits.size, np.uint32)
        while True:
            self._step()
            np.right_shift(bits, WORD_SHIFT, out=shifted)
            np.copyto(words, shifted, casting="unsafe")
            yield words
