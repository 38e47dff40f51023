"""The endpoints of connecting a Capsule account: the one-time link, and the way back. They need no sign-in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse

from workers.console import frame as frames
from workers.flows import connect

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from workers.console.door import Door
    from workers.services import Services

COOKIE: Final = "relay_connect"


class Connecting:
    """Each endpoint is a plain function that Starlette runs in a thread, since it waits for Redis or Capsule."""

    def __init__(self, services: Services, door: Door) -> None:
        self._services = services
        self._door = door
        self._secure = services.settings.console_base.startswith("https:")
        # As the browser sees it: a proxy may have put us below a folder of its own.
        self._callback = urlsplit(connect.redirect_uri(services.settings)).path

    def connect(self, request: Request) -> Response:
        """Opens a one-time link and sends the browser to Capsule."""
        if request.method == "HEAD":  # a preview must not use the link up
            return PlainTextResponse("", 405, headers={"Allow": "GET"})
        departure = connect.begin(self._services, request.path_params["ticket"])
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
            owner = connect.give_up(self._services, state=state, mark=mark)
            return HTMLResponse(frames.refused(owner, denied=query.get("error") == "access_denied"), 400)
        owner = connect.finish(self._services, state=state, code=code, mark=mark)
        self._services.log.info("connected", account=owner)
        threading.Thread(target=connect.follow_up, args=(self._services, owner), name="follow-up", daemon=True).start()
        # Away from the address that holds the code. Who connects an account need not be one who may use the console.
        where = "connections" if self._door.keeper.visitor(request) is not None else "connected"
        answer = RedirectResponse(f"{self._services.settings.console_base}/{where}/{owner}", 303)
        answer.delete_cookie(COOKIE, path=self._callback)
        return answer

    def connected(self, request: Request) -> Response:
        """What somebody sees who has connected an account and has no sign-in here. It says nothing about any account."""
        name = request.path_params["name"]
        if name not in self._services.connections:
            return HTMLResponse(frames.message("Not found", "There is no such page."), 404)
        said = f"{name} has been connected to Capsule. The hooks are subscribed, and the first sync begins."
        return HTMLResponse(
            frames.message("Connected to Capsule", said, "You may close this page; the console shows the rest.", kind="good")
        )
