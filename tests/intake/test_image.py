"""Every file that stands complete gets an inspection; every other one a named error that says whether to look again."""

import os
import struct
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from PIL import Image

from edge.errors import ChangedWhileRead, EmptyFile, IncompleteFile, UnreadableFile, VanishedFile
from edge.intake.formats import Format
from edge.intake.image import Inspector
from edge.records import CaptureSource, SettledFile
from tests.world import slow_dicom

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
OPERATOR = datetime(2020, 1, 1, tzinfo=UTC)
MEMORY_LIMIT = 256 << 20


def settled(path):
    status = path.lstat()
    return SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


@pytest.fixture(scope="module")
def inspector():
    with Inspector(memory_limit=MEMORY_LIMIT, timeout=20.0) as found:
        yield found


@pytest.fixture
def plain(tmp_path):
    path = tmp_path / "scan.png"
    Image.new("RGB", (20, 10)).save(path)
    os.utime(path, ns=(0, 1_700_000_000_123_456_789))
    return path


def _dated(path):
    exif = Image.Exif()
    exif.get_ifd(34665)[36867] = "2011:02:03 04:05:06"
    Image.new("RGB", (20, 10)).save(path, "JPEG", exif=exif)
    return path


# --- what is known of a file ----------------------------------------------------------------------------------------


def test_a_plain_image(inspector, plain):
    found = inspector.inspect(settled(plain), now=NOW)
    assert (found.format, found.media_type, found.known) == (Format.PNG, "image/png", True)
    assert (found.width, found.height, found.camera, found.notes) == (20, 10, "", ())


def test_unknown_content_is_carried_too(inspector, tmp_path):
    path = tmp_path / "scan.jpg"
    path.write_bytes(b"no image at all, but somebody put it here")
    found = inspector.inspect(settled(path), now=NOW)
    assert (found.format, found.media_type, found.known) == (None, "application/octet-stream", False)
    assert found.capture.source is CaptureSource.MTIME


def test_a_format_without_a_decoder_is_noted(inspector, tmp_path):
    path = tmp_path / "scan"
    path.write_bytes(b"P5\n1 1\n255\nx")
    assert inspector.inspect(settled(path), now=NOW).notes == ("undecodable",)


def test_every_real_image_is_inspected(inspector, shared_images):
    files = [path for path in sorted(shared_images.glob("*.*")) if path.suffix != ".csv"]
    assert len(files) > 30
    for path in files:
        found = inspector.inspect(settled(path), now=NOW)
        assert found.known
        assert found.width > 0
        assert found.height > 0
        assert not found.notes


# --- the capture time -----------------------------------------------------------------------------------------------


def test_the_files_own_time_goes_first(inspector, tmp_path):
    path = _dated(tmp_path / "scan.jpg")
    (tmp_path / "scan.json").write_text('{"datetime": "2019-01-01"}')
    found = inspector.inspect(settled(path), now=NOW, operator=OPERATOR)
    assert found.capture.source is CaptureSource.EXIF_ORIGINAL


def test_then_the_operators_then_the_side_car_then_the_mtime_then_the_clock(inspector, plain):
    side = plain.with_suffix(".json")
    side.write_text('{"datetime": "2019-01-01T00:00:00"}')
    file = settled(plain)
    assert inspector.inspect(file, now=NOW, operator=OPERATOR).capture.source is CaptureSource.OPERATOR
    assert inspector.inspect(file, now=NOW).capture.source is CaptureSource.SIDECAR
    side.unlink()
    capture = inspector.inspect(file, now=NOW).capture
    assert capture.source is CaptureSource.MTIME
    assert capture.moment == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    capture = inspector.inspect(file, now=NOW, fallbacks=("sidecar",)).capture
    assert (capture.source, capture.moment) == (CaptureSource.CLOCK, NOW)


def test_the_order_of_the_fallbacks_can_be_chosen(plain):
    with Inspector(fallbacks=("mtime", "operator")) as inspector:
        assert inspector.inspect(settled(plain), now=NOW, operator=OPERATOR).capture.source is CaptureSource.MTIME
        chosen = inspector.inspect(settled(plain), now=NOW, operator=OPERATOR, fallbacks=("operator",))
        assert chosen.capture.source is CaptureSource.OPERATOR


