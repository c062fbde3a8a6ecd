"""Real file systems for tests: small ones that fill up, ones that go read-only, and disks that fail. All need root.

A test that may not mount here is skipped by name.
"""

from __future__ import annotations

import errno
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_STEP = 1 << 20


def _run(*command: str | Path) -> None:
    """Run a command of the system; one that may not be run here skips the test."""
    try:
        subprocess.run([str(each) for each in command], check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    except subprocess.CalledProcessError as error:
        if os.geteuid() != 0 or b"permission denied" in error.stderr.lower() or b"not permitted" in error.stderr:
            pytest.skip("mounting is not permitted here")
        raise AssertionError(f"{command[0]}: {error.stderr.decode(errors='replace')}") from error


def mount(folder: Path, size: str = "16m") -> None:
    """Mount an empty file system in memory over a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=755", "tmpfs", folder)


def remount(folder: Path, options: str) -> None:
    """Change how a file system is mounted."""
    _run("mount", "-o", f"remount,{options}", folder)


def unmount(folder: Path) -> None:
    """Take a file system away, as a pulled cable does: whoever still has a file open keeps that file only."""
    _run("umount", "--lazy", folder)


@contextmanager
def mounted(folder: Path, size: str = "16m") -> Iterator[Path]:
    """Keep a file system in memory mounted over a folder, whatever the block does to it."""
    mount(folder, size)
    try:
        yield folder
    finally:
        while os.path.ismount(folder):
            unmount(folder)


@contextmanager
def disk(folder: Path, image: Path, *, size: int) -> Iterator[Path]:
    """Keep an ext4 file system of `size` bytes mounted over a folder; its blocks lie in the sparse file `image`."""
    if not image.exists():
        with image.open("wb") as file:
            file.truncate(size)
        _run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
    folder.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "loop,errors=remount-ro", image, folder)
    try:
        yield folder
    finally:
        while os.path.ismount(folder):
            unmount(folder)


def fill(folder: Path) -> Path:
    """Take up every byte that is free in a folder's file system, as another program may; return the file to remove."""
    ballast = folder / "ballast"
    descriptor = os.open(ballast, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        for step in (_STEP, 4096, 1):
            while _fits(descriptor, bytes(step)):
                pass
    finally:
        os.close(descriptor)
    return ballast


def _fits(descriptor: int, data: bytes) -> bool:
    try:
        os.write(descriptor, data)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        return False
    return True
