"""The 100,000 metadata records on which the parameter networks are judged.

The rule kept here: no two records are alike, and each family varies what a scanner's stream really varies: seconds,
milliseconds, days, decades, with and without fractions of a second, zone, camera and sizes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice, product
from typing import Final

from edge.records import MetadataRecord

RECORDS: Final = 100_000

_CAMERA: Final = MetadataRecord(
    moment=datetime(2024, 2, 29, 6, 0, tzinfo=timezone(timedelta(hours=1))),
    camera="Example CR-2",
    width=2592,
    height=1944,
    size=1_843_200,
)
_BARE: Final = MetadataRecord(moment=datetime(2019, 7, 1), camera="", width=0, height=0, size=0)  # noqa: DTZ001 - naive
_DECADES: Final = range(1980, 2080, 10)


@dataclass(frozen=True, slots=True)
class Family:
    """Records of one kind. In a `consecutive` family each record is a second after the one before."""

    name: str
    records: tuple[MetadataRecord, ...]
    consecutive: bool


def families(count: int = RECORDS) -> tuple[Family, ...]:
    """Return the families, `count` records in all.

    Args:
        count: How many, a multiple of 10, at most 100,000.

    Raises:
        ValueError: It is none of these.
    """
    if count % 10 or not 0 < count <= RECORDS:
        raise ValueError("the records must be a multiple of 10, at most 100,000")
    share = count // 10
    second = timedelta(seconds=1)
    return (
        Family("consecutive seconds", _series(_CAMERA, second, 4 * share), consecutive=True),
        Family("seconds, nothing else known", _series(_BARE, second, 2 * share), consecutive=True),
        Family(
            "consecutive milliseconds",
            _series(replace(_CAMERA, moment=datetime(2025, 1, 2, 8, tzinfo=UTC)), timedelta(milliseconds=1), 2 * share),
            consecutive=False,
        ),
        Family(
            "consecutive days",
            _series(replace(_CAMERA, moment=datetime(1999, 1, 1, 12)), timedelta(days=1), share),  # noqa: DTZ001 - naive
            consecutive=False,
        ),
        Family("decades, months, days, hours", _decades(share), consecutive=False),
    )


def _series(first: MetadataRecord, step: timedelta, count: int) -> tuple[MetadataRecord, ...]:
    return tuple(replace(first, moment=first.moment + number * step) for number in range(count))


def _decades(count: int) -> tuple[MetadataRecord, ...]:
    moments = product(range(1, 29), range(1, 13), (7, 13, 19), _DECADES)
    return tuple(
        replace(_CAMERA, moment=datetime(year, month, day, hour, 30))  # noqa: DTZ001 - naive
        for day, month, hour, year in islice(moments, count)
    )
