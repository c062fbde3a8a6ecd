"""A line between two machines that delays and loses packets: two network namespaces, and a program that carries between.

Run as `python -m tests.faults.lossy DELAY LOSS` it makes both namespaces, with a TUN device each, prints the numbers of the
descriptors that name them, and carries every IP packet from one to the other after DELAY seconds, but for the share LOSS.
TCP sees what it sees on a bad line; `tc netem` would do the same where the kernel has it. It ends with its standard input.
"""

from __future__ import annotations

import ctypes
import fcntl
import heapq
import json
import os
import random
import select
import shutil
import struct
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

import pytest

NEAR, FAR = "10.9.0.1", "10.9.0.2"
_MTU = 1500
_CLONE_NEWNET = 0x4000_0000
_TUNSETIFF = 0x4004_54CA
_IFF_TUN_NO_PI = 0x0001 | 0x1000


def _machine(own: str, other: str) -> tuple[int, int]:
    """Move this process into a network namespace of its own with one line to the other; return namespace and line."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace may be made")
    line = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC)
    fcntl.ioctl(line, _TUNSETIFF, struct.pack("16sH22x", b"line", _IFF_TUN_NO_PI))
    for command in (
        f"addr add {own} peer {other} dev line",
        f"link set line mtu {_MTU} up",
        "link set lo up",
        # What most devices have; some kernels prefer one that hardly minds losses.
        f"route replace {other}/32 dev line congctl cubic",
    ):
        subprocess.run(["ip", *command.split()], check=True)
    return os.open("/proc/self/ns/net", os.O_RDONLY), line


def _carry(delay: float, loss: float) -> None:
    near, near_line = _machine(NEAR, FAR)
    far, far_line = _machine(FAR, NEAR)
    sys.stdout.write(json.dumps({"near": near, "far": far}) + "\n")
    sys.stdout.flush()
    other = {near_line: far_line, far_line: near_line}
    chance = random.Random(1)
    on_the_way: list[tuple[float, int, int, bytes]] = []
    number = 0
    while True:
        timeout = max(0.0, on_the_way[0][0] - time.monotonic()) if on_the_way else None
        ready, _, _ = select.select([*other, sys.stdin], [], [], timeout)
        if sys.stdin in ready:
            return
        for line in ready:
            packet = os.read(line, 65_536)
            if chance.random() >= loss:
                number += 1
                heapq.heappush(on_the_way, (time.monotonic() + delay, number, other[line], packet))
        while on_the_way and on_the_way[0][0] <= time.monotonic():
            _, _, line, packet = heapq.heappop(on_the_way)
            os.write(line, packet)


class LossyLine:
    """The line, and how commands are run at either end of it; it skips the test by name where none may be made."""

    def __init__(self, *, delay: float, loss: float) -> None:
        if shutil.which("nsenter") is None or shutil.which("ip") is None:
            pytest.skip("nsenter (util-linux) or ip (iproute2) is not installed")
        if os.geteuid() != 0:
            pytest.skip("network namespaces need root")
        if not os.access("/dev/net/tun", os.W_OK):
            pytest.skip("there is no /dev/net/tun")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.lossy", str(delay), str(loss)],
            cwd=Path(__file__).resolve().parent.parent.parent,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        said = self._process.stdout.readline()
        if not said:
            assert self._process.stderr is not None
            pytest.skip(f"no network namespaces may be made here: {self._process.stderr.read().splitlines()[-1]}")
        self._ends = json.loads(said)

    def at(self, end: str) -> tuple[str, ...]:
        """Return what goes before a command to run it at this end: "near" or "far"."""
        return ("nsenter", f"--net=/proc/{self._process.pid}/fd/{self._ends[end]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(10)
        for stream in (self._process.stdout, self._process.stderr):
            assert stream is not None
            stream.close()


if __name__ == "__main__":
    _carry(float(sys.argv[1]), float(sys.argv[2]))
