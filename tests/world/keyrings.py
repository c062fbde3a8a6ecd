"""Who a device and a receiver are, and whom they trust."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from edge.envelope import keys
from edge.keyring import DeviceKeyring, ReceiverKeyring, Signer, Trusted
from tests.envelope import party

DEVICE = "device-1"
RECEIVER = party.AUDIENCE


def device_keyring(
    name: str = DEVICE, *, receivers: Sequence[str] = (RECEIVER,), revoked: Sequence[str] = ()
) -> DeviceKeyring:
    """Return a device's keys; it seals for each of `receivers`, and believes those that are not among `revoked`."""
    return DeviceKeyring(
        device_id=name,
        signer=_signer(name),
        recipients=tuple(party.recipient(each) for each in receivers),
        receivers=_trusted(receivers, revoked),
    )


def receiver_keyring(
    name: str = RECEIVER, *, devices: Sequence[str] = (DEVICE, "device-2"), revoked: Sequence[str] = ()
) -> ReceiverKeyring:
    """Return a receiver's keys; it accepts the images of each of `devices` that is not among `revoked`."""
    return ReceiverKeyring(
        receiver_id=name,
        unwrappers=party.unwrappers(name),
        signer=_signer(name),
        devices=_trusted(devices, revoked),
    )


def _signer(name: str) -> Signer:
    signer = party.signer(name)
    assert isinstance(signer, keys.Ed25519Signer | keys.Pss256Signer)
    return signer


def _trusted(names: Sequence[str], revoked: Sequence[str]) -> Mapping[bytes, Trusted]:
    """Return trust entries by key id."""
    return {
        kid: Trusted(id=entry.id, verifier=entry.verifier, revoked=entry.revoked)
        for kid, entry in party.trust(*names, revoked=tuple(revoked)).items()
    }
