"""The frozen values that travel along an image's way, in the order in which they come into being.

    SettledFile > Scan > MetadataRecord > MetadataImage > NetworkOutputs > ChaosParameters > CipherImage
                       > Picture > FeatureVector >

What follows them, SignedEnvelope, VerifiedEnvelope and Receipt, stands beside the code that proves it, in
`edge.envelope.sign`. They hold facts, not behaviour; nothing here reads a clock, a disk or a random source.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    # The metadata worker imports this module and must stay small: NumPy would cost it 14 MB.
    import numpy as np
    from numpy.typing import NDArray


SIDE: Final = 224
"""Height and width, in pixels, of what every network reads: the input size their families were published with."""


class MapName(StrEnum):
    """The chaotic map: logistic and Lorenz are those of cipher A, the hyperchaotic Lorenz system is that of cipher B."""

    LOGISTIC = "logistic"
    LORENZ = "lorenz"
    HYPERLORENZ_DNA = "hyperlorenz-dna"


class Quantiser(StrEnum):
    """How states of cipher B's map become bytes: as published, one byte each, or four bytes each."""

    PAPER = "paper"
    WIDE = "wide"


class NetworkName(StrEnum):
    """The parameter network."""

    MOBILENETV2 = "mobilenetv2"
    RESNET18 = "resnet18"


class FeatureNetworkName(StrEnum):
    """The feature network."""

    VGG16 = "vgg16"


class Domain(StrEnum):
    """What the cipher's sample matrix is made of: the file's exact bytes, or the decoded pixels."""

    FILE = "file"
    PIXELS = "pixels"


class KeyFileMode(StrEnum):
    """How the key file travels: regenerated from the secret, or as xindex, yindex, zkey in full."""

    COMPACT = "compact"
    EXPLICIT = "explicit"


class CaptureSource(StrEnum):
    """Where a capture time was read. Recorded with each image, because it says how far to trust the time."""

    OPERATOR = "operator"
    SIDECAR = "sidecar"
    EXIF_ORIGINAL = "exif_original"
    EXIF_DIGITIZED = "exif_digitized"
    EXIF_DATETIME = "exif_datetime"
    DICOM_ACQUISITION = "dicom_acquisition"
    DICOM_CONTENT = "dicom_content"
    DICOM_SERIES = "dicom_series"
    DICOM_STUDY = "dicom_study"
    MTIME = "mtime"
    CLOCK = "clock"


@dataclass(frozen=True, slots=True)
class SettledFile:
    """A file that stood still for two looks. `inode`, `device`, `size` and `mtime_ns` identify this very content."""

    path: Path
    relative: str
    size: int
    mtime_ns: int
    inode: int
    device: int


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When the image was taken: naive where the source names no zone, with microseconds where it gives a fraction."""

    moment: datetime
    source: CaptureSource


@dataclass(frozen=True, slots=True)
class Scan:
    """What intake knows of one settled image: its hash, its kind, and when it was taken. `notes` name oddities by code."""

    file: SettledFile
    sha256: bytes
    media_type: str
    capture: CaptureTime
    camera: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MetadataRecord:
    """The canonical metadata a network sees. `camera` is make and model; sizes are 0 where unknown."""

    moment: datetime
    camera: str
    width: int
    height: int
    size: int


@dataclass(frozen=True, slots=True)
class MetadataImage:
    """A metadata record drawn as an image: uint8 (224, 224, 3)."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class NetworkOutputs:
    """The quantised outputs of a parameter network and what produced them.

    `values` are the 64 raw output bytes; `profile` names the runtime's numeric profile (networks differ bit for bit
    between runtimes); `model_sha256` is the hash of the very file that ran.
    """

    values: bytes
    network: NetworkName
    model_sha256: bytes
    profile: str


@dataclass(frozen=True, slots=True)
class Picture:
    """An image made ready for the feature network: uint8 (224, 224, 3)."""

    pixels: NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class FeatureVector:
    """The deep features of an image and what produced them.

    `values` are 1000 signed bytes, each 128 times a feature in [-1, 1); the rest is as for `NetworkOutputs`.
    """

    values: bytes
    network: FeatureNetworkName
    model_sha256: bytes
    profile: str


@dataclass(frozen=True, slots=True)
class ChaosParameters:
    """What an image's chaotic map starts from: (r,) for logistic, (sigma, rho, beta) for Lorenz.

    For the hyperchaotic Lorenz system it is the private key (x1, x2, x3, x4, v1, v2); `pattern` is V_B, 125 bytes, and
    `quantiser` says how states become bytes. `origin` says where a network's share came from, which is the parameters of
    cipher A and V_B of cipher B: "network", or "secret" where no network could be used. All of it travels inside the
    envelope; nobody derives it again.
    """

    map: MapName
    values: tuple[float, ...]
    origin: str
    network: NetworkName | FeatureNetworkName | None = None
    model_sha256: bytes | None = None
    profile: str = ""
    pattern: bytes = b""
    quantiser: Quantiser | None = None


@dataclass(frozen=True, slots=True)
class PixelImage:
    """What a raw C-order, little-endian dump of pixels holds: `shape` is (frames, rows, columns, channels).

    `side` keeps, byte for byte, what belongs beside the pixels: EXIF, ICC profile, palette, DICOM header.
    """

    shape: tuple[int, int, int, int]
    dtype: str
    photometric: str
    side: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """The dump's length in bytes."""
        frames, rows, columns, channels = self.shape
        return frames * rows * columns * channels * int(self.dtype[1:])


@dataclass(frozen=True, slots=True)
class CipherImage:
    """What must be known to decipher: parameters, layout (bytes, columns, bytes a sample), domain, key file.

    `secret` is None where the key file is explicit: then the key file is all that deciphers.
    """

    parameters: ChaosParameters
    layout: tuple[int, int, int]
    domain: Domain
    key_file: KeyFileMode
    secret: bytes | None
