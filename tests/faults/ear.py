"""Hear what a device or a receiver says of itself: the statuses it publishes, as a technician's monitor would."""

from __future__ import annotations

import json
from typing import Any

from edge.transport.base import Transport
from tests.world import DEVICE, until


class Ear:
    """Listens to the statuses of one end, and remembers all of them."""

    def __init__(self, transport: Transport, identity: str = DEVICE) -> None:
        self._transport = transport
        self.heard: list[dict[str, Any]] = []
        transport.subscribe(f"edge/v1/status/{identity}")
        transport.start()

    @property
    def last(self) -> dict[str, Any]:
        """The status that holds now; empty before the first."""
        while (message := self._transport.receive(0)) is not None:
            self.heard.append(json.loads(message.payload))
        return self.heard[-1] if self.heard else {}

    @property
    def alarms(self) -> list[str]:
        """The alarms that stand now."""
        alarms: list[str] = self.last.get("alarms", [])
        return alarms

    def hears(self, alarm: str) -> None:
        """Wait until an alarm stands."""
        until(lambda: alarm in self.alarms)

    def hears_the_end_of(self, alarm: str) -> None:
        """Wait until an alarm that stood is over."""
        until(lambda: self.last.get("state") == "online" and alarm not in self.alarms)
