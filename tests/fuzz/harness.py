"""What one input does: it goes to one of the targets, and anything but the promised behaviour is an AssertionError.

The first byte chooses the target, so that one corpus serves all. The whole application is called as a server would call it
(ASGI), with a store in memory that keeps the real one's promises; there is no network and no clock that matters.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import logging
import sys
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

import orjson
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mapping.agenda import CONNECTION_NAME, KINDS, RecordKey
from mapping.errors import UnreadableDelivery
from mapping.events import LARGEST_ID, delivery, records
from mapping.keys import hook_path, hook_token
from receiver import spool, verify
from receiver.app import build
from receiver.protocol import HookProtocol
from receiver.settings import Connection, Settings

if TYPE_CHECKING:
    from collections.abc import Callable

SECRET: Final = "fuzz-secret-key-0123456789-abcdefgh"
SIGNING: Final = bytes(range(24))
MOST: Final = 4_096
SETTINGS: Final = Settings(
    secret_keys=(SECRET,),
    redis_url="redis://nowhere",
    connections=(
        Connection("acme", "acme", 2, "officernd", (SIGNING,)),
        Connection("uni", "uni", 1, "unified"),
        Connection("guest", "acme", 1, "unified"),
    ),
    max_body=MOST,
)
TOKEN: Final = hook_token(SECRET, "acme", 2)
PATHS: Final = (
    hook_path("acme", TOKEN),
    hook_path("uni", hook_token(SECRET, "uni", 1)),
    "/hooks/signed/acme",
    hook_path("acme", hook_token(SECRET, "acme", 1)),
    hook_path("acme", TOKEN[:-1]),
    "/hooks/signed/uni",
    "/live",
    "/ready",
    "",  # the path is the first line of the input
)
METHODS: Final = ("POST", "POST", "POST", "POST", "GET", "HEAD", "PUT", "BREW")
RIGHT: Final = frozenset((PATHS[0], PATHS[1], PATHS[3]))
ALLOWED: Final = frozenset({200, 202, 401, 404, 405, 408, 413})


class MemoryStore:
    """The four scripts of the receiver, over dictionaries that do not grow."""

    def __init__(self) -> None:
        self.opened: list[str] = []
        self.kept: dict[tuple[Any, Any], Any] = {}

    async def script(self, name: str, *arguments: Any) -> object:
        if name == "open":
            # lane, why, mark, with_bodies, traces: then the records
            self.opened += arguments[5:]
            return len(arguments) - 5
        if name == "look":
            return [self.kept.get(arguments[:2], b""), len(self.kept), b"1700000000000"]
        if name == "keep":
            if len(self.kept) > 100:
                self.kept.clear()
            self.kept[arguments[:2]] = arguments[3]
            return b"kept"
        return 1

    async def ping(self) -> None:
        return

    async def close(self) -> None:
        return


class _Lines:
    """Stands in for standard error: each text must be whole lines, and none may hold a secret."""

    def isatty(self) -> bool:
        return False

    def write(self, text: str) -> int:
        assert text.endswith("\n") or not text
        for line in text.splitlines():
            assert isinstance(orjson.loads(line), dict), "a line of the log is not one JSON object"
        assert TOKEN not in text
        return len(text)

    def flush(self) -> None:
        return


STORE: Final = MemoryStore()
APP: Final = build(SETTINGS, store=STORE)  # type: ignore[arg-type]
LOOP: Final = asyncio.new_event_loop()
LINES: Final = _Lines()


def one(data: bytes) -> None:
    """Runs one input.

    Raises:
        AssertionError: the receiver did not do what it promises. Any other exception is a finding too.
    """
    if not data:
        return
    target = TARGETS[data[0] % len(TARGETS)]
    said, sys.stderr = sys.stderr, LINES
    try:
        target(data[1:])
    finally:
        sys.stderr = said


# The route


def route(data: bytes) -> None:
    """A request: three bytes of choices, the size of its pieces, then the body (or the path and the body)."""
    choices, body = data[:4].ljust(4, b"\0"), data[4:]
    method = METHODS[choices[0] % len(METHODS)]
    path = PATHS[choices[1] % len(PATHS)]
    if not path:
        line, _, body = body.partition(b"\n")
        # As uvicorn makes it: percent escapes are undone, what is no UTF-8 is replaced.
        path = unquote(line.decode("latin-1"))
    headers = _headers(choices[2], body)
    pieces = _pieces(body, choices[3])
    STORE.opened.clear()
    sent = LOOP.run_until_complete(_ask(method, path, headers, pieces))
    status = sent[0]["status"]
    assert status in ALLOWED, f"{method} {path!r} was answered {status}"
    assert len(sent) == 2
    assert len(sent[1].get("body", b"")) == int(dict(sent[0]["headers"])[b"content-length"])
    # Redirects would tell the token to wherever they lead.
    assert b"location" not in dict(sent[0]["headers"])
    announced = next((value for name, value in headers if name == b"content-length"), b"")
    large = len(body) > MOST or (announced.isdigit() and int(announced) > MOST)
    if method == "POST" and path in RIGHT:
        assert status == (413 if large else 202), status
    if STORE.opened:
        assert status == 202
    _well_formed(STORE.opened)


def _headers(choice: int, body: bytes) -> list[tuple[bytes, bytes]]:
    headers: list[tuple[bytes, bytes]] = []
    if choice & 1:
        headers.append((b"content-length", str(len(body)).encode()))
    if choice & 2:
        headers.append((b"content-encoding", (b"gzip", b"br", b"identity", b"\xff\x00")[choice >> 6]))
    if choice & 4:
        stamp = str(int(time.time()) - (choice >> 6) * 200).encode()
        mac = base64.b64encode(hmac.digest(SIGNING, b"m." + stamp + b"." + body, hashlib.sha256))
        headers += [(b"webhook-id", b"m"), (b"webhook-timestamp", stamp), (b"webhook-signature", b"v1," + mac)]
    if choice & 8:
        headers += [(b"webhook-id", body[:9]), (b"webhook-timestamp", body[9:20]), (b"webhook-signature", body[20:99])]
    if choice & 16:
        headers.append((b"content-length", body[:12]))
    if choice & 32:
        headers += [(b"content-type", body[:20]), (b"x-forwarded-for", body[20:50])]
    return headers


def _pieces(body: bytes, size: int) -> list[bytes]:
    step = size * 8 or len(body) or 1
    return [body[start : start + step] for start in range(0, len(body), step)] or [b""]


async def _ask(method: str, path: str, headers: list[tuple[bytes, bytes]], pieces: list[bytes]) -> list[Any]:
    sent: list[Any] = []
    last = len(pieces) - 1
    coming = iter([{"type": "http.request", "body": piece, "more_body": at < last} for at, piece in enumerate(pieces)])

    async def receive() -> Any:
        return next(coming, {"type": "http.disconnect"})

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode("utf-8", "surrogatepass"),
        "root_path": "",
        "query_string": b"",
        "headers": headers,
    }
    await APP(scope, receive, send)
    return sent


def _well_formed(opened: list[str]) -> None:
    for packed in opened:
        record = RecordKey.unpack(packed)
        assert CONNECTION_NAME.fullmatch(record.connection)
        assert record.kind in KINDS
        assert 0 < record.id <= LARGEST_ID
        assert record.pack() == packed


# The parsers


def parser(data: bytes) -> None:
    """A body as the mapping reads it."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return
    readings: tuple[Callable[[], tuple[tuple[str, int], ...]], ...] = (
        lambda: delivery(document)[1],
        lambda: records("party/updated", document),
    )
    for reading in readings:
        reason = ""
        try:
            found = reading()
        except UnreadableDelivery as unreadable:
            found, reason = unreadable.records, unreadable.reason
        # The reason stands in the log: none of the body may.
        assert reason.isascii()
        assert len(set(found)) == len(found)
        _well_formed([RecordKey("acme", kind, number).pack() for kind, number in found])


