"""The paths of OAuth (reference/capsule.md §2.2). Both published revocation addresses work."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

import orjson
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from tests.simulators.capsule.errors import Refusal
from tests.simulators.capsule.oauth import oauth_error
from tests.simulators.control import Json

if TYPE_CHECKING:
    from starlette.requests import Request

    from tests.simulators.capsule.calls import Desk


def oauth_routes(desk: Desk) -> list[Route]:
    """Authorise, token, revoke. The user, whose part a browser would play, always agrees."""

    async def authorise(request: Request) -> Response:
        try:
            back = desk.tokens.authorise(request.query_params)
        except Refusal as refusal:
            return desk.refuse(refusal, {})
        return RedirectResponse(back, status_code=302)

    async def token(request: Request) -> Response:
        try:
            return Json(desk.tokens.exchange(await _form(request), _basic(request)), headers={"Cache-Control": "no-store"})
        except Refusal as refusal:
            return desk.refuse(refusal, {})

    async def revoke(request: Request) -> Response:
        try:
            desk.tokens.revoke(await _form(request), _basic(request))
        except Refusal as refusal:
            return desk.refuse(refusal, {})
        return Response(status_code=200)

    return [
        Route("/oauth/authorise", authorise, methods=["GET"]),
        Route("/oauth/token", token, methods=["POST"]),
        Route("/oauth/token/revoke", revoke, methods=["POST"]),
        Route("/oauth/revoke", revoke, methods=["POST"]),
    ]


async def _form(request: Request) -> dict[str, str]:
    """The body as a form, or as JSON when it says that it is."""
    content = await request.body()
    if not request.headers.get("content-type", "").startswith("application/json"):
        return dict(parse_qsl(content.decode("utf-8", "replace")))
    try:
        document = orjson.loads(content)
    except orjson.JSONDecodeError:
        raise oauth_error("invalid_request", "not JSON") from None
    if not isinstance(document, dict):
        raise oauth_error("invalid_request", "not an object")
    return {str(name): str(value) for name, value in document.items()}


def _basic(request: Request) -> tuple[str, str] | None:
    """Client id and secret out of basic authentication."""
    scheme, _, coded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        raise oauth_error("invalid_client", "unreadable credentials", status=401) from None
    return client, secret
