"""A connection to Redis for many calls at a time: commands go out as they come, answers are handed back in their order.

redis-py makes the connection (TLS, AUTH, SELECT). The commands then go past it: its own way of making one call takes ten times
as long as the rest of an admission, and the receiver needs none of what it does there (DECISIONS.md).
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, cast

import hiredis

if TYPE_CHECKING:
    from redis.asyncio import ConnectionPool


class Cut(Exception):
    """The connection ended before the answer came: the call may have been made or not."""


class Late(Exception):
    """The answer did not come in time: the call may have been made or not, or may still be."""


class Line(asyncio.Protocol):
    """One connection. Whoever finds it `closed` makes another."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        # The writer is kept, since it closes the transport when nobody holds it any more.
        self._writer = writer
        self._transport = cast("asyncio.Transport", writer.transport)
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self.closed = False
        self._transport.set_protocol(self)

    async def ask(self, command: bytes, *, ends: float) -> object:
        """The answer to a packed command; one that is an error is returned like any other (`hiredis.ReplyError`).

        `ends` is the time of the event loop's clock at which to give up. The connection is given up with it: later answers
        could not be told from the one that is still to come.

        Raises:
            Cut: the connection ended.
            Late: there was no answer in time.
        """
        answer: asyncio.Future[object] = self._loop.create_future()
        self._waiting.append(answer)
        self._transport.write(command)
        timer = self._loop.call_at(ends, self._late, answer)
        try:
            return await answer
        finally:
            timer.cancel()

    def close(self) -> None:
        """Ends the connection; calls that wait for an answer end with Cut."""
        self.closed = True
        self._transport.abort()

    def data_received(self, data: bytes) -> None:
        """Hands back the answers that are whole."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not False:
                answer = self._waiting.popleft()
                if not answer.done():
                    answer.set_result(reply)
        except (hiredis.ProtocolError, IndexError):
            # What answers there is no Redis, or one that answers what nobody asked.
            self.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncio's form; why it ended changes nothing
        """Tells all who wait."""
        self.closed = True
        while self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_exception(Cut())

    def _late(self, answer: asyncio.Future[object]) -> None:
        if not answer.done():
            answer.set_exception(Late())
        self.close()


async def connect(pool: ConnectionPool) -> Line:
    """A new connection with the settings of `pool`.

    Raises:
        redis.exceptions.RedisError: it could not be made, or was refused.
    """
    connection = cast("Any", pool).make_connection()
    await connection.connect()
    # redis-py has no public way to hand over what it has made. A test asserts that these names are there.
    writer = connection._writer  # noqa: SLF001 - see above
    connection._writer = connection._reader = None  # noqa: SLF001 - it is ours now, and must not be closed with its maker
    return Line(writer)
