"""Compile the ciphers' kernel while the package is built or installed, where there is a compiler.

The rule kept here: without a compiler, or where it fails, the package is built all the same and NumPy does the work.
hatchling runs this file by its path, so it imports nothing of the project.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

# Contraction would round two operations as one; what the last two leave out is never looked at, and changes no number.
_FLAGS: Final = (
    "-std=c11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared", "-fvisibility=hidden",
)  # fmt: skip
_SECONDS: Final = 120


class KernelHook(BuildHookInterface[Any]):  # type: ignore[misc]  # hatchling is there while building only
    """Puts `_kernel.so` beside its source: into the wheel, or for an editable installation into the checkout."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and name the wheel for this platform if that succeeded."""
        if self.target_name != "wheel":
            return  # a source distribution holds no library, and leaves that of the checkout alone
        source = Path(self.root, "edge", "chaos", "kernel.c")
        library = source.with_name("_kernel.so")
        library.unlink(missing_ok=True)
        if not _compile(source, library):
            return
        if version != "editable":
            build_data["force_include"][str(library)] = "edge/chaos/_kernel.so"
            build_data["pure_python"] = False
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data["tag"] = f"py3-none-{platform}"


def _compile(source: Path, library: Path) -> bool:
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        return _without("there is no C compiler")
    digest = sha256(source.read_bytes()).hexdigest()
    fresh = library.with_suffix(".new")
    command = [*compiler.split(), *_FLAGS, f'-DEDGE_SOURCE="{digest}"', str(source), "-o", str(fresh), "-lm"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return _without(str(error))
    if done.returncode:
        return _without(done.stderr)
    fresh.replace(library)
    return True


def _without(why: str) -> bool:
    print(f"the compiled kernel is left out, NumPy does its work: {why}", file=sys.stderr)
    return False
