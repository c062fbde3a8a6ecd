"""Whether something became slower: this run's ratios beside those of the run that was committed last.

Rule: ratios to a limit of the same run are compared, never the figures themselves, which say as much of the machine and its
other load as of the code. What fell by more than the noise of its part is named; a figure that only one of the runs has
is passed over.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.cli.common import shown
from edge.errors import UsageError
from firmware_tools.bench.figures import CPU_TIME, DESCRIBED, SYNCED_LIMITS, Figure, number

COMMITTED: Final = Path(__file__).with_name("last.json")


@dataclass(frozen=True, slots=True)
class Margins:
    """The shares that ratios may lose: what only computes, what waits for processes, what is held against a disk."""

    computing: float
    waiting: float
    syncing: float


# How far ratios of one and the same code lie apart from run to run (docs/speed.md). Two runs on two processors with
# changing other load lay up to these apart: what shares a core with another thread loses more than AES-256-GCM does, and a
# virtual disk syncs ten times as fast in one minute as in another.
BUSY: Final = Margins(computing=0.6, waiting=0.65, syncing=0.9)
QUIET: Final = Margins(computing=0.25, waiting=0.5, syncing=0.8)
# Runnable threads a processor, before the run, from which on a machine counts as busy.
_BUSY_LOAD: Final = 0.5
_COMPUTING_PARTS: Final = frozenset({"cipher", "memory"})
_HEADINGS: Final = ("PART", "FIGURE", "RATIO THEN", "RATIO NOW", "FELL TO", "MARGIN")


@dataclass(frozen=True, slots=True, kw_only=True)
class Regression:
    """A figure that is worse than the committed one beyond noise; `share` is what is left of it, below 1."""

    figure: Figure
    before: float
    share: float
    margin: float


def read_committed(path: Path = COMMITTED) -> Mapping[str, Any]:
    """Read a report that `bench --json` wrote.

    Raises:
        UsageError: it cannot be read, or is no such report.
    """
    try:
        report = json.loads(path.read_text())
    except OSError as error:
        raise UsageError(f"the figures to compare with cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError("the figures to compare with are no JSON") from error
    if not isinstance(report, dict) or not isinstance(report.get("figures"), list) or not _told(report.get("machine")):
        raise UsageError("the figures to compare with are no report of this benchmark")
    return dict(report)


def _told(machine: object) -> bool:
    """Say whether a report tells of its machine what is needed here."""
    if not isinstance(machine, dict) or not set(DESCRIBED) <= set(machine):
        return False
    return isinstance(machine["load"], int | float) and isinstance(machine["processors"], int)


def regressions(
    figures: Sequence[Figure], machine: Mapping[str, Any], committed: Mapping[str, Any]
) -> list[Regression]:
    """Return what became worse by more than its margin, the worst first."""
    before = {
        (str(each.get("part")), str(each.get("name")), str(each["limit"].get("name"))): each["ratio"]
        for each in committed["figures"]
        if isinstance(each, dict) and isinstance(each.get("limit"), dict) and isinstance(each.get("ratio"), float)
    }
    margins = BUSY if busy(machine) or busy(committed["machine"]) else QUIET
    found = []
    for figure in figures:
        then = before.get((figure.part, figure.name, figure.limit.name if figure.limit is not None else ""))
        now = figure.ratio
        if figure.failed is not None or not then or not now:
            continue
        share = then / now if figure.less_is_better else now / then
        margin = _margin(figure, margins)
        if share < 1 - margin:
            found.append(Regression(figure=figure, before=then, share=share, margin=margin))
    return sorted(found, key=lambda each: each.share)


def busy(machine: Mapping[str, Any]) -> bool:
    """Say whether other load disturbed a run."""
    return bool(machine["load"] / machine["processors"] >= _BUSY_LOAD)


def _margin(figure: Figure, margins: Margins) -> float:
    if figure.limit is not None and figure.limit.name in SYNCED_LIMITS:
        return margins.syncing
    # Processor time is what other load changes least.
    if figure.unit.startswith(CPU_TIME):
        return QUIET.waiting
    return margins.computing if figure.part in _COMPUTING_PARTS else margins.waiting


def told(found: Sequence[Regression]) -> str:
    """Return the regressions as a table for a person, one sentence where there is none."""
    if not found:
        return "no ratio fell by more than its margin"
    rows = [
        (
            each.figure.part,
            each.figure.name,
            number(each.before),
            number(each.figure.ratio or 0.0),
            f"{100 * each.share:.0f} %",
            f"{100 * each.margin:.0f} %",
        )
        for each in found
    ]
    return shown(_HEADINGS, rows)
