"""The list of all durable steps: in which story, act and end each is first taken, and how often there.

It is written by telling every story (`test_steps.py`), and kept, so that a change of it is seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from tests.faults.stage import steps_of
from tests.faults.steps import Fault
from tests.faults.stories import ENDS

LIST: Final = Path(__file__).with_name("durable_steps.tsv")
_TIMES_MAX: Final = 3
"""A step that is taken more often is struck at its first times only."""


@dataclass(frozen=True, order=True)
class Listed:
    """A durable step, and where it is first taken."""

    end: str
    step: str
    story: str
    act: int
    times: int

    def faults(self, moments: tuple[str, ...]) -> Iterator[Fault]:
        """Give every fault that can strike here."""
        for nth in range(1, self.times + 1):
            for moment in moments:
                yield Fault(self.step, moment, nth)


def listed() -> list[Listed]:
    """Read the list."""
    rows = [line.split("\t") for line in LIST.read_text().splitlines()]
    return [Listed(end, step, story, int(act), int(times)) for end, step, story, act, times in rows]


def together() -> list[Listed]:
    """Return the steps that a device takes with each of several images, or once for all of them, in the story of that name."""
    return [
        replace(each, story="together", times=_TIMES_MAX)
        for each in listed()
        if (each.end, each.story) == ("device", "kept") and each.step.startswith(("carrying.", "spool.", "delivery."))
    ]


def write(found: list[Listed], path: Path) -> None:
    """Write a list."""
    rows = ((each.end, each.step, each.story, str(each.act), str(each.times)) for each in found)
    path.write_text("".join("\t".join(row) + "\n" for row in rows))


def found_in(story: str, acts: int, traces: Path) -> list[Listed]:
    """Return the steps that one telling of a story noted."""
    found: dict[tuple[str, str], Listed] = {}
    for act in range(acts):
        for end in ENDS:
            trace = traces / f"{act}.{end}"
            counts = Counter(steps_of(trace)) if trace.exists() else Counter()
            for step, times in counts.items():
                found.setdefault((end, step), Listed(end, step, story, act, min(times, _TIMES_MAX)))
    return list(found.values())
