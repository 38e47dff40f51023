"""Writes of a product through our own API come back as Capsule's events; the product knows what it wrote.

The marks are set by `workers/echo.py`, which tells their form. One that is too old counts as none, so a console that was killed
delays a record and hides nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import redis

from workers.echo import CREATING, CREATING_MS, echo_key
from workers.errors import QueueAway, RateLimited

if TYPE_CHECKING:
    from collections.abc import Collection

    from mapping.agenda import RecordKey

PENDING_MS: Final = 10_000
LOOK_AGAIN_MS: Final = 500


class Echoes:
    """Says whether what a run would tell is what the product wrote itself."""

    def __init__(self, store: redis.Redis, system: str) -> None:
        self._store = store
        self._system = system

    def is_ours(self, record: RecordKey, digests: Collection[str], *, unknown: bool) -> bool:
        """Whether the product wrote this very content, as one of its models; its mark is used up.

        `unknown`: it was never told of the record.

        Raises:
            RateLimited: a write is under way, so it cannot be said yet; spends no attempt.
            QueueAway: Redis did not answer.
        """
        where = echo_key(record.connection)
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hmget(where, [record.field, CREATING])
            (seconds, micros), found = pipe.execute()
            mark, creating = (_words(one) for one in cast("list[bytes | None]", found))
            now = seconds * 1000 + micros // 1000
            if mark[:1] == ["done"]:
                self._store.hdel(where, record.field)
                return " ".join(mark[2:]) in digests
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        pending = mark[:1] == ["pending"] and now - int(mark[1]) < PENDING_MS
        made = unknown and len(creating) > 1 and int(creating[0]) > 0 and now - int(creating[1]) < CREATING_MS
        if pending or made:
            raise RateLimited(f"{record.pack()}: it is being written through our API", wait_ms=LOOK_AGAIN_MS, system=self._system)
        return False


def _words(stored: bytes | None) -> list[str]:
    return stored.decode().split(" ") if stored is not None else []