def signature(data: bytes) -> None:
    """Headers of a signed relay, one per line, then the body."""
    identity, stamp, listed, body = (data.split(b"\n", 3) + [b""] * 4)[:4]
    verify.timely(stamp, now=1_700_000_000.0)
    verify.signature_headers([(b"webhook-id", identity), (b"webhook-timestamp", stamp), (b"webhook-signature", listed)])
    right = b"v1," + base64.b64encode(hmac.digest(SIGNING, b".".join((identity, stamp, body)), hashlib.sha256))
    good = bool(identity) and b"." not in identity
    accepted = verify.signed((SIGNING,), identity=identity, stamp=stamp, listed=listed, body=body)
    assert accepted == (good and right in listed.split(b" "))
    assert verify.signed((bytes(24), SIGNING), identity=identity, stamp=stamp, listed=listed + b" " + right, body=body) == good
    text = data.decode("utf-8", "surrogateescape")
    assert TOKENS.admit("acme", text) == (text in GOOD)
    assert not TOKENS.admit(text, text)


TOKENS: Final = verify.Tokens(SETTINGS.secret_keys, SETTINGS.connections)
GOOD: Final = {hook_token(SECRET, "acme", generation) for generation in (1, 2)}


def agenda(data: bytes) -> None:
    """A packed record key."""
    text = data.decode("utf-8", "replace")
    try:
        record = RecordKey.unpack(text)
    except ValueError:
        return
    assert RecordKey.unpack(record.pack()) == record


