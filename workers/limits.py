"""The vendors' rate limits, counted in Redis by all processes together and corrected from the answers' headers.

A window is fixed: so many calls until it ends, then anew (reference/capsule.md §3.1, reference/officernd.md §2.8). Work of
the lane `bulk` leaves a part of each window free, so that live changes pass while a first sync runs. Who gets no place is told
when to come again, each a little later than the one before, so that the waiters do not all come back at once.

All windows are fields of one hash, `relay:limits`; the scripts are in `workers/limits_script.py`.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

import redis

from mapping import agenda
from workers.errors import QueueAway, RateLimited
from workers.limits_script import EXHAUSTED, LEARN, RESERVE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

KEY: Final = agenda.key("limits")
BULK_SHARE: Final = 0.2
MOST_BULK_SHARE: Final = 0.5


@dataclass(frozen=True, slots=True)
class Window:
    """One limit of another system: at most `limit` calls in `length_ms`.

    `name` names the limit and who it counts, such as "officernd:acme-spaces:read-minute". A `limit` of 0 means that it is not
    known: nothing is held back until an answer names it.
    """

    name: str
    limit: int
    length_ms: int


@dataclass(frozen=True, slots=True)
class Observation:
    """What an answer's headers say of one window; None where they say nothing.

    `reset_in_ms` is how long until the window ends, counted from the answer.
    """

    name: str
    limit: int | None = None
    remaining: int | None = None
    reset_in_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Usage:
    """A window for the status page: calls used of those allowed (0 = unknown), its end, and how often we were refused (429)."""

    name: str
    limit: int
    used: int
    ends_in_ms: int
    refused: int


class Limits:
    """The shared counters. `bulk_share` is the part of each window that bulk work leaves free, at most one half."""

    def __init__(self, store: redis.Redis, *, bulk_share: float = BULK_SHARE) -> None:
        if not 0 <= bulk_share <= MOST_BULK_SHARE:
            raise ValueError(f"The share kept from bulk work must lie between 0 and {MOST_BULK_SHARE}, not {bulk_share}.")
        self._store = store
        self._share = round(bulk_share * 1000)
        self._reserve = store.register_script(RESERVE)
        self._learn = store.register_script(LEARN)
        self._exhausted = store.register_script(EXHAUSTED)

    def reserve(self, windows: Sequence[Window], *, lane: str) -> int:
        """Takes one place in every window, or in none.

        Returns 0 when the call may go now, else the milliseconds after which to ask again. Asking books that place: ask again
        after the wait, not before.

        Raises:
            QueueAway: Redis did not answer.
        """
        return self._ask(windows, lane=lane, look=False)

    def room(self, windows: Sequence[Window], *, lane: str) -> int:
        """What `reserve` would answer now; takes and books nothing.

        Raises:
            QueueAway: Redis did not answer.
        """
        return self._ask(windows, lane=lane, look=True)

    def _ask(self, windows: Sequence[Window], *, lane: str, look: bool) -> int:
        described = [part for window in windows for part in (window.name, window.limit, window.length_ms)]
        try:
            return int(cast("int", self._reserve(keys=[KEY], args=[lane, self._share, int(look), *described])))
        except redis.RedisError as error:
            raise _away(error) from error

    def acquire(
        self,
        windows: Sequence[Window],
        *,
        lane: str,
        system: str,
        max_wait_ms: int,
        alive: Callable[[], None],
        alive_every_s: float,
    ) -> None:
        """Takes a place, sleeping until there is one for at most `max_wait_ms` in all.

        `alive` is called at least every `alive_every_s` seconds meanwhile, and what it raises ends the wait.

        Raises:
            RateLimited: the wait would be longer; `wait_ms` is the place that was booked.
            QueueAway: Redis did not answer.
        """
        last = time.monotonic() + max_wait_ms / 1000
        while wait_ms := self.reserve(windows, lane=lane):
            until = time.monotonic() + wait_ms / 1000
            if until > last:
                names = ", ".join(window.name for window in windows)
                raise RateLimited(f"{system}: the limit is used up ({names})", wait_ms=wait_ms, system=system)
            while (left := until - time.monotonic()) > 0:
                alive()
                time.sleep(min(left, alive_every_s))

    def learn(self, windows: Sequence[Window], seen: Iterable[Observation]) -> None:
        """Corrects the counters from an answer's headers. Observations of windows that are not in `windows` are left out.

        Raises:
            QueueAway: Redis did not answer.
        """
        lengths = {window.name: window.length_ms for window in windows}
        described = [
            part
            for one in seen
            if one.name in lengths
            for part in (one.name, _told(one.limit), _told(one.remaining), _told(one.reset_in_ms), lengths[one.name])
        ]
        if not described:
            return
        try:
            self._learn(keys=[KEY], args=described)
        except redis.RedisError as error:
            raise _away(error) from error

    def exhausted(self, window: Window, wait_ms: int) -> None:
        """The other side has answered 429: nobody goes in this window for `wait_ms` milliseconds.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            self._exhausted(keys=[KEY], args=[window.name, wait_ms])
        except redis.RedisError as error:
            raise _away(error) from error

    def usage(self) -> tuple[Usage, ...]:
        """Every window that was ever used, by name.

        Raises:
            QueueAway: Redis did not answer.
        """
        try:
            pipe = self._store.pipeline(transaction=False)
            pipe.time()
            pipe.hgetall(KEY)
            (seconds, micros), fields = pipe.execute()
        except redis.RedisError as error:
            raise _away(error) from error
        now = seconds * 1000 + micros // 1000
        return tuple(sorted((_usage(_text(name), _text(held), now) for name, held in fields.items()), key=lambda one: one.name))


def _usage(name: str, held: str, now: int) -> Usage:
    limit, used, ends, _, _, _, refused, _ = (int(number) for number in held.split())
    over = now >= ends
    return Usage(name, limit, 0 if over else used, 0 if over else ends - now, refused)


def _told(number: int | None) -> int:
    return -1 if number is None else max(number, 0)


def _text(raw: bytes | str) -> str:
    return raw.decode() if isinstance(raw, bytes) else raw


def _away(error: redis.RedisError) -> QueueAway:
    return QueueAway(f"Redis did not answer while a rate limit was counted: {type(error).__name__}")
