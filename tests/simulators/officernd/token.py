"""The token endpoint `POST /oauth/token` and the tokens that it gave (reference/officernd.md §1.1)."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from tests.simulators.officernd.answers import as_json
from tests.simulators.officernd.limits import THROTTLED

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from tests.simulators.control import Control
    from tests.simulators.officernd.limits import Windows
    from tests.simulators.officernd.seed import Account

FORM_TYPE = "application/x-www-form-urlencoded"


@dataclass(frozen=True, slots=True)
class Token:
    """What a token opens, and until when (seconds since the epoch)."""

    scopes: frozenset[str]
    ends: float


class Tokens:
    """The tokens of one account. Several may be valid at once; a new one ends none of the older."""

    def __init__(self, control: Control, windows: Windows, account: Account) -> None:
        self._control = control
        self._windows = windows
        self.account = account
        self._tokens: dict[str, Token] = {}

    def expire(self, token: str) -> None:
        """End one token before its time."""
        self._tokens.pop(token, None)

    def expire_all(self) -> int:
        """End every token. Returns how many there were."""
        ended = len(self._tokens)
        self._tokens.clear()
        return ended

    def scopes(self, authorization: str) -> frozenset[str] | None:
        """What the token in an Authorization header opens; None when it is missing, unknown or has ended."""
        scheme, _, value = authorization.partition(" ")
        token = self._tokens.get(value)
        if scheme.lower() != "bearer" or token is None or self._control.now() >= token.ends:
            return None
        return token.scopes

    async def answer(self, request: Request) -> Response:
        """One request to the token endpoint. Every one counts towards the limit, a refused one too."""
        admitted, headers = self._windows.count_token()
        if not admitted:
            return as_json(THROTTLED, status=429, headers=headers)
        fields: dict[str, str] = {}
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == FORM_TYPE:
            fields = dict(parse_qsl((await request.body()).decode("utf-8", "replace")))
        missing = [name for name in ("grant_type", "client_id", "client_secret", "scope") if not fields.get(name, "").strip()]
        if missing:
            return _refused(400, "invalid_request", f"Missing parameter: {', '.join(missing)}")
        if fields["grant_type"] != "client_credentials":
            return _refused(400, "unsupported_grant_type", "The grant type is not supported")
        known = (self.account.client_id, self.account.client_secret)
        if (fields["client_id"], fields["client_secret"]) != known:
            return _refused(401, "invalid_client", "Client authentication failed")
        scopes = frozenset(fields["scope"].split())
        if not scopes <= self.account.scopes:
            return _refused(400, "invalid_scope", "The requested scope is not granted to the application")
        return as_json(self._give(scopes, fields["scope"]))

    def _give(self, scopes: frozenset[str], asked: str) -> dict[str, object]:
        """A new token as the endpoint describes it: opaque, 40 hexadecimal digits."""
        lifetime = self._control.limits["token_seconds"]
        value = secrets.token_hex(20)
        self._tokens[value] = Token(scopes, self._control.now() + lifetime)
        return {"access_token": value, "token_type": "Bearer", "expires_in": int(lifetime), "scope": asked}


def _refused(status: int, error: str, description: str) -> Response:
    """An OAuth error."""
    return as_json({"error": error, "error_description": description}, status=status)
