"""The two model runtimes behind one loader: ai-edge-litert, and its predecessor tflite-runtime.

The rule kept here: `_RUNTIMES` is the one place that tells them apart, and nothing that the native code says of itself
reaches standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import os
import platform
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from edge.errors import ModelFailed, ModelRefused, RuntimeMissing

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
class Tensor:
    """Shape and dtype of an input or output, e.g. ``((1, 224, 224, 3), "uint8")``."""

    shape: tuple[int, ...]
    dtype: str


class Interpreter:
    """One network's file in one runtime, with one input and one output. Several threads may share it."""

    def __init__(self, content: bytes, *, threads: int, runtime: str | None, reads: Tensor, gives: Tensor) -> None:
        """Make an interpreter for the bytes of a file, its tensors allocated.

        Args:
            content: The TFLite file.
            threads: Processor threads of one inference, 1 to 64. Outputs do not depend on it.
            runtime: "ai-edge-litert" or "tflite-runtime"; by default the first of them that is installed.
            reads: What the input must be.
            gives: What the output must be.

        Raises:
            ModelRefused: The runtime does not take the file, or its tensors are others.
            RuntimeMissing: No runtime, or not the one asked for, can be used here.
        """
        chosen, module = _runtime(runtime)
        self._native = _native_interpreter(module, content, threads=min(max(threads, 1), _MAX_THREADS))
        inputs, outputs = self._native.get_input_details(), self._native.get_output_details()
        if ([_tensor(one) for one in inputs], [_tensor(one) for one in outputs]) != ([reads], [gives]):
            raise ModelRefused("the file is not the network that is wanted: its tensors have other shapes or types")
        self._input, self._output = inputs[0]["index"], outputs[0]["index"]
        self._reads = reads
        self.name = _name(chosen, self._native)
        # Interpreters keep their tensors in one arena and are not thread safe.
        self._lock = threading.Lock()

    def run(self, pixels: NDArray[np.uint8]) -> bytes:
        """Run the network once.

        Args:
            pixels: The input without its first axis.

        Returns:
            The bytes of the output.

        Raises:
            ModelFailed: The input is of another shape or type, or the runtime failed.
        """
        if Tensor((1, *pixels.shape), pixels.dtype.name) != self._reads:
            raise ModelFailed("the image is not of the shape and type that the network reads")
        with self._lock:
            try:
                self._native.set_tensor(self._input, pixels[None])
                self._native.invoke()
                values: bytes = self._native.get_tensor(self._output).tobytes()
            except (RuntimeError, ValueError, MemoryError) as error:
                raise ModelFailed("the model runtime failed") from error
        return values


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


def _native_interpreter(module: Any, content: bytes, *, threads: int) -> Any:
    """Make the runtime's own interpreter, its tensors allocated."""
    try:
        with _native_chatter_dropped():
            interpreter = module.Interpreter(model_content=content, num_threads=threads)
            interpreter.allocate_tensors()
    # SystemError is what a runtime built for another NumPy raises.
    except (RuntimeError, ValueError, SystemError) as error:
        raise ModelRefused("the model runtime does not take the file of the network") from error
    return interpreter


def _tensor(details: Any) -> Tensor:
    return Tensor(tuple(int(n) for n in details["shape"]), np.dtype(details["dtype"]).name)


def _name(runtime: _Runtime, native: Any) -> str:
    """Return runtime, version, delegate and machine, e.g. ``ai-edge-litert-2.3.0/xnnpack/x86_64``."""
    try:
        version = importlib.metadata.version(runtime.distribution)
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    # Both packages list the nodes under this private name; the only default delegate of either is XNNPACK.
    list_nodes = getattr(native, "_get_ops_details", None)
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
