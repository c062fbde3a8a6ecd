"""Train the parameter networks from scratch, quantise them, measure them and write models/: one command.

The rule kept here: a network is made from its seed and the data that the seed draws, nothing is downloaded; and what
is written to the manifest was measured on the very file beside it, through the runtime that devices use.

Most steps see the images at half side, which costs a quarter; the last ones see them as devices do. Every record is
seen once: an epoch is a fresh draw, so there is nothing to overfit to.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExitCode, UsageError
from edge.inference import ParameterNetwork
from edge.metadata_image import ENCODING, SIDE
from edge.records import NetworkName
from firmware_tools.acceptance import agreement, known_answers, measure, shortfalls
from firmware_tools.dataset import images, random_fields, targets
from firmware_tools.model_card import render
from firmware_tools.networks import build, tensorflow
from firmware_tools.quantize import calibrate_batch_norm, describe_tensors, quantize

MANIFEST: Final = "manifest.json"

_BATCH: Final = 32
_COARSE: Final = 2
_WARM_UP_STEPS: Final = 30
_REPORT_STEPS: Final = 50
# Peak learning rates of Adam, found by short runs; the fine steps start at a fraction of them.
_LEARNING_RATE: Final = {NetworkName.MOBILENETV2: 2e-3, NetworkName.RESNET18: 1e-3}
_FINE_FRACTION: Final = 0.3
_CALIBRATION_RECORDS: Final = 1024
_REPRESENTATIVE_RECORDS: Final = 256
_HELD_OUT_RECORDS: Final = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one network is trained. `images` counts records an epoch; the last `fine_epochs` are at full side."""

    network: NetworkName
    images: int
    epochs: int
    fine_epochs: int
    seed: int


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the train command to a parser."""
    names = [name.value for name in NetworkName]
    parser.add_argument("--network", choices=[*names, "all"], default="all", help="which network (default: all)")
    parser.add_argument("--images", type=int, default=3200, help="fresh images an epoch (default: 3200)")
    parser.add_argument("--epochs", type=int, default=10, help="epochs in all (default: 10)")
    parser.add_argument("--fine-epochs", type=int, default=1, help="how many of them at full side (default: 1)")
    parser.add_argument("--seed", type=int, default=1, help="what everything follows from (default: 1)")
    parser.add_argument("--out", type=Path, default=Path("models"), help="where the files go (default: models)")


def run_train(args: argparse.Namespace) -> int:
    """Train, quantise and measure what the options name; write the files and the manifest.

    Args:
        args: As parsed by `add_train_arguments`.

    Returns:
        The exit code.

    Raises:
        UsageError: TensorFlow is not installed, or a count is not positive.
        ModelError: The quantised file is not one that a device can use.
    """
    if min(args.images, args.epochs) < 1 or not 0 <= args.fine_epochs <= args.epochs or args.seed < 0:
        raise UsageError("--images and --epochs must be positive, --fine-epochs at most --epochs, --seed not negative")
    names = list(NetworkName) if args.network == "all" else [NetworkName(args.network)]
    tensorflow()  # Without it nothing is left behind.
    args.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        recipe = Recipe(
            network=name, images=args.images, epochs=args.epochs, fine_epochs=args.fine_epochs, seed=args.seed
        )
        model = train(recipe, report=_report)
        publish(model, recipe, args.out)
        _report(f"{name.value}: written")
    return ExitCode.OK


def train(recipe: Recipe, *, report: Callable[[str], None]) -> Any:
    """Train one network.

    Args:
        recipe: How.
        report: Takes a line of progress now and then.

    Returns:
        A Keras model at full side, float32, its batch-norm statistics measured on fresh records.

    Raises:
        UsageError: TensorFlow is not installed.
    """
    keras = tensorflow().keras
    keras.utils.set_random_seed(recipe.seed)
    generator = np.random.default_rng(recipe.seed)
    coarse_steps = _steps(recipe, recipe.epochs - recipe.fine_epochs)
    fine_steps = _steps(recipe, recipe.fine_epochs)
    peak = _LEARNING_RATE[recipe.network]
    weights = None
    for side, steps, rate in ((SIDE // _COARSE, coarse_steps, peak), (SIDE, fine_steps, peak * _FINE_FRACTION)):
        if steps:
            model = build(recipe.network, side=side)
            if weights is not None:
                model.set_weights(weights)
            _fit(model, generator, steps, rate, report=report)
            weights = model.get_weights()
    model = build(recipe.network)
    model.set_weights(weights)
    report(f"{recipe.network.value}: measuring batch-norm statistics")
    calibrate_batch_norm(model, random_fields(generator, min(_CALIBRATION_RECORDS, recipe.images)))
    return model


def publish(model: Any, recipe: Recipe, out: Path) -> None:
    """Quantise a trained network, write its file, measure that file, and write manifest entry and model card.

    Args:
        model: A trained Keras model.
        recipe: How it was trained.
        out: The folder of the files; an entry of the same name is replaced.

    Raises:
        ModelError: The file is not one that a device can use.
    """
    # Seeds of their own: records the network never saw, the same ones for every recipe.
    representative = random_fields(np.random.default_rng([recipe.seed, 1]), _REPRESENTATIVE_RECORDS)
    held_out = random_fields(np.random.default_rng([recipe.seed, 2]), _HELD_OUT_RECORDS)
    _report(f"{recipe.network.value}: quantising")
    content = quantize(model, representative)
    file = f"{recipe.network.value}.tflite"
    (out / file).write_bytes(content)
    entry: dict[str, Any] = {
        "file": file,
        "sha256": sha256(content).hexdigest(),
        "bytes": len(content),
        "encoding": ENCODING,
        **describe_tensors(content),
        "training": {
            "seed": recipe.seed,
            "images": recipe.images,
            "epochs": recipe.epochs,
            "fine_epochs": recipe.fine_epochs,
            "tools": {"keras": version("keras"), "numpy": version("numpy"), "tensorflow": tensorflow().__version__},
        },
    }
    _enter(out, recipe.network, entry)
    _report(f"{recipe.network.value}: measuring")
    network = ParameterNetwork.load(recipe.network, directory=out)
    floats: NDArray[np.float32] = model.predict(
        images(held_out).astype(np.float32) / np.float32(255), batch_size=_BATCH, verbose=0
    )
    entry["profile"] = network.profile
    entry["known_answers"] = known_answers(network)
    entry["metrics"] = agreement(network, held_out, floats) | measure(network)
    for line in shortfalls(entry["metrics"]):
        _report(f"{recipe.network.value}: below acceptance: {line}")
    _enter(out, recipe.network, entry)
    (out / f"{recipe.network.value}.md").write_text(render(recipe.network, entry))


def _steps(recipe: Recipe, epochs: int) -> int:
    """Return how many batches some epochs are: at least one where there is an epoch."""
    return math.ceil(recipe.images * epochs / _BATCH)


def _fit(model: Any, generator: np.random.Generator, steps: int, peak: float, *, report: Callable[[str], None]) -> None:
    """Train a model on fresh records: Adam, a short warm-up, then a cosine down to zero."""
    keras = tensorflow().keras
    optimizer = keras.optimizers.Adam(peak)
    model.compile(optimizer=optimizer, loss="binary_crossentropy", metrics=["mse"])
    shrink = SIDE // model.input_shape[1]
    began = time.monotonic()
    for step in range(steps):
        warm = min(1.0, (step + 1) / _WARM_UP_STEPS)
        optimizer.learning_rate.assign(peak * warm * (1 + math.cos(math.pi * step / steps)) / 2)
        fields = random_fields(generator, _BATCH)
        loss, error = model.train_on_batch(_shrunk(images(fields), shrink), targets(fields))
        if (step + 1) % _REPORT_STEPS == 0 or step + 1 == steps:
            report(
                f"{model.name}: side {SIDE // shrink}, step {step + 1} of {steps}, loss {float(loss):.4f}, "
                f"mean squared error {float(error):.5f}, {time.monotonic() - began:.0f} s"
            )
            # Otherwise the figures are averages since the first step.
            model.reset_metrics()


def _shrunk(pixels: NDArray[np.uint8], factor: int) -> NDArray[np.float32]:
    """Return images in [0, 1], each side divided by a factor through block means."""
    n, side = pixels.shape[0], pixels.shape[1] // factor
    blocks = pixels.reshape(n, side, factor, side, factor, 3)
    means: NDArray[np.float32] = blocks.mean(axis=(2, 4), dtype=np.float32) / np.float32(255)
    return means


def _enter(out: Path, name: NetworkName, entry: dict[str, Any]) -> None:
    """Write one entry of the manifest and keep the others."""
    path = out / MANIFEST
    manifest = json.loads(path.read_text()) if path.is_file() else {}
    manifest[name.value] = entry
    path.write_text(json.dumps(manifest, indent=2, sort_keys=True) + "\n")


def _report(line: str) -> None:
    """Print a line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)
