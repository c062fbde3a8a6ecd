"""A network share in miniature: a FUSE file system, spoken with the kernel directly, that shows a folder read-only.

    python -m tests.faults.fuse FOLDER MOUNT_POINT CONTROL

The file CONTROL names, one a line, the files whose content cannot be read: `eio NAME` answers EIO, `hang NAME` does not
answer until the line is gone. It raises no events for what is written into FOLDER, as no share does.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import signal
import stat
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_HEADER = struct.Struct("<IIQQIIII")
_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _STATFS, _RELEASE, _INIT, _OPENDIR, _READDIR, _RELEASEDIR = (
    *(1, 2, 3, 14, 15, 17, 18, 26, 27, 28, 29),
)
_INTERRUPT, _DESTROY, _BATCH_FORGET = 36, 38, 42
_ROOT = 1
_MAX = 1 << 17


class Share:
    """The share as a test holds it."""

    def __init__(self, control: Path) -> None:
        self.server = 0
        self._control = control
        self.refuse()

    def refuse(self, *lines: str) -> None:
        """Say which files cannot be read from now on: `eio NAME` or `hang NAME`."""
        beside = self._control.with_suffix(".new")
        beside.write_text("".join(f"{line}\n" for line in lines))
        beside.replace(self._control)

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Answer nothing at all for as long as the block lasts."""
        os.kill(self.server, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.server, signal.SIGCONT)


@contextmanager
def share(folder: Path, point: Path) -> Iterator[Share]:
    """Keep the share of a folder mounted; skips the test where that is not permitted."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists():
        pytest.skip("mounting a FUSE file system is not permitted here")
    point.mkdir(parents=True, exist_ok=True)
    control = folder.with_name(folder.name + ".control")
    held = Share(control)
    root = Path(__file__).resolve().parent.parent.parent
    command = [sys.executable, "-m", "tests.faults.fuse", folder, point, control]
    with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        held.server = server.pid
        try:
            assert server.stdout is not None
            if server.stdout.readline() != b"mounted\n":
                pytest.skip("mounting a FUSE file system is not permitted here")
            yield held
        finally:
            held.refuse()
            subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
            server.kill()


class _Server:
    """Answers one request after the other; a request for a file that hangs is answered when it no longer does."""

    def __init__(self, folder: Path, control: Path, device: int) -> None:
        self._folder = folder
        self._control = control
        self._device = device
        self._paths: dict[int, Path] = {_ROOT: folder}
        self._hanging: list[tuple[int, Path, bytes]] = []

    def serve(self) -> None:
        """Serve until the file system is unmounted."""
        os.set_blocking(self._device, False)
        while True:
            for unique, path, body in list(self._hanging):
                if not self._says("hang", path):
                    self._hanging.remove((unique, path, body))
                    self._reply(unique, self._content(path, body))
            try:
                request = os.read(self._device, _MAX + 4096)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            except OSError as error:
                if error.errno in (errno.ENOENT, errno.EINTR):
                    continue
                return
            _, operation, unique, node, *_ = _HEADER.unpack_from(request)
            if operation not in (_FORGET, _BATCH_FORGET, _INTERRUPT):
                self._answer(operation, unique, node, request[_HEADER.size :])

    def _answer(self, operation: int, unique: int, node: int, body: bytes) -> None:
        try:
            if operation == _READ and self._says("hang", self._paths[node]):
                self._hanging.append((unique, self._paths[node], body))
                return
            self._reply(unique, self._result(operation, node, body))
        except OSError as error:
            self._reply(unique, b"", error.errno or errno.EIO)

    def _reply(self, unique: int, result: bytes, error: int = 0) -> None:
        # One that was interrupted meanwhile is not waited for any more.
        with contextlib.suppress(FileNotFoundError):
            os.write(self._device, struct.pack("<IiQ", 16 + len(result), -error, unique) + result)

    def _result(self, operation: int, node: int, body: bytes) -> bytes:
        answers = {
            _INIT: lambda: _welcome(body),
            _STATFS: lambda: struct.pack("<QQQQQIIII24x", 1000, 500, 500, 1000, 500, 4096, 255, 4096, 0),
            _LOOKUP: lambda: self._found(self._paths[node] / os.fsdecode(body.rstrip(b"\0"))),
            _GETATTR: lambda: struct.pack("<QII", 0, 0, 0) + _attributes(self._paths[node].lstat()),
            _READDIR: lambda: self._names(self._paths[node], body),
            _READ: lambda: self._content(self._paths[node], body),
        }
        # FOPEN_DIRECT_IO: every read comes here.
        answers |= dict.fromkeys((_OPEN, _OPENDIR), lambda: struct.pack("<QII", 0, 1, 0))
        answers |= dict.fromkeys((_RELEASE, _RELEASEDIR, _DESTROY), bytes)
        if operation not in answers:
            raise OSError(errno.ENOSYS, "")
        return answers[operation]()

    def _found(self, path: Path) -> bytes:
        details = path.lstat()
        self._paths[details.st_ino] = path
        return struct.pack("<QQQQII", details.st_ino, 0, 0, 0, 0, 0) + _attributes(details)

    def _names(self, path: Path, body: bytes) -> bytes:
        _, offset, size = struct.unpack_from("<QQI", body)
        result = b""
        for number, name in enumerate(sorted(os.listdir(path))):
            raw = os.fsencode(name)
            details = (path / name).lstat()
            entry = struct.pack("<QQII", details.st_ino, number + 1, len(raw), stat.S_IFMT(details.st_mode) >> 12) + raw
            entry += bytes(-len(entry) % 8)
            if number >= offset and len(result) + len(entry) <= size:
                result += entry
        return result

    def _content(self, path: Path, body: bytes) -> bytes:
        if self._says("eio", path):
            raise OSError(errno.EIO, "")
        _, offset, size = struct.unpack_from("<QQI", body)
        with path.open("rb") as file:
            return os.pread(file.fileno(), size, offset)

    def _says(self, what: str, path: Path) -> bool:
        return f"{what} {path.name}" in self._control.read_text().splitlines()


def _welcome(body: bytes) -> bytes:
    _, minor, ahead, _ = struct.unpack_from("<IIII", body)
    return struct.pack("<IIIIHHIIHHI28x", 7, min(minor, 31), ahead, 0, 12, 9, _MAX, 1, 0, 0, 0)


def _attributes(details: os.stat_result) -> bytes:
    times = [divmod(each, 1_000_000_000) for each in (details.st_atime_ns, details.st_mtime_ns, details.st_ctime_ns)]
    return struct.pack(
        "<QQQQQQIIIIIIIIII",
        *(details.st_ino, details.st_size, details.st_blocks),
        *(seconds for seconds, _ in times),
        *(nanoseconds for _, nanoseconds in times),
        *(details.st_mode, details.st_nlink, details.st_uid, details.st_gid, 0, 4096, 0),
    )


def main() -> None:
    """Mount, say so, and serve."""
    folder, point, control = (Path(each) for each in sys.argv[1:])
    device = os.open("/dev/fuse", os.O_RDWR)
    options = f"fd={device},rootmode=40000,user_id=0,group_id=0,allow_other"
    library = ctypes.CDLL(None, use_errno=True)
    if library.mount(b"share", os.fsencode(point), b"fuse.share", 0, options.encode()) != 0:
        sys.exit(os.strerror(ctypes.get_errno()))
    sys.stdout.write("mounted\n")
    sys.stdout.flush()
    _Server(folder, control, device).serve()


if __name__ == "__main__":
    main()
