"""A key that is used twice gives itself away, as in the papers' scheme; against a fresh secret the same attacks fail."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import pytest

from firmware_tools.evaluation import attacks, metrics
from firmware_tools.evaluation.ways import Way, ways

MOMENT = datetime(2026, 11, 21, 9, 30, 0)
WAYS = {way.name: way for way in ways()}
PERMUTED = [name for name in WAYS if name.startswith(("logistic", "lorenz"))]


def picture(seed: int, *shape: int, dtype: type = np.uint8) -> np.ndarray:
    """Return something smooth, as scans are."""
    generator = np.random.default_rng(seed)
    rows, columns, *channels = shape
    y, x = np.mgrid[0:rows, 0:columns] / max(rows, columns)
    waves = sum(np.sin(2 * np.pi * (generator.uniform(0.5, 3) * x + generator.uniform(0.5, 3) * y)) for _ in range(4))
    levels = (waves - waves.min()) / np.ptp(waves) * np.iinfo(dtype).max
    return np.repeat(levels[..., None], channels[0], axis=2).astype(dtype) if channels else levels.astype(dtype)


@pytest.mark.parametrize("name", PERMUTED)
def test_three_chosen_images_give_the_key_file_away_where_the_time_stamp_is_the_key(name: str) -> None:
    way, target = WAYS[name], picture(1, 120, 160)
    key = way.key(target, MOMENT, attacks.PAPER_SECRET)
    recovered = attacks.recover_key_file(lambda image: way.encipher(image, key), target)
    assert recovered.images == 3
    assert recovered.holds
    assert np.array_equal(recovered.decipher(way.encipher(target, key)), target)


@pytest.mark.parametrize(("shape", "dtype"), [((300, 40), np.uint8), ((20, 700, 3), np.uint8), ((64, 300), np.uint16)])
def test_larger_images_colour_and_depth_take_some_images_more(shape: tuple[int, ...], dtype: type) -> None:
    way, target = WAYS["logistic bare"], picture(2, *shape, dtype=dtype)
    key = way.key(target, MOMENT, attacks.PAPER_SECRET)
    recovered = attacks.recover_key_file(lambda image: way.encipher(image, key), target)
    assert recovered.images == 4
    assert np.array_equal(recovered.decipher(way.encipher(target, key)), target)


@pytest.mark.parametrize("name", PERMUTED)
def test_chosen_images_give_nothing_away_where_each_has_its_own_secret(name: str) -> None:
    way, target = WAYS[name], picture(1, 120, 160)
    recovered = attacks.recover_key_file(lambda image: way.encipher(image, way.key(image, MOMENT)), target)
    assert not recovered.holds
    again = attacks.recover_key_file(lambda image: way.encipher(image, way.key(image, MOMENT)), target)
    assert metrics.npcr(recovered.zkey, again.zkey) > metrics.npcr_bounds(target.size, 8, 1e-6).low


@pytest.mark.parametrize("name", [name for name in WAYS if name != "aes-256-ctr"])
def test_every_way_deciphers_what_it_enciphered(name: str) -> None:
    way = WAYS[name]
    for image in (picture(3, 50, 70), picture(3, 50, 70, 3), picture(3, 50, 70, dtype=np.uint16)):
        key = way.key(image, MOMENT)
        assert np.array_equal(way.decipher(way.encipher(image, key), key), image)


def test_the_control_is_aes_in_counter_mode() -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

    way, image = WAYS["aes-256-ctr"], picture(3, 16, 16)
    key = way.key(image, MOMENT)
    stream = Cipher(algorithms.AES256(key.secret), modes.CTR(bytes(16))).encryptor().update(bytes(image.size))
    assert (way.encipher(image, key) ^ image).tobytes() == stream
    assert np.array_equal(way.decipher(way.encipher(image, key), key), image)


def differences(way: Way, secret: bytes | None) -> attacks.TwoTimePad:
    """Encipher two images of one second, and look at the difference."""
    images = [picture(seed, 256, 256) for seed in (4, 5)]
    return attacks.two_time_pad(*(way.encipher(image, way.key(image, MOMENT, secret)) for image in images))


@pytest.mark.parametrize("name", PERMUTED)
def test_two_images_of_one_second_show_their_difference_only_where_they_share_a_key(name: str) -> None:
    shared = differences(WAYS[name], attacks.PAPER_SECRET)
    assert shared.p_value < 1e-12
    own = differences(WAYS[name], None)
    assert own.p_value > 1e-4
    assert own.entropy > 7.99 > shared.entropy


def test_a_time_stamp_is_found_by_trying_all_and_a_secret_is_not() -> None:
    way, target = WAYS["logistic mobilenetv2"], picture(6, 48, 48)
    moments = list(attacks.seconds_from(MOMENT, 40))
    taken = moments[31]
    found = attacks.brute_force(way, way.encipher(target, way.key(target, taken, attacks.PAPER_SECRET)), moments)
    assert (found.found, found.tried) == (taken, 32)
    assert found.image is not None
    assert np.array_equal(found.image, target)
    assert found.seconds_for_a_year > 0

    missed = attacks.brute_force(way, way.encipher(target, way.key(target, taken)), moments)
    assert (missed.found, missed.tried, missed.image) == (None, 40, None)
