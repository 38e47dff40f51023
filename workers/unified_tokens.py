"""Tokens of the unified API: who may read, or read and write, through which connection.

A token is 256 random bits and is shown once. Redis holds its SHA-256, of which nothing can be guessed, encrypted together with
what it opens: whoever can write to Redis cannot make a token of their own (DECISIONS.md). A token that is used is encrypted anew
from time to time, so that a change of RELAY_SECRET_KEY ends no product's access.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

import orjson
import redis

from mapping.agenda import key
from workers.errors import Misconfigured, QueueAway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from workers.ledger import Vault

TOKENS: Final = key("api-tokens")  # hash id -> encrypted JSON of the token without itself
USED: Final = key("api-tokens-used")  # hash id -> ms of Redis' clock at which it was last accepted
AUDIT: Final = key("api-tokens-audit")  # list of JSON, newest first
MOST_AUDITED: Final = 1_000
LONGEST_LABEL: Final = 80
USED_EVERY_MS: Final = 60_000

Scope = Literal["read", "write"]
SCOPES: Final[tuple[Scope, ...]] = ("read", "write")
_FORM: Final = re.compile(r"relay_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")

# Written at most once a minute, and only for a token that is still there: when it was used, and itself under the newest key.
_TOUCH: Final = """
if redis.call('HEXISTS', KEYS[1], ARGV[1]) == 0 then return 0 end
local now = redis.call('TIME')
local ms = now[1] * 1000 + math.floor(now[2] / 1000)
local last = tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '0')
if ms - last >= tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[2], ARGV[1], string.format('%.0f', ms))
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[3])
end
return 1
"""


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is known of a token; never the token itself. `created_ms` and `used_ms` are ms of Redis' clock, 0 = never."""

    id: str
    connections: tuple[str, ...]
    scope: Scope
    label: str
    created_ms: int
    used_ms: int = 0

    @property
    def may_write(self) -> bool:
        """Whether it may change something."""
        return self.scope == "write"


class UnifiedTokens:
    """The tokens over one Redis client."""

    def __init__(self, store: redis.Redis, vault: Vault) -> None:
        self._store = store
        self._vault = vault
        self._touch = store.register_script(_TOUCH)

    def create(self, connections: Sequence[str], scope: Scope, *, label: str = "") -> tuple[ApiToken, str]:
        """A new token: what is known of it, and its text, which is told this once.

        Raises:
            QueueAway: Redis did not answer.
        """
        number, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        text = f"relay_{number}_{secret}"
        try:
            now = self._now()
            document = {"connections": list(connections), "scope": scope, "label": label[:LONGEST_LABEL], "created_ms": now}
            self._store.hset(TOKENS, number, self._vault.seal(document | {"hash": _hash(text)}))
            self._note("created", number, connections, scope, now)
        except redis.RedisError as error:
            raise _away(error) from error
        return ApiToken(number, tuple(connections), scope, document["label"], now), text  # type: ignore[arg-type] # a text

    def list(self, connection: str = "") -> tuple[ApiToken, ...]:
        """Every token, or those of one connection, oldest first.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.hgetall(TOKENS)
            pipe.hgetall(USED)
            held, used = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        found = [_read(_text(number), self._opened(raw), int(used.get(number, 0))) for number, raw in held.items()]
        chosen = [one for one in found if one is not None and (not connection or connection in one.connections)]
        return tuple(sorted(chosen, key=lambda one: (one.created_ms, one.id)))

    def revoke(self, number: str) -> ApiToken | None:
        """Ends a token; it is refused from now on. None when there is none of that id.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            raw = self._store.hget(TOKENS, number)
            gone = _read(number, self._opened(raw), 0)
            pipe = self._store.pipeline()
            pipe.hdel(TOKENS, number)
            pipe.hdel(USED, number)
            pipe.execute()
            if gone is not None:
                self._note("revoked", number, gone.connections, gone.scope, self._now())
        except redis.RedisError as error:
            raise _away(error) from error
        return gone

    def find(self, text: str) -> ApiToken | None:
        """The token whose text this is, None when it is none of ours; notes that it was used.

        Raises:
            QueueAway: Redis did not answer.
        """
        form = _FORM.fullmatch(text)
        if form is None:
            return None
        number = form.group(1)
        try:
            document = self._opened(self._store.hget(TOKENS, number))
            held = _hash("") if document is None else document["hash"]
            if not hmac.compare_digest(held.encode(), _hash(text).encode()) or document is None:
                return None
            self._touch(keys=[TOKENS, USED], args=[number, USED_EVERY_MS, self._vault.seal(document)])
        except redis.RedisError as error:
            raise _away(error) from error
        return _read(number, document, 0)

    def audit(self, limit: int = 100) -> tuple[dict[str, object], ...]:
        """What was done with tokens, newest first.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            return tuple(orjson.loads(raw) for raw in self._store.lrange(AUDIT, 0, limit - 1))
        except redis.RedisError as error:
            raise _away(error) from error

    def _note(self, action: str, number: str, connections: Sequence[str], scope: str, now: int) -> None:
        line = {"ms": now, "action": action, "id": number, "connections": list(connections), "scope": scope}
        pipe = self._store.pipeline()
        pipe.lpush(AUDIT, orjson.dumps(line))
        pipe.ltrim(AUDIT, 0, MOST_AUDITED - 1)
        pipe.execute()

    def _opened(self, raw: bytes | str | None) -> dict[str, Any] | None:
        """What is kept of a token; None without one, and for one that no key of RELAY_SECRET_KEY opens."""
        if raw is None:
            return None
        try:
            document: dict[str, Any] = self._vault.open(raw if isinstance(raw, bytes) else raw.encode())
        except Misconfigured:
            return None
        return document

    def _now(self) -> int:
        seconds, micros = self._store.time()
        return int(seconds) * 1000 + int(micros) // 1000


def _read(number: str, document: dict[str, Any] | None, used: int) -> ApiToken | None:
    if document is None:
        return None
    scope: Scope = "write" if document.get("scope") == "write" else "read"
    return ApiToken(number, tuple(document["connections"]), scope, document["label"], int(document["created_ms"]), used)


def _hash(text: str) -> str:
    return hashlib.sha256(b"capsule-relay/api-token\n" + text.encode()).hexdigest()


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer while API tokens were looked at: {type(error).__name__}")
