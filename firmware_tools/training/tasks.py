"""What each network learns: its model in training, its batches, its loss, and what is kept of it afterwards.

The rule kept here: a batch is a function of a random generator alone, so a training can stop and go on anywhere.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from edge.records import FeatureNetworkName, NetworkName
from firmware_tools.phantoms import Kind, Modality, draw, labels
from firmware_tools.training import records
from firmware_tools.training.networks import build_feature_network, build_parameter_network, tensorflow
from firmware_tools.training.recipe import Recipe

Batch = tuple[NDArray[np.float32], NDArray[Any]]

_LABEL_SMOOTHING: Final = 0.1
_COSINE_SCALE: Final = 16.0
"""What cosines between features and kinds are multiplied by; 1 could never tell twenty kinds apart."""
_TURNED: Final = 0.15
"""The share of drawings that are turned on top. Exports turn pictures too, but too rarely for a network to learn them."""


class Task(Protocol):
    """One kind of network in training."""

    figure: str
    """What the second number of `scored` is called in loss curves."""

    def model(self, side: int) -> Any:
        """Return a compiled Keras model, untrained."""
        ...

    def batch(self, generator: np.random.Generator, count: int, side: int) -> Batch:
        """Return images float32 (count, side, side, 3) in [0, 1] and what to answer."""
        ...

    def scored(self, metrics: dict[str, float]) -> tuple[float, float]:
        """Return loss and figure of what Keras measured."""
        ...

    def kept(self, model: Any) -> Any:
        """Return the part of a trained model that ships."""
        ...


def task_for(recipe: Recipe) -> Task:
    """Return what the network of a recipe learns."""
    if isinstance(recipe.network, FeatureNetworkName):
        return FeatureTask(width=recipe.width)
    return ParameterTask(recipe.network)


class ParameterTask:
    """Read the digits of a metadata image."""

    figure = "mean squared error"

    def __init__(self, network: NetworkName) -> None:
        self._network = network

    def model(self, side: int) -> Any:
        """Return the network itself; the answers are numbers in (0, 1), as probabilities are."""
        model = build_parameter_network(self._network, side=side)
        model.compile(optimizer=tensorflow().keras.optimizers.Adam(), loss="binary_crossentropy", metrics=["mse"])
        return model

    def batch(self, generator: np.random.Generator, count: int, side: int) -> Batch:
        """Return metadata images of random records and their answers, float32 (count, 64)."""
        fields = records.random_fields(generator, count)
        return records.images(fields, side), records.targets(fields)

    def scored(self, metrics: dict[str, float]) -> tuple[float, float]:
        """Return the cross-entropy and the mean squared error."""
        return metrics["loss"], metrics["mse"]

    def kept(self, model: Any) -> Any:
        """Return all of it."""
        return model


class FeatureTask:
    """Tell the kinds of phantoms apart: which modality, which anatomy."""

    figure = "accuracy"

    def __init__(self, *, width: float) -> None:
        self._width = width

    def model(self, side: int) -> Any:
        """Return the feature network with a classifier behind it, which is dropped afterwards.

        It names a picture by the cosine between its features and a vector of each kind, because cosines are what
        pictures are compared by later (normalised softmax; Wang et al. 2017, NormFace).
        """
        keras = tensorflow().keras
        features = build_feature_network(width=self._width, side=side)
        layers = keras.layers
        x = layers.UnitNormalization()(features.output)
        unit = keras.constraints.UnitNorm(axis=0)
        x = layers.Dense(len(Kind), use_bias=False, kernel_constraint=unit, name="kinds")(x)
        kinds = layers.Softmax()(layers.Rescaling(_COSINE_SCALE)(x))
        model = keras.Model(features.input, kinds, name=features.name)
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=_LABEL_SMOOTHING)
        model.compile(optimizer=keras.optimizers.Adam(), loss=loss, metrics=["accuracy"])
        return model

    def batch(self, generator: np.random.Generator, count: int, side: int) -> Batch:
        """Return phantoms, every modality equally often, and their kinds one-hot, float32 (count, kinds)."""
        kinds = [_random_kind(generator) for _ in range(count)]
        images = np.stack([_turned(draw(kind, generator, side), generator) for kind in kinds])
        answers = np.eye(len(Kind), dtype=np.float32)[[labels(kind)[1] for kind in kinds]]
        return images.astype(np.float32) / np.float32(255), answers

    def scored(self, metrics: dict[str, float]) -> tuple[float, float]:
        """Return the cross-entropy and the accuracy."""
        return metrics["loss"], metrics["accuracy"]

    def kept(self, model: Any) -> Any:
        """Return the feature network without the classifier."""
        return tensorflow().keras.Model(model.input, model.get_layer("features").output, name=model.name)


def _random_kind(generator: np.random.Generator) -> Kind:
    modality = list(Modality)[generator.integers(len(Modality))]
    kinds = [kind for kind in Kind if kind.modality is modality]
    return kinds[generator.integers(len(kinds))]


def _turned(image: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Turn some drawings by one, two or three quarters."""
    return np.rot90(image, int(generator.integers(1, 4)) if generator.random() < _TURNED else 0)
