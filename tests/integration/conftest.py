"""One mosquitto and one receiver, both as processes, for all tests of this folder; devices come and go."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.cli.programs import Program
from tests.integration.ends import DEVICES, RECEIVER, RECEIVER_ENV, Ends
from tests.world import png


@pytest.fixture(scope="session")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """A stock mosquitto."""
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture(scope="session")
def ends(tmp_path_factory: pytest.TempPathFactory, broker: Mosquitto) -> Iterator[Ends]:
    """A running receiver, and devices that it trusts."""
    root = tmp_path_factory.mktemp("ends")
    for device in DEVICES:
        provision(device=device, receiver=RECEIVER, out=root / "keys", broker=broker.url)
    ends = Ends(root, broker.url)
    env = {"EDGE_RECEIVER_LOG_LEVEL": "debug", "EDGE_RECEIVER_TRANSFER_STALL": "2"}
    log = root / "receiver.log"
    with Program(log, "edge-receiver", "--config", ends.receiver_config, "--store", ends.store, env=env):
        yield ends


@pytest.fixture
def keys(tmp_path: Path, broker: Mosquitto) -> Path:
    """A device and a receiver of their own, with topics of their own."""
    keys = tmp_path / "keys"
    provision(device="xray-1", receiver="hospital", out=keys, broker=broker.url)
    for name in ("device", "receiver"):
        config = keys / name / "config.toml"
        text = config.read_text()
        assert 'prefix = "edge/v1"' in text
        prefix = f"test-{tmp_path.name}".replace("_", "-")[:40]
        config.write_text(text.replace('#prefix = "edge/v1"', f'prefix = "{prefix}"'))
    return keys


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A scanner's folder with one image."""
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "a.png").write_bytes(png("a"))
    return scans


@pytest.fixture
def receiving(keys: Path, tmp_path: Path) -> Iterator[Program]:
    """A running receiver."""
    config = keys / "receiver" / "config.toml"
    with Program(tmp_path / "receiver.log", "edge-receiver", "--config", config, env=RECEIVER_ENV) as program:
        yield program
