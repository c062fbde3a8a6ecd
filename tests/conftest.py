"""Fixtures that more than one part of the suite needs."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.transfer.duo import Duo
from tests.world import Hospital, RunningReceiver, Site

# How long an example takes is no property of the code: benchmarks measure speed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SHARED_IMAGES = Path(__file__).resolve().parent.parent.parent / "shared" / "images"


@pytest.fixture(scope="session")
def shared_images() -> Path:
    """The folder of real images beside the checkout; tests that need it skip by name where it is absent."""
    if not (SHARED_IMAGES / "MANIFEST.csv").is_file():
        pytest.skip("real images are absent: ../shared/images")
    return SHARED_IMAGES


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """Undo what a command line that ran inside this process did to the loggers."""
    loggers = [logging.getLogger(name) for name in ("edge", "")]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    yield
    for each, handlers, level, propagate in before:
        each.handlers[:], each.propagate = handlers, propagate
        each.setLevel(level)


@pytest.fixture
def broker() -> MemoryBroker:
    """A broker."""
    return MemoryBroker()


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A device beside a scanner."""
    return Site(tmp_path / "device")


@pytest.fixture
def hospital(tmp_path: Path) -> Hospital:
    """A hospital whose receiver does not run yet."""
    return Hospital(tmp_path / "hospital")


@pytest.fixture
def receiving(hospital: Hospital, broker: MemoryBroker) -> Iterator[Hospital]:
    """A hospital whose receiver runs."""
    with RunningReceiver(hospital, MemoryTransport(broker)):
        yield hospital


@pytest.fixture
def duo(tmp_path: Path, broker: MemoryBroker) -> Iterator[Duo]:
    """A device and a hospital whose receiver does not run yet, stepped in turn by the test."""
    duo = Duo(tmp_path, broker)
    yield duo
    duo.close()
