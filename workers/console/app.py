"""The console's routes: connect a Capsule account, and see how far it is. Pages work without scripts.

It listens on loopback and speaks plain HTTP; a proxy in front of it brings TLS and decides who may come. Only the one-time link
and the way back from Capsule change anything, and each of them is signed and good once.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import redis
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse
from starlette.routing import Route

from workers.console import pages
from workers.errors import QueueAway, WorkerError
from workers.flows import connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from workers.services import Services

COOKIE: Final = "relay_connect"
LOOPBACK: Final = ("127.0.0.1", "localhost", "[::1]")


class Console:
    """The endpoints. Each is a plain function that Starlette runs in a thread, since it waits for Redis or Capsule."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self._secure = services.settings.console_base.startswith("https:")
        # As the browser sees it: a proxy may have put us below a folder of its own.
        self._callback = urlsplit(connect.redirect_uri(services.settings)).path

    def home(self, _: Request) -> Response:
        """Every connection with its state."""
        return _page(pages.home(pages.states(self.services)))

    def connection(self, request: Request) -> Response:
        """One connection; the page asks for itself again while something is under way."""
        name = request.path_params["name"]
        if name not in self.services.connections:
            return _page(pages.message("Not found", f"There is no connection {name}."), 404)
        return _page(pages.connection(pages.state(self.services, name)))

    def connect(self, request: Request) -> Response:
        """Opens a one-time link and sends the browser to Capsule."""
        if request.method == "HEAD":  # a preview must not use the link up
            return PlainTextResponse("", 405, headers={"Allow": "GET"})
        departure = connect.begin(self.services, request.path_params["ticket"])
        answer = RedirectResponse(departure.url, 303)
        answer.set_cookie(
            COOKIE,
            departure.mark,
            max_age=connect.STATE_SECONDS,
            path=self._callback,
            httponly=True,
            samesite="lax",
            secure=self._secure,
        )
        return answer

    def callback(self, request: Request) -> Response:
        """Takes the browser back from Capsule."""
        if request.method == "HEAD":
            return PlainTextResponse("", 405, headers={"Allow": "GET"})
        query, mark = request.query_params, request.cookies.get(COOKIE, "")
        state, code = query.get("state", ""), query.get("code", "")
        if not code:
            owner = connect.give_up(self.services, state=state, mark=mark)
            return _page(pages.refused(owner, denied=query.get("error") == "access_denied"), 400)
        owner = connect.finish(self.services, state=state, code=code, mark=mark)
        self.services.log.info("connected", account=owner)
        threading.Thread(target=connect.follow_up, args=(self.services, owner), name="follow-up", daemon=True).start()
        # Away from the address that holds the code.
        answer = RedirectResponse(f"{self.services.settings.console_base}/connections/{owner}", 303)
        answer.delete_cookie(COOKIE, path=self._callback)
        return answer

    def live(self, _: Request) -> Response:
        """That this process answers."""
        return PlainTextResponse("ok\n")


def build(services: Services) -> ASGIApp:
    """The console as an ASGI application. Nothing is connected before the first request."""
    console = Console(services)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        services.start()
        try:
            yield
        finally:
            services.close()

    own = urlsplit(services.settings.console_base).hostname or ""
    app = Starlette(
        routes=[
            Route("/", console.home),
            Route("/live", console.live),
            Route("/connections/{name}", console.connection),
            Route("/connect/{ticket}", console.connect),
            Route(connect.CALLBACK, console.callback),
        ],
        # A page elsewhere that has its name point to this machine must not read ours.
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[own, *LOOPBACK], www_redirect=False)],
        exception_handlers={
            404: lambda _, __: _page(pages.message("Not found", "There is no such page."), 404),
            connect.LinkRefused: _link_refused,
            WorkerError: _troubled,
            redis.RedisError: _away,
        },
        lifespan=lifespan,
    )
    return _with_headers(app, pages.headers(secure=services.settings.console_base.startswith("https:")))


def _page(html: str, status: int = 200) -> Response:
    return HTMLResponse(html, status)


def _link_refused(_: Request, error: Exception) -> Response:
    advice = "Run `capsule-relay connect NAME` for a new link, and open it here."
    return _page(pages.message("This link cannot be used", str(error), advice), 400)


def _troubled(_: Request, error: Exception) -> Response:
    if isinstance(error, QueueAway):
        return _away(_, error)
    advice = error.advice if isinstance(error, WorkerError) else ""
    return _page(pages.message("That did not work", str(error), advice), 502)


def _away(_: Request, __: Exception) -> Response:
    return _page(pages.message("The data store does not answer", "Nothing was changed.", "Try again in a moment."), 503)


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
