"""The shorter way through uvicorn: what takes it, and what it spares."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from receiver.app import Receiver
from receiver.hooks import ACCEPTED, NOT_FOUND, TOO_LARGE, Hooks
from receiver.log import Refusals
from receiver.protocol import HookProtocol, wire
from receiver.tracing import Traces
from tests.unit.test_receiver_door import PATH, SETTINGS, Parts

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = json.dumps({"event": "party/updated", "payload": [{"id": 5}]}).encode()
HEAD = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n".encode()
WHOLE = HEAD + b"\r\n" + BODY


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.closed = False

    def write(self, data: Any) -> None:
        if not self.closed:  # as a transport does: nothing goes out behind the end
            self.writes.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def pause_reading(self) -> None:
        """Nothing is read here."""

    def resume_reading(self) -> None:
        """The same."""


class Line:
    """One connection to a receiver whose parts only take note."""

    def __init__(
        self,
        parts: Parts,
        *,
        wrapped: Callable[[Any], Any] = lambda app: app,
        made_by: type[HttpToolsProtocol] = HookProtocol,
        **settings: Any,
    ) -> None:
        noting: Any = parts
        hooks = Hooks(SETTINGS, admission=noting, letters=noting, counts=noting, refusals=Refusals(), traces=Traces())

        async def rest(*_: Any) -> None:
            raise AssertionError("not asked")

        self.state = ServerState()
        self.wire = Wire()
        config = Config(wrapped(Receiver(hooks, rest)), http=made_by, log_config=None, proxy_headers=False, **settings)
        self.protocol = made_by(config, self.state, {}, asyncio.get_running_loop())
        self.protocol.connection_made(self.wire)

    async def send(self, *pieces: bytes) -> list[bytes]:
        """What is written until nothing is left to do."""
        for piece in pieces:
            if not self.wire.closed:  # as a transport does: nothing is read after the end
                self.protocol.data_received(piece)
                await turns(1)
        await turns(10 * len(pieces) + 50)
        return self.wire.writes


async def turns(number: int) -> None:
    """Lets the loop turn so often."""
    for _ in range(number):
        await asyncio.sleep(0)


def on_a_line(story: Callable[[Line], Any], parts: Parts | None = None, **settings: Any) -> Any:
    async def told() -> Any:
        line = Line(parts or Parts(), **settings)
        try:
            return await story(line)
        finally:
            line.protocol.connection_lost(None)

    return asyncio.run(told())


def tasks_of(*pieces: bytes, **settings: Any) -> tuple[int, list[bytes]]:
    """How many tasks uvicorn made, and the first line of every answer."""

    async def story(line: Line) -> tuple[int, list[bytes]]:
        made: list[Any] = []
        line.protocol.loop = Noting(line.protocol.loop, made)  # type: ignore[assignment]
        written = b"".join(await line.send(*pieces))
        return len(made), [part.split(b"\r\n", 1)[0] for part in written.split(b"HTTP/1.1 ")[1:]]

    found: tuple[int, list[bytes]] = on_a_line(story, **settings)
    return found


class Noting:
    """A loop that notes the tasks that are made through it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, made: list[Any]) -> None:
        self._loop = loop
        self._made = made

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    def create_task(self, task: Any) -> Any:
        self._made.append(task)
        return self._loop.create_task(task)


def test_a_delivery_in_one_piece_makes_no_task_and_one_write() -> None:
    assert tasks_of(WHOLE) == (0, [b"202 Accepted"])
    parts = Parts()

    async def story(line: Line) -> list[bytes]:
        return await line.send(WHOLE)

    written = on_a_line(story, parts)
    assert parts.admitted == ["acme|party|5"]
    assert written == [b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\n\r\n"]


@pytest.mark.parametrize(
    ("pieces", "status"),
    [
        ((WHOLE[:-1], WHOLE[-1:]), b"202 Accepted"),
        ((HEAD + b"Expect: 100-continue\r\n\r\n" + BODY,), b"202 Accepted"),
        ((WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),), b"202 Accepted"),
        ((HEAD + b"Connection: upgrade\r\nUpgrade: h2c\r\n\r\n" + BODY,), b"202 Accepted"),
        ((WHOLE.replace(PATH.encode(), PATH.encode()[:-1] + b"_"),), b"404 Not Found"),
        ((WHOLE.replace(b"POST", b"PUT ", 1).replace(b"PUT  ", b"PUT "),), b"405 Method Not Allowed"),
    ],
    ids=["in two pieces", "100-continue", "HTTP/1.0", "an upgrade", "a wrong token", "PUT"],
)
def test_whatever_is_not_plain_takes_uvicorns_own_way(pieces: tuple[bytes, ...], status: bytes) -> None:
    made, answers = tasks_of(*pieces)
    assert made == 1
    assert answers[-1] == status


