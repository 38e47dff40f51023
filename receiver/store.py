"""Redis as the receiver sees it: scripts that answer soon, or an error that says it is away.

Nothing here waits longer than CALL_S, whatever Redis does (refuses, hangs, is loading, is out of memory, is a replica):
the sender is told 503 and comes again, which is worth more than a connection that stays open.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from typing import TYPE_CHECKING, Final, Protocol, cast

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Unreachable
from redis.exceptions import NoScriptError, RedisError

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

CALL_S: Final = 0.7
"""Seconds that one call may take, connecting included. Two of them fit into the 2 s within which a delivery is answered:
the one that was under way when it came, and its own."""
MOST_CONNECTIONS: Final = 8
"""Per process: one for admissions, one for counters, one for readiness, one for letters; the rest is room."""

_CODE: Final = re.compile(r"[A-Z]{2,}")


class StoreAway(Exception):
    """Redis did not do it, as far as we know: answer 503. `reason` is a word or two without any data."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"Redis does not answer: {reason}")
        self.reason = reason


class _Client(Protocol):
    """The two methods of redis-py's asynchronous client that are used; it types them for both of its worlds at once."""

    async def execute_command(self, *words: str | bytes | int) -> object: ...

    async def aclose(self) -> None: ...


class Store:
    """The receiver's connections to Redis, and the scripts that it calls by name."""

    def __init__(self, url: str, scripts: Mapping[str, str]) -> None:
        # One try more when a connection turns out to be cut, as after a restart of Redis; none after a time-out.
        # RESP2: the newer protocol only adds greetings that we have no use for.
        client = Redis.from_url(
            url,
            protocol=2,
            socket_timeout=CALL_S,
            socket_connect_timeout=CALL_S,
            max_connections=MOST_CONNECTIONS,
            retry=Retry(NoBackoff(), 1, supported_errors=(Unreachable,)),
        )
        self._client = cast("_Client", client)
        self._texts = dict(scripts)
        self._shas = {
            name: hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()  # Redis names scripts by their SHA-1.
            for name, text in scripts.items()
        }

    async def script(self, name: str, *arguments: str | bytes | int) -> object:
        """Runs a script, and gives it to Redis first if it does not know it (after a restart).

        Raises:
            StoreAway: no answer, or an error, within CALL_S.
        """
        return await self._within(self._script(name, arguments))

    async def _script(self, name: str, arguments: tuple[str | bytes | int, ...]) -> object:
        try:
            return await self._client.execute_command("EVALSHA", self._shas[name], 0, *arguments)
        except NoScriptError:
            return await self._client.execute_command("EVAL", self._texts[name], 0, *arguments)

    async def ping(self) -> None:
        """Asks for a sign of life.

        Raises:
            StoreAway: there was none within CALL_S.
        """
        await self._within(self._client.execute_command("PING"))

    async def close(self) -> None:
        """Ends all connections."""
        await self._client.aclose()

    @staticmethod
    async def _within(call: Coroutine[None, None, object]) -> object:
        # A task of its own, from which we turn away when its time is over: asyncio.timeout around the call would rely on
        # the cancellation getting through the client, and Python 3.11's wait_for, which redis-py uses, can swallow one.
        task = asyncio.create_task(call)
        try:
            await asyncio.wait((task,), timeout=CALL_S)
            if not task.done():
                raise StoreAway("no answer in time")
            return task.result()
        except (RedisError, OSError) as error:
            raise StoreAway(_reason(error)) from None
        finally:
            if not task.done():
                task.add_done_callback(_forget)
                task.cancel()


def _forget(task: asyncio.Task[object]) -> None:
    """Takes note of how an abandoned call ended, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _reason(error: Exception) -> str:
    """The kind of error and Redis' own code for it, if it gave one; never the rest of the text, which may hold data."""
    code = _CODE.match(str(error))
    return type(error).__name__ + (f" {code[0]}" if code else "")
