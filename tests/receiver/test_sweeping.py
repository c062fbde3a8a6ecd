"""What a crash left in the receiver's state is removed at its next start, and nothing else."""

from __future__ import annotations

import os

from tests.transfer.duo import Duo
from tests.world import DEVICE, bytes_of

PLAIN = bytes_of("plain", 100_000)


def test_a_part_that_a_crash_left_after_recording_is_swept(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    duo.stop_receiver(receiver)
    parts = duo.hospital.state / "parts"
    for kind in ("part", "have", "key"):
        (parts / f"{DEVICE}-{image.image_id.hex()}.{kind}").write_bytes(b"left")
    (parts / f"{DEVICE}-{'0' * 32}.part").write_bytes(b"of an image still under way")
    (parts / "what a person put here").write_bytes(b"")
    (parts / f"odd-{'z' * 32}.part").write_bytes(b"")
    duo.start_receiver()
    assert {path.name for path in parts.iterdir()} == {
        f"{DEVICE}-{'0' * 32}.part",
        "what a person put here",
        f"odd-{'z' * 32}.part",
    }


def test_a_part_that_nobody_offers_any_more_is_swept_once_it_is_old(duo: Duo) -> None:
    receiver = duo.start_receiver()
    duo.stop_receiver(receiver)
    parts = duo.hospital.state / "parts"
    for label, days in (("0", 31), ("1", 29)):
        part = parts / f"{DEVICE}-{label * 32}.part"
        part.write_bytes(b"half")
        then = duo.hospital.now() - days * 86_400
        os.utime(part, (then, then))
    duo.start_receiver()
    assert [path.name for path in parts.iterdir()] == [f"{DEVICE}-{'1' * 32}.part"]


def test_what_an_interrupted_quarantine_left_is_swept_at_the_start(duo: Duo) -> None:
    duo.stop_receiver(duo.start_receiver())
    quarantine = duo.hospital.state / "quarantine"
    (quarantine / ".edge-0011223344556677.tmp").write_bytes(b"half")
    (quarantine / "what a person put here").write_bytes(b"")
    duo.start_receiver()
    assert [path.name for path in quarantine.iterdir()] == ["what a person put here"]
