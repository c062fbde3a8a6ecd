"""Each way to encipher, side by side: how long one image takes, how much larger it gets, and what its cipher image is like.

The figures by which the default way was chosen (docs/ways.md). Quality is a property of the cipher image inside the
envelope; it is no evidence of security, which rests on the envelope.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.chaos import cipher
from edge.chaos.layout import Layout
from edge.config import DeviceConfig
from edge.demo.phantoms import PhantomKind, draw
from edge.encrypt import Entropy
from edge.intake.opening import hash_file
from edge.keyring import DeviceKeyring
from edge.records import KeyFileMode, MapName, NetworkName, Quantiser
from edge.sealing import Sealed, Sealer, inspector_for, sealer_for
from firmware_tools.bench.cipher import AES, references, sized
from firmware_tools.bench.figures import Figure, Limit
from firmware_tools.bench.images import settled
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import Site
from firmware_tools.bench.timing import interleaved

PART: Final = "ways"
_SEED: Final = 7


@dataclass(frozen=True, slots=True)
class Way:
    """One way to encipher: the configuration keys that choose it."""

    map: MapName
    network: NetworkName = NetworkName.MOBILENETV2
    quantiser: Quantiser = Quantiser.WIDE
    key_file: KeyFileMode = KeyFileMode.COMPACT

    @property
    def name(self) -> str:
        """What it is called in the table."""
        hyper = self.map is MapName.HYPERLORENZ_DNA
        explicit = ", explicit key file" if self.key_file is KeyFileMode.EXPLICIT else ""
        return f"{self.map} {self.quantiser if hyper else self.network}{explicit}"


WAYS: Final = (
    *(Way(chaotic_map, network) for chaotic_map in (MapName.LOGISTIC, MapName.LORENZ) for network in NetworkName),
    *(Way(MapName.HYPERLORENZ_DNA, quantiser=quantiser) for quantiser in Quantiser),
)


def measure_ways(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Seal one chest radiograph in every way, and look at the cipher image of each."""
    site = Site(folder / "ways")
    site.provision()
    pixels = draw(PhantomKind.CHEST, _SEED)[: plan.ways_rows]
    image = site.watched / "chest.tif"
    # Uncompressed: what is enciphered is as orderly as pixels are.
    Image.fromarray(pixels).save(image)
    ways = (*WAYS, *(replace(way, key_file=KeyFileMode.EXPLICIT) for way in (WAYS[0], WAYS[-1])))
    benches = {way.name: _WayBench(site, image, way) for way in ways}
    try:
        candidates = references(image.read_bytes()) | {name: bench.seal for name, bench in benches.items()}
        timings = interleaved(candidates, plan.rounds)
        limit = Limit(name=AES, value=1e3 * timings[AES].wall)
        size = sized(round(image.stat().st_size, -5))
        for name, bench in benches.items():
            timing = timings[name]
            yield Figure(
                part=PART,
                name=f"{name}: seal, {size}",
                value=1e3 * timing.wall,
                unit="ms",
                limit=limit,
                cpu_seconds=timing.cpu,
            )
            yield Figure(part=PART, name=f"{name}: added", value=float(bench.added), unit="bytes")
        for way in WAYS[::2][:2] + WAYS[4:]:
            yield from benches[way.name].quality(pixels)
    finally:
        for bench in benches.values():
            bench.close()


class _WayBench:
    """One image and one way; the network is loaded by the first round, which is not counted."""

    def __init__(self, site: Site, image: Path, way: Way) -> None:
        overrides = {
            "cipher.map": way.map,
            "cipher.network": way.network,
            "cipher.quantiser": way.quantiser,
            "cipher.key_file": way.key_file,
        }
        config = DeviceConfig.load(site.device_config, environ={}, overrides=overrides)
        self._name = way.name
        self._file = settled(image)
        self._sha256 = hash_file(self._file)
        self._inspector = inspector_for(config)
        keyring = DeviceKeyring.load(config, environ={})
        self._sealer: Sealer = sealer_for(config, keyring, self._inspector, scratch=site.folder)
        self._sealed: Sealed | None = None
        self.added = 0

    def close(self) -> None:
        self._sealer.close()
        self._inspector.close()

    def seal(self) -> None:
        sink = io.BytesIO()
        entropy = Entropy.draw(secrets.token_bytes)
        prepared = self._sealer.prepare(self._file, self._sealer.inspect(self._file), self._sha256, entropy)
        self._sealed = self._sealer.seal(prepared, sink, sequence=1)
        self.added = len(sink.getvalue()) - self._file.size

    def quality(self, pixels: NDArray[Any]) -> Iterator[Figure]:
        """Describe the cipher image of these pixels: uniform, uncorrelated, and changed by a change of one bit."""
        if self._sealed is None:
            return
        one = self._enciphered(pixels)
        other = pixels.copy()
        other[len(other) // 2, other.shape[1] // 2] ^= 1
        changed = float((self._enciphered(other) != one).mean())
        shares = np.bincount(one.reshape(-1), minlength=256) / one.size
        entropy = float(-(shares[shares > 0] * np.log2(shares[shares > 0])).sum())
        across = float(np.corrcoef(one[:, :-1].reshape(-1), one[:, 1:].reshape(-1))[0, 1])
        quality = partial(Figure, part=PART)
        yield quality(name=f"{self._name}: entropy", value=entropy, unit="bits a byte")
        yield quality(name=f"{self._name}: correlation of neighbours", value=abs(across))
        yield quality(name=f"{self._name}: changed by one bit", value=100 * changed, unit="%")

    def _enciphered(self, pixels: NDArray[Any]) -> NDArray[np.uint8]:
        """Encipher with one and the same secret, as no device does: the cipher alone is looked at."""
        assert self._sealed is not None  # noqa: S101 - what `seal` leaves
        layout = Layout.for_pixels((1, *pixels.shape, 1), 1)
        bands = cipher.encipher(io.BytesIO(pixels.tobytes()), layout, self._sealed.parameters, bytes(32))
        joined = b"".join([bytes(band) for band in bands])
        return np.frombuffer(joined, np.uint8).reshape(pixels.shape)
