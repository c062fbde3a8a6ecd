"""Reads when and with what an image was taken: from EXIF, from DICOM attributes, from a side-car file.

Every value is untrusted input: a time counts only in a strict form, from 1980 to one day after `now`, and its source
travels with it. A time is naive where the file names no zone. Nothing here decodes pixels or changes a file.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any, BinaryIO

from edge.intake import dicomwalk, exif
from edge.intake.extent import extent
from edge.intake.formats import Format
from edge.intake.segments import Cursor
from edge.records import CaptureSource, CaptureTime

EARLIEST_YEAR = 1980  # no digital image is older; 1901 and 0000 are what devices write for "unknown"
FUTURE = timedelta(days=1)  # a naive time is read as UTC: this covers every zone
MAX_SIDECAR = 64 * 1024  # bytes
MAX_CAMERA = 64  # characters
MAX_DEFLATED_HEADER = 8 << 20  # bytes of a deflated DICOM data set that are inflated to find its dates


@dataclass(frozen=True, slots=True)
class Embedded:
    """What a file says of itself; `notes` are codes."""

    capture: CaptureTime | None = None
    camera: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()


def read_embedded(file: BinaryIO, size: int, format: Format, *, now: datetime) -> Embedded:  # noqa: A002
    """Read capture time, camera and extent of a file whose format is known. To be called in the worker only.

    Raises:
        IncompleteFile: The file ends inside its metadata.
    """
    cursor = Cursor(file, size)
    match format:
        case Format.DICOM:
            return _read_dicom(file, cursor, now)
        case Format.TIFF:
            tags = exif.read_tiff(file, cursor)
            return _from_exif([tags] if tags else [], now, 0, 0, ("exif-unreadable",) if tags is None else ())
    blocks = list(exif.blocks(cursor, format))
    read = [tags for tags in map(exif.read_block, blocks) if tags is not None]
    notes = ("exif-unreadable",) if len(read) < len(blocks) else ()
    return _from_exif(read, now, *extent(cursor, format), notes)


# --- plausibility and text ------------------------------------------------------------------------------------------


def plausible(moment: datetime, now: datetime) -> bool:
    """Say whether a time lies between 1980 and one day after `now`; naive times are compared as UTC."""
    moment, now = (m if m.tzinfo else m.replace(tzinfo=UTC) for m in (moment, now))
    return moment.year >= EARLIEST_YEAR and moment <= now + FUTURE


def camera_name(make: str, model: str) -> str:
    """Join make and model into at most 64 printable characters, the make not twice."""
    make, model = ("".join(c if c.isprintable() else " " for c in text) for text in (make, model))
    make, model = " ".join(make.split()), " ".join(model.split())
    whole = model if model.casefold().startswith(make.casefold()) else f"{make} {model}".strip()
    return whole[:MAX_CAMERA].strip()


# --- EXIF -----------------------------------------------------------------------------------------------------------

_EXIF_FORM = re.compile(
    r"(\d{4})[:\-./](\d\d)[:\-./](\d\d)[ T](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)?", re.ASCII
)
_OFFSET_FORM = re.compile(r"([+-])(\d\d):?(\d\d)", re.ASCII)


def exif_moment(text: str, fraction: str, offset: str, now: datetime) -> datetime | None:
    """Build a time from EXIF text, or None where it is not one.

    Args:
        text: DateTimeOriginal or one like it. What follows the seconds counts only as a fraction or a zone.
        fraction: SubSecTime: the digits behind "0.", leading zeros and all.
        offset: OffsetTime, as +HH:MM.
        now: The present, against which the future is measured.
    """
    found = _EXIF_FORM.match(text[:64].partition("\0")[0].strip())
    if found is None:
        return None
    own_fraction, own_zone = found.group(7), found.group(8)
    digits = fraction.strip("\0 ")
    moment = _build(
        [int(part) for part in found.groups()[:6]],
        own_fraction or (digits if digits.isascii() and digits.isdigit() else ""),
        _zone("+00:00" if own_zone == "Z" else own_zone or offset),
    )
    return moment if moment and plausible(moment, now) else None


def _build(parts: list[int], fraction: str, zone: timezone | None) -> datetime | None:
    year, month, day, hour, minute, second = parts
    try:
        return datetime(year, month, day, hour, minute, second, int(fraction[:6].ljust(6, "0") or "0"), tzinfo=zone)
    except ValueError:
        return None


def _zone(text: str) -> timezone | None:
    found = _OFFSET_FORM.fullmatch(text.strip("\0 "))
    if found is None or int(found[3]) > 59:
        return None
    offset = timedelta(hours=int(found[2]), minutes=int(found[3])) * (-1 if found[1] == "-" else 1)
    return timezone(offset) if timedelta(hours=-12) <= offset <= timedelta(hours=14) else None


def _from_exif(read: list[exif.Tags], now: datetime, width: int, height: int, notes: tuple[str, ...]) -> Embedded:
    found = [
        (source, exif_moment(stamp.text, stamp.fraction, stamp.offset, now))
        for source, pick in (
            (CaptureSource.EXIF_ORIGINAL, lambda tags: tags.original),
            (CaptureSource.EXIF_DIGITIZED, lambda tags: tags.digitized),
            (CaptureSource.EXIF_DATETIME, lambda tags: tags.datetime),
        )
        for stamp in map(pick, read)
    ]
    first = next((CaptureTime(moment, source) for source, moment in found if moment), None)
    cameras = (camera_name(tags.make, tags.model) for tags in read)
    return Embedded(
        capture=first,
        camera=next(filter(None, cameras), ""),
        width=width or next((tags.width for tags in read if tags.width), 0),
        height=height or next((tags.height for tags in read if tags.height), 0),
        notes=notes,
    )


# --- DICOM ----------------------------------------------------------------------------------------------------------

_DA = re.compile(r"(\d{4})(?:([.:/-]?)(\d\d)(?:\2(\d\d))?)?", re.ASCII)
_TM = re.compile(r"(\d\d)(?::?(\d\d)(?::?(\d\d)(?:\.(\d{0,6}))?)?)?", re.ASCII)
_DT = re.compile(r"(\d{4})(\d\d)?(\d\d)?(\d\d)?(\d\d)?(\d\d)?(?:\.(\d{1,6}))?([+-]\d{4})?", re.ASCII)

_ACQUISITION_DT, _ZONE, _MAKER, _MODEL_NAME = 0x0008002A, 0x00080201, 0x00080070, 0x00081090
_ROWS, _COLUMNS, _FRAMES = 0x00280010, 0x00280011, 0x00280008
_DATES = (
    (CaptureSource.DICOM_ACQUISITION, 0x00080022, 0x00080032),
    (CaptureSource.DICOM_CONTENT, 0x00080023, 0x00080033),
    (CaptureSource.DICOM_SERIES, 0x00080021, 0x00080031),
    (CaptureSource.DICOM_STUDY, 0x00080020, 0x00080030),
)
_WANTED = [_ACQUISITION_DT, _ZONE, _MAKER, _MODEL_NAME, _ROWS, _COLUMNS, _FRAMES]
_WANTED += [tag for _, date, time in _DATES for tag in (date, time)]
_LAST_WANTED = 0x0028FFFF
_SHARED_GROUPS, _FRAME_GROUPS, _FRAME_CONTENT = 0x52009229, 0x52009230, 0x00209111
_FRAME_ACQUISITION, _FRAME_REFERENCE = 0x00189074, 0x00189151


def dicom_moment(date: str, time: str, zone: str, now: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """Build a time from a DA and a TM value, ACR-NEMA and truncated forms included; the notes name what was missing."""
    day, hour = _DA.fullmatch(date), _TM.fullmatch(time)
    if day is None:
        return None, ()
    notes: tuple[str, ...] = ("capture-date-truncated",) if day[4] is None else ()
    if hour is None:
        notes += ("capture-time-of-day-missing",)
    clock = [int(hour[n] or 0) for n in (1, 2, 3)] if hour else [0, 0, 0]
    clock[2] = min(clock[2], 59) if clock[2] <= 60 else clock[2]  # the standard allows a leap second
    fraction = (hour[4] or "") if hour else ""
    moment = _build([int(day[1]), int(day[3] or 1), int(day[4] or 1), *clock], fraction, _zone(zone))
    return (moment, notes) if moment and plausible(moment, now) else (None, ())


def dicom_datetime(value: str, zone: str, now: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """Build a time from a DT value; its own zone suffix goes before TimezoneOffsetFromUTC."""
    found = _DT.fullmatch(value)
    if found is None:
        return None, ()
    notes: tuple[str, ...] = ("capture-date-truncated",) if found[3] is None else ()
    if found[4] is None:
        notes += ("capture-time-of-day-missing",)
    parts = [int(found[1]), int(found[2] or 1), int(found[3] or 1), *(int(found[n] or 0) for n in (4, 5, 6))]
    parts[5] = min(parts[5], 59) if parts[5] <= 60 else parts[5]
    moment = _build(parts, found[7] or "", _zone(found[8] or zone))
    return (moment, notes) if moment and plausible(moment, now) else (None, ())


def _read_dicom(file: BinaryIO, cursor: Cursor, now: datetime) -> Embedded:
    try:
        found = _dataset(file, cursor, _WANTED, _LAST_WANTED)
    except MemoryError:
        raise  # the worker ends: nothing that pydicom holds now is worth keeping
    except Exception:  # noqa: BLE001 - pydicom raises what its parts raise
        return Embedded(notes=("dicom-unreadable",))
    zone = _value(found, _ZONE)
    moment, notes = dicom_datetime(_value(found, _ACQUISITION_DT), zone, now)
    source = CaptureSource.DICOM_ACQUISITION
    if moment is None and not _value(found, _DATES[0][1]) and _value(found, _FRAMES):
        moment, notes = _frame_moment(file, cursor, zone, now)
    for candidate, date, time in _DATES:
        if moment is None:
            moment, more = dicom_moment(_value(found, date), _value(found, time), zone, now)
            source, notes = candidate, notes + more
    width, height = _short(found, _COLUMNS), _short(found, _ROWS)
    return Embedded(
        capture=CaptureTime(moment, source) if moment else None,
        camera=camera_name(_value(found, _MAKER), _value(found, _MODEL_NAME)),
        width=width,
        height=height,
        notes=notes,
    )


def _frame_moment(file: BinaryIO, cursor: Cursor, zone: str, now: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """Look for the first frame's time inside the functional groups, where enhanced objects may keep the only one."""
    try:
        found = _dataset(file, cursor, [_SHARED_GROUPS, _FRAME_GROUPS], _FRAME_GROUPS)
        for groups in (_FRAME_GROUPS, _SHARED_GROUPS):
            for content in _items(_items(found, groups), _FRAME_CONTENT):
                for tag in (_FRAME_ACQUISITION, _FRAME_REFERENCE):
                    moment, notes = dicom_datetime(_value(content, tag), zone, now)
                    if moment:
                        return moment, notes
    except Exception:  # noqa: BLE001 - as above; here a MemoryError too, for the header is read already
        return None, ("dicom-frames-unreadable",)
    return None, ()


