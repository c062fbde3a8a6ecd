"""Write what was measured as one HTML file that needs nothing else, as JSON, and as CSV.

The rule kept here: three readers. A doctor reads the first page, a reviewer the tables with their bounds, an engineer the
JSON. Every table says what a perfect cipher would show, and the first page says that statistics are not security.
"""

from __future__ import annotations

import base64
import csv
import html
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from firmware_tools.evaluation.measure import Measured
from firmware_tools.evaluation.sp800_22 import Assessment

CONTROL: Final = "aes-256-ctr"


@dataclass(frozen=True, slots=True)
class Attacked:
    """What one attack came to, against a key made from the time stamp and against the product, in a sentence each."""

    attack: str
    on_the_papers: str
    on_the_product: str


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """What the last bit of one part of the key changes, in percent of the samples: of the cipher image, and deciphering."""

    way: str
    part: str
    enciphered: float
    deciphered: float
    bound: float


@dataclass(slots=True)
class Findings:
    """All that an evaluation found.

    Attributes:
        title: what was evaluated.
        made: when and with what, name by name.
        measured: each way on each image.
        left_out: files that are no images, with the reason.
        sensitivities: of each part of each way's key.
        attacks: what was tried against papers and product.
        randomness: SP 800-22 of each way's cipher images; empty where there were too few bits.
        pictures: PNG files by caption.
    """

    title: str
    made: Mapping[str, str]
    measured: list[Measured] = field(default_factory=list)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    sensitivities: list[Sensitivity] = field(default_factory=list)
    attacks: list[Attacked] = field(default_factory=list)
    randomness: dict[str, list[Assessment]] = field(default_factory=dict)
    pictures: dict[str, bytes] = field(default_factory=dict)


def as_json(findings: Findings) -> str:
    """Return everything but the pictures as JSON; what is not finite is null, and infinite PSNR with it."""
    fields = {name: getattr(findings, name) for name in Findings.__slots__ if name != "pictures"}
    return json.dumps(_finite(json.loads(json.dumps(fields, default=asdict))), indent=1) + "\n"


def as_csv(findings: Findings) -> str:
    """Return one line for each way on each image."""
    target = io.StringIO()
    writer = csv.writer(target, lineterminator="\n")
    writer.writerow([name for name, _ in _columns(findings.measured[0])] if findings.measured else ["image", "way"])
    for each in findings.measured:
        writer.writerow([value for _, value in _columns(each)])
    return target.getvalue()


def as_html(findings: Findings) -> str:
    """Return the report as one HTML file."""
    parts = [
        f"<h1>{_text(findings.title)}</h1>",
        _FOREWORD,
        _section("At a glance", _glance(findings)),
        _section("What each way does to the images", _by_way(findings.measured)),
        _section("One pixel, one bit", _changes(findings)),
        _section("Attacks, run for this report", _attacks(findings.attacks)),
        _section("NIST SP 800-22", _randomness(findings.randomness)),
        _section("Pictures", _pictures(findings.pictures)),
        _section("Image by image", _by_image(findings.measured)),
        _section(
            "What was left out", _rows(("file", "why"), findings.left_out) if findings.left_out else "<p>Nothing.</p>"
        ),
        _section("How this was made", _rows(("what", "which"), list(findings.made.items()))),
    ]
    return _PAGE.format(title=_text(findings.title), style=_STYLE, body="\n".join(part for part in parts if part))


# --- tables ---------------------------------------------------------------------------------------------------------

_FOREWORD: Final = """\
<p><strong>In plain words.</strong> An enciphered image should look like the noise of an untuned television: no outline, no
pattern, nothing of the patient. The figures below say how close to such noise the cipher images are, and that the deciphered
image is the original, sample for sample.</p>
<p class="warning"><strong>Statistics are not security.</strong> Every way below passes the tests that papers on image ciphers
run, and so does AES, and so would many ciphers that are broken in seconds. The section on attacks breaks the papers' own
scheme with three images. What protects an image in this product is standard cryptography: AES-256-GCM under a key of its own,
RSA-OAEP for the hospital, and the device's signature. The chaotic cipher lies inside of that, and nothing depends on it.</p>"""


