"""The whole way through mosquitto, with real processes: latency of one image, throughput of many large and small ones."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from edge.config import DeviceConfig
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.ledgerreader import LedgerReader
from firmware_tools.bench import bare
from firmware_tools.bench.cipher import sized
from firmware_tools.bench.figures import CPU_TIME, SYNCED, Figure, Limit, skipped
from firmware_tools.bench.images import write_image
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.processes import NO_BROKER, Process, Site, cpu_seconds, mosquitto
from firmware_tools.bench.timing import MEGABYTE, copy_durably, processor_seconds, synced_files

_PATIENCE_SECONDS: Final = 300.0
_PATIENCE_A_FILE: Final = 0.2
_LATENCY_TARGET: Final = 100.0
_RATE_TARGET: Final = 70.0
_SMALL_TARGET: Final = 150.0
# Images come apart, so that none waits for the one before it.
_APART_SECONDS: Final = 0.5
_SYNCED_FILES: Final = 100
_BARE: Final = "mosquitto_pub, same bytes, better of two"


def why_not() -> str:
    """Say what is missing for these parts, nothing where they can be measured."""
    if mosquitto() is None:
        return NO_BROKER
    return "" if bare.has_clients() else bare.NO_CLIENTS


# --- throughput -----------------------------------------------------------------------------------------------------


def measure_transfer(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Some large images from the watched folder to the store, as three processes; the median of several runs."""
    if why := why_not():
        yield skipped("transfer", why)
        return
    runs = [
        Run(Site(folder / f"transfer-{number}"), plan.way_images, plan.way_bytes) for number in range(plan.way_rounds)
    ]
    rates = [run.size / MEGABYTE / run.carrying for run in runs]
    what = f"{plan.way_images} x {sized(plan.way_bytes)}"
    yield Figure(
        part="transfer",
        name=f"watch to stored, {what}",
        value=statistics.median(rates),
        unit="MB/s",
        at_least=_RATE_TARGET if plan.judged else None,
        limit=Limit(name=_BARE, value=statistics.median(run.size / MEGABYTE / run.bare.seconds for run in runs)),
        cpu_seconds=statistics.median(sum(run.cpu.values()) for run in runs),
        note="from the end of the settle interval to the last receipt; all runs: "
        + ", ".join(f"{rate:.0f}" for rate in rates)
        + f"; a synced copy: {statistics.median(run.size / MEGABYTE / run.copying for run in runs):.0f} MB/s",
    )
    yield from _processor_time("transfer", runs, what, "MB", plan.way_images * plan.way_bytes / MEGABYTE)


def measure_small(plan: Plan, folder: Path) -> Iterator[Figure]:
    """Many small images at once: how many a second arrive."""
    if why := why_not():
        yield skipped("small", why)
        return
    runs = [
        Run(Site(folder / f"small-{number}"), plan.small_images, plan.small_bytes) for number in range(plan.way_rounds)
    ]
    rates = [run.count / run.carrying for run in runs]
    yield Figure(
        part="small",
        name=f"images a second, {plan.small_images} x {sized(plan.small_bytes)}",
        value=statistics.median(rates),
        unit="/s",
        at_least=_SMALL_TARGET if plan.judged else None,
        limit=Limit(name=SYNCED, value=statistics.median(run.synced for run in runs)),
        cpu_seconds=statistics.median(sum(run.cpu.values()) for run in runs),
        note="all runs: "
        + ", ".join(f"{rate:.0f}" for rate in rates)
        + f"; mosquitto_pub, a command an image: {statistics.median(run.count / run.bare.seconds for run in runs):.0f}/s",
    )
    what = f"{plan.small_images} x {sized(plan.small_bytes)}"
    yield from _processor_time("small", runs, what, "image", plan.small_images)


def _processor_time(part: str, runs: Sequence[Run], what: str, unit: str, units: float) -> Iterator[Figure]:
    """Processor time of each process, which other load changes least; that of all bare commands is its floor."""
    floor = Limit(name=_BARE, value=statistics.median(1e3 * run.bare.cpu / units for run in runs))
    for name in runs[0].cpu:
        value = statistics.median(1e3 * run.cpu[name] / units for run in runs)
        yield Figure(part=part, name=f"{name}, {what}", value=value, unit=f"{CPU_TIME}{unit}", limit=floor)


def measure_files(plan: Plan, folder: Path) -> Iterator[Figure]:
    """From one file to very many: what a file costs must not grow with their number."""
    if why := why_not():
        yield skipped("files", why)
        return
    for count in plan.files:
        run = Run(Site(folder / f"files-{count}"), count, plan.idle_bytes, beside_bare=False)
        yield Figure(
            part="files",
            name=f"files a second, {count} of {sized(plan.idle_bytes)}",
            value=count / run.carrying,
            unit="/s",
            limit=Limit(name=SYNCED, value=run.synced),
            cpu_seconds=sum(run.cpu.values()),
        )


