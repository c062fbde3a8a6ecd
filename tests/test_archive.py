"""The store and its catalogue: hostile names stay inside, nothing is overwritten, nothing half-made stays."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

import edge.archive
from edge import durable
from edge.archive import Archive, Incoming, keep_side, write_plain
from edge.envelope import sign
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope
from edge.errors import LedgerCorrupt, StorageError
from edge.records import CaptureSource, CaptureTime
from tests.envelope import party

DAY = "device-1/2023/11/14"


@pytest.fixture
def archive(tmp_path: Path) -> Iterator[Archive]:
    """An empty store with its catalogue."""
    with opened(tmp_path) as archive:
        yield archive


@contextmanager
def opened(folder: Path, *, catalogue: str = "catalogue") -> Iterator[Archive]:
    """Open the archive below a folder; again and again, as restarts do."""
    archive = Archive(folder / "store", folder / catalogue / "catalogue.sqlite")
    yield archive
    archive.close()


def envelope_and_metadata(
    plain: bytes, *, label: str = "a", name: bytes = b"scan.png"
) -> tuple[SignedEnvelope, Metadata]:
    """Return what a receiver knows of an image, with another name where that is wanted."""
    sealed = party.sealed(plain, label=label)
    manifest, _ = party.split(sealed)
    _, metadata = party.opened(sealed)
    return sign.read_manifest(manifest), replace(metadata, name=name)


def deliver(archive: Archive, plain: bytes, *, label: str = "a", name: bytes = b"scan.png") -> Path:
    """Store an image as the receiver does, and return its place below the store."""
    return place_of(archive, plain, *envelope_and_metadata(plain, label=label, name=name))


def place_without_recording(archive: Archive, plain: bytes) -> Path:
    """Die between placing and recording an image, and return its place below the store."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive.catalogue, "record_stored", die)
        with pytest.raises(Died):
            deliver(archive, plain)
    [place] = files_in(archive._store)
    return Path(place)


class Died(BaseException):
    """The process ended here."""


def place_of(archive: Archive, plain: bytes, envelope: SignedEnvelope, metadata: Metadata) -> Path:
    """Store an image of which this is known."""
    with archive.incoming() as folder:
        path = folder / "plain"
        path.write_bytes(plain)
        [place] = archive.store([Incoming(path, "", envelope, metadata)], received_at="2026-11-21T00:00:00+00:00")
    if isinstance(place, StorageError):
        raise place
    return place.relative_to(archive._store)


def files_in(store: Path) -> dict[str, bytes]:
    """Return every file of the store, hidden ones too, but for the lock of a receiver that runs."""
    found = [path for path in store.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}


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


def test_what_an_interrupted_store_left_is_swept_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path):
        pass
    left = tmp_path / "store" / ".incoming" / "0123456789abcdef"
    left.mkdir()
    (left / "plain").write_bytes(b"half an image")
    (tmp_path / "store" / ".incoming" / "stray").write_bytes(b"")
    with opened(tmp_path) as archive:
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []
        deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store")) == [f"{DAY}/scan.png"]
    assert list((tmp_path / "store" / ".incoming").iterdir()) == []


