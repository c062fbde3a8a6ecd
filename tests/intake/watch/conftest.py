"""A scanner's folder, and watchers of it."""

import pytest

from edge.intake.watch import Watcher


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "scanner"
    path.mkdir()
    return path


@pytest.fixture(params=["events", "polling"])
def watcher(request, folder):
    poll = request.param == "polling"
    with Watcher(folder, poll=poll, poll_interval=0.05 if poll else 5.0) as opened:
        yield opened


@pytest.fixture
def by_events(folder):
    with Watcher(folder, poll=False) as opened:
        yield opened
