"""uvicorn's loop, exchanged for one that wakes once a second: it still ends at once, and what it reads of uvicorn is there."""

from __future__ import annotations

import asyncio
import inspect
import os
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from uvicorn import server

import receiver.calm
import workers.console.calm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType, ModuleType

BOTH = pytest.mark.parametrize("module", [receiver.calm, workers.console.calm], ids=["receiver", "console"])


class Server:
    """What of uvicorn's server the loop asks."""

    def __init__(self) -> None:
        self.should_exit = False
        self.ticks: list[int] = []
        self.third = asyncio.Event()

    async def on_tick(self, counter: int) -> bool:
        self.ticks.append(counter)
        if len(self.ticks) == 3:
            self.third.set()
        return self.should_exit

    def handle_exit(self, _: int, __: FrameType | None) -> None:
        self.should_exit = True


@pytest.fixture
def made() -> Iterator[Server]:
    """A server that has taken the signals, as uvicorn's does before its loop begins."""
    one = Server()
    before = {number: signal.signal(number, one.handle_exit) for number in server.HANDLED_SIGNALS}
    yield one
    for number, handler in before.items():
        signal.signal(number, handler)


@BOTH
def test_a_signal_ends_it_at_once(module: ModuleType, made: Server) -> None:
    async def whole() -> float:
        # Just after a full second, so that a loop which waits for the next one is found out.
        await asyncio.sleep(1.01 - time.monotonic() % 1)
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), signal.SIGTERM)
        began = time.monotonic()
        await module.main_loop(made)
        return time.monotonic() - began

    assert asyncio.run(whole()) < 0.5
    assert made.should_exit


@BOTH
def test_it_looks_once_a_second_and_has_the_date_renewed_each_time(module: ModuleType, made: Server) -> None:
    async def whole() -> None:
        loop = asyncio.create_task(module.main_loop(made))
        began = time.monotonic()
        await made.third.wait()
        assert time.monotonic() - began > 1
        os.kill(os.getpid(), signal.SIGINT)
        await loop

    asyncio.run(whole())
    assert set(made.ticks) == {0}, "uvicorn renews the date at every tenth tick, counted from 0"


@BOTH
def test_outside_the_main_thread_there_are_no_signals_to_take(module: ModuleType, made: Server) -> None:
    made.should_exit = True
    thread = threading.Thread(target=lambda: asyncio.run(module.main_loop(made)))
    thread.start()
    thread.join(5)
    assert made.ticks == [0]


@BOTH
def test_what_is_read_of_uvicorn_is_there(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "await self.main_loop()" in inspect.getsource(server.Server._serve)
    assert "signal.signal(sig, self.handle_exit)" in inspect.getsource(server.Server.capture_signals)
    ticks: Any = inspect.getsource(server.Server.on_tick)
    assert "if counter % 10 == 0:" in ticks
    assert "return True" in ticks
    monkeypatch.setattr(server.Server, "main_loop", server.Server.main_loop)
    module.calm()
    assert server.Server.main_loop is module.main_loop
