import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos.layout import BAND_BYTES, BAND_ROWS, MAX_SIZE, MAX_WIDTH, Layout
from edge.errors import CipherError


@given(st.integers(1, MAX_SIZE))
def test_the_bands_of_a_file_cover_it_exactly(size):
    layout = Layout.for_file(size)
    assert layout.sample == 8
    assert layout.width == max(1, layout.width)
    assert layout.row_bytes**2 <= max(size, 64)
    if size < 1 << 30:
        bands = list(layout.bands())
        assert sum(b.size for b in bands) == size
        assert [b.index for b in bands] == list(range(layout.band_count))
        assert sum(b.rows for b in bands) == size // layout.row_bytes
        assert all(b.body == b.rows * layout.row_bytes for b in bands)
        assert all(b.body <= BAND_BYTES for b in bands)
        assert all(b.body == b.size for b in bands[:-1])
        assert max(b.size for b in bands) <= layout.largest_band


@given(st.integers(1, 1 << 24), st.integers(1, 2048), st.integers(1, 16))
def test_every_layout_has_bounded_even_bands(size, width, sample):
    layout = Layout(size=size, width=width, sample=sample)
    bands = list(layout.bands())
    assert sum(b.size for b in bands) == size
    assert all(b.rows <= BAND_ROWS for b in bands)
    assert all(b.rows == layout.rows_a_band for b in bands[:-1])
    assert all(b.rows for b in bands[:-1])


def test_a_file_becomes_a_near_square_matrix_of_groups_of_eight_bytes():
    assert Layout.for_file(32 << 20) == Layout(size=32 << 20, width=724, sample=8)
    assert Layout.for_file(7) == Layout(size=7, width=1, sample=8)


def test_pixels_become_rows_of_whole_pixels_frame_below_frame():
    layout = Layout.for_pixels((3, 100, 50, 3), 2)
    assert layout == Layout(size=3 * 100 * 50 * 6, width=50, sample=6)
    assert [b.rows for b in layout.bands()] == [300]


@pytest.mark.parametrize(
    ("size", "width", "sample"),
    [
        (0, 1, 1),
        (-1, 1, 1),
        (MAX_SIZE + 1, 1, 1),
        (8, 0, 1),
        (8, MAX_WIDTH + 1, 1),
        (8, 1, 0),
        (8, 1, 17),
        (8.0, 1, 1),
        (8, True, 1),
    ],
)
def test_a_layout_outside_the_limits_is_refused(size, width, sample):
    with pytest.raises(CipherError):
        Layout(size=size, width=width, sample=sample)


@pytest.mark.parametrize("size", [0, -5, MAX_SIZE + 1])
def test_a_file_outside_the_limits_is_refused(size):
    with pytest.raises(CipherError):
        Layout.for_file(size)


@pytest.mark.parametrize(
    ("shape", "itemsize"),
    [((0, 1, 1, 1), 1), ((1, 1, 1, 0), 1), ((1, 4, 4, 5), 4), ((1, 1, MAX_WIDTH + 1, 1), 1), ((1, -2, -2, 1), 1)],
)
def test_pixels_outside_the_limits_are_refused(shape, itemsize):
    with pytest.raises(CipherError):
        Layout.for_pixels(shape, itemsize)
