"""What published ciphers report, as data with their origin, and what of it cannot be so.

The rule kept here: a value stands here only if it was read in the source that is named beside it. The two systems that the
product's ciphers follow are here with what is known of them; their own tables are not, because their text was not to be
had, and nothing is put in their place.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from firmware_tools.evaluation import metrics

_RARE: Final = 0.001
"""What noise does less often than this, a published figure is said not to be."""
_CHANCE: Final = 0.05
"""Decibels that a PSNR may lie off by chance, or by rounding, of images of 256 x 256 and more."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where values were read.

    Attributes:
        what: the cipher.
        source: who published it, where and when.
        link: its DOI or address.
        read: which part of it was read.
    """

    what: str
    source: str
    link: str
    read: str


@dataclass(frozen=True, slots=True)
class Published:
    """What one source reports of its cipher images, all of 8 bits a sample. None is what it does not report.

    Attributes:
        origin: where it was read.
        images: what was enciphered.
        side: pixels a side, where all have one size.
        entropy: bits a sample.
        npcr, uaci: percent.
        psnr: of plain and cipher image, dB.
        correlations: of horizontal, vertical and diagonal neighbours.
        seconds: to encipher one image.
        key_bits: binary logarithm of the number of keys it claims.
        decimals: digits after the point that entropy is given with.
    """

    origin: Origin
    images: str
    side: int | None = None
    entropy: float | None = None
    npcr: float | None = None
    uaci: float | None = None
    psnr: float | None = None
    correlations: tuple[float, float, float] | None = None
    seconds: float | None = None
    key_bits: int | None = None
    decimals: int = 4


FOLLOWED: Final = (
    Origin(
        "cipher A: metadata, MobileNetV2 or ResNet-18, logistic or Lorenz map, AES and RSA",
        "the metadata-driven system that cipher A follows",
        "edge/PROTOCOL.md, 3",
        "its construction; its text and tables were not available",
    ),
    Origin(
        "cipher B: signs of 1000 VGG16 features, hyperchaotic Lorenz, DNA addition, MD5 signature",
        "the digitally signed system that cipher B follows",
        "edge/PROTOCOL.md, 3",
        "its construction and its example key [4.2314, 13.0451, 50.7751, 23.3523, 43, 201]; its tables were not available",
    ),
)
"""The two systems themselves, of which no table is included."""

PUBLISHED: Final = (
    Published(
        Origin(
            "5-D hyperchaos, U-Net, DNA",
            "Subathra and Thanikaiselvan, Scientific Reports 15, 22628 (2025)",
            "https://doi.org/10.1038/s41598-025-04906-4",
            "abstract; its key space is printed there as 2500, read as 2 to the 500",
        ),
        "medical images, averages",
        side=256,
        entropy=7.9971,
        npcr=99.61,
        uaci=33.49,
        correlations=(-0.0018, -0.0002, 0.0007),
        seconds=2.93,
        key_bits=500,
    ),
    Published(
        Origin(
            "MobileNetV3, Lu system, DNA cipher feedback",
            "Garuda (Indonesia's index of journals), record 5871444 (2025)",
            "https://garuda.kemdiktisaintek.go.id/documents/detail/5871444",
            "abstract",
        ),
        "brain MR images",
        entropy=7.9998,
        npcr=99.58,
        uaci=29.93,
        psnr=7.43,
        seconds=0.24,
    ),
    Published(
        Origin(
            "MobileNetV3, AES in counter mode, DNA, cat and tent map",
            "International Journal of Safety and Security Engineering 16 (2026), paper 160302",
            "https://doi.org/10.18280/ijsse.160302",
            "abstract",
        ),
        "five photographs of the USC-SIPI collection, several sizes",
        entropy=7.9999,
        npcr=99.61,
        uaci=33.4754,
        seconds=0.6716,
    ),
    Published(
        Origin(
            "multi-scroll attractor and quantum logistic map",
            "Anitha and Vijayalakshmi, Computers, Materials & Continua 72(2) (2022)",
            "https://doi.org/10.32604/cmc.2022.021519",
            "abstract; of its entropies, 7.9 to 7.901, the higher one",
        ),
        "various images",
        entropy=7.901,
        npcr=99.6,
        uaci=33.4,
        decimals=3,
    ),
    Published(
        Origin(
            "4-D chaotic map, LSTM, DNA",
            "Entropy 27(11), 1149 (2025)",
            "https://doi.org/10.3390/e27111149",
            "abstract; entropy is given there as 7.99 to 8.00 bits, its key space as 2384, read as 2 to the 384",
        ),
        "medical images in colour",
        npcr=99.6,
        uaci=33.3,
        key_bits=384,
    ),
)


def remarks(published: Published) -> Iterator[str]:
    """Yield what of the values cannot come from the formula of their name, or from one and the same image.

    Each value is taken to lie anywhere within its last printed digit. Nothing is yielded of values that can be.
    """
    smallest = _fewest_samples(published)
    if published.side is not None and published.entropy is not None:
        noise = metrics.noise_entropy(published.side**2, 8)
        yield (
            f"Entropy: noise of {published.side} x {published.side} samples has {noise:.4f} bits, not 8; "
            f"{published.entropy} is {'no worse' if published.entropy >= noise - 5e-4 else 'less'}."
        )
    elif published.entropy is not None and smallest < 64**2:
        yield (
            f"Entropy: noise of 256 x 256 samples has {metrics.noise_entropy(256**2, 8):.4f} bits. {published.entropy} is what "
            f"noise of some {_rounded(smallest)} samples has, so of a larger image it is far from that of noise."
        )
    elif published.entropy is not None:
        yield (
            f"Entropy: {published.entropy} needs some {_rounded(smallest)} samples or more, however good the cipher; noise of "
            f"256 x 256 has {metrics.noise_entropy(256**2, 8):.4f}."
        )
    yield from _of_npcr(published, smallest)
    yield from _of_uaci(published)
    yield from _of_psnr(published)


def _of_npcr(published: Published, smallest: float) -> Iterator[str]:
    if published.npcr is None or published.entropy is None or published.side is not None or not math.isfinite(smallest):
        return
    bounds = metrics.npcr_bounds(round(smallest), 8, _RARE)
    if published.npcr + 0.005 < bounds.low and smallest >= 64**2:
        yield (
            f"NPCR: of images large enough for that entropy 999 pairs of 1,000 have {bounds.low:.3f} % or more (Wu et al. 2011); "
            f"{published.npcr} % is less, so the two are hardly of one image."
        )


def _of_uaci(published: Published) -> Iterator[str]:
    if published.uaci is None:
        return
    if published.side is not None:
        bounds = metrics.uaci_bounds(published.side**2, 8)
        inside = bounds.low <= published.uaci <= bounds.high
        yield (
            f"UACI: between two cipher images of this size 95 of 100 lie within {bounds.low:.3f} and {bounds.high:.3f} %; "
            f"{published.uaci} % lies {'within' if inside else 'outside'}."
        )
        return
    mean = metrics.uaci_bounds(256**2, 8).mean
    if abs(published.uaci - mean) > 1:
        yield (
            f"UACI: between two cipher images it is {mean:.2f} %. {published.uaci} % can be that of a plain and a cipher image, "
            "where it says something of the plain image and nothing of the cipher."
        )


def _of_psnr(published: Published) -> Iterator[str]:
    if published.psnr is None or published.uaci is None:
        return
    # An average of PSNRs is never below the PSNR of the average error.
    least = metrics.psnr_of(metrics.mse_of_uaci(published.uaci + 0.005, 8), 8)
    if published.psnr + _CHANCE < least:
        implied = (255**2 / 10 ** (published.psnr / 10) + 255 * 257 / 6) / (255 * 256) * 100
        yield (
            f"PSNR: against noise, UACI fixes the squared error of any image: {published.uaci} % gives {least:.2f} dB or more. "
            f"{published.psnr} dB belongs to {implied:.2f} %, so the two are not of the same pairs, or not of noise."
        )


def _fewest_samples(published: Published) -> float:
    """Return how many noise samples have the entropy, the last digit rounded down."""
    if published.entropy is None:
        return math.inf
    return metrics.samples_of_entropy(published.entropy - 0.5 * 10.0**-published.decimals, 8)


def _rounded(number: float) -> str:
    digits = max(0, math.floor(math.log10(number)) - 1)
    return f"{round(number / 10**digits) * 10**digits:,.0f}"
