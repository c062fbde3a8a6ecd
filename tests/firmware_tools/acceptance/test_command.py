"""evaluate-models on the networks that ship, in short; and that a line that is missed fails."""

import argparse
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from edge.errors import ExitCode, UsageError
from edge.inference.manifest import models_directory
from edge.records import NetworkName
from firmware_tools.acceptance import command
from firmware_tools.acceptance.command import add_evaluate_models_arguments, run_evaluate_models
from firmware_tools.acceptance.families import families
from firmware_tools.acceptance.likeness import Likeness, modality_of
from firmware_tools.acceptance.spread import PARAMETERS, Spread, measure_spread
from firmware_tools.acceptance.verdicts import judge, judge_features, table
from firmware_tools.phantoms import Modality
from tests.inference.runtimes import needs_a_runtime

GOOD = Spread(
    records=1000,
    distinct=(1000, 1000),
    outside=0,
    uniformity=(0.5,) * 4,
    family_uniformity=((0.5,) * 4,),
    correlation=(0.001, -0.019, 0.0, 0.01),
    exponents=(0.68, 0.9),
    single_changes=(64, 0),
    r2=(0.97, 0.9),
    values=np.zeros((1000, 4)),
)
ALIKE = Likeness(
    drawings=(100, 99, 80),
    named=(30, 28),
    wrong=(("ct", "mr"),),
    neighbours=(15, 14),
    ones=0.5,
    modalities=(Modality.CT,),
    matrix=np.ones((1, 1)),
)


def parsed(*words):
    parser = argparse.ArgumentParser()
    add_evaluate_models_arguments(parser)
    return parser.parse_args(words)


def missed(lines):
    return [line.what for line in lines if not line.met]


def test_good_figures_miss_no_line():
    assert missed(judge(GOOD)) == missed(judge_features(ALIKE)) == []


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"distinct": (999, 1000)}, "distinct r"),
        ({"distinct": (1000, 999)}, "distinct (sigma, rho, beta)"),
        ({"outside": 1}, "parameters outside their range"),
        ({"uniformity": (0.5, 0.009, 0.5, 0.5)}, "sigma uniform, chi-square p"),
        ({"correlation": (0.0, 0.0, -0.021, 0.0)}, "rho of neighbouring seconds, correlation"),
        ({"exponents": (0.29, 0.9)}, "smallest Lyapunov exponent, logistic"),
        ({"exponents": (0.68, 0.49)}, "smallest Lyapunov exponent, Lorenz"),
        ({"single_changes": (64, 1)}, "records that differ in one digit, same outputs"),
        ({"r2": (0.94, 0.9)}, "held-out R2, mean of the outputs"),
        ({"r2": (0.97, 0.8)}, "held-out R2, worst output"),
    ],
)
def test_each_bound_is_held(change, what):
    lines = judge(replace(GOOD, **change))
    assert missed(lines) == [what]
    assert "MISSED" in table("title", lines)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"drawings": (100, 94, 80)}, "drawings whose modality is recognised"),
        ({"ones": 0.1}, "share of ones in V_B"),
        ({"named": (30, 20)}, "real images whose modality is recognised"),
    ],
)
def test_each_bound_of_features_is_held(change, what):
    assert missed(judge_features(replace(ALIKE, **change))) == [what]


def test_without_real_images_only_drawings_are_judged():
    assert len(judge_features(replace(ALIKE, named=(0, 0), neighbours=(0, 0)))) == 3


@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("cxr_nih_00000001_000.png", Modality.XRAY),
        ("derived_ct_3page_gray16.tif", Modality.CT),
        ("derived_mr_gray16_exif.png", Modality.MR),
        ("us_ybr.dcm", Modality.ULTRASOUND),
        ("fundus_left_cc0.jpg", Modality.FUNDUS),
        ("exif_nikon.jpg", Modality.OTHER),
        ("mode_rgba.png", Modality.OTHER),
    ],
)
def test_real_images_are_told_by_their_names(name, modality):
    assert modality_of(name) is modality


@needs_a_runtime
@pytest.mark.slow
@pytest.mark.parametrize("name", list(NetworkName))
def test_the_networks_that_ship_hold_their_lines_on_some_records(name):
    spread = measure_spread(name, families(200))
    assert spread.values.shape == (200, len(PARAMETERS))
    # With so few records correlation and uniformity tell nothing.
    few = replace(spread, correlation=(0.0,) * 4, uniformity=(1.0,) * 4)
    assert missed(judge(few)) == []


@needs_a_runtime
@pytest.mark.slow
def test_the_command_prints_a_table_and_fails_where_a_line_is_missed(capsys, monkeypatch, tmp_path):
    for path in models_directory().glob("mobilenetv2.*"):
        shutil.copy(path, tmp_path)
    words = ("--network", "mobilenetv2", "--records", "10", "--models", str(tmp_path), "--update")
    monkeypatch.setattr(command, "judge", lambda _: judge(GOOD))
    assert run_evaluate_models(parsed(*words)) == ExitCode.OK
    assert "mobilenetv2, " in capsys.readouterr().out
    monkeypatch.setattr(command, "judge", lambda _: judge(replace(GOOD, outside=3)))
    assert run_evaluate_models(parsed(*words)) == ExitCode.MODEL
    assert "MISSED" in capsys.readouterr().out
    accepted = json.loads((tmp_path / "mobilenetv2.json").read_text())["acceptance"]
    assert [line["what"] for line in accepted["lines"] if not line["met"]] == ["parameters outside their range"]
    assert "**no**" in (tmp_path / "mobilenetv2.md").read_text()


@pytest.mark.parametrize("records", ["0", "15", "200000"])
def test_another_number_of_records_is_refused(records):
    with pytest.raises(UsageError):
        run_evaluate_models(parsed("--records", records))
