"""What a benchmark says: figures with target and physical limit, as a table for people and JSON for machines.

Rule: a figure never stands alone. Beside it stand its target, if it has one, and what the same machine could do at best
in the same run, because megabytes a second on an unknown, busy machine say nothing.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

import numpy as np

from edge import __version__
from edge.cli.common import shown

_HEADINGS: Final = ("PART", "FIGURE", "MEASURED", "TARGET", "VERDICT", "LIMIT IN THIS RUN", "RATIO", "CPU SECONDS")


class Verdict(StrEnum):
    """What a figure says of its target. A skipped one could not be measured here, a broken one should have been."""

    PASS = "pass"  # noqa: S105 - a verdict, no password
    FAIL = "FAIL"
    NONE = "-"
    SKIPPED = "skipped"
    BROKEN = "BROKEN"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What bounds a figure physically, measured in the same run and in the figure's unit."""

    name: str
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured number.

    `at_least` and `at_most` are its target, of which it has one or none. `cpu_seconds` is the processor time of one
    round, which other load on the machine changes less than the time on the clock. `note` says why it was skipped or
    broke, or what else belongs to it.
    """

    part: str
    name: str
    value: float = 0.0
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    limit: Limit | None = None
    cpu_seconds: float | None = None
    note: str = ""
    failed: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether the target is met."""
        if self.failed is not None:
            return self.failed
        if self.at_least is not None:
            return Verdict.PASS if self.value >= self.at_least else Verdict.FAIL
        if self.at_most is not None:
            return Verdict.PASS if self.value <= self.at_most else Verdict.FAIL
        return Verdict.NONE

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its physical limit."""
        return self.value / self.limit.value if self.limit is not None and self.limit.value else None


def skipped(part: str, why: str) -> Figure:
    """Return what stands for a part that cannot be measured on this machine."""
    return Figure(part=part, name="not measured", note=why, failed=Verdict.SKIPPED)


def broken(part: str, why: str) -> Figure:
    """Return what stands for a part that ended with an error."""
    return Figure(part=part, name="not measured", note=why, failed=Verdict.BROKEN)


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as an aligned table, with the notes below it."""
    rows = [_row(figure) for figure in figures]
    notes = [f"{figure.part}: {figure.name}: {figure.note}" for figure in figures if figure.note]
    return "\n".join([shown(_HEADINGS, rows), *([""] if notes else []), *notes])


def report(figures: Sequence[Figure]) -> dict[str, object]:
    """Return the figures and the machine as plain JSON values."""
    return {
        "version": __version__,
        "machine": machine(),
        "figures": [
            asdict(figure) | {"verdict": figure.verdict.value, "ratio": figure.ratio, "failed": None}
            for figure in figures
        ],
    }


def machine() -> Mapping[str, object]:
    """Return what of this machine the figures depend on."""
    return {
        "processor": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "system": platform.system(),
        "python": platform.python_version(),
        "numpy": np.__version__,
    }


def _row(figure: Figure) -> tuple[str, ...]:
    if figure.failed is not None:
        return (figure.part, figure.name, "", "", figure.verdict.value, "", "", "")
    target = ""
    if figure.at_least is not None:
        target = f">= {_number(figure.at_least)}"
    if figure.at_most is not None:
        target = f"<= {_number(figure.at_most)}"
    return (
        figure.part,
        figure.name,
        f"{_number(figure.value)} {figure.unit}".rstrip(),
        target,
        figure.verdict.value,
        f"{_number(figure.limit.value)} ({figure.limit.name})" if figure.limit is not None else "",
        f"{figure.ratio:.2f}" if figure.ratio is not None else "",
        f"{figure.cpu_seconds:.2f}" if figure.cpu_seconds is not None else "",
    )


def _number(value: float) -> str:
    """Write a number with three significant digits, and whole where it is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
