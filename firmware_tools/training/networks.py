"""The networks, from scratch: MobileNetV2 as Keras ships it, ResNet-18 and VGG16 written out.

The rule kept here: nothing pretrained goes in, weights do not depend on the side of the input up to the first dense
layer, and TensorFlow is imported only when a network is built.
"""

from __future__ import annotations

import importlib
import os
from typing import Any, Final

from edge.chaos.parameters import OUTPUTS
from edge.errors import UsageError
from edge.protocol import FEATURES
from edge.records import SIDE, FeatureNetworkName, NetworkName

# The paper's four stages (He et al. 2016, table 1): width and the stride of the first of two blocks.
_RESNET18_STAGES: Final = ((64, 1), (128, 2), (256, 2), (512, 2))
# Configuration D (Simonyan and Zisserman 2015, table 1): width and convolutions of each stage; 13 of the 16 weight layers.
_VGG16_STAGES: Final = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))
_VGG16_DENSE: Final = 4096
_VGG16_LAST_SIDE: Final = 7


def tensorflow() -> Any:
    """Import TensorFlow.

    Raises:
        UsageError: It is not installed.
    """
    # Its native code narrates every conversion on standard error.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Its default where the processor has AVX-512; where it has only AVX2, steps of ResNet-18 take a quarter of the time.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    try:
        return importlib.import_module("tensorflow")
    except ImportError as error:
        raise UsageError(
            "TensorFlow is not installed: it trains and quantises the networks, and devices do without it",
            hint="pip install 'edge-encryptor[train]'",
        ) from error


def build_parameter_network(name: NetworkName, *, side: int = SIDE) -> Any:
    """Build an untrained parameter network.

    Args:
        name: Which one.
        side: Height and width of its input in pixels. Weights do not depend on it.

    Returns:
        A Keras model: float32 (n, side, side, 3) in [0, 1] to float32 (n, 64) in (0, 1).

    Raises:
        UsageError: TensorFlow is not installed.
    """
    keras = tensorflow().keras
    inputs = keras.Input((side, side, 3))
    if name is NetworkName.MOBILENETV2:
        # Sandler et al. 2018, in Keras's own words; the weights start random, nothing is downloaded.
        body = keras.applications.MobileNetV2(input_tensor=inputs, include_top=False, weights=None)
        features = body.output
    else:
        features = _resnet18(keras, inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(features)
    return keras.Model(inputs, keras.layers.Dense(OUTPUTS, activation="sigmoid")(pooled), name=name.value)


def build_feature_network(*, width: float, side: int = SIDE) -> Any:
    """Build an untrained feature network: the 16 weight layers of VGG16, with batch normalisation.

    Args:
        width: What the published number of channels and of hidden dense units is multiplied by; 1 is VGG16.
        side: Height and width of its input in pixels, 7 times a power of two. Halving goes on to a map of 7 x 7 and no
            further, so weights do not depend on it.

    Returns:
        A Keras model: float32 (n, side, side, 3) in [0, 1] to float32 (n, 1000) in (-1, 1).

    Raises:
        UsageError: TensorFlow is not installed.
    """
    keras = tensorflow().keras
    layers = keras.layers
    inputs = keras.Input((side, side, 3))
    x = inputs
    for channels, convolutions in _VGG16_STAGES:
        for _ in range(convolutions):
            x = layers.ReLU()(_convolution(keras, x, round(channels * width), kernel=3, stride=1))
        if x.shape[1] > _VGG16_LAST_SIDE:
            x = layers.MaxPooling2D(2)(x)
    x = layers.Flatten()(x)
    for _ in range(2):
        x = layers.Dense(round(_VGG16_DENSE * width), use_bias=False, kernel_initializer="he_normal")(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    outputs = layers.Dense(FEATURES, activation="tanh", name="features")(x)
    return keras.Model(inputs, outputs, name=FeatureNetworkName.VGG16.value)


def _resnet18(keras: Any, inputs: Any) -> Any:
    """Return the feature map of ResNet-18 (He et al. 2016): (n, side / 32, side / 32, 512)."""
    layers = keras.layers
    x = _convolution(keras, inputs, 64, kernel=7, stride=2)
    x = layers.ReLU()(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    for width, stride in _RESNET18_STAGES:
        x = _basic_block(keras, x, width, stride=stride)
        x = _basic_block(keras, x, width, stride=1)
    return x


def _basic_block(keras: Any, x: Any, width: int, *, stride: int) -> Any:
    """Return two 3x3 convolutions beside a shortcut, which is projected where the shape changes (option B)."""
    layers = keras.layers
    shortcut = x
    if stride != 1 or x.shape[-1] != width:
        shortcut = _convolution(keras, x, width, kernel=1, stride=stride)
    x = layers.ReLU()(_convolution(keras, x, width, kernel=3, stride=stride))
    x = _convolution(keras, x, width, kernel=3, stride=1)
    return layers.ReLU()(layers.Add()([x, shortcut]))


def _convolution(keras: Any, x: Any, width: int, *, kernel: int, stride: int) -> Any:
    """Return a convolution without bias, batch-normalised."""
    layers = keras.layers
    x = layers.Conv2D(width, kernel, strides=stride, padding="same", use_bias=False, kernel_initializer="he_normal")(x)
    return layers.BatchNormalization(momentum=0.9)(x)
