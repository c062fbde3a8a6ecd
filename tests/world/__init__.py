"""Both ends of the way for tests: keys, configurations, a device and a receiver over a memory broker or a real one.

A `Site` is one device beside its scanner's folder, a `Hospital` one receiver. Both can be built again over the same
folders, as restarts do. Keys are the frozen ones of the test vectors, so that nothing waits for key generation.

Tests import from here, not from the modules below.
"""

from tests.world.device import RunningDaemon, Site
from tests.world.faults import cut, flip, refuse_listing
from tests.world.hospital import Hospital, RunningReceiver
from tests.world.keyrings import DEVICE, RECEIVER, device_keyring, receiver_keyring
from tests.world.networks import SteadyFeatures, SteadyNetwork
from tests.world.scans import bytes_of, png, slow_dicom
from tests.world.sealed import receipt_for, replace_sealed, sealed_data, spool_image
from tests.world.transports import UnhurriedTransport, connected
from tests.world.waiting import PATIENCE_SECONDS, Clock, alarm, until

__all__ = [
    "DEVICE",
    "PATIENCE_SECONDS",
    "RECEIVER",
    "Clock",
    "Hospital",
    "RunningDaemon",
    "RunningReceiver",
    "Site",
    "SteadyFeatures",
    "SteadyNetwork",
    "UnhurriedTransport",
    "alarm",
    "bytes_of",
    "connected",
    "cut",
    "device_keyring",
    "flip",
    "png",
    "receipt_for",
    "receiver_keyring",
    "refuse_listing",
    "replace_sealed",
    "sealed_data",
    "slow_dicom",
    "spool_image",
    "until",
]
