"""The networks that ship: recognised by their known answers, refused where they compute wrongly, and run."""

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import numpy as np
import pytest

from edge.errors import ModelFailed, ModelRefused
from edge.inference import networks
from edge.inference.manifest import manifest_path, read_manifest
from edge.inference.networks import FeatureNetwork, ParameterNetwork, question_picture
from edge.inference.runtime import Interpreter
from edge.metadata_image import metadata_image
from edge.records import FeatureNetworkName, MetadataImage, MetadataRecord, NetworkName, Picture
from tests.inference.runtimes import MODELS, RUNTIMES, every_runtime, needs_a_runtime

IMAGE = metadata_image(MetadataRecord(datetime(2026, 3, 14, 15, 9, 26), "Canon CR-2", 2048, 1536, 3_145_728))
PICTURE = Picture(question_picture(5))
EVERY_NAME = (*NetworkName, *FeatureNetworkName)
# Which known answers each runtime gives on x86-64: bit for bit those, measured.
PROFILES = {"ai-edge-litert": "xnnpack", "tflite-runtime": "builtin-x86"}

every_network = pytest.mark.parametrize("name", EVERY_NAME)
both_networks = pytest.mark.parametrize("name", list(NetworkName))


def load(name, **options):
    return (FeatureNetwork if isinstance(name, FeatureNetworkName) else ParameterNetwork).load(name, **options)


def asked(network):
    """Return what a network gives, whichever kind it is."""
    return network.features(PICTURE) if isinstance(network, FeatureNetwork) else network.outputs(IMAGE)


@pytest.fixture
def copied(tmp_path):
    """A copy of the networks and their manifests, to be damaged."""
    for path in MODELS.glob("*.json"):
        shutil.copy(path, tmp_path)
    for path in MODELS.glob("*.tflite"):
        (tmp_path / path.name).symlink_to(path)
    return tmp_path


def with_answers(folder, name, change):
    """Change the known answers in a manifest."""
    path = manifest_path(folder, name)
    manifest = json.loads(path.read_text())
    change(manifest["known_answers"])
    path.write_text(json.dumps(manifest))
    return folder


# --- known answers --------------------------------------------------------------------------------------------------


@every_network
def test_the_manifest_knows_the_answers_of_every_numeric_profile(name):
    manifest = read_manifest(MODELS, name)
    assert set(manifest.answers) == {"xnnpack", "builtin-x86", "builtin-arm"}
    assert len(manifest.questions) >= 2
    length = 1000 if isinstance(name, FeatureNetworkName) else 64
    assert {len(answer) for answers in manifest.answers.values() for answer in answers} == {length}
    # Profiles do differ; questions too.
    assert len(set(manifest.answers.values())) == 3
    assert len(set(manifest.answers["xnnpack"])) == len(manifest.questions)


@every_runtime
@every_network
def test_each_runtime_gives_the_known_answers_of_its_profile(name, runtime):
    network = load(name, runtime=runtime)
    profile, _, runtime_name = network.profile.partition(":")
    assert profile == PROFILES[runtime]
    assert runtime_name.startswith(f"{runtime}-")


@needs_a_runtime
@every_network
def test_answers_that_are_only_near_are_taken_as_an_unlisted_profile(name, copied):
    def nudge(known):
        for answers in known["answers"].values():
            values = bytearray.fromhex(answers[0])
            # Away from the ends of uint8 and of int8, where a byte would turn over.
            values[3] += 5 if values[3] % 128 < 64 else -5
            answers[0] = values.hex()

    network = load(name, directory=with_answers(copied, name, nudge))
    assert network.profile.startswith("unlisted:")
    assert asked(network).values == asked(load(name)).values


@needs_a_runtime
@every_network
def test_answers_that_are_far_off_are_refused(name, copied):
    def spoil(known):
        for answers in known["answers"].values():
            values = bytearray.fromhex(answers[-1])
            values[7] = (values[7] + 128) % 256
            answers[-1] = values.hex()

    with pytest.raises(ModelRefused, match="known ones"):
        load(name, directory=with_answers(copied, name, spoil))


