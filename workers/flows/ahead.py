"""Reads ahead in a burst: what waits is read by pages of a hundred changed records, instead of ten ids a call.

When hundreds of live records wait, most of them were changed a moment ago, and Capsule's list of changed records shows them.
What a page holds is handed on as a reconcile does it: a tick is drawn before the page is asked for, and the agenda refuses the
body of a record that an event or a run has met since. So a body that is there may be used, and one that is not is read by
itself; nothing is concluded from a list, and what it does not show (a change of tags alone may not move `updatedAt`) is
read as ever. It is looked for after a run, so that a change alone waits for nothing.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import redis

from mapping.agenda import RecordKey, key
from workers import tracing
from workers.capsule.wire import MOST_IDS, SINCE
from workers.errors import WorkerError
from workers.flows.reconcile import OVERLAP_MS, marked, moment

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from workers.services import Services

AHEAD: Final = key("ahead")  # hash `connection|kind` -> ms at which this was last done
WORTH_IT: Final = 200  # so many records that wait and were not there the last time
LOOKED_AT: Final = 1_000
LOOK_SECONDS: Final = 1.0
NEAR: Final = 100  # not before one of them is among so many that are next: the longer it waits, the more one walk brings
POOR_IN_A_ROW: Final = 3  # pages after useful ones that brought less than reading by ids; the list is left then
REST_SECONDS: Final = 60.0  # after a failure, or when no page came in time, as when the hour's calls are used up
LONGEST_SECONDS: Final = 20.0
WAITING: Final = frozenset({b"live", b"bulk", b"due"})


class _Enough(Exception):
    """It takes too long, or the process is to stop."""


@dataclass(frozen=True, slots=True)
class _Burst:
    """So many records of a connection and kind wait that were not read yet; `since_ms`: what to ask Capsule for."""

    connection: str
    kind: str
    waiting: int
    since_ms: int


class Ahead:
    """One per worker process; shared by its threads, of which one at a time reads ahead."""

    def __init__(self, services: Services, *, worth_it: int = WORTH_IT, look_s: float = LOOK_SECONDS) -> None:
        self.services = services
        self._worth_it = worth_it
        # Twice as many after each walk that took more calls than it spared, as of a long list in an order of no use.
        self._wanted: dict[tuple[str, str], int] = {}
        self._look_s = look_s
        self._mine = threading.Lock()
        self._due = 0.0

    def look(self) -> None:
        """Called between two runs: now and then looks whether enough records wait, and reads them."""
        if time.monotonic() < self._due or not self._mine.acquire(blocking=False):
            return
        rest = REST_SECONDS
        try:
            if all(self._read(burst) for burst in self._bursts()):
                rest = self._look_s
        except (WorkerError, redis.RedisError) as error:
            # Each run reads for itself, and says by itself what is wrong.
            self.services.log.info("ahead", error=type(error).__name__, text=str(error))
        finally:
            self._due = time.monotonic() + rest
            self._mine.release()

    def _bursts(self) -> list[_Burst]:
        """Connections and kinds of which enough records wait that the last walk cannot have met."""
        ready, store = key("ready:live"), self.services.redis
        if store.zcard(ready) < self._worth_it:
            return []
        pipe = store.pipeline(transaction=False)
        pipe.hgetall(AHEAD)
        pipe.zrange(ready, 0, NEAR - 1, withscores=True)
        pipe.zrevrange(ready, 0, LOOKED_AT - 1, withscores=True)
        kept, oldest, newest = pipe.execute()
        last = {name.decode(): int(ms) for name, ms in cast("Mapping[bytes, bytes]", kept).items()}

        def new(found: Iterable[tuple[bytes, float]]) -> Counter[str]:
            groups = ((packed.decode().rpartition("|")[0], ms) for packed, ms in found)
            return Counter(group for group, ms in groups if ms > last.get(group, 0))

        near, waiting = new(oldest), new(newest)
        found = []
        for group, number in waiting.items():
            connection, kind = group.split("|")
            enough = number >= self._wanted.get((connection, kind), self._worth_it)
            if enough and near[group] and kind in SINCE and connection in self.services.connections:
                # An event comes later than its change, in an import by minutes.
                since_ms = max(last.get(group, 0), int(oldest[0][1])) - OVERLAP_MS
                found.append(_Burst(connection, kind, number, since_ms))
        return found

    def _read(self, burst: _Burst) -> bool:
        """Walks the list of what was changed and hands on what waits. False when not even one page came in time.

        The list's order is not known: what waits may stand together in the middle of it, or anywhere. It is left when it has
        taken as many calls as reading by ids would have, or has been of use and is not any more.
        """
        services, began = self.services, time.monotonic()
        connection, kind = burst.connection, burst.kind

        def alive() -> None:
            if services.stopping.is_set() or time.monotonic() > began + LONGEST_SECONDS:
                raise _Enough

        pages = found = handed_on = poor = 0
        with tracing.work("ahead", connection=connection, kind=kind):
            services.redis.hset(AHEAD, f"{connection}|{kind}", services.agenda.mark() // 1000)
            listed = services.capsule(connection).list_records(kind, since=moment(burst.since_ms), lane="bulk", alive=alive)
            try:
                for mark, page in marked(services, listed):
                    pages, found = pages + 1, found + len(page)
                    brought = self._hand_on(connection, kind, mark, page.bodies)
                    handed_on += brought
                    poor = poor + 1 if brought < MOST_IDS else 0
                    if pages * MOST_IDS >= burst.waiting or (poor >= POOR_IN_A_ROW and handed_on >= MOST_IDS):
                        break
            except _Enough:
                pass
            finally:
                ms = round((time.monotonic() - began) * 1000)
                services.log.info("ahead", connection=connection, kind=kind, pages=pages, found=found, handed_on=handed_on, ms=ms)
        paid = handed_on >= pages * MOST_IDS
        self._wanted[connection, kind] = self._worth_it if paid else 2 * burst.waiting
        return pages > 0

    def _hand_on(self, connection: str, kind: str, mark: int, bodies: Sequence[Mapping[str, Any]]) -> int:
        """Gives what was read after `mark` to the records that wait, and opens none that does not. Returns how many they are."""
        records = [RecordKey(connection, kind, body["id"]) for body in bodies]
        places = cast("list[bytes | None]", self.services.redis.hmget(key("place"), [record.pack() for record in records]))
        waiting = [
            (record, self.services.vault.seal({"record": body}))
            for record, body, place in zip(records, bodies, places, strict=True)
            if place in WAITING
        ]
        return self.services.agenda.open_read(waiting, lane="bulk", mark=mark)
