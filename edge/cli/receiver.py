"""`edge-receiver`: pull what devices offer, verify, open and store it; and open sealed files by hand."""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from tqdm import tqdm

from edge import decrypt, durable
from edge.archive import keep_side, make_whole, write_plain
from edge.catalogue import Catalogue, Delivered, Similar, describe
from edge.cli import common
from edge.cli.service import Service, guarded, service_for
from edge.config import ReceiverConfig
from edge.envelope import sign
from edge.envelope.metadata import Metadata
from edge.envelope.sign import SignedEnvelope, VerifiedEnvelope
from edge.errors import EdgeError, ExitCode, UsageError
from edge.intake.pixels import encode_pixels
from edge.keyring import ReceiverKeyring
from edge.names import harmless_name, numbered, printable
from edge.receiver import Receiver, ReceiverCounts
from edge.spool import SUFFIX, WithoutOrigin
from edge.stopping import Stop

PROGRAM: Final = "edge-receiver"
_ONCE_QUIET_SECONDS: Final = 10.0
"""With --once, so long without anything to do means that all devices have been served."""
_MOST_SIMILAR: Final = 1000
_NO_FEATURES: Final = 'devices send features with cipher.features = true, or with cipher.map = "hyperlorenz-dna"'
_EPILOG: Final = """\
without --config these are tried, in this order: $EDGE_RECEIVER_CONFIG,
./receiver/config.toml, /etc/edge-encryptor/receiver/config.toml
"""


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    arguments = _parser().parse_args(argv)
    commands = {
        None: _receive,
        "decrypt": _decrypt,
        "inspect": _inspect,
        "verify": _verify,
        "similar": _similar,
    }
    return common.run(PROGRAM, commands[arguments.command], arguments)


def _parser() -> argparse.ArgumentParser:
    parser = common.build_parser(PROGRAM, "Pull sealed images from devices, verify, open and store them.", _EPILOG)
    _add_config(parser)
    parser.add_argument("--broker", metavar="URL", help="mqtt://host:1883 or mqtts://host:8883")
    parser.add_argument("--store", metavar="DIR", type=Path, help="where received images are stored")
    parser.add_argument("--state", metavar="DIR", type=Path, help="catalogue, and images under way")
    parser.add_argument("--group", metavar="NAME", help="share the work with the receivers of this group")
    parser.add_argument("--once", action="store_true", help="exit when nothing is offered any more")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")

    opener = commands.add_parser("decrypt", help="open sealed files", description="Verify and open sealed files.")
    opener.add_argument("files", nargs="+", metavar="FILE", type=Path)
    opener.add_argument("-o", "--output", metavar="DIR", type=Path, required=True, help="where the images are written")

    inspector = commands.add_parser(
        "inspect", help="show what a sealed file is", description="Show what a sealed file is, and what is inside."
    )
    inspector.add_argument("file", metavar="FILE", type=Path)
    inspector.add_argument("--json", action="store_true", help="print JSON")

    verifier = commands.add_parser(
        "verify", help="check signatures and digests", description="Check signature and digest; open nothing."
    )
    verifier.add_argument("files", nargs="+", metavar="FILE", type=Path)

    finder = commands.add_parser(
        "similar",
        help="list the stored images that look like one",
        description="List the stored images that look most like FILE, by the deep features that their devices sent.",
    )
    finder.add_argument("file", metavar="FILE", type=Path, help="a stored image, a copy of one, or a sealed file")
    finder.add_argument("-n", "--number", metavar="N", type=_positive, default=5, help="how many (5)")
    finder.add_argument("--json", action="store_true", help="print JSON")
    for each in (opener, inspector, verifier, finder):
        _add_config(each, inherited=True)
    return parser


def _add_config(parser: argparse.ArgumentParser, *, inherited: bool = False) -> None:
    default = argparse.SUPPRESS if inherited else None
    parser.add_argument("--config", metavar="FILE", type=Path, default=default, help="configuration (TOML)")


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) <= _MOST_SIMILAR:
        raise argparse.ArgumentTypeError(f"a whole number from 1 to {_MOST_SIMILAR}")
    return int(text)


def _config(arguments: argparse.Namespace) -> ReceiverConfig:
    return ReceiverConfig.load(
        arguments.config,
        environ=os.environ,
        overrides={
            "broker.url": arguments.broker,
            "receiver.store": arguments.store,
            "receiver.state": arguments.state,
            "receiver.group": arguments.group,
        },
    )


# --- receive --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Setup:
    """What a receiver is made from. A reload replaces all of it or nothing."""

    config: ReceiverConfig
    keyring: ReceiverKeyring


def _receive(arguments: argparse.Namespace) -> int:
    counts = ReceiverCounts()
    with service_for(lambda: _setup(arguments), reloads=not arguments.once) as service:
        for setup in service.turns():
            common.set_up_logging(setup.config.log)
            with ExitStack() as stack:
                try:
                    receiver = _receiver(setup, service, stack)
                except EdgeError as error:
                    service.give_up(error)
                    continue
                stack.enter_context(guarded(receiver.stages))
                _run(receiver, service.stop, once=arguments.once)
                counts = receiver.counts
    if arguments.once:
        print(f"{PROGRAM}: {counts.stored} stored, {counts.rejected} rejected", file=sys.stderr)
    return int(ExitCode.OK)


