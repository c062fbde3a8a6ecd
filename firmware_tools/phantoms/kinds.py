"""Name what can be drawn: every kind has one modality and one anatomy."""

from enum import StrEnum


class Modality(StrEnum):
    """How an image came about."""

    XRAY = "xray"
    FUNDUS = "fundus"
    CT = "ct"
    MR = "mr"
    ULTRASOUND = "ultrasound"
    OTHER = "other"


class Kind(StrEnum):
    """What an image shows; the part before the first hyphen says by which modality."""

    XRAY_CHEST_PA = "xray-chest-pa"
    XRAY_CHEST_LATERAL = "xray-chest-lateral"
    XRAY_LIMB = "xray-limb"
    XRAY_HAND = "xray-hand"
    XRAY_SKULL = "xray-skull"
    XRAY_PELVIS = "xray-pelvis"
    FUNDUS_COLOUR = "fundus-colour"
    FUNDUS_DETAIL = "fundus-detail"
    CT_HEAD = "ct-head"
    CT_CHEST = "ct-chest"
    CT_ABDOMEN = "ct-abdomen"
    MR_HEAD_AXIAL = "mr-head-axial"
    MR_HEAD_SAGITTAL = "mr-head-sagittal"
    MR_JOINT = "mr-joint"
    MR_SPINE = "mr-spine"
    MR_BODY = "mr-body"
    US_SECTOR = "us-sector"
    US_LINEAR = "us-linear"
    OTHER_PHOTO = "other-photo"
    OTHER_GRAPHIC = "other-graphic"

    @property
    def modality(self) -> Modality:
        """Tell by which modality such an image is made."""
        prefix = self.value.split("-", 1)[0]
        return Modality.ULTRASOUND if prefix == "us" else Modality(prefix)


def labels(kind: Kind) -> tuple[int, int]:
    """Give the place of the kind's modality among all modalities, and that of the kind among all kinds."""
    return list(Modality).index(kind.modality), list(Kind).index(kind)
