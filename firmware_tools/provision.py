"""Make the keys, trust folders and configurations of a device and its receiver, ready to use on one machine.

Rule: no existing key is ever overwritten, and nothing half-made is left: everything is built in a hidden folder beside
its place and renamed into it. The device's private key and the receiver's never lie in the same folder.

    OUT/device/      device.key  device.pub.pem  config.toml  trust/RECEIVER.wrap.pem  trust/RECEIVER.sign.pem
    OUT/receiver/    receiver.wrap.key  receiver.sign.key  receiver.*.pub.pem  config.toml  trust/DEVICE.sign.pem
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import secrets
import shlex
import shutil
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from edge.config import DeviceConfig, ReceiverConfig
from edge.config.kinds import BROKER_URL, literal
from edge.durable import fsync_folder, make_folder, storage_error, write_atomically
from edge.errors import KeyringError, UsageError
from edge.keyring import DeviceKeyring, ReceiverKeyring
from edge.protocol import IDENTITY_PATTERN, RSA_EXPONENT, RSA_MAX_BITS, RSA_MIN_BITS, TOPIC_PREFIX

DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
_WIDTH: Final = 110
_PUBLIC_MODE: Final = 0o644


@dataclass(frozen=True, slots=True, kw_only=True)
class Provisioned:
    """What was made: folders, whether the receiver is new, the kid of each key in hex, and the commands that come next."""

    device: str
    receiver: str
    device_folder: str
    receiver_folder: str
    receiver_is_new: bool
    fingerprints: Mapping[str, str]
    commands: tuple[str, ...]


def provision(
    *, device: str, receiver: str, out: Path, broker: str | None = None, rsa_bits: int = RSA_MIN_BITS
) -> Provisioned:
    """Provision `device` for `receiver` below `out`; where the receiver is there already, keep its keys and enrol only.

    The device's folder is `out`/device, or `out`/DEVICE where another device has that one. `broker` defaults to the
    receiver's own, for a new receiver to this machine's.

    Raises:
        UsageError: an id or the broker's URL is malformed, or `out` holds another receiver or something else.
        ConfigError: a configuration that is there already cannot be used.
        KeyringError: the device has keys already, here or at the receiver, or the receiver's public keys are unusable.
        StorageError: the disk refused; nothing is left behind.
    """
    _check_arguments(device, receiver, broker)
    receiver_folder, device_folder = out / "receiver", _device_folder(out, device)
    existing = _existing_receiver(receiver_folder, receiver) if os.path.lexists(receiver_folder) else None
    if existing:
        _refuse_second_enrolment(existing.receiver.trust, device)
    with _staged(out) as stage:
        if existing is None:
            _make_receiver(stage / "receiver", receiver, broker=broker or DEFAULT_BROKER, rsa_bits=rsa_bits)
        live = {"device.id": device, "device.audience": receiver}
        live["broker.url"] = broker or (existing.broker.url if existing else DEFAULT_BROKER)
        if existing and existing.broker.prefix != TOPIC_PREFIX:
            live["broker.prefix"] = existing.broker.prefix
        keyring = _make_device(stage / "device", live, receiver_folder if existing else stage / "receiver")
        public = (stage / "device" / "device.pub.pem").read_bytes()
        entry = f"{device}.sign.pem"
        moves = {stage / "device": device_folder}
        if existing is None:
            write_atomically(stage / "receiver" / "trust" / entry, public, _PUBLIC_MODE)
            config = ReceiverConfig.load(stage / "receiver" / "config.toml", environ={}, overrides={})
            ReceiverKeyring.load(config)
            moves[stage / "receiver"] = receiver_folder
        with _placed(moves):
            # The entry comes last: until then the receiver does not believe the new key.
            if existing:
                write_atomically(existing.receiver.trust / entry, public, _PUBLIC_MODE)
    return Provisioned(
        device=device,
        receiver=receiver,
        device_folder=str(device_folder),
        receiver_folder=str(receiver_folder),
        receiver_is_new=existing is None,
        fingerprints={
            "device, signs images": keyring.signer.kid.hex(),
            "receiver, opens images": keyring.recipients[0].kid.hex(),
            "receiver, signs receipts": next(iter(keyring.receivers)).hex(),
        },
        commands=(
            f"edge-receiver --config {shlex.quote(str(receiver_folder / 'config.toml'))}",
            f"edge-encryptor --watch FOLDER --config {shlex.quote(str(device_folder / 'config.toml'))}",
        ),
    )


# --- what stands there already --------------------------------------------------------------------------------------


def _check_arguments(device: str, receiver: str, broker: str | None) -> None:
    for what, name in (("device", device), ("receiver", receiver)):
        if not re.fullmatch(IDENTITY_PATTERN, name):
            raise UsageError(
                f"the {what}'s id cannot be a name in topics and folders",
                hint="ids have 3 to 48 of the characters a-z, 0-9 and -",
            )
    if device == receiver:
        raise UsageError("device and receiver need different ids", hint="both stand in topics below the same prefix")
    try:
        BROKER_URL.parse(broker or DEFAULT_BROKER)
    except ValueError as error:
        raise UsageError(f"--broker must be {BROKER_URL.expected}") from error


def _device_folder(out: Path, device: str) -> Path:
    """Return where the device goes: OUT/device, or OUT/DEVICE where another device has that one."""
    first, named = out / "device", out / device
    if not os.path.lexists(first):
        return first
    _insist_on_configuration(first, "a device")
    there = DeviceConfig.load(first / "config.toml", environ={}, overrides={}).device.id
    if there == device or os.path.lexists(named):
        raise KeyringError(
            f"the device {device} is provisioned there already, or its folder's name is taken",
            hint="its keys are never overwritten; give another --device or --out, or move the folder away yourself",
        )
    return named


def _existing_receiver(folder: Path, receiver: str) -> ReceiverConfig:
    _insist_on_configuration(folder, "a receiver")
    config = ReceiverConfig.load(folder / "config.toml", environ={}, overrides={})
    if config.receiver.id != receiver:
        raise UsageError(
            f"the receiver there is {config.receiver.id}, not {receiver}",
            hint="give its id with --receiver, or another --out",
        )
    return config


def _insist_on_configuration(folder: Path, what: str) -> None:
    if not (folder / "config.toml").is_file():
        raise UsageError(
            f"the folder {folder.name} is there, but is not {what}'s: it holds no config.toml",
            hint="give another --out, or move the folder away yourself",
        )


def _refuse_second_enrolment(trust: Path, device: str) -> None:
    try:
        enrolled = any(path.name.startswith(f"{device}.") for path in trust.iterdir())
    except OSError as error:
        raise storage_error(error) from error
    if enrolled:
        raise KeyringError(
            f"the receiver has an entry for {device} in its trust folder already",
            hint="a second device needs an id of its own; to replace this one, remove its entry first",
        )


# --- what is made ---------------------------------------------------------------------------------------------------


def _make_receiver(folder: Path, receiver: str, *, broker: str, rsa_bits: int) -> None:
    make_folder(folder / "trust")
    _write_pair(folder, "receiver.wrap", rsa.generate_private_key(public_exponent=RSA_EXPONENT, key_size=rsa_bits))
    _write_pair(folder, "receiver.sign", Ed25519PrivateKey.generate())
    text = configuration(ReceiverConfig, {"receiver.id": receiver, "broker.url": broker})
    write_atomically(folder / "config.toml", text.encode(), _PUBLIC_MODE)


def _make_device(folder: Path, live: Mapping[str, str], receiver_keys: Path) -> DeviceKeyring:
    """Make the device's folder and return its keyring, read back from what was written."""
    make_folder(folder / "trust")
    for use in ("wrap", "sign"):
        try:
            public = (receiver_keys / f"receiver.{use}.pub.pem").read_bytes()
        except OSError as error:
            raise KeyringError(
                f"the receiver's receiver.{use}.pub.pem cannot be read: {error.strerror}",
                hint=f"make it with: openssl pkey -pubout -in receiver.{use}.key -out receiver.{use}.pub.pem",
            ) from error
        write_atomically(folder / "trust" / f"{live['device.audience']}.{use}.pem", public, _PUBLIC_MODE)
    _write_pair(folder, "device", Ed25519PrivateKey.generate())
    path = folder / "config.toml"
    write_atomically(path, configuration(DeviceConfig, live).encode(), _PUBLIC_MODE)
    return DeviceKeyring.load(DeviceConfig.load(path, environ={}, overrides={}))


