"""The version of each record that a product was told of: it never goes back, and is the same for the same content.

    relay:versions:<connection>     hash `kind|id|model` -> `version digest` of what was last drawn, and
                                    `since` -> when the first was (seconds of Redis' clock)

A version is drawn before a message is sent, in microseconds of Redis' clock and above the last one. A run that finds the
digest unchanged is sending the same message again, so it gets the same version and thereby the same id. Runs of one record
follow each other (reference/agenda.md §4: the lease is held when the message leaves), so a later version is a later read.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from typing import TYPE_CHECKING, Final, cast

import redis

from mapping.agenda import key
from workers.errors import QueueAway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.agenda import RecordKey

DRAW: Final = """
local kept = redis.call('HGET', KEYS[1], ARGV[1])
local last = 0
if kept then
  local version, digest = string.match(kept, '^(%d+) (%S+)$')
  if digest == ARGV[2] then return version end
  last = tonumber(version)
end
local t = redis.call('TIME')
local version = string.format('%.0f', math.max(last + 1, t[1] * 1000000 + t[2]))
redis.call('HSET', KEYS[1], ARGV[1], version .. ' ' .. ARGV[2])
return version
"""
DIGEST_LENGTH: Final = 32
SINCE: Final = "since"


def versions_key(connection: str) -> str:
    """Hash `kind|id|model` -> version and digest of what a product was last told of a record."""
    return key(f"versions:{connection}")


class Versions:
    """Draws versions, and knows which model a record was last told under."""

    def __init__(self, store: redis.Redis) -> None:
        self._store = store
        self._draw = store.register_script(DRAW)

    def draw(self, record: RecordKey, model: str, digest: str) -> int:
        """The version of this content.

        Raises:
            QueueAway: Redis did not answer.
        """
        # Hashed with the record's name, so that equal contents cannot be told from outside.
        short = hashlib.sha256(f"{record.pack()}|{digest}".encode()).hexdigest()[:DIGEST_LENGTH]
        try:
            return int(self._draw(keys=[versions_key(record.connection)], args=[f"{record.field}|{model}", short]))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not draw a version: {type(error).__name__}") from error

    def since(self, connection: str) -> str:
        """When this connection's records were first told (ISO 8601, UTC, seconds): noted when it is first asked.

        Raises:
            QueueAway: Redis did not answer.
        """
        where = versions_key(connection)
        try:
            seconds, _ = self._store.time()
            self._store.hsetnx(where, SINCE, seconds)
            kept = cast("bytes | None", self._store.hget(where, SINCE))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return dt.datetime.fromtimestamp(int(kept or seconds), dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def model(self, record: RecordKey, models: Sequence[str]) -> str | None:
        """The one of these models under which a message of this record was ever begun, None when there was none.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            fields = [f"{record.field}|{model}" for model in models]
            kept = cast("list[bytes | None]", self._store.hmget(versions_key(record.connection), fields))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return next((model for model, one in zip(models, kept, strict=True) if one is not None), None)
