"""The way in: signing in and out, and the guard before every page that is not for everybody."""

from __future__ import annotations

import secrets
from html import escape
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlsplit

from starlette.concurrency import run_in_threadpool
from starlette.responses import HTMLResponse, RedirectResponse

from workers.console import forms
from workers.console import frame as frames
from workers.console.access import LOGIN, SESSION, SESSION_SECONDS, Doorkeeper, Visitor
from workers.console.frame import Frame
from workers.console.passwords import TooManyTries

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.requests import Request
    from starlette.responses import Response

    from workers.services import Services

    Endpoint = Callable[[Request, Frame, Mapping[str, str]], Response]

LOGIN_SECONDS: Final = 3_600
LONGEST_NEXT: Final = 1_000


class Door:
    """Asks the doorkeeper, and makes pages of its answers."""

    def __init__(self, services: Services) -> None:
        self.keeper = Doorkeeper(services)
        self._log = services.log
        base = urlsplit(services.settings.console_base)
        self._secure = base.scheme == "https"
        self._path = base.path or "/"

    def guarded(self, endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
        """An endpoint that is only for those who may; what changes something must be a form of ours."""

        async def handler(request: Request) -> Response:
            form = await forms.read(request) if request.method == "POST" else {}
            return await run_in_threadpool(self._enter, endpoint, request, form)

        return handler

    def _enter(self, endpoint: Endpoint, request: Request, form: Mapping[str, str]) -> Response:
        visitor = self.keeper.visitor(request)
        root = _root(request)
        if visitor is None:
            if request.method == "POST":
                said = "Your session has ended. Nothing was changed."
                return self._login_page(request, root=root, next_=form.get("back", ""), said=said, status=401)
            here = request.url.path.lstrip("/") + (f"?{request.url.query}" if request.url.query else "")
            return RedirectResponse(f"{root}login?next={quote(here, safe='')}", 303)
        if request.method == "POST":
            self.keeper.check(request, visitor, form)
        return endpoint(request, self.frame(visitor, root), form)

    def frame(self, visitor: Visitor, root: str) -> Frame:
        """What a page knows of its visitor."""
        return Frame(
            root=root,
            who=visitor.who,
            token=self.keeper.form_token(visitor.mark) if visitor.mark else "",
            can_sign_out=visitor.can_sign_out,
            may_change=visitor.may_change,
        )

    async def login(self, request: Request) -> Response:
        """The page that asks for the password, and what it sends."""
        form = await forms.read(request) if request.method == "POST" else {}
        return await run_in_threadpool(self._login, request, form)

    def _login(self, request: Request, form: Mapping[str, str]) -> Response:
        if self.keeper.access.password is None:
            where = (
                "Nobody has to sign in here: without a password, the console shows the status and changes nothing."
                if self.keeper.access.open
                else "The proxy before this console signs you in; it has not named you."
            )
            return HTMLResponse(frames.message("No sign-in", where, "See README, The console."), 404)
        root = _root(request)
        if request.method != "POST":
            return self._login_page(request, root=root, next_=request.query_params.get("next", ""))
        self.keeper.check_token(request, _mark(request.cookies.get(LOGIN, "")), form)
        try:
            cookie = self.keeper.sign_in(request, form.get("password", ""))
        except TooManyTries as error:
            self._log.warning("sign-in", console="refused", reason="too many tries")
            minutes = -(-error.wait_s // 60)
            said = f"{error} Nothing was compared. Try again in {minutes} minute{'' if minutes == 1 else 's'}."
            answer = self._login_page(request, root=root, next_=form.get("next", ""), said=said, status=429)
            answer.headers["retry-after"] = str(error.wait_s)
            return answer
        if cookie is None:
            self._log.warning("sign-in", console="refused", reason="wrong password")
            return self._login_page(request, root=root, next_=form.get("next", ""), said="That is not the password.", status=401)
        self._log.info("sign-in", console="signed in")
        answer = RedirectResponse(root + _own(form.get("next", "")), 303)
        self._set(answer, SESSION, cookie, SESSION_SECONDS)
        answer.delete_cookie(LOGIN, path=self._path)
        return answer

    def logout(self, request: Request, frame: Frame, _: Mapping[str, str]) -> Response:
        """Ends the session."""
        self.keeper.sign_out(request.cookies.get(SESSION, ""))
        answer = RedirectResponse(f"{frame.root}login", 303)
        answer.delete_cookie(SESSION, path=self._path)
        return answer

    def _login_page(self, request: Request, *, root: str, next_: str, said: str = "", status: int = 200) -> Response:
        seed = request.cookies.get(LOGIN, "") or secrets.token_urlsafe(24)
        told = f'<p class="bad" role="alert">{escape(said)}</p>' if said else ""
        body = (
            f'<section><h1>Sign in to Capsule Relay</h1>{told}<form class="fields" method="post" action="{root}login">'
            f'<input type="hidden" name="token" value="{self.keeper.form_token(_mark(seed))}">'
            f'<input type="hidden" name="next" value="{escape(_own(next_))}">'
            '<label>Password<input type="password" name="password" autocomplete="current-password" required autofocus></label>'
            "<div><button>Sign in</button></div></form></section>"
        )
        answer = HTMLResponse(frames.document("Sign in", body, Frame(root=root), nav=False), status)
        self._set(answer, LOGIN, seed, LOGIN_SECONDS)
        return answer

    def _set(self, answer: Response, name: str, value: str, seconds: int) -> None:
        answer.set_cookie(name, value, max_age=seconds, path=self._path, httponly=True, samesite="lax", secure=self._secure)


def _mark(seed: str) -> str:
    return f"login:{seed}" if seed else ""


def _root(request: Request) -> str:
    """From the address of this page to the console's first page, whatever folder a proxy has put it in."""
    return "../" * (request.url.path.count("/") - 1) or "./"


def _own(next_: str) -> str:
    """A page of this console, as the path behind its root; nothing if it is none."""
    plain = len(next_) < LONGEST_NEXT and next_.isascii() and next_.isprintable() and "\\" not in next_
    parts = urlsplit(next_) if plain else urlsplit("")
    return next_ if not parts.scheme and not parts.netloc and next_[:1] not in {"/", "."} and plain else ""
