"""A network's manifest: which file it is, what that file reads, and the answers by which it is recognised.

The rule kept here: what is checked is what runs, whatever happens to the file later, and every size has a limit before
anything is read.
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from edge.errors import ModelMissing, ModelRefused
from edge.records import FeatureNetworkName, NetworkName

_MAX_MANIFEST_BYTES: Final = 1 << 20
# The largest network that ships is 11.3 MB; the full-size VGG16, a build option, has about 138 MB.
_MAX_MODEL_BYTES: Final = 256 << 20


@dataclass(frozen=True, slots=True)
class ModelManifest:
    """What a manifest says of one network's file.

    `reads` names the drawing or the preparation that the network was trained for. `questions` are inputs, described as
    JSON values; `answers` are the output bytes to each of them, by numeric profile.
    """

    file: str
    sha256: bytes
    size: int
    reads: str
    questions: tuple[Any, ...]
    answers: dict[str, tuple[bytes, ...]]


def models_directory() -> Path:
    """Return the folder of the networks: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent.parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def manifest_path(folder: Path, name: NetworkName | FeatureNetworkName) -> Path:
    """Return where a network's manifest lies."""
    return folder / f"{name.value}.json"


def read_manifest(folder: Path, name: NetworkName | FeatureNetworkName) -> ModelManifest:
    """Read what the manifest says of a network; accept only what can be meant.

    Raises:
        ModelMissing: There is no manifest.
        ModelRefused: It is malformed, or of another network.
    """
    text = _read(manifest_path(folder, name), _MAX_MANIFEST_BYTES, what="manifest of the network")
    try:
        found = json.loads(text)
        known = found["known_answers"]
        manifest = ModelManifest(
            file=str(found["file"]),
            sha256=bytes.fromhex(found["sha256"]),
            size=int(found["bytes"]),
            reads=str(found["reads"]),
            questions=tuple(known["questions"]),
            answers={
                str(profile): tuple(bytes.fromhex(answer) for answer in answers)
                for profile, answers in known["answers"].items()
            },
        )
        named = found["network"]
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelRefused("the manifest of the network is malformed") from error
    # The file lies beside its manifest: a name that leads elsewhere is not ours.
    if manifest.file in {"", ".", ".."} or "/" in manifest.file or os.sep in manifest.file or "\0" in manifest.file:
        raise ModelRefused("the manifest of the network is malformed")
    if not manifest.questions or {len(answers) for answers in manifest.answers.values()} != {len(manifest.questions)}:
        raise ModelRefused("the manifest of the network has no known answers, or not one to each question")
    if named != name.value:
        raise ModelRefused("the manifest is that of another network")
    return manifest


def read_model(folder: Path, manifest: ModelManifest) -> bytes:
    """Read a network's file and check that it is the one its manifest names.

    Raises:
        ModelMissing: There is no file.
        ModelRefused: It is another one.
    """
    content = _read(folder / manifest.file, _MAX_MODEL_BYTES, what="file of the network")
    if len(content) != manifest.size or hashlib.sha256(content).digest() != manifest.sha256:
        raise ModelRefused("the file of the network does not match its manifest")
    return content


def _read(path: Path, limit: int, *, what: str) -> bytes:
    """Read a file of at most `limit` bytes."""
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ModelMissing(f"the {what} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise ModelRefused(f"the {what} is larger than any that is ours")
    return content
