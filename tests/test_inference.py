"""The parameter networks that ship: the right file runs, any other is refused, and outputs are those recorded."""

import hashlib
import importlib.util
import json
import os
import platform
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edge import inference
from edge.errors import ModelFailed, ModelMissing, ModelRefused, RuntimeMissing
from edge.inference import ParameterNetwork
from edge.metadata_image import metadata_image
from edge.records import MetadataImage, MetadataRecord, NetworkName

MODELS = Path(__file__).resolve().parent.parent / "models"
IMAGE = metadata_image(MetadataRecord(datetime(2026, 3, 14, 15, 9, 26), "Canon CR-2", 2048, 1536, 3_145_728))

both_networks = pytest.mark.parametrize("name", list(NetworkName))
needs_litert = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="ai-edge-litert is not installed"
)
needs_tflite = pytest.mark.skipif(
    importlib.util.find_spec("tflite_runtime") is None or int(np.__version__.split(".")[0]) > 1,
    reason="tflite-runtime is not installed, or NumPy is not below 2",
)
needs_a_runtime = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None and importlib.util.find_spec("tflite_runtime") is None,
    reason="no model runtime is installed",
)


@pytest.fixture(scope="module")
def manifest():
    return json.loads((MODELS / "manifest.json").read_text())


@pytest.fixture
def copied(tmp_path):
    """A copy of the smaller network and the manifest, to be damaged."""
    for file in ("manifest.json", "mobilenetv2.tflite"):
        shutil.copy(MODELS / file, tmp_path)
    return tmp_path


def _change_manifest(folder, **changes):
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["mobilenetv2"] |= changes
    path.write_text(json.dumps(manifest))


def _load(folder):
    return ParameterNetwork.load(NetworkName.MOBILENETV2, directory=folder)


# --- what ships -----------------------------------------------------------------------------------------------------


@both_networks
def test_manifest_names_the_file_that_ships(name, manifest):
    entry = manifest[name.value]
    content = (MODELS / entry["file"]).read_bytes()
    assert (len(content), hashlib.sha256(content).hexdigest()) == (entry["bytes"], entry["sha256"])
    assert entry["input"]["shape"] == [1, 224, 224, 3]
    assert entry["output"]["shape"] == [1, 16]
    assert entry["input"]["dtype"] == entry["output"]["dtype"] == "uint8"
    assert entry["input"]["zero_point"] == 0
    assert entry["input"]["scale"] == pytest.approx(1 / 255)


@needs_a_runtime
@both_networks
def test_outputs_name_what_produced_them(name, manifest):
    network = ParameterNetwork.load(name)
    outputs = network.outputs(IMAGE)
    assert len(outputs.values) == 16
    assert outputs.network is network.name is name
    assert outputs.model_sha256 == network.model_sha256 == bytes.fromhex(manifest[name.value]["sha256"])
    assert outputs.profile == network.profile
    assert network.profile.endswith(f"/{platform.machine()}")


@needs_a_runtime
@both_networks
def test_known_answers_under_the_recorded_profile(name, manifest):
    entry = manifest[name.value]
    network = ParameterNetwork.load(name)
    if network.profile != entry["profile"]:
        pytest.skip(f"known answers are recorded for {entry['profile']}, this is {network.profile}")
    for known in entry["known_answers"]:
        record = MetadataRecord(
            datetime.fromisoformat(known["moment"]), known["camera"], known["width"], known["height"], known["size"]
        )
        assert network.outputs(metadata_image(record)).values.hex() == known["outputs"]


@needs_a_runtime
@both_networks
def test_neighbouring_seconds_give_different_outputs(name):
    network = ParameterNetwork.load(name)
    moment = datetime(2025, 12, 31, 23, 58)
    rows = {
        network.outputs(
            metadata_image(MetadataRecord(moment + timedelta(seconds=s), "Canon CR-2", 2048, 1536, 3_145_728))
        ).values
        for s in range(200)
    }
    assert len(rows) == 200


