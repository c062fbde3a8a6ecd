"""The frozen vectors: both implementations open the good ones, the code under test names the failure of each bad one."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from edge.envelope import sign
from edge.envelope.seal import body_size
from edge.errors import EnvelopeError, ReceiptError
from tests.envelope import independent, party
from tests.vectors import make_vectors
from tests.vectors.recipes import HERE

NODE = shutil.which("node")
INDEX = json.loads((HERE / "index.json").read_text())
DEVICES = {party.signer(name).kid: party.private_key(f"{name}.sign").public_key() for name in INDEX["devices"]}
RECEIVERS = {party.signer(name).kid: party.private_key(f"{name}.sign").public_key() for name in INDEX["receivers"]}


def unwrap_keys() -> dict[bytes, RSAPrivateKey]:
    keys = [party.private_key(name) for name in INDEX["unwrap"]]
    return {independent.kid_of(key.public_key()): key for key in keys if isinstance(key, RSAPrivateKey)}


def read(name: str) -> bytes:
    return (HERE / name).read_bytes()


def opened(data: bytes) -> bytes:
    plain, _ = party.opened(data, bulk_limit=INDEX["bulk_limit"], keys=("receiver-1", "receiver-2"))
    return plain


def test_the_script_gives_the_frozen_bytes():
    made = make_vectors.files()
    kept = {path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.sealed")}
    kept |= {path.relative_to(HERE).as_posix() for path in HERE.glob("*/*.receipt")}
    assert kept | {"index.json"} == set(made)
    assert [name for name, data in made.items() if read(name) != data] == []


@pytest.mark.parametrize("name", INDEX["good"])
def test_good_image_opens(name):
    assert hashlib.sha256(opened(read(f"good/{name}.sealed"))).hexdigest() == INDEX["good"][name]["plain_sha256"]


@pytest.mark.parametrize("name", INDEX["good"])
def test_good_image_opens_by_the_independent_reader(name):
    expected = INDEX["good"][name]
    image = independent.open_sealed(read(f"good/{name}.sealed"), devices=DEVICES, receivers=unwrap_keys())
    assert hashlib.sha256(image.image).hexdigest() == expected["cipher_image_sha256"]
    if image.key_file is not None:
        assert hashlib.sha256(image.key_file).hexdigest() == expected["key_file_sha256"]
    if image.metadata[7][6] == "file":
        assert image.metadata[4].hex() == expected["plain_sha256"]


@pytest.mark.skipif(NODE is None, reason="node is absent: no reader in another language")
@pytest.mark.parametrize("name", INDEX["good"])
def test_good_image_opens_in_another_language(name):
    data, expected = read(f"good/{name}.sealed"), INDEX["good"][name]
    item_2, _ = independent.read(party.split(data)[1])
    named = {parameters[4] for _, parameters, _ in item_2.value[3]}
    unwrap = next(each for each in INDEX["unwrap"] if party.unwrapper(each.removesuffix(".wrap")).kid in named)
    device = sign.read_manifest(party.split(data)[0]).manifest.device
    keys = [str(HERE / "keys" / f"{key}.pem") for key in (f"{device}.sign", unwrap)]
    command = [str(NODE), str(HERE / "read_vector.mjs"), str(HERE / f"good/{name}.sealed"), *keys]
    found = json.loads(subprocess.run(command, capture_output=True, check=True, timeout=60).stdout)
    assert (found["device"], found["cipher_image_sha256"]) == (device, expected["cipher_image_sha256"])
    assert found["key_file_sha256"] in (None, expected["key_file_sha256"])


def test_chunks_exact_ends_with_an_empty_chunk():
    _, bulk = party.split(read("good/chunks-exact.sealed"))
    _, end_of_header = independent.read(bulk)
    body = independent.read_whole(bulk[end_of_header:])
    assert len(body) == body_size(2 * 16_384) == 56 + 2 * (16_384 + 16) + 16


@pytest.mark.parametrize("name", INDEX["bad"])
def test_bad_image_is_refused_with_its_code(name):
    with pytest.raises(EnvelopeError) as caught:
        opened(read(f"bad/{name}.sealed"))
    assert caught.value.code == INDEX["bad"][name]


@pytest.mark.parametrize("name", INDEX["receipts"])
def test_receipt(name):
    raw, expected = read(f"receipts/{name}.receipt"), INDEX["receipts"][name]
    receivers = party.trust(*INDEX["receivers"], revoked=("receiver-2",))
    if expected != "verifies":
        with pytest.raises((EnvelopeError, ReceiptError)) as caught:
            sign.verify_receipt(raw, receivers=receivers, device="device-1")
        assert caught.value.code == expected
        return
    receipt = sign.verify_receipt(raw, receivers=receivers, device="device-1")
    claims, payload = independent.read_receipt(raw, receivers=RECEIVERS)
    assert [receipt.receiver, receipt.device, receipt.issued_at, receipt.image_id] == [claims[n] for n in (1, 3, 6, 7)]
    assert [receipt.manifest_hash, receipt.status, receipt.reason] == [payload[n] for n in (1, 2, 3)]
