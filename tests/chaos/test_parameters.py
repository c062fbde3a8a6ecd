import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos import parameters
from edge.chaos.parameters import (
    BOXES,
    MULTIPLIERS,
    check,
    fold,
    parameters_from_features,
    parameters_from_outputs,
    parameters_from_secret,
    settles,
)
from edge.errors import ParametersOutOfRange
from edge.records import (
    ChaosParameters,
    FeatureNetworkName,
    FeatureVector,
    MapName,
    NetworkName,
    NetworkOutputs,
    Quantiser,
)

OUTPUTS = st.binary(min_size=64, max_size=64)
CIPHER_A = (MapName.LOGISTIC, MapName.LORENZ)
FEATURES = FeatureVector(bytes(1000), FeatureNetworkName.VGG16, b"f" * 32, "p")


def network_outputs(values):
    return NetworkOutputs(values=values, network=NetworkName.RESNET18, model_sha256=b"h" * 32, profile="p")


@given(st.sampled_from(CIPHER_A), OUTPUTS)
def test_parameters_from_any_outputs_lie_in_the_box(chaotic_map, values):
    parameters = parameters_from_outputs(chaotic_map, network_outputs(values))
    check(parameters)
    assert (parameters.origin, parameters.network, parameters.profile) == ("network", NetworkName.RESNET18, "p")
    assert parameters.model_sha256 == b"h" * 32


@given(st.sampled_from(MapName), st.binary(max_size=64))
def test_parameters_from_any_secret_lie_in_the_box_and_name_no_network(chaotic_map, secret):
    parameters = parameters_from_secret(chaotic_map, secret)
    check(parameters)
    assert (parameters.origin, parameters.network, parameters.model_sha256) == ("secret", None, None)
    assert parameters == parameters_from_secret(chaotic_map, secret)


def test_parameters_from_secrets_differ():
    values = {parameters_from_secret(m, bytes([i])).values for m in MapName for i in range(100)}
    assert len(values) == 300


@given(st.binary(min_size=125, max_size=125), st.sampled_from(Quantiser))
def test_parameters_from_features_name_the_network_and_take_their_key_from_the_secret(pattern, quantiser):
    parameters = parameters_from_features(FEATURES, pattern, b"s" * 32, quantiser)
    check(parameters)
    assert (parameters.origin, parameters.network, parameters.profile) == ("network", FeatureNetworkName.VGG16, "p")
    assert (parameters.pattern, parameters.quantiser) == (pattern, quantiser)
    assert parameters.values == parameters_from_secret(MapName.HYPERLORENZ_DNA, b"s" * 32).values


def test_the_derivations_are_frozen():
    outputs = bytes(range(64))
    assert all(a % 2 for row in MULTIPLIERS for a in row)
    assert (MULTIPLIERS[0][0], MULTIPLIERS[7][63]) == (0x532095A3F34F7A4B, 0x50C6149722A5ADA3)
    assert [v.hex() for v in fold(outputs, 2)] == ["0x1.424b0830d0a4cp-1", "0x1.14e8cacf0c7e0p-4"]
    made = [parameters_from_outputs(m, network_outputs(outputs)) for m in CIPHER_A]
    made += [parameters_from_secret(m, b"\x01" * 32) for m in MapName]
    assert [[v.hex() for v in parameters.values] for parameters in made] == [
        ["0x1.fffd7b69af9e6p+1"],
        ["0x1.484961061a14ap+3", "0x1.0453a32b3c320p+5", "0x1.511b3d6e414f4p+1"],
        ["0x1.fffe06af344b3p+1"],
        ["0x1.36f20b71e7363p+3", "0x1.32de865c94614p+5", "0x1.60d5a418d694cp+1"],
        [
            "0x1.6cd2da528cdbep+4",
            "-0x1.0db2f1b9a9d06p+5",
            "0x1.40856ed7d6a8ep+6",
            "-0x1.1624a5d0c7339p+7",
            "0x1.c000000000000p+3",
            "0x1.5000000000000p+6",
        ],
    ]
    assert made[-1].pattern[:8].hex() == "45bf4ba17aa50333"


@given(OUTPUTS, st.integers(0, 63), st.integers(1, 255))
def test_a_change_of_any_output_changes_every_number(values, place, change):
    other = bytearray(values)
    other[place] = (other[place] + change) % 256
    for mine, its in zip(fold(values, 8), fold(bytes(other), 8), strict=True):
        assert 0 <= mine < 1
        assert mine != its


def test_fold_spreads_narrow_correlated_outputs_evenly():
    rng = np.random.default_rng(5)
    common = rng.integers(100, 140, (4000, 1))
    outputs = (common + rng.integers(0, 60, (4000, 64))).astype(np.uint8)
    numbers = np.array([fold(row.tobytes(), 3) for row in outputs])
    assert len(np.unique(numbers[:, 0])) == 4000
    for column in numbers.T:
        assert np.abs(np.sort(column) - np.arange(4000) / 4000).max() < 0.03
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize(
    ("values", "count"), [(b"", 1), (bytes(63), 1), (bytes(65), 1), (bytes(64), 0), (bytes(64), 9)]
)
def test_fold_refuses_other_outputs(values, count):
    with pytest.raises(ParametersOutOfRange):
        fold(values, count)


