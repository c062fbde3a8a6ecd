"""Run the transport contract on the fake, on mosquitto in both protocol versions, and on the demo's broker."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.brokers import Amqtt, Mosquitto
from tests.transport.contract import TransportContract, World
from tests.transport.worlds import MemoryWorld, RealWorld


class TestMemory(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = MemoryWorld()
        yield world
        world.close()


@pytest.mark.mosquitto
class TestMosquitto(TransportContract):
    @pytest.fixture(params=["5", "3.1.1"])
    def world(self, request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
        world = RealWorld(Mosquitto(tmp_path), request.param)
        yield world
        world.close()


class TestAmqtt(TransportContract):
    @pytest.fixture
    def world(self) -> Iterator[World]:
        world = RealWorld(Amqtt(), Amqtt.PROTOCOL)
        yield world
        world.close()