def _items(found: Any, tag: int) -> Any:
    """Return the first item of a sequence in a data set or in a first item, as a list of at most one."""
    if isinstance(found, list):
        return _items(found[0], tag) if found else []
    return list(found[tag].value[:1]) if tag in found else []


def _dataset(file: BinaryIO, cursor: Cursor, tags: list[int], last: int) -> Any:
    """Read the wanted elements up to tag `last` with pydicom: never pixel data, never a deflated set beyond the cap."""
    from pydicom.filereader import read_dataset, read_partial  # noqa: PLC0415 - loaded in the worker, for DICOM only

    def behind(tag: int, _vr: str | None, _length: int) -> bool:
        return int(tag) > last

    layout = dicomwalk.meta(cursor)
    if layout.syntax == dicomwalk.DEFLATED:
        head = b"".join(dicomwalk.inflate(cursor, layout.dataset, MAX_DEFLATED_HEADER))
        return read_dataset(io.BytesIO(head), False, True, stop_when=behind, specific_tags=tags)
    file.seek(0)
    return read_partial(file, stop_when=behind, specific_tags=tags)


def _value(found: Any, tag: int) -> str:
    """Return an element's first value as text of at most 64 characters, without conversion by pydicom."""
    if tag not in found:
        return ""
    try:
        value = found.get_item(tag).value
    except NotImplementedError:  # a value representation that pydicom does not know
        return ""
    if isinstance(value, bytes):
        value = value[:64].decode("ascii", "replace")
    return str(value or "")[:64].partition("\\")[0].strip(" \0")


