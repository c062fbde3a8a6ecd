"""The frozen vectors: the package, the independent reference and a processor without wide vectors agree on every byte."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.chaos import make_vectors

ROOT = Path(__file__).resolve().parents[2]
FROZEN = json.loads(make_vectors.VECTORS.read_text())


def by_name(vector):
    return vector["name"]


def test_the_vectors_are_the_cases_of_the_script():
    names = [name for name, *_ in (*make_vectors.cases(), *make_vectors.cases_b())]
    assert [v["name"] for v in FROZEN] == names


@pytest.mark.parametrize("vector", FROZEN, ids=by_name)
def test_the_package_reproduces_a_frozen_vector(vector):
    results = make_vectors.expected(*make_vectors.package_results(vector))
    assert {key: vector[key] for key in results} == results


@pytest.mark.parametrize("vector", FROZEN, ids=by_name)
def test_the_reference_reproduces_a_frozen_vector(vector):
    if vector["size"] > 600_000 and vector["map"] == "lorenz":
        pytest.skip("the reference takes seconds for it; make_vectors.py confirmed it")
    results = make_vectors.expected(*make_vectors.reference_results(vector))
    assert {key: vector[key] for key in results} == results


def test_a_processor_without_wide_vectors_makes_the_same_bytes():
    found = np.show_config(mode="dicts")["SIMD Extensions"].get("found", [])
    if not found:
        pytest.skip("NumPy has nothing to switch off on this processor")
    check = [sys.executable, "-W", "ignore", "-m", "tests.chaos.make_vectors", "--check"]
    environment = os.environ | {"NPY_DISABLE_CPU_FEATURES": " ".join(found)}
    result = subprocess.run(check, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
