"""The one place that speaks HTTP: a loop of its own in a thread of its own, callable from any thread.

The total deadline of a call, from the wait for a connection to the last byte, is enforced from outside the client library
(`asyncio.timeout`), because the lease of a record is counted on it (reference/agenda.md §2: D). No redirect is followed, no
proxy is taken from the environment, and an answer above 5 MiB is refused (reference/dramatiq-redis.md D1, API7 and API10).
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from typing import TYPE_CHECKING, Final, Self

import httpx

from workers.answers import Answer
from workers.errors import Misconfigured, NoAnswer, SystemDown
from workers.tracing import traced

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

__all__ = ["MAX_ANSWER", "Answer", "Http"]

MAX_ANSWER: Final = 5 * 1024 * 1024
# Shorter than the idle time of any server we know, so that a call seldom goes out on a connection that is just being closed.
KEEP_ALIVE_S: Final = 4.0
GRACE_S: Final = 5.0
TOO_MANY: Final = 429


class Http:
    """Calls other systems. One per process, made after the process has forked.

    `start` it before the first request and `close` it at the end, or use it as a context manager. `counted` is told of each
    call: the system, and how it ended: `2xx`, `4xx`, `429`, `5xx`, `no_answer`, `not_sent`.
    """

    def __init__(self, *, user_agent: str, pool_size: int = 20, counted: Callable[[str, str], None] | None = None) -> None:
        self._user_agent = user_agent
        self._counted = counted
        self._pool_size = pool_size
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._client: httpx.AsyncClient | None = None

    def start(self) -> None:
        """Starts the thread and its loop; a second call changes nothing."""
        if self._loop is not None:
            return
        # Its lines at INFO name whole addresses, and a query string may hold an e-mail address.
        for name in ("httpx", "httpcore"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(self._loop,), name="http", daemon=True)
        self._thread.start()
        self._client = httpx.AsyncClient(
            headers={"User-Agent": self._user_agent, "Accept": "application/json"},
            follow_redirects=False,
            trust_env=False,
            timeout=None,  # noqa: S113 - asyncio.timeout in _call bounds the whole call
            limits=httpx.Limits(
                max_connections=self._pool_size, max_keepalive_connections=self._pool_size, keepalive_expiry=KEEP_ALIVE_S
            ),
        )

    @staticmethod
    def _run(loop: asyncio.AbstractEventLoop) -> None:
        asyncio.set_event_loop(loop)
        loop.run_forever()

    def close(self) -> None:
        """Closes the connections and ends the thread. Calls under way fail with NoAnswer."""
        loop, thread, client = self._loop, self._thread, self._client
        if loop is None or thread is None or client is None:
            return
        self._loop = self._thread = self._client = None
        asyncio.run_coroutine_threadsafe(_finish(client), loop).result(GRACE_S)
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
    ) -> Answer:
        """Sends one request, once, and returns its whole answer whatever the status.

        `system` ("capsule") and `route` ("GET /parties/{ids}") are what an error names: never the address itself, whose query
        may hold personal data. `json` is the encoded body, `form` the fields of a form; `deadline_s` is in seconds.

        Raises:
            SystemDown: nothing was sent: no connection, no name, bad certificate, or the deadline passed before.
            NoAnswer: something was sent and no whole answer of an acceptable size came back in time.
            Misconfigured: the address is not one that can be called.
        """
        loop, client = self._loop, self._client
        if loop is None or client is None:
            raise RuntimeError("Http.start() was not called, or close() was.")
        sent = threading.Event()
        call = _call(
            client,
            sent=sent,
            deadline_s=deadline_s,
            method=method,
            url=url,
            headers=dict(headers or {}) | ({"Content-Type": "application/json"} if json is not None else {}),
            content=json,
            data=dict(form) if form is not None else None,
        )
        future = asyncio.run_coroutine_threadsafe(call, loop)
        try:
            answer = future.result(deadline_s + GRACE_S)
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            advice = f"Mend the address of {system} in relay.toml."
            raise Misconfigured(f"{system}: {route}: the address cannot be called", advice=advice, system=system) from None
        except (httpx.HTTPError, TimeoutError, concurrent.futures.CancelledError, OSError, _TooLarge) as error:
            what = _words(error, deadline_s)
            self._count(system, "no_answer" if sent.is_set() else "not_sent")
            if not sent.is_set():
                raise SystemDown(f"{system}: {route}: nothing was sent: {what}", system=system) from None
            raise NoAnswer(f"{system}: {route}: no answer: {what}", system=system) from None
        finally:
            future.cancel()  # A thread that is interrupted while it waits must not leave its call behind.
        self._count(system, "429" if answer.status == TOO_MANY else f"{answer.status // 100}xx")
        return answer

    def _count(self, system: str, ended: str) -> None:
        if self._counted is not None:
            self._counted(system, ended)


class _TooLarge(Exception):
    """The answer is longer than MAX_ANSWER."""


def _words(error: BaseException, deadline_s: float) -> str:
    if isinstance(error, TimeoutError):
        return f"it took longer than {deadline_s:g} s"
    if isinstance(error, _TooLarge):
        return f"it was longer than {MAX_ANSWER} bytes"
    # Only the kind of the failure: the library's own text may hold the address.
    return type(error).__name__


async def _call(
    client: httpx.AsyncClient,
    *,
    sent: threading.Event,
    deadline_s: float,
    method: str,
    url: str,
    headers: dict[str, str],
    content: bytes | None,
    data: dict[str, str] | None,
) -> Answer:
    async def trace(event: str, _: object) -> None:
        if event.endswith("send_request_headers.started"):
            sent.set()

    async with (
        asyncio.timeout(deadline_s),
        client.stream(method, url, headers=headers, content=content, data=data, extensions={"trace": trace}) as response,
    ):
        chunks: list[bytes] = []
        size = 0
        async for chunk in response.aiter_bytes():
            size += len(chunk)
            if size > MAX_ANSWER:
                raise _TooLarge
            chunks.append(chunk)
        return Answer(response.status_code, dict(response.headers), b"".join(chunks))


async def _finish(client: httpx.AsyncClient) -> None:
    others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    await client.aclose()
