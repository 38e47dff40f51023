"""Senders that are slow on purpose are cut; everybody else is answered meanwhile. The figures: `python -m tests.faults.edge`."""

from __future__ import annotations

import importlib
import inspect
import resource
import socket
from typing import TYPE_CHECKING

import pytest

from receiver import slow
from tests.acceptance.receiving import PROTOCOL, Receiver, answer_of, body_of, opened, path_of, until
from tests.faults import edge

if TYPE_CHECKING:
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes

HEAD = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(("module", "name"), slow.PROTOCOLS, ids=[name for _, name in slow.PROTOCOLS])
def test_what_is_read_of_uvicorn_is_there(module: str, name: str) -> None:
    protocol = getattr(importlib.import_module(module), name)
    made = inspect.getsource(protocol.__init__)
    for attribute in ("connections = server_state.connections", "cycle", "timeout_keep_alive_task", "transport", "loop"):
        assert f"self.{attribute}" in made
    assert "self.connections.add(self)" in inspect.getsource(importlib.import_module(module))
    assert "response_complete" in inspect.getsource(importlib.import_module(module).RequestResponseCycle)


@pytest.mark.parametrize("http", [PROTOCOL, "httptools", "h11"])
def test_heads_and_bodies_that_do_not_come_are_cut_and_others_answered(
    server: EmbeddedServer, store: redis.Redis, tmp_path: Path, http: str
) -> None:
    with Receiver(tmp_path, server.url, "--http", http) as receiver:
        links = {
            "nothing": b"",
            "half a head": HEAD.encode(),
            "half a body": f"{HEAD}Content-Length: 100\r\n\r\n{{".encode(),
            "a chunk that does not end": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n100\r\n{{".encode(),
        }
        open_links = {}
        for what, sent in links.items():
            open_links[what] = socket.create_connection(("127.0.0.1", receiver.port), timeout=15)
            open_links[what].sendall(sent)
        # A second request on a connection that had an answer before
        body = body_of(1)
        again = socket.create_connection(("127.0.0.1", receiver.port), timeout=15)
        again.sendall(f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        assert again.recv(65_536).startswith(b"HTTP/1.1 202 ")
        again.sendall(HEAD.encode())
        open_links["a second head"] = again
        ends = {}
        for what, link in open_links.items():
            try:
                ends[what] = answer_of(link)[:13]
            except ConnectionResetError:
                ends[what] = b""
            link.close()
        assert ends == {
            "nothing": b"",
            "half a head": b"",
            "half a body": b"HTTP/1.1 408 ",
            "a chunk that does not end": b"HTTP/1.1 408 ",
            "a second head": b"",
        }
        assert receiver.post(body_of(2)).status_code == 202
        assert "acme|party|2" in opened(store)
        until(lambda: "connection.slow" in receiver.log)
        assert "Traceback" not in receiver.log


def test_a_hundred_slow_senders_do_not_keep_anybody_else_from_an_answer(server: EmbeddedServer, tmp_path: Path) -> None:
    with Receiver(tmp_path, server.url) as receiver:
        seen = edge.slow_senders(receiver, slow=100, seconds=3)
    print(seen.line())
    assert seen.refused == 0
    assert seen.answered > 0
    assert seen.cut == seen.slow == 100


def test_without_a_free_descriptor_the_log_stays_short_and_it_recovers(server: EmbeddedServer, tmp_path: Path) -> None:
    with Receiver(tmp_path, server.url) as receiver:
        resource.prlimit(receiver.process.pid, resource.RLIMIT_NOFILE, (64, 64))
        links = []
        for _ in range(120):
            link = socket.socket()
            link.setblocking(False)
            link.connect_ex(("127.0.0.1", receiver.port))
            links.append(link)
        # It cuts them, since none of them says anything, and takes deliveries again
        until(lambda: receiver.log.count("connection.slow") > 0, 20)
        for link in links:
            link.close()
        until(lambda: receiver.post(body_of(1)).status_code == 202, 20)
        assert receiver.log.count("\n") < 200


def test_a_rolling_restart_answers_every_request(server: EmbeddedServer, store: redis.Redis, tmp_path: Path) -> None:
    seen = edge.rolling_restart(tmp_path, server.url, restarts=3)
    print(seen.line())
    assert seen.refused == 0
    assert seen.answered > 10
    assert len(opened(store)) == seen.answered
