"""Every way of enciphering that is compared: the product's, the same maps without a network, and AES as the control.

The rule kept here: a way enciphers samples and nothing else, without the sealing around it, so that what is measured is the
image cipher itself. It is the product's own code that runs.
"""

from __future__ import annotations

import io
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from types import MappingProxyType
from typing import Any, Final, TypeAlias

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from edge.chaos import cipher
from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_features, parameters_from_outputs
from edge.features import pattern_from_features
from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.metadata_image import metadata_image
from edge.picture import prepare
from edge.protocol import SECRET_BYTES
from edge.records import ChaosParameters, MapName, MetadataRecord, NetworkName, Picture, Quantiser

Image: TypeAlias = NDArray[Any]

CONTROL: Final = "aes-256-ctr"
"""The way that is no chaotic cipher: what passes for it passes for any good cipher."""

BARE_VALUES: Final[Mapping[MapName, tuple[float, ...]]] = MappingProxyType(
    {MapName.LOGISTIC: (3.99995,), MapName.LORENZ: (10.0, 36.0, 8.0 / 3.0)}
)
"""What a map starts from without a network: one fixed choice within its ranges. At rho = 28 (Lorenz 1963)
some lanes take too long to let go of an equilibrium, so the cipher refuses it."""


@dataclass(frozen=True, slots=True)
class Key:
    """What one image is enciphered with. To AES the secret is the key."""

    secret: bytes
    parameters: ChaosParameters | None = None


@dataclass(frozen=True, slots=True)
class Way:
    """One way: its name, and how the parameters of an image's chaotic map come about; None for AES."""

    name: str
    derive: Callable[[Image, datetime, bytes], ChaosParameters] | None

    def key(self, image: Image, moment: datetime, secret: bytes | None = None) -> Key:
        """Make the key of an image.

        Args:
            image: Its samples, uint8 or uint16, (rows, columns) or (rows, columns, 3).
            moment: When it was taken.
            secret: Its secret, 32 bytes; fresh random bytes where there is none, as the product insists.
        """
        chosen = secrets.token_bytes(SECRET_BYTES) if secret is None else secret
        return Key(chosen, self.derive(image, moment, chosen) if self.derive else None)

    def encipher(self, image: Image, key: Key) -> Image:
        """Return the cipher image: as many samples of the same type and shape."""
        return self._run(image, key, cipher.encipher)

    def decipher(self, image: Image, key: Key) -> Image:
        """Return the plain image."""
        return self._run(image, key, cipher.decipher)

    def _run(self, image: Image, key: Key, direction: Callable[..., Any]) -> Image:
        plain = np.ascontiguousarray(image).tobytes()
        if key.parameters is None:
            # A fresh key for each image: no counter is used twice, wherever it begins.
            stream = Cipher(algorithms.AES256(key.secret), modes.CTR(bytes(16))).encryptor()
            made = stream.update(plain) + stream.finalize()
        else:
            pieces = direction(io.BytesIO(plain), layout_of(image), key.parameters, key.secret)
            made = b"".join(bytes(piece) for piece in pieces)
        return np.frombuffer(made, image.dtype).reshape(image.shape)


def layout_of(image: Image) -> Layout:
    """Return the sample matrix of an image: a pixel is a sample, as with `domain = "pixels"`."""
    rows, columns, *channels = image.shape
    return Layout.for_pixels((1, rows, columns, channels[0] if channels else 1), image.itemsize)


def record_of(image: Image, moment: datetime) -> MetadataRecord:
    """Return what a parameter network reads of an image."""
    return MetadataRecord(moment, "", image.shape[1], image.shape[0], image.nbytes)


def ways() -> tuple[Way, ...]:
    """Return all ways, the control last."""
    networked = [
        Way(f"{chaotic_map.value} {network.value}", _networked(chaotic_map, network))
        for chaotic_map in (MapName.LOGISTIC, MapName.LORENZ)
        for network in NetworkName
    ]
    bare = [Way(f"{chaotic_map.value} bare", _bare(chaotic_map)) for chaotic_map in BARE_VALUES]
    hyper = [Way(f"{MapName.HYPERLORENZ_DNA.value} {quantiser.value}", _hyper(quantiser)) for quantiser in Quantiser]
    return (*networked, *bare, *hyper, Way(CONTROL, None))


def _networked(chaotic_map: MapName, network: NetworkName) -> Callable[[Image, datetime, bytes], ChaosParameters]:
    def derive(image: Image, moment: datetime, _secret: bytes) -> ChaosParameters:
        outputs = _parameter_network(network).outputs(metadata_image(record_of(image, moment)))
        return parameters_from_outputs(chaotic_map, outputs)

    return derive


def _bare(chaotic_map: MapName) -> Callable[[Image, datetime, bytes], ChaosParameters]:
    def derive(_image: Image, _moment: datetime, _secret: bytes) -> ChaosParameters:
        return ChaosParameters(map=chaotic_map, values=BARE_VALUES[chaotic_map], origin="secret")

    return derive


def _hyper(quantiser: Quantiser) -> Callable[[Image, datetime, bytes], ChaosParameters]:
    def derive(image: Image, _moment: datetime, secret: bytes) -> ChaosParameters:
        features = _feature_network().features(Picture(prepare(image)))
        return parameters_from_features(features, pattern_from_features(features.values), secret, quantiser)

    return derive


@cache
def _parameter_network(name: NetworkName) -> ParameterNetwork:
    return ParameterNetwork.load(name)


@cache
def _feature_network() -> FeatureNetwork:
    return FeatureNetwork.load()
