"""The receiver as a process, on a real server: every answer, and what is in Redis once it has been given."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet

from mapping.agenda import COUNTS, deliveries_key
from mapping.keys import fernet_keys, hook_path, hook_token
from tests.acceptance.receiving import OLD_SECRET, SECRET, SIGNING_KEY, Receiver, path_of, until
from workers.embedded import EmbeddedServer

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.processes

PAYLOADS = sorted((Path(__file__).parent.parent / "payloads").glob("*.json"))
LIMIT = 64 * 1024


@pytest.fixture(scope="module")
def receiver(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Receiver]:
    """One receiver on the session's server, with a small limit of bodies."""
    with Receiver(tmp_path_factory.mktemp("receiver"), server.url, RELAY_MAX_BODY=str(LIMIT)) as running:
        yield running


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    """A server that a test may stop, starve or kill."""
    with EmbeddedServer(tmp_path / "valkey") as running:
        yield running


@pytest.fixture
def own(own_server: EmbeddedServer, tmp_path: Path) -> Iterator[Receiver]:
    """A receiver on that server."""
    with Receiver(tmp_path, own_server.url) as running:
        yield running


def body_of(*ids: object, event: str = "party/updated") -> bytes:
    return json.dumps({"event": event, "payload": [{"id": number} for number in ids]}).encode()


def opened(store: redis.Redis) -> set[str]:
    return {record.decode() for record in cast("list[bytes]", store.zrange("relay:open", 0, -1))}


def letters(store: redis.Redis, connection: str = "acme") -> list[dict[str, object]]:
    cipher = MultiFernet([Fernet(key) for key in fernet_keys([SECRET])])
    return [orjson.loads(cipher.decrypt(value)) for value in store.hvals(deliveries_key(connection))]


def counts(store: redis.Redis) -> dict[str, int]:
    held = cast("dict[bytes, bytes]", store.hgetall(COUNTS))
    return {field.decode(): int(value) for field, value in held.items()}


# Admission


@pytest.mark.parametrize("path", PAYLOADS, ids=lambda path: path.stem)
def test_every_payload_is_accepted_and_opens_its_records(receiver: Receiver, store: redis.Redis, path: Path) -> None:
    kind = path.stem.split("__")[0]
    expected = {f"{kind}|{item['id']}" for item in json.loads(path.read_bytes())["payload"]}
    # When it is delivered to a connection that wants every kind, and to one that wants parties and opportunities
    assert receiver.post(path.read_bytes(), connection="uni").status_code == 202
    assert receiver.post(path.read_bytes(), connection="acme").status_code == 202
    # Then
    wanted = {f"uni|{record}" for record in expected}
    if kind in {"party", "opportunity"}:
        wanted |= {f"acme|{record}" for record in expected}
    assert opened(store) == wanted
    assert {store.hget("relay:place", record) for record in wanted} == {b"live"}


def test_hundreds_of_items_with_repeats_and_unknown_keys_all_count(receiver: Receiver, store: redis.Redis) -> None:
    items = [{"id": number % 700 + 1, "unknown": {"key": number}} for number in range(1_500)]
    body = json.dumps({"event": "party/created", "payload": items, "more": None}).encode()
    assert receiver.post(body).status_code == 202
    assert opened(store) == {f"acme|party|{number}" for number in range(1, 701)}


def test_a_body_with_more_records_than_one_call_takes_is_admitted_whole(receiver: Receiver, store: redis.Redis) -> None:
    assert receiver.post(body_of(*range(1, 4_001))).status_code == 202
    assert len(opened(store)) == 4_000


def test_the_same_delivery_twice_opens_its_record_once_with_a_newer_tick(receiver: Receiver, store: redis.Redis) -> None:
    assert receiver.post(body_of(5)).status_code == 202
    first = store.hget("relay:seq", "acme|party|5")
    assert receiver.post(body_of(5)).status_code == 202
    second = store.hget("relay:seq", "acme|party|5")
    assert opened(store) == {"acme|party|5"}
    assert first is not None
    assert second is not None
    assert int(second.split()[0]) > int(first.split()[0])
    assert store.llen("dramatiq:live") == 1


def test_a_delivery_is_opened_for_each_connection_of_the_account(receiver: Receiver, store: redis.Redis) -> None:
    assert receiver.post(body_of(1), connection="shared").status_code == 202
    assert receiver.post(body_of(2, event="task/created"), connection="shared").status_code == 202
    assert opened(store) == {"shared|party|1", "guest|party|1", "guest|task|2"}
    # And the member has no address of its own
    assert receiver.post(body_of(3), connection="guest").status_code == 404


