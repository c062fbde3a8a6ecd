"""Training: the command without TensorFlow, and a few real steps where it is installed, interrupted and taken up again."""

import argparse
import importlib.util
import json
import sys

import numpy as np
import pytest

from edge.errors import UsageError
from edge.inference.networks import FeatureNetwork, ParameterNetwork
from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.training import command, fit
from firmware_tools.training.command import add_train_arguments, run_train
from firmware_tools.training.recipe import Recipe, Stage
from firmware_tools.training.tasks import task_for

EVERY_NAME = (*NetworkName, *FeatureNetworkName)
needs_tensorflow = [
    pytest.mark.train,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    pytest.mark.filterwarnings("ignore"),
    pytest.mark.skipif(
        importlib.util.find_spec("tensorflow") is None, reason="TensorFlow (the train extra) is not installed"
    ),
]


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_train_arguments(parser)
    return parser.parse_args(words)


def test_defaults_train_every_network():
    arguments = parsed()
    assert (arguments.network, arguments.seed, str(arguments.out)) == ("all", 1, "models")


@pytest.mark.parametrize(
    "words", [("--effort", "0"), ("--effort", "-1"), ("--width", "0"), ("--width", "1.1"), ("--seed", "-1")]
)
def test_impossible_numbers_are_refused(words, tmp_path):
    with pytest.raises(UsageError):
        run_train(parsed(*words, "--out", str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_without_tensorflow_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    with pytest.raises(UsageError) as caught:
        run_train(parsed("--out", str(tmp_path / "new")))
    assert "[train]" in caught.value.hint
    assert not (tmp_path / "new").exists()


class TestWithTensorFlow:
    pytestmark = needs_tensorflow

    @pytest.mark.parametrize("name", EVERY_NAME)
    def test_a_few_steps_make_a_network_that_a_device_loads(self, name, tmp_path, monkeypatch):
        monkeypatch.setattr(command, "_CALIBRATION_BATCHES", 1)
        for count in ("_REPRESENTATIVE_IMAGES", "_HELD_OUT_IMAGES"):
            monkeypatch.setattr(command, count, 32)
        out, work = tmp_path / "models", tmp_path / "work"
        words = ("--network", name.value, "--effort", "0.0001", "--out", str(out), "--work", str(work))
        assert run_train(parsed(*words)) == 0
        manifest = json.loads((out / f"{name.value}.json").read_text())
        kind = FeatureNetwork if isinstance(name, FeatureNetworkName) else ParameterNetwork
        assert kind.load(name, directory=out).profile.startswith("xnnpack:")
        assert manifest["input"]["zero_point"] == 0
        assert manifest["training"]["recipe"]["seed"] == 1
        assert {"float_int8_correlation", "median_latency_ms"} <= set(manifest["metrics"])
        assert manifest["sha256"] in (out / f"{name.value}.md").read_text()
        assert (out / f"{name.value}.loss.png").read_bytes().startswith(b"\x89PNG")

    def test_a_training_that_was_interrupted_goes_on_as_if_it_had_not_been(self, tmp_path, monkeypatch):
        recipe = Recipe(network=NetworkName.MOBILENETV2, seed=3, stages=(Stage(56, 4, 8, 1e-3), Stage(112, 3, 8, 1e-3)))
        task = task_for(recipe)
        whole, progress = fit.fit(task, recipe, tmp_path / "whole")
        for steps in (2, 5):
            with monkeypatch.context() as patched:
                patched.setattr(fit, "_CHECKPOINT_SECONDS", -1.0)
                patched.setattr(fit, "learning_rate", stop_after(steps))
                with pytest.raises(KeyboardInterrupt):
                    fit.fit(task, recipe, tmp_path / "parts")
        resumed, again = fit.fit(task, recipe, tmp_path / "parts")
        assert (again.step, progress.step) == (7, 7)
        for one, other in zip(whole.get_weights(), resumed.get_weights(), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-3, atol=1e-4)
        assert [point.step for point in again.history] == [point.step for point in progress.history]

    def test_a_training_with_more_stages_goes_on_from_one_with_fewer(self, tmp_path):
        stages = (Stage(56, 3, 8, 1e-3), Stage(112, 2, 8, 1e-3))
        one, other = (Recipe(network=NetworkName.MOBILENETV2, seed=3, stages=stages[:count]) for count in (1, 2))
        whole, _ = fit.fit(task_for(other), other, tmp_path / "whole")
        fit.fit(task_for(one), one, tmp_path / "parts")
        longer, progress = fit.fit(task_for(other), other, tmp_path / "parts")
        assert progress.step == 5
        for first, second in zip(whole.get_weights(), longer.get_weights(), strict=True):
            np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-4)
        with pytest.raises(UsageError, match="other options"):
            fit.fit(task_for(one), one, tmp_path / "parts")

    def test_a_checkpoint_of_another_recipe_is_refused_until_fresh_is_asked_for(self, tmp_path):
        one, other = (
            Recipe(network=NetworkName.MOBILENETV2, seed=seed, stages=(Stage(56, 1, 4, 1e-3),)) for seed in (1, 2)
        )
        fit.fit(task_for(one), one, tmp_path)
        with pytest.raises(UsageError, match="other options"):
            fit.fit(task_for(other), other, tmp_path)
        assert fit.fit(task_for(other), other, tmp_path, fresh=True)[1].step == 1
        (tmp_path / "checkpoint.npz").write_bytes(b"torn")
        with pytest.raises(UsageError, match="cannot be read"):
            fit.fit(task_for(one), one, tmp_path)


def stop_after(steps):
    """Return a learning rate that interrupts the training before the step of this number, over all stages."""
    from firmware_tools.training.recipe import learning_rate

    def rate(stage, step):
        if step + (4 if stage.side == 112 else 0) == steps:
            raise KeyboardInterrupt
        return learning_rate(stage, step)

    return rate