def test_a_side_car_that_cannot_be_used_is_noted(inspector, plain):
    plain.with_suffix(".json").write_text("{")
    found = inspector.inspect(settled(plain), now=NOW)
    assert (found.capture.source, found.notes) == (CaptureSource.MTIME, ("sidecar-unusable",))


@pytest.mark.parametrize("seconds", [0, 4_000_000_000])
def test_an_implausible_mtime_is_used_and_noted(inspector, plain, seconds):
    os.utime(plain, (seconds, seconds))
    found = inspector.inspect(settled(plain), now=NOW)
    assert (found.capture.source, found.notes) == (CaptureSource.MTIME, ("mtime-implausible",))


def test_a_time_from_the_future_is_not_believed(inspector, tmp_path):
    path = _dated(tmp_path / "scan.jpg")
    before = datetime(2011, 2, 3, 4, 5, 6, tzinfo=UTC) - timedelta(days=2)
    assert inspector.inspect(settled(path), now=before, fallbacks=()).capture.source is CaptureSource.CLOCK


# --- files that are not there, not whole, or not themselves ---------------------------------------------------------


def test_an_empty_file(inspector, tmp_path):
    (tmp_path / "scan.jpg").touch()
    with pytest.raises(EmptyFile):
        inspector.inspect(settled(tmp_path / "scan.jpg"), now=NOW)


@pytest.mark.parametrize("format_", ["JPEG", "PNG", "TIFF", "GIF", "BMP", "WEBP"])
def test_a_file_that_is_still_written(inspector, tmp_path, format_):
    path = tmp_path / "scan"
    Image.effect_noise((40, 40), 50).save(path, format_)
    whole = path.read_bytes()
    for part in (whole[: len(whole) // 2], whole[:-1], bytes(len(whole))):
        path.write_bytes(part)
        with pytest.raises(IncompleteFile) as caught:
            inspector.inspect(settled(path), now=NOW)
        assert caught.value.retryable
        assert str(path) not in str(caught.value)


def test_a_file_that_is_gone(inspector, plain):
    file = settled(plain)
    plain.unlink()
    with pytest.raises(VanishedFile):
        inspector.inspect(file, now=NOW)


def test_a_file_that_was_replaced_or_goes_on_growing(inspector, plain):
    file = settled(plain)
    with plain.open("ab") as more:
        more.write(b"x")
    with pytest.raises(ChangedWhileRead):
        inspector.inspect(file, now=NOW)


def test_neither_links_nor_pipes_nor_folders_are_read(inspector, tmp_path, plain):
    link, pipe, folder = tmp_path / "link", tmp_path / "pipe", tmp_path / "folder"
    link.symlink_to(plain)
    os.mkfifo(pipe)
    folder.mkdir()
    for path in (link, pipe, folder):
        with pytest.raises(UnreadableFile):
            inspector.inspect(settled(path), now=NOW)


def test_truncated_real_files(inspector, shared_images):
    for name in ("truncated_cxr.jpg", "mr_truncated.dcm"):
        with pytest.raises(IncompleteFile):
            inspector.inspect(settled(shared_images / "malformed" / name), now=NOW)


# --- hostile files --------------------------------------------------------------------------------------------------


def _peak(inspector):
    """Return the worker's peak resident set in bytes: under its address-space limit whatever it read."""
    pid = inspector._worker.pid
    if pid is None:
        return 0
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


def test_malformed_real_files_take_little_memory(inspector, shared_images):
    expected = {
        "bomb_25000x25000_gray.png": ("pixels-too-large",),
        "broken-exif.jpg": ("exif-unreadable",),
        "png-named.jpg": (),
        "tiff_tagcount-bomb.tif": (),
    }
    for name, notes in expected.items():
        assert inspector.inspect(settled(shared_images / "malformed" / name), now=NOW).notes == notes
        assert 0 < _peak(inspector) < 128 << 20


def _chunk(name, payload):
    return struct.pack(">I", len(payload)) + name + payload + struct.pack(">I", zlib.crc32(name + payload))


def _packed_zeros(megabytes, window):
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def _element(group, element, vr, value, length=None):
    length = len(value) if length is None else length
    if vr in (b"OW", b"SQ"):
        return struct.pack("<HH2s2xI", group, element, vr, length) + value
    return struct.pack("<HH2sH", group, element, vr, length) + value


def _dicom(body, syntax=b"1.2.840.10008.1.2.1\0"):
    return bytes(128) + b"DICM" + _element(2, 16, b"UI", syntax) + body


def _jpeg(entries, following=0):
    table = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    block = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + table + struct.pack("<I", following)
    return b"\xff\xd8\xff\xe1" + struct.pack(">H", len(block) + 2) + block + b"\xff\xda\0\2" + b"x" * 9 + b"\xff\xd9"


_HEADER = _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))


