"""Read the images that are evaluated, as the product reads them: decoded in a worker, with the time they were taken.

The rule kept here: samples are the decoder's own, of 8 or 16 bits, nothing is stretched or converted; of several frames the
first one is taken.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from edge.errors import IntakeError, UsageError
from edge.intake.image import Inspector
from edge.intake.pixels import PixelReader
from edge.records import SettledFile
from firmware_tools.evaluation.ways import Image

SMALLEST: Final = 32
"""Pixels a side; of less there are no statistics."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One image: its file's name, its samples (rows, columns) or (rows, columns, 3), and when it was taken."""

    name: str
    samples: Image
    moment: datetime


def read_images(paths: Sequence[Path]) -> Iterator[Sample | tuple[str, str]]:
    """Read files, and the files of folders; yield each as a sample, or its name and why it is none.

    Raises:
        UsageError: a path does not exist.
    """
    files = [file for path in paths for file in _files(path)]
    with tempfile.TemporaryDirectory(prefix="edge-") as folder, PixelReader() as reader, Inspector() as inspector:
        for number, path in enumerate(files):
            status = path.stat()
            file = SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
            try:
                inspection = inspector.inspect(file, now=datetime.now(UTC), operator=None)
                dump = Path(folder) / f"{number}.raw"
                pixels = reader.decode(file, dump)
            except IntakeError as error:
                yield path.name, error.message
                continue
            _, rows, columns, channels = pixels.shape
            dtype = {"u1": np.uint8, "i1": np.uint8, "u2": np.uint16, "i2": np.uint16}.get(pixels.dtype)
            if dtype is None or channels not in {1, 3} or min(rows, columns) < SMALLEST:
                yield path.name, f"{rows} x {columns} x {channels} samples of {pixels.dtype} are not evaluated"
            else:
                count = rows * columns * channels
                samples = np.fromfile(dump, dtype, count).reshape(rows, columns, channels)
                yield Sample(path.name, samples[..., 0] if channels == 1 else samples, inspection.capture.moment)
            dump.unlink()


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
