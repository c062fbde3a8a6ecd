"""Read the private keys and the trust folders of a device and of a receiver; nothing else in the package reads a key.

Rule: a key that others could have read, that is too weak, or of which it is not certain whose it is, is refused; an
entry of a trust folder is never skipped in silence. Messages name key files by their base names only.

A trust folder holds `ID.sign.pem` and `ID.wrap.pem`; while a key is being replaced also `ID.LABEL.sign.pem` and so on.
`ID.revoked` withdraws every key of that id, `ID.LABEL.revoked` only those of that label; it may hold an ISO time.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Final, Self

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key

from edge.config import DeviceConfig, ReceiverConfig
from edge.envelope.keys import Ed25519Signer, Pss256Signer, Trusted, Verifier, key_id, require_rsa_policy
from edge.envelope.seal import Recipient, Unwrapper
from edge.errors import KeyringError
from edge.protocol import IDENTITY_PATTERN, RECIPIENTS_MAX

KEY_FILE_MAX_BYTES: Final = 16 * 1024
"""An RSA-4096 key in PEM takes 3.2 KB."""
TRUST_ENTRIES_MAX: Final = 4096
"""One receiver serves a fleet of devices; more than this is a wrong folder."""

_PRIVATE: Final = b"-----BEGIN PRIVATE KEY-----"
_ENCRYPTED: Final = (b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED")
_ENTRY: Final = re.compile(rf"(?P<name>(?P<id>{IDENTITY_PATTERN})(?:\.[a-z0-9-]+)?)\.(?P<use>sign|wrap)\.pem")
_NO_VARIABLES: Final[Mapping[str, str]] = MappingProxyType({})

Signer = Ed25519Signer | Pss256Signer


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKeyring:
    """What a device signs with, for whom it seals, and whose receipts it believes (by kid)."""

    device_id: str
    signer: Signer
    recipients: tuple[Recipient, ...]
    receivers: Mapping[bytes, Trusted]

    @classmethod
    def load(cls, config: DeviceConfig, *, environ: Mapping[str, str] = _NO_VARIABLES) -> Self:
        """Read the device's keys; $CREDENTIALS_DIRECTORY of `environ` is looked at first (systemd credentials).

        Raises:
            KeyringError: a key is missing, readable by others, weak, of a wrong kind or there twice, or the trust
                folder lacks a key of the receiver that the images are for.
        """
        entries = _read_trust(config.device.trust)
        sealing = [entry for entry in entries if entry.use == "wrap" and not entry.revoked]
        audience = config.device.audience
        for use, what in (("wrap", "nobody there could open an image"), ("sign", "no receipt could be believed")):
            if not any(entry.id == audience and entry.use == use and not entry.revoked for entry in entries):
                raise KeyringError(
                    f"the trust folder holds no valid {audience}.{use}.pem: {what}",
                    hint="copy the receiver's public keys there, or correct device.audience",
                )
        if len(sealing) > RECIPIENTS_MAX:
            raise KeyringError(
                f"the trust folder holds {len(sealing)} keys to seal for; {RECIPIENTS_MAX} is the limit",
                hint="remove or revoke keys that nobody opens images with any more",
            )
        return cls(
            device_id=config.device.id,
            signer=_read_signer(config.device.key, environ),
            recipients=tuple(Recipient(_rsa(entry)) for entry in sealing),
            receivers=MappingProxyType(
                {
                    entry.kid: Trusted(
                        id=entry.id,
                        verifier=Verifier(entry.key),
                        revoked=entry.revoked,
                        revoked_at=entry.revoked_at,
                    )
                    for entry in entries
                    if entry.use == "sign"
                }
            ),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverKeyring:
    """What a receiver opens images with, signs receipts with, and whose images it accepts (all by kid)."""

    receiver_id: str
    unwrappers: Mapping[bytes, Unwrapper]
    signer: Signer
    devices: Mapping[bytes, Trusted]

    @classmethod
    def load(cls, config: ReceiverConfig, *, environ: Mapping[str, str] = _NO_VARIABLES) -> Self:
        """Read the receiver's keys; $CREDENTIALS_DIRECTORY of `environ` is looked at first (systemd credentials).

        Raises:
            KeyringError: a key is missing, readable by others, weak, of a wrong kind or there twice, or one key
                serves for both opening and signing.
        """
        unwrappers: dict[bytes, Unwrapper] = {}
        for path in (config.receiver.unwrap_key, *config.receiver.old_unwrap_keys):
            unwrapper = _read_unwrapper(path, environ)
            if unwrapper.kid in unwrappers:
                raise KeyringError(f"{path.name} is the same key as another of receiver.old_unwrap_keys")
            unwrappers[unwrapper.kid] = unwrapper
        signer = _read_signer(config.receiver.signing_key, environ)
        if signer.kid in unwrappers:
            raise KeyringError(
                "one key serves for opening images and for signing receipts",
                hint="make a key of its own for each use, as edge-firmware provision does",
            )
        return cls(
            receiver_id=config.receiver.id,
            unwrappers=MappingProxyType(unwrappers),
            signer=signer,
            devices=MappingProxyType(
                {
                    entry.kid: Trusted(
                        id=entry.id,
                        verifier=Verifier(entry.key),
                        revoked=entry.revoked,
                        revoked_at=entry.revoked_at,
                    )
                    for entry in _read_trust(config.receiver.trust)
                    if entry.use == "sign"
                }
            ),
        )


# --- trust folders --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class _Entry:
    """One public key of a trust folder."""

    file_name: str
    id: str
    use: str
    key: Ed25519PublicKey | RSAPublicKey
    kid: bytes
    revoked: bool
    revoked_at: datetime | None


def _read_trust(folder: Path) -> list[_Entry]:
    """Return the entries of a trust folder by file name; no two have the same key."""
    try:
        names = sorted(entry.name for entry in os.scandir(folder))
    except OSError as error:
        raise KeyringError(
            f"the trust folder cannot be read: {error.strerror}", hint="edge-firmware provision makes it"
        ) from error
    names = [name for name in names if not name.startswith(".")]
    if len(names) > TRUST_ENTRIES_MAX:
        raise KeyringError(f"the trust folder holds more than {TRUST_ENTRIES_MAX} files")
    entries: dict[bytes, _Entry] = {}
    for name in names:
        if not name.endswith(".pem"):
            continue
        entry = _read_entry(folder, name, frozenset(names))
        if entry.kid in entries:
            raise KeyringError(
                f"{entries[entry.kid].file_name} and {name} hold the same key",
                hint="every id and every use has a key of its own; remove one of the two files",
            )
        entries[entry.kid] = entry
    return list(entries.values())


def _read_entry(folder: Path, name: str, names: frozenset[str]) -> _Entry:
    match = _ENTRY.fullmatch(name)
    if match is None:
        raise KeyringError(
            f"{name} in the trust folder is named neither ID.sign.pem nor ID.wrap.pem",
            hint="rename it after the id it belongs to; ids have 3 to 48 of the characters a-z, 0-9 and -",
        )
    key = _read_public(folder / name)
    # A revoked id counts for each of its labels.
    withdrawn = [f"{each}.revoked" for each in (match["id"], match["name"]) if f"{each}.revoked" in names]
    return _Entry(
        file_name=name,
        id=match["id"],
        use=match["use"],
        key=key,
        kid=key_id(key),
        revoked=bool(withdrawn),
        revoked_at=_revocation_time(folder / withdrawn[0]) if withdrawn else None,
    )


def _revocation_time(path: Path) -> datetime | None:
    """Return the time in a .revoked file. That the file exists is what revokes: a file without a time does so too."""
    text = _read(path).decode(errors="replace").strip()
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _read_public(path: Path) -> Ed25519PublicKey | RSAPublicKey:
    data = _read(path)
    if b"PRIVATE KEY-----" in data:
        raise KeyringError(
            f"{path.name} in the trust folder is a private key", hint="only public keys belong there; remove it"
        )
    try:
        key = load_pem_public_key(data)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise KeyringError(f"{path.name} is not a public key in PEM form") from error
    if isinstance(key, RSAPublicKey):
        _insist_on_policy(key, path.name)
        return key
    if not isinstance(key, Ed25519PublicKey):
        raise KeyringError(f"{path.name} is neither an Ed25519 nor an RSA key")
    return key


def _rsa(entry: _Entry) -> RSAPublicKey:
    if not isinstance(entry.key, RSAPublicKey):
        raise KeyringError(f"{entry.file_name} is not an RSA key: nothing can be sealed for it")
    return entry.key


# --- private keys ---------------------------------------------------------------------------------------------------


def _read_signer(path: Path, environ: Mapping[str, str]) -> Signer:
    key = _read_private(path, environ)
    if isinstance(key, RSAPrivateKey):
        return Pss256Signer(key)
    return Ed25519Signer(key)


def _read_unwrapper(path: Path, environ: Mapping[str, str]) -> Unwrapper:
    key = _read_private(path, environ)
    if not isinstance(key, RSAPrivateKey):
        raise KeyringError(f"{path.name} is not an RSA key: images cannot be opened with it")
    return Unwrapper(key)


def _read_private(path: Path, environ: Mapping[str, str]) -> Ed25519PrivateKey | RSAPrivateKey:
    credential = Path(environ.get("CREDENTIALS_DIRECTORY", ""), path.name)
    if credential.is_absolute() and credential.exists():
        # systemd grants its service access by an ACL, whose mask shows as the group's mode; the folder is closed.
        data = _read(credential, private_mask=stat.S_IRWXO)
    else:
        data = _read(path, private_mask=stat.S_IRWXG | stat.S_IRWXO)
    if any(mark in data for mark in _ENCRYPTED):
        raise KeyringError(
            f"{path.name} is encrypted with a passphrase, which a service cannot be asked for",
            hint="decrypt it with: openssl pkey -in OLD -out NEW, or hand it over as a systemd credential",
        )
    if _PRIVATE not in data:
        raise KeyringError(
            f"{path.name} is not a private key in PKCS#8 PEM form",
            hint="convert it with: openssl pkey -in OLD -out NEW",
        )
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyringError(f"{path.name} is a damaged private key") from error
    if isinstance(key, RSAPrivateKey):
        _insist_on_policy(key.public_key(), path.name)
        return key
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyringError(f"{path.name} is neither an Ed25519 nor an RSA key")
    return key


def _insist_on_policy(key: RSAPublicKey, name: str) -> None:
    try:
        require_rsa_policy(key)
    except KeyringError as error:
        raise KeyringError(f"{name}: {error.message}", hint=error.hint) from error


def _read(path: Path, *, private_mask: int = 0) -> bytes:
    """Return a key file's bytes; the mode is asked of the open file, so that it cannot be exchanged in between."""
    try:
        # Without O_NONBLOCK a named pipe in the place of a key would stop the service for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise KeyringError(f"{path.name} is missing", hint="edge-firmware provision makes the keys") from error
    except OSError as error:
        raise KeyringError(f"{path.name} cannot be read: {error.strerror}") from error
    with os.fdopen(descriptor, "rb") as source:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise KeyringError(f"{path.name} is not a file")
        if status.st_mode & private_mask:
            raise KeyringError(
                f"{path.name} is a private key that others than its owner may read or write",
                hint=f"chmod 600 {path.name}; if others could have read it, make a new key",
            )
        try:
            data = source.read(KEY_FILE_MAX_BYTES + 1)
        except OSError as error:
            raise KeyringError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(data) > KEY_FILE_MAX_BYTES:
        raise KeyringError(f"{path.name} is larger than any key")
    return data
