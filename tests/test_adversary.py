"""What an adversary, a failing disk or a careless hand does to both ends, and that no image is lost or held back by it."""

from __future__ import annotations

import os
import shutil
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from edge import disposal
from edge.archive import Archive
from edge.chaos.parameters import parameters_from_secret
from edge.encrypt import Sender, encrypt
from edge.envelope import sign
from edge.errors import ChangedWhileRead, EnvelopeError, StorageError, UnreadableFile, VanishedFile
from edge.intake.ledger import FileState, Ledger
from edge.intake.opening import hash_file
from edge.intake.settle import FoundFile, Settler
from edge.receiver import Receiver
from edge.records import KeyFileMode, MapName, SettledFile
from edge.sealing import Sealer
from edge.spool import Spool, SpooledImage
from edge.transfer.messages import Offer, SignedReceipt, Topics, encode
from edge.transfer.parts import PartFile
from edge.transport.base import Message
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.envelope import party
from tests.transfer.duo import Duo
from tests.world import (
    DEVICE,
    RECEIVER,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    UnhurriedTransport,
    bytes_of,
    device_keyring,
    png,
    receipt_for,
    spool_image,
    until,
)

PLAIN = bytes_of("plain", 300_000)


@pytest.fixture
def duo(tmp_path: Path, broker: MemoryBroker) -> Iterator[Duo]:
    """A device and a hospital whose receiver does not run yet."""
    duo = Duo(tmp_path, broker)
    yield duo
    duo.close()


def cut(path: Path) -> None:
    """Lose the second half of a file, as a file system does after a power cut."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Change one byte in the middle of a file, as a dying card does."""
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


# --- the device's disk ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("harm", [cut, flip, Path.unlink])
def test_a_sealed_image_that_the_disk_spoils_keeps_no_other_back_and_is_sealed_once_more(
    site: Site, hospital: Hospital, broker: MemoryBroker, harm: Callable[[Path], None]
) -> None:
    plains = {name: png(name) for name in ("a.png", "b.png", "c.png")}
    for name, plain in plains.items():
        site.scan(name, plain)
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: list(site.states().values()) == [FileState.OFFERED] * 3)
        harm(site.spooled()[0])
        with RunningReceiver(hospital, MemoryTransport(broker)):
            until(lambda: list(site.states().values()) == [FileState.DISPOSED] * 3)
    assert hospital.contents() == sorted(plains.values())
    assert site.spooled() == []


@pytest.mark.parametrize("harm", [cut, Path.unlink])
def test_an_image_lost_by_spool_and_scanner_stays_listed_and_counts_as_not_arrived(
    site: Site, hospital: Hospital, broker: MemoryBroker, harm: Callable[[Path], None]
) -> None:
    original = site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
    harm(site.spooled()[0])
    original.unlink()
    with RunningReceiver(hospital, MemoryTransport(broker)):
        summary = site.run_once(broker)
    assert site.reasons() == {"a.png": "missing-from-spool"}
    assert not summary.all_arrived
    # The scanner's archive has it still: it is carried after all.
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]


