"""What the tests of the store share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.archive import Archive
from tests.archive.storing import opened


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty store with its catalogue."""
    with opened(tmp_path) as archive:
        yield archive
