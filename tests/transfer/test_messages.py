"""Topics and control messages: what is written is read back, and nothing else is."""

from __future__ import annotations

import itertools

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import protocol
from edge.envelope import wire
from edge.errors import EnvelopeError
from edge.transfer.messages import (
    Offer,
    SignedReceipt,
    Topics,
    Want,
    chunk_count,
    decode,
    encode,
    ranges_of,
)

IDENTITIES = st.from_regex(protocol.IDENTITY_PATTERN, fullmatch=True)
IMAGE_IDS = st.binary(min_size=16, max_size=16)
RANGES = st.lists(
    st.tuples(st.integers(0, 10_000), st.integers(1, 500)).map(lambda pair: (pair[0], pair[0] + pair[1])),
    min_size=1,
    max_size=protocol.RANGES_MAX,
).map(tuple)
MESSAGES = st.one_of(
    st.builds(Offer, st.binary(max_size=1024), st.integers(protocol.CHUNK_MIN_BYTES, protocol.CHUNK_MAX_BYTES)),
    st.builds(Want, IMAGE_IDS, IDENTITIES, RANGES),
    st.builds(SignedReceipt, st.binary(max_size=1024)),
)


@given(MESSAGES)
def test_a_message_is_read_back_as_it_was_written(message: Offer | Want | SignedReceipt) -> None:
    assert decode(encode(message)) == message


@given(MESSAGES)
def test_the_longest_message_is_within_the_limit(message: Offer | Want | SignedReceipt) -> None:
    assert len(encode(message)) <= protocol.CONTROL_MAX_BYTES


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused_by_name_or_are_a_message(payload: bytes) -> None:
    try:
        message = decode(payload)
    except EnvelopeError:
        return
    assert encode(message) == payload


@given(MESSAGES, st.data())
def test_a_cut_or_extended_message_is_refused(message: Offer | Want | SignedReceipt, data: st.DataObject) -> None:
    payload = encode(message)
    cut = data.draw(st.integers(0, len(payload) - 1))
    for spoilt in (payload[:cut], payload + b"\0"):
        with pytest.raises(EnvelopeError):
            decode(spoilt)


ID = bytes(16)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        1,
        [0, b"", 16384],
        [4, b""],
        [True, b"", 16384],
        [1, b"", True],
        [1, b"", protocol.CHUNK_MIN_BYTES - 1],
        [1, b"", protocol.CHUNK_MAX_BYTES + 1],
        [1, b"", -1],
        [1, "manifest", 16384],
        [1, b""],
        [1, b"", 16384, 0],
        [2, ID, "receiver-1", []],
        [2, ID, "receiver-1", [[0, 1]] * (protocol.RANGES_MAX + 1)],
        [2, ID, "receiver-1", [[1, 1]]],
        [2, ID, "receiver-1", [[2, 1]]],
        [2, ID, "receiver-1", [[-1, 1]]],
        [2, ID, "receiver-1", [[0, 2**62]]],
        [2, ID, "receiver-1", [[0, 1, 2]]],
        [2, ID, "receiver-1", [[False, True]]],
        [2, ID, "receiver-1", [["a", "b"]]],
        [2, ID, "receiver-1", ["ab"]],
        [2, ID, "receiver-1", "ab"],
        [2, ID[:15], "receiver-1", [[0, 1]]],
        [2, ID, "../receiver", [[0, 1]]],
        [2, ID, "receiver/+", [[0, 1]]],
        [2, ID, "", [[0, 1]]],
        [2, ID, b"receiver-1", [[0, 1]]],
        [3, "receipt"],
        [3, b"", b""],
        [3.0, b""],
    ],
)
def test_what_is_no_message_is_refused(value: object) -> None:
    with pytest.raises(EnvelopeError):
        decode(cbor2.dumps(value, canonical=True))


def test_a_message_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(EnvelopeError):
        decode(wire.encode([3, bytes(protocol.CONTROL_MAX_BYTES)]))


def test_a_message_in_another_encoding_of_the_same_value_is_refused() -> None:
    # An indefinite-length array, and an integer that is longer than it need be.
    for payload in (b"\x9f\x03\x41\x00\xff", b"\x82\x18\x03\x41\x00"):
        with pytest.raises(EnvelopeError):
            decode(payload)


@given(IDENTITIES, IDENTITIES, IMAGE_IDS, st.integers(0, 9_999_999_999))
def test_a_chunk_topic_is_read_back(receiver: str, device: str, image_id: bytes, number: int) -> None:
    topics = Topics("site/edge")
    assert topics.read_chunk(topics.chunk(receiver, device, image_id, number), receiver) == (device, image_id, number)
    assert topics.read_chunk(topics.chunk(receiver, device, image_id, number), receiver + "x") is None


@given(IDENTITIES)
def test_offer_and_status_topics_are_read_back(identity: str) -> None:
    topics = Topics()
    assert topics.read_offer(topics.offer(identity)) == identity
    assert topics.read_status(topics.status(identity)) == identity
    assert topics.read_offer(topics.status(identity)) is None
    assert topics.read_status(topics.offer(identity)) is None


@pytest.mark.parametrize(
    "rest", ["", "/0", f"/dev/{'0' * 32}", f"/dev-1/{'0' * 31}/0", f"/dev-1/{'0' * 32}/01", f"/dev-1/{'G' * 32}/0"]
)
def test_a_malformed_chunk_topic_is_none(rest: str) -> None:
    assert Topics().read_chunk(f"edge/v1/rx/receiver-1{rest}", "receiver-1") is None


def test_a_prefix_is_no_pattern() -> None:
    assert Topics("a.c").read_offer("abc/offer/device-1") is None


def test_offers_are_shared_in_a_group_only() -> None:
    assert Topics().offers() == "edge/v1/offer/+"
    assert Topics().offers("night") == "$share/night/edge/v1/offer/+"


@given(st.sets(st.integers(0, 300), max_size=200).map(sorted))
def test_ranges_name_exactly_the_first_numbers(numbers: list[int]) -> None:
    ranges = ranges_of(numbers)
    named = [number for first, end in ranges for number in range(first, end)]
    assert len(ranges) <= protocol.RANGES_MAX
    assert named == numbers[: len(named)]
    assert named == numbers or len(ranges) == protocol.RANGES_MAX
    assert all(end < first for (_, end), (first, _) in itertools.pairwise(ranges))


@given(st.integers(0, 2**50), st.integers(protocol.CHUNK_MIN_BYTES, protocol.CHUNK_MAX_BYTES))
def test_chunks_cover_the_bulk_and_no_more(bulk: int, chunk: int) -> None:
    count = chunk_count(bulk, chunk)
    assert (count - 1) * chunk < bulk <= count * chunk
