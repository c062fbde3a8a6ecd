"""A part takes chunks in any order, survives a restart in a file, and never calls a bulk complete that is not."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.envelope import sign
from edge.errors import MalformedEnvelope, StorageError, StoreFull
from edge.transfer.parts import Part, open_part
from tests.envelope import party
from tests.world import bytes_of

CHUNK = 16 * 1024
SEALED = party.sealed(bytes_of("plain", 100_000))
MANIFEST, BULK = party.split(SEALED)
VERIFIED = sign.VerifiedManifest(sign.read_manifest(MANIFEST))
CHUNKS = [BULK[start : start + CHUNK] for start in range(0, len(BULK), CHUNK)]


@contextmanager
def part_in(folder: Path, *, chunk_bytes: int = CHUNK, verified: sign.VerifiedManifest = VERIFIED) -> Iterator[Part]:
    """Open the part; again and again, as restarts do."""
    with open_part(folder, verified, chunk_bytes) as part:
        yield part


def bulk_of(part: Part) -> bytes:
    """Return what has been put together."""
    with part.bulk() as bulk:
        return bulk.read()


@settings(max_examples=25)
@given(st.permutations(range(len(CHUNKS))), st.integers(0, len(CHUNKS)))
def test_chunks_come_in_any_order_and_across_a_restart(order: list[int], split: int) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        with part_in(folder) as part:
            assert all(part.write(number, CHUNKS[number]) for number in order[:split])
            assert part.missing(100, but=set()) == sorted(order[split:])
        with part_in(folder) as part:
            assert part.complete == (split == len(CHUNKS))
            assert all(part.write(number, CHUNKS[number]) for number in order[split:])
            assert not any(part.write(number, CHUNKS[number]) for number in order)
            assert part.complete
            assert bulk_of(part) == BULK
            part.remove()
        assert list(folder.iterdir()) == []


def test_missing_chunks_are_named_in_order_without_those_asked_for(tmp_path: Path) -> None:
    with part_in(tmp_path) as part:
        part.write(1, CHUNKS[1])
        assert part.missing(3, but={0, 3}) == [2, 4, 5]
        assert part.missing(0, but=set()) == []


@pytest.mark.parametrize(
    ("number", "length"), [(-1, CHUNK), (7, CHUNK), (0, CHUNK - 1), (0, CHUNK + 1), (6, CHUNK), (0, 0)]
)
def test_a_chunk_that_does_not_fit_is_refused(tmp_path: Path, number: int, length: int) -> None:
    with part_in(tmp_path) as part:
        with pytest.raises(MalformedEnvelope):
            part.write(number, bytes(length))
        assert part.missing(100, but=set()) == list(range(len(CHUNKS)))


@pytest.mark.parametrize("tail", [b"\0", b"\0\0\0", (999).to_bytes(4, "big"), b"\xff" * 7])
def test_a_torn_list_of_numbers_costs_no_more_than_its_tail(tmp_path: Path, tail: bytes) -> None:
    with part_in(tmp_path) as part:
        part.write(2, CHUNKS[2])
    [numbers] = tmp_path.glob("*.have")
    numbers.write_bytes(numbers.read_bytes() + tail)
    with part_in(tmp_path) as part:
        assert 2 not in part.missing(100, but=set())
        assert part.write(3, CHUNKS[3])
    with part_in(tmp_path) as part:
        assert part.missing(100, but=set()) == [0, 1, 4, 5, 6]


def test_another_chunk_size_or_manifest_begins_anew(tmp_path: Path) -> None:
    with part_in(tmp_path) as part:
        part.write(0, CHUNKS[0])
    with part_in(tmp_path, chunk_bytes=2 * CHUNK) as part:
        assert part.missing(100, but=set()) == [0, 1, 2, 3]
    other = party.sealed(bytes_of("other", 100_000))
    verified = sign.VerifiedManifest(sign.read_manifest(party.split(other)[0]))
    assert verified.envelope.manifest.image_id == VERIFIED.envelope.manifest.image_id
    with part_in(tmp_path, verified=verified) as part:
        assert len(part.missing(100, but=set())) == len(CHUNKS)


def test_a_part_that_would_not_fit_is_not_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edge.transfer.parts.durable.free_bytes", lambda _path: 1_000_000)
    with pytest.raises(StoreFull), part_in(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_no_file_stays_open_where_a_part_cannot_be_begun(tmp_path: Path) -> None:
    with part_in(tmp_path):
        pass
    [numbers] = tmp_path.glob("*.have")
    numbers.unlink()
    numbers.mkdir()
    before = psutil.Process().num_fds()
    for _ in range(20):
        with pytest.raises(StorageError), part_in(tmp_path):
            pass
    assert psutil.Process().num_fds() == before


@pytest.mark.parametrize("chunk_bytes", [CHUNK, len(BULK)])
def test_a_quarantined_bulk_is_a_whole_sealed_image(tmp_path: Path, chunk_bytes: int) -> None:
    (tmp_path / "parts").mkdir()
    with part_in(tmp_path / "parts", chunk_bytes=chunk_bytes) as part:
        for number, start in enumerate(range(0, len(BULK), chunk_bytes)):
            part.write(number, BULK[start : start + chunk_bytes])
        part.move_to(tmp_path / "kept.sealed")
    assert (tmp_path / "kept.sealed").read_bytes() == SEALED
    assert list((tmp_path / "parts").iterdir()) == []


@pytest.mark.parametrize("chunk_bytes", [len(BULK), len(BULK) + 1])
def test_a_bulk_of_one_chunk_makes_no_file(tmp_path: Path, chunk_bytes: int) -> None:
    with part_in(tmp_path, chunk_bytes=chunk_bytes) as part:
        assert part.missing(100, but=set()) == [0]
        assert not part.complete
        assert part.write(0, BULK)
        assert not part.write(0, BULK)
        assert part.complete
        assert [bulk_of(part), bulk_of(part)] == [BULK, BULK]
        assert list(tmp_path.iterdir()) == []
        part.remove()


@pytest.mark.parametrize(("number", "length"), [(-1, len(BULK)), (1, len(BULK)), (0, len(BULK) - 1), (0, 0)])
def test_a_chunk_that_is_not_the_whole_bulk_is_refused_where_one_is(tmp_path: Path, number: int, length: int) -> None:
    with part_in(tmp_path, chunk_bytes=len(BULK)) as part:
        with pytest.raises(MalformedEnvelope):
            part.write(number, bytes(length))
        assert not part.complete


def test_what_came_in_several_chunks_stays_until_the_image_that_comes_in_one_is_done_with(tmp_path: Path) -> None:
    with part_in(tmp_path) as part:
        part.write(0, CHUNKS[0])
    with part_in(tmp_path, chunk_bytes=len(BULK)):
        pass
    with part_in(tmp_path) as part:
        assert 0 not in part.missing(100, but=set())
    with part_in(tmp_path, chunk_bytes=len(BULK)) as part:
        part.write(0, BULK)
        part.remove()
    assert list(tmp_path.iterdir()) == []
