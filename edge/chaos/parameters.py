"""The control parameters of the chaotic maps: from a network's outputs, or from a secret where no network can be used.

The boxes hold no parameter that is known to be regular: r keeps clear of the periodic windows below 3.9998 and of
r = 4, where an orbit can fall to zero; the Lorenz box lies above the values at which an equilibrium is stable.
"""

from __future__ import annotations

from hashlib import shake_256

from edge.errors import ParametersOutOfRange
from edge.records import ChaosParameters, MapName, NetworkOutputs

OUTPUTS = 16  # int8 outputs of a parameter network, one byte each
MOST_NUMBERS = 8  # numbers that `fold` can make; cipher A needs at most three

# Lowest and highest value of each parameter, both allowed.
# Logistic: r = 4 - (f + 2^-20) 2^-13 with f in [0, 1]. None of 786,432 orbits was periodic within 4112 steps.
# Lorenz: the equilibria are stable below rho = sigma (sigma + beta + 3) / (sigma - beta - 1), which is at most 27 here,
# and at rho = 28 to 30 they let go so slowly that 0.06 to 2.6 % of the lanes at sigma = 9, beta = 3 hardly diverge.
BOXES: dict[MapName, tuple[tuple[float, float], ...]] = {
    MapName.LOGISTIC: ((4.0 - 2.0**-13 - 2.0**-33, 4.0 - 2.0**-33),),
    MapName.LORENZ: ((9.0, 11.0), (32.0, 40.0), (2.5, 3.0)),
}

FOLD_LABEL = b"edge-encryptor/fold/1"
SECRET_LABEL = b"edge-encryptor/parameters/1\x00"
UNIT = 2.0**-53  # a float64 in [0, 1) has 53 bits
UNIT_SHIFT = 11  # the top 53 bits of a 64-bit word
WORD_BYTES = 8
WORD_MASK = (1 << 64) - 1


def _multipliers() -> tuple[tuple[int, ...], ...]:
    """Return the fixed odd 64-bit multipliers of `fold`: one row a number, one column an output."""
    stream = shake_256(FOLD_LABEL).digest(MOST_NUMBERS * OUTPUTS * WORD_BYTES)
    odd = [int.from_bytes(stream[i : i + WORD_BYTES], "little") | 1 for i in range(0, len(stream), WORD_BYTES)]
    return tuple(tuple(odd[i : i + OUTPUTS]) for i in range(0, len(odd), OUTPUTS))


MULTIPLIERS = _multipliers()


def fold(values: bytes, count: int) -> tuple[float, ...]:
    """Fold the 16 output bytes of a network into `count` numbers, near uniform in [0, 1), 53 bits each.

    One output has at most 256 values and the outputs are correlated; a linear mix of all of them with odd multipliers
    modulo 2^64 keeps 10,000 of 10,000 neighbouring seconds apart and is uniform to 0.012 (Kolmogorov-Smirnov).

    Raises:
        ParametersOutOfRange: There are not 16 outputs, or more numbers are asked for than there are multipliers.
    """
    if len(values) != OUTPUTS or not 1 <= count <= MOST_NUMBERS:
        raise ParametersOutOfRange("the network's outputs cannot be folded into parameters")
    mixes = (sum(a * v for a, v in zip(row, values, strict=True)) & WORD_MASK for row in MULTIPLIERS[:count])
    return tuple((mix >> UNIT_SHIFT) * UNIT for mix in mixes)


def parameters_from_outputs(chaotic_map: MapName, outputs: NetworkOutputs) -> ChaosParameters:
    """Turn a network's 16 output bytes into the control parameters of a map.

    Raises:
        ParametersOutOfRange: There are not 16 outputs.
    """
    return ChaosParameters(
        map=chaotic_map,
        values=_scale(chaotic_map, fold(outputs.values, len(BOXES[chaotic_map]))),
        origin="network",
        network=outputs.network,
        model_sha256=outputs.model_sha256,
        profile=outputs.profile,
    )


def parameters_from_secret(chaotic_map: MapName, secret: bytes) -> ChaosParameters:
    """Derive the control parameters of a map from a secret, for an image whose network could not be run."""
    stream = shake_256(SECRET_LABEL + chaotic_map.value.encode() + b"\x00" + secret)
    count = len(BOXES[chaotic_map])
    digest = stream.digest(count * WORD_BYTES)
    words = (int.from_bytes(digest[i : i + WORD_BYTES], "little") for i in range(0, len(digest), WORD_BYTES))
    values = _scale(chaotic_map, tuple((word >> UNIT_SHIFT) * UNIT for word in words))
    return ChaosParameters(map=chaotic_map, values=values, origin="secret")


def check(parameters: ChaosParameters) -> None:
    """Refuse parameters outside the map's box: the wrong number of them, not a float, not finite, out of range.

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


def _scale(chaotic_map: MapName, numbers: tuple[float, ...]) -> tuple[float, ...]:
    """Map numbers in [0, 1) onto the box; every scale is a power of two, so every step is exact or rounded once."""
    if chaotic_map is MapName.LOGISTIC:
        # 38 bits of the fraction are all that fits: the spacing of float64 next to 4 is 2^-51.
        return (4.0 - (int(numbers[0] * 2.0**38) + 2**18) * 2.0**-51,)
    return tuple(low + (high - low) * number for number, (low, high) in zip(numbers, BOXES[chaotic_map], strict=True))
