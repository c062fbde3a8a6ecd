"""Deep features of an image: what the signed system's feature network makes of it, and the bits it lends the cipher.

The rule kept here: pure functions of bytes. Features depend on the decoder and on the runtime that made them, so they
travel with the image; nobody derives them again.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelFailed
from edge.protocol import FEATURES


def pattern_from_features(values: bytes) -> bytes:
    """Binarise features: a bit is one where the feature is above zero.

    Args:
        values: The features, int8 (1000,) as bytes.

    Returns:
        V_B, 125 bytes.

    Raises:
        ModelFailed: There are not 1000 features.
    """
    if len(values) != FEATURES:
        raise ModelFailed("the feature network gave another number of features")
    return np.packbits(np.frombuffer(values, dtype=np.int8) > 0).tobytes()


def similarities(one: bytes, others: Sequence[bytes]) -> NDArray[np.float64]:
    """Return how alike an image and others are by their features: the cosine of the angle between them, from -1 to 1.

    Args:
        one: The features of the image, int8 (1000,) as bytes.
        others: Those of n others.

    Returns:
        float64 (n,); 0 where either has no feature above or below zero at all.
    """
    left = np.frombuffer(one, dtype=np.int8).astype(np.float64)
    right = np.frombuffer(b"".join(others), dtype=np.int8).reshape(-1, FEATURES).astype(np.float64)
    lengths = np.sqrt(left @ left) * np.sqrt((right * right).sum(axis=1))
    cosines: NDArray[np.float64] = np.divide(right @ left, lengths, out=np.zeros(len(right)), where=lengths > 0)
    return cosines
