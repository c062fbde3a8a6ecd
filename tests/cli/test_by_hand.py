"""Files sealed and opened by hand, without a broker: encrypt, decrypt, inspect, verify, dry-run, and their exit codes."""

from __future__ import annotations

import json
import shutil
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edge.cli import encryptor, receiver
from tests.cli.desk import Desk
from tests.cli.programs import run
from tests.world import png

SMALL = (
    "exif_null-date_olympus-c750uz.jpg",
    "mode_gray16_pngsuite.png",
    "ct_small_explicit-le.dcm",
    "mode_rgb8_lzw.tif",
)
WAYS = [
    *(("--map", m, "--network", n) for m in ("logistic", "lorenz") for n in ("mobilenetv2", "resnet18")),
    *(("--map", "hyperlorenz-dna", "--quantiser", quantiser) for quantiser in ("paper", "wide")),
    ("--map", "lorenz", "--features"),
]
COMBINATIONS = [
    (*way, "--domain", domain, "--key-file", key_file)
    for way, domain, key_file in product(WAYS, ("file", "pixels"), ("compact", "explicit"))
]


@pytest.fixture
def sealed(desk: Desk, tmp_path: Path) -> Path:
    """A sealed PNG."""
    (tmp_path / "scan.png").write_bytes(png("scan", 5000))
    assert desk.encrypt(tmp_path / "scan.png", "-o", tmp_path / "sealed")[0] == 0
    return tmp_path / "sealed" / "scan.png.sealed"


@pytest.mark.parametrize("combination", COMBINATIONS, ids=lambda words: "-".join(w for w in words if w[0] != "-"))
def test_small_real_images_are_sealed_and_opened_by_hand(
    desk: Desk, shared_images: Path, tmp_path: Path, combination: tuple[str, ...]
) -> None:
    images = [shared_images / name for name in SMALL]

    code, out, err = desk.encrypt(*images, "-o", tmp_path / "sealed", *combination)
    assert (code, out.split()) == (0, [str(tmp_path / "sealed" / f"{name}.sealed") for name in SMALL]), err
    code, out, err = desk.receiver("decrypt", *out.split(), "-o", tmp_path / "opened")
    assert code == 0, err

    opened = {path.name: path for path in map(Path, out.splitlines())}
    if "file" in combination:
        for image in images:
            assert opened[image.name].read_bytes() == image.read_bytes()
            assert opened[image.name].stat().st_mtime_ns == image.stat().st_mtime_ns
        return
    with (
        Image.open(opened["mode_gray16_pngsuite.png.png"]) as stored,
        Image.open(shared_images / "mode_gray16_pngsuite.png") as original,
    ):
        np.testing.assert_array_equal(np.asarray(stored), np.asarray(original))
    with (
        Image.open(opened["exif_null-date_olympus-c750uz.jpg.png"]) as stored,
        Image.open(shared_images / "exif_null-date_olympus-c750uz.jpg") as original,
    ):
        np.testing.assert_array_equal(np.asarray(stored), np.asarray(original))
    # What belongs beside the pixels came out, too.
    assert any(path.name.startswith("ct_small_explicit-le.dcm.npy.") for path in (tmp_path / "opened").iterdir())


def test_inspect_shows_the_outside_and_the_inside(desk: Desk, sealed: Path) -> None:
    code, out, _ = desk.receiver("inspect", sealed, "--json")
    found = json.loads(out)
    assert code == 0
    assert found["verdict"] == "verified"
    assert found["manifest"]["device"] == "xray-1"
    assert found["manifest"]["audience"] == "hospital"
    assert found["image"]["name"] == "scan.png"
    assert (found["image"]["map"], found["image"]["domain"]) == ("logistic", "file")
    code, out, _ = desk.receiver("inspect", sealed)
    assert code == 0
    assert "scan.png" in out


def test_inspect_shows_the_outside_alone_to_who_has_no_key(desk: Desk, keys: Path, sealed: Path) -> None:
    other = keys / "elsewhere" / "receiver" / "config.toml"
    code, out, _ = desk.receiver("inspect", sealed, "--json", config=other)
    found = json.loads(out)
    assert (code, found["image"], found["verdict"]) == (0, None, "refused: unknown-signer")
    assert "scan.png" not in out


def test_verify_says_which_file_is_refused_and_why(desk: Desk, sealed: Path, tmp_path: Path) -> None:
    data = sealed.read_bytes()
    flipped, cut, longer, rubbish = (tmp_path / f"{name}.sealed" for name in ("flipped", "cut", "longer", "rubbish"))
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    cut.write_bytes(data[:-1])
    longer.write_bytes(data + b"x")
    rubbish.write_bytes(b"rubbish")
    assert desk.receiver("verify", sealed) == (0, f"{sealed}: verified\n", "")
    code, out, _ = desk.receiver("verify", sealed, flipped, cut, longer, rubbish)
    assert code == 7
    codes = [line.split(": ")[2] if "refused" in line else "verified" for line in out.splitlines()]
    assert codes[:4] == ["verified", "bad-signature", "truncated-envelope", "malformed-envelope"]
    assert codes[4].endswith("envelope")


