"""The command `edge-firmware evaluate`: measure all ways on the user's images, attack them, and write a report."""

from __future__ import annotations

import argparse
import platform
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge import __version__
from edge.durable import make_folder, write_atomically
from edge.errors import ExitCode, UsageError
from edge.records import MapName
from firmware_tools.evaluation import dynamics, report
from firmware_tools.evaluation.attacking import ATTACKED_SIDE, attack_all
from firmware_tools.evaluation.findings import Findings, Sensitivity, as_csv, as_json
from firmware_tools.evaluation.gallery import draw_all, draw_times
from firmware_tools.evaluation.images import Sample, middle, read_images
from firmware_tools.evaluation.measure import Measured, measure_all
from firmware_tools.evaluation.robustness import robustness
from firmware_tools.evaluation.sensitivity import key_sensitivity
from firmware_tools.evaluation.sp800_22.assessment import BITS_MIN, assess
from firmware_tools.evaluation.speed import SIDES, as_lines, time_all
from firmware_tools.evaluation.studies import BESIDE_SIDE
from firmware_tools.evaluation.ways import BARE_VALUES, Way, ways

_FEWEST_SEQUENCES: Final = 55
_ROUNDED_BITS: Final = (16, 20, 24, 28, 32)
_SINGLE_R: Final = 3.99
"""A popular r for single orbits, beside the cipher's own."""


def add_evaluate_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the evaluate command to a parser."""
    names = [way.name for way in ways()]
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGES", help="images, or folders of them")
    parser.add_argument("-o", "--output", type=Path, metavar="DIR", required=True, help="where the report is written")
    parser.add_argument("--way", action="append", choices=names, metavar="WAY", help=f"only this: {', '.join(names)}")
    parser.add_argument(
        "--sequences",
        type=int,
        default=0,
        metavar="N",
        help="SP 800-22 over N sequences of 1,000,000 bits (100 or more)",
    )
    parser.add_argument(
        "--orbits",
        type=int,
        default=0,
        metavar="N",
        help="follow N orbits of the logistic map in double precision until they repeat, some seconds each (0)",
    )
    parser.add_argument(
        "--largest",
        type=int,
        choices=SIDES,
        default=SIDES[-1],
        metavar="SIDE",
        help=f"time images up to this many pixels a side: {', '.join(map(str, SIDES))} (%(default)s)",
    )
    parser.add_argument(
        "--only-times", action="store_true", help="measure how long each way takes, print it, and nothing else"
    )
    parser.add_argument("--seed", type=int, default=1, help="of random pairs and pixels; keys are always fresh (1)")


def run_evaluate(args: argparse.Namespace) -> int:
    """Evaluate, write index.html, results.json and results.csv, and print where they are.

    Args:
        args: As parsed by `add_evaluate_arguments`.

    Returns:
        0, or the exit code of an internal error where an image did not decipher to itself.

    Raises:
        UsageError: there is no image, or an option cannot be used.
        StorageError: the report cannot be written.
    """
    if args.sequences and args.sequences < _FEWEST_SEQUENCES:
        raise UsageError(
            f"--sequences must be {_FEWEST_SEQUENCES} or more",
            hint="fewer say nothing of their uniformity (SP 800-22, 4.2.2)",
        )
    if args.orbits < 0:
        raise UsageError("--orbits must be 0 or more")
    make_folder(args.output)
    chosen = [way for way in ways() if not args.way or way.name in args.way]
    found = list(tqdm(read_images(args.images), unit="file", desc="reading"))
    samples = [each for each in found if isinstance(each, Sample)]
    if not samples:
        raise UsageError("none of the files is an image that can be evaluated")
    findings = Findings(
        title="Times" if args.only_times else f"Evaluation of {len(samples)} image{'s' if len(samples) > 1 else ''}",
        made=_made(args.seed, samples),
        left_out=[each for each in found if not isinstance(each, Sample)],
    )
    # Times first, on a machine that has not been kept busy yet.
    timed = time_all(chosen, samples[0].moment, largest=args.largest, seed=args.seed)
    findings.speeds = list(tqdm(timed, unit="kind", desc="timing"))
    if args.only_times:
        print("\n".join(as_lines(findings.speeds)))
    else:
        _evaluate(findings, chosen, samples, args)
    findings.pictures.append(draw_times(findings.speeds))
    for name, text in (
        ("index.html", report.as_html(findings)),
        ("results.json", as_json(findings)),
        ("results.csv", as_csv(findings)),
    ):
        write_atomically(args.output / name, text.encode())
    exact = sum(each.mse_back == 0 for each in findings.measured)
    if findings.measured:
        print(f"{len(samples)} images, {len(chosen)} ways: {exact} of {len(findings.measured)} deciphered exactly")
    print(f"report: {args.output / 'index.html'}")
    return int(ExitCode.OK if exact == len(findings.measured) else ExitCode.INTERNAL)


def _made(seed: int, samples: Sequence[Sample]) -> dict[str, str]:
    apart = ", ".join(each.name for each in samples if not each.decoded)
    return {
        "edge-encryptor": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "machine": f"{platform.machine()}, {_processor()}",
        "at": datetime.now(UTC).isoformat(timespec="minutes"),
        "seed of random pairs and pixels": str(seed),
        **({"read with tifffile, as the product carries their file's bytes": apart} if apart else {}),
    }


def _processor() -> str:
    """Return the processor's name as Linux gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:
        return platform.processor() or "unknown"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "Model"))]
    return names[0] if names else platform.processor() or "unknown"


