"""A command that is started without standard streams."""

import subprocess
import sys


def test_a_command_whose_standard_streams_are_closed_opens_no_file_in_their_place():
    code = (
        "import os, sys; from edge.cli import common;"
        "sys.exit(common.run('x', lambda _: int(sys.stderr.isatty() or os.open(os.devnull, os.O_RDONLY) < 3), None))"
    )
    command = ["/bin/sh", "-c", 'exec "$0" -c "$1" <&- >&- 2>&-', sys.executable, code]
    assert subprocess.run(command, check=False, timeout=60).returncode == 0
