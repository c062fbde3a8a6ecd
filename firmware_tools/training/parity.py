"""Compare a quantised file with the float model that it was made from, on images that neither has seen.

The rule kept here: the file answers through the real runtime.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.records import MetadataImage, Picture
from firmware_tools.training.records import targets

_LATENCY_RUNS: Final = 200


def parameter_parity(
    network: ParameterNetwork, fields: NDArray[np.uint8], pixels: NDArray[np.uint8], floats: NDArray[np.float32]
) -> dict[str, Any]:
    """Compare a parameter network's answers with the truth and with the float model's.

    Args:
        network: The quantised network.
        fields: Digits of records it never saw, uint8 (n, 64).
        pixels: Their metadata images, uint8 (n, 224, 224, 3).
        floats: What the float model answered to them, float32 (n, 64).

    Returns:
        Held-out R2 of both (mean over the outputs, and the worst output of the file), and their correlation.
    """
    rows = [network.outputs(MetadataImage(image)).values for image in pixels]
    answers = np.frombuffer(b"".join(rows), np.uint8).reshape(len(fields), -1) / 255
    truth = targets(fields).astype(np.float64)
    mean, worst = explained(truth, answers)
    return {
        "held_out_records": len(fields),
        "held_out_r2_int8": round(mean, 4),
        "held_out_r2_int8_worst_output": round(worst, 4),
        "held_out_r2_float": round(explained(truth, floats.astype(np.float64))[0], 4),
        "float_int8_correlation": _mean_correlation(floats, answers),
        "median_latency_ms": _median_latency(lambda: network.outputs(MetadataImage(pixels[0]))),
    }


def feature_parity(network: FeatureNetwork, pixels: NDArray[np.uint8], floats: NDArray[np.float32]) -> dict[str, Any]:
    """Compare a feature network's features with the float model's.

    Args:
        network: The quantised network.
        pixels: Pictures it never saw, uint8 (n, 224, 224, 3).
        floats: What the float model made of them, float32 (n, 1000).

    Returns:
        The correlation of both, the share of bits of V_B that agree, and the median latency.
    """
    rows = [network.features(Picture(image)).values for image in pixels]
    features = np.frombuffer(b"".join(rows), np.int8).reshape(len(pixels), -1) / 128
    return {
        "float_int8_correlation": _mean_correlation(floats, features),
        "float_int8_equal_bits": round(float(((floats > 0) == (features > 0)).mean()), 4),
        "median_latency_ms": _median_latency(lambda: network.features(Picture(pixels[0]))),
    }


def explained(truth: NDArray[Any], answers: NDArray[Any]) -> tuple[float, float]:
    """Return the share of variance explained (R2), mean and worst over the outputs.

    Args:
        truth: What the answers should be, (n, 64).
        answers: What they are, (n, 64).
    """
    r2 = 1 - ((truth - answers) ** 2).mean(axis=0) / truth.var(axis=0)
    return float(r2.mean()), float(r2.min())


def _mean_correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return Pearson's correlation, averaged over the columns in which both sides vary."""
    varying = [k for k in range(one.shape[1]) if np.ptp(one[:, k]) > 0 and np.ptp(other[:, k]) > 0]
    return round(statistics.fmean(float(np.corrcoef(one[:, k], other[:, k])[0, 1]) for k in varying), 4)


def _median_latency(run: Callable[[], object]) -> float:
    """Return the median wall time of one inference in milliseconds."""
    times = []
    for _ in range(_LATENCY_RUNS):
        began = time.perf_counter()
        run()
        times.append((time.perf_counter() - began) * 1000)
    return round(statistics.median(times), 2)
