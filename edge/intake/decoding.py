"""The worker's side of domain "pixels": decodes all frames of a file losslessly into a raw dump.

Runs only in the worker. The canonical form is declared in `edge.intake.pixels`; where a decoder would lose bits, drop
a channel or compose frames, the pixels are refused, because the file's bytes can always be carried instead.
"""

from __future__ import annotations

import base64
import math
import warnings
from dataclasses import dataclass
from io import FileIO
from typing import TYPE_CHECKING, Any

from edge.errors import PixelsUnavailable
from edge.intake import dicomwalk, exif
from edge.intake.formats import Format
from edge.intake.segments import Cursor, png_chunks

if TYPE_CHECKING:
    from PIL import Image

MAX_SIDE = 48 * 1024  # bytes beside the pixels, all together: they travel inside the envelope's metadata
_DIFFERENT = "the frames differ in size or kind"
_BAND = 8 << 20  # bytes written at once

FORMATS = {
    Format.JPEG: ("JPEG", "MPO"),
    Format.PNG: ("PNG",),
    Format.TIFF: ("TIFF",),
    Format.BMP: ("BMP",),
    Format.GIF: ("GIF",),
    Format.WEBP: ("WEBP",),
}
# Pillow's mode -> (dtype, channels, photometric).
_MODES = {
    "1": ("u1", 1, "bilevel"),
    "L": ("u1", 1, "gray"),
    "P": ("u1", 1, "palette"),
    "LA": ("u1", 2, "gray-alpha"),
    "RGB": ("u1", 3, "rgb"),
    "RGBA": ("u1", 4, "rgba"),
    "CMYK": ("u1", 4, "cmyk"),
    "LAB": ("u1", 3, "lab"),
    "YCbCr": ("u1", 3, "ycbcr"),
    "I;16": ("u2", 1, "gray"),
    "I;16B": ("u2", 1, "gray"),
    "I": ("i4", 1, "gray"),
    "F": ("f4", 1, "gray"),
}
_TIFF_BITS, _TIFF_SAMPLES, _TIFF_COLORMAP, _TIFF_FORMAT = 258, 277, 320, 339


def load(request: dict[str, Any]) -> None:
    """Import the decoder that a request's format needs, before its time counts."""
    warnings.simplefilter("ignore")
    if request["format"] == Format.DICOM:
        import pydicom.pixels.decoders  # noqa: F401, PLC0415
    else:
        import numpy as np  # noqa: F401, PLC0415
        from PIL import Image, ImageFile  # noqa: PLC0415

        ImageFile.LOAD_TRUNCATED_IMAGES = False
        Image.MAX_IMAGE_PIXELS = int(request["max_pixels"])
        warnings.simplefilter("error", Image.DecompressionBombWarning)


def run(request: dict[str, Any], file: FileIO, sink: FileIO) -> dict[str, Any]:
    """Decode the file into the sink; return the dump's description as JSON values, or {"unavailable": reason}."""
    form, size = Format(request["format"]), int(request["size"])
    cursor = Cursor(file, size)
    limits = _Limits(int(request["max_pixels"]), int(request["max_bytes"]))
    try:
        if form is Format.DICOM:
            shape, dtype, photometric, side = _decode_dicom(file, cursor, sink, limits)
        else:
            shape, dtype, photometric, side = _decode_raster(file, cursor, form, sink, limits)
        _refuse(sum(map(len, side.values())) > MAX_SIDE, "too much stands beside the pixels")
    except PixelsUnavailable as error:
        return {"unavailable": error.message}
    except MemoryError:
        raise  # the worker ends, and a fresh one takes its place
    except Exception:  # noqa: BLE001 - decoders fail in many ways, and their messages quote what they read
        return {"unavailable": "the decoder failed"}
    return {
        "shape": shape,
        "dtype": dtype,
        "photometric": photometric,
        "side": {name: base64.b64encode(value).decode() for name, value in side.items()},
    }


_Decoded = tuple[tuple[int, int, int, int], str, str, dict[str, bytes]]


def _refuse(condition: bool, reason: str) -> None:
    if condition:
        raise PixelsUnavailable(reason)