def _setup(arguments: argparse.Namespace) -> _Setup:
    """Read what a receiver is made from.

    Raises:
        ConfigError, KeyringError: as they say.
    """
    config = _config(arguments)
    return _Setup(config, ReceiverKeyring.load(config, environ=os.environ))


def _receiver(setup: _Setup, service: Service[_Setup], stack: ExitStack) -> Receiver:
    """Make and start a receiver; `stack` lets go of everything that it holds."""
    config = setup.config
    durable.make_folder(config.receiver.state)
    stack.enter_context(durable.lock_folder(config.receiver.state))
    receiver = Receiver(
        config=config,
        keyring=setup.keyring,
        transport=common.connect(config.broker, config.receiver.id),
        alarms=lambda: service.alarms,
    )
    stack.callback(receiver.close)
    receiver.start()
    return receiver


def _run(receiver: Receiver, stop: Stop, *, once: bool) -> None:
    """Receive until `stop` is set or, with `once`, until nothing has been offered for a while."""
    busy_at = time.monotonic()
    while not stop.is_set():
        with stop.leaving():
            receiver.step()
        if receiver.busy or not receiver.connected:
            busy_at = time.monotonic()
        elif once and time.monotonic() - busy_at > _ONCE_QUIET_SECONDS:
            return


# --- files by hand --------------------------------------------------------------------------------------------------


@contextmanager
def _sealed(path: Path) -> Iterator[tuple[BinaryIO, SignedEnvelope]]:
    """Open a sealed file, also one of a device's spool; it stands at item 2."""
    try:
        file = path.open("rb")
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}") from error
    with file:
        sealed = io.BufferedReader(WithoutOrigin(file)) if path.suffix == SUFFIX else file
        yield sealed, sign.read_envelope(sealed)


def _verified(
    config: ReceiverConfig, keyring: ReceiverKeyring, file: BinaryIO, signed: SignedEnvelope
) -> VerifiedEnvelope:
    """Take all steps of PROTOCOL.md, 2.1, that need no catalogue; the file stands at item 2 again afterwards."""
    start = file.tell()
    manifest = sign.verify_manifest(
        signed,
        devices=keyring.devices,
        audience=keyring.receiver_id,
        bulk_limit=config.limits.bulk_bytes,
    )
    envelope = sign.verify_bulk(manifest, file)
    file.seek(start)
    return envelope


