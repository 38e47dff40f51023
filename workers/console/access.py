"""Who has come to the console, and what they may do.

A session is a signed cookie: its id, its end and a signature under a key derived from RELAY_SECRET_KEY and bound to the
password, so that another password ends all of them. Signing out notes the id in Redis until its end. Behind a proxy that signs
people in, the header that it sets names the user; it is believed from the addresses of RELAY_CONSOLE_TRUSTED_PROXIES alone.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mapping.agenda import key
from mapping.keys import is_signed, signature
from workers.console.passwords import Tries, kept, matches

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

    from workers.services import Services

SESSION: Final = "relay_session"
LOGIN: Final = "relay_login"
ENDED: Final = key("console-ended")  # zset of session ids that were signed out -> second at which they end anyhow
SESSION_SECONDS: Final = 12 * 3600
LONGEST_NAME: Final = 100
_SIGNED: Final = "console-session"
_FORM: Final = "console-form"
# A proxy on this machine makes everybody come from loopback; these say that there is one.
_FORWARDED: Final = ("x-forwarded-for", "forwarded", "x-real-ip", "via", "x-forwarded-host")


class Refused(Exception):
    """Somebody may not do this; `status` and `advice` make the answer. Nothing was changed."""

    def __init__(self, text: str, advice: str, *, status: int = 403) -> None:
        super().__init__(text)
        self.advice = advice
        self.status = status


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who looks. `who` is empty where nobody has to say who they are; then nothing may be changed. `mark` binds forms to them."""

    who: str
    may_change: bool
    mark: str
    can_sign_out: bool = False


class Doorkeeper:
    """Decides on each request."""

    def __init__(self, services: Services) -> None:
        self.access = services.settings.console
        self._services = services
        self._secrets = services.settings.secret_keys
        password = self.access.password
        self._password = kept(password) if password is not None else None
        # Of what the settings say and not of the salted hash, so that several consoles know each other's sessions.
        self._fingerprint = hashlib.sha256((password or "").encode()).hexdigest()
        self.tries = Tries(services.redis, self._secrets[0])

    # ------------------------------------------------------------------ who
    def visitor(self, request: Request) -> Visitor | None:
        """Who has sent this; None when they must sign in first.

        Raises:
            redis.RedisError: the data store does not answer.
        """
        if self.access.user_header is not None and self._is_proxy(request):
            who = request.headers.get(self.access.user_header, "").strip()[:LONGEST_NAME]
            if who:
                return Visitor(who=who, may_change=True, mark=f"user:{who}")
        if self._password is not None:
            session = self._session(request.cookies.get(SESSION, ""))
            if session is not None:
                return Visitor(who="console", may_change=True, mark=f"session:{session}", can_sign_out=True)
        return Visitor(who="", may_change=False, mark="") if self.access.open else None

    def address(self, request: Request) -> str:
        """Where a request comes from, as a trusted proxy says if one brings it."""
        peer = request.client.host if request.client is not None else ""
        forwarded = request.headers.get("x-forwarded-for", "")
        return forwarded.rpartition(",")[2].strip() if forwarded and self._is_proxy(request) else peer

    def may_scrape(self, request: Request) -> bool:
        """Whether this request may read the metrics: from this machine itself, with the token, or whoever may see the console."""
        given = request.headers.get("authorization", "")
        token = self.access.metrics_token
        if token is not None and hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return True
        peer = request.client.host if request.client is not None else ""
        if _is_loopback(peer) and not any(name in request.headers for name in _FORWARDED):
            return True
        visitor = self.visitor(request)
        return visitor is not None and bool(visitor.who)

    def _is_proxy(self, request: Request) -> bool:
        try:
            peer = ipaddress.ip_address(request.client.host if request.client is not None else "")
        except ValueError:
            return False
        return any(peer.version == network.version and peer in network for network in self.access.trusted_proxies)

    # ------------------------------------------------------------------ sessions
    def sign_in(self, request: Request, password: str) -> str | None:
        """The cookie of a new session, None when it is not the password.

        Raises:
            TooManyTries: it was tried too often.
            redis.RedisError: the data store does not answer.
        """
        if self._password is None:
            return None
        address = self.address(request)
        self.tries.count(address)
        if not matches(self._password, password):
            return None
        self.tries.succeeded(address)
        text = f"{secrets.token_hex(16)}.{int(time.time()) + SESSION_SECONDS}"
        return f"{text}.{signature(self._secrets[0], _SIGNED, f'{text}|{self._fingerprint}')}"

    def sign_out(self, cookie: str) -> None:
        """Ends a session for good: a copy of its cookie is worth nothing either."""
        text, _, _ = cookie.rpartition(".")
        identity, _, ends = text.partition(".")
        if self._session(cookie) is not None:
            self._services.redis.zadd(ENDED, {identity: int(ends)})
            self._services.redis.zremrangebyscore(ENDED, "-inf", int(time.time()))

    def _session(self, cookie: str) -> str | None:
        text, _, signed = cookie.rpartition(".")
        identity, _, ends = text.partition(".")
        if not is_signed(self._secrets, _SIGNED, f"{text}|{self._fingerprint}", signed):
            return None
        if not ends.isdigit() or int(ends) <= time.time() or self._services.redis.zscore(ENDED, identity) is not None:
            return None
        return identity

    # ------------------------------------------------------------------ forms
    def form_token(self, mark: str) -> str:
        """What a form of this visitor carries, so that no page elsewhere can send it."""
        return signature(self._secrets[0], _FORM, mark)

    def check(self, request: Request, visitor: Visitor, form: Mapping[str, str]) -> None:
        """Whether this visitor may make this change, and made it on a page of ours.

        Raises:
            Refused: not.
        """
        if not visitor.may_change:
            raise Refused(
                "Nothing can be changed here: the console has no sign-in.",
                "Set RELAY_CONSOLE_PASSWORD (README, The console) and restart; or use the commands of capsule-relay.",
            )
        self.check_token(request, visitor.mark, form)

    def check_token(self, request: Request, mark: str, form: Mapping[str, str]) -> None:
        """The same for a form that belongs to `mark`."""
        elsewhere = request.headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}
        if elsewhere or not mark or not is_signed(self._secrets, _FORM, mark, form.get("token", "")):
            raise Refused(
                "This form was not sent by a page of this console, or its session has ended. Nothing was changed.",
                "Open the page again and send it from there.",
            )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
