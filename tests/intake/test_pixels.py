"""Decoded pixels are exactly the decoder's, in a declared form; what would lose a bit is refused."""

import io

import numpy as np
import pydicom
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from edge.errors import IntakeError, PixelsUnavailable, StorageError
from edge.intake.pixels import PixelLimits, PixelReader, decode_pixels, encode_pixels
from edge.records import PixelImage, SettledFile


def settled(path):
    status = path.lstat()
    return SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


@pytest.fixture(scope="module")
def reader():
    with PixelReader() as found:
        yield found


@pytest.fixture
def decode(reader, tmp_path):
    def run(path):
        sink = tmp_path / "dump.raw"
        sink.unlink(missing_ok=True)
        image = reader.decode(settled(path), sink)
        assert sink.stat().st_size == image.size
        return image, np.fromfile(sink, f"<{image.dtype}").reshape(image.shape)

    return run


def _refused(reader, path, tmp_path):
    sink = tmp_path / "refused.raw"
    with pytest.raises(PixelsUnavailable) as caught:
        reader.decode(settled(path), sink)
    assert not sink.exists()
    assert isinstance(caught.value, IntakeError)
    return caught.value.message


def _noise(*shape, dtype="u1"):
    return np.random.default_rng(3).integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


# --- decoding -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cxr_nih_00000001_000.png", ((1, 512, 512, 1), "u1", "gray", set())),
        ("fundus_left_cc0.jpg", ((1, 1411, 1411, 3), "u1", "rgb", set())),
        ("mode_rgba.png", ((1, 150, 162, 4), "u1", "rgba", set())),
        ("mode_cmyk.jpg", ((1, 100, 100, 4), "u1", "cmyk", {"exif", "xmp"})),
        ("mode_palette_trns.png", ((1, 150, 162, 1), "u1", "palette", {"palette", "transparency"})),
        ("mode_gray16_pngsuite.png", ((1, 32, 32, 1), "u2", "gray", set())),
        ("derived_mr_gray16_exif.png", ((1, 1024, 1024, 1), "u2", "gray", {"exif"})),
        ("derived_ct_3page_gray16.tif", ((3, 512, 512, 1), "u2", "gray", {"exif"})),
        ("exif_samsung-j327_orientation6.jpg", ((1, 1932, 2576, 3), "u1", "rgb", {"exif"})),
        ("ct_epidural_ccbysa_progressive.jpg", ((1, 1037, 1164, 3), "u1", "rgb", {"exif", "icc"})),
    ],
)
def test_real_raster_images_give_pillows_samples(decode, shared_images, name, expected):
    image, samples = decode(shared_images / name)
    assert (image.shape, image.dtype, image.photometric, set(image.side)) == expected
    with Image.open(shared_images / name) as source:
        for frame in range(image.shape[0]):
            source.seek(frame)
            assert (samples[frame] == np.asarray(source).reshape(image.shape[1:])).all()


@pytest.mark.parametrize(
    ("name", "dtype", "photometric"),
    [
        ("ct_small_explicit-le.dcm", "i2", "MONOCHROME2"),
        ("cxr_cr-mono1_10bit.dcm", "u2", "MONOCHROME1"),
        ("ct_enhanced_2frame.dcm", "u2", "MONOCHROME2"),
        ("mr_enhanced_10frame.dcm", "u2", "MONOCHROME2"),
    ],
)
def test_uncompressed_dicom_comes_apart_into_header_samples_and_tail(decode, shared_images, name, dtype, photometric):
    data = (shared_images / name).read_bytes()
    image, samples = decode(shared_images / name)
    assert (image.dtype, image.photometric) == (dtype, photometric)
    head, tail = image.side["dicom"], image.side.get("dicom-tail", b"")
    # Between them stand the pixel data element's own twelve bytes, and then every sample as stored.
    assert data == head + data[len(head) : len(head) + 12] + samples.tobytes() + tail


@pytest.mark.parametrize(
    "name",
    [
        "ct_wg04-ct1_jpeg-ls.dcm",
        "mr_wg04-mr1_rle.dcm",
        "mr_wg04-mr2_j2k-lossless.dcm",
        "us_ybr_30frame_jpeg-baseline.dcm",
    ],
)
def test_compressed_dicom_gives_pydicoms_raw_samples(decode, shared_images, name):
    image, samples = decode(shared_images / name)
    expected = pydicom.pixels.pixel_array(shared_images / name, raw=True)
    assert (samples == expected.reshape(image.shape)).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_png_modes(decode, tmp_path, mode):
    path = tmp_path / "scan.png"
    source = Image.fromarray(_noise(13, 21, 3))
    source = Image.fromarray(_noise(13, 21, dtype="u2")) if mode == "I;16" else source.convert(mode)
    source.save(path)
    image, samples = decode(path)
    assert (samples == np.asarray(source).reshape(image.shape)).all()


