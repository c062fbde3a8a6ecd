import io
import itertools
import struct
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.chaos.cipher import encipher
from edge.chaos.keyfile import decipher_with_key_file, key_file, key_file_size
from edge.chaos.layout import Layout
from edge.chaos.parameters import parameters_from_secret
from edge.errors import CipherError, MalformedKeyFile, ParametersOutOfRange, TruncatedEnvelope
from edge.records import ChaosParameters, MapName

SECRET = bytes(range(32))
PARAMETERS = {m: parameters_from_secret(m, SECRET) for m in MapName}


def joined(pieces):
    return b"".join([bytes(piece) for piece in pieces])


def made(plain, layout, chaotic_map=MapName.LOGISTIC):
    parameters = PARAMETERS[chaotic_map]
    return joined(encipher(io.BytesIO(plain), layout, parameters, SECRET)), joined(key_file(layout, parameters, SECRET))


def opened(cipher, keys, layout, chaotic_map=MapName.LOGISTIC):
    parameters = PARAMETERS[chaotic_map]
    return joined(decipher_with_key_file(io.BytesIO(cipher), io.BytesIO(keys), layout, parameters))


@given(st.binary(min_size=1, max_size=2000), st.integers(1, 30), st.integers(1, 16), st.sampled_from(MapName))
def test_the_key_file_alone_deciphers(plain, width, sample, chaotic_map):
    layout = Layout(size=len(plain), width=width, sample=sample)
    cipher, keys = made(plain, layout, chaotic_map)
    assert len(keys) == key_file_size(layout, chaotic_map)
    assert opened(cipher, keys, layout, chaotic_map) == plain


@pytest.mark.parametrize("chaotic_map", MapName)
def test_the_key_file_of_many_bands_deciphers(chaotic_map):
    plain = b"0123456789abcdef" * (5 << 16) * 2 + b"tail"
    layout = Layout.for_file(len(plain))
    assert layout.band_count == 2
    cipher, keys = made(plain, layout, chaotic_map)
    assert len(keys) == key_file_size(layout, chaotic_map)
    assert opened(cipher, keys, layout, chaotic_map) == plain


PLAIN = bytes(range(200))
LAYOUT = Layout(size=200, width=8, sample=2)
CIPHER, KEYS = made(PLAIN, LAYOUT)


def test_the_key_file_is_xindex_yindex_zkey():
    columns, rows = struct.unpack_from("<8I", KEYS), struct.unpack_from("<12I", KEYS, 32)
    assert sorted(columns) == list(range(8))
    assert sorted(rows) == list(range(12))
    zkey = KEYS[80:]
    assert len(zkey) == 200
    mixed = [PLAIN[16 * r + 2 * c : 16 * r + 2 * c + 2] for r in rows for c in columns]
    assert bytes(a ^ b for a, b in zip(b"".join(mixed) + PLAIN[192:], zkey, strict=True)) == CIPHER


@settings(max_examples=60)
@given(st.integers(0, 19), st.integers(0, 2**32 - 1))
def test_an_index_that_is_no_permutation_is_refused(place, value):
    tampered = bytearray(KEYS)
    if struct.unpack_from("<I", KEYS, 4 * place)[0] == value:
        return
    struct.pack_into("<I", tampered, 4 * place, value)
    with pytest.raises(MalformedKeyFile):
        opened(CIPHER, bytes(tampered), LAYOUT)


@given(st.integers(80, len(KEYS) - 1), st.integers(1, 255))
def test_a_changed_zkey_byte_changes_one_byte_of_the_image(place, change):
    tampered = bytearray(KEYS)
    tampered[place] ^= change
    assert sum(a != b for a, b in zip(opened(CIPHER, bytes(tampered), LAYOUT), PLAIN, strict=True)) == 1


@pytest.mark.parametrize("chaotic_map", MapName)
@given(st.data())
def test_a_key_file_that_ends_early_is_refused(chaotic_map, data):
    cipher, keys = made(PLAIN, LAYOUT, chaotic_map)
    length = data.draw(st.integers(0, len(keys) - 1))
    with pytest.raises(MalformedKeyFile):
        opened(cipher, keys[:length], LAYOUT, chaotic_map)


@pytest.mark.parametrize("chaotic_map", MapName)
def test_a_cipher_image_that_ends_early_is_refused(chaotic_map):
    cipher, keys = made(PLAIN, LAYOUT, chaotic_map)
    with pytest.raises(TruncatedEnvelope):
        opened(cipher[:-1], keys, LAYOUT, chaotic_map)


def test_the_key_file_of_cipher_b_goes_with_its_features_alone():
    cipher, keys = made(PLAIN, LAYOUT, MapName.HYPERLORENZ_DNA)
    mine = PARAMETERS[MapName.HYPERLORENZ_DNA]
    other = replace(mine, pattern=bytes(len(mine.pattern)))
    opened_wrongly = joined(decipher_with_key_file(io.BytesIO(cipher), io.BytesIO(keys), LAYOUT, other))
    bits = itertools.cycle(mine.pattern)
    assert opened_wrongly == bytes(a ^ b for a, b in zip(PLAIN, bits, strict=False))


def test_bad_keys_make_no_key_file():
    with pytest.raises(CipherError):
        key_file(LAYOUT, PARAMETERS[MapName.LORENZ], bytes(31))
    with pytest.raises(ParametersOutOfRange):
        key_file(LAYOUT, ChaosParameters(map=MapName.LORENZ, values=(1.0, 1.0, 1.0), origin="secret"), SECRET)