@dataclass(frozen=True, slots=True)
class _Limits:
    """Pixels of all frames, and bytes of the dump."""

    pixels: int
    bytes: int

    def hold(self, shape: tuple[int, int, int, int], dtype: str) -> None:
        """Refuse a dump that is empty or too large."""
        _refuse(min(shape) < 1, "the image has no pixels")
        _refuse(math.prod(shape[:3]) > self.pixels, "the image has too many pixels")
        _refuse(math.prod(shape) * int(dtype[1:]) > self.bytes, "the decoded pixels are too large")


# --- raster formats -------------------------------------------------------------------------------------------------


def _decode_raster(file: FileIO, cursor: Cursor, form: Format, sink: FileIO, limits: _Limits) -> _Decoded:
    from PIL import Image  # noqa: PLC0415

    _refuse(form not in FORMATS, "no lossless decoder for this format")
    side = _png_side(cursor) if form is Format.PNG else {}
    file.seek(0)
    with Image.open(file, formats=FORMATS[form]) as image:
        frames = getattr(image, "n_frames", 1)
        # The frames of an animation are differences that a decoder composes; pages are images of their own.
        _refuse(frames > 1 and form not in (Format.TIFF, Format.JPEG), "the frames of an animation are not kept")
        _refuse(image.mode not in _MODES, "the decoder has no lossless form for these samples")
        mode, extent = image.mode, image.size
        dtype, channels, photometric = _MODES[mode]
        shape = (frames, extent[1], extent[0], channels)
        limits.hold(shape, dtype)
        for index in range(frames):
            image.seek(index)
            image.load()
            kind = _tiff_dtype(image, _MODES[mode][0], channels) if form is Format.TIFF else dtype
            _refuse((image.mode, image.size) != (mode, extent) or (index > 0 and kind != dtype), _DIFFERENT)
            dtype = kind
            if index == 0:
                side |= _side(image, cursor, form)
            else:
                _refuse(mode == "P", "each page has a palette of its own")
            _write(image, dtype, sink)
    return shape, dtype, photometric, side


def _tiff_dtype(image: Image.Image, dtype: str, channels: int) -> str:
    """Refuse a page of which Pillow would drop bits or samples; tell unsigned 32-bit samples from signed ones."""
    tags = image.tag_v2  # type: ignore[attr-defined]
    bits, samples = tags.get(_TIFF_BITS, (1,)), tags.get(_TIFF_SAMPLES, 1)
    bits = bits if isinstance(bits, tuple) else (bits,)
    _refuse(samples != channels, "the decoder would drop samples")
    _refuse(max(bits) > (8 * int(dtype[1:]) if samples == 1 else 8), "the decoder would drop bits")
    unsigned = tags.get(_TIFF_FORMAT, (1,)) in ((1,), 1)
    return "u4" if dtype == "i4" and max(bits) == 32 and unsigned else dtype


def _png_side(cursor: Cursor) -> dict[str, bytes]:
    depth, colour = cursor.need(24, 2)
    _refuse(depth == 16 and colour != 0, "the decoder would drop bits")
    side = {}
    for chunk in png_chunks(cursor):
        if chunk.name == b"tRNS" and chunk.length <= 256:
            _refuse(colour == 0 and depth not in (8, 16), "the transparent value is of another depth than the samples")
            side["transparency"] = cursor.need(chunk.offset, chunk.length)
        elif chunk.name == b"PLTE" and colour == 3 and chunk.length <= 768:
            side["palette"] = cursor.need(chunk.offset, chunk.length)
        elif chunk.name == b"IDAT":
            break
    return side


