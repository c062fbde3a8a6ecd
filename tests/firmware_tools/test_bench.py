"""The benchmark: what it says of its figures, what it leaves behind (nothing), and that every part really measures."""

import argparse
import json
import os
import subprocess
import sys
import threading
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from edge.errors import EdgeError, ExitCode, UsageError
from edge.intake.image import Inspector
from firmware_tools import bench
from firmware_tools.bench import local, processes, timing, way
from firmware_tools.bench.figures import Figure, Limit, Verdict, broken, report, skipped, table
from firmware_tools.bench.images import settled, write_image
from firmware_tools.bench.plan import FULL, QUICK

TINY = replace(
    QUICK, rounds=1, disk_rounds=1, cipher_bytes=100_000, seal_bytes=100_000, way_images=2, way_bytes=20_000, idle_files=2,
    idle_seconds=0.2, memory_bytes=300_000,
)  # fmt: skip


def parsed(*flags):
    parser = argparse.ArgumentParser()
    bench.add_bench_arguments(parser)
    return parser.parse_args(flags)


def needs_mosquitto():
    if processes.mosquitto() is None:
        pytest.skip(processes.NO_BROKER)


# --- figures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "verdict"),
    [
        ({}, Verdict.NONE),
        ({"at_least": 10}, Verdict.PASS),
        ({"at_least": 10.5}, Verdict.FAIL),
        ({"at_most": 10}, Verdict.PASS),
        ({"at_most": 9.5}, Verdict.FAIL),
    ],
)
def test_a_target_is_met_or_missed(target, verdict):
    assert Figure(part="p", name="n", value=10, **target).verdict is verdict


def test_a_ratio_needs_a_limit_that_is_not_zero():
    figure = Figure(part="p", name="n", value=10)
    assert figure.ratio is None
    assert replace(figure, limit=Limit(name="copy", value=40)).ratio == 0.25
    assert replace(figure, limit=Limit(name="sleep", value=0)).ratio is None


def test_the_table_shows_figure_target_verdict_limit_and_ratio():
    limit = Limit(name="copy and fsync", value=1000)
    figure = Figure(part="seal", name="to spool", value=230, unit="MB/s", at_least=150, limit=limit, note="one file")
    text = table([figure, skipped("transfer", processes.NO_BROKER)])
    head, row, missing, *notes = text.splitlines()
    assert head.split()[:2] == ["PART", "FIGURE"]
    assert row.split() == [
        "seal",
        "to",
        "spool",
        "230",
        "MB/s",
        ">=",
        "150",
        "pass",
        "1000",
        "(copy",
        "and",
        "fsync)",
        "0.23",
    ]
    assert "skipped" in missing
    assert notes == ["", "seal: to spool: one file", f"transfer: not measured: {processes.NO_BROKER}"]


def test_the_report_is_plain_json():
    limit = Limit(name="copy", value=2)
    figures = [Figure(part="p", name="n", value=1, at_most=2, limit=limit), broken("q", "why")]
    first, second = json.loads(json.dumps(report(figures)))["figures"]
    assert (first["verdict"], first["ratio"], first["limit"]["name"]) == ("pass", 0.5, "copy")
    assert (second["verdict"], second["note"]) == ("BROKEN", "why")


@pytest.mark.parametrize(
    ("figure", "relaxed", "checked"),
    [
        (Figure(part="p", name="n", value=1, at_least=1), ExitCode.OK, ExitCode.OK),
        (Figure(part="p", name="n", value=1, at_least=2), ExitCode.OK, ExitCode.NOT_DELIVERED),
        (skipped("p", "why"), ExitCode.OK, ExitCode.OK),
        (broken("p", "why"), ExitCode.INTERNAL, ExitCode.INTERNAL),
    ],
)
def test_only_a_broken_part_is_an_error_unless_targets_are_checked(figure, relaxed, checked):
    assert bench.exit_code([figure], check=False) is relaxed
    assert bench.exit_code([figure], check=True) is checked


# --- the run --------------------------------------------------------------------------------------------------------


def test_a_run_prints_a_table_writes_json_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "QUICK", TINY)
    place, report_file = tmp_path / "disk", tmp_path / "figures.json"
    place.mkdir()
    flags = ("--quick", "--only", "cipher", "--folder", str(place), "--json", str(report_file))
    assert bench.run_bench(parsed(*flags)) == 0
    assert "logistic encipher / AES-256-GCM" in capsys.readouterr().out
    assert {figure["part"] for figure in json.loads(report_file.read_text())["figures"]} == {"cipher"}
    assert not list(place.iterdir())


