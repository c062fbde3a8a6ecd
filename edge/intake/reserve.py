"""Keep a device's sequence numbers from being used twice where its ledger, which counts them, is lost.

<state>/sequence    a number that no sequence number is above: written ahead, so that one write serves a thousand
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from edge import durable

BLOCK: Final = 1000
"""How many numbers one write covers; as many may be passed over when a ledger was lost, or a power cut took back the number
that a write was for."""


class Reserve:
    """The number in the file beside a ledger. The ledger's lock guards it."""

    def __init__(self, path: Path) -> None:
        """Read it; a file that is missing or not to be read covers nothing.

        Raises:
            StorageError: the disk refused.
        """
        self._path = path
        try:
            text = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise durable.storage_error(error) from error
        self._covered = int(text) if text.strip().isdigit() else 0

    def lost_above(self, counted: int) -> int | None:
        """Return the number to go on from where a ledger that counted so far cannot be the one of this file."""
        return self._covered if self._covered - counted >= BLOCK else None

    def cover(self, number: int) -> None:
        """Make sure that no later ledger gives this number again, durably.

        Raises:
            StorageError: the disk refused; the number must not be used.
        """
        if number > self._covered:
            covered = number + BLOCK - 1
            durable.write_atomically(self._path, f"{covered}\n".encode())
            self._covered = covered
