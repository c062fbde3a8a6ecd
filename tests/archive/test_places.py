"""The store and its catalogue: hostile names stay inside, nothing is overwritten, nothing half-made stays."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from edge import durable
from edge.archive import Archive, keep_side, write_plain
from edge.envelope.metadata import Metadata
from edge.errors import LedgerCorrupt, StorageError
from edge.records import CaptureSource, CaptureTime
from tests.archive.storing import (
    DAY,
    deliver,
    envelope_and_metadata,
    files_in,
    opened,
    place_of,
    place_without_recording,
)


def test_an_image_lies_under_its_device_and_day_with_its_own_name_and_time(archive: Archive, tmp_path: Path) -> None:
    place = deliver(archive, b"plain")
    assert str(place) == f"{DAY}/scan.png"
    details = (tmp_path / "store" / place).stat()
    assert details.st_mtime_ns == 1_700_000_000_000_000_001
    assert details.st_mode & 0o777 == 0o640
    assert files_in(tmp_path / "store") == {f"{DAY}/scan.png": b"plain"}


@pytest.mark.parametrize(
    "name",
    [
        b"../../../../outside.png",
        b"/etc/passwd",
        b"..",
        b".",
        b"a/../../b.png",
        b"..\\..\\outside.png",
        b"nul\0byte.png",
        b".incoming",
        b"." * 200,
        b" ",
        b"x" * 1024,
        "ü".encode() * 500,
        "gnp\u202eexe.png".encode(),
        b"\xff\xfe\xfd",
        b"CON:\\*?.png",
        b"~/.ssh/authorized_keys",
        b"-rf",
        b"$(reboot)",
    ],
    ids=repr,
)
def test_a_hostile_name_stays_in_its_folder(archive: Archive, tmp_path: Path, name: bytes) -> None:
    place = deliver(archive, b"plain", name=name)
    assert str(place.parent) == DAY
    assert not place.name.startswith(".")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]
    assert set(tmp_path.iterdir()) == {tmp_path / "store", tmp_path / "catalogue"}


@pytest.mark.parametrize("year", [1, 9999])
def test_a_far_year_has_four_digits(archive: Archive, year: int) -> None:
    envelope, metadata = envelope_and_metadata(b"plain")
    moment = datetime(year, 1, 2, tzinfo=UTC)
    metadata = replace(metadata, capture=CaptureTime(moment, CaptureSource.MTIME))
    assert str(place_of(archive, b"plain", envelope, metadata)) == f"device-1/{year:04d}/01/02/scan.png"


@pytest.mark.parametrize("mtime_ns", [-(2**63), -1, 0, 2**63 - 1])
def test_any_modification_time_is_survived(archive: Archive, mtime_ns: int) -> None:
    envelope, metadata = envelope_and_metadata(b"plain")
    assert place_of(archive, b"plain", envelope, replace(metadata, mtime_ns=mtime_ns)).name == "scan.png"


def test_nothing_is_overwritten(archive: Archive, tmp_path: Path) -> None:
    names = [deliver(archive, f"plain {number}".encode(), label=str(number)).name for number in range(3)]
    assert names == ["scan.png", "scan (2).png", "scan (3).png"]
    assert sorted(files_in(tmp_path / "store").values()) == [b"plain 0", b"plain 1", b"plain 2"]


def test_what_a_person_put_into_the_store_is_not_overwritten(archive: Archive, tmp_path: Path) -> None:
    folder = tmp_path / "store" / DAY
    folder.mkdir(parents=True)
    (folder / "scan.png").symlink_to(tmp_path / "elsewhere")
    (folder / "scan (2).png").mkdir()
    assert deliver(archive, b"plain").name == "scan (3).png"
    assert not (tmp_path / "elsewhere").exists()


def test_the_same_content_of_one_name_is_stored_once(archive: Archive, tmp_path: Path) -> None:
    first = deliver(archive, b"plain", label="a")
    second = deliver(archive, b"plain", label="b")
    assert first == second
    assert len(files_in(tmp_path / "store")) == 1
    assert len(archive.catalogue.deliveries()) == 2


def test_the_same_content_of_another_name_is_another_file(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"plain", label="a", name=b"one.png")
    deliver(archive, b"plain", label="b", name=b"two.png")
    assert set(files_in(tmp_path / "store")) == {f"{DAY}/one.png", f"{DAY}/two.png"}


def test_a_crash_between_placing_and_recording_leaves_one_file(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        first = place_without_recording(archive, b"plain")
        assert archive.catalogue.deliveries() == []
    with opened(tmp_path) as archive:
        assert deliver(archive, b"plain") == first
        assert len(archive.catalogue.deliveries()) == 1
    assert list(files_in(tmp_path / "store")) == [str(first)]


def test_what_was_placed_before_a_crash_is_durable_before_it_is_recorded(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = archive._store / place_without_recording(archive, b"plain")
    confirmed: list[Path] = []
    monkeypatch.setattr(durable, "confirm", confirmed.append)
    deliver(archive, b"plain")
    deliver(archive, b"plain", label="b")
    assert confirmed == [place, place]


def test_what_lies_beside_pixels_does_not_overwrite_an_image(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"an image of that name", label="a", name=b"scan.png.exif")
    place = deliver(archive, b"pixels", label="b", name=b"scan.png")
    store = tmp_path / "store"

    for _ in range(2):
        with archive.incoming() as folder:
            keep_side(store / place, {"exif": b"block", "../icc": b"profile"}, folder)

    files = files_in(store)
    assert files[f"{DAY}/scan.png.exif"] == b"an image of that name"
    assert sorted(files.values()) == sorted([b"an image of that name", b"pixels", b"block", b"profile"])


def test_the_catalogue_survives_being_opened_again(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        deliver(archive, b"plain", label="a")
        rejected, _ = envelope_and_metadata(b"other", label="b")
        archive.catalogue.record_rejected(rejected, "opening-failed", received_at="2026-11-21T00:00:00+00:00")
        before = archive.catalogue.deliveries()
    with opened(tmp_path) as archive:
        assert archive.catalogue.deliveries() == before
        found = archive.catalogue.find("device-1", rejected.manifest.image_id)
        assert found is not None
        assert (found.status, found.reason, found.path) == ("rejected", "opening-failed", "")
        assert archive.catalogue.find("device-2", rejected.manifest.image_id) is None
        assert before[0].sha256 == hashlib.sha256(b"plain").hexdigest()


def test_a_damaged_catalogue_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "catalogue").mkdir()
    (tmp_path / "catalogue" / "catalogue.sqlite").write_bytes(b"SQLite format 3\0" + bytes(4096))
    with pytest.raises(LedgerCorrupt), opened(tmp_path):
        pass


def test_a_catalogue_that_cannot_be_written_raises_a_storage_error(archive: Archive) -> None:
    archive.catalogue._connection.execute("PRAGMA query_only = ON")
    with pytest.raises(StorageError):
        deliver(archive, b"plain")


def test_a_full_disk_leaves_nothing_behind(archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise StorageError("the disk is full")

    monkeypatch.setattr(durable, "take_name", refuse)
    with pytest.raises(StorageError):
        deliver(archive, b"plain")
    assert files_in(tmp_path / "store") == {}
    assert archive.catalogue.deliveries() == []


def test_writing_to_a_full_disk_is_a_storage_error(tmp_path: Path) -> None:
    def write(_file: object) -> Metadata:
        raise OSError(28, "No space left on device", "/a/name")

    with pytest.raises(StorageError, match="the disk is full"):
        write_plain(tmp_path / "plain", write)
