"""The ciphers in one thread, by size and by lanes, beside AES-256-GCM and a plain copy of the same bytes."""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge.chaos import cipher
from edge.chaos.hyperlorenz import SEED_BYTES, HyperLanes, seeded_states
from edge.chaos.layout import Layout
from edge.chaos.maps import lanes_for
from edge.chaos.parameters import parameters_from_secret
from edge.records import ChaosParameters, MapName, Quantiser
from firmware_tools.bench.figures import Figure, Limit
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.timing import MEGABYTE, interleaved

PART: Final = "cipher"
RATE: Final = "MB/s"
AES: Final = "AES-256-GCM"
_AES_CALL: Final = 1 << 20
_LANE_BYTES: Final = 8 << 20
# MB/s that enciphering must reach, and the multiple of AES-256-GCM.
_LEAST: Final = {str(MapName.LOGISTIC): 1000.0, f"{MapName.HYPERLORENZ_DNA} {Quantiser.WIDE}": 150.0}
_LEAST_RATIO: Final = {str(MapName.LOGISTIC): 0.3}


def measure_cipher(plan: Plan, _folder: Path) -> Iterator[Figure]:
    """Every way at one size, the two default ways at all sizes, and the key streams by lanes."""
    secret = secrets.token_bytes(32)
    ways = parameters_of_ways(secret)
    yield from _at_one_size(plan, ways, secret)
    for size in plan.cipher_sizes:
        yield from _at_another_size(size, {name: ways[name] for name in _LEAST}, secret, plan.rounds)
    yield from _by_lanes(plan, ways, secret)


def parameters_of_ways(secret: bytes) -> dict[str, ChaosParameters]:
    """Return the parameters of every way to encipher, by its name."""
    ways = {str(name): parameters_from_secret(name, secret) for name in (MapName.LOGISTIC, MapName.LORENZ)}
    hyper = MapName.HYPERLORENZ_DNA
    return ways | {f"{hyper} {each}": parameters_from_secret(hyper, secret, quantiser=each) for each in Quantiser}


def encipher(plain: bytes, parameters: ChaosParameters, secret: bytes, *, prove: bool = False) -> None:
    """Encipher `plain` as a file, and drop what comes out."""
    layout = Layout.for_file(len(plain))
    for _ in cipher.encipher(io.BytesIO(plain), layout, parameters, secret, prove=prove):
        pass


def encrypt_with_aes(plain: bytes, aes: AESGCM) -> None:
    """Encrypt `plain` in calls of 1 MiB, and drop what comes out."""
    # One nonce for all calls: nothing of this is kept.
    for start in range(0, len(plain), _AES_CALL):
        aes.encrypt(bytes(12), memoryview(plain)[start : start + _AES_CALL], None)


def references(plain: bytes) -> dict[str, Callable[[], None]]:
    """Return what every cipher is measured beside: a copy of the same bytes, and AES-256-GCM over them."""
    target, aes = bytearray(len(plain)), AESGCM(secrets.token_bytes(32))

    def copy() -> None:
        target[:] = plain

    return {"copy": copy, AES: partial(encrypt_with_aes, plain, aes)}


def sized(size: int) -> str:
    """Name a number of bytes."""
    return f"{size / MEGABYTE:g} MB" if size >= MEGABYTE else f"{size / 1000:g} KB"


def _at_one_size(plan: Plan, ways: dict[str, ChaosParameters], secret: bytes) -> Iterator[Figure]:
    size = plan.cipher_bytes
    plain = np.random.default_rng(1).bytes(size)
    candidates = references(plain)
    for name, parameters in ways.items():
        candidates |= _directions(name, parameters, plain, secret, every=plan.cipher_directions)
    timings = interleaved(candidates, plan.rounds)
    copy = timings.pop("copy")
    aes = timings.pop(AES)
    memory = Limit(name="memory copy", value=copy.best_rate(size))
    figure = partial(Figure, part=PART, unit=RATE)
    yield figure(
        name=f"{AES}, calls of 1 MiB, {sized(size)}", value=aes.best_rate(size), limit=memory, cpu_seconds=aes.cpu
    )
    limit = Limit(name=AES, value=aes.best_rate(size))
    for name, timing in timings.items():
        way, _, direction = name.rpartition(": ")
        yield figure(
            name=f"{name}, {sized(size)}",
            value=timing.best_rate(size),
            at_least=_LEAST.get(way) if direction == "encipher" else None,
            ratio_at_least=_LEAST_RATIO.get(way) if direction == "encipher" else None,
            limit=limit,
            cpu_seconds=timing.cpu,
        )


