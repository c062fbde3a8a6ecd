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
# How far ratios of one and the same code lie apart from run to run on two processors with changing other load (measured,
# docs/speed.md). The rate at which a virtual disk syncs changes most, by a factor of ten within an hour.
COMPUTING: Final = 0.3
WAITING: Final = 0.5
SYNCING: Final = 0.8

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
    whole = isinstance(report, dict) and isinstance(report.get("figures"), list)
    if not whole or not isinstance(report.get("machine"), dict) or not set(DESCRIBED) <= set(report["machine"]):
        raise UsageError("the figures to compare with are no report of this benchmark")
    return dict(report)


def regressions(figures: Sequence[Figure], committed: Mapping[str, Any]) -> list[Regression]:
    """Return what became worse by more than its margin, the worst first."""
    before = {
        (str(each.get("part")), str(each.get("name")), str(each["limit"].get("name"))): each["ratio"]
        for each in committed["figures"]
        if isinstance(each, dict) and isinstance(each.get("limit"), dict) and isinstance(each.get("ratio"), float)
    }
    found = []
    for figure in figures:
        then = before.get((figure.part, figure.name, figure.limit.name if figure.limit is not None else ""))
        now = figure.ratio
        if figure.failed is not None or not then or not now:
            continue
        share = then / now if figure.less_is_better else now / then
        margin = margin_of(figure)
        if share < 1 - margin:
            found.append(Regression(figure=figure, before=then, share=share, margin=margin))
    return sorted(found, key=lambda each: each.share)


def margin_of(figure: Figure) -> float:
    """Return the share that a figure's ratio may lose before it counts as fallen."""
    if figure.limit is not None and figure.limit.name in SYNCED_LIMITS:
        return SYNCING
    return COMPUTING if figure.part in _COMPUTING_PARTS or figure.unit.startswith(CPU_TIME) else WAITING


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
