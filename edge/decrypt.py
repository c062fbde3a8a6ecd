"""The way in: verified envelope > plaintext > cipher image > plain image, written to a target in one pass.

Mirrors `edge.encrypt`. Whatever depends on a secret fails with the one opaque error, OpeningFailed. What was written is
worth nothing until `decrypt` has returned: callers write to a temporary name.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Protocol

from edge import protocol
from edge.chaos import cipher, keyfile, parameters
from edge.chaos.layout import Layout
from edge.envelope import metadata, wire
from edge.envelope.metadata import Metadata
from edge.envelope.seal import Opening, Unwrapper
from edge.envelope.sign import VerifiedEnvelope
from edge.errors import CipherError, MalformedEnvelope, OpeningFailed
from edge.records import Domain, KeyFileMode


class Scratch(Protocol):
    """An empty temporary file."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to `offset`."""
        ...

    def readinto(self, target: memoryview, /) -> int | None:
        """Fill `target` from its start and return how many bytes that were, 0 only at the end."""
        ...


class Target(Protocol):
    """Where plain bytes go."""

    def write(self, data: memoryview, /) -> int:
        """Write all of `data`."""
        ...


def decrypt(
    envelope: VerifiedEnvelope,
    bulk: wire.Readable,
    target: Target,
    *,
    unwrappers: Mapping[bytes, Unwrapper],
    scratch: Scratch,
) -> Metadata:
    """Unseal and decipher one image from `bulk`, which stands at item 2, into `target`; return what is known of it.

    `scratch` is an empty temporary file: an explicit key file follows its image, so the cipher image waits there.
    In domain `file` the target holds the original file, in domain `pixels` the raw dump that the metadata describes.

    Raises:
        MalformedEnvelope, UnsupportedEnvelope, NotARecipient: the header.
        OpeningFailed: anything behind it.
    """
    # verified envelope > plaintext
    opening = Opening(envelope, bulk, unwrappers)
    try:
        return _decipher(opening, target, scratch, envelope.envelope.manifest.bulk_bytes)
    except (MalformedEnvelope, CipherError) as error:
        raise OpeningFailed from error


def peek(envelope: VerifiedEnvelope, bulk: wire.Readable, unwrappers: Mapping[bytes, Unwrapper]) -> Metadata:
    """Return what a sealed image says of itself, without deciphering it; `bulk` stands at item 2.

    Raises:
        MalformedEnvelope, UnsupportedEnvelope, NotARecipient, OpeningFailed: as `decrypt`.
    """
    opening = Opening(envelope, bulk, unwrappers)
    try:
        return metadata.decode(wire.SequenceReader(opening).small_item(protocol.METADATA_MAX_BYTES))
    except MalformedEnvelope as error:
        raise OpeningFailed from error


def _decipher(opening: Opening, target: Target, scratch: Scratch, bulk_bytes: int) -> Metadata:
    # > what is known of the image
    reader = wire.SequenceReader(opening)
    described = metadata.decode(reader.small_item(protocol.METADATA_MAX_BYTES))
    layout = _layout(described)
    parameters.check(described.cipher.parameters)
    # > cipher image
    # The bulk bounds the image: no buffer is made for more than what can follow.
    if reader.bytes_length(bulk_bytes) != layout.size:
        raise OpeningFailed
    # > plain image
    digest = hashlib.sha256()
    for band in _bands(opening, reader, described, layout, scratch):
        digest.update(band)
        target.write(band)
    opening.finish()
    if described.cipher.domain is Domain.FILE and digest.digest() != described.sha256:
        raise OpeningFailed
    return described


def _bands(
    opening: Opening, reader: wire.SequenceReader, described: Metadata, layout: Layout, scratch: Scratch
) -> Iterator[memoryview]:
    if described.cipher.key_file is KeyFileMode.COMPACT:
        if described.cipher.secret is None:
            raise OpeningFailed
        return cipher.decipher(opening, layout, described.cipher.parameters, described.cipher.secret)
    left = layout.size
    while left:
        piece = reader.exactly(min(left, protocol.SEALING_STEP_BYTES))
        scratch.write(piece)
        left -= len(piece)
    scratch.seek(0)
    size = keyfile.key_file_size(layout, described.cipher.parameters.map)
    if reader.bytes_length(size) != size:
        raise OpeningFailed
    return keyfile.decipher_with_key_file(scratch, opening, layout, described.cipher.parameters)


def _layout(described: Metadata) -> Layout:
    """Return the layout the sender used, which this version derives from the size or the shape alone."""
    pixels = described.pixels
    if (pixels is None) != (described.cipher.domain is Domain.FILE):
        raise OpeningFailed
    if pixels is None:
        layout = Layout.for_file(described.size)
    else:
        layout = Layout.for_pixels(pixels.shape, int(pixels.dtype[1:]))
    if described.cipher.layout != (layout.size, layout.width, layout.sample):
        raise OpeningFailed
    return layout
