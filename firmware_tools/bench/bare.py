"""What a user would run instead: mosquitto_pub and mosquitto_sub, bare, under TLS, or with age before and behind them.

Rule: the files that come out are compared with those that went in, and what is started here is ended here. Bare, the same
bytes through the same broker are the physical limit of a transfer.
"""

from __future__ import annotations

import contextlib
import filecmp
import ipaddress
import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from edge.errors import EdgeError
from firmware_tools.bench.processes import HOST, Process, await_listener, free_port, mosquitto
from firmware_tools.bench.timing import processor_seconds

TOPIC: Final = "bench/bare"
NO_CLIENTS: Final = "mosquitto_pub and mosquitto_sub are not installed (Debian package mosquitto-clients)"
NO_AGE: Final = "age is not installed (Debian package age)"
_SUBSCRIBE_SECONDS: Final = 0.5
_PATIENCE_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Carried:
    """How long files took from the first command to the last byte, and the processor time of all commands."""

    seconds: float
    cpu: float


@dataclass(frozen=True, slots=True)
class Age:
    """A key pair of age: whom to encrypt for, and the file to decrypt with."""

    recipient: str
    identity: Path

    @classmethod
    def generate(cls, folder: Path) -> Age:
        """Make a key pair; raises EdgeError where age-keygen fails."""
        identity = folder / "age.key"
        _run(["age-keygen", "-o", identity])
        lines = identity.read_text().splitlines()
        (recipient,) = (line.rpartition(" ")[2] for line in lines if line.startswith("# public key:"))
        return cls(recipient, identity)


def has_clients() -> bool:
    """Say whether mosquitto's command-line clients are installed."""
    return bool(shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub"))


def has_age() -> bool:
    """Say whether age is installed."""
    return bool(shutil.which("age") and shutil.which("age-keygen"))


def carry(paths: Sequence[Path], folder: Path, port: int, *, authority: Path | None = None) -> Carried:
    """Publish the files one after another into one mosquitto_sub, at QoS 1; with `authority` (PEM) over TLS.

    Raises:
        EdgeError: a command failed, took too long, or other bytes came out.
    """
    sink = folder / "bare"
    with sink.open("wb") as file, _ended(_subscriber(port, authority, count=len(paths), topic=TOPIC, sink=file)) as sub:
        time.sleep(_SUBSCRIBE_SECONDS)
        before, start = processor_seconds(), time.perf_counter()
        for path in paths:
            _run([*_client("mosquitto_pub", port, authority, TOPIC), "-f", path])
        _await(sub)
        seconds = time.perf_counter() - start
    carried = Carried(seconds, processor_seconds() - before)
    if sink.stat().st_size != sum(path.stat().st_size for path in paths):
        raise EdgeError("other bytes came out of mosquitto_sub than went into mosquitto_pub")
    sink.unlink()
    return carried


def carry_with_age(paths: Sequence[Path], folder: Path, port: int, age: Age) -> Carried:
    """Carry the files by `age | mosquitto_pub` and `mosquitto_sub | age -d`, and sync what comes out.

    Raises:
        EdgeError: a command failed, took too long, or other bytes came out.
    """
    targets = [folder / f"aged-{number}" for number in range(len(paths))]
    with contextlib.ExitStack() as stack:
        receivers = []
        for number, target in enumerate(targets):
            sub = _subscriber(port, None, count=1, topic=f"{TOPIC}/{number}", sink=subprocess.PIPE)
            stack.enter_context(_ended(sub))
            command: list[str | Path] = ["age", "-d", "-i", age.identity, "-o", target]
            receivers.append(stack.enter_context(_ended(subprocess.Popen(command, stdin=sub.stdout))))
            assert sub.stdout is not None  # noqa: S101 - it is a pipe
            sub.stdout.close()
        time.sleep(_SUBSCRIBE_SECONDS)
        before, start = processor_seconds(), time.perf_counter()
        for number, path in enumerate(paths):
            _publish_with_age(path, f"{TOPIC}/{number}", port, age)
        for receiver, target in zip(receivers, targets, strict=True):
            _await(receiver)
            _sync(target)
        seconds = time.perf_counter() - start
    carried = Carried(seconds, processor_seconds() - before)
    for path, target in zip(paths, targets, strict=True):
        if not filecmp.cmp(path, target, shallow=False):
            raise EdgeError("other bytes came out of age than went in")
        target.unlink()
    return carried


@contextlib.contextmanager
def tls_broker(folder: Path) -> Iterator[tuple[Process, int, Path]]:
    """Run mosquitto with TLS on a free port; yield it, the port, and the certificate that clients trust."""
    path = mosquitto()
    if path is None:
        raise EdgeError(NO_CLIENTS)
    certificate, key = folder / "broker.pem", folder / "broker.key"
    _make_certificate(certificate, key)
    port = free_port()
    lines = [f"listener {port} {HOST}", "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}"]
    configuration = folder / "mosquitto-tls.conf"
    configuration.write_text("\n".join([*lines, "persistence false", "log_dest stderr", "user root", ""]))
    with Process([path, "-c", configuration], folder / "mosquitto-tls.log") as process:
        await_listener(process, port)
        yield process, port, certificate


def _make_certificate(certificate: Path, key: Path) -> None:
    """Make a certificate of a day for the loopback that signs itself."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "bench")])
    now = datetime.now(UTC)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(private, hashes.SHA256())
    )
    certificate.write_bytes(built.public_bytes(Encoding.PEM))
    key.touch(0o600)
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def _client(program: str, port: int, authority: Path | None, topic: str) -> list[str | Path]:
    tls: list[str | Path] = ["--cafile", authority] if authority is not None else []
    return [program, "-h", HOST, "-p", str(port), "-t", topic, "-q", "1", *tls]


def _subscriber(
    port: int, authority: Path | None, *, count: int, topic: str, sink: int | BinaryIO
) -> subprocess.Popen[bytes]:
    command = [*_client("mosquitto_sub", port, authority, topic), "-C", str(count), "-N"]
    return subprocess.Popen(command, stdout=sink, stderr=subprocess.DEVNULL)


def _publish_with_age(path: Path, topic: str, port: int, age: Age) -> None:
    with _ended(subprocess.Popen(["age", "-r", age.recipient, path], stdout=subprocess.PIPE)) as sender:
        publisher = [*_client("mosquitto_pub", port, None, topic), "-s"]
        done = subprocess.run(
            publisher, stdin=sender.stdout, stderr=subprocess.DEVNULL, timeout=_PATIENCE_SECONDS, check=False
        )
        _await(sender)
    if done.returncode:
        raise EdgeError(f"mosquitto_pub ended with status {done.returncode}")


@contextlib.contextmanager
def _ended(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """End a process when the context is left, if it has not ended by itself."""
    try:
        yield process
    finally:
        if process.stdout is not None:
            process.stdout.close()
        if process.poll() is None:
            process.kill()
            process.wait()


def _await(process: subprocess.Popen[bytes]) -> None:
    try:
        status = process.wait(_PATIENCE_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise EdgeError(f"a command did not end within {_PATIENCE_SECONDS:.0f} s") from error
    if status:
        raise EdgeError(f"a command ended with status {status}")


def _run(command: Sequence[str | Path]) -> None:
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=_PATIENCE_SECONDS, check=False
    )
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["it wrote nothing"]
        raise EdgeError(f"{command[0]} ended with status {done.returncode}: {said[-1]}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
