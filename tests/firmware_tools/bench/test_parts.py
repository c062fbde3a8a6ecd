"""Every part of the benchmark really measures, on tiny plans, and leaves nothing."""

import shutil
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge.errors import EdgeError
from edge.intake.image import Inspector
from firmware_tools.bench import bare, cipher, processes, sealing, timing, tools, way
from firmware_tools.bench.figures import Verdict
from firmware_tools.bench.images import settled, write_image
from firmware_tools.bench.plan import QUICK

TINY = replace(
    QUICK, judged=True, rounds=1, disk_rounds=1, cipher_bytes=100_000, cipher_directions=True, cipher_sizes=(10_000,), lanes=(256,),
    seal_bytes=100_000, seal_sizes=(20_000,), latency_images=2, latency_bytes=20_000, way_images=2, way_bytes=20_000,
    small_images=2, small_bytes=5_000, tool_bytes=50_000, tool_image_bytes=3_000, tool_small_images=2,
)  # fmt: skip


def needs(what, present):
    if not present:
        pytest.skip(what)


def test_candidates_take_turns():
    order = []
    timings = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert set(timings) == {"a", "b"}
    assert timing.Timing(wall=2.0, cpu=1.0, best=1.0).rate(10_000_000) == 5.0
    assert timing.Timing(wall=2.0, cpu=1.0, best=1.0).best_rate(10_000_000) == 10.0


def test_the_images_are_known_and_complete(tmp_path):
    image = write_image(tmp_path / "scan.pnm", 20_000, seed=1)
    with Inspector() as inspector:
        assert inspector.inspect(settled(image), now=datetime(2026, 1, 1, tzinfo=UTC)).known
    assert abs(image.stat().st_size - 20_000) < 5_000
    assert write_image(tmp_path / "other.pnm", 20_000, seed=2).read_bytes() != image.read_bytes()


def test_a_synced_copy_leaves_nothing(tmp_path):
    image = write_image(tmp_path / "scan.pnm", 20_000, seed=1)
    timing.copy_durably(image, tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["scan.pnm"]


def test_a_disk_tells_how_many_files_it_syncs_and_keeps_none(tmp_path):
    assert timing.synced_files(tmp_path, 1000, 3) > 0
    assert list(tmp_path.iterdir()) == []


def test_every_way_every_size_and_every_number_of_lanes_is_measured_beside_aes(tmp_path):
    figures = {figure.name: figure for figure in cipher.measure_cipher(TINY, tmp_path)}
    assert all(figure.value > 0 < figure.ratio for figure in figures.values())
    judged = figures["logistic: encipher, 100 KB"]
    assert (judged.at_least, judged.ratio_at_least, judged.limit.name) == (1000, 0.3, cipher.AES)
    assert figures["hyperlorenz-dna wide: encipher, 100 KB"].at_least == 150
    assert {"lorenz: decipher, 100 KB", "logistic: encipher, 10 KB", "lorenz key stream, 256 lanes"} <= set(figures)


def test_sealing_and_opening_are_measured_beside_a_copy_and_by_size(tmp_path):
    sealed, opened, sealing_cpu, opening_cpu, small = sealing.measure_seal(TINY, tmp_path)
    assert sealed.value > 0 < opened.value
    assert sealed.limit == opened.limit
    assert sealed.at_least == 300
    assert (sealing_cpu.unit, opening_cpu.unit, small.unit) == ("ms CPU/MB", "ms CPU/MB", "MB/s")
    assert not list((tmp_path / "seal" / "spool").rglob("*.spooled"))


# --- the whole way --------------------------------------------------------------------------------------------------


@pytest.mark.mosquitto
def test_throughput_is_measured_with_real_processes_beside_bare_mosquitto(tmp_path):
    needs(processes.NO_BROKER, processes.mosquitto())
    needs(bare.NO_CLIENTS, bare.has_clients())
    rate, *load = way.measure_transfer(TINY, tmp_path)
    assert rate.value > 0 < rate.limit.value
    assert rate.at_least == 70
    assert [figure.name.partition(",")[0] for figure in load] == ["daemon", "receiver", "broker"]
    assert len(list((tmp_path / "transfer-0" / "site" / "receiver" / "store").rglob("*.pnm"))) == 2


@pytest.mark.mosquitto
def test_latency_is_measured_from_settled_to_receipt(tmp_path):
    needs(processes.NO_BROKER, processes.mosquitto())
    needs(bare.NO_CLIENTS, bare.has_clients())
    median, most = way.measure_latency(TINY, tmp_path)
    assert 0 < median.value <= most.value
    assert median.at_most == 100
    assert median.note.startswith("2 images; medians of the steps: ")


# --- what a user would pick instead ---------------------------------------------------------------------------------


def test_tools_that_are_not_installed_are_skipped_by_name(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda *_args, **_options: None)
    monkeypatch.setattr(tools.importlib.util, "find_spec", lambda _name: None)
    figures = list(tools.measure_tools(TINY, tmp_path))
    missing = {figure.note for figure in figures if figure.verdict is Verdict.SKIPPED}
    assert {bare.NO_AGE, bare.NO_CLIENTS, tools.NO_GPG, "the Python package hyperchaos is not installed"} <= missing
    assert any(figure.name.startswith("seal to spool") for figure in figures)


def test_installed_tools_are_measured_beside_ours(tmp_path):
    needs(bare.NO_AGE, bare.has_age())
    figures = [figure for figure in tools.measure_tools(TINY, tmp_path) if figure.verdict is not Verdict.SKIPPED]
    assert all(figure.value > 0 for figure in figures)
    assert any(figure.name.startswith("age: X25519") for figure in figures)


@pytest.mark.mosquitto
def test_bare_mosquitto_carries_the_bytes_with_and_without_tls(tmp_path):
    needs(processes.NO_BROKER, processes.mosquitto())
    needs(bare.NO_CLIENTS, bare.has_clients())
    path = write_image(tmp_path / "scan.pnm", 20_000, seed=1)
    with bare.tls_broker(tmp_path) as (_, port, authority):
        assert bare.carry([path, path], tmp_path, port, authority=authority).seconds > 0
        with pytest.raises(EdgeError, match="mosquitto_pub ended with status"):
            bare.carry([path], tmp_path, port)