def test_a_file_of_a_device_s_spool_is_opened_too(desk: Desk, sealed: Path, tmp_path: Path) -> None:
    data = sealed.read_bytes()
    spooled, flipped, rubbish = (tmp_path / f"{name}.spooled" for name in ("spooled", "flipped", "rubbish"))
    spooled.write_bytes(data + b'{"relative": "DOE^JOHN/scan.png"}')
    flipped.write_bytes(data[:-1] + bytes([data[-1] ^ 1]) + b"{}")
    rubbish.write_bytes(b"rubbish")
    code, out, err = desk.receiver("decrypt", spooled, "-o", tmp_path / "out")
    assert (code, err) == (0, "")
    assert Path(out.strip()).name == "scan.png"
    assert json.loads(desk.receiver("inspect", spooled, "--json")[1])["verdict"] == "verified"
    code, out, _ = desk.receiver("verify", spooled, flipped, rubbish)
    assert code == 7
    assert [line.split(": ")[1:3] for line in out.splitlines()][:2] == [["verified"], ["refused", "bad-signature"]]
    assert "DOE" not in out


def test_verify_and_decrypt_refuse_what_another_device_signed(
    desk: Desk, keys: Path, sealed: Path, tmp_path: Path
) -> None:
    other = keys / "elsewhere" / "receiver" / "config.toml"
    code, out, _ = desk.receiver("verify", sealed, config=other)
    assert (code, "unknown-signer" in out) == (7, True)
    code, out, err = desk.receiver("decrypt", sealed, "-o", tmp_path / "out", config=other)
    assert (code, out) == (7, "")
    assert "no enrolled device signed this image" in err
    assert "hint: enrol the device" in err
    assert list((tmp_path / "out").iterdir()) == []


