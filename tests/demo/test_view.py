"""A preview must show what is decodable, say what is not, and never fail on what a scanner may write."""

import random

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from pydicom.uid import DeflatedExplicitVRLittleEndian

from edge.demo.phantoms import PhantomKind, draw, pydicom_samples
from edge.demo.view import auto_window, byte_levels, correlation, entropy, look, matrix, window


def _saved(path, samples, **options):
    Image.fromarray(samples).save(path, **options)
    return path


def test_shows_gray_and_colour_as_they_are(tmp_path):
    gray = np.arange(256, dtype=np.uint8).reshape(16, 16)
    view = look(_saved(tmp_path / "a.png", gray))
    assert np.array_equal(view.picture, gray)
    assert view.levels.tolist() == [1] * 256
    assert (view.caption, view.decoded) == ("PNG, 16 x 16, gray", True)
    colour = look(_saved(tmp_path / "b.png", np.dstack([gray, gray, gray[::-1]])))
    assert colour.picture.shape == (16, 16, 3)


def test_shows_the_first_page_of_a_deep_tiff_and_counts_the_pages(tmp_path):
    first, second = (Image.fromarray(np.full((8, 9), v, dtype=np.uint16)) for v in (100, 60_000))
    first.save(tmp_path / "a.tif", save_all=True, append_images=[second])
    view = look(tmp_path / "a.tif")
    assert view.caption == "TIFF, 9 x 8, gray 16-bit, 2 frames"
    assert view.levels[0] == 72


def test_lays_transparency_over_white(tmp_path):
    view = look(_saved(tmp_path / "a.png", np.zeros((4, 4, 4), dtype=np.uint8)))
    assert view.picture.min() == 255


def test_windows_a_head_ct_for_the_brain():
    low, high = auto_window(draw(PhantomKind.HEAD_CT, 1))
    assert 1024 - 120 < low < 1024 + 10
    assert 1024 + 50 < high < 1024 + 180


def test_auto_window_survives_flat_samples():
    low, high = auto_window(np.full((4, 4), 9, dtype=np.uint16))
    assert window(np.full((4, 4), 9, dtype=np.uint16), low, high).shape == (4, 4)


def test_decodes_what_pydicom_ships(tmp_path):
    views = {path.name: look(path) for path in pydicom_samples(tmp_path)}
    assert all(view.decoded for view in views.values())
    assert views["CT_small.dcm"].caption == "DICOM CT, 128 x 128, gray 16-bit"
    assert views["examples_ybr_color.dcm"].caption == "DICOM US, 320 x 240, colour, 30 frames"
    assert views["examples_palette.dcm"].picture.ndim == 3


def test_shows_undecodable_content_as_its_bytes(tmp_path):
    path = tmp_path / "a.jpg"
    path.write_bytes(bytes(range(100)))
    view = look(path)
    assert not view.decoded
    assert view.caption == "not decodable: its bytes"
    assert view.picture.tolist() == np.arange(100).reshape(10, 10).tolist()


def test_says_that_a_file_is_empty_or_absent(tmp_path):
    (tmp_path / "empty.jpg").touch()
    assert (look(tmp_path / "empty.jpg").caption, look(tmp_path / "empty.jpg").picture) == ("an empty file", None)
    assert (look(tmp_path / "absent.jpg").caption, look(tmp_path / "absent.jpg").picture) == ("not there", None)


@pytest.mark.parametrize(("side", "decoded"), [(32, True), (256, False)])
def test_inflates_only_small_deflated_data_sets(tmp_path, side, decoded):
    dataset = pydicom.dcmread(next(p for p in pydicom_samples(tmp_path) if p.name == "CT_small.dcm"))
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.Rows = dataset.Columns = side
    dataset.PixelData = random.Random(1).randbytes(side * side * 2)
    dataset.save_as(tmp_path / "deflated.dcm")
    view = look(tmp_path / "deflated.dcm")
    assert view.decoded is decoded
    assert decoded or view.caption == "too large to preview: its bytes"


def test_a_preview_of_every_shared_image_succeeds(shared_images):
    undecoded = {
        p.name for p in shared_images.rglob("*") if p.suffix not in {".csv", ""} and p.is_file() and not look(p).decoded
    }
    assert undecoded == {"zero-byte.jpg", "truncated_cxr.jpg", "bomb_25000x25000_gray.png", "mr_truncated.dcm"}


@given(st.binary(max_size=400))
def test_look_accepts_any_content(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "x"
    path.write_bytes(content)
    assert look(path).content == content


@given(st.binary(min_size=1, max_size=3000))
def test_a_matrix_is_near_square_and_keeps_the_order(content):
    cells = matrix(content)
    height, width = cells.shape
    assert width <= height <= width + 2
    assert cells.tobytes() == content[: cells.size]
    assert len(content) - cells.size < width


def test_entropy_and_correlation_of_what_is_known():
    assert entropy(byte_levels(bytes(range(256)))) == pytest.approx(8.0)
    assert entropy(byte_levels(b"aaaa")) == 0.0
    assert entropy(byte_levels(b"")) == 0.0
    ramp = np.tile(np.arange(64, dtype=np.uint8), (8, 1))
    assert correlation(ramp) == pytest.approx(1.0)
    assert correlation(np.zeros((4, 4), dtype=np.uint8)) == 0.0
    assert correlation(np.zeros((1, 1), dtype=np.uint8)) == 0.0
