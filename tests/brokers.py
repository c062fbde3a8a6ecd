"""Start real brokers on the loopback for tests: mosquitto as a process, amqtt in this one, and a proxy to cut between."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from edge.demo.broker import EmbeddedBroker
from tests.certificates import Certificate

HOST = "127.0.0.1"
# Debian puts the broker where an ordinary user's PATH does not look.
_SEARCH = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin"))
MOSQUITTO = shutil.which("mosquitto", path=_SEARCH)
MOSQUITTO_PASSWD = shutil.which("mosquitto_passwd", path=_SEARCH)

_START_SECONDS = 10.0
_PORT_ATTEMPTS = 5


def free_port() -> int:
    """Return a loopback port that nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


class Mosquitto:
    """A mosquitto process with a configuration of its own in `folder`; it skips the test where there is no mosquitto.

    `server` makes the listener TLS; with `client_ca_file` clients need a certificate, and its common name is their user
    name. `passwords` maps user names to passwords. `acl` is the text of an ACL file. `options` are further lines. `within` is
    a command that runs it in a network namespace, where it listens on `host`.
    """

    def __init__(
        self,
        folder: Path,
        *,
        server: Certificate | None = None,
        client_ca_file: Path | None = None,
        passwords: Mapping[str, str] | None = None,
        acl: str | None = None,
        options: Sequence[str] = (),
        within: Sequence[str] = (),
        host: str = HOST,
    ) -> None:
        if MOSQUITTO is None:
            pytest.skip("mosquitto is not installed (Debian package mosquitto)")
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._tls = server is not None
        self._within = within
        self._host = host
        self._lines = self._configure(server, client_ca_file, passwords, acl, options)
        self._process: subprocess.Popen[bytes] | None = None
        self._port: int | None = None

    @property
    def port(self) -> int:
        assert self._port is not None, "the broker has not been started"
        return self._port

    @property
    def url(self) -> str:
        return f"{'mqtts' if self._tls else 'mqtt'}://{self._host}:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "the broker does not run"
        return self._process.pid

    @property
    def log(self) -> str:
        return (self._folder / "mosquitto.log").read_text(errors="replace")

    def start(self) -> None:
        """Start it and return when it listens; a second start uses the port of the first."""
        attempts = 1 if self._port else _PORT_ATTEMPTS
        for _ in range(attempts):
            port = self._port or free_port()
            if self._try_start(port):
                self._port = port
                return
        pytest.fail(f"mosquitto did not start: {self.log[-500:]}")

    def stop(self) -> None:
        """End it as an administrator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def freeze(self) -> None:
        """Stop the process where it stands; its sockets stay open."""
        os.kill(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        os.kill(self.pid, signal.SIGCONT)

    def correct(self, acl: str) -> None:
        """Follow another access list from here on, as after an administrator's correction."""
        (self._folder / "acl").write_text(acl)
        os.kill(self.pid, signal.SIGHUP)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def _configure(
        self,
        server: Certificate | None,
        client_ca_file: Path | None,
        passwords: Mapping[str, str] | None,
        acl: str | None,
        options: Sequence[str],
    ) -> list[str]:
        # Started by root, mosquitto would become a user who may not read the test's folder.
        lines = ["persistence false", "log_dest stderr", "log_type all", "user root", *options]
        if server is not None:
            lines += [f"certfile {server.cert_file}", f"keyfile {server.key_file}"]
        if client_ca_file is not None:
            lines += [f"cafile {client_ca_file}", "require_certificate true", "use_identity_as_username true"]
        if passwords is not None:
            lines += [f"password_file {self._write_passwords(passwords)}"]
        if acl is not None:
            acl_file = self._folder / "acl"
            acl_file.write_text(acl)
            acl_file.chmod(0o600)
            lines += [f"acl_file {acl_file}"]
        anonymous = passwords is None and client_ca_file is None
        return [*lines, f"allow_anonymous {'true' if anonymous else 'false'}"]

    def _write_passwords(self, passwords: Mapping[str, str]) -> Path:
        if MOSQUITTO_PASSWD is None:
            pytest.skip("mosquitto_passwd is not installed (Debian package mosquitto)")
        file = self._folder / "passwords"
        file.write_text("".join(f"{name}:{password}\n" for name, password in passwords.items()))
        file.chmod(0o600)
        subprocess.run([MOSQUITTO_PASSWD, "-U", file], check=True, capture_output=True)
        return file

    def _try_start(self, port: int) -> bool:
        assert MOSQUITTO is not None
        configuration = self._folder / "mosquitto.conf"
        # Listener options belong to the listener above them.
        configuration.write_text("\n".join([f"listener {port} {self._host}", *self._lines, ""]))
        with (self._folder / "mosquitto.log").open("ab") as log:
            self._process = subprocess.Popen([*self._within, MOSQUITTO, "-c", configuration], stdout=log, stderr=log)
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline and self._process.poll() is None:
            # Into another namespace no probe leads: there its own word is taken for it.
            if self._within:
                if " running" in self.log:
                    return True
            else:
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
                    return True
            time.sleep(0.01)
        self.kill()
        return False

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.send_signal(how)
        process.wait(timeout=10)


