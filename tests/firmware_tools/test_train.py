"""Training: the data without TensorFlow, the command without TensorFlow, and a few real steps where it is installed."""

import argparse
import importlib.util
import json
import sys
from datetime import datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edge.errors import UsageError
from edge.inference import ParameterNetwork
from edge.metadata_image import draw, metadata_fields, metadata_image
from edge.records import MetadataRecord, NetworkName
from firmware_tools.acceptance import shortfalls
from firmware_tools.dataset import OUTPUTS, images, random_fields, targets
from firmware_tools.model_card import render
from firmware_tools.train import add_train_arguments, run_train

MODELS = Path(__file__).resolve().parent.parent.parent / "models"


def _arguments(*words):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    return parser.parse_args(words)


def _target(moment, **changes):
    record = MetadataRecord(moment, **({"camera": "c", "width": 1, "height": 1, "size": 1} | changes))
    return targets(metadata_fields(record)[None])[0]


# --- data -----------------------------------------------------------------------------------------------------------


def test_records_follow_from_the_seed():
    one, same, other = (random_fields(np.random.default_rng(seed), 50) for seed in (1, 1, 2))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_random_records_are_digits_that_can_be_drawn():
    fields = random_fields(np.random.default_rng(1), 500)
    assert fields.dtype == np.uint8
    assert fields[:, :60].max() <= 9
    assert fields.max() == 15
    months, days, hours, seconds = (fields[:, at] * 10 + fields[:, at + 1] for at in (4, 6, 8, 12))
    assert (months.min(), months.max()) == (1, 12)
    assert (days.min(), days.max()) == (1, 31)
    assert hours.max() == 23
    assert seconds.max() <= 59


def test_training_images_are_those_a_device_draws():
    record = MetadataRecord(datetime(2026, 3, 14, 15, 9, 26), "Canon CR-2", 2048, 1536, 3_145_728)
    fields = metadata_fields(record)
    assert np.array_equal(images(fields[None])[0], metadata_image(record).pixels)
    assert np.array_equal(draw(fields), metadata_image(record).pixels)


def test_answers_lie_in_the_unit_interval_and_spread():
    answers = targets(random_fields(np.random.default_rng(1), 4000))
    assert answers.shape == (4000, OUTPUTS)
    assert answers.min() >= 0
    assert answers.max() < 1
    # A uniform answer has 0.289; some digits are often zero, as in real records.
    assert answers.std(axis=0).min() > 0.25


def test_what_changes_fastest_weighs_most():
    base = datetime(2026, 3, 14, 15, 9, 20)
    step = np.abs(_target(base.replace(second=21)) - _target(base))
    assert step.max() == pytest.approx(0.1)
    tens = np.abs(_target(base.replace(second=30)) - _target(base))
    assert tens.max() == pytest.approx(1 / 6)


def test_the_first_answer_is_the_seconds_digit_reversed():
    answers = [_target(datetime(2026, 3, 14, 15, 9, second))[0] for second in range(10)]
    assert np.argsort(answers).tolist() == list(range(10))
    assert np.diff(answers) == pytest.approx(np.full(9, 0.1))


@pytest.mark.parametrize(
    "changes", [{"camera": "d"}, {"width": 2}, {"height": 2}, {"size": 2}, {"moment": datetime(2026, 3, 14, 15, 9, 21)}]
)
def test_every_part_of_the_record_moves_an_answer(changes):
    moment = datetime(2026, 3, 14, 15, 9, 20)
    assert np.abs(_target(moment) - _target(**({"moment": moment} | changes))).max() > 1 / 256


def test_answers_of_neighbouring_moments_all_differ():
    start = datetime(2026, 3, 14, 15, 0)
    rows = np.round(np.array([_target(start.replace(minute=m, second=s)) for m in range(60) for s in range(60)]) * 255)
    assert len(np.unique(rows, axis=0)) == 3600


# --- what ships -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(NetworkName))
def test_model_card_says_what_the_manifest_says(name):
    entry = json.loads((MODELS / "manifest.json").read_text())[name.value]
    assert (MODELS / f"{name.value}.md").read_text() == render(name, entry)


@pytest.mark.parametrize("name", list(NetworkName))
def test_shipped_networks_meet_the_acceptance_bounds(name):
    metrics = json.loads((MODELS / "manifest.json").read_text())[name.value]["metrics"]
    assert shortfalls(metrics) == []
    assert metrics["seconds"] == 10_000
    assert metrics["milliseconds"] == 2_000


def test_a_figure_below_its_bound_is_named():
    assert shortfalls({"seconds": 10, "seconds_distinct_rows": 9, "seconds_distinct_folds": 10}) == [
        "seconds_distinct_rows is 9"
    ]


# --- the command ----------------------------------------------------------------------------------------------------


def test_defaults_train_both_networks():
    arguments = _arguments()
    assert (arguments.network, arguments.seed, str(arguments.out)) == ("all", 1, "models")


@pytest.mark.parametrize(
    "words", [("--images", "0"), ("--epochs", "0"), ("--epochs", "1", "--fine-epochs", "2"), ("--seed", "-1")]
)
def test_impossible_counts_are_refused(words, tmp_path):
    with pytest.raises(UsageError):
        run_train(_arguments(*words, "--out", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_without_tensorflow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UsageError) as caught:
        run_train(_arguments("--out", str(tmp_path / "new")))
    assert "[train]" in caught.value.hint
    assert not (tmp_path / "new").exists()


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")
@pytest.mark.skipif(importlib.util.find_spec("tensorflow") is None, reason="TensorFlow (the train extra) is absent")
@pytest.mark.parametrize("name", list(NetworkName))
def test_a_few_steps_make_a_network_that_a_device_loads(name, tmp_path, monkeypatch):
    from firmware_tools import train

    for count in ("_REPRESENTATIVE_RECORDS", "_HELD_OUT_RECORDS"):
        monkeypatch.setattr(train, count, 32)
    monkeypatch.setattr(train, "measure", partial(train.measure, seconds=20, milliseconds=20))
    arguments = _arguments(
        "--network", name.value, "--images", "64", "--epochs", "2", "--fine-epochs", "1", "--out", str(tmp_path)
    )
    assert run_train(arguments) == 0
    entry = json.loads((tmp_path / "manifest.json").read_text())[name.value]
    network = ParameterNetwork.load(name, directory=tmp_path)
    assert network.profile == entry["profile"]
    record = MetadataRecord(datetime(2026, 3, 14, 15, 9, 26), "Canon CR-2", 2048, 1536, 3_145_728)
    assert len(network.outputs(metadata_image(record)).values) == 16
    assert entry["input"]["zero_point"] == 0
    assert entry["sha256"] in (tmp_path / f"{name.value}.md").read_text()