def in_between(app: Any) -> Any:
    """What stands between uvicorn and the application, as a middleware does."""

    async def middleware(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return middleware


@pytest.mark.parametrize("settings", [{"limit_concurrency": 100}, {"root_path": "/relay"}, {"wrapped": in_between}], ids=list)
def test_where_uvicorn_or_somebody_else_has_a_say_nothing_goes_past_them(settings: dict[str, Any]) -> None:
    made, _ = tasks_of(WHOLE, **settings)
    assert made == 1


def test_two_that_come_together_are_answered_one_after_the_other() -> None:
    assert tasks_of(WHOLE + WHOLE)[1] == [b"202 Accepted", b"202 Accepted"]


def test_a_connection_that_is_not_kept_is_closed_behind_the_answer() -> None:
    async def story(line: Line) -> tuple[list[bytes], bool]:
        return await line.send(HEAD + b"Connection: close\r\n\r\n" + BODY), line.wire.closed

    written, closed = on_a_line(story)
    assert written == [b"HTTP/1.1 202 Accepted\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"]
    assert closed


class Slow(Parts):
    """Admits when it is told to."""

    def submit(self, records: list[str], told: Callable[[Any], None], _: str = "") -> None:
        self.admitted += records
        self.told = told


def test_a_process_that_stops_answers_first_and_closes_then() -> None:
    parts = Slow()

    async def story(line: Line) -> None:
        assert await line.send(WHOLE) == []
        line.protocol.shutdown()
        assert not line.wire.closed
        parts.told(None)
        assert line.wire.writes[0].endswith(b"connection: close\r\n\r\n")
        assert line.wire.closed

    on_a_line(story, parts)


def test_a_sender_that_has_gone_is_not_written_to() -> None:
    parts = Slow()

    async def story(line: Line) -> None:
        await line.send(WHOLE)
        line.protocol.connection_lost(ConnectionResetError())
        line.wire.closed = True
        parts.told(None)
        assert line.wire.writes == []

    on_a_line(story, parts)


class Later(Parts):
    """Admits some turns of the loop after it was asked, as Redis does."""

    def submit(self, records: list[str], told: Callable[[Any], None], _: str = "") -> None:
        self.admitted += records
        asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, told, None)


# Without what is no HTTP at all: how much was answered before it is read, and the connection ended, is a matter of time.
REQUESTS = (
    WHOLE,
    WHOLE.replace(b'"id": 5', b'"id": 6'),
    WHOLE.replace(b"party/updated", b"tasks/updated"),
    WHOLE.replace(PATH.encode(), PATH.encode()[:-1] + b"_"),
    HEAD + b"Expect: 100-continue\r\n\r\n" + BODY,
    HEAD + b"Connection: close\r\n\r\n" + BODY,
    f"POST {PATH} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n{len(BODY):x}\r\n".encode() + BODY + b"\r\n0\r\n\r\n",
    f"POST {PATH} HTTP/1.1\r\nContent-Length: 5000\r\n\r\n{'x' * 5000}".encode(),
    f"POST {PATH} HTTP/1.1\r\n\r\n".encode(),
    WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"),
    WHOLE.replace(b"POST", b"PUT", 1),
)


@given(st.lists(st.sampled_from(REQUESTS), min_size=1, max_size=4), st.lists(st.floats(0, 1), max_size=4))
def test_however_requests_are_cut_both_ways_answer_alike(requests: list[bytes], cuts: list[float]) -> None:
    whole = b"".join(requests)
    places = sorted({round(cut * len(whole)) for cut in cuts} | {0, len(whole)})
    pieces = [whole[start:end] for start, end in itertools.pairwise(places)]

    async def story(line: Line) -> tuple[bytes, bool]:
        return b"".join(await line.send(*pieces)), line.wire.closed

    parts = Later(), Later()
    ours, theirs = (on_a_line(story, one, made_by=way) for one, way in zip(parts, (HookProtocol, HttpToolsProtocol), strict=True))
    assert ours == theirs
    assert parts[0].admitted == parts[1].admitted
    assert parts[0].counted == parts[1].counted


def test_the_wire_form_follows_uvicorns_headers() -> None:
    first, second = [(b"date", b"now")], [(b"date", b"later")]
    assert wire(ACCEPTED, first, close=False) == b"HTTP/1.1 202 Accepted\r\ndate: now\r\ncontent-length: 0\r\n\r\n"
    assert wire(ACCEPTED, first, close=False) is wire(ACCEPTED, first, close=False)
    assert b"date: later" in wire(ACCEPTED, second, close=False)
    assert wire(ACCEPTED, second, close=True).endswith(b"connection: close\r\n\r\n")
    assert wire(TOO_LARGE, first, close=True).count(b"connection: close") == 1
    assert wire(NOT_FOUND, first, close=False).endswith(b'\r\n\r\n{"error":"not found"}')
