"""The adversary's mouth."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from edge.transport.memory import MemoryBroker
from tests.world import UnhurriedTransport, connected


@pytest.fixture
def mouth(broker: MemoryBroker) -> Iterator[UnhurriedTransport]:
    """What the adversary speaks through."""
    mouth = connected(broker)
    yield mouth
    mouth.stop()
