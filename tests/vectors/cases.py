"""The list of vectors: the good ones, and the bad ones, each with the code of the error that it must meet."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any, Final

from edge.records import MapName, Quantiser
from tests.envelope.independent import Tagged, write
from tests.vectors.recipes import (
    BULK_LIMIT,
    Edit,
    Image,
    ReceiptRecipe,
    Recipe,
    drop,
    flip,
    inside,
    kid,
    put,
    swap,
    within,
)

MALFORMED: Final = "malformed-envelope"
TRUNCATED: Final = "truncated-envelope"
UNSUPPORTED: Final = "unsupported-envelope"
OPENING: Final = "opening-failed"

_SMALL: Final = Image("file-logistic", 150)
_EXPLICIT: Final = Image("file-lorenz-explicit", 333, MapName.LORENZ, explicit=True)
_PIXELS: Final = Image("pixels-lorenz", 140, MapName.LORENZ, shape=(2, 5, 7, 1))
_HYPER: Final = Image("file-hyper-wide", 1000, MapName.HYPERLORENZ_DNA, quantiser=Quantiser.WIDE, features=True)
_PAIR: Final = ("receiver-1.wrap", "receiver-2.wrap")
# Metadata and heads take what the image leaves of the two chunks: the last chunk is empty.
_EXACT_OVERHEAD: Final = len(write(Image("chunks-exact", 16_000).metadata())) + 3
_EXACT: Final = Image("chunks-exact", 2 * 16_384 - _EXACT_OVERHEAD)

_BASE: Final = Recipe(_SMALL)

GOOD: Final = {
    "file-logistic": _BASE,
    "file-lorenz-explicit": Recipe(_EXPLICIT, signer="device-3.sign", device="device-3", recipients=_PAIR),
    "pixels-lorenz": Recipe(_PIXELS),
    "pixels-logistic-explicit": Recipe(
        Image("pixels-logistic-explicit", 140, explicit=True, shape=(1, 10, 7, 1)), recipients=("receiver-2.wrap",)
    ),
    "one-byte": Recipe(Image("one-byte", 1)),
    "also-for-a-stranger": Recipe(Image("also-for-a-stranger", 99), recipients=("stranger.wrap", "receiver-1.wrap")),
    "chunks-exact": Recipe(_EXACT),
    "file-hyper-wide": Recipe(_HYPER),
    "file-hyper-paper-explicit": Recipe(
        Image("file-hyper-paper-explicit", 777, MapName.HYPERLORENZ_DNA, explicit=True, quantiser=Quantiser.PAPER)
    ),
    "pixels-hyper-wide": Recipe(
        Image(
            "pixels-hyper-wide",
            140,
            MapName.HYPERLORENZ_DNA,
            shape=(2, 5, 7, 1),
            quantiser=Quantiser.WIDE,
            features=True,
        )
    ),
    "file-lorenz-features": Recipe(Image("file-lorenz-features", 99, MapName.LORENZ, features=True)),
}


def _with(**edits: Edit) -> Recipe:
    return replace(_BASE, edits={part.replace("_", " "): edit for part, edit in edits.items()})


def _hyper(**edits: Edit) -> Recipe:
    return replace(_with(**edits), image=_HYPER)


def _explicit(**edits: Edit) -> Recipe:
    return replace(_with(**edits), image=_EXPLICIT)


def _float_alg(protected: bytes) -> bytes:
    # -19.0 as a half float: deterministic, and equal to -19 in many languages.
    return swap(b"\x01\x32\x04", b"\x01\xf9\xcc\xc0\x04")(protected)


def _true_label(protected: bytes) -> bytes:
    # True equals 1 in many languages; behind the others it stands in the right place.
    return swap(b"\xa7\x01\x32\x04", b"\xa7\x04")(protected) + b"\xf5\x32"


def _swapped_first_keys(protected: bytes) -> bytes:
    return swap(b"\x01\x32\x04" + write(kid("device-1.sign")), b"\x04" + write(kid("device-1.sign")) + b"\x01\x32")(
        protected
    )


def _swapped_recipient_keys(header: bytes) -> bytes:
    named = b"\x04" + write(kid("receiver-1.wrap"))
    return swap(b"\xa2\x01\x38\x28" + named, b"\xa2" + named + b"\x01\x38\x28")(header)


def _chunks_swapped(body: bytes) -> bytes:
    prefix, first, second, rest = body[:56], body[56:16_456], body[16_456:32_856], body[32_856:]
    return prefix + second + first + rest


def _kids_exchanged(recipients: list[list[Any]]) -> list[list[Any]]:
    (empty, one, first), (_, two, second) = recipients
    return [[empty, two, first], [empty, one, second]]


def _nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth):
        value = [value]
    return value


def _longer_head(difference: int) -> Edit:
    def edit(item: bytes) -> bytes:
        assert item[0] == 0x59
        return item[:1] + (int.from_bytes(item[1:3], "big") + difference).to_bytes(2, "big") + item[3:]

    return edit


_MANIFEST: Final = {
    # 2.1, step 1: size and syntax
    "empty": (TRUNCATED, _with(sealed=lambda _: b"")),
    "manifest-cut": (TRUNCATED, _with(sealed=lambda data: data[:200])),
    "manifest-over-limit": (MALFORMED, _with(item_1=inside(within(3, lambda _: bytes(900))))),
    "manifest-indefinite-array": (
        MALFORMED,
        _with(manifest=lambda item: b"\xd2\x9f" + item[2:] + b"\xff"),
    ),
    "manifest-overlong-tag": (MALFORMED, _with(manifest=lambda item: b"\xd8\x12" + item[1:])),
    "manifest-overlong-number": (MALFORMED, _with(protected_item=swap(b"\xa5\x01", b"\xa5\x18\x01"))),
    "manifest-key-order": (MALFORMED, _with(protected_item=_swapped_first_keys)),
    "manifest-key-twice": (
        MALFORMED,
        _with(protected_item=swap(b"\xa7\x01\x32", b"\xa8\x01\x32\x01\x32")),
    ),
    "manifest-nested-too-deep": (MALFORMED, _with(item_1=inside(within(1, lambda _: _nested(8))))),
    "manifest-unknown-tag": (MALFORMED, _with(item_1=lambda item: replace(item, tag=98))),
    "manifest-tag-of-the-header": (UNSUPPORTED, _with(item_1=lambda item: replace(item, tag=96))),
    "manifest-without-tag": (UNSUPPORTED, _with(item_1=lambda item: item.value)),
    "manifest-of-three-parts": (MALFORMED, _with(item_1=inside(lambda parts: parts[:3]))),
    "manifest-unprotected": (MALFORMED, _with(item_1=inside(within(1, put(4, kid("device-1.sign")))))),
    "manifest-signature-text": (MALFORMED, _with(item_1=inside(within(3, lambda _: "signed")))),
    "manifest-unknown-label": (UNSUPPORTED, _with(protected=put(2, [1]))),
    "manifest-missing-label": (UNSUPPORTED, _with(protected=drop(258))),
    "manifest-label-true": (MALFORMED, _with(protected_item=_true_label)),
    "manifest-algorithm-float": (MALFORMED, _with(protected_item=_float_alg)),
    "manifest-algorithm-unknown": (UNSUPPORTED, _with(protected=put(1, -7))),
    "manifest-version-2": (
        UNSUPPORTED,
        _with(protected=put(16, "application/vnd.edge-encryptor.sealed; v=2")),
    ),
    "manifest-typed-as-receipt": (
        UNSUPPORTED,
        _with(protected=put(16, "application/vnd.edge-encryptor.receipt; v=1")),
    ),
    "manifest-hash-unknown": (UNSUPPORTED, _with(protected=put(258, -15))),
    "manifest-content-unknown": (UNSUPPORTED, _with(protected=put(259, "application/cbor"))),
    "manifest-kid-short": (MALFORMED, _with(protected=put(4, bytes(15)))),
    "manifest-digest-short": (MALFORMED, _with(digest=lambda digest: digest[:31])),
    "manifest-size-negative": (MALFORMED, _with(protected=put(-70001, -1))),
    "claims-unknown-label": (UNSUPPORTED, _with(claims=put(2, "patient"))),
    "claims-missing-label": (UNSUPPORTED, _with(claims=drop(-70002))),
    "claims-array": (UNSUPPORTED, _with(claims=lambda claims: list(claims.values()))),
    "claims-id-upper-case": (MALFORMED, _with(claims=put(1, "Device-1"))),
    "claims-id-with-newline": (MALFORMED, _with(claims=put(1, "device-1\n"))),
    "claims-id-as-bytes": (MALFORMED, _with(claims=put(1, b"device-1"))),
    "claims-audience-path": (MALFORMED, _with(claims=put(3, "../receiver"))),
    "claims-time-negative": (MALFORMED, _with(claims=put(6, -1))),
    "claims-time-tagged": (MALFORMED, _with(claims=put(6, Tagged(1, 0)))),
    "claims-image-id-long": (MALFORMED, _with(claims=put(7, bytes(17)))),
    "claims-sequence-over-limit": (MALFORMED, _with(claims=put(-70002, 2**53 + 1))),
    # step 2: an enrolled device, not revoked, of that id
    "signer-unknown": ("unknown-signer", replace(_BASE, signer="stranger.sign")),
    "signer-revoked": ("unknown-signer", replace(_BASE, signer="device-4.sign", device="device-4")),
    "signer-of-another-id": ("unknown-signer", replace(_BASE, device="device-2")),
    # step 3: the signature
    "signature-flipped": ("bad-signature", _with(signature=flip(9))),
    "signature-short": ("bad-signature", _with(signature=lambda signature: signature[:63])),
    "signature-empty": ("bad-signature", _with(signature=lambda _: b"")),
    "signature-by-another-device": ("bad-signature", replace(_BASE, signer="device-2.sign", named="device-1.sign")),
    "signature-algorithm-of-another-key": ("bad-signature", _with(protected=put(1, -37))),
    "signature-pss-without-salt": (
        "bad-signature",
        replace(_BASE, signer="device-3.sign", device="device-3", salt_bytes=0),
    ),
    "manifest-claim-changed-later": ("bad-signature", _with(manifest=swap(b"receiver-1", b"receiver-2"))),
    # step 4: the audience
    "audience-other": ("wrong-audience", _with(claims=put(3, "receiver-2"))),
    # step 5: the time
    # step 6: the size
    "bulk-over-limit": (MALFORMED, _with(protected=put(-70001, BULK_LIMIT + 1))),
}

_BULK: Final = {
    "bulk-missing": (TRUNCATED, _with(late_bulk=lambda _: b"")),
    "bulk-cut": (TRUNCATED, _with(late_bulk=lambda bulk: bulk[:-1])),
    "bulk-appended": (MALFORMED, _with(late_bulk=lambda bulk: bulk + b"\x00")),
    "bulk-flipped": ("bad-signature", _with(late_bulk=flip(8 * 700))),
}

# Signed by an enrolled device, and wrong all the same.
_HEADER: Final = {
    "header-tag-of-the-manifest": (UNSUPPORTED, _with(header=lambda header: replace(header, tag=18))),
    "header-unknown-tag": (MALFORMED, _with(header=lambda header: replace(header, tag=97))),
    "header-cipher-unknown": (UNSUPPORTED, _with(content=lambda _: write({1: 3}))),
    "header-cipher-extra-label": (UNSUPPORTED, _with(content=lambda _: write({1: -70256, 5: bytes(12)}))),
    "header-unprotected": (MALFORMED, _with(header=inside(within(1, put(5, bytes(12)))))),
    "header-ciphertext-attached": (MALFORMED, _with(header=inside(within(2, lambda _: b"\x00")))),
    "header-without-recipients": (MALFORMED, _with(wrapped=lambda _: [])),
    "header-17-recipients": (MALFORMED, _with(wrapped=lambda wrapped: wrapped * 17)),
    "header-recipient-twice": (MALFORMED, _with(wrapped=lambda wrapped: wrapped * 2)),
    "header-key-order": (MALFORMED, _with(header_item=_swapped_recipient_keys)),
    "header-cut": (TRUNCATED, _with(bulk=lambda bulk: bulk[:300])),
    "recipient-algorithm-unknown": (UNSUPPORTED, _with(wrapped=within(0, within(1, put(1, -40))))),
    "recipient-unknown-label": (UNSUPPORTED, _with(wrapped=within(0, within(1, put(5, b""))))),
    "recipient-protected": (MALFORMED, _with(wrapped=within(0, within(0, lambda _: write({1: -41}))))),
    "recipient-kid-short": (MALFORMED, _with(wrapped=within(0, within(1, put(4, bytes(15)))))),
    "recipient-key-text": (MALFORMED, _with(wrapped=within(0, within(2, lambda _: "key")))),
    "recipient-unknown": ("not-a-recipient", replace(_BASE, recipients=("stranger.wrap",))),
    "recipient-key-flipped": (OPENING, _with(wrapped=within(0, within(2, flip(1000))))),
    "recipient-key-cut": (OPENING, _with(wrapped=within(0, within(2, lambda wrapped: wrapped[:-1])))),
    "recipient-key-empty": (OPENING, _with(wrapped=within(0, within(2, lambda _: b"")))),
    "recipients-exchanged": (OPENING, replace(_with(wrapped=_kids_exchanged), recipients=_PAIR)),
    "content-key-of-31-bytes": (OPENING, replace(_BASE, key_bytes=31)),
}

_BODY: Final = {
    "body-missing": (TRUNCATED, _with(body_item=lambda _: b"")),
    "body-text": (MALFORMED, _with(body_item=lambda item: bytes([item[0] | 0x20]) + item[1:])),
    "body-indefinite": (MALFORMED, _with(body_item=lambda item: b"\x5f" + item + b"\xff")),
    "body-head-overlong": (MALFORMED, _with(body_item=lambda item: b"\x5a\x00\x00" + item[1:])),
    "body-head-over-bulk": (MALFORMED, _with(body_item=lambda item: b"\x5b" + bytes([0x7F] * 8) + item[3:])),
    "body-head-too-long": (OPENING, _with(body_item=_longer_head(1))),
    "body-head-too-short": (OPENING, _with(body_item=_longer_head(-1))),
    "body-empty": (OPENING, _with(body=lambda _: b"")),
    "body-prefix-alone": (OPENING, _with(body=lambda body: body[:56])),
    "body-salt-flipped": (OPENING, _with(body=flip(0))),
    "body-commitment-flipped": (OPENING, _with(body=flip(8 * 24))),
    "body-chunk-flipped": (OPENING, _with(body=flip(8 * 100))),
    "body-tag-cut": (OPENING, _with(body=lambda body: body[:-1])),
    "body-followed": (OPENING, _with(bulk=lambda bulk: bulk + b"\xf6")),
    "chunks-cut-at-a-chunk": (OPENING, replace(_with(body=lambda body: body[:-16]), image=_EXACT)),
    "chunks-swapped": (OPENING, replace(_with(body=_chunks_swapped), image=_EXACT)),
    # The envelope stripped from its body and signed anew by another enrolled device: its own id, key and signature.
    "signed-anew-by-another-device": (
        OPENING,
        replace(_BASE, signer="device-2.sign", device="device-2", context_signer="device-1.sign"),
    ),
    "signed-anew-under-another-id": (OPENING, replace(_BASE, context_id="another")),
}

_PLAINTEXT: Final = {
    "plain-empty": _with(plaintext=lambda _: b""),
    "plain-metadata-alone": _with(plaintext=lambda _: write(_SMALL.metadata())),
    "plain-cut": _with(plaintext=lambda plaintext: plaintext[:-1]),
    "plain-followed": _with(plaintext=lambda plaintext: plaintext + b"\x40"),
    "plain-image-text": _with(image=lambda _: "image"),
    "plain-image-short": _with(image=lambda image: image[:-1]),
    "plain-image-long": _with(image=lambda image: image + b"\x00"),
    "plain-metadata-unknown-label": _with(metadata=put(14, b"")),
    "plain-metadata-label-15": _with(metadata=put(15, b"")),
    "plain-metadata-missing-label": _with(metadata=drop(13)),
    "plain-hash-other": _with(metadata=within(4, flip(0))),
    "plain-size-other": _with(metadata=put(3, 151)),
    "plain-size-zero": _with(metadata=put(3, 0)),
    "plain-layout-other": _with(metadata=within(7, put(5, [150, 2, 8]))),
    "plain-cipher-unknown": _with(metadata=within(7, put(1, "cipher-a/2"))),
    "plain-parameter-out-of-range": _with(metadata=within(7, put(3, struct.pack(">d", 3.5)))),
    "plain-parameter-not-a-number": _with(metadata=within(7, put(3, struct.pack(">d", float("nan"))))),
    "plain-features-short": _hyper(metadata=within(14, within(3, lambda _: bytes(999)))),
    "plain-features-of-an-unknown-network": _hyper(metadata=within(14, within(0, lambda _: "vgg19"))),
    "plain-features-missing": _hyper(metadata=drop(14)),
    "plain-pattern-missing": _hyper(metadata=within(7, drop(9))),
    "plain-pattern-long": _hyper(metadata=within(7, put(9, bytes(126)))),
    "plain-pattern-in-cipher-a": _with(metadata=within(7, put(9, bytes(125)))),
    "plain-quantiser-unknown": _hyper(metadata=within(7, put(10, "narrow"))),
    "plain-quantiser-missing": _hyper(metadata=within(7, drop(10))),
    "plain-private-key-out-of-range": _hyper(metadata=within(7, put(3, struct.pack(">6d", 41, 0, 2, 0, 1, 1)))),
    "plain-private-key-not-whole": _hyper(metadata=within(7, put(3, struct.pack(">6d", 1, 0, 2, 0, 1.5, 1)))),
    "plain-cipher-a-with-the-map-of-b": _hyper(metadata=within(7, put(1, "cipher-a/1"))),
    "plain-parameter-network-in-cipher-b": _hyper(metadata=put(8, ["resnet18", bytes(32), "test"])),
    "plain-secret-missing": _with(metadata=within(7, drop(8))),
    "plain-secret-beside-key-file": _explicit(metadata=within(7, put(8, bytes(32)))),
    "plain-pixels-in-domain-file": _with(metadata=put(9, Image("", 140, shape=(2, 5, 7, 1)).metadata()[9])),
    "plain-domain-pixels-without-pixels": _with(metadata=within(7, put(6, "pixels"))),
    "plain-shape-of-another-size": replace(_with(metadata=within(9, put(1, [2, 5, 8, 1]))), image=_PIXELS),
    "plain-shape-huge": replace(_with(metadata=within(9, put(1, [2**32, 2**32, 2**32, 2**32]))), image=_PIXELS),
    "key-file-missing": _explicit(key_file_item=lambda _: b""),
    "key-file-short": _explicit(key_file=lambda key_file: key_file[:-1]),
    "key-file-no-permutation": _explicit(key_file=lambda key_file: key_file[:4] * 2 + key_file[8:]),
    "key-file-index-huge": _explicit(key_file=lambda key_file: b"\xff" * 4 + key_file[4:]),
    "key-file-other-key": _explicit(key_file=lambda key_file: key_file[:-1] + bytes([key_file[-1] ^ 1])),
}

BAD: Final = {
    **_MANIFEST,
    **_BULK,
    **_HEADER,
    **_BODY,
    **{name: (OPENING, recipe) for name, recipe in _PLAINTEXT.items()},
}

GOOD_RECEIPTS: Final = {
    "stored": ReceiptRecipe(),
    "rejected": ReceiptRecipe(payload={2: "rejected", 3: "unknown-signer"}),
    "stored-ps256": ReceiptRecipe(signer="receiver-3.sign", claims={1: "receiver-3"}),
}


def _receipt(**edits: Edit) -> ReceiptRecipe:
    return ReceiptRecipe(edits={part.replace("_", " "): edit for part, edit in edits.items()})


BAD_RECEIPTS: Final = {
    "empty": (TRUNCATED, _receipt(receipt=lambda _: b"")),
    "followed": (MALFORMED, _receipt(receipt=lambda receipt: receipt + b"\x00")),
    "typed-as-manifest": (
        UNSUPPORTED,
        _receipt(protected=put(16, "application/vnd.edge-encryptor.sealed; v=1")),
    ),
    "version-2": (UNSUPPORTED, _receipt(protected=put(16, "application/vnd.edge-encryptor.receipt; v=2"))),
    "unknown-label": (UNSUPPORTED, _receipt(protected=put(3, 0))),
    "unknown-claim": (UNSUPPORTED, ReceiptRecipe(claims={2: ""})),
    "forged-by-a-stranger": ("forged-receipt", ReceiptRecipe(signer="stranger.sign")),
    "forged-by-a-device": ("forged-receipt", ReceiptRecipe(signer="device-1.sign")),
    "forged-under-another-kid": ("forged-receipt", ReceiptRecipe(signer="stranger.sign", named="receiver-1.sign")),
    "forged-id": ("forged-receipt", ReceiptRecipe(signer="receiver-3.sign")),
    "forged-by-a-revoked-key": ("forged-receipt", ReceiptRecipe(signer="receiver-2.sign", claims={1: "receiver-2"})),
    "forged-flipped": ("forged-receipt", _receipt(signature=flip(77))),
    "forged-status": ("forged-receipt", replace(_receipt(receipt=swap(b"stored", b"stolen")))),
    "for-another-device": ("mismatched-receipt", ReceiptRecipe(claims={3: "device-2"})),
    "status-unknown": (MALFORMED, ReceiptRecipe(payload={2: "lost"})),
    "status-array": (MALFORMED, ReceiptRecipe(payload={2: ["stored"]})),
    "reason-with-newline": (MALFORMED, ReceiptRecipe(payload={2: "rejected", 3: "unknown\nsigner"})),
    "reason-with-markup": (MALFORMED, ReceiptRecipe(payload={2: "rejected", 3: "<b>"})),
    "reason-long": (MALFORMED, ReceiptRecipe(payload={2: "rejected", 3: "a" * 65})),
    "reason-bytes": (MALFORMED, ReceiptRecipe(payload={3: b""})),
    "hash-short": (MALFORMED, ReceiptRecipe(payload={1: bytes(31)})),
    "payload-array": (MALFORMED, _receipt(payload=lambda payload: list(payload.values()))),
    "payload-unknown-label": (MALFORMED, _receipt(payload=put(4, 0))),
    "payload-followed": (MALFORMED, _receipt(payload_item=lambda payload: payload + b"\xf6")),
    "image-id-short": (MALFORMED, ReceiptRecipe(claims={7: bytes(15)})),
    "time-negative": (MALFORMED, ReceiptRecipe(claims={6: -1})),
}
