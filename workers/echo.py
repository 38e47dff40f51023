"""Marks of our own writes, so that the event which Capsule sends because of them is not delivered as news.

Hash `relay:echo:<connection>`. Field `kind|id`: `pending <ms>` while a write of that record is under way, `done <ms> <digest>`
when Capsule has answered it, with `mapping.unified.deliveries.digest` of the record as a run will read it: of an entry that of
its engagement, of a deal or project the form without further parties and without the organisation of its party; of a deleted
record the word `deleted`. Field `creating`: `<number> <ms>`, how many new records are being made and when the last one was begun.
Times are of Redis' clock. A mark is a hint that ages: nothing is lost when one is missing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mapping.agenda import key

if TYPE_CHECKING:
    import redis

CREATING: Final = "creating"
DELETED: Final = "deleted"
CREATING_MS: Final = 30_000
KEEP_MS: Final = 3_600_000
MOST: Final = 5_000

_NOW: Final = """
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local stamp = string.format('%.0f', now)
"""
# ARGV: field, word, digest, how long marks are kept, how many. Old ones go when there are too many; an idle hash goes by itself.
_MARK: Final = (
    _NOW
    + """
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. ' ' .. stamp .. ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[4])
if redis.call('HLEN', KEYS[1]) > tonumber(ARGV[5]) then
  local held = redis.call('HGETALL', KEYS[1])
  for i = 1, #held, 2 do
    local ms = tonumber(string.match(held[i + 1], '^%S+ (%d+)') or '0')
    if now - ms > tonumber(ARGV[4]) / 60 then redis.call('HDEL', KEYS[1], held[i]) end
  end
end
return 1
"""
)
# ARGV: the step (1 or -1), how long a count holds, how long marks are kept.
_COUNT: Final = (
    _NOW
    + """
local held = redis.call('HGET', KEYS[1], 'creating') or '0 0'
local number, ms = string.match(held, '^(%d+) (%d+)$')
number, ms = tonumber(number or '0'), tonumber(ms or '0')
if now - ms > tonumber(ARGV[2]) then number = 0 end
if tonumber(ARGV[1]) > 0 then ms = now end
number = math.max(number + tonumber(ARGV[1]), 0)
if number == 0 then redis.call('HDEL', KEYS[1], 'creating')
else
  redis.call('HSET', KEYS[1], 'creating', string.format('%.0f %.0f', number, ms))
  redis.call('PEXPIRE', KEYS[1], ARGV[3])
end
return number
"""
)


def echo_key(connection: str) -> str:
    """The hash of a connection's marks."""
    return key(f"echo:{connection}")


class Echoes:
    """Sets the marks of one connection. Raises redis.RedisError."""

    def __init__(self, store: redis.Redis, connection: str) -> None:
        self._store = store
        self._key = echo_key(connection)
        self._mark = store.register_script(_MARK)
        self._count = store.register_script(_COUNT)

    def pending(self, kind: str, number: int) -> None:
        """A write of this record begins."""
        self._set(kind, number, "pending", "")

    def done(self, kind: str, number: int, digest: str) -> None:
        """Capsule has answered the write: the record is now what `digest` says."""
        self._set(kind, number, "done", f" {digest}")

    def nothing(self, kind: str, number: int) -> None:
        """The write had no effect."""
        self._store.hdel(self._key, f"{kind}|{number}")

    def creating(self) -> None:
        """A record is being made: its id is not known yet."""
        self._count(keys=[self._key], args=[1, CREATING_MS, KEEP_MS])

    def created(self) -> None:
        """It has been made, or it has not: its own mark is set by now."""
        self._count(keys=[self._key], args=[-1, CREATING_MS, KEEP_MS])

    def _set(self, kind: str, number: int, word: str, rest: str) -> None:
        self._mark(keys=[self._key], args=[f"{kind}|{number}", word, rest, KEEP_MS, MOST])