def _text_bomb():
    packed = _packed_zeros(100, 15)
    text = _chunk(b"iTXt", b"Raw profile type exif\0\1\0\0\0" + packed) + _chunk(b"zTXt", b"x\0\0" + packed)
    return b"\x89PNG\r\n\x1a\n" + _HEADER + text + _chunk(b"IDAT", zlib.compress(bytes(72))) + _chunk(b"IEND", b"")


def _deep_sequences():
    opening = _element(8, 0x1140, b"SQ", struct.pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF), 0xFFFFFFFF)
    return _dicom(_element(8, 0x20, b"DA", b"20200102") + opening * 20000)


def _deflated_bomb():
    stream = _packed_zeros(100, -15)
    return _dicom(stream, b"1.2.840.10008.1.2.1.99")


def _overlapping_tags():
    entries = b"".join(struct.pack("<HHII", 1000 + n, 1, 4 << 20, 60000) for n in range(4000))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", 4000) + entries + bytes(4) + bytes(5 << 20)


HOSTILE = {
    "a text that inflates to 100 MiB": _text_bomb,
    "a deflated data set of 100 MiB": _deflated_bomb,
    "sequences nested 20000 deep": _deep_sequences,
    "directories that point at each other": lambda: _jpeg([(34665, 4, 1, 8), (34853, 4, 1, 8)], 8),
    "tags that claim 50 million values": lambda: _jpeg([(271, 3, 50_000_000, 8), (272, 3, 50_000_000, 8)]),
    "tags that claim 4 billion values": lambda: _jpeg([(271, 3, 0xFFFFFFFF, 8), (315, 2, 0xFFFFFFFF, 8)]),
    "tags that share 4 MiB": _overlapping_tags,
    "a TIFF directory that follows itself": lambda: b"II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 256, 4, 1, 7, 8),
    "a JPEG of fill bytes": lambda: b"\xff\xd8" + b"\xff" * 2_000_000,
    "a JPEG of markers": lambda: b"\xff\xd8\xff\xda\0\2" + b"\xff\x01" * 500_000,
    "a PNG of empty chunks": lambda: b"\x89PNG\r\n\x1a\n" + _HEADER + _chunk(b"abCd", b"") * 210_000,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_takes_little_memory_and_is_carried(tmp_path, name):
    path = tmp_path / "scan"
    path.write_bytes(HOSTILE[name]())
    with Inspector(memory_limit=MEMORY_LIMIT, timeout=20.0) as inspector:
        found = inspector.inspect(settled(path), now=NOW)
        assert found.known
        assert _peak(inspector) < MEMORY_LIMIT
        _dated(tmp_path / "next.jpg")
        following = inspector.inspect(settled(tmp_path / "next.jpg"), now=NOW)
        assert following.capture.source is CaptureSource.EXIF_ORIGINAL


def test_a_reader_that_takes_too_long_costs_its_metadata_only(tmp_path):
    path = tmp_path / "scan.dcm"
    path.write_bytes(slow_dicom())
    with Inspector(timeout=0.3) as inspector:
        found = inspector.inspect(settled(path), now=NOW)
    assert (found.media_type, found.notes) == ("application/dicom", ("inspection-timeout",))
    assert found.capture.source is CaptureSource.MTIME


def test_nothing_read_from_a_file_reaches_the_logs(tmp_path, caplog, capfd, inspector):
    exif = Image.Exif()
    exif[271], exif[306] = "PATIENT^NAME", "PATIENT^NAME"
    path = tmp_path / "PATIENT^NAME.jpg"
    Image.new("RGB", (20, 10)).save(path, "JPEG", exif=exif)
    inspector.inspect(settled(path), now=NOW)
    with path.open("ab") as more:
        more.truncate(path.stat().st_size - 1)
    with pytest.raises(IncompleteFile) as caught:
        inspector.inspect(settled(path), now=NOW)
    for text in (caplog.text, *capfd.readouterr(), str(caught.value), caught.value.hint):
        assert "PATIENT" not in text
