"""Complete bulks' way into the store: verify > unseal > decipher > place > record; the mirror of `edge.carrying`.

What is complete at once is stored together: a disk takes hardly longer to sync eight small images than one.

The rule kept here: each bulk has an outcome of its own, whatever became of those beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from edge import decrypt, durable
from edge.archive import Archive, Incoming, write_plain
from edge.envelope import sign
from edge.envelope.metadata import Metadata
from edge.envelope.seal import Unwrapper
from edge.envelope.sign import VerifiedEnvelope
from edge.errors import EdgeError, EnvelopeError, StorageError
from edge.intake.pixels import encode_pixels
from edge.transfer.parts import Part


@dataclass(slots=True)
class Arrival:
    """A complete bulk, and how far it has come: what its device signed, deciphered, in its place; or what it failed by."""

    part: Part
    envelope: VerifiedEnvelope | None = None
    incoming: Incoming | None = None
    place: Path = Path()
    error: EdgeError | None = None


class Storer:
    """Bring complete bulks into an archive. One thread uses it."""

    def __init__(self, archive: Archive, unwrappers: Mapping[bytes, Unwrapper], timestamp: Callable[[], str]) -> None:
        """Keep what all images share: where they go, what opens them, and the time of day as the catalogue wants it."""
        self._archive = archive
        self._unwrappers = unwrappers
        self._timestamp = timestamp

    def store(self, parts: Sequence[Part]) -> list[Arrival]:
        """Store and record what is as it was signed, and can be opened; return what became of each bulk, in order.

        A `StorageError` is the disk's: that one is not recorded, and may come again. Without an envelope the bulk came
        damaged. Any other error will be met again, however often the image comes.
        """
        arrivals = [Arrival(part) for part in parts]
        for each in arrivals:
            self._verify(each)
        try:
            with self._archive.incoming() as folder:
                for number, each in enumerate(arrivals):
                    self._open(each, folder, number)
                self._place([each for each in arrivals if each.incoming is not None])
        except StorageError as error:
            for each in arrivals:
                each.error = each.error or error
        return arrivals

    def _verify(self, arrival: Arrival) -> None:
        try:
            with arrival.part.bulk() as bulk:
                arrival.envelope = sign.verify_bulk(arrival.part.verified, bulk)
        except (EnvelopeError, StorageError) as error:
            arrival.error = error
        except OSError as error:  # the disk does not give back what has come
            arrival.error = durable.storage_error(error)

    def _open(self, arrival: Arrival, folder: Path, number: int) -> None:
        """Unseal and decipher a bulk that is what its device signed into `folder`."""
        envelope = arrival.envelope
        if envelope is None:
            return
        plain, suffix = folder / f"plain-{number}", ""
        try:
            with arrival.part.bulk() as bulk, self._archive.scratch(folder) as scratch:
                metadata = write_plain(plain, lambda target: self._decrypt(envelope, bulk, target, scratch))
            if metadata.pixels is not None:
                plain = encode_pixels(plain, metadata.pixels, folder / f"image-{number}")
                suffix = plain.suffix
        except EdgeError as error:
            arrival.error = error
            return
        arrival.incoming = Incoming(plain, suffix, envelope.envelope, metadata)

    def _decrypt(
        self, envelope: VerifiedEnvelope, bulk: BinaryIO, target: BinaryIO, scratch: decrypt.Scratch
    ) -> Metadata:
        return decrypt.decrypt(envelope, bulk, target, unwrappers=self._unwrappers, scratch=scratch)

    def _place(self, arrivals: Sequence[Arrival]) -> None:
        incoming = [each.incoming for each in arrivals if each.incoming is not None]
        for each, outcome in zip(arrivals, self._archive.store(incoming, received_at=self._timestamp()), strict=True):
            if isinstance(outcome, StorageError):
                each.error = outcome
            else:
                each.place = outcome