def _glance(findings: Findings) -> str:
    measured = findings.measured
    if not measured:
        return "<p>No image could be evaluated.</p>"
    exact = sum(each.mse_back == 0 for each in measured)
    images = len({each.image for each in measured})
    items = [
        f"{images} images, {len({each.way for each in measured})} ways: {exact} of {len(measured)} deciphered exactly.",
        (
            f"Entropy of cipher images: {_short(measured):+.5f} bits a sample from that of noise, on the average; the "
            f"control, AES: {_short([each for each in measured if each.way == CONTROL]):+.5f}."
        ),
        "Of plain and cipher image, NPCR and UACI are what any good cipher must give: they depend on the plain image alone.",
    ]
    return "<ul>" + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def _short(measured: Sequence[Measured]) -> float:
    return _mean(each.cipher.entropy - each.noise_entropy for each in measured)


def _by_way(measured: Sequence[Measured]) -> str:
    rows = []
    for way in dict.fromkeys(each.way for each in measured):
        of = [each for each in measured if each.way == way]
        local = [each for each in of if each.cipher.local_entropy is not None]
        inside = sum(
            each.local_bounds.low <= each.cipher.local_entropy <= each.local_bounds.high
            for each in local
            if each.cipher.local_entropy is not None
        )
        largest = max(abs(c.all_pairs) for each in of for c in each.cipher.correlations)
        rows.append(
            (
                way,
                f"{_short(of):+.5f}",
                f"{inside} of {len(local)}",
                f"{sum(each.cipher.chi_square_p > 0.01 for each in of)} of {len(of)}",
                f"{largest:.4f}",
                f"{_mean(each.against_plain.npcr for each in of):.4f}",
                f"{_mean(each.against_plain.uaci - each.uaci_expected for each in of):+.3f}",
                f"{_mean(each.psnr for each in of):.2f}",
                "all" if all(each.mse_back == 0 for each in of) else "NOT ALL",
                f"{_rate(of, 'encipher_seconds'):.0f}",
                f"{_rate(of, 'decipher_seconds'):.0f}",
                f"{1000 * sorted(each.key_seconds for each in of)[len(of) // 2]:.1f}",
            )
        )
    heads = (
        "way",
        "entropy less that of noise, bits",
        "local entropy within 95 % bounds",
        "flat histogram (p > 0.01)",
        "largest |r| of neighbours",
        "NPCR to plain, %",
        "UACI to plain less expected, %",
        "PSNR to plain, dB",
        "deciphered exactly",
        "encipher, MB/s",
        "decipher, MB/s",
        "key, ms",
    )
    return _rows(heads, rows) + (
        "<p>UACI between a plain and a cipher image follows from the plain image; the table shows by how much it misses that. "
        "Few samples have less than 8 or 16 bits of entropy, under any cipher, so it is compared with as much noise. Speeds "
        "are of one run, on "
        "images as small as these; <code>edge-firmware bench</code> measures speed.</p>"
    )


def _changes(findings: Findings) -> str:
    rows = []
    for way in dict.fromkeys(each.way for each in findings.measured):
        of = [each for each in findings.measured if each.way == way]
        rows.append(
            (
                way,
                f"{_mean(each.system.npcr for each in of):.4f}",
                f"{_mean(each.system.uaci for each in of):.3f}",
                f"{sum(each.system.unrelated for each in of)} of {len(of)}",
                f"{_mean(each.core.npcr for each in of):.4f}",
            )
        )
    heads = ("way", "NPCR, the system, %", "UACI, the system, %", "as unrelated images", "NPCR, one key, %")
    keys = [
        (each.way, each.part, f"{each.enciphered:.4f}", f"{each.deciphered:.4f}", f"{each.bound:.4f}")
        for each in findings.sensitivities
    ]
    return (
        "<p>One sample was changed by one level. The system draws a fresh secret for each image, so the two cipher images have "
        "nothing in common: 90 of 100 pairs of unrelated images pass both tests at 5 % (critical values of Wu et al. 2011 for "
        "the very size and depth). Under one key, a permutation and a key stream change that one sample only: this is what the "
        "papers' cipher does, and AES in counter mode too, and why neither may use a key twice.</p>"
        + _rows(heads, rows)
        + "<p>The last bit of each part of the key, on the first image:</p>"
        + _rows(("way", "part", "cipher images differ, %", "deciphered wrongly, %", "noise: at least, %"), keys)
    )


