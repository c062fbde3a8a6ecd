import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos import dna
from edge.chaos.buffers import aligned

BYTES = st.binary(min_size=1, max_size=40)


def filled(data):
    array = aligned(len(data), np.uint8)
    array[:] = np.frombuffer(data, np.uint8)
    return array


def test_the_examples_of_the_published_text():
    assert dna.encode(bytes([0b10011000])) == "ATAC"
    assert dna.encode(bytes([0b01001110])) == "TCGA"
    assert dna.decode("ATACTCGA") == bytes([0b10011000, 0b01001110])


def test_rule_4_is_the_published_one():
    assert [dna.encode(bytes([pair]))[-1] for pair in range(4)] == ["C", "T", "A", "G"]


def test_the_addition_table_is_that_of_the_numbers_modulo_4():
    letters = "AGCT"
    table = [[dna.add(a, b) for b in letters] for a in letters]
    assert table == [list("AGCT"), list("GCTA"), list("CTAG"), list("TAGC")]


def test_the_subtraction_table_is_its_inverse():
    letters = "AGCT"
    for a in letters:
        for b in letters:
            assert dna.subtract(dna.add(a, b), b) == a
    assert [dna.subtract("A", b) for b in letters] == list("ATCG")


@given(BYTES)
def test_decoding_undoes_encoding(data):
    assert dna.decode(dna.encode(data)) == data


@given(st.binary(min_size=8, max_size=8), st.integers(1, 5))
def test_words_add_as_the_letters_do(data, times):
    array = filled(data * times)
    dna.add_columns(array)
    for first, second, result in zip(array[::2], (data * times)[1::2], array[1::2], strict=True):
        letters = dna.add(dna.encode(bytes([first])), dna.encode(bytes([second])))
        assert dna.decode(letters) == bytes([result])
    assert array[::2].tobytes() == (data * times)[::2]


@pytest.mark.parametrize("size", [8, (128 << 10) + 8, 400_000])
def test_subtracting_columns_undoes_adding_them(size):
    data = np.random.default_rng(1).bytes(size)
    array = filled(data)
    dna.add_columns(array)
    assert array.tobytes() != data
    dna.subtract_columns(array)
    assert array.tobytes() == data


@pytest.mark.parametrize("bases", ["ATA", "ATAX", "atac"])
def test_what_is_no_dna_is_refused(bases):
    with pytest.raises(ValueError, match=r"base|substring"):
        dna.decode(bases)


def test_strands_of_different_length_are_not_added():
    for way in (dna.add, dna.subtract):
        with pytest.raises(ValueError, match=r"longer|shorter"):
            way("AT", "A")
