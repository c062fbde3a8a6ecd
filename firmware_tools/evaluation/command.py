"""The command `edge-firmware evaluate`: measure all ways on the user's images, attack them, and write a report."""

from __future__ import annotations

import argparse
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge import __version__
from edge.chaos.parameters import BOXES
from edge.durable import make_folder, write_atomically
from edge.errors import ExitCode, UsageError
from edge.records import MapName
from firmware_tools.evaluation import attacks, pictures, report, sp800_22
from firmware_tools.evaluation.images import Sample, read_images
from firmware_tools.evaluation.measure import measure_all
from firmware_tools.evaluation.report import Attacked, Findings, Sensitivity
from firmware_tools.evaluation.sensitivity import key_sensitivity
from firmware_tools.evaluation.ways import Image, Way, ways

_ATTACKED_SIDE: Final = 256
_FORCED_SIDE: Final = 48
_FORCED_SECONDS: Final = 120
"""How many time stamps are tried: two minutes around the capture; the report says what a year would take."""
_SHOWN_IMAGES: Final = 4


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
    if args.sequences and args.sequences < 55:
        raise UsageError(
            "--sequences must be 55 or more", hint="fewer say nothing of their uniformity (SP 800-22, 4.2.2)"
        )
    make_folder(args.output)
    chosen = [way for way in ways() if not args.way or way.name in args.way]
    found = list(tqdm(read_images(args.images), unit="file", desc="reading"))
    samples = [each for each in found if isinstance(each, Sample)]
    if not samples:
        raise UsageError("none of the files is an image that can be evaluated")
    findings = Findings(
        title=f"Evaluation of {len(samples)} images",
        made={
            "edge-encryptor": __version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
            "machine": platform.machine(),
            "at": datetime.now(UTC).isoformat(timespec="minutes"),
            "seed of random pairs and pixels": str(args.seed),
        },
        left_out=[each for each in found if not isinstance(each, Sample)],
    )
    for number, sample in enumerate(tqdm(samples, unit="image", desc="measuring")):
        findings.measured.extend(measure_all(chosen, sample, seed=args.seed + number))
    findings.sensitivities = list(_sensitivities(chosen, samples[0]))
    findings.attacks = list(_attacked([way for way in chosen if _permutes(way)], samples[0]))
    if args.sequences:
        findings.randomness = {
            way.name: sp800_22.assess(_sequences(way, samples, args.sequences))
            for way in tqdm(chosen, unit="way", desc="SP 800-22")
        }
    findings.pictures = dict(_drawn(findings, chosen, samples, np.random.default_rng(args.seed)))
    for name, text in (
        ("index.html", report.as_html(findings)),
        ("results.json", report.as_json(findings)),
        ("results.csv", report.as_csv(findings)),
    ):
        write_atomically(args.output / name, text.encode())
    exact = sum(each.mse_back == 0 for each in findings.measured)
    print(f"{len(samples)} images, {len(chosen)} ways: {exact} of {len(findings.measured)} deciphered exactly")
    print(f"report: {args.output / 'index.html'}")
    return int(ExitCode.OK if exact == len(findings.measured) else ExitCode.INTERNAL)


def _permutes(way: Way) -> bool:
    return way.name.startswith((MapName.LOGISTIC.value + " ", MapName.LORENZ.value + " "))


def _sensitivities(chosen: Sequence[Way], sample: Sample) -> Iterator[Sensitivity]:
    image = _middle(sample.samples, _ATTACKED_SIDE)
    for way in chosen:
        for enciphered, deciphered in key_sensitivity(way, image, way.key(image, sample.moment)):
            yield Sensitivity(way.name, enciphered.what, enciphered.npcr, deciphered.npcr, enciphered.npcr_bounds.low)


# --- attacks --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Target:
    """What is attacked: a way, and an image with the time it was taken."""

    way: Way
    image: Image
    moment: datetime

    def shared(self, image: Image) -> Image:
        """Encipher under the key that the time stamp alone gives, as the papers do."""
        return self.way.encipher(image, self.way.key(self.image, self.moment, attacks.PAPER_SECRET))

    def fresh(self, image: Image) -> Image:
        """Encipher under a key of its own, as the product does."""
        return self.way.encipher(image, self.way.key(image, self.moment))


def _attacked(permuting: Sequence[Way], sample: Sample) -> Iterator[Attacked]:
    for way in tqdm(permuting, unit="way", desc="attacking"):
        target = _Target(way, _middle(sample.samples, _ATTACKED_SIDE), sample.moment)
        yield _chosen_plaintext(target)
        yield _two_time_pad(target)
    networked = [way for way in permuting if not way.name.endswith("bare")]
    if networked:
        yield _brute_force(networked[0], sample)


