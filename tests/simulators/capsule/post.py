"""A small HTTP client for deliveries over plain HTTP: connections are kept and used again, since a burst is thousands of posts.

Everything else (https) goes through httpx, which costs several times as much processor time for each post.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping

    Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]

TRANSPORT_SECONDS = 60.0  # a backstop: the real time-out is the limit delivery_timeout
LARGEST_ANSWER = 1 << 20


class Poster:
    """Posts bodies and says which status came back.

    Redirects are not followed, and nothing is sent a second time: a connection that ends under way is a failed attempt.

    Raises OSError or EOFError when the connection cannot be made or ends, ValueError for an answer that is not HTTP, and
    httpx.HTTPError for https; the caller bounds the time.
    """

    def __init__(self) -> None:
        self._idle: dict[tuple[str, int], deque[Connection]] = defaultdict(deque)
        self._client: httpx.AsyncClient | None = None

    async def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        """One post; its status."""
        parts = urlsplit(url)
        if parts.scheme != "http":
            return (await self._http().post(url, content=body, headers=dict(headers))).status_code
        address = (parts.hostname or "127.0.0.1", parts.port or 80)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {target} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        message = ("\r\n".join(lines) + "\r\n\r\n").encode() + body
        while self._idle[address]:
            reader, writer = self._idle[address].pop()
            if not reader.at_eof() and not writer.is_closing():
                return await self._exchange(address, (reader, writer), message)
            writer.close()
        return await self._exchange(address, await asyncio.open_connection(*address), message)

    async def close(self) -> None:
        """Close every connection."""
        for connections in self._idle.values():
            for _reader, writer in connections:
                writer.close()
        self._idle.clear()
        if self._client is not None:
            await self._client.aclose()
            self._client = None

    async def _exchange(self, address: tuple[str, int], connection: Connection, message: bytes) -> int:
        """Send a message and read its answer; the connection is kept when the answer's end is known."""
        reader, writer = connection
        keep = False
        try:
            writer.write(message)
            await writer.drain()
            status, keep = await _answer(reader)
        finally:
            if keep:
                self._idle[address].append(connection)
            else:
                writer.close()
        return status

    def _http(self) -> httpx.AsyncClient:
        """The client for https."""
        if self._client is None:
            self._client = httpx.AsyncClient(timeout=TRANSPORT_SECONDS, trust_env=False, follow_redirects=False)
        return self._client


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """The status of an answer, and whether the connection can be used again."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise ValueError("an answer without an end to its headers") from error
    first, *lines = head.decode("latin-1").split("\r\n")
    version, code, *_ = f"{first}  ".split(" ", 2)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines if line)}
    status = int(code)
    length = headers.get("content-length")
    if length is None or int(length) > LARGEST_ANSWER:
        return status, False
    await reader.readexactly(int(length))
    return status, version == "HTTP/1.1" and headers.get("connection", "").lower() != "close"