def test_one_refused_file_does_not_keep_the_others_from_being_opened(desk: Desk, sealed: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.sealed"
    bad.write_bytes(sealed.read_bytes()[:-1])
    code, out, err = desk.receiver("decrypt", bad, sealed, tmp_path / "missing", "-o", tmp_path / "out")
    assert code == 2  # the last one's: there is no such file
    assert out == f"{tmp_path / 'out' / 'scan.png'}\n"
    assert "truncated" in err or "ends before" in err
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["scan.png"]


def test_nothing_is_overwritten_by_hand(desk: Desk, sealed: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for name in ("scan.png", "scan (2).png"):
        assert desk.receiver("decrypt", sealed, "-o", out)[1] == f"{out / name}\n"
    before = sealed.read_bytes()
    code, _, err = desk.encrypt(tmp_path / "scan.png", "-o", sealed.parent)
    assert code == 2
    assert "exists already" in err
    assert sealed.read_bytes() == before


def test_each_sealed_file_has_a_number_of_its_own(desk: Desk, sealed: Path, tmp_path: Path) -> None:
    desk.encrypt(tmp_path / "scan.png", "-o", tmp_path / "again")
    paths = (sealed, tmp_path / "again" / "scan.png.sealed")
    shown = [json.loads(desk.receiver("inspect", path, "--json")[1]) for path in paths]
    numbers = [each["manifest"]["sequence"] for each in shown]
    assert numbers[0] < numbers[1]


def test_the_operator_s_time_is_used_where_an_image_names_none(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "scan.png").write_bytes(png("scan", 500))
    moment = "2026-11-20T08:30:00+01:00"
    assert desk.encrypt(tmp_path / "scan.png", "-o", tmp_path, "--datetime", moment)[0] == 0
    image = json.loads(desk.receiver("inspect", tmp_path / "scan.png.sealed", "--json")[1])["image"]
    assert (image["capture_time"], image["capture_source"]) == (moment, "operator")


def test_files_that_cannot_be_sealed_are_named_and_the_others_are_sealed(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(png("good", 500))
    (tmp_path / "empty.png").write_bytes(b"")
    (tmp_path / "cut.png").write_bytes(png("cut", 500)[:-5])
    names = ["empty.png", "cut.png", "missing.png", "good.png"]
    code, out, err = desk.encrypt(*(tmp_path / name for name in names), "-o", tmp_path / "out")
    assert code == 2  # the last bad one's: there is no such file
    assert [Path(line).name for line in out.splitlines()] == ["good.png.sealed"]
    assert all(name in err for name in names[:3])
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["good.png.sealed"]
    assert desk.encrypt(tmp_path / "cut.png", "-o", tmp_path / "out")[0] == 6


def test_a_hostile_name_is_opened_inside_the_folder_and_printed_harmlessly(desk: Desk, tmp_path: Path) -> None:
    name = b"evil\x1b[2J\xff.png".decode("utf-8", "surrogateescape")
    (tmp_path / name).write_bytes(png("evil", 500))
    code, out, err = desk.encrypt(tmp_path / name, "-o", tmp_path / "sealed")
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    [sealed] = (tmp_path / "sealed").iterdir()
    code, out, err = desk.receiver("decrypt", sealed, "-o", tmp_path / "out")
    assert code == 0, err
    assert "\x1b" not in out
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evil_[2J\ufffd.png"]


# --- dry run, queue -------------------------------------------------------------------------------------------------


def test_a_dry_run_says_what_would_be_carried_and_writes_nothing(keys: Path, desk: Desk, tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    (scans / "a.png").write_bytes(png("a", 500))
    (scans / "empty.png").write_bytes(b"")
    (scans / "notes.txt").write_bytes(b"no image")
    state = tmp_path / "state"
    code, out, err = desk.encryptor("--watch", scans, "--state", state, "--dry-run")
    assert (code, err) == (0, "")
    verdicts = {line.split()[0]: line.split(maxsplit=1)[1] for line in out.splitlines()[1:]}
    assert verdicts["a.png"].startswith("carried")
    assert "image/png" in verdicts["a.png"]
    assert verdicts["empty.png"].startswith("held: empty-file")
    assert verdicts["notes.txt"].startswith("ignored")
    assert not state.exists()


def test_a_queue_without_a_ledger_says_so(desk: Desk, tmp_path: Path) -> None:
    code, _, err = desk.encryptor("--state", tmp_path / "nowhere", "queue")
    assert code == 9
    assert "there is no ledger yet" in err
    assert not (tmp_path / "nowhere").exists()


# --- usage, configuration, keys -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments",
    [
        ["--map", "tent"],
        ["--watch"],
        ["--datetime", "yesterday"],
        ["encrypt"],
        ["encrypt", "a.png"],
        ["fly"],
        ["--once", "--bogus"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        encryptor.main(arguments)
    assert ended.value.code == 2
    assert "edge-encryptor" in capsys.readouterr().err


def test_no_folder_and_a_missing_folder_are_wrong_usage(desk: Desk, tmp_path: Path) -> None:
    code, _, err = desk.encryptor("--once")
    assert (code, "no folder to watch" in err, "hint:" in err) == (2, True, True)
    assert desk.encryptor("--watch", tmp_path / "missing", "--once")[0] == 2


def test_a_wrong_configuration_is_4(desk: Desk, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text('[device]\nid = "xray-1"\naudience = "hospital"\nspool = 3\n')
    for command in (encryptor.main, receiver.main):
        assert command(["--config", str(config)]) == 4
        err = desk.capture()[1]
        assert "hint:" in err
        assert "Traceback" not in err
    assert desk.encryptor("--watch", tmp_path, "--once", "--broker", "http://x")[0] == 4
    assert encryptor.main(["--config", str(tmp_path / "none.toml")]) == 4


def test_a_state_inside_the_watched_folder_is_refused(desk: Desk, tmp_path: Path) -> None:
    assert desk.encryptor("--watch", tmp_path, "--state", tmp_path / "state", "--once")[0] == 4


@pytest.mark.parametrize("damage", ["missing", "readable by others", "no key", "trust empty"])
def test_unusable_keys_are_5(keys: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], damage: str) -> None:
    shutil.copytree(keys / "site" / "device", tmp_path / "device")
    key = tmp_path / "device" / "device.key"
    match damage:
        case "missing":
            key.unlink()
        case "readable by others":
            key.chmod(0o644)
        case "no key":
            key.write_text("rubbish")
        case "trust empty":
            shutil.rmtree(tmp_path / "device" / "trust")
            (tmp_path / "device" / "trust").mkdir()
    (tmp_path / "scans").mkdir()
    config = tmp_path / "device" / "config.toml"
    assert encryptor.main(["--config", str(config), "--watch", str(tmp_path / "scans"), "--once"]) == 5
    err = capfd.readouterr().err
    assert err.startswith("edge-encryptor: ")
    assert str(tmp_path) not in err


def test_a_defect_is_told_without_the_text_of_its_exception(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise RuntimeError("Quetzalina^Xochitl.png")

    monkeypatch.setattr(receiver, "_open_into", stumble)
    code, _, err = desk.receiver("decrypt", tmp_path / "a.sealed", "-o", tmp_path / "out")
    assert code == 1
    assert "Quetzalina" not in err
    assert "internal error (RuntimeError)" in err
    assert "test_by_hand.py" in err


# --- the commands as installed --------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["edge-encryptor", "edge-receiver"])
def test_help_and_version_read_well(program: str) -> None:
    shown = run(program, "--help")
    assert shown.code == 0
    assert "exit codes:" in shown.out
    assert all(len(line) <= 110 for line in shown.out.splitlines())
    version = run(program, "--version")
    assert version.code == 0
    assert version.out.startswith(program)


def test_a_reader_that_leaves_early_is_no_error(keys: Path, tmp_path: Path) -> None:
    import subprocess

    from tests.cli.programs import command, environment

    config = keys / "site" / "receiver" / "config.toml"
    files = [str(tmp_path / f"missing-{number}-{'x' * 100}") for number in range(2000)]
    with subprocess.Popen(
        [command("edge-receiver"), "--config", config, "verify", *files],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment({}),
    ) as running:
        assert running.stdout is not None
        running.stdout.read(10)
        running.stdout.close()
        assert running.stderr is not None
        err = running.stderr.read()
    assert b"Traceback" not in err
    assert running.returncode == 0
