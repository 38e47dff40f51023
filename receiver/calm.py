"""Has uvicorn look once a second, and at once after a signal, whether it is to end; by itself it looks ten times a second.

That is a good part of what an idle receiver costs, and uvicorn has no setting for it. So its loop is exchanged; a test asserts
that what is read of it here is still there in the pinned version. The console
has the same in `workers/console/calm.py`, since the two sides share nothing that runs.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from typing import TYPE_CHECKING

from uvicorn import server

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType


def calm() -> None:
    """Exchanges the loop of the server that is about to run."""
    server.Server.main_loop = main_loop  # type: ignore[method-assign]


async def main_loop(self: server.Server) -> None:
    """Until the server is to end. Its second begins with that of all other processes of this machine, and a moment later."""
    woken = asyncio.Event()
    if threading.current_thread() is threading.main_thread():
        for number in server.HANDLED_SIGNALS:
            signal.signal(number, _waking(signal.getsignal(number), asyncio.get_running_loop(), woken))
    while not await self.on_tick(0):
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.005 - time.monotonic() % 1):
                await woken.wait()


def _waking(handler: object, loop: asyncio.AbstractEventLoop, woken: asyncio.Event) -> Callable[[int, FrameType | None], None]:
    def told(number: int, frame: FrameType | None) -> None:
        if callable(handler):
            handler(number, frame)
        loop.call_soon_threadsafe(woken.set)

    return told
