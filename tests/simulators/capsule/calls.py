"""One API call: who calls, whether they may, and the answer (reference/capsule.md §2.3, §3.1, §3.10)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from starlette.responses import Response

from tests.simulators.capsule.errors import NotFound, Refusal, bad_request
from tests.simulators.capsule.hooks import Hooks
from tests.simulators.capsule.limits import RateLimit
from tests.simulators.capsule.oauth import Tokens
from tests.simulators.capsule.shapes import Embed, Shapes
from tests.simulators.control import Json

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from starlette.requests import Request

    from tests.simulators.capsule.account import Account
    from tests.simulators.capsule.oauth import Token
    from tests.simulators.control import Control

    Endpoint = Callable[[Request], Coroutine[Any, Any, Response]]
    Handler = Callable[["Call"], Response]

BASE = "/api/v2"
MAX_ID_DIGITS = 18


class Desk:
    """Everything that answers a call."""

    def __init__(self, account: Account, *, subdomain: str, user: int) -> None:
        self.account = account
        self.control: Control = account.control
        self.subdomain = subdomain
        self.shapes = Shapes(account)
        self.hooks = Hooks(account, self.shapes)
        self.tokens = Tokens(self.control, user=user, subdomain=subdomain)
        self.limit = RateLimit(self.control)

    def endpoint(self, handler: Handler, *, scope: str = "read") -> Endpoint:
        """A handler as an endpoint: token, limit, scope, body, then the handler; every refusal worded as the server does."""

        async def answer(request: Request) -> Response:
            content = await request.body()
            headers: dict[str, str] = {}
            try:
                token = self.tokens.identify(request.headers.get("authorization"))
                headers = self.limit.take(token.user)
                need_scope(token, scope)
                response = handler(Call(self, request, token, content))
            except Refusal as refusal:
                if not self.control.is_on("limit_headers_on_errors"):
                    headers = {}
                return self.refuse(refusal, headers)
            response.headers.update(headers)
            return response

        return answer

    def refuse(self, refusal: Refusal, headers: Mapping[str, str]) -> Response:
        """A refusal as an answer."""
        document = refusal.document
        if isinstance(refusal, NotFound) and refusal.what and self.control.switches["not_found_text"] == "named":
            document = {"message": f"{refusal.what} not found"}
        return Json(document, status_code=refusal.status, headers={**headers, **refusal.headers})


@dataclass(frozen=True, slots=True)
class Call:
    """A call that may be made."""

    desk: Desk
    request: Request
    token: Token
    content: bytes

    @property
    def account(self) -> Account:
        """The account."""
        return self.desk.account

    @property
    def shapes(self) -> Shapes:
        """How records are printed."""
        return self.desk.shapes

    @property
    def embed(self) -> Embed:
        """The names in the embed parameter."""
        return frozenset(self.request.query_params.get("embed", "").split(","))

    def number(self, name: str) -> int:
        """An id out of the path. Raises NotFound for anything else."""
        return path_id(self.request.path_params[name])

    def document(self) -> Any:
        """The body. Raises 400 for anything but JSON."""
        try:
            return orjson.loads(self.content)
        except orjson.JSONDecodeError:
            raise bad_request("Malformed JSON") from None

    def wrapped(self, key: str) -> dict[str, Any]:
        """The object in the body's wrapper. Raises 400 without it."""
        document = self.document()
        inner = document.get(key) if isinstance(document, dict) else None
        if not isinstance(inner, dict):
            raise bad_request(f"{key} is required")
        return inner

    def need_administrator(self) -> None:
        """Raises 403 unless the user is an administrator."""
        if not self.account.reference["user"][self.token.user]["admin"]:
            raise Refusal(403, {"message": "Requires administrator"})

    def created(self, path: str, document: object) -> Response:
        """201 with the record's URL."""
        location = str(self.request.url.replace(path=f"{BASE}/{path}", query=""))
        return Json(document, status_code=201, headers={"Location": location})


def need_scope(token: Token, scope: str) -> None:
    """Raises the 403 of a valid token without the scope (§2.3)."""
    if scope not in token.scopes:
        said = f'Bearer realm="Capsule", error="insufficient_scope", scope="{scope}"'
        raise Refusal(403, {"message": "Requires additional scope"}, {"WWW-Authenticate": said})


def no_content() -> Response:
    """204."""
    return Response(status_code=204)


def path_id(text: str) -> int:
    """An id out of a path. Raises NotFound for anything else."""
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_ID_DIGITS):
        raise NotFound
    return int(text)
