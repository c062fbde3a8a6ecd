"""Count a device's sequence numbers, and keep them from being used twice where the ledger, which counts them, is lost.

<state>/sequence    a number that no sequence number is above: written ahead, so that one write serves a thousand
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from edge import durable
from edge.intake.ledgerfile import LedgerFile

BLOCK: Final = 1000
"""How many numbers one write covers; as many may be passed over when a ledger was lost, or a power cut took back the number
that a write was for."""


class SequenceNumbers:
    """The counter in a ledger's file, and the number in the file beside it. The ledger's lock guards both."""

    def __init__(self, file: LedgerFile, path: Path) -> None:
        """Read both; a file beside the ledger that is missing or not to be read covers nothing.

        A counter that is too far behind is not the one of this file, and goes on from there.

        Raises:
            StorageError: the disk refused.
        """
        self._path = path
        try:
            text = path.read_bytes() if path.exists() else b""
        except OSError as error:
            raise durable.storage_error(error) from error
        self._covered = int(text) if text.strip().isdigit() else 0
        if self._covered - file.select("SELECT value FROM counters WHERE name = 'sequence'")[0][0] >= BLOCK:
            with file.transaction() as connection:
                self.pass_over(connection, self._covered)

    @staticmethod
    def take(connection: sqlite3.Connection) -> int:
        """Count one on in a transaction, and return the number: it has to be covered before it is used."""
        rows = connection.execute("UPDATE counters SET value = value + 1 WHERE name = 'sequence' RETURNING value")
        return int(rows.fetchall()[0][0])

    @staticmethod
    def pass_over(connection: sqlite3.Connection, number: int) -> None:
        """Make sure, in a transaction, that the next number is above this one, e.g. after the ledger was rebuilt."""
        connection.execute("UPDATE counters SET value = max(value, ?) WHERE name = 'sequence'", (number,))

    def cover(self, number: int) -> None:
        """Make sure that no later ledger gives this number again, durably.

        Raises:
            StorageError: the disk refused; the number must not be used.
        """
        if number > self._covered:
            covered = number + BLOCK - 1
            durable.write_atomically(self._path, f"{covered}\n".encode())
            self._covered = covered
