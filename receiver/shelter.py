"""What the receiver does while Redis is away: it keeps what it was sent in the spool, and brings it over afterwards.

A call that Redis does not take (it refuses, hangs, is loading, is out of memory, is a replica, lacks replicas) marks it as
away. From then on nobody waits for it: deliveries go straight to the spool, one fsync shared by all that wait together, and
Redis is asked in the background. The question is an `open` of no records, which writes like any other, so a Redis that
answers and takes no writes counts as away.

When it is back, new deliveries go to it at once and the files of the spool follow in order of arrival. The two may overtake
each other, which costs nothing: an entry says that a record may have changed, and the record is read after it was opened.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final, TypeVar

from receiver.log import say
from receiver.spool import SpoolRefused
from receiver.store import StoreAway

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence

    from receiver.counts import Counts
    from receiver.letters import Letters
    from receiver.spool import Content, Held, Spool

DISK_S: Final = 0.5
"""Seconds that one commit may take: with the call to Redis before it, it fits into the 2 s within which we answer."""
PATIENCE_S: Final = 1.3
"""Seconds that a delivery may have waited before its turn: for a call to Redis that hung, then for another's commit."""
FIRST_LOOK_S: Final = 0.1
LOOK_EVERY_S: Final = 0.5
REPLAY_BATCH: Final = 500
"""Records in one call of a replay. New deliveries take turns with it."""
REPLAY_PAUSE_S: Final = 0.005
LETTERS_SHARE: Final = 4
"""Letters may take one part in so many of the spool in one outage: an address that leaked must not crowd out the events."""

T = TypeVar("T")


