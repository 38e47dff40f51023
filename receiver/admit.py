"""Admission: records into the agenda, many deliveries in one round trip, none answered before its own is in Redis.

One call is under way per process. What arrives meanwhile gathers and goes with the next one, so that the batches grow by
themselves as the load does, and a single delivery never waits for a timer (DESIGN.md §3).
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Final

from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

LARGEST_BATCH: Final = 1_000
"""Records in one call: a few milliseconds of Redis' time, in which it serves nobody else."""
LONGEST_WAIT_S: Final = 0.8
"""A delivery that has waited longer than this before a call is refused: with one more call it would be past 2 s."""
MOST_WAITING: Final = 100_000
"""Records that may wait in one process; beyond it deliveries are refused at once, so that memory stays bounded."""


class _Request:
    """The records of one delivery. `left` counts those that are neither in Redis nor on their way.

    `told` is called once with the outcome, unless nobody waits for it any more (`gone`).
    """

    __slots__ = ("gone", "left", "records", "since", "told", "trace")

    def __init__(self, records: Sequence[str], told: Callable[[StoreAway | None], None], trace: str) -> None:
        self.records = records
        self.left = len(records)
        self.since = time.monotonic()
        self.told = told
        self.trace = trace
        self.gone = False

    def end(self, failure: StoreAway | None) -> None:
        """Tells the outcome, if nobody was told yet."""
        if not self.gone:
            self.gone = True
            # A new one each time: an exception that many tasks raise would gather all their frames.
            self.told(None if failure is None else StoreAway(failure.reason))


class Admission:
    """Opens records by `call`, which takes packed record keys with their traces and raises StoreAway if they may be lost.

    `patience_s` goes before LONGEST_WAIT_S where `call` has another way out than Redis.
    """

    def __init__(self, call: Callable[[Mapping[str, str]], Awaitable[object]], *, patience_s: float | None = None) -> None:
        self._call = call
        self._patience_s = patience_s
        self._queue: deque[_Request] = deque()
        self._waiting = 0
        self._runner: asyncio.Task[None] | None = None

    async def admit(self, records: Sequence[str], trace: str = "") -> None:
        """Returns once every one of `records` is in the agenda. If it raises, some may be: a repeat does no harm.

        Raises:
            StoreAway: Redis did not take them in time, or too many are waiting.
        """
        if not records:
            return
        answer: asyncio.Future[StoreAway | None] = asyncio.get_running_loop().create_future()

        def tell(failure: StoreAway | None) -> None:
            if not answer.done():
                answer.set_result(failure)

        request = self.submit(records, tell, trace)
        try:
            failure = await answer
        except asyncio.CancelledError:
            request.gone = True
            raise
        if failure is not None:
            raise failure

    def submit(self, records: Sequence[str], told: Callable[[StoreAway | None], None], trace: str = "") -> _Request:
        """As `admit`, for at least one record, without anybody who waits: `told` is called with nothing, or with what went wrong.

        It must not raise, and may be called before this returns.
        """
        request = _Request(records, told, trace)
        if self._queue and self._waiting + len(records) > MOST_WAITING:
            request.end(StoreAway("too many deliveries are waiting"))
            return request
        self._queue.append(request)
        self._waiting += len(records)
        if self._runner is None:
            self._runner = asyncio.create_task(self._run())
        return request

    async def _run(self) -> None:
        try:
            while self._queue:
                records, requests = self._gather()
                if not records:
                    continue
                failure = await self._open(records)
                for request in requests:
                    if failure is not None:
                        self._refuse(request, failure)
                    elif not request.left:
                        request.end(None)
        finally:
            self._runner = None

    async def _open(self, records: Mapping[str, str]) -> StoreAway | None:
        """Makes the call. Every error becomes an answer: a delivery must never wait for one that does not come."""
        try:
            await self._call(records)
        except StoreAway as away:
            return away
        except Exception as error:  # noqa: BLE001 - see above; the type is in the reason, and with it in the log
            return StoreAway(type(error).__name__)
        return None

    def _gather(self) -> tuple[dict[str, str], list[_Request]]:
        """The next batch, each record once with its newest trace, and the deliveries that it serves; the last perhaps in part."""
        records: dict[str, str] = {}
        requests: list[_Request] = []
        oldest = time.monotonic() - (LONGEST_WAIT_S if self._patience_s is None else self._patience_s)
        while self._queue and len(records) < LARGEST_BATCH:
            request = self._queue[0]
            if request.gone or request.since < oldest:
                self._refuse(request, StoreAway("no answer in time"))
                continue
            room = LARGEST_BATCH - len(records)
            part = request.records
            if request.left < len(part) or len(part) > room:
                begun = len(part) - request.left
                part = part[begun : begun + room]
            for record in part:
                records[record] = request.trace
            request.left -= len(part)
            self._waiting -= len(part)
            requests.append(request)
            if request.left:
                break
            self._queue.popleft()
        return records, requests

    def _refuse(self, request: _Request, failure: StoreAway) -> None:
        if self._queue and self._queue[0] is request:
            self._queue.popleft()
            self._waiting -= request.left
        request.end(failure)