@pytest.mark.parametrize(("dtype", "mode"), [("u2", "I;16"), ("i4", "I"), ("f4", "F")])
def test_tiff_samples_of_many_bits_are_kept(decode, tmp_path, dtype, mode):
    path = tmp_path / "scan.tif"
    whole = _noise(9, 7, dtype="u2") if dtype == "u2" else _noise(9, 7, dtype="i4").astype(dtype)
    Image.fromarray(whole).save(path)
    image, samples = decode(path)
    assert image.dtype == dtype
    assert (samples.reshape(whole.shape) == whole).all()


@pytest.mark.parametrize("format_", ["GIF", "BMP", "WEBP"])
def test_single_frames_of_other_formats(decode, tmp_path, format_):
    path = tmp_path / "scan"
    options = {"lossless": True} if format_ == "WEBP" else {}
    Image.fromarray(_noise(13, 21, 3)).save(path, format_, **options)
    image, samples = decode(path)
    with Image.open(path) as expected:
        assert (samples == np.asarray(expected).reshape(image.shape)).all()


def test_orientation_is_not_applied(decode, shared_images):
    image, _ = decode(shared_images / "exif_samsung-j327_orientation6.jpg")
    assert image.shape[1:3] == (1932, 2576)
    assert image.side["exif"].startswith((b"II*\0", b"MM\0*"))


# --- refusals -------------------------------------------------------------------------------------------------------


def test_colour_of_sixteen_bits_is_refused_because_the_decoder_keeps_eight(reader, shared_images, tmp_path):
    assert "drop bits" in _refused(reader, shared_images / "mode_rgb16.tif", tmp_path)


