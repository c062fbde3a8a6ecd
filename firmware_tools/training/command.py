"""Train the networks from scratch, quantise them, measure them and write models/: one command.

The rule kept here: a network is made from its seed and the data that the seed draws, nothing is downloaded; and what
is written to the manifest was measured on the very file beside it, through the runtime that devices use.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ExitCode, UsageError
from edge.inference.manifest import manifest_path
from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.metadata_image import ENCODING, draw
from edge.picture import PREPARATION
from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.training import records
from firmware_tools.training.card import write_card
from firmware_tools.training.curves import loss_curves
from firmware_tools.training.fit import Progress, fit
from firmware_tools.training.known_answers import known_answers
from firmware_tools.training.networks import tensorflow
from firmware_tools.training.parity import feature_parity, parameter_parity
from firmware_tools.training.quantize import calibrate_batch_norm, describe_tensors, quantize
from firmware_tools.training.recipe import Recipe, standard_recipe
from firmware_tools.training.tasks import Task, task_for

_NETWORKS: Final = {name.value: name for name in (*NetworkName, *FeatureNetworkName)}
_BATCH: Final = 32
_CALIBRATION_BATCHES: Final = 32
_REPRESENTATIVE_IMAGES: Final = 256
_HELD_OUT_IMAGES: Final = 512
_TOOLS: Final = ("ai-edge-litert", "keras", "numpy", "tensorflow-cpu", "tensorflow", "pillow")


def add_train_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of the train command to a parser."""
    parser.add_argument("--network", choices=[*_NETWORKS, "all"], default="all", help="which network (default: all)")
    parser.add_argument("--seed", type=int, default=1, help="what everything follows from (default: 1)")
    parser.add_argument("--effort", type=float, default=1.0, help="the share of the steps to take (default: 1)")
    parser.add_argument(
        "--width", type=float, default=0.25, help="width of the feature network; 1 is VGG16 (default: 0.25)"
    )
    parser.add_argument("--out", type=Path, default=Path("models"), help="where the files go (default: models)")
    parser.add_argument(
        "--work",
        type=Path,
        default=Path("build/training"),
        help="where checkpoints lie; an interrupted training goes on from there, and a finished one is only quantised and "
        "measured again (default: build/training)",
    )
    parser.add_argument("--fresh", action="store_true", help="begin anew, whatever checkpoint there is")


def run_train(args: argparse.Namespace) -> int:
    """Train, quantise and measure what the options name; write the files, manifests and cards.

    Args:
        args: As parsed by `add_train_arguments`.

    Returns:
        The exit code.

    Raises:
        UsageError: TensorFlow is not installed, a number is impossible, or a checkpoint is of another training.
        ModelError: The quantised file is not one that a device can use.
    """
    if not 0 < args.effort <= 100 or not 0 < args.width <= 1 or args.seed < 0:
        raise UsageError("--effort and --width must be positive, --width at most 1, --seed not negative")
    tensorflow()  # Without it nothing is left behind.
    args.out.mkdir(parents=True, exist_ok=True)
    for name in _NETWORKS.values() if args.network == "all" else [_NETWORKS[args.network]]:
        recipe = standard_recipe(name, seed=args.seed, effort=args.effort, width=args.width)
        work = args.work / name.value
        task = task_for(recipe)
        trained, progress = fit(task, recipe, work, fresh=args.fresh)
        publish(task, recipe, task.kept(trained), progress, args.out)
        _report(f"{name.value}: written")
    return ExitCode.OK


