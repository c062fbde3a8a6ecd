"""Cipher B beyond round trips: the published system as it stands, and what a change of one bit does."""

import io
from dataclasses import replace
from hashlib import sha256

import numpy as np
import pytest

from edge.chaos import dna
from edge.chaos.cipher import encipher
from edge.chaos.hyperdna import BandKeys, HyperDnaCipher, lane_count
from edge.chaos.hyperlorenz import HyperLanes, seeded_states
from edge.chaos.layout import Layout
from edge.chaos.parameters import BOXES, parameters_from_secret
from edge.errors import CipherError
from edge.records import ChaosParameters, MapName, Quantiser
from tests.chaos import reference_b
from tests.chaos.make_vectors import PUBLISHED_KEY

SECRET = bytes(range(32))
PUBLISHED = ChaosParameters(
    MapName.HYPERLORENZ_DNA, PUBLISHED_KEY, "secret", pattern=bytes(125), quantiser=Quantiser.PAPER
)
# The published private key, one orbit, no lanes, no secret: what reference_b.py makes of it.
R_SHA256 = "10c45ba9e61f0bfb801dcfd8caedf80dea8164dc3cc5d8b5e7ec305fa0543e65"
Z_SHA256 = "dd2a78d1e06ba45b911bc37ec5dba48a25fb12503512fb8ae142d106756aa2d2"
CIPHER_OF_4_BY_8 = "6b8a9b5af78cb6b76854e7532805e35f47b4065750ab69352c57ef7ac2fecafa"


def published_matrices(count):
    """Return R and Z of the published private key: one orbit that starts at the key itself."""
    r, z = (np.empty(count, np.uint8) for _ in range(2))
    HyperLanes(np.array(PUBLISHED_KEY[:4])[:, None], Quantiser.PAPER, burn_in=0).fill(r, z)
    return r, z


def published_cipher(image, row_bytes, pattern=bytes(125)):
    layout = Layout(size=len(image), width=row_bytes, sample=1)
    (band,) = layout.bands()
    room = -(-len(image) // 8) * 8
    plain, cipher = np.zeros(room, np.uint8), np.zeros(room, np.uint8)
    plain[: len(image)] = np.frombuffer(image, np.uint8)
    keys = BandKeys(*published_matrices(len(image)))
    HyperDnaCipher(layout, replace(PUBLISHED, pattern=pattern)).encipher(band, plain, cipher, keys)
    return cipher[: len(image)].tobytes()


def test_the_published_private_key_makes_the_frozen_matrices():
    r, z = published_matrices(4096)
    assert (sha256(r).hexdigest(), sha256(z).hexdigest()) == (R_SHA256, Z_SHA256)
    assert (r.tobytes(), z.tobytes()) == reference_b.paper_matrices(PUBLISHED_KEY, 4096)


def test_the_published_system_is_followed_pixel_by_pixel():
    assert published_cipher(bytes(range(32)), 8).hex() == CIPHER_OF_4_BY_8
    image = np.random.default_rng(1).bytes(64 * 48)
    pattern = np.random.default_rng(2).bytes(125)
    assert published_cipher(image, 48, pattern) == reference_b.paper_encipher(image, 48, PUBLISHED_KEY, pattern)


def test_the_columns_are_added_as_dna():
    """The one step in letters: without diffusion, the second byte of a pair is the sum of both."""
    data = np.frombuffer(bytes([0b10011000, 0b01001110] * 4), np.uint8).copy()
    dna.add_columns(data)
    assert dna.encode(data[1:2].tobytes()) == dna.add("ATAC", "TCGA") == "TGGC"


@pytest.mark.parametrize("quantiser", Quantiser)
def test_lanes_start_inside_the_published_ranges(quantiser):
    key = parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET, quantiser=quantiser).values
    for seed in (bytes(160), b"\xff" * 160):
        states = seeded_states(seed, key[:4])
        for row, (low, high) in zip(states, BOXES[MapName.HYPERLORENZ_DNA], strict=False):
            assert (row >= low).all()
            assert (row < high).all()


@pytest.mark.parametrize("quantiser", Quantiser)
def test_lanes_from_the_corners_of_the_ranges_stay_finite(quantiser):
    corners = np.array(np.meshgrid(*BOXES[MapName.HYPERLORENZ_DNA][:4])).reshape(4, -1)
    r, z = (np.empty(2 * corners.shape[1] * 4 * 500, np.uint8) for _ in range(2))
    HyperLanes(corners, quantiser).fill(r, z)


def test_an_orbit_that_is_not_finite_is_refused():
    states = np.full((4, 8), np.inf)
    r, z = (np.empty(64, np.uint8) for _ in range(2))
    with np.errstate(all="ignore"), pytest.raises(CipherError, match="floating-point"):
        HyperLanes(states, Quantiser.WIDE).fill(r, z)


@pytest.mark.parametrize("quantiser", Quantiser)
def test_the_matrices_are_uniform_and_unlike(quantiser):
    parameters = parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET, quantiser=quantiser)
    layout = Layout.for_file(1 << 20)
    (band,) = layout.bands()
    buffers = [np.empty(1 << 20, np.uint8) for _ in range(2)]
    keys = HyperDnaCipher(layout, parameters).keys(SECRET, band, buffers)
    for matrix in (keys.r, keys.z, keys.r ^ keys.z, keys.r[1:] ^ keys.r[:-1]):
        counts = np.bincount(matrix, minlength=256)
        # 255 degrees of freedom: 400 lies six standard deviations above the mean.
        assert ((counts - matrix.size / 256) ** 2 / (matrix.size / 256)).sum() < 400


@pytest.mark.parametrize("place", [0, 1, 5000, 9999])
def test_a_change_of_one_bit_reaches_most_of_the_cipher_image(place):
    parameters = parameters_from_secret(MapName.HYPERLORENZ_DNA, SECRET)
    layout = Layout.for_pixels((1, 100, 100, 1), 1)
    plain = bytearray(np.random.default_rng(3).bytes(layout.size))
    ciphers = []
    for _ in range(2):
        ciphers.append(
            np.concatenate(
                [np.frombuffer(bytes(b), np.uint8) for b in encipher(io.BytesIO(plain), layout, parameters, SECRET)]
            )
        )
        plain[place] ^= 1
    assert (ciphers[0] != ciphers[1]).mean() > 0.4


def test_the_lanes_follow_the_size():
    assert lane_count(Quantiser.WIDE, 1) == 256
    assert lane_count(Quantiser.WIDE, 8 * 64 * 512 - 1) == 256
    assert lane_count(Quantiser.WIDE, 8 * 64 * 512) == 512
    assert lane_count(Quantiser.WIDE, 8 << 20) == lane_count(Quantiser.PAPER, 8 << 20) == 8192