def _directions(
    name: str, parameters: ChaosParameters, plain: bytes, secret: bytes, *, every: bool
) -> dict[str, Callable[[], None]]:
    """Return what is measured of one way; with `every` the way back too, and the way out with the device's proof."""
    out: dict[str, Callable[[], None]] = {f"{name}: encipher": partial(encipher, plain, parameters, secret)}
    if not every:
        return out
    layout = Layout.for_file(len(plain))
    enciphered = b"".join(map(bytes, cipher.encipher(io.BytesIO(plain), layout, parameters, secret)))

    def decipher() -> None:
        for _ in cipher.decipher(io.BytesIO(enciphered), layout, parameters, secret):
            pass

    return out | {
        f"{name}: encipher and prove": partial(encipher, plain, parameters, secret, prove=True),
        f"{name}: decipher": decipher,
    }


def _at_another_size(size: int, ways: dict[str, ChaosParameters], secret: bytes, rounds: int) -> Iterator[Figure]:
    plain = np.random.default_rng(1).bytes(size)
    candidates = references(plain) | {
        name: partial(encipher, plain, parameters, secret) for name, parameters in ways.items()
    }
    timings = interleaved(candidates, rounds)
    limit = Limit(name=AES, value=timings[AES].best_rate(size))
    for name in ways:
        timing = timings[name]
        yield Figure(
            part=PART,
            name=f"{name}: encipher, {sized(size)}",
            value=timing.best_rate(size),
            unit=RATE,
            limit=limit,
            cpu_seconds=timing.cpu,
        )


def _by_lanes(plan: Plan, ways: dict[str, ChaosParameters], secret: bytes) -> Iterator[Figure]:
    """The key streams alone; the format fixes the lanes by the size of a band (PROTOCOL), this shows why so."""
    streams: dict[str, Callable[[], None]] = {}
    for lanes in plan.lanes:
        for each in (MapName.LOGISTIC, MapName.LORENZ):
            streams[f"{each} key stream, {lanes} lanes"] = partial(_stream, ways[each], secret, lanes)
        hyper = ways[f"{MapName.HYPERLORENZ_DNA} {Quantiser.WIDE}"]
        streams[f"{MapName.HYPERLORENZ_DNA} {Quantiser.WIDE} key stream, {lanes} lanes"] = partial(
            _hyper_stream, hyper, secret, lanes
        )
    plain = bytes(_LANE_BYTES)
    timings = interleaved(references(plain) | streams, plan.rounds)
    limit = Limit(name="memory copy", value=timings["copy"].best_rate(_LANE_BYTES))
    for name in streams:
        timing = timings[name]
        yield Figure(
            part=PART, name=name, value=timing.best_rate(_LANE_BYTES), unit=RATE, limit=limit, cpu_seconds=timing.cpu
        )


def _stream(parameters: ChaosParameters, secret: bytes, lanes: int) -> None:
    kind = lanes_for(parameters)
    seed = np.random.default_rng(list(secret)).bytes(lanes * kind.seed_bytes)
    stream = kind(seed, parameters.values)
    target = np.zeros(stream.piece, np.uint32)
    for _ in range(_LANE_BYTES // target.nbytes):
        stream.xor(target)


def _hyper_stream(parameters: ChaosParameters, secret: bytes, lanes: int) -> None:
    x1, x2, x3, x4, *_ = parameters.values
    seed = np.random.default_rng(list(secret)).bytes(lanes * SEED_BYTES)
    r, z = np.empty((2, _LANE_BYTES // 2), np.uint8)
    HyperLanes(seeded_states(seed, (x1, x2, x3, x4)), Quantiser.WIDE).fill(r, z)
