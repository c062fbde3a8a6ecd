import itertools
from hashlib import shake_256

import numpy as np
import pytest

from edge.chaos.maps import BURN_IN, STEP, LogisticLanes, LorenzLanes
from edge.chaos.parameters import BOXES
from edge.records import MapName

LOGISTIC_CORNERS = [*BOXES[MapName.LOGISTIC][0], 3.99995]
LORENZ_CORNERS = [*itertools.product(*BOXES[MapName.LORENZ]), (10.0, 36.0, 2.75)]


def seed(kind, lanes, label=b""):
    return shake_256(b"test" + label).digest(lanes * kind.seed_bytes)


@pytest.mark.parametrize("r", LOGISTIC_CORNERS)
def test_the_logistic_map_is_chaotic_and_never_leaves_its_interval(r):
    lanes = LogisticLanes(seed(LogisticLanes, 256), (r,))
    exponent = np.zeros((1, 256))
    for _ in range(2000):
        exponent += np.log(np.abs(lanes._parameters - 2 * lanes._state))
        lanes._advance(1)
        assert lanes._state.min() > 0
        assert (lanes._state < lanes._parameters).all()
    assert (exponent / 2000).min() > 0.3


def test_every_logistic_lane_has_its_own_parameter_around_the_images():
    lanes = LogisticLanes(seed(LogisticLanes, 1024), (3.99995,))
    low, high = BOXES[MapName.LOGISTIC][0]
    assert len(np.unique(lanes._parameters)) == 1024
    assert low <= lanes._parameters.min() < 3.99995 < lanes._parameters.max() <= high
    assert np.abs(lanes._parameters - 3.99995).max() <= (high - low) / 2


def test_no_logistic_lane_is_periodic_within_its_steps():
    lanes = LogisticLanes(seed(LogisticLanes, 1024), (BOXES[MapName.LOGISTIC][0][0],))
    mark, renew = lanes._state.copy(), 1
    for step in range(1, 4097):
        lanes._advance(1)
        assert not (lanes._state == mark).any()
        if step == renew:
            mark, renew = lanes._state.copy(), renew * 2


@pytest.mark.parametrize("corner", LORENZ_CORNERS)
def test_the_lorenz_map_is_chaotic_and_stays_bounded(corner):
    lanes = LorenzLanes(seed(LorenzLanes, 32), corner)
    lanes._parameters[...] = np.array(corner)[:, None]
    near = LorenzLanes(seed(LorenzLanes, 32), corner)
    near._parameters[...] = lanes._parameters
    for _ in range(320):
        lanes._advance(1)
    near._state[...] = lanes._state + 1e-7 / np.sqrt(3)
    exponent = np.zeros(32)
    steps = 3200
    for step in range(1, steps + 1):
        lanes._advance(1)
        near._advance(1)
        if step % 8 == 0:
            apart = near._state - lanes._state
            distance = np.sqrt((apart * apart).sum(axis=0))
            exponent += np.log(distance / 1e-7)
            near._state[...] = lanes._state + apart * (1e-7 / distance)
        assert np.abs(lanes._state).max() < 100
    assert (exponent / (steps * STEP)).min() > 0.5


@pytest.mark.parametrize("kind", [LogisticLanes, LorenzLanes])
def test_the_words_are_uniform_from_the_first_step_on(kind):
    corner = (3.99995,) if kind is LogisticLanes else (10.0, 36.0, 2.75)
    pieces = kind(seed(kind, 4096), corner).words()
    words = np.concatenate([next(pieces).copy() for _ in range(48)])
    for place in range(4):
        counts = np.bincount(words.view(np.uint8)[place::4], minlength=256)
        chi_square = ((counts - len(words) / 256) ** 2 / (len(words) / 256)).sum()
        # 255 degrees of freedom: six standard deviations are 135.
        assert chi_square < 390


def test_no_difference_of_lorenz_words_along_a_lane_betrays_the_next():
    """At a step of 2^-8 this fails from the third difference on, with values above 100,000."""
    pieces = LorenzLanes(seed(LorenzLanes, 4096), (10.0, 36.0, 2.75)).words()
    words = np.stack([next(pieces).copy() for _ in range(16)])
    for _ in range(8):
        words = words[1:] - words[:-1]
        counts = np.bincount((words >> 24).reshape(-1), minlength=256)
        assert ((counts - words.size / 256) ** 2 / (words.size / 256)).sum() < 400


def test_burn_in_steps_are_taken():
    assert BURN_IN == 16
    raw = seed(LogisticLanes, 1)
    lanes = LogisticLanes(raw, (3.99995,))
    y, r = 1.0 + int.from_bytes(raw[:4], "little") * 2.0**-32, float(lanes._parameters[0, 0])
    for _ in range(BURN_IN + 1):
        y = y * (r - y)
    assert float(lanes.first()[0]) == y
