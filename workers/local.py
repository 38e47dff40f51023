"""`capsule-relay up`: the whole of Capsule Relay on one machine.

Starts the data store (the embedded one, unless REDIS_URL is set), then the receiver, the workers and the clock, and starts
again what dies. SIGTERM, SIGHUP or Ctrl-C end everything in order: no new deliveries, no new work, the work under way, then
a note in the data store that the stop was clean, then the data store. A second Ctrl-C ends everything at once.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import select
import signal
import socket
import sys
import time
from typing import TYPE_CHECKING, Final

from workers.datastore import DataStore, UpFailed, listens
from workers.supervise import Child, Guard, Program, Screen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path
    from types import FrameType

    from workers.settings import Settings

TICK: Final = 0.1
# How long `up` sleeps when all runs: a child's end or a signal wakes it.
REST: Final = 5.0
# How long the others leave the processors to the receiver at the start. A delivery cannot wait; work that waits is kept.
HEAD_START: Final = 2.0
# How long a start waits for the guard of a killed run to end that run's processes.
PREDECESSOR_SECONDS: Final = 20.0
ORDER: Final = (("web", "console"), ("clock",), ("worker", "solo"))


def programs(settings: Settings, environ: Mapping[str, str]) -> tuple[Program, ...]:
    """The processes of the Procfile, with `environ` and the place of the data store in their environment."""
    python = sys.executable

    def dramatiq(threads: int, *lanes: str) -> tuple[str, ...]:
        # -Q takes every word after it, so it stands behind the broker (reference/agenda.md §9.6). A master waits for its child
        # to be ready before it looks whether it lives, 30 s by default, which only matters to fork processes; we have none.
        return (
            *(python, "-m", "dramatiq", "workers.main:setup", "--processes", "1", "--threads", str(threads)),
            *("--skip-logging", "--worker-fork-timeout", "500", "--worker-shutdown-timeout", "25000", "-Q", *lanes),
        )

    def tuned(threads: int) -> dict[str, str]:
        # As many messages in memory as threads to run them, and half a second between attempts to reach Redis (A11).
        return {**environ, "dramatiq_queue_prefetch": str(threads), "dramatiq_restart_delay": "500"}

    web = (
        *(python, "-m", "uvicorn", "--factory", "receiver.main:app"),
        *("--host", settings.web_host, "--port", str(settings.web_port)),
        *("--loop", "uvloop", "--http", "receiver.protocol:HookProtocol", "--log-level", "warning"),
        *("--no-access-log", "--no-server-header", "--no-proxy-headers"),
        *("--timeout-keep-alive", "30", "--timeout-graceful-shutdown", "20"),
    )
    console = (
        *(python, "-m", "uvicorn", "--factory", "workers.console.main:app"),
        *("--host", settings.console.host, "--port", str(settings.console_port), "--log-level", "warning"),
        *("--no-access-log", "--no-server-header", "--no-proxy-headers", "--timeout-graceful-shutdown", "5"),
    )
    return (
        Program(name="web", command=web, stop_seconds=25, environ=environ),
        Program(name="worker", command=dramatiq(16, "live", "bulk"), stop_seconds=30, environ=tuned(16)),
        Program(name="solo", command=dramatiq(1, "solo"), stop_seconds=30, environ=tuned(1)),
        Program(name="console", command=console, stop_seconds=10, environ=environ),
        Program(name="clock", command=(python, "-m", "workers", "clock"), stop_seconds=10, environ=environ),
    )


def up(settings: Settings, environ: Mapping[str, str]) -> int:
    """Runs everything until it is told to stop. Returns 0 after a clean stop, 1 when something had to be killed.

    Raises:
        UpFailed: the data is in use, or a port is.
        EmbeddedServerFailed: the embedded server does not start.
    """
    # Before anything else, so that no moment is left in which a signal would end us without our children.
    signals = _Signals()
    settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(settings.data_dir, signals) as lock:
        guard = Guard(lock)
        try:
            return _run(settings, environ, guard, signals)
        finally:
            guard.dismiss()


def _run(settings: Settings, environ: Mapping[str, str], guard: Guard, signals: _Signals) -> int:
    screen = Screen(sys.stdout, ("up", *(name for step in ORDER for name in step)))
    _check_port("receiver", settings.web_host, settings.web_port, "RELAY_WEB_PORT")
    _check_port("console", settings.console.host, settings.console_port, "RELAY_CONSOLE_PORT")
    store = DataStore(settings, guard, screen)
    url = store.start()
    try:
        told = {**environ, "REDIS_URL": url, "PYTHONUNBUFFERED": "1"}
        if settings.log_format == "auto" and sys.stdout.isatty():
            # The children write to a pipe and cannot see that a person reads.
            told["RELAY_LOG_FORMAT"] = "text"
        children = {program.name: Child(program, guard, screen) for program in programs(settings, told)}
        try:
            _watch(settings, store, children, screen, signals)
        finally:
            clean = _end(children, screen, signals)
    finally:
        store.stop()
    screen.line("up", "stopped")
    return 0 if clean else 1


def _watch(settings: Settings, store: DataStore, children: Mapping[str, Child], screen: Screen, signals: _Signals) -> None:
    """Starts the children and what dies again, until a signal asks for the end."""
    announced = False
    began = time.monotonic()
    host = "127.0.0.1" if settings.web_host in {"0.0.0.0", "::"} else settings.web_host  # noqa: S104 - compared, not bound
    while not signals.asked:
        store.tend()
        for name, child in children.items():
            if name == "web" or announced or time.monotonic() - began > HEAD_START:
                child.tend()
        if not announced and listens(host, settings.web_port):
            announced = True
            screen.line("up", f"the receiver listens at http://{host}:{settings.web_port}; Ctrl-C stops everything")
            screen.line("up", f"the console is at {settings.console_base}")
        settled = announced and store.well and all(child.running for child in children.values())
        signals.wait(REST if settled else TICK)


def _end(children: Mapping[str, Child], screen: Screen, signals: _Signals) -> bool:
    """Ends the children in order. True when each of them ended by itself."""
    screen.line("up", "stopping: finishing the work under way (Ctrl-C again ends at once)")
    clean = True
    patience = max(1, signals.asked)

    def hurry() -> bool:
        return signals.asked > patience

    for step in ORDER:
        for name in step:
            children[name].ask_to_end()
        for name in step:
            deadline = time.monotonic() + children[name].program.stop_seconds
            clean = children[name].wait(deadline, hurry) and clean
    return clean


class _Signals:
    """Counts the signals that ask for an end. A handler only counts: it may run between any two steps of the program.

    Each signal, that of a child's end too, leaves a byte in a pipe, so none falls between a look and the wait that follows it.
    """

    def __init__(self) -> None:
        self.asked = 0
        self._woken, waker = os.pipe()
        os.set_blocking(waker, False)
        signal.set_wakeup_fd(waker, warn_on_full_buffer=False)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._ask)
        signal.signal(signal.SIGCHLD, lambda _, __: None)  # a signal without a handler leaves no byte

    def wait(self, seconds: float) -> None:
        """Until the next signal, or for `seconds`."""
        if select.select([self._woken], [], [], seconds)[0]:
            os.read(self._woken, 4096)

    def _ask(self, _: int, __: FrameType | None) -> None:
        self.asked += 1


@contextlib.contextmanager
def _locked(data_dir: Path, signals: _Signals) -> Iterator[int]:
    """Holds the lock on the data, and gives its file descriptor. The guard holds it too until the last child has ended."""
    with (data_dir / "lock").open("a+", encoding="ascii") as file:
        deadline = time.monotonic() + PREDECESSOR_SECONDS
        while not _try_lock(file.fileno()):
            file.seek(0)
            holder = file.read().strip()
            if holder.isdigit() and _alive(int(holder)):
                raise UpFailed(
                    f"another `capsule-relay up` (process {holder}) runs over the data in {data_dir}",
                    "Stop that one first, or set RELAY_DATA_DIR to another folder.",
                )
            if time.monotonic() > deadline or signals.asked:
                raise UpFailed(
                    f"processes of an earlier run still hold the data in {data_dir}",
                    "End them, or wait until they have ended.",
                )
            time.sleep(TICK)
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield file.fileno()
        # An empty file: should the guard still hold the lock for a moment, nobody takes a stranger with our number for us.
        file.truncate(0)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in {errno.EAGAIN, errno.EACCES}:
            return False
        raise
    return True


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _check_port(who: str, host: str, port: int, variable: str) -> None:
    """Says at once that a port is taken, instead of letting its process fail and start again for ever."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise UpFailed(
                f"the {who} cannot listen on {host}:{port}: {error.strerror}",
                f"Set {variable} to a free port, or end what uses this one.",
            ) from error
