"""What a run spent its time with, looked at twice a second: was there a Redis, a worker, a pause, and where did records stand?

It explains a lag. While somebody kills a process every second or two, most of a minute may pass without a worker that has
finished starting, or inside the window in which a write of one that was killed may still land.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Any, Self

import redis

if TYPE_CHECKING:
    from tests.faults.installation import Installation

EVERY_SECONDS = 0.5
PLACES = ("live", "bulk", "solo", "due", "parked", "lease")


class Witness:
    """Looks from a thread of its own, within a `with` block; `told` says what it saw."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self._seen: Counter[str] = Counter()
        self._oldest_s = 0.0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="witness", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def told(self) -> dict[str, Any]:
        """Percent of the looks with each state, the mean number of open records in each place, the oldest of them in seconds."""
        looks = max(1, self._seen["looks"])
        answered = max(1, self._seen["redis answers"])
        states = ("redis answers", "worker runs", "worker works", "paused", "in window")
        return {
            "percent of the time": {name: round(100 * self._seen[name] / looks) for name in states},
            "open, mean": {name: round(self._seen[name] / answered) for name in PLACES if self._seen[name]},
            "oldest open s": round(self._oldest_s),
        }

    def _look_on(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self._seen["looks"] += 1
            with contextlib.suppress(OSError, redis.RedisError):
                self._look()

    def _look(self) -> None:
        seen, installation = self._seen, self.installation
        children = installation.find("worker child")
        seen["worker runs"] += bool(children)
        with installation.store() as store:
            now = time.time()
            places = Counter(one.decode() for one in store.hvals("relay:place"))
            oldest = store.zrange("relay:open", 0, 0, withscores=True)
            born = (store.get("relay:born") or b"? 0").split()[1]
            working = {name.decode().split(":")[1] for name in store.hkeys("relay:procs") if b":" in name}
            seen["redis answers"] += 1
            seen["paused"] += bool(store.exists("relay:paused"))
            seen["in window"] += now < int(born) / 1000 + installation.window_s
            seen["worker works"] += bool(working & set(map(str, children)))
            seen.update(places)
            if oldest:
                self._oldest_s = max(self._oldest_s, now - oldest[0][1] / 1000)
