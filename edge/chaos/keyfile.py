"""The explicit key file: all chaotic matrices of every band, so that no map need be run to decipher.

Whoever holds it deciphers with it, without the secret: in cipher A with nothing else, in cipher B with v1, v2 and V_B.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edge.chaos.bandcipher import BandCipher
from edge.chaos.buffers import Readable, band_buffers, fill
from edge.chaos.cipher import cipher_class, validate
from edge.chaos.layout import Layout
from edge.chaos.parameters import check
from edge.errors import TruncatedEnvelope
from edge.records import ChaosParameters, MapName


def key_file_size(layout: Layout, chaotic_map: MapName) -> int:
    """Return the bytes of the explicit key file of an image."""
    return cipher_class(chaotic_map).key_file_size(layout)


def key_file(layout: Layout, parameters: ChaosParameters, secret: bytes) -> Iterator[memoryview]:
    """Yield the explicit key file in pieces. A piece is valid until the next.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
    """
    validate(parameters, secret)
    return _key_file(layout, parameters, secret)


def _key_file(layout: Layout, parameters: ChaosParameters, secret: bytes) -> Iterator[memoryview]:
    kind: BandCipher[Any] = cipher_class(parameters.map)(layout, parameters)
    with band_buffers(layout, kind.file_buffers) as room:
        for band in layout.bands():
            yield from kind.key_pieces(secret, band, room)


def decipher_with_key_file(
    source: Readable, key_source: Readable, layout: Layout, parameters: ChaosParameters
) -> Iterator[memoryview]:
    """Decipher a cipher image with the explicit key file; yield the plain image band by band.

    Args:
        source: The cipher image; exactly `layout.size` bytes are read.
        key_source: The key file; exactly `key_file_size` bytes are read.
        layout: The sample matrix.
        parameters: Which cipher it is; of cipher B also v1, v2 and V_B are used.

    Raises:
        ParametersOutOfRange: The parameters lie outside their box.
        MalformedKeyFile: The key file ends early, or makes no sense.
        TruncatedEnvelope: The cipher image ends early.
    """
    check(parameters)
    return _decipher(source, key_source, layout, parameters)


def _decipher(
    source: Readable, key_source: Readable, layout: Layout, parameters: ChaosParameters
) -> Iterator[memoryview]:
    kind: BandCipher[Any] = cipher_class(parameters.map)(layout, parameters)
    with band_buffers(layout, 2 + kind.file_buffers) as (cipher, plain, *room):
        for band in layout.bands():
            keys = kind.read_keys(key_source, band, room)
            if fill(source, cipher[: band.size].data) < band.size:
                raise TruncatedEnvelope("the cipher image ends early")
            kind.decipher(band, cipher, plain, keys)
            with plain[: band.size].data as view:
                yield view
