"""The one place that speaks HTTP: a loop of its own in a thread of its own, callable from any thread.

The total deadline of a call, from the wait for a connection to the last byte, is enforced from outside the client library
(`asyncio.timeout`), because the lease of a record is counted on it (reference/agenda.md §2: D). No redirect is followed, no
proxy is taken from the environment, and an answer above 5 MiB is refused (reference/dramatiq-redis.md D1, API7 and API10).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import ipaddress
import logging
import socket
import threading
from typing import TYPE_CHECKING, Final, Self

import httpx
import uvloop

from workers.answers import Answer
from workers.errors import Misconfigured, NoAnswer, SystemDown
from workers.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from types import TracebackType

__all__ = ["MAX_ANSWER", "Answer", "Http"]

MAX_ANSWER: Final = 5 * 1024 * 1024
# Shorter than the idle time of any server we know, so that a call seldom goes out on a connection that is just being closed.
KEEP_ALIVE_S: Final = 4.0
GRACE_S: Final = 5.0
TOO_MANY: Final = 429
MOST_ADDRESSES: Final = 3
NAT64: Final = ipaddress.ip_network("64:ff9b::/96")


class Http:
    """Calls other systems. One per process, made after the process has forked.

    `start` it before the first request and `close` it at the end, or use it as a context manager. `counted` is told of each
    call: the system, and how it ended: `2xx`, `4xx`, `429`, `5xx`, `no_answer`, `not_sent`. `resolve` looks up the addresses of
    a host for calls that may only leave for the public internet.
    """

    def __init__(
        self,
        *,
        user_agent: str,
        pool_size: int = 20,
        counted: Callable[[str, str], None] | None = None,
        resolve: Callable[[str, int], Awaitable[Sequence[str]]] | None = None,
    ) -> None:
        self._headers = {"User-Agent": user_agent, "Accept": "application/json", "Accept-Encoding": "gzip, deflate"}
        self._resolve = resolve or addresses
        self._pinned: dict[tuple[str, int], httpx.AsyncHTTPTransport] = {}
        self._counted = counted
        self._pool_size = pool_size
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._transport: httpx.AsyncHTTPTransport | None = None

    def start(self) -> None:
        """Starts the thread and its loop; a second call changes nothing."""
        if self._loop is not None:
            return
        # Its lines at INFO name whole addresses, and a query string may hold an e-mail address.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="http", daemon=True)
        self._thread.start()
        self._transport = self._make_transport()

    def _make_transport(self) -> httpx.AsyncHTTPTransport:
        """A pool of connections: httpx without its client, whose redirects, cookies and sign-ins are not for us."""
        limits = httpx.Limits(
            max_connections=self._pool_size, max_keepalive_connections=self._pool_size, keepalive_expiry=KEEP_ALIVE_S
        )
        return httpx.AsyncHTTPTransport(trust_env=False, limits=limits)

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def close(self) -> None:
        """Closes the connections and ends the thread. Calls under way fail with NoAnswer."""
        loop, thread, transport = self._loop, self._thread, self._transport
        if loop is None or thread is None or transport is None:
            return
        self._loop = self._thread = self._transport = None
        transports, self._pinned = [transport, *self._pinned.values()], {}
        asyncio.run_coroutine_threadsafe(_finish(transports), loop).result(GRACE_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(GRACE_S)
        loop.close()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @traced
    def request(
        self,
        method: str,
        url: str,
        *,
        system: str,
        route: str,
        headers: Mapping[str, str] | None = None,
        json: bytes | None = None,
        form: Mapping[str, str] | None = None,
        deadline_s: float = 10.0,
        public_only: bool = False,
    ) -> Answer:
        """Sends one request, once, and returns its whole answer whatever the status.

        `system` ("capsule") and `route` ("GET /parties/{ids}") are what an error names: never the address itself, whose query
        may hold personal data. `json` is the encoded body, `form` the fields of a form; `deadline_s` is in seconds.
        `public_only`: the address was given to us by somebody who may not look into our network. The host is resolved here,
        the call goes to one of the addresses found, and one that is private, of this machine or of a link is never called.

        Raises:
            SystemDown: nothing was sent: no connection, no name, a refused address, bad certificate, or the deadline passed.
            NoAnswer: something was sent and no whole answer of an acceptable size came back in time.
            Misconfigured: the address is not one that can be called.
        """
        loop, transport = self._loop, self._transport
        if loop is None or transport is None:
            raise RuntimeError("Http.start() was not called, or close() was.")
        sent = threading.Event()
        request = _Request(
            method,
            url,
            headers=self._headers | dict(headers or {}) | ({"Content-Type": "application/json"} if json is not None else {}),
            content=json,
            data=dict(form) if form is not None else None,
        )
        call = self._public(request, sent=sent) if public_only else _call(transport, request, sent=sent)
        future = asyncio.run_coroutine_threadsafe(_within(call, deadline_s), loop)
        try:
            answer = future.result(deadline_s + GRACE_S)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            advice = f"Mend the address of {system} in relay.toml."
            raise Misconfigured(f"{system}: {route}: the address cannot be called", advice=advice, system=system) from None
        except (httpx.HTTPError, TimeoutError, concurrent.futures.CancelledError, OSError, _TooLarge, _NotPublic) as error:
            what = _words(error, deadline_s)
            self._count(system, "no_answer" if sent.is_set() else "not_sent")
            if not sent.is_set():
                raise SystemDown(f"{system}: {route}: nothing was sent: {what}", system=system) from None
            raise NoAnswer(f"{system}: {route}: no answer: {what}", system=system) from None
        finally:
            future.cancel()  # A thread that is interrupted while it waits must not leave its call behind.
        self._count(system, "429" if answer.status == TOO_MANY else f"{answer.status // 100}xx")
        return answer

    async def _public(self, request: _Request, *, sent: threading.Event) -> Answer:
        """Sends to an address that was looked at before: the name is not resolved again between the look and the connection.

        Each host has a pool of its own, since connections are kept by address and two hosts may share one.
        """
        url = httpx.URL(request.url)
        port = url.port or (443 if url.scheme == "https" else 80)
        found = [one for one in await self._resolve(url.host, port) if is_public(one)]
        if not found:
            raise _NotPublic
        transport = self._pinned.setdefault((url.host, port), self._make_transport())
        headers = {**request.headers, "Host": url.netloc.decode("ascii")}
        failed: Exception | None = None
        for address in found[:MOST_ADDRESSES]:
            pinned = _Request(
                request.method, str(url.copy_with(host=address)), headers=headers, content=request.content, data=request.data
            )
            try:
                return await _call(transport, pinned, sent=sent, host=url.host)
            except httpx.ConnectError as error:  # nothing was sent: another address of the same host may answer
                failed = error
        raise failed or _NotPublic

    def _count(self, system: str, ended: str) -> None:
        if self._counted is not None:
            self._counted(system, ended)


class _TooLarge(Exception):
    """The answer is longer than MAX_ANSWER."""


class _NotPublic(Exception):
    """The host has no address on the public internet."""


class _Request:
    """What is sent."""

    __slots__ = ("content", "data", "headers", "method", "url")

    def __init__(
        self, method: str, url: str, *, headers: dict[str, str], content: bytes | None, data: dict[str, str] | None
    ) -> None:
        self.method = method
        self.url = url
        self.headers = headers
        self.content = content
        self.data = data


async def addresses(host: str, port: int) -> Sequence[str]:
    """The addresses of a host, in the system's order. Raises OSError when it has none."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(where[0]) for *_, where in found))


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, also by the IPv4 address that is inside an IPv6 one."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inside = (
            found.ipv4_mapped or found.sixtofour or (ipaddress.IPv4Address(int(found) & 0xFFFFFFFF) if found in NAT64 else None)
        )
        if inside is not None:
            return is_public(str(inside))
    return found.is_global and not found.is_multicast


