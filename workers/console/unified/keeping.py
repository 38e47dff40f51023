"""Answers kept by Idempotency-Key, since Capsule has none (reference/capsule.md §3.2): a repetition is answered, not done again.

One hash per connection holds what was asked under which key and how it ended, for 24 hours. Keys and bodies are there as hashes
alone, answers are encrypted. States: `running`, `unclear` (sent to Capsule, its answer lost), `done`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from mapping.agenda import key
from workers.console.unified.problems import Problem

if TYPE_CHECKING:
    from workers.services import Services

HEADER: Final = "idempotency-key"
REPLAYED: Final = "idempotency-replayed"
LONGEST: Final = 255
KEY: Final = re.compile(rf"[!-~]{{1,{LONGEST}}}")
KEEP_MS: Final = 24 * 3_600_000
RUNNING_MS: Final = 90_000  # longer than any request: its calls have deadlines
ANOTHER: Final = "This Idempotency-Key was used with another body or path. Use a new one for another request."

State = Literal["new", "busy", "another", "unclear", "done"]

# A value is `state hash since now text`: `since` is when it was first sent, `now` when the state was set.
_BEGIN: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local old = redis.call('ZRANGEBYSCORE', KEYS[2], '-inf', now, 'LIMIT', 0, 100)
for _, field in ipairs(old) do redis.call('HDEL', KEYS[1], field) redis.call('ZREM', KEYS[2], field) end
local stamp = string.format('%.0f', now)
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then
  redis.call('HSET', KEYS[1], ARGV[1], 'running ' .. ARGV[2] .. ' ' .. stamp .. ' ' .. stamp .. ' ')
  redis.call('ZADD', KEYS[2], now + tonumber(ARGV[4]), ARGV[1])
  return {'new', stamp, stamp, stamp, ''}
end
local state, hash, since, at, text = string.match(held, '^(%a+) (%x+) (%d+) (%d+) (.*)$')
if hash ~= ARGV[2] then return {'another', since, at, stamp, ''} end
if state == 'done' then return {'done', since, at, stamp, text} end
if state == 'running' and now - tonumber(at) < tonumber(ARGV[3]) then return {'busy', since, at, stamp, ''} end
redis.call('HSET', KEYS[1], ARGV[1], 'running ' .. hash .. ' ' .. since .. ' ' .. stamp .. ' ')
return {'unclear', since, at, stamp, ''}
"""
_END: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('HGET', KEYS[1], ARGV[1])
if not held then return 0 end
local hash, since = string.match(held, '^%a+ (%x+) (%d+) ')
local at = ARGV[4] ~= '' and ARGV[4] or string.format('%.0f', now)
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. hash .. ' ' .. since .. ' ' .. at .. ' ' .. ARGV[3])
return 1
"""


@dataclass(frozen=True, slots=True)
class Kept:
    """What is known of a key. `since_ms` is when it was first sent, `at_ms` when this state began, `now_ms` Redis' clock."""

    state: State
    since_ms: int
    at_ms: int
    now_ms: int
    status: int = 0
    body: bytes = b""


class Keeping:
    """The keys of one connection. Raises redis.RedisError."""

    def __init__(self, services: Services, connection: str, text: str, *, method: str, path: str, body: bytes) -> None:
        if not KEY.fullmatch(text):
            raise Problem(400, f"Idempotency-Key is not one: 1 to {LONGEST} ASCII characters without spaces.")
        self._vault = services.vault
        self._store = services.redis
        self._keys = [key(f"idempotency:{connection}"), key(f"idempotency-ends:{connection}")]
        self._field = _hash(text)
        self._hash = _hash(text, method, path, base64.b64encode(body).decode())
        self._begin = services.redis.register_script(_BEGIN)
        self._end = services.redis.register_script(_END)

    def begin(self) -> Kept:
        """What is known; after `new` and `unclear` the caller has the key and must end it by one of the others."""
        raw = cast("list[bytes]", self._begin(keys=self._keys, args=[self._field, self._hash, RUNNING_MS, KEEP_MS]))
        state, since, at, now, text = (part.decode() for part in raw)
        kept = Kept(cast("State", state), int(since), int(at), int(now))
        if kept.state != "done":
            return kept
        document: dict[str, Any] = self._vault.open(text.encode())
        body = base64.b64decode(document["body"])
        return Kept("done", kept.since_ms, kept.at_ms, kept.now_ms, document["status"], body)

    def done(self, status: int, body: bytes) -> None:
        """Keeps the answer."""
        sealed = self._vault.seal({"status": status, "body": base64.b64encode(body).decode()}).decode()
        self._end(keys=self._keys, args=[self._field, "done", sealed, ""])

    def unclear(self, at_ms: int | None = None) -> None:
        """It was sent, now or at `at_ms`, and its answer was lost."""
        self._end(keys=self._keys, args=[self._field, "unclear", "", "" if at_ms is None else at_ms])

    def forget(self) -> None:
        """It had no effect: the key may be used again."""
        pipe = self._store.pipeline()
        pipe.hdel(self._keys[0], self._field)
        pipe.zrem(self._keys[1], self._field)
        pipe.execute()


def _hash(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()
