"""`edge-encryptor`: watch a scanner's folder and carry every finished image to the hospital."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from tqdm import tqdm

from edge import durable
from edge.cli import common
from edge.cli.service import Service, guarded, service_for
from edge.clock import WallClock
from edge.config import DeviceConfig, LogTable
from edge.daemon import Daemon, Summary
from edge.encrypt import Entropy
from edge.errors import EdgeError, ExitCode, NotDelivered, UsageError
from edge.intake.ledger import Ledger, LedgerEntry
from edge.intake.opening import hash_file
from edge.intake.settle import FoundFile
from edge.intake.watch import DEFAULT_IGNORED, Watcher
from edge.keyring import DeviceKeyring
from edge.names import printable
from edge.progress import ImageBar
from edge.records import Domain, KeyFileMode, MapName, NetworkName, Quantiser, SettledFile
from edge.sealing import Sealer, inspector_for, sealer_for

PROGRAM: Final = "edge-encryptor"
_EPILOG: Final = """\
a first try on one machine:
  edge-firmware provision --device xray-1 --receiver hospital --out keys
  edge-receiver --config keys/receiver/config.toml
  edge-encryptor --watch /scans --config keys/device/config.toml

without --config these are tried, in this order: $EDGE_ENCRYPTOR_CONFIG,
./device/config.toml, /etc/edge-encryptor/device/config.toml
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = _parser().parse_args(argv)
    commands = {None: _watch, "encrypt": _encrypt, "queue": _queue, "demo": _demo}
    return common.run(PROGRAM, commands[arguments.command], arguments)


def _parser() -> argparse.ArgumentParser:
    parser = common.build_parser(
        PROGRAM, "Carry every finished image of a folder to the hospital: enciphered, sealed, signed.", _EPILOG
    )
    parser.add_argument("--watch", metavar="DIR", type=Path, help="the folder the scanner writes to")
    _add_config(parser)
    _add_cipher(parser)
    parser.add_argument("--broker", metavar="URL", help="mqtt://host:1883 or mqtts://host:8883")
    parser.add_argument("--datetime", metavar="ISO", type=_moment, help="capture time of images that name none")
    parser.add_argument(
        "--once", action="store_true", help="carry what is in the folder now, wait for the receipts, exit"
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be carried; write and send nothing")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    encrypt = commands.add_parser(
        "encrypt", help="seal files without a broker: writes NAME.sealed", description="Seal files without a broker."
    )
    encrypt.add_argument("files", nargs="+", metavar="FILE", type=Path)
    encrypt.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="where NAME.sealed is written")
    encrypt.add_argument(
        "--datetime",
        metavar="ISO",
        type=_moment,
        default=argparse.SUPPRESS,
        help="capture time of images that name none",
    )
    _add_config(encrypt, inherited=True)
    _add_cipher(encrypt, inherited=True)

    queue = commands.add_parser(
        "queue",
        help="list every known file, its state, and why",
        description="List every known file, its state, and why.",
    )
    queue.add_argument("--json", action="store_true", help="print JSON")
    _add_config(queue, inherited=True)

    demo = commands.add_parser(
        "demo",
        help="show the whole way on one machine",
        description="Show the whole way on one machine: embedded broker, receiver, daemon, real images.",
    )
    demo.add_argument(
        "folder", nargs="?", metavar="DIR", type=Path, help="images to carry instead of the built-in ones"
    )
    demo.add_argument(
        "-o",
        "--output",
        metavar="DIR",
        type=Path,
        default=Path("demo-out"),
        help="where pictures and results are written (demo-out)",
    )
    _add_cipher(demo, inherited=True)
    return parser