@needs_a_runtime
@every_network
def test_a_runtime_that_computes_constants_is_refused(name, monkeypatch):
    length = 1000 if isinstance(name, FeatureNetworkName) else 64
    monkeypatch.setattr(Interpreter, "run", lambda *_: bytes(length))
    with pytest.raises(ModelRefused, match="computes wrongly"):
        load(name)


@needs_a_runtime
def test_a_question_that_is_malformed_is_refused(copied):
    for question in ({}, 7, {"moment": "yesterday", "camera": "", "width": 0, "height": 0, "size": 0}):
        folder = with_answers(copied, NetworkName.RESNET18, lambda known, q=question: known["questions"].insert(0, q))
        manifest = json.loads(manifest_path(folder, NetworkName.RESNET18).read_text())
        for answers in manifest["known_answers"]["answers"].values():
            answers.insert(0, answers[0])
        manifest_path(folder, NetworkName.RESNET18).write_text(json.dumps(manifest))
        with pytest.raises(ModelRefused, match="malformed"):
            load(NetworkName.RESNET18, directory=folder)


def test_a_network_for_another_drawing_is_refused(copied):
    path = manifest_path(copied, NetworkName.MOBILENETV2)
    path.write_text(json.dumps(json.loads(path.read_text()) | {"reads": "glyph-1"}))
    with pytest.raises(ModelRefused, match="another drawing"):
        load(NetworkName.MOBILENETV2, directory=copied)


def test_the_known_profiles_lie_nearer_to_one_another_than_what_is_taken_as_near():
    for name in EVERY_NAME:
        dtype = np.int8 if isinstance(name, FeatureNetworkName) else np.uint8
        rows = [np.frombuffer(b"".join(a), dtype).astype(int) for a in read_manifest(MODELS, name).answers.values()]
        assert max(np.abs(one - other).max() for one in rows for other in rows) < networks._NEAR


# --- answers --------------------------------------------------------------------------------------------------------


@needs_a_runtime
@every_network
def test_outputs_name_what_produced_them(name):
    network = load(name)
    given = asked(network)
    assert len(given.values) == (1000 if isinstance(name, FeatureNetworkName) else 64)
    assert given.network is network.name is name
    assert given.model_sha256 == network.model_sha256 == read_manifest(MODELS, name).sha256
    assert given.profile == network.profile


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
@every_network
def test_outputs_do_not_depend_on_the_number_of_threads(name):
    assert len({asked(load(name, threads=threads)).values for threads in (-1, 1, 3)}) == 1


@needs_a_runtime
def test_one_network_serves_several_threads():
    network = ParameterNetwork.load(NetworkName.MOBILENETV2)
    images = [
        metadata_image(MetadataRecord(datetime(2026, 1, 1, 0, 0, s), "Canon CR-2", 1, 1, 1)) for s in range(8)
    ] * 4
    alone = [network.outputs(image).values for image in images]
    with ThreadPoolExecutor(4) as pool:
        assert [outputs.values for outputs in pool.map(network.outputs, images)] == alone


@needs_a_runtime
def test_an_image_of_another_shape_fails():
    with pytest.raises(ModelFailed):
        ParameterNetwork.load(NetworkName.MOBILENETV2).outputs(MetadataImage(np.zeros((224, 224), np.uint8)))
    with pytest.raises(ModelFailed):
        FeatureNetwork.load().features(Picture(np.zeros((112, 112, 3), np.uint8)))


@pytest.mark.skipif(len(RUNTIMES) < 2, reason="only one model runtime can be used here")
@every_network
def test_runtimes_differ_in_low_bits_only_which_is_why_nobody_runs_a_network_again(name):
    one, other = (asked(load(name, runtime=runtime)).values for runtime in RUNTIMES)
    assert one != other
    dtype = np.int8 if isinstance(name, FeatureNetworkName) else np.uint8
    difference = np.frombuffer(one, dtype).astype(int) - np.frombuffer(other, dtype).astype(int)
    assert np.abs(difference).max() < networks._NEAR
