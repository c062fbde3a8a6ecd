"""The table must be straight, must fit, and must not let a file name drive the terminal."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.demo.table import human_bytes, human_milliseconds, render, shorten

COLUMNS = ("image", "size", "time")
ROWS = (
    ("DX_CHEST_PA_0001.jpg", "1.2 MB", "37 ms"),
    ("OP_OD_0002.jpg", "812 kB", "1.8 s"),
    ("empty.jpg", "-", ""),
)


def test_draws_light_boxes_and_aligns_numbers_to_the_right():
    assert render(COLUMNS, ROWS, width=None, encoding="utf-8") == (
        "┌──────────────────────┬────────┬───────┐\n"
        "│ image                │   size │  time │\n"
        "├──────────────────────┼────────┼───────┤\n"
        "│ DX_CHEST_PA_0001.jpg │ 1.2 MB │ 37 ms │\n"
        "│ OP_OD_0002.jpg       │ 812 kB │ 1.8 s │\n"
        "│ empty.jpg            │      - │       │\n"
        "└──────────────────────┴────────┴───────┘"
    )


def test_falls_back_to_ascii_where_the_stream_has_no_box_lines():
    text = render(COLUMNS, [("Müller→scan.jpg", 3, 0.5)], width=None, encoding="ascii")
    assert text.isascii()
    assert text.splitlines()[0] == "+-----------------+------+------+"
    assert "| M?ller?scan.jpg |    3 |  0.5 |" in text


def test_an_unknown_encoding_means_ascii():
    assert render(["a"], [[1]], width=None, encoding="no-such-codec").isascii()


def test_cuts_the_middle_of_the_name_and_leaves_numbers_whole():
    lines = render(COLUMNS, ROWS, width=36, encoding="utf-8").splitlines()
    assert {len(line) for line in lines} == {36}
    assert "│ DX_CHES…001.jpg │ 1.2 MB │ 37 ms │" in lines


def test_a_name_cannot_drive_the_terminal():
    text = render(["name"], [["\x1b[2Jscan\r\n.jpg\u202e"]], width=None, encoding="utf-8")
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert len(text.splitlines()) == 5


def test_wide_characters_take_two_cells():
    lines = render(["name", "n"], [["胸部.jpg", 1], ["chest.jpg", 12]], width=None, encoding="utf-8").splitlines()
    assert "│ 胸部.jpg  │  1 │" in lines


def test_an_empty_table_keeps_its_heading():
    assert render(["image", "size"], [], width=None, encoding="ascii").splitlines()[1] == "| image | size |"


def test_refuses_a_row_of_another_length():
    with pytest.raises(ValueError, match="one cell for each column"):
        render(COLUMNS, [("only one",)], width=None)


@given(
    rows=st.lists(st.tuples(st.text(max_size=40), st.integers(), st.none() | st.text(max_size=12)), max_size=5),
    width=st.integers(min_value=13, max_value=90),
)
def test_every_line_fits_and_all_are_of_one_width(rows, width):
    lines = render(("a", "b", "c"), rows, width=width, encoding="ascii").split("\n")
    assert len(lines) == len(rows) + 4
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= width


@given(text=st.text(alphabet="abcdefgh.", max_size=60), width=st.integers(min_value=1, max_value=30))
def test_shorten_keeps_both_ends(text, width):
    short = shorten(text, width)
    assert len(short) <= width
    if len(text) <= width:
        assert short == text
    elif width >= 3:
        head, tail = short.split("…")
        assert text.startswith(head)
        assert text.endswith(tail)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (3_200_000, "3.2 MB"),
        (99_960_000, "100 MB"),
        (999_600, "1.0 MB"),
        (117_000_000, "117 MB"),
        (2_500_000_000, "2.5 GB"),
        (4_000_000_000_000, "4.0 TB"),
        (-1500, "-1.5 kB"),
    ],
)
def test_human_bytes(size, text):
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0.0, "0.00 ms"),
        (0.417, "0.42 ms"),
        (9.999, "10 ms"),
        (37.2, "37 ms"),
        (999.7, "1.0 s"),
        (1834, "1.8 s"),
        (59_960, "1 min 00 s"),
        (125_000, "2 min 05 s"),
        (-3.0, "-3.00 ms"),
    ],
)
def test_human_milliseconds(milliseconds, text):
    assert human_milliseconds(milliseconds) == text
