import io
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.chaos import buffers, cipher
from edge.chaos.cipher import decipher, encipher
from edge.chaos.layout import MAX_SIZE, Layout
from edge.chaos.parameters import parameters_from_secret
from edge.errors import ChangedWhileRead, CipherError, CipherProofFailed, ParametersOutOfRange, TruncatedEnvelope
from edge.records import ChaosParameters, MapName, Quantiser
from tests.memory import memory_within

SECRET = bytes(range(32))
LOGISTIC = parameters_from_secret(MapName.LOGISTIC, SECRET)
LORENZ = parameters_from_secret(MapName.LORENZ, SECRET)
PAPER, WIDE = (parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET, quantiser=q) for q in Quantiser)
PARAMETERS = st.sampled_from([LOGISTIC, LORENZ, PAPER, WIDE])
every_way = pytest.mark.parametrize(
    "parameters", [LOGISTIC, LORENZ, PAPER, WIDE], ids=["logistic", "lorenz", "paper", "wide"]
)


class Dribble:
    """A source that gives a few bytes at a time."""

    def __init__(self, data, piece):
        self._file, self._piece = io.BytesIO(data), piece

    def readinto(self, buffer, /):
        return self._file.readinto(buffer[: self._piece])


class Zeros:
    """A source of zero bytes without end; it notes what it was asked for."""

    given = 0

    def readinto(self, buffer, /):
        np.frombuffer(buffer, dtype=np.uint8)[:] = 0
        self.given += len(buffer)
        return len(buffer)


def enciphered(data, layout, parameters=LOGISTIC, secret=SECRET, **options):
    return b"".join([bytes(band) for band in encipher(io.BytesIO(data), layout, parameters, secret, **options)])


def deciphered(data, layout, parameters=LOGISTIC, secret=SECRET):
    return b"".join([bytes(band) for band in decipher(io.BytesIO(data), layout, parameters, secret)])


@given(st.binary(min_size=1, max_size=3000), PARAMETERS, st.binary(min_size=32, max_size=32), st.booleans())
def test_a_file_returns_byte_for_byte(data, parameters, secret, prove):
    layout = Layout.for_file(len(data))
    secretly = enciphered(data, layout, parameters, secret, prove=prove)
    assert len(secretly) == len(data)
    assert deciphered(secretly, layout, parameters, secret) == data


@given(st.data(), PARAMETERS)
def test_any_matrix_returns_byte_for_byte(data, parameters):
    width, sample = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 16))
    plain = data.draw(st.binary(min_size=1, max_size=2000))
    layout = Layout(size=len(plain), width=width, sample=sample)
    assert deciphered(enciphered(plain, layout, parameters, prove=True), layout, parameters) == plain


@every_way
@pytest.mark.parametrize("size", [(1 << 20) + 3, (17 << 20) + 5])
def test_images_of_one_and_of_many_bands_return_byte_for_byte(parameters, size):
    plain = np.random.default_rng(size).bytes(size)
    layout = Layout.for_file(size)
    secretly = enciphered(plain, layout, parameters, prove=True)
    assert deciphered(secretly, layout, parameters) == plain
    assert np.mean(np.frombuffer(secretly, np.uint8) == np.frombuffer(plain, np.uint8)) < 0.005


@settings(max_examples=20)
@given(st.integers(1, 97))
def test_a_source_that_dribbles_makes_no_difference(piece):
    plain = bytes(range(256)) * 4
    layout = Layout.for_file(len(plain))
    whole = enciphered(plain, layout)
    assert b"".join([bytes(b) for b in encipher(Dribble(plain, piece), layout, LOGISTIC, SECRET)]) == whole
    assert b"".join([bytes(b) for b in decipher(Dribble(whole, piece), layout, LOGISTIC, SECRET)]) == plain


def test_no_more_than_the_image_is_read():
    source = io.BytesIO(bytes(1000) + b"what follows")
    for _ in encipher(source, Layout.for_file(1000), LOGISTIC, SECRET):
        pass
    assert source.read() == b"what follows"


def agreement(left, right):
    return np.mean(np.frombuffer(left, np.uint8) == np.frombuffer(right, np.uint8))


