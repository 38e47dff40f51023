"""The agenda as the workers use it: every method is one script in Redis, and so one step.

The rules stand in `mapping/scripts.py`. This module turns arguments into strings and answers into values, and any
failure of Redis into `QueueAway`, because the caller's duty is then always the same: end the run unanswered.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import orjson
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from mapping.agenda import LANES, RecordKey, key
from mapping.scripts import SCRIPTS
from mapping.traceparent import Trace
from workers.errors import LeaseLost, QueueAway
from workers.redis_client import ThreadedRedis
from workers.tracing import current_packed

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mapping.agenda import Lane, Why

SILENCE_MS: Final = 5_000  # reference/agenda.md §9.1: a process that gave no sign of life for so long is dead
SOCKET_SECONDS: Final = 5.0
CONNECT_SECONDS: Final = 2.0
NEXT_DUE: Final = r"""
-- next_due -> ms until the first record of `due`; nil without one. It changes nothing, so it is no step of the protocol
local first = redis.call('ZRANGE', 'relay:due', 0, 0, 'WITHSCORES')[2]
if not first then return false end
local t = redis.call('TIME')
return string.format('%.0f', tonumber(first) - t[1] * 1000 - math.floor(t[2] / 1000))
"""


def connect(url: str) -> redis.Redis:
    """A client for the agenda: raises at once instead of repeating commands by itself, and says hello on each connection.

    Repeating is ours to decide (reference/dramatiq-redis.md D1); `hello` notices a Redis that came back with older data
    before the first step is taken on the new connection (reference/agenda.md §3).
    """

    def greet(connection: Any) -> None:  # noqa: ANN401 - redis-py's connection classes share no public base
        connection.on_connect()
        connection.send_command("EVAL", SCRIPTS["hello"], 0)
        connection.read_response()

    return ThreadedRedis.from_url(
        url,
        retry=Retry(NoBackoff(), 0),
        socket_timeout=SOCKET_SECONDS,
        socket_connect_timeout=CONNECT_SECONDS,
        redis_connect_func=greet,
    )


@dataclass(frozen=True, slots=True)
class Timing:
    """The two settings that rule time (reference/agenda.md §2), in milliseconds.

    `call_ms` is D, the total deadline of one HTTP call; `stray_ms` is S, how long after that a server may still apply it.
    """

    call_ms: int = 10_000
    stray_ms: int = 20_000

    @property
    def lease_ms(self) -> int:
        """L = 2 D."""
        return 2 * self.call_ms

    @property
    def slack_ms(self) -> int:
        """How much later than `hold` a write may still be sent; past it, `hold` is asked again."""
        return self.call_ms // 10

    @property
    def window_ms(self) -> int:
        """W: until when, counted from `hold`, a write may still land. D + S and the slack before the sending."""
        return self.slack_ms + self.call_ms + self.stray_ms


@dataclass(frozen=True, slots=True)
class Taken:
    """A record that this worker may work on until `expiry_ms`.

    `foreign_ms` is until when another's write may still land (0: never), and `sent` names the fields that such writes set;
    `now_ms` is Redis' clock at the moment of `take`. `trace` is that of its newest opener, if it had one.
    """

    record: RecordKey
    token: str
    body: bytes
    attempts: int
    foreign_ms: int
    now_ms: int
    expiry_ms: int
    opened_ms: int
    lane: Lane
    probing: bool
    seq: int
    sent: frozenset[str] = frozenset()
    trace: Trace | None = None

    @property
    def read_back(self) -> bool:
        """Do not trust the ledger: look at what the downstream really holds."""
        return self.foreign_ms > 0

    @property
    def create_nothing(self) -> bool:
        """An earlier POST may still land: a second one could make a duplicate."""
        return self.foreign_ms > self.now_ms


class Agenda:
    """The agenda over one Redis client. Safe to share between threads."""

    def __init__(self, client: redis.Redis, timing: Timing, *, texts: Mapping[str, str] = SCRIPTS) -> None:
        self.client = client
        self.timing = timing
        self._scripts = {name: client.register_script(text) for name, text in {**texts, "next_due": NEXT_DUE}.items()}

    def _run(self, name: str, *args: str | int | bytes) -> Any:  # noqa: ANN401 - each script answers in its own shape
        try:
            return self._scripts[name](args=list(args))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not carry out {name}: {type(error).__name__}: {error}") from error

    def open(self, records: Iterable[RecordKey], *, lane: Lane, why: Why) -> int:
        """Notes that these records may have changed. Once this has answered they will be brought in step.

        Their runs go on with the trace of the caller, if it works in one (`workers/tracing.py`).

        Returns:
            How many were noted, each mention counted.
        """
        packed = [record.pack() for record in records]
        return int(self._run("open", lane, why, "", "0", current_packed(), *packed)) if packed else 0

    def open_read(self, found: Sequence[tuple[RecordKey, bytes]], *, lane: Lane, mark: int, why: Why = "finding") -> int:
        """The same with what was read of each record after `mark`, so that nobody reads it again.

        A body is refused by itself where an event came or a run ended since the mark.
        """
        flat: list[str | bytes] = []
        for record, body in found:
            flat += (record.pack(), body)
        return int(self._run("open", lane, why, str(mark), "1", current_packed(), *flat)) if flat else 0

    def mark(self) -> int:
        """A tick that everything admitted from now on is newer than."""
        return int(self._run("mark"))

    def hello(self) -> int:
        """Makes sure that `born` names the running Redis; returns its clock in ms."""
        return int(self._run("hello"))

    def take(self, lane: Lane, *, proc: str) -> Taken | None:
        """The next ready record of a lane, leased to a new token; None when nothing is ready."""
        token = secrets.token_hex(16)
        answer = self._run("take", lane, token, proc, self.timing.lease_ms, self.timing.window_ms)
        if answer is None:
            return None
        packed, body, attempts, foreign, now, expiry, opened, own_lane, probing, seq, sent, trace = answer
        return Taken(
            record=RecordKey.unpack(packed.decode()),
            token=token,
            body=body,
            attempts=int(attempts),
            foreign_ms=int(foreign),
            now_ms=int(now),
            expiry_ms=int(expiry),
            opened_ms=int(float(opened)),
            lane="live" if own_lane == b"live" else "bulk",
            probing=bool(probing),
            seq=int(seq),
            sent=frozenset(sent.decode().split("\n")) if sent else frozenset(),
            trace=Trace.unpack(trace.decode()),
        )

    def hold(self, record: RecordKey, token: str, *, writing: bool, names: Sequence[str] = ()) -> int:
        """Renews the lease; with `writing`, notes first that a write is about to be sent, and the fields that it sets.

        Returns:
            Until when the lease now lasts, in ms of Redis' clock.

        Raises:
            LeaseLost: the record is another's now.
        """
        packed = record.pack()
        timing = self.timing
        expiry = int(self._run("hold", packed, token, int(writing), timing.lease_ms, timing.window_ms, "\n".join(names)))
        if not expiry:
            raise LeaseLost(f"{packed}: the lease ran out or was taken over; this run stops.")
        return expiry

    def done(self, record: RecordKey, token: str, *, wrote: bool, entry: bytes, outcome: str, held: str = "") -> Done:
        """The record is in step, or decided. Writes its ledger entry (none if `entry` is empty) and closes it.

        `held` is the code of the reason for which it is held; empty when it is not.
        """
        window = self.timing.window_ms
        accepted, waited, closed = self._run("done", record.pack(), token, int(wrote), entry, outcome, window, held)
        return Done(accepted=bool(accepted), waited_ms=int(waited), closed=bool(closed))

    def later(
        self,
        record: RecordKey,
        token: str,
        *,
        wait_ms: int | None = None,
        due_ms: int | None = None,
        spend: bool,
        touched: bool,
        trouble: Mapping[str, object] | None = None,
        unused: bytes = b"",
    ) -> bool:
        """Hands the record back, to be tried again after `wait_ms` or at `due_ms` of Redis' clock.

        `touched`: a write was sent that is not known to have had no effect. `unused`: the body that `take` gave, if this
        run had only to wait; it is kept for the next run unless an event came. False when the lease was lost.
        """
        due = f"+{max(wait_ms, 0)}" if wait_ms is not None else str(due_ms or 0)
        told = orjson.dumps(trouble) if trouble else b""
        window = self.timing.window_ms
        return bool(self._run("later", record.pack(), token, due, int(spend), int(touched), window, told, unused))

    def bury(self, record: RecordKey, token: str, *, letter: bytes, touched: bool) -> str:
        """Makes the record a dead letter, unless something newer was admitted: then it is tried anew.

        Returns:
            `buried`, `reopened` or `refused`.
        """
        answer = int(self._run("bury", record.pack(), token, letter, int(touched), self.timing.window_ms))
        return ("refused", "reopened", "buried")[answer]

    def replay(self, letters: Sequence[tuple[RecordKey, str, int]], *, lane: Lane = "bulk") -> list[str]:
        """Opens the records of these letters (record, id of the letter, ms of its first time), each if it still is that letter.

        Their runs go on with the trace of the caller, as those of `open`.

        Returns:
            For each `replayed`, `open` (somebody is working on it already) or `changed` (that letter is not there any more).
        """
        flat = [word for record, name, first in letters for word in (record.pack(), name, str(first))]
        told = self._run("replay", lane, current_packed(), *flat) if flat else []
        return [("changed", "open", "replayed")[int(one)] for one in told]

    def discard(self, letters: Sequence[tuple[RecordKey, str]]) -> list[str]:
        """Takes these letters (record, id of the letter) away. For each `discarded`, `open` or `changed`, as `replay`."""
        flat = [word for record, name in letters for word in (record.pack(), name)]
        return [("changed", "open", "discarded")[int(one)] for one in self._run("discard", *flat)] if flat else []

    def replay_delivery(self, connection: str, field: str, records: Sequence[RecordKey], *, lane: Lane = "bulk") -> bool:
        """Opens what an unreadable delivery turned out to say, and takes its letter away; False when it was gone already."""
        packed = [record.pack() for record in records]
        return bool(self._run("replay_delivery", connection, field, lane, current_packed(), *packed))

    def pause(self, connection: str, *, reason: str, until_ms: int | None = None, probe_every_ms: int = 0) -> None:
        """No run of this connection begins until `resume` or `until_ms`; with `probe_every_ms` one at a time as a probe."""
        self._run("pause", connection, "inf" if until_ms is None else until_ms, probe_every_ms, reason)

    def resume(self, connection: str) -> bool:
        """Ends a pause. The sweep brings back what was parked. True when it was paused."""
        return bool(self._run("resume", connection))

    def is_paused(self, connection: str) -> bool:
        """Whether this connection is paused now."""
        try:
            return bool(self.client.hexists(key("paused"), connection))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error

    def why_paused(self, connection: str) -> str:
        """The reason that `pause` was given; empty when this connection is not paused."""
        try:
            held = cast("bytes | None", self.client.hget(key("paused"), connection))
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        return held.decode().split(" ", 3)[3] if held else ""

    def sweep(self, *, counts_from_ms: int) -> dict[str, int]:
        """One round of the clock: expired leases, due records, resumed connections, missing bells, the audit of itself."""
        answer = self._run("sweep", counts_from_ms, SILENCE_MS)
        return {answer[i].decode(): int(answer[i + 1]) for i in range(0, len(answer), 2)}

    def due_in_ms(self) -> int | None:
        """How long until a record that waits for a moment of its own is due; None when none waits, 0 or less when one is late."""
        left = self._run("next_due")
        return None if left is None else int(left)

    def heartbeat(self, proc: str) -> int:
        """A sign of life of this process; returns Redis' clock in ms."""
        return int(self._run("heartbeat", proc))

    def sizes(self) -> dict[str, int]:
        """How many records are open and where they wait."""
        try:
            pipe = self.client.pipeline(transaction=False)
            pipe.zcard(key("open"))
            for lane in LANES:
                pipe.zcard(key(f"ready:{lane}"))
            pipe.zcard(key("due"))
            pipe.zcard(key("leases"))
            pipe.hlen(key("letters"))
            pipe.smembers(key("parking"))
            *numbers, parking = pipe.execute()
            parked = sum(int(self.client.zcard(key(f"parked:{c.decode()}"))) for c in parking)
        except redis.RedisError as error:
            raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
        names = ("open", *(f"ready_{lane}" for lane in LANES), "due", "leased", "letters")
        return {**dict(zip(names, map(int, numbers), strict=True)), "parked": parked}


@dataclass(frozen=True, slots=True)
class Done:
    """What `done` answered: whether it was accepted, how long the record had been open, and whether it is closed now."""

    accepted: bool
    waited_ms: int
    closed: bool
