"""The pictures of the model cards: what a network reads, how its parameters spread, how alike it finds real images.

The rule kept here: no patient's image is in any of them.
"""

from __future__ import annotations

import io
from datetime import datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.metadata_image import metadata_image
from edge.records import MetadataRecord
from firmware_tools.acceptance.likeness import Likeness
from firmware_tools.acceptance.spread import BINS, PARAMETERS, Spread
from firmware_tools.phantoms import Kind, draw
from firmware_tools.training.curves import as_png, pyplot

_EXAMPLE: Final = MetadataRecord(datetime(2026, 3, 14, 15, 9, 26, 535_897), "Example CR-2", 2048, 1536, 3_145_728)  # noqa: DTZ001
_BLUE: Final = "#2060c0"
_SEED: Final = 7


def metadata_example() -> bytes:
    """Return the metadata image of an example record, enlarged: a PNG file."""
    return _png(metadata_image(_EXAMPLE).pixels, 2)


def drawings_example() -> bytes:
    """Return one drawing of each kind that the feature network learns from: a PNG file."""
    side, across = 112, 6
    drawings = [draw(kind, np.random.default_rng([_SEED, n]), side) for n, kind in enumerate(Kind)]
    drawings += [np.zeros_like(drawings[0])] * (-len(drawings) % across)
    rows = [np.concatenate(drawings[n : n + across], axis=1) for n in range(0, len(drawings), across)]
    return _png(np.concatenate(rows), 1)


def spread_histograms(spread: Spread) -> bytes:
    """Draw the histogram of each parameter over all records: a PNG file."""
    plt = pyplot()
    figure, axes = plt.subplots(1, len(PARAMETERS), figsize=(11, 2.6), dpi=110, sharey=True, facecolor="white")
    for axis, name, values, p in zip(axes, PARAMETERS, spread.values.T, spread.uniformity, strict=True):
        axis.hist(values, bins=BINS, range=(0, 1), color=_BLUE)
        axis.axhline(len(values) / BINS, color="#c04020", linewidth=0.8)
        axis.set(title=f"{name}, p = {p:.2f}", xlabel="share of its range")
    axes[0].set_ylabel("records")
    figure.tight_layout()
    return as_png(figure)


def likeness_matrix(likeness: Likeness) -> bytes:
    """Draw how alike real medical images are, ordered by modality: a PNG file."""
    plt = pyplot()
    order = sorted(range(len(likeness.modalities)), key=lambda n: likeness.modalities[n].value)
    names = [likeness.modalities[n].value for n in order]
    figure, axis = plt.subplots(figsize=(5.6, 5), dpi=110, facecolor="white")
    shown = axis.imshow(likeness.matrix[np.ix_(order, order)], cmap="viridis", vmin=-0.2, vmax=1)
    axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
    axis.set_yticks(range(len(names)), names, fontsize=8)
    axis.set_title("cosine between the features of real images", fontsize=10)
    figure.colorbar(shown, shrink=0.8)
    figure.tight_layout()
    return as_png(figure)


def _png(pixels: NDArray[Any], times: int) -> bytes:
    image = Image.fromarray(pixels)
    target = io.BytesIO()
    image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST).save(
        target, "PNG", optimize=True
    )
    return target.getvalue()
