"""Clocks that were never set, jump by years, or disagree: no image is lost, none comes late, and the state says so."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import piexif
import pytest
from PIL import Image

from edge.clock import ALARM_CLOCK, WallClock
from edge.transport.memory import MemoryBroker, MemoryTransport
from tests.world import (
    DEVICE,
    Clock,
    Hospital,
    RunningDaemon,
    RunningReceiver,
    Site,
    UnhurriedTransport,
    connected,
    png,
    until,
)

YEAR = 365 * 86_400.0
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC).timestamp()
UNSET = 60.0  # seconds after 1970 began
WRONG = (ALARM_CLOCK,)


class TimeOfDay:
    """A clock that shows what it is told to, and goes on with the monotonic one beside it."""

    def __init__(self, shown: float) -> None:
        self.monotonic = Clock()
        self._ahead = shown - self.monotonic()

    def __call__(self) -> float:
        return self.monotonic() + self._ahead

    def jump(self, seconds: float) -> None:
        self._ahead += seconds


@pytest.fixture
def time_of_day() -> TimeOfDay:
    return TimeOfDay(NOW)


def wall(time_of_day: TimeOfDay) -> WallClock:
    return WallClock(now=time_of_day, monotonic=time_of_day.monotonic)


def jpeg(taken: str) -> bytes:
    """Return a JPEG that says when it was taken."""
    buffer = io.BytesIO()
    block = piexif.dump({"Exif": {piexif.ExifIFD.DateTimeOriginal: taken.encode()}})
    Image.new("L", (16, 16)).save(buffer, "JPEG", exif=block)
    return buffer.getvalue()


# --- the clock ------------------------------------------------------------------------------------------------------


def test_a_clock_that_goes_on_is_no_alarm(time_of_day: TimeOfDay) -> None:
    clock = wall(time_of_day)
    for _ in range(400):
        assert clock.alarms() == ()
        time_of_day.monotonic.tick(86_400)
    assert clock.timestamp("seconds") == "2028-01-02T12:00:00+00:00"


@pytest.mark.parametrize("shown", [-1e12, -1.0, 0.0, UNSET, 1.5e9])
def test_a_clock_that_was_never_set_is_an_alarm_until_it_is(shown: float) -> None:
    time_of_day = TimeOfDay(shown)
    clock = wall(time_of_day)
    assert clock.alarms() == WRONG
    assert 0 <= clock.seconds() <= 1.5e9
    # Whatever an image says of its time, such a clock cannot call it the future.
    assert clock.latest().year == 9999
    time_of_day.jump(NOW - shown)
    assert clock.alarms() == ()
    assert clock.latest() == clock.moment()


@pytest.mark.parametrize("years", [30, 3, -3, 1000, 1e6, -1e6])
def test_a_jump_by_years_is_an_alarm_until_it_is_taken_back(time_of_day: TimeOfDay, years: float) -> None:
    clock = wall(time_of_day)
    assert clock.alarms() == ()
    time_of_day.jump(years * YEAR)
    assert clock.alarms() == WRONG
    time_of_day.monotonic.tick(3600)
    assert clock.alarms() == WRONG
    assert 1970 <= clock.moment().year <= 9999
    assert clock.latest() >= datetime.fromtimestamp(NOW + 3600, UTC)
    time_of_day.jump(-years * YEAR)
    assert clock.alarms() == ()


def test_a_correction_by_hours_is_no_alarm(time_of_day: TimeOfDay) -> None:
    clock = wall(time_of_day)
    assert clock.alarms() == ()
    time_of_day.jump(-7200)
    assert clock.alarms() == ()


def test_what_a_receiver_confirms_tells_which_time_is_right(time_of_day: TimeOfDay) -> None:
    time_of_day.jump(-3 * YEAR)
    clock = wall(time_of_day)
    assert clock.alarms() == ()  # nothing tells that it is wrong
    clock.confirm(int(NOW))
    assert clock.alarms() == WRONG
    assert clock.latest() == datetime.fromtimestamp(NOW, UTC)
    time_of_day.jump(3 * YEAR)  # the administrator sets it
    assert clock.alarms() == ()


def test_a_receiver_whose_own_clock_was_never_set_confirms_nothing(time_of_day: TimeOfDay) -> None:
    clock = wall(time_of_day)
    clock.confirm(int(UNSET))
    assert clock.alarms() == ()


# --- the whole way --------------------------------------------------------------------------------------------------


@pytest.fixture
def ear(broker: MemoryBroker) -> Iterator[UnhurriedTransport]:
    """Who listens to the device's status."""
    ear = connected(broker, f"edge/v1/status/{DEVICE}")
    yield ear
    ear.stop()


