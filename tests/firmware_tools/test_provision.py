"""Provisioning: what it makes works at once, nothing is overwritten, and a failure leaves nothing behind."""

import json
import shutil
import stat
import subprocess
import sys

import pytest

from edge.config import DeviceConfig, ReceiverConfig
from edge.envelope import seal
from edge.envelope.sign import Manifest, read_manifest, sign_manifest, verify_manifest
from edge.errors import ConfigError, KeyringError, StorageError, UnknownSigner, UsageError
from edge.keyring import DeviceKeyring, ReceiverKeyring
from firmware_tools import provision as module
from firmware_tools.cli import main
from firmware_tools.provision import configuration, provision


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """One site for the whole module: making its RSA key is slow."""
    out = tmp_path_factory.mktemp("provision") / "site"
    made = provision(device="ct-1", receiver="hospital", out=out)
    return out, made


@pytest.fixture
def site(first, tmp_path):
    """A copy of that site for each test to change."""
    return shutil.copytree(first[0], tmp_path / "site")


def device_of(folder):
    config = DeviceConfig.load(folder / "config.toml", environ={}, overrides={})
    return config, DeviceKeyring.load(config)


def receiver_of(folder):
    config = ReceiverConfig.load(folder / "config.toml", environ={}, overrides={})
    return config, ReceiverKeyring.load(config)


def snapshot(folder):
    """Every path below with its mode and content."""
    return {
        path.relative_to(folder): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in folder.rglob("*")
    }


def manifest_of(keyring, *, audience="hospital"):
    manifest = Manifest(
        device=keyring.device_id, audience=audience, issued_at=0, image_id=bytes(16), sequence=1, bulk_bytes=1
    )
    return read_manifest(sign_manifest(manifest, bytes(32), keyring.signer))


# --- what is made ---------------------------------------------------------------------------------------------------


def test_both_ends_load_and_trust_each_other(first):
    out, _ = first
    device_config, device = device_of(out / "device")
    receiver_config, receiver = receiver_of(out / "receiver")
    assert device_config.device.audience == receiver_config.receiver.id == "hospital"
    assert device_config.broker == receiver_config.broker

    signed = manifest_of(device)
    verified = verify_manifest(signed, devices=receiver.devices, audience="hospital", bulk_limit=1)
    assert verified.envelope is signed

    receipt = receiver.signer.sign(b"receipt")
    device.receivers[receiver.signer.kid].verifier.verify(receiver.signer.alg, receipt, b"receipt")

    (recipient,) = device.recipients
    assert receiver.unwrappers[recipient.kid].unwrap(recipient.wrap(bytes(range(32)))) == bytes(range(32))
    assert seal.header(device.recipients, bytes(32))


def test_private_keys_and_folders_are_closed_to_others(first):
    out, _ = first
    modes = {path.relative_to(out).as_posix(): stat.S_IMODE(path.stat().st_mode) for path in (out, *out.rglob("*"))}
    assert all(mode == 0o700 for name, mode in modes.items() if (out / name).is_dir())
    keys = {name for name in modes if name.endswith(".key")}
    assert keys == {"device/device.key", "receiver/receiver.sign.key", "receiver/receiver.wrap.key"}
    assert all(modes[name] == 0o600 for name in keys)


def test_exactly_the_promised_files_are_made(first):
    out, _ = first
    assert {path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file()} == {
        "device/config.toml",
        "device/device.key",
        "device/device.pub.pem",
        "device/trust/hospital.sign.pem",
        "device/trust/hospital.wrap.pem",
        "receiver/config.toml",
        "receiver/receiver.sign.key",
        "receiver/receiver.sign.pub.pem",
        "receiver/receiver.wrap.key",
        "receiver/receiver.wrap.pub.pem",
        "receiver/trust/ct-1.sign.pem",
    }


def test_the_result_names_fingerprints_and_the_next_commands(first):
    out, made = first
    _, device = device_of(out / "device")
    _, receiver = receiver_of(out / "receiver")
    assert list(made.fingerprints.values()) == [
        device.signer.kid.hex(),
        next(iter(receiver.unwrappers)).hex(),
        receiver.signer.kid.hex(),
    ]
    assert made.commands == (
        f"edge-receiver --config {out}/receiver/config.toml",
        f"edge-encryptor --watch FOLDER --config {out}/device/config.toml",
    )


def test_a_larger_key_and_another_broker_are_taken(tmp_path):
    provision(device="ct-1", receiver="hospital", out=tmp_path, broker="mqtts://broker.example", rsa_bits=4096)
    config, device = device_of(tmp_path / "device")
    assert config.broker.url == receiver_of(tmp_path / "receiver")[0].broker.url == "mqtts://broker.example"
    assert len(device.recipients[0].wrap(bytes(32))) == 512


