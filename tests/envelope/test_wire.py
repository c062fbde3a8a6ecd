"""Deterministic CBOR: one encoding of each value is read, everything else is refused, and nothing large is built first."""

from __future__ import annotations

from io import BytesIO

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.envelope import wire
from edge.errors import MalformedEnvelope, TruncatedEnvelope
from tests.envelope import independent
from tests.memory import memory_within

# Labels of one kind in a map, as everywhere in the protocol: there the two orders of RFC 8949 are one.
LABELS = (st.integers(0, 2**64 - 1), st.text(max_size=5), st.binary(max_size=5))
LEAVES = st.none() | st.integers(-(2**64), 2**64 - 1) | st.binary(max_size=40) | st.text(max_size=40)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), *(st.dictionaries(each, inner, max_size=4) for each in LABELS)
    ),
    max_leaves=12,
)


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


@given(VALUES.filter(lambda value: depth(value) <= 8))
def test_round_trip_and_second_implementation_agree(value):
    data = wire.encode(value)
    assert data == independent.write(value)
    assert wire.decode(data, limit=len(data)) == value == independent.read_whole(data)
    assert wire.skip(data, 0) == len(data)
    assert wire.SequenceReader(BytesIO(data + b"more")).small_item(len(data)) == data


@given(st.binary(max_size=60))
def test_any_bytes_are_read_exactly_or_refused(data):
    try:
        value = wire.decode(data, limit=60)
    except MalformedEnvelope:
        return
    assert wire.encode(value) == data


@given(st.binary(max_size=60))
def test_a_stream_of_any_bytes_gives_an_item_or_is_refused(data):
    source = BytesIO(data)
    try:
        item = wire.SequenceReader(source).small_item(40)
    except MalformedEnvelope:
        return
    assert data.startswith(item)
    assert len(item) <= 40
    assert source.tell() == len(item)


@pytest.mark.parametrize(
    "data",
    [
        "1800",  # 0 in two bytes
        "1817",  # 23 in two bytes
        "190017",
        "1900ff",  # 255 in three bytes
        "1a0000ffff",
        "1b00000000ffffffff",
        "3817",  # -24 in two bytes
        "5800",  # b"" with a long head
        "7800",
        "9800",
        "b800",
        "d81280",  # tag 18 in two bytes
        "5f4100ff",  # indefinite byte string
        "7f6161ff",
        "9fff",
        "bfff",
        "ff",  # break alone
        "1c",
        "1f",
        "5c",
        "fc",
        "a2020001f6",  # keys out of order
        "a201000100",  # a key twice
        "a2616200616100",
        "a2413100190100",  # a shorter head first, then out of order
    ],
)
def test_what_is_not_deterministic_is_refused(data):
    with pytest.raises(MalformedEnvelope):
        wire.decode(bytes.fromhex(data), limit=64)


@pytest.mark.parametrize(
    "data",
    [
        "f4",  # false
        "f5",  # true: equals 1 in Python
        "f7",  # undefined
        "e0",  # an unassigned simple value
        "f820",
        "f816",  # nil in two bytes
        "f97e00",  # not a number
        "f9ccc0",  # -19.0: equals -19 in Python
        "fa47c35000",
        "fb3ff199999999999a",
        "a1f500",  # a label that equals 1
        "a1f93c0000",  # and another
        "81f5",
    ],
)
def test_truth_values_floats_and_reserved_values_are_refused(data):
    with pytest.raises(MalformedEnvelope):
        wire.decode(bytes.fromhex(data), limit=64)


@pytest.mark.parametrize(
    "data",
    [
        "c074323031332d30332d32315432303a30343a30305a",  # a date as text
        "c11a514b67b0",  # a date as seconds
        "c249010000000000000000",  # a large integer
        "c349010000000000000000",
        "c48221196ab3",  # a decimal
        "c5822003",
        "d81843a10126",  # embedded CBOR
        "d81c80",  # shareable
        "d81c81d81d00",  # an array that holds itself
        "d81e820103",  # a fraction
        "d8236128",  # a broken regular expression
        "d823782428612b292b24",
        "d8255000000000000000000000000000000000",  # a UUID
        "d8646000",
        "d90100816161",  # a name space of strings
        "d9010281f6",  # a set
        "d9010443c0a801",  # an address
        "d9d9f780",  # self-described
        "d280d280",
        "81d280",  # a COSE tag, but not outermost
        "d2d280",
        "d861",
    ],
)
def test_no_other_tag_reaches_the_decoder(data):
    with pytest.raises(MalformedEnvelope):
        wire.decode(bytes.fromhex(data), limit=64)


@pytest.mark.parametrize("tag", [18, 96])
def test_cose_tags_are_read_where_they_are_outermost(tag):
    value = wire.decode(wire.encode(cbor2.CBORTag(tag, [1])), limit=8)
    assert (value.tag, list(value.value)) == (tag, [1])


@pytest.mark.parametrize("data", ["61ff", "63eda080", "62c080"])
def test_text_that_is_not_utf8_is_refused(data):
    with pytest.raises(MalformedEnvelope):
        wire.decode(bytes.fromhex(data), limit=64)


@pytest.mark.parametrize("value", ["\ud800", ["\udfff"], object(), {1: object}])
def test_what_cbor_cannot_hold_is_refused_with_an_error_of_ours(value):
    with pytest.raises(MalformedEnvelope):
        wire.encode(value)


