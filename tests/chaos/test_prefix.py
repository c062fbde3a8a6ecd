import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos.prefix import Diffusion, undo_backward, undo_forward


def forward(data, row):
    """Diffuse as the recursion reads, byte by byte."""
    found = {}
    for n, value in enumerate(data):
        k, m = divmod(n, row)
        found[k, m] = value ^ found.get((k - 1, m), 0) ^ found.get((k, m - 1), 0) ^ found.get((k - 1, m - 1), 0)
    return bytes(found[divmod(n, row)] for n in range(len(data)))


def backward(data, row):
    found = {}
    for n, value in reversed(list(enumerate(data))):
        k, m = divmod(n, row)
        found[k, m] = value ^ found.get((k + 1, m), 0) ^ found.get((k, m + 1), 0) ^ found.get((k + 1, m + 1), 0)
    return bytes(found[divmod(n, row)] for n in range(len(data)))


def array_of(data):
    return np.frombuffer(data, np.uint8).copy()


MATRICES = st.tuples(st.binary(min_size=1, max_size=400), st.integers(1, 60))


@given(MATRICES)
def test_forward_is_the_recursion(matrix):
    data, row = matrix
    array = array_of(data)
    Diffusion(row).forward(array)
    assert array.tobytes() == forward(data, row)


@given(MATRICES)
def test_backward_is_the_recursion_from_the_other_corner(matrix):
    data, row = matrix
    array = array_of(data)
    Diffusion(row).backward(array)
    assert array.tobytes() == backward(data, row)


@given(MATRICES)
def test_each_is_undone(matrix):
    data, row = matrix
    for way, undo in ((Diffusion.forward, undo_forward), (Diffusion.backward, undo_backward)):
        array = array_of(data)
        way(Diffusion(row), array)
        undo(array, np.empty_like(array), row)
        assert array.tobytes() == data


@pytest.mark.parametrize("row", [1, 7, 64, 825, 5792, 400_000])
def test_matrices_of_many_tiles_carry_a_change_to_the_far_corner_and_are_undone(row):
    data = np.random.default_rng(row).bytes(1_000_003)
    column = np.arange(len(data)) % row
    diffusion = Diffusion(row)
    for way, undo, corner in ((diffusion.forward, undo_forward, 0), (diffusion.backward, undo_backward, -1)):
        array, other = array_of(data), array_of(data)
        other[corner] ^= 1
        way(array)
        way(other)
        # All columns from the changed byte's own on, in every row.
        reached = column >= column[corner] if corner == 0 else column <= column[corner]
        assert np.array_equal(array ^ other, reached)
        undo(array, np.empty_like(array), row)
        assert array.tobytes() == data
