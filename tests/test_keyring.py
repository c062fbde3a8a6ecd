"""Keyrings: what is believed and sealed for, and that each bad key file is refused in plain words."""

import os
from dataclasses import replace
from functools import cache

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from edge.config import DeviceConfig, DeviceTable, ReceiverConfig, ReceiverTable
from edge.envelope.keys import Ed25519Signer, Pss256Signer, key_id
from edge.errors import BadSignature, ExitCode, KeyringError
from edge.keyring import DeviceKeyring, ReceiverKeyring


@cache
def rsa_key(name, bits=3072, exponent=65537):
    """One key a name for the whole module: making RSA keys is slow."""
    return rsa.generate_private_key(public_exponent=exponent, key_size=bits)


@cache
def ed25519_key(name):
    return Ed25519PrivateKey.generate()


def private_pem(key, form=PrivateFormat.PKCS8, encryption=None):
    return key.private_bytes(Encoding.PEM, form, encryption or NoEncryption())


def public_pem(key):
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)


def put(path, data, mode=0o600):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode)
    return path


@pytest.fixture
def device(tmp_path):
    folder = tmp_path / "device"
    put(folder / "device.key", private_pem(ed25519_key("device")))
    put(folder / "trust" / "hospital.wrap.pem", public_pem(rsa_key("wrap")), 0o644)
    put(folder / "trust" / "hospital.sign.pem", public_pem(ed25519_key("receiver")), 0o644)
    return DeviceConfig(
        device=DeviceTable(id="ct-1", audience="hospital", key=folder / "device.key", trust=folder / "trust")
    )


@pytest.fixture
def receiver(tmp_path):
    folder = tmp_path / "receiver"
    put(folder / "receiver.wrap.key", private_pem(rsa_key("wrap")))
    put(folder / "receiver.sign.key", private_pem(ed25519_key("receiver")))
    put(folder / "trust" / "ct-1.sign.pem", public_pem(ed25519_key("device")), 0o644)
    return ReceiverConfig(
        receiver=ReceiverTable(
            id="hospital",
            unwrap_key=folder / "receiver.wrap.key",
            signing_key=folder / "receiver.sign.key",
            trust=folder / "trust",
        )
    )


def with_old_key(config, path):
    """Return a receiver's configuration in which images that were sealed for an older key can still be opened."""
    return replace(config, receiver=replace(config.receiver, old_unwrap_keys=(path,)))


def refusal(load, config, **arguments):
    with pytest.raises(KeyringError) as caught:
        load(config, **arguments)
    assert caught.value.exit_code == ExitCode.KEYS
    assert not caught.value.retryable
    text = f"{caught.value.message} {caught.value.hint}"
    assert "/" not in text.replace("Input/output", "")  # base names only
    return text


# --- the two ends ---------------------------------------------------------------------------------------------------


def test_the_two_keyrings_belong_together(device, receiver):
    ours, theirs = DeviceKeyring.load(device), ReceiverKeyring.load(receiver)
    assert (ours.device_id, theirs.receiver_id) == ("ct-1", "hospital")

    enrolled = theirs.devices[ours.signer.kid]
    assert (enrolled.id, enrolled.revoked) == ("ct-1", False)
    enrolled.verifier.verify(ours.signer.alg, ours.signer.sign(b"image"), b"image")

    trusted = ours.receivers[theirs.signer.kid]
    assert (trusted.id, trusted.revoked) == ("hospital", False)
    trusted.verifier.verify(theirs.signer.alg, theirs.signer.sign(b"receipt"), b"receipt")
    with pytest.raises(BadSignature):
        trusted.verifier.verify(theirs.signer.alg, theirs.signer.sign(b"receipt"), b"another")

    (recipient,) = ours.recipients
    assert theirs.unwrappers[recipient.kid].unwrap(recipient.wrap(bytes(32))) == bytes(32)


def test_an_rsa_key_signs_by_pss(device, receiver):
    put(device.device.key, private_pem(rsa_key("pss")))
    put(receiver.receiver.trust / "ct-1.sign.pem", public_pem(rsa_key("pss")))
    signer = DeviceKeyring.load(device).signer
    assert isinstance(signer, Pss256Signer)
    verifier = ReceiverKeyring.load(receiver).devices[signer.kid].verifier
    verifier.verify(signer.alg, signer.sign(b"image"), b"image")


def test_every_wrap_key_of_the_trust_folder_is_a_recipient(device):
    put(device.device.trust / "escrow.wrap.pem", public_pem(rsa_key("escrow")))
    kids = {recipient.kid for recipient in DeviceKeyring.load(device).recipients}
    assert kids == {key_id(rsa_key(name).public_key()) for name in ("wrap", "escrow")}