@pytest.mark.parametrize(
    ("config_class", "live"),
    [
        (DeviceConfig, {"device.id": "ct-1", "device.audience": "hospital"}),
        (ReceiverConfig, {"receiver.id": "hospital"}),
    ],
    ids=["device", "receiver"],
)
def test_a_configuration_shows_every_key_and_its_comments_are_the_defaults(config_class, live, tmp_path):
    text = configuration(config_class, live)
    path = tmp_path / "config.toml"
    path.write_text(text)
    as_made = config_class.load(path, environ={}, overrides={})
    # Explanations begin with "# ", keys that are commented out with "#".
    path.write_text("\n".join(line if line.startswith("# ") else line.removeprefix("#") for line in text.splitlines()))
    assert config_class.load(path, environ={}, overrides={}) == as_made
    assert all(f"{key.name.partition('.')[2]} = " in text for key in config_class.describe())
    assert max(map(len, text.splitlines())) <= 120


# --- adding devices -------------------------------------------------------------------------------------------------


def test_a_second_device_is_enrolled_and_the_receiver_keeps_its_keys(site):
    before = snapshot(site)
    made = provision(device="mr-2", receiver="hospital", out=site)
    after = snapshot(site)
    assert not made.receiver_is_new
    assert made.device_folder == str(site / "mr-2")
    assert before.items() <= after.items()

    _, receiver = receiver_of(site / "receiver")
    assert {trusted.id for trusted in receiver.devices.values()} == {"ct-1", "mr-2"}
    for folder in ("device", "mr-2"):
        verify_manifest(
            manifest_of(device_of(site / folder)[1]), devices=receiver.devices, audience="hospital", bulk_limit=1
        )


def test_a_device_takes_the_place_of_one_that_moved_away(site):
    shutil.rmtree(site / "device")
    provision(device="mr-2", receiver="hospital", out=site)
    assert device_of(site / "device")[0].device.id == "mr-2"


def test_a_new_device_takes_over_the_receivers_broker_and_prefix(site):
    path = site / "receiver" / "config.toml"
    text = path.read_text().replace('url = "mqtt://127.0.0.1:1883"', 'url = "mqtt://inside:1999"')
    path.write_text(text.replace('#prefix = "edge/v1"', 'prefix = "site-a/edge/v1"'))
    provision(device="mr-2", receiver="hospital", out=site)
    provision(device="mr-3", receiver="hospital", out=site, broker="mqtt://outside")
    brokers = [device_of(site / name)[0].broker for name in ("mr-2", "mr-3")]
    assert [broker.url for broker in brokers] == ["mqtt://inside:1999", "mqtt://outside"]
    assert [broker.prefix for broker in brokers] == ["site-a/edge/v1"] * 2


def test_devices_of_another_site_are_strangers(site, tmp_path):
    provision(device="ct-1", receiver="hospital", out=tmp_path / "other")
    _, stranger = device_of(tmp_path / "other" / "device")
    _, receiver = receiver_of(site / "receiver")
    with pytest.raises(UnknownSigner):
        verify_manifest(manifest_of(stranger), devices=receiver.devices, audience="hospital", bulk_limit=1)


# --- refusals leave everything as it was ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"device": "ct-1"}, KeyringError, "provisioned there already"),
        ({"device": "receiver"}, KeyringError, "its folder's name is taken"),
        ({"receiver": "clinic"}, UsageError, "the receiver there is hospital, not clinic"),
        ({"device": "CT 1"}, UsageError, "the device's id cannot be a name"),
        ({"receiver": "x"}, UsageError, "the receiver's id cannot be a name"),
        ({"device": "hospital"}, UsageError, "need different ids"),
        ({"broker": "tcp://h"}, UsageError, "--broker must be mqtt://"),
    ],
)
def test_a_refusal_changes_nothing(site, arguments, error, message):
    before = snapshot(site)
    with pytest.raises(error, match=message):
        provision(**{"device": "mr-2", "receiver": "hospital", "out": site} | arguments)
    assert snapshot(site) == before


def test_an_enrolled_id_is_not_enrolled_again(site):
    shutil.rmtree(site / "device")
    before = snapshot(site)
    with pytest.raises(KeyringError, match="has an entry for ct-1"):
        provision(device="ct-1", receiver="hospital", out=site)
    assert snapshot(site) == before


