"""The networks as the device uses them: loaded, recognised by their known answers, and run.

The rule kept here: a network that computes wrongly here is refused before its first image, and what it then gives names
the numeric profile that gave it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from edge.chaos.parameters import OUTPUTS
from edge.errors import ModelRefused
from edge.inference.manifest import ModelManifest, models_directory, read_manifest, read_model
from edge.inference.runtime import Interpreter, Tensor
from edge.metadata_image import ENCODING, metadata_image
from edge.picture import PREPARATION
from edge.protocol import FEATURES
from edge.records import (
    SIDE,
    FeatureNetworkName,
    FeatureVector,
    MetadataImage,
    MetadataRecord,
    NetworkName,
    NetworkOutputs,
    Picture,
)

UNLISTED: Final = "unlisted"
"""The numeric profile of a runtime whose answers are near the known ones, but equal none of them."""

_PIXELS: Final = Tensor((1, SIDE, SIDE, 3), "uint8")
# How far, in steps of an output byte, an answer may lie from a known one. The known profiles lie up to 18 from one another
# (measured); a runtime that computes wrongly is off by a hundred or gives constants.
_NEAR: Final = 24


class ParameterNetwork:
    """A loaded parameter network. Make one with `load`; several threads may share it."""

    def __init__(self, name: NetworkName, manifest: ModelManifest, interpreter: Interpreter) -> None:
        self.name = name
        self.model_sha256 = manifest.sha256
        self.profile = _profile(manifest, interpreter, record_pixels, np.uint8)
        self._interpreter = interpreter

    @classmethod
    def load(
        cls, name: NetworkName, *, directory: Path | None = None, threads: int = 2, runtime: str | None = None
    ) -> Self:
        """Load a network, check that it is the one its manifest names, and that it gives the known answers.

        Args:
            name: Which network.
            directory: The folder of the files and their manifests; by default the one that came with the package.
            threads: Processor threads of one inference, 1 to 64. Outputs do not depend on it.
            runtime: "ai-edge-litert" or "tflite-runtime"; by default the first of them that is installed.

        Returns:
            The network, ready to run. Its `profile` is the numeric profile and the runtime, for example
            ``xnnpack:ai-edge-litert-2.3.0/xnnpack/x86_64``: wherever the numeric profile is the same, the same file
            gives the same outputs.

        Raises:
            ModelMissing: There is no manifest or no file.
            ModelRefused: The file is not the one that the manifest names, not a parameter network, was trained for
                another drawing, or gives other answers than the known ones.
            RuntimeMissing: No runtime, or not the one asked for, can be used here.
        """
        gives = Tensor((1, OUTPUTS), "uint8")
        return cls(name, *_load(name, directory, reads=ENCODING, gives=gives, threads=threads, runtime=runtime))

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Run the network once.

        Args:
            image: A metadata image, uint8 (224, 224, 3).

        Returns:
            Its 64 output bytes, and what produced them.

        Raises:
            ModelFailed: The image is not of this shape and type, or the interpreter failed.
        """
        values = self._interpreter.run(image.pixels)
        return NetworkOutputs(values=values, network=self.name, model_sha256=self.model_sha256, profile=self.profile)


class FeatureNetwork:
    """A loaded feature network. Make one with `load`; several threads may share it."""

    def __init__(self, name: FeatureNetworkName, manifest: ModelManifest, interpreter: Interpreter) -> None:
        self.name = name
        self.model_sha256 = manifest.sha256
        self.profile = _profile(manifest, interpreter, question_picture, np.int8)
        self._interpreter = interpreter

    @classmethod
    def load(
        cls,
        name: FeatureNetworkName = FeatureNetworkName.VGG16,
        *,
        directory: Path | None = None,
        threads: int = 2,
        runtime: str | None = None,
    ) -> Self:
        """Load a network; arguments, result and errors are those of `ParameterNetwork.load`."""
        gives = Tensor((1, FEATURES), "int8")
        return cls(name, *_load(name, directory, reads=PREPARATION, gives=gives, threads=threads, runtime=runtime))

    def features(self, picture: Picture) -> FeatureVector:
        """Run the network once.

        Args:
            picture: An image made ready, uint8 (224, 224, 3).

        Returns:
            Its 1000 features, and what produced them.

        Raises:
            ModelFailed: The picture is not of this shape and type, or the interpreter failed.
        """
        values = self._interpreter.run(picture.pixels)
        return FeatureVector(values=values, network=self.name, model_sha256=self.model_sha256, profile=self.profile)


def question_picture(question: int) -> NDArray[np.uint8]:
    """Return the picture that a question of a feature network's manifest names: stripes and squares, by integers only."""
    number = int(question)
    row, column, channel = np.indices((SIDE, SIDE, 3), dtype=np.int64)
    levels = (((number + 1) * row) ^ ((2 * number + 1) * column)) + 85 * channel
    pixels: NDArray[np.uint8] = (levels & 0xFF).astype(np.uint8)
    return pixels


def record_pixels(question: dict[str, Any]) -> NDArray[np.uint8]:
    """Return the metadata image that a question of a parameter network's manifest describes.

    Raises:
        KeyError, ValueError, TypeError: It describes none.
    """
    record = MetadataRecord(
        moment=datetime.fromisoformat(question["moment"]),
        camera=str(question["camera"]),
        width=int(question["width"]),
        height=int(question["height"]),
        size=int(question["size"]),
    )
    return metadata_image(record).pixels


def _load(
    name: NetworkName | FeatureNetworkName,
    directory: Path | None,
    *,
    reads: str,
    gives: Tensor,
    threads: int,
    runtime: str | None,
) -> tuple[ModelManifest, Interpreter]:
    folder = directory if directory is not None else models_directory()
    manifest = read_manifest(folder, name)
    if manifest.reads != reads:
        raise ModelRefused("the network was trained for another drawing of its input")
    content = read_model(folder, manifest)
    return manifest, Interpreter(content, threads=threads, runtime=runtime, reads=_PIXELS, gives=gives)


def _profile(
    manifest: ModelManifest,
    interpreter: Interpreter,
    pixels_of: Callable[[Any], NDArray[np.uint8]],
    dtype: type[np.uint8 | np.int8],
) -> str:
    """Ask the manifest's questions, and name the numeric profile whose known answers they were.

    Raises:
        ModelRefused: The answers are not even near those of any profile, or a question is malformed.
    """
    try:
        answers = tuple(interpreter.run(pixels_of(question)) for question in manifest.questions)
    except (KeyError, ValueError, TypeError) as error:
        raise ModelRefused("the manifest of the network is malformed") from error
    for profile, known in manifest.answers.items():
        if answers == known:
            return f"{profile}:{interpreter.name}"
    if not any(_near(answers, known, dtype) for known in manifest.answers.values()):
        raise ModelRefused(
            "the network gives other answers here than its known ones: the model runtime computes wrongly",
            hint="install another version of the model runtime",
        )
    return f"{UNLISTED}:{interpreter.name}"


def _near(answers: tuple[bytes, ...], known: tuple[bytes, ...], dtype: type[np.uint8 | np.int8]) -> bool:
    one, other = (np.frombuffer(b"".join(values), dtype=dtype).astype(np.int64) for values in (answers, known))
    return one.shape == other.shape and bool((np.abs(one - other) <= _NEAR).all())
