"""What the tests of the networks share: where the networks lie, and which model runtime can be had here."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

MODELS = Path(__file__).resolve().parents[2] / "models"


def _has(module):
    return importlib.util.find_spec(module) is not None


NUMPY_1 = int(np.__version__.split(".")[0]) < 2
RUNTIMES = [
    name
    for name, there in (
        ("ai-edge-litert", _has("ai_edge_litert")),
        ("tflite-runtime", _has("tflite_runtime") and NUMPY_1),
    )
    if there
]
every_runtime = pytest.mark.parametrize(
    "runtime",
    [
        pytest.param(name, marks=pytest.mark.skipif(name not in RUNTIMES, reason=f"{name} cannot be used here"))
        for name in ("ai-edge-litert", "tflite-runtime")
    ],
)
needs_a_runtime = pytest.mark.skipif(not RUNTIMES, reason="no model runtime is installed")
needs_litert = pytest.mark.skipif("ai-edge-litert" not in RUNTIMES, reason="ai-edge-litert is not installed")
