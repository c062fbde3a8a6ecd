"""The report's studies beyond the images: published values, keys, attacks, maps, damage, randomness, speed.

The rule kept here: what was not measured is said not to have been, with the option that measures it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from firmware_tools.evaluation import metrics
from firmware_tools.evaluation.dynamics import LANE_STEPS
from firmware_tools.evaluation.findings import Attacked, Findings
from firmware_tools.evaluation.keyspace import KeySpace
from firmware_tools.evaluation.page import bullets, escaped, table
from firmware_tools.evaluation.published import FOLLOWED, Published, remarks
from firmware_tools.evaluation.robustness import Damaged
from firmware_tools.evaluation.sp800_22.assessment import Assessment
from firmware_tools.evaluation.speed import Timed
from firmware_tools.evaluation.tables import mean

BESIDE_SIDE = 256
"""Pixels a side at which the ways stand beside published values."""


def published(findings: Findings) -> str:
    """Return what others report beside the same figures of the ways, and what of it cannot be."""
    rows = [_theirs(each) for each in findings.published]
    rows += [_ours(way, findings) for way in dict.fromkeys(each.way for each in findings.beside)]
    rows.append(_noise())
    heads = (
        "cipher",
        "images",
        "entropy, bits",
        "NPCR, %",
        "UACI, %",
        "PSNR to plain, dB",
        "r, h v d",
        "seconds to encipher",
        "keys",
    )
    count = len({each.image for each in findings.beside})
    parts = [
        (
            "<p>The two systems that the product's ciphers follow report tables of their own. Their text was not available when "
            "this was written, so <strong>those tables are not here</strong>, and nothing is put in their place:</p>"
        ),
        table(("system", "where", "what is known of it"), [(each.what, each.link, each.read) for each in FOLLOWED]),
        (
            "<p>Comparable ciphers, deep features with chaos or DNA, by the values that were read in the sources named below, and the "
            f"ways of this report on the middle {BESIDE_SIDE} x {BESIDE_SIDE} samples of {count} images of 8 bits, of colour the green "
            "channel: means of all, NPCR and UACI with one pixel changed, seconds without the key.</p>"
        ),
        table(heads, rows),
        "<h3>What differs, and why</h3>",
        bullets(_DIFFERENCES),
        "<h3>What follows from its own formula, and what cannot</h3>",
    ]
    for each in findings.published:
        said = list(remarks(each)) or ["Nothing in the values given is impossible."]
        parts.append(f"<p><strong>{escaped(each.origin.what)}</strong></p>{bullets(said)}")
    parts.append("<h3>Where the values were read</h3>")
    sources = [
        (each.origin.what, each.origin.source, each.origin.link, each.origin.read) for each in findings.published
    ]
    parts.append(table(("cipher", "source", "link", "read"), sources))
    return "".join(parts)


_DIFFERENCES = (
    (
        "Entropy: it grows with the number of samples and nothing else once a cipher image is as flat as noise. Of one size all "
        "ciphers in the table agree; a higher figure is a larger image."
    ),
    (
        "NPCR and UACI: between two cipher images, any two that have nothing in common give those of noise. The ways reach them "
        "because each image has a fresh secret; under one key cipher A changes one sample, as the section above shows."
    ),
    "NPCR and UACI of a plain and a cipher image, as the first system uses them, are properties of the plain image.",
    "Seconds: those published are of other code on other machines; they compare implementations, not ciphers.",
    "Keys: counts of decimal digits are no work for an attacker; the next section counts both.",
)


def _theirs(each: Published) -> tuple[str, ...]:
    def value(number: float | None, form: str = "{}") -> str:
        return "not given" if number is None else form.format(number)

    r = "not given" if each.correlations is None else " ".join(f"{value:.4f}" for value in each.correlations)
    size = f", {each.side} x {each.side}" if each.side else ""
    keys = "not given" if each.key_bits is None else f"2^{each.key_bits} claimed"
    return (
        each.origin.what,
        each.images + size,
        value(each.entropy),
        value(each.npcr),
        value(each.uaci),
        value(each.psnr),
        r,
        value(each.seconds),
        keys,
    )


def _ours(way: str, findings: Findings) -> tuple[str, ...]:
    of = [each for each in findings.beside if each.way == way]
    return (
        f"this: {way}",
        f"{len(of)} images, {BESIDE_SIDE} x {BESIDE_SIDE}",
        f"{mean(each.cipher.entropy for each in of):.4f}",
        f"{mean(each.system.npcr for each in of):.4f}",
        f"{mean(each.system.uaci for each in of):.4f}",
        f"{mean(each.psnr for each in of):.2f}",
        " ".join(f"{mean(each.cipher.correlations[place].all_pairs for each in of):.4f}" for place in range(3)),
        f"{_median([each.encipher_seconds for each in of]):.5f}",
        "2^256",
    )


def _noise() -> tuple[str, ...]:
    samples = BESIDE_SIDE**2
    return (
        "noise itself",
        f"{BESIDE_SIDE} x {BESIDE_SIDE}",
        f"{metrics.noise_entropy(samples, 8):.4f}",
        f"{metrics.npcr_bounds(samples, 8).mean:.4f}",
        f"{metrics.uaci_bounds(samples, 8).mean:.4f}",
        "the image's own",
        "0, give or take 0.0039",
        "",
        "",
    )


def key_spaces(spaces: Sequence[KeySpace]) -> str:
    """Return how many keys there are, as counted and as they are."""
    rows = [
        (each.system, each.counted, f"2^{each.bits:,.0f}", "yes" if each.honest else "no", each.why) for each in spaces
    ]
    return table(("of", "counted as", "keys", "an attacker must try them", "why"), rows) + (
        "<p>Papers count every digit of every real number. What an attacker has to try is what was drawn at random, and no more. "
        "The digits and ranges are those of the systems' own formulas where these are known, else 15 digits, a double's.</p>"
    )


def attacks(attacked: Sequence[Attacked]) -> str:
    """Return what each attack came to."""
    rows = [(each.attack, each.on_the_papers, each.on_the_product) for each in attacked]
    return table(("attack", "a key made from the time stamp, as in the papers", "the product"), rows)


def maps(findings: Findings) -> str:
    """Return how chaotic the maps are, and how long their orbits."""
    exponents = [
        (
            each.way,
            ", ".join(f"{value:.6g}" for value in each.parameters),
            ", ".join(f"{value:.4f}" for value in each.exponents),
            f"{sum(each.exponents):.3f}" + ("" if math.isnan(each.divergence) else f" ({each.divergence:.3f})"),
        )
        for each in findings.spectra
    ]
    lengths = [
        (
            f"{each.r:.10g}",
            f"{each.bits}" + (" (double precision)" if each.bits == 53 else ""),
            str(len(each.lengths)),
            "none met" if math.isnan(each.median) else f"{each.median:,.0f}",
            f"{2 ** (each.bits / 2):,.0f}",
            str(sum(not length for length in each.lengths)),
        )
        for each in findings.cycles
    ]
    over = [(each.map, f"{each.points:,}", f"{each.least:.4f}", f"{each.most:.4f}") for each in findings.ranges]
    lanes = [(each.way, f"{each.lanes:,}", str(each.repeating)) for each in findings.repeats]
    return (
        "<p>Lyapunov exponents at the parameters of the first image; one above zero is chaos, two are hyperchaos. A logistic "
        "map's is at most ln 2 = 0.6931. Those of a flow add up to the rate at which its volumes grow, in brackets, but for what the "
        "length of a step adds: they are computed with the cipher's own.</p>"
        + table(("way", "parameters", "exponents", "their sum (of the flow)"), exponents)
        + "<p>Over the whole range of parameters that a network may choose, the largest exponent of each of many, drawn evenly:</p>"
        + table(("map", "parameters drawn", "least", "most"), over)
        + "<p>Chaos does not make an orbit long: in a computer it ends in a cycle. Papers run one orbit for a whole image; its key "
        "stream repeats once the image is longer than the cycle. Cycles of the logistic map, its states rounded:</p>"
        + table(("r", "bits of a state", "orbits", "median cycle", "root of the number of states", "none met"), lengths)
        + f"<p>The product runs thousands of lanes of at most {LANE_STEPS:,} steps, each with parameters of its own. Lanes that "
        f"came back to an earlier state within these steps:</p>" + table(("way", "lanes", "that repeat"), lanes)
    )


def damaged(found: Sequence[Damaged]) -> str:
    """Return what the bare cipher gives back of damaged cipher images."""
    cells: dict[str, dict[str, str]] = {}
    for each in found:
        cells.setdefault(each.way, {})[each.damage] = f"{each.exact:.3f} ({each.psnr:.1f})"
    damages = list(dict.fromkeys(each.damage for each in found))
    rows = [(way, *(by_damage[damage] for damage in damages)) for way, by_damage in cells.items()]
    return (
        '<p class="warning"><strong>This is not a property of the product.</strong> Papers damage a cipher image, decipher it '
        "and call the remains robust. The product refuses an image of which a single bit was changed, and asks for lost parts "
        "again: a cipher that lets damage through lets forgery through. These figures are of the bare cipher, and AES in counter "
        "mode has the same.</p><p>Samples of the middle of the first image that decipher exactly, in percent, and PSNR in "
        "dB:</p>" + table(("way", *damages), rows)
    )


def randomness(found: Mapping[str, Sequence[Assessment]]) -> str:
    """Return what SP 800-22 says of each way."""
    if not found:
        return "<p>Not run: <code>--sequences</code> says how many sequences of a million bits to test.</p>"
    rows = []
    for way, assessments in found.items():
        worst = min(assessments, key=lambda each: (each.passed, each.proportion - each.needed))
        rows.append(
            (
                way,
                str(max(each.sequences for each in assessments)),
                f"{sum(each.passed for each in assessments)} of {len(assessments)}",
                f"{len(assessments) - sum(each.chance for each in assessments):.1f}",
                f"{worst.test}: {worst.proportion:.4f} (needs {worst.needed:.4f}), uniformity {worst.uniformity:.4f}",
            )
        )
    tests = list(dict.fromkeys(each.test for assessments in found.values() for each in assessments))
    detail = [(test, *(_of_test(test, assessments) for assessments in found.values())) for test in tests]
    return (
        table(("way", "sequences", "assessments passed", "random bits: on the average", "the least of them"), rows)
        + "<p>All fifteen tests with NIST's parameters on sequences of 1,000,000 bits, cipher images of these images under fresh "
        "keys. An assessment passes where the share of P-values of 0.01 and more is three normal deviations below 0.99 or better, and the "
        "P-values are uniform (P-value of P-values of 0.0001 or more). Random bits miss some: the binomial distribution says how "
        "many on the average, and the control, AES, shows it. For each "
        "test: the share that passed, and the P-value of uniformity; of tests with several parts the least of either.</p>"
        + table(("test", *found), detail)
    )


def _of_test(test: str, assessments: Sequence[Assessment]) -> str:
    of = [each for each in assessments if each.test == test]
    if not of:
        return "does not apply"
    parts = f" ({len(of)} parts)" if len(of) > 1 else ""
    return f"{min(each.proportion for each in of):.4f}, {min(each.uniformity for each in of):.4f}{parts}"


def speeds(found: Sequence[Timed]) -> str:
    """Return how long each way takes by size and kind of image."""
    sides = sorted({each.side for each in found})
    rows = []
    for way, channels, bits in dict.fromkeys((each.way, each.channels, each.bits) for each in found):
        of = {each.side: each for each in found if (each.way, each.channels, each.bits) == (way, channels, bits)}
        last = of[max(of)]
        rows.append(
            (
                way,
                f"{'grey' if channels == 1 else 'colour'}, {bits} bit",
                f"{1000 * _median([each.key for each in of.values()]):.2f}",
                *(f"{1000 * of[side].encipher:.2f} | {1000 * of[side].decipher:.2f}" for side in sides),
                f"{last.size / 1e6 / last.encipher:.0f} | {last.size / 1e6 / last.decipher:.0f}",
            )
        )
    heads = ("way", "samples", "key, ms", *(f"{side} x {side}, ms" for side in sides), "MB/s at the largest")
    return (
        "<p>Encipher | decipher, the fastest of five runs after one another; a key is made once an image, its network run within "
        "it. <code>edge-firmware bench</code> measures the whole way, in ratios to the machine's own limits.</p>"
    ) + table(heads, rows)


def _median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else math.nan
