"""The metadata map: what is written comes back the same, and every malformed field is refused with one error."""

from __future__ import annotations

import dataclasses
import struct
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge import protocol
from edge.envelope import metadata, wire
from edge.envelope.metadata import Metadata
from edge.errors import MalformedEnvelope
from edge.records import (
    CaptureSource,
    CaptureTime,
    ChaosParameters,
    CipherImage,
    Domain,
    FeatureNetworkName,
    FeatureVector,
    KeyFileMode,
    MapName,
    NetworkName,
    PixelImage,
    Quantiser,
)
from tests.envelope import independent

FILE = Metadata(
    name=b"image.dcm",
    folder=b"day/ward",
    media_type="application/dicom",
    size=1000,
    sha256=bytes(range(32)),
    mtime_ns=1_700_000_000_123_456_789,
    capture=CaptureTime(datetime(2023, 11, 14, 22, 13, 20, 5, tzinfo=UTC), CaptureSource.DICOM_ACQUISITION),
    cipher=CipherImage(
        parameters=ChaosParameters(
            map=MapName.LORENZ,
            values=(10.0, 30.0, 2.75),
            origin="network",
            network=NetworkName.RESNET18,
            model_sha256=bytes(32),
            profile="x86",
        ),
        layout=(1000, 3, 8),
        domain=Domain.FILE,
        key_file=KeyFileMode.COMPACT,
        secret=bytes(range(32)),
    ),
    camera="Maker Model",
    width=640,
    height=480,
    notes=("odd", "odder"),
)
PIXELS = dataclasses.replace(
    FILE,
    cipher=CipherImage(
        parameters=ChaosParameters(map=MapName.LOGISTIC, values=(3.99995,), origin="secret"),
        layout=(140, 7, 2),
        domain=Domain.PIXELS,
        key_file=KeyFileMode.EXPLICIT,
        secret=None,
    ),
    pixels=PixelImage((2, 5, 7, 1), "u2", "MONOCHROME2", {"icc": b"\x00", "exif": b""}),
)

HYPER = dataclasses.replace(
    FILE,
    cipher=CipherImage(
        parameters=ChaosParameters(
            map=MapName.HYPERLORENZ_DNA,
            values=(4.25, 13.0, 50.75, 23.25, 43.0, 201.0),
            origin="network",
            network=FeatureNetworkName.VGG16,
            model_sha256=b"f" * 32,
            profile="arm",
            pattern=bytes(range(125)),
            quantiser=Quantiser.WIDE,
        ),
        layout=(1000, 3, 8),
        domain=Domain.FILE,
        key_file=KeyFileMode.COMPACT,
        secret=bytes(range(32)),
    ),
    features=FeatureVector(bytes(range(250)) * 4, FeatureNetworkName.VGG16, b"f" * 32, "arm"),
)

ZONES = st.none() | st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
TEXT = st.text(max_size=40)
SIZES = st.integers(0, 2**32)


DIGESTS = st.binary(min_size=32, max_size=32)
FEATURES = st.builds(
    FeatureVector,
    values=st.binary(min_size=1000, max_size=1000),
    network=st.sampled_from(FeatureNetworkName),
    model_sha256=DIGESTS,
    profile=TEXT,
)


@st.composite
def any_parameters(draw, features: FeatureVector | None) -> ChaosParameters:
    chaotic_map = draw(st.sampled_from(MapName))
    count = {MapName.LOGISTIC: 1, MapName.LORENZ: 3, MapName.HYPERLORENZ_DNA: 6}[chaotic_map]
    values = tuple(draw(st.floats(allow_nan=False, allow_infinity=False)) for _ in range(count))
    if chaotic_map is MapName.HYPERLORENZ_DNA:
        return ChaosParameters(
            map=chaotic_map,
            values=values,
            origin="secret" if features is None else "network",
            network=features.network if features else None,
            model_sha256=features.model_sha256 if features else None,
            profile=features.profile if features else "",
            pattern=draw(st.binary(min_size=125, max_size=125)),
            quantiser=draw(st.sampled_from(Quantiser)),
        )
    network = draw(st.none() | st.sampled_from(NetworkName))
    return ChaosParameters(
        map=chaotic_map,
        values=values,
        origin="secret" if network is None else "network",
        network=network,
        model_sha256=None if network is None else draw(DIGESTS),
        profile="" if network is None else draw(TEXT),
    )


