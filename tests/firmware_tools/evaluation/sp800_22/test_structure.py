"""Ranks and linear complexities are those of their definitions."""

from __future__ import annotations

import numpy as np

from firmware_tools.evaluation.sp800_22 import structure


def test_a_linear_complexity_is_the_length_of_the_shortest_register() -> None:
    # Section 2.10.4: 1101011110001 comes from a register of 4; zeros from none; 0...01 from one as long as itself.
    blocks = np.array([[int(bit) for bit in word] for word in ("1101011110001", "0" * 13, "0" * 12 + "1")], np.uint8)
    assert structure._complexities(blocks).tolist() == [4, 0, 13]


def test_ranks_are_those_of_elimination_over_two_elements() -> None:
    identity = np.uint32(1) << np.arange(32, dtype=np.uint32)
    repeated = identity.copy()
    repeated[5] = repeated[6] ^ repeated[7]
    matrices = np.stack([identity, identity[::-1], repeated, np.zeros(32, np.uint32), np.full(32, 7, np.uint32)])
    assert structure._ranks(matrices).tolist() == [32, 32, 31, 0, 1]
