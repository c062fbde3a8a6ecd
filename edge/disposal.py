"""What happens to a scanner's original once a verified receipt says that the hospital has it: keep, move or delete.

The original is touched only while it is still, byte for byte, what was delivered; one that changed is a new image.
"""

from __future__ import annotations

import hashlib
import os
from io import FileIO
from pathlib import Path
from typing import BinaryIO, Final

from edge import durable
from edge.config.tables import Original
from edge.errors import ChangedWhileRead, UnreadableFile, VanishedFile
from edge.intake.opening import hash_file, opened
from edge.names import numbered
from edge.records import SettledFile

_STEP_BYTES: Final = 1 << 20


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
        if policy == "move" and move_to is not None:
            _copy(file, sha256, move_to)
        with opened(file):
            pass  # reading took its time: by now the name may belong to a new image
    except VanishedFile:
        return "gone"
    except ChangedWhileRead:
        return "changed"
    durable.remove_durably(file.path)
    return "moved" if policy == "move" else "deleted"


def sweep(relative: str, move_to: Path) -> None:
    """Remove what an interrupted move of the original with this relative path left where it was to go.

    Raises:
        StorageError: the disk refused.
    """
    folder = (move_to / relative).parent
    if folder.is_dir():
        durable.sweep_temporaries(folder)


def _copy(file: SettledFile, sha256: bytes, move_to: Path) -> None:
    """Copy durably; the original is removed after that: the target may be another file system."""
    folder = (move_to / file.relative).parent
    durable.make_folder(folder)
    for name in numbered(file.path.name):
        if _holds(folder / name, file.size, sha256):
            durable.confirm(folder / name)
            return  # copied just before a crash
        try:
            with durable.atomic_file(folder / name, overwrite=False) as copy, opened(file) as original:
                _copy_content(original, copy, sha256)
                os.utime(copy.fileno(), ns=(file.mtime_ns, file.mtime_ns))
        except FileExistsError:
            continue
        except OSError as error:
            raise UnreadableFile("the original cannot be copied now") from error
        # A power cut would bring back the temporary name, and nobody looks here once the original is disposed of.
        durable.fsync_folder(folder)
        return


def _copy_content(original: FileIO, copy: BinaryIO, sha256: bytes) -> None:
    digest = hashlib.sha256()
    while piece := original.read(_STEP_BYTES):
        digest.update(piece)
        copy.write(piece)
    copy.flush()
    if digest.digest() != sha256:
        raise ChangedWhileRead("the original changed while it was copied")


def _holds(path: Path, size: int, sha256: bytes) -> bool:
    try:
        if not path.is_file() or path.stat().st_size != size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").digest() == sha256
    except OSError as error:
        raise durable.storage_error(error) from error