class Run:
    """One run of a daemon, a receiver and a broker over new folders; times are seconds.

    `carrying` is from the moment when every file had settled to the last receipt; `copying`, `synced` and `bare` are
    what the same disk and the same broker do with the same bytes.
    """

    def __init__(self, site: Site, count: int, size: int, *, beside_bare: bool = True) -> None:
        paths = [write_image(site.watched / f"scan-{number}.pnm", size, seed=number) for number in range(count)]
        self.count = count
        self.size = sum(path.stat().st_size for path in paths)
        self.synced = synced_files(site.folder, paths[0].stat().st_size, _SYNCED_FILES)
        start = time.perf_counter()
        for path in paths[:_SYNCED_FILES]:
            copy_durably(path, site.folder / "copy")
        self.copying = (time.perf_counter() - start) * count / len(paths[:_SYNCED_FILES])
        self.bare = bare.Carried(0.0, 0.0)
        patience = _PATIENCE_SECONDS + count * _PATIENCE_A_FILE
        with site.broker() as broker:
            if beside_bare:
                # A limit is what can be had at best: the second time neither files nor broker are cold.
                twice = [bare.carry(paths, site.folder, site.port) for _ in range(2)]
                self.bare = min(twice, key=lambda carried: carried.seconds)
            with site.receiver() as receiver:
                # A receiver that runs already is the usual case.
                site.await_store(receiver)
                before = processor_seconds(), cpu_seconds(receiver.pid), cpu_seconds(broker.pid)
                with site.daemon("--once") as daemon:
                    daemon.finish(patience)
                after = processor_seconds(), cpu_seconds(receiver.pid), cpu_seconds(broker.pid)
        self.cpu = {
            name: late - early
            for name, early, late in zip(("daemon", "receiver", "broker"), before, after, strict=True)
        }
        site.require_stored(count)
        self.carrying = carrying(site)


def carrying(site: Site) -> float:
    """Return the seconds from the moment when every file had settled to the last receipt, by the ledger."""
    ways = _ways(site)
    return max(way.receipted for way in ways) - max(way.due for way in ways)


# --- latency --------------------------------------------------------------------------------------------------------


def measure_latency(plan: Plan, folder: Path) -> Iterator[Figure]:
    """One image after another into a folder that a daemon watches: from settled to receipt."""
    if why := why_not():
        yield skipped("latency", why)
        return
    site = Site(folder / "latency")
    # The first one finds a daemon that has never sealed, and is not counted.
    paths = [
        write_image(site.folder / f"scan-{number}.pnm", plan.latency_bytes, seed=number)
        for number in range(plan.latency_images + 1)
    ]
    with site.broker() as broker, site.receiver() as receiver:
        alone = min((bare.carry(paths, site.folder, site.port) for _ in range(2)), key=lambda carried: carried.seconds)
        site.await_store(receiver)
        with site.daemon() as daemon:
            running: tuple[Process, ...] = (daemon, receiver, broker)
            for number, path in enumerate(paths):
                path.rename(site.watched / path.name)
                if number == 0:
                    site.await_files(1, arrived=True, timeout=_PATIENCE_SECONDS, running=running)
                time.sleep(_APART_SECONDS)
            site.await_files(len(paths), arrived=True, timeout=_PATIENCE_SECONDS, running=running)
    site.require_stored(len(paths))
    ways = sorted(_ways(site), key=lambda way: way.due)[1:]
    taken = sorted(1e3 * (way.receipted - way.due) for way in ways)
    steps = {
        "settle interval over to taken in": [way.settled - way.due for way in ways],
        "to sealed": [way.sealed - way.settled for way in ways],
        "to receipt": [way.receipted - way.sealed for way in ways],
    }
    what = f"one image of {sized(plan.latency_bytes)}"
    limit = Limit(name=_BARE, value=1e3 * alone.seconds / len(paths))
    yield Figure(
        part="latency",
        name=f"settled to receipt, {what}, median",
        value=statistics.median(taken),
        unit="ms",
        at_most=_LATENCY_TARGET,
        limit=limit,
        note=f"{len(ways)} images; medians of the steps: "
        + ", ".join(f"{name} {1e3 * statistics.median(step):.0f} ms" for name, step in steps.items()),
    )
    yield Figure(
        part="latency",
        name=f"settled to receipt, {what}, 95 of 100",
        value=taken[-(-95 * len(taken) // 100) - 1],
        unit="ms",
        limit=limit,
    )


class _Way:
    """When one image was due (its settle interval was over), taken in, sealed and receipted: seconds since 1970."""

    def __init__(self, ledger: LedgerReader, entry: LedgerEntry, settle: float) -> None:
        at = {
            event.state: datetime.fromisoformat(event.at).timestamp() for event in ledger.history(entry.image_id or "")
        }
        self.due = datetime.fromisoformat(entry.first_seen).timestamp() + settle
        self.settled = at[FileState.SETTLED]
        self.sealed = at[FileState.SEALED]
        self.receipted = at[FileState.RECEIPTED]


def _ways(site: Site) -> list[_Way]:
    settle = DeviceConfig.load(site.device_config, environ={}, overrides={}).watch.settle
    with Ledger.open_read_only(site.ledger) as ledger:
        return [_Way(ledger, entry, settle) for entry in ledger.entries()]
