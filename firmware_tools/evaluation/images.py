"""Read the images that are evaluated, as the product reads them: decoded in a worker, with the time they were taken.

The rule kept here: samples are the decoder's own, of 8 or 16 bits, nothing is stretched or reduced; of several frames the
first one is taken. Signed samples are moved up by half their range, so that darker stays less. Of a TIFF with 16-bit colour,
whose file's bytes the product carries because its decoder would drop bits, the samples are read with tifffile.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import IntakeError, PixelsUnavailable, UsageError
from edge.intake.image import Inspector
from edge.intake.pixels import PixelReader
from edge.records import PixelImage, SettledFile
from firmware_tools.evaluation.tiff import deep_colour
from firmware_tools.evaluation.ways import Image

SMALLEST: Final = 32
"""Pixels a side; of less there are no statistics."""
_DTYPES: Final = {"u1": np.uint8, "i1": np.uint8, "u2": np.uint16, "i2": np.uint16}
"""What samples are measured as, by the decoder's dtype; little endian."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its file's name, its samples (rows, columns) or (rows, columns, 3), and when it was taken.

    `decoded` says whether the product's decoder gives these samples; if not, the product carries the file's bytes.
    """

    name: str
    samples: Image
    moment: datetime
    decoded: bool = True


def read_images(paths: Sequence[Path]) -> Iterator[Sample | tuple[str, str]]:
    """Read files, and the files of folders; yield each as a sample, or its name and why it is none.

    Raises:
        UsageError: a path does not exist.
    """
    files = [file for path in paths for file in _files(path)]
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, PixelReader() as reader, Inspector() as inspector:
        for path in files:
            status = path.stat()
            file = SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
            try:
                moment = inspector.inspect(file, now=datetime.now(UTC), operator=None).capture.moment
                samples, decoded = _samples(reader, file, Path(folder) / "dump.raw")
            except IntakeError as error:
                yield path.name, error.message
                continue
            yield Sample(path.name, samples, moment, decoded)


def _samples(reader: PixelReader, file: SettledFile, dump: Path) -> tuple[Image, bool]:
    """Return the first frame's samples, and whether the product's decoder gave them.

    Raises:
        PixelsUnavailable: they cannot be had losslessly, or are of a kind that is not evaluated.
    """
    try:
        pixels = reader.decode(file, dump)
    except PixelsUnavailable:
        samples = deep_colour(file.path)
        if samples is None:
            raise
        return _large_enough(samples), False
    try:
        return _large_enough(_first_frame(pixels, dump)), True
    finally:
        dump.unlink()


def _first_frame(pixels: PixelImage, dump: Path) -> Image:
    _, rows, columns, channels = pixels.shape
    dtype = _DTYPES.get(pixels.dtype)
    if dtype is None:
        raise PixelsUnavailable("only samples of 8 and 16 bits are evaluated")
    if channels not in {1, 3}:
        raise PixelsUnavailable(
            f"of {channels} channels ({pixels.photometric}); only grey and three colours are evaluated"
        )
    samples = np.fromfile(dump, dtype, rows * columns * channels).reshape(rows, columns, channels)
    if pixels.dtype.startswith("i"):
        samples ^= dtype(1 << (8 * samples.itemsize - 1))
    return samples[..., 0] if channels == 1 else samples


def _large_enough(samples: Image) -> Image:
    if min(samples.shape[:2]) < SMALLEST:
        raise PixelsUnavailable(f"of less than {SMALLEST} pixels a side there are no statistics")
    return samples


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.iterdir() if each.is_file() and not each.name.startswith("."))
    if not path.is_file():
        raise UsageError("an image to evaluate does not exist")
    return [path]


def middle(image: Image, side: int) -> Image:
    """Return the middle of an image, `side` pixels at most each way."""
    rows, columns = (max(0, (extent - side) // 2) for extent in image.shape[:2])
    return np.ascontiguousarray(image[rows : rows + side, columns : columns + side])
