"""What a user would pick instead, side by side: age, GnuPG, mosquitto's own clients, and chaotic ciphers that pip installs.

Rule: every candidate gets the same bytes in the same rounds, on the same disk, and its output is synced as ours is. What
each lacks beside a sealed and receipted image is in docs/speed.md. A tool that is not installed is skipped by name.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import secrets
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from edge.errors import EdgeError
from edge.records import MapName, Quantiser
from firmware_tools.bench import bare
from firmware_tools.bench.cipher import AES, RATE, encipher, parameters_of_ways, references, sized
from firmware_tools.bench.figures import COPIED, Figure, Limit, skipped
from firmware_tools.bench.images import write_image
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import Site, mosquitto
from firmware_tools.bench.sealing import SealBench
from firmware_tools.bench.timing import MEGABYTE, interleaved

PART: Final = "tools"
NO_GPG: Final = "gpg is not installed (Debian package gnupg)"
_TIMEOUT: Final = 300.0
# Some 50 us a byte (measured): no image would end within minutes.
_HYPERCHAOS_BYTES: Final = 4096
_CIPHER_ROUNDS: Final = 3


def measure_tools(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Encrypting a file, carrying files through mosquitto, and chaotic ciphers on one image."""
    yield from _encrypting(plan, folder)
    yield from _carrying(plan, folder)
    yield from _chaotic(plan)


# --- encrypting a file ----------------------------------------------------------------------------------------------


def _encrypting(plan: Plan, folder: Path) -> Iterator[Figure]:
    site = Site(folder / "tools")
    site.provision()
    image = write_image(site.watched / "image.pnm", plan.tool_bytes, seed=1)
    with contextlib.ExitStack() as stack:
        bench = stack.enter_context(SealBench(site, image))
        ours = f"seal to spool: encipher, prove, {AES}, RSA-OAEP, Ed25519"
        candidates: dict[str, Callable[[], object]] = {COPIED: bench.copy, ours: bench.seal}
        target = site.folder / "encrypted"
        if bare.has_age():
            age = bare.Age.generate(site.folder)
            candidates["age: X25519, ChaCha20-Poly1305"] = partial(
                _encrypt, ["age", "-r", age.recipient, "-o", target, image], target
            )
        else:
            yield skipped(PART, bare.NO_AGE)
        if shutil.which("gpg"):
            home = stack.enter_context(_gpg_home(site.folder))
            for name, flags in _GPG.items():
                command = [*_gpg(home), *flags, "--output", target, image]
                candidates[name] = partial(_encrypt, command, target)
        else:
            yield skipped(PART, NO_GPG)
        timings = interleaved(candidates, plan.disk_rounds)
        limit = Limit(name=COPIED, value=timings.pop(COPIED).rate(bench.size))
        for name, timing in timings.items():
            yield Figure(
                part=PART,
                name=f"{name}, {sized(plan.tool_bytes)}",
                value=timing.rate(bench.size),
                unit=RATE,
                limit=limit,
                cpu_seconds=timing.cpu,
            )


_USER: Final = "bench"
_GPG: Final[Mapping[str, tuple[str, ...]]] = {
    "gpg: symmetric, AES-256": ("--symmetric", "--cipher-algo", "AES256", "--passphrase", "bench"),
    "gpg: RSA-3072, AES-256": ("--encrypt", "--cipher-algo", "AES256", "--recipient", _USER),
    "gpg: RSA-3072, AES-256, signed": ("--sign", "--encrypt", "--cipher-algo", "AES256", "--recipient", _USER),
}


def _gpg(home: Path) -> list[str | Path]:
    flags = ("--batch", "--yes", "--quiet", "--no-tty", "--trust-model", "always", "--compress-algo", "none")
    return ["gpg", "--homedir", home, *flags, "--pinentry-mode", "loopback"]


@contextlib.contextmanager
def _gpg_home(folder: Path) -> Iterator[Path]:
    """Make a GnuPG home with one RSA-3072 key pair, and end its agent when the context is left."""
    home = folder / "gpg"
    home.mkdir(0o700)
    try:
        _run([*_gpg(home), "--passphrase", "", "--quick-generate-key", _USER, "rsa3072", "default", "never"])
        # The key that is made signs only; what is encrypted for needs a subkey.
        listed = _run([*_gpg(home), "--with-colons", "--list-keys", _USER])
        fingerprint = next(line.split(":")[9] for line in listed.splitlines() if line.startswith("fpr:"))
        _run([*_gpg(home), "--passphrase", "", "--quick-add-key", fingerprint, "rsa3072", "encr", "never"])
        yield home
    finally:
        _run(["gpgconf", "--homedir", home, "--kill", "all"])


def _encrypt(command: list[str | Path], target: Path) -> None:
    """Run a tool that writes `target`, sync that, and remove it."""
    _run(command)
    with target.open("rb") as file:
        os.fsync(file.fileno())
    target.unlink()


def _run(command: list[str | Path]) -> str:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_TIMEOUT, check=False
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it wrote nothing"]
        raise EdgeError(f"{command[0]} ended with status {done.returncode}: {said[-1]}")
    return done.stdout


# --- carrying files -------------------------------------------------------------------------------------------------


