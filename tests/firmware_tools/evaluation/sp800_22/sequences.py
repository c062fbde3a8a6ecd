"""Sequences of bits: expansions of numbers, as NIST took them, and good and weak random ones."""

from __future__ import annotations

import math
from functools import cache

import numpy as np

BITS = 1_000_000


def bits_of(number: int) -> np.ndarray:
    """Return the first bits of a number's binary expansion."""
    text = bin(number)[2 : 2 + BITS]
    return (np.frombuffer(text.encode(), np.uint8) - ord("0")).astype(np.uint8)


def split(first: int, last: int, term) -> tuple[int, int, int]:
    """Sum a hypergeometric series exactly by binary splitting; return P, Q, T with T / Q its sum."""
    if last - first == 1:
        return term(first)
    middle = (first + last) // 2
    p, q, t = split(first, middle, term)
    p_, q_, t_ = split(middle, last, term)
    return p * p_, q * q_, t * q_ + p * t_


@cache
def pi() -> np.ndarray:
    """Return 1,000,000 bits of pi (Chudnovsky and Chudnovsky 1988)."""

    def term(k: int) -> tuple[int, int, int]:
        if k == 0:
            return 1, 1, 13591409
        p = -(6 * k - 5) * (2 * k - 1) * (6 * k - 1)
        return p, k**3 * (640320**3 // 24), p * (13591409 + 545140134 * k)

    guard = BITS + 64
    _, q, t = split(0, guard // 47 + 2, term)
    return bits_of(q * 426880 * math.isqrt(10005 << (2 * guard)) // t)


@cache
def e() -> np.ndarray:
    """Return 1,000,000 bits of e, the sum of 1 / k!."""
    _, q, t = split(0, 80_000, lambda k: (1, max(k, 1), 1))
    return bits_of((t << (BITS + 64)) // q)


# The example of sections 2.1.8, 2.2.8, 2.3.8 and 2.13.8: the first hundred bits of pi.
HUNDRED = bits_of(
    int("1100100100001111110110101010001000100001011010001100001000110100110001001100011001100010100010111000", 2)
)


def random_bits(seed: int, count: int = BITS) -> np.ndarray:
    """Return bits of a good generator."""
    return np.random.default_rng(seed).integers(0, 2, count, dtype=np.uint8)


def biased(bits: np.ndarray) -> np.ndarray:
    """Turn four zeros of a hundred into ones."""
    return bits | (np.random.default_rng(9).random(bits.size) < 0.04)


def sticky(bits: np.ndarray) -> np.ndarray:
    """Let each bit equal the one before a little more often than every other time."""
    again = np.random.default_rng(9).random(bits.size) < 0.55
    return (np.cumsum(~again) & 1).astype(np.uint8)


def periodic(bits: np.ndarray) -> np.ndarray:
    """Repeat five hundred bits."""
    return np.tile(bits[:500], bits.size // 500)


def register(bits: np.ndarray) -> np.ndarray:
    """Give the bits of a register of 31 with two taps, x^31 + x^3 + 1: well spread, and predictable from 62 of them."""
    state = [int(bit) for bit in bits[:31]]
    for _ in range(bits.size - 31):
        state.append(state[-31] ^ state[-3])
    return np.array(state, np.uint8)
