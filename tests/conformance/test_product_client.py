"""How a product's answers are understood, against real sockets; and which addresses are called at all."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from mapping.unified import deliveries
from tests.conformance.peer import Peer, answer
from workers.downstream.unified.client import Product, retry_after_ms
from workers.errors import CredentialsRefused, NoAnswer, RateLimited, Refused, Stopped, SystemDown, WorkerError
from workers.http import Http, is_public
from workers.limits import Limits

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator, Sequence

    import redis

SECRET = "whsec_" + base64.b64encode(b"a-secret-of-thirty-two-bytes-ok!").decode()
MESSAGE = deliveries.of_record("updated", "contact", "7", 5, record={"id": "7"}, changed=["name"])
NOW = 1_800_000_000.0


async def loopback(_host: str, _port: int) -> Sequence[str]:
    return ("127.0.0.1",)


def silent(link: socket.socket, _head: bytes) -> None:
    link.recv(1)


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test", resolve=loopback) as running:
        yield running


def product(http: Http, store: redis.Redis, url: str, *, public_only: bool = False, deadline_s: float = 2.0) -> Product:
    limits = Limits(store)
    return Product(
        "acme", http, limits, url=url, secrets=[SECRET], public_only=public_only, deadline_s=deadline_s, now=lambda: NOW
    )


@pytest.mark.parametrize(
    ("status", "header", "error"),
    [
        ("200 OK", "X-A: b", None),
        ("204 No Content", "X-A: b", None),
        ("302 Found", "Location: /elsewhere", SystemDown),
        ("400 Bad Request", "X-A: b", Refused),
        ("401 Unauthorized", "X-A: b", CredentialsRefused),
        ("403 Forbidden", "X-A: b", CredentialsRefused),
        ("404 Not Found", "X-A: b", SystemDown),
        ("409 Conflict", "X-A: b", NoAnswer),
        ("410 Gone", "X-A: b", Stopped),
        ("422 Unprocessable Content", "X-A: b", Refused),
        ("429 Too Many Requests", "Retry-After: 7", RateLimited),
        ("500 Internal Server Error", "X-A: b", NoAnswer),
        ("503 Service Unavailable", "X-A: b", NoAnswer),
        ("503 Service Unavailable", "Retry-After: 7", RateLimited),
    ],
    ids=lambda value: str(getattr(value, "__name__", value)),
)
def test_an_answer_means(http: Http, store: redis.Redis, status: str, header: str, error: type[WorkerError] | None) -> None:
    noted: list[str] = []
    with Peer(lambda link, _: link.sendall(answer(b"", header, status=status))) as peer:
        one = product(http, store, peer.url)
        if error is None:
            one.deliver(MESSAGE, before_send=lambda: noted.append("noted"))
        else:
            with pytest.raises(error) as raised:
                one.deliver(MESSAGE, before_send=lambda: noted.append("noted"))
            assert type(raised.value) is error
    assert noted == ["noted"]
    assert len(peer.heads) == 1
    assert (error is RateLimited) == (one.room("live") > 0)


def test_what_is_sent_is_signed_and_says_which_attempt_it_is(http: Http, store: redis.Redis) -> None:
    with Peer(lambda link, _: link.sendall(answer(b""))) as peer:
        product(http, store, peer.url + "/in").deliver(MESSAGE, before_send=lambda: None)
    head = peer.heads[0].decode().lower()
    assert head.startswith("post /in http/1.1")
    assert f"webhook-id: {deliveries.message_id('acme', MESSAGE)}".lower() in head
    assert f"webhook-timestamp: {int(NOW)}" in head
    assert "webhook-signature: v1," in head


def test_a_product_that_says_nothing_may_have_taken_it(http: Http, store: redis.Redis) -> None:
    with Peer(silent) as peer, pytest.raises(NoAnswer):
        product(http, store, peer.url, deadline_s=0.3).deliver(MESSAGE, before_send=lambda: None)


def test_a_name_that_leads_to_this_machine_is_not_called(http: Http, store: redis.Redis) -> None:
    with Peer(lambda link, _: link.sendall(answer(b""))) as peer:
        url = f"http://product.example.org:{peer.url.rpartition(':')[2]}"
        with pytest.raises(SystemDown, match="no public address"):
            product(http, store, url, public_only=True).deliver(MESSAGE, before_send=lambda: None)
        assert peer.heads == []


def test_the_call_goes_to_the_address_that_was_looked_at_and_names_the_host(
    http: Http, store: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given that loopback counts as public, so that a real socket can answer
    monkeypatch.setattr("workers.http.is_public", lambda _address: True)
    with Peer(lambda link, _: link.sendall(answer(b""))) as peer:
        port = peer.url.rpartition(":")[2]
        product(http, store, f"http://product.example.org:{port}", public_only=True).deliver(MESSAGE, before_send=lambda: None)
    assert f"host: product.example.org:{port}".encode() in peer.heads[0].lower()


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - an address to be refused
        "224.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fc00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "not an address",
    ],
)
def test_an_address_inside_is_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"])
def test_an_address_of_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    ("said", "ms"),
    [
        ("7", 7000),
        ("0", 1000),
        ("999999999999", 3_600_000),
        ("86400", 3_600_000),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30_000),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 1000),
        ("soon", None),
        ("", None),
        ("-5", None),
    ],
)
def test_how_long_it_asks_us_to_wait(said: str, ms: int | None) -> None:
    assert retry_after_ms({"retry-after": said}, NOW) == ms
