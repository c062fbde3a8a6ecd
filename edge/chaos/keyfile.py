"""The explicit key file: xindex, yindex and zkey of every band, all that deciphering needs.

Whoever holds it deciphers with it alone: no secret, no parameters, no chaotic map.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge.chaos.buffers import WORD_BYTES, Readable, band_buffers, fill
from edge.chaos.cipher import undo
from edge.chaos.diffuse import LITTLE, diffuse
from edge.chaos.keys import BandKeys, validate
from edge.chaos.layout import Band, Layout
from edge.chaos.permute import TILE_BYTES, Bytes, Indices, Permutation
from edge.errors import MalformedKeyFile, TruncatedEnvelope
from edge.records import ChaosParameters

INDEX_BYTES = 4  # bytes of an index: uint32, little-endian


def key_file_size(layout: Layout) -> int:
    """Return the bytes of the explicit key file: four an index, one a byte of the image."""
    rows = layout.size // layout.row_bytes
    return INDEX_BYTES * (layout.band_count * layout.width + rows) + layout.size


def key_file(layout: Layout, parameters: ChaosParameters, secret: bytes) -> Iterator[memoryview]:
    """Yield the explicit key file in pieces: per band xindex, yindex, zkey. A piece is valid until the next.

    Raises:
        CipherError: The secret is not 32 bytes.
        ParametersOutOfRange: The parameters lie outside their box.
    """
    validate(parameters, secret)
    return _key_file(layout, parameters, secret)


def _key_file(layout: Layout, parameters: ChaosParameters, secret: bytes) -> Iterator[memoryview]:
    with band_buffers(layout, 1) as (stream,):
        for band in layout.bands():
            columns, rows, words = BandKeys(secret, parameters, layout, band).all()
            for indices in (columns, rows):
                yield memoryview(indices.astype(LITTLE).tobytes())
            stream.fill(0)
            diffuse(stream, band.size, words)
            with stream[: band.size].data as view:
                yield view


def decipher_with_key_file(source: Readable, key_source: Readable, layout: Layout) -> Iterator[memoryview]:
    """Decipher a cipher image with the explicit key file and nothing else; yield the plain image band by band.

    Args:
        source: The cipher image; exactly `layout.size` bytes are read.
        key_source: The key file; exactly `key_file_size(layout)` bytes are read.
        layout: The sample matrix.

    Raises:
        MalformedKeyFile: The key file ends early, or an index is not a permutation.
        TruncatedEnvelope: The cipher image ends early.
    """
    permutation = Permutation(layout)
    with band_buffers(layout, 3) as (cipher, plain, stream):
        for band in layout.bands():
            columns = _read_permutation(key_source, layout.width)
            rows = _read_permutation(key_source, band.rows)
            if fill(key_source, stream[: band.size].data) < band.size:
                raise MalformedKeyFile("the key file ends early")
            if fill(source, cipher[: band.size].data) < band.size:
                raise TruncatedEnvelope("the cipher image ends early")
            undo(permutation, band, cipher, plain, (columns, rows, _pieces(stream, band)))
            with plain[: band.size].data as view:
                yield view


def _read_permutation(source: Readable, count: int) -> Indices:
    """Read `count` indices and refuse them unless each of 0 to count - 1 stands there once."""
    raw = bytearray(count * INDEX_BYTES)
    if fill(source, memoryview(raw)) < len(raw):
        raise MalformedKeyFile("the key file ends early")
    indices = np.frombuffer(raw, dtype=LITTLE).astype(np.intp)
    seen = np.zeros(count, dtype=np.bool_)
    if count and int(indices.max()) < count:
        seen[indices] = True
    if not seen.all():
        raise MalformedKeyFile("an index of the key file is not a permutation")
    return indices


def _pieces(stream: Bytes, band: Band) -> Iterator[np.ndarray[tuple[int], np.dtype[np.uint32]]]:
    """Yield the key words of a band in pieces of a tile."""
    words = stream[: -(-band.size // WORD_BYTES) * WORD_BYTES].view(LITTLE)
    step = TILE_BYTES // WORD_BYTES
    for start in range(0, len(words), step):
        yield words[start : start + step]
