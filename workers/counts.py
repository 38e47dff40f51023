"""Counters of this process, added up over all processes in one hash of Redis.

Names are `what|connection`. Lag is counted in the cumulative buckets `lag.le.<ms>|connection`,
and `lag.sum_ms|connection` is their sum.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import TYPE_CHECKING, Final

import redis

from mapping.agenda import COUNTS
from workers.errors import QueueAway

if TYPE_CHECKING:
    from redis import Redis

LAG_BUCKETS_MS: Final = (50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000, 60_000)


class Counts:
    """Gathers in memory; `flush` adds to Redis. Nothing is lost when Redis is away, only late."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        self._lock = threading.Lock()
        self._pending: Counter[str] = Counter()

    def add(self, name: str, connection: str = "", number: int = 1) -> None:
        """Adds to one counter."""
        with self._lock:
            self._pending[f"{name}|{connection}" if connection else name] += number

    def call(self, system: str, ended: str) -> None:
        """Counts one call to another system by how it ended (`workers.http.Http`)."""
        self.add(f"calls.{system}.{ended}")

    def lag(self, connection: str, waited_ms: int) -> None:
        """Counts one record that was in step `waited_ms` after it was opened."""
        for bound in LAG_BUCKETS_MS:
            if waited_ms <= bound:
                self.add(f"lag.le.{bound}", connection)
        self.add("lag.le.inf", connection)
        self.add("lag.sum_ms", connection, waited_ms)

    def flush(self) -> None:
        """Adds what was gathered to Redis.

        Raises:
            QueueAway: Redis did not answer; the counters are kept for the next flush.
        """
        with self._lock:
            pending, self._pending = self._pending, Counter()
        if not pending:
            return
        try:
            pipe = self.client.pipeline(transaction=True)
            for name, number in pending.items():
                pipe.hincrby(COUNTS, name, number)
            pipe.execute()
        except redis.RedisError as error:
            with self._lock:
                self._pending.update(pending)
            raise QueueAway(f"Redis did not take the counters: {type(error).__name__}") from error
