"""Pixels instead of a file's bytes (domain = "pixels"): decoded losslessly on the device, written again at the receiver.

The canonical form is a raw dump in C order, (frames, rows, columns, channels), little endian, without any header:

- bilevel images are u1 with 0 and 1; gray of 2 or 4 bits is spread over u1 (a reversible scaling);
- palettes stay indices, with ``palette`` and ``transparency`` beside them; CMYK has four channels;
- JPEG is what the decoder makes of it (RGB, gray or CMYK); no orientation, colour profile or gamma is applied;
- DICOM is the stored values: no rescaling, no colour conversion, unused bits as they are; ``dicom`` and ``dicom-tail``
  hold the file's bytes before and behind the pixel data.

What a decoder would reduce (16-bit colour), compose (animations) or drop is refused with PixelsUnavailable; then the
file's exact bytes are carried instead.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from edge.durable import atomic_file, storage_error
from edge.errors import IntakeError, PixelsUnavailable, StorageError
from edge.intake.formats import HEAD_BYTES, Format, identify
from edge.intake.opening import opened
from edge.intake.worker import Worker
from edge.records import SIDE, Picture, PixelImage, SettledFile

DECODABLE: Final = frozenset((Format.JPEG, Format.PNG, Format.TIFF, Format.BMP, Format.GIF, Format.WEBP, Format.DICOM))
MAX_SIDE: Final = 48 * 1024  # bytes beside the pixels, all together
_DTYPES: Final = frozenset(("u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"))
_PHOTOMETRIC = re.compile(r"[A-Za-z0-9_ -]{1,32}")
_SIDES: Final = frozenset(("exif", "icc", "xmp", "palette", "transparency", "colormap", "dicom", "dicom-tail"))


@dataclass(frozen=True, slots=True)
class PixelLimits:
    """What decoding one file may take: bytes of address space, seconds, pixels of all frames, bytes of the dump."""

    memory: int = 1 << 30
    timeout: float = 60.0
    max_pixels: int = 178_956_970
    max_bytes: int = 4 << 30


class PixelReader:
    """Decodes files one after the other in a worker process of its own; a context manager."""

    def __init__(self, limits: PixelLimits | None = None) -> None:
        self._limits = limits or PixelLimits()
        self._worker = Worker(
            memory_limit=self._limits.memory, timeout=self._limits.timeout, output_limit=self._limits.max_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()

    def decode(self, file: SettledFile, sink_path: Path) -> PixelImage:
        """Decode all frames of a settled file into a raw dump at `sink_path`, which must not exist yet.

        Raises:
            PixelsUnavailable: They cannot be had losslessly within the limits; nothing is left at `sink_path`.
            TooManyOpenFiles, WorkerUnavailable: The machine cannot decode anything now; nothing is left either.
        """
        try:
            descriptor = os.open(sink_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise PixelsUnavailable("no room can be made for the decoded pixels") from error
        try:
            with FileIO(descriptor, "wb") as sink, opened(file) as stream:
                image = self._decode(stream, file.size, sink)
        except (PixelsUnavailable, StorageError):
            sink_path.unlink(missing_ok=True)
            raise
        except (IntakeError, OSError) as error:
            sink_path.unlink(missing_ok=True)
            raise PixelsUnavailable("the file cannot be read") from error
        return image

    def picture(self, file: SettledFile) -> Picture:
        """Decode one frame of a settled file, small, as the feature network reads it.

        Raises:
            PixelsUnavailable: It cannot be had within the limits.
            TooManyOpenFiles, WorkerUnavailable: The machine cannot decode anything now.
        """
        import numpy as np  # noqa: PLC0415 - the receiver writes pixels without it

        try:
            with opened(file) as stream:
                reply = self._ask("picture", stream, file.size, [])
        except PixelsUnavailable:
            raise
        except (IntakeError, OSError) as error:
            raise PixelsUnavailable("the file cannot be read") from error
        try:
            pixels = np.frombuffer(base64.b64decode(reply["picture"], validate=True), np.uint8)
            return Picture(pixels.reshape(SIDE, SIDE, 3))
        except (KeyError, TypeError, ValueError) as error:
            raise PixelsUnavailable("the decoder's answer makes no sense") from error

    def _ask(self, operation: str, stream: FileIO, size: int, sinks: list[FileIO]) -> dict[str, Any]:
        """Have the worker decode; return the fields of its answer."""
        form = identify(stream.read(HEAD_BYTES))
        if form not in DECODABLE:
            raise PixelsUnavailable("no decoder for this format")
        request = {
            "operation": operation,
            "format": form.value,
            "size": size,
            "max_pixels": self._limits.max_pixels,
            "max_bytes": self._limits.max_bytes,
        }
        reply = self._worker.call(request, [file.fileno() for file in (stream, *sinks)])
        if reply.failure:
            raise PixelsUnavailable(f"the decoder was ended: {reply.failure}")
        if "unavailable" in reply.fields:
            raise PixelsUnavailable(str(reply.fields["unavailable"])[:80])
        return reply.fields

    def _decode(self, stream: FileIO, size: int, sink: FileIO) -> PixelImage:
        image = _described(self._ask("pixels", stream, size, [sink]))
        if os.fstat(sink.fileno()).st_size != image.size:
            raise PixelsUnavailable("the decoder wrote another number of bytes than it says")
        return image


def decode_pixels(file: SettledFile, sink_path: Path, *, limits: PixelLimits | None = None) -> PixelImage:
    """Decode all frames of one settled file into a raw dump at `sink_path`, in a worker process of its own.

    Returns:
        The dump's shape (frames, rows, columns, channels), dtype, photometric interpretation, and what belongs beside.

    Raises:
        PixelsUnavailable: They cannot be had losslessly within the limits; nothing is left at `sink_path`.
    """
    with PixelReader(limits) as reader:
        return reader.decode(file, sink_path)


def _described(fields: Mapping[str, Any]) -> PixelImage:
    """Check the worker's description: a hostile file may have taken the worker over."""
    shape, dtype, photometric, side = (fields.get(name) for name in ("shape", "dtype", "photometric", "side"))
    sound = (
        isinstance(shape, list)
        and len(shape) == 4
        and all(isinstance(n, int) and 0 < n < 1 << 31 for n in shape)
        and dtype in _DTYPES
        and isinstance(photometric, str)
        and _PHOTOMETRIC.fullmatch(photometric)
        and isinstance(side, dict)
        and _SIDES.issuperset(side)
    )
    if not sound:
        raise PixelsUnavailable("the decoder's answer makes no sense")
    try:
        beside = {str(name): base64.b64decode(value, validate=True) for name, value in side.items()}  # type: ignore[union-attr]
    except (binascii.Error, TypeError, ValueError) as error:
        raise PixelsUnavailable("the decoder's answer makes no sense") from error
    if sum(map(len, beside.values())) > MAX_SIDE:
        raise PixelsUnavailable("too much stands beside the pixels")
    return PixelImage(tuple(shape), str(dtype), str(photometric), beside)  # type: ignore[arg-type]


