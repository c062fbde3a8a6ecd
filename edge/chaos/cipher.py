"""Cipher A over whole images, band by band: permute the rows, then the columns, then XOR with the key words.

Memory is bounded by the band, whatever the size of the image; each yielded band is valid until the next is asked for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from edge.chaos.buffers import Readable, band_buffers, fill
from edge.chaos.diffuse import diffuse
from edge.chaos.keys import BandKeys, validate
from edge.chaos.layout import Band, Layout
from edge.chaos.maps import Words
from edge.chaos.permute import Bytes, Indices, Permutation, inverse
from edge.errors import ChangedWhileRead, CipherProofFailed, TruncatedEnvelope
from edge.records import ChaosParameters

# Bytes compared at a time when a band is proved: small, because a comparison makes an array of truths as large.
COMPARED_BYTES = 256 << 10


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
        parameters: The control parameters of the chaotic map.
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


def undo(
    permutation: Permutation,
    band: Band,
    cipher: Bytes,
    plain: Bytes,
    keys: tuple[Indices, Indices, Iterable[Words]],
) -> None:
    """Decipher one band into `plain`; `cipher` is used up.

    Args:
        permutation: The machinery of the layout.
        band: The band.
        cipher: A band buffer with the cipher image.
        plain: A band buffer.
        keys: xindex, yindex, and zkey in pieces of words.
    """
    columns, rows, words = keys
    diffuse(cipher, band.size, words)
    permutation.gather(cipher[: band.body], plain[: band.body], inverse(rows), inverse(columns)).until(band.body)
    plain[band.body : band.size] = cipher[band.body : band.size]


def _encipher(
    source: Readable,
    layout: Layout,
    parameters: ChaosParameters,
    secret: bytes,
    *,
    prove: bool,
) -> Iterator[memoryview]:
    permutation = Permutation(layout)
    with band_buffers(layout, 4 if prove else 2) as (plain, cipher, *spare):
        for band in layout.bands():
            if fill(source, plain[: band.size].data) < band.size:
                raise ChangedWhileRead("the image became shorter while it was read")
            columns, rows, words = BandKeys(secret, parameters, layout, band).all()
            gather = permutation.gather(plain[: band.body], cipher[: band.body], rows, columns)
            cipher[band.body : band.size] = plain[band.body : band.size]
            diffuse(cipher, band.size, words, before=gather.until)
            if prove:
                copy, proof = spare
                copy[: band.size] = cipher[: band.size]
                undo(permutation, band, copy, proof, BandKeys(secret, parameters, layout, band).all())
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
    permutation = Permutation(layout)
    with band_buffers(layout, 2) as (cipher, plain):
        for band in layout.bands():
            if fill(source, cipher[: band.size].data) < band.size:
                raise TruncatedEnvelope("the cipher image ends early")
            undo(permutation, band, cipher, plain, BandKeys(secret, parameters, layout, band).all())
            with plain[: band.size].data as view:
                yield view


def _same(left: Bytes, right: Bytes) -> bool:
    """Compare two bands in pieces, since a comparison makes an array of truths as large as the piece."""
    pieces = range(0, len(left), COMPARED_BYTES)
    return all(np.array_equal(left[i : i + COMPARED_BYTES], right[i : i + COMPARED_BYTES]) for i in pieces)
