"""From what is known of a scan to what its cipher starts from: the parameter network, the feature network, the secret.

The rule kept here: a network that is missing, altered or failing costs variety, never an image. What it would have given
then comes from the image's secret; the image says so, and an alarm stands until the network works again.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final, Generic, Protocol, TypeVar

from edge.chaos.parameters import parameters_from_features, parameters_from_outputs, parameters_from_secret
from edge.errors import ModelError, PixelsUnavailable
from edge.features import pattern_from_features
from edge.intake.pixels import PixelReader
from edge.metadata_image import metadata_image
from edge.records import (
    ChaosParameters,
    FeatureVector,
    MapName,
    MetadataImage,
    MetadataRecord,
    NetworkOutputs,
    Picture,
    Quantiser,
    Scan,
)

_LOG = logging.getLogger(__name__)

NOTE_NO_NETWORK: Final = "parameters-from-secret"
NOTE_NO_FEATURES: Final = "features-unavailable"
ALARM_PARAMETERS: Final = "parameter-network-unusable"
ALARM_FEATURES: Final = "feature-network-unusable"


class ParameterSource(Protocol):
    """Something that turns a metadata image into 64 output bytes."""

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Run the network once."""
        ...


class FeatureSource(Protocol):
    """Something that turns a picture into 1000 features."""

    def features(self, picture: Picture) -> FeatureVector:
        """Run the network once."""
        ...


@dataclass(frozen=True, slots=True)
class Derived:
    """What an image's cipher starts from, the features that travel with it, what was odd, by code, and what it took."""

    parameters: ChaosParameters
    features: FeatureVector | None = None
    notes: tuple[str, ...] = ()
    seconds: float = field(default=0.0, compare=False)


_Network = TypeVar("_Network")
_Result = TypeVar("_Result")


class _Ward(Generic[_Network]):
    """A network that may fail: loaded once, when it is first needed, and watched."""

    def __init__(self, load: Callable[[], _Network], alarm: str) -> None:
        self._load = load
        self._alarm = alarm
        self._network: _Network | None = None
        self._missing = False
        self.failing = False

    def load(self) -> None:
        """Load the network now, so that an alarm comes at once and not with the first image."""
        self.ask(lambda _: True)

    def ask(self, question: Callable[[_Network], _Result]) -> _Result | None:
        """Return the network's answer, None where it has none."""
        try:
            if self._network is None and not self._missing:
                # A file that is not right will not become so: it is tried once.
                self._missing = True
                self._network = self._load()
                self._missing = False
            if self._network is None:
                return None
            answer = question(self._network)
        except ModelError as error:
            self.failing = True
            _LOG.error("%s: what it gives comes from each image's secret; %s", self._alarm, error.message)
            return None
        self.failing = False
        return answer


class Deriver:
    """Derives what images' ciphers start from, one after the other. Threads may share it."""

    def __init__(
        self,
        *,
        chaotic_map: MapName,
        quantiser: Quantiser,
        features: bool,
        load_parameters: Callable[[], ParameterSource],
        load_features: Callable[[], FeatureSource],
        pixels: PixelReader | None = None,
    ) -> None:
        """Keep what all images share.

        Args:
            chaotic_map: the map, and with it the cipher.
            quantiser: of the hyperchaotic map.
            features: whether features travel with images of cipher A too.
            load_parameters: loads the parameter network.
            load_features: loads the feature network.
            pixels: decodes pictures within limits; needed for features.
        """
        self._map = chaotic_map
        self._quantiser = quantiser
        self._hyper = chaotic_map is MapName.HYPERLORENZ_DNA
        self._parameter_network = _Ward(load_parameters, ALARM_PARAMETERS)
        self._feature_network = _Ward(load_features, ALARM_FEATURES)
        self._pixels = pixels if features or self._hyper else None
        self._lock = threading.Lock()

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the codes of what does not work now."""
        wards = ((self._parameter_network, ALARM_PARAMETERS), (self._feature_network, ALARM_FEATURES))
        return tuple(alarm for ward, alarm in wards if ward.failing)

    def load(self) -> None:
        """Load the networks that images will need."""
        with self._lock:
            if not self._hyper:
                self._parameter_network.load()
            if self._pixels is not None:
                self._feature_network.load()

    def derive(self, scan: Scan, secret: bytes) -> Derived:
        """Return what an image's cipher starts from."""
        with self._lock:
            start = time.perf_counter()
            derived = self._derive(scan, secret)
            return replace(derived, seconds=time.perf_counter() - start)

    def _derive(self, scan: Scan, secret: bytes) -> Derived:
        features = self._features(scan)
        notes = (NOTE_NO_FEATURES,) if features is None and self._pixels is not None else ()
        if self._hyper:
            return Derived(self._hyper_parameters(features, secret), features, notes)
        record = MetadataRecord(scan.capture.moment, scan.camera, scan.width, scan.height, scan.file.size)
        outputs = self._parameter_network.ask(lambda network: network.outputs(metadata_image(record)))
        if outputs is None:
            return Derived(parameters_from_secret(self._map, secret), features, (*notes, NOTE_NO_NETWORK))
        return Derived(parameters_from_outputs(self._map, outputs), features, notes)

    def _hyper_parameters(self, features: FeatureVector | None, secret: bytes) -> ChaosParameters:
        if features is None:
            return parameters_from_secret(self._map, secret, quantiser=self._quantiser)
        return parameters_from_features(features, pattern_from_features(features.values), secret, self._quantiser)

    def _features(self, scan: Scan) -> FeatureVector | None:
        if self._pixels is None:
            return None
        try:
            picture = self._pixels.picture(scan.file)
        except PixelsUnavailable as error:
            _LOG.warning("no features, the image cannot be decoded: %s", error.message)
            return None
        return self._feature_network.ask(lambda network: network.features(picture))
