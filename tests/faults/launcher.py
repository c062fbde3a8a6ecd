"""Start the real programs with faults in them: a process that has loaded everything and forks one child for each start.

A child runs the command's own `main` with the command's own arguments. What it adds is wrapped around it from outside
(`tests.faults.steps`); without a fault, a trace or a disk to model nothing is wrapped. Requests and replies are lines of
JSON on standard input and output; each request is answered.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from edge import loading
from edge.cli import encryptor, receiver
from tests.faults.disk import WatchedDisk
from tests.faults.steps import Fault, Steps

TOGETHER = "TEST_TOGETHER"
"""With this in its environment a device waits until the next file is read, so that all of them are kept together."""

_PROGRAMS = {"edge-encryptor": encryptor.main, "edge-receiver": receiver.main}


def main() -> None:
    """Serve until standard input ends; children that still run then are killed."""
    children: set[int] = set()
    for line in sys.stdin:
        request = json.loads(line)
        if "start" in request:
            pid = os.fork()
            if pid == 0:
                _child(request["start"])
            children.add(pid)
            reply: Any = pid
        else:
            pid, status = os.waitpid(request["ended"], os.WNOHANG)
            children.discard(pid)
            reply = os.waitstatus_to_exitcode(status) if pid else None
        sys.stdout.write(json.dumps(reply) + "\n")
        sys.stdout.flush()
    for pid in children:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _child(start: dict[str, Any]) -> None:
    code = 70
    try:
        log = os.open(start["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        nothing = os.open(os.devnull, os.O_RDONLY)
        for target, descriptor in ((0, nothing), (1, log), (2, log)):
            os.dup2(descriptor, target)
        os.environ.clear()
        os.environ.update(start["env"])
        if TOGETHER in os.environ:
            loading._is_read = lambda reading: reading is None or reading.exception() is None
        steps = _wrap(start)
        code = _PROGRAMS[start["program"]](start["arguments"])
        if steps is not None:
            steps.finish()
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    except BaseException:  # noqa: BLE001 - a child must never go on as a second launcher; its log says what it was
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _wrap(start: dict[str, Any]) -> Steps | None:
    roots = [Path(root) for root in start["roots"]]
    fault, trace, shadow = (start.get(each) for each in ("fault", "trace", "shadow"))
    if not (fault or trace or shadow):
        return None
    steps = Steps(
        roots,
        fault=Fault(**fault) if fault else None,
        trace=Path(trace) if trace else None,
        disk=WatchedDisk(roots, Path(shadow), goes_on=start["goes_on"]) if shadow else None,
    )
    steps.install()
    # The power may also be cut from outside, at any moment.
    signal.signal(signal.SIGUSR1, lambda *_: steps.strike())
    return steps


if __name__ == "__main__":
    main()
