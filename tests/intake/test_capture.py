"""Capture times come from strict forms in a fixed order, and each carries its source."""

import contextlib
import io
import json
import struct
import zlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, TiffImagePlugin

from edge.errors import IncompleteFile
from edge.intake.capture import (
    camera_name,
    exif_moment,
    plausible,
    read_embedded,
    read_sidecar,
)
from edge.intake.formats import Format
from edge.records import CaptureSource as Source
from tests.intake.capturing import NOW, read, zone

# --- EXIF text ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2008:07:26 09:54:34", datetime(2008, 7, 26, 9, 54, 34)),
        ("2004:09:04 19:52:06\0", datetime(2004, 9, 4, 19, 52, 6)),
        ("  2004-09-04 19:52:06  ", datetime(2004, 9, 4, 19, 52, 6)),
        ("2015-06-29T18:19:12+01:00", datetime(2015, 6, 29, 18, 19, 12, tzinfo=zone(1))),
        ("2015/06/29 18:19:12", datetime(2015, 6, 29, 18, 19, 12)),
        ("2015.06.29 18:19:12Z", datetime(2015, 6, 29, 18, 19, 12, tzinfo=UTC)),
        ("2015:06:29 18:19:12" + "\xff" * 4000, datetime(2015, 6, 29, 18, 19, 12)),
        ("0000:00:00 00:00:00", None),
        ("    :  :     :  :  ", None),
        (" " * 19, None),
        ("06:01:1998", None),
        ("2017:08:21 15:08:70", None),
        ("1979:12:31 23:59:59", None),
        ("2026:06:02 11:59:59", datetime(2026, 6, 2, 11, 59, 59)),
        ("2026:06:02 12:00:01", None),
        ("2038:01:01 00:00:00", None),
        ("2\u066015:06:29 18:19:12", None),
        ("", None),
    ],
)
def test_exif_text_counts_only_in_a_strict_form(text, moment):
    assert exif_moment(text, "", "", NOW) == moment


@pytest.mark.parametrize(
    ("fraction", "microseconds"),
    [("016", 16000), ("0532", 53200), ("00", 0), ("495109", 495109), ("61", 610000), ("12345678", 123456), ("x", 0)],
)
def test_sub_seconds_are_a_fraction(fraction, microseconds):
    assert exif_moment("2019:09:26 16:38:00", fraction, "", NOW).microsecond == microseconds


@pytest.mark.parametrize(
    ("offset", "zone"),
    [
        ("+02:00", zone(2)),
        ("-04:30", zone(-4.5)),
        ("+14:00", zone(14)),
        ("+15:00", None),
        ("", None),
        ("   :  ", None),
    ],
)
def test_the_offset_makes_the_time_aware(offset, zone):
    assert exif_moment("2019:09:26 16:38:00", "", offset, NOW).tzinfo == zone


@given(st.text(max_size=80), st.text(max_size=8), st.text(max_size=8))
def test_no_text_makes_the_parser_fail(text, fraction, offset):
    moment = exif_moment(text, fraction, offset, NOW)
    assert moment is None or plausible(moment, NOW)


@given(st.datetimes(datetime(1980, 1, 1), datetime(2026, 6, 1)))
def test_every_plausible_time_is_read_back(moment):
    text, fraction = moment.strftime("%Y:%m:%d %H:%M:%S"), f"{moment.microsecond:06}"
    if moment.year >= 1980:
        assert exif_moment(text, fraction, "", NOW) == moment


# --- whole files ----------------------------------------------------------------------------------------------------

REAL = {
    "ct_small_explicit-le.dcm": ("1997-04-30T11:29:36-05:00", Source.DICOM_ACQUISITION),
    "ct_enhanced_2frame.dcm": ("2006-12-19T11:09:30.671000-05:00", Source.DICOM_CONTENT),
    "cxr_cr-mono1_10bit.dcm": ("1993-02-24T17:58:00", Source.DICOM_ACQUISITION),
    "mr_enhanced_10frame.dcm": ("2012-08-20T12:08:04.060000", Source.DICOM_ACQUISITION),
    "mr_wg04-mr1_rle.dcm": ("2003-12-08T06:36:49-05:00", Source.DICOM_STUDY),
    "mr_wg04-mr2_j2k-lossless.dcm": ("1995-05-01T16:22:53.770000-04:00", Source.DICOM_SERIES),
    "us_ybr_30frame_jpeg-baseline.dcm": ("2016-05-03T12:15:35", Source.DICOM_CONTENT),
    "cxr_effusion_canon-sd750_exif.jpg": ("2008-07-26T09:54:34", Source.EXIF_ORIGINAL),
    "derived_ct_3page_gray16.tif": ("2003-04-17T10:46:07", Source.EXIF_DATETIME),
    "derived_mr_gray16_exif.png": ("2004-08-26T18:50:59.123456-04:00", Source.EXIF_ORIGINAL),
    "exif_gopro-hero11_mpo_offset.jpg": ("2024-04-30T18:36:42.495109+02:00", Source.EXIF_ORIGINAL),
    "exif_nikon-d1x_piexif-fails.jpg": ("2003-08-06T18:04:34.610000", Source.EXIF_ORIGINAL),
    "exif_null-date_olympus-c750uz.jpg": ("2023-04-05T09:06:56", Source.EXIF_DATETIME),
    "exif_samsung-j327_orientation6.jpg": ("2019-09-26T16:38:00.053200", Source.EXIF_ORIGINAL),
    "exif_trailing-nul_pentax-s4.jpg": ("2004-09-04T19:52:06", Source.EXIF_ORIGINAL),
    "mode_cmyk.jpg": ("2009-03-06T22:15:00", Source.EXIF_DATETIME),
    "exif_blank-date_fujifilm-dx5.jpg": None,
    "mode_rgb16.tif": None,
    "png_exif-chunk_no-date.png": None,
    "cxr_nih_00000001_000.png": None,
    "malformed/broken-exif.jpg": None,
    "malformed/bomb_25000x25000_gray.png": None,
}


