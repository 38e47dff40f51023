"""The client of the workers: a connection for each thread, one try, and no answer taken for another's."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import pytest
import redis

from tests.faults.proxy import Proxy
from workers.agenda import connect
from workers.redis_client import ThreadedRedis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from workers.embedded import EmbeddedServer


@pytest.fixture
def client(store: redis.Redis, server: EmbeddedServer) -> Iterator[ThreadedRedis]:
    del store  # only that it is empty
    made = cast("ThreadedRedis", ThreadedRedis.from_url(server.url, socket_timeout=5.0))
    yield made
    made.close()


def number_of(client: redis.Redis) -> int:
    return int(client.client_id())


def test_answers_have_redis_py_s_form(client: ThreadedRedis) -> None:
    assert client.hset("h", mapping={"a": "1"}) == 1
    assert client.hgetall("h") == {b"a": b"1"}
    assert client.zadd("z", {"m": 1.5}) == 1
    assert client.zrange("z", 0, -1, withscores=True) == [(b"m", 1.5)]
    assert client.set("s", "v", nx=True) is True
    assert client.get("nothing") is None
    assert client.register_script("return ARGV[1]")(args=["x"]) == b"x"
    assert client.blpop(["nothing"], timeout=0.01) is None
    pipe = client.pipeline(transaction=True)
    pipe.get("s")
    pipe.hget("h", "a")
    assert pipe.execute() == [b"v", b"1"]


def test_each_thread_keeps_a_connection(client: ThreadedRedis) -> None:
    both = threading.Barrier(4)

    def ask() -> set[int]:
        both.wait(5)
        return {number_of(client) for _ in range(20)}

    with ThreadPoolExecutor(4) as threads:
        found = [one.result(10) for one in [threads.submit(ask) for _ in range(4)]]

    assert [len(one) for one in found] == [1] * 4
    assert len(set.union(*found)) == 4


def test_an_error_of_a_command_is_an_answer(client: ThreadedRedis) -> None:
    before = number_of(client)
    client.set("s", "v")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.hget("s", "a")
    assert number_of(client) == before


def test_a_connection_that_the_server_has_ended_is_made_anew(client: ThreadedRedis, server: EmbeddedServer) -> None:
    before = number_of(client)
    other = redis.Redis.from_url(server.url)
    cast("Any", other).client_kill_filter(_id=before)
    other.close()

    assert number_of(client) != before


def test_each_new_connection_says_hello(store: redis.Redis, server: EmbeddedServer) -> None:
    client = connect(server.url)
    assert client.get("relay:born") is not None
    store.delete("relay:born")
    cast("Any", store).client_kill_filter(_id=number_of(client))

    client.ping()

    assert store.get("relay:born") is not None
    client.close()


def test_a_cut_during_a_command_is_raised_at_once_and_not_repeated(store: redis.Redis, server: EmbeddedServer) -> None:
    with Proxy(server.port) as proxy:
        client = ThreadedRedis.from_url(f"redis://127.0.0.1:{proxy.port}/0", socket_timeout=5.0)
        client.ping()
        waits = threading.Thread(target=lambda: raised.append(error_of(client)))
        raised: list[BaseException | None] = []
        waits.start()
        while not [one for one in cast("Any", store).client_list() if one["cmd"] == "blpop"]:
            assert waits.is_alive()
        proxy.cut()
        waits.join(5)

        assert isinstance(raised[0], redis.ConnectionError)
        assert client.ping()
        client.close()


def error_of(client: redis.Redis) -> BaseException | None:
    try:
        client.blpop(["nothing"], timeout=4)
    except redis.RedisError as error:
        return error
    return None


def test_an_answer_that_comes_too_late_is_nobody_s(store: redis.Redis, server: EmbeddedServer) -> None:
    client = ThreadedRedis.from_url(server.url, socket_timeout=0.1)
    client.ping()
    store.rpush("list", "late")
    cast("Any", store).client_pause(300)
    with pytest.raises(redis.TimeoutError):
        client.lpop("list")
    cast("Any", store).client_unpause()

    assert client.get("nothing") is None
    client.close()


def test_after_close_a_thread_may_go_on(client: ThreadedRedis) -> None:
    before = number_of(client)
    client.close()
    assert number_of(client) != before
