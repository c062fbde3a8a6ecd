"""Look at an image file of any kind: give a picture to show, its gray levels, and a caption; never fail on the content.

A preview is not the image: nothing here is ever sealed, and what cannot be decoded within the limits is shown as bytes.
"""

import contextlib
import struct
import warnings
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from math import isqrt
from pathlib import Path
from typing import Any, Final

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.pixels.processing import apply_color_lut, apply_rescale
from pydicom.pixels.utils import pixel_array
from pydicom.uid import DeflatedExplicitVRLittleEndian

# As much of a file's bytes as is shown and counted.
LEADING: Final = 1 << 20
# Larger pictures are shown as bytes: 40 megapixels are a mammogram, and in RGB 160 MB of memory.
_MAX_PIXELS: Final = 40_000_000
# A deflated data set inflates a thousandfold inside the reader, which has no limit of its own.
_MAX_DEFLATED: Final = 64 << 10

# What decoders raise on content they cannot read; a broken file is material here, not an error.
_UNDECODABLE: Final = (
    OSError, ValueError, TypeError, KeyError, IndexError, AttributeError, SyntaxError, ArithmeticError, RuntimeError,
    struct.error, zlib.error, InvalidDicomError, Image.DecompressionBombError,
)  # fmt: skip


class _TooLargeError(ValueError):
    """The picture would take more memory than a preview is worth."""


@dataclass(frozen=True, slots=True)
class View:
    """What there is to see of one file.

    `picture` is uint8 (h, w) or (h, w, 3), or None where there is nothing; `levels` are the counts of 256 gray levels
    of it (for samples deeper than 8 bits: 256 equal bins from the lowest to the highest), or of bytes where `decoded`
    is false. `content` is the file's leading part, `size` its whole size in bytes.
    """

    picture: NDArray[np.uint8] | None
    levels: NDArray[np.int64]
    caption: str
    decoded: bool
    content: bytes
    size: int


def look(path: Path) -> View:
    """Look at the file at `path`. An absent, an empty and a broken file give a view too, and its caption says so."""
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            content = stream.read(LEADING)
    except OSError:
        return View(None, np.zeros(256, dtype=np.int64), "not there", decoded=False, content=b"", size=0)
    try:
        with _quiet():
            picture, levels, caption = _dicom(path) if content[128:132] == b"DICM" else _raster(path)
        return View(picture, levels, caption, decoded=True, content=content, size=size)
    except _TooLargeError:
        caption = "too large to preview: its bytes"
    except _UNDECODABLE:
        caption = "not decodable: its bytes" if content else "an empty file"
    return View(matrix(content), byte_levels(content), caption, decoded=False, content=content, size=size)


def matrix(content: bytes) -> NDArray[np.uint8] | None:
    """Lay `content` out as a near-square matrix, uint8 (h, w), as the cipher does; the incomplete last row is left out."""
    width = isqrt(len(content))
    if not width:
        return None
    height = len(content) // width
    return np.frombuffer(content, dtype=np.uint8, count=height * width).reshape(height, width)


def byte_levels(content: bytes) -> NDArray[np.int64]:
    """Count each of the 256 byte values."""
    return np.bincount(np.frombuffer(content, dtype=np.uint8), minlength=256).astype(np.int64)


def entropy(levels: NDArray[np.int64]) -> float:
    """Shannon's entropy of the counted values in bits, 0 where nothing was counted."""
    total = levels.sum()
    if not total:
        return 0.0
    shares = levels[levels > 0] / total
    return max(0.0, float(-(shares * np.log2(shares)).sum()))


def correlation(picture: NDArray[np.uint8]) -> float:
    """Pearson's r of horizontal neighbours in a picture, (h, w) or (h, w, 3); 0 where it is undefined."""
    gray = picture.mean(axis=2) if picture.ndim == 3 else picture.astype(np.float64)
    left, right = gray[:, :-1].ravel(), gray[:, 1:].ravel()
    if left.size < 2:
        return 0.0
    spread = float(left.std() * right.std())
    return float(((left - left.mean()) * (right - right.mean())).mean()) / spread if spread else 0.0


