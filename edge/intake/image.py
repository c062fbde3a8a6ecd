"""Says what a settled file is: its format, whether it is complete, when and with what the image was taken.

The public door of image intake. A file that stands complete always gets an Inspection: whatever its metadata do to
their readers, the image is carried as its exact bytes, with notes that name by code what could not be read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from io import FileIO
from types import TracebackType
from typing import Any, Final, Self

from edge.errors import EmptyFile, IncompleteFile, UnreadableFile
from edge.intake.capture import MAX_CAMERA, camera_name, plausible, read_sidecar
from edge.intake.formats import HEAD_BYTES, UNKNOWN_MEDIA_TYPE, Format, identify, refuse_unfinished
from edge.intake.opening import opened
from edge.intake.pixels import DECODABLE
from edge.intake.worker import Worker
from edge.records import CaptureSource, CaptureTime, SettledFile

INCOMPLETE: Final = "incomplete"  # the note of a file that ends too early and is carried all the same
FALLBACKS: Final = ("operator", "sidecar", "mtime")
MAX_PIXELS: Final = 178_956_970  # width times height that is decoded at most: Pillow's own limit, 0.5 GB as RGB
_MAX_SIDE = 1 << 31
_NOTE = re.compile(r"[a-z0-9-]{1,40}")


@dataclass(frozen=True, slots=True)
class Inspection:
    """What is known of one settled file.

    `format` is None and `known` false where the content is no known still image. `width` and `height` are in pixels, 0
    where unknown. `notes` are codes: exif-unreadable, dicom-unreadable, dicom-frames-unreadable, metadata-unreadable,
    capture-date-truncated, capture-time-of-day-missing, sidecar-unreadable, sidecar-unusable, mtime-implausible,
    pixels-too-large, undecodable, incomplete, inspection-timeout, inspection-memory, inspection-crashed.
    """

    format: Format | None
    media_type: str
    capture: CaptureTime
    camera: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether the content is a known still-image format."""
        return self.format is not None


class Inspector:
    """Inspects files one after the other with the help of one worker process; a context manager.

    Args:
        memory_limit: address space of the worker in bytes.
        timeout: seconds for one file.
        max_pixels: width times height beyond which an image is noted as too large to decode.
        fallbacks: where the time is looked for when the file names none, in this order; the clock comes last.
    """

    def __init__(
        self,
        *,
        memory_limit: int = 256 << 20,
        timeout: float = 5.0,
        max_pixels: int = MAX_PIXELS,
        fallbacks: Sequence[str] = FALLBACKS,
    ) -> None:
        self._worker = Worker(memory_limit=memory_limit, timeout=timeout)
        self._max_pixels = max_pixels
        self._fallbacks = tuple(fallbacks)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def start(self) -> None:
        """Begin to start the worker process; without that the first file does."""
        self._worker.start()

    def close(self) -> None:
        """End the worker process."""
        self._worker.close()

    def inspect(
        self,
        file: SettledFile,
        *,
        now: datetime,
        operator: datetime | None = None,
        fallbacks: Sequence[str] | None = None,
        incomplete: bool = False,
    ) -> Inspection:
        """Inspect one settled file.

        The capture time is the file's own (EXIF, DICOM); else the first of `fallbacks` that has one: the operator's
        `operator`, the side-car file, the modification time (in UTC); else `now`. With `incomplete` a file that ends
        too early is described too, with a note, by its format and a fall-back time.

        Raises:
            EmptyFile, IncompleteFile: The file is not, or not yet, a whole image.
            VanishedFile, ChangedWhileRead, UnreadableFile: The file cannot be read as the one that settled.
            TooManyOpenFiles, WorkerUnavailable: The machine can inspect nothing now.
        """
        with opened(file) as stream:
            try:
                form = self._identify(stream, file.size)
            except OSError as error:
                raise UnreadableFile("the file cannot be read") from error
            try:
                found, notes = self._read(stream, file.size, form, now) if form else ({}, [])
            except IncompleteFile:
                if not incomplete:
                    raise
                found, notes = {}, [INCOMPLETE]
        capture = _embedded_time(found, now)
        if capture is None:
            order = self._fallbacks if fallbacks is None else fallbacks
            capture, more = _fallback_time(file, order, operator=operator, now=now)
            notes += more
        width, height = _side(found.get("width")), _side(found.get("height"))
        if width * height > self._max_pixels:
            notes.append("pixels-too-large")
        elif form is not None and form not in DECODABLE:
            notes.append("undecodable")
        return Inspection(
            format=form,
            media_type=form.media_type if form else UNKNOWN_MEDIA_TYPE,
            capture=capture,
            camera=camera_name("", str(found.get("camera", ""))[:MAX_CAMERA]),
            width=width,
            height=height,
            notes=tuple(dict.fromkeys(notes)),
        )

    @staticmethod
    def _identify(stream: FileIO, size: int) -> Format | None:
        if size == 0:
            raise EmptyFile("the file is empty")
        form = identify(stream.read(HEAD_BYTES))
        if form is None:
            refuse_unfinished(stream, size)
        return form

    def _read(self, stream: FileIO, size: int, form: Format, now: datetime) -> tuple[dict[str, Any], list[str]]:
        """Ask the worker. Its answer is checked: a hostile file may have taken the worker over."""
        request = {"operation": "inspect", "format": form.value, "size": size, "now": now.isoformat()}
        reply = self._worker.call(request, [stream.fileno()])
        if reply.failure:
            return {}, [reply.failure]
        match reply.fields.get("error"):
            case None:
                pass
            case "empty-file":
                raise EmptyFile("the file is empty")
            case "unreadable-file":
                raise UnreadableFile("the file cannot be read")
            case _:
                raise IncompleteFile(f"the {form.value} file ends before its structure does")
        notes = reply.fields.get("notes")
        notes = notes[:16] if isinstance(notes, list) else []
        return reply.fields, [note for note in notes if isinstance(note, str) and _NOTE.fullmatch(note)]


def _side(value: object) -> int:
    return value if isinstance(value, int) and 0 <= value < _MAX_SIDE else 0


def _embedded_time(found: dict[str, Any], now: datetime) -> CaptureTime | None:
    try:
        moment = datetime.fromisoformat(str(found.get("moment")))
        capture = CaptureTime(moment, CaptureSource(str(found.get("source"))))
    except ValueError:
        return None
    return capture if plausible(moment, now) else None


def _fallback_time(
    file: SettledFile, order: Sequence[str], *, operator: datetime | None, now: datetime
) -> tuple[CaptureTime, list[str]]:
    notes: list[str] = []
    for name in order:
        if name == "operator" and operator is not None:
            return CaptureTime(operator, CaptureSource.OPERATOR), notes
        if name == "sidecar":
            capture, more = read_sidecar(file.path, now=now)
            notes += more
            if capture:
                return capture, notes
        if name == "mtime":
            try:
                moment = datetime.fromtimestamp(file.mtime_ns // 1_000_000_000, UTC)
            except (OverflowError, ValueError, OSError):
                notes.append("mtime-implausible")
                continue
            moment = moment.replace(microsecond=file.mtime_ns % 1_000_000_000 // 1000)
            if not plausible(moment, now):
                notes.append("mtime-implausible")
            return CaptureTime(moment, CaptureSource.MTIME), notes
    return CaptureTime(now, CaptureSource.CLOCK), notes
