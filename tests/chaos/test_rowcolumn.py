import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_secret
from edge.chaos.rowcolumn import RowColumnCipher, lane_count, sort_order
from edge.records import MapName

SECRET = bytes(range(32))


@given(hnp.arrays(np.float64, st.integers(1, 300), elements=st.integers(0, 40).map(float)))
def test_equal_states_keep_the_order_of_their_numbers(states):
    assert sort_order(states).tolist() == sorted(range(len(states)), key=states.tolist().__getitem__)


def test_the_keys_of_a_band_are_permutations_and_made_alike_every_time():
    layout = Layout.for_file(100_000)
    (band,) = layout.bands()
    for chaotic_map in (MapName.LOGISTIC, MapName.LORENZ):
        cipher = RowColumnCipher(layout, parameters_from_secret(chaotic_map, SECRET))
        keys, again = cipher.keys(SECRET, band), cipher.keys(SECRET, band)
        assert sorted(keys.columns) == list(range(layout.width))
        assert sorted(keys.rows) == list(range(band.rows))
        assert keys.columns.tolist() == again.columns.tolist() != list(range(layout.width))
        streams = np.zeros((2, keys.words.piece), np.uint32)
        keys.words.xor(streams[0])
        again.words.xor(streams[1])
        assert streams[0].any()
        assert streams[0].tolist() == streams[1].tolist()


def test_the_lanes_follow_the_size():
    assert lane_count(MapName.LOGISTIC, 1) == 256
    assert lane_count(MapName.LOGISTIC, 4 * 64 * 512 - 4) == 256
    assert lane_count(MapName.LOGISTIC, 4 * 64 * 512 - 3) == 512
    assert lane_count(MapName.LOGISTIC, 8 << 20) == 8192
    assert lane_count(MapName.LORENZ, 8 << 20) == 4096
    assert lane_count(MapName.LORENZ, 3 * 4 * 64 * 512) == 512
