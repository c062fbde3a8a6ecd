"""The threads behind events die, overflow, are woken and end; none is left."""

import errno
import logging
import threading

from edge.intake import notify
from edge.intake.watch import Watcher
from tests.intake.watch.looking import LONG, drain, names, wait_until


def test_an_observer_that_fails_to_start_leaves_no_thread(folder, monkeypatch):
    before = set(threading.enumerate())

    class Failing(notify.Observer):
        def schedule(self, *_args, **_kwargs):
            raise OSError(errno.ENOSPC, "no")

    monkeypatch.setattr(notify, "Observer", Failing)
    with Watcher(folder) as watcher:
        assert watcher.polling
        assert set(threading.enumerate()) == before


def test_dead_event_threads_are_replaced_and_given_up_when_they_keep_dying(by_events, folder):
    drain(by_events)
    for _ in range(3):
        by_events._events._observer.stop()
        by_events._events._observer.join()
        assert by_events.wait(LONG)
        assert not by_events.polling
    (folder / "a.png").write_bytes(b"x")
    wait_until(by_events, ["a.png"])
    by_events._events._observer.stop()
    by_events._events._observer.join()
    assert by_events.wait(LONG)
    assert "keeps dying" in by_events.reason
    assert names(by_events) == ["a.png"]


def test_an_overflow_is_counted_and_wakes_and_watchdog_logs_nothing(by_events, monkeypatch):
    records = []
    handler = logging.Handler()
    handler.emit = records.append
    monkeypatch.setattr(logging.getLogger(), "handlers", [handler])
    drain(by_events)
    logging.getLogger("edge.test").warning("the handler works")
    logging.getLogger("watchdog.observers.inotify_c").warning("Inotify queue overflowed; filesystem events were lost")
    logging.getLogger("watchdog.observers.inotify").warning("Inotify queue overflowed; below %r", b"/secret/name")
    assert by_events.overflows == 1
    assert by_events.wait(LONG)
    assert [record.name for record in records] == ["edge.test"]


def test_closing_ends_every_thread_and_a_wait(folder):
    before = set(threading.enumerate())
    watcher = Watcher(folder, poll=False)
    drain(watcher)
    assert set(threading.enumerate()) > before
    waiter = threading.Thread(target=watcher.wait, args=(LONG,))
    waiter.start()
    watcher.close()
    waiter.join(LONG)
    assert not waiter.is_alive()
    assert set(threading.enumerate()) == before
    watcher.close()
    logger = logging.getLogger("watchdog")
    assert [handler for handler in logger.handlers if isinstance(handler, notify._WatchdogLog)] == []


def test_waking_ends_the_present_or_the_next_wait(by_events):
    drain(by_events)
    by_events.wake()
    assert by_events.wait(LONG)
    results = []
    waiter = threading.Thread(target=lambda: results.append(by_events.wait(LONG)))
    waiter.start()
    by_events.wake()
    waiter.join(LONG)
    assert results == [True]


def test_a_wait_after_a_long_listing_gives_others_time(by_events):
    drain(by_events)
    by_events._poll_interval = 60.0
    names(by_events)
    by_events._listing_took = 30.0
    by_events._hint()
    assert not by_events.wait(0.5)
    by_events._listing_took = 0.0
    assert by_events.wait(LONG), "after a short one the same event wakes"
