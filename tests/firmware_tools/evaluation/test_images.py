"""Files become samples without the loss of a bit, as the product decodes them, and what is no image is named with its reason."""

from __future__ import annotations

import zlib
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pydicom
import pytest
import tifffile
from PIL import Image as Pillow

from edge.errors import UsageError
from firmware_tools.evaluation.example import write_images
from firmware_tools.evaluation.images import Sample, read_images

GRAY = (np.add.outer(np.arange(300), np.arange(260)) // 3).astype(np.uint8)


def deep_colour() -> np.ndarray:
    """Return 16-bit colour in which every bit counts."""
    return np.random.default_rng(5).integers(0, 65536, (50, 70, 3), np.uint16)


def read(*paths: Path) -> tuple[dict[str, Sample], dict[str, str]]:
    """Return what was read by name, and why the others were not."""
    found = list(read_images(paths))
    samples = {each.name: each for each in found if isinstance(each, Sample)}
    return samples, dict(each for each in found if not isinstance(each, Sample))


def test_files_are_read_as_they_are_and_what_is_no_image_is_named_with_its_reason(tmp_path: Path) -> None:
    colour = np.stack([GRAY, GRAY.T[:260, :300].repeat(2, axis=0)[:300, :260], 255 - GRAY], axis=2)
    deep = (GRAY.astype(np.uint16) * 251).astype(np.uint16)
    clear = np.dstack([colour, GRAY])
    for name, samples in (
        ("a.png", GRAY),
        ("b.png", colour),
        ("c.png", deep),
        ("d.png", clear),
        ("e.png", GRAY[:8, :8]),
    ):
        Pillow.fromarray(samples).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("no image")
    (tmp_path / "cut.png").write_bytes((tmp_path / "a.png").read_bytes()[:-20])
    samples, reasons = read(tmp_path)
    assert samples.keys() == {"a.png", "b.png", "c.png"}
    for name, expected in (("a.png", GRAY), ("b.png", colour), ("c.png", deep)):
        assert samples[name].samples.dtype == expected.dtype
        assert np.array_equal(samples[name].samples, expected)
        assert samples[name].decoded
    assert reasons.keys() == {"d.png", "e.png", "notes.txt", "cut.png"}
    assert reasons["d.png"] == "of 4 channels (rgba); only grey and three colours are evaluated"
    assert "less than 32 pixels" in reasons["e.png"]
    assert read(tmp_path / "b.png")[0].keys() == {"b.png"}
    with pytest.raises(UsageError):
        read(tmp_path / "gone.png")


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"byteorder": ">"},
        {"compression": "zlib", "predictor": False},
        {"planarconfig": "separate"},
        {"tile": (32, 32)},
        {"bigtiff": True},
    ],
)
def test_a_tiff_with_16_bit_colour_loses_no_bit(tmp_path: Path, form: dict) -> None:
    deep = deep_colour()
    stored = np.moveaxis(deep, 2, 0) if "planarconfig" in form else deep
    tifffile.imwrite(tmp_path / "deep.tif", stored, photometric="rgb", **form)
    sample = read(tmp_path)[0]["deep.tif"]
    assert sample.samples.dtype == np.uint16
    assert sample.samples.flags.c_contiguous
    assert np.array_equal(sample.samples, deep)
    assert not sample.decoded


def test_a_tiff_that_cannot_be_read_whole_is_left_out(tmp_path: Path) -> None:
    deep = deep_colour()
    tifffile.imwrite(tmp_path / "a.tif", deep, photometric="rgb", compression="zlib")
    whole = (tmp_path / "a.tif").read_bytes()
    with tifffile.TiffFile(tmp_path / "a.tif") as tiff:
        start = tiff.pages.first.dataoffsets[0]
    (tmp_path / "a.tif").write_bytes(whole[: start + 50] + bytes(200) + whole[start + 250 :])
    tifffile.imwrite(
        tmp_path / "b.tif", np.dstack([deep, deep[..., :1]]), photometric="rgb", extrasamples=["unassalpha"]
    )
    tifffile.imwrite(tmp_path / "c.tif", deep[:20], photometric="rgb")
    samples, reasons = read(tmp_path)
    assert not samples
    assert reasons["a.tif"] == "tifffile cannot read these samples of 16-bit colour"
    assert "less than 32 pixels" in reasons["c.tif"]
    assert "b.tif" in reasons


def test_the_real_tiff_with_16_bit_colour_has_the_bits_that_its_tile_has(shared_images: Path) -> None:
    path = shared_images / "mode_rgb16.tif"
    sample = read(path)[0]["mode_rgb16.tif"]
    # One tile of 256 x 256 pixels, deflated, from byte 293 on, as its tags say.
    tile = np.frombuffer(zlib.decompress(path.read_bytes()[293 : 293 + 23952]), "<u2").reshape(256, 256, 3)
    assert np.array_equal(sample.samples, tile[:40, :100])
    assert len(np.unique(sample.samples & 255)) == 256  # what Pillow would drop


def test_the_examples_phantom_of_16_bit_colour_is_one_all_through(tmp_path: Path) -> None:
    path = write_images(tmp_path)[-1]
    sample = read(path)[0][path.name]
    assert (sample.samples.shape, sample.samples.dtype, sample.decoded) == ((1400, 1400, 3), np.uint16, True)
    assert np.array_equal(sample.samples, pydicom.dcmread(path).pixel_array)
    assert sample.moment == datetime(2025, 3, 12, 9, 41, 5, 250000, timezone(timedelta(hours=1)))
    # Not 8 bits stretched: of those there would be 256 values at most.
    assert len(np.unique(sample.samples)) > 50_000
    again = write_images(tmp_path / "again")[-1]
    assert again.read_bytes() == path.read_bytes()


def test_signed_samples_keep_their_order(tmp_path: Path) -> None:
    dataset = pydicom.dcmread(write_images(tmp_path)[-1])
    stored = np.arange(-2000, 1600, dtype=np.int16).reshape(60, 60)
    dataset.Rows, dataset.Columns = stored.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation, dataset.PixelRepresentation = 1, "MONOCHROME2", 1
    del dataset.PlanarConfiguration
    dataset.PixelData = stored.tobytes()
    dataset.save_as(tmp_path / "ct.dcm")
    samples = read(tmp_path / "ct.dcm")[0]["ct.dcm"].samples
    assert samples.dtype == np.uint16
    assert np.array_equal(samples.astype(np.int64), stored.astype(np.int64) + 32768)
