"""The tools that vectors are made with: frozen keys, images of derived bytes, and recipes that go wrong in one place.

Nothing random is drawn: salts and seeds come from the vector's name, and OAEP and PSS padding are made here, so that
every run gives the same bytes. The envelope is built by `tests.envelope.independent`, not by the code under test; only the
chaotic cipher images come from `edge.chaos`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from edge.chaos import cipher, keyfile
from edge.chaos.layout import Layout
from edge.records import ChaosParameters, MapName, Quantiser
from tests.envelope.independent import RECEIPT, SEALED, Tagged, chunks_seal, enc_structure, kid_of, sig_structure, write

HERE: Final = Path(__file__).resolve().parent
NOW: Final = 1_800_000_000
ISSUED_AT: Final = 1_790_000_000
BULK_LIMIT: Final = 1 << 20
AUDIENCE: Final = "receiver-1"
PARAMETERS: Final = {
    MapName.LOGISTIC: (4.0 - 2.0**-14,),
    MapName.LORENZ: (10.0, 36.0, 2.75),
    MapName.HYPERLORENZ_DNA: (4.2314, 13.0451, 50.7751, 23.3523, 43.0, 201.0),
}

Edit = Callable[[Any], Any]


def same(value: Any) -> Any:
    """Change nothing."""
    return value


@cache
def key(name: str) -> Ed25519PrivateKey | RSAPrivateKey:
    """Return a frozen private key by its file's name without suffix."""
    private = load_pem_private_key((HERE / "keys" / f"{name}.pem").read_bytes(), password=None)
    assert isinstance(private, Ed25519PrivateKey | RSAPrivateKey)
    return private


def kid(name: str) -> bytes:
    """Return the kid of a frozen key."""
    return kid_of(key(name).public_key())


def derived(label: str, count: int) -> bytes:
    """Return bytes that stand for random ones."""
    return hashlib.shake_256(b"edge-encryptor test vector " + label.encode()).digest(count)


# --- RSA with padding that is given, not drawn (RFC 8017, 7.1.1 and 9.1.1) ------------------------------------------


