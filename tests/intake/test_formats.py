"""A format is known by content; a file is whole only when its own structure says so."""

import contextlib
import csv
import io
import random
import struct
import zlib

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    RLELossless,
)

from edge.errors import EmptyFile, IncompleteFile
from edge.intake.formats import HEAD_BYTES, Format, check_complete, identify, refuse_unfinished


def _noise(shape):
    return np.random.default_rng(7).integers(0, 256, shape, dtype="u1")


def _saved(format_, mode="RGB", **options):
    shape = (40, 60, 3) if mode == "RGB" else (40, 60)
    target = io.BytesIO()
    Image.fromarray(_noise(shape)).convert(mode).save(target, format_, **options)
    return target.getvalue()


def _pages(format_, **options):
    pages = [Image.fromarray(_noise((30 + n, 50)) // (n + 1)) for n in range(3)]
    target = io.BytesIO()
    pages[0].save(target, format_, save_all=True, append_images=pages[1:], **options)
    data = target.getvalue()
    if format_ == "TIFF":
        # Pillow pads behind the last strip.
        with Image.open(target) as image:
            image.seek(2)
            data = data[: image.tag_v2[273][0] + image.tag_v2[279][0]]
    return data


def _dicom(syntax=ExplicitVRLittleEndian, *, undefined=False):
    inner = Dataset()
    inner.CodeValue = "123"
    if undefined:
        inner.is_undefined_length_sequence_item = True
    found = Dataset()
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, "1.2.3"
    found.StudyDate = "20200102"
    found.ProcedureCodeSequence = Sequence([inner, inner])
    found["ProcedureCodeSequence"].is_undefined_length = undefined
    found.Rows, found.Columns, found.SamplesPerPixel = 16, 24, 1
    found.PhotometricInterpretation = "MONOCHROME2"
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 16, 16, 15, 0
    found.PixelData = _noise((16, 48)).tobytes()
    found["PixelData"].VR = "OW"
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian if syntax == RLELossless else syntax
    found.file_meta.MediaStorageSOPClassUID = CTImageStorage
    if syntax == RLELossless:
        found.compress(RLELossless, generate_instance_uid=False)
    target = io.BytesIO()
    pydicom.dcmwrite(target, found, enforce_file_format=True)
    return target.getvalue()


def _bigtiff():
    """One strip of four bytes behind the directory."""
    entries = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 1, 8), (262, 3, 1, 1), (273, 16, 1, 152), (279, 16, 1, 4)]
    table = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", 6) + table + bytes(8) + b"abcd"


SAMPLES = {
    "jpeg": (Format.JPEG, lambda: _saved("JPEG")),
    "jpeg, progressive": (Format.JPEG, lambda: _saved("JPEG", progressive=True)),
    "jpeg, restarts": (Format.JPEG, lambda: _saved("JPEG", restart_marker_blocks=2)),
    "jpeg, two pictures": (Format.JPEG, lambda: _pages("MPO")),
    "png": (Format.PNG, lambda: _saved("PNG")),
    "apng": (Format.PNG, lambda: _pages("PNG")),
    "tiff": (Format.TIFF, lambda: _saved("TIFF")),
    "tiff, lzw": (Format.TIFF, lambda: _saved("TIFF", compression="tiff_lzw")),
    "tiff, pages": (Format.TIFF, lambda: _pages("TIFF")),
    "tiff, big": (Format.TIFF, _bigtiff),
    "webp": (Format.WEBP, lambda: _saved("WEBP", lossless=True)),
    "gif": (Format.GIF, lambda: _saved("GIF", mode="P")),
    "bmp": (Format.BMP, lambda: _saved("BMP")),
    "jpeg 2000": (Format.JP2, lambda: _saved("JPEG2000")),
    "dicom, explicit": (Format.DICOM, _dicom),
    "dicom, implicit": (Format.DICOM, lambda: _dicom(ImplicitVRLittleEndian, undefined=True)),
    "dicom, big endian": (Format.DICOM, lambda: _dicom(ExplicitVRBigEndian)),
    "dicom, undefined lengths": (Format.DICOM, lambda: _dicom(undefined=True)),
    "dicom, rle": (Format.DICOM, lambda: _dicom(RLELossless, undefined=True)),
}
_BUILT = {}


def _sample(name):
    if name not in _BUILT:
        _BUILT[name] = SAMPLES[name][1]()
    return SAMPLES[name][0], _BUILT[name]


def _check(data, format_):
    check_complete(io.BytesIO(data), len(data), format_)


@pytest.mark.parametrize("name", SAMPLES)
def test_a_finished_file_is_known_and_complete(name):
    format_, data = _sample(name)
    assert identify(data[:HEAD_BYTES]) is format_
    _check(data, format_)


# Boxes are counted by nobody, so a cut between two of them cannot be seen; and MPO pictures may have padding between.
CUT_ANYWHERE = [name for name in SAMPLES if name not in ("jpeg, two pictures", "jpeg 2000")]


