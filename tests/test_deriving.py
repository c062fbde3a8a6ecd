"""What an image's cipher starts from: the networks' where they can be had, the secret's where not, and it is said."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from edge.chaos.parameters import check, parameters_from_secret
from edge.deriving import ALARM_FEATURES, ALARM_PARAMETERS, Deriver
from edge.errors import ModelFailed, ModelMissing
from edge.features import pattern_from_features
from edge.intake.pixels import PixelReader
from edge.records import CaptureSource, CaptureTime, MapName, Quantiser, Scan, SettledFile
from tests.world import SteadyFeatures, SteadyNetwork

SECRET = bytes(range(32))
OTHER = bytes(32)


@pytest.fixture(scope="module")
def pixels() -> Iterator[PixelReader]:
    """One worker for all tests."""
    with PixelReader() as reader:
        yield reader


@pytest.fixture(scope="module")
def scan(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan that can be decoded."""
    path = tmp_path_factory.mktemp("scans") / "secret-name.png"
    Image.linear_gradient("L").save(path)
    return scan_of(path)


@pytest.fixture(scope="module")
def opaque(tmp_path_factory: pytest.TempPathFactory) -> Scan:
    """A scan that no decoder here opens."""
    path = tmp_path_factory.mktemp("scans") / "secret-name.bin"
    path.write_bytes(b"no image" * 100)
    return scan_of(path)


def scan_of(path: Path) -> Scan:
    status = path.stat()
    file = SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
    capture = CaptureTime(datetime(2026, 3, 14, 15, 9, 26, tzinfo=UTC), CaptureSource.MTIME)
    return Scan(file, bytes(32), "image/png", capture)


def deriver(chaotic_map=MapName.LOGISTIC, *, features=False, pixels=None, parameters=SteadyNetwork, vgg=SteadyFeatures):
    return Deriver(
        chaotic_map=chaotic_map,
        quantiser=Quantiser.PAPER,
        features=features,
        load_parameters=parameters,
        load_features=vgg,
        pixels=pixels,
    )


def missing() -> SteadyNetwork:
    raise ModelMissing("the file of the network cannot be read")


class Moody:
    """A network that fails when it is told to."""

    def __init__(self) -> None:
        self.loads = 0
        self.broken = False

    def load(self) -> Moody:
        self.loads += 1
        return self

    def outputs(self, image):
        if self.broken:
            raise ModelFailed("the model runtime failed")
        return SteadyNetwork().outputs(image)

    def features(self, picture):
        if self.broken:
            raise ModelFailed("the model runtime failed")
        return SteadyFeatures().features(picture)


@pytest.mark.parametrize("chaotic_map", [MapName.LOGISTIC, MapName.LORENZ])
def test_parameters_of_cipher_a_follow_from_the_metadata_alone(chaotic_map, scan):
    one, other = (deriver(chaotic_map).derive(scan, secret) for secret in (SECRET, OTHER))
    check(one.parameters)
    assert one == other
    assert (one.parameters.map, one.parameters.origin, one.features, one.notes) == (chaotic_map, "network", None, ())


def test_cipher_b_takes_its_bits_from_the_image_and_its_key_from_the_secret(scan, pixels):
    b = deriver(MapName.HYPERLORENZ_DNA, pixels=pixels, parameters=missing)
    one, other = (b.derive(scan, secret) for secret in (SECRET, OTHER))
    check(one.parameters)
    assert one.features == other.features
    assert one.parameters.pattern == other.parameters.pattern == pattern_from_features(one.features.values)
    assert one.parameters.values != other.parameters.values
    assert (one.parameters.origin, one.parameters.quantiser, one.notes) == ("network", Quantiser.PAPER, ())
    assert b.alarms == ()


def test_features_travel_with_cipher_a_when_they_are_wanted(scan, pixels):
    found = deriver(features=True, pixels=pixels).derive(scan, SECRET)
    assert found.features is not None
    assert found.parameters == deriver().derive(scan, SECRET).parameters
    assert deriver(pixels=pixels).derive(scan, SECRET).features is None


def test_an_image_that_cannot_be_decoded_takes_its_bits_from_the_secret_without_alarm(opaque, pixels, caplog):
    b = deriver(MapName.HYPERLORENZ_DNA, pixels=pixels)
    found = b.derive(opaque, SECRET)
    assert found.parameters == parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET, quantiser=Quantiser.PAPER)
    assert (found.features, found.notes, b.alarms) == (None, ("features-unavailable",), ())
    assert "secret-name" not in caplog.text


def test_a_missing_parameter_network_stops_no_image_and_raises_an_alarm(scan, caplog):
    a = deriver(MapName.LORENZ, parameters=missing)
    found = a.derive(scan, SECRET)
    assert found.parameters == parameters_from_secret(MapName.LORENZ, SECRET)
    assert found.notes == ("parameters-from-secret",)
    assert a.alarms == (ALARM_PARAMETERS,)
    assert ALARM_PARAMETERS in caplog.text


def test_a_missing_feature_network_stops_no_image_and_raises_an_alarm(scan, pixels):
    b = deriver(MapName.HYPERLORENZ_DNA, pixels=pixels, vgg=missing)
    found = b.derive(scan, SECRET)
    assert found.parameters.origin == "secret"
    assert found.notes == ("features-unavailable",)
    assert b.alarms == (ALARM_FEATURES,)
    a = deriver(features=True, pixels=pixels, vgg=missing)
    assert a.derive(scan, SECRET).parameters.origin == "network"
    assert a.alarms == (ALARM_FEATURES,)


def test_a_network_is_loaded_once_even_where_it_is_missing(scan, caplog):
    moody = Moody()
    a = deriver(parameters=moody.load)
    for _ in range(3):
        a.derive(scan, SECRET)
    assert moody.loads == 1
    loads = []

    def absent():
        loads.append(1)
        raise ModelMissing("the file of the network cannot be read")

    with caplog.at_level(logging.ERROR):
        b = deriver(parameters=absent)
        for _ in range(3):
            b.derive(scan, SECRET)
    assert len(loads) == 1
    assert len(caplog.records) == 1


def test_the_alarm_ends_when_the_network_works_again(scan):
    moody = Moody()
    a = deriver(parameters=moody.load)
    assert a.derive(scan, SECRET).parameters.origin == "network"
    moody.broken = True
    assert a.derive(scan, SECRET).parameters.origin == "secret"
    assert a.alarms == (ALARM_PARAMETERS,)
    moody.broken = False
    assert a.derive(scan, SECRET).parameters.origin == "network"
    assert a.alarms == ()


def test_loading_beforehand_raises_the_alarm_before_the_first_image(pixels):
    a = deriver(parameters=missing, vgg=missing)
    a.load()
    assert a.alarms == (ALARM_PARAMETERS,)
    b = deriver(MapName.HYPERLORENZ_DNA, pixels=pixels, parameters=missing, vgg=missing)
    b.load()
    assert b.alarms == (ALARM_FEATURES,)
    good = deriver(features=True, pixels=pixels)
    good.load()
    assert good.alarms == ()


def test_a_record_that_cannot_be_drawn_costs_the_network_and_not_the_image(scan):
    huge = Scan(scan.file, scan.sha256, scan.media_type, scan.capture, width=10**7)
    a = deriver()
    assert a.derive(huge, SECRET).notes == ("parameters-from-secret",)
    assert a.derive(scan, SECRET).notes == ()