def _add_config(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    default = argparse.SUPPRESS if inherited else None
    parser.add_argument("--config", metavar="FILE", type=Path, default=default, help="configuration (TOML)")
    parser.add_argument("--state", metavar="DIR", type=Path, default=default, help="ledger and spool")


def _add_cipher(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    default = argparse.SUPPRESS if inherited else None
    for flag, values, text in (
        ("--map", MapName, "chaotic map"),
        ("--network", NetworkName, "network that sets the parameters of logistic and lorenz"),
        ("--quantiser", Quantiser, "how states of hyperlorenz-dna become bytes"),
        ("--domain", Domain, "encipher the file's bytes or its pixels"),
        ("--key-file", KeyFileMode, "how the key file travels"),
    ):
        parser.add_argument(flag, choices=[value.value for value in values], default=default, help=text)
    parser.add_argument(
        "--features",
        action=argparse.BooleanOptionalAction,
        default=default,
        help="send the image's deep features inside the envelope",
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError("write it as 2026-11-21T09:30:00+01:00") from error


def _config(arguments: argparse.Namespace) -> DeviceConfig:
    return DeviceConfig.load(
        arguments.config,
        environ=os.environ,
        overrides={
            "device.state": arguments.state,
            "watch.folder": arguments.watch,
            "broker.url": arguments.broker,
        }
        | cipher_overrides(arguments),
    )


def cipher_overrides(arguments: argparse.Namespace) -> dict[str, object]:
    """Return what the command line says of the cipher, by configuration keys."""
    return {
        "cipher.map": arguments.map,
        "cipher.network": arguments.network,
        "cipher.domain": arguments.domain,
        "cipher.key_file": arguments.key_file,
        "cipher.quantiser": arguments.quantiser,
        "cipher.features": arguments.features,
    }


# --- watch ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a daemon is made from. A reload replaces all of it or nothing."""

    config: DeviceConfig
    folder: Path
    keyring: DeviceKeyring


def _watch(arguments: argparse.Namespace) -> int:
    if arguments.dry_run:
        return _dry_run(arguments)
    with service_for(lambda: _setup(arguments), reloads=not arguments.once) as service:
        summary = Summary()
        for setup in service.turns():
            common.set_up_logging(setup.config.log)
            with ExitStack() as stack:
                try:
                    daemon = _daemon(setup, arguments, service, stack)
                except EdgeError as error:
                    service.give_up(error)
                    continue
                stack.enter_context(guarded(daemon.stages))
                summary = daemon.run(service.stop)
    if not arguments.once:
        return int(ExitCode.OK)
    print(f"{PROGRAM}: {summary}", file=sys.stderr)
    if not summary.all_arrived:
        raise NotDelivered(f"{summary.not_arrived} of {summary.images} did not arrive")
    return int(ExitCode.OK)


def _setup(arguments: argparse.Namespace) -> _Setup:
    """Read what a daemon is made from.

    Raises:
        ConfigError, KeyringError, UsageError: as they say.
    """
    config = _config(arguments)
    folder = config.watch.folder
    if folder is None:
        raise UsageError("no folder to watch", hint=f"{PROGRAM} --watch DIR; see {PROGRAM} --help")
    if (arguments.once or arguments.dry_run) and not folder.is_dir():
        raise UsageError("the folder to watch does not exist")
    return _Setup(config, folder, DeviceKeyring.load(config, environ=os.environ))


def _daemon(setup: _Setup, arguments: argparse.Namespace, service: Service[_Setup], stack: ExitStack) -> Daemon:
    """Make a daemon, not yet running; `stack` lets go of everything that it holds."""
    config = setup.config
    durable.make_folder(config.device.state)
    stack.enter_context(durable.lock_folder(config.device.state))
    inspector = stack.enter_context(inspector_for(config))
    inspector.start()  # while the networks are loaded
    scratch = _empty_scratch(config.device.state / "scratch")
    wall = WallClock()
    sealer = sealer_for(config, setup.keyring, inspector, scratch=scratch, operator_time=arguments.datetime, wall=wall)
    stack.callback(sealer.close)
    sealer.load_networks()
    bar = stack.enter_context(ImageBar(wanted=arguments.once))
    if bar.shown:
        common.keep_quiet()  # the bar says it better
    return stack.enter_context(
        Daemon(
            config=config,
            folder=setup.folder,
            keyring=setup.keyring,
            transport=common.connect(config.broker, config.device.id),
            sealer=sealer,
            once=arguments.once,
            wall=wall,
            alarms=lambda: service.alarms,
            on_progress=bar.update,
        )
    )


def _empty_scratch(folder: Path) -> Path:
    """Make the folder of decoded pixels, and remove those that an interrupted run left in clear."""
    durable.make_folder(folder)
    for left in folder.glob("pixels-*.raw"):
        durable.remove_durably(left)
    return folder


def _dry_run(arguments: argparse.Namespace) -> int:
    """List what is in the folder and what would become of it. Nothing is written, nothing waits."""
    setup = _setup(arguments)
    config = setup.config
    common.set_up_logging(config.log)
    with ExitStack() as stack:
        inspector = stack.enter_context(inspector_for(config))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-")))
        sealer = sealer_for(config, setup.keyring, inspector, scratch=scratch, operator_time=arguments.datetime)
        stack.callback(sealer.close)
        watcher = Watcher(setup.folder, poll=True, ignore=(*DEFAULT_IGNORED, *config.watch.ignore))
        files = sorted(stack.enter_context(watcher).listing(), key=lambda file: file.relative)
        rows = [(printable(found.relative), *_verdict(config, sealer, found)) for found in files]
    print(common.shown(("FILE", "WOULD BE", "KIND", "TAKEN", "SOURCE"), rows))
    return int(ExitCode.OK)


def _verdict(config: DeviceConfig, sealer: Sealer, found: FoundFile) -> tuple[str, str, str, str]:
    file = found.settled()
    try:
        inspection = sealer.inspect(file)
    except EdgeError as error:
        return f"held: {error.code}", "", "", ""
    carried = inspection.known or config.watch.unknown == "carry"
    capture = inspection.capture
    return (
        "carried" if carried else "ignored",
        inspection.media_type,
        capture.moment.isoformat(" "),
        capture.source.value,
    )


# --- encrypt --------------------------------------------------------------------------------------------------------


def _encrypt(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    common.set_up_logging(config.log)
    keyring = DeviceKeyring.load(config, environ=os.environ)
    failed: EdgeError | None = None
    with ExitStack() as stack:
        inspector = stack.enter_context(inspector_for(config))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="edge-")))
        sealer = sealer_for(config, keyring, inspector, scratch=scratch, operator_time=arguments.datetime)
        stack.callback(sealer.close)
        durable.make_folder(config.device.state)
        ledger = stack.enter_context(Ledger.open(config.device.state / "ledger.sqlite"))
        durable.make_folder(arguments.output)
        for path in tqdm(arguments.files, unit="file", disable=not sys.stderr.isatty() or len(arguments.files) == 1):
            try:
                target = _seal_beside(sealer, ledger, path, arguments.output)
            except EdgeError as error:
                # One bad file does not keep the others from being sealed.
                common.print_error(f"{PROGRAM}: {printable(str(path))}", error)
                failed = error
            else:
                print(printable(str(target)))
    return int(ExitCode.OK if failed is None else failed.exit_code)


def _seal_beside(sealer: Sealer, ledger: Ledger, path: Path, output: Path) -> Path:
    """Write `path` as NAME.sealed into `output`; nothing is overwritten, and nothing half-made is left."""
    try:
        details = path.stat()
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}") from error
    if not path.is_file():
        raise UsageError("this is not a file")
    file = SettledFile(path, path.name, details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
    prepared = sealer.prepare(file, sealer.inspect(file), hash_file(file), Entropy.draw(secrets.token_bytes))
    target = output / f"{path.name}.sealed"
    try:
        with durable.atomic_file(target, overwrite=False) as sink:
            sealer.seal(prepared, sink, sequence=ledger.next_sequence())
    except FileExistsError as error:
        raise UsageError("a sealed file of that name exists already", hint="choose another --output") from error
    return target


# --- queue ----------------------------------------------------------------------------------------------------------


def _queue(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    with Ledger.open_read_only(config.device.state / "ledger.sqlite") as ledger:
        entries = ledger.entries()
        counts = ledger.counts()
    if arguments.json:
        common.print_json(
            {
                "counts": {state.value: number for state, number in counts.items()},
                "files": [_entry_fields(entry) for entry in entries],
            }
        )
        return int(ExitCode.OK)
    rows = [
        (printable(entry.relative), entry.state.value, entry.reason, str(entry.size), entry.changed[:19])
        for entry in entries
    ]
    print(common.shown(("FILE", "STATE", "WHY", "BYTES", "SINCE (UTC)"), rows))
    print(", ".join(f"{number} {state.value}" for state, number in counts.items() if number) or "no files yet")
    for hint in sorted({entry.hint for entry in entries if entry.hint}):
        print(f"hint: {hint}")
    return int(ExitCode.OK)


def _entry_fields(entry: LedgerEntry) -> dict[str, object]:
    return {
        "file": printable(entry.relative),
        "state": entry.state.value,
        "reason": entry.reason,
        "hint": entry.hint,
        "size": entry.size,
        "image_id": entry.image_id,
        "sequence": entry.sequence,
        "sha256": entry.sha256.hex() if entry.sha256 else None,
        "sealed_bytes": entry.sealed_bytes,
        "capture_time": entry.captured or None,
        "capture_source": entry.capture_source or None,
        "network": entry.network or None,
        "map": entry.map or None,
        "domain": entry.domain or None,
        "first_seen": entry.first_seen,
        "changed": entry.changed,
    }


# --- demo -----------------------------------------------------------------------------------------------------------


def _demo(arguments: argparse.Namespace) -> int:
    # Only the demo needs the broker and the pictures; the daemon must start without them.
    from edge.demo.run import run_demo  # noqa: PLC0415

    common.set_up_logging(LogTable(level="warning"))
    return run_demo(arguments.folder, arguments.output, overrides=cipher_overrides(arguments))
