"""The benchmark behind `make bench`: what this machine makes of the contract's figures, each beside its physical limit.

Rule: speed is printed, not asserted: the exit code is 0 unless a part broke, or `--check` asks for the targets. What is
made lies in one temporary folder, and every process started is ended.
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
from firmware_tools.bench import local, networks, way, ways
from firmware_tools.bench.figures import Figure, Verdict, broken, report, table
from firmware_tools.bench.plan import FULL, QUICK, Plan

PARTS: Final[dict[str, Callable[[Plan, Path], Iterable[Figure]]]] = {
    "cipher": local.measure_cipher,
    "seal": local.measure_seal,
    "model": networks.measure_model,
    "ways": ways.measure_ways,
    "start": way.measure_start,
    "transfer": way.measure_transfer,
    "memory": way.measure_memory,
    "idle": way.measure_idle,
}
_DISK: Final = Path("/var/tmp")  # noqa: S108 - only the parent of a private folder: unlike /tmp it is never in memory


def add_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of `edge-firmware bench`."""
    parser.add_argument("--only", action="append", choices=tuple(PARTS), help="measure this part; may be repeated")
    parser.add_argument("--quick", action="store_true", help="smaller sizes and fewer rounds: under a minute")
    parser.add_argument("--json", metavar="FILE", type=Path, help="also write the figures to FILE")
    parser.add_argument("--folder", metavar="DIR", type=Path, help="a folder on the disk to measure (/var/tmp)")
    parser.add_argument("--check", action="store_true", help="exit with 3 where a target is missed")


def run_bench(arguments: argparse.Namespace) -> int:
    """Measure, print the table, and return the exit code.

    Raises:
        UsageError: the folder or the JSON file cannot be used.
    """
    plan = QUICK if arguments.quick else FULL
    parent = arguments.folder or (_DISK if _DISK.is_dir() else Path(tempfile.gettempdir()))
    if not parent.is_dir():
        raise UsageError("the folder to measure in does not exist")
    with _unwound_on_termination(), tempfile.TemporaryDirectory(prefix="edge-bench-", dir=parent) as folder:
        figures = measure(arguments.only or tuple(PARTS), plan, Path(folder))
    print(table(figures))
    if arguments.json is not None:
        try:
            arguments.json.write_text(json.dumps(report(figures), indent=2) + "\n")
        except OSError as error:
            raise UsageError(f"the JSON file cannot be written: {error.strerror}") from error
    return int(exit_code(figures, check=arguments.check))


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


def exit_code(figures: Sequence[Figure], *, check: bool) -> ExitCode:
    """Return what the figures mean for a shell: a broken part is always an error, a missed target only on demand."""
    verdicts = {figure.verdict for figure in figures}
    if Verdict.BROKEN in verdicts:
        return ExitCode.INTERNAL
    return ExitCode.NOT_DELIVERED if check and Verdict.FAIL in verdicts else ExitCode.OK
