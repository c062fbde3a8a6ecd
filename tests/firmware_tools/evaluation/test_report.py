"""The command measures, attacks and reports; the report is one file that holds together and hides nothing."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from edge.errors import ExitCode
from firmware_tools import cli
from firmware_tools.evaluation import report
from firmware_tools.evaluation.findings import Findings, as_csv


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Evaluate two images in three ways."""
    root = tmp_path_factory.mktemp("evaluate")
    scans = root / "scans"
    scans.mkdir()
    slope = (np.add.outer(np.arange(150), np.arange(170)) % 251).astype(np.uint8)
    Image.fromarray(slope).save(scans / "gray <1>.png")
    wide = np.tile(slope, (2, 2))
    Image.fromarray(np.stack([wide, wide[::-1], wide[:, ::-1]], axis=2)).save(scans / "colour.png")
    (scans / "notes.txt").write_text("no image")
    words = ["evaluate", str(scans), "-o", str(root / "report"), "--largest", "256"]
    for way in ("logistic bare", "lorenz mobilenetv2", "aes-256-ctr"):
        words += ["--way", way]
    assert cli.main(words) == 0
    return root / "report"


class Page(HTMLParser):
    """What a page holds: its elements' balance, its text, what it would load from elsewhere."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.foreign: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in {"meta", "img"}:
            self.open.append(tag)
        for name, value in attrs:
            if name in {"src", "href"} and not (value or "").startswith(("data:", "#")):
                self.foreign.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_loads_nothing(written: Path) -> None:
    page = Page((written / "index.html").read_text())
    assert page.open == []
    assert page.foreign == []
    for said in (
        "Statistics are not security",
        "2 images, 3 ways: 6 of 6 deciphered exactly",
        "logistic bare: chosen images",
        "3 images give xindex, yindex and zkey: the image deciphers exactly",
        "what comes out is not even a permutation",
        "lorenz mobilenetv2: all time stamps",
        "nothing found in 120: the secret has 256 bits",
        "64 of 64 refused by the signature; had they been signed, 64 by AES-256-GCM",
        "6 attacks were run: 6 broke",
        "0 got anywhere against the product",
        "those tables are not here",
        "This is not a property of the product",
        "7.901902 to 7.903037, are too narrow",
        "RSA-OAEP for the hospital, and the device's Ed25519 signature",
        "noise of these sizes",
        "samples that change, one key",
        "gray <1>.png",
        "notes.txt",
    ):
        assert said in page.text, said
    assert "NOT ALL" not in page.text


def test_json_and_csv_hold_the_same_figures(written: Path) -> None:
    found = json.loads((written / "results.json").read_text())
    rows = list(csv.DictReader((written / "results.csv").open(newline="")))
    assert len(found["measured"]) == len(rows) == 6
    for measured, row in zip(found["measured"], rows, strict=True):
        assert (measured["image"], measured["way"]) == (row["image"], row["way"])
        assert measured["cipher"]["entropy"] == float(row["cipher.entropy"])
        assert (measured["mse_back"], measured["psnr_back"], row["psnr_back"]) == (0, None, "inf")
    assert [name for name, _ in found["left_out"]] == ["notes.txt"]
    assert {each["way"] for each in found["sensitivities"]} == {"logistic bare", "lorenz mobilenetv2", "aes-256-ctr"}


def test_there_is_a_picture_of_everything(written: Path) -> None:
    captions = re.findall(r"<figcaption>([^<]+)", (written / "index.html").read_text())
    for part in (
        "with histograms",
        "neighbours",
        "attractor",
        "logistic map",
        "orbit",
        "bare cipher alone",
        "how long",
    ):
        assert any(part in caption for caption in captions), part


def test_json_holds_every_study(written: Path) -> None:
    found = json.loads((written / "results.json").read_text())
    assert {(each["side"], each["channels"], each["bits"]) for each in found["speeds"]} == {
        (256, 1, 8),
        (256, 3, 8),
        (256, 1, 16),
        (256, 3, 16),
    }
    # Of two images one is large enough to stand beside published values.
    assert {(each["image"], each["shape"][0]) for each in found["beside"]} == {("colour.png", 256)}
    assert [each["way"] for each in found["spectra"]] == ["lorenz mobilenetv2", "logistic bare"]
    assert all(each["repeating"] == 0 for each in found["repeats"])
    assert all(each["origin"]["link"] for each in found["published"])
    assert all(each["broken"] and each["held"] for each in found["attacks"])
    assert any(each["honest"] for each in found["key_spaces"])


def test_bad_calls_are_refused_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    output = ["-o", str(tmp_path / "report")]
    for words, said in (
        ([str(tmp_path / "gone")], "does not exist"),
        ([str(tmp_path / "notes.txt")], "none of the files is an image"),
        ([str(tmp_path / "notes.txt"), "--sequences", "3"], "--sequences must be 55 or more"),
        ([str(tmp_path / "notes.txt"), "--orbits", "-1"], "--orbits must be 0 or more"),
    ):
        assert cli.main(["evaluate", *words, *output]) == ExitCode.USAGE
        assert said in capsys.readouterr().err


def test_times_alone_are_measured_and_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tifffile.imwrite(tmp_path / "deep.tif", np.zeros((40, 40, 3), np.uint16), photometric="rgb")
    words = ["evaluate", str(tmp_path / "deep.tif"), "-o", str(tmp_path / "times"), "--only-times", "--largest", "256"]
    assert cli.main([*words, "--way", "logistic bare", "--way", "aes-256-ctr"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| way | key | 256 x 256 | MB/s |"
    assert [line.split(" | ")[0] for line in lines[2:4]] == ["| logistic bare", "| aes-256-ctr"]
    found = json.loads((tmp_path / "times" / "results.json").read_text())
    assert len(found["speeds"]) == 8
    grey = next(each for each in found["speeds"] if (each["channels"], each["bits"]) == (1, 8))
    assert f"{1000 * grey['encipher']:.2f} / {1000 * grey['decipher']:.2f}" in lines[2]
    assert found["measured"] == found["attacks"] == []
    assert found["made"]["read with tifffile, as the product carries their file's bytes"] == "deep.tif"
    page = Page((tmp_path / "times" / "index.html").read_text())
    assert "Only times were measured" in page.text
    assert "No image could be evaluated" not in page.text


def test_findings_without_images_still_make_a_page() -> None:
    page = Page(report.as_html(Findings(title="none", made={})))
    assert page.open == []
    assert "No image could be evaluated" in page.text
    assert as_csv(Findings(title="none", made={})) == "image,way\n"


def test_the_committed_example_is_what_the_command_writes_now(written: Path) -> None:
    example = Path(__file__).resolve().parents[3] / "docs" / "example-report"
    now, then = (json.loads((folder / "results.json").read_text()) for folder in (written, example))
    assert now.keys() == then.keys()
    for key in ("measured", "attacks", "damaged", "speeds", "spectra", "ranges", "repeats"):
        assert now[key][0].keys() == then[key][0].keys(), key
    assert then["published"] == now["published"]
    assert all(each["sequences"] <= 100 for found in then["randomness"].values() for each in found)
    assert all(each["mse_back"] == 0 for each in then["measured"])
    assert all(each["held"] for each in then["attacks"])
    assert Page((example / "index.html").read_text()).foreign == []
    assert (example / "index.html").stat().st_size < 1_600_000
