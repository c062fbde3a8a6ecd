"""Write medical phantoms, so that a newcomer can watch whole images travel without a single patient's picture.

Everything is drawn from a seed with NumPy and Pillow: the same seed gives the same bytes on the same versions of both.
No clock is read: the capture times are fixed and all different, and one file has none, as a quarter of real files do.
"""

import io
from datetime import datetime, timedelta, timezone
from enum import StrEnum
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import piexif
from numpy.typing import NDArray
from PIL import Image
from pydicom.data import get_testdata_file

from edge.demo.chest import draw_chest
from edge.demo.fundus import draw_fundus
from edge.demo.head import draw_head_ct, draw_head_mr


class PhantomKind(StrEnum):
    """What `draw` can draw."""

    CHEST = "chest"
    FUNDUS = "fundus"
    HEAD_CT = "head_ct"
    HEAD_MR = "head_mr"


def draw(kind: PhantomKind | str, seed: int) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Draw one phantom.

    Returns:
        chest: uint8 (1800, 1500), gray, bright where dense. fundus: uint8 (1400, 1400, 3), RGB; an even seed gives a
        right eye, an odd one a left eye. head_ct: uint16 (512, 512), Hounsfield units + 1024. head_mr: uint16
        (3, 384, 384), three T1-like slices from below upwards.

    Raises:
        ValueError: `kind` is none of `PhantomKind`, or `seed` is negative.
    """
    chosen = PhantomKind(kind)
    # Each kind has a stream of its own: a change to one drawing leaves the others as they are.
    rng = np.random.default_rng([seed, list(PhantomKind).index(chosen)])
    match chosen:
        case PhantomKind.CHEST:
            return draw_chest(rng)
        case PhantomKind.FUNDUS:
            return draw_fundus(rng, right_eye=seed % 2 == 0)
        case PhantomKind.HEAD_CT:
            return draw_head_ct(rng)
        case PhantomKind.HEAD_MR:
            return draw_head_mr(rng)


class _Scanner(NamedTuple):
    """A file to write: its name, what to draw with which share of the seed, and what the device says in its EXIF."""

    name: str
    kind: PhantomKind
    offset: int
    make: str = ""
    model: str = ""
    moment: datetime | None = None


def _moment(text: str, hours: int) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=timezone(timedelta(hours=hours)))


_SCANNERS: Final = (
    _Scanner(
        "DX_CHEST_PA_0001.jpg",
        PhantomKind.CHEST,
        0,
        "Phantom Radiography",
        "PA-43",
        _moment("2025-03-11 08:14:37.016", 1),
    ),
    _Scanner(
        "OP_OD_0001.jpg", PhantomKind.FUNDUS, 0, "Phantom Optics", "FC-45", _moment("2025-03-11 09:02:05.4951", 1)
    ),
    # No date of any kind: about a quarter of the JPEG files met in practice have none.
    _Scanner("OP_OS_0002.jpg", PhantomKind.FUNDUS, 1),
    _Scanner(
        "CT_HEAD_AX_0014.png",
        PhantomKind.HEAD_CT,
        0,
        "Phantom Tomography",
        "CT-64",
        _moment("2025-03-12 23:59:58.900", 1),
    ),
    _Scanner(
        "MR_HEAD_T1_0003.tif",
        PhantomKind.HEAD_MR,
        0,
        "Phantom Resonance",
        "MR-15",
        _moment("2025-06-30 16:41:20.07", 2),
    ),
)

# Small enough to copy, inside the wheel of pydicom 3, and of different kinds: CT, MR, MR with an overlay, ultrasound with
# a palette, ultrasound with 30 JPEG frames.
_PYDICOM_SAMPLES: Final = (
    "CT_small.dcm",
    "MR_small.dcm",
    "examples_overlay.dcm",
    "examples_palette.dcm",
    "examples_ybr_color.dcm",
)


def write_phantoms(folder: Path, *, seed: int = 7) -> tuple[Path, ...]:
    """Write one phantom of each kind and a second, undated fundus photograph into `folder`, which is made if absent.

    Returns:
        The files: two dated JPEGs, a JPEG without a date, a 16-bit PNG, a 16-bit TIFF of three pages.

    Raises:
        OSError: A file cannot be written.
        ValueError: `seed` is negative.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for scanner in _SCANNERS:
        # Each file appears in one write, as a scanner that renames into place would do it.
        path = folder / scanner.name
        path.write_bytes(_encoded(scanner, draw(scanner.kind, 2 * seed + scanner.offset)))
        written.append(path)
    return tuple(written)


def pydicom_samples(folder: Path) -> tuple[Path, ...]:
    """Copy the real DICOM images that come inside pydicom's wheel into `folder`, which is made if absent.

    Nothing is downloaded: a sample that the installed pydicom lacks is left out.

    Raises:
        OSError: A file cannot be read or written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = []
    for name in _PYDICOM_SAMPLES:
        source = get_testdata_file(name, download=False)
        if source is not None:
            copies.append(folder / name)
            copies[-1].write_bytes(Path(source).read_bytes())
    return tuple(copies)


def _encoded(scanner: _Scanner, samples: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """Encode `samples` in the format that the name's ending says, with the scanner's EXIF where it has one."""
    tags = _exif(scanner)
    target = io.BytesIO()
    if scanner.kind is PhantomKind.HEAD_MR:
        first, *rest = (Image.fromarray(page) for page in samples)
        first.save(target, "TIFF", save_all=True, append_images=rest, exif=piexif.dump(tags))
    elif scanner.kind is PhantomKind.HEAD_CT:
        Image.fromarray(samples).save(target, "PNG", exif=piexif.dump(tags))
    else:
        block = piexif.dump(tags) if scanner.moment else b""
        Image.fromarray(samples).save(target, "JPEG", quality=90, subsampling="4:2:0", exif=block)
    return target.getvalue()


def _exif(scanner: _Scanner) -> dict[str, dict[int, str]]:
    """Give the EXIF block as piexif takes it: IFD name, then tag, then value."""
    if scanner.moment is None:
        return {}
    zone = scanner.moment.strftime("%z")
    return {
        "0th": {piexif.ImageIFD.Make: scanner.make, piexif.ImageIFD.Model: scanner.model},
        "Exif": {
            piexif.ExifIFD.DateTimeOriginal: scanner.moment.strftime("%Y:%m:%d %H:%M:%S"),
            # A fraction of a second: the leading zeros count, trailing ones do not.
            piexif.ExifIFD.SubSecTimeOriginal: scanner.moment.strftime("%f").rstrip("0"),
            piexif.ExifIFD.OffsetTimeOriginal: f"{zone[:3]}:{zone[3:]}",
        },
    }
