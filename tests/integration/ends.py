"""What the integration tests know of the two ends: where keys, store and catalogue are, and how to run a device."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.cli.programs import QUICK_DEVICE, Done, run

RECEIVER = "hospital"
RECEIVER_ENV = {"EDGE_RECEIVER_TRANSFER_STALL": "1"}
_ALL_IMAGES_SECONDS = 250.0
"""How long a slow machine may take for dozens of images, decoded and proved."""
DEVICES = tuple(f"scanner-{number}" for number in range(1, 18))


@dataclass(frozen=True)
class Ends:
    """Folders of both ends, and the broker between them."""

    root: Path
    url: str

    @property
    def receiver_config(self) -> Path:
        """The receiver's configuration."""
        return self.root / "keys" / "receiver" / "config.toml"

    @property
    def store(self) -> Path:
        """Where received images lie."""
        return self.root / "store"

    @property
    def receiver_log(self) -> str:
        """What the receiver has printed."""
        return (self.root / "receiver.log").read_text(errors="replace")

    def device_folder(self, device: str) -> Path:
        """Return a device's keys and configuration."""
        first = DEVICES[0]
        return self.root / "keys" / ("device" if device == first else device)

    def carry(self, device: str, scans: Path, *flags: str, env: Mapping[str, str] | None = None) -> Done:
        """Run a device over a folder, once."""
        config = self.device_folder(device) / "config.toml"
        changes = {**QUICK_DEVICE, "EDGE_ENCRYPTOR_LOG_LEVEL": "debug", **(env or {})}
        command = ("--watch", scans, "--config", config, "--once", *flags)
        return run("edge-encryptor", *command, env=changes, timeout=_ALL_IMAGES_SECONDS)

    def queue(self, device: str) -> dict[str, dict[str, Any]]:
        """Return what the device says of each file."""
        done = run("edge-encryptor", "queue", "--json", "--config", self.device_folder(device) / "config.toml")
        assert done.code == 0, done.err
        return {entry["file"]: entry for entry in json.loads(done.out)["files"]}

    def delivered(self, device: str) -> dict[str, tuple[Path, dict[str, Any]]]:
        """Return, by the file's own name, where each image of a device lies and what the catalogue says of it."""
        catalogue = self.root / "keys" / "receiver" / "state" / "catalogue.sqlite"
        connection = sqlite3.connect(f"file:{catalogue}?mode=ro", uri=True)
        try:
            rows = connection.execute(
                "SELECT path, description FROM images WHERE device = ? AND status = 'stored'", (device,)
            ).fetchall()
        finally:
            connection.close()
        described = [(self.store / path, json.loads(text)) for path, text in rows]
        return {about["name"]: (place, about) for place, about in described}


def stored(keys: Path) -> list[bytes]:
    """Return the content of every stored image."""
    store = keys / "receiver" / "store"
    return sorted(path.read_bytes() for path in store.glob("[!.]*/**/*") if path.is_file())
