"""What a network must reach on its int8 file to be worth shipping, line by line.

The rule kept here: each bound stands beside the figure that it judges, in the table and in the model card alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from firmware_tools.acceptance.likeness import Likeness
from firmware_tools.acceptance.spread import PARAMETERS, Spread

LEAST_P: Final = 0.01
MOST_CORRELATION: Final = 0.02
LEAST_EXPONENTS: Final = (0.3, 0.5)
LEAST_R2: Final = 0.95
LEAST_WORST_R2: Final = 0.85
LEAST_DRAWINGS: Final = 0.95
LEAST_REAL: Final = 0.75
ONES: Final = (0.3, 0.7)


NO_BOUND: Final = "-"


@dataclass(frozen=True, slots=True)
class Line:
    """One figure and its bound; a figure without a bound is always met."""

    what: str
    figure: str
    bound: str
    met: bool


def judge(spread: Spread) -> tuple[Line, ...]:
    """Return the verdicts on a parameter network, one line each."""
    logistic, lorenz = spread.distinct
    lines = [
        Line("distinct r", f"{logistic:,} of {spread.records:,}", "all", logistic == spread.records),
        Line("distinct (sigma, rho, beta)", f"{lorenz:,} of {spread.records:,}", "all", lorenz == spread.records),
        Line("parameters outside their range", f"{spread.outside:,}", "none", spread.outside == 0),
    ]
    for name, p in zip(PARAMETERS, spread.uniformity, strict=True):
        lines.append(Line(f"{name} uniform, chi-square p", f"{p:.3f}", f"> {LEAST_P}", p > LEAST_P))
    for name, r in zip(PARAMETERS, spread.correlation, strict=True):
        met = abs(r) < MOST_CORRELATION
        lines.append(
            Line(f"{name} of neighbouring seconds, correlation", f"{r:+.4f}", f"|r| < {MOST_CORRELATION}", met)
        )
    for name, value, least in zip(("logistic", "Lorenz"), spread.exponents, LEAST_EXPONENTS, strict=True):
        lines.append(Line(f"smallest Lyapunov exponent, {name}", f"{value:.3f}", f"> {least}", value > least))
    pairs, same = spread.single_changes
    lines.append(Line("records that differ in one digit, same outputs", f"{same} of {pairs:,}", "none", same == 0))
    mean, worst = spread.r2
    lines += [
        Line("held-out R2, mean of the outputs", f"{mean:.3f}", f">= {LEAST_R2}", mean >= LEAST_R2),
        Line("held-out R2, worst output", f"{worst:.3f}", f">= {LEAST_WORST_R2}", worst >= LEAST_WORST_R2),
    ]
    return tuple(lines)


def judge_features(likeness: Likeness) -> tuple[Line, ...]:
    """Return the verdicts on a feature network, one line each."""
    count, modalities, kinds = likeness.drawings
    low, high = ONES
    lines = [
        _share("drawings whose modality is recognised", modalities, count, LEAST_DRAWINGS),
        Line("drawings whose kind is recognised", f"{kinds} of {count}", NO_BOUND, True),
        Line("share of ones in V_B", f"{likeness.ones:.2f}", f"{low} to {high}", low <= likeness.ones <= high),
    ]
    if likeness.named[0]:
        lines.append(
            _share("real images whose modality is recognised", likeness.named[1], likeness.named[0], LEAST_REAL)
        )
        total, own = likeness.neighbours
        # No bound: a picture that is the only one of its anatomy there may well be most like one of another modality.
        lines.append(
            Line("real medical images most like one of their own modality", f"{own} of {total}", NO_BOUND, True)
        )
    return tuple(lines)


def _share(what: str, met: int, count: int, least: float) -> Line:
    return Line(what, f"{met} of {count}", f">= {least:.0%}", met >= least * count)


def described_likeness(likeness: Likeness) -> dict[str, Any]:
    """Return the figures of a likeness as JSON values, for the manifest."""
    return {
        "drawings": list(likeness.drawings),
        "real": list(likeness.named),
        "taken_for_others": [list(pair) for pair in likeness.wrong],
        "neighbours": list(likeness.neighbours),
        "ones": round(likeness.ones, 4),
    }


def described(spread: Spread) -> dict[str, Any]:
    """Return the figures of a spread as JSON values, for the manifest."""
    return {
        "records": spread.records,
        "distinct_r": spread.distinct[0],
        "distinct_sigma_rho_beta": spread.distinct[1],
        "outside": spread.outside,
        "uniformity_p": _rounded(spread.uniformity),
        "lowest_family_uniformity_p": round(min(min(row) for row in spread.family_uniformity), 6),
        "neighbour_correlation": _rounded(spread.correlation),
        "smallest_exponents": _rounded(spread.exponents),
        "single_changes": list(spread.single_changes),
        "held_out_r2": _rounded(spread.r2),
    }


def table(title: str, lines: Sequence[Line]) -> str:
    """Return lines as a table for a terminal."""
    widths = [max(len(getattr(line, name)) for line in lines) for name in ("what", "figure", "bound")]
    rows = [
        f"  {line.what:{widths[0]}}  {line.figure:>{widths[1]}}  {line.bound:{widths[2]}}  {_verdict(line)}".rstrip()
        for line in lines
    ]
    return "\n".join([title, *rows])


def _verdict(line: Line) -> str:
    if line.bound == NO_BOUND:
        return ""
    return "met" if line.met else "MISSED"


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 6) for value in values]
