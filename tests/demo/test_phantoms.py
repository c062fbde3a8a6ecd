"""The phantoms must be the same for one seed, differ between seeds, and carry the dates that intake is to find."""

import numpy as np
import piexif
import pydicom
import pytest
from PIL import Image

from edge.demo.phantoms import PhantomKind, draw, pydicom_samples, write_phantoms

SHAPES = {
    PhantomKind.CHEST: ((1800, 1500), np.uint8),
    PhantomKind.FUNDUS: ((1400, 1400, 3), np.uint8),
    PhantomKind.HEAD_CT: ((512, 512), np.uint16),
    PhantomKind.HEAD_MR: ((3, 384, 384), np.uint16),
}


@pytest.fixture(scope="module")
def drawn():
    return {kind: draw(kind, 3) for kind in PhantomKind}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    return write_phantoms(tmp_path_factory.mktemp("scanner") / "incoming")


def _exif(path):
    with Image.open(path) as image:
        exif = image.getexif()
        return {**exif, **exif.get_ifd(piexif.ImageIFD.ExifTag)}


@pytest.mark.parametrize("kind", PhantomKind)
def test_each_kind_has_its_shape_and_depth(drawn, kind):
    assert (drawn[kind].shape, drawn[kind].dtype) == SHAPES[kind]


@pytest.mark.parametrize("kind", PhantomKind)
def test_one_seed_gives_one_picture_and_another_seed_another(drawn, kind):
    assert np.array_equal(draw(str(kind), 3), drawn[kind])
    assert not np.array_equal(draw(kind, 4), drawn[kind])


def test_refuses_an_unknown_kind_and_a_negative_seed():
    with pytest.raises(ValueError, match="knee"):
        draw("knee", 1)
    with pytest.raises(ValueError, match="negative"):
        draw(PhantomKind.HEAD_CT, -1)


def test_a_chest_film_is_dark_in_the_lungs_and_bright_below_them(drawn):
    film = drawn[PhantomKind.CHEST].astype(float)
    right, left, belly, air = film[900:1000, 330:430], film[900:1000, 1200:1270], film[1600:1700], film[60:120, 80:400]
    assert air.mean() < 20 < right.mean() < 110
    assert left.mean() < 110
    assert belly[:, 300:1200].mean() > 170


@pytest.mark.parametrize(("seed", "disc_on_the_right"), [(2, True), (3, False)])
def test_the_disc_lies_on_the_nasal_side(seed, disc_on_the_right):
    green = draw(PhantomKind.FUNDUS, seed)[..., 1].astype(float)
    brightest = np.unravel_index(np.argmax(green.reshape(70, 20, 70, 20).mean(axis=(1, 3))), (70, 70))
    assert bool(brightest[1] > 35) is disc_on_the_right


def test_ct_values_are_hounsfield_units_and_1024(drawn):
    units = drawn[PhantomKind.HEAD_CT].astype(int) - 1024
    assert np.median(units[250:262, 300:330]) == pytest.approx(33, abs=15)
    assert units.max() > 1000
    assert np.median(units[30:50, 200:300]) < -900


def test_mr_slices_differ_and_have_rician_noise_in_air(drawn):
    slices = drawn[PhantomKind.HEAD_MR]
    corner = slices[0, :30, :30].astype(float)
    # Rayleigh: the mean of the magnitude in air is 1.91 times its standard deviation.
    assert corner.mean() / corner.std() == pytest.approx(1.91, abs=0.15)
    assert not np.array_equal(slices[0], slices[1])


def test_writes_five_files_of_four_formats(written):
    kinds = []
    for path in written:
        with Image.open(path) as image:
            kinds.append((image.format, image.mode, getattr(image, "n_frames", 1)))
            image.load()
    assert kinds == [
        ("JPEG", "L", 1),
        ("JPEG", "RGB", 1),
        ("JPEG", "RGB", 1),
        ("PNG", "I;16", 1),
        ("TIFF", "I;16", 3),
    ]


def test_each_dated_file_has_a_moment_of_its_own_and_one_has_none(written):
    tags = [_exif(path) for path in written]
    moments = [
        (
            t.get(piexif.ExifIFD.DateTimeOriginal),
            t.get(piexif.ExifIFD.SubSecTimeOriginal),
            t.get(piexif.ExifIFD.OffsetTimeOriginal),
        )
        for t in tags
    ]
    assert moments.count((None, None, None)) == 1
    assert moments[2] == (None, None, None)
    assert moments[0] == ("2025:03:11 08:14:37", "016", "+01:00")
    assert len(set(moments)) == len(moments)
    named = [t for t in tags if piexif.ImageIFD.Make in t]
    assert all(t[piexif.ImageIFD.Make] and t[piexif.ImageIFD.Model] for t in named)
    assert len(named) == 4


@pytest.mark.parametrize("index", [0, 1, 4])
def test_piexif_reads_the_dates_too(written, index):
    assert piexif.load(str(written[index]))["Exif"][piexif.ExifIFD.DateTimeOriginal].startswith(b"2025:")


def test_the_files_hold_the_drawings(written):
    with Image.open(written[3]) as image:
        assert np.array_equal(np.asarray(image), draw(PhantomKind.HEAD_CT, 14))
    with Image.open(written[4]) as image:
        image.seek(2)
        assert np.array_equal(np.asarray(image), draw(PhantomKind.HEAD_MR, 14)[2])


def test_the_same_seed_writes_the_same_bytes(written, tmp_path):
    again = write_phantoms(tmp_path)
    assert [p.name for p in again] == [p.name for p in written]
    assert [p.read_bytes() for p in again] == [p.read_bytes() for p in written]


def test_copies_the_real_dicom_images_of_pydicom(tmp_path):
    copies = pydicom_samples(tmp_path / "dicom")
    assert {pydicom.dcmread(p, stop_before_pixels=True).Modality for p in copies} == {"CT", "MR", "US"}
    assert all(p.parent == tmp_path / "dicom" for p in copies)
