"""The model of a power cut loses what was not synced, and keeps what was: otherwise the tests that use it show nothing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.disk import Names, leave

ROOT = Path(__file__).resolve().parent.parent.parent
OLD, NEW = b"old" * 1000, b"new!" * 1000
PROGRAM = """
import os, sqlite3, sys
from pathlib import Path
from edge import durable
from tests.faults.disk import WatchedDisk
from tests.faults.steps import Steps
root, shadow = Path(sys.argv[1]), Path(sys.argv[2])
steps = Steps([root], disk=WatchedDisk([root], shadow))
steps.install()
file, other = root / "file", root / "other"
def new(path):
    path.write_bytes(b"new!" * 1000)
def store(synchronous):
    connection = sqlite3.connect(str(root / "rows.sqlite"), isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute(f"PRAGMA synchronous = {synchronous}")
    for statement in ("BEGIN", "CREATE TABLE rows (x)", "INSERT INTO rows VALUES (1)", "COMMIT"):
        connection.execute(statement)
    return connection
"""


def after_a_cut(tmp_path: Path, what: str, *, names: Names, seed: int = 0) -> dict[str, bytes]:
    """Run a program that does `what` over one old file and loses its power then; return what is left."""
    root, shadow = tmp_path / f"root-{names}-{seed}", tmp_path / f"shadow-{names}-{seed}"
    root.mkdir()
    (root / "file").write_bytes(OLD)
    program = f"{PROGRAM}\n{what}\nsteps.strike()\n"
    done = subprocess.run([sys.executable, "-c", program, root, shadow], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()
    leave([root], shadow, names=names, seed=seed)
    return {path.name: path.read_bytes() for path in root.iterdir()}


@pytest.mark.parametrize("names", ["lost", "kept", "any"])
def test_what_was_written_durably_is_there(tmp_path: Path, names: Names) -> None:
    left = after_a_cut(tmp_path, "durable.write_atomically(file, b'new!' * 1000)", names=names)
    assert left == {"file": NEW}


def test_a_file_that_was_renamed_but_not_synced_is_torn(tmp_path: Path) -> None:
    left = after_a_cut(tmp_path, "new(other); other.rename(file); durable.fsync_folder(root)", names="lost")
    assert set(left) == {"file"}
    assert left["file"] not in (OLD, NEW)


def test_names_that_were_not_synced_come_back_or_stay_away(tmp_path: Path) -> None:
    remove, make = "file.unlink()", "durable.confirm(file); new(other)"
    assert after_a_cut(tmp_path, remove, names="lost") == {"file": OLD}
    assert after_a_cut(tmp_path, remove, names="kept") == {}
    assert set(after_a_cut(tmp_path, "new(other)", names="lost", seed=1)) == {"file"}
    assert set(after_a_cut(tmp_path, make, names="kept", seed=1)) == {"file", "other"}


@pytest.mark.parametrize(("synchronous", "rows"), [("FULL", [(1,)]), ("OFF", None)])
def test_a_commit_survives_where_it_is_synced(tmp_path: Path, synchronous: str, rows: list[tuple[int]] | None) -> None:
    import sqlite3

    what = f"open(root / 'rows.sqlite', 'xb').close(); durable.fsync_folder(root); connection = store('{synchronous}')"
    after_a_cut(tmp_path, what, names="lost")
    connection = sqlite3.connect(tmp_path / "root-lost-0" / "rows.sqlite")
    try:
        if rows is None:
            with pytest.raises(sqlite3.OperationalError, match="no such table"):
                connection.execute("SELECT x FROM rows")
        else:
            assert connection.execute("SELECT x FROM rows").fetchall() == rows
    finally:
        connection.close()


def test_a_step_past_the_wrappers_is_noticed(tmp_path: Path) -> None:
    program = (
        "import sys\nfrom pathlib import Path\nfrom os import rename\nfrom tests.faults.steps import Steps\n"
        "root = Path(sys.argv[1])\n(root / 'a').touch()\nSteps([root], trace=root.parent / 'trace').install()\n"
        "rename(root / 'a', root / 'b')\n"
    )
    root = tmp_path / "root"
    root.mkdir()
    subprocess.run([sys.executable, "-c", program, root], cwd=ROOT, check=True)
    assert (tmp_path / "trace").read_text() == "ESCAPED os.rename outside: file\n"