def test_a_part_that_breaks_is_named_and_the_others_are_measured(tmp_path, monkeypatch, capsys):
    def breaks(_plan, _folder):
        raise EdgeError("the broker does not listen")
        yield

    def refused(_plan, _folder):
        raise OSError(28, os.strerror(28), str(tmp_path))
        yield

    def works(_plan, _folder):
        yield Figure(part="idle", name="n", value=1)

    monkeypatch.setattr(bench, "PARTS", {"start": breaks, "memory": refused, "idle": works})
    first, second, third = bench.measure(["start", "memory", "idle"], TINY, tmp_path)
    assert (first.verdict, first.part, second.verdict) == (Verdict.BROKEN, "start", Verdict.BROKEN)
    assert "does not listen" in first.note
    assert str(tmp_path) not in second.note
    assert third.verdict is Verdict.NONE
    assert capsys.readouterr().err.splitlines() == ["measuring: start", "measuring: memory", "measuring: idle"]


def test_only_the_named_parts_are_measured(tmp_path, monkeypatch):
    def refuse(_plan, _folder):
        raise AssertionError("not asked for")

    monkeypatch.setattr(bench, "PARTS", dict.fromkeys(bench.PARTS, refuse))
    assert bench.measure([], FULL, tmp_path) == []


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(UsageError):
        bench.run_bench(parsed("--folder", str(tmp_path / "none")))


@pytest.mark.parametrize("part", ["start", "transfer", "memory", "idle"])
def test_what_needs_a_broker_is_skipped_by_name_without_one(part, tmp_path, monkeypatch):
    monkeypatch.setattr(way, "mosquitto", lambda: None)
    (figure,) = bench.PARTS[part](TINY, tmp_path)
    assert (figure.part, figure.verdict, figure.note) == (part, Verdict.SKIPPED, processes.NO_BROKER)


# --- the parts ------------------------------------------------------------------------------------------------------


def test_candidates_take_turns():
    order = []
    timings = timing.interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, rounds=2)
    assert order == ["a", "b"] * 3
    assert set(timings) == {"a", "b"}
    assert timing.Timing(wall=2.0, cpu=1.0).rate(10_000_000) == 5.0


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


def test_sealing_and_opening_are_measured_beside_a_copy(tmp_path):
    sealed, opened = local.measure_seal(TINY, tmp_path)
    assert sealed.value > 0 < opened.value
    assert sealed.limit == opened.limit
    assert sealed.at_least == 150


@pytest.mark.mosquitto
def test_the_whole_way_is_measured_with_real_processes(tmp_path):
    needs_mosquitto()
    (figure,) = way.measure_transfer(TINY, tmp_path)
    assert figure.value > 0
    assert figure.limit is not None
    assert figure.at_least == 40
    assert len(list((tmp_path / "transfer-0" / "site" / "receiver" / "store").rglob("*.pnm"))) == 2


# --- processes ------------------------------------------------------------------------------------------------------


def test_a_process_is_ended_with_its_context(tmp_path):
    with processes.Process([sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log") as process:
        process.require_running()
        pid = process.pid
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_process_that_fails_is_quoted(tmp_path):
    code = "import sys; print('prog: it broke', file=sys.stderr); print('hint: mend it', file=sys.stderr); sys.exit(3)"
    with processes.Process([sys.executable, "-c", code], tmp_path / "log") as process:
        with pytest.raises(EdgeError, match="status 3: prog: it broke; hint: mend it"):
            process.finish(30)
        with pytest.raises(EdgeError, match="ended early"):
            process.require_running()


def test_memory_of_a_process_and_its_children_is_seen():
    if not processes.has_proc():
        pytest.skip(processes.NO_PROC)
    child = "import sys; held = b'x' * 30_000_000; print('ready', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", child], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with processes.MemoryWatch({"parent": os.getpid()}) as watch:
            looked = threading.Event()
            while "parent's worker" not in watch.peaks or not watch.peaks["parent"].bytes:
                looked.wait(0.01)
        process.stdin.close()
    assert watch.peaks["parent's worker"].bytes > 30_000_000


def test_processor_time_is_that_of_the_process():
    if not processes.has_proc():
        pytest.skip(processes.NO_PROC)
    before = processes.cpu_seconds(os.getpid())
    while processes.cpu_seconds(os.getpid()) - before < 0.02:
        sum(range(10_000))
    assert processes.cpu_seconds(2**22 + 1) == 0.0
