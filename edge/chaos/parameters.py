"""The control parameters of the chaotic maps: from a network's outputs, or from a secret where no network can be used.

No parameter is regular: r keeps clear of the periodic windows, those below 3.9998 by its box and the thin ones above by a
test, and of r = 4, where an orbit can fall to zero; the Lorenz box lies above the values at which an equilibrium is stable.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from hashlib import shake_256
from operator import mul

from edge.errors import ParametersOutOfRange
from edge.protocol import PATTERN_BYTES
from edge.records import ChaosParameters, FeatureVector, MapName, NetworkOutputs, Quantiser

OUTPUTS = 64  # outputs of a parameter network, one byte each
MOST_NUMBERS = 8  # numbers that `fold` makes: Lorenz takes three, logistic the first that is good

# Lowest and highest value of each parameter, both allowed.
# Logistic: r = 4 - (f + 2^-20) 2^-13 with f in [0, 1]. None of 786,432 orbits was periodic within 4112 steps.
# Lorenz: the equilibria are stable below rho = sigma (sigma + beta + 3) / (sigma - beta - 1), which is at most 27 here,
# and at rho = 28 to 30 they let go so slowly that 0.06 to 2.6 % of the lanes at sigma = 9, beta = 3 hardly diverge.
# Hyperchaotic Lorenz: the published ranges of the private key, x1 to x4, v1, v2.
BOXES: dict[MapName, tuple[tuple[float, float], ...]] = {
    MapName.LOGISTIC: ((4.0 - 2.0**-13 - 2.0**-33, 4.0 - 2.0**-33),),
    MapName.LORENZ: ((9.0, 11.0), (32.0, 40.0), (2.5, 3.0)),
    MapName.HYPERLORENZ_DNA: ((-40.0, 40.0), (-40.0, 40.0), (1.0, 81.0), (-250.0, 250.0), (0.0, 255.0), (0.0, 255.0)),
}

FOLD_LABEL = b"edge-encryptor/fold/2"
SECRET_LABEL = b"edge-encryptor/parameters/1\x00"
KEY_LABEL = b"edge-encryptor/private-key/1\x00"
PATTERN_LABEL = b"edge-encryptor/pattern/1\x00"
COORDINATES = 4  # of the hyperchaotic Lorenz system; the private key's other two numbers are bytes
UNIT = 2.0**-53  # a float64 in [0, 1) has 53 bits
UNIT_SHIFT = 11  # the top 53 bits of a 64-bit word
WORD_BYTES = 8
WORD_MASK = (1 << 64) - 1

CRITICAL_BURN_IN = 100
CRITICAL_STEPS = 400
LEAST_EXPONENT = 0.4
TINY = 2.0**-1000  # keeps the logarithm finite where the orbit meets the critical point


def _multipliers() -> tuple[tuple[int, ...], ...]:
    """Return the fixed odd 64-bit multipliers of `fold`: one row a number, one column an output."""
    stream = shake_256(FOLD_LABEL).digest(MOST_NUMBERS * OUTPUTS * WORD_BYTES)
    odd = [int.from_bytes(stream[i : i + WORD_BYTES], "little") | 1 for i in range(0, len(stream), WORD_BYTES)]
    return tuple(tuple(odd[i : i + OUTPUTS]) for i in range(0, len(odd), OUTPUTS))


MULTIPLIERS = _multipliers()


def fold(values: bytes, count: int) -> tuple[float, ...]:
    """Fold the 64 output bytes of a network into `count` numbers, near uniform in [0, 1), 53 bits each.

    One output has at most 256 values, and outputs that read a digit in common are correlated; a linear mix of all of
    them with odd multipliers modulo 2^64 spreads what any of them tells over all bits of the sum.

    Raises:
        ParametersOutOfRange: There are not 64 outputs, or more numbers are asked for than there are multipliers.
    """
    if len(values) != OUTPUTS or not 1 <= count <= MOST_NUMBERS:
        raise ParametersOutOfRange("the network's outputs cannot be folded into parameters")
    return tuple(_fold_with(row, values) for row in MULTIPLIERS[:count])


def _fold_with(row: tuple[int, ...], values: bytes) -> float:
    mix: int = sum(map(mul, row, values)) & WORD_MASK
    return (mix >> UNIT_SHIFT) * UNIT


def parameters_from_outputs(chaotic_map: MapName, outputs: NetworkOutputs) -> ChaosParameters:
    """Turn a network's 64 output bytes into the control parameters of a map.

    Raises:
        ParametersOutOfRange: There are not 64 outputs.
    """
    return ChaosParameters(
        map=chaotic_map,
        values=_scale(chaotic_map, fold(outputs.values, MOST_NUMBERS)),
        origin="network",
        network=outputs.network,
        model_sha256=outputs.model_sha256,
        profile=outputs.profile,
    )


def parameters_from_secret(
    chaotic_map: MapName, secret: bytes, *, quantiser: Quantiser = Quantiser.WIDE
) -> ChaosParameters:
    """Derive all that a map starts from from a secret, for an image whose network could not be run.

    Args:
        chaotic_map: The map.
        secret: The image's secret.
        quantiser: How states of the hyperchaotic map become bytes; the other maps have none.
    """
    if chaotic_map is MapName.HYPERLORENZ_DNA:
        pattern = shake_256(PATTERN_LABEL + secret).digest(PATTERN_BYTES)
        return ChaosParameters(chaotic_map, _private_key(secret), "secret", pattern=pattern, quantiser=quantiser)
    stream = shake_256(SECRET_LABEL + chaotic_map.value.encode() + b"\x00" + secret)
    values = _scale(chaotic_map, _numbers(stream.digest(MOST_NUMBERS * WORD_BYTES)))
    return ChaosParameters(map=chaotic_map, values=values, origin="secret")


def parameters_from_features(
    features: FeatureVector, pattern: bytes, secret: bytes, quantiser: Quantiser
) -> ChaosParameters:
    """Return what cipher B starts from: V_B, and a private key drawn from the image's secret.

    Args:
        features: The features that V_B was made from.
        pattern: V_B, 125 bytes.
        secret: The image's secret.
        quantiser: How states become bytes.
    """
    return ChaosParameters(
        map=MapName.HYPERLORENZ_DNA,
        values=_private_key(secret),
        origin="network",
        network=features.network,
        model_sha256=features.model_sha256,
        profile=features.profile,
        pattern=pattern,
        quantiser=quantiser,
    )


def settles(r: float) -> bool:
    """Say whether the logistic map at r has a stable cycle, so that its orbits end up periodic.

    A stable cycle attracts the orbit of the critical point 1/2 (Singer 1978), so that orbit's Lyapunov exponent tells. Of
    10^6 values of r in the box 24 settle; their exponents lie below 0.2, all others above 0.6.
    """
    x = 0.5
    for _ in range(CRITICAL_BURN_IN):
        x = r * x * (1.0 - x)
    product = 0.0
    for _ in range(CRITICAL_STEPS):
        product += math.log(abs(r * (1.0 - 2.0 * x)) + TINY)
        x = r * x * (1.0 - x)
    return product < CRITICAL_STEPS * LEAST_EXPONENT


def check(parameters: ChaosParameters) -> None:
    """Refuse parameters outside the map's box: the wrong number of them, not a float, not finite, out of range.

    Cipher B's also need V_B, a quantiser, and whole numbers for v1 and v2; cipher A's have neither.

    Raises:
        ParametersOutOfRange: Any of these. The message names no value.
    """
    box = BOXES[parameters.map]
    values = parameters.values
    if len(values) != len(box):
        raise ParametersOutOfRange("the chaotic map has another number of parameters")
    for value, (low, high) in zip(values, box, strict=True):
        # Not-a-number fails both comparisons, hence the double negative.
        if type(value) is not float or not low <= value <= high:
            raise ParametersOutOfRange("a chaotic parameter lies outside its range")
    hyper = parameters.map is MapName.HYPERLORENZ_DNA
    if hyper and not all(value.is_integer() for value in values[COORDINATES:]):
        raise ParametersOutOfRange("a chaotic parameter lies outside its range")
    if len(parameters.pattern) != (PATTERN_BYTES if hyper else 0) or (parameters.quantiser is not None) != hyper:
        raise ParametersOutOfRange("the chaotic map goes with other bits or another quantiser")


def _private_key(secret: bytes) -> tuple[float, ...]:
    """Draw x1 to x4, v1 and v2 of cipher B."""
    digest = shake_256(KEY_LABEL + secret).digest(COORDINATES * WORD_BYTES + 2)
    states = _scale(MapName.HYPERLORENZ_DNA, _numbers(digest[:-2]))
    return (*states, float(digest[-2]), float(digest[-1]))


def _numbers(digest: bytes) -> tuple[float, ...]:
    """Read 64-bit little-endian words as numbers in [0, 1), 53 bits each."""
    words = (int.from_bytes(digest[i : i + WORD_BYTES], "little") for i in range(0, len(digest), WORD_BYTES))
    return tuple((word >> UNIT_SHIFT) * UNIT for word in words)


def _scale(chaotic_map: MapName, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Map numbers in [0, 1) onto the box; every scale is a power of two, so every step is exact or rounded once.

    Raises:
        ParametersOutOfRange: None of the numbers gives an r that does not settle.
    """
    if chaotic_map is MapName.LOGISTIC:
        return (_first_restless(_logistic(number) for number in numbers),)
    return tuple(low + (high - low) * number for number, (low, high) in zip(numbers, BOXES[chaotic_map], strict=False))


def _logistic(number: float) -> float:
    # 38 bits of the fraction are all that fits: the spacing of float64 next to 4 is 2^-51.
    return 4.0 - (int(number * 2.0**38) + 2**18) * 2.0**-51


def _first_restless(candidates: Iterable[float]) -> float:
    for r in candidates:
        if not settles(r):
            return r
    raise ParametersOutOfRange("every r that the numbers give lies in a periodic window")
