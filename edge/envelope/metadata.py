"""The metadata map: the first item of the plaintext, which tells the receiver what the cipher image is (PROTOCOL.md, 2.4).

Everything in it is patient data or secret: it exists in the clear only inside the two ends.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from math import isfinite
from typing import Any, Final

from edge import protocol
from edge.envelope import wire
from edge.errors import MalformedEnvelope
from edge.records import (
    CaptureSource,
    CaptureTime,
    ChaosParameters,
    CipherImage,
    Domain,
    FeatureNetworkName,
    FeatureVector,
    KeyFileMode,
    MapName,
    NetworkName,
    PixelImage,
    Quantiser,
)

CIPHER_A: Final = "cipher-a/1"
CIPHER_B: Final = "cipher-b/1"
_NAME_MAX: Final = 1024
_FOLDER_MAX: Final = 8192
_PARAMETER_COUNT: Final = {MapName.LOGISTIC: 1, MapName.LORENZ: 3, MapName.HYPERLORENZ_DNA: 6}
_REQUIRED: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 10, 11, 12, 13})
_OPTIONAL: Final = frozenset({8, 9, 14})
_DTYPES: Final = frozenset({"u1", "i1", "u2", "i2", "u4", "i4", "f4", "f8"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Metadata:
    """What is known of one image. `name` and `folder` are raw bytes of the file system, never to be used as a path."""

    name: bytes
    folder: bytes
    media_type: str
    size: int
    sha256: bytes
    mtime_ns: int
    capture: CaptureTime
    cipher: CipherImage
    camera: str = ""
    width: int = 0
    height: int = 0
    notes: tuple[str, ...] = ()
    pixels: PixelImage | None = field(default=None)
    features: FeatureVector | None = field(default=None)


def encode(metadata: Metadata) -> bytes:
    """Return the metadata map as bytes, proved to be readable: what a receiver would refuse never leaves the device.

    Raises:
        MalformedEnvelope: it would be longer than METADATA_MAX_BYTES, or a field is over its limit.
    """
    cipher, parameters = metadata.cipher, metadata.cipher.parameters
    hyper = parameters.map is MapName.HYPERLORENZ_DNA
    described: dict[int, Any] = {
        1: CIPHER_B if hyper else CIPHER_A,
        2: parameters.map.value,
        3: struct.pack(f">{len(parameters.values)}d", *parameters.values),
        4: parameters.origin,
        5: list(cipher.layout),
        6: cipher.domain.value,
        7: cipher.key_file.value,
    }
    if cipher.secret is not None:
        described[8] = cipher.secret
    if hyper:
        described |= {9: parameters.pattern, 10: parameters.quantiser.value if parameters.quantiser else ""}
    value: dict[int, Any] = {
        1: metadata.name,
        2: metadata.media_type,
        3: metadata.size,
        4: metadata.sha256,
        5: metadata.mtime_ns,
        6: [metadata.capture.moment.isoformat(), metadata.capture.source.value],
        7: described,
        10: list(metadata.notes),
        11: metadata.camera,
        12: [metadata.width, metadata.height],
        13: metadata.folder,
    }
    if parameters.network is not None and parameters.model_sha256 is not None and not hyper:
        value[8] = [parameters.network.value, parameters.model_sha256, parameters.profile]
    if metadata.features is not None:
        features = metadata.features
        value[14] = [features.network.value, features.model_sha256, features.profile, features.values]
    if metadata.pixels is not None:
        pixels = metadata.pixels
        value[9] = {1: list(pixels.shape), 2: pixels.dtype, 3: pixels.photometric, 4: dict(pixels.side)}
    data = wire.encode(value)
    if len(data) > protocol.METADATA_MAX_BYTES:
        raise MalformedEnvelope("the metadata would be longer than its limit")
    decode(data)
    return data


def decode(data: bytes) -> Metadata:
    """Return the metadata in `data`, every field checked for type and range.

    Raises:
        MalformedEnvelope: anything else than PROTOCOL.md, 2.4, says.
    """
    value = wire.decode(data, limit=protocol.METADATA_MAX_BYTES)
    if not isinstance(value, Mapping) or not _REQUIRED <= set(value) <= _REQUIRED | _OPTIONAL:
        raise MalformedEnvelope("the metadata carries unknown labels or lacks known ones")
    try:
        return _decode(value)
    # A wrong type or value anywhere below ends here: unpacking, enumerations, dates and lengths all raise these.
    except (ValueError, TypeError, LookupError, AttributeError, struct.error) as error:
        raise MalformedEnvelope("the metadata is malformed") from error


def _decode(value: Mapping[Any, Any]) -> Metadata:
    moment, source = _array(value[6])
    width, height = _array(value[12])
    features = _features(value[14]) if 14 in value else None
    return Metadata(
        name=_bytes(value[1], 1, _NAME_MAX),
        folder=_bytes(value[13], 0, _FOLDER_MAX),
        media_type=_text(value[2]),
        size=_number(value[3], protocol.IMAGE_MAX_BYTES),
        sha256=_digest(value[4]),
        mtime_ns=_number(value[5], 2**63 - 1, low=-(2**63)),
        capture=CaptureTime(_moment(moment), CaptureSource(source)),
        cipher=_cipher(value[7], _network(value[8]) if 8 in value else None, features),
        camera=_text(value[11]),
        width=_number(width, 2**32),
        height=_number(height, 2**32),
        notes=tuple(_text(note) for note in _array(value[10])),
        pixels=_pixels(value[9]) if 9 in value else None,
        features=features,
    )


def _network(value: Any) -> tuple[NetworkName, bytes, str]:
    name, sha256, profile = _array(value)
    return NetworkName(name), _digest(sha256), _text(profile)


def _features(value: Any) -> FeatureVector:
    name, sha256, profile, values = _array(value)
    return FeatureVector(
        network=FeatureNetworkName(name),
        model_sha256=_digest(sha256),
        profile=_text(profile),
        values=_bytes(values, protocol.FEATURES, protocol.FEATURES),
    )


def _cipher(
    value: Mapping[Any, Any], network: tuple[NetworkName, bytes, str] | None, features: FeatureVector | None
) -> CipherImage:
    key_file, map_name = KeyFileMode(value[7]), MapName(value[2])
    hyper = map_name is MapName.HYPERLORENZ_DNA
    expected = (
        {1, 2, 3, 4, 5, 6, 7} | ({8} if key_file is KeyFileMode.COMPACT else set()) | ({9, 10} if hyper else set())
    )
    if set(value) != expected or value[1] != (CIPHER_B if hyper else CIPHER_A):
        raise ValueError("cipher")
    size, width, sample = _array(value[5])
    return CipherImage(
        parameters=_hyper_parameters(value, network, features) if hyper else _parameters(value, map_name, network),
        layout=(_number(size, protocol.IMAGE_MAX_BYTES), _number(width, 2**40), _number(sample, 2**16)),
        domain=Domain(value[6]),
        key_file=key_file,
        secret=_bytes(value[8], protocol.SECRET_BYTES, protocol.SECRET_BYTES) if 8 in value else None,
    )


def _parameters(
    value: Mapping[Any, Any], map_name: MapName, network: tuple[NetworkName, bytes, str] | None
) -> ChaosParameters:
    name, model_sha256, profile = network or (None, None, "")
    return ChaosParameters(
        map=map_name,
        values=_doubles(value[3], _PARAMETER_COUNT[map_name]),
        origin=_origin(value[4]),
        network=name,
        model_sha256=model_sha256,
        profile=profile,
    )


def _hyper_parameters(
    value: Mapping[Any, Any], network: tuple[NetworkName, bytes, str] | None, features: FeatureVector | None
) -> ChaosParameters:
    # No parameter network has a part in cipher B; V_B comes from the features that travel, or from the secret.
    if network is not None or (_origin(value[4]) == "network") != (features is not None):
        raise ValueError("network")
    return ChaosParameters(
        map=MapName.HYPERLORENZ_DNA,
        values=_doubles(value[3], _PARAMETER_COUNT[MapName.HYPERLORENZ_DNA]),
        origin=_origin(value[4]),
        network=features.network if features else None,
        model_sha256=features.model_sha256 if features else None,
        profile=features.profile if features else "",
        pattern=_bytes(value[9], protocol.PATTERN_BYTES, protocol.PATTERN_BYTES),
        quantiser=Quantiser(value[10]),
    )


def _doubles(value: Any, count: int) -> tuple[float, ...]:
    values = struct.unpack(f">{count}d", value)
    if not all(isfinite(number) for number in values):
        raise ValueError("parameters")
    return values


def _origin(value: Any) -> str:
    if value not in ("network", "secret"):
        raise ValueError("origin")
    return str(value)


def _pixels(value: Mapping[Any, Any]) -> PixelImage:
    if set(value) != {1, 2, 3, 4} or value[2] not in _DTYPES:
        raise ValueError("pixels")
    frames, rows, columns, channels = (_number(length, 2**32, low=1) for length in _array(value[1]))
    side = {_text(name): _bytes(blob, 0, protocol.METADATA_MAX_BYTES) for name, blob in value[4].items()}
    return PixelImage((frames, rows, columns, channels), value[2], _text(value[3]), side)


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    # ISO 8601 has many ways to write one moment; a value has one encoding here.
    if moment.isoformat() != value:
        raise ValueError("moment")
    return moment


def _array(value: Any) -> list[Any] | tuple[Any, ...]:
    # Text and maps can be unpacked, too: letters would pass for notes, and labels for numbers.
    if not isinstance(value, list | tuple):
        raise TypeError("array")
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str) or len(value) > _NAME_MAX:
        raise ValueError("text")
    return value


def _bytes(value: Any, shortest: int, longest: int) -> bytes:
    if not isinstance(value, bytes) or not shortest <= len(value) <= longest:
        raise ValueError("bytes")
    return value


def _digest(value: Any) -> bytes:
    return _bytes(value, protocol.DIGEST_BYTES, protocol.DIGEST_BYTES)


def _number(value: Any, high: int, *, low: int = 0) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise ValueError("number")
    return value
