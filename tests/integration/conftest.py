"""One mosquitto and one receiver, both as processes, for all tests of this folder; devices come and go."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.cli.programs import Program
from tests.integration.ends import DEVICES, RECEIVER, Ends


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
