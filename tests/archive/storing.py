"""A store on its own: images in it as a receiver puts them there, and what lies in it then."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.archive import Archive, Incoming
from edge.envelope import sign
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope
from edge.errors import StorageError
from tests.envelope import party

DAY = "device-1/2023/11/14"


@contextmanager
def opened(folder: Path, *, catalogue: str = "catalogue") -> Iterator[Archive]:
    """Open the archive below a folder; again and again, as restarts do."""
    archive = Archive(folder / "store", folder / catalogue / "catalogue.sqlite")
    yield archive
    archive.close()


def envelope_and_metadata(
    plain: bytes, *, label: str = "a", name: bytes = b"scan.png"
) -> tuple[SignedEnvelope, Metadata]:
    """Return what a receiver knows of an image, with another name where that is wanted."""
    sealed = party.sealed(plain, label=label)
    manifest, _ = party.split(sealed)
    _, metadata = party.opened(sealed)
    return sign.read_manifest(manifest), replace(metadata, name=name)


def deliver(archive: Archive, plain: bytes, *, label: str = "a", name: bytes = b"scan.png") -> Path:
    """Store an image as the receiver does, and return its place below the store."""
    return place_of(archive, plain, *envelope_and_metadata(plain, label=label, name=name))


def place_without_recording(archive: Archive, plain: bytes) -> Path:
    """Die between placing and recording an image, and return its place below the store."""

    def die(*_: object, **__: object) -> None:
        raise Died

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(archive.catalogue, "record_stored", die)
        with pytest.raises(Died):
            deliver(archive, plain)
    [place] = files_in(archive._store)
    return Path(place)


class Died(BaseException):
    """The process ended here."""


def place_of(archive: Archive, plain: bytes, envelope: SignedEnvelope, metadata: Metadata) -> Path:
    """Store an image of which this is known."""
    with archive.incoming() as folder:
        path = folder / "plain"
        path.write_bytes(plain)
        [place] = archive.store([Incoming(path, "", envelope, metadata)], received_at="2026-11-21T00:00:00+00:00")
    if isinstance(place, StorageError):
        raise place
    return place.relative_to(archive._store)


def files_in(store: Path) -> dict[str, bytes]:
    """Return every file of the store, hidden ones too, but for the lock of a receiver that runs."""
    found = [path for path in store.rglob("*") if path.is_file() and path.name != "lock"]
    return {str(path.relative_to(store)): path.read_bytes() for path in found}
