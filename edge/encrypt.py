"""The way out: plain image > cipher image > plaintext > bulk > signed envelope, written to a sink in one pass.

Pure: time, sequence number and all random values are arguments; source and sink are streams. `edge.decrypt` mirrors it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final, Protocol

from edge import protocol
from edge.chaos import cipher, keyfile
from edge.chaos.layout import Layout
from edge.digest import Digest
from edge.envelope import keys, metadata, seal, sign, wire
from edge.envelope.metadata import Metadata
from edge.errors import ChangedWhileRead, KeyringError, UnreadableFile
from edge.records import ChaosParameters, CipherImage, Domain, FeatureVector, KeyFileMode, PixelImage, Scan

_HASHED_BESIDE_BYTES: Final = 4 << 20
"""From this size on hashing in threads of its own pays."""


class Source(Protocol):
    """Where plain bytes come from."""

    def readinto(self, target: memoryview, /) -> int | None:
        """Fill `target` from its start and return how many bytes that were, 0 only at the end."""
        ...


class Sink(Protocol):
    """Where a sealed image goes: seekable, because the manifest comes first and is signed last."""

    def write(self, data: bytes, /) -> int:
        """Write all of `data`."""
        ...

    def seek(self, offset: int, /) -> int:
        """Go to `offset`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Entropy:
    """The random values of one sealed image: fresh for each, never used twice."""

    image_id: bytes
    secret: bytes
    content_key: bytes

    @classmethod
    def draw(cls, random: Callable[[int], bytes]) -> Entropy:
        """Draw all three from `random`, a function such as `secrets.token_bytes`."""
        return cls(
            image_id=random(protocol.IMAGE_ID_BYTES),
            secret=random(protocol.SECRET_BYTES),
            content_key=random(protocol.CONTENT_KEY_BYTES),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sender:
    """Who seals for whom: the device's id and signer, the audience's id, and the keys that may open the image."""

    device: str
    audience: str
    signer: keys.Signer
    recipients: Sequence[seal.Recipient]


def encrypt(
    source: Source,
    sink: Sink,
    *,
    scan: Scan,
    parameters: ChaosParameters,
    key_file: KeyFileMode,
    pixels: PixelImage | None,
    features: FeatureVector | None = None,
    sender: Sender,
    entropy: Entropy,
    sequence: int,
    issued_at: int,
) -> sign.SignedEnvelope:
    """Encipher, seal and sign one image from `source` into `sink`.

    `source` gives the file's exact bytes, or with `pixels` the raw dump that it describes. The cipher image is proved
    on the way: each band is deciphered with freshly made keys and compared before it is sealed.

    Raises:
        ChangedWhileRead, UnreadableFile: the source is not what `scan` says, or cannot be read; nothing of the sink may
            be kept.
        CipherError, MalformedEnvelope, KeyringError: as the stages say.
    """
    # settled file > what is known of it
    layout = Layout.for_file(scan.file.size) if pixels is None else Layout.for_pixels(pixels.shape, _itemsize(pixels))
    described = CipherImage(
        parameters=parameters,
        layout=(layout.size, layout.width, layout.sample),
        domain=Domain.FILE if pixels is None else Domain.PIXELS,
        key_file=key_file,
        secret=entropy.secret if key_file is KeyFileMode.COMPACT else None,
    )
    known = metadata.encode(_describe(scan, described, pixels, features))
    digest, plain_digest = (Digest(beside=layout.size >= _HASHED_BESIDE_BYTES) for _ in range(2))
    # > cipher image
    checked = _Checked(source, scan.sha256 if pixels is None else None, plain_digest)
    image = cipher.encipher(checked, layout, parameters, entropy.secret, prove=True)
    # > plaintext
    plaintext, plaintext_bytes = _plaintext(known, image, layout, described, entropy.secret)
    # > bulk
    item_2 = seal.header(sender.recipients, entropy.content_key)
    bulk = seal.seal(
        plaintext,
        plaintext_bytes,
        item_2=item_2,
        content_key=entropy.content_key,
        signer_kid=sender.signer.kid,
        image_id=entropy.image_id,
    )
    # > signed envelope
    body_bytes = seal.body_size(plaintext_bytes)
    manifest = sign.Manifest(
        device=sender.device,
        audience=sender.audience,
        issued_at=issued_at,
        image_id=entropy.image_id,
        sequence=sequence,
        bulk_bytes=len(item_2) + len(wire.bytes_head(body_bytes)) + body_bytes,
    )
    manifest_bytes = sign.manifest_size(manifest, sender.signer)
    sink.seek(manifest_bytes)
    with digest, plain_digest:
        for piece in bulk:
            digest.update(piece)
            sink.write(piece)
        checked.verify()
        signed = sign.read_manifest(sign.sign_manifest(manifest, digest.digest(), sender.signer))
    if len(signed.raw) != manifest_bytes:
        raise KeyringError("the signature is not as long as its key says")
    sink.seek(0)
    sink.write(signed.raw)
    return signed


def _itemsize(pixels: PixelImage) -> int:
    return int(pixels.dtype[1:])


def _describe(
    scan: Scan, cipher_image: CipherImage, pixels: PixelImage | None, features: FeatureVector | None
) -> Metadata:
    folder, _, name = os.fsencode(scan.file.relative).rpartition(b"/")
    return Metadata(
        name=name,
        folder=folder,
        media_type=scan.media_type,
        size=scan.file.size,
        sha256=scan.sha256,
        mtime_ns=scan.file.mtime_ns,
        capture=scan.capture,
        cipher=cipher_image,
        camera=scan.camera,
        width=scan.width,
        height=scan.height,
        notes=scan.notes,
        pixels=pixels,
        features=features,
    )


def _plaintext(
    known: bytes, image: Iterator[memoryview], layout: Layout, described: CipherImage, secret: bytes
) -> tuple[Iterator[bytes | memoryview], int]:
    """Return the plaintext of PROTOCOL.md, 2.4, and its length."""
    image_head = wire.bytes_head(layout.size)
    parts: list[Iterator[bytes | memoryview] | list[bytes]] = [[known, image_head], image]
    length = len(known) + len(image_head) + layout.size
    if described.key_file is KeyFileMode.EXPLICIT:
        size = keyfile.key_file_size(layout, described.parameters.map)
        key_head = wire.bytes_head(size)
        parts += [[key_head], keyfile.key_file(layout, described.parameters, secret)]
        length += len(key_head) + size
    return chain.from_iterable(parts), length


class _Checked:
    """A source that insists on being, byte for byte, what was hashed before."""

    def __init__(self, source: Source, sha256: bytes | None, digest: Digest) -> None:
        self._source = source
        self._sha256 = sha256
        self._digest = digest

    def readinto(self, target: memoryview, /) -> int | None:
        # What was read before may still be hashed, and lie where this goes.
        self._digest.wait()
        try:
            count = self._source.readinto(target)
        except OSError as error:
            # A share that hangs up in the middle of a file: a later look can help.
            raise UnreadableFile("the file cannot be read to its end") from error
        if self._sha256 is not None and count:
            self._digest.update(target[:count])
        return count

    def verify(self) -> None:
        if self._source.readinto(memoryview(bytearray(1))):
            raise ChangedWhileRead("the file grew while it was read")
        if self._sha256 is not None and self._digest.digest() != self._sha256:
            raise ChangedWhileRead("the file changed while it was read")
