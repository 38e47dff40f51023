"""Writes of a product through our own API come back as Capsule's events; the product knows what it wrote.

    relay:echo:<connection>     hash `kind|id` -> `pending <ms>` while one is under way, then `done <ms> <digest>` of the record
                                as the API answered it (`deleted` for one that was deleted); `creating` -> `<count> <ms>`

Times are of Redis' clock. A mark that is too old counts as none, so a console that was killed delays a record and hides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import redis

from mapping.agenda import key
from workers.errors import QueueAway, RateLimited

if TYPE_CHECKING:
    from mapping.agenda import RecordKey

PENDING_MS: Final = 10_000
CREATING_MS: Final = 30_000
LOOK_AGAIN_MS: Final = 500
GONE: Final = "deleted"


def echo_key(connection: str) -> str:
    """Hash of the writes that the product made through our API a moment ago."""
    return key(f"echo:{connection}")


class Echoes:
    """Says whether what a run would tell is what the product wrote itself."""

    def __init__(self, store: redis.Redis, system: str) -> None:
        self._store = store
        self._system = system

    def is_ours(self, record: RecordKey, digest: str, *, unknown: bool) -> bool:
        """Whether the product wrote this very content; its mark is used up. `unknown`: it was never told of the record.

        Raises:
            RateLimited: a write is under way, so it cannot be said yet; spends no attempt.
            QueueAway: Redis did not answer.
        """
        where = echo_key(record.connection)
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hmget(where, [record.field, "creating"])
            (seconds, micros), found = pipe.execute()
            mark, creating = (_words(one) for one in cast("list[bytes | None]", found))
            now = seconds * 1000 + micros // 1000
            if mark[:1] == ["done"]:
                self._store.hdel(where, record.field)
                return mark[2:] == [digest]
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        pending = mark[:1] == ["pending"] and now - int(mark[1]) < PENDING_MS
        made = unknown and len(creating) > 1 and int(creating[0]) > 0 and now - int(creating[1]) < CREATING_MS
        if pending or made:
            raise RateLimited(f"{record.pack()}: it is being written through our API", wait_ms=LOOK_AGAIN_MS, system=self._system)
        return False


def _words(stored: bytes | None) -> list[str]:
    return stored.decode().split(" ") if stored is not None else []
