"""The report's tables of what was measured of the images.

The rule kept here: a figure stands beside what noise of the same size and depth gives, and a mean beside how many it is of.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

from firmware_tools.evaluation.findings import Findings, Sensitivity
from firmware_tools.evaluation.measure import PAIRS, Correlation, Measured
from firmware_tools.evaluation.page import table
from firmware_tools.evaluation.ways import CONTROL


def glance(findings: Findings) -> Iterator[str]:
    """Yield what there is to know first, a sentence or two each."""
    measured = findings.measured
    if not measured:
        yield "No image could be evaluated."
        return
    exact = sum(each.mse_back == 0 for each in measured)
    images = len({each.image for each in measured})
    yield (
        f"{images} images, {len(_ways(measured))} ways: {exact} of {len(measured)} deciphered exactly, every sample that of the "
        "original."
    )
    of_control = [each for each in measured if each.way == CONTROL]
    beside = f"; the control, AES: {_excess(of_control):+z.5f}" if of_control else ""
    yield (
        f"Disorder (entropy) of cipher images: {_excess(measured):+z.5f} bits a sample from that of noise, on the average{beside}."
    )
    yield (
        "How much plain and cipher image differ (NPCR, UACI, PSNR) depends on the plain image alone, with any good cipher. The "
        "figures are here because papers give them; they praise no cipher."
    )
    if findings.attacks:
        broken = sum(each.broken for each in findings.attacks)
        held = sum(each.held for each in findings.attacks)
        yield (
            f"{len(findings.attacks)} attacks were run: {broken} broke the cipher as published, bare and keyed by the time stamp; "
            f"{len(findings.attacks) - held} got anywhere against the product. That shows that these fail, not that all do."
        )
    if findings.randomness:
        all_of_them = [each for assessments in findings.randomness.values() for each in assessments]
        passed = sum(each.passed for each in all_of_them)
        usual = len(all_of_them) - sum(each.chance for each in all_of_them)
        yield f"NIST SP 800-22: {passed} of {len(all_of_them)} assessments passed; random bits pass {usual:.0f} on the average."


def by_way(measured: Sequence[Measured]) -> str:
    """Return what each way does, over all images."""
    rows = []
    for way, of in _ways(measured).items():
        local = [each for each in of if each.cipher.local_entropy is not None]
        inside = sum(
            each.local_bounds.low <= each.cipher.local_entropy <= each.local_bounds.high
            for each in local
            if each.cipher.local_entropy is not None
        )
        rows.append(
            (
                way,
                f"{_excess(of):+z.5f}",
                f"{inside} of {len(local)}",
                f"{sum(each.cipher.chi_square_p > 0.01 for each in of)} of {len(of)}",
                f"{mean(each.against_plain.npcr - each.against_plain.npcr_bounds.mean for each in of):+z.4f}",
                f"{mean(each.against_plain.uaci - each.uaci_expected for each in of):+z.3f}",
                f"{mean(each.psnr for each in of):.2f}",
                "all" if all(each.mse_back == 0 and math.isinf(each.psnr_back) for each in of) else "NOT ALL",
            )
        )
    heads = (
        "way",
        "entropy less that of noise, bits",
        "local entropy within 95 % bounds",
        "flat histogram (p > 0.01)",
        "NPCR to plain less that of noise, %",
        "UACI to plain less expected, %",
        "PSNR to plain, dB",
        "deciphered exactly (MSE 0, PSNR infinite)",
    )
    return table(heads, rows) + (
        "<p>NPCR and UACI between a plain and a cipher image follow from the size and the plain image; the table shows by how much "
        "they miss that. "
        "Few samples have less than 8 or 16 bits of entropy, under any cipher, so it is compared with as much noise. "
        "Local entropy is that of thirty blocks of 44 x 44 samples (Wu et al. 2013). The bounds printed there, 7.901902 to "
        "7.903037, are too narrow by the root of thirty, about 5.5 times: a block's deviation was divided by the number of blocks "
        "and not by its root, so that noise itself fails them about seven times in ten. The bounds here are the right ones.</p>"
    )


def by_kind(measured: Sequence[Measured]) -> str:
    """Return the same for grey and colour, 8 and 16 bits, over all chaotic ways."""
    kinds: dict[str, list[Measured]] = {}
    for each in measured:
        if each.way != CONTROL:
            kinds.setdefault(f"{'grey' if each.shape[2] == 1 else 'colour'}, {each.bits} bit", []).append(each)
    rows = [
        (
            kind,
            str(len({each.image for each in of})),
            f"{mean(each.cipher.entropy for each in of):.4f}",
            f"{_excess(of):+z.5f}",
            f"{mean(each.system.npcr for each in of):.4f} ({mean(each.system.npcr_bounds.mean for each in of):.4f})",
            f"{mean(each.system.uaci for each in of):.3f} ({mean(each.system.uaci_bounds.mean for each in of):.3f})",
            f"{sum(each.system.unrelated for each in of)} of {len(of)}",
        )
        for kind, of in kinds.items()
    ]
    heads = (
        "samples",
        "images",
        "entropy, cipher",
        "less that of noise",
        "NPCR, one pixel changed (noise), %",
        "UACI, one pixel changed (noise), %",
        "as unrelated images",
    )
    return "<h3>Grey and colour, 8 and 16 bits, all chaotic ways</h3>" + table(heads, rows)


def correlations(measured: Sequence[Measured]) -> str:
    """Return how neighbours correlate, plain and enciphered, by all pairs and by 2,000 random ones."""
    rows = []
    plain = {each.image: each for each in measured}.values()
    for name, looks in (
        ("plain images", [each.plain for each in plain]),
        *((way, [each.cipher for each in of]) for way, of in _ways(measured).items()),
    ):
        # Each look's directions, turned into each direction's looks.
        by_direction = zip(*(look.correlations for look in looks), strict=True)
        rows += [(name, taken[0].direction, *_spread(taken)) for taken in by_direction]
    rows.append(("noise of these sizes", "any", f"{_chance(plain):.4f}", "", f"{_mean_r(PAIRS):.4f}", ""))
    heads = ("of", "direction", "mean |r|, all pairs", "largest", f"mean |r|, {PAIRS:,} random pairs", "largest")
    return table(heads, rows) + (
        f"<p>Of {PAIRS:,} random pairs of noise, |r| has the mean {_mean_r(PAIRS):.4f}: smaller figures for many images would say "
        "that pairs were chosen. All pairs there are say more of an image. Of colour, these are the pairs of all three channels "
        "together: channels of different brightness alone make an r.</p>"
    )


def _mean_r(pairs: float) -> float:
    """Return the mean |r| of so many pairs of noise."""
    return math.sqrt(2 / math.pi / pairs)


def _chance(measured: Iterable[Measured]) -> float:
    """Return the mean |r| of all horizontal pairs of noise of the sizes of these images."""
    return mean(
        _mean_r(rows * (columns - 1) * channels) for rows, columns, channels in (each.shape for each in measured)
    )


def _spread(taken: Sequence[Correlation]) -> Iterator[str]:
    for values in ([each.all_pairs for each in taken], [each.random_pairs for each in taken]):
        yield f"{mean(map(abs, values)):.4f}"
        yield f"{max(map(abs, values)):.4f}"


def changes(findings: Findings) -> str:
    """Return what one changed pixel and one changed bit of the key change."""
    rows = [
        (
            way,
            f"{mean(each.system.npcr - each.system.npcr_bounds.mean for each in of):+z.4f}",
            f"{mean(each.system.uaci - each.system.uaci_bounds.mean for each in of):+z.3f}",
            f"{sum(each.system.unrelated for each in of)} of {len(of)}",
            _changed(of),
            f"{mean(each.core.uaci for each in of):.5f}",
        )
        for way, of in _ways(findings.measured).items()
    ]
    heads = (
        "way",
        "NPCR, the system, less that of noise, %",
        "UACI, the system, less that of noise, %",
        "as unrelated images",
        "samples that change, one key",
        "UACI, one key, %",
    )
    return (
        "<p>One sample was changed by one level. The system draws a fresh secret for each image, so the two cipher images have "
        "nothing in common: 90 of 100 pairs of unrelated images pass both tests at 5 % (critical values of Wu et al. 2011 for "
        "the very size and depth; NPCR's of the binomial distribution where fewer than 100 equal samples are expected, as of most "
        "images of 16 bits, and there up to 95 pass). Under one key, a permutation and a key stream change that one sample only: this is what the "
        "papers' cipher does, and AES in counter mode too, and why neither may use a key twice.</p>"
        + table(heads, rows)
        + _keys(findings.sensitivities)
    )


def _changed(of: Sequence[Measured]) -> str:
    if all(round(each.core.npcr * math.prod(each.shape) / 100) == 1 for each in of):
        return "one"
    return f"{min(each.core.npcr for each in of):.1f} to {max(each.core.npcr for each in of):.1f} %"


def _keys(sensitivities: Sequence[Sensitivity]) -> str:
    cells: dict[str, dict[str, str]] = {}
    for each in sensitivities:
        part = each.part.removeprefix("last bit of ")
        cells.setdefault(each.way, {})[part] = f"{each.enciphered:.4f} | {each.deciphered:.4f}"
    parts = list(dict.fromkeys(part for by_part in cells.values() for part in by_part))
    rows = [(way, *(by_part.get(part, "") for part in parts)) for way, by_part in cells.items()]
    bound = f"{sensitivities[0].bound:.4f}" if sensitivities else ""
    return (
        "<p>The last bit of one part of the key was turned, on the middle of the first image: percent of the samples in which "
        f"the cipher images differ | that decipher wrongly. At least 95 of 100 pairs of noise differ in {bound} or more.</p>"
        + table(("way", *parts), rows)
    )


def by_image(measured: Sequence[Measured]) -> str:
    """Return every way on every image, folded away."""
    rows = [
        (
            each.image,
            each.way,
            " x ".join(map(str, each.shape)) + f", {each.bits} bit",
            f"{each.plain.entropy:.4f}",
            f"{each.cipher.entropy:.4f} ({each.noise_entropy:.4f})",
            " ".join(f"{c.all_pairs:.4f}" for c in each.plain.correlations),
            " ".join(f"{c.all_pairs:.4f}" for c in each.cipher.correlations),
            f"{each.against_plain.npcr:.4f}",
            f"{each.against_plain.uaci:.3f} ({each.uaci_expected:.3f})",
            f"{each.mse:.1f}",
            f"{each.psnr:.2f}",
            f"{1000 * each.encipher_seconds:.1f}",
            f"{1000 * each.decipher_seconds:.1f}",
        )
        for each in measured
    ]
    heads = (
        "image",
        "way",
        "samples",
        "entropy, plain",
        "entropy, cipher (noise)",
        "r, plain (h v d)",
        "r, cipher (h v d)",
        "NPCR, %",
        "UACI (expected), %",
        "MSE",
        "PSNR, dB",
        "encipher, ms",
        "decipher, ms",
    )
    return (
        f"<details><summary>{len(rows)} rows</summary>{table(heads, rows)}</details>"
        '<p class="print-only">These rows are in results.csv.</p>'
    )


def mean(values: Iterable[float]) -> float:
    """Return the mean, NaN of nothing."""
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _excess(measured: Iterable[Measured]) -> float:
    return mean(each.cipher.entropy - each.noise_entropy for each in measured)


def _ways(measured: Iterable[Measured]) -> Mapping[str, list[Measured]]:
    ways: dict[str, list[Measured]] = {}
    for each in measured:
        ways.setdefault(each.way, []).append(each)
    return ways
