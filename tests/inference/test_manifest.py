"""A network's manifest: only the file that it names is read, and only what can be meant is believed."""

import hashlib
import json
import shutil

import pytest

from edge.errors import ModelMissing, ModelRefused
from edge.inference.manifest import manifest_path, models_directory, read_manifest, read_model
from edge.records import FeatureNetworkName, NetworkName
from tests.inference.runtimes import MODELS

EVERY_NAME = (*NetworkName, *FeatureNetworkName)
NAME = NetworkName.MOBILENETV2


@pytest.fixture
def copied(tmp_path):
    """A copy of the smaller network and its manifest, to be damaged."""
    for file in (f"{NAME}.json", f"{NAME}.tflite"):
        shutil.copy(MODELS / file, tmp_path)
    return tmp_path


def changed(folder, **changes):
    path = manifest_path(folder, NAME)
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return folder


def read(folder):
    return read_model(folder, read_manifest(folder, NAME))


# --- what ships -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EVERY_NAME)
def test_the_manifest_names_the_file_that_ships(name):
    assert models_directory() == MODELS
    entry = json.loads(manifest_path(MODELS, name).read_text())
    content = (MODELS / entry["file"]).read_bytes()
    assert read_model(MODELS, read_manifest(MODELS, name)) == content
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert entry["input"]["shape"] == [1, 224, 224, 3]
    assert entry["input"]["dtype"] == "uint8"
    assert entry["input"]["zero_point"] == 0
    assert entry["input"]["scale"] == pytest.approx(1 / 255)


def test_outputs_are_the_bytes_that_the_device_expects():
    for name in NetworkName:
        output = json.loads(manifest_path(MODELS, name).read_text())["output"]
        assert (output["shape"], output["dtype"], output["scale"]) == ([1, 64], "uint8", 1 / 256)
    output = json.loads(manifest_path(MODELS, FeatureNetworkName.VGG16).read_text())["output"]
    assert (output["shape"], output["dtype"], output["scale"], output["zero_point"]) == ([1, 1000], "int8", 1 / 128, 0)


def test_the_feature_network_stays_under_its_size():
    assert (MODELS / "vgg16.tflite").stat().st_size < 20_000_000


@pytest.mark.parametrize("name", EVERY_NAME)
def test_the_manifest_says_where_its_network_comes_from(name):
    training = json.loads(manifest_path(MODELS, name).read_text())["training"]
    assert len(training["commit"].partition("+")[0]) == 40
    assert training["recipe"]["network"] == name.value
    assert {"keras", "numpy", "python"} <= set(training["tools"])


# --- files that are not ours ----------------------------------------------------------------------------------------


def test_a_flipped_bit_is_refused(copied):
    path = copied / f"{NAME}.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match="does not match"):
        read(copied)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0", lambda _: b""])
def test_another_length_is_refused(copied, change):
    path = copied / f"{NAME}.tflite"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelRefused):
        read(copied)


@pytest.mark.parametrize("file", [f"{NAME}.tflite", f"{NAME}.json"])
def test_a_missing_file_is_missing_and_no_path_is_named(copied, file):
    (copied / file).unlink()
    with pytest.raises(ModelMissing) as caught:
        read(copied)
    assert str(copied) not in caught.value.message


@pytest.mark.parametrize("text", ["", "[]", "7", "{", "\xff", "{}", '{"file": "x"}'])
def test_a_malformed_manifest_is_refused(copied, text):
    manifest_path(copied, NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelRefused, match="malformed"):
        read(copied)


@pytest.mark.parametrize("file", ["", ".", "..", "../mobilenetv2.tflite", "/etc/hostname", "a\0b"])
def test_a_file_outside_the_folder_is_refused(copied, file):
    with pytest.raises(ModelRefused, match="malformed"):
        read(changed(copied, file=file))


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": "zz"},
        {"sha256": None},
        {"bytes": "many"},
        {"known_answers": None},
        {"known_answers": {"questions": [], "answers": {}}},
        {"known_answers": {"questions": [{}], "answers": {}}},
        {"known_answers": {"questions": [{}], "answers": {"xnnpack": []}}},
        {"known_answers": {"questions": [{}], "answers": {"xnnpack": ["zz"]}}},
        {"network": "resnet18"},
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused(copied, changes):
    with pytest.raises(ModelRefused):
        read(changed(copied, **changes))


def test_a_giant_manifest_is_refused_unread(copied):
    with manifest_path(copied, NAME).open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelRefused, match="larger"):
        read(copied)