@pytest.mark.parametrize("name", CUT_ANYWHERE)
@settings(max_examples=40)
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_cut_anywhere_is_incomplete(name, share):
    format_, data = _sample(name)
    head = 140 if format_ is Format.DICOM else 12
    cut = data[: head + int(share * (len(data) - head))]
    assert identify(cut[:HEAD_BYTES]) in (format_, None)
    with pytest.raises(IncompleteFile):
        _check(cut, format_)


@pytest.mark.parametrize("name", CUT_ANYWHERE)
def test_a_file_that_lacks_its_last_bytes_is_incomplete(name):
    format_, data = _sample(name)
    for missing in range(1, 20):
        with pytest.raises(IncompleteFile):
            _check(data[:-missing], format_)


@pytest.mark.parametrize("name", [name for name in CUT_ANYWHERE if name not in ("bmp", "tiff", "webp")])
def test_room_that_was_reserved_but_not_written_is_incomplete(name):
    format_, data = _sample(name)
    starts = {Format.DICOM: 140, Format.TIFF: 16 if name == "tiff, big" else 8}
    half = starts.get(format_, len(data) // 2)
    with pytest.raises(IncompleteFile):
        _check(data[:half] + bytes(len(data) - half), format_)


@pytest.mark.parametrize("name", [name for name in SAMPLES if name not in ("jpeg 2000", "dicom, implicit")])
def test_trailing_bytes_are_allowed(name):
    format_, data = _sample(name)
    _check(data + (bytes(64) if format_ is Format.DICOM else b"trailer of a vendor"), format_)


def test_every_real_image_is_complete(shared_images):
    with (shared_images / "MANIFEST.csv").open(newline="") as table:
        names = [row["file"] for row in csv.DictReader(table) if not row["file"].startswith("malformed/")]
    assert len(names) > 30
    for name in names:
        data = (shared_images / name).read_bytes()
        format_ = identify(data[:HEAD_BYTES])
        assert format_ is not None
        _check(data, format_)


# The bytes that stand behind the end of these real files: a cut inside them leaves the image whole.
TRAILERS = {"exif_trailing-nul_pentax-s4.jpg": 21819, "ct_small_explicit-le.dcm": 138, "mr_wg04-mr1_rle.dcm": 138}


def test_every_real_image_cut_at_random_points_is_incomplete(shared_images):
    choose = random.Random(20)
    for path in sorted(shared_images.glob("*.*")):
        data = path.read_bytes()
        format_ = identify(data[:HEAD_BYTES])
        if format_ is None:
            continue
        end = len(data) - TRAILERS.get(path.name, 0)
        cuts = [choose.randrange(140, end) for _ in range(25)] + [end - 1, end - 2, end - 7]
        for cut in cuts:
            with pytest.raises(IncompleteFile):
                _check(data[:cut], format_)


def test_pixel_data_shorter_than_the_header_says_are_incomplete(shared_images):
    data = (shared_images / "malformed" / "mr_truncated.dcm").read_bytes()
    with pytest.raises(IncompleteFile):
        _check(data, Format.DICOM)
    whole = _sample("dicom, explicit")[1]
    at = whole.rindex(struct.pack("<HH2s2xI", 0x7FE0, 0x10, b"OW", 768))
    short = whole[:at] + struct.pack("<HH2s2xI", 0x7FE0, 0x10, b"OW", 700) + whole[at + 12 : at + 712]
    with pytest.raises(IncompleteFile):
        _check(short, Format.DICOM)


def test_a_jpeg_cut_behind_its_thumbnail_is_incomplete(shared_images):
    data = (shared_images / "malformed" / "truncated_cxr.jpg").read_bytes()
    assert identify(data) is Format.JPEG
    with pytest.raises(IncompleteFile):
        _check(data, Format.JPEG)
    # The thumbnail inside EXIF has an end marker of its own.
    thumbnail = _saved("JPEG")
    segment = b"Exif\0\0" + thumbnail
    head = b"\xff\xd8\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    with pytest.raises(IncompleteFile):
        _check(head, Format.JPEG)


def test_a_second_picture_that_is_cut_makes_the_file_incomplete():
    _, data = _sample("jpeg, two pictures")
    second = data.rindex(b"\xff\xd8\xff")
    for cut in (second + 2, second + 100, len(data) - 1):
        with pytest.raises(IncompleteFile):
            _check(data[:cut], Format.JPEG)


def test_a_leftover_index_of_pictures_that_an_editor_removed_is_ignored():
    _, data = _sample("jpeg, two pictures")
    second = data.index(b"\xff\xd8\xff", data.index(b"\xff\xd9"))
    _check(data[:second], Format.JPEG)


@pytest.mark.parametrize("missing", [1, 10, 200])
def test_a_deflated_data_set_is_followed_to_the_end_of_its_stream(missing):
    data = _dicom(DeflatedExplicitVRLittleEndian)
    _check(data, Format.DICOM)
    start = data.index(b"1.2.840.10008.1.2.1.99") + 22
    assert len(data) - missing > start
    # The stream may be followed by one pad byte.
    with pytest.raises(IncompleteFile):
        _check(data[: -missing - 1], Format.DICOM)


def test_the_end_of_a_deflated_bomb_is_not_waited_for():
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    stream = b"".join(packer.compress(bytes(1 << 20)) for _ in range(80)) + packer.flush()
    data = _dicom(DeflatedExplicitVRLittleEndian)
    head = data[: data.index(b"1.2.840.10008.1.2.1.99") + 22]
    # 80 MiB exceed what is inflated here, so nothing is claimed even about a cut stream.
    _check(head + stream[:-8], Format.DICOM)


def test_damage_is_not_a_missing_end():
    for data, format_ in (
        (b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x04!!!!" + b"x" * 40, Format.PNG),
        (b"\xff\xd8\xff\xe0\0\x04abGARBAGE" + b"x" * 40, Format.JPEG),
        (b"GIF89a\1\0\1\0\0\0\0?" + b"x" * 40, Format.GIF),
        (b"II*\0\x08\0\0\0\xff\xff" + b"x" * 40, Format.TIFF),
    ):
        _check(data, format_)


def test_directories_that_form_a_loop_end_the_walk():
    entry = struct.pack("<HHII", 256, 4, 1, 8)
    sub = struct.pack("<HHII", 34665, 4, 1, 8)
    _check(b"II*\0\x08\0\0\0\2\0" + entry + sub + struct.pack("<I", 8), Format.TIFF)


def test_a_value_that_claims_more_than_any_file_is_damage(shared_images):
    data = (shared_images / "malformed" / "tiff_tagcount-bomb.tif").read_bytes()
    _check(data, Format.TIFF)


def test_sequences_nested_without_end_stop_the_walk():
    data = _sample("dicom, explicit")[1]
    opening = struct.pack("<HH2s2xI", 8, 0x1140, b"SQ", 0xFFFFFFFF) + struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    _check(data + opening * 5000, Format.DICOM)


def test_an_empty_file_is_empty():
    with pytest.raises(EmptyFile):
        check_complete(io.BytesIO(), 0, Format.PNG)
    with pytest.raises(EmptyFile):
        refuse_unfinished(io.BytesIO(), 0)


@pytest.mark.parametrize("data", [b"\xff", b"\xff\xd8", b"\x89PNG", b"II", bytes(9000), bytes(40)])
def test_a_beginning_of_a_magic_or_mere_zeros_is_unfinished(data):
    assert identify(data[:HEAD_BYTES]) is None
    with pytest.raises(IncompleteFile):
        refuse_unfinished(io.BytesIO(data), len(data))


@pytest.mark.parametrize(
    "data", [b"hello, world: no image at all", bytes(9000) + b"x" + bytes(5), b"BM and text behind"]
)
def test_other_content_is_unknown_and_taken_as_it_is(data):
    assert identify(data[:HEAD_BYTES]) is None
    refuse_unfinished(io.BytesIO(data), len(data))


def test_content_decides_and_not_the_name(shared_images):
    assert identify((shared_images / "malformed" / "png-named.jpg").read_bytes()[:HEAD_BYTES]) is Format.PNG


@pytest.mark.parametrize(
    ("head", "format_", "media_type"),
    [
        (b"\xff\x4f\xff\x51\0", Format.J2K, "image/j2c"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", Format.JPEG_XL, "image/jxl"),
        (b"\0\0\0\x20ftypheic\0\0\0\0", Format.HEIF, "image/heif"),
        (b"\0\0\0\x20ftypavif\0\0\0\0", Format.AVIF, "image/avif"),
        (b"P5\n4 4\n255\n", Format.PNM, "image/x-portable-anymap"),
        (bytes(344) + b"n+1\0", Format.NIFTI, "application/x-nifti"),
        (b"\xff\xd8\xff\xf7\0", Format.JPEG_LS, "image/jls"),
        (bytes(128) + b"DICM", Format.DICOM, "application/dicom"),
        (b"MM\0+\0\x08\0\0", Format.TIFF, "image/tiff"),
        (b"NRRD0004\n", Format.NRRD, "application/x-nrrd"),
    ],
)
def test_formats_without_a_decoder_here_are_known_too(head, format_, media_type):
    assert identify(head) is format_
    assert format_.media_type == media_type


@settings(max_examples=150)
@given(st.binary(max_size=400), st.sampled_from(list(Format)))
def test_no_content_makes_the_check_fail_otherwise(data, format_):
    magic = {
        Format.JPEG: b"\xff\xd8\xff",
        Format.PNG: b"\x89PNG\r\n\x1a\n",
        Format.TIFF: b"II*\0\x08\0\0\0",
        Format.WEBP: b"RIFF\x20\0\0\0WEBP",
        Format.DICOM: bytes(128) + b"DICM",
        Format.GIF: b"GIF89a",
        Format.BMP: b"BM",
    }.get(format_, b"")
    with contextlib.suppress(EmptyFile, IncompleteFile):
        _check(magic + data, format_)
