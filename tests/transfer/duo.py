"""Both ends of a transfer, stepped in turn by one thread on one clock of their own: nothing ever sleeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from edge.envelope.sign import Receipt, ReceiptStatus
from edge.receiver import Receiver
from edge.spool import Spool, SpooledImage
from edge.transfer.messages import Topics
from edge.transfer.send import SendLoop
from edge.transport.base import Transport
from edge.transport.memory import MemoryBroker
from tests.world import DEVICE, Clock, Hospital, UnhurriedTransport, device_keyring, spool_image


class Duo:
    """A sending device and a receiver over one memory broker, on one clock, stepped in turn: nothing ever sleeps."""

    STEP_SECONDS = 0.05

    def __init__(
        self,
        folder: Path,
        broker: MemoryBroker,
        *,
        chunk_bytes: int = 16 * 1024,
        hospital: Hospital | None = None,
        outstanding: int = 4,
        **sending: Any,
    ) -> None:
        self.broker = broker
        self.clock = Clock()
        self.spool = Spool(folder / "spool", max_bytes=1 << 40, reserve_bytes=0)
        self.hospital = hospital or Hospital(folder / "hospital", settings={"transfer.stall": 1.0})
        self.keyring = device_keyring()
        self.outstanding = outstanding
        self.sending = sending
        self.chunk_bytes = chunk_bytes
        self.receipts: list[Receipt] = []
        self.refuse: Callable[[list[SpooledImage]], None] = lambda _images: None
        self.images: list[SpooledImage] = []
        self.device_transport = UnhurriedTransport(broker)
        self.sender = self.start_sender(self.device_transport)
        self.receivers: list[Receiver] = []

    def start_sender(self, transport: Transport) -> SendLoop:
        """Start the device's end, as a restart does, with what the spool holds."""
        sender = SendLoop(
            device=DEVICE,
            transport=transport,
            spool=self.spool,
            receivers=self.keyring.receivers,
            topics=Topics(),
            chunk_bytes=self.chunk_bytes,
            outstanding=self.outstanding,
            offer_first=1.0,
            offer_max=8.0,
            clock=self.clock,
            on_offered=lambda _images: None,
            on_receipts=self._on_receipts,
            # Pauses as long as they can be: what a test counts must not hang on chance.
            **{"chance": lambda: 1.0, **self.sending},
        )
        for image in self.spool.images():
            sender.add(image)
        sender.subscribe()
        transport.start()
        return sender

    def start_receiver(self, hospital: Hospital | None = None) -> Receiver:
        """Start a receiver, the hospital's or another."""
        receiver = (hospital or self.hospital).receiver(UnhurriedTransport(self.broker), clock=self.clock)
        receiver.start()
        self.receivers.append(receiver)
        return receiver

    def stop_receiver(self, receiver: Receiver) -> None:
        """Stop it as a technician would."""
        self.receivers.remove(receiver)
        receiver.close()

    def spool_image(self, plain: bytes, *, label: str, **changes: object) -> SpooledImage:
        """Seal an image into the spool and put it in line."""
        image = spool_image(self.spool, plain, label=label, sequence=len(self.images) + 1, **changes)
        self.images.append(image)
        self.sender.add(image)
        return image

    def _on_receipts(self, receipts: Sequence[tuple[SpooledImage, Receipt]]) -> None:
        self.refuse([image for image, _ in receipts])
        for image, receipt in receipts:
            self.receipts.append(receipt)
            if receipt.status is ReceiptStatus.STORED:
                self.spool.discard(image)
            else:
                self.spool.quarantine(image)

    def step(self, times: int = 1) -> None:
        """Let the device and every receiver do what is there to do, and let a little time go by."""
        for _ in range(times):
            self.sender.step()
            for receiver in list(self.receivers):
                receiver.step()
            self.clock.tick(self.STEP_SECONDS)

    def step_until(self, condition: Callable[[], object], *, limit: int = 20_000) -> None:
        """Step until `condition` holds; fail by name where it never does."""
        for _ in range(limit):
            if condition():
                return
            self.step()
        raise AssertionError("what the test steps for did not happen")

    def deliver_all(self) -> None:
        """Step until every image has its receipt."""
        self.step_until(lambda: self.sender.unreceipted == 0)

    def close(self) -> None:
        """Stop everything."""
        for receiver in list(self.receivers):
            self.stop_receiver(receiver)
        self.device_transport.stop()
