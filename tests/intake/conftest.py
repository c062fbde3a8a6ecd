"""Fixtures of the tests of intake."""

import pytest

from edge.intake.ledger import Ledger


@pytest.fixture
def ledger(tmp_path):
    with Ledger.open(tmp_path / "ledger.sqlite") as opened:
        yield opened
