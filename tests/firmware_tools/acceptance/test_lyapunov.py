"""Lyapunov exponents against what is known: ln 2 at r = 4, negative in windows, 0.906 for the classical Lorenz system."""

import math

import numpy as np
import pytest

from edge.chaos.parameters import BOXES, settles
from edge.records import MapName
from firmware_tools.acceptance import lyapunov


def test_the_logistic_map_near_4_has_ln_2():
    [exponent] = lyapunov.logistic(np.array([4 - 2.0**-30]), steps=20_000)
    assert exponent == pytest.approx(math.log(2), abs=0.02)


@pytest.mark.parametrize(("r", "expected"), [(3.2, -0.9163), (3.5, -0.8725), (2.0, -30)])
def test_the_logistic_map_in_a_window_is_negative(r, expected):
    [exponent] = lyapunov.logistic(np.array([r]))
    assert exponent < -0.3
    assert exponent == pytest.approx(expected, abs=0.01) or expected == -30


def test_the_two_ways_to_find_a_window_agree():
    r = np.linspace(3.6, 4 - 2.0**-33, 3000)
    found = lyapunov.logistic(r, steps=20_000) < 0.0
    told = np.array([settles(float(each)) for each in r])
    # Near the edge of a window 500 steps do not tell; and 0.4 is a bound for r above 3.9998.
    assert (found & ~told).sum() <= 3


def test_the_classical_lorenz_system_has_its_known_exponent():
    [exponent] = lyapunov.lorenz(np.array([[10.0, 28.0, 8 / 3]]), steps=20_000)
    assert exponent == pytest.approx(0.906, abs=0.03)


def test_a_lorenz_system_at_rest_is_negative():
    [exponent] = lyapunov.lorenz(np.array([[10.0, 15.0, 8 / 3]]))
    assert exponent < 0


def test_the_corners_of_the_lorenz_box_are_chaotic():
    corners = np.array(np.meshgrid(*BOXES[MapName.LORENZ])).reshape(3, -1).T
    assert lyapunov.lorenz(corners).min() > 0.5
    assert lyapunov.lorenz(np.empty((0, 3))).shape == (0,)
