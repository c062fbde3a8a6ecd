"""Kill devices, receivers of a group and the broker at random while images come in: each is stored exactly once."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.faults.company import BROKER, Company
from tests.faults.stage import Launcher
from tests.world import png

pytestmark = pytest.mark.mosquitto


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is done: how many images of which sizes in bytes, how many kills, up to how many seconds apart."""

    images: int
    smallest: int
    largest: int
    kills: int
    apart: float
    patience: float


@pytest.fixture
def company(tmp_path: Path, launcher: Launcher) -> Iterator[Company]:
    """Give a company at work: two devices, three receivers."""
    company = Company(
        tmp_path, launcher, devices=("xray-1", "xray-2"), receivers=("receiver-1", "receiver-2", "receiver-3")
    )
    try:
        company.start_all()
        yield company
    finally:
        company.end()
        shutil.rmtree(tmp_path, ignore_errors=True)


def _every_image_arrives_once(company: Company, size: Size, seed: int) -> None:
    chance = random.Random(seed)
    images = [
        (chance.choice(company.devices), f"{number:03d}.png", _bytes(size, chance)) for number in range(size.images)
    ]
    expected: Counter[str] = Counter()
    deadline = time.monotonic() + size.patience
    for number, (device, name, count) in enumerate(images):
        data = png(f"{seed}-{name}", count)
        expected[hashlib.sha256(data).hexdigest()] += 1
        (company.scans(device) / name).write_bytes(data)
        while company.kills.total() * size.images < size.kills * number:
            _kill_one(company, chance, size.apart)
    # What is left of the kills falls on the end, when the spools run empty.
    while company.kills.total() < size.kills:
        _kill_one(company, chance, size.apart)
    while not company.all_disposed(size.images):
        assert time.monotonic() < deadline, company.states()
        time.sleep(0.1)
    company.stop()

    assert company.stored() == expected, "not every image is stored exactly once"
    assert company.left_over() == []
    company.check_databases()
    company.check_logs()


def _kill_one(company: Company, chance: random.Random, apart: float) -> None:
    time.sleep(chance.uniform(0.05, apart))
    [name] = chance.choices((BROKER, *company.receivers, *company.devices), weights=(2, 3, 3, 3, 4, 4))
    company.kill(name)
    time.sleep(chance.choice((0.0, 0.0, 0.3)))
    company.start(name)


def _bytes(size: Size, chance: random.Random) -> int:
    """Draw a size: small images are as frequent as large ones."""
    return int(size.smallest * (size.largest / size.smallest) ** chance.random())


@pytest.mark.timeout(300)
def test_images_arrive_once_though_everything_is_killed_now_and_then(company: Company) -> None:
    size = Size(images=16, smallest=100_000, largest=1_000_000, kills=8, apart=0.6, patience=200.0)
    _every_image_arrives_once(company, size, seed=1)


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_two_hundred_images_arrive_once_over_a_hundred_kills(company: Company) -> None:
    size = Size(images=200, smallest=100_000, largest=60_000_000, kills=110, apart=4.0, patience=3000.0)
    _every_image_arrives_once(company, size, seed=2)
    assert min(company.kills[name] for name in (BROKER, *company.devices, *company.receivers)) > 0
