"""Capsule's OAuth without its network: the authorise address with PKCE, the forms, and what an answer means. Pure.

Facts: reference/capsule.md §2.2. The refresh token's lifetime and whether a refresh ends the old one are not documented, so
whatever comes back is kept and nothing is concluded from what does not.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode

from workers.answers import NotJson
from workers.errors import CredentialsRefused, RateLimited, ReconnectNeeded, SystemDown

if TYPE_CHECKING:
    from workers.answers import Answer

SYSTEM: Final = "capsule"
SCOPE: Final = "read write"  # hooks are subscribed with `write`; records are only ever read
DEFAULT_LIFETIME_S: Final = 604_799.0
RATE_WAIT_MS: Final = 60_000
SETTINGS_ADVICE: Final = "Check RELAY_<NAME>_CAPSULE_CLIENT_ID and _SECRET, and the application's redirect address at Capsule."

_TOKEN: Final = re.compile(r"[\x21-\x7e]{8,4096}")
_SUBDOMAIN: Final = re.compile(r"[A-Za-z0-9-]{1,63}")
_WORDS: Final = frozenset({"invalid_grant", "invalid_client", "invalid_request", "invalid_scope", "unauthorized_client"})


@dataclass(frozen=True, slots=True, repr=False)
class Granted:
    """What the token endpoint gave. `refresh` is None when the one that was sent goes on being good."""

    access: str
    refresh: str | None
    lifetime_s: float
    subdomain: str


def challenge(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636 §4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def authorise_url(oauth_url: str, *, client_id: str, redirect_uri: str, state: str, verifier: str) -> str:
    """Where the browser is sent. `oauth_url` is the part before `/authorise`."""
    query = {
        "response_type": "code",
        "client_id": client_id,
        "redirect_uri": redirect_uri,
        "scope": SCOPE,
        "state": state,
        "code_challenge": challenge(verifier),
        "code_challenge_method": "S256",
    }
    return f"{oauth_url}/authorise?{urlencode(query)}"


def code_form(*, client_id: str, client_secret: str, code: str, redirect_uri: str, verifier: str) -> dict[str, str]:
    """The form that exchanges a code for the first tokens."""
    return {
        "grant_type": "authorization_code",
        "code": code,
        "client_id": client_id,
        "client_secret": client_secret,
        "redirect_uri": redirect_uri,
        "code_verifier": verifier,
    }


def refresh_form(*, client_id: str, client_secret: str, refresh: str) -> dict[str, str]:
    """The form that asks for the next access token."""
    return {
        "grant_type": "refresh_token",
        "refresh_token": refresh,
        "client_id": client_id,
        "client_secret": client_secret,
    }


def revoke_form(*, client_id: str, client_secret: str, token: str, kind: str) -> dict[str, str]:
    """The form that ends a token; `kind` is `refresh_token` or `access_token`."""
    return {"token": token, "token_type_hint": kind, "client_id": client_id, "client_secret": client_secret}


def decipher(answer: Answer, *, route: str) -> Granted:
    """The tokens in an answer of the token endpoint. No message holds anything that the other side wrote freely.

    Raises:
        ReconnectNeeded: `invalid_grant`: the code or the refresh token is refused; only a person can give another.
        CredentialsRefused: another refusal (RFC 6749 §5.2): the application's id, secret or scope is wrong.
        RateLimited: 429.
        SystemDown: anything else.
    """
    where = f"{SYSTEM}: {route}: {answer.status}"
    if answer.status == 429:  # noqa: PLR2004 - "too many requests"
        raise RateLimited(where, wait_ms=RATE_WAIT_MS, system=SYSTEM, status=answer.status)
    try:
        document = answer.json()
    except NotJson as error:
        raise SystemDown(f"{where}: {error}", system=SYSTEM, status=answer.status) from None
    word = document.get("error") if isinstance(document, dict) else None
    if 400 <= answer.status < 500 and word in _WORDS:  # noqa: PLR2004 - every refusal
        if word == "invalid_grant":
            raise ReconnectNeeded(f"{where}: {word}", system=SYSTEM, status=answer.status)
        raise CredentialsRefused(f"{where}: {word}", system=SYSTEM, status=answer.status, advice=SETTINGS_ADVICE)
    if answer.status not in (200, 201) or not isinstance(document, dict):
        raise SystemDown(where, system=SYSTEM, status=answer.status)
    access, refresh = document.get("access_token"), document.get("refresh_token")
    if not isinstance(access, str) or not _TOKEN.fullmatch(access):
        raise SystemDown(f"{where}: there is no token in the answer", system=SYSTEM, status=answer.status)
    if not isinstance(refresh, str) or not _TOKEN.fullmatch(refresh):
        refresh = None
    lifetime = document.get("expires_in")
    if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or lifetime <= 0:
        lifetime = DEFAULT_LIFETIME_S
    subdomain = document.get("subdomain")
    subdomain = subdomain if isinstance(subdomain, str) and _SUBDOMAIN.fullmatch(subdomain) else ""
    return Granted(access, refresh, float(lifetime), subdomain)
