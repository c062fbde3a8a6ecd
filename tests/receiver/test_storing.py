"""Every image is stored once, whole, with what belongs beside it, and answered for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.envelope import sign
from edge.records import PixelImage
from edge.spool import SpooledImage
from edge.transport.memory import MemoryBroker
from tests.envelope import party
from tests.transfer.duo import Duo
from tests.world import DEVICE, Hospital, bytes_of, flip, replace_sealed

PLAIN = bytes_of("plain", 100_000)


def test_an_image_of_a_device_whose_clock_is_ahead_arrives(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    hospital = Hospital(tmp_path / "hospital", now=lambda: float(party.ISSUED_AT - 90_000))
    duo = Duo(tmp_path, MemoryBroker(), hospital=hospital)
    duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    duo.deliver_all()
    assert hospital.contents() == [PLAIN]
    assert "ahead" in caplog.text
    duo.close()


def test_a_stored_image_offered_again_gets_the_same_receipt_and_is_not_stored_twice(duo: Duo) -> None:
    receiver = duo.start_receiver()
    image = duo.spool_image(PLAIN, label="scan")
    data = image.path.read_bytes()
    duo.deliver_all()
    chunks = duo.sender.counts.chunks

    image.path.write_bytes(data)  # as if the receipt had been lost
    duo.sender.add(image)
    duo.deliver_all()

    first, second = duo.receipts
    assert (first.status, first.manifest_hash) == (second.status, second.manifest_hash)
    assert duo.sender.counts.chunks == chunks
    assert receiver.counts.repeated == 1
    assert duo.hospital.contents() == [PLAIN]
    assert len(duo.hospital.catalogue()) == 1


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


def test_what_belongs_beside_the_pixels_lies_beside_them(duo: Duo) -> None:
    samples = np.arange(12, dtype="u1")
    pixels = PixelImage((1, 3, 4, 1), "u1", "gray", {"dicom": b"header", "exif": b"II*\0block"})
    sealed = party.sealed(samples.tobytes(), label="pixels", pixels=pixels)
    manifest, _ = party.split(sealed)
    envelope = sign.read_manifest(manifest)
    receiver = duo.start_receiver()
    image = duo.spool_image(b"x" * 100, label="pixels")
    replace_sealed(image, sealed)
    duo.sender.add(SpooledImage(image.path, 1, envelope, image.origin))
    duo.step_until(lambda: receiver.counts.stored == 1)
    files = duo.hospital.files()
    assert files[f"{DEVICE}/2023/11/14/image.bin.png.dicom"] == b"header"
    with Image.open(duo.hospital.store / f"{DEVICE}/2023/11/14/image.bin.png") as stored:
        np.testing.assert_array_equal(np.asarray(stored), samples.reshape(3, 4))


def test_nothing_is_held_open_in_the_store_while_no_image_comes(duo: Duo) -> None:
    def held() -> list[str]:
        links = [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]
        return [link for link in links if link.startswith(str(duo.hospital.store))]

    receiver = duo.start_receiver()
    for label in ("one", "another"):
        duo.spool_image(bytes_of(label, 20_000), label=label)
        duo.deliver_all()
        assert len(held()) == 1  # the lock of the private folder
        duo.clock.tick(61)
        receiver.step()
        assert held() == []
        assert list((duo.hospital.store / ".incoming").iterdir()) == []
    assert len(duo.hospital.contents()) == 2