def _attacks(attacks: Sequence[Attacked]) -> str:
    rows = [(each.attack, each.on_the_papers, each.on_the_product) for each in attacks]
    return _rows(("attack", "a key made from the time stamp, as in the papers", "the product"), rows)


def _randomness(randomness: Mapping[str, Sequence[Assessment]]) -> str:
    if not randomness:
        return "<p>Not run: <code>--sequences</code> says how many sequences of a million bits to test.</p>"
    rows = []
    for way, assessments in randomness.items():
        passed = sum(each.passed for each in assessments)
        worst = min(assessments, key=lambda each: (each.passed, each.proportion - each.needed))
        rows.append(
            (
                way,
                str(max(each.sequences for each in assessments)),
                f"{passed} of {len(assessments)}",
                f"{worst.test}: {worst.proportion:.3f} (needs {worst.needed:.3f}), uniformity {worst.uniformity:.4f}",
            )
        )
    return _rows(("way", "sequences", "P-values assessed as random", "the least of them"), rows) + (
        "<p>All fifteen tests with NIST's parameters; of 188 assessments a good generator misses one now and then.</p>"
    )


def _pictures(pictures: Mapping[str, bytes]) -> str:
    return "".join(
        f'<figure><img alt="{_text(caption)}" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{_text(caption)}</figcaption></figure>"
        for caption, png in pictures.items()
    )


def _by_image(measured: Sequence[Measured]) -> str:
    rows = [
        (
            each.image,
            each.way,
            " x ".join(map(str, each.shape)) + f", {each.bits} bit",
            f"{each.plain.entropy:.4f}",
            f"{each.cipher.entropy:.4f}",
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
        "entropy, cipher",
        "r, plain (h v d)",
        "r, cipher (h v d)",
        "NPCR, %",
        "UACI (expected), %",
        "MSE",
        "PSNR, dB",
        "encipher, ms",
        "decipher, ms",
    )
    return f"<details><summary>{len(rows)} rows</summary>{_rows(heads, rows)}</details>"


def _columns(each: Measured) -> list[tuple[str, Any]]:
    """Return a measurement as named values without structure."""
    columns: list[tuple[str, Any]] = []

    def walk(name: str, value: Any) -> None:
        if isinstance(value, dict):
            for key, inner in value.items():
                walk(f"{name}.{key}" if name else key, inner)
        elif isinstance(value, list | tuple):
            for number, inner in enumerate(value):
                walk(f"{name}.{number}", inner)
        else:
            columns.append((name, value))

    walk("", asdict(each))
    return columns


def _rate(measured: Sequence[Measured], what: str) -> float:
    """Return megabytes a second over all images together."""
    total = sum(math.prod(each.shape) * each.bits // 8 for each in measured)
    seconds: float = sum(getattr(each, what) for each in measured)
    return total / 1e6 / seconds


def _mean(values: Any) -> float:
    numbers = list(values)
    return sum(numbers) / len(numbers) if numbers else math.nan


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# --- the page -------------------------------------------------------------------------------------------------------


def _section(title: str, body: str) -> str:
    return f"<section><h2>{_text(title)}</h2>{body}</section>"


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{_text(each)}</th>" for each in heads)
    body = "".join("<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _text(text: str) -> str:
    return html.escape(text)


_STYLE: Final = """\
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fdfdfc; --line: #d4d4d0; --soft: #f1f1ee; --alarm: #a33a12; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e4e0; --paper: #16181b; --line: #3a3d42; --soft: #202327; --alarm: #f0a080; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 72rem;
  margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid var(--line); }
.warning { border-left: 4px solid var(--alarm); padding: .4rem .9rem; background: var(--soft); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: .3rem .6rem; border-bottom: 1px solid var(--line); vertical-align: top; }
th { background: var(--soft); } figure { margin: 1rem 0; } figcaption { font-size: .85rem; }
img { max-width: 100%; height: auto; background: #fff; padding: .5rem; border-radius: 6px; box-sizing: border-box; }
code { background: var(--soft); padding: 0 .25rem; }
@media print { body { max-width: none; } .wide { overflow: visible; } table { font-size: .6rem; } details { display: none; } }"""

_PAGE: Final = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title><style>{style}</style></head>
<body>
{body}
</body></html>
"""
