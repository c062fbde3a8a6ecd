"""`edge-encryptor demo`: the whole way on one machine, with real keys, a real model and a real (embedded) broker.

Nothing is staged: the daemon, the receiver and the provisioning are the ones a hospital runs; only their addresses differ.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from edge import durable
from edge.chaos import cipher
from edge.chaos.layout import Layout
from edge.config import DeviceConfig, ReceiverConfig
from edge.daemon import Daemon, Summary
from edge.demo.broker import EmbeddedBroker
from edge.demo.phantoms import pydicom_samples, write_phantoms
from edge.demo.picture import ComparisonRow, comparison
from edge.demo.table import human_bytes, human_milliseconds, render, shorten
from edge.envelope.metadata import Metadata
from edge.envelope.sign import Receipt, SignedEnvelope
from edge.errors import EdgeError, ExitCode, UsageError
from edge.intake.ledger import FileState, Ledger, LedgerEntry
from edge.intake.pixels import decode_pixels
from edge.keyring import DeviceKeyring, ReceiverKeyring
from edge.names import printable
from edge.progress import ImageBar
from edge.receiver import Receiver
from edge.records import Domain, SettledFile
from edge.sealing import Sealed, inspector_for, sealer_for
from edge.stopping import Stop
from edge.transport.base import BrokerAddress, BrokerSettings
from edge.transport.mqtt import MqttTransport

DEVICE: Final = "demo-scanner"
RECEIVER: Final = "demo-hospital"
_SETTLE_SECONDS: Final = 0.3
_SHOWN_CIPHER_BYTES: Final = 1 << 20


@dataclass(slots=True)
class _Journey:
    """What is known of one image, from either end."""

    sealed: Sealed
    sealed_at: float
    receipted_at: float = 0.0
    result: str = "under way"
    metadata: Metadata | None = None
    place: Path | None = None


@dataclass(slots=True)
class _Journeys:
    """All images by id, filled by three threads; and the files that were left where they are."""

    by_id: dict[bytes, _Journey] = field(default_factory=dict)
    left: list[LedgerEntry] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def sealed(self, sealed: Sealed) -> None:
        with self.lock:
            self.by_id[sealed.envelope.manifest.image_id] = _Journey(sealed, time.perf_counter())

    def stored(self, envelope: SignedEnvelope, metadata: Metadata, place: Path) -> None:
        with self.lock:
            journey = self.by_id[envelope.manifest.image_id]
            journey.metadata, journey.place = metadata, place

    def receipted(self, receipt: Receipt) -> None:
        with self.lock:
            journey = self.by_id[receipt.image_id]
            journey.receipted_at = time.perf_counter()
            journey.result = receipt.status.value + (f": {receipt.reason}" if receipt.reason else "")


def run_demo(folder: Path | None, output: Path, *, overrides: Mapping[str, object]) -> int:
    """Carry the images of `folder`, or built-in ones, to a receiver on this machine; print a table, draw a sheet.

    Raises:
        UsageError: `folder` is none, or the `demo` extra is missing.
        EdgeError: whatever keeps the whole way from working.
    """
    if folder is not None and not folder.is_dir():
        raise UsageError("the folder of images does not exist")
    store = _fresh_output(output)
    journeys = _Journeys()
    with tempfile.TemporaryDirectory(prefix="edge-demo-") as work:
        summary = _carry(folder, Path(work), store, overrides, journeys)
        return _report(journeys, summary, output, store)


def _carry(
    folder: Path | None, work: Path, store: Path, overrides: Mapping[str, object], journeys: _Journeys
) -> Summary:
    """Build both ends around a broker and carry every image from one to the other."""
    with ExitStack() as stack:
        scans = folder or _built_in_images(work / "scans")
        _say(f"scanner's folder  {folder or 'built-in: real CT, MR and ultrasound, and drawn phantoms'}")
        broker = stack.enter_context(EmbeddedBroker())
        _say(f"broker            {broker.url} (embedded)")
        keys = _provision(work / "keys", broker.url)
        _say(f"keys              fresh Ed25519 and RSA-3072 for {DEVICE} and {RECEIVER}")
        stack.enter_context(_ReceiverThread(keys / "receiver", store, journeys))
        _say(f"hospital          {store}")
        return _run_daemon(stack, keys / "device", scans, overrides, journeys)


def _report(journeys: _Journeys, summary: Summary, output: Path, store: Path) -> int:
    """Compare what arrived with what was there, print the table, draw the sheet."""
    rows = list(journeys.by_id.values())
    identical = [_identical(journey) for journey in rows]
    print(_table(rows, identical))
    sheet = output / "comparison.png"
    comparison([_comparison_row(*pair) for pair in zip(rows, identical, strict=True)], sheet)
    durable.write_atomically(output / "results.json", json.dumps(_results(rows, identical), indent=2).encode(), 0o644)
    for entry in journeys.left:
        print(f"left where it is: {shorten(printable(entry.relative), 60)}: {entry.state.value} ({entry.reason})")
    print(f"{summary}; {sum(identical)} of {len(rows)} identical to the original")
    print(f"pictures         {sheet}")
    print(f"results          {output / 'results.json'}")
    print(f"received images  {store}")
    return int(ExitCode.OK if summary.all_arrived and all(identical) and rows else ExitCode.NOT_DELIVERED)


def _fresh_output(output: Path) -> Path:
    """Make the output folder, without the received images of an earlier demo, and return the receiver's store."""
    store = output / "hospital"
    if store.exists():
        shutil.rmtree(store)
    durable.make_folder(output, 0o755)
    return store