def test_a_lost_image_whose_original_is_cut_is_listed_and_stops_nothing(
    site: Site, hospital: Hospital, broker: MemoryBroker
) -> None:
    original = site.scan("a.png", png("a"))
    with RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.OFFERED})
    before = original.stat()
    site.spooled()[0].unlink()
    original.write_bytes(png("a")[:-20] + bytes(20))
    os.utime(original, ns=(before.st_mtime_ns, before.st_mtime_ns))
    site.scan("b.png", png("b"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        site.run_once(broker)
    assert site.states() == {"a.png": FileState.QUARANTINED, "b.png": FileState.DISPOSED}


def test_a_spooled_image_is_checked_against_what_was_signed(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 30, reserve_bytes=0)
    image = spool_image(spool, PLAIN)
    image.check()
    for harm in (flip, cut, Path.unlink):
        harm(image.path)
        with pytest.raises(EnvelopeError):
            image.check()


def test_a_file_whose_sealing_the_ledger_cannot_record_is_not_sealed_twice(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.advance
    refused: list[FileState] = []

    def advance(ledger: Ledger, key: object, state: FileState, **rest: object) -> object:
        if state is FileState.SEALED and not refused:
            refused.append(state)
            raise StorageError("the disk is full")
        return real(ledger, key, state, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "advance", advance)
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert refused
    assert len(hospital.catalogue()) == 1
    assert site.spooled() == []


def test_a_receipt_frees_a_full_disk_that_has_no_room_to_record_it(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Ledger.advance

    def full() -> bool:
        return bool(site.spooled())

    def advance(ledger: Ledger, key: object, state: FileState, **rest: object) -> object:
        if state is FileState.RECEIPTED and full():
            raise StorageError("the disk is full")
        return real(ledger, key, state, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(Ledger, "advance", advance)
    monkeypatch.setattr(Spool, "exhausted", property(lambda _spool: full()))
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert hospital.contents() == [png("a")]


# --- the scanner's folder -------------------------------------------------------------------------------------------


class Hanging:
    """A file on a share that hangs up in the middle."""

    def readinto(self, _target: memoryview, /) -> int:
        raise OSError(116, "Stale file handle")


def test_a_share_that_hangs_up_in_the_middle_of_a_file_is_tried_again() -> None:
    entropy = party.fixed_entropy("share")
    with pytest.raises(UnreadableFile) as caught:
        encrypt(
            Hanging(),
            BytesIO(),
            scan=party.scan_of(PLAIN),
            parameters=parameters_from_secret(MapName.LOGISTIC, entropy.secret),
            key_file=KeyFileMode.COMPACT,
            pixels=None,
            sender=Sender(
                device=DEVICE, audience=RECEIVER, signer=party.signer(DEVICE), recipients=[party.recipient(RECEIVER)]
            ),
            entropy=entropy,
            sequence=1,
            issued_at=party.ISSUED_AT,
        )
    assert caught.value.retryable


def test_a_file_that_is_gone_for_a_moment_is_carried_afterwards(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A share answers "no such file" once, and lists the file before and after.
    real = Sealer.inspect
    gone: list[SettledFile] = []

    def inspect(sealer: Sealer, file: SettledFile, *, incomplete: bool = False) -> object:
        if not gone:
            gone.append(file)
            raise VanishedFile("the file is gone")
        return real(sealer, file, incomplete=incomplete)

    monkeypatch.setattr(Sealer, "inspect", inspect)
    site.scan("a.png", png("a"))
    with RunningReceiver(hospital, MemoryTransport(broker)), RunningDaemon(site, MemoryTransport(broker)):
        until(lambda: site.states() == {"a.png": FileState.DISPOSED})
    assert hospital.contents() == [png("a")]


def test_a_file_that_changed_while_a_long_sealing_read_it_is_tried_again_before_it_is_stuck() -> None:
    settler = Settler(interval=1.0, stuck_after=4.0)
    found = FoundFile(Path("a.png"), "a.png", 10, 1, 1, 1)
    settler.look([found], 0.0)
    settler.look([found], 1.0)
    settler.defer(found, ChangedWhileRead("the file changed"), 31.0)
    assert settler.stuck(31.0) == ()
    assert settler.next_look(31.0) == 33.0
    assert len(settler.look([found], 33.0).settled) == 1
    settler.defer(found, ChangedWhileRead("the file changed"), 63.0)
    assert len(settler.stuck(63.0)) == 1


def test_once_does_not_call_it_done_when_the_folder_is_gone(site: Site, broker: MemoryBroker) -> None:
    site.scans.rmdir()
    with pytest.raises(UnreadableFile, match="missing"):
        site.run_once(broker)


def test_once_does_not_call_it_done_when_a_part_of_the_folder_cannot_be_read(
    site: Site, hospital: Hospital, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.scan("a.png", png("a"))
    site.scan("closed/b.png", png("b"))
    real = os.scandir

    def scandir(path: object = ".") -> object:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return real(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "scandir", scandir)
    with RunningReceiver(hospital, MemoryTransport(broker)), pytest.raises(UnreadableFile, match="a part of"):
        site.run_once(broker)
    assert hospital.contents() == [png("a")]


@pytest.mark.parametrize("policy", ["move", "delete"])
def test_an_original_that_is_replaced_while_it_is_compared_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"delivered")
    details = path.stat()
    file = SettledFile(path, "a.png", details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
    digest = hash_file(file)

    def exchanged(compared: SettledFile) -> bytes:
        found = hash_file(compared)
        (tmp_path / "new").write_bytes(b"another!!")
        (tmp_path / "new").replace(path)
        return found

    monkeypatch.setattr(disposal, "hash_file", exchanged)
    done = disposal.dispose(file, digest, policy=policy, move_to=tmp_path / "moved")  # type: ignore[arg-type]
    assert done == "changed"
    assert path.read_bytes() == b"another!!"


def test_an_original_that_is_replaced_while_it_is_copied_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"delivered")
    details = path.stat()
    file = SettledFile(path, "a.png", details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
    real = disposal._copy

    def copy(original: SettledFile, sha256: bytes, move_to: Path) -> None:
        real(original, sha256, move_to)
        (tmp_path / "new").write_bytes(b"another!!")
        (tmp_path / "new").replace(path)

    monkeypatch.setattr(disposal, "_copy", copy)
    done = disposal.dispose(file, hash_file(file), policy="move", move_to=tmp_path / "moved")
    assert done == "changed"
    assert path.read_bytes() == b"another!!"


# --- the broker and who else is on it -------------------------------------------------------------------------------


def forged(image: SpooledImage) -> bytes:
    """Return a manifest that names a device's image, signed by a stranger."""
    manifest = replace(image.envelope.manifest, sequence=99)
    return sign.sign_manifest(manifest, image.envelope.digest, party.signer("device-2"))


def test_a_forged_offer_does_not_end_the_pull_of_the_true_image(duo: Duo, broker: MemoryBroker) -> None:
    receiver = duo.start_receiver()
    plain = bytes_of("more than the credit", 1_500_000)
    image = duo.spool_image(plain, label="scan")
    duo.step_until(lambda: receiver._loop.counts.chunks >= 4)
    stranger = MemoryTransport(broker)
    stranger.start()
    stranger.publish(Topics().offer(DEVICE), encode(Offer(forged(image), 16 * 1024)))
    duo.step(2)
    assert receiver.counts.rejected == 1
    assert receiver.busy

    duo.deliver_all()

    assert duo.hospital.contents() == [plain]
    stranger.stop()


def test_a_receipt_of_a_trusted_receiver_that_the_image_is_not_for_frees_nothing(
    duo: Duo, broker: MemoryBroker
) -> None:
    duo.keyring = device_keyring(receivers=(RECEIVER, "receiver-2"))
    duo.device_transport.stop()
    duo.device_transport = UnhurriedTransport(broker)
    duo.sender = duo.start_sender(duo.device_transport)
    image = duo.spool_image(PLAIN, label="scan")
    duo.step(3)
    raw = receipt_for(image, signer="receiver-2", receiver="receiver-2")
    stranger = MemoryTransport(broker)
    stranger.start()
    stranger.publish(Topics().control(DEVICE), encode(SignedReceipt(raw)))
    duo.step(3)
    assert duo.sender.counts.refused_receipts == 1
    assert duo.sender.unreceipted == 1
    assert [each.image_id for each in duo.spool.images()] == [image.image_id]
    stranger.stop()


class Flooded(MemoryTransport):
    """A transport whose inbox never runs dry."""

    def receive(self, timeout: float) -> Message | None:
        """Return what is there, else rubbish."""
        return super().receive(0.0) or Message(Topics().status("nobody"), b"rubbish")


def test_a_flood_of_messages_ends_no_step_of_the_receiver(tmp_path: Path, broker: MemoryBroker) -> None:
    receiver = Hospital(tmp_path).receiver(Flooded(broker))
    receiver.start()
    for _ in range(3):
        receiver.step()
    receiver.close()


def test_a_flood_of_messages_does_not_keep_a_device_from_offering(duo: Duo, broker: MemoryBroker) -> None:
    duo.device_transport.stop()
    flooded = Flooded(broker)
    duo.sender = duo.start_sender(flooded)
    duo.spool_image(PLAIN, label="scan")
    for _ in range(3):
        duo.sender.step()
    assert duo.sender.counts.offers == 1
    flooded.stop()


# --- the hospital's disk --------------------------------------------------------------------------------------------


def test_a_stored_image_that_was_spoiled_since_is_stored_again_when_it_comes_again(duo: Duo) -> None:
    duo.start_receiver()
    duo.spool_image(PLAIN, label="first", name="a.png")
    duo.deliver_all()
    [place] = [path for path in duo.hospital.store.glob("[!.]*/**/*") if path.is_file()]
    flip(place)
    duo.spool_image(PLAIN, label="second", name="a.png")
    duo.deliver_all()
    assert PLAIN in duo.hospital.contents()
    assert len(duo.hospital.contents()) == 2


def test_a_defect_that_one_image_shows_does_not_end_the_service_of_the_others(
    tmp_path: Path, broker: MemoryBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    # With one slot an image that is whole already is finished when the slot comes free, not when a message comes.
    duo = Duo(tmp_path, broker, hospital=Hospital(tmp_path / "hospital", settings={"transfer.active": 1}))
    receiver = duo.start_receiver()
    duo.step(2)
    real = Receiver.finish
    failed: list[object] = []

    def finish(self: Receiver, part: object) -> bytes | None:
        assert isinstance(part, PartFile)
        if part.bulk_bytes < 1_000_000 and len(failed) < 3:
            failed.append(part)
            raise OverflowError
        return real(self, part)

    monkeypatch.setattr(Receiver, "finish", finish)
    for number, size in enumerate((100_000, 3_000_000, 3_000_000)):
        duo.spool_image(bytes_of("plain", size), label=f"scan-{number}")
    duo.deliver_all()
    assert receiver.counts.stored == 3
    assert len(failed) == 3
    duo.close()


def test_images_are_not_stored_below_a_mount_point_whose_share_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "share" / "store"
    store.mkdir(parents=True)
    real, mounted = os.path.ismount, [True]
    monkeypatch.setattr(
        os.path, "ismount", lambda path: mounted[0] if Path(path) == (tmp_path / "share").resolve() else real(path)
    )
    archive = Archive(store, tmp_path / "catalogue.sqlite")
    with archive.incoming():
        pass
    mounted[0] = False
    (tmp_path / "share").rename(tmp_path / "gone")
    (store / ".incoming").mkdir(parents=True)
    with pytest.raises(StorageError, match="mounted"), archive.incoming():
        pass
    mounted[0] = True
    shutil.rmtree(tmp_path / "share")
    (tmp_path / "gone").rename(tmp_path / "share")
    with archive.incoming():
        pass
    archive.close()


def test_the_catalogue_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        archive = Archive(tmp_path / "store", tmp_path / "catalogue.sqlite")
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in tmp_path.glob("catalogue.sqlite*")]
    archive.close()
    assert modes
    assert set(modes) == {0o600}


def test_a_catalogue_that_is_only_busy_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever follows the hint for a damaged one moves it aside, and with it all that keeps replays out.
    def refuse(*_arguments: object, **_options: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(StorageError) as caught:
        Archive(tmp_path / "store", tmp_path / "catalogue.sqlite")
    assert caught.value.code == "storage-error"


def test_a_manifest_never_carries_a_name(tmp_path: Path) -> None:
    spool = Spool(tmp_path, max_bytes=1 << 30, reserve_bytes=0)
    image = spool_image(spool, PLAIN, name="DOE^JOHN.png")
    assert b"DOE" not in image.path.read_bytes()


# --- the shell ------------------------------------------------------------------------------------------------------


def test_a_command_whose_standard_streams_are_closed_opens_no_file_in_their_place() -> None:
    code = (
        "import os, sys; from edge.cli import common;"
        "sys.exit(common.run('x', lambda _: int(sys.stderr.isatty() or os.open(os.devnull, os.O_RDONLY) < 3), None))"
    )
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, cwd=Path(__file__).parent.parent, check=False, timeout=60).returncode == 0
