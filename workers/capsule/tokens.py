"""The tokens of a Capsule account that was connected by OAuth: one pair for all processes, encrypted in Redis.

One process refreshes at a time, ahead of the end, while the others go on with the token that is still good. Capsule may end
the refresh token that was used (reference/capsule.md §2.2), so what a refresh gave is kept until it stands in Redis, and it
replaces exactly what it was made from. A refused refresh is noted there too: nobody asks a second time, and the connections
of the account wait for a person.
"""

from __future__ import annotations

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import orjson
import redis
from cryptography.fernet import InvalidToken

from workers.capsule import oauth
from workers.errors import CredentialsRefused, NoAnswer, QueueAway, RateLimited, ReconnectNeeded, SystemDown
from workers.log import get
from workers.tokens import KEY, LOCK, POLL_S

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from cryptography.fernet import MultiFernet

    from workers.accounts import SignInPause
    from workers.http import Http

RENEW_SHARE: Final = 0.1  # of the lifetime is left when it is refreshed
RENEW_BEFORE_MS: Final = 24 * 3_600_000  # … and never more than a day
YOUNG_MS: Final = 60_000  # a token this young that is refused would be refused after a refresh too
QUIET_S: Final = 5.0
SAVE_EVERY_S: Final = 0.2

# A field is `hash-of-access-token sealed`. What was made from another state than the one that lies there is not written.
_EXCHANGE: Final = """
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held or string.sub(held, 1, #ARGV[2] + 1) ~= ARGV[2] .. ' ' then return 0 end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
return 1
"""
_UNLOCK: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True, repr=False)
class Grant:
    """A pair of tokens; times in ms of Redis' clock. `dead`: Capsule refused to refresh it, a person must connect again."""

    access: str
    refresh: str
    got_ms: int
    renew_ms: int
    expires_ms: int
    subdomain: str = ""
    dead: bool = False

    @property
    def young_ms(self) -> int:
        """How old it may be to count as young: short lives have a short youth."""
        return min(YOUNG_MS, round((self.expires_ms - self.got_ms) * RENEW_SHARE))


@dataclass(frozen=True, slots=True, repr=False)
class _Held:
    """An access token on this process' monotonic clock, in seconds."""

    token: str
    renew_at: float


