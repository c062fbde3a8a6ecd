"""All that an evaluation found, and the two files of it that machines read.

The rule kept here: JSON holds everything but the pictures; CSV holds one line for each way on each image.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from firmware_tools.evaluation.dynamics import Cycles, Range, Repeats, Spectrum
from firmware_tools.evaluation.keyspace import KeySpace, key_spaces
from firmware_tools.evaluation.measure import Measured
from firmware_tools.evaluation.published import PUBLISHED, Published
from firmware_tools.evaluation.robustness import Damaged
from firmware_tools.evaluation.sp800_22.assessment import Assessment
from firmware_tools.evaluation.speed import Timed


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one attack came to, against a key made from the time stamp and against the product.

    Attributes:
        attack: what was tried, on which way.
        on_the_papers, on_the_product: what came out, in a sentence each.
        broken: whether it broke the first.
        held: whether the second held.
    """

    attack: str
    on_the_papers: str
    on_the_product: str
    broken: bool
    held: bool


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What the last bit of one part of the key changes, in percent of the samples: of the cipher image, and deciphering."""

    way: str
    part: str
    enciphered: float
    deciphered: float
    bound: float


class Topic(Enum):
    """What a picture shows."""

    IMAGES = "images"
    MAPS = "maps"
    DAMAGE = "damage"
    SPEED = "speed"


@dataclass(frozen=True, slots=True)
class Drawn:
    """A picture: what it shows, and a PNG file."""

    topic: Topic
    caption: str
    png: bytes


@dataclass(slots=True)
class Findings:
    """All that an evaluation found.

    Attributes:
        title: what was evaluated.
        made: when and with what, name by name.
        measured: each way on each image.
        left_out: files that are no images, with the reason.
        beside: each way on the middle 256 x 256 samples of each image of 8 bits, to stand beside published values.
        published: what others report.
        key_spaces: how many keys there are, counted in several ways.
        sensitivities: of each part of each way's key.
        attacks: what was tried against papers and product.
        damaged: what the bare cipher gives back of damaged cipher images.
        spectra: Lyapunov exponents at the first image's parameters.
        ranges: Lyapunov exponents over all parameters that a map may have.
        cycles: how long the cycles of single orbits are.
        repeats: how many of the cipher's lanes meet a cycle.
        speeds: seconds by size and kind of image.
        randomness: SP 800-22 of each way's cipher images; empty where it was not asked for.
        pictures: in the order in which they are shown.
    """

    title: str
    made: Mapping[str, str]
    measured: list[Measured] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    beside: list[Measured] = field(default_factory=list)
    published: tuple[Published, ...] = PUBLISHED
    key_spaces: tuple[KeySpace, ...] = field(default_factory=lambda: tuple(key_spaces()))
    sensitivities: list[Sensitivity] = field(default_factory=list)
    attacks: list[Attacked] = field(default_factory=list)
    damaged: list[Damaged] = field(default_factory=list)
    spectra: list[Spectrum] = field(default_factory=list)
    ranges: list[Range] = field(default_factory=list)
    cycles: list[Cycles] = field(default_factory=list)
    repeats: list[Repeats] = field(default_factory=list)
    speeds: list[Timed] = field(default_factory=list)
    randomness: dict[str, list[Assessment]] = field(default_factory=dict)
    pictures: list[Drawn] = field(default_factory=list)


def as_json(findings: Findings) -> str:
    """Return everything but the pictures as JSON; what is not finite is null, and infinite PSNR with it."""
    fields = {name: getattr(findings, name) for name in Findings.__slots__ if name != "pictures"}
    return json.dumps(_finite(json.loads(json.dumps(fields, default=asdict))), indent=1) + "\n"


def as_csv(findings: Findings) -> str:
    """Return one line for each way on each image."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([name for name, _ in _columns(findings.measured[0])] if findings.measured else ["image", "way"])
    for each in findings.measured:
        writer.writerow([value for _, value in _columns(each)])
    return target.getvalue()


def _columns(each: Measured) -> list[tuple[str, Any]]:
    """Return a measurement as named values without structure."""
    columns: list[tuple[str, Any]] = []

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{name}.{key}" if name else key, inner)
        elif isinstance(value, list | tuple):
            for number, inner in enumerate(value):
                walk(f"{name}.{number}", inner)
        else:
            columns.append((name, value))

    walk("", asdict(each))
    return columns


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
