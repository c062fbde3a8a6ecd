"""A digest beside the stream is the digest of the stream, whatever becomes of its thread and of the memory it reads."""

from __future__ import annotations

import hashlib
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.digest import Digest
from tests.world import PATIENCE_SECONDS


@settings(max_examples=50)
@given(pieces=st.lists(st.binary(max_size=5000), max_size=40), beside=st.booleans(), between=st.integers(0, 40))
def test_it_is_the_sha256_of_the_pieces_in_their_order(pieces: list[bytes], beside: bool, between: int) -> None:
    with Digest(beside=beside) as digest:
        for number, piece in enumerate(pieces):
            if number == between:
                assert digest.digest() == hashlib.sha256(b"".join(pieces[:number])).digest()
            digest.update(piece)
        assert digest.digest() == hashlib.sha256(b"".join(pieces)).digest()


def test_memory_may_be_used_again_after_a_wait() -> None:
    whole = hashlib.sha256()
    buffer = bytearray(1 << 20)
    with Digest(beside=True) as digest:
        for number in range(20):
            buffer[:] = bytes([number]) * len(buffer)
            whole.update(buffer)
            digest.update(memoryview(buffer))
            digest.wait()
        assert digest.digest() == whole.digest()


def test_where_no_thread_can_be_started_it_hashes_by_itself() -> None:
    before = threading.stack_size()
    try:
        threading.stack_size((1 << 62) // 4096 * 4096)  # more than any machine has: starting a thread fails
        with Digest(beside=True) as digest:
            digest.update(b"a")
            digest.update(b"b")
            assert digest.digest() == hashlib.sha256(b"ab").digest()
    finally:
        threading.stack_size(before)


@pytest.mark.parametrize("beside", [True, False])
def test_its_thread_ends_with_it(beside: bool) -> None:
    before = set(threading.enumerate())
    with Digest(beside=beside) as digest:
        digest.update(b"a")
        digest.wait()
        own = [thread for thread in set(threading.enumerate()) - before if thread.name == "hashing"]
        assert len(own) == beside
    for thread in own:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()
