"""A patient's name stands in file names, EXIF, DICOM, text chunks: it is nowhere in logs, topics, payloads, outputs."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import piexif
import pytest
from PIL import Image, PngImagePlugin
from pydicom import dcmread

from edge.transport.base import BrokerAddress, BrokerSettings
from edge.transport.mqtt import MqttTransport
from tests.integration.ends import DEVICES, Ends

pytestmark = [pytest.mark.mosquitto, pytest.mark.slow, pytest.mark.timeout(300)]

PATIENT = "Quetzalina"
STUDY_DATE = "19370211"
FORBIDDEN = (PATIENT, PATIENT.upper(), STUDY_DATE, "1937:02:11", "1937-02-11")


@pytest.mark.parametrize(("device", "way"), [(DEVICES[11], ()), (DEVICES[16], ("--map", "hyperlorenz-dna"))])
def test_no_patient_data_leaves_the_envelope(
    ends: Ends, shared_images: Path, tmp_path: Path, device: str, way: tuple[str, ...]
) -> None:
    scans = tmp_path / "scans"
    _plant(scans, shared_images)
    # Each odd way has log lines of its own: too large, stuck, ignored, pixels that cannot be had.
    limits = {"EDGE_ENCRYPTOR_LIMITS_IMAGE_BYTES": "300000"}

    with _everything_on_the_broker(ends.url) as heard:
        done = ends.carry(device, scans, "--domain", "pixels", *way, env=limits)

    assert done.code == 3  # the stuck one and the one too large
    delivered = ends.delivered(device)
    assert any(PATIENT in name for name in delivered)
    assert len(heard) > len(delivered)
    _assert_clean("the device's output", done.out + done.err)
    _assert_clean("the receiver's log", ends.receiver_log)
    for topic, payload in heard:
        _assert_clean("a topic", topic)
        _assert_clean("a payload", payload.decode("latin-1"))


def _assert_clean(what: str, text: str) -> None:
    found = [word for word in FORBIDDEN if word in text or word.encode("utf-16-le").decode("latin-1") in text]
    assert not found, f"{what} holds patient data"


def _plant(scans: Path, shared_images: Path) -> None:
    folder = scans / f"{PATIENT}^Xochitl"
    folder.mkdir(parents=True)
    exif = piexif.dump(
        {
            "0th": {piexif.ImageIFD.Artist: PATIENT.encode(), piexif.ImageIFD.ImageDescription: PATIENT.encode()},
            "Exif": {
                piexif.ExifIFD.UserComment: b"ASCII\0\0\0" + PATIENT.encode(),
                piexif.ExifIFD.DateTimeOriginal: b"1937:02:11 08:00:00",
            },
        }
    )
    picture = Image.new("RGB", (60, 40), (10, 20, 30))
    picture.save(folder / f"{PATIENT}.jpg", exif=exif, comment=PATIENT.encode())
    text = PngImagePlugin.PngInfo()
    text.add_text("Patient", PATIENT)
    picture.save(folder / f"{PATIENT} {STUDY_DATE}.png", pnginfo=text)
    dataset = dcmread(shared_images / "ct_small_explicit-le.dcm")
    dataset.PatientName, dataset.PatientID = f"{PATIENT}^Xochitl", PATIENT
    dataset.StudyDate = dataset.AcquisitionDate = dataset.ContentDate = STUDY_DATE
    dataset.save_as(scans / f"{PATIENT}.dcm")
    # One that ends too early, one that is no image, one that no decoder opens, one over the size limit, one empty.
    (scans / f"{PATIENT}-cut.jpg").write_bytes((folder / f"{PATIENT}.jpg").read_bytes()[:-40])
    (scans / f"{PATIENT}.txt").write_text(f"{PATIENT} {STUDY_DATE}")
    damaged = BytesIO()
    picture.save(damaged, "PNG", pnginfo=text)
    (scans / f"{PATIENT}-damaged.png").write_bytes(_spoil_pixels(damaged.getvalue()))
    shutil.copyfile(shared_images / "cxr_effusion_canon-sd750_exif.jpg", scans / f"{PATIENT}-large.jpg")


def _spoil_pixels(data: bytes) -> bytes:
    """Flip bytes of the compressed pixels, so that decoding fails."""
    start = data.index(b"IDAT") + 6
    return data[:start] + bytes(byte ^ 0xFF for byte in data[start : start + 20]) + data[start + 20 :]


@contextmanager
def _everything_on_the_broker(url: str) -> Iterator[list[tuple[str, bytes]]]:
    """Listen to all topics while the block runs."""
    heard: list[tuple[str, bytes]] = []
    transport = MqttTransport(BrokerSettings(address=BrokerAddress.parse(url), client_id_prefix="eavesdropper"))
    transport.subscribe("#")
    transport.start()
    assert transport.wait_subscribed(10)
    over = threading.Event()

    def listen() -> None:
        while (message := transport.receive(0.2)) is not None or not over.is_set():
            if message is not None:
                heard.append((message.topic, message.payload))

    thread = threading.Thread(target=listen)
    thread.start()
    try:
        yield heard
    finally:
        over.set()
        thread.join(10)
        transport.stop()
