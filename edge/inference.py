"""Run a parameter network: a metadata image in, 16 output bytes and the name of what produced them out.

The rule kept here: only a file whose SHA-256 stands in the manifest is ever run, and outputs always travel with the
network's hash and the runtime's numeric profile, because int8 outputs differ between runtimes. Nobody re-runs a network
to decipher.

Two runtimes share one interface: ai-edge-litert, and its predecessor tflite-runtime for boards that have nothing else.
`_RUNTIMES` is the one place that tells them apart.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.metadata
import json
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np

from edge.errors import ModelFailed, ModelMissing, ModelRefused, RuntimeMissing
from edge.metadata_image import ENCODING, SIDE
from edge.records import MetadataImage, NetworkName, NetworkOutputs

MANIFEST: Final = "manifest.json"
OUTPUTS: Final = 16
"""Output bytes of a parameter network."""

_MAX_MANIFEST_BYTES: Final = 1 << 20
# The largest network that ships is 11.3 MB; a full VGG16 head would be 138 MB and does not belong on a device.
_MAX_MODEL_BYTES: Final = 64 << 20
_MAX_THREADS: Final = 64
# What the native code says when a delegate is made; anything else on stderr is passed on.
_NATIVE_CHATTER: Final = b"INFO: "
_STDERR: Final = 2
_STDERR_TURNED: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class _Runtime:
    """An interpreter package: its distribution, its module, and whether it was built for NumPy 1 only."""

    distribution: str
    module: str
    needs_numpy_1: bool = False


# In order of preference: the first is 9 to 16 times faster on int8.
_RUNTIMES: Final = (
    _Runtime("ai-edge-litert", "ai_edge_litert.interpreter"),
    _Runtime("tflite-runtime", "tflite_runtime.interpreter", needs_numpy_1=True),
)


@dataclass(frozen=True, slots=True)
class _Entry:
    """What the manifest says of one network's file."""

    file: str
    sha256: bytes
    size: int


class ParameterNetwork:
    """A loaded parameter network. Make one with `load`; several threads may share it."""

    def __init__(self, *, name: NetworkName, model_sha256: bytes, interpreter: Any, profile: str) -> None:
        self._name = name
        self._model_sha256 = model_sha256
        self._profile = profile
        self._interpreter = interpreter
        self._input = interpreter.get_input_details()[0]["index"]
        self._output = interpreter.get_output_details()[0]["index"]
        # Interpreters keep their tensors in one arena and are not thread safe.
        self._lock = threading.Lock()

    @classmethod
    def load(
        cls, name: NetworkName, *, directory: Path | None = None, threads: int = 2, runtime: str | None = None
    ) -> Self:
        """Load a network and check that it is the one its manifest names.

        Args:
            name: Which network.
            directory: The folder of the files and their manifest; by default the one that came with the package.
            threads: Processor threads of one inference, 1 to 64. Outputs do not depend on it.
            runtime: "ai-edge-litert" or "tflite-runtime"; by default the first of them that is installed.

        Returns:
            The network, ready to run.

        Raises:
            ModelMissing: There is no manifest, no entry or no file.
            ModelRefused: The file is not the one that the manifest names, or not a parameter network.
            RuntimeMissing: No runtime, or not the one asked for, can be used here.
        """
        folder = directory if directory is not None else _models_directory()
        entry = _entry(folder / MANIFEST, name)
        content = _content(folder / entry.file, entry)
        chosen, module = _runtime(runtime)
        interpreter = _interpreter(module, content, threads=min(max(threads, 1), _MAX_THREADS))
        _check_tensors(interpreter)
        return cls(name=name, model_sha256=entry.sha256, interpreter=interpreter, profile=_profile(chosen, interpreter))

    @property
    def name(self) -> NetworkName:
        """Which network this is."""
        return self._name

    @property
    def model_sha256(self) -> bytes:
        """The SHA-256 of the very bytes that run."""
        return self._model_sha256

    @property
    def profile(self) -> str:
        """Runtime, version, delegate and machine, e.g. ``ai-edge-litert-2.3.0/xnnpack/x86_64``.

        The same file gives the same outputs wherever the profile is the same, with any number of threads.
        """
        return self._profile

    def outputs(self, image: MetadataImage) -> NetworkOutputs:
        """Run the network once.

        Args:
            image: A metadata image, uint8 (224, 224, 3).

        Returns:
            Its 16 output bytes, and what produced them.

        Raises:
            ModelFailed: The image is not of this shape and type, or the interpreter failed.
        """
        pixels = image.pixels
        if pixels.shape != (SIDE, SIDE, 3) or pixels.dtype != np.uint8:
            raise ModelFailed("the metadata image is not uint8 of 224 x 224 x 3")
        with self._lock:
            try:
                self._interpreter.set_tensor(self._input, pixels[None])
                self._interpreter.invoke()
                values = self._interpreter.get_tensor(self._output).tobytes()
            except (RuntimeError, ValueError, MemoryError) as error:
                raise ModelFailed("the model runtime failed") from error
        return NetworkOutputs(values=values, network=self._name, model_sha256=self._model_sha256, profile=self._profile)