@pytest.mark.parametrize("folder", ["device", "receiver"])
def test_a_foreign_folder_in_the_place_is_refused(tmp_path, folder):
    (tmp_path / folder).mkdir()
    (tmp_path / folder / "notes.txt").write_text("mine")
    before = snapshot(tmp_path)
    with pytest.raises(UsageError, match=f"the folder {folder} is there"):
        provision(device="ct-1", receiver="hospital", out=tmp_path)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [(None, "cannot be read: No such file"), (b"garbage", "not a public key"), ("private", "is a private key")],
    ids=["missing", "garbage", "private"],
)
def test_unusable_public_keys_of_the_receiver_are_refused(site, data, message):
    path = site / "receiver" / "receiver.wrap.pub.pem"
    if data is None:
        path.unlink()
    else:
        path.write_bytes((site / "receiver" / "receiver.wrap.key").read_bytes() if data == "private" else data)
    before = snapshot(site)
    with pytest.raises(KeyringError, match=message):
        provision(device="mr-2", receiver="hospital", out=site)
    assert snapshot(site) == before


def test_a_broken_configuration_of_the_receiver_is_refused(site):
    (site / "receiver" / "config.toml").write_text("[receiver]\nidd = 1\n")
    with pytest.raises(ConfigError, match=r"receiver\.idd"):
        provision(device="mr-2", receiver="hospital", out=site)


@pytest.mark.parametrize(
    "name", ["receiver.wrap.key", "ct-1.sign.pem", "hospital.wrap.pem", "device.key", "config.toml"]
)
def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path, monkeypatch, name):
    write = module.write_atomically

    def refuse(path, data, mode=0o600):
        if path.name == name:
            raise StorageError("the disk is full")
        write(path, data, mode)

    monkeypatch.setattr(module, "write_atomically", refuse)
    with pytest.raises(StorageError):
        provision(device="ct-1", receiver="hospital", out=tmp_path / "deep" / "site")
    assert list(tmp_path.iterdir()) == []


def test_an_enrolment_that_fails_takes_the_device_back(site, monkeypatch):
    before = snapshot(site)
    write = module.write_atomically

    def refuse(path, data, mode=0o600):
        if path.name == "mr-2.sign.pem":
            raise StorageError("the disk is full")
        write(path, data, mode)

    monkeypatch.setattr(module, "write_atomically", refuse)
    with pytest.raises(StorageError):
        provision(device="mr-2", receiver="hospital", out=site)
    assert snapshot(site) == before


def test_a_rename_that_fails_takes_the_other_back(tmp_path, monkeypatch):
    synced = []

    def fail_at_second(folder):
        synced.append(folder)
        if len(synced) == 2:
            raise StorageError("the disk reports an input/output error")

    monkeypatch.setattr(module, "fsync_folder", fail_at_second)
    with pytest.raises(StorageError):
        provision(device="ct-1", receiver="hospital", out=tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_command_prints_what_comes_next(tmp_path, capsys):
    out = tmp_path / "a site"
    assert main(["provision", "--device", "ct-1", "--receiver", "hospital", "--out", str(out)]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    assert f"edge-receiver --config '{out}/receiver/config.toml'" in printed.out
    kid = device_of(out / "device")[1].signer.kid.hex()
    assert " ".join(kid[start : start + 4] for start in range(0, 32, 4)) in printed.out


def test_the_command_prints_json(site, capsys):
    flags = ["--device", "mr-2", "--receiver", "hospital", "--out", str(site), "--json"]
    assert main(["provision", *flags]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["device_folder"] == str(site / "mr-2")
    assert printed["receiver_is_new"] is False


def test_a_failure_is_a_sentence_a_hint_and_an_exit_code(site, capsys):
    assert main(["provision", "--device", "ct-1", "--receiver", "hospital", "--out", str(site)]) == 5
    printed = capsys.readouterr()
    assert printed.out == ""
    first_line, hint = printed.err.splitlines()
    assert first_line.startswith("edge-firmware: the device ct-1 is provisioned there already")
    assert hint.startswith("hint: ")


@pytest.mark.parametrize("arguments", [[], ["provision"], ["provision", "--rsa-bits", "2048"], ["nothing"]])
def test_a_wrong_call_is_answered_with_the_way_to_help(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "--help" in capsys.readouterr().err.splitlines()[-1]


@pytest.mark.parametrize("arguments", [["--help"], ["provision", "--help"], ["--version"]])
def test_help_and_version_are_printed(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 0
    assert "edge-firmware" in capsys.readouterr().out


def test_heavy_commands_are_imported_only_when_called():
    script = (
        "import sys; from firmware_tools import cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "heavy = {'firmware_tools.train', 'firmware_tools.bench', 'tensorflow'} & set(sys.modules)\n"
        "sys.exit(f'imported: {heavy}' if heavy else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_missing_package_is_a_sentence(monkeypatch, capsys):
    def fail(_name):
        raise ModuleNotFoundError("No module named 'tensorflow'", name="tensorflow")

    monkeypatch.setattr("firmware_tools.cli.importlib.import_module", fail)
    assert main(["train"]) == 2
    assert "edge-firmware: this command needs the Python package tensorflow" in capsys.readouterr().err