def test_a_key_being_replaced_stands_beside_the_new_one(device, receiver, tmp_path):
    put(receiver.receiver.trust / "ct-1.2026.sign.pem", public_pem(ed25519_key("new")))
    put(device.device.trust / "hospital.2026.wrap.pem", public_pem(rsa_key("escrow")))
    assert len(DeviceKeyring.load(device).recipients) == 2
    old = put(tmp_path / "old.key", private_pem(rsa_key("escrow")))
    keyring = ReceiverKeyring.load(with_old_key(receiver, old))
    assert [trusted.id for trusted in keyring.devices.values()] == ["ct-1", "ct-1"]
    assert len(keyring.unwrappers) == 2


def test_other_files_of_a_trust_folder_are_left_alone(device):
    for name in ("README.txt", ".hidden.pem", "hospital.txt"):
        put(device.device.trust / name, b"not a key")
    assert len(DeviceKeyring.load(device).receivers) == 1


# --- revocation -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "year"), [(b"", None), (b"2026-11-20T08:00:00+00:00\n", 2026), (b"stolen", None), (b"\xff", None)]
)
def test_a_revoked_file_revokes_whatever_it_holds(receiver, text, year):
    put(receiver.receiver.trust / "ct-1.revoked", text)
    (trusted,) = ReceiverKeyring.load(receiver).devices.values()
    assert trusted.revoked
    assert (trusted.revoked_at and trusted.revoked_at.year) == year


def test_a_label_is_revoked_alone(receiver):
    put(receiver.receiver.trust / "ct-1.2026.sign.pem", public_pem(ed25519_key("new")))
    put(receiver.receiver.trust / "ct-1.2026.revoked", b"")
    devices = ReceiverKeyring.load(receiver).devices
    assert not devices[key_id(ed25519_key("device").public_key())].revoked
    assert devices[key_id(ed25519_key("new").public_key())].revoked


def test_nothing_is_sealed_for_a_revoked_recipient(device):
    put(device.device.trust / "escrow.wrap.pem", public_pem(rsa_key("escrow")))
    put(device.device.trust / "escrow.revoked", b"")
    (recipient,) = DeviceKeyring.load(device).recipients
    assert recipient.kid == key_id(rsa_key("wrap").public_key())


def test_a_revoked_audience_is_refused(device):
    put(device.device.trust / "hospital.revoked", b"")
    assert "holds no valid hospital.wrap.pem" in refusal(DeviceKeyring.load, device)


# --- trust folders that are refused ---------------------------------------------------------------------------------


@pytest.mark.parametrize("use", ["wrap", "sign"])
def test_a_device_without_its_audiences_keys_is_refused(device, use):
    (device.device.trust / f"hospital.{use}.pem").unlink()
    assert f"no valid hospital.{use}.pem" in refusal(DeviceKeyring.load, device)


def test_more_than_sixteen_recipients_are_refused(device, monkeypatch):
    monkeypatch.setattr("edge.keyring.RECIPIENTS_MAX", 1)
    put(device.device.trust / "escrow.wrap.pem", public_pem(rsa_key("escrow")))
    assert "2 keys to seal for; 1 is the limit" in refusal(DeviceKeyring.load, device)


def test_one_key_under_two_names_is_refused(receiver):
    put(receiver.receiver.trust / "ct-2.sign.pem", public_pem(ed25519_key("device")))
    assert "ct-1.sign.pem and ct-2.sign.pem hold the same key" in refusal(ReceiverKeyring.load, receiver)


@pytest.mark.parametrize("name", ["ct-1.pem", "CT-9.sign.pem", "ab.sign.pem", "ct-9.sign.wrap.x.pem"])
def test_a_misnamed_entry_is_refused_and_not_skipped(receiver, name):
    put(receiver.receiver.trust / name, public_pem(ed25519_key("new")))
    assert f"{name} in the trust folder is named neither" in refusal(ReceiverKeyring.load, receiver)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a public key in PEM form"),
        (b"garbage", "is not a public key in PEM form"),
        (lambda: private_pem(ed25519_key("new")), "is a private key"),
        (lambda: public_pem(rsa_key("weak", 2048)), "ct-9.sign.pem: an RSA key of 2048 bits is refused"),
        (lambda: public_pem(rsa_key("e3", 3072, 3)), "ct-9.sign.pem: an RSA key with another exponent"),
        (lambda: public_pem(ec.generate_private_key(ec.SECP256R1())), "is neither an Ed25519 nor an RSA key"),
        (b"x" * 20_000, "is larger than any key"),
    ],
    ids=["empty", "garbage", "private", "weak", "exponent", "p-256", "large"],
)
def test_a_bad_entry_is_refused(receiver, data, message):
    put(receiver.receiver.trust / "ct-9.sign.pem", data() if callable(data) else data)
    assert message in refusal(ReceiverKeyring.load, receiver)


