"""The worker's side of an inspection: checks that a file is complete, and reads what it says of itself.

Runs only in the worker: see `edge.intake.worker`.
"""

from __future__ import annotations

import importlib
import warnings
from datetime import datetime
from io import FileIO
from typing import Any

from edge.errors import IntakeError
from edge.intake.capture import Embedded, read_embedded
from edge.intake.formats import Format, check_complete


def load(request: dict[str, Any]) -> None:
    """Import the readers that a request's format needs, before its time counts."""
    match Format(request["format"]):
        case Format.DICOM:
            importlib.import_module("pydicom.filereader")
        case Format.JPEG | Format.PNG | Format.WEBP | Format.TIFF:
            for name in ("piexif", "PIL.TiffImagePlugin"):
                importlib.import_module(name)
            # Nothing here opens an image as such; should a reader do so, it meets the bomb guard.
            image: Any = importlib.import_module("PIL.Image")
            image.MAX_IMAGE_PIXELS = 1
            warnings.simplefilter("error", image.DecompressionBombWarning)
        case _:
            return


def run(request: dict[str, Any], file: FileIO) -> dict[str, Any]:
    """Return what the file says of itself as JSON values, or {"error": code} where it is not complete."""
    form, size = Format(request["format"]), int(request["size"])
    try:
        check_complete(file, size, form)
    except IntakeError as error:
        return {"error": error.code}
    except OSError:
        return {"error": "unreadable-file"}
    try:
        found = read_embedded(file, size, form, now=datetime.fromisoformat(request["now"]))
    except MemoryError:
        raise  # the worker ends, and a fresh one takes its place
    except Exception:  # noqa: BLE001 - whatever a hostile file does to a reader, the file itself is carried
        found = Embedded(notes=("metadata-unreadable",))
    return {
        "moment": found.capture.moment.isoformat() if found.capture else None,
        "source": found.capture.source if found.capture else None,
        "camera": found.camera,
        "width": found.width,
        "height": found.height,
        "notes": list(found.notes),
    }
