from __future__ import annotations

import gzip
import logging
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.conformance.peer import Peer, answer
from workers.errors import Misconfigured, NoAnswer, SystemDown, Temporary
from workers.http import MAX_ANSWER, Answer, Http

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@pytest.fixture
def http() -> Iterator[Http]:
    with Http(user_agent="capsule-relay/test", pool_size=4) as running:
        yield running


def ask(
    http: Http,
    url: str,
    *,
    method: str = "GET",
    deadline_s: float = 5.0,
    json: bytes | None = None,
    form: Mapping[str, str] | None = None,
) -> Answer:
    return http.request(method, url, system="capsule", route=f"{method} /parties", deadline_s=deadline_s, json=json, form=form)


def test_a_whole_answer_comes_back_with_lower_case_headers(http: Http) -> None:
    with Peer(lambda link, _: link.sendall(answer(b'{"ok":1}', "X-RateLimit-Limit: 4000", status="404 Not Found"))) as peer:
        got = ask(http, peer.url)

    assert (got.status, got.body) == (404, b'{"ok":1}')
    assert got.headers["x-ratelimit-limit"] == "4000"


def test_who_we_are_and_what_we_take_is_said(http: Http) -> None:
    with Peer(lambda link, _: link.sendall(answer(b"{}"))) as peer:
        ask(http, peer.url + "/x", method="PUT", json=b'{"a":1}')
        ask(http, peer.url + "/x", method="POST", form={"scope": "a b"})

    put, post = (head.lower() for head in peer.heads)
    assert b"user-agent: capsule-relay/test" in put
    assert b"accept: application/json" in put
    assert b"content-type: application/json" in put
    assert b"content-type: application/x-www-form-urlencoded" in post


def test_a_redirect_is_not_followed(http: Http) -> None:
    with Peer(lambda link, _: link.sendall(answer(b"", "Location: /login", status="302 Found"))) as peer:
        assert ask(http, peer.url).status == 302
        assert len(peer.heads) == 1


def test_no_proxy_is_taken_from_the_environment(http: Http, monkeypatch: pytest.MonkeyPatch) -> None:
    del http
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    with Http(user_agent="x") as fresh, Peer(lambda link, _: link.sendall(answer(b"{}"))) as peer:
        assert ask(fresh, peer.url).status == 200


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_refused_connection_is_known_to_have_sent_nothing(http: Http) -> None:
    with pytest.raises(SystemDown, match="nothing was sent"):
        ask(http, f"http://127.0.0.1:{free_port()}/?q=ada@example.com", method="POST", json=b"{}")


def test_a_name_that_does_not_exist_is_known_to_have_sent_nothing(http: Http) -> None:
    with pytest.raises(SystemDown):
        ask(http, "http://capsule.invalid/", method="POST", json=b"{}")


@pytest.mark.parametrize("url", ["ftp://example.com/", "/parties", "http://"], ids=["scheme", "no host", "nothing"])
def test_an_address_that_cannot_be_called_is_a_setting_to_mend(http: Http, url: str) -> None:
    with pytest.raises(Misconfigured, match="address"):
        ask(http, url)


def test_a_cut_before_the_answer_leaves_the_effect_unknown(http: Http) -> None:
    with Peer(lambda _link, _head: None) as peer, pytest.raises(NoAnswer):
        ask(http, peer.url, method="POST", json=b"{}")


def test_a_cut_in_the_middle_of_the_answer_leaves_the_effect_unknown(http: Http) -> None:
    with Peer(lambda link, _: link.sendall(answer(b"{}" * 50)[:-20])) as peer, pytest.raises(NoAnswer):
        ask(http, peer.url)


@pytest.mark.parametrize("first", [b"", answer(b"{}" * 50)[:-20]], ids=["before the answer", "in its middle"])
def test_the_deadline_covers_the_whole_call_to_the_last_byte(http: Http, first: bytes) -> None:
    def begin(link: socket.socket, _head: bytes) -> None:
        link.sendall(first)
        peer.stall()

    with Peer(begin) as peer:
        began = time.monotonic()
        with pytest.raises(NoAnswer, match=r"longer than 0\.3 s"):
            ask(http, peer.url, deadline_s=0.3)
        assert time.monotonic() - began < 3


