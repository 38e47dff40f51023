"""Redis as the receiver sees it: scripts that answer soon, or an error that says it is away.

Nothing here waits longer than CALL_S, whatever Redis does (refuses, hangs, is loading, is out of memory, is a replica):
the sender is told 503 and comes again, which is worth more than a connection that stays open.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Any, Final, cast

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from receiver.line import Cut, Late, Line, connect

if TYPE_CHECKING:
    from collections.abc import Mapping

    Word = str | bytes | int

CALL_S: Final = 0.7
"""Seconds that one call may take, connecting included. Two of them fit into the 2 s within which a delivery is answered:
the one that was under way when it came, and its own."""

_CODE: Final = re.compile(r"[A-Z]{2,}")


class StoreAway(Exception):
    """Redis did not do it, as far as we know: answer 503. `reason` is a word or two without any data."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Redis does not answer: {reason}")
        self.reason = reason


class Store:
    """The receiver's connection to Redis, and the scripts that it calls by name."""

    def __init__(self, url: str, scripts: Mapping[str, str]) -> None:
        # RESP2: the newer protocol only adds greetings that we have no use for.
        self._pool = ConnectionPool.from_url(
            url, protocol=2, socket_timeout=CALL_S, socket_connect_timeout=CALL_S, retry=Retry(NoBackoff(), 0)
        )
        self._line: Line | None = None
        self._connecting: asyncio.Task[Line] | None = None
        self._texts = dict(scripts)
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # Redis names scripts by their SHA-1.
            for name, text in scripts.items()
        }

    async def script(self, name: str, *arguments: Word) -> object:
        """Runs a script, and gives it to Redis first if it does not know it (after a restart).

        Raises:
            StoreAway: no answer, or an error, within CALL_S.
        """
        ends = asyncio.get_running_loop().time() + CALL_S
        reply = await self._ask(ends, ("EVALSHA", self._shas[name], 0, *arguments))
        if isinstance(reply, hiredis.ReplyError) and str(reply).startswith("NOSCRIPT"):
            reply = await self._ask(ends, ("EVAL", self._texts[name], 0, *arguments))
        return _good(reply)

    async def ping(self) -> None:
        """Asks for a sign of life.

        Raises:
            StoreAway: there was none within CALL_S.
        """
        _good(await self._ask(asyncio.get_running_loop().time() + CALL_S, ("PING",)))

    async def close(self) -> None:
        """Ends the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
        if self._line is not None:
            self._line.close()

    async def _ask(self, ends: float, words: tuple[Word, ...]) -> object:
        command = hiredis.pack_command(cast("tuple[Any, ...]", words))
        try:
            try:
                return await (await self._connected(ends)).ask(command, ends=ends)
            except Cut:
                # One try more, as after a restart of Redis; none after a time-out. Each script may be run twice.
                return await (await self._connected(ends)).ask(command, ends=ends)
        except Late:
            raise StoreAway("no answer in time") from None
        except Cut:
            raise StoreAway("ConnectionError") from None

    async def _connected(self, ends: float) -> Line:
        """The connection, made if there is none; whoever comes meanwhile waits for the same one."""
        if self._line is not None and not self._line.closed:
            return self._line
        if self._connecting is None:
            self._connecting = asyncio.create_task(connect(self._pool))
            self._connecting.add_done_callback(self._made)
        # We turn away when the time is over: a cancellation can be swallowed on its way through the client by Python
        # 3.11's wait_for, which redis-py uses. Its own time-outs end the attempt.
        making = self._connecting
        await asyncio.wait((making,), timeout=ends - asyncio.get_running_loop().time())
        if not making.done():
            raise Late
        try:
            return making.result()
        except (RedisError, OSError) as error:
            raise StoreAway(_reason(error)) from None

    def _made(self, task: asyncio.Task[Line]) -> None:
        self._connecting = None
        # Asking for the exception is also what keeps asyncio from complaining that nobody did.
        if not task.cancelled() and task.exception() is None:
            self._line = task.result()


def _good(reply: object) -> object:
    """The reply, unless it is an error.

    Raises:
        StoreAway: it is one.
    """
    if isinstance(reply, hiredis.ReplyError):
        raise StoreAway(_reason(reply))
    return reply


def _reason(error: Exception) -> str:
    """The kind of error and Redis' own code for it, if it gave one; never the rest of the text, which may hold data."""
    code = _CODE.match(str(error))
    return type(error).__name__ + (f" {code[0]}" if code else "")