@pytest.mark.parametrize("secret", [SECRET, OLD_SECRET], ids=["newest key", "older key"])
@pytest.mark.parametrize("generation", [2, 1], ids=["this generation", "the one before"])
def test_addresses_handed_out_before_a_rotation_stay_good(
    receiver: Receiver, store: redis.Redis, secret: str, generation: int
) -> None:
    answer = receiver.client.post(hook_path("acme", hook_token(secret, "acme", generation)), content=body_of(1))
    assert answer.status_code == 202
    assert opened(store) == {"acme|party|1"}


# Refusals


def test_an_unknown_connection_and_a_wrong_token_are_answered_alike(receiver: Receiver, store: redis.Redis) -> None:
    token = hook_token(SECRET, "acme", 2)
    answers = [
        receiver.client.post(path, content=body_of(1))
        for path in (
            hook_path("acme", hook_token(SECRET, "acme", 3)),
            hook_path("acme", token[:-1]),
            hook_path("nobody", token),
            hook_path("guest", token),
            hook_path("acme", "t%C3%B6k%FF"),
            "/hooks/capsule/acme/",
            "/hooks/capsule/acme",
            "/hooks/signed/nobody",
            "/hooks/signed/uni",
            f"/hooks/capsule/acme/{token}/",
            "/hooks/",
            "/elsewhere",
            "/live/",
        )
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.content for answer in answers} == {b'{"error":"not found"}'}
    shown = [{name: value for name, value in answer.headers.items() if name != "date"} for answer in answers[:5]]
    assert all(headers == shown[0] for headers in shown)
    assert not opened(store)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
@pytest.mark.parametrize(
    "path", [path_of("acme"), "/hooks/capsule/nobody/x", "/hooks/signed/acme"], ids=["right", "wrong", "signed"]
)
def test_any_other_method_is_answered_405_whatever_the_token(receiver: Receiver, method: str, path: str) -> None:
    answer = receiver.client.request(method, path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == "POST"


def test_a_health_question_by_another_method_is_answered_405(receiver: Receiver) -> None:
    answer = receiver.client.post("/live")
    assert answer.status_code == 405
    assert "GET" in answer.headers["allow"]


def test_a_body_of_the_largest_size_is_accepted(receiver: Receiver, store: redis.Redis) -> None:
    body = body_of(1)
    assert receiver.post(body + b" " * (LIMIT - len(body))).status_code == 202
    assert opened(store) == {"acme|party|1"}


def test_a_body_over_the_limit_is_refused_by_its_announced_length(receiver: Receiver, store: redis.Redis) -> None:
    # Given a request whose body is announced and never sent
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as link:
        link.sendall(f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nContent-Length: {LIMIT + 1}\r\n\r\n".encode())
        # Then it is refused all the same, and the connection ended
        assert answer_of(link).startswith(b"HTTP/1.1 413 ")
    assert not opened(store)


def test_a_chunked_body_over_the_limit_is_refused_before_its_end(receiver: Receiver, store: redis.Redis) -> None:
    chunk = b"1000\r\n" + b" " * 0x1000 + b"\r\n"
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=5) as link:
        link.sendall(f"POST {path_of('acme')} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        # When exactly one chunk more than the limit has come, and the end never does
        link.sendall(chunk * (LIMIT // 0x1000 + 1))
        assert answer_of(link).startswith(b"HTTP/1.1 413 ")
    assert not opened(store)


def test_a_chunked_body_below_the_limit_is_accepted(receiver: Receiver, store: redis.Redis) -> None:
    body = body_of(7)
    answer = receiver.client.post(path_of("acme"), content=iter([body[:10], body[10:20], body[20:]]))
    assert answer.status_code == 202
    assert opened(store) == {"acme|party|7"}


def answer_of(link: socket.socket) -> bytes:
    """Everything that comes until the other side ends the connection."""
    parts = []
    while part := link.recv(65_536):
        parts.append(part)
    return b"".join(parts)


# Signed relays


def test_a_signed_delivery_is_admitted(receiver: Receiver, store: redis.Redis) -> None:
    assert receiver.post_signed(body_of(8)).status_code == 202
    assert opened(store) == {"acme|party|8"}


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"webhook_signature": "v1," + base64.b64encode(bytes(32)).decode()}, id="wrong signature"),
        pytest.param({"webhook_signature": "nonsense"}, id="malformed signature"),
        pytest.param({"webhook_signature": ""}, id="empty signature"),
        pytest.param({"webhook_id": "msg_2"}, id="another id"),
        pytest.param({"webhook_timestamp": "1700000000"}, id="long ago, rightly signed"),
        pytest.param({"webhook_timestamp": "99999999999"}, id="far ahead, rightly signed"),
        pytest.param({"webhook_timestamp": "soon"}, id="no time at all"),
    ],
)
def test_a_bad_signature_is_answered_401(receiver: Receiver, store: redis.Redis, changed: dict[str, str]) -> None:
    assert receiver.post_signed(body_of(8), **changed).status_code == 401
    assert not opened(store)


def test_a_delivery_without_signature_headers_is_answered_401(receiver: Receiver) -> None:
    assert receiver.client.post("/hooks/signed/acme", content=body_of(8)).status_code == 401


