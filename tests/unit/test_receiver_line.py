"""The receiver's own connection to Redis: answers in order, ends that are told, and what it takes over from redis-py."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import hiredis
import pytest
from redis.asyncio import ConnectionPool

from receiver.line import Cut, Late, Line, connect
from receiver.store import Store, StoreAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import redis

    from workers.embedded import EmbeddedServer


def on_line(url: str, story: Callable[[Line], Awaitable[None]]) -> None:
    async def told() -> None:
        line = await connect(ConnectionPool.from_url(url, protocol=2))
        try:
            await story(line)
        finally:
            line.close()

    asyncio.run(told())


def packed(*parts: str) -> bytes:
    """A command as it goes over the wire. hiredis declares a tuple of one part only."""
    command: bytes = hiredis.pack_command(parts)  # type: ignore[arg-type]
    return command


def soon() -> float:
    return asyncio.get_running_loop().time() + 5


def test_answers_come_back_in_the_order_of_their_calls_and_errors_among_them(server: EmbeddedServer, store: redis.Redis) -> None:
    async def story(line: Line) -> None:
        commands = [packed("INCR", "n") for _ in range(50)]
        commands.insert(20, packed("HGET", "n", "no hash"))
        answers = await asyncio.gather(*(line.ask(command, ends=soon()) for command in commands))
        error = answers.pop(20)
        assert isinstance(error, hiredis.ReplyError)
        assert answers == list(range(1, 51))

    on_line(server.url, story)
    assert store.get("n") == b"50"


def test_a_call_without_an_answer_in_time_ends_the_connection_for_all_who_wait(server: EmbeddedServer) -> None:
    async def story(line: Line) -> None:
        late = asyncio.create_task(line.ask(packed("BLPOP", "nothing", "60"), ends=soon() - 4.95))
        other = asyncio.create_task(line.ask(packed("PING"), ends=soon()))
        with pytest.raises(Late):
            await late
        with pytest.raises(Cut):
            await other
        assert line.closed

    on_line(server.url, story)


def test_a_caller_that_turns_away_does_not_take_another_s_answer(server: EmbeddedServer) -> None:
    async def story(line: Line) -> None:
        first = asyncio.create_task(line.ask(packed("ECHO", "first"), ends=soon()))
        await asyncio.sleep(0)
        first.cancel()
        assert await line.ask(packed("ECHO", "second"), ends=soon()) == b"second"
        with contextlib.suppress(asyncio.CancelledError):
            await first

    on_line(server.url, story)


def test_a_connection_that_was_cut_is_made_anew_and_a_script_that_is_unknown_is_given(
    server: EmbeddedServer, store: redis.Redis
) -> None:
    async def story() -> None:
        made = Store(server.url, {"add": "return redis.call('INCRBY', 'sum', ARGV[1])"})
        try:
            assert await made.script("add", 3) == 3
            # Given that Redis ends every connection but the test's, and forgets the script
            store.client_kill_filter(_type="normal", skipme=True)
            store.script_flush()
            # When many call at once, they share the new connection
            assert sorted(await asyncio.gather(*(made.script("add", 1) for _ in range(5)))) == [4, 5, 6, 7, 8]  # type: ignore[type-var]
        finally:
            await made.close()

    asyncio.run(story())


def test_a_redis_that_is_not_there_is_named_and_so_is_one_that_refuses(server: EmbeddedServer, store: redis.Redis) -> None:
    async def refused(url: str, name: str) -> str:
        made = Store(url, {"bad": "return redis.call('INCRBY', 'text', 1)", "good": "return 1"})
        try:
            with pytest.raises(StoreAway) as away:
                await made.script(name)
            return away.value.reason
        finally:
            await made.close()

    store.set("text", "no number")
    assert asyncio.run(refused("redis://127.0.0.1:1/0", "good")).startswith("ConnectionError")
    assert asyncio.run(refused(server.url, "bad")).startswith("ReplyError")
