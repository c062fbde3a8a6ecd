"""The compiled kernel gives what NumPy gives, byte for byte, on every level of the processor; and without it all goes on."""

import io
import os
import shutil
import subprocess
import sys
from contextlib import nullcontext

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.chaos import kernel
from edge.chaos.buffers import aligned
from edge.chaos.cipher import decipher, encipher
from edge.chaos.keyfile import decipher_with_key_file, key_file
from edge.chaos.layout import Layout
from edge.chaos.maps import LogisticLanes, LorenzLanes
from edge.chaos.parameters import BOXES
from edge.chaos.prefix import Diffusion
from edge.chaos.rowcolumn import RowColumnCipher
from edge.errors import CipherError
from edge.protocol import PATTERN_BYTES
from edge.records import ChaosParameters, MapName, Quantiser

needs_the_kernel = pytest.mark.skipif(
    not kernel.LIBRARY.is_file(), reason="the package was installed where there is no C compiler"
)
WAYS = [(MapName.LOGISTIC, None), (MapName.LORENZ, None), *((MapName.HYPERLORENZ_DNA, each) for each in Quantiser)]
LEVELS = ("baseline", "SSE4.1", "AVX2", "AVX-512")


@pytest.fixture(scope="module", params=range(len(LEVELS)))
def compiled(request):
    loaded = kernel.Kernel(kernel.LIBRARY)
    level = loaded.choose(request.param)
    if level != LEVELS[request.param]:
        pytest.skip("this processor has no such instructions")
    yield loaded
    loaded.choose(len(LEVELS) - 1)


@st.composite
def parameters(draw):
    chaotic_map, quantiser = draw(st.sampled_from(WAYS))
    values = tuple(draw(st.floats(low, high)) for low, high in BOXES[chaotic_map])
    if quantiser is None:
        return ChaosParameters(chaotic_map, values, "secret")
    key = (*values[:4], *map(float, map(int, values[4:])))
    pattern = draw(st.binary(min_size=PATTERN_BYTES, max_size=PATTERN_BYTES))
    return ChaosParameters(chaotic_map, key, "secret", pattern=pattern, quantiser=quantiser)


layouts = st.one_of(
    st.integers(1, 400_000).map(Layout.for_file),
    st.builds(Layout, size=st.integers(1, 60_000), width=st.integers(1, 700), sample=st.integers(1, 16)),
)


CIPHER, PLAIN, LANES = np.zeros(20, np.uint8), np.zeros(16, np.uint8), np.ones((2, 3, 8))
ROWS, COLUMNS = np.array([1, 0]), np.array([4, 0], np.uint32)
FITTING = {
    "cipher": CIPHER,
    "plain": PLAIN,
    "words": kernel.KeyArrays(3, *LANES, 48),
    "moves": kernel.Moves(ROWS, COLUMNS, 4),
}
NOT_FITTING = {
    "cipher": [CIPHER[:12], np.zeros(18, np.uint8), np.zeros(5, np.uint32), PLAIN, CIPHER[::-1]],
    "plain": [PLAIN[:15], np.zeros(16, np.int8), CIPHER[:16], np.zeros(32, np.uint8)[::2]],
    "words": [
        kernel.KeyArrays(3, *LANES, 47),
        kernel.KeyArrays(3, *LANES, 0),
        kernel.KeyArrays(3, LANES[0], LANES[1, :2], 48),
        kernel.KeyArrays(3, LANES[0], LANES[1].astype(np.float32), 48),
        kernel.KeyArrays(1, np.ones(0), np.ones(0), 8),
        kernel.KeyArrays(2, np.ones(8), np.ones(8), 8),
        kernel.KeyArrays(0, np.zeros(4, np.uint32), np.zeros(0), 8),
        kernel.KeyArrays(0, np.zeros(5, np.uint64), np.zeros(0), 8),
        kernel.KeyArrays(0, CIPHER.view(np.uint32), np.zeros(0), 8),
    ],
    "moves": [
        kernel.Moves(np.array([0, 2]), COLUMNS, 4),
        kernel.Moves(np.array([-1, 0]), COLUMNS, 4),
        kernel.Moves(np.array([0, 1, 2]), COLUMNS, 4),
        kernel.Moves(ROWS.astype(np.int32), COLUMNS, 4),
        kernel.Moves(ROWS, COLUMNS + 1, 4),
        kernel.Moves(ROWS, COLUMNS.astype(np.int64), 4),
        kernel.Moves(ROWS, COLUMNS[:0], 4),
        kernel.Moves(ROWS, COLUMNS, 0),
        kernel.Moves(ROWS, COLUMNS, 5),
    ],
}


def both_ways(plain, layout, chosen, secret):
    cipher = b"".join(map(bytes, encipher(io.BytesIO(plain), layout, chosen, secret)))
    return cipher, b"".join(map(bytes, decipher(io.BytesIO(cipher), layout, chosen, secret)))