# --- the receiver's side --------------------------------------------------------------------------------------------

_BAND: Final = 4 << 20  # bytes of samples in memory at once
_IDAT: Final = 64 * 1024  # bytes of one PNG data chunk, at least
# (photometric, dtype) -> (PNG colour type, bit depth). MONOCHROME1 is left out: a viewer would show it inverted.
_PNG_KINDS: Final = {
    ("bilevel", "u1"): (0, 1),
    ("gray", "u1"): (0, 8),
    ("MONOCHROME2", "u1"): (0, 8),
    ("gray", "u2"): (0, 16),
    ("MONOCHROME2", "u2"): (0, 16),
    ("palette", "u1"): (3, 8),
    ("gray-alpha", "u1"): (4, 8),
    ("rgb", "u1"): (2, 8),
    ("RGB", "u1"): (2, 8),
    ("rgba", "u1"): (6, 8),
}
_CHANNELS: Final = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}


def encode_pixels(raw_path: Path, image: PixelImage, target_stem: Path) -> Path:
    """Write a raw dump as an image file: PNG where PNG can hold these samples exactly, else NumPy's ``.npy``.

    PNG holds one frame of u1 bilevel, gray, gray with alpha, palette, RGB or RGBA, or of u2 gray. All else keeps its
    shape (frames, rows, columns, channels) in the array file. Memory is bounded by a few bands of rows.

    Args:
        raw_path: The dump.
        image: What it holds.
        target_stem: The file to write, without its suffix; its folder exists.

    Returns:
        The path of the file written.

    Raises:
        PixelsUnavailable: The dump and its description do not agree.
        StorageError: The disk refuses; nothing is left.
    """
    kind = _PNG_KINDS.get((image.photometric, image.dtype))
    frames, _, _, channels = image.shape
    palette = image.side.get("palette", b"")
    if image.dtype not in _DTYPES or min(image.shape) < 1:
        raise PixelsUnavailable("the description of the pixels makes no sense")
    fits = kind is not None and frames == 1 and channels == _CHANNELS[kind[0]]
    if kind is not None and kind[0] == 3:
        fits = fits and 0 < len(palette) <= 768 and len(palette) % 3 == 0
    target = target_stem.with_name(target_stem.name + (".png" if fits else ".npy"))
    try:
        with raw_path.open("rb") as raw:
            if os.fstat(raw.fileno()).st_size != image.size:
                raise PixelsUnavailable("the pixels are not as many as their description says")
            with atomic_file(target, overwrite=True) as sink:
                if fits and kind is not None:
                    _write_png(raw, image, sink, *kind)
                else:
                    _write_npy(raw, image, sink)
    except OSError as error:
        raise storage_error(error) from error
    return target


