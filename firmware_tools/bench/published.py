"""Chaotic image ciphers by the speed that their authors published, in megabytes a second.

Rule: only what was read in the source named; what the source leaves open is said. Other machines, other years: a figure
here is the order of magnitude of its field, and no measurement of this run.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from firmware_tools.bench.figures import Figure
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.timing import MEGABYTE

PART: Final = "published"


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One published time: what took `seconds` for `width` x `height` pixels of `channels` bytes each."""

    title: str
    year: int
    source: str
    width: int
    height: int
    channels: int
    seconds: float
    machine: str
    read: str

    @property
    def rate(self) -> float:
        """The time as MB/s: pixels times bytes a pixel by seconds."""
        return self.width * self.height * self.channels / MEGABYTE / self.seconds

    @property
    def conversion(self) -> str:
        """How the rate follows from what was published."""
        return f"{self.width} x {self.height} x {self.channels} bytes / {1e3 * self.seconds:g} ms"


PUBLISHED: Final = (
    Published(
        title="SPRING: a novel parallel chaos-based image encryption scheme, one CPU core",
        year=2018,
        source="doi:10.1007/s11071-018-4076-6",
        width=512,
        height=512,
        channels=1,
        seconds=0.9126e-3,
        machine="a CPU that the abstract does not name",
        read="abstract: a 512 x 512 grayscale image in serial takes 0.9126 ms",
    ),
    Published(
        title="SPRING: a novel parallel chaos-based image encryption scheme, GPU",
        year=2018,
        source="doi:10.1007/s11071-018-4076-6",
        width=512,
        height=512,
        channels=1,
        seconds=0.0862e-3,
        machine="a GPU that the abstract does not name",
        read="abstract: the same image in parallel takes 0.0862 ms",
    ),
    Published(
        title="Real-Time Bit-Level Encryption of Full High-Definition Video Without Diffusion",
        year=2025,
        source="arXiv:2505.07158",
        width=1920,
        height=1080,
        channels=3,
        seconds=25.84e-3,
        machine="Intel Xeon Gold 6226R with an NVIDIA GeForce RTX 3090",
        read="abstract: 25.84 ms a frame of 1920 x 1080, a GPU thread a pixel and channel; three channels are our reading",
    ),
    Published(
        title="Secure and Fast Image Encryption Algorithm Using Hyper-Chaos-Based Key Generator and Vector Operation",
        year=2021,
        source="doi:10.1109/ACCESS.2021.3118377",
        width=512,
        height=512,
        channels=1,
        seconds=0.023,
        machine="a machine that the abstract does not name",
        read="abstract: 512 x 512 images take 0.023 s on average; one byte a pixel is our reading",
    ),
)


def list_published(_plan: Plan, _folder: Path) -> Iterator[Figure]:
    """Yield each published speed as a figure without limit or target; nothing is measured."""
    for each in PUBLISHED:
        yield Figure(
            part=PART,
            name=f"{each.title} ({each.year})",
            value=each.rate,
            unit="MB/s",
            note=f"{each.conversion}; {each.machine}; {each.read}; {each.source}",
        )
