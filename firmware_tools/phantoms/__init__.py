"""Draw training images of every modality from random numbers alone, so that no patient's image is needed.

The same state of the generator gives the same picture; no clock and no disk is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from firmware_tools.phantoms import (
    chest,
    chest_side,
    ct,
    fundus,
    graphic,
    hands,
    limbs,
    mr,
    pelvis,
    photo,
    skull,
    ultrasound,
    vary,
)
from firmware_tools.phantoms.kinds import Kind, Modality, labels

__all__ = ["LARGEST_SIDE", "SMALLEST_SIDE", "Kind", "Modality", "draw", "labels"]

SMALLEST_SIDE: Final = 32
"""Pixels; below this nothing of a drawing is left to be recognised."""
LARGEST_SIDE: Final = 1024
"""Pixels; the drawings hold no more detail than this shows."""

_Painter: TypeAlias = Callable[[np.random.Generator, int], vary.Picture]
_PAINTERS: Final[Mapping[Kind, _Painter]] = MappingProxyType(
    {
        Kind.XRAY_CHEST_PA: chest.chest_pa,
        Kind.XRAY_CHEST_LATERAL: chest_side.chest_lateral,
        Kind.XRAY_LIMB: limbs.limb,
        Kind.XRAY_HAND: hands.hand,
        Kind.XRAY_SKULL: skull.skull,
        Kind.XRAY_PELVIS: pelvis.pelvis,
        Kind.FUNDUS_COLOUR: fundus.colour,
        Kind.FUNDUS_DETAIL: fundus.detail,
        Kind.CT_HEAD: ct.ct_head,
        Kind.CT_CHEST: ct.ct_chest,
        Kind.CT_ABDOMEN: ct.ct_abdomen,
        Kind.MR_HEAD_AXIAL: mr.mr_head_axial,
        Kind.MR_HEAD_SAGITTAL: mr.mr_head_sagittal,
        Kind.MR_JOINT: mr.mr_joint,
        Kind.MR_SPINE: mr.mr_spine,
        Kind.MR_BODY: mr.mr_body,
        Kind.US_SECTOR: ultrasound.us_sector,
        Kind.US_LINEAR: ultrasound.us_linear,
        Kind.OTHER_PHOTO: photo.photo,
        Kind.OTHER_GRAPHIC: graphic.graphic,
    }
)


def draw(kind: Kind, rng: np.random.Generator, side: int = 224) -> NDArray[np.uint8]:
    """Draw one image of `kind`, as the feature network sees it.

    Args:
        kind: What to draw.
        rng: The only source of randomness; the same state gives the same picture.
        side: Height and width in pixels.

    Returns:
        RGB, uint8 (side, side, 3): the image with its aspect ratio kept, its longer side `side`, centred on black.
        Gray images have three equal channels, but for the few that an export has tinted.

    Raises:
        ValueError: `side` is not from `SMALLEST_SIDE` to `LARGEST_SIDE`.
    """
    if not SMALLEST_SIDE <= side <= LARGEST_SIDE:
        raise ValueError(f"a side of {side} pixels is not from {SMALLEST_SIDE} to {LARGEST_SIDE}")
    picture = _PAINTERS[kind](rng, side)
    return vary.letterbox(vary.export(picture, rng), side)