@needs_a_runtime
def test_outputs_do_not_depend_on_the_number_of_threads():
    answers = {
        ParameterNetwork.load(NetworkName.MOBILENETV2, threads=threads).outputs(IMAGE).values for threads in (-1, 1, 3)
    }
    assert len(answers) == 1


@needs_a_runtime
def test_one_network_serves_several_threads():
    network = ParameterNetwork.load(NetworkName.MOBILENETV2)
    images = [
        metadata_image(MetadataRecord(datetime(2026, 1, 1, 0, 0, s), "Canon CR-2", 1, 1, 1)) for s in range(8)
    ] * 4
    alone = [network.outputs(image).values for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert [outputs.values for outputs in pool.map(network.outputs, images)] == alone


# --- the runtimes ---------------------------------------------------------------------------------------------------


@needs_litert
@both_networks
def test_litert_can_be_asked_for(name):
    network = ParameterNetwork.load(name, runtime="ai-edge-litert")
    assert network.profile.startswith("ai-edge-litert-")
    assert "/xnnpack/" in network.profile
    assert len(network.outputs(IMAGE).values) == 16


@needs_tflite
@both_networks
def test_tflite_runtime_can_be_asked_for(name):
    network = ParameterNetwork.load(name, runtime="tflite-runtime")
    assert network.profile.startswith("tflite-runtime-")
    assert len(network.outputs(IMAGE).values) == 16


def _without(monkeypatch, *modules):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_no_runtime_at_all_is_named(monkeypatch):
    _without(monkeypatch, "ai_edge_litert.interpreter", "tflite_runtime.interpreter")
    with pytest.raises(RuntimeMissing, match="no model runtime is installed"):
        ParameterNetwork.load(NetworkName.MOBILENETV2)


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime", "another"])
def test_a_missing_runtime_that_was_asked_for_is_not_replaced(monkeypatch, runtime):
    _without(monkeypatch, "ai_edge_litert.interpreter", "tflite_runtime.interpreter")
    with pytest.raises(RuntimeMissing):
        ParameterNetwork.load(NetworkName.MOBILENETV2, runtime=runtime)


def test_tflite_runtime_is_refused_beside_numpy_2(monkeypatch):
    monkeypatch.setattr(inference.np, "__version__", "2.4.6")
    with pytest.raises(RuntimeMissing, match="numpy below 2") as caught:
        ParameterNetwork.load(NetworkName.MOBILENETV2, runtime="tflite-runtime")
    assert "numpy<2" in caught.value.hint


def test_the_older_runtime_is_taken_where_the_newer_is_missing(monkeypatch):
    """The choice, with a stand-in for the older package: its real outputs are tested where it is installed."""
    taken = []

    class Interpreter:
        def __init__(self, *, model_content, num_threads):
            taken.append((len(model_content), num_threads))

        def allocate_tensors(self):
            pass

        def get_input_details(self):
            return [{"index": 0, "shape": (1, 224, 224, 3), "dtype": np.uint8}]

        def get_output_details(self):
            return [{"index": 1, "shape": (1, 16), "dtype": np.uint8}]

    _without(monkeypatch, "ai_edge_litert.interpreter")
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", SimpleNamespace(Interpreter=Interpreter))
    monkeypatch.setattr(inference.np, "__version__", "1.26.4")
    network = ParameterNetwork.load(NetworkName.MOBILENETV2, threads=3)
    assert network.profile.startswith("tflite-runtime-")
    assert network.profile.endswith(f"/none/{platform.machine()}")
    assert taken == [((MODELS / "mobilenetv2.tflite").stat().st_size, 3)]


@needs_litert
def test_loading_says_nothing_on_stderr(capfd):
    ParameterNetwork.load(NetworkName.MOBILENETV2, runtime="ai-edge-litert")
    assert capfd.readouterr().err == ""


def test_what_others_write_while_loading_is_passed_on(capfd, monkeypatch):
    def speak(**_):
        os.write(2, b"INFO: made a delegate\nanother thread's line\n")
        raise RuntimeError

    module = SimpleNamespace(Interpreter=speak)
    monkeypatch.setattr(inference, "_runtime", lambda _: (None, module))
    with pytest.raises(ModelRefused):
        ParameterNetwork.load(NetworkName.MOBILENETV2)
    os.write(2, b"and one after it\n")
    assert capfd.readouterr().err == "another thread's line\nand one after it\n"


# --- files that are not ours ----------------------------------------------------------------------------------------


def test_a_flipped_bit_is_refused(copied):
    path = copied / "mobilenetv2.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRefused, match="does not match"):
        _load(copied)


@pytest.mark.parametrize("change", [lambda c: c[:-1], lambda c: c + b"\0", lambda _: b""])
def test_another_length_is_refused(copied, change):
    path = copied / "mobilenetv2.tflite"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(ModelRefused):
        _load(copied)


def test_a_missing_file_is_missing(copied):
    (copied / "mobilenetv2.tflite").unlink()
    with pytest.raises(ModelMissing) as caught:
        _load(copied)
    assert str(copied) not in caught.value.message


def test_a_missing_manifest_is_missing(copied):
    (copied / "manifest.json").unlink()
    with pytest.raises(ModelMissing):
        _load(copied)


def test_a_network_that_the_manifest_does_not_name_is_missing(copied):
    (copied / "manifest.json").write_text("{}")
    with pytest.raises(ModelMissing):
        _load(copied)


@pytest.mark.parametrize(
    "text",
    ["", "[]", "7", "{", "\xff", '{"mobilenetv2": 1}', '{"mobilenetv2": {}}', '{"mobilenetv2": {"file": "x"}}'],
)
def test_a_malformed_manifest_is_refused(copied, text):
    (copied / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelRefused, match="malformed"):
        _load(copied)


@pytest.mark.parametrize("file", ["", ".", "..", "../mobilenetv2.tflite", "/etc/hostname", "a\0b"])
def test_a_file_outside_the_folder_is_refused(copied, file):
    _change_manifest(copied, file=file)
    with pytest.raises(ModelRefused, match="malformed"):
        _load(copied)


@pytest.mark.parametrize("changes", [{"sha256": "zz"}, {"bytes": "many"}, {"sha256": None}])
def test_a_malformed_entry_is_refused(copied, changes):
    _change_manifest(copied, **changes)
    with pytest.raises(ModelRefused):
        _load(copied)


def test_a_network_for_another_drawing_is_refused(copied):
    _change_manifest(copied, encoding="glyph-1")
    with pytest.raises(ModelRefused, match="another drawing"):
        _load(copied)


def test_a_giant_manifest_is_refused_unread(copied):
    with (copied / "manifest.json").open("wb") as file:
        file.truncate(1 << 30)
    with pytest.raises(ModelRefused, match="larger"):
        _load(copied)


def _listed(folder, content):
    (folder / "mobilenetv2.tflite").write_bytes(content)
    _change_manifest(folder, bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
    return folder


@needs_a_runtime
@pytest.mark.parametrize("content", [b"", b"not a flatbuffer"])
def test_a_listed_file_that_is_no_network_is_refused(copied, content):
    with pytest.raises(ModelRefused):
        _load(_listed(copied, content))


# Behind the right mark, tflite-runtime 2.14 follows any offset and dies: there only the hash stands before it.
@needs_litert
def test_a_listed_file_that_only_looks_like_a_network_is_refused(copied):
    with pytest.raises(ModelRefused):
        _load(_listed(copied, b"TFL3" * 100))


# --- images that are not ours ---------------------------------------------------------------------------------------


@needs_a_runtime
@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.int8),
    ],
)
def test_another_shape_or_type_of_image_fails(pixels):
    with pytest.raises(ModelFailed):
        ParameterNetwork.load(NetworkName.MOBILENETV2).outputs(MetadataImage(pixels))


@needs_a_runtime
def test_a_failure_of_the_interpreter_is_ours(monkeypatch):
    network = ParameterNetwork.load(NetworkName.MOBILENETV2)

    def fail():
        raise RuntimeError("native")

    monkeypatch.setattr(network, "_interpreter", SimpleNamespace(set_tensor=lambda *_: None, invoke=fail))
    with pytest.raises(ModelFailed):
        network.outputs(IMAGE)
