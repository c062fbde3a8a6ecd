"""Reading what a file says of itself, at one moment for all tests."""

import io
from datetime import UTC, datetime, timedelta, timezone

from edge.intake.capture import read_embedded
from edge.intake.formats import HEAD_BYTES, identify

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


def zone(hours):
    return timezone(timedelta(hours=hours))


def read(data, now=NOW):
    return read_embedded(io.BytesIO(data), len(data), identify(data[:HEAD_BYTES]), now=now)