def _chosen_plaintext(target: _Target) -> Attacked:
    image = target.image
    broken = attacks.recover_key_file(target.shared, image)
    exact = broken.holds and np.array_equal(broken.decipher(target.shared(image)), image)
    tried = attacks.recover_key_file(target.fresh, image)
    return Attacked(
        f"{target.way.name}: chosen images",
        f"{broken.images} images give xindex, yindex and zkey: "
        + ("the image deciphers exactly" if exact else "the image does not decipher"),
        f"{tried.images} images: " + ("RECOVERED" if tried.holds else "what comes out is not even a permutation"),
    )


def _two_time_pad(target: _Target) -> Attacked:
    image, other = target.image, np.ascontiguousarray(target.image[::-1])
    shared = attacks.two_time_pad(target.shared(image), target.shared(other))
    fresh = attacks.two_time_pad(target.fresh(image), target.fresh(other))

    def said(pad: attacks.TwoTimePad) -> str:
        return f"the difference of two images has {pad.entropy:.3f} bits a sample, p = {pad.p_value:.2g}"

    return Attacked(f"{target.way.name}: two images of one second", said(shared), said(fresh))


def _brute_force(way: Way, sample: Sample) -> Attacked:
    image = _middle(sample.samples, _FORCED_SIDE)
    if not attacks.looks_like_an_image(image):
        return Attacked(f"{way.name}: all time stamps", "not tried: the image's middle is flat", "not tried")
    moments = list(attacks.seconds_from(sample.moment.replace(microsecond=0), _FORCED_SECONDS))
    taken = moments[len(moments) * 3 // 4]
    paper = attacks.brute_force(way, way.encipher(image, way.key(image, taken, attacks.PAPER_SECRET)), moments)
    product = attacks.brute_force(way, way.encipher(image, way.key(image, taken)), moments)
    days = paper.seconds_for_a_year / 86_400
    return Attacked(
        f"{way.name}: all time stamps",
        ("found" if paper.found == taken else "NOT found")
        + f" after {paper.tried} of {len(moments)} seconds; all seconds of a year take {days:.1f} days on this machine",
        f"nothing found in {product.tried}: the secret has 256 bits" if product.found is None else "FOUND",
    )


# --- sequences and pictures -----------------------------------------------------------------------------------------


def _sequences(way: Way, samples: Sequence[Sample], count: int) -> Iterator[NDArray[np.uint8]]:
    """Yield sequences of bits: cipher images of the samples in turn, each under a fresh key, joined and cut."""
    needed = sp800_22.BITS_MIN // 8
    held = b""
    turn = 0
    for _ in range(count):
        while len(held) < needed:
            sample = samples[turn % len(samples)]
            turn += 1
            held += way.encipher(sample.samples, way.key(sample.samples, sample.moment)).tobytes()
        yield np.unpackbits(np.frombuffer(held[:needed], np.uint8))
        held = held[needed:]


def _drawn(
    findings: Findings, chosen: Sequence[Way], samples: Sequence[Sample], generator: np.random.Generator
) -> Iterator[tuple[str, bytes]]:
    way = chosen[0]
    settings = []
    for sample in samples[:_SHOWN_IMAGES]:
        key = way.key(sample.samples, sample.moment)
        cipher = way.encipher(sample.samples, key)
        back = way.decipher(cipher, key)
        yield (
            f"{sample.name}, {way.name}: image, cipher image, deciphered, with histograms",
            pictures.journey(sample.samples, cipher, back),
        )
        yield f"{sample.name}, {way.name}: neighbours", pictures.neighbours(sample.samples, cipher, generator)
    for each in chosen:
        parameters = each.key(samples[0].samples, samples[0].moment).parameters
        if parameters is not None and parameters.map is MapName.LOGISTIC:
            settings.append(parameters.values[0])
        elif parameters is not None and parameters.map is MapName.LORENZ:
            sigma, rho, beta = parameters.values
            yield f"{each.name}: the attractor of {samples[0].name}", pictures.attractor(sigma, rho, beta)
    if settings:
        [(low, high)] = BOXES[MapName.LOGISTIC]
        yield "the logistic map, and the r that the first image has", pictures.bifurcation(low, high, settings)
    rows = []
    for name in dict.fromkeys(each.way for each in findings.measured):
        of = [each for each in findings.measured if each.way == name]
        sizes = [math.prod(each.shape) * each.bits // 8 for each in of]
        rows.append((name, sizes, [each.encipher_seconds for each in of]))
    yield "how long enciphering takes", pictures.timings(rows)


def _middle(image: Image, side: int) -> Image:
    """Return the middle of an image, `side` pixels at most each way."""
    rows, columns = (max(0, (extent - side) // 2) for extent in image.shape[:2])
    return np.ascontiguousarray(image[rows : rows + side, columns : columns + side])
