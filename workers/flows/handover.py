"""Hands the records of dead letters to the agenda and watches what becomes of them.

It goes no faster than they are worked on, waits while a connection is paused (the breaker's probes, not the letters, find out
when the other side is back), and stops by itself when what it replays fails again.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

import orjson
import redis

from mapping.agenda import LETTERS, RecordKey, key
from mapping.errors import UnreadableDelivery
from mapping.events import delivery, kinds_of_interest
from workers.accounts import owner_of
from workers.errors import QueueAway
from workers.letters.letter import record_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from workers.letters import Filter, Letter
    from workers.letters.jobs import Job, Jobs
    from workers.services import Services

MOST_UNDER_WAY: Final = 500
MOST_FAILED: Final = 20
FAILING_SHARE: Final = 0.5
SOON_MS: Final = 120_000
STEP_S: Final = 0.1
LOOK_S: Final = 0.25
BEAT_S: Final = 1.0
CHUNK: Final = 500

Ended = Literal["done", "cancelled", "failing"]


class Progress(Protocol):
    """Told how far it is; as `workers.flows.reconcile.Progress`."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`stage` is `replay`, `paused`, `outcome` or `discard`."""


@dataclass(slots=True)
class Result:
    """How a replay or a discard ended.

    `done` letters were handed over (or discarded); `open` were being tried already, `changed` were not that letter any more,
    `unreadable` are deliveries that cannot be read still. Of those handed over `in_step` are decided, `failed` are letters
    again, `waiting` wait for a time, a limit or a paused connection. `before_ms`: only letters from before it were meant, so
    the same again with that bound goes on with the rest.
    """

    job: str
    action: str
    total: int
    before_ms: int
    done: int = 0
    open: int = 0
    changed: int = 0
    unreadable: int = 0
    in_step: int = 0
    failed: int = 0
    waiting: int = 0
    ended: Ended = "done"
    seconds: float = 0.0

    def counts(self) -> dict[str, int]:
        """The numbers alone."""
        return {name: value for name, value in asdict(self).items() if type(value) is int and name not in {"total", "before_ms"}}


def batches(letters: Iterator[Letter], size: int) -> Iterator[list[Letter]]:
    """The letters in lists of so many, the last one perhaps shorter."""
    batch: list[Letter] = []
    for letter in letters:
        batch.append(letter)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


@dataclass(slots=True)
class Watch:
    """Tells how far it is, gives signs of life, and knows when to stop."""

    services: Services
    jobs: Jobs
    job: Job
    result: Result
    progress: Progress
    cancelled: Callable[[], bool]
    _beaten: float = 0.0
    _told_to: bool = False

    def tell(self, stage: str) -> None:
        """How far it is."""
        result = self.result
        self.progress(stage, result.done + result.open + result.changed + result.unreadable, result.total)

    def stop(self, stage: str) -> bool:
        """Whether somebody wants it to end."""
        self.tell(stage)
        if time.monotonic() - self._beaten >= BEAT_S:
            self._told_to = self.jobs.beat(self.job, self.result.done) or self._told_to
            self._beaten = time.monotonic()
        return self._told_to or self.cancelled() or self.services.stopping.is_set()


