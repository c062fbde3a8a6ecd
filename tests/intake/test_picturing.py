"""The picture of an image: every decodable format has one, whatever it holds; what does not decode is named."""

import io

import numpy as np
import pydicom
import pytest
from PIL import Image

from edge.errors import PixelsUnavailable
from edge.intake.pixels import PixelLimits, PixelReader
from tests.intake.test_pixels import settled

GRADIENT = np.linspace(0, 255, 64 * 96).reshape(64, 96)


@pytest.fixture(scope="module")
def reader():
    with PixelReader() as found:
        yield found


def picture(reader, path):
    pixels = reader.picture(settled(path)).pixels
    assert pixels.shape == (224, 224, 3)
    assert pixels.dtype == np.uint8
    return pixels


MEDICAL = ["ct_", "cxr_", "mr_", "us_", "fundus_"]


def test_every_good_real_image_has_a_picture(reader, shared_images):
    kinds = {".jpg", ".png", ".tif", ".dcm"}
    files = [path for path in sorted(shared_images.iterdir()) if path.suffix in kinds]
    assert len(files) > 25
    for path in files:
        found = picture(reader, path)
        if any(path.name.startswith(kind) for kind in MEDICAL):
            assert found.std() > 8, path.name


@pytest.mark.parametrize(
    "name", ["truncated_cxr.jpg", "bomb_25000x25000_gray.png", "mr_truncated.dcm", "zero-byte.jpg"]
)
def test_a_malformed_image_has_none(reader, shared_images, name):
    with pytest.raises(PixelsUnavailable):
        reader.picture(settled(shared_images / "malformed" / name))


@pytest.mark.parametrize(
    ("mode", "form"),
    [
        *((mode, "png") for mode in ("L", "RGB", "RGBA", "P", "1", "LA", "I;16")),
        *((mode, "jpeg") for mode in ("L", "RGB", "CMYK")),
        *((mode, "tiff") for mode in ("F", "I;16")),
        *(("RGB", "webp"), ("L", "bmp"), ("P", "gif")),
    ],
)
def test_every_mode_shows_the_same_gradient(reader, tmp_path, mode, form):
    gray = Image.fromarray(GRADIENT.astype(np.uint8))
    if mode == "I;16":
        image = Image.fromarray((GRADIENT * 16).astype(np.uint16))
    elif mode == "F":
        image = Image.fromarray(GRADIENT.astype(np.float32))
    else:
        image = gray.convert(mode)
    path = tmp_path / f"image.{form}"
    image.save(path)
    found = picture(reader, path)[..., 1].astype(int)
    rows = found[40:180].mean(axis=1)
    assert rows[-1] > rows[len(rows) // 2] + 30 > rows[0] + 60


def test_the_picture_of_a_large_jpeg_is_that_of_a_small_one(reader, tmp_path):
    image = Image.linear_gradient("L").resize((4000, 3000))
    image.save(tmp_path / "large.jpg", quality=95)
    image.resize((400, 300)).save(tmp_path / "small.jpg", quality=95)
    large, small = (picture(reader, tmp_path / f"{name}.jpg").astype(int) for name in ("large", "small"))
    assert np.abs(large - small).mean() < 2


def dicom(path, samples, **tags):
    """Write a gray DICOM image, or several frames of one."""
    frames = samples.reshape(-1, *samples.shape[-2:])
    header = pydicom.Dataset()
    header.file_meta = pydicom.dataset.FileMetaDataset()
    header.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = pydicom.uid.SecondaryCaptureImageStorage
    header.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    header.SOPClassUID, header.SOPInstanceUID = pydicom.uid.SecondaryCaptureImageStorage, "1.2.3"
    header.Rows, header.Columns = frames.shape[1:]
    header.SamplesPerPixel, header.PhotometricInterpretation = 1, "MONOCHROME2"
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 16, 15
    header.PixelRepresentation = int(samples.dtype.kind == "i")
    if len(frames) > 1:
        header.NumberOfFrames = len(frames)
    for name, value in tags.items():
        setattr(header, name, value)
    header.PixelData = samples.tobytes()
    header.save_as(path, enforce_file_format=True)
    return path


def centre(found):
    return int(found[112, 112, 0])


def test_dicom_is_seen_through_its_window(reader, tmp_path):
    samples = np.full((64, 64), -1000, np.int16)
    samples[16:48, 16:48] = 40
    samples[0, 0] = 3000
    window = {"WindowCenter": "40", "WindowWidth": "80", "RescaleSlope": "1", "RescaleIntercept": "0"}
    through = picture(reader, dicom(tmp_path / "window.dcm", samples, **window))
    without = picture(reader, dicom(tmp_path / "none.dcm", samples))
    assert abs(centre(through) - 128) < 4
    assert abs(centre(through) - centre(without)) > 20


def test_a_window_that_shows_nothing_is_passed_over(reader, tmp_path):
    samples = (GRADIENT * 10).astype(np.uint16)
    odd = {"WindowCenter": "90000", "WindowWidth": "10"}
    assert picture(reader, dicom(tmp_path / "odd.dcm", samples, **odd)).std() > 20


def test_monochrome1_is_turned_so_that_low_is_bright(reader, tmp_path):
    samples = np.zeros((64, 64), np.uint16)
    samples[:, 32:] = 1000
    found = picture(reader, dicom(tmp_path / "inverted.dcm", samples, PhotometricInterpretation="MONOCHROME1"))
    assert found[112, 20, 0] > 200
    assert found[112, 200, 0] < 50


def test_the_middle_frame_stands_for_all(reader, tmp_path):
    frames = np.zeros((5, 32, 32), np.uint16)
    frames[2, :, 16:] = 500
    assert picture(reader, dicom(tmp_path / "frames.dcm", frames)).std() > 50


def test_limits_hold_for_pictures_too(tmp_path):
    path = tmp_path / "large.png"
    Image.new("L", (2000, 2000)).save(path)
    with PixelReader(PixelLimits(max_pixels=1_000_000)) as small:
        with pytest.raises(PixelsUnavailable):
            small.picture(settled(path))
        Image.new("L", (900, 900)).save(path)
        picture(small, path)


def test_a_file_that_is_gone_has_none(reader, tmp_path):
    path = tmp_path / "gone.png"
    path.write_bytes(b"x")
    file = settled(path)
    path.unlink()
    with pytest.raises(PixelsUnavailable, match="cannot be read"):
        reader.picture(file)


@pytest.mark.parametrize("reply", [{}, {"picture": 7}, {"picture": "!"}, {"picture": ""}, {"picture": "AAAA"}])
def test_an_answer_that_makes_no_sense_is_refused(reader, tmp_path, monkeypatch, reply):
    path = tmp_path / "image.png"
    Image.new("L", (8, 8)).save(path)
    monkeypatch.setattr(reader, "_ask", lambda *_: reply)
    with pytest.raises(PixelsUnavailable, match="no sense"):
        reader.picture(settled(path))


def test_no_name_of_a_file_reaches_an_error(reader, tmp_path):
    path = tmp_path / "secret-name.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + io.BytesIO(bytes(100)).read())
    with pytest.raises(PixelsUnavailable) as caught:
        reader.picture(settled(path))
    assert "secret-name" not in caught.value.message
