"""What makes a command a well-behaved service: signals, reloading, a supervisor's watchdog.

SIGTERM and SIGINT stop it, a second one at once; SIGHUP has it read its configuration and keys again. The rule kept here:
what is read anew is taken whole or not at all, and while it cannot be read, what runs goes on.
"""

from __future__ import annotations

import gc
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Final, Generic, TypeVar

from edge.errors import EdgeError, ExitCode
from edge.health import Guard, Stage
from edge.stopping import Stop

_LOG = logging.getLogger(__name__)
ALARM_CONFIGURATION: Final = "configuration-refused"
"""The configuration or the keys as they stand now cannot be used; those before still are."""
_Settings = TypeVar("_Settings")


class Service(Generic[_Settings]):
    """A command that runs on and on, under one set of settings after another.

        with service_for(read) as service:
            for settings in service.turns():
                ... run until service.stop is set ...

    One turn ends when `stop` is set. Another follows where a reload was the reason.
    """

    def __init__(self, read: Callable[[], _Settings]) -> None:
        """Keep how settings are read: `read` raises an `EdgeError` where they cannot be used, and changes nothing."""
        self._read = read
        self._asked = False
        self._current: _Settings | None = None
        self._former: _Settings | None = None
        self._next: _Settings | None = None
        self._turning = threading.Lock()
        self._hangups: SimpleQueue[bool] = SimpleQueue()
        self.stop = Stop()
        self._refused = False

    def turns(self) -> Iterator[_Settings]:
        """Yield the settings to run under, until a signal ends the service.

        Raises:
            EdgeError: The first settings cannot be used.
        """
        self._next = self._read()
        while self._next is not None and not self._asked:
            with self._turning:
                self._former, self._current, self._next = self._current, self._next, None
                self.stop = Stop()
            if not self._asked:
                yield self._current

    def give_up(self, error: EdgeError) -> None:
        """Say that the settings of this turn could not be put to use: the next turn is with those before.

        Raises:
            EdgeError: `error`, where none were before.
        """
        if self._former is None:
            raise error
        self._refuse(error)
        with self._turning:
            self._next, self._current = self._former, None

    @property
    def alarms(self) -> tuple[str, ...]:
        """Return the codes of what does not work now. Any thread may read them."""
        return (ALARM_CONFIGURATION,) if self._refused else ()

    # --- signals ----------------------------------------------------------------------------------------------------

    def on_stop(self, number: int, _frame: FrameType | None) -> None:
        """End the service; at the second signal at once."""
        if self._asked:
            raise KeyboardInterrupt
        self._asked = True
        notify_supervisor("STOPPING=1")
        self.stop.set()
        self.stop.insist()
        # Whatever ran before: a second signal finds this handler, not Python's.
        signal.signal(number, self.on_stop)

    def on_hangup(self, _number: int, _frame: FrameType | None) -> None:
        """Have the settings read again, by another thread: the main one may be at an image for minutes."""
        self._hangups.put(True)

    def reload_at_hangups(self) -> None:
        """Read the settings anew at each SIGHUP, until `end_reloading`."""
        while self._hangups.get():
            notify_supervisor(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
            try:
                settings = self._read()
            except EdgeError as error:
                self._refuse(error)
                notify_supervisor("READY=1")
                continue
            self._refused = False
            _LOG.info("reloading: configuration and keys were read again")
            with self._turning:
                self._next = settings
                # No grace: the image in hand is ended first.
                self.stop.set()

    def end_reloading(self) -> None:
        """End `reload_at_hangups`."""
        self._hangups.put(False)

    def _refuse(self, error: EdgeError) -> None:
        self._refused = True
        hint = f"; {error.hint}" if error.hint else ""
        _LOG.error("not reloaded, the old configuration stays: %s%s", error.message, hint)


@contextmanager
def service_for(read: Callable[[], _Settings], *, reloads: bool = True) -> Iterator[Service[_Settings]]:
    """Give a service whose signals are handled for as long as the block lasts.

    Args:
        read: See `Service`.
        reloads: Whether SIGHUP reads the settings again; otherwise it ends the process, as it does by default.
    """
    service = Service(read)
    handlers: dict[int, Callable[[int, FrameType | None], None]]
    handlers = {signal.SIGTERM: service.on_stop, signal.SIGINT: service.on_stop}
    if reloads:
        handlers[signal.SIGHUP] = service.on_hangup
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    alarm = signal.getsignal(signal.SIGALRM)
    reloader = threading.Thread(target=service.reload_at_hangups, name="reload", daemon=True)
    reloader.start()
    try:
        yield service
    finally:
        service.end_reloading()
        reloader.join()
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in (before | {signal.SIGALRM: alarm}).items():
            signal.signal(number, handler)


# --- the supervisor -------------------------------------------------------------------------------------------------


@contextmanager
def guarded(stages: Sequence[Stage]) -> Iterator[None]:
    """Tell the supervisor that the service is ready and well; end the process where a stage makes no progress."""
    # What was made until now lives as long as the service. To look through it for garbage again and again is in vain.
    gc.unfreeze()  # but what was made for the turn before a reload may go
    gc.collect()
    gc.freeze()
    with Guard(stages, on_well=lambda: notify_supervisor("WATCHDOG=1"), on_stuck=_end):
        notify_supervisor("READY=1")
        yield


def _end(stage: Stage) -> None:
    _LOG.error("no progress in %s for %.0f seconds: this process ends, to be started again", stage.name, stage.idle())
    # Whatever holds the stage up would hold up an orderly end too.
    os._exit(ExitCode.STUCK)


def notify_supervisor(state: str) -> None:
    """Send a state to systemd (sd_notify(3)); do nothing where no supervisor listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as channel:
            channel.sendto(state.encode(), address)
    except OSError as error:
        # A supervisor that cannot be told acts by its own timeouts; images matter more.
        _LOG.debug("the supervisor was not told: %s", os.strerror(error.errno or 0))
