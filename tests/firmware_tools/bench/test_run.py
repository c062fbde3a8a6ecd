"""A run of the benchmark: what it prints and writes, what it leaves behind (nothing), and its exit code."""

import argparse
import json
import os
from dataclasses import replace

import pytest

from edge.errors import EdgeError, ExitCode, UsageError
from firmware_tools import bench
from firmware_tools.bench import processes, upkeep, way
from firmware_tools.bench.figures import Figure, Limit, Verdict, machine, report
from firmware_tools.bench.plan import FULL, LARGEST, QUICK

TINY = replace(QUICK, rounds=1, cipher_bytes=100_000, cipher_sizes=(10_000,), lanes=(256,))


def parsed(*flags):
    parser = argparse.ArgumentParser()
    bench.add_bench_arguments(parser)
    return parser.parse_args(flags)


def test_a_run_prints_a_table_writes_json_and_leaves_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "QUICK", TINY)
    place, report_file = tmp_path / "disk", tmp_path / "figures.json"
    place.mkdir()
    flags = ("--quick", "--only", "cipher", "--folder", str(place), "--json", str(report_file))
    assert bench.run_bench(parsed(*flags)) == 0
    printed = capsys.readouterr().out
    assert "logistic: encipher, 100 KB" in printed
    assert "measured " in printed
    assert "compared " in printed
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


def test_a_ratio_that_fell_is_told_and_is_an_error_on_demand(tmp_path, monkeypatch, capsys):
    then = Figure(part="idle", name="n", value=10, limit=Limit(name="copy", value=10))
    against = tmp_path / "then.json"
    against.write_text(json.dumps(report([then], machine())))
    monkeypatch.setattr(bench, "PARTS", {"idle": lambda _plan, _folder: [replace(then, value=2)]})
    assert bench.run_bench(parsed("--against", str(against))) == ExitCode.OK
    assert "20 %" in capsys.readouterr().out
    assert bench.run_bench(parsed("--against", str(against), "--check")) == ExitCode.NOT_DELIVERED
    assert bench.run_bench(parsed("--check")) == ExitCode.OK


@pytest.mark.parametrize("flags", [("--quick",), ("--only", "cipher")])
def test_only_a_whole_run_can_be_committed(flags):
    with pytest.raises(UsageError):
        bench.run_bench(parsed("--update", *flags))


def test_the_largest_plan_is_the_full_one_with_very_many_files():
    assert replace(LARGEST, files=FULL.files) == FULL
    assert max(LARGEST.files) == 100_000


@pytest.mark.parametrize("part", ["start", "latency", "transfer", "small", "files", "memory", "idle"])
def test_what_needs_a_broker_is_skipped_by_name_without_one(part, tmp_path, monkeypatch):
    for module in (way, upkeep):
        monkeypatch.setattr(module, "mosquitto", lambda: None)
    (figure,) = bench.PARTS[part](TINY, tmp_path)
    assert (figure.part, figure.verdict, figure.note) == (part, Verdict.SKIPPED, processes.NO_BROKER)