def _short(found: Any, tag: int) -> int:
    try:
        value = found[tag].value if tag in found else 0
    except Exception:  # noqa: BLE001 - a number of a wrong length must not cost the capture time
        return 0
    return value if isinstance(value, int) else 0


# --- side-car -------------------------------------------------------------------------------------------------------

_SIDECAR_KEYS = ("datetime", "DateTimeOriginal", "capture_time")


def read_sidecar(path: Path, *, now: datetime | None = None) -> tuple[CaptureTime | None, tuple[str, ...]]:
    """Read the capture time from the side-car file, and note why one that is there cannot be used.

    Args:
        path: The image. ``<name>.json`` is looked at before ``<stem>.json``.
        now: Where given, the time must also be plausible against it.
    """
    for candidate in (path.with_name(path.name + ".json"), path.with_suffix(".json")):
        if candidate == path:
            continue
        try:
            content = _small_file(candidate)
        except FileNotFoundError:
            continue
        except OSError:
            return None, ("sidecar-unreadable",)
        moment = _sidecar_moment(content)
        if moment is None or (now is not None and not plausible(moment, now)):
            return None, ("sidecar-unusable",)
        return CaptureTime(moment, CaptureSource.SIDECAR), ()
    return None, ()


def _small_file(path: Path) -> bytes:
    # A link or a pipe in the scanner's folder must not make the daemon read elsewhere or wait.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor, not a path
        status = os.fstat(descriptor)
        return file.read(MAX_SIDECAR) if stat.S_ISREG(status.st_mode) and status.st_size <= MAX_SIDECAR else b""


def _sidecar_moment(content: bytes) -> datetime | None:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    value = next((found[key] for key in _SIDECAR_KEYS if key in found), None)
    if not isinstance(value, str):
        return None
    try:
        return datetime.fromisoformat(value.strip())
    except ValueError:
        return exif_moment(value, "", "", datetime.max.replace(tzinfo=UTC) - 2 * FUTURE)
