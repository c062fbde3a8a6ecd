"""Measure a quantised network as devices run it: what it learnt, how its outputs spread, how long it takes.

The rule kept here: figures come from the file itself through the real runtime, never from the float model alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.chaos.parameters import fold
from edge.inference import ParameterNetwork
from edge.metadata_image import draw, metadata_image
from edge.records import MetadataImage, MetadataRecord
from firmware_tools.dataset import targets

_RECORD: Final = MetadataRecord(
    moment=datetime(2024, 2, 29, 23, 59, 58),  # noqa: DTZ001 - most cameras write naive times
    camera="Example CR-2",
    width=2592,
    height=1944,
    size=1_843_200,
)
_SECONDS: Final = 10_000
_MILLISECONDS: Final = 2_000
_LATENCY_RUNS: Final = 200
# What a network must reach on the int8 file to be worth shipping.
_LEAST_CORRELATION: Final = 0.9
_MOST_FOLD_KS: Final = 0.02


def known_answers(network: ParameterNetwork) -> list[dict[str, Any]]:
    """Return a few records and what the network answers, to recognise it by under the same profile."""
    records = (
        _RECORD,
        replace(_RECORD, moment=_RECORD.moment + timedelta(seconds=1)),
        replace(_RECORD, moment=_RECORD.moment + timedelta(milliseconds=1)),
        replace(_RECORD, camera="", width=0, height=0, size=0),
    )
    return [
        {
            "moment": record.moment.isoformat(),
            "camera": record.camera,
            "width": record.width,
            "height": record.height,
            "size": record.size,
            "outputs": network.outputs(metadata_image(record)).values.hex(),
        }
        for record in records
    ]


def agreement(network: ParameterNetwork, fields: NDArray[np.uint8], floats: NDArray[np.float32]) -> dict[str, Any]:
    """Compare the file's answers with the truth and with the float model's.

    Args:
        network: The quantised network.
        fields: Digits of records it never saw, uint8 (n, 92).
        floats: What the float model answered to them, float32 (n, 16).

    Returns:
        Held-out R2 of both (mean over the outputs, and the worst output of the file), and their correlation.
    """
    rows = _rows(network, (MetadataImage(draw(row)) for row in fields))
    answers = rows.astype(np.float64) / 256
    truth = targets(fields).astype(np.float64)
    r2 = _r2(truth, answers)
    correlations = [_correlation(floats[:, k], answers[:, k]) for k in range(rows.shape[1])]
    return {
        "held_out_records": len(fields),
        "held_out_r2_int8": round(float(r2.mean()), 4),
        "held_out_r2_int8_worst_output": round(float(r2.min()), 4),
        "held_out_r2_float": round(float(_r2(truth, floats.astype(np.float64)).mean()), 4),
        "float_int8_correlation": round(statistics.fmean(correlations), 4),
    }


def measure(network: ParameterNetwork, *, seconds: int = _SECONDS, milliseconds: int = _MILLISECONDS) -> dict[str, Any]:
    """Measure how the outputs spread over neighbouring moments of one camera, and the latency.

    Args:
        network: The quantised network.
        seconds: How many consecutive seconds.
        milliseconds: How many consecutive milliseconds.

    Returns:
        Distinct output rows of both, distinct folds of the seconds, how uniform the folds are (largest
        distance to the uniform distribution, lag-1 correlation), values an output takes, median latency.
    """
    by_second = _rows(network, _moments(timedelta(seconds=1), seconds))
    by_millisecond = _rows(network, _moments(timedelta(milliseconds=1), milliseconds))
    folds = np.array([fold(row.tobytes(), 1)[0] for row in by_second])
    values = [len(np.unique(by_second[:, k])) for k in range(by_second.shape[1])]
    return {
        "seconds": seconds,
        "seconds_distinct_rows": len(np.unique(by_second, axis=0)),
        "seconds_distinct_folds": len(np.unique(folds)),
        "seconds_fold_ks": round(_ks(folds), 4),
        "seconds_fold_lag1": round(abs(_correlation(folds[:-1], folds[1:])), 4),
        "seconds_values_an_output": [min(values), max(values)],
        "milliseconds": milliseconds,
        "milliseconds_distinct_rows": len(np.unique(by_millisecond, axis=0)),
        "median_latency_ms": round(_median_latency(network), 2),
    }


def shortfalls(metrics: Mapping[str, Any]) -> list[str]:
    """Name what keeps a network from being shipped: one sentence for each figure that misses its bound.

    Args:
        metrics: What `agreement` and `measure` returned together; a figure that is absent is not judged.
    """
    bounds = [
        ("float_int8_correlation", metrics.get("float_int8_correlation", 1) >= _LEAST_CORRELATION),
        ("seconds_distinct_rows", metrics.get("seconds_distinct_rows") == metrics.get("seconds")),
        ("seconds_distinct_folds", metrics.get("seconds_distinct_folds") == metrics.get("seconds")),
        ("seconds_fold_ks", metrics.get("seconds_fold_ks", 0) < _MOST_FOLD_KS),
        ("milliseconds_distinct_rows", metrics.get("milliseconds_distinct_rows") == metrics.get("milliseconds")),
    ]
    return [f"{name} is {metrics.get(name)}" for name, met in bounds if not met]


def _moments(step: timedelta, count: int) -> Iterator[MetadataImage]:
    """Yield the images of one camera's records, a step apart."""
    for number in range(count):
        yield metadata_image(replace(_RECORD, moment=_RECORD.moment + number * step))


def _rows(network: ParameterNetwork, drawn: Iterator[MetadataImage]) -> NDArray[np.uint8]:
    """Return the network's outputs, uint8 (n, 16)."""
    return np.array([list(network.outputs(image).values) for image in drawn], dtype=np.uint8)


def _r2(truth: NDArray[np.float64], answers: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of variance explained, one figure an output."""
    explained: NDArray[np.float64] = 1 - ((truth - answers) ** 2).mean(axis=0) / truth.var(axis=0)
    return explained


def _correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Pearson's correlation; 0 where either side is constant, because nothing can be read from it."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def _ks(sample: NDArray[np.float64]) -> float:
    """Return the Kolmogorov-Smirnov distance of a sample to the uniform distribution on [0, 1)."""
    ordered = np.sort(sample)
    steps = np.arange(len(ordered) + 1) / len(ordered)
    return float(max((steps[1:] - ordered).max(), (ordered - steps[:-1]).max()))


def _median_latency(network: ParameterNetwork) -> float:
    """Return the median wall time of one inference in milliseconds."""
    image = metadata_image(_RECORD)
    times: Sequence[float] = [_timed(network, image) for _ in range(_LATENCY_RUNS)]
    return statistics.median(times)


def _timed(network: ParameterNetwork, image: MetadataImage) -> float:
    """Return the wall time of one inference in milliseconds."""
    began = time.perf_counter()
    network.outputs(image)
    return (time.perf_counter() - began) * 1000