@pytest.mark.parametrize("data", ["a1800001", "a1818000", "a1a00000", "a1a1010200"])
def test_labels_that_are_containers_do_no_harm(data):
    try:
        wire.decode(bytes.fromhex(data), limit=64)
    except MalformedEnvelope:
        return


@pytest.mark.parametrize(
    "data", ["", "18", "19ff", "1bffffff", "42ff", "6261", "8201", "a101", "d2", "9bffffffffffffffff"]
)
def test_what_ends_early_is_truncated(data):
    with pytest.raises(TruncatedEnvelope):
        wire.decode(bytes.fromhex(data), limit=64)


def test_bytes_behind_an_item_are_refused():
    with pytest.raises(MalformedEnvelope, match="followed"):
        wire.decode(b"\x00\x00", limit=8)


def test_an_item_of_its_limit_is_read_and_one_byte_more_is_not():
    data = wire.encode(bytes(100))
    assert wire.decode(data, limit=len(data)) == bytes(100)
    assert wire.SequenceReader(BytesIO(data)).small_item(len(data)) == data
    with pytest.raises(MalformedEnvelope, match="limit"):
        wire.decode(data, limit=len(data) - 1)
    with pytest.raises(MalformedEnvelope, match="limit"):
        wire.SequenceReader(BytesIO(data)).small_item(len(data) - 1)


@pytest.mark.parametrize(("opening", "closing"), [(b"\x81", b"\x00"), (b"\xa1\x00", b"\x00"), (b"\x82\x00", b"\x00")])
def test_nesting_of_eight_is_read_and_of_nine_is_not(opening, closing):
    wire.decode(opening * 8 + closing, limit=64)
    with pytest.raises(MalformedEnvelope, match="deep"):
        wire.decode(opening * 9 + closing, limit=64)


BOMBS = {
    "arrays": b"\x81" * 60_000 + b"\x00",
    "pairs": b"\x82" * 60_000,
    "maps": b"\xa1" * 60_000,
    "tags": b"\xd2" * 60_000,
    "array of 2^64": b"\x9b" + b"\xff" * 8,
    "map of 2^63": b"\xbb\x7f" + b"\xff" * 7,
    "bytes of 2^64": b"\x5b" + b"\xff" * 8 + b"x",
    "text of 2^62": b"\x7b\x3f" + b"\xff" * 7,
    "arrays of 2^16 each": b"\x99\xff\xff" * 8,
    "nested 2^16": b"\x9a\x00\x00\xf0\x00" * 12_000,
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_are_refused_before_anything_is_built(name):
    bomb = BOMBS[name]
    with memory_within(1 << 20):
        with pytest.raises(MalformedEnvelope):
            wire.decode(bomb, limit=65_536)
        # Of such items the stream reader may return one that is short enough; it is refused when it is decoded.
        with pytest.raises(MalformedEnvelope):
            wire.decode(wire.SequenceReader(BytesIO(bomb)).small_item(65_536), limit=65_536)


class Dribble:
    """A source that gives one byte at a time, and counts them."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.taken = 0

    def read(self, size: int, /) -> bytes:
        piece = self.data[self.taken : self.taken + min(size, 1)]
        self.taken += len(piece)
        return piece


def test_a_sequence_is_read_item_by_item_and_never_behind_one():
    first, second = wire.encode({1: [b"ab", None], 2: "text"}), wire.encode(cbor2.CBORTag(18, [[], {}, bytes(300)]))
    source = Dribble(first + second + wire.bytes_head(3) + b"xyz")
    reader = wire.SequenceReader(source)
    assert reader.small_item(64) == first
    assert source.taken == len(first)
    assert reader.small_item(400) == second
    assert source.taken == len(first + second)
    assert reader.bytes_length(3) == 3
    assert reader.exactly(3) == b"xyz"
    reader.end()


def test_the_end_is_insisted_on():
    with pytest.raises(MalformedEnvelope, match="followed"):
        wire.SequenceReader(BytesIO(b"\x00")).end()


@pytest.mark.parametrize("length", [0, 1, 23, 24, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**40])
def test_heads_of_byte_strings_are_the_shortest(length):
    data = wire.bytes_head(length)
    assert wire.SequenceReader(BytesIO(data)).bytes_length(length) == length
    if length <= 65_536:
        assert data + bytes(length) == wire.encode(bytes(length))
    if length:
        with pytest.raises(MalformedEnvelope, match="limit"):
            wire.SequenceReader(BytesIO(data)).bytes_length(length - 1)


def test_a_byte_string_can_be_too_long_for_cbor():
    with pytest.raises(MalformedEnvelope):
        wire.bytes_head(2**64)


@pytest.mark.parametrize("data", ["60", "00", "80", "f6", "5f", "5800"])
def test_what_is_no_byte_string_is_refused(data):
    with pytest.raises(MalformedEnvelope):
        wire.SequenceReader(BytesIO(bytes.fromhex(data))).bytes_length(100)


@pytest.mark.parametrize("data", ["", "5b00", "59"])
def test_a_head_that_ends_early_is_truncated(data):
    with pytest.raises(TruncatedEnvelope):
        wire.SequenceReader(BytesIO(bytes.fromhex(data))).bytes_length(100)
