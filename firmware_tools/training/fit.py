"""Train a network by its recipe, and go on where an interrupted training stopped.

The rule kept here: the images of a step follow from the seed and the step's number, never from what was drawn before, so
a training that was interrupted sees the same images as one that was not, and one that was given more stages afterwards is
the one that had them from the start.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from tqdm import tqdm

from edge.durable import make_folder, write_atomically
from edge.errors import UsageError
from firmware_tools.training.networks import tensorflow
from firmware_tools.training.recipe import Recipe, Stage, learning_rate
from firmware_tools.training.tasks import Batch, Task

_CHECKPOINT: Final = "checkpoint.npz"
_CHECKPOINT_SECONDS: Final = 60.0
_HISTORY_STEPS: Final = 20
# Batches drawn ahead beside the training: one is enough to keep it from waiting.
_AHEAD: Final = 2


@dataclass(frozen=True, slots=True)
class Point:
    """The means of what was measured over the last steps up to `step`."""

    step: int
    loss: float
    figure: float


@dataclass(slots=True)
class Progress:
    """How far a training is: steps done, seconds spent, what was measured, all weights, and the optimiser's state.

    `recent` is loss and figure of each step since the last point of `history`.
    """

    step: int = 0
    seconds: float = 0.0
    history: list[Point] = field(default_factory=list)
    recent: list[tuple[float, float]] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)
    optimizer: list[Any] = field(default_factory=list)


def fit(task: Task, recipe: Recipe, work: Path, *, fresh: bool = False) -> tuple[Any, Progress]:
    """Train by a recipe, showing a progress bar on standard error and leaving a checkpoint every minute.

    Args:
        task: What the network learns.
        recipe: How.
        work: The folder of the checkpoint.
        fresh: Begin anew, whatever checkpoint there is.

    Returns:
        The Keras model of the last stage's side, and what the training was like.

    Raises:
        UsageError: The checkpoint's recipe is not the beginning of this one, or TensorFlow is not installed.
        StorageError: The checkpoint cannot be written.
    """
    keras = tensorflow().keras
    keras.utils.set_random_seed(recipe.seed)
    make_folder(work)
    path = work / _CHECKPOINT
    progress = Progress() if fresh else _read(path, recipe)
    began = time.monotonic() - progress.seconds
    model = None
    with tqdm(total=recipe.steps, initial=progress.step, unit="step", desc=recipe.network.value, mininterval=1) as bar:
        for number, stage in enumerate(recipe.stages):
            first = sum(each.steps for each in recipe.stages[:number])
            if progress.step >= first + stage.steps and number + 1 < len(recipe.stages):
                continue
            model = _enter(task, stage, progress, resumed=progress.step > first)
            for batch in _batches(task, recipe, number, progress.step - first):
                model.optimizer.learning_rate.assign(learning_rate(stage, progress.step - first))
                measured = model.train_on_batch(*batch, return_dict=True)
                progress.step += 1
                progress.recent.append(task.scored({name: float(value) for name, value in measured.items()}))
                bar.update()
                if progress.step % _HISTORY_STEPS == 0 or progress.step == first + stage.steps:
                    loss, figure = (sum(values) / len(values) for values in zip(*progress.recent, strict=True))
                    progress.recent.clear()
                    progress.history.append(Point(progress.step, loss, figure))
                    bar.set_postfix({"side": stage.side, "loss": f"{loss:.4f}", task.figure: f"{figure:.4f}"})
                if time.monotonic() - began - progress.seconds > _CHECKPOINT_SECONDS:
                    progress.seconds = time.monotonic() - began
                    _write(path, recipe, _leave(model, progress))
            _leave(model, progress)
    progress.seconds = time.monotonic() - began
    _write(path, recipe, progress)
    return model, progress


def _enter(task: Task, stage: Stage, progress: Progress, *, resumed: bool) -> Any:
    """Return the model of a stage with the weights so far, and in the middle of a stage the optimiser's state too."""
    model = task.model(stage.side)
    if progress.weights:
        model.set_weights(progress.weights)
    model.optimizer.build(model.trainable_variables)
    if resumed:
        for variable, value in zip(model.optimizer.variables, progress.optimizer, strict=True):
            variable.assign(value)
    return model


def _leave(model: Any, progress: Progress) -> Progress:
    progress.weights = model.get_weights()
    progress.optimizer = [np.asarray(variable) for variable in model.optimizer.variables]
    return progress


def _batches(task: Task, recipe: Recipe, number: int, done: int) -> Iterator[Batch]:
    """Yield the batches of a stage that are still to be seen; the next ones are drawn meanwhile."""
    stage = recipe.stages[number]

    def drawn(step: int) -> Batch:
        return task.batch(np.random.default_rng([recipe.seed, number, step]), stage.batch, stage.side)

    with ThreadPoolExecutor(1) as pool:
        ahead: list[Future[Batch]] = [pool.submit(drawn, step) for step in range(done, min(done + _AHEAD, stage.steps))]
        for step in range(done + _AHEAD, stage.steps + _AHEAD):
            if not ahead:
                return
            batch = ahead.pop(0).result()
            if step < stage.steps:
                ahead.append(pool.submit(drawn, step))
            yield batch


def _write(path: Path, recipe: Recipe, progress: Progress) -> None:
    described = {
        "recipe": recipe.described(),
        "step": progress.step,
        "seconds": progress.seconds,
        "history": [[point.step, point.loss, point.figure] for point in progress.history],
        "recent": progress.recent,
    }
    arrays = {f"w{i}": value for i, value in enumerate(progress.weights)}
    arrays |= {f"o{i}": value for i, value in enumerate(progress.optimizer)}
    target = io.BytesIO()
    np.savez(target, described=np.array(json.dumps(described)), **arrays)
    write_atomically(path, target.getvalue())


def _read(path: Path, recipe: Recipe) -> Progress:
    """Return what a checkpoint holds; a training that has not begun where there is none."""
    if not path.exists():
        return Progress()
    try:
        with np.load(path, allow_pickle=False) as stored:
            described = json.loads(str(stored["described"]))
            weights, optimizer = ([stored[f"{kind}{i}"] for i in range(_count(stored.files, kind))] for kind in "wo")
            progress = Progress(
                step=int(described["step"]),
                seconds=float(described["seconds"]),
                history=[Point(int(step), loss, figure) for step, loss, figure in described["history"]],
                recent=[(loss, figure) for loss, figure in described["recent"]],
                weights=weights,
                optimizer=optimizer,
            )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError("the checkpoint cannot be read", hint="--fresh begins anew") from error
    if not _begins(described["recipe"], recipe.described()):
        raise UsageError(
            "the checkpoint belongs to a training with other options", hint="repeat those options, or begin --fresh"
        )
    return progress


def _begins(first: dict[str, Any], whole: dict[str, Any]) -> bool:
    """Whether a recipe, as JSON values, is another one, or that one without its last stages."""
    return first | {"stages": whole["stages"][: len(first["stages"])]} == first == whole | {"stages": first["stages"]}


def _count(names: list[str], kind: str) -> int:
    return sum(name[0] == kind and name[1:].isdigit() for name in names)
