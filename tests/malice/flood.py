"""Say all that an adversary can on a real broker, as fast as it takes it, until the process is killed.

python -m tests.malice.flood HOST PORT
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator
from itertools import count

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from edge.transfer.messages import Offer, SignedReceipt, Topics, encode
from tests.malice.adversary import CHUNK, manifest
from tests.world import DEVICE, RECEIVER


def messages() -> Iterator[tuple[str, bytes]]:
    """Yield topics and payloads without end: forged offers and receipts, chunks that nobody asked for, rubbish."""
    topics, chance = Topics(), random.Random(1)
    for number in count(1):
        for device in ("device-9", DEVICE):
            forged = manifest(number, device=device, signer="stranger")
            yield topics.offer(device), encode(Offer(forged, CHUNK))
        yield topics.offer(DEVICE), chance.randbytes(200)
        yield topics.chunk(RECEIVER, DEVICE, chance.randbytes(16), number % 1000), bytes(CHUNK)
        if number % 50 == 0:
            yield topics.chunk(RECEIVER, DEVICE, bytes(16), 0), bytes(4 << 20)
        yield topics.control(DEVICE), encode(SignedReceipt(chance.randbytes(300)))
        yield topics.control(DEVICE), chance.randbytes(2000)
        yield topics.status(RECEIVER), b'{"role": "receiver", "state": "online", "boot": "%d"}' % number


def flood(host: str, port: int) -> None:
    """Publish without end; of what the client holds at once the broker takes the last before more is said."""
    client = Client(CallbackAPIVersion.VERSION2)
    client.max_inflight_messages_set(20)
    client.max_queued_messages_set(0)
    client.connect(host, port)
    client.loop_start()
    for number, (topic, payload) in enumerate(messages(), 1):
        said = client.publish(topic, payload, qos=1)
        if number % 7 == 0:
            said.wait_for_publish(30)


if __name__ == "__main__":
    flood(sys.argv[1], int(sys.argv[2]))
