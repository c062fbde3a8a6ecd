"""What features say is counted as it is: right kind, right modality by another kind, and nearest real neighbours."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.protocol import FEATURES
from edge.records import FeatureNetworkName, FeatureVector, Picture
from firmware_tools.acceptance import likeness
from firmware_tools.phantoms import Kind, Modality

PER_KIND = likeness._PER_KIND


class Network:
    """A feature network that answers with the given rows, one after the other."""

    name = FeatureNetworkName.VGG16

    def __init__(self, rows: Iterator[np.ndarray]) -> None:
        self._rows = rows

    def features(self, _picture: Picture) -> FeatureVector:
        return FeatureVector(next(self._rows).astype(np.int8).tobytes(), self.name, bytes(32), "test")


@pytest.fixture(autouse=True)
def _blank_drawings(monkeypatch: pytest.MonkeyPatch) -> None:
    # The network of these tests does not look at them.
    monkeypatch.setattr(likeness, "draw", lambda _kind, _generator: np.zeros((224, 224, 3), np.uint8))


def sign_of(place: int) -> np.ndarray:
    """Return features that point to one place and nowhere else."""
    return np.where(np.arange(FEATURES) == place, 127, 0)


def drawn(held_out: dict[Kind, Kind]) -> Iterator[np.ndarray]:
    """Yield features of each drawing's own kind; of every other one, those of the kind that it is taken for."""
    for kind in Kind:
        for number in range(PER_KIND):
            shown = held_out.get(kind, kind) if number % 2 else kind
            yield sign_of(list(Kind).index(shown))


def test_a_kind_taken_for_another_of_its_modality_still_tells_the_modality() -> None:
    count = len(Kind) * PER_KIND // 2
    assert likeness.measure_likeness(Network(drawn({})), None).drawings == (count, count, count)
    within = {Kind.XRAY_SKULL: Kind.XRAY_HAND}
    found = likeness.measure_likeness(Network(drawn(within)), None)
    assert found.drawings == (count, count, count - PER_KIND // 2)
    across = {Kind.XRAY_SKULL: Kind.CT_HEAD}
    found = likeness.measure_likeness(Network(drawn(across)), None)
    assert found.drawings == (count, count - PER_KIND // 2, count - PER_KIND // 2)


def test_real_images_are_named_by_drawings_and_compared_with_one_another(tmp_path: Path) -> None:
    # In the order of their names: two CTs that are alike, an MR and a CT that are alike, an ordinary picture.
    shown = {
        "ct_1.png": (Kind.CT_HEAD, 500),
        "ct_2.png": (Kind.CT_CHEST, 500),
        "ct_3.png": (Kind.MR_SPINE, 600),
        "exif_camera.png": (Kind.OTHER_PHOTO, 700),
        "mr_1.png": (Kind.MR_BODY, 600),
    }
    for name in shown:
        Image.new("L", (8, 8), 99).save(tmp_path / name)
    rows = [sign_of(list(Kind).index(kind)) // 2 + sign_of(place) for kind, place in shown.values()]
    found = likeness.measure_likeness(Network(iter([*drawn({}), *rows])), tmp_path)
    assert found.named == (5, 4)
    assert found.wrong == (("ct", "mr"),)
    assert found.modalities == (Modality.CT, Modality.CT, Modality.CT, Modality.MR)
    # The third CT is most like an MR; the MR has no other of its own and is not judged.
    assert found.neighbours == (3, 2)
