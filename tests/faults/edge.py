"""The receiver at the edge: slow senders, a flood of refusals, restarts under load; prints the figures.

    .venv/bin/python -m tests.faults.edge [--slow 1000] [--seconds 12]

Sender, slow senders and receiver share the machine, so the times are upper bounds. The exit status is 1 if a normal request
was not answered 202, or a slow sender was not cut.
"""

from __future__ import annotations

import argparse
import resource
import selectors
import socket
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tests.acceptance.receiving import Receiver, body_of, path_of
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Callable

SENDERS = 4
PACE_S = 0.01
CUT_WITHIN_S = 20.0


@dataclass(slots=True)
class Seen:
    """What was sent and what came back. Times are in seconds."""

    what: str
    slow: int = 0
    cut: int = 0
    longest_slow: float = 0.0
    refused: int = 0
    times: list[float] = field(default_factory=list)

    @property
    def answered(self) -> int:
        return len(self.times)

    def line(self) -> str:
        """One line of the table."""
        ordered = sorted(self.times) or [0.0]
        p50, p99, most = (ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 for part in (0.5, 0.99, 1))
        figures = f"{self.answered} answered 202, {self.refused} not; p50 {p50:.1f} ms, p99 {p99:.1f} ms, max {most:.1f} ms"
        if self.slow:
            figures += f"; {self.cut} of {self.slow} slow sockets cut, the last after {self.longest_slow:.1f} s"
        return f"{self.what}: {figures}"


def deliver(port: int, number: int, timeout: float = 10.0) -> int:
    """One delivery on a connection of its own; its status, 0 for none."""
    body = body_of(number)
    head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=timeout) as link:
            link.sendall(head.encode() + body)
            answer = link.recv(65_536)
    except OSError:
        return 0
    return int(answer[9:12]) if answer.startswith(b"HTTP/1.1 ") else 0


class Senders:
    """Threads that deliver until they are told to stop."""

    def __init__(self, port: int, seen: Seen) -> None:
        self._port = port
        self._seen = seen
        self._over = threading.Event()
        self._turn = threading.Lock()
        self._number = 0
        self._threads = [threading.Thread(target=self._run) for _ in range(SENDERS)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while not self._over.wait(PACE_S):
            with self._turn:
                self._number += 1
                number = self._number
            began = time.monotonic()
            status = deliver(self._port, number)
            with self._turn:
                if status == 202:
                    self._seen.times.append(time.monotonic() - began)
                else:
                    self._seen.refused += 1


def _beginnings() -> tuple[bytes, ...]:
    head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\n".encode()
    return b"", head[:20], head, head + b"Content-Length: 900\r\n\r\n{", head + b"Transfer-Encoding: chunked\r\n\r\n384\r\n{"


def slow_senders(receiver: Receiver, *, slow: int, seconds: float) -> Seen:
    """Normal deliveries beside `slow` sockets that begin a request in one of five ways and then send a byte a second."""
    seen = Seen(f"{slow} slow sockets", slow=slow)
    waiting = selectors.DefaultSelector()
    begun: dict[socket.socket, float] = {}
    beginnings = _beginnings()
    for number in range(slow):
        link = socket.create_connection(("127.0.0.1", receiver.port), timeout=10)
        link.sendall(beginnings[number % len(beginnings)])
        link.setblocking(False)
        waiting.register(link, selectors.EVENT_READ, link)
        begun[link] = time.monotonic()
    ends = time.monotonic() + seconds
    last = time.monotonic() + CUT_WITHIN_S
    with Senders(receiver.port, seen):
        dripped = time.monotonic()
        while (begun or time.monotonic() < ends) and time.monotonic() < last:
            for key, _ in waiting.select(0.1):
                link = key.data
                if _over(link):
                    waiting.unregister(link)
                    seen.longest_slow = max(seen.longest_slow, time.monotonic() - begun.pop(link))
                    seen.cut += 1
                    link.close()
            if time.monotonic() - dripped >= 1:
                dripped = time.monotonic()
                for link in tuple(begun):
                    _drip(link)
    for link in begun:
        link.close()
    waiting.close()
    return seen


def _over(link: socket.socket) -> bool:
    """Whether the other side has ended the connection; what it said before is read and forgotten."""
    try:
        return not link.recv(65_536)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _drip(link: socket.socket) -> None:
    try:
        link.send(b"x")
    except OSError:
        return


def rolling_restart(directory: Path, redis_url: str, *, restarts: int) -> Seen:
    """Deliveries while a new receiver takes the place of the old one, time and again, on one listening socket."""
    seen = Seen(f"{restarts} rolling restarts")
    with socket.create_server(("127.0.0.1", 0), backlog=512) as shared:
        shared.set_inheritable(True)
        running = Receiver(directory, redis_url, shared=shared)
        running.__enter__()
        with Senders(running.port, seen):
            for _ in range(restarts):
                fresh = Receiver(directory, redis_url, shared=shared)
                _until_started(fresh)
                running.__exit__()
                running = fresh
        running.__exit__()
    return seen


def _until_started(receiver: Receiver) -> None:
    """Waits for its first admission: a health question on the shared socket might be answered by the old one."""
    ends = time.monotonic() + 20
    while "delivery.admitted" not in receiver.log:
        assert receiver.process.poll() is None, receiver.log
        assert time.monotonic() < ends, "the new receiver admits nothing"
        time.sleep(0.02)


def flood(receiver: Receiver, *, seconds: float) -> tuple[int, int]:
    """Requests with a wrong token as fast as they go, in `SENDERS` threads; how many, and the lines that they made."""
    before = receiver.log.count("\n")
    ends = time.monotonic() + seconds
    counts = [0] * SENDERS

    def send(place: int) -> None:
        import httpx  # noqa: PLC0415 - only here

        with httpx.Client(base_url=receiver.url, trust_env=False) as client:
            while time.monotonic() < ends:
                client.post(f"/hooks/capsule/nobody{counts[place]}/token", content=b"{}")
                counts[place] += 1

    _all(lambda place: threading.Thread(target=send, args=(place,)))
    return sum(counts), receiver.log.count("\n") - before


def _all(make: Callable[[int], threading.Thread]) -> None:
    threads = [make(place) for place in range(SENDERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def main() -> int:
    """Runs everything and prints a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--slow", type=int, default=1_000)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--restarts", type=int, default=10)
    told = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * told.slow + 256
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)), hard))
    results: list[Seen] = []
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder) / "valkey") as server:
        options = ("--loop", "uvloop", "--log-level", "warning", "--no-access-log")
        with Receiver(Path(folder), server.url, *options) as receiver:
            alone = Seen("nobody else")
            with Senders(receiver.port, alone):
                time.sleep(3)
            results.append(alone)
            results.append(slow_senders(receiver, slow=told.slow, seconds=told.seconds))
            sent, lines = flood(receiver, seconds=5)
        results.append(rolling_restart(Path(folder), server.url, restarts=told.restarts))
    for seen in results:
        print(seen.line())
    print(f"flood of wrong tokens: {sent} requests in 5 s made {lines} log lines")
    return int(any(seen.refused or seen.cut < seen.slow for seen in results))


if __name__ == "__main__":
    sys.exit(main())
