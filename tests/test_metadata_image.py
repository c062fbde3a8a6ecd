"""The metadata image: the same on every platform, and different for records that differ."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.errors import ModelFailed
from edge.metadata_image import FIELDS, draw, metadata_fields, metadata_image
from edge.records import SIDE, MetadataRecord

RECORD = MetadataRecord(
    moment=datetime(2026, 3, 14, 15, 9, 26, 535897), camera="Canon CR-2", width=2048, height=1536, size=3_145_728
)
# Frozen for ever: networks are trained for this very drawing. Another drawing needs another name in ENCODING.
RECORD_SHA256 = "b539c86841517be5758670f55c45e56afd788b8b6449b9b2be5dbc79832d006d"

offsets = st.timedeltas(min_value=-timedelta(hours=23, minutes=59), max_value=timedelta(hours=23, minutes=59))
records = st.builds(
    MetadataRecord,
    moment=st.datetimes(timezones=st.none() | st.builds(timezone, offsets)),
    camera=st.text(max_size=20),
    width=st.integers(0, 10**7 - 1),
    height=st.integers(0, 10**7 - 1),
    size=st.integers(0, 10**13 - 1),
)


def _written(record):
    """What a record says; unlike equality of moments, it tells 12:00 UTC from 13:00 at +01:00."""
    return record, record.moment.replace(tzinfo=None), record.moment.utcoffset()


def _pixels(record):
    return metadata_image(record).pixels


def test_the_drawing_is_frozen():
    assert hashlib.sha256(_pixels(RECORD).tobytes()).hexdigest() == RECORD_SHA256


def test_image_has_the_shape_and_type_of_a_network_input():
    pixels = _pixels(RECORD)
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    assert (pixels.min(), pixels.max()) == (0, 255)


def test_image_is_read_only():
    with pytest.raises(ValueError, match="read-only"):
        _pixels(RECORD)[0, 0, 0] = 1


def _text(record):
    return "".join(f"{digit:x}" for digit in metadata_fields(record))


def test_fields_are_the_digits_of_the_record():
    text = _text(RECORD)
    assert text[:20] == "20260314150926535897"
    assert text[20:25] == "00000"
    assert text[25:52] == "0002048" + "0001536" + "0000003145728"
    assert text[52:] == hashlib.shake_256(b"Canon CR-2" + b"00000000").hexdigest(6)


def test_a_zone_west_of_utc_is_written_with_its_mark():
    west = replace(RECORD, moment=RECORD.moment.replace(tzinfo=timezone(-timedelta(hours=9, minutes=30))))
    assert _text(west)[20:25] == "20930"


def test_what_is_finer_than_a_minute_of_the_zone_goes_into_the_digest():
    fine = timezone(timedelta(hours=9, minutes=30, seconds=7, microseconds=25))
    text = _text(replace(RECORD, moment=RECORD.moment.replace(tzinfo=fine)))
    assert text[20:25] == "10930"
    assert text[52:] == hashlib.shake_256(b"Canon CR-2" + b"07000025").hexdigest(6)


def test_each_field_has_a_tint_of_its_own():
    # With digit zero, cell 15 of red and green and the last bit of blue are unlit paper.
    corners = np.arange(27, SIDE, 28)
    paper = draw(np.zeros((1, FIELDS), dtype=np.uint8))[0][np.ix_(corners, corners)].reshape(-1, 3)
    assert len(np.unique(paper, axis=0)) == FIELDS


@pytest.mark.parametrize("field", range(FIELDS))
def test_every_digit_of_every_field_shows_in_its_own_tile_alone(field):
    fields = np.zeros((16, FIELDS), dtype=np.uint8)
    fields[:, field] = np.arange(16)
    images = draw(fields)
    assert len(np.unique(images.reshape(16, -1), axis=0)) == 16
    changed = (images != images[0]).any(axis=(0, 3))
    rows, columns = np.nonzero(changed)
    assert set(rows // 28) == {field // 8}
    assert set(columns // 28) == {field % 8}


@given(records)
def test_same_record_same_image(record):
    assert np.array_equal(_pixels(record), _pixels(replace(record)))


@given(records, records)
def test_different_records_have_different_images(one, other):
    assert (_written(one) == _written(other)) == np.array_equal(_pixels(one), _pixels(other))


@given(records, st.data())
def test_a_change_of_one_thing_changes_the_image(record, data):
    name = data.draw(st.sampled_from(["moment", "camera", "width", "height", "size"]))
    changed = replace(record, **{name: getattr(data.draw(records), name)})
    assert (_written(record) == _written(changed)) == np.array_equal(_pixels(record), _pixels(changed))


@pytest.mark.parametrize(
    "change",
    [
        {"moment": RECORD.moment + timedelta(microseconds=1)},
        {"moment": RECORD.moment.replace(tzinfo=UTC)},
        {"camera": "Canon CR-1"},
        {"camera": "Canon CR-2 "},
        {"camera": "\ud800"},
        {"width": 2049},
        {"height": 1537},
        {"width": 1536, "height": 2048},
        {"size": 3_145_729},
    ],
)
def test_a_neighbour_has_another_image(change):
    assert not np.array_equal(_pixels(RECORD), _pixels(replace(RECORD, **change)))


def test_one_instant_in_two_zones_gives_two_images():
    utc = replace(RECORD, moment=datetime(2026, 3, 14, 15, tzinfo=UTC))
    paris = replace(RECORD, moment=datetime(2026, 3, 14, 16, tzinfo=timezone(timedelta(hours=1))))
    assert utc.moment == paris.moment
    assert not np.array_equal(_pixels(utc), _pixels(paris))


@pytest.mark.parametrize("change", [{"width": 10**7}, {"height": -1}, {"size": 10**13}])
def test_a_size_that_does_not_fit_is_refused_and_not_named(change):
    with pytest.raises(ModelFailed) as caught:
        metadata_image(replace(RECORD, **change))
    assert str(next(iter(change.values()))) not in caught.value.message