class Shelter:
    """Admits by `call`, which takes packed record keys and raises StoreAway, or else by the spool if there is one."""

    def __init__(
        self,
        call: Callable[[Collection[str]], Awaitable[object]],
        *,
        letters: Letters,
        counts: Counts,
        folder: Spool | None,
    ) -> None:
        self._call = call
        self._letters = letters
        self._counts = counts
        self._spool = folder
        self._thread: ThreadPoolExecutor | None = None
        self._hanging: asyncio.Future[Any] | None = None
        self._waiting: list[tuple[Mapping[str, Any], asyncio.Future[None]]] = []
        self._committing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._replaying: asyncio.Task[None] | None = None
        self._away_since: float | None = None
        self._letter_bytes = 0
        # The records of the file that is being written. It is locked, so nobody has replayed it: they need no second entry.
        self._there: set[str] = set()

    @property
    def away(self) -> bool:
        """Whether Redis was away when it was last asked. Without a spool nobody remembers: each delivery asks anew."""
        return self._away_since is not None

    @property
    def patience_s(self) -> float | None:
        """How long a delivery may wait for its turn; None for what Admission does by itself."""
        return PATIENCE_S if self._spool is not None else None

    async def prepare(self) -> None:
        """Sees at the start, and not in an outage, whether the folder can be used."""
        if self._spool is not None:
            try:
                await self._on_disk(self._spool.prepare)
            except StoreAway as away:
                say("spool.unusable", {"reason": away.reason, "action": "answers 503 while Redis is away"}, level="error")

    async def open(self, records: Collection[str]) -> None:
        """Opens records in Redis, or keeps them until they can be. Their traces, if they have any, are not kept.

        Raises:
            StoreAway: neither was possible.
        """
        if self._spool is None:
            await self._call(records)
            return
        if not self.away:
            try:
                await self._call(records)
            except StoreAway as away:
                self._went(away)
            else:
                return
        await self._keep({"at": _now_ms(), "open": list(records)})

    async def keep(self, connection: str, *, body: bytes, reason: str, event: str, encoding: str, opened: int, by: float) -> bool:
        """A letter of an unreadable delivery, as `Letters.keep`, or kept until it can be.

        Raises:
            StoreAway: neither was possible.
        """
        letter = self._letters.letter(body=body, reason=reason, event=event, encoding=encoding, opened=opened)
        if self._spool is None:
            return await self._letters.keep(connection, letter, by=by)
        if not self.away:
            try:
                return await self._letters.keep(connection, letter, by=by - DISK_S, hopeless=lambda: self.away)
            except StoreAway as away:
                self._went(away)
        name = f"{connection}|{letter.field}"
        if name in self._there:
            # Equal bodies of one outage are one letter; the count of those in between is not kept.
            return True
        sealed = self._letters.seal(letter)
        if self._letter_bytes + len(sealed) > self._spool.most // LETTERS_SHARE:
            return False
        self._letter_bytes += len(sealed)
        await self._keep({"at": _now_ms(), "letter": sealed, "connection": connection, "field": letter.field})
        return True

    async def held(self) -> Held | None:
        """What lies in the spool, of all processes of this machine; None without a spool, or when its disk does not answer."""
        if self._spool is None:
            return None
        try:
            return await self._on_disk(self._spool.held)
        except StoreAway:
            return None

    def look(self) -> None:
        """Once a second: replays what was left by this process, or by one that has died."""
        if self._spool is not None and not self.away and self._replaying is None:
            self._replaying = asyncio.create_task(self._replay(self._spool))
            self._replaying.add_done_callback(self._replayed)

    async def close(self) -> None:
        """Ends what runs beside the deliveries. What is in the spool stays there for the next process."""
        for task in (self._looking, self._replaying):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError, Exception):
                    await task
        if self._spool is not None:
            with contextlib.suppress(StoreAway):
                await self._on_disk(self._spool.rest)
        if self._thread is not None:
            self._thread.shutdown(wait=False)

    # Keeping

    async def _keep(self, entry: Mapping[str, Any]) -> None:
        """Returns once the entry is on the disk. Entries that come during a commit share the next one."""
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, answer))
        if self._committing is None:
            self._committing = asyncio.create_task(self._commit())
        await answer

    async def _commit(self) -> None:
        try:
            while self._waiting:
                waiting, self._waiting = self._waiting, []
                failure: StoreAway | None = None
                try:
                    await self._append([entry for entry, _ in waiting])
                except StoreAway as away:
                    failure = away
                except Exception as error:  # noqa: BLE001 - a delivery must never wait for an answer that does not come
                    failure = StoreAway(type(error).__name__)
                for _, answer in waiting:
                    if answer.done():
                        continue
                    if failure is None:
                        answer.set_result(None)
                    else:
                        answer.set_exception(StoreAway(failure.reason))
        finally:
            self._committing = None

    async def _append(self, entries: Sequence[Mapping[str, Any]]) -> None:
        spool = self._spool
        if spool is None:
            raise StoreAway("there is no spool")
        there = self._there
        fresh: list[Mapping[str, Any]] = []
        for entry in entries:
            if "open" in entry:
                records = [record for record in entry["open"] if record not in there]
                if records:
                    fresh.append({**entry, "open": records})
            else:
                fresh.append(entry)
        if not fresh:
            return
        try:
            begun = await self._on_disk(functools.partial(spool.append, fresh))
        except StoreAway:
            self._there = set()
            raise
        if begun and self._there is there:
            there = self._there = set()
        # If the file was closed meanwhile (Redis is back), `there` is a set that nobody asks any more.
        for entry in fresh:
            there.update(entry["open"] if "open" in entry else (f"{entry['connection']}|{entry['field']}",))
        self._counts.add("spool.entries", amount=len(fresh))

    async def _on_disk(self, do: Callable[[], T], *, limit: float | None = DISK_S) -> T:
        """Runs `do` in the one thread that touches the disk.

        Raises:
            StoreAway: it was refused, or took longer than `limit` seconds (None: however long it takes).
        """
        if self._hanging is not None and not self._hanging.done():
            raise StoreAway("the disk does not answer")
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="spool")
        task = asyncio.get_running_loop().run_in_executor(self._thread, do)
        done, _ = await asyncio.wait((task,), timeout=limit)
        if not done:
            self._hanging = task
            task.add_done_callback(_forget)
            raise StoreAway("the disk does not answer")
        try:
            return task.result()
        except SpoolRefused as refused:
            raise StoreAway(refused.reason) from None
        except OSError as error:
            raise StoreAway(type(error).__name__) from None

    # Coming back

    def _went(self, away: StoreAway) -> None:
        if self._away_since is None:
            self._away_since = time.monotonic()
            say("redis.away", {"reason": away.reason, "action": "deliveries go to the spool"}, level="warning")
        if self._looking is None:
            self._looking = asyncio.create_task(self._until_back())

    async def _until_back(self) -> None:
        wait = FIRST_LOOK_S
        try:
            while True:
                await asyncio.sleep(wait)
                wait = LOOK_EVERY_S
                with contextlib.suppress(StoreAway):
                    await self._call(())
                    break
            began, self._away_since = self._away_since, None
            self._letter_bytes = 0
            say("redis.back", {"away_s": round(time.monotonic() - (began or 0.0), 1)})
        finally:
            self._looking = None
        self.look()

    async def _replay(self, spool: Spool) -> None:
        """Opens what the files hold, oldest first, and deletes each when all of it is in Redis."""
        # Nothing more goes into the file that was being written, so its records need an entry of their own from here on.
        self._there = set()
        await self._on_disk(spool.rest)
        began = time.monotonic()
        after = ""
        files = records = letters = 0
        # Without a limit of time: a claim that comes after we had turned away would keep its file locked for ever.
        while (claim := await self._on_disk(functools.partial(spool.next, after=after), limit=None)) is not None:
            after = claim.path.name
            try:
                content = await self._on_disk(claim.content, limit=None)
                records += await self._open_again(content)
                letters += await self._keep_again(content)
            except BaseException:
                claim.release()
                raise
            self._tell(content)
            await self._on_disk(functools.partial(claim.remove, damaged=content.damaged > 0), limit=None)
            files += 1
        if files:
            self._counts.add("spool.replayed", amount=records + letters)
            seconds = round(time.monotonic() - began, 2)
            say("spool.replayed", {"files": files, "records": records, "letters": letters, "seconds": seconds})

    async def _open_again(self, content: Content) -> int:
        named = dict.fromkeys(record for entry in content.entries for record in _records(entry))
        records = list(named)
        for start in range(0, len(records), REPLAY_BATCH):
            await self._call(records[start : start + REPLAY_BATCH])
            await asyncio.sleep(REPLAY_PAUSE_S)
        return len(records)

    async def _keep_again(self, content: Content) -> int:
        number = 0
        for entry in content.entries:
            connection, field, sealed = entry.get("connection"), entry.get("field"), entry.get("letter")
            if isinstance(connection, str) and isinstance(field, str) and isinstance(sealed, str):
                ago = max(0, _now_ms() - int(entry.get("at", 0)))
                number += await self._letters.keep_again(connection, field, sealed, ago_ms=ago)
        return number

    def _replayed(self, task: asyncio.Task[None]) -> None:
        self._replaying = None
        if task.cancelled():
            return
        error = task.exception()
        if isinstance(error, StoreAway):
            self._went(error)
        elif error is not None:
            say("spool.failed", {"error": type(error).__name__}, level="error")

    def _tell(self, content: Content) -> None:
        if content.torn or content.damaged:
            said: dict[str, str | int] = {"torn": int(content.torn), "damaged": content.damaged}
            said["action"] = "a torn end was never answered and is dropped"
            if content.damaged:
                said["action"] = "the file is set aside; a full sync finds what its damaged lines named"
                self._counts.add("spool.damaged", amount=content.damaged)
            say("spool.torn", said, level="warning")


def _records(entry: Mapping[str, Any]) -> Sequence[str]:
    listed = entry.get("open")
    return [record for record in listed if isinstance(record, str)] if isinstance(listed, list) else ()


def _forget(task: asyncio.Future[Any]) -> None:
    """Takes note of how an abandoned step ended, so that asyncio does not complain that nobody did."""
    if not task.cancelled():
        task.exception()


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
