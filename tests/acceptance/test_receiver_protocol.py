"""Our shorter way through uvicorn answers what uvicorn's own way answers, whatever comes and however it is cut."""

from __future__ import annotations

import gzip
import inspect
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from receiver.protocol import LEANS_ON
from tests.acceptance.receiving import Receiver, answer_of, body_of, counts, letters, opened, path_of, until
from tests.acceptance.test_receiver import LIMIT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis

    from workers.embedded import EmbeddedServer

pytestmark = pytest.mark.processes

PATH = path_of("acme")


def post(body: bytes, *headers: str, path: str = PATH, version: str = "1.1", close: bool = True) -> bytes:
    """A request as it goes over the wire; the last one of a connection asks for its end."""
    lines = [f"POST {path} HTTP/{version}", "Host: x", f"Content-Length: {len(body)}", *headers]
    return ("\r\n".join([*lines, *(["Connection: close"] if close else []), "", ""])).encode() + body


def chunked(*parts: bytes) -> bytes:
    head = f"POST {PATH} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in (*parts, b""))


WHOLE = post(body_of(1))
FIRST = post(body_of(1), close=False)
TWO = FIRST + post(body_of(2))
REQUESTS: dict[str, tuple[bytes, ...]] = {
    "whole": (WHOLE,),
    "of no interest": (post(body_of(1, event="task/updated")),),
    "two, the first of no interest": (post(body_of(1, event="task/updated"), close=False) + post(body_of(2)),),
    "head, then body": (WHOLE[: WHOLE.index(b"\r\n\r\n") + 4], WHOLE[WHOLE.index(b"\r\n\r\n") + 4 :]),
    "cut in the head": (WHOLE[:30], WHOLE[30:]),
    "cut in the body": (WHOLE[:-5], WHOLE[-5:]),
    "three pieces of body": (WHOLE[:-9], WHOLE[-9:-3], WHOLE[-3:]),
    "two at once": (TWO,),
    "two, cut in the second head": (TWO[: len(FIRST) + 20], TWO[len(FIRST) + 20 :]),
    "two, cut in the second body": (TWO[:-4], TWO[-4:]),
    "five at once": (b"".join(post(body_of(n), close=False) for n in range(1, 5)) + post(body_of(5)),),
    "a good one behind a bad token": (post(body_of(1), path=PATH[:-1] + "_", close=False) + post(body_of(2)),),
    "a bad token behind a good one": (post(body_of(1), close=False) + post(body_of(2), path=PATH[:-1] + "_"),),
    "chunked": (chunked(body_of(1)),),
    "chunked in pieces": (chunked(body_of(1)[:5], body_of(1)[5:]),),
    "a malformed chunk": (chunked(b"x").replace(b"\r\n1\r\n", b"\r\nzz\r\n"),),
    "expects 100": (post(body_of(1), "Expect: 100-continue"),),
    "HTTP/1.0": (post(body_of(1), version="1.0"),),
    "an upgrade": (post(body_of(1), "Upgrade: h2c"),),
    "a query string": (post(body_of(1), path=PATH + "?a=1"),),
    "an escaped path": (post(body_of(1), path=PATH.replace("acme", "ac%6De")),),
    "an absolute address": (post(body_of(1), path="http://x" + PATH),),
    "a longer path": (post(body_of(1), path=PATH + "/more"),),
    "no body": (post(b""),),
    "no JSON": (post(b"{"),),
    "compressed": (post(gzip.compress(body_of(1)), "Content-Encoding: gzip"),),
    "said to be not compressed": (post(body_of(1), "Content-Encoding: identity"),),
    "a header twice": (post(body_of(1), "X-A: 1", "X-A: 2"),),
    "no HTTP": (b"NOT HTTP AT ALL\r\n\r\n",),
    "GET": (WHOLE.replace(b"POST", b"GET", 1),),
    "as large as may be": (post(body_of(1) + b" " * (LIMIT - len(body_of(1)))),),
    "too large": (post(b"x" * (LIMIT + 1)),),
    "too large, behind a good one": (post(body_of(1), close=False) + post(b"x" * (LIMIT + 1)),),
    "garbage behind a good one": (post(body_of(1), close=False) + b"\x00\x01garbage\r\n\r\n",),
}


@pytest.fixture(scope="module")
def both(server: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Receiver, Receiver]]:
    """Ours, and uvicorn's own."""
    folders = tmp_path_factory.mktemp("ours"), tmp_path_factory.mktemp("theirs")
    with (
        Receiver(folders[0], server.url, RELAY_MAX_BODY=str(LIMIT)) as ours,
        Receiver(folders[1], server.url, "--http", "httptools", RELAY_MAX_BODY=str(LIMIT)) as theirs,
    ):
        yield ours, theirs