def alarms_heard(ear: UnhurriedTransport) -> list[list[str]]:
    found = []
    while (message := ear.receive(0)) is not None:
        found.append(json.loads(message.payload)["alarms"])
    return found


@pytest.mark.parametrize("shown", [-YEAR, UNSET, NOW - 6 * YEAR, NOW + 70 * YEAR])
def test_a_device_with_a_wrong_clock_delivers_under_the_times_that_images_name(
    site: Site, hospital: Hospital, broker: MemoryBroker, ear: UnhurriedTransport, shown: float
) -> None:
    time_of_day = TimeOfDay(shown)
    site.wall = wall(time_of_day)
    hospital.now = lambda: NOW
    first, second = jpeg("2026:11:27 10:11:12"), jpeg("2026:11:28 07:08:09")
    with RunningReceiver(hospital, MemoryTransport(broker)), RunningDaemon(site, MemoryTransport(broker)):
        if datetime.fromtimestamp(shown, UTC).year == 2020:
            # Nothing tells a clock that is some years late from a right one, until a first receipt comes.
            site.scan("z.png", png("z"))
            until(lambda: len(hospital.files()) == 1)
            until(lambda: not site.spooled())
        site.scan("a.jpg", first)
        until(lambda: hospital.files().get(f"{DEVICE}/2026/11/27/a.jpg") == first)
        until(lambda: not site.spooled())  # the receipt has come, and with it the hospital's time
        site.scan("b.jpg", second)
        until(lambda: hospital.files().get(f"{DEVICE}/2026/11/28/b.jpg") == second)
        until(lambda: not site.spooled())
        until(lambda: [ALARM_CLOCK] in alarms_heard(ear))
    descriptions = [json.loads(row.description) for row in hospital.catalogue()]
    assert all(each["notes"].count("clock-wrong") == 1 for each in descriptions if each["name"] == "b.jpg")


def test_a_clock_that_jumps_by_years_breaks_neither_order_nor_delivery(
    site: Site, hospital: Hospital, broker: MemoryBroker, tmp_path: Path
) -> None:
    time_of_day = TimeOfDay(NOW)
    site.wall = wall(time_of_day)
    site.settings = {"watch.original": "move", "watch.move_to": tmp_path / "done", "transfer.outstanding": 1}
    names = [f"{number}.png" for number in range(6)]
    with RunningDaemon(site, MemoryTransport(broker)) as daemon:
        for name, years in zip(names, (0, -50, 100, -300, 250, 0), strict=True):
            time_of_day.jump(years * YEAR)
            site.scan(name, png(name))
            until(lambda: sum(entry.image_id is not None for entry in site.ledger()) > names.index(name))  # noqa: B023
        assert daemon.alive
    # Listed, sealed and sent in the order in which they came, whatever the clock said.
    assert [entry.relative for entry in site.ledger()] == names
    assert [entry.sequence for entry in site.ledger()] == [1, 2, 3, 4, 5, 6]
    clocks = iter((-YEAR, NOW + 80 * YEAR, UNSET, NOW))
    hospital.now = lambda: next(clocks, NOW)  # the hospital's clock is no better
    with RunningReceiver(hospital, MemoryTransport(broker)):
        assert site.run_once(broker).all_arrived
    assert [json.loads(row.description)["name"] for row in hospital.catalogue()] == names
    assert sorted(hospital.contents()) == sorted(png(name) for name in names)
    assert sorted(path.name for path in (tmp_path / "done").iterdir()) == names
