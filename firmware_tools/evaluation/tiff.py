"""Read the samples of a TIFF with 16-bit colour, of which Pillow, and so the product's decoder, would drop bits.

The rule kept here: the samples come as they are stored, or not at all. Only the evaluation reads such files here: it runs on
files that its user names, in the user's own process, never on what a scanner's folder brings.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile

from edge.errors import PixelsUnavailable
from edge.intake.formats import HEAD_BYTES, Format, identify
from edge.intake.pixels import PixelLimits
from firmware_tools.evaluation.ways import Image


def deep_colour(path: Path) -> Image | None:
    """Return the first page, uint16 (rows, columns, 3), or None where the file is no TIFF with 16-bit colour.

    Raises:
        PixelsUnavailable: it is one, but is too large, damaged, or compressed in a way that tifffile alone cannot read.
    """
    with path.open("rb") as file:
        if identify(file.read(HEAD_BYTES)) is not Format.TIFF:
            return None
    samples = None
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            if page.dtype != np.uint16 or page.samplesperpixel != 3 or page.photometric != tifffile.PHOTOMETRIC.RGB:
                return None
            if page.imagelength * page.imagewidth <= PixelLimits().max_pixels:
                samples = page.asarray()
            planes = page.planarconfig == tifffile.PLANARCONFIG.SEPARATE
    except Exception as error:  # damaged files make it fail in many ways
        raise PixelsUnavailable("tifffile cannot read these samples of 16-bit colour") from error
    if samples is None:
        raise PixelsUnavailable("the image has too many pixels")
    return np.ascontiguousarray(np.moveaxis(samples, 0, 2) if planes else samples)