def window(samples: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Map `low` to black and `high` to white."""
    scaled = (samples.astype(np.float32) - low) / max(high - low, 1e-9)
    return np.asarray(np.clip(scaled * 255, 0, 255), dtype=np.uint8)


def auto_window(samples: NDArray[Any]) -> tuple[float, float]:
    """Choose a window for deep samples: four interquartile ranges about the median of what is not background.

    That is a brain window for a head CT and nearly the full range for MR. The background is what lies below the
    threshold that parts the histogram best (Otsu 1979).
    """
    lowest, highest = float(samples.min()), float(samples.max())
    counts, edges = np.histogram(samples, bins=256, range=(lowest, max(highest, lowest + 1)))
    middles = (edges[:-1] + edges[1:]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    moment = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        between = below * above * (moment / below - (moment[-1] - moment) / above) ** 2
    threshold = edges[1 + int(np.nanargmax(np.where(above > 0, between, np.nan)))] if (above > 0).any() else lowest
    subject = samples[samples > threshold]
    if not subject.size:
        return lowest, max(highest, lowest + 1)
    first, median, third = (float(q) for q in np.percentile(subject, (25, 50, 75)))
    reach = 4 * max(third - first, 1.0)
    return max(lowest, median - reach), min(highest, median + reach)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the decoders' warnings: they speak of the very oddities that the demonstration is about."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _raster(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    """Decode the first frame of whatever Pillow reads."""
    with Image.open(path) as image:
        width, height = image.size
        if width * height > _MAX_PIXELS:
            raise _TooLargeError
        frames = int(getattr(image, "n_frames", 1))
        image.load()
        if image.mode.startswith(("I", "F")):
            samples = np.asarray(image)
            return _deep(
                samples, _caption(str(image.format), width, height, "gray 16-bit", frames), auto_window(samples)
            )
        colours = {"1": "1-bit", "L": "gray", "P": "palette", "LA": "gray + alpha", "PA": "palette + alpha"}
        caption = _caption(str(image.format), width, height, colours.get(image.mode, image.mode), frames)
        if image.has_transparency_data:
            over = image.convert("RGBA")
            image_8 = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over).convert("RGB")
        else:
            image_8 = image.convert("L" if image.mode in {"1", "L"} else "RGB")
        levels = np.asarray(image_8.convert("L").histogram(), dtype=np.int64)
        return np.asarray(image_8, dtype=np.uint8), levels, caption


def _dicom(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    """Decode the first frame of a DICOM file, windowed as the file asks."""
    syntax = read_file_meta_info(path).TransferSyntaxUID
    if syntax == DeflatedExplicitVRLittleEndian and path.stat().st_size > _MAX_DEFLATED:
        raise _TooLargeError
    dataset: Any = pydicom.dcmread(path)
    rows, columns = int(dataset.Rows), int(dataset.Columns)
    if rows * columns > _MAX_PIXELS:
        raise _TooLargeError
    frames = int(dataset.get("NumberOfFrames") or 1)
    photometric = str(dataset.get("PhotometricInterpretation", ""))
    modality = str(dataset.get("Modality") or "image")[:2]
    samples = pixel_array(dataset, index=0)
    if photometric == "PALETTE COLOR":
        samples = apply_color_lut(samples, dataset)
        samples = samples if samples.dtype == np.uint8 else window(samples, 0, 65_535)
    if samples.ndim == 3:
        picture = samples if samples.dtype == np.uint8 else window(samples, 0, float(samples.max()))
        levels = np.asarray(Image.fromarray(picture).convert("L").histogram(), dtype=np.int64)
        return picture, levels, _caption(f"DICOM {modality}", columns, rows, "colour", frames)
    samples = apply_rescale(samples, dataset)
    caption = _caption(f"DICOM {modality}", columns, rows, f"gray {dataset.BitsStored}-bit", frames)
    picture, levels, caption = _deep(samples, caption, _asked_window(dataset) or auto_window(samples))
    return (255 - picture if photometric == "MONOCHROME1" else picture), levels, caption


def _asked_window(dataset: Any) -> tuple[float, float] | None:
    """Give the first window that the file names (PS3.3 C.11.2), or None."""
    centre, width = (np.atleast_1d(dataset.get(name, [])) for name in ("WindowCenter", "WindowWidth"))
    if not centre.size or not width.size or centre[0] is None or width[0] is None or float(width[0]) < 2:
        return None
    return float(centre[0]) - float(width[0]) / 2, float(centre[0]) + float(width[0]) / 2


def _deep(
    samples: NDArray[Any], caption: str, limits: tuple[float, float]
) -> tuple[NDArray[np.uint8], NDArray[np.int64], str]:
    lowest, highest = float(samples.min()), float(samples.max())
    levels, _ = np.histogram(samples, bins=256, range=(lowest, max(highest, lowest + 1)))
    return window(samples, *limits), levels.astype(np.int64), caption


def _caption(kind: str, width: int, height: int, colour: str, frames: int) -> str:
    return f"{kind}, {width} x {height}, {colour}{f', {frames} frames' if frames > 1 else ''}"
