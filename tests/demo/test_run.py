"""The demo as a newcomer runs it: an embedded broker, both ends, a table, a sheet, and an honest exit code."""

import json

from tests.cli.programs import run
from tests.world import png


def test_a_folder_of_images_arrives_identically(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    images = {f"{name}.png": png(name, 20_000) for name in ("one", "two")}
    for name, data in images.items():
        (scans / name).write_bytes(data)
    output = tmp_path / "out"
    done = run("edge-encryptor", "demo", scans, "-o", output, "--map", "lorenz", "--network", "resnet18")
    assert done.code == 0, done.err
    assert "2 of 2 images arrived; 2 of 2 identical to the original" in done.out
    results = json.loads((output / "results.json").read_text())
    assert {result["file"]: result["identical"] for result in results} == dict.fromkeys(images, True)
    assert {(result["map"], result["network"]) for result in results} == {("lorenz", "resnet18")}
    received = {path.name: path.read_bytes() for path in (output / "hospital").rglob("*.png")}
    assert received == images
    assert (output / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_carried_is_named_and_decides_the_exit_code(tmp_path):
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "whole.png").write_bytes(png("whole"))
    (scans / "empty.jpg").touch()
    done = run("edge-encryptor", "demo", scans, "-o", tmp_path / "out")
    assert done.code == 3
    assert "left where it is: empty.jpg: stuck (empty-file)" in done.out
    assert "1 of 2 images arrived, 1 stuck" in done.out
