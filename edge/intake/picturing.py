"""The worker's side of an image's picture: decodes one frame, as small as the decoder can give it.

Runs only in the worker: see `edge.intake.worker`. A picture may lose bits, unlike the pixels of `edge.intake.decoding`:
it only tells the feature network what the image shows.
"""

from __future__ import annotations

import base64
import warnings
from io import FileIO
from typing import Any

from edge.errors import PixelsUnavailable
from edge.intake import decoding, dicomwalk
from edge.intake.formats import Format
from edge.intake.segments import Cursor
from edge.records import SIDE

# JPEG decodes to an eighth, a quarter or half of its size at a fraction of the cost; twice the picture leaves room to
# scale well.
_DRAFT = (2 * SIDE, 2 * SIDE)
_LEAST_INSIDE = 0.01  # the share of an image that a window must tell apart
_DEEP = ("I;16", "I;16B", "I", "F")


def load(request: dict[str, Any]) -> None:
    """Import the decoder that a request's format needs, before its time counts."""
    import edge.picture  # noqa: F401, PLC0415

    decoding.load(request)


def run(request: dict[str, Any], file: FileIO) -> dict[str, Any]:
    """Return the picture in base64, or {"unavailable": reason}."""
    form = Format(request["format"])
    try:
        if form is Format.DICOM:
            pixels = _from_dicom(file, Cursor(file, int(request["size"])), int(request["max_pixels"]))
        else:
            pixels = _from_raster(file, form, int(request["max_pixels"]))
    except PixelsUnavailable as error:
        return {"unavailable": error.message}
    except MemoryError:
        raise  # the worker ends, and a fresh one takes its place
    except Exception:  # noqa: BLE001 - decoders fail in many ways, and their messages quote what they read
        return {"unavailable": "the decoder failed"}
    return {"picture": base64.b64encode(pixels.tobytes()).decode()}


def _from_raster(file: FileIO, form: Format, max_pixels: int) -> Any:
    """Return the picture of the first frame."""
    import numpy as np  # noqa: PLC0415
    from PIL import Image  # noqa: PLC0415

    from edge.picture import prepare  # noqa: PLC0415

    if form not in decoding.FORMATS:
        raise PixelsUnavailable("no decoder for this format")
    with warnings.catch_warnings():
        # Odd metadata are no reason to have no picture; the bomb guard stays an error.
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=decoding.FORMATS[form]) as image:
            if image.width * image.height > max_pixels:
                raise PixelsUnavailable("the image has too many pixels")
            image.draft("RGB", _DRAFT)
            image.load()
            if image.mode in _DEEP:
                return prepare(np.asarray(image))
            return prepare(np.asarray(image.convert("L" if image.mode in ("1", "L", "LA") else "RGB")))


def _from_dicom(file: FileIO, cursor: Cursor, max_pixels: int) -> Any:
    """Return the picture of the middle frame, seen through the window that the file asks for."""
    import numpy as np  # noqa: PLC0415
    import pydicom  # noqa: PLC0415

    from edge.picture import prepare  # noqa: PLC0415

    layout = dicomwalk.walk(cursor)
    if layout is None or layout.pixels is None:
        raise PixelsUnavailable("the DICOM file has no pixel data that can be found")
    rows, columns, frames, _ = layout.extent
    if rows * columns > max_pixels:
        raise PixelsUnavailable("the image has too many pixels")
    file.seek(0)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    middle = max(0, (frames - 1) // 2)
    samples, properties = next(decoding.dicom_frames(file, layout.pixels, raw=False, indices=[middle]))
    photometric = str(properties["photometric_interpretation"])
    if samples.ndim == 3:
        return prepare(np.ascontiguousarray(samples[..., :3]))
    return prepare(_windowed(samples, header), inverted=photometric == "MONOCHROME1")


def _windowed(samples: Any, header: Any) -> Any:
    """Return gray samples as 8 bits within the first window of a DICOM header; as they are where none makes sense."""
    import numpy as np  # noqa: PLC0415

    try:
        values = samples * float(header.get("RescaleSlope", 1)) + float(header.get("RescaleIntercept", 0))
        centre, width = (np.atleast_1d(header[name].value)[0] for name in ("WindowCenter", "WindowWidth"))
        low, high = float(centre) - float(width) / 2, float(centre) + float(width) / 2
    except (KeyError, TypeError, ValueError, IndexError):
        return samples
    # A window that shows nothing of the image was written for other values.
    inside = np.mean((values > low) & (values < high)) if high > low else 0.0
    if inside < _LEAST_INSIDE:
        return samples
    return ((np.clip(values, low, high) - low) * (255 / (high - low))).astype(np.uint8)
