"""Write a network's model card from its manifest.

The rule kept here: every figure in a card comes from the manifest, so a card cannot say what was not measured.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from edge.inference.manifest import manifest_path
from edge.records import FeatureNetworkName, NetworkName

_BODIES: Final = {
    NetworkName.MOBILENETV2: "MobileNetV2 (Sandler et al. 2018), width 1.0, as `keras.applications` ships it",
    NetworkName.RESNET18: "ResNet-18 (He et al. 2016), basic blocks, projection shortcuts, written out in Keras",
    FeatureNetworkName.VGG16: "VGG16 (Simonyan and Zisserman 2015, configuration D): 13 convolutions and 3 dense layers,"
    " with batch normalisation, written out in Keras",
}


def write_card(folder: Path, name: NetworkName | FeatureNetworkName) -> None:
    """Write the card of a network beside its manifest."""
    manifest = json.loads(manifest_path(folder, name).read_text())
    (folder / f"{name.value}.md").write_text(render(name, manifest))


def render(name: NetworkName | FeatureNetworkName, manifest: dict[str, Any]) -> str:
    """Return the card of a network as Markdown.

    Args:
        name: Which network.
        manifest: Its complete manifest, measured.
    """
    features = isinstance(name, FeatureNetworkName)
    parts = [
        _head(name, manifest),
        _FEATURE_PURPOSE if features else _PARAMETER_PURPOSE,
        _data(manifest, _FEATURE_DATA if features else _PARAMETER_DATA),
        _training(name, manifest),
        _measured(name, manifest),
        _FEATURE_LIMITS if features else _PARAMETER_LIMITS,
    ]
    return "\n".join(parts)


def _head(name: NetworkName | FeatureNetworkName, manifest: dict[str, Any]) -> str:
    width = manifest["training"]["recipe"]["width"]
    output = manifest["output"]
    narrowed = f", width {width:g}" if isinstance(name, FeatureNetworkName) else ""
    return f"""# Model card: {name.value}

`{manifest["file"]}`, {manifest["bytes"]:,} bytes, SHA-256 `{manifest["sha256"]}`

Written by `edge-firmware train` and `edge-firmware evaluate-models --update` from `{name.value}.json`; change those, not
this file.

- Body: {_BODIES[name]}{narrowed}. Its weights started random; nothing pretrained went in.
- In: uint8 (1, 224, 224, 3), the pixel itself, prepared as `{manifest["reads"]}`. Out: {output["dtype"]} (1, {output["shape"][1]}), scale {output["scale"]:.8f}.
- Numbers: full-integer int8 inside; it runs on ai-edge-litert and on tflite-runtime 2.14.
"""


_PARAMETER_PURPOSE: Final = """## What it is for

It reads the metadata image of one scan: 64 tiles, each a digit of the capture time, the zone, the picture's sizes and a
digest of the camera. Its 64 output bytes are folded into the control parameters of a chaotic map (`edge/chaos/parameters.py`).

It is **no source of secrecy**. Capture times can be guessed and this file is public, so whoever knows the metadata knows
the outputs.

| who contributes | what |
|---|---|
| the drawing | that different records give different images, by construction |
| the network | that every digit moves its outputs, and neighbouring moments lie far apart: learnt, see R2 below |
| `fold` | that parameters are near uniform and unlike: a fixed linear mix of all outputs modulo 2^64 |
| the image's fresh 32-byte secret | that no two images ever share a key stream, whatever their metadata |
| AES-256-GCM, RSA-OAEP, the signature | confidentiality and authenticity; the chaotic cipher adds none |

An *untrained* network of the same body meets every line of the acceptance below but the last two, since `fold` spreads
whatever the outputs tell. What training buys is that they tell it for certain: each digit of a record moves its own output
by a tenth, instead of moving something somewhere.

Where no network can run, the parameters come from the secret, and nothing is weaker for it. The network sees no image
content and decides nothing medical. It is never re-run to decipher: its outputs differ in the low bits between runtimes,
so the parameters travel with the image.
"""

_FEATURE_PURPOSE: Final = """## What it is for

It turns a scaled-down image into 1000 numbers. Their signs are V_B of the hyperchaotic DNA cipher; the numbers themselves
travel inside the sealed image, so that the hospital can look for similar images after decryption (`edge-receiver similar`).

