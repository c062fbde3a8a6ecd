"""What happens to a scanner's original once a verified receipt says that the hospital has it: keep, move or delete.

The original is touched only while it is still, byte for byte, what was delivered; one that changed is a new image.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from edge import durable
from edge.config.tables import Original
from edge.errors import IntakeError, VanishedFile
from edge.intake.opening import hash_file
from edge.names import numbered
from edge.records import SettledFile


def dispose(file: SettledFile, sha256: bytes, *, policy: Original, move_to: Path | None) -> str:
    """Act on a delivered original and return what was done: "kept", "moved", "deleted", "gone" or "changed".

    Raises:
        StorageError: the disk refused; the original is still there.
        UnreadableFile: it cannot be compared with what was delivered now.
    """
    if policy == "keep" or (policy == "move" and move_to is None):
        return "kept"
    try:
        if hash_file(file) != sha256:
            return "changed"
    except VanishedFile:
        return "gone"
    except IntakeError as error:
        if error.code == "changed-while-read":
            return "changed"
        raise
    if policy == "delete" or move_to is None:
        durable.remove_durably(file.path)
        return "deleted"
    _move(file, move_to)
    return "moved"


def _move(file: SettledFile, move_to: Path) -> None:
    """Copy durably, then remove: the target may be another file system, and a rename would not say so in time."""
    folder = (move_to / file.relative).parent
    durable.make_folder(folder)
    for name in numbered(file.path.name):
        try:
            with durable.atomic_file(folder / name, overwrite=False) as copy, file.path.open("rb") as original:
                shutil.copyfileobj(original, copy, 1 << 20)
        except FileExistsError:
            continue
        break
    durable.remove_durably(file.path)