class Amqtt(EmbeddedBroker):
    """The embedded broker of the demo, which can also be made to hang."""

    def __init__(self, *, port: int = 0) -> None:
        super().__init__(port=port)
        self._thawed = threading.Event()

    def freeze(self) -> None:
        """Hold up its event loop; its sockets stay open."""
        self._thawed.clear()
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._thawed.wait)

    def thaw(self) -> None:
        """Let it go on."""
        self._thawed.set()

    def kill(self) -> None:
        """End it even where it hangs; what came in meanwhile is not delivered."""
        if self._thread is not None and self._loop is not None and self._leave is not None:
            self._loop.call_soon_threadsafe(self._leave.set)
        self.thaw()
        self.stop()


class Proxy:
    """Forward TCP connections from a port of its own to `target`, and break them on demand.

    `bytes_per_second` throttles what goes to the target (the device's uplink); None does not. `forwarded` counts the
    bytes that went to the target.
    """

    def __init__(self, target: int, *, bytes_per_second: int | None = None) -> None:
        self._target = target
        self._rate = bytes_per_second
        self._listener = socket.create_server((HOST, 0))
        self._lock = threading.Lock()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._threads: list[threading.Thread] = []
        self._open = True
        self._dead: set[socket.socket] = set()
        self.forwarded = 0
        self.port: int = self._listener.getsockname()[1]
        self._begin(self._accept)

    @property
    def url(self) -> str:
        return f"mqtt://{HOST}:{self.port}"

    def cut(self) -> None:
        """Break every connection without a goodbye; new ones are accepted at once."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                # shutdown wakes the thread that reads; close alone does not.
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def bury(self) -> None:
        """Forward nothing more on the connections that there are, and tell neither end: each believes itself connected.

        So it is when a router forgets a connection, or a cable is pulled beyond it. New connections work.
        """
        with self._lock:
            self._dead |= {end for pair in self._pairs for end in pair}

    def close(self) -> None:
        """Break every connection and accept no more."""
        self._open = False
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _begin(self, work: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=work, args=arguments, name="proxy", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while self._open:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection((HOST, self._target))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._pairs.append((near, far))
            ends = threading.Barrier(2)
            self._begin(self._pump, near, far, self._rate, ends, True)
            self._begin(self._pump, far, near, None, ends, False)

    def _pump(
        self, source: socket.socket, sink: socket.socket, rate: int | None, ends: threading.Barrier, outward: bool
    ) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536 if rate is None else max(1, min(65536, rate // 20))):
                if sink in self._dead:
                    continue
                sink.sendall(data)
                if outward:
                    self.forwarded += len(data)
                if rate is not None:
                    time.sleep(len(data) / rate)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        # Neither thread may close a socket that the other still reads: its number could belong to a newer one.
        ends.wait()
        source.close()