def said(receiver: Receiver, pieces: tuple[bytes, ...]) -> bytes:
    """All that comes back, without the date; each piece is sent when the receiver has read the one before."""
    with socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for number, piece in enumerate(pieces):
            if number:
                until(lambda: not unread(receiver, link))
            link.sendall(piece)
        return re.sub(rb"date: [^\r]+\r\n", b"", answer_of(link))


def unread(receiver: Receiver, link: socket.socket) -> bool:
    """Whether the receiver has bytes of this connection that it has not read yet, as the kernel says."""
    here, there = link.getsockname()[1], receiver.port
    with open("/proc/net/tcp", encoding="ascii") as table:  # noqa: PTH123 - a file of the kernel's
        for line in table:
            words = line.split()
            if words[1].endswith(f":{there:04X}") and words[2].endswith(f":{here:04X}"):
                return int(words[4].split(":")[1], 16) > 0
    return True  # not accepted yet


@pytest.mark.parametrize("pieces", REQUESTS.values(), ids=list(REQUESTS))
def test_both_ways_answer_alike_and_open_the_same(
    both: tuple[Receiver, Receiver], store: redis.Redis, pieces: tuple[bytes, ...]
) -> None:
    found = []
    for receiver in both:
        store.flushall()
        answer = said(receiver, pieces)
        kept = [(one["reason"], one["size"]) for one in letters(store)]
        found.append((answer, opened(store), kept))
    ours, theirs = found
    assert ours == theirs
    assert ours[0].startswith(b"HTTP/1.1 ")


def test_what_is_relied_on_of_uvicorn_is_there() -> None:
    made = inspect.getsource(HttpToolsProtocol)
    for name in LEANS_ON:
        assert hasattr(HttpToolsProtocol, name) or f"self.{name} = " in made or f"self.{name}: " in made, name
    # All that it reads or sets of a request under way, which ours has too
    touched = set(re.findall(r"self\.cycle\.(\w+)", made)) | set(re.findall(r"existing_cycle\.(\w+)", made))
    assert touched <= {"disconnected", "keep_alive", "message_event", "response_complete", "body", "more_body", "run_asgi"}
    assert "on_response" in inspect.getsource(RequestResponseCycle)


def test_a_sender_that_leaves_before_its_answer_is_admitted_all_the_same(
    both: tuple[Receiver, Receiver], store: redis.Redis
) -> None:
    ours, _ = both
    for number in range(1, 20):
        with socket.create_connection(("127.0.0.1", ours.port), timeout=5) as link:
            link.sendall(post(body_of(number), close=False))
    until(lambda: len(opened(store)) == 19)
    assert ours.post(body_of(20)).status_code == 202
    assert "Traceback" not in ours.log


def test_a_sender_that_does_not_read_is_not_served_without_end(both: tuple[Receiver, Receiver]) -> None:
    ours, _ = both
    with socket.create_connection(("127.0.0.1", ours.port), timeout=0.5) as link:
        link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        request = post(body_of(1), close=False) * 200
        ends = time.monotonic() + 30
        with pytest.raises(TimeoutError):  # noqa: PT012 - it is the repetition that must end
            while time.monotonic() < ends:
                link.sendall(request)
        assert ours.post(body_of(2)).status_code == 202
    assert "Traceback" not in ours.log


def test_an_answer_that_is_under_way_when_the_process_stops_ends_its_connection(server: EmbeddedServer, tmp_path: Path) -> None:
    with Receiver(tmp_path, server.url) as receiver, socket.create_connection(("127.0.0.1", receiver.port), timeout=10) as link:
        link.sendall(post(body_of(7), close=False))
        assert link.recv(65_536).startswith(b"HTTP/1.1 202 ")
        receiver.process.send_signal(signal.SIGTERM)
        assert answer_of(link) == b""
        assert receiver.process.wait(15) in {0, -signal.SIGTERM}
        assert "Traceback" not in receiver.log


def test_refusals_are_counted_as_before(both: tuple[Receiver, Receiver], store: redis.Redis) -> None:
    ours, _ = both
    said(ours, (post(body_of(1), path=PATH[:-1] + "_"),))
    said(ours, (WHOLE,))
    until(lambda: {"delivery.refused_404", "delivery.admitted|acme"} <= set(counts(store)))
