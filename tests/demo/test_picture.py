"""The sheet must show cipher bytes as they are, and say plainly when an image did not return."""

import random

import numpy as np
import pytest
from PIL import Image

from edge.demo.phantoms import pydicom_samples
from edge.demo.picture import ComparisonRow, comparison


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "scan.png"
    Image.fromarray(np.tile(np.arange(200, dtype=np.uint8), (150, 1))).save(path)
    return path


def _sheet(rows, tmp_path):
    comparison(rows, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as image:
        return np.asarray(image.convert("RGB"))


def _noise(size):
    return random.Random(5).randbytes(size)


def test_the_cipher_bytes_stand_on_the_sheet_one_pixel_each(plain, tmp_path):
    cipher = _noise(1 << 20)
    sheet = _sheet([ComparisonRow("CT", plain, cipher, plain, identical=True)], tmp_path)[..., 0]
    first = np.frombuffer(cipher[:385], dtype=np.uint8)
    starts = [(y, x) for y, x in np.argwhere(sheet == first[0]) if np.array_equal(sheet[y, x : x + 385], first)]
    assert len(starts) == 1
    y, x = starts[0]
    matrix = np.frombuffer(cipher, dtype=np.uint8).reshape(1024, 1024)
    assert np.array_equal(sheet[y : y + 330, x : x + 385], matrix[:330, :385])


def test_small_cipher_images_are_enlarged_without_new_values(plain, tmp_path):
    cipher = bytes([0, 255] * 800)
    sheet = _sheet([ComparisonRow("CT", plain, cipher, plain, identical=True)], tmp_path)
    well = sheet[180:500, 720:1000]
    assert set(np.unique(well.reshape(-1, 3), axis=0)[:, 0].tolist()) <= {0, 255, 0xEE}


def test_each_image_has_a_row_and_an_empty_sheet_is_still_a_sheet(plain, tmp_path):
    row = ComparisonRow("CT", plain, _noise(5000), plain, identical=True)
    heights = [_sheet([row] * count, tmp_path).shape for count in (0, 1, 2, 3)]
    assert {shape[1] for shape in heights} == {1500}
    assert heights[0] == heights[1]
    assert heights[3][0] - heights[2][0] == heights[2][0] - heights[1][0]


def test_the_verdict_is_the_callers(plain, tmp_path):
    equal, differs = (
        _sheet([ComparisonRow("CT", plain, _noise(5000), plain, identical=same)], tmp_path) for same in (True, False)
    )
    green, red = (28, 124, 74), (179, 38, 30)
    assert (equal == green).all(axis=2).any()
    assert not (equal == red).all(axis=2).any()
    assert (differs == red).all(axis=2).any()
    assert not (differs == green).all(axis=2).any()


def test_absent_empty_and_broken_files_get_their_rows(plain, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"\xff\xd8\xff" + bytes(500))
    empty = tmp_path / "empty.dcm"
    empty.touch()
    rows = [ComparisonRow(p.name, p, b"", tmp_path / "absent", identical=False) for p in (broken, empty, plain)]
    assert _sheet(rows, tmp_path).shape[1] == 1500


def test_nothing_is_drawn_outside_the_margins(plain, tmp_path):
    label = "a_very_long_file_name_" * 12 + "\x1b[31m\u202eM\u00fcller \u60a3\u8005.dcm"
    rows = [
        ComparisonRow(label, p, _noise(20_000), p, identical=True) for p in [plain, *pydicom_samples(tmp_path / "d")]
    ]
    sheet = _sheet(rows, tmp_path)
    assert (sheet[:, :38] == 255).all()
    assert (sheet[:, 1462:] == 255).all()


def test_the_same_rows_give_the_same_file(plain, tmp_path):
    rows = [ComparisonRow("CT", plain, _noise(5000), plain, identical=True)]
    comparison(rows, tmp_path / "a.png")
    comparison(rows, tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_an_unwritable_target_is_an_os_error(plain, tmp_path):
    with pytest.raises(OSError, match="No such file"):
        comparison([], tmp_path / "no" / "such" / "folder.png")
