"""The questions by which a network is recognised, and its answers under every numeric profile that can be run here.

The rule kept here: a profile's answers were given by that profile's kernels, never derived from another's.
"""

from __future__ import annotations

import importlib
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

from numpy.typing import NDArray

from edge.errors import RuntimeMissing
from edge.inference.networks import question_picture, record_pixels
from edge.records import FeatureNetworkName, MetadataRecord, NetworkName

_RECORD: Final = MetadataRecord(
    moment=datetime(2024, 2, 29, 23, 59, 58),  # noqa: DTZ001 - most cameras write naive times
    camera="Example CR-2",
    width=2592,
    height=1944,
    size=1_843_200,
)
_PICTURES: Final = 2
_PICTURES_TRIED: Final = 200
"""Features saturate, so two profiles agree on most pictures: those are asked about that tell all profiles apart."""

# What equals what, bit for bit (measured): XNNPACK on any machine; tflite-runtime on x86; tflite-runtime on Arm.
_RESOLVERS: Final = {
    "xnnpack": "AUTO",
    "builtin-x86": "BUILTIN_WITHOUT_DEFAULT_DELEGATES",
    "builtin-arm": "BUILTIN_REF",
}


def known_answers(name: NetworkName | FeatureNetworkName, content: bytes) -> dict[str, Any]:
    """Ask a network's file a few questions under every numeric profile.

    Args:
        name: Which network it is.
        content: The file.

    Returns:
        `questions`, described as JSON values, and `answers`: for each profile one hexadecimal string a question.

    Raises:
        RuntimeMissing: ai-edge-litert is not installed.
    """
    questions: list[Any]
    if isinstance(name, FeatureNetworkName):
        questions = _telling_pictures(content)
        pixels = [question_picture(question) for question in questions]
    else:
        questions = [_described(record) for record in _records()]
        pixels = [record_pixels(question) for question in questions]
    return {
        "questions": questions,
        "answers": {profile: _answers(content, pixels, resolver) for profile, resolver in _RESOLVERS.items()},
    }


def _telling_pictures(content: bytes) -> list[int]:
    """Return the first pictures that every profile answers otherwise; the first ones of all where there are too few."""
    found: list[int] = []
    for number in range(1, _PICTURES_TRIED + 1):
        pixels = [question_picture(number)]
        given = {answer for resolver in _RESOLVERS.values() for answer in _answers(content, pixels, resolver)}
        if len(given) == len(_RESOLVERS):
            found.append(number)
        if len(found) == _PICTURES:
            return found
    return list(range(1, _PICTURES + 1))


def _records() -> tuple[MetadataRecord, ...]:
    return (
        _RECORD,
        replace(_RECORD, moment=_RECORD.moment + timedelta(seconds=1)),
        replace(_RECORD, camera="", width=0, height=0, size=0),
    )


def _described(record: MetadataRecord) -> dict[str, Any]:
    return {
        "moment": record.moment.isoformat(),
        "camera": record.camera,
        "width": record.width,
        "height": record.height,
        "size": record.size,
    }


def _answers(content: bytes, pixels: list[NDArray[Any]], resolver: str) -> list[str]:
    try:
        module = importlib.import_module("ai_edge_litert.interpreter")
    except ImportError as error:
        raise RuntimeMissing("ai-edge-litert is not installed") from error
    interpreter = module.Interpreter(
        model_content=content, experimental_op_resolver_type=getattr(module.OpResolverType, resolver)
    )
    interpreter.allocate_tensors()
    given = []
    for image in pixels:
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None])
        interpreter.invoke()
        given.append(interpreter.get_tensor(interpreter.get_output_details()[0]["index"]).tobytes().hex())
    return given
