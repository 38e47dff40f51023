"""A server of bare sockets that does to one request what no framework would: stalls, cuts, lies about lengths."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP answer of JSON."""
    lines = (
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    )
    return "\r\n".join((*lines, "", "")).encode() + body


class Peer:
    """Listens on loopback and hands each connection's first request to `act`, then closes it.

    `act(link, head)` gets the socket and what was received up to the end of the headers. `closing` is set at the end, for
    those that stall.
    """

    def __init__(self, act: Callable[[socket.socket, bytes], None]) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.heads: list[bytes] = []
        self.closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.closing.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def stall(self) -> None:
        """Waits until the end of the test."""
        self.closing.wait(10)

    def _accept(self) -> None:
        while not self.closing.is_set():
            try:
                link, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(link,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, link: socket.socket) -> None:
        with link, contextlib.suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                received = link.recv(65536)
                if not received:
                    return
                head += received
            self.heads.append(head)
            self._act(link, head)
