"""Recipes: what a training depends on, in numbers."""

import json

import pytest

from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.training.recipe import Recipe, Stage, learning_rate, standard_recipe

EVERY_NAME = (*NetworkName, *FeatureNetworkName)


@pytest.mark.parametrize("name", EVERY_NAME)
def test_a_recipe_ends_at_full_side_and_says_everything_as_json(name):
    recipe = standard_recipe(name, seed=7)
    assert recipe.stages[-1].side == 224
    assert [stage.side for stage in recipe.stages] == sorted({stage.side for stage in recipe.stages})
    described = recipe.described()
    assert json.loads(json.dumps(described)) == described
    assert (described["network"], described["seed"]) == (name.value, 7)
    assert recipe.images == sum(stage.steps * stage.batch for stage in recipe.stages)


def test_only_the_feature_network_has_a_width():
    assert standard_recipe(FeatureNetworkName.VGG16).width == 0.25
    assert standard_recipe(FeatureNetworkName.VGG16, width=1.0).width == 1.0
    assert standard_recipe(NetworkName.RESNET18, width=0.5).width == 1.0


def test_effort_scales_every_stage_and_leaves_none_out():
    whole, part, least = (standard_recipe(NetworkName.MOBILENETV2, effort=effort) for effort in (1, 0.1, 1e-9))
    assert part.steps == pytest.approx(whole.steps / 10, abs=2)
    assert [stage.steps for stage in least.stages] == [1, 1, 1]


def test_a_step_belongs_to_its_stage():
    recipe = Recipe(network=NetworkName.RESNET18, seed=1, stages=(Stage(56, 3, 8, 1e-3), Stage(224, 2, 8, 1e-3)))
    assert [recipe.at(step) for step in range(recipe.steps)] == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    with pytest.raises(IndexError):
        recipe.at(5)


def test_the_learning_rate_warms_up_and_falls_to_nothing():
    stage = Stage(56, 400, 8, 2e-3)
    rates = [learning_rate(stage, step) for step in range(400)]
    assert 0 < rates[0] < rates[20] < rates[49]
    assert max(rates) <= 2e-3
    assert rates[60:] == sorted(rates[60:], reverse=True)
    assert 0 < rates[-1] < 1e-6
    assert learning_rate(Stage(56, 1, 8, 2e-3), 0) == 2e-3