BAD = [(), (3.99995, 3.99995), (math.nan,), (math.inf,), (4.0,), (3.9998,), (-3.99995,), (3,), (np.float64(3.99995),)]


@pytest.mark.parametrize("values", BAD)
def test_a_bad_logistic_parameter_is_refused(values):
    with pytest.raises(ParametersOutOfRange):
        check(ChaosParameters(map=MapName.LOGISTIC, values=values, origin="secret"))


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("bad", ["below", "above", "nan", "inf", "int"])
def test_a_bad_lorenz_parameter_is_refused(place, bad):
    low, high = BOXES[MapName.LORENZ][place]
    values = [10.0, 36.0, 2.75]
    check(ChaosParameters(map=MapName.LORENZ, values=tuple(values), origin="secret"))
    values[place] = {
        "below": math.nextafter(low, 0),
        "above": math.nextafter(high, 99),
        "nan": math.nan,
        "inf": math.inf,
        "int": round(values[place]),
    }[bad]
    with pytest.raises(ParametersOutOfRange) as caught:
        check(ChaosParameters(map=MapName.LORENZ, values=tuple(values), origin="secret"))
    assert not any(c.isdigit() for c in str(caught.value))


HYPER = parameters_from_secret(MapName.HYPERLORENZ_DNA, bytes(32))


@pytest.mark.parametrize("place", range(6))
@pytest.mark.parametrize("bad", ["below", "above", "nan", "int"])
def test_a_bad_number_of_the_private_key_is_refused(place, bad):
    low, high = BOXES[MapName.HYPERLORENZ_DNA][place]
    values = list(HYPER.values)
    values[place] = {
        "below": math.nextafter(low, -999),
        "above": math.nextafter(high, 999),
        "nan": math.nan,
        "int": round(values[place]),
    }[bad]
    with pytest.raises(ParametersOutOfRange):
        check(replace(HYPER, values=tuple(values)))


@pytest.mark.parametrize(
    "changes",
    [
        {"pattern": b""},
        {"pattern": bytes(124)},
        {"pattern": bytes(126)},
        {"quantiser": None},
        {"values": (*HYPER.values[:5], 7.5)},
        {"values": (*HYPER.values[:4], 0.25, 7.0)},
        {"values": HYPER.values[:5]},
    ],
)
def test_what_cipher_b_lacks_is_refused(changes):
    with pytest.raises(ParametersOutOfRange):
        check(replace(HYPER, **changes))


@pytest.mark.parametrize("changes", [{"pattern": bytes(125)}, {"quantiser": Quantiser.PAPER}])
def test_what_cipher_a_does_not_have_is_refused(changes):
    with pytest.raises(ParametersOutOfRange):
        check(replace(parameters_from_secret(MapName.LORENZ, bytes(32)), **changes))


def test_the_corners_of_a_box_are_allowed():
    for chaotic_map, box in BOXES.items():
        for corner in zip(*box, strict=True):
            check(replace(parameters_from_secret(chaotic_map, bytes(32)), values=corner))


# Of 10^6 random r 23 settle. These have stable cycles of 9, 10 and 22, found by following the critical orbit for long.
SETTLING = tuple(map(float.fromhex, ("0x1.fffec426644a3p+1", "0x1.fffd3942c4f20p+1", "0x1.fffe12779623ep+1")))
RESTLESS = (4.0 - 2.0**-13, 3.9999, 3.99995, 3.99999, 4.0 - 2.0**-33)


@pytest.mark.parametrize("r", [3.83, 3.5, 3.2, *SETTLING])
def test_an_r_with_a_stable_cycle_settles(r):
    assert settles(r)


@pytest.mark.parametrize("r", RESTLESS)
def test_an_r_without_one_does_not(r):
    assert not settles(r)


def test_an_r_that_settles_is_passed_over_for_the_next_number(monkeypatch):
    outputs = network_outputs(bytes(range(64)))
    first = parameters_from_outputs(MapName.LOGISTIC, outputs).values
    monkeypatch.setattr(parameters, "settles", lambda r: (r,) == first)
    second = parameters_from_outputs(MapName.LOGISTIC, outputs).values
    assert second != first
    check(ChaosParameters(map=MapName.LOGISTIC, values=second, origin="network"))
    monkeypatch.setattr(parameters, "settles", lambda _: True)
    with pytest.raises(ParametersOutOfRange):
        parameters_from_outputs(MapName.LOGISTIC, outputs)


def test_no_equilibrium_of_the_lorenz_box_is_stable():
    sigma, rho, beta = BOXES[MapName.LORENZ]
    critical = max(s * (s + b + 3) / (s - b - 1) for s in np.linspace(*sigma, 50) for b in np.linspace(*beta, 50))
    assert critical < rho[0]
