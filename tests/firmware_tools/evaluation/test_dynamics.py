"""Exponents are those that theory and the literature give, and cycles are found where they are."""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np
import pytest

from edge.chaos.parameters import parameters_from_secret
from edge.records import ChaosParameters, MapName
from firmware_tools.evaluation import dynamics
from firmware_tools.evaluation.ways import ways

SECRET = bytes(range(32))
MOMENT = datetime(2026, 11, 21, 9, 30, 0)


def test_the_logistic_exponent_is_that_of_theory() -> None:
    assert dynamics.logistic_exponent(4 - 2.0**-33) == pytest.approx(math.log(2), abs=2e-3)
    # Of the cycle of two at r = 3.2: half the logarithm of its multiplier 4 + 2 r - r^2.
    assert dynamics.logistic_exponent(3.2) == pytest.approx(math.log(abs(4 + 2 * 3.2 - 3.2**2)) / 2, abs=1e-3)


def test_a_chaotic_flow_grows_one_way_stands_still_along_itself_and_shrinks_as_it_must() -> None:
    found = dynamics.spectrum("lorenz", parameters_from_secret(MapName.LORENZ, SECRET))
    first, second, third = found.exponents
    assert 0.8 < first < 1.3
    assert second == pytest.approx(0, abs=0.02)
    assert third < -10
    assert sum(found.exponents) == pytest.approx(found.divergence, abs=0.1)


def test_the_published_lorenz_system_has_its_published_exponent() -> None:
    parameters = ChaosParameters(MapName.LORENZ, (10.0, 28.0, 8 / 3), "secret")
    # 0.9056: Sprott 2003, Chaos and Time-Series Analysis; the step here is far from small.
    assert dynamics.spectrum("lorenz", parameters).exponents[0] == pytest.approx(0.9056, abs=0.03)


def test_the_system_of_cipher_b_is_hyperchaotic() -> None:
    found = dynamics.spectrum("hyper", parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET))
    assert found.exponents[1] > 0.1
    assert found.exponents[2] == pytest.approx(0, abs=0.02)
    assert sum(found.exponents) == pytest.approx(found.divergence, abs=0.2)


def test_no_parameter_of_a_range_is_regular() -> None:
    found = list(dynamics.ranges(points=300))
    assert [each.map for each in found] == ["logistic", "lorenz"]
    assert all(0.5 < each.least <= each.most < 2 for each in found)


def test_cycles_of_few_bits_are_those_of_the_whole_graph() -> None:
    r, bits = 3.99, 10
    met = set(dynamics.rounded_cycles(r, bits).lengths) - {0}
    step = [round(r * x / 1024 * (1 - x / 1024) * 1024) for x in range(1025)]
    lengths = set()
    for start in range(1025):
        x = start
        for _ in range(1025):
            x = step[x]
        first, length = x, 1
        while (x := step[x]) != first:
            length += 1
        lengths.add(length)
    assert met
    assert met <= lengths


def test_an_orbit_in_double_precision_repeats_where_the_map_has_a_stable_cycle() -> None:
    assert dynamics.machine_cycles(3.5, 2, limit=1 << 12).lengths == (4, 4)
    assert dynamics.machine_cycles(3.99, 1, limit=1 << 12).lengths == (0,)
    assert math.isnan(dynamics.machine_cycles(3.99, 1, limit=1 << 12).median)


@pytest.mark.parametrize("name", ["logistic bare", "lorenz bare", "hyperlorenz-dna wide"])
def test_no_lane_repeats(name: str) -> None:
    [way] = [way for way in ways() if way.name == name]
    parameters = way.key(np.zeros((64, 64), np.uint8), MOMENT).parameters
    assert parameters is not None
    assert dynamics.lane_repeats(name, parameters, lanes=256).repeating == 0


def test_a_lane_that_repeats_is_seen() -> None:
    # In a periodic window every lane falls into the window's cycle: the test of lanes must see that.
    periodic = ChaosParameters(MapName.LOGISTIC, (2 * 3.83 - 4.0,), "secret")
    assert dynamics.lane_repeats("window", periodic, lanes=256).repeating > 200


def test_an_orbit_stays_on_its_attractor() -> None:
    points = dynamics.orbit(dynamics.lorenz(10.0, 28.0, 8 / 3), (1.0, 1.0, 27.0), steps=2000)
    assert points.shape == (2000, 3)
    assert 0 < points[:, 2].min() < points[:, 2].max() < 60
