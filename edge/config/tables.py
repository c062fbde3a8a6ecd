"""The tables of both configurations: each annotated field is one key, with its kind, its meaning and its default.

Rule: this is the only place where a key is defined; parsing, environment names and documentation follow from it.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, get_args
from urllib.parse import urlsplit

from edge.config import kinds
from edge.errors import ConfigError
from edge.protocol import CHUNK_BYTES, CHUNK_MAX_BYTES, CHUNK_MIN_BYTES, CREDIT_CHUNKS, IMAGE_MAX_BYTES, TOPIC_PREFIX
from edge.records import CaptureSource, Domain, KeyFileMode, MapName, NetworkName, Quantiser

Unknown = Literal["ignore", "carry"]
Incomplete = Literal["hold", "carry"]
Poll = Literal["auto", "always", "never"]
Original = Literal["keep", "move", "delete"]
Order = Literal["oldest", "newest"]
BrokerProtocol = Literal["auto", "5", "3.1.1"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

BANDWIDTH_MIN: Final = 8000
"""Bytes a second. With less, the smallest chunks of four images come so far apart that a receiver gives them up."""
_LIMIT: Final = kinds.size(1, IMAGE_MAX_BYTES)
_MEMORY: Final = kinds.size(32 << 20, 1 << 40)
_TIMEOUT: Final = kinds.seconds(0.1, 3600)
_WAIT: Final = kinds.seconds(0.01, 86_400)
_COUNT: Final = kinds.integer(1, 64)
_FALLBACKS: Final = kinds.each_once(
    kinds.choice((CaptureSource.OPERATOR, CaptureSource.SIDECAR, CaptureSource.MTIME)),
    "a list of operator, sidecar, mtime, each at most once",
)


@dataclass(frozen=True, slots=True)
class Setting:
    """The annotation of one key: how it is read, and what it is for."""

    kind: kinds.Kind
    meaning: str


def within(path: Path, folder: Path) -> bool:
    """Say whether `path` lies in `folder` or is it, links followed."""
    # Path.resolve raises for a loop of links; whether the folder can be read is for its reader to say.
    return Path(os.path.realpath(path)).is_relative_to(_real(folder))


def _real(folder: Path) -> str:
    """Follow links as realpath does, but ask nothing of a share that is mounted on the folder: it may hang."""
    beside = os.path.normpath(os.path.join(os.path.realpath(folder.parent), folder.name))  # noqa: PTH118 - as text
    try:
        os.readlink(beside)  # noqa: PTH115 - the name alone is asked about, where lstat would ask the share
    except OSError:
        return beside
    return os.path.realpath(beside)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTable:
    """[device]: who this device is, and where its own files lie."""

    id: Annotated[str, Setting(kinds.IDENTITY, "this device's id: in topics, and in the receiver's store")]
    audience: Annotated[str, Setting(kinds.IDENTITY, "the id of the receiver that the images are for")]
    key: Annotated[Path, Setting(kinds.PATH, "the private signing key (PEM, PKCS#8, mode 0600)")] = Path("device.key")
    state: Annotated[Path, Setting(kinds.PATH, "the folder of the ledger and the spool")] = Path("state")
    trust: Annotated[Path, Setting(kinds.PATH, "the folder of the receivers' public keys")] = Path("trust")


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchTable:
    """[watch]: which files become images to carry, and when."""

    folder: Annotated[Path | None, Setting(kinds.OPTIONAL_PATH, "the folder the scanner writes to (--watch)")] = None
    settle: Annotated[float, Setting(_WAIT, "a file is looked at twice, this long apart; still means settled")] = 1.0
    stuck_after: Annotated[float, Setting(_WAIT, "an empty or incomplete file that is still for so long is stuck")] = (
        60.0
    )
    rescan: Annotated[float, Setting(_WAIT, "the folder is listed at least this often, whatever events say")] = 30.0
    unknown: Annotated[
        Unknown, Setting(kinds.choice(get_args(Unknown)), "what happens to files that no image format's magic names")
    ] = "ignore"
    incomplete: Annotated[
        Incomplete,
        Setting(kinds.choice(get_args(Incomplete)), "what happens to a stuck file: listed only, or carried as it is"),
    ] = "hold"
    ignore: Annotated[
        tuple[str, ...], Setting(kinds.PATTERNS, "further names to ignore, beside the usual temporary ones")
    ] = ()
    poll: Annotated[
        Poll, Setting(kinds.choice(get_args(Poll)), "listing without events: auto does so on network file systems")
    ] = "auto"
    original: Annotated[
        Original, Setting(kinds.choice(get_args(Original)), "what happens to the original after a verified receipt")
    ] = "keep"
    move_to: Annotated[Path | None, Setting(kinds.OPTIONAL_PATH, 'where originals go with original = "move"')] = None
    capture_fallbacks: Annotated[
        tuple[CaptureSource, ...],
        Setting(_FALLBACKS, "where a capture time comes from when the image names none, in order"),
    ] = (CaptureSource.OPERATOR, CaptureSource.SIDECAR, CaptureSource.MTIME)

    def __post_init__(self) -> None:
        if self.stuck_after < self.settle:
            raise ConfigError("watch.stuck_after must not be shorter than watch.settle")
        if self.original == "move" and self.move_to is None:
            raise ConfigError('watch.original is "move", but watch.move_to is not set')
        if self.folder and self.move_to and within(self.move_to, self.folder):
            raise ConfigError("watch.move_to must not lie inside watch.folder", hint="moved files would be seen again")


@dataclass(frozen=True, slots=True, kw_only=True)
class CipherTable:
    """[cipher]: the chaotic image cipher inside the envelope."""

    map: Annotated[MapName, Setting(kinds.choice(MapName), "the chaotic map")] = MapName.LOGISTIC
    network: Annotated[
        NetworkName, Setting(kinds.choice(NetworkName), "the network that sets the parameters of logistic and lorenz")
    ] = NetworkName.MOBILENETV2
    domain: Annotated[Domain, Setting(kinds.choice(Domain), "what is enciphered: the file's bytes, or its pixels")] = (
        Domain.FILE
    )
    key_file: Annotated[
        KeyFileMode, Setting(kinds.choice(KeyFileMode), "how the key file travels inside the envelope")
    ] = KeyFileMode.COMPACT
    quantiser: Annotated[
        Quantiser, Setting(kinds.choice(Quantiser), "how states of hyperlorenz-dna become bytes; wide is the faster")
    ] = Quantiser.WIDE
    features: Annotated[
        bool, Setting(kinds.BOOLEAN, "send the image's deep features inside the envelope, to find similar images by")
    ] = False

    @property
    def needs_features(self) -> bool:
        """Say whether the feature network is run on every image."""
        return self.features or self.map is MapName.HYPERLORENZ_DNA


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerTable:
    """[broker]: the MQTT broker between device and receiver."""

    url: Annotated[
        str,
        Setting(
            kinds.BROKER_URL,
            "the broker's address; mqtts is TLS",
        ),
    ] = "mqtt://127.0.0.1:1883"
    ca_file: Annotated[
        Path | None, Setting(kinds.OPTIONAL_PATH, "the CA of the broker's certificate; else the system's")
    ] = None
    cert_file: Annotated[Path | None, Setting(kinds.OPTIONAL_PATH, "the client certificate for mutual TLS")] = None
    key_file: Annotated[Path | None, Setting(kinds.OPTIONAL_PATH, "the client certificate's private key")] = None
    username: Annotated[str, Setting(kinds.TEXT, "the user name at the broker")] = ""
    password_file: Annotated[Path | None, Setting(kinds.OPTIONAL_PATH, "the file whose first line is the password")] = (
        None
    )
    protocol: Annotated[
        BrokerProtocol, Setting(kinds.choice(get_args(BrokerProtocol)), "the MQTT version; auto tries 5 first")
    ] = "auto"
    prefix: Annotated[
        str,
        Setting(
            kinds.TOPIC_PREFIX_KIND,
            "the first levels of every topic; the same on both ends",
        ),
    ] = TOPIC_PREFIX
    keepalive: Annotated[int, Setting(kinds.integer(5, 3600), "the MQTT keep-alive in seconds")] = 30

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            raise ConfigError(
                "broker.cert_file and broker.key_file are set together or not at all",
                hint="set the missing one too, or unset both",
            )
        if (self.ca_file or self.cert_file) and not self.tls:
            raise ConfigError(
                "broker.ca_file and broker.cert_file need TLS, but broker.url is not mqtts://",
                hint="write broker.url as mqtts://HOST:8883, or unset them",
            )
        if self.password_file and not self.username:
            raise ConfigError("broker.password_file is set, but broker.username is not")

    @property
    def tls(self) -> bool:
        """Say whether the connection is encrypted."""
        return urlsplit(self.url).scheme == "mqtts"

    @property
    def host(self) -> str:
        """Return the broker's host name or address, without brackets."""
        return urlsplit(self.url).hostname or ""

    @property
    def port(self) -> int:
        """Return the broker's port, by default that of the scheme."""
        parts = urlsplit(self.url)
        return parts.port or kinds.BROKER_PORTS[parts.scheme]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceTransferTable:
    """[transfer] of a device."""

    chunk_size: Annotated[
        int,
        Setting(kinds.size(CHUNK_MIN_BYTES, CHUNK_MAX_BYTES), "bytes in one MQTT message; smaller suits slow links"),
    ] = CHUNK_BYTES
    outstanding: Annotated[int, Setting(_COUNT, "images offered at once; of those of one chunk twice as many")] = 4
    offer_first: Annotated[float, Setting(_WAIT, "seconds until an offer that nobody takes is repeated")] = 10.0
    offer_max: Annotated[float, Setting(_WAIT, "the longest pause between two offers; pauses double up to it")] = 300.0
    order: Annotated[
        Order, Setting(kinds.choice(get_args(Order)), "which of the waiting images goes first, by when it was sealed")
    ] = "oldest"
    urgent: Annotated[
        tuple[str, ...],
        Setting(kinds.PATTERNS, "names of files, or of folders below the watched one, that go before all others"),
    ] = ()
    bandwidth: Annotated[
        int,
        Setting(kinds.size(0, 1 << 40), 'bytes a second for offers and chunks ("125 kB" is 1 Mbit/s); 0 is no cap'),
    ] = 0

    def __post_init__(self) -> None:
        if self.offer_max < self.offer_first:
            raise ConfigError("transfer.offer_max must not be shorter than transfer.offer_first")
        if 0 < self.bandwidth < BANDWIDTH_MIN:
            raise ConfigError(
                "transfer.bandwidth is too low for images to arrive",
                hint="write at least 8 kB (64 kbit/s), or 0 for no cap",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolTable:
    """[spool]: sealed images that wait for their receipt."""

    max_bytes: Annotated[int, Setting(_LIMIT, "intake pauses when the spool is this full; nothing is dropped")] = (
        10 << 30
    )
    reserve_bytes: Annotated[
        int,
        Setting(
            kinds.size(0, 1 << 40), "intake pauses when less than this, or less than the next, is free on the disk"
        ),
    ] = 500_000_000
    reserve_percent: Annotated[int, Setting(kinds.integer(0, 99), "hundredths of the disk that stay free")] = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceLimitsTable:
    """[limits] of a device: what no single file may exceed."""

    image_bytes: Annotated[int, Setting(_LIMIT, "the largest file that is carried")] = 4 << 30
    inspect_memory: Annotated[int, Setting(_MEMORY, "memory for reading one file's metadata")] = 256 << 20
    inspect_timeout: Annotated[float, Setting(_TIMEOUT, "time for reading one file's metadata")] = 5.0
    pixels_memory: Annotated[int, Setting(_MEMORY, 'memory for decoding one file with domain = "pixels"')] = 1 << 30
    pixels_timeout: Annotated[float, Setting(_TIMEOUT, 'time for decoding one file with domain = "pixels"')] = 60.0
    max_pixels: Annotated[int, Setting(kinds.integer(1, 1 << 40), "an image of more pixels is never decoded")] = (
        178_956_970
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogTable:
    """[log]: lines on standard error, free of patient data."""

    level: Annotated[LogLevel, Setting(kinds.choice(get_args(LogLevel)), "what is logged: this and graver")] = "info"
    format: Annotated[LogFormat, Setting(kinds.choice(get_args(LogFormat)), "lines for people or for machines")] = (
        "text"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverTable:
    """[receiver]: who this receiver is, and where its own files lie."""

    id: Annotated[str, Setting(kinds.IDENTITY, "this receiver's id: the audience of the devices' images")]
    unwrap_key: Annotated[
        Path, Setting(kinds.PATH, "the private RSA key that opens images (PEM, PKCS#8, mode 0600)")
    ] = Path("receiver.wrap.key")
    old_unwrap_keys: Annotated[
        tuple[Path, ...],
        Setting(kinds.PATHS, "replaced keys that still open older images"),
    ] = ()
    signing_key: Annotated[
        Path, Setting(kinds.PATH, "the private key that signs receipts (PEM, PKCS#8, mode 0600)")
    ] = Path("receiver.sign.key")
    state: Annotated[Path, Setting(kinds.PATH, "the folder of the catalogue and of images under way")] = Path("state")
    store: Annotated[Path, Setting(kinds.PATH, "the folder in which received images are stored")] = Path("store")
    trust: Annotated[Path, Setting(kinds.PATH, "the folder of the devices' public keys")] = Path("trust")
    group: Annotated[
        str,
        Setting(kinds.GROUP, "receivers of one group share the work"),
    ] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverTransferTable:
    """[transfer] of a receiver."""

    credit: Annotated[int, Setting(kinds.integer(1, 256), "chunks asked for ahead, per image")] = CREDIT_CHUNKS
    active: Annotated[int, Setting(_COUNT, "images pulled at once")] = 4
    stall: Annotated[float, Setting(_WAIT, "seconds without a chunk until missing ones are asked for again")] = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverLimitsTable:
    """[limits] of a receiver."""

    image_bytes: Annotated[int, Setting(_LIMIT, "the largest image that is accepted")] = 4 << 30

    @property
    def bulk_bytes(self) -> int:
        """Return the largest bulk that is accepted: a key file, or pixels decoded, make it larger than its file."""
        return 4 * self.image_bytes
