"""Images that come together: synced and recorded together, and each answered for itself."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

import edge.archive
from edge import durable
from edge.archive import Archive, Incoming
from edge.errors import StorageError
from edge.records import PixelImage
from tests.archive.storing import DAY, deliver, envelope_and_metadata, files_in, opened


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
def test_where_the_folder_cannot_be_synced_nothing_is_recorded_and_all_is_found_when_it_comes_again(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    """The second finds the first's new name and holds it for its own: it must not be recorded either."""
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
    assert len(archive.catalogue.deliveries()) == 1
    assert store_together(archive, *images) == [Path(DAY) / "scan.png", Path(DAY) / "scan.png", Path(DAY) / "c.png"]
    assert len(archive.catalogue.deliveries()) == 4
    assert sorted(files_in(tmp_path / "store").values()) == [b"plain", b"plain c", b"the day's first"]


@pytest.mark.parametrize("beside", [False, True])
def test_what_another_receiver_of_the_group_has_found_is_not_taken_from_it(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    """Both have one store and were given one image. One stores it before the other hears that it could not sync it."""
    deliver(archive, b"the day's first", label="first", name=b"first.png")

    def store(archive: Archive) -> Path | StorageError:
        envelope, metadata = envelope_and_metadata(b"plain")
        with archive.incoming() as folder:
            (folder / "plain").write_bytes(b"plain")
            pixels = PixelImage((1, 1, 5, 1), "u1", "gray", {"exif": b"block"})
            image = Incoming(folder / "plain", "", envelope, replace(metadata, pixels=pixels))
            [outcome] = archive.store([image], received_at="2026-11-21T00:00:00+00:00")
        return outcome

    sync = durable.fsync_folder
    found: list[Path | StorageError] = []

    with opened(tmp_path, catalogue="another") as other:

        def let_the_other_go_first(path: Path) -> None:
            last = path / ("scan.png.exif" if beside else "scan.png")
            if last.exists() and not found:
                monkeypatch.setattr(durable, "fsync_folder", sync)
                found.append(store(other))
                raise StorageError("too many open files")
            sync(path)

        monkeypatch.setattr(durable, "fsync_folder", let_the_other_go_first)
        assert isinstance(store(archive), StorageError)
        assert found == [archive._store / DAY / "scan.png"]
    here = files_in(tmp_path / "store")
    assert (here[f"{DAY}/scan.png"], here[f"{DAY}/scan.png.exif"]) == (b"plain", b"block")


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


def test_what_belongs_beside_pixels_is_written_for_what_stays_in_the_store_alone(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_whole = edge.archive.make_whole

    def refuse(path: Path, mtime_ns: int) -> None:
        if path.name == "plain-a":
            raise StorageError("the disk is full")
        make_whole(path, mtime_ns)

    monkeypatch.setattr(edge.archive, "make_whole", refuse)
    with archive.incoming() as folder:
        incoming = []
        for label in ("a", "b", "c"):
            path = folder / f"plain-{label}"
            path.write_bytes(b"pixels")
            envelope, metadata = envelope_and_metadata(b"pixels", label=label, name=b"scan")
            pixels = PixelImage((1, 1, 6, 1), "u1", "gray", {"exif": b"of c" if label == "c" else b"block"})
            incoming.append(Incoming(path, ".png", envelope, replace(metadata, pixels=pixels)))
        outcomes = archive.store(incoming, received_at="2026-11-21T00:00:00+00:00")
    assert isinstance(outcomes[0], StorageError)
    assert outcomes[1] == outcomes[2] == archive._store / DAY / "scan.png"
    assert files_in(tmp_path / "store") == {
        f"{DAY}/scan.png": b"pixels",
        f"{DAY}/scan.png.exif": b"block",
        f"{DAY}/scan.png (2).exif": b"of c",
    }
    assert len(archive.catalogue.deliveries()) == 2


def test_two_receivers_of_a_group_that_take_one_name_at_once_replace_nothing(
    archive: Archive, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without hard links a file is moved to its name: another one may have got it since that was found free."""
    monkeypatch.setattr(os, "link", no_links)
    lexists = os.path.lexists
    places: list[Path] = []

    with opened(tmp_path, catalogue="another") as other:

        def let_the_other_go_first(path: Path) -> bool:
            is_taken = lexists(path)
            if not places:
                places.append(path)
                deliver(other, b"of the other", label="b")
            return is_taken

        monkeypatch.setattr(os.path, "lexists", let_the_other_go_first)
        deliver(archive, b"of this one", label="a")
        if not places:  # it was not looked at all
            deliver(other, b"of the other", label="b")
    assert sorted(files_in(tmp_path / "store").values()) == [b"of the other", b"of this one"]
