"""The networks: how long the first result takes and every further one, under each model runtime that can be had."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final

from edge.inference.manifest import models_directory
from edge.metadata_image import metadata_image
from edge.records import FeatureNetworkName, MetadataRecord, NetworkName
from firmware_tools.bench.figures import Figure, Limit, skipped
from firmware_tools.bench.plan import Plan
from firmware_tools.bench.timing import interleaved

PART: Final = "model"
_NEWER, _OLDER = "ai-edge-litert", "tflite-runtime"
# Milliseconds a network may take for one image, and from nothing to the first, under ai-edge-litert on two cores.
_BUDGETS: Final = {NetworkName.MOBILENETV2: 5.0, NetworkName.RESNET18: 8.0, FeatureNetworkName.VGG16: 10.0}
_FIRST_BUDGET: Final = 300.0
_OLDER_PYTHON: Final = "EDGE_TFLITE_PYTHON"
_TIMEOUT: Final = 120.0


def measure_model(plan: Plan, _folder: Path) -> Iterator[Figure]:
    """Time each network in a process of its own; with tflite-runtime too, where a Python that has it is named."""
    record = MetadataRecord(datetime(2026, 11, 21, 9, 30, tzinfo=UTC), "bench", 2048, 2048, 5_000_000)
    drawing = interleaved({"draw": partial(metadata_image, record)}, plan.rounds)["draw"]
    yield Figure(part=PART, name="metadata image: draw", value=1e3 * drawing.wall, unit="ms", cpu_seconds=drawing.cpu)
    older = os.environ.get(_OLDER_PYTHON, "")
    for name in (*NetworkName, *FeatureNetworkName):
        yield from _measure(name, _NEWER, sys.executable, plan)
        if older:
            yield from _measure(name, _OLDER, older, plan)
    if not older:
        yield skipped(PART, f"tflite-runtime: {_OLDER_PYTHON} names no Python that has it")


def _measure(name: NetworkName | FeatureNetworkName, runtime: str, python: str, plan: Plan) -> Iterator[Figure]:
    command = [python, "-W", "ignore", "-m", "firmware_tools.bench.one_network", name.value, runtime]
    done = []
    # The first process finds cold files; the best of all is what a daemon waits for at a restart.
    for _ in range(plan.network_processes):
        result = subprocess.run(
            [*command, str(10 * plan.rounds)], capture_output=True, text=True, timeout=_TIMEOUT, check=False
        )
        if result.returncode:
            why = (result.stderr.strip().splitlines() or ["it ended without a word"])[-1]
            yield skipped(PART, f"{name} under {runtime}: {why}")
            return
        done.append(json.loads(result.stdout))
    budget = _BUDGETS[name] if runtime == _NEWER else None
    first = min(each["first_ms"] for each in done)
    median = statistics.median(each["median_ms"] for each in done)
    yield Figure(
        part=PART,
        name=f"{name}, {runtime}: import, load, first result",
        value=first,
        unit="ms",
        at_most=_FIRST_BUDGET if budget else None,
        note=done[0]["profile"],
    )
    yield Figure(
        part=PART,
        name=f"{name}, {runtime}: one inference",
        value=median,
        unit="ms",
        at_most=budget,
        limit=_weights_copied(name, plan),
    )


def _weights_copied(name: NetworkName | FeatureNetworkName, plan: Plan) -> Limit:
    """Return the milliseconds that a copy of the network's file takes: each weight must be read once."""
    weights = (models_directory() / f"{name}.tflite").read_bytes()
    target = bytearray(len(weights))

    def copy() -> None:
        target[:] = weights

    return Limit(name="its weights copied", value=1e3 * interleaved({"copy": copy}, plan.rounds)["copy"].best)