@dataclass(slots=True)
class HandOver:
    """One replay on its way. `handed`: packed records that were handed over; `watched`: those of them not yet decided."""

    services: Services
    wanted: Filter
    result: Result
    watch: Watch
    rate: float
    keep_going: bool
    handed: set[str] = field(default_factory=set)
    watched: dict[str, str] = field(default_factory=dict)
    under_way: int = 0
    _next: float = 0.0
    _looked: float = 0.0

    def run(self, *, wait: bool) -> None:
        """Until all that is meant was handed over, or something says stop."""
        self._next = time.monotonic()
        while (paused := self._pass()) and self._until_resumed(paused):
            pass
        if wait and self.result.ended == "done":
            self._until_decided()
        self._look()
        self.result.waiting = len(self.watched)

    def _pass(self) -> set[str]:
        """Hands over what can be. Returns the connections whose letters were left because they are paused."""
        left: set[str] = set()
        size = max(1, min(CHUNK, round(self.rate * STEP_S)))
        letters = self.services.letters.find(self.wanted, connections=self.services.connections)
        for batch in batches((one for one in letters if one.field not in self.handed), size):
            if not self._wait_for_turn():
                return set()
            paused = {name for name in {one.connection for one in batch} if self.services.agenda.is_paused(name)}
            left |= paused
            self._hand_over([one for one in batch if one.connection not in paused])
        self.watch.tell("replay")
        return left

    def _wait_for_turn(self) -> bool:
        """Keeps the pace and the number under way. False when it is to end."""
        while True:
            self._look()
            if self._stopped("replay"):
                return False
            left = self._next - time.monotonic()
            if left <= 0 and self.under_way < MOST_UNDER_WAY:
                return True
            self.services.stopping.wait(min(max(left, 0.01), STEP_S))

    def _until_resumed(self, paused: set[str]) -> bool:
        while all(self.services.agenda.is_paused(name) for name in paused):
            if self._stopped("paused"):
                return False
            self.services.stopping.wait(LOOK_S)
        return True

    def _until_decided(self) -> None:
        while self.under_way:
            if self._stopped("outcome"):
                return
            self.services.stopping.wait(STEP_S)
            self._look()

    def _stopped(self, stage: str) -> bool:
        result = self.result
        decided = result.failed + result.in_step
        if not self.keep_going and result.failed >= MOST_FAILED and result.failed >= FAILING_SHARE * decided:
            result.ended = "failing"
        elif self.watch.stop(stage):
            result.ended = "cancelled"
        return result.ended != "done"

    def _hand_over(self, batch: Sequence[Letter]) -> None:
        if not batch:
            return
        records = [one for one in batch if one.record is not None]
        wishes = [(one.record, one.id, one.first_ms) for one in records if one.record is not None]
        for one, answer in zip(records, self.services.agenda.replay(wishes), strict=True):
            if answer == "replayed":
                self.watched[one.field] = one.id
            self._note(one, answer)
        for one in batch:
            if one.record is None:
                self._note(one, self._delivery(one))
        self.under_way = len(self.watched)
        # Behind its time by more than a step, it does not make up for it.
        self._next = max(self._next, time.monotonic() - STEP_S) + len(batch) / self.rate

    def _note(self, letter: Letter, answer: str) -> None:
        result = self.result
        self.handed.add(letter.field)
        if answer == "replayed":
            result.done += 1
        elif answer == "open":
            result.open += 1
        elif answer == "unreadable":
            result.unreadable += 1
        else:
            result.changed += 1

    def _delivery(self, letter: Letter) -> str:
        """Reads a delivery again with the present code and opens what it says."""
        found = read_again(letter)
        if found is None:
            return "unreadable"
        records = []
        for name, rules in self.services.connections.items():
            if owner_of(self.services.connections, name) == letter.connection:
                kinds = kinds_of_interest(rules.downstream)
                records += [RecordKey(name, kind, number) for kind, number in found if kind in kinds]
        return "replayed" if self.services.agenda.replay_delivery(letter.connection, letter.field, records) else "changed"

    def _look(self) -> None:
        """What became of those that were handed over, a few times a second at most."""
        if time.monotonic() - self._looked < LOOK_S or not self.watched:
            return
        self._looked = time.monotonic()
        under_way = 0
        names = list(self.watched)
        for start in range(0, len(names), CHUNK):
            under_way += self._look_at(names[start : start + CHUNK])
        self.under_way = under_way

    def _look_at(self, names: Sequence[str]) -> int:
        client = self.services.redis
        try:
            places = cast("list[bytes | None]", client.hmget(key("place"), list(names)))
            closed = [name for name, place in zip(names, places, strict=True) if place is None]
            due = [name for name, place in zip(names, places, strict=True) if place == b"due"]
            letters = cast("list[bytes | None]", client.hmget(LETTERS, closed)) if closed else []
            times = client.zmscore(key("due"), due) if due else []
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        for name, stored in zip(closed, letters, strict=True):
            before = self.watched.pop(name)
            if stored is None:
                self.result.in_step += 1
            elif record_id(name, stored) != before:
                self.result.failed += 1
        soon = self.services.agenda.hello() + SOON_MS if due else 0
        parked = sum(place == b"parked" for place in places)
        late = sum(1 for at in times if at is not None and at > soon)
        return len(names) - len(closed) - parked - late


def read_again(letter: Letter) -> tuple[tuple[str, int], ...] | None:
    """The records of a delivery that could not be read when it came; None when it cannot be read now either."""
    kept = letter.delivery
    if kept is None or kept.size > len(kept.body) or kept.encoding.strip().lower() not in ("", "identity"):
        return None
    try:
        _, records = delivery(orjson.loads(kept.body))
    except (orjson.JSONDecodeError, UnreadableDelivery):
        return None
    return records
