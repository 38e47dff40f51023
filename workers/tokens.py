"""Bearer tokens: a person's own for Capsule, one of client credentials shared by all processes for OfficeRnD.

OfficeRnD's token endpoint allows 5 requests a minute and has no refresh token (reference/officernd.md §1.1), so one token
serves every process: it lies encrypted in Redis, one process renews it under a lock while the others go on with the one that
is still good, and what was refused is thrown away only if it is still the one that lies there.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import orjson
import redis
from cryptography.fernet import InvalidToken

from mapping import agenda
from workers.answers import Answer, NotJson
from workers.errors import CredentialsRefused, NoAnswer, QueueAway, RateLimited, SystemDown
from workers.limits import Limits, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from cryptography.fernet import MultiFernet

    from workers.http import Http

KEY: Final = agenda.key("tokens")
LOCK: Final = agenda.key("token-lock:")
ENDPOINT_LIMIT: Final = 5
MINUTE_MS: Final = 60_000
RENEW_BEFORE_MS: Final = 60_000
RENEW_SHARE: Final = 0.1
DEFAULT_LIFETIME_S: Final = 3600
POLL_S: Final = 0.05
_TOKEN: Final = re.compile(r"[\x21-\x7e]{8,4096}")

# A field is `hash expiry text`. It goes only if its hash is the one that was refused: a newer one survives.
_FORGET: Final = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if held and string.sub(held, 1, #ARGV[2] + 1) == ARGV[2] .. ' ' then return redis.call('HDEL', KEYS[1], ARGV[1]) end
return 0
"""
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


def _nothing() -> None:
    """For callers that hold no lease."""


class Tokens(Protocol):
    """Where a client gets its bearer token from."""

    def bearer(self, alive: Callable[[], None] = _nothing) -> str:
        """The token to send now; `alive` is called while it is being fetched."""

    def refused(self, token: str) -> bool:
        """Says that this token was answered 401. Returns whether asking again can give another one."""


class PersonalToken:
    """A token that a person made and that only a person can replace (reference/capsule.md §2.1)."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __repr__(self) -> str:
        return "PersonalToken(hidden)"

    def bearer(self, alive: Callable[[], None] = _nothing) -> str:
        """The token as it was given."""
        del alive  # Nothing is fetched.
        return self._token

    def refused(self, token: str) -> bool:
        """There is no other."""
        del token
        return False


@dataclass(frozen=True, slots=True, repr=False)
class _Held:
    """A token with its times on this process' monotonic clock, in seconds."""

    token: str
    renew_at: float
    expires_at: float


