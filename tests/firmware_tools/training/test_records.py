"""The data that the parameter networks learn from: seeded, drawn as devices draw, and no two records alike in answers."""

from datetime import datetime

import numpy as np
import pytest

from edge.chaos.parameters import OUTPUTS
from edge.metadata_image import DIGEST_AT, FIELDS, metadata_fields, metadata_image
from edge.records import MetadataRecord
from firmware_tools.training.records import RADIX, camera_fields, images, random_fields, targets

RECORD = MetadataRecord(datetime(2026, 3, 14, 15, 9, 26), "Canon CR-2", 2048, 1536, 3_145_728)


def generator(seed=1):
    return np.random.default_rng(seed)


@pytest.mark.parametrize("draw", [random_fields, camera_fields])
def test_records_follow_from_the_seed(draw):
    one, same, other = (draw(generator(seed), 50) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_records_of_cameras_are_such_that_could_be_written():
    fields = camera_fields(generator(), 500)
    assert fields.dtype == np.uint8
    assert fields[:, :DIGEST_AT].max() <= 9
    assert fields.max() == 15
    months, days, hours, seconds = (fields[:, at] * 10 + fields[:, at + 1] for at in (4, 6, 8, 12))
    assert (months.min(), months.max()) == (1, 12)
    assert (days.min(), days.max()) == (1, 31)
    assert hours.max() == 23
    assert seconds.max() <= 59


def test_half_of_the_records_hold_any_digits():
    fields = random_fields(generator(), 4000)
    assert (fields < RADIX).all()
    for field, radix in enumerate(RADIX):
        assert set(np.unique(fields[1::2, field])) == set(range(radix))


def test_training_images_are_those_a_device_draws():
    fields = metadata_fields(RECORD)[None]
    drawn = images(fields)[0]
    assert np.array_equal(np.round(drawn * 255).astype(np.uint8), metadata_image(RECORD).pixels)
    assert (drawn.dtype, drawn.min(), drawn.max()) == (np.float32, 0, 1)


@pytest.mark.parametrize("side", [112, 56])
def test_smaller_images_are_means_of_blocks(side):
    fields = metadata_fields(RECORD)[None]
    small, block = images(fields, side)[0], 224 // side
    whole = images(fields)[0].astype(np.float64).reshape(side, block, side, block, 3).mean(axis=(1, 3))
    assert np.abs(small - whole).max() < 1e-6


def test_answers_lie_in_the_unit_interval_and_spread():
    answers = targets(random_fields(generator(), 4000)[1::2])
    assert answers.shape == (2000, OUTPUTS)
    assert answers.min() > 0
    assert answers.max() < 1
    # A uniform answer has 0.289; the mark of the zone has but three symbols.
    assert answers.std(axis=0).min() > 0.23


@pytest.mark.parametrize("field", range(FIELDS))
def test_each_field_leads_one_answer_and_moves_no_more_than_two_others(field):
    rows = random_fields(generator(field), 100)
    rows[:, field] = 0
    other = rows.copy()
    other[:, field] = 1
    moved = targets(other) - targets(rows)
    assert moved[:, field] == pytest.approx(np.full(100, 1 / RADIX[field]), abs=1e-6)
    assert (np.abs(moved).max(axis=0) > 1e-7).sum() == 3


def test_records_that_differ_in_one_digit_have_answers_that_a_byte_tells_apart():
    row = random_fields(generator(), 1)
    for field, radix in enumerate(RADIX):
        other = row.copy()
        other[0, field] = (other[0, field] + 1) % radix
        assert np.abs(targets(other) - targets(row)).max() > 1 / 20