It is **no source of secrecy** and **no diagnosis**: it was trained on drawings, to tell modality and anatomy apart, and
says nothing about disease. It is never re-run to decipher: V_B travels with the image. Where it cannot run, or the image
cannot be decoded, V_B comes from the image's secret.
"""

_PARAMETER_DATA: Final = """Synthetic records only, drawn by `firmware_tools/training/records.py` from a seed: half as cameras write them (1980 to
2079, zones, sizes, any camera), half with any digits at all. No patient's record was used. The answers to learn are 64
mixed-radix numbers of three digits each, every field leading one of them; they can be read off the drawing, so held-out
R2 says how much was learnt and not only remembered."""

_FEATURE_DATA: Final = """Phantoms only, drawn by `firmware_tools/phantoms` from a seed: radiographs, fundus photographs, CT, MR, ultrasound and
ordinary pictures, varied in anatomy, contrast, noise, framing and compression. No patient's image was used in training.
The network learnt to name the kind of each drawing; the classifier behind its features is dropped."""


def _data(manifest: dict[str, Any], text: str) -> str:
    training = manifest["training"]
    stages = ", ".join(
        f"{stage['steps']:,} steps of {stage['batch']} at {stage['side']} px" for stage in training["recipe"]["stages"]
    )
    return f"""## Data

{text}

Each of {training["images"]:,} images was seen once, seed {training["recipe"]["seed"]}: {stages}.
"""


def _training(name: NetworkName | FeatureNetworkName, manifest: dict[str, Any]) -> str:
    training = manifest["training"]
    tools = ", ".join(f"{tool} {version}" for tool, version in sorted(training["tools"].items()))
    return f"""## Training

{training["minutes"]:g} minutes on {training["machine"]}, from commit `{training["commit"] or "unknown"}` ({tools}).

{_REPEATED[name]}

![loss curves]({name.value}.loss.png)
"""


def _measured(name: NetworkName | FeatureNetworkName, manifest: dict[str, Any]) -> str:
    metrics = manifest["metrics"]
    rows = [(_NAMES.get(key, key), _text(value)) for key, value in metrics.items() if key in _NAMES]
    lines = ["## Measured", "", "On this very file, through ai-edge-litert.", "", *_table(("what", "figure"), rows)]
    accepted = manifest.get("acceptance")
    if accepted:
        judged = [(line["what"], line["figure"], line["bound"], _met(line)) for line in accepted["lines"]]
        lines += ["", f"Acceptance (`edge-firmware evaluate-models`), under `{accepted['profile']}`:", ""]
        lines += _table(("what", "figure", "bound", "met"), judged)
        lines += ["", *(f"![{picture}]({name.value}.{picture}.png)" for picture in accepted["pictures"])]
    return "\n".join((*lines, ""))


_NAMES: Final = {
    "held_out_records": "records held out",
    "held_out_r2_int8": "held-out R2, file",
    "held_out_r2_float": "held-out R2, float model",
    "held_out_r2_int8_worst_output": "held-out R2, worst output of the file",
    "float_int8_correlation": "correlation of float and int8 outputs",
    "float_int8_equal_bits": "share of V_B's bits equal in float and int8",
    "median_latency_ms": "latency, median of one image, 2 threads, ms",
}

_TOLERANCE: Final = """Cores add up in no fixed order, so no two trainings give the same bits. A training by this recipe reaches the mean R2
within 0.005 and that of the worst output within 0.03"""
_REPEATED: Final = {
    NetworkName.MOBILENETV2: f"{_TOLERANCE}: two from the same seed on one machine gave 0.986 and 0.987, 0.969 and 0.977.",
    NetworkName.RESNET18: f"{_TOLERANCE}: two from the same seed on unlike processors gave 0.974 and 0.974, 0.958 and 0.954.",
    FeatureNetworkName.VGG16: "Cores add up in no fixed order, so no two trainings give the same bits. This recipe was "
    "trained once; quantised twice, it told the same 233 of 240 drawings and 29 of 32 real images.",
}
"""How far a training can be repeated, as measured; the figures are those of the int8 files on held-out records."""

_PARAMETER_LIMITS: Final = """## Limits

- Outputs repeat exactly only within one numeric profile; the manifest holds the known answers of each, and a network that
  gives other ones is refused at start.
- Two cameras whose 48-bit digests collide, in the same moment and with the same sizes, share parameters. They never share
  a secret.
- Latency was measured on x86-64, not on an Arm board.
"""

_FEATURE_LIMITS: Final = """## Limits

- Trained on drawings alone. How well it tells real images apart is measured above, on a few dozen of them.
- Features know anatomy first and modality second: an image that is the only one of its anatomy in a collection, such as
  one sagittal head among axial ones, may be most like one of another modality.
- Features depend on the decoder and, in the low bits, on the numeric profile; the manifest holds the known answers.
- Latency was measured on x86-64, not on an Arm board.
"""


def _met(line: dict[str, Any]) -> str:
    if line["bound"] == "-":
        return "-"
    return "yes" if line["met"] else "**no**"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> list[str]:
    return [_row(head), _row(("---",) * len(head)), *map(_row, rows)]


_PIPE: Final = r"\|"  # within a cell of a table


def _row(cells: tuple[str, ...]) -> str:
    return f"| {' | '.join(cell.replace('|', _PIPE) for cell in cells)} |"


def _text(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:g}" if isinstance(value, float) else str(value)
