"""The configuration of a device and of a receiver: typed, frozen, refused whole when one key of it is wrong.

Rule: flags win over the environment, the environment over the file, the file over the default; what is not known here
is refused by name, with the nearest name that is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from edge.config.load import Described, Loadable
from edge.config.tables import (
    BrokerTable,
    CipherTable,
    DeviceLimitsTable,
    DeviceTable,
    DeviceTransferTable,
    LogTable,
    ReceiverLimitsTable,
    ReceiverTable,
    ReceiverTransferTable,
    SpoolTable,
    WatchTable,
    within,
)
from edge.errors import ConfigError
from edge.records import Domain

__all__ = [
    "BrokerTable",
    "CipherTable",
    "Described",
    "DeviceConfig",
    "DeviceLimitsTable",
    "DeviceTable",
    "DeviceTransferTable",
    "LogTable",
    "ReceiverConfig",
    "ReceiverLimitsTable",
    "ReceiverTable",
    "ReceiverTransferTable",
    "SpoolTable",
    "WatchTable",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig(Loadable):
    """The configuration of edge-encryptor."""

    variable_prefix: ClassVar[str] = "EDGE_ENCRYPTOR"
    usual_folder: ClassVar[str] = "device"

    device: DeviceTable
    watch: WatchTable = field(default_factory=WatchTable)
    cipher: CipherTable = field(default_factory=CipherTable)
    broker: BrokerTable = field(default_factory=BrokerTable)
    transfer: DeviceTransferTable = field(default_factory=DeviceTransferTable)
    spool: SpoolTable = field(default_factory=SpoolTable)
    limits: DeviceLimitsTable = field(default_factory=DeviceLimitsTable)
    log: LogTable = field(default_factory=LogTable)

    def __post_init__(self) -> None:
        if self.watch.original == "delete" and self.cipher.domain is Domain.PIXELS:
            raise ConfigError(
                'watch.original must not be "delete" with cipher.domain "pixels": the file\'s own bytes do not travel',
                hint='use domain = "file", or original = "move"',
            )
        if self.watch.folder is None:
            return
        for name in ("key", "state", "trust"):
            if within(getattr(self.device, name), self.watch.folder):
                raise ConfigError(
                    f"device.{name} must not lie inside watch.folder",
                    hint="what lies in the watched folder is read as images; keep the device's own files elsewhere",
                )


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceiverConfig(Loadable):
    """The configuration of edge-receiver."""

    variable_prefix: ClassVar[str] = "EDGE_RECEIVER"
    usual_folder: ClassVar[str] = "receiver"

    receiver: ReceiverTable
    broker: BrokerTable = field(default_factory=BrokerTable)
    transfer: ReceiverTransferTable = field(default_factory=ReceiverTransferTable)
    limits: ReceiverLimitsTable = field(default_factory=ReceiverLimitsTable)
    log: LogTable = field(default_factory=LogTable)
