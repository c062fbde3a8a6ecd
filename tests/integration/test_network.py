"""A device, a receiver and a real mosquitto over a network that is slow, forgets connections, is narrow or denies."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edge.transfer.send import ALARM_DENIED, ALARM_UNANSWERED
from edge.transport.mqtt import MqttTransport
from tests.brokers import Mosquitto, Proxy
from tests.transport.worlds import settings
from tests.world import DEVICE, Hospital, RunningDaemon, RunningReceiver, Site, png, until

pytestmark = pytest.mark.mosquitto

MEGABIT = 125_000
OPEN = "topic readwrite edge/#\n"
# What is denied, and over which version of MQTT. 5 says so to who publishes; 3.1.1 acknowledges what it keeps back.
DENIED = {
    "offers": ("5", "topic deny edge/v1/offer/#\n"),
    "chunks": ("3.1.1", "topic deny edge/v1/rx/#\n"),
    "wants and receipts": ("3.1.1", "topic deny edge/v1/dev/#\n"),
}
UNHURRIED = {"transfer.offer_first": 10.0, "transfer.offer_max": 300.0}


def connection(url: str, **changes: object) -> MqttTransport:
    return MqttTransport(settings(url, **changes))


def status_of(url: str, identity: str) -> dict[str, object]:
    """Return the retained status of a device or a receiver."""
    ear = connection(url)
    ear.subscribe(f"edge/v1/status/{identity}")
    ear.start()
    try:
        message = ear.receive(10)
        assert message is not None
        status: dict[str, object] = json.loads(message.payload)
        return status
    finally:
        ear.stop()


# --- limits ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
def test_images_cross_a_broker_of_narrow_limits(site: Site, hospital: Hospital, tmp_path: Path, protocol: str) -> None:
    # One of MQTT 3.1.1 cannot name its limits: it hangs up on each chunk that is too large.
    images = {f"{number}.png": png(str(number), 700_000) for number in range(2)}
    for name, data in images.items():
        site.scan(name, data)
    limits = ["max_packet_size 131072", "max_inflight_messages 10"]
    with Mosquitto(tmp_path / "broker", options=limits) as broker:
        device = connection(broker.url, protocol=protocol, window=20)
        with RunningReceiver(hospital, connection(broker.url, protocol=protocol)), RunningDaemon(site, device):
            until(lambda: hospital.contents() == sorted(images.values()))
            until(lambda: not site.spooled())
    if protocol == "5":
        assert device.generation == 1
    assert device.counts.faults == 0


# --- a slow uplink --------------------------------------------------------------------------------------------------


def _cross_slowly(
    site: Site, hospital: Hospital, folder: Path, *, images: dict[str, bytes], rate: int, patience: float
) -> int:
    """Carry images over an uplink of so many bytes a second, and return how many bytes went over it."""
    for name, data in images.items():
        site.scan(name, data)
    with Mosquitto(folder / "broker") as broker, Proxy(broker.port, bytes_per_second=rate) as uplink:
        device = connection(uplink.url, keepalive=30)
        with RunningReceiver(hospital, connection(broker.url)), RunningDaemon(site, device):
            until(lambda: hospital.contents() == sorted(images.values()), seconds=patience)
            until(lambda: not site.spooled())
            assert device.generation == 1
            return uplink.forwarded


def test_images_cross_an_uplink_of_one_megabit(site: Site, hospital: Hospital, tmp_path: Path) -> None:
    site.settings = {**UNHURRIED, "transfer.chunk_size": 32_768}
    # Shorter than the pauses between the chunks of an image: what is on its way must not be asked for again and again.
    hospital.settings = {"transfer.stall": 0.4}
    images = {f"{number}.png": png(str(number), 150_000) for number in range(2)}
    went = _cross_slowly(site, hospital, tmp_path, images=images, rate=MEGABIT, patience=30)
    assert went < 1.5 * 300_000


@pytest.mark.faults
@pytest.mark.timeout(300)
@pytest.mark.parametrize("rate", [MEGABIT, MEGABIT // 2])
def test_images_cross_a_slow_uplink_with_hardly_a_chunk_sent_twice(
    site: Site, hospital: Hospital, tmp_path: Path, rate: int
) -> None:
    site.settings = UNHURRIED
    hospital.settings = {"transfer.stall": 10.0}
    images = {f"{number}.png": png(str(number), 700_000) for number in range(4)}
    went = _cross_slowly(site, hospital, tmp_path, images=images, rate=rate, patience=280)
    assert went < 1.1 * 2_800_000


@pytest.mark.faults
@pytest.mark.timeout(300)
def test_a_link_on_which_a_chunk_takes_longer_than_the_keep_alive_gets_smaller_chunks(
    site: Site, hospital: Hospital, tmp_path: Path
) -> None:
    site.settings = UNHURRIED
    hospital.settings = {"transfer.stall": 10.0}
    image = png("a", 400_000)
    site.scan("a.png", image)
    with Mosquitto(tmp_path / "broker") as broker, Proxy(broker.port, bytes_per_second=20_000) as uplink:
        device = connection(uplink.url, keepalive=2)
        with RunningReceiver(hospital, connection(broker.url)), RunningDaemon(site, device):
            until(lambda: hospital.contents() == [image], seconds=240)
            until(lambda: not site.spooled())


# --- half-open connections ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("end", ["device", "receiver"])
def test_a_connection_that_died_in_silence_is_replaced(
    site: Site, hospital: Hospital, tmp_path: Path, end: str
) -> None:
    image = png("a", 3_000_000)
    site.scan("a.png", image)
    with Mosquitto(tmp_path / "broker") as broker, Proxy(broker.port, bytes_per_second=2_000_000) as way:
        urls = {"device": broker.url, "receiver": broker.url, end: way.url}
        device = connection(urls["device"], keepalive=1)
        receiver = connection(urls["receiver"], keepalive=1)
        with RunningReceiver(hospital, receiver) as running, RunningDaemon(site, device):
            until(lambda: running._loop.counts.chunks >= 2)
            way.bury()
            assert device.connected
            assert receiver.connected
            until(lambda: hospital.contents() == [image])
            until(lambda: not site.spooled())
            assert {"device": device, "receiver": receiver}[end].generation == 2
            # The broker gave the old connection's will to the public; what stands is the new one's word.
            identity = {"device": DEVICE, "receiver": hospital.name}[end]
            until(lambda: status_of(broker.url, identity)["state"] == "online")


# --- access lists ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("what", DENIED)
def test_an_access_list_that_denies_in_silence_costs_no_image_and_is_named(
    site: Site, hospital: Hospital, tmp_path: Path, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    protocol, denial = DENIED[what]
    image = png("a", 400_000)
    path = site.scan("a.png", image)
    site.settings = {"watch.original": "delete", "transfer.offer_first": 0.05, "transfer.offer_max": 0.2}
    with Mosquitto(tmp_path / "broker", acl=denial + OPEN) as broker:
        device = connection(broker.url, protocol=protocol)
        with RunningReceiver(hospital, connection(broker.url, protocol=protocol)), RunningDaemon(site, device):
            until(lambda: ALARM_UNANSWERED in caplog.text)
            until(lambda: ALARM_UNANSWERED in status_of(broker.url, DEVICE)["alarms"])  # type: ignore[operator]
            assert (ALARM_DENIED in caplog.text) == (protocol == "5")
            assert path.read_bytes() == image
            assert len(site.spooled()) == 1
            assert hospital.contents() == []
            broker.correct(OPEN)
            until(lambda: hospital.contents() == [image])
            until(lambda: not path.exists())
            until(lambda: status_of(broker.url, DEVICE)["alarms"] == [])


# --- two of one name ------------------------------------------------------------------------------------------------


def test_two_devices_of_one_identity_both_deliver(site: Site, hospital: Hospital, tmp_path: Path) -> None:
    # A memory card was copied: the same id, the same key, other scans.
    copy = Site(tmp_path / "copy")
    images = {"a.png": png("a", 300_000), "b.png": png("b", 300_000)}
    site.scan("a.png", images["a.png"])
    copy.scan("b.png", images["b.png"])
    with Mosquitto(tmp_path / "broker") as broker:
        first, second = connection(broker.url), connection(broker.url)
        with (
            RunningReceiver(hospital, connection(broker.url)),
            RunningDaemon(site, first),
            RunningDaemon(copy, second),
        ):
            until(lambda: hospital.contents() == sorted(images.values()))
            until(lambda: not site.spooled() and not copy.spooled())
        assert (first.generation, second.generation) == (1, 1)


def test_two_receivers_that_claim_one_image_store_it_once(site: Site, hospital: Hospital, tmp_path: Path) -> None:
    # One identity, one store, and no group: each hears every offer and every chunk.
    other = Hospital(tmp_path / "other", settings={"receiver.store": hospital.store})
    images = {f"{number}.png": png(str(number), 500_000) for number in range(3)}
    with Mosquitto(tmp_path / "broker") as broker:
        with (
            RunningReceiver(hospital, connection(broker.url)) as one,
            RunningReceiver(other, connection(broker.url)) as two,
            RunningDaemon(site, connection(broker.url)),
        ):
            for name, data in images.items():
                site.scan(name, data)
            until(lambda: one.counts.stored == two.counts.stored == len(images))
            until(lambda: not site.spooled())
        assert hospital.contents() == sorted(images.values())
