"""Both programs as services: they stop within their grace, reload whole or not at all, and answer to a supervisor."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edge.config import DeviceConfig
from edge.transport.base import BrokerAddress, BrokerSettings
from edge.transport.mqtt import MqttTransport
from tests.brokers import Mosquitto
from tests.cli.programs import QUICK_DEVICE, Program, run
from tests.integration.ends import RECEIVER_ENV, stored
from tests.world import png, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

HUGE_BYTES = 3 << 30
"""A sparse file of this size takes no room, and longer to seal than any stop may take."""


def set_up(config: Path, **tables: dict[str, object]) -> None:
    """Write settings into a configuration, each under its table, in the place of what stands there."""
    lines = config.read_text().splitlines()
    for table, settings in tables.items():
        for key, value in settings.items():
            lines = [line for line in lines if not line.lstrip("#").startswith(f"{key} = ")]
            at = lines.index(f"[{table}]")
            lines.insert(at + 1, f"{key} = {json.dumps(value)}")
    config.write_text("\n".join(lines) + "\n")


class Statuses:
    """What the two ends say of themselves on the broker."""

    def __init__(self, transport: MqttTransport) -> None:
        self._transport = transport
        self._last: dict[str, dict[str, Any]] = {}

    def of(self, identity: str) -> dict[str, Any]:
        """Return the last status of one end; nothing where it has said nothing yet."""
        while (message := self._transport.receive(0.0)) is not None:
            status = json.loads(message.payload)
            self._last[status["id"]] = status
        return self._last.get(identity, {})


@pytest.fixture
def statuses(keys: Path, broker: Mosquitto) -> Iterator[Statuses]:
    """A subscriber to both ends' statuses."""
    prefix = DeviceConfig.load(keys / "device" / "config.toml", environ={}, overrides={}).broker.prefix
    transport = MqttTransport(BrokerSettings(address=BrokerAddress.parse(broker.url), client_id_prefix="onlooker"))
    transport.subscribe(f"{prefix}/status/+")
    transport.start()
    assert transport.wait_subscribed(10)
    yield Statuses(transport)
    transport.stop()


@pytest.fixture
def device(keys: Path, scans: Path, tmp_path: Path) -> Iterator[Program]:
    """A running device whose configuration names its folder."""
    config = keys / "device" / "config.toml"
    set_up(config, watch={"folder": str(scans)})
    with Program(tmp_path / "device.log", "edge-encryptor", "--config", config) as program:
        yield program
        assert "Traceback" not in program.said


def test_sighup_puts_a_new_configuration_to_use(keys: Path, scans: Path, receiving: Program, device: Program) -> None:
    until(lambda: stored(keys) == [png("a")])
    elsewhere = scans.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.png").write_bytes(png("b"))
    set_up(keys / "device" / "config.toml", watch={"folder": str(elsewhere)})
    device.send(signal.SIGHUP)
    until(lambda: stored(keys) == sorted([png("a"), png("b")]))
    assert "reloading: configuration and keys were read again" in device.said
    (scans / "c.png").write_bytes(png("c"))
    (elsewhere / "d.png").write_bytes(png("d"))
    until(lambda: len(stored(keys)) == 3)
    assert png("d") in stored(keys)
    assert device.stop() == 0


@pytest.mark.usefixtures("receiving")
@pytest.mark.parametrize(
    ("broken", "reason"),
    [
        ("[device]\nid = 7\n", "id must be"),
        # What only shows when it is put to use.
        ({"device": {"state": "/dev/null/state"}}, "something that is no folder is in the way"),
        ({"device": {"key_file": "no-such.key"}}, "key"),
    ],
    ids=["a wrong value", "an impossible folder", "a missing key"],
)
def test_a_configuration_that_cannot_be_used_leaves_the_old_one_running(
    keys: Path,
    device: Program,
    statuses: Statuses,
    broken: str | dict[str, dict[str, object]],
    reason: str,
) -> None:
    until(lambda: stored(keys) == [png("a")])
    config = keys / "device" / "config.toml"
    good = config.read_text()
    if isinstance(broken, str):
        config.write_text(broken)
    else:
        set_up(config, **broken)
    device.send(signal.SIGHUP)
    until(lambda: "not reloaded, the old configuration stays" in device.said)
    assert reason in device.said
    (keys.parent / "scans" / "b.png").write_bytes(png("b"))
    until(lambda: len(stored(keys)) == 2)
    until(lambda: statuses.of("xray-1").get("alarms") == ["configuration-refused"])

    config.write_text(good)
    device.send(signal.SIGHUP)
    until(lambda: statuses.of("xray-1").get("alarms") == [])
    (keys.parent / "scans" / "c.png").write_bytes(png("c"))
    until(lambda: len(stored(keys)) == 3)
    assert device.stop() == 0