def _mask(seed: bytes, count: int) -> bytes:
    blocks = (hashlib.sha256(seed + k.to_bytes(4, "big")).digest() for k in range(-(-count // 32)))
    return b"".join(blocks)[:count]


def _xor(left: bytes, right: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(left, right, strict=True))


def oaep(name: str, message: bytes, seed: bytes) -> bytes:
    """Return `message` under RSAES-OAEP with SHA-256 for a frozen key."""
    private = key(name)
    assert isinstance(private, RSAPrivateKey)
    numbers, size = private.public_key().public_numbers(), private.key_size // 8
    padding = bytes(size - len(message) - 2 * 32 - 2)
    block = hashlib.sha256(b"").digest() + padding + b"\x01" + message
    masked = _xor(block, _mask(seed, len(block)))
    encoded = b"\x00" + _xor(seed, _mask(masked, 32)) + masked
    return pow(int.from_bytes(encoded, "big"), numbers.e, numbers.n).to_bytes(size, "big")


def pss(private: RSAPrivateKey, message: bytes, salt: bytes) -> bytes:
    """Return the RSASSA-PSS signature with SHA-256 over `message`."""
    numbers, size = private.private_numbers(), private.key_size // 8
    digest = hashlib.sha256(bytes(8) + hashlib.sha256(message).digest() + salt).digest()
    block = bytes(size - len(salt) - 32 - 2) + b"\x01" + salt
    masked = bytearray(_xor(block, _mask(digest, len(block))))
    masked[0] &= 0x7F
    encoded = bytes(masked) + digest + b"\xbc"
    return pow(int.from_bytes(encoded, "big"), numbers.d, numbers.public_numbers.n).to_bytes(size, "big")


def signature(name: str, signed: bytes, salt_bytes: int = 32) -> bytes:
    """Return the signature by a frozen key."""
    private = key(name)
    if isinstance(private, Ed25519PrivateKey):
        return private.sign(signed)
    return pss(private, signed, hashlib.sha256(signed).digest()[:salt_bytes])


def alg(name: str) -> int:
    """Return the COSE algorithm of a frozen key."""
    return -19 if isinstance(key(name), Ed25519PrivateKey) else -37


# --- images ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Image:
    """One made-up image and how it is enciphered."""

    name: str
    size: int
    map: MapName = MapName.LOGISTIC
    explicit: bool = False
    shape: tuple[int, int, int, int] | None = None
    quantiser: Quantiser | None = None
    features: bool = False

    @property
    def plain(self) -> bytes:
        """The file's bytes, or the raw dump of the pixels."""
        return derived(f"{self.name} plain", self.size)

    @property
    def secret(self) -> bytes:
        """The 32 bytes that seed the chaotic cipher."""
        return derived(f"{self.name} secret", 32)

    @property
    def layout(self) -> Layout:
        """The sample matrix."""
        return Layout.for_file(self.size) if self.shape is None else Layout.for_pixels(self.shape, 2)

    @property
    def parameters(self) -> ChaosParameters:
        """The control parameters."""
        return ChaosParameters(
            map=self.map,
            values=PARAMETERS[self.map],
            origin="network" if self.quantiser and self.features else "secret",
            pattern=self.pattern if self.quantiser else b"",
            quantiser=self.quantiser,
        )

    @property
    def vector(self) -> bytes:
        """The features."""
        return derived(f"{self.name} features", 1000)

    @property
    def pattern(self) -> bytes:
        """V_B: of the features where there are any, made up otherwise."""
        if not self.features:
            return derived(f"{self.name} pattern", 125)
        bits = "".join("1" if 0 < value < 128 else "0" for value in self.vector)
        return int(bits, 2).to_bytes(125, "big")

    @cache  # noqa: B019, frozen and few
    def cipher_image(self) -> bytes:
        """Return the cipher image."""
        bands = cipher.encipher(BytesIO(self.plain), self.layout, self.parameters, self.secret)
        return b"".join(bytes(band) for band in bands)

    @cache  # noqa: B019, frozen and few
    def key_file(self) -> bytes:
        """Return the explicit key file."""
        return b"".join(bytes(piece) for piece in keyfile.key_file(self.layout, self.parameters, self.secret))

    def metadata(self) -> dict[int, Any]:
        """Return the metadata map."""
        described: dict[int, Any] = {
            1: "cipher-b/1" if self.quantiser else "cipher-a/1",
            2: self.map.value,
            3: struct.pack(f">{len(PARAMETERS[self.map])}d", *PARAMETERS[self.map]),
            4: self.parameters.origin,
            5: [self.layout.size, self.layout.width, self.layout.sample],
            6: "file" if self.shape is None else "pixels",
            7: "explicit" if self.explicit else "compact",
        }
        if not self.explicit:
            described[8] = self.secret
        if self.quantiser:
            described |= {9: self.pattern, 10: self.quantiser.value}
        value: dict[int, Any] = {
            1: b"image.bin",
            2: "application/octet-stream",
            3: self.size,
            4: hashlib.sha256(self.plain).digest(),
            5: 1_700_000_000_123_456_789,
            6: ["2023-11-14T22:13:20+01:00", "mtime"],
            7: described,
            10: [],
            11: "",
            12: [0, 0],
            13: b"day/ward",
        }
        if self.shape is not None:
            value[9] = {1: list(self.shape), 2: "u2", 3: "MONOCHROME2", 4: {"icc": b"\x00\x01"}}
        if self.features:
            value[14] = ["vgg16", derived("vgg16", 32), "test", self.vector]
        return value


# --- sealed images --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Recipe:
    """How a sealed image is made; each edit changes one part on its way, before what follows is computed from it."""

    image: Image
    signer: str = "device-1.sign"
    named: str = ""  # the key whose kid the manifest carries, where that is not the signer's
    device: str = "device-1"
    recipients: tuple[str, ...] = ("receiver-1.wrap",)
    key_bytes: int = 32
    salt_bytes: int = 32
    context_signer: str = ""
    context_id: str = ""
    edits: Mapping[str, Edit] = field(default_factory=dict)

    def edit(self, part: str, value: Any) -> Any:
        """Return the part, changed where this recipe says so."""
        return self.edits.get(part, same)(value)

    def build(self) -> bytes:
        """Return the sealed image."""
        name = self.image.name
        image_id, content_key = derived(f"{name} id", 16), derived(f"{name} content key", self.key_bytes)
        # plaintext
        plaintext = write(self.edit("metadata", self.image.metadata()))
        plaintext += write(self.edit("image", self.image.cipher_image()))
        if self.image.explicit:
            plaintext += self.edit("key file item", write(self.edit("key file", self.image.key_file())))
        plaintext = self.edit("plaintext", plaintext)
        # header
        content = self.edit("content", write({1: -70256}))
        wrapped = [
            [b"", {1: -41, 4: kid(each)}, oaep(each, content_key, derived(f"{name} seed {each}", 32))]
            for each in self.recipients
        ]
        header = self.edit("header", Tagged(96, [content, {}, None, self.edit("wrapped", wrapped)]))
        # body
        context_id = derived(f"{self.context_id or name} id", 16)
        context = enc_structure(content, kid(self.context_signer or self.signer), context_id)
        body = chunks_seal(content_key.ljust(32, b"\x00"), derived(f"{name} salt", 24), context, plaintext)
        body_item = self.edit("body item", write(self.edit("body", body)))
        bulk = self.edit("bulk", self.edit("header item", write(header)) + body_item)
        # manifest
        claims = {1: self.device, 3: AUDIENCE, 6: ISSUED_AT, 7: image_id, -70002: 7}
        protected = {
            1: alg(self.signer),
            4: kid(self.named or self.signer),
            15: self.edit("claims", claims),
            16: SEALED,
            258: -16,
            259: "application/cbor-seq",
            -70001: len(bulk),
        }
        protected_bytes = self.edit("protected item", write(self.edit("protected", protected)))
        digest = self.edit("digest", hashlib.sha256(bulk).digest())
        signed = signature(self.signer, sig_structure(protected_bytes, digest), self.salt_bytes)
        item = self.edit("item 1", Tagged(18, [protected_bytes, {}, digest, self.edit("signature", signed)]))
        return bytes(self.edit("sealed", self.edit("manifest", write(item)) + self.edit("late bulk", bulk)))


@dataclass(frozen=True)
class ReceiptRecipe:
    """How a receipt is made."""

    signer: str = "receiver-1.sign"
    named: str = ""
    claims: Mapping[int, Any] = field(default_factory=dict)
    payload: Mapping[int, Any] = field(default_factory=dict)
    edits: Mapping[str, Edit] = field(default_factory=dict)

    def edit(self, part: str, value: Any) -> Any:
        """Return the part, changed where this recipe says so."""
        return self.edits.get(part, same)(value)

    def build(self) -> bytes:
        """Return the receipt."""
        claims = {1: AUDIENCE, 3: "device-1", 6: ISSUED_AT, 7: derived("file-logistic id", 16), **self.claims}
        protected = write(
            self.edit("protected", {1: alg(self.signer), 4: kid(self.named or self.signer), 15: claims, 16: RECEIPT})
        )
        payload = {1: derived("manifest hash", 32), 2: "stored", 3: "", **self.payload}
        content = self.edit("payload item", write(self.edit("payload", payload)))
        signed = self.edit("signature", signature(self.signer, sig_structure(protected, content)))
        return bytes(self.edit("receipt", write(Tagged(18, [protected, {}, content, signed]))))


def flip(bit: int) -> Edit:
    """Return an edit that turns one bit over."""
    return lambda data: data[: bit // 8] + bytes([data[bit // 8] ^ 1 << bit % 8]) + data[bit // 8 + 1 :]


def put(label: Any, value: Any) -> Edit:
    """Return an edit that sets one entry of a map."""
    return lambda entries: {**entries, label: value}


def drop(label: Any) -> Edit:
    """Return an edit that removes one entry of a map."""
    return lambda entries: {each: value for each, value in entries.items() if each != label}


def swap(old: bytes, new: bytes) -> Callable[[bytes], bytes]:
    """Return an edit that replaces the only occurrence of some bytes."""

    def edit(data: bytes) -> bytes:
        assert data.count(old) == 1
        return data.replace(old, new)

    return edit


def within(label: Any, edit: Edit) -> Edit:
    """Return an edit of one entry of a map or array."""

    def outer(entries: Any) -> Any:
        if isinstance(entries, list):
            return [edit(value) if k == label else value for k, value in enumerate(entries)]
        return {**entries, label: edit(entries[label])}

    return outer


def inside(edit: Edit) -> Edit:
    """Return an edit of what a tag encloses."""
    return lambda tagged: replace(tagged, value=edit(tagged.value))
