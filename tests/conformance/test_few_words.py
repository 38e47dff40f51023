"""The few words that `up` has with its data store, without a client library."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING

import hiredis
import pytest

from workers.datastore import AWAY, _asking

if TYPE_CHECKING:
    import redis

    from workers.embedded import EmbeddedServer


def test_it_asks_and_reads_answers_of_every_shape_and_size(server: EmbeddedServer, store: redis.Redis) -> None:
    store.set("long", b"x" * 1_000_000)
    with _asking(server.port) as ask:
        assert ask("PING") == b"PONG"
        assert ask("GET", "nothing") is None
        assert ask("SET", "n", 5) == b"OK"
        assert len(ask("GET", "long")) == 1_000_000
        assert ask("EVAL", "return {1, 'a'}", 0) == [1, b"a"]


def test_a_refusal_is_an_error(server: EmbeddedServer) -> None:
    with pytest.raises(hiredis.ReplyError), _asking(server.port) as ask:
        ask("NONSENSE")
    assert issubclass(hiredis.ReplyError, AWAY)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"], ids=["nothing", "something else"])
def test_a_stranger_on_the_port_is_as_good_as_nobody(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:

        def answer() -> None:
            link, _ = stranger.accept()
            with link:
                link.recv(100)
                link.sendall(said)

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(AWAY), _asking(stranger.getsockname()[1]) as ask:
            ask("PING")
        thread.join(5)
