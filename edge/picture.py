"""Make an image ready for the feature network: 8 bits, three channels, the whole of it on a square.

The rule kept here: every image that can be decoded has a picture, whatever its depth, shape and channels; nothing but its
own samples decides how it looks.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from edge.records import SIDE

PREPARATION: Final = "picture-1"
"""The name of this preparation. A network is trained for one, so a change of it needs a new name and a new network."""

# Samples of more than 8 bits are stretched between these percentiles: a few hot or dead pixels shall not decide.
_LOW, _HIGH = 0.5, 99.5
# Stretching looks at no more than about this many samples a side.
_PROBED_SIDE = 512
_BAND_ROWS = 256


def prepare(samples: NDArray[Any], *, inverted: bool = False) -> NDArray[np.uint8]:
    """Turn decoded samples into the picture that the feature network reads.

    Args:
        samples: One frame, (rows, columns) gray or (rows, columns, 3) RGB, of any integer or floating-point type. Bytes
            are taken as they are; wider samples are stretched to 8 bits.
        inverted: Whether low samples are bright (MONOCHROME1).

    Returns:
        uint8 (224, 224, 3): the longer side scaled to 224, centred on black, gray in all three channels.

    Raises:
        ValueError: The samples have another shape, or there are none.
    """
    if samples.ndim not in (2, 3) or (samples.ndim == 3 and samples.shape[2] != 3) or 0 in samples.shape:
        raise ValueError("samples must be rows x columns, gray or RGB")
    levels = samples if samples.dtype == np.uint8 else _stretched(samples)
    if inverted:
        levels = 255 - levels
    rows, columns = levels.shape[:2]
    longer = max(rows, columns)
    extent = (max(1, round(columns * SIDE / longer)), max(1, round(rows * SIDE / longer)))
    small = Image.fromarray(levels).resize(extent, Image.Resampling.BILINEAR, reducing_gap=3.0).convert("RGB")
    canvas = Image.new("RGB", (SIDE, SIDE))
    canvas.paste(small, ((SIDE - extent[0]) // 2, (SIDE - extent[1]) // 2))
    return np.asarray(canvas)


def _stretched(samples: NDArray[Any]) -> NDArray[np.uint8]:
    """Bring samples to 8 bits; what is not a number becomes the lowest."""
    step = max(1, max(samples.shape[:2]) // _PROBED_SIDE)
    probe = samples[::step, ::step].astype(np.float64)
    probe = probe[np.isfinite(probe)]
    levels = np.zeros(samples.shape, np.uint8)
    # Samples as large as floats can be are no reason to have no picture.
    with np.errstate(over="ignore", invalid="ignore"):
        low, high = np.percentile(probe, (_LOW, _HIGH)) if probe.size else (0.0, 0.0)
        scale = 255.0 / (high - low) if 0 < high - low < np.inf else 0.0
        for top in range(0, len(samples), _BAND_ROWS):
            # In bands, because eight bytes a sample would not fit the worker's memory.
            band = np.clip(samples[top : top + _BAND_ROWS].astype(np.float64), low, high)
            levels[top : top + _BAND_ROWS] = np.nan_to_num((band - low) * scale).astype(np.uint8)
    return levels
