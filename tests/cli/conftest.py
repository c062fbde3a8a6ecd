"""Keys of two sites, made once, and a desk at one of them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from firmware_tools.provision import provision
from tests.cli.desk import Desk


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of two receivers that know nothing of each other."""
    root = tmp_path_factory.mktemp("keys")
    for name in ("site", "elsewhere"):
        provision(device="xray-1", receiver="hospital", out=root / name)
    return root


@pytest.fixture
def desk(keys: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    """A desk, with no settings from the environment."""
    for name in [name for name in os.environ if name.startswith("EDGE_")]:
        monkeypatch.delenv(name)
    return Desk(keys / "site", capfd.readouterr)
