"""The compiled kernel of both ciphers: the same bytes as NumPy gives, some times as fast, where it could be built.

The rules kept here: it is loaded from inside the package only, and only if it was built from the very source beside it; it is
used only after it gave the same bytes as NumPy on this machine; and whatever is missing or wrong, NumPy does the work.
`EDGE_KERNEL=numpy` in the environment leaves it out.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from edge.chaos.buffers import WORD_BYTES, address
from edge.errors import CipherError

SOURCE: Final = Path(__file__).with_name("kernel.c")
LIBRARY: Final = Path(__file__).with_name("_kernel.so")
_SWITCH: Final = "EDGE_KERNEL"
_LEVELS: Final = ("baseline", "SSE4.1", "AVX2", "AVX-512")

_ADDRESS: Final = ctypes.c_void_p
_SIZE: Final = ctypes.c_size_t
# Lanes: words a step, states, parameters, how many. Of a band besides: words to XOR at a time, the cipher image and its words,
# the plain image, rows, columns, bytes of a sample.
_LANES: Final = (_SIZE, _ADDRESS, _ADDRESS, _SIZE)
_BAND: Final = (*_LANES, _SIZE, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS, _SIZE, _ADDRESS, _SIZE, _SIZE)
# The parameters of each function of kernel.c.
_FUNCTIONS: Final = {
    "start": (*_LANES, _ADDRESS, _ADDRESS, _SIZE),
    "advance": (*_LANES, _SIZE),
    "xor": (*_LANES, _ADDRESS, _SIZE),
    "hyper_advance": (_ADDRESS, _SIZE, _ADDRESS, _SIZE),
    "hyper_fill": (_ADDRESS, _SIZE, _ADDRESS, _SIZE, _ADDRESS, _ADDRESS, _SIZE),
    "encipher": _BAND,
    "decipher": _BAND,
    "forward": (_ADDRESS, _SIZE, _SIZE),
    "backward": (_ADDRESS, _SIZE, _SIZE),
    "undo_forward": (_ADDRESS, _ADDRESS, _SIZE, _SIZE),
    "undo_backward": (_ADDRESS, _ADDRESS, _SIZE, _SIZE),
    "add_columns": (_ADDRESS, _SIZE),
    "subtract_columns": (_ADDRESS, _SIZE),
}

Array = NDArray[Any]


class KeyArrays(NamedTuple):
    """Key words as the kernel takes them."""

    a_step: int
    """Words that a lane yields at a step: 1 logistic, 3 Lorenz; 0 for stored words."""
    state: Array
    """float64 (a_step, lanes), which are stepped; or the stored words, uint32 (n,)."""
    parameters: Array
    """float64 (a_step, lanes); nothing for stored words."""
    piece: int
    """Words to XOR at a time: those of whole steps."""


class Moves(NamedTuple):
    """A permutation of rows and columns as the kernel takes it."""

    rows: Array
    """The row of the plain image for each row of the cipher image, int64 (n,), each below n."""
    columns: Array
    """The first byte of each sample within the row that is read, uint32 (width,)."""
    sample: int
    """Bytes of a sample."""


class Kernel:
    """The functions of a library that was built from kernel.c. Arrays are C-contiguous; what is written is given first.

    Every call lets other threads run.
    """

    def __init__(self, path: Path) -> None:
        """Load a library.

        Raises:
            OSError: It cannot be loaded, or it was built from another source.
        """
        library = ctypes.CDLL(str(path))
        try:
            built_from = bytes((ctypes.c_char * 64).in_dll(library, "edge_source"))
        except ValueError as error:
            raise OSError("the library is no kernel") from error
        if built_from != source_digest().encode():
            raise OSError("the library was built from another source")
        self._library = library
        for name, parameters in _FUNCTIONS.items():
            function = getattr(library, f"edge_{name}")
            function.argtypes, function.restype = parameters, None
        self.level = self.choose(len(_LEVELS) - 1)

    def choose(self, level: int) -> str:
        """Use the instructions of a level, 0 to 3, or the best below it that the processor has; return its name."""
        self.level = _LEVELS[self._library.edge_level(ctypes.c_int(level))]
        return self.level

    def start(self, lanes: KeyArrays, seed: bytes, parameters: tuple[float, ...], steps: int) -> None:
        """Seed lanes and step them.

        Args:
            lanes: What is written.
            seed: As `Lanes` takes it.
            parameters: The image's.
            steps: Steps without a word.
        """
        _require(len(seed) == 8 * lanes.state.size and len(parameters) == lanes.a_step)
        self._library.edge_start(*_lanes(lanes), seed, (ctypes.c_double * len(parameters))(*parameters), steps)

    def advance(self, lanes: KeyArrays, steps: int) -> None:
        """Step lanes without a word."""
        self._library.edge_advance(*_lanes(lanes), steps)

    def xor(self, target: Array, lanes: KeyArrays) -> None:
        """XOR the next words of lanes into uint32 (n,); states end after whole steps."""
        _require(target.dtype == np.uint32)
        self._library.edge_xor(*_lanes(lanes), _at(target), target.size)

    def hyper_advance(self, state: Array, steps: Array, count: int) -> None:
        """Step lanes of cipher B's system: float64 (4, lanes), the last row negative; float64 (3,): half, whole, sixth."""
        self._library.edge_hyper_advance(_at(state), state.shape[1], _at(steps), count)

    def hyper_fill(self, r: Array, z: Array, state: Array, steps: Array, unit: int) -> None:
        """Fill R and Z, uint8 (n,) each, with `unit` bytes a coordinate: 1 by decimals, 4 by bits."""
        _require(r.size == z.size and unit in (1, 4))
        self._library.edge_hyper_fill(_at(state), state.shape[1], _at(steps), unit, _at(r), _at(z), r.size)

    def encipher(self, cipher: Array, plain: Array, words: KeyArrays, moves: Moves) -> None:
        """Permute rows and columns of `plain` into `cipher`, and XOR all of `cipher` with the next key words.

        Args:
            cipher: uint8 (4 * words,); what follows the rows is there already.
            plain: uint8, at least the rows, apart from `cipher`.
            words: Where the key words come from.
            moves: The permutation, its columns those of `plain`.
        """
        self._library.edge_encipher(*_band(cipher, plain, words, moves))

    def decipher(self, cipher: Array, plain: Array, words: KeyArrays, moves: Moves) -> None:
        """Undo `encipher` with the same rows, and columns of the inverse permutation; `cipher` is used up."""
        self._library.edge_decipher(*_band(cipher, plain, words, moves))

    def forward(self, data: Array, row: int) -> None:
        """Do `Diffusion.forward`: uint8 (n,), n at least 1, rows of `row` bytes."""
        _require(data.size > 0 and row > 0)
        self._library.edge_forward(_at(data), data.size, row)

    def backward(self, data: Array, row: int) -> None:
        """Do `Diffusion.backward`."""
        _require(data.size > 0 and row > 0)
        self._library.edge_backward(_at(data), data.size, row)

    def undo_forward(self, data: Array, scratch: Array, row: int) -> None:
        """Undo `forward`; the scratch is as long as the data, or as a row."""
        _require(data.size > 0 and row > 0 and scratch.size >= min(row, data.size))
        self._library.edge_undo_forward(_at(data), _at(scratch), data.size, row)

    def undo_backward(self, data: Array, scratch: Array, row: int) -> None:
        """Undo `backward`; the scratch is as long as the data, or as a row."""
        _require(data.size > 0 and row > 0 and scratch.size >= min(row, data.size))
        self._library.edge_undo_backward(_at(data), _at(scratch), data.size, row)

    def add_columns(self, words: Array) -> None:
        """Do `dna.add_columns`: uint64 (n,)."""
        self._library.edge_add_columns(_at(words), words.size)

    def subtract_columns(self, words: Array) -> None:
        """Do `dna.subtract_columns`: uint64 (n,)."""
        self._library.edge_subtract_columns(_at(words), words.size)


