"""Run a broker inside this process for `demo`, on the loopback only; the rule: it is gone when the context is left.

It is amqtt: pure Python, MQTT 3.1.1, no shared subscriptions. Production uses mosquitto or another real broker.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from types import TracebackType
from typing import Any, Final, Self

from edge.errors import BrokerUnreachable, UsageError

HOST: Final = "127.0.0.1"

_START_SECONDS: Final = 15.0
_STOP_SECONDS: Final = 10.0
_SHUTDOWN_SECONDS: Final = 2.0
_CLOSING_SECONDS: Final = 0.5
_QUIET_LOGGERS: Final = ("amqtt", "transitions")
_LISTENER: Final = "default"

_log = logging.getLogger(__name__)


class EmbeddedBroker:
    """An anonymous broker on a free loopback port (or on `port`), in a thread and an event loop of its own.

    Use it as a context manager. A transport to it should be given `protocol = EmbeddedBroker.PROTOCOL`: amqtt leaves an
    MQTT 5 greeting with a will unanswered, and finding that out takes seconds. This class opens and closes the sockets;
    amqtt is handed each connection, so that none outlives the context.
    """

    PROTOCOL: Final = "3.1.1"

    def __init__(self, *, port: int = 0) -> None:
        self._port = port
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave: asyncio.Event | None = None
        self._up = threading.Event()
        self._failure: Exception | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    @property
    def port(self) -> int:
        """The port it listens on; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Its address, as `BrokerAddress.parse` reads it."""
        return f"mqtt://{HOST}:{self.port}"

    def start(self) -> None:
        """Start it and return when it listens; a second start uses the port of the first.

        Raises:
            UsageError: amqtt is not installed.
            BrokerUnreachable: It did not come up.
        """
        _check_installed()
        self._up.clear()
        self._failure = None
        self._thread = threading.Thread(target=self._run, name="embedded-broker", daemon=True)
        self._thread.start()
        if not self._up.wait(_START_SECONDS) or self._failure is not None:
            self.stop()
            raise BrokerUnreachable("the embedded broker did not start") from self._failure

    def stop(self) -> None:
        """Close every connection and end the thread."""
        thread, self._thread = self._thread, None
        if thread is None:
            return
        if self._loop is not None and self._leave is not None:
            # A broker that did not come up may have closed its loop already.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._leave.set)
        thread.join(_STOP_SECONDS)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception as error:  # noqa: BLE001  # amqtt raises what it likes; the starting thread is told.
            self._failure = error
            self._up.set()

    async def _serve(self) -> None:
        from amqtt.broker import Broker  # noqa: PLC0415  # An optional extra.

        self._leave = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(_note)
        broker = Broker(
            {
                "listeners": {_LISTENER: {"type": "external"}},
                "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
            }
        )
        await broker.start()

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._serve_client(broker, reader, writer)

        server = await asyncio.start_server(serve, HOST, self._port)
        self._port = server.sockets[0].getsockname()[1]
        self._up.set()
        await self._leave.wait()
        server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        try:
            await asyncio.wait_for(broker.shutdown(), _SHUTDOWN_SECONDS)
        except Exception as error:  # noqa: BLE001  # The loop ends all the same, and its sockets are closed already.
            _log.debug("the embedded broker's farewell failed: %s", type(error).__name__)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        if others:
            await asyncio.wait(others, timeout=_CLOSING_SECONDS)

    async def _serve_client(self, broker: Any, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from amqtt.adapters import StreamReaderAdapter, StreamWriterAdapter  # noqa: PLC0415  # An optional extra.

        self._writers.add(writer)
        try:
            await broker.external_connected(StreamReaderAdapter(reader), StreamWriterAdapter(writer), _LISTENER)
        finally:
            # amqtt 0.12 forgets to where the client went first.
            self._writers.discard(writer)
            writer.close()


def _note(_loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Keep amqtt's tasks from printing tracebacks over the demo when a client is gone before its answer."""
    _log.debug("the embedded broker: %s", type(context.get("exception")).__name__)


def _check_installed() -> None:
    for name in _QUIET_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    try:
        import amqtt.broker  # noqa: F401, PLC0415  # An optional extra.
    except ImportError as error:
        raise UsageError(
            "the demo needs a broker and amqtt is not installed", hint="pip install 'edge-encryptor[demo]'"
        ) from error