def look(raw: bytes | str | None, vault: MultiFernet) -> Grant | None:
    """A stored field as tokens, for somebody who only looks; None when there are none or their key is gone."""
    if raw is None:
        return None
    text = raw if isinstance(raw, bytes) else raw.encode()
    try:
        document = orjson.loads(vault.decrypt(text.partition(b" ")[2]))
        return Grant(**{name: document[name] for name in Grant.__dataclass_fields__})
    except (InvalidToken, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return None


def _nothing() -> None:
    """For callers that hold no lease."""


class OAuthTokens:
    """The bearer token of one account, as `workers.tokens.Tokens` has it.

    `account` is the connection that owns the account; `oauth_url` the part before `/token`. `deadline_s` bounds one token
    request, `max_wait_s` how long a caller waits for another's in all.
    """

    def __init__(
        self,
        account: str,
        *,
        http: Http,
        store: redis.Redis,
        vault: MultiFernet,
        pause: SignInPause,
        oauth_url: str,
        client_id: str,
        client_secret: str,
        deadline_s: float = 10.0,
        max_wait_s: float = 15.0,
    ) -> None:
        self.account = account
        self._http = http
        self._store = store
        self._vault = vault
        self._pause = pause
        self._oauth_url = oauth_url
        self.client_id = client_id
        self._client_secret = client_secret
        self._deadline_s = deadline_s
        self._max_wait_s = max_wait_s
        self._field = f"{oauth.SYSTEM}:{account}"
        self._for = _hash(f"{oauth_url}\n{client_id}")[:16]
        self._exchange = store.register_script(_EXCHANGE)
        self._unlock = store.register_script(_UNLOCK)
        self._held: _Held | None = None
        self._refused = ""
        self._quiet_until = 0.0
        self._log = get("relay")

    def __repr__(self) -> str:
        return f"OAuthTokens({self.account!r}, hidden)"

    def bearer(self, alive: Callable[[], None] = _nothing) -> str:
        """A token that is good for a while yet, refreshed by one process for all when its time has come.

        Raises:
            ReconnectNeeded: the account was never connected, or Capsule refused the refresh; its connections are paused.
            CredentialsRefused: Capsule refuses the application's id or secret.
            SystemDown, RateLimited: Capsule gave no token, and the old one is over.
            QueueAway: Redis did not answer.
        """
        held = self._held
        if held is not None and time.monotonic() < held.renew_at:
            return held.token
        last = time.monotonic() + self._max_wait_s
        while True:
            now_ms, grant = self._stored()
            grant = self._alive_or_lost(grant)
            if self._fresh(grant, now_ms):
                return self._keep(grant, now_ms)
            usable = self._usable(grant, now_ms)
            if usable and time.monotonic() < self._quiet_until:
                return grant.access
            if (mark := self._locked()) is not None:
                return self._renew(mark)
            if usable:
                return grant.access  # Somebody refreshes it already, and it is good until then.
            if time.monotonic() > last:
                raise SystemDown("capsule: another process has been refreshing the token for too long", system=oauth.SYSTEM)
            alive()
            time.sleep(POLL_S)

    def refused(self, token: str) -> bool:
        """Says that this token was answered 401. True when asking again gives another one, or tells why there is none.

        Raises:
            QueueAway: Redis did not answer.
        """
        self._held = None
        now_ms, grant = self._stored()
        if grant is None or grant.dead or grant.access != token:
            return True
        if now_ms - grant.got_ms < grant.young_ms:
            return False
        self._refused = _hash(token)
        return True

    def install(self, granted: oauth.Granted) -> None:
        """Keeps the first tokens of a sign-in, whatever was there before, and lets the account's connections run.

        Raises:
            CredentialsRefused: there is no refresh token among them.
            QueueAway: Redis did not answer.
        """
        if granted.refresh is None:
            raise CredentialsRefused("capsule: the sign-in gave no refresh token", system=oauth.SYSTEM)
        try:
            now_ms = self._now_ms()
            self._store.hset(KEY, self._field, self._seal(_grant(granted, granted.refresh, now_ms)))
        except redis.RedisError as error:
            raise _away(error) from error
        self._held, self._refused, self._quiet_until = None, "", 0.0
        self._pause.resume()

    def forget(self) -> Grant | None:
        """Takes the tokens out of Redis and pauses the account. Returns them, so that they can be revoked.

        Raises:
            QueueAway: Redis did not answer.
        """
        _, grant = self._stored()
        try:
            self._store.hdel(KEY, self._field)
        except redis.RedisError as error:
            raise _away(error) from error
        self._held = None
        self._pause.pause()
        return grant

    def resume(self) -> None:
        """Lets the account's connections run again. Raises QueueAway."""
        self._pause.resume()

    def signed_in(self) -> bool:
        """Whether there are tokens that Capsule has not refused.

        Raises:
            QueueAway: Redis did not answer.
        """
        _, grant = self._stored()
        return grant is not None and not grant.dead

    def trade(self, *, code: str, redirect_uri: str, verifier: str) -> oauth.Granted:
        """Exchanges the code of a call-back for tokens. Raises as `oauth.decipher`, and NoAnswer."""
        form = oauth.code_form(
            client_id=self.client_id, client_secret=self._client_secret, code=code, redirect_uri=redirect_uri, verifier=verifier
        )
        return self._ask(form)

    def revoke(self, grant: Grant) -> None:
        """Ends both tokens at Capsule. Raises NoAnswer or SystemDown when it did not say that it has."""
        for token, kind in ((grant.refresh, "refresh_token"), (grant.access, "access_token")):
            form = oauth.revoke_form(client_id=self.client_id, client_secret=self._client_secret, token=token, kind=kind)
            answer = self._http.request(
                "POST",
                f"{self._oauth_url}/token/revoke",
                system=oauth.SYSTEM,
                route="POST token/revoke",
                form=form,
                deadline_s=self._deadline_s,
            )
            if answer.status >= 300:  # noqa: PLR2004 - anything but a yes
                raise SystemDown(f"capsule: POST token/revoke: {answer.status}", system=oauth.SYSTEM, status=answer.status)

    # ------------------------------------------------------------------ what lies in Redis
    def _stored(self) -> tuple[int, Grant | None]:
        """Redis' clock in ms, and the pair that lies there; None without one that we can read and use."""
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hget(KEY, self._field)
            (seconds, micros), raw = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        return seconds * 1000 + micros // 1000, self._unseal(raw)

    def _unseal(self, raw: bytes | str | None) -> Grant | None:
        if raw is None:
            return None
        text = raw if isinstance(raw, bytes) else raw.encode()
        try:
            document: Mapping[str, Any] = orjson.loads(self._vault.decrypt(text.partition(b" ")[2]))
            fields = dict(document)
            if fields.pop("for") != self._for:
                return None  # Of another application: the settings have changed.
            return Grant(**fields)
        except (InvalidToken, orjson.JSONDecodeError, KeyError, TypeError, ValueError):
            return None  # Written with a key that is gone.

    def _seal(self, grant: Grant) -> bytes:
        document = {name: getattr(grant, name) for name in Grant.__dataclass_fields__} | {"for": self._for}
        return _hash(grant.access).encode() + b" " + self._vault.encrypt(orjson.dumps(document))

    def _now_ms(self) -> int:
        seconds, micros = self._store.time()
        return int(seconds) * 1000 + int(micros) // 1000

    def _replace(self, old: Grant, new: Grant) -> bool:
        """Puts `new` where `old` lies; False when something else lies there by now."""
        return bool(self._exchange(keys=[KEY], args=[self._field, _hash(old.access), self._seal(new)]))

    def _fresh(self, grant: Grant, now_ms: int) -> bool:
        return now_ms < grant.renew_ms and _hash(grant.access) != self._refused

    def _usable(self, grant: Grant, now_ms: int) -> bool:
        return now_ms < grant.expires_ms and _hash(grant.access) != self._refused

    def _keep(self, grant: Grant, now_ms: int) -> str:
        self._held = _Held(grant.access, renew_at=time.monotonic() + (grant.renew_ms - now_ms) / 1000)
        return grant.access

    def _alive_or_lost(self, grant: Grant | None) -> Grant:
        """The pair, if it can be used. Else the account is paused, and looked at once more: it may just have been connected."""
        if grant is None or grant.dead:
            self._pause.pause()
            _, grant = self._stored()
            if grant is None or grant.dead:
                what = "not connected" if grant is None else "Capsule refused to refresh the sign-in"
                raise ReconnectNeeded(
                    f"capsule: {self.account}: {what}; run `capsule-relay connect {self.account}`", system="capsule"
                )
            self._pause.resume()
        return grant

    # ------------------------------------------------------------------ refreshing
    def _locked(self) -> bytes | None:
        """The mark of the lock that was just taken, None when another process has it."""
        mark = secrets.token_hex(16).encode()
        try:
            taken = self._store.set(LOCK + self._field, mark, nx=True, px=round((self._deadline_s + 5) * 1000))
        except redis.RedisError as error:
            raise _away(error) from error
        return mark if taken else None

    def _renew(self, mark: bytes) -> str:
        try:
            now_ms, found = self._stored()
            grant = self._alive_or_lost(found)
            if self._fresh(grant, now_ms):
                return self._keep(grant, now_ms)  # It was refreshed between our look and our lock.
            try:
                return self._refresh(grant)
            except (SystemDown, RateLimited, CredentialsRefused) as error:
                if isinstance(error, ReconnectNeeded) or not self._usable(grant, now_ms):
                    raise
                self._log.warning("token", account=self.account, error=str(error), action="the old one is good for a while yet")
                self._quiet_until = time.monotonic() + min(QUIET_S, (grant.expires_ms - grant.got_ms) / 50_000)
                return grant.access
        finally:
            try:
                self._unlock(keys=[LOCK + self._field], args=[mark])
            except redis.RedisError as error:
                raise _away(error) from error

    def _refresh(self, old: Grant) -> str:
        form = oauth.refresh_form(client_id=self.client_id, client_secret=self._client_secret, refresh=old.refresh)
        try:
            granted = self._ask(form)
        except NoAnswer as error:
            # It may have been refreshed all the same. Asking again tells; to the caller nothing has been sent.
            raise SystemDown(str(error), system=oauth.SYSTEM) from error
        except ReconnectNeeded:
            self._log.error("token", account=self.account, refused="refresh", advice=ReconnectNeeded.advice)
            self._note(old, replace(old, dead=True))
            self._alive_or_lost(None)
            return self.bearer()  # Somebody has connected it in this very moment.
        new = _grant(granted, granted.refresh or old.refresh, 0)
        # Nothing written: the account was connected anew or disconnected meanwhile, and what lies there now counts.
        return self._note(old, new) or self.bearer()

    def _note(self, old: Grant, new: Grant) -> str:
        """Puts `new` in the place of `old`. Returns the token, empty when something else lies there by now.

        Without Redis it is kept here, and put there as soon as Redis is back.
        """
        try:
            now_ms, dated = self._dated(new)
            written = self._replace(old, dated)
        except redis.RedisError as error:
            threading.Thread(target=self._note_later, args=(old, new), name="token", daemon=True).start()
            raise _away(error) from error
        if not written or new.dead:
            return ""
        self._log.info("token", account=self.account, action="refreshed", good_s=(dated.expires_ms - now_ms) // 1000)
        return self._keep(dated, now_ms)

    def _note_later(self, old: Grant, new: Grant) -> None:
        while True:
            time.sleep(SAVE_EVERY_S)
            try:
                _, dated = self._dated(new)
                if self._replace(old, dated) and not new.dead:
                    self._pause.resume()  # Meanwhile another process may have been refused with the old one.
            except (redis.RedisError, QueueAway):
                continue
            return

    def _dated(self, grant: Grant) -> tuple[int, Grant]:
        """The pair with times of Redis' clock, if it has none yet."""
        now_ms = self._now_ms()
        if grant.got_ms or grant.dead:
            return now_ms, grant
        return now_ms, replace(grant, got_ms=now_ms, renew_ms=now_ms + grant.renew_ms, expires_ms=now_ms + grant.expires_ms)

    def _ask(self, form: Mapping[str, str]) -> oauth.Granted:
        route = "POST token"
        asked = time.monotonic()
        answer = self._http.request(
            "POST",
            f"{self._oauth_url}/token",
            system=oauth.SYSTEM,
            route=route,
            headers={"Accept": "application/json"},
            form=form,
            deadline_s=self._deadline_s,
        )
        granted = oauth.decipher(answer, route=route)
        return replace(granted, lifetime_s=max(granted.lifetime_s - (time.monotonic() - asked), 0.0))


def _grant(granted: oauth.Granted, refresh: str, now_ms: int) -> Grant:
    """The pair with its times counted from `now_ms` (0: still to be dated)."""
    lifetime_ms = round(granted.lifetime_s * 1000)
    before_ms = min(RENEW_BEFORE_MS, round(lifetime_ms * RENEW_SHARE))
    return Grant(
        access=granted.access,
        refresh=refresh,
        got_ms=now_ms,
        renew_ms=now_ms + lifetime_ms - before_ms,
        expires_ms=now_ms + lifetime_ms,
        subdomain=granted.subdomain,
    )


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer while a token was fetched: {type(error).__name__}")
