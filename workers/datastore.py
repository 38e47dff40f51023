"""The data store as `up` keeps it: the embedded server with its port, its orphans, its clean stop, or the one of REDIS_URL."""

from __future__ import annotations

import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis

from mapping.agenda import key
from mapping.scripts import SCRIPTS
from workers.embedded import EmbeddedServer, EmbeddedServerFailed, free_port
from workers.supervise import FIRST_PAUSE, LONGEST_PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from workers.settings import Settings
    from workers.supervise import Guard, Screen

CLEAN_STOP: Final = key("clean_stop")
BORN: Final = key("born")
FSYNC_MS: Final = 3000  # the append-only file reaches the disk every second
PORT_FILE: Final = "redis-port"
ORPHAN_SECONDS: Final = 5.0
SOCKET_SECONDS: Final = 5.0
AWAY: Final = (OSError, hiredis.HiredisError, ValueError)  # it is gone, it refuses, or it is no data store


class UpFailed(Exception):
    """`up` could not start. `hint` is what the person at the terminal can do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def find_redis(settings: Settings) -> str:
    """The address of the data store: REDIS_URL, else that of the embedded server that `up` runs over the same data.

    Raises:
        UpFailed: there is no REDIS_URL and no `up` is running here.
    """
    if settings.redis_url is not None:
        return settings.redis_url
    port = _noted_port(settings.data_dir)
    if port is None or not listens("127.0.0.1", port):
        raise UpFailed(f"no relay is running over the data in {settings.data_dir}", "Start `capsule-relay up`, or set REDIS_URL.")
    return f"redis://127.0.0.1:{port}/0"


class DataStore:
    """The data store as `up` sees it: somebody else's by its URL, or the embedded one, which is ours to keep alive."""

    def __init__(self, settings: Settings, guard: Guard, screen: Screen) -> None:
        self._settings = settings
        self._guard = guard
        self._screen = screen
        self._server: EmbeddedServer | None = None
        self._pause = FIRST_PAUSE
        self._next_start = 0.0

    def start(self) -> str:
        """Returns the address of the data store, once it answers."""
        if self._settings.redis_url is not None:
            return self._settings.redis_url
        _end_orphan(self._settings.data_dir, self._screen)
        port = _noted_port(self._settings.data_dir)
        if port is None or listens("127.0.0.1", port):
            port = free_port()
        # The server changes into its folder before it opens its files, so the folder's whole name is needed.
        self._server = EmbeddedServer(self._settings.data_dir.resolve() / "valkey", port=port)
        empty = not self._server.has_data
        self._server.start()
        (self._settings.data_dir / PORT_FILE).write_text(f"{port}\n", encoding="ascii")
        self._tell_guard(self._server)
        if empty:
            # Nobody has ever written through this data, so no write can be under way (reference/agenda.md §9.4).
            self._note_clean_stop(before_ms=self._settings.window_ms + 1)
        self._use_clean_stop()
        return self._server.url

    @property
    def well(self) -> bool:
        """Whether nothing is to be done for it: it runs, or is not ours."""
        return self._server is None or (self._server.process is not None and self._server.process.poll() is None)

    def tend(self) -> None:
        """Starts the embedded server again, over the same data and on the same port, if it died."""
        server = self._server
        if server is None or server.process is None or server.process.poll() is None or time.monotonic() < self._next_start:
            return
        self._screen.line("up", "the embedded data store ended; starting it again over the same data")
        try:
            server.start()
            self._pause = FIRST_PAUSE
            self._tell_guard(server)
        except EmbeddedServerFailed as error:
            self._screen.line("up", f"{error} Next attempt in {self._pause:g} s.")
            self._next_start = time.monotonic() + self._pause
            self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def stop(self) -> None:
        """Notes the clean stop and ends the embedded server. A store that is not ours stays as it is.

        It is noted when every process that writes downstream has ended, killed or not: what those had under way may still
        land, and the stray window, which then counts from this moment, covers it.
        """
        if self._server is None:
            return
        if self._server.process is not None and self._server.process.poll() is None:
            self._note_clean_stop()
        self._server.stop()
        self._guard.last(None)

    def _use_clean_stop(self) -> None:
        """Takes the mark away, and lets it count only once its being gone is on the disk.

        Otherwise a power cut within the next second would bring it back together with older data (model: guard `clean_stop`).
        """
        if self._server is None:
            return
        with contextlib.suppress(*AWAY), _asking(self._server.port) as ask:
            ask("EVAL", SCRIPTS["hello"], 0)
            written = ask("WAITAOF", 1, 0, FSYNC_MS)
            if not (isinstance(written, list) and written[0] == 1):
                ask("DEL", BORN)
                ask("EVAL", SCRIPTS["hello"], 0)

    def _tell_guard(self, server: EmbeddedServer) -> None:
        if server.process is not None:
            self._guard.last(server.process.pid)

    def _note_clean_stop(self, *, before_ms: int = 0) -> None:
        if self._server is None:
            return
        # Without a note the next start is more careful than it need be, and nothing else; so a failure ends nothing.
        with contextlib.suppress(*AWAY), _asking(self._server.port) as ask:
            seconds, micros = map(int, ask("TIME"))
            ask("SET", CLEAN_STOP, seconds * 1000 + micros // 1000 - before_ms)


def _noted_port(data_dir: Path) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        return int((data_dir / PORT_FILE).read_text(encoding="ascii"))
    return None


def _end_orphan(data_dir: Path, screen: Screen) -> None:
    """Ends an embedded server over our data that has outlived both its parent and the guard: two must never write there."""
    port = _noted_port(data_dir)
    if port is None or not listens("127.0.0.1", port):
        return
    with contextlib.suppress(*AWAY), _asking(port) as ask:
        _, directory = ask("CONFIG", "GET", "dir")
        if os.path.realpath(directory) == os.path.realpath(os.fsencode(data_dir / "valkey")):
            screen.line("up", "ending the data store that an earlier run has left behind")
            with contextlib.suppress(ConnectionError):
                ask("SHUTDOWN", "NOSAVE")  # it ends instead of answering
            deadline = time.monotonic() + ORPHAN_SECONDS
            while listens("127.0.0.1", port) and time.monotonic() < deadline:
                time.sleep(0.05)


@contextlib.contextmanager
def _asking(port: int) -> Iterator[Callable[..., Any]]:
    """A few words with a server on this machine. To load a client for them would be a third of the way to the first start.

    Raises:
        OSError, hiredis.HiredisError: those of AWAY, as the function that this gives does.
    """
    with socket.create_connection(("127.0.0.1", port), timeout=SOCKET_SECONDS) as link:
        reader = hiredis.Reader()

        def ask(*words: str | int) -> Any:  # noqa: ANN401 - each command answers in its own shape
            link.sendall(hiredis.pack_command(cast("tuple[Any, ...]", words)))
            while (answer := reader.gets()) is False:  # not there as a whole yet
                if not (more := link.recv(65_536)):
                    raise ConnectionError("the data store ended the connection")
                reader.feed(more)
            if isinstance(answer, hiredis.HiredisError):
                raise answer
            return answer

        yield ask


def listens(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
