"""The cap on bandwidth: over any time no more than the cap and one message."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edge.transfer.pace import Pace
from tests.world import Clock


@given(
    rate=st.integers(8_000, 1_000_000),
    sizes=st.lists(st.integers(1, 1 << 20), min_size=1, max_size=30),
    pauses=st.lists(st.floats(0, 10), min_size=30, max_size=30),
)
def test_over_any_time_no_more_goes_out_than_the_cap_and_one_message(
    rate: int, sizes: list[int], pauses: list[float]
) -> None:
    clock = Clock()
    pace = Pace(rate, clock)
    sent: list[tuple[float, int]] = []
    for size, pause in zip(sizes, pauses, strict=False):
        clock.tick(pause)
        clock.tick(pace.wait())
        pace.spend(size)
        sent.append((clock(), size))
    for first in range(len(sent)):
        for last in range(first, len(sent)):
            seconds = sent[last][0] - sent[first][0]
            before_the_last = sum(size for _, size in sent[first:last])
            assert before_the_last <= rate * seconds + 1


def test_without_a_cap_nothing_waits() -> None:
    pace = Pace(0, Clock())
    pace.spend(1 << 30)
    assert pace.wait() == 0


def test_what_was_not_sent_is_not_saved_up() -> None:
    clock = Clock()
    pace = Pace(10_000, clock)
    clock.tick(3600)
    pace.spend(20_000)
    assert pace.wait() == 2