def _decrypt(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    keyring = ReceiverKeyring.load(config, environ=os.environ)
    durable.make_folder(arguments.output)
    failed: EdgeError | None = None
    for path in tqdm(arguments.files, unit="file", disable=not sys.stderr.isatty() or len(arguments.files) == 1):
        try:
            print(printable(str(_open_into(config, keyring, path, arguments.output))))
        except EdgeError as error:
            # One refused file does not keep the others from being opened.
            common.print_error(f"{PROGRAM}: {printable(str(path))}", error)
            failed = error
    return int(ExitCode.OK if failed is None else failed.exit_code)


def _open_into(config: ReceiverConfig, keyring: ReceiverKeyring, path: Path, output: Path) -> Path:
    """Open one sealed file under its own harmless name; nothing is overwritten, nothing half-made is left."""
    try:
        with (
            _sealed(path) as (file, signed),
            tempfile.TemporaryDirectory(prefix=".edge-", dir=output) as folder_name,
            tempfile.TemporaryFile(dir=output) as scratch,
        ):
            folder = Path(folder_name)
            envelope = _verified(config, keyring, file, signed)

            def write(target: BinaryIO) -> Metadata:
                return decrypt.decrypt(envelope, file, target, unwrappers=keyring.unwrappers, scratch=scratch)

            metadata = write_plain(folder / "plain", write)
            return _place(folder, folder / "plain", metadata, output)
    except OSError as error:
        raise durable.storage_error(error) from error


def _place(folder: Path, plain: Path, metadata: Metadata, output: Path) -> Path:
    """Give a deciphered image, and what belongs beside its pixels, a free name in `output`."""
    suffix = ""
    if metadata.pixels is not None:
        plain = encode_pixels(plain, metadata.pixels, folder / "image")
        suffix = plain.suffix
    make_whole(plain, metadata.mtime_ns)
    for name in numbered(harmless_name(metadata.name) + suffix):
        try:
            durable.put_in_place(plain, output / name, overwrite=False)
        except FileExistsError:
            continue
        if metadata.pixels is not None:
            keep_side(output / name, metadata.pixels.side, folder)
        return output / name
    raise AssertionError("unreachable: the names never end")


def _inspect(arguments: argparse.Namespace) -> int:
    with _sealed(arguments.file) as (file, signed):
        manifest = signed.manifest
        outside: dict[str, object] = {
            "device": manifest.device,
            "audience": manifest.audience,
            "image_id": manifest.image_id.hex(),
            "sequence": manifest.sequence,
            "issued_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(manifest.issued_at)),
            "signing_key": signed.kid.hex(),
            "signature": {-19: "Ed25519", -37: "PS256"}[signed.alg],
            "bulk_bytes": manifest.bulk_bytes,
            "bulk_sha256": signed.digest.hex(),
        }
        inside, verdict = _look_inside(arguments, file, signed)
    if arguments.json:
        common.print_json({"manifest": outside, "verdict": verdict, "image": inside})
    else:
        for name, value in (outside | {"verdict": verdict} | (inside or {})).items():
            print(f"{name:16} {printable(str(value))}")
    return int(ExitCode.OK)


def _look_inside(
    arguments: argparse.Namespace, file: BinaryIO, signed: SignedEnvelope
) -> tuple[dict[str, object] | None, str]:
    """Return what the metadata says, where this receiver's keys open it, and whether all was verified."""
    try:
        config = _config(arguments)
        keyring = ReceiverKeyring.load(config, environ=os.environ)
    except EdgeError as error:
        return None, f"not verified: {error.message}"
    try:
        envelope = _verified(config, keyring, file, signed)
        return describe(decrypt.peek(envelope, file, keyring.unwrappers)), "verified"
    except EdgeError as error:
        return None, f"refused: {error.code}"


def _verify(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    keyring = ReceiverKeyring.load(config, environ=os.environ)
    code = ExitCode.OK
    for path in arguments.files:
        try:
            with _sealed(path) as (file, signed):
                _verified(config, keyring, file, signed)
        except EdgeError as error:
            print(f"{printable(str(path))}: refused: {error.code}: {error.message}")
            code = error.exit_code
        else:
            print(f"{printable(str(path))}: verified")
    return int(code)


# --- similar images -------------------------------------------------------------------------------------------------


def _similar(arguments: argparse.Namespace) -> int:
    config = _config(arguments)
    path = arguments.file
    if not path.is_file():
        raise UsageError("the file cannot be read: it does not exist, or is no file")
    with Catalogue.open_read_only(config.receiver.state / "catalogue.sqlite") as catalogue:
        known = _known(catalogue, config, path)
        features = (
            _sealed_features(config, path) if path.suffix in {".sealed", SUFFIX} else _catalogued(catalogue, known)
        )
        # One more, since the image itself is among them.
        found = catalogue.similar(*features, arguments.number + 1)
    contents = {image.sha256 for image in known}
    others = [each for each in found if each.image.sha256 not in contents][: arguments.number]
    if arguments.json:
        common.print_json([_similar_fields(each) for each in others])
        return int(ExitCode.OK)
    rows = []
    for each in others:
        described = json.loads(each.image.description)
        taken = str(described["capture_time"])[:19]
        rows.append((f"{each.similarity:.3f}", printable(each.image.path), taken, str(described["media_type"])))
    print(common.shown(("ALIKE", "IMAGE", "TAKEN", "KIND"), rows))
    return int(ExitCode.OK)


def _known(catalogue: Catalogue, config: ReceiverConfig, path: Path) -> list[Delivered]:
    """Return the deliveries that a file stands for: by its place in the store, else by its content."""
    real, store = Path(os.path.realpath(path)), Path(os.path.realpath(config.receiver.store))
    known = catalogue.stored_at(str(real.relative_to(store))) if real.is_relative_to(store) else []
    try:
        with path.open("rb") as file:
            return known or catalogue.with_content(hashlib.file_digest(file, "sha256").hexdigest())
    except OSError as error:
        raise UsageError(f"the file cannot be read: {error.strerror}") from error


def _catalogued(catalogue: Catalogue, known: list[Delivered]) -> tuple[bytes, bytes]:
    """Return the features that the catalogue holds of a delivered image."""
    if not known:
        raise UsageError("the catalogue does not know this image", hint="name a stored image, or a sealed file")
    features = next((found for image in known if (found := catalogue.features_of(image)) is not None), None)
    if features is None:
        raise UsageError("the catalogue holds no features of this image", hint=_NO_FEATURES)
    return features


def _sealed_features(config: ReceiverConfig, path: Path) -> tuple[bytes, bytes]:
    """Return the features that a sealed file carries; it is verified first."""
    keyring = ReceiverKeyring.load(config, environ=os.environ)
    with _sealed(path) as (file, signed):
        metadata = decrypt.peek(_verified(config, keyring, file, signed), file, keyring.unwrappers)
    if metadata.features is None:
        raise UsageError("the sealed file carries no features", hint=_NO_FEATURES)
    return metadata.features.values, metadata.features.model_sha256


def _similar_fields(each: Similar) -> dict[str, object]:
    described = json.loads(each.image.description)
    return {
        "similarity": round(each.similarity, 6),
        "path": each.image.path,
        "device": each.image.device,
        "image_id": each.image.image_id,
        "sha256": each.image.sha256,
        "capture_time": described["capture_time"],
        "media_type": described["media_type"],
    }
