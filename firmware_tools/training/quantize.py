"""Turn a trained network into a full-integer TFLite file: bytes in, bytes out, every operator in int8.

The rule kept here: the input byte of the file is the pixel itself (scale 1/255, zero point 0), so that no device
scales anything, and the batch-norm statistics are measured on the data before they are folded away.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelRefused
from firmware_tools.training.networks import tensorflow

_INPUT_SCALE: Final = 1 / 255
# The converter stores scales as float32.
_SCALE_TOLERANCE: Final = 1e-6


def calibrate_batch_norm(model: Any, batches: Iterable[NDArray[np.float32]]) -> None:
    """Measure every batch-norm layer's mean and variance anew, as the plain mean over batches.

    Moving averages lag behind the weights after a short training, and a quantised network then answers nearly the same
    to every image (79 distinct of 2,000 were measured).

    Args:
        model: A Keras model; its statistics are replaced in place.
        batches: Images, float32 (n, side, side, 3) in [0, 1], equally many in each.
    """
    layers = [layer for layer in model.layers if type(layer).__name__ == "BatchNormalization"]
    kept = [layer.momentum for layer in layers]
    for number, batch in enumerate(batches):
        for layer in layers:
            # This momentum makes the moving average the plain average of all batches so far.
            layer.momentum = number / (number + 1)
        model(batch, training=True)
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum


def quantize(model: Any, images: Iterable[NDArray[np.float32]], *, output: Literal["uint8", "int8"]) -> bytes:
    """Convert a float model to a full-integer TFLite file.

    Args:
        model: A Keras model with inputs in [0, 1].
        images: Representative images, float32 (224, 224, 3): they set the range of every tensor.
        output: The type of the output bytes.

    Returns:
        The file: uint8 (1, 224, 224, 3) to bytes (1, n).

    Raises:
        ModelRefused: The converter did not map a pixel to its own byte.
        UsageError: TensorFlow is not installed.
    """
    tf = tensorflow()

    def representative() -> Iterator[list[NDArray[np.float32]]]:
        for image in images:
            yield [image[None]]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = tf.uint8
    converter.inference_output_type = getattr(tf, output)
    # Keras lists every variable of the model on standard output, which belongs to the command's own answer; and the
    # converter warns that it has no statistics of the inputs, which it is about to collect.
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        content: bytes = converter.convert()
    _check_input(content)
    return content


def describe_tensors(content: bytes) -> dict[str, dict[str, Any]]:
    """Describe a file's input and output: shape, dtype, scale and zero point of each.

    Args:
        content: A TFLite file with one input and one output.

    Raises:
        UsageError: TensorFlow is not installed.
    """
    with warnings.catch_warnings():
        # TensorFlow's own interpreter is leaving it; for reading two descriptions it will do.
        warnings.simplefilter("ignore")
        interpreter = tensorflow().lite.Interpreter(model_content=content)
    described = {}
    for key, details in (("input", interpreter.get_input_details()), ("output", interpreter.get_output_details())):
        scale, zero_point = details[0]["quantization"]
        described[key] = {
            "shape": [int(n) for n in details[0]["shape"]],
            "dtype": np.dtype(details[0]["dtype"]).name,
            "scale": float(scale),
            "zero_point": int(zero_point),
        }
    return described


def _check_input(content: bytes) -> None:
    """Refuse a file whose input byte is not the pixel."""
    entry = describe_tensors(content)["input"]
    if abs(entry["scale"] - _INPUT_SCALE) > _SCALE_TOLERANCE or entry["zero_point"] != 0:
        raise ModelRefused("the quantised input is not the pixel byte", hint="give more representative images")
