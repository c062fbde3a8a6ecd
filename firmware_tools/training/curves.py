"""Draw the loss curves of a training as a picture.

The rule kept here: the picture reads on white and on dark paper, because model cards are shown on both.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Sequence
from typing import Any

from edge.errors import UsageError
from firmware_tools.training.fit import Point
from firmware_tools.training.recipe import Recipe

_GRAY = "#808080"


def pyplot() -> Any:
    """Import matplotlib's pyplot, drawing into memory only.

    Raises:
        UsageError: It is not installed.
    """
    try:
        importlib.import_module("matplotlib").use("agg")
        return importlib.import_module("matplotlib.pyplot")
    except ImportError as error:
        raise UsageError("matplotlib is not installed", hint="pip install 'edge-encryptor[train]'") from error


def loss_curves(recipe: Recipe, history: Sequence[Point], figure_name: str) -> bytes:
    """Draw loss and figure over the steps, stages marked.

    Args:
        recipe: How the network was trained.
        history: What was measured.
        figure_name: What the second number of each point is.

    Returns:
        A PNG file of about 900 x 400 pixels.

    Raises:
        UsageError: matplotlib is not installed.
    """
    plt = pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), dpi=110, facecolor="white")
    steps = [point.step for point in history]
    columns = (("loss", [p.loss for p in history]), (figure_name, [p.figure for p in history]))
    for axis, (name, values) in zip(axes, columns, strict=True):
        axis.plot(steps, values, color="#2060c0", linewidth=1.2)
        axis.set(xlabel="step", title=name)
        axis.grid(color=_GRAY, alpha=0.25)
        if name == "mean squared error":
            axis.set_yscale("log")
        end = 0
        for stage in recipe.stages:
            axis.text(
                end, 1.0, f" {stage.side} px", color=_GRAY, fontsize=8, transform=axis.get_xaxis_transform(), va="top"
            )
            end += stage.steps
            axis.axvline(end, color=_GRAY, linewidth=0.8, linestyle=":")
    figure.suptitle(
        f"{recipe.network.value}, seed {recipe.seed}, {recipe.images:,} images, none seen twice", fontsize=10
    )
    figure.tight_layout()
    return as_png(figure)


def as_png(figure: Any) -> bytes:
    """Return a matplotlib figure as a PNG file, and close it."""
    target = io.BytesIO()
    # Without the software's name the file does not change with matplotlib's version.
    figure.savefig(target, format="png", metadata={"Software": None})
    pyplot().close(figure)
    return target.getvalue()
