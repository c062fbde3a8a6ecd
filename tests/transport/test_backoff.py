"""The delays between attempts to connect."""

from __future__ import annotations

import random

from edge.transport.backoff import Backoff


def test_delays_double_up_to_the_longest_and_fall_back_after_a_steady_connection() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 1.0)
    assert [backoff.after(steady=False) for _ in range(7)] == [4, 8, 16, 32, 60, 60, 60]
    assert [backoff.after(steady=True), backoff.after(steady=False)] == [2, 4]


def test_no_number_of_failures_is_too_large() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 1.0)
    assert {backoff.after(steady=False) for _ in range(10_000)} == {4, 8, 16, 32, 60}


def test_no_delay_is_shorter_than_the_shortest() -> None:
    backoff = Backoff(1.0, 60.0, lambda: 0.0)
    assert {backoff.after(steady=steady) for steady in (True, False) * 50} == {1.0}


def test_devices_cut_off_together_do_not_come_back_together() -> None:
    chance = random.Random(1)
    fleet = [Backoff(1.0, 60.0, chance.random) for _ in range(1000)]
    for _ in range(9):
        for device in fleet:
            device.after(steady=False)
    seconds = [int(device.after(steady=False)) for device in fleet]
    assert max(seconds.count(second) for second in range(61)) < 40
    assert all(second in seconds for second in range(1, 60))
