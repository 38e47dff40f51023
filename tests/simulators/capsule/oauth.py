"""Tokens and the OAuth 2 authorisation-code flow (reference/capsule.md §2)."""

from __future__ import annotations

import base64
import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulators.capsule.errors import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulators.control import Control

CODE_SECONDS = 600.0
SCOPES = ("read", "write", "user_preference", "openid", "profile", "email", "tenant")
DEFAULT_SCOPE = ("read", "write")


@dataclass(frozen=True, slots=True)
class Token:
    """What a bearer token stands for. `application` is None for a personal access token; `ends` None means never."""

    text: str
    user: int
    scopes: tuple[str, ...]
    application: str | None = None
    ends: float | None = None


@dataclass(frozen=True, slots=True)
class Code:
    """An authorisation code that was handed out and not used yet."""

    client: str
    redirect_uri: str
    scopes: tuple[str, ...]
    challenge: str | None
    method: str
    ends: float


@dataclass(frozen=True, slots=True)
class Grant:
    """What a refresh token stands for."""

    client: str
    scopes: tuple[str, ...]
    access_token: str


def oauth_error(error: str, description: str, *, status: int = 400) -> Refusal:
    """A refusal of the token endpoint, in the form of RFC 6749 §5.2."""
    return Refusal(status, {"error": error, "error_description": description})


class Tokens:
    """Every token of the account. Tokens that this hands out are random; that they are unknown to a test is the point."""

    def __init__(self, control: Control, *, user: int, subdomain: str) -> None:
        self._control = control
        self._user = user
        self._subdomain = subdomain
        self.clear()

    def clear(self) -> None:
        """Forget every token and application."""
        self.applications: dict[str, str | None] = {}
        self.tokens: dict[str, Token] = {}
        self._codes: dict[str, Code] = {}
        self._grants: dict[str, Grant] = {}

    def identify(self, header: str | None) -> Token:
        """The token of an Authorization header. Raises 401 for a missing, invalid or expired one (§2.3)."""
        scheme, _, text = (header or "").partition(" ")
        token = self.tokens.get(text.strip()) if scheme.lower() == "bearer" else None
        if token is None or (token.ends is not None and token.ends <= self._control.now()):
            said = 'Bearer realm="Capsule"' if not header else 'Bearer realm="Capsule", error="invalid_token"'
            raise Refusal(401, {"message": "Invalid or expired token"}, {"WWW-Authenticate": said})
        return token

    def expire(self, text: str) -> None:
        """End a bearer token now."""
        self.tokens.pop(text, None)

    def authorise(self, query: Mapping[str, str]) -> str:
        """GET /oauth/authorise: where the browser is sent back to, as if the user had agreed. Raises 400 without a way back."""
        client, back = query.get("client_id", ""), query.get("redirect_uri", "")
        if client not in self.applications or not back:
            raise oauth_error("invalid_request", "unknown client_id, or no redirect_uri")
        joint = "&" if "?" in back else "?"
        state = f"&state={query['state']}" if "state" in query else ""
        scopes = tuple(query["scope"].split()) if query.get("scope") else DEFAULT_SCOPE
        if query.get("response_type") != "code":
            return f"{back}{joint}error=unsupported_response_type{state}"
        if any(scope not in SCOPES for scope in scopes):
            return f"{back}{joint}error=invalid_scope{state}"
        method = query.get("code_challenge_method", "plain")
        if method not in {"plain", "S256"}:
            return f"{back}{joint}error=invalid_request{state}"
        code = secrets.token_urlsafe(24)
        ends = self._control.now() + CODE_SECONDS
        self._codes[code] = Code(client, back, scopes, query.get("code_challenge"), method, ends)
        return f"{back}{joint}code={code}{state}"

    def exchange(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> dict[str, object]:
        """POST /oauth/token: a code or a refresh token for tokens."""
        client = self._client(form, basic)
        kind = form.get("grant_type")
        if kind == "authorization_code":
            return self._by_code(client, form)
        if kind == "refresh_token":
            return self._by_refresh(client, form)
        raise oauth_error("unsupported_grant_type", "grant_type must be authorization_code or refresh_token")

    def revoke(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> None:
        """POST /oauth/token/revoke: ends an access token, or a refresh token with its access token; an unknown one is fine."""
        if basic is not None or "client_id" in form:
            self._client(form, basic)
        text = form.get("token", "")
        grant = self._grants.pop(text, None)
        self.expire(grant.access_token if grant else text)

    def issue(self, client: str, scopes: tuple[str, ...]) -> dict[str, object]:
        """New tokens for an application, as the token endpoint prints them."""
        seconds = float(self._control.limits["token_seconds"])
        access, refresh = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.tokens[access] = Token(access, self._user, scopes, client, self._control.now() + seconds)
        self._grants[refresh] = Grant(client, scopes, access)
        return {
            "access_token": access,
            "refresh_token": refresh,
            "token_type": "bearer",
            "expires_in": int(seconds),
            "scope": " ".join(scopes),
            "subdomain": self._subdomain,
        }

    def _client(self, form: Mapping[str, str], basic: tuple[str, str] | None) -> str:
        """The application that calls: secret in the form or by basic authentication; installed ones have none."""
        name, secret = basic or (form.get("client_id", ""), form.get("client_secret"))
        if name not in self.applications or (self.applications[name] is not None and self.applications[name] != secret):
            raise oauth_error("invalid_client", "unknown client or wrong secret", status=401)
        return name

    def _by_code(self, client: str, form: Mapping[str, str]) -> dict[str, object]:
        """The first tokens. A code works once."""
        code = self._codes.pop(form.get("code", ""), None)
        if code is None or code.client != client or code.ends <= self._control.now():
            raise oauth_error("invalid_grant", "the code is unknown, used or too old")
        if form.get("redirect_uri", code.redirect_uri) != code.redirect_uri:
            raise oauth_error("invalid_grant", "redirect_uri differs")
        if code.challenge is not None and _challenge(form.get("code_verifier", ""), code.method) != code.challenge:
            raise oauth_error("invalid_grant", "code_verifier does not fit")
        return self.issue(client, code.scopes)

    def _by_refresh(self, client: str, form: Mapping[str, str]) -> dict[str, object]:
        """Tokens for a refresh token; switches say what becomes of the old ones (§2.2: not documented)."""
        text = form.get("refresh_token", "")
        grant = self._grants.get(text)
        if grant is None or grant.client != client:
            raise oauth_error("invalid_grant", "the refresh token is unknown or used")
        if self._control.is_on("refresh_ends_access_token"):
            self.expire(grant.access_token)
        given = self.issue(client, grant.scopes)
        if self._control.is_on("refresh_rotates"):
            del self._grants[text]
        else:
            new = self._grants.pop(str(given.pop("refresh_token")))
            self._grants[text] = new
        return given


def _challenge(verifier: str, method: str) -> str:
    """The PKCE challenge of a verifier."""
    if method == "plain":
        return verifier
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