def _side(image: Image.Image, cursor: Cursor, form: Format) -> dict[str, bytes]:
    """Collect what belongs beside the pixels of the first frame."""
    side = {}
    if block := next(exif.blocks(cursor, form), None):
        side["exif"] = block
    for name, key in (("icc", "icc_profile"), ("xmp", "xmp")):
        value = image.info.get(key)
        if isinstance(value, bytes):
            side[name] = value
    if form is Format.TIFF:
        if written := image.getexif().tobytes():
            side["exif"] = written.removeprefix(b"Exif\0\0")
        colours = image.tag_v2.get(_TIFF_COLORMAP)  # type: ignore[attr-defined]
        if colours:
            # 16 bits a colour, all reds, all greens, all blues, little endian: Pillow's own palette keeps 8 of them.
            side["colormap"] = b"".join(colour.to_bytes(2, "little") for colour in colours[:768])
    if image.mode == "P" and form is not Format.PNG:
        side["palette"] = bytes(image.getpalette("RGB") or b"")
        clear = image.info.get("transparency")
        if isinstance(clear, int) and 0 <= clear < 256:
            side["transparency"] = b"\xff" * clear + b"\0"
    return side


def _write(image: Image.Image, dtype: str, sink: FileIO) -> None:
    import numpy as np  # noqa: PLC0415

    width, height = image.size
    step = max(1, _BAND // (width * 4))
    for top in range(0, height, step):
        band = np.asarray(image.crop((0, top, width, min(height, top + step))))
        if dtype == "u4":
            band = band.view("u4")
        _write_all(sink, np.ascontiguousarray(band, f"<{dtype}"))


def _write_all(sink: FileIO, samples: Any) -> None:
    left = memoryview(samples).cast("B")
    while left:
        left = left[sink.write(left) :]


# --- DICOM ----------------------------------------------------------------------------------------------------------

_PIXEL_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
_DICOM_DTYPES = frozenset(("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))


def _decode_dicom(file: FileIO, cursor: Cursor, sink: FileIO, limits: _Limits) -> _Decoded:
    """Decode the stored values as they are: no rescaling, no colour conversion, no masking of unused bits."""
    layout = dicomwalk.walk(cursor)
    if layout is None or layout.pixels is None:
        raise PixelsUnavailable("the DICOM file has no pixel data that can be found")
    tail = cursor.size - layout.pixels_end
    _refuse(layout.pixels.start + tail > MAX_SIDE, "too much stands beside the pixels")
    side = {"dicom": cursor.need(0, layout.pixels.start)}
    if tail > 0:
        side["dicom-tail"] = cursor.need(layout.pixels_end, tail)
    rows, columns, frames, samples = layout.extent
    limits.hold((frames, rows, columns, samples), "u1")
    shape, dtype, photometric, count = (rows, columns, samples), "", "", 0
    for pixels, properties in dicom_frames(file, layout.pixels, raw=True):
        kind = f"{pixels.dtype.kind}{pixels.dtype.itemsize}"
        found = (*pixels.shape, 1) if pixels.ndim == 2 else pixels.shape
        _refuse(found != shape or kind not in _DICOM_DTYPES or dtype not in ("", kind), _DIFFERENT)
        dtype, photometric = kind, str(properties["photometric_interpretation"])
        count += 1
        limits.hold((count, *shape), dtype)
        _write_all(sink, pixels.astype(f"<{dtype}", order="C", copy=False))
    _refuse(count != frames, "the DICOM file holds another number of frames than it says")
    return (count, *shape), dtype, photometric, side


def dicom_frames(file: FileIO, element: dicomwalk.Element, *, raw: bool, indices: list[int] | None = None) -> Any:
    """Return pydicom's iterator of (frame, properties), which reads the file frame by frame.

    Args:
        file: The DICOM file.
        element: Where its pixel data are.
        raw: Leave the samples as they are stored; otherwise colours are converted to RGB.
        indices: The frames wanted; all of them by default.
    """
    import pydicom  # noqa: PLC0415
    from pydicom.pixels.decoders.base import get_decoder  # noqa: PLC0415
    from pydicom.pixels.utils import as_pixel_options  # noqa: PLC0415

    file.seek(0)
    header = pydicom.dcmread(file, stop_before_pixels=True)
    options = as_pixel_options(header)
    options["pixel_keyword"] = _PIXEL_KEYWORDS[element.tag]
    if element.vr:
        options["pixel_vr"] = element.vr.decode()
    decoder = get_decoder(header.file_meta.TransferSyntaxUID)
    options["correct_unused_bits"] = False
    file.seek(element.offset)
    return decoder.iter_array(file, raw=raw, indices=indices, **options)
