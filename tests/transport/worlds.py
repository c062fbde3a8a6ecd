"""The three worlds in which the transport contract is tested."""

from __future__ import annotations

from collections.abc import Callable

from edge.transport.base import BrokerAddress, BrokerSettings, ProtocolChoice, Transport
from edge.transport.memory import MemoryBroker, MemoryTransport
from edge.transport.mqtt import MqttTransport
from tests.brokers import Amqtt, Mosquitto, Proxy


def settings(url: str, **changes: object) -> BrokerSettings:
    """Settings that reconnect quickly, for tests that break things."""
    defaults = {"min_delay": 0.02, "max_delay": 0.1, "connect_timeout": 5.0, "client_id_prefix": "test"}
    return BrokerSettings(address=BrokerAddress.parse(url), **{**defaults, **changes})


class MemoryWorld:
    """The fake."""

    def __init__(self) -> None:
        self._broker = MemoryBroker()
        self._clients: list[MemoryTransport] = []
        self.break_broker = self._broker.go_offline
        self.mend_broker = self._broker.go_online
        self.freeze = self._broker.freeze
        self.thaw = self._broker.thaw
        self.cut = self._broker.cut

    def client(self, *, window: int = 8, inbox_limit: int = 256, cuttable: bool = False) -> Transport:
        client = MemoryTransport(self._broker, window=window, inbox_limit=inbox_limit)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.stop()


class RealWorld:
    """A broker that speaks MQTT: mosquitto as a process, or amqtt in this one."""

    def __init__(self, broker: Mosquitto | Amqtt, protocol: ProtocolChoice) -> None:
        self._broker = broker
        self._protocol = protocol
        self._clients: list[MqttTransport] = []
        self._proxies: dict[int, Proxy] = {}
        self.mend_broker: Callable[[], None] = broker.start
        self.freeze: Callable[[], None] = broker.freeze
        self.thaw: Callable[[], None] = broker.thaw
        broker.start()

    def client(self, *, window: int = 8, inbox_limit: int = 256, cuttable: bool = False) -> Transport:
        proxy = Proxy(self._broker.port) if cuttable else None
        url = proxy.url if proxy is not None else self._broker.url
        client = MqttTransport(settings(url, window=window, inbox_limit=inbox_limit, protocol=self._protocol))
        self._clients.append(client)
        if proxy is not None:
            self._proxies[id(client)] = proxy
        return client

    def break_broker(self) -> None:
        self._broker.kill()

    def cut(self, client: Transport) -> None:
        self._proxies[id(client)].cut()

    def close(self) -> None:
        for client in self._clients:
            client.stop()
        for proxy in self._proxies.values():
            proxy.close()
        self.break_broker()
