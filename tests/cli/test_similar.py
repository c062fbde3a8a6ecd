"""`edge-receiver similar`: by place, by content, by a sealed file; and what is said where there is nothing to compare."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.catalogue import Catalogue
from edge.envelope import sign
from edge.records import FeatureNetworkName, FeatureVector
from tests.cli.desk import Desk
from tests.envelope import party

NOW = "2026-11-28T00:00:00+00:00"
MODEL = b"m" * 32


@pytest.fixture
def store(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of four images: two alike, one unlike, one without features."""
    monkeypatch.setenv("EDGE_RECEIVER_RECEIVER_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("EDGE_RECEIVER_RECEIVER_STATE", str(tmp_path / "state"))
    folder = tmp_path / "store" / "device-1"
    folder.mkdir(parents=True)
    with Catalogue.open(tmp_path / "state" / "catalogue.sqlite") as catalogue:
        for name, vector in (("one", (3, 4)), ("two", (4, 3)), ("far", (-3, -4)), ("bare", None)):
            (folder / f"{name}.png").write_bytes(name.encode())
            record(catalogue, name, vector)
    return tmp_path / "store"


def record(catalogue: Catalogue, name: str, starts: tuple[int, ...] | None, model: bytes = MODEL) -> None:
    sealed = party.sealed(name.encode(), label=name)
    manifest, _ = party.split(sealed)
    _, metadata = party.opened(sealed)
    features = None
    if starts is not None:
        values = np.array([*starts, *[0] * (1000 - len(starts))], np.int8).tobytes()
        features = FeatureVector(values, FeatureNetworkName.VGG16, model, "profile")
    envelope = sign.read_manifest(manifest)
    image = (envelope, replace(metadata, features=features), f"device-1/{name}.png")
    catalogue.record_stored([image], received_at=NOW)


def test_the_most_similar_images_come_first_without_the_image_itself(desk: Desk, store: Path) -> None:
    code, out, err = desk.receiver("similar", store / "device-1" / "one.png")
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0].split() == ["ALIKE", "IMAGE", "TAKEN", "KIND"]
    assert [line.split()[:2] for line in lines[1:]] == [["0.960", "device-1/two.png"], ["-1.000", "device-1/far.png"]]
    code, out, _ = desk.receiver("similar", store / "device-1" / "one.png", "-n", "1", "--json")
    [found] = json.loads(out)
    assert (code, found["path"], found["device"], found["similarity"]) == (0, "device-1/two.png", "device-1", 0.96)


def test_a_copy_elsewhere_is_known_by_its_content(desk: Desk, store: Path, tmp_path: Path) -> None:
    shutil.copy(store / "device-1" / "two.png", tmp_path / "copy-of-it.png")
    code, out, _ = desk.receiver("similar", tmp_path / "copy-of-it.png", "-n", "1")
    assert code == 0
    assert "device-1/one.png" in out


def test_an_image_in_pixels_is_known_by_its_place(desk: Desk, store: Path) -> None:
    # What lies in the store is then another file than the scanner's, whose hash the catalogue has.
    (store / "device-1" / "one.png").write_bytes(b"encoded anew")
    code, out, _ = desk.receiver("similar", store / "device-1" / "one.png", "-n", "1")
    assert (code, "device-1/two.png" in out) == (0, True)


def test_a_sealed_file_is_compared_by_what_it_carries(desk: Desk, store: Path, tmp_path: Path) -> None:
    Image.linear_gradient("L").save(tmp_path / "scan.png")
    assert desk.encrypt(tmp_path / "scan.png", "-o", tmp_path, "--map", "hyperlorenz-dna")[0] == 0
    sealed = tmp_path / "scan.png.sealed"
    described = json.loads(desk.receiver("inspect", sealed, "--json")[1])["image"]
    assert (described["feature_network"], described["parameters_from"]) == ("vgg16", "network")
    code, out, err = desk.receiver("similar", sealed)
    # Features of another network are not compared: nothing here was made by the one that ships.
    assert (code, len(out.splitlines())) == (0, 1), err
    spooled = tmp_path / "scan.spooled"
    spooled.write_bytes(sealed.read_bytes() + b'{"relative": "scan.png"}')
    assert desk.receiver("similar", spooled) == (code, out, err)


def test_what_cannot_be_compared_is_said(desk: Desk, store: Path, tmp_path: Path) -> None:
    (tmp_path / "unknown.png").write_bytes(b"never delivered")
    Image.linear_gradient("L").save(tmp_path / "plain.png")
    assert desk.encrypt(tmp_path / "plain.png", "-o", tmp_path)[0] == 0
    for file, said in (
        (store / "device-1" / "bare.png", "holds no features of this image"),
        (tmp_path / "unknown.png", "does not know this image"),
        (tmp_path / "missing.png", "does not exist"),
        (tmp_path / "plain.png.sealed", "carries no features"),
    ):
        code, out, err = desk.receiver("similar", file)
        assert (code, out) == (2, "")
        assert said in err


def test_before_anything_was_delivered_that_is_said(desk: Desk, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("EDGE_RECEIVER_RECEIVER_STATE", str(tmp_path / "nowhere"))
    (tmp_path / "scan.png").write_bytes(b"x")
    code, _, err = desk.receiver("similar", tmp_path / "scan.png")
    assert code == 9
    assert "no catalogue yet" in err
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("number", ["0", "-1", "1001", "five", "²"])
def test_another_number_is_refused(desk: Desk, store: Path, number: str) -> None:
    with pytest.raises(SystemExit) as caught:
        desk.receiver("similar", store / "device-1" / "one.png", "-n", number)
    assert caught.value.code == 2
