"""Every good real image goes the whole way, through mosquitto, in every way and both domains, and comes back."""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread

from edge.errors import PixelsUnavailable
from edge.intake.pixels import PixelLimits, PixelReader
from edge.records import SettledFile
from tests.integration.ends import DEVICES, Ends

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

# Map, the network behind it, and what chooses it on the command line.
WAYS = [
    *(
        (map_name, network, ("--network", network))
        for map_name in ("logistic", "lorenz")
        for network in ("mobilenetv2", "resnet18")
    ),
    *(("hyperlorenz-dna", "vgg16", ("--quantiser", quantiser)) for quantiser in ("paper", "wide")),
]
FILE_DEVICES = (*DEVICES[:4], *DEVICES[12:14])
PIXEL_DEVICES = (*DEVICES[4:8], *DEVICES[14:16])
KEY_FILES = ("compact", "explicit", "explicit", "compact", "compact", "explicit")


@dataclass(frozen=True)
class Pixels:
    """The samples of an image as decoded here: (frames, rows, columns, channels), their type, and their hash."""

    shape: tuple[int, int, int, int]
    dtype: str
    sha256: str


@pytest.fixture(scope="module")
def good_images(shared_images: Path) -> dict[str, Path]:
    """The real images that open, by name."""
    kinds = {".jpg", ".png", ".tif", ".dcm"}
    return {path.name: path for path in sorted(shared_images.iterdir()) if path.suffix in kinds}


@pytest.fixture(scope="module")
def pixels(good_images: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Pixels]:
    """The samples of every real image whose pixels decode."""
    found = {}
    reader = PixelReader(PixelLimits())
    for name, path in good_images.items():
        details = path.stat()
        file = SettledFile(path, name, details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
        dump = tmp_path_factory.mktemp("pixels") / "dump"
        try:
            image = reader.decode(file, dump)
        except PixelsUnavailable:
            continue
        found[name] = Pixels(image.shape, image.dtype, hashlib.sha256(dump.read_bytes()).hexdigest())
        dump.unlink()
    reader.close()
    return found


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_every_good_image_returns_byte_identical_in_file_domain(
    ends: Ends, good_images: dict[str, Path], tmp_path: Path, number: int
) -> None:
    (map_name, network, chosen), key_file = WAYS[number], KEY_FILES[number]
    device = FILE_DEVICES[number]

    done = ends.carry(device, _scans(tmp_path, good_images), "--map", map_name, *chosen, "--key-file", key_file)

    assert done.code == 0, done.err
    delivered = ends.delivered(device)
    assert set(delivered) == set(good_images)
    for name, (place, about) in delivered.items():
        assert place.read_bytes() == good_images[name].read_bytes(), name
        assert (about["map"], about["domain"], about["key_file"]) == (map_name, "file", key_file)
        _assert_parameters_came_from(network, about)
    assert {entry["state"] for entry in ends.queue(device).values()} == {"disposed"}


@pytest.mark.parametrize("number", range(len(WAYS)))
def test_every_good_image_returns_pixel_identical_in_pixels_domain(
    ends: Ends, good_images: dict[str, Path], pixels: dict[str, Pixels], tmp_path: Path, number: int
) -> None:
    (map_name, _, chosen), key_file = WAYS[number], KEY_FILES[-1 - number]
    device = PIXEL_DEVICES[number]
    choices = ("--map", map_name, *chosen, "--key-file", key_file, "--domain", "pixels")

    done = ends.carry(device, _scans(tmp_path, good_images), *choices)

    assert done.code == 0, done.err
    delivered = ends.delivered(device)
    assert set(delivered) == set(good_images)
    assert {name for name, (_, about) in delivered.items() if about["domain"] == "pixels"} == set(pixels)
    for name, (place, about) in delivered.items():
        if name in pixels:
            assert about["pixels"]["shape"] == list(pixels[name].shape)
            assert _samples(place) == (pixels[name].dtype, pixels[name].sha256), name
        else:
            assert "pixels-unavailable" in about["notes"], name
            assert place.read_bytes() == good_images[name].read_bytes(), name


def test_pixels_are_those_that_other_decoders_see(ends: Ends, good_images: dict[str, Path]) -> None:
    # Runs after the test above, on what its first device delivered.
    delivered = ends.delivered(PIXEL_DEVICES[0])
    if not delivered:
        pytest.skip("the images of the pixels domain were not carried in this run")
    for name in ("cxr_nih_00000001_000.png", "fundus_rfmid.png", "mode_rgba.png", "cxr_pneumonia_cc0_noexif.jpg"):
        with Image.open(good_images[name]) as original, Image.open(delivered[name][0]) as stored:
            np.testing.assert_array_equal(np.asarray(stored), np.asarray(original))
    for name in ("ct_small_explicit-le.dcm", "ct_enhanced_2frame.dcm", "cxr_cr-mono1_10bit.dcm"):
        original_samples = dcmread(good_images[name]).pixel_array
        stored_samples = np.asarray(_array(delivered[name][0]))
        np.testing.assert_array_equal(stored_samples.reshape(original_samples.shape), original_samples)


def _scans(folder: Path, images: dict[str, Path]) -> Path:
    scans = folder / "scans"
    scans.mkdir()
    for name, path in images.items():
        shutil.copyfile(path, scans / name)
    return scans


def _assert_parameters_came_from(network: str, about: dict[str, Any]) -> None:
    if network == "vgg16":
        assert (about["parameters_from"], about["network"], about["feature_network"]) == ("network", network, network)
    else:
        assert (about["parameters_from"], about["network"], about["feature_network"]) == ("network", network, None)


def _array(place: Path) -> NDArray[Any]:
    if place.suffix == ".npy":
        stored: NDArray[Any] = np.load(place, allow_pickle=False)
        return stored
    with Image.open(place) as image:
        return np.asarray(image)


def _samples(place: Path) -> tuple[str, str]:
    array = _array(place)
    if array.dtype == np.bool_:
        array = array.astype("u1")
    return array.dtype.str[1:], hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
