"""The outermost layer of a simulator: every vendor request is written down, and fails when it was told to."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import httpx
import orjson
from starlette.applications import Starlette
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Match, Route

from tests.simulators.control import HEADERS_OF_INTEREST, Control, Fault, Json, Seen, route_name

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from starlette.types import ExceptionHandler, Message, Receive, Scope, Send

PAGE = "<html><head><title>Bad gateway</title></head><body><h1>Bad gateway</h1></body></html>"
TEXT_KEPT = 2_000


class SimulatorApp(Starlette):
    """A Starlette application with the log and the faults of `control` around its routes.

    `base` is the part of a route's path that its name leaves out. `lifespan` and `exception_handlers` are Starlette's.
    """

    def __init__(
        self,
        *,
        control: Control,
        base: str,
        routes: Sequence[Route],
        lifespan: Callable[[Any], Any] | None = None,
        exception_handlers: Mapping[Any, ExceptionHandler] | None = None,
    ) -> None:
        super().__init__(routes=routes, lifespan=lifespan, exception_handlers=exception_handlers)
        self.control = control
        own = [route for route in routes if not route.path.startswith("/_control/")]
        self._named = [(route, route_name(route.path, base)) for route in own]

    def route_of(self, scope: Scope) -> str:
        """The name of the route that a request meets; `(unknown)` for a path that has none."""
        partial = "(unknown)"
        for route, name in self._named:
            match, _ = route.matches(scope)
            if match is Match.FULL:
                return name
            if match is Match.PARTIAL and partial == "(unknown)":
                partial = name
        return partial

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Anything but a vendor's request goes straight to the routes."""
        if scope["type"] != "http" or scope["path"].startswith("/_control/"):
            await super().__call__(scope, receive, send)
            return
        body = await _whole_body(receive)
        if body is None:
            return  # Whoever sent it is gone in the middle, as one that was killed: no server acts on half a request.
        seen = self._note(scope, body)
        began = time.perf_counter()
        fault = self.control.strike(f"{seen.method} {seen.route}", seen.path)
        watched = _Watched(send=send, seen=seen)
        try:
            await self._work(fault, scope, _Replay(body, receive), watched)
        finally:
            seen.seconds = round(time.perf_counter() - began, 6)

    async def _work(self, fault: Fault | None, scope: Scope, receive: _Replay, send: _Watched) -> None:
        """Do what the vendor does, or what the fault says."""
        if fault is None:
            await super().__call__(scope, receive, send)
            return
        send.seen.fault = fault.kind
        if fault.kind == "stall":
            held = _Held()
            await super().__call__(scope, receive, held)
            await asyncio.sleep(fault.seconds)
            await held.release(send)
            return
        if fault.kind == "drip":
            held = _Held()
            await super().__call__(scope, receive, held)
            await held.drip(send, fault.seconds)
            return
        if fault.seconds:
            await asyncio.sleep(fault.seconds)
        if fault.kind == "cut":
            await _end_connection(send.send, receive.receive)
        elif fault.kind == "lost":
            await super().__call__(scope, receive, _Held())
            await _end_connection(send.send, receive.receive)
        elif fault.kind in {"status", "html"}:
            await _failure(fault)(scope, receive, send)
        else:
            if fault.kind == "token_expired":
                self.control.expire(_bearer(send.seen))
            await super().__call__(scope, receive, send)

    def _note(self, scope: Scope, body: bytes) -> Seen:
        """Write the request into the log."""
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        return self.control.note(
            method=scope["method"],
            route=self.route_of(scope),
            path=scope["path"],
            query=scope["query_string"].decode("latin-1"),
            headers={name: headers[name] for name in HEADERS_OF_INTEREST if name in headers},
            body=_readable(body),
        )


class _Replay:
    """A receive channel that gives a body that was read already, then whatever the connection says."""

    def __init__(self, body: bytes, receive: Receive) -> None:
        self._body: bytes | None = body
        self.receive = receive

    async def __call__(self) -> Message:
        """The next message of the request."""
        if self._body is None:
            return await self.receive()
        body, self._body = self._body, None
        return {"type": "http.request", "body": body, "more_body": False}


class _Watched:
    """A send channel that notes the status in the log."""

    def __init__(self, *, send: Send, seen: Seen) -> None:
        self.send = send
        self.seen = seen

    async def __call__(self, message: Message) -> None:
        """Pass one message on."""
        if message["type"] == "http.response.start":
            self.seen.status = message["status"]
        await self.send(message)


class _Held:
    """A send channel that keeps an answer back."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    async def __call__(self, message: Message) -> None:
        """Keep one message."""
        self._messages.append(message)

    async def release(self, send: Send) -> None:
        """Send what was kept."""
        for message in self._messages:
            await send(message)

    async def drip(self, send: Send, seconds: float) -> None:
        """Send what was kept, its body a byte at a time."""
        for message in self._messages:
            if message["type"] != "http.response.body":
                await send(message)
                continue
            for byte in message.get("body", b""):
                await send({"type": "http.response.body", "body": bytes((byte,)), "more_body": True})
                await asyncio.sleep(seconds)
            await send({"type": "http.response.body", "body": b"", "more_body": message.get("more_body", False)})


async def _whole_body(receive: Receive) -> bytes | None:
    """The body of a request; None if the connection ended before it did."""
    parts = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _readable(body: bytes) -> object:
    """A body for the log: JSON where it is JSON, else the beginning of its text, None when empty."""
    if not body:
        return None
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return body[:TEXT_KEPT].decode("utf-8", "replace")


def _bearer(seen: Seen) -> str:
    """The token of a request."""
    return seen.headers.get("authorization", "").partition(" ")[2]


def _failure(fault: Fault) -> Response:
    """The answer that a fault of kind `status` or `html` gives."""
    if fault.kind == "html":
        page = fault.body if isinstance(fault.body, str) else PAGE
        return HTMLResponse(page, status_code=fault.status or 502, headers=fault.headers)
    status = fault.status or 500
    if isinstance(fault.body, str):
        return PlainTextResponse(fault.body, status_code=status, headers=fault.headers)
    body = {"message": "Fault of the simulator"} if fault.body is None else fault.body
    return Json(body, status_code=status, headers=fault.headers)


async def _end_connection(send: Send, receive: Receive) -> None:
    """End the connection without an answer.

    Under uvicorn the connection's transport is reached through the bound `send`; in process (httpx.ASGITransport) there is
    none, and the caller's httpx sees the error that it raises for a real cut.
    """
    cycle = getattr(send, "__self__", None)
    transport = getattr(cycle, "transport", None)
    if transport is None:
        raise httpx.RemoteProtocolError("Server disconnected without sending a response.")
    transport.abort()
    while (await receive())["type"] != "http.disconnect":
        pass