def test_bytes_that_trickle_do_not_outlast_the_deadline(http: Http) -> None:
    def trickle(link: socket.socket, _head: bytes) -> None:
        link.sendall(answer(b"{}" * 50)[:-40])
        while not peer.closing.wait(0.05):
            link.sendall(b" ")

    with Peer(trickle) as peer, pytest.raises(NoAnswer):
        ask(http, peer.url, deadline_s=0.4)


def test_a_deadline_that_passes_before_anything_was_sent_is_known(http: Http) -> None:
    with Peer(lambda _link, _head: peer.stall()) as peer, ThreadPoolExecutor(4) as threads:
        # The pool has four connections, all of them busy.
        busy = [threads.submit(ask, http, peer.url, deadline_s=1.5) for _ in range(4)]
        deadline = time.monotonic() + 5
        while len(peer.heads) < 4:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        with pytest.raises(SystemDown, match="nothing was sent"):
            ask(http, peer.url, deadline_s=0.2)
        assert all(isinstance(one.exception(10), NoAnswer) for one in busy)


def test_an_answer_above_the_cap_is_refused_while_it_comes(http: Http) -> None:
    whole = answer(b"x" * (MAX_ANSWER + 1))
    with Peer(lambda link, _: link.sendall(whole)) as peer, pytest.raises(NoAnswer, match="longer"):
        ask(http, peer.url)


def test_the_cap_counts_what_a_packed_answer_becomes(http: Http) -> None:
    packed = gzip.compress(b"x" * (MAX_ANSWER + 1))
    assert len(packed) < 100_000
    with (
        Peer(lambda link, _: link.sendall(answer(packed, "Content-Encoding: gzip"))) as peer,
        pytest.raises(NoAnswer, match="longer"),
    ):
        ask(http, peer.url)


def test_no_error_names_the_address_or_its_query(http: Http) -> None:
    with Peer(lambda _link, _head: None) as peer:
        errors: list[Temporary] = []
        for url in (f"{peer.url}/members?email=ada@example.com", f"http://127.0.0.1:{free_port()}/x?email=ada@example.com"):
            with pytest.raises(Temporary) as caught:
                ask(http, url)
            errors.append(caught.value)

    for error in errors:
        assert "capsule: GET /parties" in str(error)
        assert "ada" not in str(error)
        assert "127.0.0.1" not in str(error)
        assert error.__cause__ is None, "the library's own error may hold the address"


def test_nothing_is_logged_about_a_call(http: Http, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Peer(lambda link, _: link.sendall(answer(b"{}"))) as peer:
        ask(http, peer.url + "/members?email=ada@example.com")

    assert "ada" not in caplog.text


def test_many_threads_share_it(http: Http) -> None:
    with Peer(lambda link, head: link.sendall(answer(head.split()[1]))) as peer, ThreadPoolExecutor(16) as threads:
        bodies = list(threads.map(lambda n: ask(http, f"{peer.url}/{n}").body, range(64)))

    assert bodies == [f"/{n}".encode() for n in range(64)]


def test_closing_ends_calls_that_are_under_way() -> None:
    http = Http(user_agent="x")
    http.start()
    with Peer(lambda _link, _head: peer.stall()) as peer, ThreadPoolExecutor(1) as threads:
        call = threads.submit(ask, http, peer.url, deadline_s=30)
        deadline = time.monotonic() + 5
        while not peer.heads:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        http.close()
        assert isinstance(call.exception(5), NoAnswer)


def test_without_a_start_there_is_no_call() -> None:
    http = Http(user_agent="x")
    with pytest.raises(RuntimeError, match="start"):
        ask(http, "http://127.0.0.1:1/")
    http.start()
    http.close()
    http.close()
    with pytest.raises(RuntimeError, match="start"):
        ask(http, "http://127.0.0.1:1/")