@st.composite
def any_metadata(draw) -> Metadata:
    features = draw(st.none() | FEATURES)
    explicit, pixels = draw(st.booleans()), draw(st.booleans())
    shape = draw(st.tuples(*[st.integers(1, 2**32)] * 4))
    dtype = draw(st.sampled_from(["u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"]))
    return Metadata(
        name=draw(st.binary(min_size=1, max_size=255)),
        folder=draw(st.binary(max_size=255)),
        media_type=draw(TEXT),
        size=draw(st.integers(0, 2**40)),
        sha256=draw(st.binary(min_size=32, max_size=32)),
        mtime_ns=draw(st.integers(-(2**63), 2**63 - 1)),
        capture=CaptureTime(draw(st.datetimes(timezones=ZONES)), draw(st.sampled_from(CaptureSource))),
        cipher=CipherImage(
            parameters=draw(any_parameters(features)),
            layout=(draw(st.integers(0, 2**40)), draw(st.integers(0, 2**22)), draw(st.integers(0, 16))),
            domain=Domain.PIXELS if pixels else Domain.FILE,
            key_file=KeyFileMode.EXPLICIT if explicit else KeyFileMode.COMPACT,
            secret=None if explicit else draw(st.binary(min_size=32, max_size=32)),
        ),
        camera=draw(TEXT),
        width=draw(SIZES),
        height=draw(SIZES),
        notes=tuple(draw(st.lists(TEXT, max_size=4))),
        pixels=PixelImage(shape, dtype, draw(TEXT), draw(st.dictionaries(TEXT, st.binary(max_size=30), max_size=3)))
        if pixels
        else None,
        features=features,
    )


@given(any_metadata())
def test_round_trip(value):
    data = metadata.encode(value)
    assert metadata.decode(data) == value
    assert independent.write(independent.read_whole(data)) == data


@pytest.mark.parametrize("value", [FILE, PIXELS, HYPER])
def test_examples_come_back_and_follow_the_document(value):
    data = metadata.encode(value)
    read = independent.read_whole(data)
    assert metadata.decode(data) == value
    assert set(read) == {1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13} | {8 if value is FILE else 9 if value is PIXELS else 14}
    assert read[6] == ["2023-11-14T22:13:20.000005+00:00", "dicom_acquisition"]
    assert struct.unpack(">d", read[7][3][:8])[0] == value.cipher.parameters.values[0]
    assert set(read[7]) - set(range(1, 8)) == ({8} if value is FILE else set() if value is PIXELS else {8, 9, 10})


def test_cipher_b_names_its_features_once():
    read = independent.read_whole(metadata.encode(HYPER))
    assert (read[7][1], read[7][2], read[7][10]) == ("cipher-b/1", "hyperlorenz-dna", "wide")
    assert read[7][9] == bytes(range(125))
    assert read[14] == ["vgg16", b"f" * 32, "arm", bytes(range(250)) * 4]


@pytest.mark.parametrize(
    ("path", "change"),
    [
        ((8,), ["resnet18", bytes(32), "x86"]),  # no parameter network has a part in cipher B
        ((7, 4), "secret"),  # with features V_B is theirs
        ((7, 9), bytes(124)),
        ((7, 9), None),
        ((7, 10), "narrow"),
        ((7, 10), None),
        ((7, 1), "cipher-a/1"),
        ((7, 2), "lorenz"),
        ((7, 3), bytes(24)),
        ((14,), None),
        ((14,), ["vgg16", bytes(32), "arm", bytes(999)]),
        ((14,), ["resnet18", bytes(32), "arm", bytes(1000)]),
        ((14,), ["vgg16", bytes(31), "arm", bytes(1000)]),
        ((14,), ["vgg16", bytes(32), "arm"]),
    ],
)
def test_what_cipher_b_may_not_say_is_refused(path, change):
    read = independent.read_whole(metadata.encode(HYPER))
    place = read if len(path) == 1 else read[path[0]]
    if change is None:
        del place[path[-1]]
    else:
        place[path[-1]] = change
    with pytest.raises(MalformedEnvelope):
        metadata.decode(independent.write(read))


def test_cipher_a_may_carry_features_too():
    value = dataclasses.replace(FILE, features=HYPER.features)
    assert metadata.decode(metadata.encode(value)) == value


