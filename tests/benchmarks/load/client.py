"""The load where wrk is not installed: `python -m tests.benchmarks.load.client URL CONNECTIONS SECONDS RECORDS DISTINCT FIRST`.

It takes more of its core than wrk does, so beside it a fast server looks slower than it is.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit

import uvloop


class Sender(asyncio.Protocol):
    """One connection: a delivery, its answer, the next delivery."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._transport: asyncio.Transport | None = None
        self._answer = b""
        self._sent = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._next()

    def _next(self) -> None:
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._source.request())

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, end, rest = self._answer.partition(b"\r\n\r\n")
        if not end:
            return
        length = next((int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if len(rest) < length:
            return
        self._answer = b""
        self._source.answered(head.split(b" ", 2)[1], time.perf_counter() - self._sent)
        if not self._source.over:
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form
        if not self._source.over:
            self._source.refused += 1


class Source:
    """Makes the requests and counts the answers."""

    def __init__(self, url: str, *, records: int, distinct: bool, first: int) -> None:
        parts = urlsplit(url)
        self.host, self.port = parts.hostname or "", parts.port or 80
        self._head = f"POST {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\nContent-Type: application/json\r\n"
        self._records = records
        self._distinct = distinct
        self._id = first
        self._ready = b"" if distinct else self._make()
        self.times: list[float] = []
        self.refused = 0
        self.over = False

    def request(self) -> bytes:
        return self._ready or self._make()

    def _make(self) -> bytes:
        items = ",".join(f'{{"id":{number}}}' for number in range(self._id, self._id + self._records))
        if self._distinct:
            self._id += self._records
        body = f'{{"event":"party/updated","payload":[{items}]}}'
        return f"{self._head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    def answered(self, status: bytes, seconds: float) -> None:
        if status == b"202":
            self.times.append(seconds)
        else:
            self.refused += 1


async def main(connections: int, seconds: float, source: Source) -> None:
    """Sends, and prints one JSON line."""
    loop = asyncio.get_running_loop()
    began = time.perf_counter()
    made = [await loop.create_connection(lambda: Sender(source), source.host, source.port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    source.over = True
    took = time.perf_counter() - began
    for transport, _ in made:
        transport.close()
    times = sorted(source.times) or [0.0]
    told = {"deliveries": len(source.times), "refused": source.refused, "seconds": round(took, 4)}
    p50, p99 = (round(times[len(times) * share // 100] * 1000, 3) for share in (50, 99))
    print(json.dumps(told | {"p50": p50, "p99": p99}))


if __name__ == "__main__":
    address, number, length, each, distinct, first = sys.argv[1:]
    told = Source(address, records=int(each), distinct=distinct == "1", first=int(first))
    uvloop.run(main(int(number), float(length), told))
