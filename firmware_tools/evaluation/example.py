"""Write the images of the example report: the demo's phantoms, and a phantom of 16-bit colour.

The rule kept here: the phantom of 16-bit colour is drawn in 16 bits, not stretched from 8, and is DICOM, of whose samples the
product's decoder drops nothing.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, OphthalmicPhotography16BitImageStorage, generate_uid

from edge.demo.fundus import draw_fundus
from edge.demo.phantoms import write_phantoms

_SEED: Final = 7
_DEEP: Final = "OP_OD_0003.dcm"


def write_images(folder: Path) -> tuple[Path, ...]:
    """Write the phantoms into `folder`, which is made if absent; the same bytes each time.

    Returns:
        The files: those of `write_phantoms`, and a DICOM file of uint16 (1400, 1400, 3).

    Raises:
        OSError: a file cannot be written.
    """
    phantoms = write_phantoms(folder, seed=_SEED)
    deep = folder / _DEEP
    _photograph().save_as(deep, enforce_file_format=True)
    return (*phantoms, deep)


def _photograph() -> Dataset:
    samples = draw_fundus(np.random.default_rng([_SEED, 16]), right_eye=True, bits=16)
    dataset = Dataset()
    dataset.SOPClassUID = OphthalmicPhotography16BitImageStorage
    dataset.SOPInstanceUID = generate_uid(entropy_srcs=[_DEEP, str(_SEED)])
    dataset.Modality = "OP"
    dataset.AcquisitionDateTime = "20250312094105.250000+0100"
    dataset.SamplesPerPixel, dataset.PlanarConfiguration, dataset.PhotometricInterpretation = 3, 0, "RGB"
    dataset.Rows, dataset.Columns, _ = samples.shape
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 0
    dataset.PixelData = samples.astype("<u2").tobytes()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return dataset


if __name__ == "__main__":
    for path in write_images(Path(sys.argv[1])):
        print(path)
