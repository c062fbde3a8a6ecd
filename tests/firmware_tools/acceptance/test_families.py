"""The records on which networks are judged: as many as asked for, all different, each family varying what it says."""

import numpy as np
import pytest

from edge.metadata_image import metadata_fields
from firmware_tools.acceptance.families import RECORDS, families

SOME = families(2000)


def test_there_are_as_many_records_as_asked_for_and_no_two_alike():
    rows = [metadata_fields(record).tobytes() for family in SOME for record in family.records]
    assert len(rows) == len(set(rows)) == 2000


@pytest.mark.slow
def test_all_hundred_thousand_records_are_different():
    rows = {metadata_fields(record).tobytes() for family in families() for record in family.records}
    assert len(rows) == RECORDS == 100_000


def test_consecutive_families_go_second_by_second():
    for family in SOME:
        steps = {
            (b.moment - a.moment).total_seconds() for a, b in zip(family.records, family.records[1:], strict=False)
        }
        assert (steps == {1.0}) == family.consecutive


def test_records_come_with_and_without_fractions_zones_cameras_and_sizes():
    records = [record for family in SOME for record in family.records]
    for share in (
        np.mean([record.moment.microsecond > 0 for record in records]),
        np.mean([record.moment.tzinfo is not None for record in records]),
        np.mean([bool(record.camera) for record in records]),
        np.mean([record.size > 0 for record in records]),
    ):
        assert 0.1 < share < 0.9
    assert {record.moment.year // 10 for record in records} >= set(range(198, 208))


@pytest.mark.parametrize("count", [0, 5, -10, 100_010])
def test_another_number_is_refused(count):
    with pytest.raises(ValueError, match="multiple of 10"):
        families(count)
