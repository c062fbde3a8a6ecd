"""Work that is done ahead: in order, its errors handed on, and nobody waits for it at the end."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from edge.ahead import Ahead
from edge.errors import WorkerUnavailable
from tests.world import PATIENCE_SECONDS


def test_work_is_done_in_order_in_another_thread() -> None:
    ahead = Ahead("reading")
    done: list[int] = []

    def work(number: int) -> str:
        done.append(number)
        return f"{number} by {threading.current_thread().name}"

    futures = [ahead.do(lambda number=number: work(number)) for number in range(20)]  # type: ignore[misc]
    assert [future.result(PATIENCE_SECONDS) for future in futures] == [f"{number} by reading" for number in range(20)]
    assert done == list(range(20))
    ahead.close()


def test_what_a_piece_of_work_raises_is_raised_where_its_result_is_asked_for_and_the_next_one_is_done() -> None:
    ahead = Ahead("reading")
    failing, following = ahead.do(lambda: 1 // 0), ahead.do(lambda: 7)
    assert following.result(PATIENCE_SECONDS) == 7
    with pytest.raises(ZeroDivisionError):
        failing.result(PATIENCE_SECONDS)
    ahead.close()


def test_a_closed_one_ends_behind_its_work_and_may_begin_again() -> None:
    ahead = Ahead("reading")
    ahead.close()  # nothing was begun
    thread = ahead.do(threading.current_thread).result(PATIENCE_SECONDS)
    ahead.close()
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert ahead.do(lambda: 1).result(PATIENCE_SECONDS) == 1
    ahead.close()


def test_a_closed_one_does_not_begin_what_is_still_in_line() -> None:
    ahead = Ahead("reading")
    at_work, over = threading.Event(), threading.Event()
    begun: list[int] = []

    def work() -> threading.Thread:
        at_work.set()
        over.wait(PATIENCE_SECONDS)
        return threading.current_thread()

    working = ahead.do(work)
    for number in range(3):
        ahead.do(lambda number=number: begun.append(number))  # type: ignore[misc]
    assert at_work.wait(PATIENCE_SECONDS)
    ahead.close()
    over.set()
    thread = working.result(PATIENCE_SECONDS)
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert begun == []


def test_where_no_thread_can_be_started_the_machine_is_named_and_the_next_one_starts_it() -> None:
    ahead = Ahead("reading")
    size = threading.stack_size(1 << 46)  # more than any machine has
    try:
        with pytest.raises(WorkerUnavailable):
            ahead.do(lambda: 1)
    finally:
        threading.stack_size(size)
    assert ahead.do(lambda: 2).result(PATIENCE_SECONDS) == 2
    ahead.close()


def test_the_end_of_the_process_does_not_wait_for_it() -> None:
    program = "import time; from edge.ahead import Ahead; Ahead('reading').do(lambda: time.sleep(3600))"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=PATIENCE_SECONDS)