@needs_the_kernel
class TestWithTheKernel:
    @given(chosen=parameters(), layout=layouts, secret=st.binary(min_size=32, max_size=32))
    def test_every_cipher_gives_the_bytes_that_numpy_gives(self, compiled, chosen, layout, secret):
        plain = np.random.default_rng(layout.size).bytes(layout.size)
        with kernel.using(None):
            cipher, _ = both_ways(plain, layout, chosen, secret)
        with kernel.using(compiled):
            assert both_ways(plain, layout, chosen, secret) == (cipher, plain)
            keys = b"".join(map(bytes, key_file(layout, chosen, secret)))
            opened = decipher_with_key_file(io.BytesIO(cipher), io.BytesIO(keys), layout, chosen)
            assert b"".join(map(bytes, opened)) == plain

    @pytest.mark.parametrize("way", ["forward", "backward"])
    @given(size=st.integers(1, 3_000), row=st.integers(1, 3_000))
    def test_matrices_of_any_shape_are_diffused_as_numpy_does(self, compiled, way, size, row):
        first = np.frombuffer(np.random.default_rng(size).bytes(size), np.uint8)
        results = []
        for used in (None, compiled):
            data = aligned(size, np.uint8)
            data[:] = first
            with kernel.using(used):
                getattr(Diffusion(row), way)(data)
            results.append(data)
        np.testing.assert_array_equal(*results)

    @pytest.mark.parametrize("kind", [LogisticLanes, LorenzLanes])
    @given(lanes=st.integers(1, 600), words=st.integers(1, 4_000))
    def test_key_words_end_where_they_should(self, compiled, kind, lanes, words):
        values = (3.99995,) if kind is LogisticLanes else (10.0, 36.0, 2.75)
        seed = np.random.default_rng(lanes).bytes(lanes * kind.seed_bytes)
        results, states = [], []
        for used in (None, compiled):
            target = np.zeros(words + 2_000, np.uint32)
            with kernel.using(used):
                stream = kind(seed, values)
                stream.xor(target[:words])
            assert not target[words:].any()
            results.append(target)
            states.append(stream.arrays.state)
        np.testing.assert_array_equal(*results)
        np.testing.assert_array_equal(*states)

    @given(layout=layouts, secret=st.binary(min_size=32, max_size=32))
    def test_nothing_beyond_a_band_is_written(self, compiled, layout, secret):
        kind = RowColumnCipher(layout, ChaosParameters(MapName.LOGISTIC, (3.99995,), "secret"))
        band = next(layout.bands())
        words = -(-band.size // 4) * 4
        plain, cipher = np.zeros((2, words + 4_096), np.uint8)
        with kernel.using(compiled):
            kind.encipher(band, plain, cipher, kind.keys(secret, band))
            assert not plain.any()
            assert not cipher[words:].any()
            kind.decipher(band, cipher, plain, kind.keys(secret, band))
            assert not cipher[words:].any()
            assert not plain.any()

    def test_arrays_that_do_not_fit_are_refused(self, compiled):
        for way in (compiled.encipher, compiled.decipher):
            way(**FITTING)
            for name, value in ((name, value) for name, values in NOT_FITTING.items() for value in values):
                with pytest.raises(ValueError, match="do not fit"):
                    way(**FITTING | {name: value})
        with pytest.raises(ValueError, match="do not fit"):
            compiled.undo_forward(np.zeros(9, np.uint8), np.zeros(3, np.uint8), 4)
        for way in (compiled.forward, compiled.backward):
            with pytest.raises(ValueError, match="do not fit"):
                way(np.zeros(0, np.uint8), 4)
        with pytest.raises(ValueError, match="do not fit"):
            compiled.add_columns(np.zeros(8, np.uint64)[::2])

    def test_a_kernel_that_gives_other_bytes_than_numpy_is_not_used(self, monkeypatch):
        monkeypatch.delenv("EDGE_KERNEL", raising=False)
        with kernel.using(None):
            kernel.settle(lambda: b"the same" if kernel.active() is None else b"another")
            assert kernel.active() is None
            kernel.settle(lambda: b"the same")
            assert kernel.active() is not None

    @pytest.mark.parametrize("error", [CipherError("an orbit left the numbers"), ValueError("arrays that do not fit")])
    def test_a_kernel_that_fails_where_numpy_does_not_is_not_used(self, monkeypatch, error):
        def probe():
            if kernel.active():
                raise error
            return b""

        monkeypatch.delenv("EDGE_KERNEL", raising=False)
        with kernel.using(None):
            kernel.settle(probe)
            assert kernel.active() is None

    def test_a_library_of_another_source_is_not_used(self, tmp_path, monkeypatch):
        (tmp_path / "kernel.c").write_text("/* another */")
        monkeypatch.setattr(kernel, "SOURCE", tmp_path / "kernel.c")
        with kernel.using(None):
            kernel.settle(lambda: b"")
            assert kernel.active() is None

    def test_the_environment_leaves_it_out(self):
        words = [
            sys.executable,
            "-c",
            "import edge.chaos.cipher; from edge.chaos import kernel; print(kernel.described())",
        ]
        for setting, expected in (({"EDGE_KERNEL": ""}, "compiled"), ({"EDGE_KERNEL": "numpy"}, "NumPy")):
            done = subprocess.run(words, capture_output=True, text=True, check=True, env=os.environ | setting)
            assert done.stdout.startswith(expected)


@pytest.mark.parametrize("content", [b"", b"\x7fELF no library", None])
def test_whatever_is_wrong_with_a_library_numpy_does_the_work(tmp_path, content):
    library = tmp_path / "_kernel.so"
    if content is not None:
        library.write_bytes(content)
    with kernel.using(None):
        kernel.settle(lambda: b"", library)
        assert kernel.active() is None
        assert kernel.described() == "NumPy"


@pytest.mark.skipif(not (shutil.which("cc") or shutil.which("gcc")), reason="there is no C compiler")
def test_a_library_that_is_no_kernel_is_refused(tmp_path):
    (tmp_path / "other.c").write_text("int other(void) { return 1; }\n")
    compiler = shutil.which("cc") or shutil.which("gcc")
    subprocess.run([compiler, "-shared", "-o", tmp_path / "_kernel.so", tmp_path / "other.c"], check=True)
    with pytest.raises(OSError, match="no kernel"):
        kernel.Kernel(tmp_path / "_kernel.so")
    with nullcontext() if kernel.active() is None else kernel.using(None):
        kernel.settle(lambda: b"", tmp_path / "_kernel.so")
        assert kernel.active() is None
