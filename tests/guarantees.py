"""Print docs/guarantees.md from a live run: each fault, and whether every test that shows it passed just now.

    python -m pytest -p tests.guarantees -m "faults or not faults" $(python -m tests.guarantees)

As a module it prints the test files that the table names; as a plugin of pytest it prints the table with its verdicts. A row
of which no test ran is a failure: a promise that nothing shows is none.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

TABLE = Path(__file__).resolve().parent.parent / "docs" / "guarantees.md"


@dataclass(frozen=True)
class Row:
    """One line of the table: the fault, the promise, and the tests that show it, as pytest names them."""

    fault: str
    promise: str
    tests: tuple[str, ...]

    def shown_by(self, test: str) -> bool:
        """Whether a test, by its node id, is one of this row's."""
        return any(test == named or test.startswith((f"{named}::", f"{named}[")) for named in self.tests)


def rows() -> Iterator[Row]:
    """Yield the rows of the table."""
    for line in TABLE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split(" | ")]
        if len(cells) == 3 and (tests := re.findall(r"`(tests/[^`]+\.py[^`]*)`", cells[2])):
            yield Row(cells[0].strip("| "), cells[1], tuple(tests))


class _Verdicts:
    """What each row's tests said."""

    def __init__(self) -> None:
        self._rows = list(rows())
        self._outcomes: list[Counter[str]] = [Counter() for _ in self._rows]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        # One outcome a test: of its body, unless what is around it failed or skipped it.
        if report.when != "call" and report.outcome == "passed":
            return
        for row, outcomes in zip(self._rows, self._outcomes, strict=True):
            if row.shown_by(report.nodeid):
                outcomes[report.outcome] += 1

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if not all(outcomes.total() for outcomes in self._outcomes) and session.exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("what is promised (docs/guarantees.md), and whether it held in this run")
        for row, outcomes in zip(self._rows, self._outcomes, strict=True):
            said = ", ".join(f"{number} {outcome}" for outcome, number in sorted(outcomes.items()))
            terminalreporter.write_line(f"{_verdict(outcomes):9} {row.fault}", **_COLOURS[_verdict(outcomes)])
            terminalreporter.write_line(f"{'':9}   {row.promise} ({said or 'no test ran'})")


_COLOURS = {"held": {"green": True}, "BROKEN": {"red": True}, "NOT SHOWN": {"yellow": True}}


def _verdict(outcomes: Counter[str]) -> str:
    if outcomes["failed"]:
        return "BROKEN"
    return "held" if outcomes["passed"] else "NOT SHOWN"


def pytest_configure(config: pytest.Config) -> None:
    """Add the verdicts to a run."""
    config.pluginmanager.register(_Verdicts())


if __name__ == "__main__":
    sys.stdout.write(" ".join(sorted({test.split("::")[0] for row in rows() for test in row.tests})) + "\n")
