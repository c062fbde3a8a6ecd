"""What both command lines share: errors in plain sentences, logs free of patient data, the connection, the progress bar."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from edge import __version__
from edge.config import BrokerTable, LogTable
from edge.errors import EdgeError, ExitCode
from edge.transport.base import BrokerAddress, BrokerSettings, Transport
from edge.transport.mqtt import MqttTransport

EXIT_CODES: Final = """exit codes:
  0 done, everything arrived     1 internal error     2 wrong usage        3 some images did not arrive
  4 configuration                5 keys               6 input file         7 sealed image refused
  8 broker                       9 disk              10 model             11 already running
  12 no progress, ended to be started again
"""


def build_parser(program: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return a parser with the manners all commands share."""
    parser = argparse.ArgumentParser(
        prog=program,
        description=description,
        epilog=f"{epilog}\n{EXIT_CODES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return parser


def run(program: str, command: Callable[[argparse.Namespace], int], arguments: argparse.Namespace) -> int:
    """Run a command; an error becomes a sentence, a hint and its exit code."""
    _open_standard_streams()
    try:
        return command(arguments)
    except EdgeError as error:
        print_error(program, error)
        return int(error.exit_code)
    except BrokenPipeError:
        # Whoever read our output has left; that is no error of ours. Nothing more can be printed.
        sys.stderr.close()
        return int(ExitCode.OK)
    except KeyboardInterrupt:
        print(f"{program}: interrupted", file=sys.stderr)
        return int(ExitCode.INTERRUPTED)
    except Exception as error:  # noqa: BLE001 - the last stop: the text of a foreign exception may quote a file's name
        print(f"{program}: internal error ({type(error).__name__})", file=sys.stderr)
        for frame in traceback.extract_tb(error.__traceback__):
            print(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}", file=sys.stderr)
        print("hint: this is a defect; report it with the lines above, they hold no patient data", file=sys.stderr)
        return int(ExitCode.INTERNAL)


def _open_standard_streams() -> None:
    """Open the standard streams that the caller closed: a native library's message must not end in a file of ours."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def print_error(program: str, error: EdgeError) -> None:
    """Print an error the way a shell user expects it: lower case, the program's name in front, then a hint."""
    sentence = error.message[:1].lower() + error.message[1:] if not error.message[:2].isupper() else error.message
    print(f"{program}: {sentence}", file=sys.stderr)
    if error.hint:
        print(f"hint: {error.hint}", file=sys.stderr)


class _JsonFormatter(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON; exceptions by class only, their texts may quote data."""
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S%z"),
            "level": record.levelname.lower(),
            "part": record.name.removeprefix("edge."),
            "message": record.getMessage(),
        }
        return json.dumps(line)


def set_up_logging(table: LogTable) -> None:
    """Send our own log lines to standard error. Other packages' loggers stay silent: they name paths and topics."""
    handler = logging.StreamHandler(sys.stderr)
    if table.format == "json":
        handler.setFormatter(_JsonFormatter())
    else:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    ours = logging.getLogger("edge")
    ours.handlers[:] = [handler]
    ours.propagate = False
    ours.setLevel(table.level.upper())
    logging.getLogger().handlers[:] = [logging.NullHandler()]


def keep_quiet() -> None:
    """Log warnings and errors only, where a progress bar shows the rest."""
    ours = logging.getLogger("edge")
    ours.setLevel(max(ours.level, logging.WARNING))


def connect(table: BrokerTable, identity: str) -> Transport:
    """Return the transport that a configuration describes, not yet started."""
    return MqttTransport(
        BrokerSettings(
            address=BrokerAddress.parse(table.url),
            ca_file=table.ca_file,
            cert_file=table.cert_file,
            key_file=table.key_file,
            username=table.username or None,
            password_file=table.password_file,
            client_id_prefix=identity,
            keepalive=table.keepalive,
            protocol=table.protocol,
        )
    )


def print_json(value: object) -> None:
    """Print a value where a machine may read it."""
    json.dump(value, sys.stdout, indent=2, ensure_ascii=True)
    print()


def shown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return rows under their headings, columns aligned, for a person."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in (columns, *rows)
    ]
    return "\n".join(lines)
