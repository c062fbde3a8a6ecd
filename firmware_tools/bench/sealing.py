"""Sealing to a disk and opening from it: the real parts of both ends without the broker between them."""

from __future__ import annotations

import io
import os
import secrets
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, Final, Self

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from edge import decrypt
from edge.config import DeviceConfig, ReceiverConfig
from edge.encrypt import Entropy
from edge.envelope import sign
from edge.envelope.sign import SignedEnvelope
from edge.errors import StorageError
from edge.intake.opening import hash_file
from edge.keyring import DeviceKeyring, ReceiverKeyring
from edge.sealing import inspector_for, sealer_for
from edge.spool import Origin, Spool, SpooledImage, WithoutOrigin
from firmware_tools.bench.cipher import AES, RATE, encrypt_with_aes, sized
from firmware_tools.bench.figures import COPIED, CPU_TIME, Figure, Limit
from firmware_tools.bench.images import settled, write_image
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import Site
from firmware_tools.bench.timing import MEGABYTE, Timing, copy_durably, interleaved

PART: Final = "seal"
_LEAST: Final = 300.0


def measure_seal(plan: Plan, folder: Path) -> Iterator[Figure]:
    """The way of a file into the spool and out of it, beside a synced copy of the same file; then by size."""
    site = Site(folder / "seal")
    site.provision()
    with SealBench(site, write_image(site.watched / "large.pnm", plan.seal_bytes, seed=1)) as bench:
        size = bench.size
        timings = interleaved(
            {"copy": bench.copy, "hash": bench.hash, "aes": bench.aes, "seal": bench.seal, "open": bench.open},
            plan.disk_rounds,
        )
    limit = Limit(name=COPIED, value=timings["copy"].rate(size))
    yield Figure(
        part=PART,
        name=f"settled file to spool, {sized(plan.seal_bytes)}",
        value=timings["seal"].rate(size),
        unit=RATE,
        at_least=_LEAST if plan.judged else None,
        limit=limit,
        cpu_seconds=timings["seal"].cpu,
        note=f"hash first, encipher, prove, seal, sign, sync; its two SHA-256 passes alone run at "
        f"{timings['hash'].rate(2 * size):.0f} MB/s each",
    )
    yield Figure(
        part=PART,
        name=f"sealed image to store, {sized(plan.seal_bytes)}",
        value=timings["open"].rate(size),
        unit=RATE,
        limit=limit,
        cpu_seconds=timings["open"].cpu,
        note="verify the bulk, open, decipher, compare the hash, sync",
    )
    yield from _processor_time(timings, size)
    for size in plan.seal_sizes:
        yield _by_size(site, size, plan)


def _processor_time(timings: dict[str, Timing], size: int) -> Iterator[Figure]:
    """Processor time a megabyte, which another load changes least; AES-256-GCM alone is its floor."""
    floor = Limit(name=AES, value=1e3 * timings["aes"].cpu / (size / MEGABYTE))
    for name, what in (("seal", "sealing"), ("open", "opening")):
        value = 1e3 * timings[name].cpu / (size / MEGABYTE)
        yield Figure(
            part=PART, name=f"{what}, {sized(round(size, -6))}", value=value, unit=f"{CPU_TIME}MB", limit=floor
        )


def _by_size(site: Site, wanted: int, plan: Plan) -> Figure:
    with SealBench(site, write_image(site.watched / f"{wanted}.pnm", wanted, seed=1)) as bench:
        timings = interleaved({"copy": bench.copy, "seal": bench.seal}, plan.rounds)
        return Figure(
            part=PART,
            name=f"settled file to spool, {sized(wanted)}",
            value=timings["seal"].rate(bench.size),
            unit=RATE,
            limit=Limit(name=COPIED, value=timings["copy"].rate(bench.size)),
            cpu_seconds=timings["seal"].cpu,
            note=f"{1e3 * timings['seal'].wall:.1f} ms an image",
        )


class SealBench:
    """The real parts of both ends over one file; each of its steps may be repeated."""

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
        self._aes = AESGCM(secrets.token_bytes(32))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._image is not None:
            self._spool.discard(self._image)
        self._sealer.close()
        self._inspector.close()

    @property
    def size(self) -> int:
        """Bytes of the file."""
        return self._file.size

    def copy(self) -> None:
        """Copy the file and sync the copy."""
        copy_durably(self._file.path, self._copy)

    def hash(self) -> None:
        """Hash the file twice, as sealing does."""
        for _ in range(2):
            hash_file(self._file)

    def aes(self) -> None:
        """Read the file and encrypt it with AES-256-GCM, and keep nothing."""
        with self._file.path.open("rb", buffering=0) as file:
            for piece in iter(partial(file.read, 16 << 20), b""):
                encrypt_with_aes(piece, self._aes)

    def seal(self) -> None:
        """Seal the settled file into the spool, in place of what was sealed before."""
        if self._image is not None:
            self._spool.discard(self._image)
        self._sequence += 1
        sha256, entropy = hash_file(self._file), Entropy.draw(secrets.token_bytes)
        prepared = self._sealer.prepare(self._file, self._sealer.inspect(self._file), sha256, entropy)

        def write(sink: BinaryIO) -> SignedEnvelope:
            return self._sealer.seal(prepared, sink, sequence=self._sequence).envelope

        written = self._spool.write(self._sequence, entropy.image_id, Origin.of(self._file, sha256), write)
        [outcome] = self._spool.keep([written])
        if isinstance(outcome, StorageError):
            raise outcome
        self._image = outcome

    def open(self) -> None:
        """Open what was sealed into a synced file."""
        if self._image is None:
            self.seal()
        assert self._image is not None  # noqa: S101 - what `seal` leaves
        with self._image.path.open("rb") as file, io.BufferedReader(WithoutOrigin(file)) as bulk:
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