def _carrying(plan: Plan, folder: Path) -> Iterator[Figure]:
    if mosquitto() is None or not bare.has_clients():
        yield skipped(PART, bare.NO_CLIENTS)
        return
    site = Site(folder / "carrying")
    large = [
        write_image(site.watched / f"large-{number}.pnm", plan.way_bytes, seed=number)
        for number in range(plan.way_images)
    ]
    small = [
        write_image(site.watched / f"small-{number}.pnm", plan.small_bytes, seed=number)
        for number in range(plan.tool_small_images)
    ]
    rounds: list[dict[str, tuple[bare.Carried, bare.Carried]]] = []
    age = bare.Age.generate(site.folder) if bare.has_age() else None
    with site.broker(), bare.tls_broker(site.folder) as (_, port, authority):
        for _ in range(plan.way_rounds):
            rounds.append(taken := {})
            for name, way in _bare_ways(site, age, port, authority).items():
                taken[name] = way(large), way(small)
    size = sum(path.stat().st_size for path in large) / MEGABYTE
    limits: tuple[Limit, Limit] | None = None
    for name in rounds[0]:
        rate = statistics.median(size / taken[name][0].seconds for taken in rounds)
        often = statistics.median(len(small) / taken[name][1].seconds for taken in rounds)
        cpu = [statistics.median(taken[name][which].cpu for taken in rounds) for which in (0, 1)]
        yield Figure(
            part=PART,
            name=f"{name}, {plan.way_images} x {sized(plan.way_bytes)}",
            value=rate,
            unit=RATE,
            limit=limits[0] if limits else None,
            cpu_seconds=cpu[0],
        )
        yield Figure(
            part=PART,
            name=f"{name}, {plan.tool_small_images} x {sized(plan.small_bytes)}",
            value=often,
            unit="/s",
            limit=limits[1] if limits else None,
            cpu_seconds=cpu[1],
        )
        # The first one is bare, and the limit of the others.
        limits = limits or (Limit(name=name, value=rate), Limit(name=name, value=often))


def _bare_ways(
    site: Site, age: bare.Age | None, tls_port: int, authority: Path
) -> dict[str, Callable[[list[Path]], bare.Carried]]:
    """Return the ways to carry files without us, by name, the barest first."""
    ways: dict[str, Callable[[list[Path]], bare.Carried]] = {
        "mosquitto_pub to mosquitto_sub": lambda paths: bare.carry(paths, site.folder, site.port),
        "mosquitto_pub to mosquitto_sub, TLS": lambda paths: bare.carry(
            paths, site.folder, tls_port, authority=authority
        ),
    }
    if age is not None:
        ways["age | mosquitto_pub to mosquitto_sub | age -d, synced"] = lambda paths: bare.carry_with_age(
            paths, site.folder, site.port, age
        )
    return ways


# --- chaotic ciphers ------------------------------------------------------------------------------------------------


def _chaotic(plan: Plan) -> Iterator[Figure]:
    """Ciphers of the Python package index on the bytes of one image, beside ours."""
    plain, secret = np.random.default_rng(1).bytes(plan.tool_image_bytes), secrets.token_bytes(32)
    ways = parameters_of_ways(secret)
    ours = (str(MapName.LOGISTIC), f"{MapName.HYPERLORENZ_DNA} {Quantiser.WIDE}")
    sizes = dict.fromkeys(ours, len(plain))
    candidates = references(plain) | {name: partial(encipher, plain, ways[name], secret) for name in ours}
    for package, make in _PACKAGES.items():
        if importlib.util.find_spec(package) is None:
            yield skipped(PART, f"the Python package {package} is not installed")
            continue
        candidates[package], sizes[package] = make(plain)
    timings = interleaved(candidates, min(plan.rounds, _CIPHER_ROUNDS))
    limit = Limit(name=AES, value=timings[AES].best_rate(len(plain)))
    for name, size in sizes.items():
        yield Figure(
            part=PART,
            name=f"{name}: encipher, {sized(size)}",
            value=timings[name].best_rate(size),
            unit=RATE,
            limit=limit,
            cpu_seconds=timings[name].cpu,
        )


def _safelicensing(plain: bytes) -> tuple[Callable[[], None], int]:
    """Logistic XOR, shuffle, logistic XOR of three channels: the cipher of IEEE 10534375, by its authors."""
    found = importlib.util.find_spec("safelicensing")
    if found is None or not found.submodule_search_locations:
        raise EdgeError("the package safelicensing has no modules")
    # The package itself would import a detector of number plates; its cipher needs NumPy alone.
    path = Path(found.submodule_search_locations[0]) / "encryption.py"
    specification = importlib.util.spec_from_file_location("bench_safelicensing_encryption", path)
    if specification is None or specification.loader is None:
        raise EdgeError("the cipher of the package safelicensing cannot be loaded")
    module: Any = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    pixels = np.frombuffer(plain, np.uint8)[: len(plain) // 3 * 3].reshape(-1, 1, 3)

    def work() -> None:
        module.encrypt_image(pixels, 0.4)

    return work, pixels.size


def _hyperchaos(plain: bytes) -> tuple[Callable[[], None], int]:
    """Lorenz, Chen and Roessler orbits, S-boxes and a tag, in blocks."""
    module: Any = importlib.import_module("hyperchaos")
    cipher = module.HyperChaos(module.HyperChaos.generate_key())
    piece = plain[:_HYPERCHAOS_BYTES]

    def work() -> None:
        cipher.encrypt(piece)

    return work, len(piece)


_PACKAGES: Final[Mapping[str, Callable[[bytes], tuple[Callable[[], None], int]]]] = {
    "safelicensing": _safelicensing,
    "hyperchaos": _hyperchaos,
}
