"""Measure every way on every image: the papers' figures, and what they should be beside them.

The rule kept here: what is measured is one encipherment with a fresh secret, as in use; nothing is averaged over tries or
chosen among them.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from firmware_tools.evaluation import metrics, sensitivity
from firmware_tools.evaluation.images import Sample
from firmware_tools.evaluation.metrics import Bounds, Direction
from firmware_tools.evaluation.sensitivity import Change
from firmware_tools.evaluation.ways import Image, Way

PAIRS = 2000
"""Random pairs of neighbours, as the second paper takes them, beside all pairs."""


@dataclass(frozen=True, slots=True)
class Correlation:
    """How neighbours correlate in one direction: all pairs, and 2,000 random ones."""

    direction: str
    all_pairs: float
    random_pairs: float


@dataclass(frozen=True, slots=True)
class Looks:
    """What one image looks like, plain or enciphered.

    Attributes:
        entropy: bits a sample.
        local_entropy: bits a sample over thirty blocks, None of an image that has not so many.
        chi_square_p: the P-value of a flat histogram.
        correlations: in each direction.
    """

    entropy: float
    local_entropy: float | None
    chi_square_p: float
    correlations: tuple[Correlation, ...]


@dataclass(frozen=True, slots=True)
class Measured:
    """One way on one image.

    Attributes:
        image, way: their names.
        shape: rows, columns, channels.
        bits: bits a sample.
        plain, cipher: what both images look like.
        noise_entropy: what entropy noise of as many samples has on the average, bits a sample.
        local_bounds: what local entropy noise has.
        against_plain: NPCR and UACI of plain and cipher image, the first paper's use.
        uaci_expected: what UACI any cipher must give against this plain image, whatever its quality.
        mse, psnr: of plain and cipher image; dB.
        mse_back, psnr_back: of plain and deciphered image: 0 and infinite, or the cipher has failed.
        system: what one changed pixel changes, with a fresh secret each.
        core: the same under one key.
        key_seconds, encipher_seconds, decipher_seconds: how long each took, the network's inference within the first.
    """

    image: str
    way: str
    shape: tuple[int, int, int]
    bits: int
    plain: Looks
    cipher: Looks
    noise_entropy: float
    local_bounds: Bounds
    against_plain: Change
    uaci_expected: float
    mse: float
    psnr: float
    mse_back: float
    psnr_back: float
    system: Change
    core: Change
    key_seconds: float
    encipher_seconds: float
    decipher_seconds: float


def looks_of(image: Image, generator: np.random.Generator) -> Looks:
    """Measure one image."""
    blocks = (image.shape[0] // metrics.LOCAL_SIDE) * (image.shape[1] // metrics.LOCAL_SIDE)
    return Looks(
        entropy=metrics.entropy(image),
        local_entropy=metrics.local_entropy(image, generator) if blocks >= metrics.LOCAL_BLOCKS else None,
        chi_square_p=metrics.uniformity(image)[1],
        correlations=tuple(
            Correlation(
                direction.name.lower(),
                metrics.adjacent_correlation(image, direction),
                metrics.adjacent_correlation(image, direction, pairs=PAIRS, generator=generator),
            )
            for direction in Direction
        ),
    )


def measure(way: Way, sample: Sample, plain: Looks, generator: np.random.Generator) -> Measured:
    """Measure one way on one image.

    Args:
        way: What enciphers.
        sample: The image.
        plain: What it looks like, from `looks_of`.
        generator: Where random pairs, blocks and pixels come from; keys come from the system.
    """
    image = sample.samples
    began = time.perf_counter()
    key = way.key(image, sample.moment)
    keyed = time.perf_counter()
    cipher = way.encipher(image, key)
    enciphered = time.perf_counter()
    back = way.decipher(cipher, key)
    deciphered = time.perf_counter()
    system, core = sensitivity.differential(way, image, sample.moment, generator)
    bits = metrics.bits_of(image)
    rows, columns, *depth = image.shape
    channels = depth[0] if depth else 1
    return Measured(
        image=sample.name,
        way=way.name,
        shape=(rows, columns, channels),
        bits=bits,
        plain=plain,
        cipher=looks_of(cipher, generator),
        noise_entropy=metrics.noise_entropy(image.size, bits),
        local_bounds=metrics.local_entropy_bounds(bits, channels=channels),
        against_plain=sensitivity.change("plain and cipher", image, cipher),
        uaci_expected=metrics.uaci_from(image),
        mse=metrics.mse(image, cipher),
        psnr=metrics.psnr(image, cipher),
        mse_back=metrics.mse(image, back),
        psnr_back=metrics.psnr(image, back),
        system=system,
        core=core,
        key_seconds=keyed - began,
        encipher_seconds=enciphered - keyed,
        decipher_seconds=deciphered - enciphered,
    )


def measure_all(ways: Sequence[Way], sample: Sample, *, seed: int) -> Iterator[Measured]:
    """Measure all ways on one image."""
    plain = looks_of(sample.samples, np.random.default_rng([seed, 0]))
    for number, way in enumerate(ways, 1):
        # The first run of a way loads its network and warms its buffers; times are taken of the second.
        small = sample.samples[:64, :64]
        way.encipher(small, way.key(small, sample.moment))
        yield measure(way, sample, plain, np.random.default_rng([seed, number]))