@pytest.mark.parametrize("name", REAL)
def test_real_files_give_the_time_that_is_known_of_them(shared_images, name):
    found = read((shared_images / name).read_bytes()).capture
    assert (found and (found.moment.isoformat(), found.source)) == REAL[name]


@pytest.mark.parametrize(
    ("name", "camera", "extent"),
    [
        ("cxr_effusion_canon-sd750_exif.jpg", "Canon PowerShot SD750", (2552, 2154)),
        ("exif_gopro-hero11_mpo_offset.jpg", "GoPro HERO11 Black", (275, 240)),
        ("ct_small_explicit-le.dcm", "GE MEDICAL SYSTEMS RHAPSODE", (128, 128)),
        ("derived_ct_3page_gray16.tif", "", (512, 512)),
        ("fundus_rfmid.png", "", (2144, 1424)),
    ],
)
def test_camera_and_extent_of_real_files(shared_images, name, camera, extent):
    found = read((shared_images / name).read_bytes())
    assert (found.camera, (found.width, found.height), found.notes) == (camera, extent, ())


def test_an_exif_block_that_nobody_can_read_is_noted(shared_images):
    assert read((shared_images / "malformed" / "broken-exif.jpg").read_bytes()).notes == ("exif-unreadable",)


def _exif(original="2011:02:03 04:05:06", digitized=None, changed=None):
    exif = Image.Exif()
    exif[271], exif[272] = "Maker", "Model 1"
    if changed:
        exif[306] = changed
    sub = exif.get_ifd(34665)
    if original:
        sub[36867] = original
    if digitized:
        sub[36868] = digitized
    return exif


def _image(format_, **options):
    target = io.BytesIO()
    Image.new("RGB", (20, 10)).save(target, format_, **options)
    return target.getvalue()


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_is_read_from_every_format_that_carries_it(format_):
    options = {"exif": _exif()}
    if format_ == "TIFF":
        tags = TiffImagePlugin.ImageFileDirectory_v2()
        tags[271], tags[272], tags[34665] = "Maker", "Model 1", {36867: "2011:02:03 04:05:06"}
        options = {"tiffinfo": tags}
    found = read(_image(format_, **options))
    assert found.capture.moment == datetime(2011, 2, 3, 4, 5, 6)
    assert found.capture.source is Source.EXIF_ORIGINAL
    assert (found.camera, found.width, found.height) == ("Maker Model 1", 20, 10)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "JPEG2000"])
def test_the_extent_is_read_from_formats_without_exif(format_):
    found = read(_image(format_))
    assert (found.capture, found.width, found.height) == (None, 20, 10)


def test_original_goes_before_digitized_before_changed():
    first, second, third = "2001:01:01 01:01:01", "2002:01:01 01:01:01", "2003:01:01 01:01:01"
    nothing = "0000:00:00 00:00:00"
    cases = [
        (first, second, third, 2001, Source.EXIF_ORIGINAL),
        (nothing, second, third, 2002, Source.EXIF_DIGITIZED),
        (nothing, None, third, 2003, Source.EXIF_DATETIME),
    ]
    for original, digitized, changed, year, source in cases:
        found = read(_image("JPEG", exif=_exif(original, digitized, changed))).capture
        assert (found.moment.year, found.source) == (year, source)


def _segment(payload):
    return b"\xff\xe1" + struct.pack(">H", len(payload) + 2) + payload


def test_several_exif_segments_are_looked_at():
    plain = _image("JPEG")
    useless = _segment(b"Exif\0\0" + _exif(original=None).tobytes()[6:])
    xmp = _segment(b"http://ns.adobe.com/xap/1.0/\0<x/>")
    useful = _segment(_exif().tobytes())
    found = read(plain[:2] + xmp + useless + useful + plain[2:])
    assert found.capture.source is Source.EXIF_ORIGINAL


def _chunk(name, payload):
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def _profile(block):
    digits = block.hex()
    lines = "\n".join(digits[n : n + 72] for n in range(0, len(digits), 72))
    return f"\nexif\n{len(block):8}\n{lines}\n".encode()