def kept(data: bytes) -> None:
    """A file of the spool, damaged in any way; and any text as part of an entry."""
    content = spool.read(data)
    assert all(isinstance(entry, dict) for entry in content.entries)
    entry = {"at": 1, "open": [data.decode("utf-8", "replace")]}
    line = spool.line_of(entry)
    again = spool.read(line + data[:40])
    assert again.entries[0] == entry


# The wire


class _Wire(asyncio.Transport):
    """Keeps what is written until the end."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += b"" if self.closed else bytes(data)

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        return

    def resume_reading(self) -> None:
        return


def wire(data: bytes) -> None:
    """Whatever a connection may carry, cut in two: our protocol answers what uvicorn's own answers, and opens the same.

    Two bytes say where it is cut; `{hook}` in the rest stands for a path with a good token.
    """
    place, text = int.from_bytes(data[:2], "big"), data[2:].replace(b"{hook}", PATHS[0].encode())
    cut = place % (len(text) + 1)
    pieces = [piece for piece in (text[:cut], text[cut:]) if piece]
    answers = [LOOP.run_until_complete(_connected(way, pieces)) for way in (HookProtocol, HttpToolsProtocol)]
    assert answers[0] == answers[1]
    _well_formed(answers[0][2])


async def _connected(way: type[HttpToolsProtocol], pieces: list[bytes]) -> tuple[bytes, bool, list[str]]:
    STORE.opened.clear()
    transport, state = _Wire(), ServerState()
    protocol = way(CONFIG, state, {}, LOOP)
    protocol.connection_made(transport)
    for piece in pieces:
        if not transport.closed:
            protocol.data_received(piece)
        # Until nothing moves: tasks of uvicorn's way, and the admission of ours.
        for _ in range(60):
            await asyncio.sleep(0)
    found = transport.written, transport.closed, list(STORE.opened)
    protocol.connection_lost(None)
    for _ in range(60):
        await asyncio.sleep(0)
    return found


CONFIG: Final = Config(APP, http=HookProtocol, log_config=None, proxy_headers=False, access_log=False)
logging.getLogger("uvicorn").setLevel(logging.CRITICAL)  # it warns of each request that is none

# The route three times: it is what strangers reach, and it holds the parsers too.
TARGETS: Final[tuple[Callable[[bytes], None], ...]] = (route, parser, signature, agenda, kept, route, route, wire)
