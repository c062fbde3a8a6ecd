import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos.parameters import BOXES, MULTIPLIERS, check, fold, parameters_from_outputs, parameters_from_secret
from edge.errors import ParametersOutOfRange
from edge.records import ChaosParameters, MapName, NetworkName, NetworkOutputs

OUTPUTS = st.binary(min_size=16, max_size=16)
MAPS = st.sampled_from(MapName)


def network_outputs(values):
    return NetworkOutputs(values=values, network=NetworkName.RESNET18, model_sha256=b"h" * 32, profile="p")


@given(MAPS, OUTPUTS)
def test_parameters_from_any_outputs_lie_in_the_box(chaotic_map, values):
    parameters = parameters_from_outputs(chaotic_map, network_outputs(values))
    check(parameters)
    assert (parameters.origin, parameters.network, parameters.profile) == ("network", NetworkName.RESNET18, "p")
    assert parameters.model_sha256 == b"h" * 32


@given(MAPS, st.binary(max_size=64))
def test_parameters_from_any_secret_lie_in_the_box_and_name_no_network(chaotic_map, secret):
    parameters = parameters_from_secret(chaotic_map, secret)
    check(parameters)
    assert (parameters.origin, parameters.network, parameters.model_sha256) == ("secret", None, None)
    assert parameters == parameters_from_secret(chaotic_map, secret)


def test_parameters_from_secrets_differ():
    values = {parameters_from_secret(m, bytes([i])).values for m in MapName for i in range(100)}
    assert len(values) == 200


def test_the_derivations_are_frozen():
    outputs = bytes(range(16))
    assert all(a % 2 for row in MULTIPLIERS for a in row)
    assert (MULTIPLIERS[0][0], MULTIPLIERS[7][15]) == (0xE3C77BFF02187611, 0x3662D7AF0B026B1F)
    assert [v.hex() for v in fold(outputs, 2)] == ["0x1.3fe3774fb0f27p-1", "0x1.a03196c6bb1ffp-1"]
    made = [parameters_from_outputs(m, network_outputs(outputs)) for m in MapName]
    made += [parameters_from_secret(m, b"\x01" * 32) for m in MapName]
    assert [[v.hex() for v in parameters.values] for parameters in made] == [
        ["0x1.fffd8038d160ap+1"],
        ["0x1.47fc6ee9f61e5p+3", "0x1.340632d8d7640p+5", "0x1.65d81a280d29dp+1"],
        ["0x1.fffe06af344b3p+1"],
        ["0x1.36f20b71e7363p+3", "0x1.32de865c94614p+5", "0x1.60d5a418d694cp+1"],
    ]


@given(OUTPUTS, st.integers(0, 15), st.integers(1, 255))
def test_a_change_of_any_output_changes_every_number(values, place, change):
    other = bytearray(values)
    other[place] = (other[place] + change) % 256
    for mine, its in zip(fold(values, 8), fold(bytes(other), 8), strict=True):
        assert 0 <= mine < 1
        assert mine != its


def test_fold_spreads_narrow_correlated_outputs_evenly():
    rng = np.random.default_rng(5)
    common = rng.integers(100, 140, (4000, 1))
    outputs = (common + rng.integers(0, 60, (4000, 16))).astype(np.uint8)
    numbers = np.array([fold(row.tobytes(), 3) for row in outputs])
    assert len(np.unique(numbers[:, 0])) == 4000
    for column in numbers.T:
        assert np.abs(np.sort(column) - np.arange(4000) / 4000).max() < 0.03
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.06


@pytest.mark.parametrize(
    ("values", "count"), [(b"", 1), (bytes(15), 1), (bytes(17), 1), (bytes(16), 0), (bytes(16), 9)]
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


def test_the_corners_of_a_box_are_allowed():
    for chaotic_map, box in BOXES.items():
        for corner in zip(*box, strict=True):
            check(ChaosParameters(map=chaotic_map, values=corner, origin="secret"))


def test_no_equilibrium_of_the_lorenz_box_is_stable():
    sigma, rho, beta = BOXES[MapName.LORENZ]
    critical = max(s * (s + b + 3) / (s - b - 1) for s in np.linspace(*sigma, 50) for b in np.linspace(*beta, 50))
    assert critical < rho[0]