@every_way
class TestKeys:
    PLAIN = bytes(100_000)
    LAYOUT = Layout.for_file(len(PLAIN))

    def test_a_wrong_secret_gives_garbage(self, parameters):
        secretly = enciphered(self.PLAIN, self.LAYOUT, parameters)
        for place in (0, 31):
            wrong = bytearray(SECRET)
            wrong[place] ^= 1
            assert agreement(deciphered(secretly, self.LAYOUT, parameters, bytes(wrong)), self.PLAIN) < 0.006

    def test_a_parameter_one_ulp_off_gives_garbage(self, parameters):
        secretly = enciphered(self.PLAIN, self.LAYOUT, parameters)
        for place in range(len(parameters.values)):
            values = list(parameters.values)
            values[place] = math.nextafter(values[place], 3.99995 if parameters is LOGISTIC else 0)
            if parameters.map is MapName.HYPERLORENZ_DNA and place >= 4:
                values[place] = float((int(parameters.values[place]) + 1) % 256)
            wrong = replace(parameters, values=tuple(values))
            assert agreement(deciphered(secretly, self.LAYOUT, wrong), self.PLAIN) < 0.006

    def test_one_bit_of_the_features_off_gives_garbage(self, parameters):
        if parameters.map is not MapName.HYPERLORENZ_DNA:
            pytest.skip("cipher A has no bits of features")
        secretly = enciphered(self.PLAIN, self.LAYOUT, parameters)
        wrong = replace(parameters, pattern=bytes([parameters.pattern[0] ^ 1]) + parameters.pattern[1:])
        assert agreement(deciphered(secretly, self.LAYOUT, wrong), self.PLAIN) < 0.006

    def test_one_image_twice_shares_no_key_stream(self, parameters):
        first = enciphered(self.PLAIN, self.LAYOUT, parameters)
        second = enciphered(self.PLAIN, self.LAYOUT, parameters, bytes(32))
        assert agreement(first, second) < 0.006

    def test_another_layout_has_other_keys(self, parameters):
        first = enciphered(self.PLAIN, self.LAYOUT, parameters)
        other = Layout(size=len(self.PLAIN), width=self.LAYOUT.width + 1, sample=8)
        assert agreement(first, enciphered(self.PLAIN, other, parameters)) < 0.006

    def test_the_bands_of_an_image_share_no_key_stream(self, parameters):
        layout = Layout.for_pixels((1, 65536 + 2, 1, 1), 1)
        bands = [bytes(b) for b in encipher(io.BytesIO(bytes(layout.size)), layout, parameters, SECRET)]
        assert len(bands) == 2
        assert agreement(*bands) < 0.006


def test_rows_and_columns_are_moved_and_the_incomplete_row_is_not():
    layout = Layout(size=64 * 64 + 10, width=64, sample=1)
    blank = enciphered(bytes(layout.size), layout)
    plain = bytes(range(64)) * 64 + bytes(range(10))
    moved = bytes(a ^ b for a, b in zip(blank, enciphered(plain, layout), strict=True))
    assert moved[-10:] == plain[-10:]
    assert sorted(moved) == sorted(plain)
    rows = {moved[i * 64 : (i + 1) * 64] for i in range(64)}
    assert len(rows) == 1
    assert rows != {bytes(range(64))}


def test_bad_keys_are_refused_before_anything_is_read():
    layout = Layout.for_file(10)
    source = Zeros()
    outside = ChaosParameters(map=MapName.LOGISTIC, values=(3.5,), origin="secret")
    bare = replace(WIDE, pattern=b"")
    for way in (encipher, decipher):
        for secret in (b"", bytes(31), bytes(33)):
            with pytest.raises(CipherError):
                way(source, layout, LOGISTIC, secret)
        for parameters in (outside, bare):
            with pytest.raises(ParametersOutOfRange):
                way(source, layout, parameters, SECRET)
    assert source.given == 0


def test_a_source_that_ends_early_is_named_by_its_end():
    layout = Layout.for_file(100)
    with pytest.raises(ChangedWhileRead):
        enciphered(bytes(99), layout)
    with pytest.raises(TruncatedEnvelope):
        deciphered(bytes(99), layout)


@every_way
def test_a_band_that_does_not_decipher_is_never_yielded(parameters, monkeypatch):
    kind = cipher.cipher_class(parameters.map)
    real = kind.decipher

    def faulty(self, band, image, plain, keys):
        real(self, band, image, plain, keys)
        plain[band.size - 1] ^= 4

    monkeypatch.setattr(kind, "decipher", faulty)
    with pytest.raises(CipherProofFailed):
        enciphered(bytes(5000), Layout.for_file(5000), parameters, prove=True)


def test_a_band_kept_too_long_is_refused_loudly():
    layout = Layout.for_pixels((1, 65536 + 2, 1, 1), 1)
    bands = encipher(io.BytesIO(bytes(layout.size)), layout, LOGISTIC, SECRET)
    first = next(bands)
    next(bands)
    with pytest.raises(ValueError, match="released"):
        bytes(first)
    bands.close()


def test_two_images_at_a_time_do_not_share_buffers():
    layout = Layout.for_pixels((1, 65536 + 2, 1, 1), 1)
    plain = np.random.default_rng(1).bytes(layout.size)
    expected = enciphered(plain, layout)
    pairs = zip(
        encipher(io.BytesIO(plain), layout, LOGISTIC, SECRET),
        encipher(io.BytesIO(plain), layout, LOGISTIC, SECRET, prove=True),
        strict=True,
    )
    copies = [(bytes(a), bytes(b)) for a, b in pairs]
    assert b"".join(a for a, _ in copies) == b"".join(b for _, b in copies) == expected


@every_way
@pytest.mark.parametrize(("size", "bands", "limit"), [(200_000_000, 4, 40_000_000), (MAX_SIZE, 1, 80_000_000)])
def test_memory_is_bounded_whatever_the_size(parameters, size, bands, limit):
    buffers._spare.clear()
    # R and Z of cipher B are two buffers more.
    limit += (parameters.map is MapName.HYPERLORENZ_DNA) * limit * 3 // 4
    with memory_within(limit):
        source = Zeros()
        stream = encipher(source, Layout.for_file(size), parameters, SECRET, prove=True)
        for _ in range(bands):
            assert len(next(stream)) <= 8 << 20
        assert source.given <= bands << 23
        stream.close()