def test_a_receiver_reloads_whom_it_trusts(keys: Path, scans: Path, receiving: Program, device: Program) -> None:
    until(lambda: stored(keys) == [png("a")])
    [trusted] = (keys / "receiver" / "trust").iterdir()
    kept = trusted.read_bytes()
    trusted.unlink()
    receiving.send(signal.SIGHUP)
    until(lambda: "reloading" in receiving.said)
    (scans / "b.png").write_bytes(png("b"))
    until(lambda: "unknown-signer" in receiving.said)
    assert stored(keys) == [png("a")]

    (keys / "receiver" / "config.toml").write_text("nonsense")
    receiving.send(signal.SIGHUP)
    until(lambda: "not reloaded, the old configuration stays" in receiving.said)
    trusted.write_bytes(kept)
    assert receiving.stop() == 0


def queue(config: Path) -> list[dict[str, Any]]:
    """Return what the device's queue lists."""
    done = run("edge-encryptor", "queue", "--json", "--config", config)
    return json.loads(done.out)["files"] if done.code == 0 else []


def test_an_image_that_takes_too_long_is_left_at_a_stop_and_nothing_remains_of_it(
    keys: Path, scans: Path, tmp_path: Path
) -> None:
    (scans / "a.png").unlink()
    with (scans / "huge.png").open("wb") as file:
        file.write(png("huge"))
        file.truncate(HUGE_BYTES)
    config = keys / "device" / "config.toml"
    state = keys / "device" / "state"
    env = {**QUICK_DEVICE, "EDGE_ENCRYPTOR_WATCH_UNKNOWN": "carry", "EDGE_ENCRYPTOR_WATCH_INCOMPLETE": "carry"}
    with Program(tmp_path / "device.log", "edge-encryptor", "--watch", scans, "--config", config, env=env) as device:
        until(lambda: queue(config))
        assert device.stop(timeout=10) == 0
    assert "the image in hand is left; the next start takes it up again" in device.said
    assert [path.name for path in (state / "spool").iterdir() if path.is_file()] == []
    assert list((state / "scratch").iterdir()) == []
    assert [entry["state"] for entry in queue(config)] in (["seen"], ["settled"])


class Supervisor:
    """What listens where systemd would."""

    def __init__(self, folder: Path) -> None:
        self.address = str(folder / "notify")
        self._channel = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._channel.bind(self.address)
        self._channel.setblocking(False)
        self._heard: list[str] = []

    def heard(self) -> list[str]:
        """Return the first line of everything that was said so far."""
        with contextlib.suppress(BlockingIOError):
            while True:
                self._heard.append(self._channel.recv(4096).decode().splitlines()[0])
        return self._heard

    def close(self) -> None:
        """Listen no longer."""
        self._channel.close()


@pytest.mark.parametrize("program", ["edge-encryptor", "edge-receiver"])
def test_a_supervisor_hears_of_start_progress_reload_and_end(
    keys: Path, scans: Path, tmp_path: Path, program: str
) -> None:
    supervisor = Supervisor(tmp_path)
    folder, flags = ("device", ("--watch", scans)) if program == "edge-encryptor" else ("receiver", ())
    config = keys / folder / "config.toml"
    env = {**QUICK_DEVICE, **RECEIVER_ENV, "NOTIFY_SOCKET": supervisor.address}
    with Program(tmp_path / "log", program, *flags, "--config", config, env=env) as running:
        until(lambda: "READY=1" in supervisor.heard())
        until(lambda: "WATCHDOG=1" in supervisor.heard())
        running.send(signal.SIGHUP)
        until(lambda: supervisor.heard().count("READY=1") == 2)
        assert running.stop() == 0
    heard = [each for each in supervisor.heard() if each != "WATCHDOG=1"]
    supervisor.close()
    assert heard == ["READY=1", "RELOADING=1", "READY=1", "STOPPING=1"]
