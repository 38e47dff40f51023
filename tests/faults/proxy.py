"""A small TCP proxy that fails on purpose: it stands between the relay and Redis, or between the relay and a vendor."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

Mode = Literal["pass", "refuse", "stall", "lose answers"]
CHUNK = 1 << 16


class Proxy:
    """Passes connections on to `target` (a port of loopback) from a port of its own, in a thread of its own.

    `pass`: as if it were not there. `refuse`: no new connection is accepted, and those that exist are ended. `stall`: nothing
    moves, and nothing is ended. `lose answers`: requests arrive, and the first answer after them ends the connection instead.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.port = 0
        self.ended = 0
        self._mode: Mode = "pass"
        self._loop = asyncio.new_event_loop()
        self._go = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._server: asyncio.Server | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._call(self._listen())
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def cut(self) -> int:
        """Ends every connection now; new ones are passed. Returns how many there were."""
        return int(self._call(self._cut()))

    def switch(self, mode: Mode) -> None:
        """Behaves so from now on."""
        self._call(self._switch(mode))

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_forever()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        self._go.set()
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close(self) -> None:
        if self._server is not None:
            self._server.close()
        await self._cut()
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _cut(self) -> int:
        pairs, self._pairs = self._pairs, set()
        for pair in pairs:
            for writer in pair:
                writer.transport.abort()
        self.ended += len(pairs)
        return len(pairs)

    async def _switch(self, mode: Mode) -> None:
        if mode == "refuse" and self._server is not None:
            self._server.close()
            self._server = None
            await self._cut()
        elif mode != "refuse" and self._server is None:
            await self._listen()
        self._mode = mode
        if mode == "stall":
            self._go.clear()
        else:
            self._go.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._go.wait()
        try:
            there = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there[1])
        self._pairs.add(pair)
        ways = [
            asyncio.create_task(self._pump(reader, there[1], answers=False)),
            asyncio.create_task(self._pump(there[0], writer, answers=True)),
        ]
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        self._pairs.discard(pair)
        # In order: an answer that was passed on must not be thrown away with the connection.
        for one in pair:
            one.close()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._go.wait()
                if answers and self._mode == "lose answers":
                    self.ended += 1
                    return
                writer.write(data)
                await writer.drain()