def _evaluate(findings: Findings, chosen: Sequence[Way], samples: Sequence[Sample], args: argparse.Namespace) -> None:
    first = samples[0]
    for number, sample in enumerate(tqdm(samples, unit="image", desc="measuring")):
        findings.measured.extend(measure_all(chosen, sample, seed=args.seed + number))
        findings.beside.extend(_beside(chosen, sample, args.seed + number))
    findings.sensitivities = list(_sensitivities(chosen, first))
    findings.attacks = list(attack_all(chosen, first, np.random.default_rng([args.seed, 1])))
    _study_maps(findings, chosen, first, args.orbits)
    image = middle(first.samples, ATTACKED_SIDE)
    for way in tqdm(chosen, unit="way", desc="damaging"):
        generator = np.random.default_rng([args.seed, 2])
        findings.damaged.extend(robustness(way, image, way.key(image, first.moment), generator))
    if args.sequences:
        findings.randomness = {
            way.name: assess(_sequences(way, samples, args.sequences))
            for way in tqdm(chosen, unit="way", desc="SP 800-22")
        }
    findings.pictures = list(draw_all(findings, chosen, samples, np.random.default_rng(args.seed)))


def _beside(chosen: Sequence[Way], sample: Sample, seed: int) -> Iterator[Measured]:
    """Measure the middle of an image as papers have them: 256 x 256 samples of 8 bits, one channel."""
    image = sample.samples
    if image.dtype != np.uint8 or min(image.shape[:2]) < BESIDE_SIDE:
        return
    part = middle(image if image.ndim == 2 else image[..., 1], BESIDE_SIDE)
    yield from measure_all(chosen, replace(sample, samples=part), seed=seed)


def _sensitivities(chosen: Sequence[Way], sample: Sample) -> Iterator[Sensitivity]:
    image = middle(sample.samples, ATTACKED_SIDE)
    for way in chosen:
        for enciphered, deciphered in key_sensitivity(way, image, way.key(image, sample.moment)):
            yield Sensitivity(way.name, enciphered.what, enciphered.npcr, deciphered.npcr, enciphered.npcr_bounds.low)


def _study_maps(findings: Findings, chosen: Sequence[Way], sample: Sample, orbits: int) -> None:
    r = BARE_VALUES[MapName.LOGISTIC][0]
    for way in tqdm(chosen, unit="way", desc="following orbits"):
        parameters = way.key(sample.samples, sample.moment).parameters
        if parameters is None:
            continue
        findings.spectra.append(dynamics.spectrum(way.name, parameters))
        findings.repeats.append(dynamics.lane_repeats(way.name, parameters))
        if parameters.map is MapName.LOGISTIC and parameters.origin == "network":
            r = parameters.values[0]
    findings.ranges = list(dynamics.ranges())
    findings.cycles = [dynamics.rounded_cycles(r, bits) for bits in _ROUNDED_BITS]
    if orbits:
        findings.cycles += [dynamics.machine_cycles(each, orbits) for each in (r, _SINGLE_R)]


def _sequences(way: Way, samples: Sequence[Sample], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield sequences of bits: cipher images of the samples in turn, each under a fresh key, joined and cut."""
    needed = BITS_MIN // 8
    held = b""
    turn = 0
    for _ in range(count):
        while len(held) < needed:
            sample = samples[turn % len(samples)]
            turn += 1
            held += way.encipher(sample.samples, way.key(sample.samples, sample.moment)).tobytes()
        yield np.unpackbits(np.frombuffer(held[:needed], np.uint8))
        held = held[needed:]
