"""Write the first corpus of the fuzzer: for each door inputs that it takes, and inputs made to hurt it.

    python -m tests.fuzz.make_corpus

All bytes are made here; none is of a real image. What the fuzzer found since stands beside them as `found-*`.
"""

from __future__ import annotations

import io
import json
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import piexif
import pydicom
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from edge import protocol
from edge.envelope import wire
from edge.envelope.sign import Manifest, Receipt, ReceiptStatus, sign_manifest, sign_receipt
from edge.transfer.messages import Offer, SignedReceipt, Topics, Want, encode
from tests.envelope import party
from tests.fuzz.doors import IMAGE_ID, sealed_bulk
from tests.vectors.recipes import HERE as VECTORS
from tests.world import DEVICE, RECEIVER

CORPUS = Path(__file__).resolve().parent / "corpus"
_SMALL = 16


def _manifests() -> Iterator[tuple[str, bytes]]:
    for path in sorted((VECTORS / "good").glob("*.sealed"))[:2]:
        yield path.stem, party.split(path.read_bytes())[0]
    for name, changes in {
        "huge": {"bulk_bytes": protocol.IMAGE_MAX_BYTES * 4},
        "empty": {"bulk_bytes": 0},
        "last-number": {"sequence": protocol.SEQUENCE_MAX},
    }.items():
        yield name, manifest(**changes)
    yield "in-another-name", manifest(device="device-2")
    yield "revoked", manifest(device="device-4", signer="device-4")


def manifest(*, signer: str = DEVICE, **changes: object) -> bytes:
    """Return a manifest of a small image; `changes` spoil fields of it."""
    fields = {
        "device": DEVICE,
        "audience": RECEIVER,
        "issued_at": party.ISSUED_AT,
        "image_id": IMAGE_ID,
        "sequence": 1,
        "bulk_bytes": 100,
    }
    return sign_manifest(Manifest(**{**fields, **changes}), bytes(32), party.signer(signer))  # type: ignore[arg-type]


def receipt(*, signer: str = RECEIVER, **changes: object) -> bytes:
    """Return a receipt; `changes` spoil fields of it."""
    fields = {
        "receiver": RECEIVER,
        "device": DEVICE,
        "image_id": IMAGE_ID,
        "manifest_hash": bytes(32),
        "status": ReceiptStatus.STORED,
        "reason": "",
        "issued_at": party.NOW,
    }
    return sign_receipt(Receipt(**{**fields, **changes}), party.signer(signer))  # type: ignore[arg-type]


