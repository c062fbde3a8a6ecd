"""The documents say what the programs do: commands, flags, exit codes, states, units."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from edge import clock, daemon, deriving, loading, protocol
from edge.cli import encryptor, receiver, service
from edge.cli.service import ALARM_CONFIGURATION
from edge.deriving import ALARM_FEATURES, ALARM_PARAMETERS
from edge.errors import EdgeError, ExitCode, StorageError
from edge.intake.states import FileState
from edge.loading import ALARM_PAUSED
from edge.transfer import send
from tests import guarantees

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
PROTOCOL = (ROOT / "edge" / "PROTOCOL.md").read_text()


def help_of(parse, *arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        parse([*arguments, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_every_flag_in_the_readme_is_in_a_help_text(capsys):
    texts = [help_of(encryptor.main, capsys=capsys), help_of(receiver.main, capsys=capsys)]
    texts += [help_of(encryptor.main, name, capsys=capsys) for name in ("encrypt", "queue", "demo")]
    texts += [help_of(receiver.main, name, capsys=capsys) for name in ("decrypt", "inspect", "verify", "similar")]
    flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--device", "--receiver", "--out", "--strict"}
    assert flags <= set(re.findall(r"--[a-z][a-z-]+", "".join(texts)))


def test_the_exit_code_table_is_complete():
    rows = re.findall(r"\| (\d+) \|", README)
    assert {int(row) for row in rows} == {code.value for code in ExitCode}


def test_every_guarantee_names_tests_that_exist():
    table = list(guarantees.rows())
    text = guarantees.TABLE.read_text()
    assert len(table) == sum(line.startswith("| ") and not line.startswith("| fault |") for line in text.splitlines())
    for test in (test for row in table for test in row.tests):
        file, _, name = test.partition("::")
        assert Path(file).name.startswith("test_")
        assert f"def {name.partition('[')[0]}" in (ROOT / file).read_text(), test


def test_every_state_is_explained():
    for state in FileState:
        assert re.search(rf"^\| {state.value} \|", PROTOCOL, re.MULTILINE), state
        assert re.search(rf"\b{state.value}\b", README), state


def test_every_alarm_is_explained():
    table = README.partition("### Alarms")[2].partition("###")[0]
    explained = {
        code for row in re.findall(r"^\| ([a-z][a-z, -]+) \|", table, re.MULTILINE) for code in row.split(", ")
    }
    own = {
        value
        for module in (loading, daemon, deriving, service, send, clock)
        for name, value in vars(module).items()
        if name.startswith("ALARM_")
    }
    disk = {kind("x").code for kind in StorageError.__subclasses__() if kind.retryable} | {StorageError("x").code}
    assert explained - {"alarm"} == own | disk


def test_every_refusal_of_the_protocol_has_a_class():
    def codes(kind):
        yield kind("x").code if kind.__init__ is EdgeError.__init__ else kind().code
        for child in kind.__subclasses__():
            yield from codes(child)

    named = set(re.findall(r"`([a-z]+-[a-z-]+)`", PROTOCOL)) - {"stored", "rejected"}
    others = {"edge-encryptor", "edge-receiver", ALARM_PARAMETERS, ALARM_FEATURES, ALARM_PAUSED, ALARM_CONFIGURATION}
    assert named - others <= set(codes(EdgeError))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("manifest (at most 1,024 bytes)", protocol.MANIFEST_MAX_BYTES == 1024),
        ("header (at most 65,536 bytes)", protocol.HEADER_MAX_BYTES == 65_536),
        ("at most 2,048 bytes", protocol.CONTROL_MAX_BYTES == 2_048),
        ("more than 86,400 s ahead", protocol.CLOCK_SKEW_SECONDS == 86_400),
        ("nesting deeper than 8", protocol.NESTING_MAX == 8),
        ("`edge/v1` by default", protocol.TOPIC_PREFIX == "edge/v1"),
    ],
)
def test_the_numbers_of_the_protocol_are_those_of_the_code(text, value):
    assert text in PROTOCOL
    assert value


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
@pytest.mark.parametrize("unit", ["edge-encryptor.service", "edge-receiver.service"])
def test_the_units_are_hardened(unit):
    command = ["systemd-analyze", "security", "--offline=true", "--threshold=20", str(ROOT / "systemd" / unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-500:]
