"""What the processes cost beside the transfer itself: time to start, memory, load while nothing happens."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from edge.intake.ledger import Ledger
from firmware_tools.bench.figures import Figure, Limit, skipped
from firmware_tools.bench.images import write_image
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import (
    NO_BROKER,
    NO_PROC,
    MemoryWatch,
    Process,
    Site,
    children,
    cpu_seconds,
    has_proc,
    interpreter,
    mosquitto,
)
from firmware_tools.bench.timing import MEGABYTE
from firmware_tools.bench.way import carrying

_PATIENCE_SECONDS: Final = 300.0
_SETTLED_DOWN_SECONDS: Final = 3.0
_MEMORY_TARGET: Final = 200
_IDLE_TARGET: Final = 1.0
_START_TARGET: Final = 1.5


# --- memory ---------------------------------------------------------------------------------------------------------


def measure_memory(plan: Plan, folder: Path) -> Iterator[Figure]:
    """The most anonymous memory that each process holds while one very large image is carried."""
    why = NO_BROKER if mosquitto() is None else "" if has_proc() else NO_PROC
    if why:
        yield skipped("memory", why)
        return
    site = Site(folder / "memory")
    image = write_image(site.watched / "huge.pnm", plan.memory_bytes, seed=1)
    megabytes = round(image.stat().st_size / MEGABYTE)
    with site.broker() as broker, site.receiver() as receiver, interpreter(site.folder) as bare:
        site.await_store(receiver)
        with (
            site.daemon("--once") as daemon,
            MemoryWatch(
                {"daemon": daemon.pid, "receiver": receiver.pid, "mosquitto": broker.pid, "bare": bare.pid}
            ) as watch,
        ):
            daemon.finish(_PATIENCE_SECONDS)
    site.require_stored(1)
    peaks = watch.peaks
    limit = Limit(name="imports only", value=peaks["bare"].bytes / MEGABYTE)
    seconds = carrying(site)
    for name in ("daemon", "receiver"):
        yield Figure(
            part="memory",
            name=f"{name}, one image of {megabytes} MB",
            value=peaks[name].bytes / MEGABYTE,
            unit="MB",
            at_most=_MEMORY_TARGET,
            limit=limit,
            note=f"RssAnon, {peaks[name].seen} samples",
        )
    for name in sorted(peaks.keys() - {"daemon", "receiver", "bare"}):
        yield Figure(part="memory", name=name, value=peaks[name].bytes / MEGABYTE, unit="MB")
    yield Figure(part="memory", name=f"speed of the image of {megabytes} MB", value=megabytes / seconds, unit="MB/s")


# --- idle -----------------------------------------------------------------------------------------------------------


def measure_idle(plan: Plan, folder: Path) -> Iterator[Figure]:
    """The load of both ends while nothing happens, and how fast many small files go before it."""
    why = NO_BROKER if mosquitto() is None else "" if has_proc() else NO_PROC
    if why:
        yield skipped("idle", why)
        return
    site = Site(folder / "idle")
    for number in range(plan.idle_files):
        write_image(site.watched / f"small-{number}.pnm", plan.idle_bytes, seed=number)
    with site.broker(), site.receiver() as receiver, interpreter(site.folder) as bare:
        site.await_store(receiver)
        with site.daemon() as daemon:
            site.await_files(plan.idle_files, arrived=True, timeout=_PATIENCE_SECONDS, running=(daemon, receiver))
            rate = plan.idle_files / carrying(site)
            time.sleep(_SETTLED_DOWN_SECONDS)
            shares = _load({"daemon": daemon, "receiver": receiver, "bare": bare}, plan.idle_seconds)
    yield Figure(part="idle", name=f"small files a second, {plan.idle_files} of them", value=rate, unit="/s")
    limit = Limit(name="sleeping interpreter", value=shares.pop("bare"))
    for name, share in shares.items():
        yield Figure(
            part="idle",
            name=f"{name}, {plan.idle_files} delivered files",
            value=share,
            unit="% CPU",
            at_most=_IDLE_TARGET,
            limit=limit,
            note=f"over {plan.idle_seconds:.0f} s, worker processes counted",
        )


def _load(processes: dict[str, Process], seconds: float) -> dict[str, float]:
    """Return the processor time of each process and its children over some seconds, in per cent of one processor."""

    def used() -> dict[str, float]:
        return {
            name: sum(map(cpu_seconds, (process.pid, *children(process.pid)))) for name, process in processes.items()
        }

    start, before = time.perf_counter(), used()
    time.sleep(seconds)
    after, took = used(), time.perf_counter() - start
    for process in processes.values():
        process.require_running()
    return {name: 100 * (after[name] - before[name]) / took for name in processes}


# --- start ----------------------------------------------------------------------------------------------------------


def measure_start(plan: Plan, folder: Path) -> Iterator[Figure]:
    """The time from the daemon's start to the ledger's first entry of a file that was there before."""
    if mosquitto() is None:
        yield skipped("start", NO_BROKER)
        return
    taken, bare = [], []
    for number in range(plan.start_rounds):
        site = Site(folder / f"start-{number}")
        write_image(site.watched / "small.pnm", plan.idle_bytes, seed=number)
        with site.broker():
            start = time.perf_counter()
            with interpreter(site.folder, linger=False) as process:
                process.finish(_PATIENCE_SECONDS)
            bare.append(time.perf_counter() - start)
            with site.daemon() as daemon:
                site.await_files(1, arrived=False, timeout=_PATIENCE_SECONDS, running=(daemon,))
                started = daemon.started
        with Ledger.open_read_only(site.ledger) as ledger:
            seen = min(datetime.fromisoformat(entry.first_seen) for entry in ledger.entries())
        taken.append(seen.timestamp() - started)
    yield Figure(
        part="start",
        name="daemon's start to watching",
        value=statistics.median(taken),
        unit="s",
        at_most=_START_TARGET,
        limit=Limit(name="imports only", value=statistics.median(bare)),
        note="by the first entry of the ledger; all starts: " + ", ".join(f"{seconds:.2f}" for seconds in taken),
    )
