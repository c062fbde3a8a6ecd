"""Either cipher over whole images, band by band.

Memory is bounded by the band, whatever the size of the image; each yielded band is valid until the next is asked for.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from edge.chaos import kernel
from edge.chaos.bandcipher import BandCipher
from edge.chaos.buffers import Readable, band_buffers, fill
from edge.chaos.hyperdna import HyperDnaCipher
from edge.chaos.layout import Layout
from edge.chaos.parameters import BOXES, check
from edge.chaos.permute import Bytes
from edge.chaos.rowcolumn import RowColumnCipher
from edge.errors import ChangedWhileRead, CipherError, CipherProofFailed, TruncatedEnvelope
from edge.protocol import PATTERN_BYTES, SECRET_BYTES
from edge.records import ChaosParameters, MapName, Quantiser

# Bytes compared at a time when a band is proved: small, because a comparison makes an array of truths as large.
COMPARED_BYTES = 256 << 10


def cipher_class(chaotic_map: MapName) -> type[HyperDnaCipher | RowColumnCipher]:
    """Return the cipher that a map belongs to."""
    return HyperDnaCipher if chaotic_map is MapName.HYPERLORENZ_DNA else RowColumnCipher


def encipher(
    source: Readable,
    layout: Layout,
    parameters: ChaosParameters,
    secret: bytes,
    *,
    prove: bool = False,
) -> Iterator[memoryview]:
    """Encipher an image read from `source` and yield its cipher image, `layout.size` bytes, band by band.

    Args:
        source: The plain image; exactly `layout.size` bytes are read.
        layout: The sample matrix.
        parameters: What the chaotic map starts from.
        secret: 32 fresh random bytes, never used for another image.
        prove: Decipher every band again, with keys made anew, and compare it with the plain image before yielding it.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
        ChangedWhileRead: The source ended early.
        CipherProofFailed: A band did not decipher to the plain image.
    """
    validate(parameters, secret)
    return _encipher(source, layout, parameters, secret, prove=prove)


def decipher(
    source: Readable,
    layout: Layout,
    parameters: ChaosParameters,
    secret: bytes,
) -> Iterator[memoryview]:
    """Decipher a cipher image read from `source` and yield the plain image band by band.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
        TruncatedEnvelope: The source ended early.
    """
    validate(parameters, secret)
    return _decipher(source, layout, parameters, secret)


def validate(parameters: ChaosParameters, secret: bytes) -> None:
    """Refuse what no key may be made from.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
    """
    if len(secret) != SECRET_BYTES:
        raise CipherError("the image's secret must be 32 bytes")
    check(parameters)


def _encipher(
    source: Readable,
    layout: Layout,
    parameters: ChaosParameters,
    secret: bytes,
    *,
    prove: bool,
) -> Iterator[memoryview]:
    kind: BandCipher[Any] = cipher_class(parameters.map)(layout, parameters)
    count = kind.key_buffers
    with band_buffers(layout, (4 if prove else 2) + count) as (plain, cipher, *rest):
        room, spare = rest[:count], rest[count:]
        for band in layout.bands():
            if fill(source, plain[: band.size].data) < band.size:
                raise ChangedWhileRead("the image became shorter while it was read")
            kind.encipher(band, plain, cipher, kind.keys(secret, band, room))
            if prove:
                copy, proof = spare
                copy[: band.size] = cipher[: band.size]
                kind.decipher(band, copy, proof, kind.keys(secret, band, room))
                if not _same(plain[: band.size], proof[: band.size]):
                    raise CipherProofFailed("the cipher image does not decipher to the plain image")
            with cipher[: band.size].data as view:
                yield view


def _decipher(
    source: Readable,
    layout: Layout,
    parameters: ChaosParameters,
    secret: bytes,
) -> Iterator[memoryview]:
    kind: BandCipher[Any] = cipher_class(parameters.map)(layout, parameters)
    with band_buffers(layout, 2 + kind.key_buffers) as (cipher, plain, *room):
        for band in layout.bands():
            if fill(source, cipher[: band.size].data) < band.size:
                raise TruncatedEnvelope("the cipher image ends early")
            kind.decipher(band, cipher, plain, kind.keys(secret, band, room))
            with plain[: band.size].data as view:
                yield view


def _same(left: Bytes, right: Bytes) -> bool:
    """Compare two bands in pieces, since a comparison makes an array of truths as large as the piece."""
    pieces = range(0, len(left), COMPARED_BYTES)
    return all(np.array_equal(left[i : i + COMPARED_BYTES], right[i : i + COMPARED_BYTES]) for i in pieces)


def _known_images() -> bytes:
    """Encipher and decipher something of every kind: what the compiled kernel must agree with NumPy on before it is used."""
    secret, given = bytes(range(SECRET_BYTES)), []
    # Samples of 8, 3 and 2 bytes, incomplete rows, rows of an odd length; and more than one tile.
    layouts = (Layout.for_file(300_007), Layout.for_pixels((1, 41, 53, 3), 1), Layout(size=5_003, width=37, sample=2))
    for parameters in _known_parameters():
        for layout in layouts:
            given += _there_and_back(layout, parameters, secret)
    # The other samples that the kernel has a loop for, and one that it has none for; and stored key words.
    logistic = next(_known_parameters())
    for sample in (1, 4, 5, 6, 12, 16):
        given += _there_and_back(Layout(size=1_003, width=29, sample=sample), logistic, secret)
    given.append(_with_stored_keys(layouts[0], logistic, secret))
    return b"".join(given)


def _there_and_back(layout: Layout, parameters: ChaosParameters, secret: bytes) -> list[bytes]:
    """Encipher an image and decipher it again: the cipher image and the plain one, band by band."""
    plain = np.arange(layout.size, dtype=np.uint64).view(np.uint8)[: layout.size].tobytes()
    cipher = list(map(bytes, encipher(io.BytesIO(plain), layout, parameters, secret)))
    return cipher + list(map(bytes, decipher(io.BytesIO(b"".join(cipher)), layout, parameters, secret)))


def _with_stored_keys(layout: Layout, parameters: ChaosParameters, secret: bytes) -> bytes:
    """Decipher zeros, one band of them, with the explicit key file."""
    kind: BandCipher[Any] = cipher_class(parameters.map)(layout, parameters)
    (band,) = layout.bands()
    with band_buffers(layout, 2 + kind.file_buffers) as (cipher, plain, *room):
        file = b"".join(map(bytes, kind.key_pieces(secret, band, room)))
        cipher.fill(0)
        kind.decipher(band, cipher, plain, kind.read_keys(io.BytesIO(file), band, room))
        return plain[: band.size].tobytes()


def _known_parameters() -> Iterator[ChaosParameters]:
    for chaotic_map, box in BOXES.items():
        values = tuple((low + high) / 2 for low, high in box)
        if chaotic_map is not MapName.HYPERLORENZ_DNA:
            yield ChaosParameters(chaotic_map, values, "secret")
            continue
        for quantiser in Quantiser:
            key = (*values[:4], 43.0, 201.0)
            yield ChaosParameters(chaotic_map, key, "secret", pattern=bytes(range(PATTERN_BYTES)), quantiser=quantiser)


kernel.settle(_known_images)
