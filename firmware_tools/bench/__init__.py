"""The benchmark behind `make bench`: what this machine makes of the contract's figures, each beside its physical limit.

Rule: speed is printed, not asserted: the exit code is 0 unless a part broke, or `--check` asks for the targets and for
ratios that did not fall. What is made lies in one temporary folder, and every process started is ended.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from edge.errors import EdgeError, ExitCode, UsageError
from firmware_tools.bench import cipher, document, networks, published, sealing, tools, upkeep, way, ways
from firmware_tools.bench.figures import Figure, Verdict, broken, described, machine, report, table
from firmware_tools.bench.plan import FULL, LARGEST, QUICK, Plan
from firmware_tools.bench.regressions import COMMITTED, read_committed, regressions, told

PARTS: Final[dict[str, Callable[[Plan, Path], Iterable[Figure]]]] = {
    "cipher": cipher.measure_cipher,
    "seal": sealing.measure_seal,
    "model": networks.measure_model,
    "ways": ways.measure_ways,
    "start": upkeep.measure_start,
    "latency": way.measure_latency,
    "transfer": way.measure_transfer,
    "small": way.measure_small,
    "files": way.measure_files,
    "memory": upkeep.measure_memory,
    "idle": upkeep.measure_idle,
    "tools": tools.measure_tools,
    "published": published.list_published,
}
_DISK: Final = Path("/var/tmp")  # noqa: S108 - only the parent of a private folder: unlike /tmp it is never in memory


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `edge-firmware bench`."""
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="measure this part; may be repeated")
    plans = parser.add_mutually_exclusive_group()
    plans.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: about a minute")
    plans.add_argument("--largest", action="store_true", help="10,000 and 100,000 files too: an hour or more")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to FILE")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="a folder on the disk to measure (/var/tmp)")
    parser.add_argument(
        "--against",
        metavar="FILE",
        type=Path,
        default=COMMITTED,
        help="compare ratios with this report (the committed one)",
    )
    parser.add_argument(
        "--update", action="store_true", help="commit to this full run: write last.json and the tables of docs/speed.md"
    )
    parser.add_argument("--check", action="store_true", help="exit with 3 where a target is missed or a ratio fell")


def run_bench(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and return the exit code.

    Raises:
        UsageError: the folder, a JSON file or the page of the figures cannot be used.
    """
    if arguments.update and (arguments.quick or arguments.only):
        raise UsageError("only a whole run can be committed", hint="leave out --quick and --only")
    plan = QUICK if arguments.quick else LARGEST if arguments.largest else FULL
    committed = read_committed(arguments.against)
    parent = arguments.folder or (_DISK if _DISK.is_dir() else Path(tempfile.gettempdir()))
    if not parent.is_dir():
        raise UsageError("the folder to measure in does not exist")
    here = machine()
    with _unwound_on_termination(), tempfile.TemporaryDirectory(prefix="edge-bench-", dir=parent) as folder:
        figures = measure(arguments.only or tuple(PARTS), plan, Path(folder))
    fallen = regressions(figures, here, committed)
    print(table(figures))
    print(f"\nmeasured {described(here)}\ncompared {described(committed['machine'])}\n\n{told(fallen)}")
    found = report(figures, here)
    if arguments.json is not None:
        try:
            arguments.json.write_text(json.dumps(found, indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"the JSON file cannot be written: {error.strerror}") from error
    if arguments.update:
        document.update(found)
    return int(exit_code(figures, check=arguments.check, fallen=bool(fallen)))


@contextmanager
def _unwound_on_termination() -> Iterator[None]:
    """Let SIGTERM end the block as an interrupt would: the processes are ended and the folder is removed."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def measure(names: Sequence[str], plan: Plan, folder: Path) -> list[Figure]:
    """Measure the named parts in their order; one that breaks does not keep the others from being measured."""
    figures: list[Figure] = []
    for name, part in PARTS.items():
        if name not in names:
            continue
        print(f"measuring: {name}", file=sys.stderr)
        try:
            figures += part(plan, folder)
        except EdgeError as error:
            figures.append(broken(name, f"{error.message} ({error.code})"))
        except OSError as error:
            figures.append(broken(name, f"the system refused: {error.strerror}"))
    return figures


def exit_code(figures: Sequence[Figure], *, check: bool, fallen: bool = False) -> ExitCode:
    """Return what the figures mean for a shell: a broken part is always an error, a missed target or a fall on demand."""
    verdicts = {figure.verdict for figure in figures}
    if Verdict.BROKEN in verdicts:
        return ExitCode.INTERNAL
    return ExitCode.NOT_DELIVERED if check and (fallen or Verdict.FAIL in verdicts) else ExitCode.OK