def test_nothing_is_sealed_for_a_key_that_cannot_wrap(device):
    put(device.device.trust / "hospital.wrap.pem", public_pem(ed25519_key("new")))
    assert "hospital.wrap.pem is not an RSA key" in refusal(DeviceKeyring.load, device)


def test_a_missing_trust_folder_is_refused(device):
    for path in device.device.trust.iterdir():
        path.unlink()
    device.device.trust.rmdir()
    assert "the trust folder cannot be read: No such file" in refusal(DeviceKeyring.load, device)


def test_an_endless_trust_folder_is_refused(receiver, monkeypatch):
    monkeypatch.setattr("edge.keyring.TRUST_ENTRIES_MAX", 0)
    assert "more than 0 files" in refusal(ReceiverKeyring.load, receiver)


# --- private keys that are refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o777])
def test_a_private_key_that_others_may_touch_is_refused(device, mode):
    device.device.key.chmod(mode)
    assert "chmod 600 device.key" in refusal(DeviceKeyring.load, device)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "is not a private key in PKCS#8 PEM form"),
        (lambda: public_pem(ed25519_key("device")), "is not a private key in PKCS#8 PEM form"),
        (
            lambda: private_pem(rsa_key("wrap"), PrivateFormat.TraditionalOpenSSL),
            "is not a private key in PKCS#8 PEM form",
        ),
        (
            lambda: private_pem(ed25519_key("device"), encryption=BestAvailableEncryption(b"secret")),
            "is encrypted with a passphrase",
        ),
        (
            lambda: private_pem(rsa_key("wrap"), PrivateFormat.TraditionalOpenSSL, BestAvailableEncryption(b"secret")),
            "is encrypted with a passphrase",
        ),
        (lambda: private_pem(ed25519_key("device"))[:60], "is a damaged private key"),
        (lambda: private_pem(ec.generate_private_key(ec.SECP256R1())), "is neither an Ed25519 nor an RSA key"),
        (lambda: private_pem(rsa_key("weak", 2048)), "device.key: an RSA key of 2048 bits is refused"),
        (b"-----BEGIN PRIVATE KEY-----" + b"A" * 20_000, "is larger than any key"),
    ],
    ids=["empty", "public", "pkcs1", "encrypted", "encrypted-pkcs1", "cut", "p-256", "weak", "large"],
)
def test_a_bad_private_key_is_refused(device, data, message):
    put(device.device.key, data() if callable(data) else data)
    assert message in refusal(DeviceKeyring.load, device)


def test_a_missing_private_key_is_refused(device):
    device.device.key.unlink()
    assert "device.key is missing" in refusal(DeviceKeyring.load, device)


def test_a_pipe_in_the_place_of_a_key_does_not_stop_the_service(device):
    device.device.key.unlink()
    os.mkfifo(device.device.key)
    assert "device.key is not a file" in refusal(DeviceKeyring.load, device)


def test_images_are_opened_by_rsa_only(receiver):
    put(receiver.receiver.unwrap_key, private_pem(ed25519_key("new")))
    assert "receiver.wrap.key is not an RSA key" in refusal(ReceiverKeyring.load, receiver)


def test_one_key_for_opening_and_signing_is_refused(receiver):
    put(receiver.receiver.signing_key, private_pem(rsa_key("wrap")))
    assert "one key serves for opening images and for signing" in refusal(ReceiverKeyring.load, receiver)


def test_the_same_unwrap_key_twice_is_refused(receiver, tmp_path):
    old = put(tmp_path / "old.key", private_pem(rsa_key("wrap")))
    assert "old.key is the same key" in refusal(ReceiverKeyring.load, with_old_key(receiver, old))


# --- systemd credentials --------------------------------------------------------------------------------------------


def test_a_credential_is_taken_before_the_file(device, tmp_path):
    # systemd shows its access list as the group's mode: 0440 is closed enough there.
    put(tmp_path / "credentials" / "device.key", private_pem(ed25519_key("credential")), 0o440)
    signer = DeviceKeyring.load(device, environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).signer
    assert isinstance(signer, Ed25519Signer)
    assert signer.kid == key_id(ed25519_key("credential").public_key())


def test_without_a_credential_of_that_name_the_file_is_taken(device, tmp_path):
    (tmp_path / "credentials").mkdir()
    signer = DeviceKeyring.load(device, environ={"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}).signer
    assert signer.kid == key_id(ed25519_key("device").public_key())


def test_a_credential_that_everybody_may_read_is_refused(device, tmp_path):
    put(tmp_path / "credentials" / "device.key", private_pem(ed25519_key("credential")), 0o444)
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")}
    assert "chmod 600" in refusal(DeviceKeyring.load, device, environ=environ)
