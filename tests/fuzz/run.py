"""Run every door under atheris, a coverage-guided fuzzer, and say what escaped.

    python -m tests.fuzz.run [--seconds 600] [--keep DIR] [DOOR ...]

Each door gets an equal share of the time, in a process of its own. An escape is an exception that the door does not
document, an input that takes longer than HANG_SECONDS, or one that takes more memory than its door may. It is kept in
`DIR/DOOR/escapes`, with its traceback in `DIR/DOOR/log`; whoever mends it copies it into the corpus as `found-...`.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import re
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.memory import measured

CORPUS: Final = Path(__file__).resolve().parent / "corpus"
HANG_SECONDS: Final = 10
_PROCESS_BYTES: Final = 2 << 30
"""Address space of one door's process: an input whose claimed size is believed meets it at once."""
_RESIDENT_MEGABYTES: Final = 768
_EXIF_READERS: Final = ("piexif", "PIL.Image", "PIL.TiffImagePlugin")
_READERS: Final = {
    "file": _EXIF_READERS,
    "exif": _EXIF_READERS,
    "dicom": ("pydicom.filereader", "pydicom.sequence"),
}
"""What others wrote that reads behind a door. It is loaded first, to be instrumented: that takes half a minute."""
_DONE = re.compile(r"^Done (\d+) runs", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+) ft: (\d+)")


@dataclass(frozen=True)
class Outcome:
    """What a door's run came to: executions, edges and features covered, inputs kept, and what escaped."""

    door: str
    runs: int
    edges: int
    features: int
    inputs: int
    escapes: tuple[str, ...]


def fuzz(name: str, arguments: list[str]) -> None:
    """Be the process of one door: never returns."""
    import atheris

    readers = _READERS.get(name, ())
    with atheris.instrument_imports(
        include=["edge", "tests.fuzz.doors", *(each.partition(".")[0] for each in readers)]
    ):
        for each in readers:
            importlib.import_module(each)
        from tests.fuzz.doors import DOORS
    logging.getLogger("edge").setLevel(logging.CRITICAL)
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    resource.setrlimit(resource.RLIMIT_AS, (_PROCESS_BYTES, _PROCESS_BYTES))
    atheris.Setup([sys.argv[0], *arguments], DOORS[name].knock)
    atheris.Fuzz()


def weigh(name: str, folders: list[Path]) -> tuple[str, ...]:
    """Let all inputs in again, and return those that take more memory than their door may."""
    from tests.fuzz.doors import DOORS

    logging.getLogger("edge").setLevel(logging.CRITICAL)
    door, heavy = DOORS[name], []
    for path in (path for folder in folders for path in sorted(folder.iterdir())):
        data = path.read_bytes()
        door.knock(data)  # the first time also loads what it needs
        with measured() as peak:
            door.knock(data)
        if peak.bytes > door.memory:
            heavy.append(f"memory-{path.name}")
    return tuple(heavy)


def run(name: str, seconds: int, keep: Path) -> Outcome:
    """Fuzz one door for a while, then weigh what was found."""
    from tests.fuzz.doors import DOORS

    found, escapes, log = keep / name / "found", keep / name / "escapes", keep / name / "log"
    for folder in (found, escapes):
        folder.mkdir(parents=True, exist_ok=True)
    known = set(escapes.iterdir())
    options = [
        f"-max_total_time={seconds}",
        f"-max_len={DOORS[name].longest}",
        f"-timeout={HANG_SECONDS}",
        f"-rss_limit_mb={_RESIDENT_MEGABYTES}",
        f"-artifact_prefix={escapes}/",
        "-print_final_stats=1",
    ]
    command = [sys.executable, "-m", "tests.fuzz.run", "--door", name, "--", *options, str(found), str(CORPUS / name)]
    with log.open("w") as file:
        code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, check=False).returncode
    said = log.read_text(errors="replace")
    new = [path.name for path in sorted(set(escapes.iterdir()) - known)]
    runs, coverage = _DONE.search(said), _COVERAGE.findall(said)
    if runs is None and not new:
        new = [f"ended with {code}: see {log}"]
    return Outcome(
        door=name,
        runs=int(runs[1]) if runs else 0,
        edges=int(coverage[-1][0]) if coverage else 0,
        features=int(coverage[-1][1]) if coverage else 0,
        inputs=len(list(found.iterdir())),
        escapes=(*new, *weigh(name, [CORPUS / name, found])),
    )


def main() -> int:
    """Run the doors named, or all, and print what each came to."""
    parser = argparse.ArgumentParser(description="Fuzz the doors through which bytes of strangers come in")
    parser.add_argument("--seconds", type=int, default=600, help="for all doors together (600)")
    parser.add_argument("--keep", type=Path, default=Path(".fuzz"), help="where inputs and escapes are kept (.fuzz)")
    parser.add_argument("--door", help=argparse.SUPPRESS)
    parser.add_argument("rest", nargs="*", metavar="DOOR")
    chosen = parser.parse_args()
    if chosen.door:
        fuzz(chosen.door, chosen.rest)
    from tests.fuzz.doors import DOORS

    names = chosen.rest or list(DOORS)
    print(f"{'door':<10} {'runs':>9} {'edges':>6} {'features':>8} {'inputs':>6}  escapes")
    outcomes = []
    for name in names:
        each = run(name, max(1, chosen.seconds // len(names)), chosen.keep.resolve())
        outcomes.append(each)
        escapes = ", ".join(each.escapes) or "none"
        print(f"{name:<10} {each.runs:>9} {each.edges:>6} {each.features:>8} {each.inputs:>6}  {escapes}", flush=True)
    total = sum(len(each.escapes) for each in outcomes)
    print(f"{sum(each.runs for each in outcomes)} executions, {total} escapes")
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
