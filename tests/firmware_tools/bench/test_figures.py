"""What the benchmark says of its figures: targets, ratios, table, report, and what counts as slower than before."""

import json
from dataclasses import replace

import pytest

from edge.errors import ExitCode, UsageError
from firmware_tools import bench
from firmware_tools.bench import document, figures, processes
from firmware_tools.bench.figures import Figure, Limit, Verdict, broken, report, skipped, table
from firmware_tools.bench.published import PUBLISHED, Published
from firmware_tools.bench.regressions import BUSY, QUIET, busy, read_committed, regressions, told

LIMIT = Limit(name="copy", value=100)
HERE = figures.machine() | {"load": 0.0, "processors": 2}
CROWDED = HERE | {"load": 1.0}
LOADLESS = json.dumps({"figures": [], "machine": HERE | {"load": "much"}})


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
    first, second = json.loads(json.dumps(report(figures, HERE)))["figures"]
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


@pytest.mark.parametrize(("value", "verdict"), [(50, Verdict.PASS), (29, Verdict.FAIL), (9, Verdict.FAIL)])
def test_a_ratio_can_be_a_target_beside_the_value(value, verdict):
    figure = Figure(part="p", name="n", value=value, at_least=10, ratio_at_least=0.3, limit=LIMIT)
    assert figure.verdict is verdict
    assert replace(figure, limit=None).verdict is Verdict.FAIL
    assert ">= 10, ratio >= 0.3" in table([figure])


def test_the_machine_is_described_with_the_kernel_of_the_ciphers():
    assert set(figures.DESCRIBED) <= set(HERE)
    assert HERE["processor"]
    assert f"cipher kernel: {figures.cipher_kernel()}" in figures.described(HERE)


def test_published_speeds_are_converted_and_name_their_source():
    example = Published(
        title="t", year=2018, source="doi:1", width=1000, height=1000, channels=3, seconds=0.5, machine="m", read="r"
    )
    assert example.rate == 6.0
    assert example.conversion == "1000 x 1000 x 3 bytes / 500 ms"
    assert len({each.source for each in PUBLISHED}) >= 3
    assert all(each.source.startswith(("doi:10.", "arXiv:")) for each in PUBLISHED)


# --- slower than before ---------------------------------------------------------------------------------------------


def committed(*figures_then):
    return json.loads(json.dumps(report(figures_then, HERE)))


@pytest.mark.parametrize(
    ("part", "unit", "limit", "margin", "busy_margin"),
    [
        ("cipher", "MB/s", LIMIT, QUIET.computing, BUSY.computing),
        ("transfer", "MB/s", LIMIT, QUIET.waiting, BUSY.waiting),
        ("seal", "MB/s", replace(LIMIT, name=figures.COPIED), QUIET.syncing, BUSY.syncing),
    ],
)
def test_a_ratio_that_fell_beyond_its_margin_is_a_regression(part, unit, limit, margin, busy_margin):
    then = Figure(part=part, name="n", value=80, unit=unit, limit=limit)
    for here, most in ((HERE, margin), (CROWDED, busy_margin)):
        kept, lost = (replace(then, value=80 * (1 - most) + more) for more in (0.1, -0.1))
        assert regressions([kept], here, committed(then)) == []
        (found,) = regressions([lost], here, committed(then))
        assert (found.before, found.margin) == (0.8, most)
        assert found.share == pytest.approx(1 - most, abs=0.01)
        assert "n" in told([found])
    assert told([]) == "no ratio fell by more than its margin"


def test_a_machine_with_other_load_is_busy():
    assert not busy(HERE)
    assert busy(CROWDED)


def test_ratios_are_compared_not_figures():
    then = Figure(part="cipher", name="n", value=80, unit="MB/s", limit=LIMIT)
    on_a_slow_machine = replace(then, value=8, limit=replace(LIMIT, value=10))
    assert regressions([on_a_slow_machine], HERE, committed(then)) == []


@pytest.mark.parametrize(("part", "unit"), [("memory", "MB"), ("transfer", "ms CPU/MB")])
def test_where_less_is_better_more_is_a_regression(part, unit):
    then = Figure(part=part, name="n", value=100, unit=unit, limit=LIMIT)
    assert regressions([replace(then, value=50)], HERE, committed(then)) == []
    (found,) = regressions([replace(then, value=400)], HERE, committed(then))
    assert found.share == 0.25


@pytest.mark.parametrize(
    "then",
    [
        Figure(part="cipher", name="another", value=80, limit=LIMIT),
        Figure(part="cipher", name="n", value=80, limit=replace(LIMIT, name="another limit")),
        Figure(part="cipher", name="n", value=80),
        skipped("cipher", "why"),
    ],
)
def test_what_has_no_counterpart_is_passed_over(then):
    assert regressions([Figure(part="cipher", name="n", value=1, limit=LIMIT)], HERE, committed(then)) == []


def test_the_committed_report_can_be_compared_with():
    report_then = read_committed()
    assert regressions([], HERE, report_then) == []
    assert figures.described(report_then["machine"])
    assert all(each["verdict"] != Verdict.BROKEN for each in report_then["figures"])


@pytest.mark.parametrize(
    "content", [None, "no json", "[]", '{"figures": []}', '{"figures": [], "machine": {}}', LOADLESS]
)
def test_a_file_that_is_no_report_is_refused(tmp_path, content):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UsageError):
        read_committed(path)


# --- the page -------------------------------------------------------------------------------------------------------


def test_the_page_shows_the_committed_figures():
    text = document.PAGE.read_text()
    assert document.redrawn(text, read_committed()) == text


def test_a_committed_run_is_the_report_and_the_page(tmp_path):
    page, last = tmp_path / "speed.md", tmp_path / "last.json"
    page.write_text(f"before\n{document.BEGIN}\nold\n{document.END}\nafter\n")
    missed = Figure(part="seal", name="a | b", value=5, unit="MB/s", at_least=10, limit=LIMIT, note="why")
    cost = Figure(part="transfer", name="daemon, 20 MB", value=10, unit="ms CPU/MB")
    found = committed(missed, skipped("seal", "no disk"), cost)
    document.update(found, committed=last, page=page)
    assert read_committed(last) == found
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith(f"{document.END}\nafter\n")
    assert "| a \\| b | 5 MB/s | ≥ 10: **missed** | 100 (copy) | 0.05 |  |\n" in text
    assert "skipped: no disk" in text
    assert "- a | b: why" in text
    assert "takes 1 s of one of its cores" in text
    assert "some 0.8 J" in text
    assert "old" not in text


def test_a_page_without_its_marks_is_left_alone(tmp_path):
    page, last = tmp_path / "speed.md", tmp_path / "last.json"
    page.write_text("no marks")
    with pytest.raises(UsageError):
        document.update(committed(), committed=last, page=page)
    assert not last.exists()
    with pytest.raises(UsageError):
        document.update(committed(), committed=last, page=tmp_path / "none.md")