class ClientCredentials:
    """A token by client credentials, one for all processes of a connection.

    `connection` names the entry in Redis. `scopes` must be granted, every one: one that is not fails the whole request.
    `deadline_s` bounds one token request; `max_wait_s` how long a caller waits for a token in all.
    """

    def __init__(
        self,
        connection: str,
        *,
        http: Http,
        store: redis.Redis,
        limits: Limits,
        vault: MultiFernet,
        token_url: str,
        client_id: str,
        client_secret: str,
        scopes: Sequence[str],
        deadline_s: float = 10.0,
        max_wait_s: float = 15.0,
        system: str = "officernd",
    ) -> None:
        self._connection = connection
        self._http = http
        self._store = store
        self._limits = limits
        self._vault = vault
        self._token_url = token_url
        self._form = {
            "grant_type": "client_credentials",
            "client_id": client_id,
            "client_secret": client_secret,
            "scope": " ".join(scopes),
        }
        self._deadline_s = deadline_s
        self._max_wait_s = max_wait_s
        self._system = system
        self._field = f"{system}:{connection}"
        self._for = _hash("\n".join((token_url, client_id, self._form["scope"])))[:16]
        self._window = Window(f"{system}:{connection}:token", ENDPOINT_LIMIT, MINUTE_MS)
        self._forget = store.register_script(_FORGET)
        self._unlock = store.register_script(_UNLOCK)
        self._held: _Held | None = None
        self._mine = threading.Lock()

    def __repr__(self) -> str:
        return f"ClientCredentials({self._connection!r}, hidden)"

    def bearer(self, alive: Callable[[], None] = _nothing) -> str:
        """A token that is good for a while yet: from memory, from Redis, or fetched by one process for all.

        `alive` is called while waiting.

        Raises:
            CredentialsRefused: the identity server refuses the id, the secret or one of the scopes.
            RateLimited: the token endpoint's limit is used up and no token is at hand.
            SystemDown: the identity server gave no token; nothing was asked of anybody else.
            QueueAway: Redis did not answer.
        """
        held = self._held
        if held is not None and time.monotonic() < held.renew_at:
            return held.token
        last = time.monotonic() + self._max_wait_s
        while True:
            held = self._held = self._stored()
            now = time.monotonic()
            if held is not None and now < held.renew_at:
                return held.token
            if (mark := self._locked()) is not None:
                return self._renew(mark, held)
            if held is not None and now < held.expires_at:
                return held.token  # Somebody renews it already, and it is good until then.
            if now > last:
                raise SystemDown(f"{self._system}: another process has been fetching the token for too long", system=self._system)
            alive()
            time.sleep(POLL_S)

    def refused(self, token: str) -> bool:
        """Throws this token away, here and in Redis, unless a newer one has taken its place.

        Raises:
            QueueAway: Redis did not answer.
        """
        with self._mine:
            if self._held is not None and self._held.token == token:
                self._held = None
        try:
            self._forget(keys=[KEY], args=[self._field, _hash(token)])
        except redis.RedisError as error:
            raise _away(error) from error
        return True

    def _stored(self) -> _Held | None:
        """The token in Redis, None without one that can be used."""
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hget(KEY, self._field)
            (seconds, micros), raw = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        if raw is None:
            return None
        text = raw if isinstance(raw, bytes) else raw.encode()
        digest, _, sealed = text.partition(b" ")
        try:
            document = orjson.loads(self._vault.decrypt(sealed))
            token, expires, renew = document["token"], int(document["expires_ms"]), int(document["renew_ms"])
            owner = document["for"]
        except (InvalidToken, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None  # Written with a key that is gone: a new token is cheaper than a question.
        if digest.decode("ascii", "replace") != _hash(token) or owner != self._for:
            return None  # Of another application or other scopes: the settings have changed.
        wall, local = seconds * 1000 + micros // 1000, time.monotonic()
        if wall >= expires:
            return None
        return _Held(token, renew_at=local + (renew - wall) / 1000, expires_at=local + (expires - wall) / 1000)

    def _locked(self) -> bytes | None:
        """The mark of the lock that was just taken, None when another process has it."""
        mark = secrets.token_hex(16).encode()
        life_ms = round((self._deadline_s + 5) * 1000)
        try:
            taken = self._store.set(LOCK + self._field, mark, nx=True, px=life_ms)
        except redis.RedisError as error:
            raise _away(error) from error
        return mark if taken else None

    def _renew(self, mark: bytes, held: _Held | None) -> str:
        """Fetches a token under the lock; one that is still good outlasts a failure to renew it."""
        try:
            fresh = self._stored()
            if fresh is not None and time.monotonic() < fresh.renew_at:
                self._held = fresh  # It was renewed between our look and our lock.
                return fresh.token
            try:
                self._held = self._fetch()
            except (SystemDown, RateLimited):
                if held is None or time.monotonic() >= held.expires_at:
                    raise
                return held.token
            return self._held.token
        finally:
            try:
                self._unlock(keys=[LOCK + self._field], args=[mark])
            except redis.RedisError as error:
                raise _away(error) from error

    def _fetch(self) -> _Held:
        # Looked at first, since a place that is booked moves everybody else's back, and one token serves all who wait for it.
        wait_ms = self._limits.room([self._window], lane="live") or self._limits.reserve([self._window], lane="live")
        if wait_ms:
            raise RateLimited(f"{self._system}: the token endpoint's limit is used up", wait_ms=wait_ms, system=self._system)
        asked = time.monotonic()
        try:
            answer = self._http.request(
                "POST",
                self._token_url,
                system=self._system,
                route="POST token",
                headers={"Accept": "application/json"},
                form=self._form,
                deadline_s=self._deadline_s,
            )
        except NoAnswer as error:
            # A second token does no harm. To the caller nothing has been sent, so a write that waits for it is untouched.
            raise SystemDown(str(error), system=self._system) from error
        token, lifetime_s = self._read(answer)
        lifetime_ms = round(lifetime_s * 1000)
        before_ms = min(RENEW_BEFORE_MS, round(lifetime_ms * RENEW_SHARE))
        taken_ms = round((time.monotonic() - asked) * 1000)
        good_ms = max(lifetime_ms - taken_ms, 0)
        try:
            seconds, micros = self._store.time()
            now = seconds * 1000 + micros // 1000
            renew_ms = now + max(good_ms - before_ms, 0)
            document = {"token": token, "expires_ms": now + good_ms, "renew_ms": renew_ms, "for": self._for}
            sealed = _hash(token).encode() + b" " + self._vault.encrypt(orjson.dumps(document))
            self._store.hset(KEY, self._field, sealed)
        except redis.RedisError as error:
            raise _away(error) from error
        local = time.monotonic()
        return _Held(token, renew_at=local + max(good_ms - before_ms, 0) / 1000, expires_at=local + good_ms / 1000)

    def _read(self, answer: Answer) -> tuple[str, float]:
        """The token and its lifetime in seconds, or the error that the answer means."""
        where = f"{self._system}: POST token: {answer.status}"
        if answer.status == 429:  # noqa: PLR2004 - "too many requests"
            self._limits.exhausted(self._window, MINUTE_MS)
            raise RateLimited(where, wait_ms=MINUTE_MS, system=self._system, status=answer.status)
        if answer.status in (400, 401, 403):
            raise CredentialsRefused(
                f"{where}: {_reason(answer)}",
                system=self._system,
                status=answer.status,
                answer=answer.excerpt(),
                advice=f"Check client id, client secret and scopes of this connection. Every one of these scopes must be granted "
                f"to the application: {self._form['scope']}",
            )
        if answer.status not in (200, 201):
            raise SystemDown(where, system=self._system, status=answer.status, answer=answer.excerpt())
        try:
            document = answer.json()
        except NotJson as error:
            raise SystemDown(f"{where}: not JSON: {error}", system=self._system, status=answer.status) from None
        token = document.get("access_token") if isinstance(document, dict) else None
        if not isinstance(token, str) or not _TOKEN.fullmatch(token):
            raise SystemDown(f"{where}: there is no token in the answer", system=self._system, status=answer.status)
        lifetime = document.get("expires_in", DEFAULT_LIFETIME_S)
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or lifetime <= 0:
            lifetime = DEFAULT_LIFETIME_S
        return token, float(lifetime)


def _reason(answer: Answer) -> str:
    """The `error` word of an OAuth refusal, if it is one of those that the standard names."""
    try:
        document = answer.json()
    except NotJson:
        return "refused"
    word = document.get("error") if isinstance(document, dict) else None
    return word if word in ("invalid_scope", "invalid_client", "invalid_request", "unauthorized_client") else "refused"


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer while a token was fetched: {type(error).__name__}")