@pytest.mark.parametrize("kind", ["eXIf first", "eXIf last", "tEXt", "zTXt", "iTXt", "iTXt packed", "APP1"])
def test_png_carries_exif_in_many_places(kind):
    block = _exif().tobytes()
    text, key = _profile(block), b"Raw profile type exif\0"
    chunk = {
        "eXIf first": _chunk(b"eXIf", block[6:]),
        "eXIf last": _chunk(b"eXIf", block[6:]),
        "tEXt": _chunk(b"tEXt", key + text),
        "zTXt": _chunk(b"zTXt", key + b"\0" + zlib.compress(text)),
        "iTXt": _chunk(b"iTXt", key + b"\0\0\0\0" + text),
        "iTXt packed": _chunk(b"iTXt", key + b"\1\0en\0\0" + zlib.compress(text)),
        "APP1": _chunk(b"zTXt", b"Raw profile type APP1\0\0" + zlib.compress(text)),
    }[kind]
    plain = _image("PNG")
    at = len(plain) - 12 if kind == "eXIf last" else 33
    assert read(plain[:at] + chunk + plain[at:]).capture.source is Source.EXIF_ORIGINAL


def test_a_text_that_inflates_without_end_is_not_inflated():
    packed = zlib.compress(bytes(50 << 20), 9)
    plain = _image("PNG")
    bomb = _chunk(b"zTXt", b"Raw profile type exif\0\0" + packed)
    assert read(plain[:33] + bomb + plain[33:]).capture is None


def test_a_block_that_is_no_tiff_never_names_a_file_to_open(tmp_path):
    # piexif opens what it takes for a file name.
    trap = tmp_path / "trap"
    trap.write_bytes(_image("JPEG", exif=_exif()))
    plain = _image("JPEG")
    data = plain[:2] + _segment(b"Exif\0\0" + str(trap).encode()) + plain[2:]
    assert read(data).capture is None
    assert read(data).notes == ("exif-unreadable",)


@given(st.binary(max_size=300), st.sampled_from([Format.JPEG, Format.PNG, Format.TIFF, Format.DICOM, Format.WEBP]))
def test_no_metadata_make_the_readers_raise_anything_unnamed(data, format_):
    starts = {
        Format.JPEG: b"\xff\xd8\xff\xe1\0\x40Exif\0\0II*\0\x08\0\0\0",
        Format.PNG: b"\x89PNG\r\n\x1a\n\0\0\0\x40eXIfII*\0\x08\0\0\0",
        Format.TIFF: b"II*\0\x08\0\0\0",
        Format.DICOM: bytes(128) + b"DICM",
        Format.WEBP: b"RIFF\0\1\0\0WEBPEXIF\x80\0\0\0II*\0\x08\0\0\0",
    }
    file = starts[format_] + data
    with contextlib.suppress(IncompleteFile):
        read_embedded(io.BytesIO(file), len(file), format_, now=NOW)


# --- camera and side-car --------------------------------------------------------------------------------------------


def test_camera_names_are_printable_and_short():
    assert camera_name("Canon", "Canon EOS 5D") == "Canon EOS 5D"
    assert camera_name("SonoSite,\0 Inc.", "Turbo\x1b[31m") == "SonoSite, Inc. Turbo [31m"
    assert len(camera_name("M" * 60, "N" * 60)) == 64
    assert camera_name("", "") == ""


@pytest.mark.parametrize("name", ["scan.png.json", "scan.json"])
@pytest.mark.parametrize("key", ["datetime", "DateTimeOriginal", "capture_time"])
def test_a_side_car_gives_the_time(tmp_path, name, key):
    (tmp_path / name).write_text(json.dumps({"patient": "x", key: "2024-05-06T07:08:09.25+02:00"}))
    found, notes = read_sidecar(tmp_path / "scan.png")
    assert not notes
    assert found.moment == datetime(2024, 5, 6, 7, 8, 9, 250000, tzinfo=zone(2))
    assert found.source is Source.SIDECAR


def test_a_side_car_may_use_the_exif_form(tmp_path):
    (tmp_path / "scan.json").write_text('{"DateTimeOriginal": "2024:05:06 07:08:09"}')
    assert read_sidecar(tmp_path / "scan.png")[0].moment == datetime(2024, 5, 6, 7, 8, 9)


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"datetime": 5}',
        '{"datetime": "yesterday"}',
        "[" * 20000,
        '{"datetime": "2099-01-01"}',
        " " * 70000,
    ],
)
def test_a_malformed_side_car_is_noted_and_never_an_error(tmp_path, content):
    (tmp_path / "scan.json").write_text(content)
    assert read_sidecar(tmp_path / "scan.png", now=NOW) == (None, ("sidecar-unusable",))


def test_a_side_car_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_text('{"datetime": "2024-05-06"}')
    (tmp_path / "scan.json").symlink_to(tmp_path / "elsewhere")
    assert read_sidecar(tmp_path / "scan.png") == (None, ("sidecar-unreadable",))


def test_no_side_car_is_no_note(tmp_path):
    assert read_sidecar(tmp_path / "scan.png") == (None, ())
