"""The console's routes: how everything is, connecting a Capsule account, figures for Prometheus. Pages work without scripts.

It speaks plain HTTP; a proxy in front of it brings TLS. Who may come is decided in `workers/console/access.py`. The one-time link
and the way back from Capsule need no sign-in: each of them is signed and good once.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse
from starlette.routing import Route

from workers.console import frame as frames
from workers.console.access import Refused
from workers.console.connecting import Connecting
from workers.console.door import Door
from workers.console.explaining import Explaining
from workers.console.letters import LetterDesk
from workers.console.looking import Looking
from workers.console.unified import app as unified
from workers.errors import QueueAway, WorkerError
from workers.flows import connect
from workers.signs import Signs

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from workers.services import Services

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


def build(services: Services) -> ASGIApp:
    """The console as an ASGI application. Nothing is connected before the first request."""
    door = Door(services)
    connecting, looking, desk = Connecting(services, door), Looking(services, door), LetterDesk(services)
    explaining = Explaining(services)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services.start()
        Signs(services.redis, services.proc, "console").keep(services.counts, services.stopping)
        try:
            yield
        finally:
            services.close()

    own = urlsplit(services.settings.console_base).hostname or ""
    app = Starlette(
        routes=[
            Route("/", door.guarded(looking.home)),
            Route("/connections/{name}", door.guarded(looking.connection)),
            Route("/connections/{name}/records", door.guarded(explaining.asked)),
            Route("/connections/{name}/records/{kind}/{id}", door.guarded(explaining.shown)),
            Route("/letters", door.guarded(desk.listed)),
            Route("/letters/ask", door.guarded(desk.ask)),
            Route("/letters/do", door.guarded(desk.do), methods=["POST"]),
            Route("/letters/{letter}", door.guarded(desk.shown)),
            Route("/login", door.login, methods=["GET", "POST"]),
            Route("/logout", door.guarded(door.logout), methods=["POST"]),
            Route("/live", looking.live),
            Route("/metrics", looking.metrics),
            Route("/connect/{ticket}", connecting.connect),
            Route("/connected/{name}", connecting.connected),
            Route(connect.CALLBACK, connecting.callback),
            *unified.mounts(services),
        ],
        # A page elsewhere that has its name point to this machine must not read ours.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[own, *LOOPBACK, *_listens(services)], www_redirect=False)],
        exception_handlers={
            404: lambda _, __: page(frames.message("Not found", "There is no such page."), 404),
            405: _not_allowed,
            connect.LinkRefused: _link_refused,
            Refused: _refused,
            WorkerError: _troubled,
            redis.RedisError: _away,
        },
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False
    return _with_headers(app, frames.headers(secure=services.settings.console_base.startswith("https:")))


def page(html: str, status: int = 200) -> Response:
    """A page as an answer."""
    return HTMLResponse(html, status)


def _listens(services: Services) -> tuple[str, ...]:
    """The host that the console listens on, when it is a name or address of its own: Prometheus may ask for it by that."""
    host = services.settings.console.host
    return () if host in {"0.0.0.0", "::", "127.0.0.1"} else (host,)  # noqa: S104 - compared, not bound


def _link_refused(_: Request, error: Exception) -> Response:
    advice = "Run `capsule-relay connect NAME` for a new link, and open it here."
    return page(frames.message("This link cannot be used", str(error), advice), 400)


def _refused(_: Request, error: Exception) -> Response:
    if not isinstance(error, Refused):
        raise error
    return page(frames.message("Not done", str(error), error.advice), error.status)


def _not_allowed(_: Request, error: Exception) -> Response:
    answer = page(frames.message("Not allowed", "This page cannot be asked for in that way."), 405)
    answer.headers.update(getattr(error, "headers", None) or {})
    return answer


def _troubled(_: Request, error: Exception) -> Response:
    if isinstance(error, QueueAway):
        return _away(_, error)
    advice = error.advice if isinstance(error, WorkerError) else ""
    return page(frames.message("That did not work", str(error), advice), 502)


def _away(_: Request, __: Exception) -> Response:
    said = "The data store does not answer"
    return page(frames.message(said, "Nothing was changed.", "Try again in a moment."), 503)


def _with_headers(app: ASGIApp, headers: Mapping[str, str]) -> ASGIApp:
    """Every answer with these headers, those of the middleware and of mistakes too."""
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]

    async def wrapped(scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", ()), *raw]}
            await send(message)

        await app(scope, receive, with_headers if scope["type"] == "http" else send)

    return wrapped
