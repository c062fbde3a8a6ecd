"""Whatever a name holds, what is made of it is one visible path component."""

from __future__ import annotations

from itertools import islice

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.names import harmless_name, numbered

HOSTILE = {
    b"../../etc/passwd": "__.._etc_passwd",
    b"/etc/passwd": "_etc_passwd",
    b"..": "image",
    b".": "image",
    b"": "image",
    b"...": "image",
    b"   ": "image",
    b".hidden": "_hidden",
    b"a\0b.png": "a_b.png",
    b"a/b\\c:d.png": "a_b_c_d.png",
    b'a*?"<>|b.png': "a______b.png",
    b"trailing. . .": "trailing",
    "abc\u202egnp.exe".encode(): "abc_gnp.exe",
    "\u2066isolate\u2069.png".encode(): "_isolate_.png",
    "Müller-Thorax µ.dcm".encode(): "Müller-Thorax µ.dcm",
    b"\xff\xfe.png": "\ufffd\ufffd.png",
    b"line\nbreak\x1b[31m.png": "line_break_[31m.png",
}


@pytest.mark.parametrize(("name", "expected"), HOSTILE.items(), ids=[repr(name) for name in HOSTILE])
def test_a_hostile_name_becomes_harmless(name: bytes, expected: str) -> None:
    assert harmless_name(name) == expected


@given(st.binary(max_size=2000) | st.text(max_size=600).map(lambda text: text.encode("utf-8", "replace")))
def test_the_result_is_always_one_visible_path_component(name: bytes) -> None:
    made = harmless_name(name)
    assert made
    assert not made.startswith((".", " "))
    assert made not in {".", ".."}
    assert not set(made) & set('/\\\0:*?"<>|\n\r')
    assert len(made.encode()) <= 200
    assert harmless_name(made.encode()) == made


def test_a_long_name_keeps_its_suffix() -> None:
    made = harmless_name("µ".encode() * 2500 + b".dcm")
    assert made.endswith("µ.dcm")
    assert 190 < len(made.encode()) <= 200


def test_a_long_suffix_is_no_suffix() -> None:
    assert len(harmless_name(b"a." + b"b" * 5000).encode()) == 200


def test_numbers_stand_before_the_suffix_and_never_end() -> None:
    assert list(islice(numbered("scan.tar.gz"), 3)) == ["scan.tar.gz", "scan.tar (2).gz", "scan.tar (3).gz"]
    assert list(islice(numbered("scan"), 3)) == ["scan", "scan (2)", "scan (3)"]


@given(st.text(max_size=50).map(str.encode))
def test_numbered_names_stay_harmless(name: bytes) -> None:
    names = list(islice(numbered(harmless_name(name)), 5))
    assert len(set(names)) == 5
    assert all(harmless_name(each.encode()) == each for each in names)
