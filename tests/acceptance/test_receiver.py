"""The receiver as a process, on a real server: every answer, and what is in Redis once it has been given."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest

from mapping.agenda import deliveries_key
from mapping.keys import hook_path, hook_token
from tests.acceptance.receiving import (
    OLD_SECRET,
    PROTOCOL,
    SECRET,
    SIGNING_KEY,
    Receiver,
    answer_of,
    body_of,
    counts,
    letters,
    opened,
    path_of,
    until,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    import redis

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes

PAYLOADS = sorted((Path(__file__).parent.parent / "payloads").glob("*.json"))
LIMIT = 64 * 1024


@pytest.fixture(scope="module", params=["our protocol", "httptools"])
def receiver(
    server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[Receiver]:
    """One receiver on the session's server, with a small limit of bodies; once each way through uvicorn."""
    http = PROTOCOL if request.param == "our protocol" else request.param
    folder = tmp_path_factory.mktemp("receiver")
    with Receiver(folder, server.url, "--http", http, RELAY_MAX_BODY=str(LIMIT)) as running:
        yield running


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