MALFORMED: dict[tuple[object, ...], list[object]] = {
    (1,): [b"", bytes(1025), "image.dcm", None, 0],
    (2,): [b"application/dicom", 0, None, "a" * 1025],
    (3,): [-1, 2**40 + 1, "1000", None, b"", [1000]],
    (4,): [bytes(31), bytes(33), "a" * 32, None],
    (5,): [2**63, -(2**63) - 1, "0", None],
    (6,): [
        [],
        ["2023-11-14T22:13:20"],
        ["2023-11-14T22:13:20", "mtime", 0],
        ["", "mtime"],
        ["now", "mtime"],
        ["2023-02-30T00:00:00", "mtime"],
        ["2023-11-14T22:13:20+25:00", "mtime"],
        ["2023-11-14T22:13:20", "guess"],
        ["2023-11-14 22:13:20", "mtime"],
        ["20231114T221320", "mtime"],
        ["2023-11-14T22:13:20Z", "mtime"],
        ["2023-11-14T22:13:20-00:00", "mtime"],
        ["2023-11-14T22:13:20", ["mtime"]],
        [20231114, "mtime"],
        [b"2023-11-14", "mtime"],
        {"2023-11-14T22:13:20": 0, "mtime": 0},
        "ab",
        None,
    ],
    (7,): [{}, [], None, "cipher", list(range(9))],
    (7, 1): ["cipher-b/1", "cipher-a/2", "", 1, None, b"cipher-a/1"],
    (7, 2): ["chen", "", 0, [], None, {}],
    (7, 3): [b"", bytes(8), bytes(23), bytes(32), "a" * 24, struct.pack(">3d", 1, float("inf"), 2), [1, 2, 3]],
    (7, 4): ["guess", "", 0, [], None],
    (7, 5): [[], [1000, 3], [1000, 3, 8, 1], [-1, 3, 8], ["a", 3, 8], {1000: 0, 3: 0, 8: 0}, "abc", b"abc", None],
    (7, 6): ["audio", "", 0, [], None],
    (7, 7): ["derived", "", 0, [], None, "explicit"],
    (7, 8): [bytes(31), bytes(33), "a" * 32, None, b""],
    (7, 9): [0],
    (7, "1"): [0],
    (8,): [None, [], ["resnet18", bytes(32)], ["vgg", bytes(32), ""], ["resnet18", bytes(31), ""], {}, "abc"],
    (8, 0): [None, 5, ["resnet18"], "vgg16"],
    (8, 1): [None, bytes(31), "a" * 32],
    (8, 2): [None, b"", 0, "a" * 1025],
    (10,): ["abc", {"a": 0}, None, [b"a"], [1], [None], ["a" * 1025], b"abc", 0],
    (11,): [b"Maker", None, 0, "a" * 1025],
    (12,): [[], [1], [1, 2, 3], [-1, 0], [0, 2**32 + 1], ["a", "b"], {1: 0, 2: 0}, "ab", None],
    (13,): ["day", None, 0, bytes(8193)],
    (14,): [0],
    (0,): [0],
    ("name",): [""],
}
MALFORMED_PIXELS: dict[tuple[object, ...], list[object]] = {
    (9,): [{}, [], None, "u2", [0, 1, 2, 3]],
    (9, 1): [
        [],
        [2, 5, 7],
        [2, 5, 7, 1, 1],
        [0, 5, 7, 1],
        [2, -5, 7, 1],
        [2, 5, 2**32 + 1, 1],
        "abcd",
        {1: 0, 2: 0, 3: 0, 4: 0},
    ],
    (9, 2): ["u8", "c8", "", "|u1", "O", 0, None, []],
    (9, 3): [b"", None, 0, "a" * 1025],
    (9, 4): [[], None, "a", {1: b""}, {"icc": "text"}, {"icc": None}, {b"icc": b""}, {"a" * 1025: b""}],
    (9, 5): [0],
}
CASES = [(FILE, path, value) for path, values in MALFORMED.items() for value in values] + [
    (PIXELS, path, value) for path, values in MALFORMED_PIXELS.items() for value in values
]


@pytest.mark.parametrize(("good", "path", "value"), CASES)
def test_a_malformed_field_is_refused(good, path, value):
    changed = independent.read_whole(metadata.encode(good))
    place = changed
    for label in path[:-1]:
        place = place[label]
    place[path[-1]] = value
    with pytest.raises(MalformedEnvelope):
        metadata.decode(_written(changed))


def _written(value: object) -> bytes:
    try:
        return independent.write(value)
    except (ValueError, AttributeError):
        return wire.encode(value)


@pytest.mark.parametrize("label", [1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13])
def test_a_missing_field_is_refused(label):
    changed = independent.read_whole(metadata.encode(FILE))
    del changed[label]
    with pytest.raises(MalformedEnvelope):
        metadata.decode(independent.write(changed))


@pytest.mark.parametrize(("good", "path"), [(FILE, 7), (PIXELS, 7), (PIXELS, 9)])
def test_a_missing_inner_field_is_refused(good, path):
    for label in independent.read_whole(metadata.encode(good))[path]:
        changed = independent.read_whole(metadata.encode(good))
        del changed[path][label]
        with pytest.raises(MalformedEnvelope):
            metadata.decode(independent.write(changed))


def test_every_flipped_bit_is_refused_or_gives_other_metadata():
    data = metadata.encode(FILE)
    for bit in range(8 * len(data)):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            assert metadata.decode(bytes(changed)) != FILE
        except MalformedEnvelope:
            continue


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_with_an_error_of_ours(data):
    with pytest.raises(MalformedEnvelope):
        metadata.decode(data)


@pytest.mark.parametrize(
    "change",
    [
        {"name": b""},
        {"name": bytes(1025)},
        {"folder": bytes(8193)},
        {"camera": "a" * 1025},
        {"camera": "\ud800"},
        {"notes": ("\udfff",)},
        {"size": 2**40 + 1},
        {"mtime_ns": 2**63},
        {"width": -1},
        {"sha256": bytes(20)},
    ],
)
def test_what_a_receiver_would_refuse_is_not_written(change):
    with pytest.raises(MalformedEnvelope):
        metadata.encode(dataclasses.replace(FILE, **change))


def test_metadata_over_its_limit_is_not_written_and_not_read():
    side = {"dicom": bytes(protocol.METADATA_MAX_BYTES)}
    pixels = PixelImage((2, 5, 7, 1), "u2", "MONOCHROME2", side)
    with pytest.raises(MalformedEnvelope, match="limit"):
        metadata.encode(dataclasses.replace(PIXELS, pixels=pixels))
    with pytest.raises(MalformedEnvelope, match="limit"):
        metadata.decode(bytes(protocol.METADATA_MAX_BYTES + 1))
