"""The device's only queue: whole images or none, kept until a receipt frees them."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import BinaryIO

import pytest

from edge import durable
from edge.envelope.sign import SignedEnvelope
from edge.errors import EnvelopeError, SpoolFull, StorageError
from edge.records import SettledFile
from edge.spool import Origin, Spool
from tests.envelope import party
from tests.world import bytes_of, cut, flip, spool_image
from tests.world.sealed import keep, sealed_data, write_image

PLAIN = bytes_of("plain", 50_000)


def open_spool(folder: Path, *, max_bytes: int = 1 << 30, reserve_bytes: int = 0) -> Spool:
    """Open the spool below a folder; again and again, as restarts do."""
    return Spool(folder / "spool", max_bytes=max_bytes, reserve_bytes=reserve_bytes)


def names(folder: Path) -> list[str]:
    """Return every file of the spool."""
    return sorted(str(path.relative_to(folder / "spool")) for path in (folder / "spool").rglob("*") if path.is_file())


def test_an_image_is_kept_whole_and_read_back_in_chunks(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    image = spool_image(spool, PLAIN)
    data = sealed_data(image)
    chunks = [image.read_chunk(number, 16 * 1024) for number in range(4)]
    assert image.envelope.raw + b"".join(chunks) == data
    assert party.opened(data)[0] == PLAIN
    assert image.path.stat().st_mode & 0o777 == 0o600


def test_the_spool_is_the_same_after_a_restart(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    images = [spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (3, 1, 2)]
    assert open_spool(tmp_path).images() == sorted(images, key=lambda image: image.sequence)


def test_an_origin_keeps_a_name_that_is_not_utf_8(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    name = b"M\xfcller/scan\xff.png".decode("utf-8", "surrogateescape")
    file = SettledFile(Path("/nowhere"), name, 5, 2**63, 2**64 - 1, 7)
    origin = Origin.of(file, bytes(32))
    image = spool_image(spool, PLAIN)
    spool.discard(image)
    keep(spool, spool.write(9, bytes(16), origin, lambda sink: _copy(image.envelope, sink)))
    # The file's name says another id than its manifest: it is set aside, not offered.
    assert open_spool(tmp_path).images() == []
    assert [name for name in names(tmp_path) if name.startswith("quarantine/")]


def _copy(envelope: SignedEnvelope, sink: BinaryIO) -> SignedEnvelope:
    sink.write(envelope.raw + bytes(envelope.manifest.bulk_bytes))
    return envelope


@pytest.mark.parametrize("error", [RuntimeError("a defect"), StorageError("the disk is full"), KeyboardInterrupt()])
def test_nothing_is_left_of_an_image_that_could_not_be_written(tmp_path: Path, error: BaseException) -> None:
    spool = open_spool(tmp_path)

    def write(sink: BinaryIO) -> SignedEnvelope:
        sink.write(b"half")
        raise error

    origin = Origin.of(SettledFile(Path("/nowhere"), "a", 5, 1, 1, 1), bytes(32))
    with pytest.raises(type(error)):
        spool.write(1, bytes(16), origin, write)
    assert names(tmp_path) == []


def test_what_a_power_cut_left_half_written_is_swept_at_the_start(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    kept = spool_image(spool, PLAIN)
    folder = tmp_path / "spool"
    (folder / ".edge-0123456789abcdef.tmp").write_bytes(b"half a sealed image")
    assert open_spool(tmp_path).images() == [kept]
    assert names(tmp_path) == [kept.path.name]


@pytest.mark.parametrize(
    "damage",
    ["truncated", "longer", "no-manifest", "origin-torn", "origin-gone", "origin-other", "bulk-torn", "another's"],
)
def test_a_damaged_image_is_set_aside_and_the_others_go_on(tmp_path: Path, damage: str) -> None:
    spool = open_spool(tmp_path)
    damaged, sound = (spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2))
    data = damaged.path.read_bytes()
    match damage:
        case "truncated":
            damaged.path.write_bytes(data[:-1])
        case "longer":
            damaged.path.write_bytes(data + b"x")
        case "no-manifest":
            damaged.path.write_bytes(bytes(len(data)))
        case "origin-torn":
            damaged.path.write_bytes(data[:-20])
        case "origin-gone":
            damaged.path.write_bytes(data[: damaged.sealed_bytes])
        case "origin-other":
            damaged.path.write_bytes(data[: damaged.sealed_bytes] + b'{"sha256": "00"}')
        case "bulk-torn":
            damaged.path.write_bytes(data[: damaged.sealed_bytes - 20])
        case "another's":
            damaged.path.write_bytes(sound.path.read_bytes())
    again = open_spool(tmp_path)
    assert again.images() == [sound]
    assert (tmp_path / "spool" / "quarantine" / damaged.path.name).is_file()


ORIGIN = {"relative": "a.png", "size": 1, "mtime_ns": 1, "inode": 1, "device": 1, "sha256": "00" * 32}
ORIGINS: dict[str, object] = {
    "a list": [1],
    "words": "text",
    "an inode of letters": ORIGIN | {"inode": "x"},
    "an inode of another type": ORIGIN | {"inode": True},
    "a broken size": ORIGIN | {"size": 1.5},
    "less than nothing": ORIGIN | {"size": -1},
    "more than any file": ORIGIN | {"size": 1 << 63},
    "no number": ORIGIN | {"device": []},
    "a path that is a number": ORIGIN | {"relative": 7},
    "a path with a zero": ORIGIN | {"relative": "a\0.png"},
    "a path that no file has": ORIGIN | {"relative": "\ud800"},
    "a short hash": ORIGIN | {"sha256": "00"},
    "more than it should be": ORIGIN | {"more": 1},
}


@pytest.mark.parametrize(
    "origin", [json.dumps(each).encode() for each in ORIGINS.values()] + [b"[" * 60_000], ids=[*ORIGINS, "deep"]
)
def test_an_image_whose_origin_nobody_could_use_is_set_aside(tmp_path: Path, origin: bytes) -> None:
    image = spool_image(open_spool(tmp_path), PLAIN)
    image.path.write_bytes(sealed_data(image) + origin)
    again = open_spool(tmp_path)
    assert again.images() == []
    assert again.quarantined() == []
    assert (tmp_path / "spool" / "quarantine" / image.path.name).is_file()


def test_an_origin_of_any_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    name = os.fsdecode(b"\xff" * 4096)
    origin = Origin(name, size=1, mtime_ns=-1, inode=(1 << 64) - 1, device=(1 << 64) - 1, sha256=bytes(32))
    image = spool_image(spool, PLAIN, origin=origin)
    assert open_spool(tmp_path).images() == [image]


def test_a_discarded_image_is_gone(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    first, second = (spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2))
    spool.discard(first)
    spool.discard(first)
    assert open_spool(tmp_path).images() == [second]
    assert names(tmp_path) == [second.path.name]


def test_a_quarantined_image_is_kept_and_counted(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    image = spool_image(spool, PLAIN)
    used = spool.used_bytes()
    spool.quarantine(image)
    spool.quarantine(image)
    assert spool.used_bytes() == used
    assert open_spool(tmp_path).images() == []
    assert names(tmp_path) == [f"quarantine/{image.path.name}"]
    [aside] = spool.quarantined()
    assert (aside.image_id, aside.origin) == (image.image_id, image.origin)
    spool.take_back(aside)
    assert open_spool(tmp_path).images() == [image]


def test_a_full_spool_says_so_and_takes_an_image_again_once_there_is_room(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=120_000)
    images = [spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2)]
    with pytest.raises(SpoolFull):
        spool_image(spool, PLAIN, label="scan-3", sequence=3)
    assert len(spool.images()) == 2
    spool.discard(images[0])
    spool_image(spool, PLAIN, label="scan-3", sequence=3)


def test_what_is_not_kept_yet_takes_room_and_is_not_in_the_spool(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=120_000)
    written = [write_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2)]
    assert spool.images() == []
    with pytest.raises(SpoolFull):
        spool.require_room(50_000)
    spool.give_up(written[:1])
    spool.require_room(50_000)
    assert spool.keep(written[1:]) == spool.images() == [written[1].image]
    with pytest.raises(SpoolFull):
        spool.require_room(70_000)
    spool.discard(*spool.images())
    assert names(tmp_path) == []


def test_images_are_discarded_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path)
    images = [spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2, 3)]
    synced: list[Path] = []
    monkeypatch.setattr(durable, "fsync_folder", synced.append)
    spool.discard(*images[:2])
    assert synced == [tmp_path / "spool"]
    assert spool.images() == images[2:]
    assert spool.used_bytes() == images[2].path.stat().st_size > images[2].sealed_bytes


def test_an_image_that_is_discarded_again_is_not_counted_off_twice(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=120_000)
    first, _ = (spool_image(spool, PLAIN, label=f"scan-{number}", sequence=number) for number in (1, 2))
    with pytest.raises(SpoolFull):
        spool.require_room(80_000)
    spool.discard(first)
    spool.discard(first)  # as `Delivery.receipted` does where it is done again
    with pytest.raises(SpoolFull):
        spool.require_room(80_000)


def test_an_empty_spool_takes_an_image_over_its_limit(tmp_path: Path) -> None:
    spool = open_spool(tmp_path, max_bytes=1000)
    spool_image(spool, PLAIN)
    assert len(spool.images()) == 1


def test_the_reserve_of_the_disk_is_kept_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = open_spool(tmp_path, reserve_bytes=1_000_000)
    monkeypatch.setattr(durable, "room", lambda _path: (1_040_000, 10_000_000))
    with pytest.raises(SpoolFull):
        spool_image(spool, PLAIN)
    monkeypatch.setattr(durable, "room", lambda _path: (1_200_000, 10_000_000))
    spool_image(spool, PLAIN)


def test_room_is_counted_while_another_thread_frees_it(tmp_path: Path) -> None:
    spool = open_spool(tmp_path)
    images = [spool_image(spool, b"x" * 200, label=f"scan-{number}", sequence=number) for number in range(60)]
    over = threading.Event()

    def free() -> None:
        for image in images:
            spool.discard(image)
        over.set()

    thread = threading.Thread(target=free)
    thread.start()
    while not over.is_set():
        spool.require_room(100)
    thread.join()
    assert spool.used_bytes() == 0


def test_a_chunk_of_an_image_that_was_cut_short_on_the_disk_is_a_storage_error(tmp_path: Path) -> None:
    image = spool_image(open_spool(tmp_path), PLAIN)
    image.path.write_bytes(image.path.read_bytes()[: image.sealed_bytes - 1])
    with pytest.raises(StorageError):
        image.read_chunk(3, 16 * 1024)
    image.path.unlink()
    with pytest.raises(StorageError):
        image.read_chunk(0, 16 * 1024)


def test_a_spooled_image_is_checked_against_what_was_signed(tmp_path: Path) -> None:
    image = spool_image(open_spool(tmp_path), PLAIN)
    sound = image.path.read_bytes()
    for harm in (flip, cut, Path.unlink):
        image.path.write_bytes(sound)
        image.check()
        harm(image.path)
        with pytest.raises(EnvelopeError):
            image.check()


def test_a_manifest_never_carries_a_name(tmp_path: Path) -> None:
    image = spool_image(open_spool(tmp_path), PLAIN, name="DOE^JOHN.png")
    data = sealed_data(image)
    assert b"DOE" not in data
    assert party.opened(data)[1].name == b"DOE^JOHN.png"