_active: Kernel | None = None


def active() -> Kernel | None:
    """Return the kernel that the ciphers use; None where NumPy does the work."""
    return _active


def described() -> str:
    """Say in a word what does the work, for people."""
    return f"compiled, {_active.level}" if _active else "NumPy"


@contextmanager
def using(kernel: Kernel | None) -> Iterator[None]:
    """Let a kernel, or NumPy, do the work within the block; for comparisons, before other threads encipher."""
    global _active  # noqa: PLW0603 - the one kernel of the process
    before, _active = _active, kernel
    try:
        yield
    finally:
        _active = before


def settle(probe: Callable[[], bytes], library: Path = LIBRARY) -> None:
    """Use a library from now on if it gives the same bytes as NumPy; else go on without.

    Args:
        probe: Enciphers something of every kind and returns the bytes.
        library: The library.
    """
    global _active  # noqa: PLW0603 - the one kernel of the process
    _active = None
    if os.environ.get(_SWITCH) == "numpy" or not library.is_file():
        return
    try:
        kernel = Kernel(library)
    except (OSError, AttributeError):
        return
    expected = probe()
    try:
        with using(kernel):
            given = probe()
    except (CipherError, ValueError):  # orbits that leave the numbers, arrays that do not fit: it disagrees, too
        return
    _active = kernel if given == expected else None


def source_digest() -> str:
    """Return the SHA-256 of kernel.c, which a library carries to say what it was built from."""
    return sha256(SOURCE.read_bytes()).hexdigest()


def _band(cipher: Array, plain: Array, words: KeyArrays, moves: Moves) -> tuple[int, ...]:
    """Return the arguments of encipher and decipher."""
    rows, columns, sample = moves
    count = cipher.size // WORD_BYTES
    if words.a_step:
        source = _lanes(words)
        _require(words.piece > 0 and words.piece % words.state.size == 0)
    else:
        source = 0, _at(words.state), 0, 0
        _require(words.piece > 0 and words.state.dtype == np.uint32 and words.state.size >= count)
    _require(cipher.dtype == plain.dtype == np.uint8 and cipher.size % WORD_BYTES == 0)
    _require(not any(np.may_share_memory(cipher, other) for other in (plain, words.state)))
    _require(rows.dtype == np.int64 and columns.dtype == np.uint32 and columns.size > 0 and sample > 0)
    _require(rows.size * columns.size * sample <= min(cipher.size, plain.size))
    _require(not rows.size or (int(rows.min()) >= 0 and int(rows.max()) < rows.size))
    _require(int(columns.max()) <= (columns.size - 1) * sample)
    return (
        *(*source, words.piece, _at(cipher), count, _at(plain)),
        *(_at(rows), rows.size, _at(columns), columns.size, sample),
    )


def _lanes(words: KeyArrays) -> tuple[int, int, int, int]:
    """Return the arguments that stand for lanes."""
    state, parameters = words.state, words.parameters
    _require(words.a_step in (1, 3) and state.dtype == parameters.dtype == np.float64)
    _require(state.shape == parameters.shape == (words.a_step, state.shape[-1]) and state.size > 0)
    return words.a_step, _at(state), _at(parameters), state.shape[1]


def _at(array: Array) -> int:
    """Return the address of an array's first element."""
    _require(array.flags.c_contiguous)
    return address(array)


def _require(met: bool) -> None:
    """Let nothing reach memory that is not the arrays'."""
    if not met:
        raise ValueError("the kernel was given arrays that do not fit")
