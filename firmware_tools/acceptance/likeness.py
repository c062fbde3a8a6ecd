"""How well the feature network's features tell modalities apart: on drawings it never saw, and on real images.

The rule kept here: the network learnt from drawings alone, so real images are judged by what it learnt from drawings and
by one another, never by a classifier that has seen them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edge.errors import PixelsUnavailable
from edge.inference.networks import FeatureNetwork
from edge.intake.pixels import PixelReader
from edge.protocol import FEATURES
from edge.records import Picture, SettledFile
from firmware_tools.phantoms import Kind, Modality, draw

# What real images are by the first words of their names; all other images are ordinary pictures.
_PREFIXES: Final = {
    "cxr": Modality.XRAY,
    "fundus": Modality.FUNDUS,
    "ct": Modality.CT,
    "derived_ct": Modality.CT,
    "mr": Modality.MR,
    "derived_mr": Modality.MR,
    "us": Modality.ULTRASOUND,
}
MEDICAL: Final = tuple(modality for modality in Modality if modality is not Modality.OTHER)
_SUFFIXES: Final = frozenset((".jpg", ".png", ".tif", ".dcm"))
_PER_KIND: Final = 24
_SEED: Final = 20_261_128

Features = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Likeness:
    """What features say of pictures.

    Attributes:
        drawings: How many held-out drawings there were, and how many got their modality and their kind right from the kind
            of other drawings whose mean is nearest. A modality alone has no mean worth the name: a skull and a hand are
            both radiographs, and what lies between them is neither.
        named: How many real images there were, and how many got their modality right in the same way.
        wrong: What the others were, and what they were taken for.
        neighbours: Real medical images whose modality has another image, and how many are most like one of their own.
        ones: The share of ones in V_B over all pictures.
        modalities: The modality of each real medical image, in the order of `matrix`.
        matrix: How alike real medical images are: cosines, float64 (n, n).
    """

    drawings: tuple[int, int, int]
    named: tuple[int, int]
    wrong: tuple[tuple[str, str], ...]
    neighbours: tuple[int, int]
    ones: float
    modalities: tuple[Modality, ...]
    matrix: Features


def measure_likeness(network: FeatureNetwork, images: Path | None) -> Likeness:
    """Measure what the features of drawings and of real images say.

    Args:
        network: The quantised network.
        images: The folder of real images; None where there are none.
    """
    kinds = [kind for kind in Kind for _ in range(_PER_KIND)]
    drawn = _drawn(network, kinds)
    real, modalities = _real(network, images)
    held_out = list(zip(kinds[1::2], _nearest_mean(drawn[1::2], drawn[::2], kinds[::2]), strict=True))
    taken = [kind.modality for kind in _nearest_mean(real, drawn, kinds)]
    wrong = [(was.value, taken_for.value) for was, taken_for in zip(modalities, taken, strict=True) if was != taken_for]
    medical = [number for number, modality in enumerate(modalities) if modality in MEDICAL]
    matrix = real[medical] @ real[medical].T
    chosen = tuple(modalities[number] for number in medical)
    return Likeness(
        drawings=(
            len(held_out),
            sum(was.modality is found.modality for was, found in held_out),
            sum(was is found for was, found in held_out),
        ),
        named=(len(modalities), len(modalities) - len(wrong)),
        wrong=tuple(wrong),
        neighbours=_own_neighbours(matrix, chosen),
        ones=float((np.concatenate([drawn, real]) > 0).mean()),
        modalities=chosen,
        matrix=matrix,
    )


def _nearest_mean(features: Features, known: Features, kinds: Sequence[Kind]) -> list[Kind]:
    """Name each picture by the kind whose known pictures' mean it is most like."""
    names = list(dict.fromkeys(kinds))
    means = _unit(np.stack([known[[kind is name for kind in kinds]].mean(axis=0) for name in names]))
    return [names[n] for n in (features @ means.T).argmax(axis=1)]


def _own_neighbours(matrix: Features, modalities: Sequence[Modality]) -> tuple[int, int]:
    """Return how many pictures have another of their modality, and how many of these are most like such a one."""
    judged = [n for n, modality in enumerate(modalities) if modalities.count(modality) > 1]
    others = matrix - 4 * np.eye(len(modalities))
    return len(judged), sum(modalities[int(others[n].argmax())] is modalities[n] for n in judged)


def _drawn(network: FeatureNetwork, kinds: Sequence[Kind]) -> Features:
    rows = []
    for number, kind in enumerate(tqdm(kinds, unit="drawing", desc=network.name.value, mininterval=1)):
        picture = Picture(draw(kind, np.random.default_rng([_SEED, number])))
        rows.append(np.frombuffer(network.features(picture).values, np.int8))
    return _unit(np.array(rows, np.float64))


def _real(network: FeatureNetwork, images: Path | None) -> tuple[Features, list[Modality]]:
    """Return the features of the real images in a folder, and what they are."""
    rows, modalities = [], []
    with PixelReader() as reader:
        for path in sorted(images.iterdir()) if images else ():
            if path.suffix not in _SUFFIXES:
                continue
            status = path.stat()
            file = SettledFile(path, path.name, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
            try:
                picture = reader.picture(file)
            except PixelsUnavailable:
                continue
            rows.append(np.frombuffer(network.features(picture).values, np.int8))
            modalities.append(modality_of(path.name))
    features = np.array(rows, np.float64) if rows else np.empty((0, FEATURES))
    return _unit(features), modalities


def modality_of(name: str) -> Modality:
    """Say what a real image is by the first words of its name."""
    words = name.split("_")
    return _PREFIXES.get("_".join(words[:2])) or _PREFIXES.get(words[0], Modality.OTHER)


def _unit(features: Features) -> Features:
    """Scale each row to length 1."""
    lengths = np.sqrt((features**2).sum(axis=1, keepdims=True))
    scaled: Features = np.divide(features, lengths, out=np.zeros_like(features), where=lengths > 0)
    return scaled
