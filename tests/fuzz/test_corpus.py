"""What the fuzzer starts from and what it found: no input escapes from its door, or takes more memory than it may.

`make fuzz` runs the same doors under a coverage-guided fuzzer.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.doors import DOORS, Door, insist
from tests.fuzz.make_corpus import CORPUS, files
from tests.memory import memory_within

KEPT = {name: [path.read_bytes() for path in sorted((CORPUS / name).iterdir())] for name in DOORS}


@pytest.fixture(autouse=True)
def _quiet() -> None:
    """Keep what is said of each refusal out of the way: it costs more than the refusals."""
    logging.getLogger("edge").setLevel(logging.CRITICAL)


@pytest.mark.parametrize("name", DOORS)
def test_nothing_of_the_corpus_escapes_or_takes_much_memory(name: str) -> None:
    door = DOORS[name]
    for data in KEPT[name]:
        door.knock(data)  # the first time also loads what it needs
        with memory_within(door.memory):
            door.knock(data)


@st.composite
def spoilt(draw: st.DrawFn, kept: list[bytes], longest: int) -> bytes:
    """An input of the corpus that was cut, joined to another, or changed here and there."""
    data = bytearray(draw(st.sampled_from(kept)))
    if draw(st.booleans()):
        data = data[: draw(st.integers(0, len(data)))] + draw(st.sampled_from(kept))[draw(st.integers(0, 64)) :]
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(data)))
        data[place : place + draw(st.integers(0, 3))] = draw(
            st.sampled_from([b"", b"\0", b"\xff", b"\x7f\xff\xff\xff", b"\xff" * 4, b"\x80"]) | st.binary(max_size=4)
        )
    return bytes(data[:longest])


@pytest.mark.parametrize("name", DOORS)
@settings(max_examples=40)
@given(data=st.data())
def test_nothing_like_the_corpus_escapes(name: str, data: st.DataObject) -> None:
    DOORS[name].knock(data.draw(spoilt(KEPT[name], DOORS[name].longest)))


def test_the_corpus_is_whole_and_small() -> None:
    for name, inputs in files().items():
        assert set(inputs) <= {path.name for path in (CORPUS / name).iterdir()}
    assert all(len(data) <= DOORS[name].longest for name in DOORS for data in KEPT[name])


def test_an_escape_is_seen_as_one() -> None:
    def enter(data: bytes) -> None:
        insist(data != b"a", "an a")
        if data == b"b":
            raise KeyError

    door = Door(enter, (ValueError,))
    door.knock(b"c")
    for data in (b"a", b"b"):
        with pytest.raises((AssertionError, KeyError)):
            door.knock(data)


def test_the_fuzzer_runs_where_pytest_is_not_installed() -> None:
    program = "import sys; sys.modules['pytest'] = None; import tests.fuzz.run, tests.fuzz.doors"
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).resolve().parents[2], check=True)