def test_a_signed_body_is_checked_as_it_came_and_not_as_it_reads(receiver: Receiver) -> None:
    spaced = body_of(8).replace(b":", b" :")
    assert receiver.post_signed(spaced).status_code == 202
    stamp = str(int(time.time()))
    mac = base64.b64encode(hashlib.sha256(SIGNING_KEY).digest()).decode()
    assert receiver.post_signed(spaced, webhook_timestamp=stamp, webhook_signature=f"v1,{mac}").status_code == 401


# Unreadable deliveries


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        pytest.param(b"", "not JSON", id="empty"),
        pytest.param(b"<html>", "not JSON", id="not JSON"),
        pytest.param(b'{"event": "party/updated", "payload": [{"id": 1}]', "not JSON", id="cut short"),
        pytest.param(b'{"event": "party/updated", "payload": [{"id": NaN}]}', "not JSON", id="NaN"),
        pytest.param(b'{"event": "party/updated\xff", "payload": []}', "not JSON", id="bad UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + body_of(1), "not JSON", id="byte order mark"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, "not JSON", id="nested too deeply"),
        pytest.param(b"[]", "not a JSON object", id="a list"),
        pytest.param(body_of(1, event="party/renamed"), "none of those", id="unknown event"),
        pytest.param(b'{"event": "party/updated", "payload": {"id": 1}}', "not a list", id="payload is no list"),
        pytest.param(body_of(None), "no id that is", id="null id"),
        pytest.param(body_of(10**30), "no id that is", id="huge id"),
    ],
)
def test_an_authentic_body_that_cannot_be_read_is_accepted_and_kept(
    receiver: Receiver, store: redis.Redis, body: bytes, reason: str
) -> None:
    assert receiver.post(body).status_code == 202
    (letter,) = letters(store)
    assert reason in str(letter["reason"])
    assert base64.b64decode(str(letter["body"])) == body[:4096]
    assert (letter["size"], letter["count"]) == (len(body), 1)
    assert letter["first"] == letter["last"]
    (field,) = cast("list[bytes]", store.hkeys(deliveries_key("acme")))
    assert field.decode() == hashlib.sha256(body).hexdigest()[:32]
    assert not opened(store)


def test_a_compressed_body_is_not_unpacked(receiver: Receiver, store: redis.Redis) -> None:
    packed = gzip.compress(body_of(1))
    assert receiver.post(packed, headers={"content-encoding": "gzip"}).status_code == 202
    (letter,) = letters(store)
    assert letter["encoding"] == "gzip"
    assert not opened(store)
    assert receiver.post(body_of(2), headers={"content-encoding": "identity"}).status_code == 202
    assert opened(store) == {"acme|party|2"}


def test_a_spoilt_item_does_not_cost_its_neighbours_their_event(receiver: Receiver, store: redis.Redis) -> None:
    assert receiver.post(body_of(1, None, 2)).status_code == 202
    assert opened(store) == {"acme|party|1", "acme|party|2"}
    (letter,) = letters(store)
    assert letter["opened"] == 2


def test_equal_unreadable_bodies_are_one_letter_with_a_count(receiver: Receiver, store: redis.Redis) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: receiver.post(b"the same").status_code, range(4)))
    assert answers == [202] * 4
    assert receiver.post(b"another").status_code == 202
    assert sorted(int(str(letter["count"])) for letter in letters(store)) == [1, 4]


def test_beyond_the_bound_only_a_counter_grows(receiver: Receiver, store: redis.Redis) -> None:
    # Given a connection with one letter less than it may have
    store.hset(deliveries_key("acme"), mapping={f"{number:032x}": b"x" for number in range(999)})
    # When three more come at once, and one that is there already
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda n: receiver.post(b"unreadable %d" % n).status_code, range(3))) == [202] * 3
    # Then one is kept
    assert store.hlen(deliveries_key("acme")) == 1_000
    until(lambda: counts(store).get("delivery.unreadable_not_kept|acme") == 2)
    assert counts(store)["delivery.unreadable|acme"] >= 1


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
    assert len(line["trace"]) == 16
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


class stopped:  # noqa: N801 - reads as a clause: with stopped(server)
    """The server hangs for as long as the block runs: it takes connections and answers nothing."""

    def __init__(self, server: EmbeddedServer) -> None:
        assert server.process is not None
        self.process = server.process

    def __enter__(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def __exit__(self, *_: object) -> None:
        self.process.send_signal(signal.SIGCONT)


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
        pytest.param(("CONFIG", "SET", "maxmemory", "1"), ("CONFIG", "SET", "maxmemory", "0"), "OutOfMemory", id="OOM"),
        pytest.param(("REPLICAOF", "127.0.0.1", "1"), ("REPLICAOF", "NO", "ONE"), "ReadOnly", id="READONLY"),
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