def _built_in_images(folder: Path) -> Path:
    folder.mkdir()
    pydicom_samples(folder)
    write_phantoms(folder)
    return folder


def _provision(keys: Path, broker: str) -> Path:
    """Run the command that a technician runs."""
    command = [sys.executable, "-m", "firmware_tools", "provision", "--device", DEVICE, "--receiver", RECEIVER]
    done = subprocess.run(
        [*command, "--out", str(keys), "--broker", broker], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise EdgeError(f"provisioning failed: {done.stderr.strip()}")
    return keys


def _transport(url: str, identity: str) -> MqttTransport:
    address = BrokerAddress.parse(url)
    return MqttTransport(BrokerSettings(address=address, client_id_prefix=identity, protocol=EmbeddedBroker.PROTOCOL))


class _ReceiverThread:
    """The hospital's receiver, beside the daemon in this process."""

    def __init__(self, folder: Path, store: Path, journeys: _Journeys) -> None:
        config = ReceiverConfig.load(
            folder / "config.toml", environ={}, overrides={"receiver.store": store, "receiver.state": folder / "state"}
        )
        self._receiver = Receiver(
            config=config,
            keyring=ReceiverKeyring.load(config),
            transport=_transport(config.broker.url, RECEIVER),
            on_stored=journeys.stored,
        )
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="receiver")

    def _run(self) -> None:
        self._receiver.start()
        while not self._stop.is_set():
            self._receiver.step()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self._receiver.close()


def _run_daemon(
    stack: ExitStack, folder: Path, scans: Path, overrides: Mapping[str, object], journeys: _Journeys
) -> Summary:
    config = DeviceConfig.load(
        folder / "config.toml",
        environ={},
        overrides=dict(overrides) | {"watch.folder": scans, "watch.settle": _SETTLE_SECONDS, "watch.stuck_after": 2.0},
    )
    keyring = DeviceKeyring.load(config)
    scratch = config.device.state / "scratch"
    durable.make_folder(scratch)
    inspector = stack.enter_context(inspector_for(config))
    sealer = sealer_for(config, keyring, inspector, scratch=scratch)
    stack.callback(sealer.close)
    bar = stack.enter_context(ImageBar())
    daemon = stack.enter_context(
        Daemon(
            config=config,
            folder=scans,
            keyring=keyring,
            transport=_transport(config.broker.url, DEVICE),
            sealer=sealer,
            once=True,
            on_progress=bar.update,
            on_sealed=journeys.sealed,
            on_receipt=journeys.receipted,
        )
    )
    summary = daemon.run(Stop())
    with Ledger.open_read_only(config.device.state / "ledger.sqlite") as ledger:
        journeys.left.extend(ledger.entries({FileState.STUCK, FileState.IGNORED, FileState.QUARANTINED}))
    return summary


# --- what happened --------------------------------------------------------------------------------------------------


def _identical(journey: _Journey) -> bool:
    """Compare the received file with the scanner's, byte for byte, or their samples where pixels were carried."""
    if journey.place is None or journey.metadata is None:
        return False
    if journey.metadata.pixels is None:
        return journey.place.read_bytes() == journey.sealed.scan.file.path.read_bytes()
    return _pixels_of(journey.place) == _pixels_of(journey.sealed.scan.file.path)


