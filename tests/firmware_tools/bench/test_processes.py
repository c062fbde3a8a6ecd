"""The benchmark's processes: ended with their context, quoted when they fail, seen by the kernel's counters."""

import os
import subprocess
import sys
import threading

import pytest

from edge.errors import EdgeError
from firmware_tools.bench import processes


def test_a_process_is_ended_with_its_context(tmp_path):
    with processes.Process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log") as process:
        process.require_running()
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_fails_is_quoted(tmp_path):
    code = "import sys; print('prog: it broke', file=sys.stderr); print('hint: mend it', file=sys.stderr); sys.exit(3)"
    with processes.Process([sys.executable, "-c", code], tmp_path / "log") as process:
        with pytest.raises(EdgeError, match="status 3: prog: it broke; hint: mend it"):
            process.finish(30)
        with pytest.raises(EdgeError, match="ended early"):
            process.require_running()


def test_memory_of_a_process_and_its_children_is_seen():
    if not processes.has_proc():
        pytest.skip(processes.NO_PROC)
    child = "import sys; held = b'x' * 30_000_000; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with processes.MemoryWatch({"parent": os.getpid()}) as watch:
            looked = threading.Event()
            while "parent's worker" not in watch.peaks or not watch.peaks["parent"].bytes:
                looked.wait(0.01)
        process.stdin.close()
    assert watch.peaks["parent's worker"].bytes > 30_000_000


def test_processor_time_is_that_of_the_process():
    if not processes.has_proc():
        pytest.skip(processes.NO_PROC)
    before = processes.cpu_seconds(os.getpid())
    while processes.cpu_seconds(os.getpid()) - before < 0.02:
        sum(range(10_000))
    assert processes.cpu_seconds(2**22 + 1) == 0.0