def _receipts() -> Iterator[tuple[str, bytes]]:
    yield "stored", receipt()
    yield "rejected", receipt(status=ReceiptStatus.REJECTED, reason="unknown-signer")
    yield "in-another-name", receipt(signer="receiver-2")
    yield "elsewhere", receipt(device="device-2")


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Return CBOR that says more than it holds, or holds as much as it can."""
    yield "array-of-2-to-the-64", b"\x9b" + b"\xff" * 8
    yield "map-of-2-to-the-63", b"\xbb\x7f" + b"\xff" * 7
    yield "bytes-of-2-to-the-62", b"\x5b\x3f" + b"\xff" * 7
    yield "text-of-2-to-the-32", b"\x7a" + b"\xff" * 4 + b"a"
    yield "nested", b"\x81" * 300 + b"\x00"
    yield "indefinite", b"\x9f" + b"\x80" * 100 + b"\xff"
    yield "empty-arrays", b"\x99\x0f\x00" + b"\x80" * 0x0F00
    yield "empty-maps", b"\x99\x0f\x00" + b"\xa0" * 0x0F00
    yield "keys-of-maps", b"\xa2\xa0\x00\xa1\xa0\x00\x00"
    yield "tags", b"\xd2" * 200 + b"\x00"
    yield "shared", b"\xd8\x1c\x81\xd8\x1d\x00"
    yield "big-number", b"\xc2\x59\x01\x00" + b"\xff" * 256
    yield "date", b"\xc0\x74" + b"2013-03-21T20:04:00Z"
    yield "regular-expression", b"\xd8\x23\x67(a+)+b$"
    yield "bad-text", b"\x62\xff\xfe"


def plaintexts() -> Iterator[tuple[str, bytes]]:
    """Return what stands inside sealed images of this project: metadata, cipher image, perhaps a key file."""
    from edge.envelope.seal import Opening

    for path in sorted((VECTORS / "good").glob("*.sealed")):
        data = path.read_bytes()
        opening = Opening(
            party.verified(data), io.BytesIO(party.split(data)[1]), party.unwrappers(RECEIVER, "receiver-2")
        )
        plain = b"".join(iter(lambda: opening.read(1 << 16), b""))  # noqa: B023
        if len(plain) <= 4096:
            yield path.stem, plain


def _metadata_of(plaintext: bytes) -> bytes:
    return wire.SequenceReader(io.BytesIO(plaintext)).small_item(protocol.METADATA_MAX_BYTES)


def _metadata() -> Iterator[tuple[str, bytes]]:
    first = b""
    for name, plain in plaintexts():
        first = first or _metadata_of(plain)
        yield name, _metadata_of(plain)
    for name, bad in {
        "climbing": b"../../../../etc/cron.d/x",
        "absolute": b"/etc/passwd",
        "dots": b"..",
        "nul": b"a\0b.png",
        "right-to-left": "\u202egnp.exe".encode(),
        "long": b"n" * 1000,
        "other-separators": rb"..\..\windows",
        "not-unicode": b"\xff\xfe.png",
    }.items():
        described = dict(wire.decode(first, limit=protocol.METADATA_MAX_BYTES))
        yield name, wire.encode(described | {1: bad, 13: b"../../up"})


def _controls() -> Iterator[tuple[str, bytes]]:
    yield "offer", encode(Offer(manifest(), protocol.CHUNK_MIN_BYTES))
    yield "want", encode(Want(IMAGE_ID, RECEIVER, ((0, 3), (5, 7))))
    yield "want-all", encode(Want(IMAGE_ID, RECEIVER, tuple((2 * n, 2 * n + 1) for n in range(protocol.RANGES_MAX))))
    yield "receipt", encode(SignedReceipt(receipt()))


def _topics() -> Iterator[tuple[str, bytes]]:
    topics = Topics()
    for name, topic in {
        "offer": topics.offer(DEVICE),
        "control": topics.control(DEVICE),
        "status": topics.status(RECEIVER),
        "chunk": topics.chunk(RECEIVER, DEVICE, IMAGE_ID, 17),
        "climbing": f"edge/v1/rx/{RECEIVER}/../{IMAGE_ID.hex()}/0",
        "huge-number": f"edge/v1/rx/{RECEIVER}/{DEVICE}/{IMAGE_ID.hex()}/{'9' * 200}",
        "other-digits": f"edge/v1/rx/{RECEIVER}/{DEVICE}/{IMAGE_ID.hex()}/\u0661",
        "newline": topics.offer(DEVICE) + "\n",
    }.items():
        yield name, topic.encode()


def _say(*said: tuple[int, bytes]) -> bytes:
    return b"".join(bytes([kind]) + len(payload).to_bytes(2, "big") + payload for kind, payload in said)


def _to_device() -> Iterator[tuple[str, bytes]]:
    online = json.dumps({"role": "receiver", "state": "online", "boot": "1", "connection": 1}).encode()
    whole = encode(Want(party.fixed_entropy("fuzz").image_id, RECEIVER, ((0, 200),)))
    yield "wants", _say((0, whole), (0, encode(Want(IMAGE_ID, RECEIVER, ((0, 3),)))))
    yield "wants-elsewhere", _say((0, encode(Want(party.fixed_entropy("fuzz").image_id, "nobody", ((0, 9),)))))
    yield "wants-all-over-again", _say(*[(0, whole)] * 4)
    yield "receipts", _say((1, receipt()), (1, receipt(status=ReceiptStatus.REJECTED, reason="x")))
    yield "statuses", _say((2, online), (2, b"[" * 2000), (2, b'{"boot": ' + b"9" * 3000 + b"}"))
    yield "offer", _say((0, encode(Offer(manifest(), 16384))))


def _to_receiver() -> Iterator[tuple[str, bytes]]:
    yield "offers", _say((1, manifest()), (1, manifest(sequence=2)), (0, encode(Offer(manifest(), 1 << 20))))
    yield "chunk", _say((1, manifest()), (2, bytes(100)))
    yield "chunks-out-of-range", _say((1, manifest()), (254, bytes(100)), (2, b""), (2, bytes(200)))
    yield "huge", _say((1, manifest(bulk_bytes=protocol.IMAGE_MAX_BYTES * 4)), (1, manifest(bulk_bytes=1 << 33)))
    yield "empty", _say((1, manifest(bulk_bytes=0)))
    yield "rubbish", _say((0, b"\xff" * 50), (0, b"\x9b" + b"\xff" * 8), (3, b"edge/v1/offer/+"))


# --- files ----------------------------------------------------------------------------------------------------------


def _picture(mode: str = "RGB") -> Image.Image:
    samples = np.arange(_SMALL * _SMALL * 3, dtype="u1").reshape(_SMALL, _SMALL, 3)
    return Image.fromarray(samples).convert(mode)


def _saved(form: str, mode: str = "RGB", **options: object) -> bytes:
    target = io.BytesIO()
    _picture(mode).save(target, form, **options)
    return target.getvalue()


def exif_block() -> bytes:
    """Return an EXIF block with all that is read from one."""
    return piexif.dump(
        {
            "0th": {271: b"Maker", 272: b"Model", 306: b"2020:01:02 03:04:05"},
            "Exif": {36867: b"2020:01:02 03:04:05", 36881: b"+01:00", 37521: b"123"},
        }
    )


def dicom(syntax: str = ExplicitVRLittleEndian, *, undefined: bool = False) -> bytes:
    """Return a DICOM file of four pixels."""
    inner, found = Dataset(), Dataset()
    inner.CodeValue = "123"
    inner.is_undefined_length_sequence_item = undefined
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, "1.2.3"
    found.AcquisitionDateTime, found.StudyDate, found.StudyTime = "20200102030405.5+0100", "20200102", "030405"
    found.Manufacturer, found.ManufacturerModelName = "Maker", "Model"
    found.ProcedureCodeSequence = [inner, inner]
    found["ProcedureCodeSequence"].is_undefined_length = undefined
    found.Rows, found.Columns, found.SamplesPerPixel = 2, 2, 1
    found.PhotometricInterpretation, found.NumberOfFrames = "MONOCHROME2", 1
    found.BitsAllocated, found.BitsStored, found.HighBit, found.PixelRepresentation = 8, 8, 7, 0
    found.PixelData = b"abcd"
    return _written(found, syntax)


def _written(found: Dataset, syntax: str) -> bytes:
    found["PixelData"].VR = "OW"
    found.file_meta = FileMetaDataset()
    found.file_meta.TransferSyntaxUID = syntax
    found.file_meta.MediaStorageSOPClassUID = CTImageStorage
    target = io.BytesIO()
    pydicom.dcmwrite(target, found, enforce_file_format=True)
    return target.getvalue()


def _dicoms() -> Iterator[tuple[str, bytes]]:
    for name, syntax in {
        "explicit": ExplicitVRLittleEndian,
        "implicit": ImplicitVRLittleEndian,
        "big-endian": ExplicitVRBigEndian,
        "deflated": DeflatedExplicitVRLittleEndian,
    }.items():
        yield name, dicom(syntax)[132:]
    yield "undefined", dicom(undefined=True)[132:]
    yield "frames", _frames()[132:]
    deep = (
        b"\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff"
        + b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x08\x00\x32\x10SQ\0\0\xff\xff\xff\xff" * 100
    )
    yield "nested", dicom()[132:330] + deep


def _frames() -> bytes:
    """Return an enhanced object that keeps its only time within its frames."""
    content, groups, found = Dataset(), Dataset(), Dataset()
    content.FrameAcquisitionDateTime = "20200102030405"
    groups.FrameContentSequence = [content]
    found.SOPClassUID, found.SOPInstanceUID = CTImageStorage, "1.2.3"
    found.NumberOfFrames, found.Rows, found.Columns = 2, 1, 1
    found.PerFrameFunctionalGroupsSequence = [groups, groups]
    found.PixelData = b"ab"
    return _written(found, ExplicitVRLittleEndian)


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    whole = [(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), *chunks, (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in whole
    )


def _box(name: bytes, payload: bytes) -> bytes:
    return struct.pack(">I", 8 + len(payload)) + name + payload


def _tiff_loop() -> bytes:
    """Return a TIFF whose directories point at one another, and at places where there is nothing."""
    first = struct.pack("<H", 2) + struct.pack("<HHII", 330, 4, 64, 8) + struct.pack("<HHII", 34665, 4, 1, 8)
    return b"II*\0" + struct.pack("<I", 8) + first + struct.pack("<I", 8) + bytes(300)


def _bigtiff() -> bytes:
    entries = [(256, 3, 1, 2), (257, 3, 1, 2), (258, 3, 1, 8), (262, 3, 1, 1), (273, 16, 1, 152), (279, 16, 1, 4)]
    table = b"".join(struct.pack("<HHQQ", *entry) for entry in entries)
    return struct.pack("<2sHHHQ", b"II", 43, 8, 0, 16) + struct.pack("<Q", 6) + table + bytes(8) + b"abcd"


def _files() -> Iterator[tuple[str, bytes]]:
    block = exif_block()
    yield "jpeg", _saved("JPEG", exif=block)
    yield "jpeg-progressive", _saved("JPEG", progressive=True)
    two = io.BytesIO()
    _picture().save(two, "MPO", save_all=True, append_images=[_picture()])
    yield "jpeg-two", two.getvalue()
    yield "png", _saved("PNG", exif=block[6:])
    text = b"exif\0\0" + zlib.compress(b"\nexif\n%8d\n" % len(block) + block.hex().encode())
    yield "png-profile", _png((b"zTXt", b"Raw profile type exif\0\0" + text[6:]), (b"IDAT", zlib.compress(b"\0\0")))
    yield "png-bomb", _png((b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(bytes(1 << 20), 9)))
    yield "png-without-end", _png()[:-12]
    yield "tiff", _saved("TIFF")
    yield "tiff-lzw", _saved("TIFF", compression="tiff_lzw")
    yield "tiff-big", _bigtiff()
    yield "tiff-loop", _tiff_loop()
    yield "webp", _saved("WEBP", lossless=True, exif=block)
    yield "webp-lossy", _saved("WEBP")
    yield "gif", _saved("GIF", mode="P")
    yield "bmp", _saved("BMP")
    yield "bmp-os2", b"BM" + bytes(8) + struct.pack("<IIHHHH", 26, 12, 2, 2, 1, 24) + bytes(16)
    yield "jp2", _saved("JPEG2000")
    yield "j2k", _saved("JPEG2000", no_jp2=True)
    yield "heif", _box(b"ftyp", b"heic\0\0\0\0") + _box(b"meta", b"x" * 20) + struct.pack(">IQ", 1, 0)
    yield "jpeg-xl", _box(b"JXL ", b"\r\n\x87\n") + _box(b"jxlc", b"x")
    yield "pnm", b"P5 2 2 255\nabcd"
    yield "nifti", bytes(344) + b"n+1\0"
    yield "zeros", bytes(64)


def _sidecars() -> Iterator[tuple[str, bytes]]:
    yield "iso", json.dumps({"datetime": "2020-01-02T03:04:05+01:00"}).encode()
    yield "exif", json.dumps({"DateTimeOriginal": "2020:01:02 03:04:05.5"}).encode()
    yield "nested", b"[" * 1000
    yield "number", b'{"datetime": ' + b"9" * 900 + b"}"
    yield "first-year", json.dumps({"datetime": "0001-01-01T00:00:00+14:00"}).encode()
    yield "last-year", json.dumps({"datetime": "9999-12-31T23:59:59-12:00"}).encode()


def files() -> Mapping[str, Mapping[str, bytes]]:
    """Return the corpus by door and name."""
    bombs = dict(_bombs())
    return {
        "wire": {**bombs, **dict(_manifests())},
        "manifest": dict(_manifests()),
        "receipt": dict(_receipts()),
        "bulk": {**bombs, "sealed": sealed_bulk(next(plaintexts())[1])},
        "plaintext": dict(plaintexts()),
        "metadata": dict(_metadata()),
        "control": {**bombs, **dict(_controls())},
        "topic": dict(_topics()),
        "device": dict(_to_device()),
        "receiver": dict(_to_receiver()),
        "file": dict(_files()),
        "dicom": dict(_dicoms()),
        "exif": {"block": exif_block()[6:], "loop": _tiff_loop()},
        "sidecar": dict(_sidecars()),
    }


def main() -> None:
    """Write what is not there yet."""
    for door, inputs in files().items():
        (CORPUS / door).mkdir(parents=True, exist_ok=True)
        for name, data in inputs.items():
            path = CORPUS / door / name
            if not path.exists():
                path.write_bytes(data)


if __name__ == "__main__":
    main()
