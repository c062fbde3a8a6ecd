"""Whatever a file does to its reader, the parent gets a reply, and nothing of the child is left behind."""

import contextlib
import io
import os
import resource
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
from PIL import Image

from edge.errors import TooManyOpenFiles, WorkerUnavailable
from edge.intake.worker import CRASHED, MEMORY, TIMEOUT, Worker
from tests.world import slow_dicom

NOW = "2026-06-01T12:00:00+00:00"
MEMORY_LIMIT = 256 << 20


@pytest.fixture
def worker():
    found = Worker(memory_limit=MEMORY_LIMIT, timeout=20.0)
    yield found
    found.close()


@pytest.fixture
def jpeg(tmp_path):
    path = tmp_path / "scan"
    Image.new("RGB", (20, 10)).save(path, "JPEG")
    return path


def _ask(worker, path, format_="jpeg"):
    with path.open("rb") as file:
        size = path.stat().st_size
        return worker.call({"operation": "inspect", "format": format_, "size": size, "now": NOW}, [file.fileno()])


def _ended(pid):
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE  # its parent may not have asked for it yet
    except psutil.NoSuchProcess:
        return True


def _wait_for_end(pid):
    deadline = time.monotonic() + 20
    while not _ended(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _ended(pid)


@pytest.fixture
def endless(tmp_path):
    """A file that keeps a reader busy for longer than any limit here."""
    path = tmp_path / "endless"
    path.write_bytes(slow_dicom())
    return path


def test_one_child_answers_many_requests(worker, jpeg):
    children = set()
    for _ in range(20):
        reply = _ask(worker, jpeg)
        assert (reply.failure, reply.fields["width"], reply.fields["height"]) == ("", 20, 10)
        children.add(worker.pid)
    assert len(children) == 1


def test_a_child_that_was_started_ahead_answers_the_first_request(worker, jpeg):
    worker.start()
    ahead = worker.pid
    assert ahead is not None
    worker.start()
    assert _ask(worker, jpeg).failure == ""
    assert worker.pid == ahead


def test_where_none_can_be_started_ahead_the_first_request_says_so(worker, jpeg, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("edge.intake.worker.sys.executable", "/nowhere/python")
        worker.start()
        assert worker.pid is None
        with pytest.raises(WorkerUnavailable):
            _ask(worker, jpeg)
    assert _ask(worker, jpeg).failure == ""


def test_the_limits_hold_in_the_child(worker, jpeg):
    _ask(worker, jpeg)
    limits = psutil.Process(worker.pid)
    assert limits.rlimit(resource.RLIMIT_AS) == (MEMORY_LIMIT, MEMORY_LIMIT)
    assert limits.rlimit(resource.RLIMIT_CORE) == (0, 0)
    assert limits.rlimit(resource.RLIMIT_FSIZE) == (0, 0)
    assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text() == "1000\n"


def test_the_child_knows_nothing_of_the_parent(worker, jpeg, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_PARENT", "x")
    _ask(worker, jpeg)
    child = psutil.Process(worker.pid)
    assert "SECRET_OF_THE_PARENT" not in child.environ()
    assert child.cwd() == "/"
    assert Path(f"/proc/{child.pid}/fd/2").readlink() == Path("/dev/null")
    # The socket, two null devices, and nothing else: no file of an earlier request, nothing inherited.
    assert child.num_fds() == 3


def test_a_child_that_takes_too_long_is_replaced(jpeg, endless):
    worker = Worker(memory_limit=MEMORY_LIMIT, timeout=1.0)
    try:
        assert _ask(worker, endless, "dicom").failure == TIMEOUT
        assert worker.pid is None
        assert _ask(worker, jpeg).failure == ""
    finally:
        worker.close()


def test_a_child_that_dies_while_it_works_is_replaced(worker, jpeg, endless):
    _ask(worker, jpeg)
    victim = worker.pid
    killer = threading.Timer(0.3, os.kill, (victim, signal.SIGKILL))
    killer.start()
    assert _ask(worker, endless, "dicom").failure == CRASHED
    killer.join()
    assert _ask(worker, jpeg).failure == ""
    assert worker.pid != victim


def test_a_child_that_died_between_two_requests_is_replaced_unnoticed(worker, jpeg):
    _ask(worker, jpeg)
    os.kill(worker.pid, signal.SIGKILL)
    _wait_for_end(worker.pid)
    assert _ask(worker, jpeg).failure == ""


def test_a_child_without_memory_says_so(tmp_path):
    path, sink = tmp_path / "large", tmp_path / "sink"
    Image.new("RGB", (8000, 8000)).save(path, "PNG", compress_level=1)
    worker = Worker(memory_limit=MEMORY_LIMIT, timeout=30.0, output_limit=1 << 30)
    request = {
        "operation": "pixels",
        "format": "png",
        "size": path.stat().st_size,
        "max_pixels": 1 << 30,
        "max_bytes": 1 << 30,
    }
    try:
        with path.open("rb") as file, sink.open("wb") as target:
            reply = worker.call(request, [file.fileno(), target.fileno()])
        assert reply.failure == MEMORY
    finally:
        worker.close()


def test_a_request_that_makes_no_sense_is_a_crash_and_no_hang(worker, jpeg):
    with jpeg.open("rb") as file:
        assert worker.call({"operation": "something"}, [file.fileno()]).failure == CRASHED
        assert worker.call({"operation": "inspect", "x": "y" * 300_000}, [file.fileno()]).failure == CRASHED
    assert _ask(worker, jpeg).failure == ""


def test_where_no_child_can_be_started_the_machine_is_named_and_not_the_file(worker, jpeg):
    with jpeg.open("rb") as file:
        request = {"operation": "inspect", "format": "jpeg", "size": jpeg.stat().st_size, "now": NOW}
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        open_now = max(int(each.name) for each in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_now + 1, hard))
        taken = []
        try:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(os.open(os.devnull, os.O_RDONLY))
            with pytest.raises(TooManyOpenFiles):
                worker.call(request, [file.fileno()])
        finally:
            for each in taken:
                os.close(each)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert worker.pid is None
    assert _ask(worker, jpeg).failure == ""


def test_where_no_process_can_be_started_the_machine_is_named_and_not_the_file(worker, jpeg, monkeypatch):
    monkeypatch.setattr("edge.intake.worker.sys.executable", "/nowhere/python")
    with pytest.raises(WorkerUnavailable):
        _ask(worker, jpeg)


def test_nothing_is_left_behind(jpeg, endless):
    me = psutil.Process()
    before = me.num_fds()
    children = len(me.children())
    for _ in range(2):
        worker = Worker(memory_limit=MEMORY_LIMIT, timeout=0.2)
        _ask(worker, jpeg)
        _ask(worker, endless, "dicom")
        _ask(worker, jpeg)
        worker.close()
        assert worker.pid is None
    assert me.num_fds() == before
    assert len(me.children()) == children


def test_a_closed_worker_may_be_used_again(worker, jpeg):
    _ask(worker, jpeg)
    worker.close()
    assert _ask(worker, jpeg).failure == ""


def test_a_closed_worker_ends_the_request_of_another_thread_and_does_not_wait_for_its_limit(worker, jpeg, endless):
    _ask(worker, jpeg)
    raised = []

    def ask():
        try:
            raised.append(_ask(worker, endless, "dicom"))
        except WorkerUnavailable as error:
            raised.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    while not worker._lock.locked():
        time.sleep(0.01)
    worker.close()
    asking.join()
    # No file is the cause of that.
    assert [type(each) for each in raised] == [WorkerUnavailable]
    assert worker.pid is None
    assert _ask(worker, jpeg).failure == ""


_PARENT = """
import sys
from edge.intake.worker import Worker
worker = Worker(memory_limit=256 << 20, timeout=5.0)
with open(sys.argv[1], "rb") as file:
    reply = worker.call({"operation": "inspect", "format": "jpeg", "size": int(sys.argv[2]), "now": sys.argv[3]}, [file.fileno()])
print(worker.pid, flush=True)
sys.stdin.read()
"""


def test_the_child_dies_with_its_parent(jpeg):
    root = Path(__file__).resolve().parents[2]
    command = [sys.executable, "-c", _PARENT, str(jpeg), str(jpeg.stat().st_size), NOW]
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        child = int(parent.stdout.readline())
        assert not _ended(child)
        parent.kill()
        parent.wait()
    _wait_for_end(child)


def test_native_warnings_go_nowhere(capfd, worker, tmp_path):
    # Pillow's and piexif's complaints about this block quote its tags.
    block = b"Exif\0\0II*\0\x08\0\0\0\1\0" + struct.pack("<HHII", 271, 2, 5000, 60000) + bytes(4)
    target = io.BytesIO()
    Image.new("RGB", (20, 10)).save(target, "JPEG")
    data = target.getvalue()
    path = tmp_path / "scan"
    path.write_bytes(data[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + data[2:])
    assert _ask(worker, path).failure == ""
    assert capfd.readouterr() == ("", "")
