"""One launcher, one mosquitto and one set of keys for all fault tests of a run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.faults.stage import Launcher, Stage


@pytest.fixture(scope="session")
def launcher() -> Iterator[Launcher]:
    """Give what starts the programs."""
    launcher = Launcher()
    yield launcher
    launcher.close()


@pytest.fixture(scope="session")
def mosquitto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    """Give a stock broker."""
    with Mosquitto(tmp_path_factory.mktemp("mosquitto")) as running:
        yield running


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Keys of a device and its receiver."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    provision(device="xray-1", receiver="hospital", out=keys)
    provision(device="xray-1", receiver="hospital", out=keys.with_name("elsewhere"))
    other = keys.with_name("elsewhere") / "receiver" / "receiver.wrap.key"
    shutil.copy(other, keys / "receiver" / "elsewhere.wrap.key")
    return keys


@pytest.fixture
def stage(tmp_path: Path, keys: Path, launcher: Launcher, mosquitto: Mosquitto) -> Callable[[], Stage]:
    """Give a maker of stages."""
    made: list[Stage] = []

    def make() -> Stage:
        made.append(Stage.of(tmp_path / f"stage-{len(made)}", keys, launcher, mosquitto))
        return made[-1]

    return make
