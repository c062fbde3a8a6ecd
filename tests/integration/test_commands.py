"""The commands over a real broker as a user meets them: what they print, how they end, and with which exit code."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path

import pytest

from edge.cli import receiver
from tests.brokers import HOST, Mosquitto, free_port
from tests.certificates import LOOPBACK, Authority
from tests.cli.programs import QUICK_DEVICE, Program, run
from tests.integration.ends import RECEIVER_ENV, stored
from tests.world import png, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parent.parent.parent


def test_a_daemon_carries_what_comes_and_ends_cleanly_on_a_signal(
    keys: Path, scans: Path, receiving: Program, tmp_path: Path
) -> None:
    config = keys / "device" / "config.toml"
    with Program(tmp_path / "device.log", "edge-encryptor", "--watch", scans, "--config", config) as device:
        until(lambda: stored(keys) == [png("a")])
        (scans / "b.png").write_bytes(png("b"))
        until(lambda: len(stored(keys)) == 2)
        assert run("edge-encryptor", "--watch", scans, "--config", config, "--once").code == 11
        assert device.stop() == 0
    assert "Traceback" not in device.said
    assert receiving.stop(signal.SIGINT) == 0
    assert "Traceback" not in receiving.said


def test_the_queue_names_every_file_and_why(keys: Path, scans: Path, receiving: Program) -> None:
    (scans / "empty.png").write_bytes(b"")
    config = keys / "device" / "config.toml"
    done = run("edge-encryptor", "--watch", scans, "--config", config, "--once")
    assert (done.code, done.out) == (3, "")
    assert "edge-encryptor: 1 of 2 images arrived, 1 stuck" in done.err
    assert "hint: edge-encryptor queue lists each of them with its reason" in done.err

    shown = json.loads(run("edge-encryptor", "queue", "--json", "--config", config).out)
    assert shown["counts"]["disposed"] == shown["counts"]["stuck"] == 1
    files = {each["file"]: each for each in shown["files"]}
    assert (files["empty.png"]["state"], files["empty.png"]["reason"]) == ("stuck", "empty-file")
    assert files["a.png"]["capture_source"] == "mtime"
    table = run("edge-encryptor", "queue", "--config", config)
    assert table.code == 0
    assert "empty.png" in table.out
    assert "1 disposed, 1 stuck" in table.out

    # What is known is not sent again, and nothing is waited for: not the next rescan either.
    patient = {name: value for name, value in QUICK_DEVICE.items() if not name.endswith("RESCAN")}
    again = run("edge-encryptor", "--watch", scans, "--config", config, "--once", env=patient, timeout=20)
    assert again.code == 3


def test_a_second_receiver_over_the_same_state_is_refused(keys: Path, receiving: Program) -> None:
    until((keys / "receiver" / "state" / "catalogue.sqlite").exists)
    done = run("edge-receiver", "--config", keys / "receiver" / "config.toml")
    assert done.code == 11
    assert "another process holds the state directory" in done.err


def test_a_rejected_image_is_not_delivered_and_named(keys: Path, scans: Path, receiving: Program) -> None:
    until((keys / "receiver" / "state" / "catalogue.sqlite").exists)
    receiving.stop()
    shutil.rmtree(keys / "receiver" / "trust")
    (keys / "receiver" / "trust").mkdir()
    config = keys / "device" / "config.toml"
    log = keys / "again.log"
    with Program(log, "edge-receiver", "--config", keys / "receiver" / "config.toml", env=RECEIVER_ENV):
        done = run("edge-encryptor", "--watch", scans, "--config", config, "--once")
    assert done.code == 3
    [entry] = json.loads(run("edge-encryptor", "queue", "--json", "--config", config).out)["files"]
    assert (entry["state"], entry["reason"]) == ("quarantined", "rejected-unknown-signer")
    assert (scans / "a.png").exists()


def test_a_receiver_with_once_ends_by_itself(
    keys: Path, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # In this process, because a user's ten quiet seconds are long for a test.
    monkeypatch.setattr(receiver, "_ONCE_QUIET_SECONDS", 2.0)
    config = keys / "device" / "config.toml"
    with Program(tmp_path / "device.log", "edge-encryptor", "--watch", scans, "--config", config) as device:
        until(lambda: list((keys / "device" / "state" / "spool").glob("*.spooled")))
        assert receiver.main(["--config", str(keys / "receiver" / "config.toml"), "--once"]) == 0
        assert device.stop() == 0
    assert "1 stored, 0 rejected" in capfd.readouterr().err
    assert stored(keys) == [png("a")]


def test_a_signal_ends_both_ends_while_the_broker_hangs(keys: Path, scans: Path, tmp_path: Path) -> None:
    (scans / "large.png").write_bytes(png("large", 12_000_000))
    with Mosquitto(tmp_path / "hanging") as broker:
        flags = ("--broker", broker.url)
        config = keys / "device" / "config.toml"
        ends = (
            Program(tmp_path / "1.log", "edge-receiver", "--config", keys / "receiver" / "config.toml", *flags),
            Program(tmp_path / "2.log", "edge-encryptor", "--watch", scans, "--config", config, *flags),
        )
        with ends[0], ends[1]:
            until(lambda: list((keys / "receiver" / "state" / "parts").glob("*.part")))
            broker.freeze()
            assert [end.stop(timeout=10) for end in ends] == [0, 0]
        broker.thaw()


@pytest.mark.parametrize("program", ["edge-encryptor", "edge-receiver"])
def test_without_a_broker_a_plain_sentence_and_a_hint_appear_and_a_signal_ends_it(
    keys: Path, scans: Path, tmp_path: Path, program: str
) -> None:
    folder, flags = ("device", ("--watch", scans, "--once")) if program == "edge-encryptor" else ("receiver", ())
    url = f"mqtt://{HOST}:{free_port()}"
    log = tmp_path / "log"
    with Program(log, program, *flags, "--config", keys / folder / "config.toml", "--broker", url) as running:
        until(lambda: "nothing listens at the broker's address" in running.said)
        assert "check the broker's address, that it runs, and that no firewall is between" in running.said
        assert running.running
        if program == "edge-encryptor":
            # Only an image that is waiting can have failed to arrive.
            until(lambda: list((keys / "device" / "state" / "spool").glob("*.spooled")))
        assert running.stop() == (3 if program == "edge-encryptor" else 0)
    assert "Traceback" not in running.said


def test_a_broker_whose_certificate_another_ca_signed_is_refused_by_name(
    keys: Path, scans: Path, tmp_path: Path
) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    with Mosquitto(tmp_path / "tls", server=theirs.issue("broker", hosts=LOOPBACK)) as broker:
        env = {**QUICK_DEVICE, "EDGE_ENCRYPTOR_BROKER_CA_FILE": str(ours.ca_file)}
        config = keys / "device" / "config.toml"
        arguments = ("--watch", scans, "--once", "--config", config, "--broker", broker.url)
        with Program(tmp_path / "device.log", "edge-encryptor", *arguments, env=env) as device:
            until(lambda: "certificate" in device.said)
            assert "check [broker] ca_file" in device.said
            until(lambda: list((keys / "device" / "state" / "spool").glob("*.spooled")))
            assert device.stop() == 3
    assert "Traceback" not in device.said
    [entry] = json.loads(run("edge-encryptor", "queue", "--json", "--config", config).out)["files"]
    assert entry["state"] == "sealed"  # nothing is lost: it waits in the spool


def test_images_cross_over_mutual_tls_under_the_documented_access_list(keys: Path, scans: Path, tmp_path: Path) -> None:
    acl = (ROOT / "docs" / "mosquitto.acl").read_text()
    authority = Authority(tmp_path / "ca")
    server = authority.issue("broker", hosts=LOOPBACK)
    with Mosquitto(tmp_path / "tls", server=server, client_ca_file=authority.ca_file, acl=acl) as broker:
        env = {}
        for prefix, name in (("EDGE_ENCRYPTOR", "xray-1"), ("EDGE_RECEIVER", "hospital")):
            certificate = authority.issue(name)
            env[f"{prefix}_BROKER_CA_FILE"] = str(authority.ca_file)
            env[f"{prefix}_BROKER_CERT_FILE"] = str(certificate.cert_file)
            env[f"{prefix}_BROKER_KEY_FILE"] = str(certificate.key_file)
            env[f"{prefix}_BROKER_URL"] = broker.url
            env[f"{prefix}_BROKER_PREFIX"] = "edge/v1"
        config = keys / "receiver" / "config.toml"
        with Program(tmp_path / "receiver.log", "edge-receiver", "--config", config, env=env):
            done = run(
                "edge-encryptor",
                *("--watch", scans, "--once", "--config", keys / "device" / "config.toml"),
                env={**QUICK_DEVICE, **env},
            )
            assert done.code == 0, done.err
    assert stored(keys) == [png("a")]


def test_what_was_on_its_way_survives_a_broker_that_is_killed(keys: Path, scans: Path, tmp_path: Path) -> None:
    images = {f"{number}.png": png(str(number), 3_000_000) for number in range(4)}
    for name, data in images.items():
        (scans / name).write_bytes(data)
    with Mosquitto(tmp_path / "fragile") as broker:
        flags = ("--broker", broker.url)
        receiver = (tmp_path / "receiver.log", "edge-receiver", "--config", keys / "receiver" / "config.toml")
        device = (
            tmp_path / "device.log",
            "edge-encryptor",
            "--watch",
            scans,
            "--config",
            keys / "device" / "config.toml",
        )
        with Program(*receiver, *flags, env=RECEIVER_ENV), Program(*device, *flags):
            until(lambda: list((keys / "receiver" / "state" / "parts").glob("*.part")))
            broker.kill()
            broker.start()
            until(lambda: len(stored(keys)) == 5)
    assert stored(keys) == sorted([png("a"), *images.values()])


@pytest.mark.parametrize("end", ["edge-encryptor", "edge-receiver"])
def test_an_end_that_is_killed_in_the_middle_goes_on_where_it_was(
    keys: Path, scans: Path, tmp_path: Path, end: str
) -> None:
    image = png("large", 12_000_000)
    (scans / "large.png").write_bytes(image)
    arguments: dict[str, tuple[str | Path, ...]] = {
        "edge-receiver": ("--config", keys / "receiver" / "config.toml"),
        "edge-encryptor": ("--watch", scans, "--config", keys / "device" / "config.toml"),
    }
    other = next(name for name in arguments if name != end)
    with Program(tmp_path / "other.log", other, *arguments[other], env={**QUICK_DEVICE, **RECEIVER_ENV}):
        with Program(tmp_path / "killed.log", end, *arguments[end], env={**QUICK_DEVICE, **RECEIVER_ENV}) as killed:
            until(lambda: list((keys / "receiver" / "state" / "parts").glob("*.part")) or stored(keys))
            killed.stop(signal.SIGKILL)
        with Program(tmp_path / "again.log", end, *arguments[end], env={**QUICK_DEVICE, **RECEIVER_ENV}):
            until(lambda: len(stored(keys)) == 2)
    assert stored(keys) == sorted([png("a"), image])
