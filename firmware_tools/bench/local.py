"""What one process does by itself: the ciphers beside AES, sealing and opening on a disk."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final

import numpy as np
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge import decrypt
from edge.chaos import cipher
from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_secret
from edge.config import DeviceConfig, ReceiverConfig
from edge.encrypt import Entropy
from edge.envelope import sign
from edge.envelope.sign import SignedEnvelope
from edge.intake.opening import hash_file
from edge.keyring import DeviceKeyring, ReceiverKeyring
from edge.records import ChaosParameters, MapName, Quantiser
from edge.sealing import inspector_for, sealer_for
from edge.spool import Origin, Spool, SpooledImage
from firmware_tools.bench.figures import Figure, Limit
from firmware_tools.bench.images import settled, write_image
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import Site
from firmware_tools.bench.timing import MEGABYTE, copy_durably, interleaved

_AES_CALL: Final = 1 << 20
_RATE: Final = "MB/s"
_JUDGED: Final = f"{MapName.LOGISTIC} encipher"
_CIPHER_B_LEAST: Final = {
    f"{MapName.HYPERLORENZ_DNA} {Quantiser.PAPER} encipher": 40,
    f"{MapName.HYPERLORENZ_DNA} {Quantiser.WIDE} encipher": 120,
}


def measure_cipher(plan: Plan, _folder: Path) -> Iterator[Figure]:
    """Cipher A in one thread beside AES-256-GCM and a plain copy of the same bytes."""
    size = plan.cipher_bytes
    plain = np.random.default_rng(1).bytes(size)
    target = bytearray(size)
    key, nonce = secrets.token_bytes(32), secrets.token_bytes(12)
    aes = AESGCM(key)

    def copy() -> None:
        target[:] = plain

    def encrypt_with_aes() -> None:
        # One key and nonce for all calls: nothing of this is kept.
        for start in range(0, size, _AES_CALL):
            aes.encrypt(nonce, memoryview(plain)[start : start + _AES_CALL], None)

    candidates = {"copy": copy, "aes": encrypt_with_aes}
    for way, parameters in _ways(key).items():
        candidates |= _cipher_candidates(way, parameters, plain, key)
    timings = interleaved(candidates, plan.rounds)
    memory = Limit(name="memory copy", value=timings.pop("copy").rate(size))
    aes_rate = timings["aes"].rate(size)
    for name, timing in timings.items():
        rate, judged = timing.rate(size), name == _JUDGED
        least = 700 if judged else _CIPHER_B_LEAST.get(name)
        yield Figure(
            part="cipher",
            name=f"AES-256-GCM, calls of 1 MiB, {size // MEGABYTE} MB" if name == "aes" else name,
            value=rate,
            unit=_RATE,
            at_least=least,
            limit=memory,
            cpu_seconds=timing.cpu,
        )
        if name.endswith(" encipher"):
            yield Figure(
                part="cipher", name=f"{name} / AES-256-GCM", value=rate / aes_rate, at_least=0.2 if judged else None
            )


def _ways(secret: bytes) -> dict[str, ChaosParameters]:
    """Return the parameters of every way to encipher, by its name."""
    ways = {str(name): parameters_from_secret(name, secret) for name in (MapName.LOGISTIC, MapName.LORENZ)}
    hyper = MapName.HYPERLORENZ_DNA
    return ways | {f"{hyper} {each}": parameters_from_secret(hyper, secret, quantiser=each) for each in Quantiser}


def _cipher_candidates(
    name: str, parameters: ChaosParameters, plain: bytes, secret: bytes
) -> dict[str, Callable[[], None]]:
    """Return what is measured of one way: both directions, and the way out with the proof that a device makes."""
    layout = Layout.for_file(len(plain))
    enciphered = b"".join(map(bytes, cipher.encipher(io.BytesIO(plain), layout, parameters, secret)))

    def encipher(*, prove: bool) -> None:
        _drain(cipher.encipher(io.BytesIO(plain), layout, parameters, secret, prove=prove))

    def decipher() -> None:
        _drain(cipher.decipher(io.BytesIO(enciphered), layout, parameters, secret))

    return {
        f"{name} encipher": partial(encipher, prove=False),
        f"{name} encipher and prove": partial(encipher, prove=True),
        f"{name} decipher": decipher,
    }


def _drain(bands: Iterator[memoryview]) -> None:
    for _ in bands:
        pass


# --- seal and open --------------------------------------------------------------------------------------------------


def measure_seal(plan: Plan, folder: Path) -> Iterator[Figure]:
    """The way of one large file into the spool and out of it, beside a synced copy of the same file."""
    site = Site(folder / "seal")
    site.provision()
    image = write_image(site.watched / "large.pnm", plan.seal_bytes, seed=1)
    size = image.stat().st_size
    bench = _SealBench(site, image)
    try:
        timings = interleaved(
            {"copy": bench.copy, "hash": bench.hash, "seal": bench.seal, "open": bench.open}, plan.disk_rounds
        )
    finally:
        bench.close()
    limit = Limit(name="copy and fsync", value=timings["copy"].rate(size))
    megabytes = round(size / MEGABYTE)
    yield Figure(
        part="seal",
        name=f"settled file of {megabytes} MB to spool",
        value=timings["seal"].rate(size),
        unit=_RATE,
        at_least=150,
        limit=limit,
        cpu_seconds=timings["seal"].cpu,
        note=f"hash first, encipher, prove, seal, sign, sync; its two SHA-256 passes alone run at "
        f"{timings['hash'].rate(2 * size):.0f} MB/s each",
    )
    yield Figure(
        part="seal",
        name="sealed image to store",
        value=timings["open"].rate(size),
        unit=_RATE,
        limit=limit,
        cpu_seconds=timings["open"].cpu,
        note="verify the bulk, open, decipher, compare the hash, sync",
    )


class _SealBench:
    """The real parts of both ends over one file, without the broker between them."""

    def __init__(self, site: Site, image: Path) -> None:
        config = DeviceConfig.load(site.device_config, environ={}, overrides={})
        receiver = ReceiverConfig.load(site.receiver_config, environ={}, overrides={})
        self._receiver = ReceiverKeyring.load(receiver, environ={})
        self._file = settled(image)
        self._copy = site.folder / "copy"
        self._inspector = inspector_for(config)
        self._sealer = sealer_for(config, DeviceKeyring.load(config, environ={}), self._inspector, scratch=site.folder)
        self._spool = Spool(site.folder / "spool", max_bytes=config.spool.max_bytes, reserve_bytes=0)
        self._sequence = 0
        self._image: SpooledImage | None = None

    def close(self) -> None:
        self._sealer.close()
        self._inspector.close()

    def copy(self) -> None:
        copy_durably(self._file.path, self._copy)

    def hash(self) -> None:
        for _ in range(2):
            hash_file(self._file)

    def seal(self) -> None:
        if self._image is not None:
            self._spool.discard(self._image)
        self._sequence += 1
        inspection = self._sealer.inspect(self._file)
        sha256 = hash_file(self._file)
        entropy = Entropy.draw(secrets.token_bytes)

        def write(sink: BinaryIO) -> SignedEnvelope:
            sealed = self._sealer.seal(
                self._file, inspection, sink, sequence=self._sequence, entropy=entropy, sha256=sha256
            )
            return sealed.envelope

        self._image = self._spool.put(self._sequence, entropy.image_id, Origin.of(self._file, sha256), write)

    def open(self) -> None:
        if self._image is None:
            self.seal()
        assert self._image is not None  # noqa: S101 - what `seal` leaves
        with self._image.path.open("rb") as bulk:
            signed = sign.read_envelope(bulk)
            start = bulk.tell()
            manifest = sign.verify_manifest(
                signed,
                devices=self._receiver.devices,
                audience=self._receiver.receiver_id,
                bulk_limit=1 << 40,
            )
            verified = sign.verify_bulk(manifest, bulk)
            bulk.seek(start)
            with self._copy.open("wb") as target, io.BytesIO() as scratch:
                decrypt.decrypt(verified, bulk, target, unwrappers=self._receiver.unwrappers, scratch=scratch)
                target.flush()
                os.fsync(target.fileno())
        self._copy.unlink()