def _write_npy(raw: BinaryIO, image: PixelImage, sink: BinaryIO) -> None:
    import numpy as np  # noqa: PLC0415 - only where pixels are written

    header = {"descr": np.dtype(f"<{image.dtype}").str, "fortran_order": False, "shape": image.shape}
    np.lib.format.write_array_header_1_0(sink, header)
    while piece := raw.read(_BAND):
        sink.write(piece)


def _write_png(raw: BinaryIO, image: PixelImage, sink: BinaryIO, colour: int, depth: int) -> None:
    _, rows, columns, _ = image.shape
    sink.write(b"\x89PNG\r\n\x1a\n")
    header = columns.to_bytes(4, "big") + rows.to_bytes(4, "big") + bytes((depth, colour, 0, 0, 0))
    _chunk(sink, b"IHDR", header)
    if profile := image.side.get("icc"):
        _chunk(sink, b"iCCP", b"icc\0\0" + zlib.compress(profile))
    if colour == 3:
        _chunk(sink, b"PLTE", image.side["palette"])
    clear = image.side.get("transparency", b"")
    most = len(image.side["palette"]) // 3 if colour == 3 else 0
    if 0 < len(clear) <= most or len(clear) == {0: 2, 2: 6}.get(colour):
        _chunk(sink, b"tRNS", clear)
    block = image.side.get("exif", b"")
    if block.startswith((b"II*\0", b"MM\0*")):
        _chunk(sink, b"eXIf", block)
    packer, waiting = zlib.compressobj(6), b""
    for band in _filtered(raw, image, depth, predict=colour != 3 and depth >= 8):
        waiting += packer.compress(band)
        if len(waiting) >= _IDAT:
            _chunk(sink, b"IDAT", waiting)
            waiting = b""
    _chunk(sink, b"IDAT", waiting + packer.flush())
    _chunk(sink, b"IEND", b"")


def _filtered(raw: BinaryIO, image: PixelImage, depth: int, *, predict: bool) -> Iterator[bytes]:
    """Yield bands of PNG scan lines, each with its filter byte: "up" where that helps, "none" for indices and bits."""
    import numpy as np  # noqa: PLC0415

    _, rows, columns, channels = image.shape
    width = columns * channels
    previous = None
    step = max(1, _BAND // (width * int(image.dtype[1:])))
    for top in range(0, rows, step):
        count = min(step, rows - top)
        samples = np.fromfile(raw, f"<{image.dtype}", count * width)
        if samples.size != count * width:
            raise PixelsUnavailable("the pixels are not as many as their description says")
        samples = samples.reshape(count, width)
        if depth == 1:
            lines = np.packbits(samples, axis=1)
        else:
            lines = samples.astype(">u2").view("u1") if depth == 16 else samples
        above = np.zeros((1, lines.shape[1]), "u1") if previous is None else previous
        previous = lines[-1:]
        # Sample bytes wrap modulo 256, as the filter demands.
        body = lines - np.concatenate((above, lines[:-1])) if predict else lines
        yield np.concatenate((np.full((count, 1), 2 if predict else 0, "u1"), body), axis=1).tobytes()


def _chunk(sink: BinaryIO, name: bytes, payload: bytes) -> None:
    sink.write(len(payload).to_bytes(4, "big") + name + payload + zlib.crc32(name + payload).to_bytes(4, "big"))
