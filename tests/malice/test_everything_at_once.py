"""All of it at once, over a real broker."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from edge.intake.ledger import FileState
from edge.transport.mqtt import MqttTransport
from tests.brokers import HOST, Mosquitto
from tests.malice.adversary import MEGABYTE
from tests.transport.worlds import settings
from tests.world import Hospital, RunningDaemon, RunningReceiver, Site, png, until

ROOT = Path(__file__).resolve().parents[2]


@contextmanager
def flooded(broker: Mosquitto) -> Iterator[subprocess.Popen[bytes]]:
    """Let somebody say all that he can, as fast as he can."""
    process = subprocess.Popen([sys.executable, "-m", "tests.malice.flood", HOST, str(broker.port)], cwd=ROOT)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


@pytest.mark.mosquitto
def test_images_arrive_beside_a_client_that_floods_every_topic(tmp_path: Path) -> None:
    site, hospital = Site(tmp_path / "device"), Hospital(tmp_path / "hospital", settings={"transfer.stall": 0.5})
    plains = [png(f"scan {number}", 400_000) for number in range(4)]
    with Mosquitto(tmp_path / "broker") as broker:
        receiving, sending = MqttTransport(settings(broker.url)), MqttTransport(settings(broker.url))
        with RunningReceiver(hospital, receiving) as receiver, flooded(broker) as process:
            until(lambda: receiver.counts.rejected > 100)
            before = psutil.Process().memory_info().rss
            for number, plain in enumerate(plains):
                site.scan(f"{number}.png", plain)
            with RunningDaemon(site, sending):
                until(lambda: list(site.states().values()) == [FileState.DISPOSED] * 4, seconds=100)
            grown = psutil.Process().memory_info().rss - before
            assert process.poll() is None
        assert hospital.contents() == sorted(plains)
        assert receiver._loop.counts.faults == 0
        assert receiver._loop.counts.unexpected > 0
        assert receiver._loop.counts.malformed > 0
        # The inbox of either end may be full of chunks, and an image is enciphered and deciphered meanwhile.
        assert grown < 200 * MEGABYTE
