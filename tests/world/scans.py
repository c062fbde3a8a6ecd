"""What a scanner writes."""

from __future__ import annotations

import hashlib
import struct
import zlib


def bytes_of(label: str, size: int) -> bytes:
    """Return `size` bytes that look random and are the same for a label."""
    return hashlib.shake_256(label.encode()).digest(size)


def png(label: str, size: int = 40_000) -> bytes:
    """Return a file that is a PNG by its magic number and its end, and is filled up by a chunk that no reader minds."""

    def chunk(name: bytes, payload: bytes) -> bytes:
        return len(payload).to_bytes(4, "big") + name + payload + zlib.crc32(name + payload).to_bytes(4, "big")

    header = (1).to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0))
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"flLr", bytes_of(label, size))
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


def slow_dicom() -> bytes:
    """Return a DICOM file of 5 MB that keeps its reader busy for many seconds: it has 600,000 elements."""
    preamble = bytes(128) + b"DICM" + struct.pack("<HH2sH", 2, 0x10, b"UI", 20) + b"1.2.840.10008.1.2.1\0"
    return preamble + struct.pack("<HH2sH", 9, 0x1001, b"LO", 0) * 600_000
