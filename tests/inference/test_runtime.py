"""The two model runtimes behind one loader: which is taken, what is said, and what is refused."""

import os
import platform
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from edge.errors import ModelFailed, ModelRefused, RuntimeMissing
from edge.inference import runtime as runtimes
from edge.inference.runtime import Interpreter, Tensor
from tests.inference.runtimes import MODELS, every_runtime, needs_a_runtime, needs_litert

READS, GIVES = Tensor((1, 224, 224, 3), "uint8"), Tensor((1, 64), "uint8")
CONTENT = (MODELS / "mobilenetv2.tflite").read_bytes()


def made(content=CONTENT, *, threads=2, runtime=None, reads=READS, gives=GIVES):
    return Interpreter(content, threads=threads, runtime=runtime, reads=reads, gives=gives)


@every_runtime
def test_each_runtime_can_be_asked_for(runtime):
    interpreter = made(runtime=runtime)
    assert interpreter.name.startswith(f"{runtime}-")
    assert interpreter.name.endswith(f"/{platform.machine()}")
    assert ("/xnnpack/" in interpreter.name) == (runtime == "ai-edge-litert")
    assert len(interpreter.run(np.zeros((224, 224, 3), np.uint8))) == 64


def _without(monkeypatch, *modules):
    for module in modules:
        monkeypatch.setitem(sys.modules, module, None)


def test_no_runtime_at_all_is_named(monkeypatch):
    _without(monkeypatch, "ai_edge_litert.interpreter", "tflite_runtime.interpreter")
    with pytest.raises(RuntimeMissing, match="no model runtime is installed"):
        made()


@pytest.mark.parametrize("runtime", ["ai-edge-litert", "tflite-runtime", "another"])
def test_a_missing_runtime_that_was_asked_for_is_not_replaced(monkeypatch, runtime):
    _without(monkeypatch, "ai_edge_litert.interpreter", "tflite_runtime.interpreter")
    with pytest.raises(RuntimeMissing):
        made(runtime=runtime)


def test_tflite_runtime_is_refused_beside_numpy_2(monkeypatch):
    monkeypatch.setattr(runtimes.np, "__version__", "2.4.6")
    with pytest.raises(RuntimeMissing, match="numpy below 2") as caught:
        made(runtime="tflite-runtime")
    assert "numpy<2" in caught.value.hint


def test_the_older_runtime_is_taken_where_the_newer_is_missing(monkeypatch):
    """The choice, with a stand-in for the older package: its real outputs are tested where it is installed."""
    taken = []

    class Native:
        def __init__(self, *, model_content, num_threads):
            taken.append((len(model_content), num_threads))

        def allocate_tensors(self):
            pass

        def get_input_details(self):
            return [{"index": 0, "shape": (1, 224, 224, 3), "dtype": np.uint8}]

        def get_output_details(self):
            return [{"index": 1, "shape": (1, 64), "dtype": np.uint8}]

    _without(monkeypatch, "ai_edge_litert.interpreter")
    monkeypatch.setitem(sys.modules, "tflite_runtime", SimpleNamespace(__path__=[]))
    monkeypatch.setitem(sys.modules, "tflite_runtime.interpreter", SimpleNamespace(Interpreter=Native))
    monkeypatch.setattr(runtimes.np, "__version__", "1.26.4")
    interpreter = made(threads=3)
    assert interpreter.name.startswith("tflite-runtime-")
    assert interpreter.name.endswith(f"/none/{platform.machine()}")
    assert taken == [(len(CONTENT), 3)]


@needs_litert
def test_loading_says_nothing_on_stderr(capfd):
    made(runtime="ai-edge-litert")
    assert capfd.readouterr().err == ""


def test_what_others_write_while_loading_is_passed_on(capfd, monkeypatch):
    def speak(**_):
        os.write(2, b"INFO: made a delegate\nanother thread's line\n")
        raise RuntimeError

    module = SimpleNamespace(Interpreter=speak)
    monkeypatch.setattr(runtimes, "_runtime", lambda _: (None, module))
    with pytest.raises(ModelRefused):
        made()
    os.write(2, b"and one after it\n")
    assert capfd.readouterr().err == "another thread's line\nand one after it\n"


@needs_a_runtime
@pytest.mark.parametrize("content", [b"", b"not a flatbuffer"])
def test_a_file_that_is_no_network_is_refused(content):
    with pytest.raises(ModelRefused):
        made(content)


# Behind the right mark, tflite-runtime 2.14 follows any offset and dies: there only the hash stands before it.
@needs_litert
def test_a_file_that_only_looks_like_a_network_is_refused():
    with pytest.raises(ModelRefused):
        made(b"TFL3" * 100, runtime="ai-edge-litert")


@needs_a_runtime
@pytest.mark.parametrize(
    "tensors",
    [
        {"reads": Tensor((1, 112, 112, 3), "uint8")},
        {"reads": Tensor((1, 224, 224, 3), "int8")},
        {"gives": Tensor((1, 16), "uint8")},
        {"gives": Tensor((1, 64), "int8")},
    ],
)
def test_a_network_with_other_tensors_is_refused(tensors):
    with pytest.raises(ModelRefused, match="tensors"):
        made(**tensors)


@needs_a_runtime
@pytest.mark.parametrize(
    "pixels",
    [
        np.zeros((224, 224), np.uint8),
        np.zeros((1, 224, 224, 3), np.uint8),
        np.zeros((224, 224, 3), np.float32),
        np.zeros((224, 224, 3), np.int8),
    ],
)
def test_another_shape_or_type_of_image_fails(pixels):
    with pytest.raises(ModelFailed):
        made().run(pixels)


@needs_a_runtime
def test_a_failure_of_the_native_interpreter_is_ours(monkeypatch):
    interpreter = made()

    def fail():
        raise RuntimeError("native")

    monkeypatch.setattr(interpreter, "_native", SimpleNamespace(set_tensor=lambda *_: None, invoke=fail))
    with pytest.raises(ModelFailed):
        interpreter.run(np.zeros((224, 224, 3), np.uint8))
