"""The states of a file and the steps between them (PROTOCOL.md, section 6), and what a row of the ledger says.

Pure. A step that is not in `STEPS` does not exist.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise
from typing import Any, Final, Protocol, Self

from edge.errors import EdgeError
from edge.records import CaptureTime


class FileState(StrEnum):
    """Where a file is on its way. Every file is in exactly one state."""

    SEEN = "seen"
    SETTLED = "settled"
    SEALED = "sealed"
    OFFERED = "offered"
    RECEIPTED = "receipted"
    DISPOSED = "disposed"
    QUARANTINED = "quarantined"
    IGNORED = "ignored"
    STUCK = "stuck"


STEPS: Final[Mapping[FileState, frozenset[FileState]]] = {
    FileState.SEEN: frozenset({FileState.SETTLED, FileState.STUCK, FileState.IGNORED, FileState.QUARANTINED}),
    # Back to seen: it changed while it was read, or turned out to be incomplete.
    FileState.SETTLED: frozenset(
        {FileState.SEALED, FileState.SEEN, FileState.STUCK, FileState.IGNORED, FileState.QUARANTINED}
    ),
    # On to settled: the configuration may want it carried as it is.
    FileState.STUCK: frozenset({FileState.SEEN, FileState.SETTLED, FileState.IGNORED, FileState.QUARANTINED}),
    # A receipt may come without an offer: a crash lost the record of it, or the image travelled on a USB stick.
    FileState.SEALED: frozenset({FileState.OFFERED, FileState.RECEIPTED, FileState.QUARANTINED}),
    FileState.OFFERED: frozenset({FileState.RECEIPTED, FileState.QUARANTINED}),
    FileState.RECEIPTED: frozenset({FileState.DISPOSED}),
    FileState.DISPOSED: frozenset(),
    # An operator's retry: the spooled image once more, or the file from the start; or a file can be read at last.
    FileState.QUARANTINED: frozenset({FileState.SEALED, FileState.SEEN, FileState.IGNORED}),
    # The configuration may want unknown kinds carried by now.
    FileState.IGNORED: frozenset({FileState.SEEN, FileState.SETTLED, FileState.QUARANTINED}),
}

# New content at a path takes over the row of content that was never carried; every other row is history, and stays.
SUPERSEDED: Final = (FileState.SEEN, FileState.SETTLED, FileState.STUCK, FileState.IGNORED)
# The content is with the hospital, or on its way, or refused there: the same content at the same path is not sent again.
CARRIED: Final = (
    FileState.SEALED,
    FileState.OFFERED,
    FileState.RECEIPTED,
    FileState.DISPOSED,
    FileState.QUARANTINED,
)

# The reason of a file that could not be read from its disk: it is tried again, and carried once it can be.
UNREADABLE: Final = "unreadable-file"

# Reasons of images whose sealed file the spool has lost: while their originals stand, they are sealed once more.
MISSING_FROM_SPOOL: Final = "missing-from-spool"
DAMAGED_IN_SPOOL: Final = "damaged-in-spool"


class FileVersion(Protocol):
    """One content of one file: what `FoundFile`, `SettledFile`, the spool's origin and `LedgerEntry` have in common."""

    @property
    def relative(self) -> str:
        """The path below the watched folder; names that are not UTF-8 hold surrogates, as `os.fsdecode` makes them."""

    @property
    def inode(self) -> int:
        """The inode number."""

    @property
    def size(self) -> int:
        """The size in bytes."""

    @property
    def mtime_ns(self) -> int:
        """The modification time in nanoseconds since 1970."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageFacts:
    """What sealing learnt of an image. Words that do not apply, or that a rebuilt ledger cannot know, are empty."""

    image_id: str  # 32 hexadecimal digits
    sequence: int
    sha256: bytes  # of the original file
    sealed_bytes: int
    capture: CaptureTime | None = None
    network: str = ""
    map: str = ""
    domain: str = ""

    def columns(self) -> tuple[object, ...]:
        """Return the values in the order of the ledger's columns, `image_id` to `domain`."""
        captured, source = (self.capture.moment.isoformat(), self.capture.source) if self.capture else ("", "")
        return (
            *(self.image_id, self.sequence, self.sha256, self.sealed_bytes),
            *(captured, source, self.network, self.map, self.domain),
        )


@dataclass(frozen=True, slots=True)
class LedgerEvent:
    """One step in a file's history: the state it entered, why, and when (UTC, ISO 8601)."""

    state: FileState
    reason: str
    at: str


@dataclass(frozen=True, slots=True)
class LedgerEntry:
    """A row of the ledger, in the order of its columns. `captured` is ISO 8601, naive where the image names no zone.

    `reason` is an error's code, with a `hint` in plain words, in the states that have one. From `image_id` to `domain`
    the fields are empty until the file is sealed. `first_seen` and `changed` are UTC, ISO 8601.
    """

    relative: str
    inode: int
    size: int
    mtime_ns: int
    state: FileState
    reason: str
    hint: str
    image_id: str | None
    sequence: int | None
    sha256: bytes | None
    sealed_bytes: int | None
    captured: str
    capture_source: str
    network: str
    map: str
    domain: str
    first_seen: str
    changed: str

    @property
    def unread(self) -> bool:
        """Whether nothing of the file could be read yet."""
        return self.state is FileState.QUARANTINED and self.reason == UNREADABLE

    @property
    def lost(self) -> bool:
        """Whether the spool has lost the sealed image, so that it must be sealed once more."""
        return self.state is FileState.QUARANTINED and self.reason in (MISSING_FROM_SPOOL, DAMAGED_IN_SPOOL)

    def steps_to(self, states: tuple[FileState, ...], reason: str) -> tuple[FileState, ...]:
        """Return which of these states, to be entered one after another, are still to be entered.

        Raises:
            EdgeError: no such steps lead from here.
        """
        if self.state in states and self.reason == reason:
            states = states[states.index(self.state) + 1 :]
        for here, there in pairwise((self.state, *states)):
            if here is not there and there not in STEPS[here]:
                raise EdgeError(f"no step leads from {here} to {there}")
        return states

    @classmethod
    def of_row(cls, row: Sequence[Any]) -> Self:
        """Return the entry that a row of the ledger's columns stands for."""
        relative, inode, size, mtime_ns, state, *rest = row
        return cls(os.fsdecode(relative), int(inode), size, int(mtime_ns), FileState(state), *rest)
