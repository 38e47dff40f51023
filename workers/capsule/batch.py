"""Natural batching: while one call is under way, the ids of the next gather, across the threads of a process.

Capsule's budget of calls is small and one call answers ten ids, so the threads that want one record each share calls. A read
must begin after it was asked for (reference/agenda.md §4: g read_after_take): a request joins only a batch that is not yet
sent. One of the waiting threads leads: it waits for a slot of the limit, sends the batch and hands out what came.
"""

from __future__ import annotations

import time
from enum import Enum
from threading import Condition
from typing import TYPE_CHECKING, Final, Literal, TypeAlias

from workers.answers import Body, copy_of
from workers.errors import RateLimited, SystemDown, WorkerError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Unsettled(Enum):
    """The answer did not hold the id, and that alone does not say that the record is gone (reference/capsule.md §3.7)."""

    UNSETTLED = "unsettled"


UNSETTLED: Final = Unsettled.UNSETTLED
Found: TypeAlias = Body | Literal[Unsettled.UNSETTLED] | None


class _Place:
    """One id in the queue, with all who ask for it."""

    __slots__ = ("askers", "error", "found", "live", "number", "settled")

    def __init__(self, number: int) -> None:
        self.number = number
        self.live = False
        self.askers = 0
        self.settled = False
        self.found: Found = UNSETTLED
        self.error: WorkerError | None = None


class Batch:
    """Collects ids and has them fetched together.

    `fetch` reads up to `size` ids, with a slot taken before; what its answer lacks is UNSETTLED. `slot` takes a slot of the
    limit for a lane, or returns the ms until one is expected. `alive_every_s` is how often a waiting caller is asked for its
    `alive`. In a burst, when half a call is waiting or was sent last, ids leave at the earliest `gather_s` after the start of
    the call before them unless they fill it, so that a few changes are read at once while a burst fills its calls; `crowd`
    ids are full too, where no more threads can ask.
    """

    def __init__(
        self,
        fetch: Callable[[tuple[int, ...]], Mapping[int, Body | None]],
        slot: Callable[[str], int],
        *,
        system: str,
        size: int,
        crowd: int,
        gather_s: float,
        max_wait_ms: int,
        alive_every_s: float,
    ) -> None:
        self._fetch = fetch
        self._slot = slot
        self._system = system
        self._size = size
        self._full = max(min(size, crowd), 1)
        self._gather_s = gather_s
        self._max_wait_ms = max_wait_ms
        self._alive_every_s = alive_every_s
        self._turn = Condition()
        self._waiting: dict[int, _Place] = {}
        self._led = False
        self._last_call = -gather_s
        self._last_size = 0

    def get(self, number: int, *, lane: str, alive: Callable[[], None]) -> Found:
        """The record as a read that begins now finds it; None when it is gone, UNSETTLED when the batch left that open.

        Raises:
            RateLimited: the next slot of the limit is further away than the longest wait.
            WorkerError: what the call, or `alive`, raised.
        """
        alive()
        with self._turn:
            place = self._waiting.get(number)
            if place is None:
                place = self._waiting[number] = _Place(number)
            place.askers += 1
            place.live = place.live or lane != "bulk"
            self._turn.notify_all()
        try:
            self._wait(place, alive)
        finally:
            with self._turn:
                place.askers -= 1
                if not place.askers and self._waiting.get(number) is place:
                    del self._waiting[number]
        if place.error is not None:
            raise copy_of(place.error)
        return place.found

    def _wait(self, place: _Place, alive: Callable[[], None]) -> None:
        """Until the place is settled; leads a batch whenever nobody does."""
        due = time.monotonic() + self._alive_every_s
        while True:
            with self._turn:
                while not place.settled and (self._led or self._waiting.get(place.number) is not place):
                    left = due - time.monotonic()
                    if left <= 0:
                        break
                    self._turn.wait(left)
                if place.settled:
                    return
                lead = not self._led and self._waiting.get(place.number) is place
                self._led = self._led or lead
            if lead:
                self._lead(alive)
            else:
                alive()
            due = time.monotonic() + self._alive_every_s

    def _lead(self, alive: Callable[[], None]) -> None:
        """Sends one batch. Errors of the call go to all in the batch, those of the way there only to the leader."""
        batch: list[_Place] = []
        found: Mapping[int, Body | None] = {}
        error: WorkerError | None = None
        try:
            wait_ms = self._depart(alive)
            with self._turn:
                batch = self._take()
                self._last_call, self._last_size = time.monotonic(), len(batch)
            if wait_ms:
                # All of them come back together, so that they still share one call then.
                error = RateLimited(f"{self._system}: the limit is used up", wait_ms=wait_ms, system=self._system)
            elif batch:
                found = self._fetch(tuple(place.number for place in batch))
        except WorkerError as raised:
            if not batch:
                raise
            error = raised
        except BaseException:
            error = SystemDown(f"{self._system}: the read was broken off in another thread", system=self._system)
            raise
        finally:
            with self._turn:
                for place in batch:
                    place.found, place.error, place.settled = found.get(place.number, UNSETTLED), error, True
                self._led = False
                self._turn.notify_all()

    def _depart(self, alive: Callable[[], None]) -> int:
        """Waits until a batch may leave: gathered, a slot taken. Returns 0, or the ms of a wait that is too long."""
        if 2 * max(self._last_size, len(self._waiting)) >= self._full:  # a burst; a few changes at once are read at once
            self._pause(self._last_call + self._gather_s, alive, enough=lambda: len(self._waiting) >= self._full)
        last = time.monotonic() + self._max_wait_ms / 1000
        while True:
            live = self._has_live()
            wait_ms = self._slot("live" if live else "bulk")
            if not wait_ms:
                alive()  # A read begins: the leader's own lease must outlast it.
                return 0
            until = time.monotonic() + wait_ms / 1000
            if until > last:
                return wait_ms
            # A live request that joins meanwhile need not wait for a place that bulk work has booked.
            self._pause(until, alive, enough=(lambda: False) if live else self._has_live)

    def _pause(self, until: float, alive: Callable[[], None], *, enough: Callable[[], bool]) -> None:
        while True:
            with self._turn:
                left = until - time.monotonic()
                if left <= 0 or enough():
                    return
                self._turn.wait(min(left, self._alive_every_s))
            alive()

    def _has_live(self) -> bool:
        with self._turn:
            return any(place.live for place in self._waiting.values())

    def _take(self) -> list[_Place]:
        """The next batch, live before bulk, each by order of arrival; from now on nobody joins it."""
        places = sorted(self._waiting.values(), key=lambda place: not place.live)[: self._size]
        for place in places:
            del self._waiting[place.number]
        return places
