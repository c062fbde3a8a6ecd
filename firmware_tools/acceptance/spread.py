"""Run a quantised network over the record families, and measure how its parameters spread.

The rule kept here: figures come from the file itself through the real runtime, after `fold`, as a device would have them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chisquare
from tqdm import tqdm

from edge.chaos.parameters import BOXES, OUTPUTS, parameters_from_outputs
from edge.inference.networks import ParameterNetwork
from edge.metadata_image import draw, metadata_fields
from edge.records import MapName, MetadataImage, NetworkName, NetworkOutputs
from firmware_tools.acceptance import lyapunov
from firmware_tools.acceptance.families import Family
from firmware_tools.training.parity import explained
from firmware_tools.training.records import RADIX, random_fields, targets

BINS: Final = 64
PARAMETERS: Final = ("r", "sigma", "rho", "beta")
_MAPS: Final = (MapName.LOGISTIC, MapName.LORENZ)
_BATCH: Final = 250
_PROBED_RECORDS: Final = 16
_UNSEEN_RECORDS: Final = 512
_UNSEEN_SEED: Final = 20_261_128


@dataclass(frozen=True, slots=True)
class Spread:
    """What a network makes of all records. Arrays over the four parameters r, sigma, rho, beta.

    Attributes:
        records: How many records, all different.
        distinct: How many different r, and how many different (sigma, rho, beta).
        outside: Parameters outside their range.
        uniformity: p-values of the chi-square test of uniformity, 64 bins, all records.
        family_uniformity: The same of each family, (families, 4).
        correlation: Between the parameters of a second and of the next, over the consecutive families.
        exponents: The smallest largest Lyapunov exponent of the logistic map, and of the Lorenz system.
        single_changes: Pairs of records that differ in one digit, and how many of them have the same outputs.
        r2: How much of the answers to records that it never saw the network explains: mean and worst over the outputs.
        values: Parameters scaled to [0, 1], float64 (records, 4).
    """

    records: int
    distinct: tuple[int, int]
    outside: int
    uniformity: tuple[float, ...]
    family_uniformity: tuple[tuple[float, ...], ...]
    correlation: tuple[float, ...]
    exponents: tuple[float, float]
    single_changes: tuple[int, int]
    r2: tuple[float, float]
    values: NDArray[np.float64]


def measure_spread(
    name: NetworkName, families: Sequence[Family], *, directory: Path | None = None, runtime: str | None = None
) -> Spread:
    """Measure the spread of a network's parameters.

    100,000 records take some five minutes on two cores with AVX-512, and up to an hour without. Fewer records are also
    judged by fewer changes of a single digit and fewer unseen records.

    Args:
        name: Which network.
        families: The records.
        directory: The folder of the networks' files; by default the one that came with the package.
        runtime: "ai-edge-litert" or "tflite-runtime"; by default the first that is installed.

    Raises:
        ModelError: The network cannot be used.
    """
    records = [record for family in families for record in family.records]
    fields = np.array([metadata_fields(record) for record in records])
    probed = min(_PROBED_RECORDS, max(1, len(records) // OUTPUTS))
    changed = _single_changes(probed)
    unseen = random_fields(np.random.default_rng(_UNSEEN_SEED), min(_UNSEEN_RECORDS, max(OUTPUTS, len(records))))
    with tqdm(total=len(records) + len(changed) + len(unseen), unit="record", desc=name.value, mininterval=1) as bar:
        outputs, answers, unseen_outputs = np.split(
            _outputs(name, np.concatenate([fields, changed, unseen]), directory, runtime, bar),
            [len(fields), len(fields) + len(changed)],
        )
    values = np.array([_values(name, row) for row in outputs])
    scaled = _scaled(values)
    ends = np.cumsum([len(family.records) for family in families])
    parts = np.split(scaled, ends[:-1])
    pairs = [part for part, family in zip(parts, families, strict=True) if family.consecutive]
    same = sum(np.array_equal(row, answers[0]) for answers in np.split(answers, probed) for row in answers[1:])
    return Spread(
        records=len(np.unique(fields, axis=0)),
        distinct=(len(np.unique(values[:, 0])), len(np.unique(values[:, 1:], axis=0))),
        outside=int(((scaled < 0) | (scaled > 1)).sum()),
        uniformity=_uniformity(scaled),
        family_uniformity=tuple(_uniformity(part) for part in parts),
        correlation=_correlation(pairs),
        exponents=(float(lyapunov.logistic(values[:, 0]).min()), float(lyapunov.lorenz(values[:, 1:]).min())),
        single_changes=(len(changed) - probed, same),
        r2=explained(targets(unseen), unseen_outputs / 255),
        values=scaled,
    )


def _single_changes(count: int) -> NDArray[np.uint8]:
    """Return `count` records, each followed by all records that differ from it in one digit by one: uint8 (n, 64)."""
    rows = []
    for record in random_fields(np.random.default_rng(7), count):
        rows.append(record)
        for field, radix in enumerate(RADIX):
            other = record.copy()
            other[field] = (other[field] + 1) % radix
            rows.append(other)
    return np.array(rows)


def _outputs(
    name: NetworkName, fields: NDArray[np.uint8], directory: Path | None, runtime: str | None, bar: Any
) -> NDArray[np.uint8]:
    """Run the network on all records, one process a core; threads within one process would gain less."""
    batches = [fields[start : start + _BATCH] for start in range(0, len(fields), _BATCH)]
    results = []
    # A fresh interpreter in each process: a forked one would share locks with threads that are not there.
    with ProcessPoolExecutor(
        os.cpu_count(), mp_context=get_context("spawn"), initializer=_load, initargs=(name, directory, runtime)
    ) as pool:
        for batch in pool.map(_run, batches):
            results.append(batch)
            bar.update(len(batch))
    return np.concatenate(results)


_network: ParameterNetwork | None = None


def _load(name: NetworkName, directory: Path | None, runtime: str | None) -> None:
    global _network  # noqa: PLW0603 - the one network of a worker process
    _network = ParameterNetwork.load(name, directory=directory, threads=1, runtime=runtime)


def _run(fields: NDArray[np.uint8]) -> NDArray[np.uint8]:
    if _network is None:
        raise AssertionError("unreachable: the initialiser ran")
    rows = [list(_network.outputs(MetadataImage(image)).values) for image in draw(fields)]
    return np.array(rows, dtype=np.uint8)


def _values(name: NetworkName, row: NDArray[np.uint8]) -> list[float]:
    outputs = NetworkOutputs(values=row.tobytes(), network=name, model_sha256=b"", profile="")
    return [value for chaotic_map in _MAPS for value in parameters_from_outputs(chaotic_map, outputs).values]


def _scaled(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scale each parameter's range to [0, 1]."""
    low, high = np.array([ends for chaotic_map in _MAPS for ends in BOXES[chaotic_map]]).T
    scaled: NDArray[np.float64] = (values - low) / (high - low)
    return scaled


def _uniformity(scaled: NDArray[np.float64]) -> tuple[float, ...]:
    counts = (np.histogram(column, bins=BINS, range=(0, 1))[0] for column in scaled.T)
    return tuple(float(chisquare(count).pvalue) for count in counts)


def _correlation(parts: Iterable[NDArray[np.float64]]) -> tuple[float, ...]:
    """Return Pearson's correlation of each parameter with that of the next second."""
    now, later = (np.concatenate(list(each)) for each in zip(*((p[:-1], p[1:]) for p in parts), strict=True))
    return tuple(float(np.corrcoef(one, other)[0, 1]) for one, other in zip(now.T, later.T, strict=True))
