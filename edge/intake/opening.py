"""Opens a settled file, and insists that it is still that very file.

The folder belongs to the scanner: a link, a pipe or another file under the same name is refused, not followed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from io import FileIO
from typing import Final

from edge.durable import storage_error
from edge.errors import ChangedWhileRead, UnreadableFile, VanishedFile
from edge.records import SettledFile

_STEP_BYTES: Final = 1 << 20
_NOT_THE_FILE: Final = frozenset({errno.EMFILE, errno.ENFILE})
"""What is wrong with this process or this machine, and would meet every file."""


@contextmanager
def opened(file: SettledFile) -> Iterator[FileIO]:
    """Open a settled file for reading, unbuffered.

    Raises:
        VanishedFile: It is gone.
        ChangedWhileRead: Another content stands under its name.
        UnreadableFile: It is no regular file, or may not be read.
        TooManyOpenFiles: Nothing can be opened now.
    """
    try:
        # O_NONBLOCK: opening a pipe would otherwise wait for its writer for ever.
        descriptor = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise VanishedFile("the file is gone") from error
    except OSError as error:
        if error.errno in _NOT_THE_FILE:
            raise storage_error(error) from error
        raise UnreadableFile(f"the file cannot be opened: {os.strerror(error.errno or 0)}") from error
    try:
        stream = FileIO(descriptor, "rb")
    except OSError as error:
        os.close(descriptor)
        raise UnreadableFile("the name belongs to a folder") from error
    with stream:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableFile("the name belongs to no regular file")
        now = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
        if now != (file.size, file.mtime_ns, file.inode, file.device):
            raise ChangedWhileRead("the file is no longer the one that stood still")
        yield stream


def hash_file(file: SettledFile) -> bytes:
    """Return the SHA-256 of a settled file.

    Raises:
        VanishedFile, UnreadableFile, ChangedWhileRead: it cannot be read whole, or is not the same any more.
    """
    with opened(file) as source:
        try:
            digest = hashlib.sha256()
            while piece := source.read(_STEP_BYTES):
                digest.update(piece)
        except OSError as error:
            raise UnreadableFile("the file cannot be read") from error
    return digest.digest()
