"""An enrolled device lies in what it seals: no name leads out of the store, and no lie is believed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest

from edge import archive, protocol
from edge.envelope import sign, wire
from edge.envelope.seal import Opening
from edge.spool import SpooledImage
from tests.envelope import party
from tests.fuzz.doors import sealed_bulk
from tests.malice.adversary import MEGABYTE, PLAIN, restart_device
from tests.memory import memory_within
from tests.transfer.duo import Duo
from tests.world import DEVICE, RECEIVER, replace_sealed, sealed_data

NAMES = {
    "climbing": b"../../../../climbed.png",
    "absolute": b"/tmp/climbed.png",
    "dots": b"..",
    "hidden": b".climbed",
    "other separators": rb"..\..\climbed.png",
    "a line": b"a\nb\rc.png",
    "nul": b"a\0.png",
    "backwards": "\u202egnp.climbed".encode(),
    "not unicode": b"\xff\xfe/\xff.png",
    "long": b"../" * 300,
}


def hostile_image(duo: Duo, changes: Callable[[dict[int, object]], dict[int, object]]) -> SpooledImage:
    """Spool an image whose sealed metadata the device's owner has changed, and signed."""
    image = duo.spool_image(PLAIN, label="scan")
    data = sealed_data(image)
    opening = Opening(party.verified(data), BytesIO(party.split(data)[1]), party.unwrappers(RECEIVER))
    reader = wire.SequenceReader(opening)
    described = wire.decode(reader.small_item(protocol.METADATA_MAX_BYTES), limit=protocol.METADATA_MAX_BYTES)
    rest = b"".join(iter(lambda: opening.read(MEGABYTE), b""))
    bulk = sealed_bulk(wire.encode(changes(dict(described))) + rest, image.image_id)
    made = replace(image.envelope.manifest, bulk_bytes=len(bulk))
    raw = sign.sign_manifest(made, hashlib.sha256(bulk).digest(), party.signer(DEVICE))
    replace_sealed(image, raw + bulk)
    restart_device(duo)
    return image


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES)
def test_no_name_leads_out_of_the_store(duo: Duo, tmp_path: Path, name: bytes) -> None:
    duo.start_receiver()
    hostile_image(duo, lambda described: described | {1: name, 13: b"../../../.."})
    duo.deliver_all()
    [place] = duo.hospital.files()
    assert Path(place).parts[:-1] == (DEVICE, "2023", "11", "14")
    assert not place.rpartition("/")[2].startswith(".")
    assert not [path for path in tmp_path.rglob("*climbed*") if duo.hospital.store not in path.parents]
    assert not Path("/tmp/climbed.png").exists()  # noqa: S108 - the name that the adversary gave


def test_images_under_one_name_are_not_each_compared_with_all_others(duo: Duo, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Path] = []
    real = archive._same_content
    monkeypatch.setattr(archive, "_same_content", lambda one, other: read.append(other) or real(one, other))
    duo.start_receiver()
    plains = [PLAIN[:50_000] + b"%02d" % number for number in range(12)]
    for number, plain in enumerate(plains):
        duo.spool_image(plain, label=f"scan-{number}", name="a.png")
    duo.deliver_all()
    assert duo.hospital.contents() == sorted(plains)
    assert read == []


LIES: dict[str, dict[int, object]] = {
    "another size": {3: 1},
    "a huge size": {3: protocol.IMAGE_MAX_BYTES},
    "another content": {4: bytes(32)},
    "huge pixels": {9: {1: [2**32, 2**32, 2**32, 2**32], 2: "f8", 3: "rgb", 4: {}}},
    "pixels in domain file": {9: {1: [1, 1, 1, 1], 2: "u1", 3: "gray", 4: {"../x": b""}}},
    "no time": {6: ["0000-00-00T00:00:00", "mtime"]},
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES)
def test_metadata_that_lie_are_refused_by_one_name_and_leave_nothing(duo: Duo, lie: dict[int, object]) -> None:
    receiver = duo.start_receiver()
    with memory_within(16 * MEGABYTE):
        hostile_image(duo, lambda described: described | lie)
        duo.deliver_all()
    assert [receipt.reason for receipt in duo.receipts] == ["opening-failed"]
    assert receiver._loop.counts.faults == 0
    assert duo.hospital.files() == {}
    assert [path.name for path in (duo.hospital.store / ".incoming").glob("*/*")] == ["lock"]