def _pixels_of(path: Path) -> bytes:
    """Return the samples of an image, decoded anew, or of an array file."""
    if path.suffix == ".npy":
        return bytes(np.load(path, allow_pickle=False).tobytes())
    details = path.stat()
    file = SettledFile(path, path.name, details.st_size, details.st_mtime_ns, details.st_ino, details.st_dev)
    with tempfile.TemporaryDirectory() as folder:
        dump = Path(folder) / "pixels"
        decode_pixels(file, dump)
        return dump.read_bytes()


def _cipher_bytes(journey: _Journey) -> bytes:
    """Return the leading part of the very cipher image that travelled; empty where its key file was explicit.

    The secret has arrived with the metadata, and the cipher is deterministic, so it is made again from the plain image.
    """
    metadata = journey.metadata
    if metadata is None or metadata.cipher.secret is None or metadata.pixels is not None:
        return b""
    size, width, sample = metadata.cipher.layout
    with journey.sealed.scan.file.path.open("rb", buffering=0) as source:
        bands = cipher.encipher(source, Layout(size, width, sample), metadata.cipher.parameters, metadata.cipher.secret)
        return bytes(next(bands)[:_SHOWN_CIPHER_BYTES])


def _comparison_row(journey: _Journey, identical: bool) -> ComparisonRow:
    scan = journey.sealed.scan
    place = journey.place or Path()
    return ComparisonRow(scan.file.path.name, scan.file.path, _cipher_bytes(journey), place, identical)


_COLUMNS: Final = (
    "file",
    "size",
    "captured",
    "from",
    "network",
    "map",
    "parameters",
    "sealed",
    "model",
    "seal",
    "carry",
    "result",
)


def _table(journeys: list[_Journey], identical: list[bool]) -> str:
    rows = []
    for journey, same in zip(journeys, identical, strict=True):
        sealed = journey.sealed
        parameters = sealed.parameters
        rows.append(
            (
                sealed.scan.file.relative,
                human_bytes(sealed.scan.file.size),
                sealed.scan.capture.moment.strftime("%Y-%m-%d %H:%M:%S"),
                sealed.scan.capture.source.value,
                parameters.network.value if parameters.network else parameters.origin,
                parameters.map.value,
                " ".join(f"{value:.10g}" for value in parameters.values),
                human_bytes(sealed.envelope.manifest.bulk_bytes + len(sealed.envelope.raw)),
                human_milliseconds(1000 * sealed.times.model),
                human_milliseconds(1000 * sealed.times.seal),
                human_milliseconds(1000 * max(0.0, journey.receipted_at - journey.sealed_at)),
                _verdict(journey, same=same),
            )
        )
    width = shutil.get_terminal_size((0, 0)).columns or None
    return render(_COLUMNS, rows, width=width if sys.stdout.isatty() else None)


def _verdict(journey: _Journey, *, same: bool) -> str:
    if not same:
        return journey.result
    return "identical" if journey.sealed.domain is Domain.FILE else "pixels identical"


def _results(journeys: list[_Journey], identical: list[bool]) -> list[dict[str, object]]:
    """Return the table's rows for machines: seconds and bytes."""
    return [
        {
            "file": journey.sealed.scan.file.relative,
            "size": journey.sealed.scan.file.size,
            "sha256": journey.sealed.scan.sha256.hex(),
            "capture_time": journey.sealed.scan.capture.moment.isoformat(),
            "capture_source": journey.sealed.scan.capture.source.value,
            "notes": list(journey.sealed.scan.notes),
            "network": journey.sealed.parameters.network.value if journey.sealed.parameters.network else None,
            "map": journey.sealed.parameters.map.value,
            "parameters": list(journey.sealed.parameters.values),
            "sealed_bytes": journey.sealed.envelope.manifest.bulk_bytes + len(journey.sealed.envelope.raw),
            "seconds": {
                "model": journey.sealed.times.model,
                "seal": journey.sealed.times.seal,
                "carry": max(0.0, journey.receipted_at - journey.sealed_at),
            },
            "result": journey.result,
            "identical": same,
        }
        for journey, same in zip(journeys, identical, strict=True)
    ]


def _say(line: str) -> None:
    print(line, flush=True)
