"""A file that kills its reader is carried as sealed bytes, flagged, dated by its mtime; the files beside it are as ever.

The files really take the reader's time and memory; the signal is the one that the kernel sends where memory runs out.
"""

from __future__ import annotations

import io
import json
import os
import signal
import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil
import pytest
from PIL import Image

from tests.faults.stage import PATIENCE_SECONDS, Stage
from tests.world import slow_dicom, until

pytestmark = [pytest.mark.mosquitto, pytest.mark.timeout(300)]

_MTIME = 1_700_000_000
_TAKEN = "2026-11-21T09:30:00"


def bomb() -> bytes:
    """Return a small file that decodes to far more pixels than its reader has memory for."""
    file = io.BytesIO()
    Image.new("RGB", (9000, 9000)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def good(shade: int) -> bytes:
    """Return a photograph that says when it was taken."""
    exif = Image.Exif()
    exif[0x0132] = "2026:11:21 09:30:00"
    file = io.BytesIO()
    Image.new("RGB", (40, 30), (shade, 9, 9)).save(file, "PNG", exif=exif)
    return file.getvalue()


def described(stage: Stage) -> dict[str, dict[str, Any]]:
    """Return what the receiver knows of each image, by its file's name, with the content that it stored."""
    connection = sqlite3.connect(f"file:{stage.receiver / 'state' / 'catalogue.sqlite'}?mode=ro", uri=True)
    try:
        rows = connection.execute("SELECT path, description FROM images WHERE status = 'stored'").fetchall()
    finally:
        connection.close()
    known = [(stage.store / path, json.loads(text)) for path, text in rows]
    return {about["name"]: about | {"content": path.read_bytes()} for path, about in known}


def prepare(stage: Stage, poison: bytes) -> dict[str, bytes]:
    """Let the scanner write a bad file between two good ones, in this order."""
    images = {"a.png": good(1), "b.poison": poison, "c.png": good(2)}
    stage.scan(images)
    for number, name in enumerate(images):
        os.utime(stage.scans / name, (_MTIME + number,) * 2)
    return images


def check(stage: Stage, images: dict[str, bytes], note: str, *, mtime: bool = True) -> None:
    """Insist that all arrived, the bad one flagged, and that its neighbours kept their metadata."""
    known = described(stage)
    assert {name: about["content"] for name, about in known.items()} == images
    assert note in known["b.poison"]["notes"]
    if mtime:
        captured = datetime.fromisoformat(known["b.poison"]["capture_time"])
        assert (known["b.poison"]["capture_source"], captured) == ("mtime", datetime.fromtimestamp(_MTIME + 1, UTC))
    for name in ("a.png", "c.png"):
        assert note not in known[name]["notes"]
        assert known[name]["capture_time"].startswith(_TAKEN)
    assert {str(entry.state) for entry in stage.ledger()} == {"disposed"}


@pytest.mark.parametrize(
    ("poison", "limits", "note"),
    [
        (slow_dicom, {"EDGE_ENCRYPTOR_LIMITS_INSPECT_TIMEOUT": "1"}, "inspection-timeout"),
        pytest.param(
            bomb,
            {"EDGE_ENCRYPTOR_CIPHER_DOMAIN": "pixels", "EDGE_ENCRYPTOR_LIMITS_PIXELS_MEMORY": "256 MiB"},
            "pixels-unavailable",
            marks=pytest.mark.faults,
        ),
    ],
)
def test_a_file_that_exhausts_its_reader_is_carried_as_bytes_and_the_next_is_read(
    stage: Callable[[], Stage], poison: Callable[[], bytes], limits: dict[str, str], note: str
) -> None:
    here = stage()
    here.environment = {"EDGE_ENCRYPTOR_LIMITS_INSPECT_TIMEOUT": "30", **limits}
    images = prepare(here, poison())
    device, receiver = here.start("device"), here.start("receiver")
    try:
        until(lambda: device.code is not None, seconds=PATIENCE_SECONDS)
    finally:
        for each in (device, receiver):
            each.end(signal.SIGKILL)
    assert device.code == 0, device.said
    decoded = note == "pixels-unavailable"
    if decoded:  # the good ones are stored as pixels, written again
        known = described(here)
        assert known["b.poison"]["content"] == images["b.poison"]
        images = {name: about["content"] for name, about in known.items()}
    check(here, images, note, mtime=not decoded)
    assert device.said.count("without its metadata") == (0 if decoded else 1)


@pytest.mark.faults
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSEGV])
def test_a_file_whose_reader_is_killed_is_carried_as_bytes_and_the_next_is_read(
    stage: Callable[[], Stage], how: signal.Signals
) -> None:
    here = stage()
    here.environment = {"EDGE_ENCRYPTOR_LIMITS_INSPECT_TIMEOUT": "600"}
    images = prepare(here, slow_dicom())
    device, receiver = here.start("device"), here.start("receiver")
    try:
        until(lambda: busy(device.pid), seconds=PATIENCE_SECONDS)
        [reader] = busy(device.pid)
        os.kill(reader, how)
        until(lambda: device.code is not None, seconds=PATIENCE_SECONDS)
    finally:
        for each in (device, receiver):
            each.end(signal.SIGKILL)
    assert device.code == 0, device.said
    check(here, images, "inspection-crashed")


def busy(device: int) -> list[int]:
    """Return the readers of a device that have been at work for longer than any start takes."""
    readers = [each for each in psutil.Process(device).children() if "edge.intake.worker" in each.cmdline()]
    return [each.pid for each in readers if sum(each.cpu_times()[:2]) > 2.0]


@pytest.mark.faults
def test_where_memory_runs_out_the_kernel_ends_the_reader_and_not_the_daemon(stage: Callable[[], Stage]) -> None:
    here = stage()
    here.environment = {"EDGE_ENCRYPTOR_LIMITS_INSPECT_TIMEOUT": "600"}
    prepare(here, slow_dicom())
    device = here.start("device")
    try:
        until(lambda: busy(device.pid), seconds=PATIENCE_SECONDS)
        [reader] = busy(device.pid)
        scores = [int(Path(f"/proc/{pid}/oom_score").read_text()) for pid in (reader, device.pid)]
        assert scores[0] > scores[1]
    finally:
        device.end(signal.SIGKILL)
    unit = (Path(__file__).resolve().parents[2] / "systemd" / "edge-encryptor.service").read_text().splitlines()
    # Otherwise systemd ends the whole service where one of its processes was ended for memory.
    assert "OOMPolicy=continue" in unit
