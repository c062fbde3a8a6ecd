"""The catalogue beyond what the store asks of it: features, similar images, reading beside the receiver."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge.catalogue import Catalogue
from edge.envelope import sign
from edge.errors import LedgerCorrupt, StorageError
from edge.records import FeatureNetworkName, FeatureVector
from tests.envelope import party

NETWORK, OTHER_NETWORK = b"n" * 32, b"o" * 32
NOW = "2026-11-28T00:00:00+00:00"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the catalogue lies."""
    return tmp_path / "state" / "catalogue.sqlite"


@pytest.fixture
def catalogue(path: Path) -> Iterator[Catalogue]:
    """An empty catalogue."""
    with Catalogue.open(path) as catalogue:
        yield catalogue


def features(*starts: int, model: bytes = NETWORK) -> FeatureVector:
    values = np.array([*starts, *[0] * (1000 - len(starts))], np.int8).tobytes()
    return FeatureVector(values, FeatureNetworkName.VGG16, model, "profile")


def deliver(catalogue: Catalogue, label: str, vector: FeatureVector | None, *, content: bytes | None = None) -> str:
    """Record an image, and return its path."""
    sealed = party.sealed(content or label.encode(), label=label)
    manifest, _ = party.split(sealed)
    _, metadata = party.opened(sealed)
    place = f"device-1/{label}.png"
    image = (sign.read_manifest(manifest), replace(metadata, features=vector), place)
    catalogue.record_stored([image], received_at=NOW)
    return place


def alike(catalogue: Catalogue, vector: FeatureVector, count: int = 10) -> list[tuple[str, float]]:
    found = catalogue.similar(vector.values, vector.model_sha256, count)
    return [(each.image.path, round(each.similarity, 3)) for each in found]


def test_features_are_kept_with_the_image(catalogue):
    deliver(catalogue, "with", features(1, 2))
    deliver(catalogue, "without", None)
    found = {image.path: catalogue.features_of(image) for image in catalogue.deliveries()}
    assert found == {
        "device-1/with.png": (features(1, 2).values, NETWORK),
        "device-1/without.png": None,
    }


def test_similar_images_come_in_order_and_no_more_than_are_wanted(catalogue):
    for label, vector in (("c", (0, 1)), ("a", (4, 3)), ("b", (1, 1)), ("d", (-1, 0))):
        deliver(catalogue, label, features(*vector))
    everything = [("device-1/b.png", 0.707), ("device-1/a.png", 0.8), ("device-1/c.png", 0.0), ("device-1/d.png", -1.0)]
    everything.sort(key=lambda each: -each[1])
    assert alike(catalogue, features(1, 0)) == everything
    assert alike(catalogue, features(1, 0), 2) == everything[:2]


def test_features_of_another_network_are_not_compared(catalogue):
    deliver(catalogue, "ours", features(1))
    deliver(catalogue, "theirs", features(1, model=OTHER_NETWORK))
    assert alike(catalogue, features(1)) == [("device-1/ours.png", 1.0)]


def test_an_image_that_was_delivered_twice_is_found_once_at_its_newest_place(catalogue):
    deliver(catalogue, "first", features(1), content=b"same")
    deliver(catalogue, "second", features(1), content=b"same")
    assert alike(catalogue, features(1)) == [("device-1/second.png", 1.0)]
    assert [image.path for image in catalogue.with_content(catalogue.deliveries()[0].sha256)] == [
        "device-1/second.png",
        "device-1/first.png",
    ]


def test_more_images_than_are_compared_at_once(catalogue, monkeypatch):
    monkeypatch.setattr("edge.catalogue._COMPARED", 3)
    for number in range(10):
        deliver(catalogue, f"n{number}", features(10, number))
    assert [place for place, _ in alike(catalogue, features(1, 0), 4)] == [f"device-1/n{n}.png" for n in range(4)]


def test_an_image_is_found_by_its_place(catalogue):
    place = deliver(catalogue, "here", None)
    assert [image.path for image in catalogue.stored_at(place)] == [place]
    assert catalogue.stored_at("device-1/elsewhere.png") == []


def test_a_rejected_image_has_no_place_and_is_similar_to_nothing(catalogue):
    sealed = party.sealed(b"bad", label="bad")
    manifest, _ = party.split(sealed)
    catalogue.record_rejected(sign.read_manifest(manifest), "opening-failed", received_at=NOW)
    assert catalogue.stored_at("") == catalogue.with_content("") == []
    assert alike(catalogue, features(1)) == []


def test_a_catalogue_without_features_of_before_gains_the_table(path):
    with Catalogue.open(path) as catalogue:
        catalogue._connection.execute("DROP TABLE features")
    with Catalogue.open(path) as catalogue:
        deliver(catalogue, "new", features(1))
        assert alike(catalogue, features(1)) == [("device-1/new.png", 1.0)]


def test_it_is_read_beside_the_one_who_writes_it_and_never_written(path, catalogue):
    deliver(catalogue, "a", features(1))
    with Catalogue.open_read_only(path) as reader:
        assert alike(reader, features(1)) == [("device-1/a.png", 1.0)]
        deliver(catalogue, "b", features(1, 1))
        assert len(alike(reader, features(1))) == 2
        with pytest.raises(StorageError):
            deliver(reader, "c", None)


def test_a_missing_and_a_damaged_catalogue_are_named(path):
    with pytest.raises(StorageError, match="no catalogue yet"):
        Catalogue.open_read_only(path)
    path.parent.mkdir()
    path.write_bytes(b"no database at all, but long enough to be one" * 100)
    with pytest.raises(LedgerCorrupt):
        Catalogue.open_read_only(path)


def test_the_catalogue_is_readable_by_its_owner_only(path):
    before = os.umask(0o022)
    try:
        with Catalogue.open(path):
            modes = [stat.S_IMODE(each.stat().st_mode) for each in path.parent.glob("catalogue.sqlite*")]
    finally:
        os.umask(before)
    assert modes
    assert set(modes) == {0o600}


def test_a_catalogue_that_is_only_busy_is_not_called_damaged(path, monkeypatch):
    # Whoever follows the hint for a damaged one moves it aside, and with it all that keeps replays out.
    for reason in ("database is locked", "database or disk is full"):

        def refuse(*_arguments, reason=reason, **_options):
            raise sqlite3.OperationalError(reason)

        monkeypatch.setattr(sqlite3, "connect", refuse)
        with pytest.raises(StorageError) as caught:
            Catalogue.open(path)
        assert caught.value.code == "storage-error"
