"""The model cards that ship say what their manifests say, and their pictures are there."""

import json
import re

import pytest

from edge.inference.manifest import manifest_path, models_directory
from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.training.card import render

MODELS = models_directory()


@pytest.mark.parametrize("name", [*NetworkName, *FeatureNetworkName])
def test_the_card_is_that_of_its_manifest_and_shows_pictures(name):
    manifest = json.loads(manifest_path(MODELS, name).read_text())
    card = (MODELS / f"{name.value}.md").read_text()
    assert card == render(name, manifest)
    pictures = re.findall(r"!\[[^]]*\]\(([^)]+)\)", card)
    assert len(pictures) >= 3
    for picture in pictures:
        assert (MODELS / picture).read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("name", [*NetworkName, *FeatureNetworkName])
def test_every_line_of_the_acceptance_was_met_by_what_ships(name):
    accepted = json.loads(manifest_path(MODELS, name).read_text())["acceptance"]
    assert [line["what"] for line in accepted["lines"] if not line["met"]] == []
    if name in list(NetworkName):
        assert accepted["figures"]["records"] == 100_000
