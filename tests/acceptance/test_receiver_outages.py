"""The receiver without a spool when Redis is away, when it is asked to stop, and what is in its log and its counters."""

from __future__ import annotations

import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
import redis

from mapping.keys import hook_token
from tests.acceptance.receiving import SECRET, Receiver, answer_of, body_of, counts, letters, path_of, stopped, until
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.processes


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may stop, starve or kill."""
    with EmbeddedServer(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
def own(own_server: EmbeddedServer, tmp_path: Path) -> Iterator[Receiver]:
    """A receiver on that server."""
    with Receiver(tmp_path, own_server.url, RELAY_SPOOL="off") as running:
        yield running


# Counters and logs


def test_counters_are_added_up_by_name_and_connection(own: Receiver, own_server: EmbeddedServer) -> None:
    store = redis.Redis.from_url(own_server.url)
    own.post(body_of(1, 2))
    own.post(body_of(3))
    own.post(body_of(1, event="task/created"))
    own.post(body_of(9), connection="shared")
    own.post(b"unreadable")
    own.post(body_of(1), connection="nobody")
    own.post(body_of(1), connection="canary-connection")
    own.post_signed(b"{}", webhook_id="other")
    own.client.get("/hooks/capsule/x/y")
    expected = {
        "delivery.admitted|acme": 2,
        "records.opened|acme": 3,
        "delivery.not_of_interest|acme": 1,
        "delivery.admitted|shared": 1,
        "records.opened|shared": 1,
        "delivery.admitted|guest": 1,
        "records.opened|guest": 1,
        "delivery.unreadable|acme": 1,
        "delivery.refused_404": 2,
        "delivery.refused_401|acme": 1,
        "delivery.refused_405": 1,
    }
    until(lambda: {name: n for name, n in counts(store).items() if not name.startswith("last_")} == expected)
    seconds, _ = store.time()
    assert {name for name in counts(store) if name.startswith("last_")} == {
        f"last_delivery|{name}" for name in ("acme", "shared", "guest")
    }
    assert abs(counts(store)["last_delivery|acme"] / 1000 - seconds) < 10
    store.close()


def test_counters_outlast_an_outage(own: Receiver, own_server: EmbeddedServer) -> None:
    store = redis.Redis.from_url(own_server.url)
    own.post(body_of(1))
    with stopped(own_server):
        assert own.post(body_of(2)).status_code == 503
        own.post(body_of(1), connection="nobody")
    until(lambda: own.client.get("/ready").status_code == 200)
    until(lambda: counts(store).get("delivery.admitted|acme") == 1)
    until(lambda: counts(store).get("delivery.refused_503|acme") == 1)
    until(lambda: counts(store).get("delivery.refused_404") == 1)
    store.close()


def test_no_log_line_and_no_key_holds_a_token_a_body_or_a_query_string(own: Receiver, own_server: EmbeddedServer) -> None:
    canary = {"id": 77, "name": "canary-name", "emailAddresses": [{"address": "canary@example.com"}]}
    body = json.dumps({"event": "party/updated", "payload": [canary]}).encode()
    # Given every kind of answer, each provoked by requests full of canaries
    own.client.post(path_of("acme") + "?canary=query", content=body, headers={"x-canary": "canary-header"})
    own.client.post(path_of("acme"), content=body[:-1])
    own.client.post(path_of("acme"), content=body.replace(b"party/updated", b"canary/event"))
    own.client.post(path_of("acme"), content=body.replace(b"77", b'"canary-id"'))
    own.client.post(path_of("acme"), content=body, headers={"content-encoding": "canary"})
    own.client.post("/hooks/capsule/canary-connection/canary-token?canary=query", content=body)
    own.client.get(path_of("acme") + "?canary=query")
    own.client.get("/canary-path?canary=query")
    own.client.post("/live?canary=query", content=body)
    own.client.post(path_of("acme"), content=b"canary" * 200_000)
    own.post_signed(body, webhook_signature="v1,canary", webhook_id="canary-message")
    with socket.create_connection(("127.0.0.1", own.port), timeout=5) as link:
        link.sendall(b"CANARY / canary\r\ncanary: canary\r\n\r\n")
        answer_of(link)
    with stopped(own_server):
        own.client.post(path_of("acme"), content=body)
    store = redis.Redis.from_url(own_server.url)
    until(lambda: counts(store).get("delivery.refused_503|acme") == 1)
    # When it has ended and written everything
    own.__exit__()
    # Then
    log = own.log
    assert '"event":"delivery.admitted"' in log
    for secret in ("canary", "query", SECRET, *(hook_token(SECRET, "acme", n) for n in (1, 2)), "Traceback"):
        assert secret.lower() not in log.lower(), secret
    for key in cast("list[bytes]", store.keys("*")):
        held = key + (store.dump(key) or b"")
        assert b"canary" not in held.lower()
    store.close()


def test_each_delivery_is_one_json_line(own: Receiver) -> None:
    own.post(body_of(1, 2))
    until(lambda: "delivery.admitted" in own.log)
    lines = [orjson.loads(line) for line in own.log.splitlines()]
    (line,) = [line for line in lines if line["event"] == "delivery.admitted"]
    assert {name: line[name] for name in ("level", "connection", "hook", "records", "status")} == {
        "level": "info",
        "connection": "acme",
        "hook": "party/updated",
        "records": 2,
        "status": 202,
    }
    assert 0 < line["ms"] < 2_000
    assert len(line["trace"]) == 32
    assert line["timestamp"].endswith("Z")


def test_a_flood_of_refusals_becomes_a_line_a_second(own: Receiver) -> None:
    for _ in range(200):
        own.post(body_of(1), connection="nobody")
    own.__exit__()
    lines = [orjson.loads(line) for line in own.log.splitlines()]
    refusals = [line for line in lines if line["event"] == "delivery.refused_404"]
    assert sum(line["times"] for line in refusals) == 200
    assert len(refusals) < 20


# Redis away


def test_while_redis_hangs_everybody_is_answered_503_within_two_seconds(own: Receiver, own_server: EmbeddedServer) -> None:
    assert own.post(body_of(1)).status_code == 202

    def timed(number: int) -> tuple[int, str | None, float]:
        began = time.monotonic()
        answer = own.post(body_of(number) if number % 2 else b"unreadable %d" % number)
        return answer.status_code, answer.headers.get("retry-after"), time.monotonic() - began

    with stopped(own_server):
        with ThreadPoolExecutor(20) as pool:
            answers = list(pool.map(timed, range(60)))
        assert own.client.get("/live").status_code == 200
        ready = own.client.get("/ready")
    assert {(status, retry) for status, retry, _ in answers} == {(503, "5")}
    assert max(seconds for _, _, seconds in answers) < 2
    assert ready.status_code == 503
    assert ready.json()["ready"] is False
    # And it recovers by itself
    until(lambda: own.post(body_of(2)).status_code == 202)
    until(lambda: own.client.get("/ready").status_code == 200)
    assert "Traceback" not in own.log


def test_a_killed_and_restarted_redis_is_used_again_though_it_forgot_the_scripts(
    own: Receiver, own_server: EmbeddedServer
) -> None:
    assert own.post(body_of(1)).status_code == 202
    own_server.kill()
    began = time.monotonic()
    answer = own.post(body_of(2))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    assert time.monotonic() - began < 2
    assert own.client.get("/ready").status_code == 503
    own_server.start()
    # Then the very first delivery is taken
    assert own.post(body_of(3)).status_code == 202
    store = redis.Redis.from_url(own_server.url)
    assert b"acme|party|3" in store.zrange("relay:open", 0, -1)
    store.close()


@pytest.mark.parametrize(
    ("spoil", "mend", "code"),
    [
        pytest.param(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OOM", id="OOM"),
        pytest.param(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "READONLY", id="READONLY"),
        pytest.param(
            ("CONFIG", "SET", "min-replicas-to-write", "1"),
            ("CONFIG", "SET", "min-replicas-to-write", "0"),
            "NOREPLICAS",
            id="NOREPLICAS",
        ),
    ],
)
def test_a_redis_that_refuses_writes_is_answered_503_until_it_takes_them(
    own: Receiver, own_server: EmbeddedServer, spoil: tuple[str, ...], mend: tuple[str, ...], code: str
) -> None:
    store = redis.Redis.from_url(own_server.url)
    command = cast("Any", store).execute_command
    command(*spoil)
    for body in (body_of(1), b"unreadable"):
        answer = own.post(body)
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    command(*mend)
    assert own.post(body_of(2)).status_code == 202
    assert code in own.log
    store.close()


def test_deliveries_that_come_while_a_call_is_under_way_share_the_next_one(own: Receiver, own_server: EmbeddedServer) -> None:
    store = redis.Redis.from_url(own_server.url)
    own.post(body_of(1))
    store.config_resetstat()
    links = [socket.create_connection(("127.0.0.1", own.port), timeout=5) for _ in range(30)]
    with stopped(own_server):
        for number, link in enumerate(links, start=1):
            body = body_of(number)
            head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
            link.sendall(head.encode() + body)
        # An answer to a later question shows that all of them have arrived.
        assert own.client.get("/live").status_code == 200
    assert {answer_of(link)[:13] for link in links} == {b"HTTP/1.1 202 "}
    for link in links:
        link.close()
    assert store.zcard("relay:open") == 30
    # Then 30 deliveries cost a few calls, that of the counters among them
    assert store.info("commandstats")["cmdstat_evalsha"]["calls"] <= 5
    store.close()


def test_ten_connections_at_once_lose_nothing(own: Receiver, own_server: EmbeddedServer) -> None:
    def send(worker: int) -> set[int]:
        return {own.post(body_of(worker * 100 + number)).status_code for number in range(1, 51)}

    with ThreadPoolExecutor(10) as pool:
        assert set().union(*pool.map(send, range(10))) == {202}
    store = redis.Redis.from_url(own_server.url)
    assert store.zcard("relay:open") == 500
    assert store.info("commandstats")["cmdstat_evalsha"]["calls"] < 500
    store.close()


# The life of the process


def test_a_sender_that_leaves_in_the_middle_leaves_no_trace_but_a_line(own: Receiver) -> None:
    for _ in range(5):
        with socket.create_connection(("127.0.0.1", own.port), timeout=5) as link:
            link.sendall(f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n{{".encode())
    until(lambda: "delivery.cut" in own.log)
    assert own.post(body_of(1)).status_code == 202
    assert "Traceback" not in own.log


def test_a_request_under_way_is_answered_when_the_process_is_asked_to_stop(own: Receiver, own_server: EmbeddedServer) -> None:
    store = redis.Redis.from_url(own_server.url)
    own.post(body_of(1))
    with stopped(own_server), socket.create_connection(("127.0.0.1", own.port), timeout=5) as link:
        # Given a request that waits for Redis
        body = body_of(3)
        head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
        link.sendall(head.encode() + body)
        assert own.client.get("/live").status_code == 200
        # When the process is asked to stop, and Redis comes back
        own.process.send_signal(signal.SIGTERM)
        assert own_server.process is not None
        own_server.process.send_signal(signal.SIGCONT)
        # Then it answers before it goes
        assert answer_of(link).startswith(b"HTTP/1.1 202 ")
    assert own.process.wait(15) in {0, -signal.SIGTERM}
    assert b"acme|party|3" in store.zrange("relay:open", 0, -1)
    # And it has written its counters
    assert counts(store)["delivery.admitted|acme"] == 2
    assert "Traceback" not in own.log
    store.close()


def test_several_processes_hold_everything_that_one_holds(own_server: EmbeddedServer, tmp_path: Path) -> None:
    with Receiver(tmp_path, own_server.url, "--workers", "2") as many:

        def send(number: int) -> int:
            with socket.create_connection(("127.0.0.1", many.port), timeout=10) as link:
                body = body_of(number) if number % 2 else b"unreadable %d" % (number % 3)
                head = f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
                link.sendall(head.encode() + body)
                return int(answer_of(link)[9:12])

        with ThreadPoolExecutor(8) as pool:
            assert set(pool.map(send, range(120))) == {202}
        store = redis.Redis.from_url(own_server.url)
        assert store.zcard("relay:open") == 60
        assert sum(int(str(letter["count"])) for letter in letters(store)) == 60
        until(lambda: counts(store).get("delivery.admitted|acme") == 60)
        until(lambda: counts(store).get("delivery.unreadable|acme") == 60)
        store.close()
