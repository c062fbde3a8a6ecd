"""The receiver's status says how it is, until it is over."""

from __future__ import annotations

import json

import pytest

from edge.transfer.messages import Topics
from tests.faults.ear import Ear
from tests.transfer.duo import Duo
from tests.world import RECEIVER, UnhurriedTransport, bytes_of, connected

PLAIN = bytes_of("plain", 100_000)


def test_the_status_is_retained_and_ends_with_the_receiver(duo: Duo) -> None:
    receiver = duo.start_receiver()
    duo.step(2)

    def status() -> dict[str, object]:
        message = connected(duo.broker, Topics().status(RECEIVER)).receive(0)
        assert message is not None
        found: dict[str, object] = json.loads(message.payload)
        return found

    assert (status()["state"], status()["role"], status()["id"]) == ("online", "receiver", RECEIVER)
    duo.stop_receiver(receiver)
    assert status()["state"] == "offline"


def test_the_alarm_of_a_full_disk_is_over_once_there_is_room_though_nobody_uses_it_yet(
    duo: Duo, monkeypatch: pytest.MonkeyPatch
) -> None:
    ear = Ear(UnhurriedTransport(duo.broker), RECEIVER)
    receiver = duo.start_receiver()
    duo.spool_image(PLAIN, label="scan")
    with monkeypatch.context() as patch:
        patch.setattr("edge.durable.free_bytes", lambda _path: 1000)
        duo.step_until(lambda: ear.alarms == ["store-full"])
        duo.clock.tick(120)
        receiver.step()
        assert ear.alarms == ["store-full"]
    duo.clock.tick(120)
    receiver.step()  # the device is not stepped: it offers nothing
    assert ear.alarms == []
    assert receiver.counts.stored == 0