def _models_directory() -> Path:
    """Return the folder of the networks: inside an installed package, or beside it in a checkout."""
    package = Path(__file__).parent
    installed = package / "_models"
    return installed if installed.is_dir() else package.parent / "models"


def _entry(path: Path, name: NetworkName) -> _Entry:
    """Read what the manifest says of a network; accept only what can be meant."""
    text = _read(path, _MAX_MANIFEST_BYTES, what="manifest of the networks")
    try:
        found = json.loads(text).get(name.value)
        if found is None:
            raise ModelMissing("the manifest does not name this network")
        entry = _Entry(file=str(found["file"]), sha256=bytes.fromhex(found["sha256"]), size=int(found["bytes"]))
        encoding = str(found["encoding"])
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise ModelRefused("the manifest of the networks is malformed") from error
    # The file lies beside its manifest: a name that leads elsewhere is not ours.
    if entry.file in {"", ".", ".."} or "/" in entry.file or os.sep in entry.file or "\0" in entry.file:
        raise ModelRefused("the manifest of the networks is malformed")
    if encoding != ENCODING:
        raise ModelRefused("the network was trained for another drawing of the metadata")
    return entry


def _content(path: Path, entry: _Entry) -> bytes:
    """Read a network's file and check it; what is checked is what runs, whatever happens to the file later."""
    content = _read(path, _MAX_MODEL_BYTES, what="file of the network")
    if len(content) != entry.size or hashlib.sha256(content).digest() != entry.sha256:
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


def _runtime(wanted: str | None) -> tuple[_Runtime, Any]:
    """Import the wanted runtime, or the first that is installed."""
    for runtime in _RUNTIMES:
        if wanted not in {None, runtime.distribution}:
            continue
        # Built against NumPy 1, it would import with a warning and then fail to make an interpreter.
        if runtime.needs_numpy_1 and int(np.__version__.partition(".")[0]) > 1:
            if wanted is not None:
                raise RuntimeMissing("this model runtime needs numpy below 2", hint="pip install 'numpy<2'")
            continue
        try:
            return runtime, importlib.import_module(runtime.module)
        except ImportError:
            continue
    raise RuntimeMissing("no model runtime is installed" if wanted is None else "this model runtime is not installed")


def _interpreter(module: Any, content: bytes, *, threads: int) -> Any:
    """Make an interpreter for the bytes of a file, its tensors allocated."""
    try:
        with _native_chatter_dropped():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    # SystemError is what a runtime built for another NumPy raises.
    except (RuntimeError, ValueError, SystemError) as error:
        raise ModelRefused("the model runtime does not take the file of the network") from error
    return interpreter


def _check_tensors(interpreter: Any) -> None:
    """Refuse a file that is not a parameter network: other shapes, or anything but bytes in and out."""
    tensors = (interpreter.get_input_details(), interpreter.get_output_details())
    found = [[(tuple(int(n) for n in one["shape"]), np.dtype(one["dtype"]).name) for one in side] for side in tensors]
    if found != [[((1, SIDE, SIDE, 3), "uint8")], [((1, OUTPUTS), "uint8")]]:
        raise ModelRefused("the file is not a parameter network: its tensors have other shapes or types")


def _profile(runtime: _Runtime, interpreter: Any) -> str:
    """Name what the outputs' low bits depend on."""
    try:
        version = importlib.metadata.version(runtime.distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    # Both packages list the nodes under this private name; the only default delegate of either is XNNPACK.
    list_nodes = getattr(interpreter, "_get_ops_details", None)
    nodes = list_nodes() if list_nodes is not None else []
    delegate = "xnnpack" if any(node.get("op_name") == "DELEGATE" for node in nodes) else "none"
    return f"{runtime.distribution}-{version}/{delegate}/{platform.machine()}"


@contextlib.contextmanager
def _native_chatter_dropped() -> Iterator[None]:
    """Keep the native code's INFO lines off stderr; pass every other line on.

    The native code writes to the descriptor itself, so the descriptor is what must be turned. What other threads
    write meanwhile arrives a little later instead of being lost.
    """
    # Two threads that turned it at once would put it back in the wrong order.
    with _STDERR_TURNED, contextlib.ExitStack() as stack:
        try:
            stderr = stack.enter_context(os.fdopen(os.dup(_STDERR), "wb", buffering=0))
            caught = stack.enter_context(tempfile.TemporaryFile())
        except OSError:
            # There is no stderr to keep clean, or nowhere to catch it: chatter does no harm.
            yield
            return
        os.dup2(caught.fileno(), _STDERR)
        try:
            yield
        finally:
            os.dup2(stderr.fileno(), _STDERR)
            caught.seek(0)
            rest = b"".join(line for line in caught if not line.startswith(_NATIVE_CHATTER))
            # A closed pipe at the other end of stderr is no reason to refuse a network.
            with contextlib.suppress(OSError):
                stderr.write(rest)