def test_one_private_folder_serves_one_image_after_the_other(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        for label in "ab":
            deliver(archive, b"plain", label=label)
            [folder] = (tmp_path / "store" / ".incoming").iterdir()
            with archive.incoming() as again:
                assert again == folder
                assert folder.stat().st_mode & 0o777 == 0o700
    assert list((tmp_path / "store" / ".incoming").iterdir()) == []


def test_a_private_folder_that_is_gone_is_made_anew(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    [folder] = (tmp_path / "store" / ".incoming").iterdir()
    shutil.rmtree(folder)
    deliver(archive, b"after", label="b")
    assert sorted(files_in(tmp_path / "store").values()) == [b"after", b"before"]
    [other] = (tmp_path / "store" / ".incoming").iterdir()
    assert other != folder


def test_a_private_folder_that_cannot_be_locked_is_not_left(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def refuse(folder: Path) -> Iterator[None]:
        raise StorageError("the disk is full")
        yield

    with monkeypatch.context() as patch:
        patch.setattr(durable, "lock_folder", refuse)
        for _ in range(3):
            with pytest.raises(StorageError), archive.incoming():
                pass
    deliver(archive, b"plain")
    assert len(list((tmp_path / "store" / ".incoming").iterdir())) == 1


def test_what_could_not_be_removed_is_in_no_later_image_s_way_and_goes_as_soon_as_it_can(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch, pytest.raises(StorageError), archive.incoming() as folder:  # noqa: PT012
        (folder / "plain").write_bytes(b"in clear")
        patch.setattr(Path, "unlink", refuse)
    assert (folder / "plain").exists()
    deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]
    assert not folder.exists()


def test_a_private_folder_that_could_not_be_emptied_and_is_gone_then_is_made_anew(
    archive: Archive, tmp_path: Path
) -> None:
    with pytest.raises(StorageError), archive.incoming() as folder:
        folder.rename(tmp_path / "gone")
    deliver(archive, b"plain")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]


def test_a_second_receiver_of_the_group_does_not_sweep_what_the_first_is_storing(tmp_path: Path) -> None:
    with opened(tmp_path) as first, first.incoming() as folder:
        (folder / "plain").write_bytes(b"nearly whole")
        with opened(tmp_path, catalogue="other") as second:
            deliver(second, b"plain")
        assert (folder / "plain").read_bytes() == b"nearly whole"


def test_a_second_receiver_of_the_group_leaves_the_folder_of_one_that_waits_for_an_image(tmp_path: Path) -> None:
    with opened(tmp_path) as first:
        deliver(first, b"plain")
        before = list((tmp_path / "store" / ".incoming").iterdir())
        with opened(tmp_path, catalogue="other"):
            assert list((tmp_path / "store" / ".incoming").iterdir()) == before


def test_nothing_is_left_where_storing_fails(archive: Archive, tmp_path: Path) -> None:
    def stumble(folder: Path) -> None:
        (folder / "plain").write_bytes(b"half")
        raise RuntimeError

    with pytest.raises(RuntimeError), archive.incoming() as folder:
        stumble(folder)
    assert files_in(tmp_path / "store") == {}


@pytest.mark.parametrize("size", [10, 3_000_000])
def test_a_scratch_file_gives_back_what_was_written_and_has_no_name(archive: Archive, size: int) -> None:
    data = os.urandom(size)
    with archive.incoming() as folder, archive.scratch(folder) as scratch:
        scratch.write(data)
        scratch.seek(0)
        read = bytearray(size)
        assert scratch.readinto(memoryview(read)) == size
        assert read == data
        assert [path.name for path in folder.iterdir()] == ["lock"]


def test_what_was_placed_before_a_crash_is_durable_before_it_is_recorded(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = archive._store / place_without_recording(archive, b"plain")
    confirmed: list[Path] = []
    monkeypatch.setattr(durable, "confirm", confirmed.append)
    deliver(archive, b"plain")
    deliver(archive, b"plain", label="b")
    assert confirmed == [place, place]


def test_a_folder_that_another_receiver_took_for_a_left_one_does_not_count_against_the_image(
    archive: Archive, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = durable.lock_folder

    def swept(folder: Path) -> object:
        descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        return real(folder)

    monkeypatch.setattr(durable, "lock_folder", swept)
    with pytest.raises(StorageError) as caught, archive.incoming():
        pass
    assert caught.value.retryable


def test_a_receiver_starts_while_another_of_its_group_removes_a_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path):
        pass
    (tmp_path / "store" / ".incoming" / "0123456789abcdef").mkdir()
    real = durable.lock_folder

    def late(folder: Path) -> object:
        if folder.parent.name == ".incoming":
            folder.rmdir()
        return real(folder)

    monkeypatch.setattr(durable, "lock_folder", late)
    with opened(tmp_path):
        assert list((tmp_path / "store" / ".incoming").iterdir()) == []


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


def store_together(archive: Archive, *images: tuple[str, bytes, bytes]) -> list[Path | StorageError]:
    """Store images that came together, each of a label, a name and a content; return their places below the store."""
    with archive.incoming() as folder:
        incoming = []
        for label, name, plain in images:
            path = folder / f"plain-{label}"
            path.write_bytes(plain)
            incoming.append(Incoming(path, "", *envelope_and_metadata(plain, label=label, name=name)))
        outcomes = archive.store(incoming, received_at="2026-11-21T00:00:00+00:00")
    return [each if isinstance(each, StorageError) else each.relative_to(archive._store) for each in outcomes]


THREE = (("a", b"a.png", b"plain a"), ("b", b"b.png", b"plain b"), ("c", b"c.png", b"plain c"))


def test_images_that_come_together_are_synced_and_recorded_together(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(archive, b"the day's first", label="first", name=b"first.png")
    steps: list[str] = []
    sync, record = os.fsync, archive.catalogue.record_stored

    def hear_sync(descriptor: int) -> None:
        steps.append("folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "file")
        sync(descriptor)

    def hear_record(images: Sequence[object], *, received_at: str) -> None:
        steps.append(f"record {len(images)}")
        record(images, received_at=received_at)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "fsync", hear_sync)
    monkeypatch.setattr(archive.catalogue, "record_stored", hear_record)
    assert store_together(archive, *THREE) == [Path(DAY) / "a.png", Path(DAY) / "b.png", Path(DAY) / "c.png"]
    assert steps == ["file", "file", "file", "folder", "record 3"]
    assert sorted(files_in(tmp_path / "store").values()) == [b"plain a", b"plain b", b"plain c", b"the day's first"]


def test_an_image_that_the_disk_refuses_keeps_no_other_back(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_whole = edge.archive.make_whole

    def refuse(path: Path, mtime_ns: int) -> None:
        if path.name == "plain-b":
            raise StorageError("the disk is full")
        make_whole(path, mtime_ns)

    with monkeypatch.context() as patch:
        patch.setattr(edge.archive, "make_whole", refuse)
        outcomes = store_together(archive, *THREE)
    assert [isinstance(each, StorageError) for each in outcomes] == [False, True, False]
    assert set(files_in(tmp_path / "store")) == {f"{DAY}/a.png", f"{DAY}/c.png"}
    assert [image.path for image in archive.catalogue.deliveries()] == [f"{DAY}/a.png", f"{DAY}/c.png"]
    assert store_together(archive, THREE[1]) == [Path(DAY) / "b.png"]


@pytest.mark.parametrize("links", [True, False])
def test_where_the_folder_cannot_be_synced_nothing_new_stays_in_it(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """The second finds the first's new name and holds it for its own: it must not be recorded when that name goes."""
    images = (("a", b"scan.png", b"plain"), ("b", b"scan.png", b"plain"), ("c", b"c.png", b"plain c"))
    deliver(archive, b"the day's first", label="first", name=b"first.png")
    calls: list[Path] = []
    sync = durable.fsync_folder

    def refuse_later(path: Path) -> None:
        calls.append(path)
        if len(calls) > 1:  # the first is that of the image that is found
            raise StorageError("the disk reports an input/output error")
        sync(path)

    with monkeypatch.context() as patch:
        if not links:
            patch.setattr(os, "link", no_links)
        patch.setattr(durable, "fsync_folder", refuse_later)
        outcomes = store_together(archive, *images)
    assert all(isinstance(each, StorageError) for each in outcomes)
    assert list(files_in(tmp_path / "store").values()) == [b"the day's first"]
    assert len(archive.catalogue.deliveries()) == 1
    assert store_together(archive, *images) == [Path(DAY) / "scan.png", Path(DAY) / "scan.png", Path(DAY) / "c.png"]
    assert len(archive.catalogue.deliveries()) == 4


def no_links(*_: object, **__: object) -> None:
    """Be a file system without hard links."""
    raise OSError(errno.EPERM, "Operation not permitted")


def test_images_of_one_name_that_come_together_are_two_files(archive: Archive) -> None:
    images = (("a", b"scan.png", b"plain a"), ("b", b"scan.png", b"plain b"))
    assert store_together(archive, *images) == [Path(DAY) / "scan.png", Path(DAY) / "scan (2).png"]


def test_an_image_that_cannot_be_recorded_keeps_no_other_back(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = archive.catalogue.record_stored

    def refuse(images: Sequence[tuple[object, object, str]], *, received_at: str) -> None:
        if any(path.endswith("b.png") for _, _, path in images):
            raise StorageError("the receiver's catalogue cannot be read or written now")
        record(images, received_at=received_at)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(archive.catalogue, "record_stored", refuse)
        outcomes = store_together(archive, *THREE)
    assert [isinstance(each, StorageError) for each in outcomes] == [False, True, False]
    assert [image.path for image in archive.catalogue.deliveries()] == [f"{DAY}/a.png", f"{DAY}/c.png"]
    # It lies there already when it comes again.
    assert store_together(archive, THREE[1]) == [Path(DAY) / "b.png"]
    assert len(files_in(tmp_path / "store")) == 3


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


def test_nothing_is_stored_below_a_mount_point_whose_share_is_gone(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ismount = os.path.ismount
    monkeypatch.setattr(os.path, "ismount", lambda path: path == tmp_path / "store" or ismount(path))
    with opened(tmp_path, catalogue="other") as mounted:
        monkeypatch.setattr(os.path, "ismount", ismount)
        (tmp_path / "store").rename(tmp_path / "share")
        (tmp_path / "store" / ".incoming").mkdir(parents=True)
        with pytest.raises(StorageError):
            deliver(mounted, b"plain")
    assert files_in(tmp_path / "store") == {}


def test_images_are_not_stored_below_a_mount_point_whose_share_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    share, ismount, mounted = (tmp_path / "share").resolve(), os.path.ismount, True
    monkeypatch.setattr(os.path, "ismount", lambda path: mounted if Path(path) == share else ismount(path))
    with opened(share, catalogue="../catalogue") as archive:
        deliver(archive, b"first", label="a")
        mounted = False
        share.rename(tmp_path / "gone")
        (share / "store" / ".incoming").mkdir(parents=True)
        with pytest.raises(StorageError, match="mounted"):
            deliver(archive, b"second", label="b")
        assert files_in(share / "store") == {}
        mounted = True
        shutil.rmtree(share)
        (tmp_path / "gone").rename(share)
        deliver(archive, b"second", label="b")
    assert sorted(files_in(share / "store").values()) == [b"first", b"second"]


def test_a_store_whose_share_was_mounted_anew_is_the_same_store(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    shutil.copytree(tmp_path / "store", tmp_path / "copy")
    shutil.rmtree(tmp_path / "store")
    (tmp_path / "copy").rename(tmp_path / "store")
    [left] = (tmp_path / "store" / ".incoming").iterdir()
    deliver(archive, b"after", label="b")
    assert sorted(files_in(tmp_path / "store").values()) == [b"after", b"before"]
    assert not left.exists(), "it was made below the mount that is gone"


def test_a_store_that_is_removed_under_a_running_receiver_is_made_anew(archive: Archive, tmp_path: Path) -> None:
    deliver(archive, b"before", label="a")
    shutil.rmtree(tmp_path / "store")
    deliver(archive, b"after", label="b")
    assert list(files_in(tmp_path / "store").values()) == [b"after"]


def test_the_store_may_be_removed_and_begun_anew(tmp_path: Path) -> None:
    with opened(tmp_path) as archive:
        deliver(archive, b"plain", label="a")
    shutil.rmtree(tmp_path / "store")
    with opened(tmp_path) as archive:
        # The catalogue knows the content, but its file is gone: it is stored again.
        deliver(archive, b"plain", label="b")
    assert list(files_in(tmp_path / "store").values()) == [b"plain"]