def publish(task: Task, recipe: Recipe, model: Any, progress: Progress, out: Path) -> None:
    """Quantise a trained network, measure the file, and write file, manifest, loss curves and model card.

    Args:
        task: What it learnt.
        recipe: How it was trained.
        model: The Keras model to ship.
        progress: What its training was like.
        out: The folder of the files; those of the same network are replaced.

    Raises:
        ModelError: The file is not one that a device can use.
    """
    name = recipe.network
    _report(f"{name.value}: measuring batch-norm statistics")
    calibrate_batch_norm(model, _images(task, recipe, 101, _CALIBRATION_BATCHES))
    _report(f"{name.value}: quantising")
    representative = (
        image for batch in _images(task, recipe, 102, _REPRESENTATIVE_IMAGES // _BATCH) for image in batch
    )
    content = quantize(model, representative, output="int8" if isinstance(name, FeatureNetworkName) else "uint8")
    commit = _commit()  # Before any file of a checkout changes.
    file = f"{name.value}.tflite"
    (out / file).write_bytes(content)
    manifest: dict[str, Any] = {
        "network": name.value,
        "file": file,
        "sha256": sha256(content).hexdigest(),
        "bytes": len(content),
        "reads": PREPARATION if isinstance(name, FeatureNetworkName) else ENCODING,
        **describe_tensors(content),
        "known_answers": known_answers(name, content),
        "training": {
            "recipe": recipe.described(),
            "images": recipe.images,
            "minutes": round(progress.seconds / 60, 1),
            "machine": f"{platform.machine()}, {_cores()} cores",
            "commit": commit,
            "tools": {"python": platform.python_version()} | _tool_versions(),
            "last": {"loss": progress.history[-1].loss, task.figure: progress.history[-1].figure},
        },
        "metrics": {},
    }
    write_manifest(out, name, manifest)
    (out / f"{name.value}.loss.png").write_bytes(loss_curves(recipe, progress.history, task.figure))
    _report(f"{name.value}: measuring")
    manifest["metrics"] = _parity(task, recipe, model, out)
    write_manifest(out, name, manifest)
    write_card(out, name)


def write_manifest(folder: Path, name: NetworkName | FeatureNetworkName, manifest: dict[str, Any]) -> None:
    """Write a network's manifest."""
    manifest_path(folder, name).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")


def _parity(task: Task, recipe: Recipe, model: Any, out: Path) -> dict[str, Any]:
    """Measure file and float model on images that neither has seen."""
    if isinstance(recipe.network, FeatureNetworkName):
        pictures = np.concatenate(list(_images(task, recipe, 103, _HELD_OUT_IMAGES // _BATCH)))
        features = FeatureNetwork.load(recipe.network, directory=out)
        pixels = np.round(pictures * 255).astype(np.uint8)
        return feature_parity(features, pixels, _predicted(model, pictures))
    network = ParameterNetwork.load(recipe.network, directory=out)
    fields = records.random_fields(np.random.default_rng([recipe.seed, 103]), _HELD_OUT_IMAGES)
    return parameter_parity(network, fields, draw(fields), _predicted(model, records.images(fields)))


def _predicted(model: Any, images: NDArray[np.float32]) -> NDArray[np.float32]:
    answers: NDArray[np.float32] = model.predict(images, batch_size=_BATCH, verbose=0)
    return answers


def _images(task: Task, recipe: Recipe, purpose: int, batches: int) -> Iterator[NDArray[np.float32]]:
    """Yield batches of images of the last stage's side that training did not see: each purpose has a stream of its own."""
    for number in range(batches):
        yield task.batch(np.random.default_rng([recipe.seed, purpose, number]), _BATCH, recipe.stages[-1].side)[0]


def _cores() -> int:
    return os.cpu_count() or 1


def _tool_versions() -> dict[str, str]:
    found = {}
    for tool in _TOOLS:
        try:
            found[tool] = version(tool)
        except ImportError:
            continue
    return found


def _commit() -> str:
    """Return the commit that the training ran from, marked where files had changed since; empty outside a checkout."""
    try:
        head = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f"{head}+changes" if changes.stdout.strip() else head


def _report(line: str) -> None:
    """Print a line of progress to stderr."""
    print(line, file=sys.stderr, flush=True)
