"""The command edge-firmware: what is done to devices before and beside their work, never on the way of an image.

Rule: a failure is one plain sentence and a hint on standard error, and the exit code of its class. Commands that need
heavy packages are imported only when they are called.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Final, NoReturn

from edge import __version__
from edge.errors import EdgeError, ExitCode
from firmware_tools import provision

_PROGRAM: Final = "edge-firmware"
_HEAVY: Final = {
    "train": ("firmware_tools.training.command", "train and quantise the networks into models/"),
    "evaluate-models": (
        "firmware_tools.acceptance.command",
        "judge the networks' int8 files; fail where a line is missed",
    ),
    "evaluate": (
        "firmware_tools.evaluation.command",
        "measure and attack the image cipher on images, and write a report",
    ),
    "bench": ("firmware_tools.bench", "measure speed and memory, and print the ratios"),
}
_EPILOG: Final = """\
example:
  edge-firmware provision --device ct-scanner-1 --receiver hospital --out site
  edge-receiver --config site/receiver/config.toml
  edge-encryptor --watch /srv/scans --config site/device/config.toml
"""


class _Parser(argparse.ArgumentParser):
    """argparse in this project's manners: the program's name, a sentence, a hint."""

    def error(self, message: str) -> NoReturn:
        command = self.prog
        self.exit(int(ExitCode.USAGE), f"{_PROGRAM}: {message}\nhint: {command} --help shows how it is called\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run edge-firmware and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        parsed = _parser(given[0] if given else "").parse_args(given)
        run: Callable[[argparse.Namespace], int] = parsed.run
        return run(parsed)
    except EdgeError as error:
        print(f"{_PROGRAM}: {error.message}", file=sys.stderr)
        if error.hint:
            print(f"hint: {error.hint}", file=sys.stderr)
        return int(error.exit_code)
    except ModuleNotFoundError as error:
        # A module of our own that is missing is our mistake, and deserves its traceback.
        if (error.name or "").partition(".")[0] in {"edge", "firmware_tools"}:
            raise
        print(f"{_PROGRAM}: this command needs the Python package {error.name}", file=sys.stderr)
        print("hint: pip install 'edge-encryptor[train]'", file=sys.stderr)
        return int(ExitCode.USAGE)
    except KeyboardInterrupt:
        print(f"{_PROGRAM}: interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)


def _parser(command: str) -> argparse.ArgumentParser:
    """Return the parser; of the heavy commands only `command` is imported, the others are only named."""
    parser = _Parser(
        prog=_PROGRAM,
        description="Prepare devices and receivers: keys and configurations, parameter networks, measurements.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{_PROGRAM} {__version__}", help="print the version")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    provisioning = commands.add_parser(
        "provision",
        help="make keys, trust folders and configurations",
        description="Make a device's and its receiver's keys and configurations, ready to use on one machine.\n"
        "Where the receiver is there already, its keys are kept and the device is enrolled;\n"
        "a second device goes to DIR/ID. Existing keys are never overwritten.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    provision.add_provision_arguments(provisioning)
    provisioning.set_defaults(run=provision.run_provision)
    for name, (module_name, summary) in _HEAVY.items():
        heavy = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == command:
            module: ModuleType = importlib.import_module(module_name)
            function = name.replace("-", "_")
            getattr(module, f"add_{function}_arguments")(heavy)
            heavy.set_defaults(run=getattr(module, f"run_{function}"))
    return parser