def _write_pair(folder: Path, name: str, key: Ed25519PrivateKey | rsa.RSAPrivateKey) -> None:
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_atomically(folder / f"{name}.key", private, 0o600)
    write_atomically(folder / f"{name}.pub.pem", public, _PUBLIC_MODE)


def configuration(config: type[DeviceConfig | ReceiverConfig], live: Mapping[str, str]) -> str:
    """Return a config.toml that sets `live` (texts by dotted name) and shows every other key as a comment."""
    program = "edge-encryptor" if config is DeviceConfig else "edge-receiver"
    lines = [
        f"# Configuration of {program}. Keys that are commented out show their defaults.",
        "# Relative paths are relative to this file's folder. Flags win over environment variables, these over this file.",
    ]
    table = ""
    for key in config.describe():
        if (name := key.name.partition(".")[0]) != table:
            table = name
            lines += ["", f"[{table}]"]
        lines += textwrap.wrap(f"{key.meaning} [{key.expected}]", _WIDTH, initial_indent="# ", subsequent_indent="#   ")
        leaf = key.name.partition(".")[2]
        lines.append(f"{leaf} = {literal(live[key.name])}" if key.name in live else f"#{leaf} = {key.default}")
    return "\n".join(lines) + "\n"


# --- all or nothing -------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def _staged(out: Path) -> Iterator[Path]:
    """Give a hidden folder in `out`; it is gone when the block ends, and so is `out` where it was made for nothing."""
    made = [path for path in (out, *out.parents) if not path.exists()]
    stage = out / f".provision-{secrets.token_hex(8)}"
    try:
        make_folder(stage)
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)
        for path in made:
            # Only an empty folder can be removed so: whatever else is in it stays, and so does the folder.
            with contextlib.suppress(OSError):
                path.rmdir()


