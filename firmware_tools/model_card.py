"""Write a network's model card from its manifest entry.

The rule kept here: every figure in a card comes from the manifest, so a card cannot say what was not measured.
"""

from __future__ import annotations

from typing import Any, Final

from edge.records import NetworkName

_FAMILY: Final = {
    NetworkName.MOBILENETV2: "MobileNetV2 (Sandler et al. 2018), width 1.0, as `keras.applications` ships it",
    NetworkName.RESNET18: "ResNet-18 (He et al. 2016), basic blocks, projection shortcuts, written out in Keras",
}


def render(name: NetworkName, entry: dict[str, Any]) -> str:
    """Return the card of a network as Markdown.

    Args:
        name: Which network.
        entry: Its complete manifest entry, measured.
    """
    training, metrics = entry["training"], entry["metrics"]
    coarse = training["epochs"] - training["fine_epochs"]
    tools = ", ".join(f"{tool} {version}" for tool, version in sorted(training["tools"].items()))
    fewest, most = metrics["seconds_values_an_output"]
    return f"""# Model card: {name.value}

`{entry["file"]}`, {entry["bytes"]:,} bytes, SHA-256 `{entry["sha256"]}`

Written by `edge-firmware train` from `manifest.json`; change that command, not this file.

## What it is

A parameter network of edge-encryptor: it reads the metadata image of one scan (224 x 224 x 3 bytes, drawing
`{entry["encoding"]}`) and answers with {entry["output"]["shape"][1]} bytes, which are folded into the control parameters of a chaotic map.

- Body: {_FAMILY[name]}. Its weights started random; nothing pretrained went in.
- Head: global average pooling, one dense layer, sigmoid.
- Numbers: full-integer int8 inside, uint8 in (the pixel itself) and out (scale {entry["output"]["scale"]:.8f}).

## What it is not

It is **no source of secrecy**. Capture times can be guessed and this file is public, so whoever knows the metadata knows
the outputs. The network contributes variety: neighbouring moments get parameters that lie far apart. That two images
never share a key stream is the work of the fresh 32-byte secret each image gets; confidentiality and authenticity rest
on AES-256-GCM, RSA-OAEP and the signature. Where no network can run, the parameters are derived from the secret, and
nothing is weaker for it.

It sees no image content and decides nothing medical. It is never re-run to decipher: its outputs differ in the low bits
between runtimes, so the parameters travel with the image.

## Data

Synthetic records only: random moments (1980 to 2079), zones, cameras, widths, heights and sizes, drawn by
`firmware_tools/dataset.py` from a seed. No patient's record was used. Each image was seen once: {training["images"]:,} fresh ones
an epoch, {coarse} epochs at half side, then {training["fine_epochs"]} at full side, seed {training["seed"]} ({tools}).

The answer to learn is the record as a digit-reversed mixed-radix number, sixteen times, each time starting at another
digit. It can be read off the drawing, so held-out R2 says how much was learnt and not only remembered.

## Measured

On this very file under `{entry["profile"]}`:

| what | figure |
|---|---|
| held-out R2, file (float model) | {metrics["held_out_r2_int8"]} ({metrics["held_out_r2_float"]}), {metrics["held_out_records"]} records |
| held-out R2, worst of the outputs | {metrics["held_out_r2_int8_worst_output"]} |
| correlation of float and int8 outputs | {metrics["float_int8_correlation"]} |
| distinct output rows of {metrics["seconds"]:,} consecutive seconds | {metrics["seconds_distinct_rows"]:,} |
| distinct output rows of {metrics["milliseconds"]:,} consecutive milliseconds | {metrics["milliseconds_distinct_rows"]:,} |
| distinct after `fold`, seconds | {metrics["seconds_distinct_folds"]:,} |
| `fold`, distance to uniform (Kolmogorov-Smirnov) | {metrics["seconds_fold_ks"]} |
| `fold`, lag-1 correlation | {metrics["seconds_fold_lag1"]} |
| values one output takes over those seconds, fewest and most | {fewest} and {most} |
| latency, median of one image, 2 threads | {metrics["median_latency_ms"]} ms |

Which property comes from where: that different records give different *images* is a property of the drawing, by
construction. That neighbouring seconds give outputs far apart was learnt. That folded outputs are near uniform is the
work of `fold`.

## Limits

- Outputs repeat exactly only within one numeric profile (runtime, version, delegate, machine). The manifest's known
  answers hold for the profile above.
- Only the sixteen leading digits and their followers move an output by design; records that differ elsewhere, such as
  in the zone or in high digits of a size, may share outputs. They never share a secret.
- Training was kept short. What it reached is enough for the spread that the cipher needs; `edge-firmware train` with more
  images and epochs reads the slow digits better.
- Latency was measured on one x86-64 server core pair, not on an Arm board.
"""
