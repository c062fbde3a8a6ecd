"""What a benchmark says: figures with target and physical limit, as a table for people and JSON for machines.

Rule: a figure never stands alone. Beside it stand its target, if it has one, and what the same machine could do at best
in the same run, because megabytes a second on an unknown, busy machine say nothing.
"""

from __future__ import annotations

import importlib
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from enum import StrEnum
from pathlib import Path
from typing import Final

import numpy as np

from edge import __version__
from edge.chaos import kernel
from edge.cli.common import shown

_HEADINGS: Final = ("PART", "FIGURE", "MEASURED", "TARGET", "VERDICT", "LIMIT IN THIS RUN", "RATIO", "CPU SECONDS")
DESCRIBED: Final = ("date", "processors", "processor", "load", "python", "numpy", "kernel")
# Limits of more than one part.
COPIED: Final = "copy and fsync"
SYNCED: Final = "new files synced"
SYNCED_LIMITS: Final = frozenset({COPIED, SYNCED})
# How units of processor time begin; what they are for follows.
CPU_TIME: Final = "ms CPU/"
_LESS_IS_BETTER: Final = frozenset({"s", "ms", "MB", "bytes", "% CPU"})


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

    `at_least` and `at_most` are its target, of which it has one or none; `ratio_at_least` is a target for its multiple
    of the limit. `cpu_seconds` is the processor time of one round, which other load on the machine changes less than
    the time on the clock. `note` says why it was skipped or broke, or what else belongs to it.
    """

    part: str
    name: str
    value: float = 0.0
    unit: str = ""
    at_least: float | None = None
    at_most: float | None = None
    ratio_at_least: float | None = None
    limit: Limit | None = None
    cpu_seconds: float | None = None
    note: str = ""
    failed: Verdict | None = None

    @property
    def verdict(self) -> Verdict:
        """Whether every target is met."""
        if self.failed is not None:
            return self.failed
        met = [
            *([self.value >= self.at_least] if self.at_least is not None else []),
            *([self.value <= self.at_most] if self.at_most is not None else []),
            *([(self.ratio or 0.0) >= self.ratio_at_least] if self.ratio_at_least is not None else []),
        ]
        return (Verdict.PASS if all(met) else Verdict.FAIL) if met else Verdict.NONE

    @property
    def ratio(self) -> float | None:
        """The figure as a multiple of its physical limit."""
        return self.value / self.limit.value if self.limit is not None and self.limit.value else None

    @property
    def less_is_better(self) -> bool:
        """Whether a smaller number is the better one: times, memory and load."""
        return self.unit in _LESS_IS_BETTER or self.unit.startswith(CPU_TIME)


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


def report(figures: Sequence[Figure], machine: Mapping[str, object]) -> dict[str, object]:
    """Return the figures and the machine as plain JSON values."""
    return {
        "version": __version__,
        "machine": dict(machine),
        "figures": [
            asdict(figure) | {"verdict": figure.verdict.value, "ratio": figure.ratio, "failed": None}
            for figure in figures
        ],
    }


def machine() -> Mapping[str, object]:
    """Return what of this machine, now, the figures depend on; `load` is what else ran on it before the first round."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "processor": _processor(),
        "architecture": platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "kernel": cipher_kernel(),
    }


def described(machine: Mapping[str, object]) -> str:
    """Return one line on the machine, which has the keys of `DESCRIBED`, for a person."""
    date, processors, processor, load, python, numpy, kernel = (machine[key] for key in DESCRIBED)
    return (
        f"{date}: {processors} processors ({processor}), load {load} before; "
        f"Python {python}, NumPy {numpy}, cipher kernel: {kernel}"
    )


def cipher_kernel() -> str:
    """Return what the ciphers run on: the compiled kernel and its instructions, or NumPy."""
    importlib.import_module("edge.chaos.cipher")  # which decides
    return kernel.described()


def _processor() -> str:
    """Return the processor's name as the kernel gives it, as Python does where there is no such file or line."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or platform.machine()


def _row(figure: Figure) -> tuple[str, ...]:
    if figure.failed is not None:
        return (figure.part, figure.name, "", "", figure.verdict.value, "", "", "")
    targets = (
        (">= ", figure.at_least),
        ("<= ", figure.at_most),
        ("ratio >= ", figure.ratio_at_least),
    )
    return (
        figure.part,
        figure.name,
        f"{number(figure.value)} {figure.unit}".rstrip(),
        ", ".join(f"{sign}{number(target)}" for sign, target in targets if target is not None),
        figure.verdict.value,
        f"{number(figure.limit.value)} ({figure.limit.name})" if figure.limit is not None else "",
        number(figure.ratio) if figure.ratio is not None else "",
        f"{figure.cpu_seconds:.2f}" if figure.cpu_seconds is not None else "",
    )


def number(value: float) -> str:
    """Write a number with three significant digits, and whole where it is large."""
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