def test_animations_are_refused(reader, tmp_path):
    frames = [Image.fromarray(_noise(8, 8, 3) // n) for n in (1, 2)]
    for format_ in ("GIF", "PNG", "WEBP"):
        path = tmp_path / format_
        frames[0].save(path, format_, save_all=True, append_images=frames[1:])
        assert "animation" in _refused(reader, path, tmp_path)


def test_pages_of_different_size_are_refused(reader, tmp_path):
    path = tmp_path / "scan.tif"
    Image.new("L", (8, 8)).save(path, save_all=True, append_images=[Image.new("L", (9, 8))])
    assert "differ" in _refused(reader, path, tmp_path)


def test_broken_and_hostile_files_are_refused(reader, shared_images, tmp_path):
    for name in ("truncated_cxr.jpg", "mr_truncated.dcm", "bomb_25000x25000_gray.png", "zero-byte.jpg"):
        _refused(reader, shared_images / "malformed" / name, tmp_path)


def test_formats_without_a_decoder_are_refused(reader, tmp_path):
    path = tmp_path / "scan"
    Image.new("L", (8, 8)).save(path, "JPEG2000")
    _refused(reader, path, tmp_path)


def test_too_much_beside_the_pixels_is_refused(reader, tmp_path):
    path = tmp_path / "scan.png"
    Image.new("L", (8, 8)).save(path, icc_profile=_noise(60000).tobytes())
    assert "beside" in _refused(reader, path, tmp_path)


@pytest.mark.parametrize(
    "limits",
    [PixelLimits(max_pixels=99), PixelLimits(max_bytes=99), PixelLimits(timeout=0.001), PixelLimits(memory=64 << 20)],
)
def test_the_limits_hold_and_leave_nothing(tmp_path, limits):
    path, sink = tmp_path / "scan.png", tmp_path / "dump.raw"
    side = 10 if min(limits.max_pixels, limits.max_bytes) == 99 else 1500
    Image.fromarray(_noise(side, side, 3)).save(path)
    with pytest.raises(PixelsUnavailable):
        decode_pixels(settled(path), sink, limits=limits)
    assert not sink.exists()


def test_a_file_that_changed_or_went_is_refused(reader, tmp_path):
    path = tmp_path / "scan.png"
    Image.new("L", (8, 8)).save(path)
    file = settled(path)
    path.unlink()
    sink = tmp_path / "dump.raw"
    with pytest.raises(PixelsUnavailable):
        reader.decode(file, sink)
    assert not sink.exists()


def test_an_existing_dump_is_never_overwritten(reader, tmp_path):
    path, sink = tmp_path / "scan.png", tmp_path / "dump.raw"
    Image.new("L", (8, 8)).save(path)
    sink.write_bytes(b"kept")
    with pytest.raises(PixelsUnavailable):
        reader.decode(settled(path), sink)
    assert sink.read_bytes() == b"kept"


# --- encoding -------------------------------------------------------------------------------------------------------

PNG_KINDS = [
    ("bilevel", "u1", 1),
    ("gray", "u1", 1),
    ("gray", "u2", 1),
    ("MONOCHROME2", "u2", 1),
    ("gray-alpha", "u1", 2),
    ("rgb", "u1", 3),
    ("rgba", "u1", 4),
    ("palette", "u1", 1),
]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(PNG_KINDS), st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
def test_what_png_can_hold_becomes_png_with_the_same_samples(tmp_path, kind, rows, columns, seed):
    photometric, dtype, channels = kind
    top = 2 if photometric == "bilevel" else np.iinfo(dtype).max + 1
    samples = np.random.default_rng(seed).integers(0, top, (1, rows, columns, channels), dtype=dtype)
    side = {"palette": bytes(range(256)) * 3, "transparency": b"\1\2\3"} if photometric == "palette" else {}
    raw = tmp_path / "raw"
    raw.write_bytes(samples.astype(f"<{dtype}").tobytes())
    target = encode_pixels(raw, PixelImage(samples.shape, dtype, photometric, side), tmp_path / "a.b image")
    assert target == tmp_path / "a.b image.png"
    with Image.open(target) as image:
        assert (np.asarray(image).reshape(samples.shape) == samples).all()
        if side:
            assert bytes(image.getpalette()) == side["palette"]
            assert image.info["transparency"] == side["transparency"]


def test_an_image_of_many_bands_becomes_the_same_png(tmp_path):
    samples = _noise(1, 3000, 1500, 3)
    raw = tmp_path / "raw"
    raw.write_bytes(samples.tobytes())
    target = encode_pixels(raw, PixelImage(samples.shape, "u1", "rgb"), tmp_path / "image")
    with Image.open(target) as image:
        assert (np.asarray(image) == samples[0]).all()


@pytest.mark.parametrize(
    ("shape", "dtype", "photometric"),
    [
        ((3, 4, 5, 1), "u1", "gray"),
        ((1, 4, 5, 4), "u1", "cmyk"),
        ((1, 4, 5, 3), "u2", "rgb"),
        ((1, 4, 5, 1), "i2", "MONOCHROME2"),
        ((1, 4, 5, 1), "u2", "MONOCHROME1"),
        ((2, 4, 5, 3), "u1", "YBR_FULL_422"),
        ((1, 4, 5, 1), "f4", "gray"),
        ((1, 4, 5, 1), "u1", "palette"),
    ],
)
def test_everything_else_becomes_an_array_file(tmp_path, shape, dtype, photometric):
    samples = np.arange(np.prod(shape)).reshape(shape).astype(f"<{dtype}")
    raw = tmp_path / "raw"
    raw.write_bytes(samples.tobytes())
    target = encode_pixels(raw, PixelImage(shape, dtype, photometric), tmp_path / "image")
    assert target == tmp_path / "image.npy"
    found = np.load(target, allow_pickle=False)
    assert (found.shape, found.dtype) == (shape, samples.dtype)
    assert (found == samples).all()


def test_what_stands_beside_goes_into_the_png(decode, shared_images, tmp_path):
    image, _ = decode(shared_images / "ct_epidural_ccbysa_progressive.jpg")
    with Image.open(encode_pixels(tmp_path / "dump.raw", image, tmp_path / "image")) as found:
        assert found.info["icc_profile"] == image.side["icc"]
        assert found.info["exif"].removeprefix(b"Exif\0\0") == image.side["exif"]


def test_a_dump_that_is_not_what_its_description_says_is_refused(tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(19))
    for description in (PixelImage((1, 4, 5, 1), "u1", "gray"), PixelImage((1, 0, 5, 1), "u1", "gray")):
        with pytest.raises(PixelsUnavailable):
            encode_pixels(raw, description, tmp_path / "image")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["raw"]


def test_a_folder_that_is_not_there_is_the_disks_matter(tmp_path):
    raw = tmp_path / "raw"
    raw.write_bytes(bytes(20))
    with pytest.raises(StorageError):
        encode_pixels(raw, PixelImage((1, 4, 5, 1), "u1", "gray"), tmp_path / "nowhere" / "image")


def test_sixteen_bit_colour_png_is_refused(reader, tmp_path):
    path = tmp_path / "scan.png"
    target = io.BytesIO()
    Image.new("RGB", (4, 4)).save(target, "PNG")
    data = bytearray(target.getvalue())
    data[24] = 16
    path.write_bytes(data)
    assert "drop bits" in _refused(reader, path, tmp_path)
