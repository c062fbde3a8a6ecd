"""Keeps docs/speed.md and the committed report one: the page's tables are drawn from the report, never typed.

Rule: only a whole run of the full plan may be committed, with the machine and the date beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from edge.errors import UsageError
from firmware_tools.bench.figures import CPU_TIME, described, number
from firmware_tools.bench.regressions import COMMITTED, busy

PAGE: Final = Path(__file__).parents[2] / "docs" / "speed.md"
BEGIN: Final = "<!-- Drawn by `edge-firmware bench --update`; do not edit. -->"
END: Final = "<!-- End of what is drawn. -->"

_CROWDED: Final = (
    "**Other work kept this machine busy during the run:** times on the clock are longer, and speeds lower, than on an idle "
    "one. Ratios and processor time say more."
)
# Raspberry Pi 4 at the USB supply: 2.2 W idle, 5.4 W under high load (chipwired.com/raspberry-pi-power-use, measured there
# with a USB meter). Four cores: the rest is reasoning.
_IDLE_WATTS: Final = 2.2
_CORE_WATTS: Final = (5.4 - _IDLE_WATTS) / 4
# How many seconds a Cortex-A72 needs for one of a server core: an estimate, from 0.15 to 0.3 GB/s of cipher A there.
_SLOWER: Final = 5.0
_ENERGY_MEGABYTES: Final = 20


def update(report: Mapping[str, Any], *, committed: Path = COMMITTED, page: Path = PAGE) -> None:
    """Write the report and draw the page's tables from it.

    Raises:
        UsageError: there is no page, it has no place for tables, or a file cannot be written.
    """
    try:
        text = page.read_text()
        drawn = redrawn(text, report)
        committed.write_text(json.dumps(report, indent=2) + "\n")
        page.write_text(drawn)
    except OSError as error:
        raise UsageError(f"the committed figures cannot be written: {error.strerror}") from error


def redrawn(text: str, report: Mapping[str, Any]) -> str:
    """Return the page with its tables drawn anew from the report.

    Raises:
        UsageError: the page has no place for them.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UsageError("the page of the figures has lost the marks between which they stand")
    return f"{before}{BEGIN}\n\n{drawing(report)}\n{END}{after}"


def drawing(report: Mapping[str, Any]) -> str:
    """Return the tables of a report in Markdown, a part each, and the energy that follows by reasoning."""
    lines = [f"Measured {described(report['machine'])}.", ""]
    if busy(report["machine"]):
        lines += [_CROWDED, ""]
    for part, figures in groupby(report["figures"], key=lambda figure: figure["part"]):
        lines += [f"### {part}", "", "| figure | measured | target | limit in this run | ratio | CPU seconds |"]
        lines += ["|---|---|---|---|---|---|", *_rows(figures), ""]
    return "\n".join([*lines, *_energy(report)])


def _rows(figures: Iterator[dict[str, Any]]) -> Iterator[str]:
    """Yield the rows of one part, then its notes below the table."""
    notes = []
    for figure in figures:
        yield _row(figure)
        if figure["note"] and figure["verdict"] != "skipped":
            notes.append(f"- {figure['name']}: {figure['note']}")
    if notes:
        yield from ("", *notes)


def _row(figure: Mapping[str, Any]) -> str:
    name = str(figure["name"]).replace("|", "\\|")
    if figure["verdict"] in ("skipped", "BROKEN"):
        return f"| {name} | {figure['verdict']}: {figure['note']} | | | | |"
    targets = (("≥ ", figure["at_least"]), ("≤ ", figure["at_most"]), ("ratio ≥ ", figure["ratio_at_least"]))
    target = ", ".join(f"{sign}{number(value)}" for sign, value in targets if value is not None)
    limit = figure["limit"]
    cells = (
        name,
        f"{number(figure['value'])} {figure['unit']}".rstrip(),
        f"{target}: {'**missed**' if figure['verdict'] == 'FAIL' else 'met'}" if target else "",
        f"{number(limit['value'])} ({limit['name']})".replace("|", "\\|") if limit else "",
        number(figure["ratio"]) if figure["ratio"] is not None else "",
        number(figure["cpu_seconds"]) if figure["cpu_seconds"] is not None else "",
    )
    return f"| {' | '.join(cells)} |"


def _energy(report: Mapping[str, Any]) -> list[str]:
    """Return the energy of one image on a Raspberry Pi 4: reasoning from the device's processor time, no measurement."""
    costs = [
        figure["value"]
        for figure in report["figures"]
        if figure["part"] == "transfer" and figure["unit"] == f"{CPU_TIME}MB" and figure["name"].startswith("daemon")
    ]
    if not costs:
        return []
    seconds = costs[0] / 1e3 * _ENERGY_MEGABYTES * _SLOWER
    joules = seconds * _CORE_WATTS
    text = (
        f"The daemon takes {number(costs[0])} ms of a core here for a megabyte. If a core of a Raspberry Pi 4 takes "
        f"{_SLOWER:g} times as long (estimate), an image of {_ENERGY_MEGABYTES} MB takes {number(seconds)} s of one of its "
        f"cores. That board draws {_IDLE_WATTS:g} W idle and 5.4 W under high load (chipwired.com/raspberry-pi-power-use, "
        f"at a USB meter): {number(_CORE_WATTS)} W for each of four busy cores. So **one image of {_ENERGY_MEGABYTES} MB costs "
        f"some {number(joules)} J**, which the idle board spends in {number(joules / _IDLE_WATTS)} s. Nothing of this was "
        "measured on a board."
    )
    return ["### energy, by reasoning", "", text, ""]