def _words(error: BaseException, deadline_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"it took longer than {deadline_s:g} s"
    if isinstance(error, _NotPublic):
        return "its host has no public address; allow_private_addresses would allow the others"
    if isinstance(error, _TooLarge):
        return f"it was longer than {MAX_ANSWER} bytes"
    # Only the kind of the failure: the library's own text may hold the address.
    return type(error).__name__


async def _within(call: Awaitable[Answer], deadline_s: float) -> Answer:
    async with asyncio.timeout(deadline_s):
        return await call


async def _call(transport: httpx.AsyncHTTPTransport, request: _Request, *, sent: threading.Event, host: str = "") -> Answer:
    """One request. `host` is whose certificate is asked for where the address in the URL is not its name."""

    async def trace(event: str, _: object) -> None:
        if event.endswith("send_request_headers.started"):
            sent.set()

    extensions: dict[str, object] = {"trace": trace} | ({"sni_hostname": host} if host else {})
    whole = httpx.Request(
        request.method, request.url, headers=request.headers, content=request.content, data=request.data, extensions=extensions
    )
    if not whole.url.host:
        raise httpx.UnsupportedProtocol("no host")
    response = await transport.handle_async_request(whole)
    try:
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > MAX_ANSWER:
                raise _TooLarge
            chunks.append(chunk)
    finally:
        await response.aclose()
    return Answer(response.status_code, dict(response.headers), b"".join(chunks))


async def _finish(transports: Sequence[httpx.AsyncHTTPTransport]) -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    for transport in transports:
        await transport.aclose()
