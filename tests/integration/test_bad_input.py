"""What is no good image ends by name: carried as bytes with a note, stuck, or ignored; and the good ones arrive all the same."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.integration.ends import DEVICES, Ends

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

STUCK = {
    "zero-byte.jpg": "empty-file",
    "truncated_cxr.jpg": "incomplete-file",
    "mr_truncated.dcm": "incomplete-file",
}
CARRIED = {
    "broken-exif.jpg": "image/jpeg",
    "bomb_25000x25000_gray.png": "image/png",
    "png-named.jpg": "image/png",
    "tiff_tagcount-bomb.tif": "image/tiff",
}


@pytest.mark.parametrize(("device", "domain"), [(DEVICES[8], "file"), (DEVICES[9], "pixels")])
def test_every_malformed_file_ends_in_a_named_state(
    ends: Ends, shared_images: Path, tmp_path: Path, device: str, domain: str
) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    for path in (shared_images / "malformed").iterdir():
        shutil.copyfile(path, scans / path.name)
    (scans / "notes.txt").write_text("no image")
    (scans / "half.png.part").write_text("a name that is not finished")
    os.mkfifo(scans / "pipe.jpg")
    (scans / "link.jpg").symlink_to(shared_images / "exif_trailing-nul_pentax-s4.jpg")

    done = ends.carry(device, scans, "--domain", domain)

    assert done.code == 3
    assert "3 of 7 did not arrive" in done.err
    assert "Traceback" not in done.err
    queue = ends.queue(device)
    assert {name: entry["state"] for name, entry in queue.items()} == {
        **dict.fromkeys(STUCK, "stuck"),
        **dict.fromkeys(CARRIED, "disposed"),
        "notes.txt": "ignored",
    }
    assert {name: queue[name]["reason"] for name in STUCK} == STUCK
    assert all(queue[name]["hint"] for name in STUCK)
    delivered = ends.delivered(device)
    assert {name: about["media_type"] for name, (_, about) in delivered.items()} == CARRIED
    assert "pixels-too-large" in delivered["bomb_25000x25000_gray.png"][1]["notes"]
    for name in CARRIED if domain == "file" else ("bomb_25000x25000_gray.png",):
        place, about = delivered[name]
        assert place.read_bytes() == (shared_images / "malformed" / name).read_bytes()
        assert about["domain"] == "file"


def test_incomplete_and_unknown_files_are_carried_where_the_configuration_says_so(
    ends: Ends, shared_images: Path, tmp_path: Path
) -> None:
    device = DEVICES[10]
    scans = tmp_path / "scans"
    scans.mkdir()
    truncated = scans / "truncated_cxr.jpg"
    shutil.copyfile(shared_images / "malformed" / truncated.name, truncated)
    (scans / "notes.txt").write_text("no image")
    choices = {"EDGE_ENCRYPTOR_WATCH_UNKNOWN": "carry", "EDGE_ENCRYPTOR_WATCH_INCOMPLETE": "carry"}

    done = ends.carry(device, scans, env=choices)

    assert done.code == 0, done.err
    delivered = ends.delivered(device)
    assert set(delivered) == {"truncated_cxr.jpg", "notes.txt"}
    assert "incomplete" in delivered["truncated_cxr.jpg"][1]["notes"]
    for name, (place, _) in delivered.items():
        assert place.read_bytes() == (scans / name).read_bytes()