@contextlib.contextmanager
def _placed(moves: Mapping[Path, Path]) -> Iterator[None]:
    """Rename each folder into its place; take all of them back where one rename or the block fails."""
    done: list[Path] = []
    try:
        for source, target in moves.items():
            try:
                source.rename(target)
            except OSError as error:
                raise storage_error(error) from error
            done.append(target)
            fsync_folder(target.parent)
        yield
    except BaseException:
        for target in done:
            shutil.rmtree(target, ignore_errors=True)
        raise


# --- command --------------------------------------------------------------------------------------------------------


def add_provision_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `edge-firmware provision`."""
    parser.add_argument("--device", required=True, metavar="ID", help="the device's id: 3 to 48 of a-z, 0-9 and -")
    parser.add_argument("--receiver", required=True, metavar="ID", help="the receiver's id")
    parser.add_argument("--out", required=True, type=Path, metavar="DIR", help="where DIR/device and DIR/receiver go")
    parser.add_argument("--broker", metavar="URL", help=f"the MQTT broker (default: {DEFAULT_BROKER})")
    parser.add_argument(
        "--rsa-bits",
        type=int,
        choices=(RSA_MIN_BITS, RSA_MAX_BITS),
        default=RSA_MIN_BITS,
        help=f"the size of a new receiver's RSA key (default: {RSA_MIN_BITS})",
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run_provision(arguments: argparse.Namespace) -> int:
    """Provision, and print what was made and what comes next."""
    made = provision(
        device=arguments.device,
        receiver=arguments.receiver,
        out=arguments.out,
        broker=arguments.broker,
        rsa_bits=arguments.rsa_bits,
    )
    print(json.dumps(asdict(made), indent=2) if arguments.json else _report(made))
    return 0


def _report(made: Provisioned) -> str:
    width = max(map(len, made.fingerprints))
    keys = "\n".join(f"  {what:{width}}  {' '.join(textwrap.wrap(kid, 4))}" for what, kid in made.fingerprints.items())
    kept = "keys and configuration" if made.receiver_is_new else "was there; the device is now enrolled"
    return "\n".join(
        (
            f"device    {made.device_folder}: keys and configuration",
            f"receiver  {made.receiver_folder}: {kept}",
            "",
            "key fingerprints (compare them by voice when a public key travels):",
            keys,
            "",
            "next, with the broker running:",
            *(f"  {command}" for command in made.commands),
            "",
            f"on two machines: move {made.device_folder} to the device and {made.receiver_folder} to the hospital,",
            "and leave no copy of a private key (*.key) anywhere else",
        )
    )
