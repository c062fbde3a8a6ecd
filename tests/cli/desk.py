"""A provisioned device and receiver on one machine, for tests that run the commands inside this process."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from edge.cli import encryptor, receiver


@dataclass(frozen=True)
class Desk:
    """A provisioned device and receiver on one machine, and the two commands with their configurations."""

    root: Path
    capture: Callable[[], tuple[str, str]]

    def encrypt(self, *arguments: str | Path, flags: tuple[str, ...] = ()) -> tuple[int, str, str]:
        """Run `edge-encryptor encrypt`."""
        config = self.root / "device" / "config.toml"
        code = encryptor.main([*flags, "--config", str(config), "encrypt", *map(str, arguments)])
        return code, *self.capture()

    def encryptor(self, *arguments: str | Path) -> tuple[int, str, str]:
        """Run `edge-encryptor`."""
        config = self.root / "device" / "config.toml"
        return encryptor.main(["--config", str(config), *map(str, arguments)]), *self.capture()

    def receiver(self, *arguments: str | Path, config: Path | None = None) -> tuple[int, str, str]:
        """Run `edge-receiver`."""
        config = config or self.root / "receiver" / "config.toml"
        return receiver.main(["--config", str(config), *map(str, arguments)]), *self.capture()
