"""The whole way through mosquitto, with real processes: speed, memory, idle load, time to start."""

from __future__ import annotations

import resource
import statistics
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

from edge.config import DeviceConfig
from edge.intake.ledger import FileState, Ledger
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
from firmware_tools.bench.timing import MEGABYTE, copy_durably

_PATIENCE_SECONDS: Final = 300.0
_SETTLED_DOWN_SECONDS: Final = 3.0
_MEMORY_TARGET: Final = 250
_IDLE_TARGET: Final = 1.0


# --- speed ----------------------------------------------------------------------------------------------------------


def measure_transfer(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Some images from the watched folder to the store, as three processes; the median of several runs."""
    if mosquitto() is None:
        yield skipped("transfer", NO_BROKER)
        return
    runs = [_Run(Site(folder / f"transfer-{number}"), plan) for number in range(plan.way_rounds)]
    rates = [run.size / MEGABYTE / run.carrying for run in runs]
    names = runs[0].cpu
    yield Figure(
        part="transfer",
        name=f"watch to stored, {plan.way_images} x {plan.way_bytes // MEGABYTE} MB",
        value=statistics.median(rates),
        unit="MB/s",
        at_least=40,
        limit=Limit(name="copy and fsync", value=statistics.median(run.size / MEGABYTE / run.copying for run in runs)),
        cpu_seconds=statistics.median(sum(run.cpu.values()) for run in runs),
        note="from the end of the settle interval to the last receipt; processor seconds: "
        + ", ".join(f"{name} {statistics.median(run.cpu[name] for run in runs):.2f}" for name in names)
        + "; all runs: "
        + ", ".join(f"{rate:.0f}" for rate in rates),
    )


class _Run:
    """One run with fresh folders and processes; times are seconds."""

    def __init__(self, site: Site, plan: Plan) -> None:
        paths = [
            write_image(site.watched / f"scan-{number}.pnm", plan.way_bytes, seed=number)
            for number in range(plan.way_images)
        ]
        self.size = sum(path.stat().st_size for path in paths)
        start = time.perf_counter()
        for path in paths:
            copy_durably(path, site.folder / "copy")
        self.copying = time.perf_counter() - start
        with site.broker() as broker, site.receiver() as receiver:
            # A receiver that runs already is the usual case.
            site.await_store(receiver)
            before = _children_seconds(), cpu_seconds(receiver.pid), cpu_seconds(broker.pid)
            with site.daemon("--once") as daemon:
                daemon.finish(_PATIENCE_SECONDS)
            after = _children_seconds(), cpu_seconds(receiver.pid), cpu_seconds(broker.pid)
        self.cpu = {
            name: late - early
            for name, early, late in zip(("daemon", "receiver", "broker"), before, after, strict=True)
        }
        site.require_stored(plan.way_images)
        self.carrying = _carrying(site)


def _children_seconds() -> float:
    """Return the processor time of all children that have ended, with their own."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def _carrying(site: Site) -> float:
    """Return the seconds from the moment when every file had settled to the last receipt, by the ledger."""
    settle = DeviceConfig.load(site.device_config, environ={}, overrides={}).watch.settle
    with Ledger.open_read_only(site.ledger) as ledger:
        entries = ledger.entries()
        receipts = [
            event.at
            for entry in entries
            for event in ledger.history(entry.image_id or "")
            if event.state is FileState.RECEIPTED
        ]
    seen = max(entry.first_seen for entry in entries)
    return (datetime.fromisoformat(max(receipts)) - datetime.fromisoformat(seen)).total_seconds() - settle


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
    seconds = _carrying(site)
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
    yield Figure(part="memory", name="speed of that image", value=megabytes / seconds, unit="MB/s")


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
            rate = plan.idle_files / _carrying(site)
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
        limit=Limit(name="imports only", value=statistics.median(bare)),
    )
