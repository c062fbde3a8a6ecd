"""The real commands over a line that loses one packet in twenty and delays the others by half a second."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from firmware_tools.provision import provision
from tests.brokers import Mosquitto
from tests.cli.programs import QUICK_DEVICE, Program
from tests.faults.lossy import FAR, LossyLine
from tests.world import png, until

pytestmark = pytest.mark.mosquitto


@contextmanager
def _ends(folder: Path, line: LossyLine, images: Mapping[str, bytes]) -> Iterator[tuple[Path, Program, Program]]:
    """Run a broker and a receiver at the far end and a device at the near one; give the store, device and receiver."""
    provision(device="xray-1", receiver="hospital", out=folder / "keys")
    scans, store = folder / "scans", folder / "store"
    scans.mkdir()
    for name, data in images.items():
        (scans / name).write_bytes(data)
    far, near = line.at("far"), line.at("near")
    receiver_config, device_config = (folder / "keys" / end / "config.toml" for end in ("receiver", "device"))
    with Mosquitto(folder / "broker", within=far, host=FAR) as broker:
        receiving = ["--config", receiver_config, "--store", store, "--broker", broker.url]
        sending = ["--watch", scans, "--config", device_config, "--broker", broker.url]
        with (
            Program(folder / "receiver.log", "edge-receiver", *receiving, env={}, within=far) as receiver,
            Program(folder / "device.log", "edge-encryptor", *sending, env=QUICK_DEVICE, within=near) as device,
        ):
            yield store, device, receiver


def _stored(store: Path) -> list[bytes]:
    return sorted(path.read_bytes() for path in store.glob("[!.]*/**/*") if path.is_file())


def _cross(folder: Path, *, images: Mapping[str, bytes], delay: float, loss: float, patience: float) -> None:
    with LossyLine(delay=delay, loss=loss) as line, _ends(folder, line, images) as (store, device, receiver):
        until(lambda: _stored(store) == sorted(images.values()), seconds=patience)
        spool = folder / "keys" / "device" / "state" / "spool"
        until(lambda: not list(spool.glob("*.spooled")), seconds=patience)
        for program in (device, receiver):
            assert program.running
            assert "Traceback" not in program.said
            assert "defect" not in program.said


def test_an_image_crosses_a_line_that_loses_packets(tmp_path: Path) -> None:
    _cross(tmp_path, images={"a.png": png("a", 100_000)}, delay=0.03, loss=0.05, patience=60)


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_images_cross_a_line_of_half_a_second_that_loses_one_packet_in_twenty(tmp_path: Path) -> None:
    images = {f"{number}.png": png(str(number), 100_000 * number) for number in range(1, 4)}
    _cross(tmp_path, images=images, delay=0.5, loss=0.05, patience=580)
