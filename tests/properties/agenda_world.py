"""A small world around the agenda's scripts: Capsule, a downstream, workers, a clock, and the faults between them.

The scripts are the real ones on a real server; only Redis' clock and run id are replaced, by keys that the test sets, so
that time passes when the test says so. Every step checks what `reference/agenda.md` §7 promises (I1 to I10, without I5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from mapping.agenda import LANES, RecordKey
from mapping.scripts import SCRIPTS
from workers import tracing
from workers.agenda import Agenda, Taken, Timing
from workers.errors import LeaseLost
from workers.letters.letter import record_id

TIMING = Timing(call_ms=1_000, stray_ms=2_000)
CONNECTION = "acme"
START_US = 1_790_000_000_000_000

REAL_CLOCK = "local t = redis.call('TIME')\n  return t[1] * 1000000 + t[2]"
TEST_CLOCK = "return tonumber(redis.call('GET', 'test:now'))"
REAL_RUN_ID = "string.match(redis.call('INFO', 'server'), 'run_id:(%w+)')"
TEST_RUN_ID = "redis.call('GET', 'test:run_id')"

# What switches a guard off: a piece of a script and what stands there instead.
GUARDS_OFF: dict[str, tuple[tuple[str, str], ...]] = {
    "token": (("return l ~= nil and l.token == token", "return l ~= nil"),),
    "seq": (("local newer = seq ~= l.seq ", "local newer = false "),),
    "later_seq": (("if seq ~= l.seq and spend then", "if false then"),),
    "bury_seq": (("if seq ~= l.seq then ", "if false then "),),
    "intent": (("if writing then ", "if false then "),),
    "own_intent": (("if intent ~= l.own then other = math.max(other, intent) end", ""),),
    "lookback": (("if other >= l.taken then", "if false then"),),
    "snap_mark": (("and cur < mark ", " "),),
    "snap_seen": (("and hnum('relay:seen', R) < mark ", " "),),
    "snap_lease": (("local use = body and p ~= 'lease' ", "local use = body "),),
    "snap_drop": (("elseif p then redis.call('HDEL', 'relay:body', R) end", "end"),),
    "refused": (("open_one(R, 'live', 'refused')", ""),),
    "expiry": (("'relay:leases', '-inf', now, 'LIMIT', 0, 100", "'relay:leases', '-inf', 0, 'LIMIT', 0, 100"),),
    "due": (("'relay:due', '-inf', now, 'LIMIT'", "'relay:due', '-inf', 0, 'LIMIT'"),),
    "unpark": (("ipairs(redis.call('SMEMBERS', 'relay:parking'))", "ipairs({})"),),
    "topup": (("if missing > 0 then", "if false then"),),
    "keep_seq": (("and not touched and seq == l.seq then", "then"),),
    "pause": (("if not may_run(R) then ", "if false then "),),
    "replay_same": (("if not letter or letter_id(R, letter) ~= id then answer = 0 ", "if not letter then answer = 0 "),),
    "replay_closed": (("elseif place_of(R) then answer = 1 ", "elseif false then answer = 1 "),),
}


def texts(*, off: str | None = None) -> dict[str, str]:
    """The scripts with the test's clock and run id, and with one guard switched off."""
    changed: dict[str, str] = {}
    hits = 0
    for name, text in SCRIPTS.items():
        new = text.replace(REAL_CLOCK, TEST_CLOCK).replace(REAL_RUN_ID, TEST_RUN_ID)
        assert TEST_CLOCK in new
        assert TEST_RUN_ID in new
        for old, instead in GUARDS_OFF.get(off or "", ()):
            hits += new.count(old)
            new = new.replace(old, instead)
        changed[name] = new
    assert off is None or hits, f"the guard {off} is not in the scripts any more"
    return changed


class Broken(AssertionError):
    """A promise of the agenda was not kept."""


@dataclass
class Record:
    """One record: what Capsule and the downstream hold, and what only the checks know."""

    key: RecordKey
    capsule: int = 0  # version; its content is CONTENT[version % 3], so that values come back (a, b, a)
    downstream: str | None = None
    events: int = 0  # admitted
    ended: int = 0  # runs ended
    newest_written: int = -1  # by a holder of the lease
    duplicates: int = 0
    letter_events: int | None = None  # events admitted when it was buried
    discarded: int | None = None  # events admitted when a person discarded its letter
    trace: str | None = None  # of its newest event, while it is open


CONTENT = ("a", "b", "c")


def content(version: int) -> str:
    """What a version holds; the value of version 0 comes back with version 3."""
    return CONTENT[version % 3]


@dataclass
class Flight:
    """A write on its way. After `lands_by` it has landed or never will."""

    record: Record
    creates: bool
    version: int
    lands_by: int
    worker: int | None


@dataclass
class Worker:
    """A thread of a worker process. `state`: idle, taken, read, held, sent, answered, unsure."""

    proc: str
    state: str = "idle"
    alive: bool = True
    taken: Taken | None = None
    record: Record | None = None
    version: int = -1
    from_body: bool = False
    creates: bool = False
    held_at: int = 0
    sent_at: int = 0
    wrote: bool = False


@dataclass
class World:
    """Everything. All times are ms of the test's clock."""

    store: Any  # redis.Redis, whose answers redis-py types as bytes or text
    off: str | None = None
    records: list[Record] = field(default_factory=list)
    workers: list[Worker] = field(default_factory=list)
    flights: list[Flight] = field(default_factory=list)
    wire: list[Record] = field(default_factory=list)
    page: tuple[Record, int, int | None, int, int] | None = None
    now_us: int = START_US
    last_tick: int = 0
    run_id: int = 1
    procs: int = 0
    steps: int = 0
    saved: Any = None
    counts_from: int = 0
    letters: int = 0
    wishes: list[tuple[Record, str]] = field(default_factory=list)  # letters that a person was shown
    granted: set[tuple[str, str]] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.store.flushall()
        self._set_time()
        self.store.set("test:run_id", "run1")
        self.agenda = Agenda(self.store, TIMING, texts=texts(off=self.off))
        self.store.set("relay:clean_stop", self.now - TIMING.window_ms - 1)
        self.agenda.hello()
        self.records = [Record(RecordKey(CONNECTION, "party", n)) for n in (1, 2)]
        self.workers = [Worker(self._proc()) for _ in range(3)]
        self.counts_from = self.now
        self.beat()

    # ------------------------------------------------------------------ time
    @property
    def now(self) -> int:
        return self.now_us // 1000

    def _set_time(self) -> None:
        self.store.set("test:now", self.now_us)

    def _proc(self) -> str:
        self.procs += 1
        return f"proc{self.procs}"

    def beat(self) -> None:
        for worker in self.workers:
            if worker.alive:
                self.agenda.heartbeat(worker.proc)

    def advance(self, ms: int) -> None:
        """Time passes, in small steps, so that deadlines of calls are met in their order."""
        target = self.now_us + ms * 1000
        while self.now_us < target:
            self.now_us = min(target, self.now_us + 500_000)
            self._set_time()
            self.beat()
            for worker in self.workers:
                if worker.state == "sent" and self.now >= worker.sent_at + TIMING.call_ms:
                    self.give_up(worker)
            self.flights = [flight for flight in self.flights if flight.worker is not None or self.now <= flight.lands_by]

    # ------------------------------------------------------------------ outside
    def edit(self, record: Record) -> None:
        record.capsule += 1
        self.wire.append(record)

    def deliver(self, index: int, *, keep: bool) -> None:
        record = self.wire[index] if keep else self.wire.pop(index)
        with tracing.work("delivery") as work:
            self.agenda.open([record.key], lane="live", why="event")
        record.trace = work.trace.id
        record.events += 1
        waiting = self.store.hget("relay:place", record.key.pack())
        if waiting == b"due":
            raise Broken("I6: an event left its record in due")

    def page_mark(self, record: Record) -> None:
        self.page = (record, self.agenda.mark(), None, record.events, record.ended)

    def page_read(self) -> None:
        assert self.page is not None
        record, mark, _, _, _ = self.page
        self.page = (record, mark, record.capsule, record.events, record.ended)

    def page_open(self) -> None:
        assert self.page is not None
        record, mark, version, events, ended = self.page
        assert version is not None
        self.page = None
        body = orjson.dumps([version, events, ended])
        self.agenda.open_read([(record.key, body)], lane="bulk", mark=mark)

    # ------------------------------------------------------------------ a worker's steps
    def step(self, worker: Worker) -> None:
        """The next natural step of a worker; an idle one takes from the first lane that has something."""
        if worker.state == "idle":
            lane = next((lane for lane in LANES if self.store.zcard(f"relay:ready:{lane}")), "live")
            self.take(worker, lane)
        elif worker.state == "taken":
            self.read(worker)
        elif worker.state == "read":
            self.plan(worker)
        elif worker.state == "held":
            self.send(worker)
        elif worker.state == "answered":
            self.finish(worker)
        elif worker.state == "unsure":
            self.hand_back(worker, due=self.now + 700, spend=True, touched=True)
        self._forget_closed()

    def _forget_closed(self) -> None:
        for record in self.records:
            if not self.store.hexists("relay:seq", record.key.pack()):
                record.trace = None

    def take(self, worker: Worker, lane: str) -> None:
        taken = self.agenda.take(lane, proc=worker.proc)  # type: ignore[arg-type]
        if taken is None:
            return
        if self.paused():
            raise Broken("I6: a run began although its connection is paused")
        record = next(one for one in self.records if one.key == taken.record)
        worker.taken, worker.record, worker.state = taken, record, "taken"
        worker.version, worker.from_body, worker.wrote = -1, False, False
        if record.trace and self.run_id == 1 and (taken.trace is None or taken.trace.id != record.trace):
            raise Broken("a run does not have the trace of its record's newest event")
        if taken.body:
            version, events, ended = orjson.loads(taken.body)
            if events != record.events:
                raise Broken("I4: a snapshot was handed out although an event was admitted since its read")
            if ended != record.ended:
                raise Broken("I4: a snapshot was handed out although a run ended since its read")
            worker.version, worker.from_body = version, True

    def read(self, worker: Worker) -> None:
        assert worker.record is not None
        if not worker.from_body:
            worker.version = worker.record.capsule
        worker.state = "read"

    def plan(self, worker: Worker) -> None:
        taken, record = worker.taken, worker.record
        assert taken is not None
        assert record is not None
        stored = self.store.hget(f"relay:ledger:{CONNECTION}", record.key.field)
        ledger = stored.split(b"\n", 1)[1].decode() if stored is not None else None
        have = record.downstream if taken.read_back or ledger is None else ledger
        if have == content(worker.version):
            self.finish(worker)
            return
        worker.creates = record.downstream is None
        if worker.creates and taken.create_nothing:
            self.hand_back(worker, due=taken.foreign_ms + 1, spend=False, touched=False)
            return
        self.hold(worker)

    def hold(self, worker: Worker) -> None:
        assert worker.taken is not None
        try:
            self.agenda.hold(worker.taken.record, worker.taken.token, writing=True)
        except LeaseLost:
            worker.state = "idle"
            return
        worker.held_at, worker.state = self.now, "held"

    def send(self, worker: Worker) -> None:
        record, taken = worker.record, worker.taken
        assert record is not None
        assert taken is not None
        if self.now > worker.held_at + TIMING.slack_ms:
            self.hold(worker)  # its own clock says that the note is too old
            if worker.state != "held":
                return
        if self.owner(record) == taken.token:
            if worker.version < record.newest_written:
                raise Broken("a holder of the lease wrote an older version over a newer")
            record.newest_written = worker.version
        lands_by = self.now + TIMING.call_ms + TIMING.stray_ms
        self.flights.append(Flight(record, worker.creates, worker.version, lands_by, self.workers.index(worker)))
        worker.sent_at, worker.state = self.now, "sent"

    def _apply(self, flight: Flight) -> None:
        if flight.creates and flight.record.downstream is not None:
            raise Broken("a duplicate was created downstream")
        flight.record.downstream = content(flight.version)

    def land(self, flight: Flight, *, answered: bool) -> None:
        self.flights.remove(flight)
        self._apply(flight)
        if flight.worker is not None:
            self.workers[flight.worker].state = "answered" if answered else "unsure"
            self.workers[flight.worker].wrote = answered

    def give_up(self, worker: Worker) -> None:
        index = self.workers.index(worker)
        for flight in self.flights:
            if flight.worker == index:
                flight.worker = None
        worker.state = "unsure"

    def finish(self, worker: Worker) -> None:
        taken, record = worker.taken, worker.record
        assert taken is not None
        assert record is not None
        before = self.store.hget(f"relay:ledger:{CONNECTION}", record.key.field)
        owner = self.owner(record)
        newest = self.store.hget("relay:seq", record.key.pack())
        entry = content(worker.version).encode()
        done = self.agenda.done(record.key, taken.token, wrote=worker.wrote, entry=entry, outcome="in_step")
        after = self.store.hget(f"relay:ledger:{CONNECTION}", record.key.field)
        if done.accepted != (owner == taken.token):
            raise Broken("I2: done was accepted from a worker without the lease, or refused to its holder")
        if not done.accepted and before != after:
            raise Broken("I2: the ledger changed in a refused done")
        if done.accepted:
            record.ended += 1
            record.letter_events = record.discarded = None
            if done.closed and int((newest or b"0").split()[0]) != taken.seq:
                raise Broken("I7: done closed a record with something newer unread")
        worker.state = "idle"

    def hand_back(self, worker: Worker, *, due: int, spend: bool, touched: bool) -> None:
        taken, record = worker.taken, worker.record
        assert taken is not None
        assert record is not None
        newer = (self.store.hget("relay:seq", record.key.pack()) or b"0").split()[0]
        unused = taken.body if worker.state == "taken" and not spend else b""
        if self.agenda.later(record.key, taken.token, due_ms=due, spend=spend, touched=touched, unused=unused):
            # A run that puts its snapshot back has not ended anything that the snapshot could be older than.
            record.ended += not (unused and int(newer) == taken.seq)
            if spend and int(newer) != taken.seq and self.store.hget("relay:place", record.key.pack()) == b"due":
                raise Broken("I6: an event waits behind an older retry")
        worker.state = "idle"

    def bury(self, worker: Worker) -> None:
        taken, record = worker.taken, worker.record
        assert taken is not None
        assert record is not None
        newest = int((self.store.hget("relay:seq", record.key.pack()) or b"0").split()[0])
        self.letters += 1
        end = self.agenda.bury(record.key, taken.token, letter=b"1letter%d" % self.letters, touched=False)
        if end != "refused":
            record.ended += 1
        if end == "buried":
            if newest != taken.seq:
                raise Broken("I7: bury closed a record with something newer unread")
            record.letter_events = record.events
        worker.state = "idle"

    def kill(self, worker: Worker) -> None:
        index = self.workers.index(worker)
        for flight in self.flights:
            if flight.worker == index:
                flight.worker = None
        worker.alive, worker.state = False, "idle"
        worker.proc, worker.alive = self._proc(), True  # its supervisor starts another process in its place
        self.beat()

    # ------------------------------------------------------------------ people and letters
    def show(self, record: Record) -> None:
        """A person is shown a letter, and may click on it at any later time, more than once."""
        stored = self.store.hget("relay:letters", record.key.pack())
        if stored is not None:
            self.wishes.append((record, record_id(record.key.pack(), stored)))

    def click(self, index: int) -> None:
        record, name = self.wishes[index]
        wish = (record.key.pack(), name)
        (answer,) = self.agenda.replay([(record.key, name, 0)])
        if answer != "replayed":
            return
        if wish in self.granted:
            raise Broken("one letter was replayed twice")
        self.granted.add(wish)
        record.events += 1
        record.trace = None  # it was closed, so whatever trace it had is gone

    def discard(self, index: int) -> None:
        record, name = self.wishes[index]
        opened = self.store.hexists("relay:place", record.key.pack())
        (answer,) = self.agenda.discard([(record.key, name)])
        if answer == "discarded":
            if opened:
                raise Broken("the letter of an open record was discarded")
            record.letter_events, record.discarded = None, record.events

    # ------------------------------------------------------------------ the clock, people, Redis
    def sweep(self) -> dict[str, int]:
        leased = {R: lease.split()[0] for R, lease in self.store.hgetall("relay:lease").items()}
        swept = self.agenda.sweep(counts_from_ms=self.counts_from)
        for record in self.records:
            packed = record.key.pack().encode()
            if packed in leased and not self.store.hexists("relay:lease", packed):
                record.ended += 1
            if swept["buried"] and self.store.hexists("relay:letters", packed) and not self.store.hexists("relay:seq", packed):
                record.letter_events = record.events
        if swept["bugs"]:
            raise Broken("the audit found a record in no place")
        return swept

    def paused(self) -> bool:
        return bool(self.store.hexists("relay:paused", CONNECTION))

    def save(self) -> None:
        names = [name for name in self.store.keys("*") if not name.startswith(b"test:")]
        self.saved = {name: self.store.dump(name) for name in names}

    def restore(self) -> None:
        """Redis comes back with older data. What the lost events said is found by the reconcile that follows a restart."""
        for name in self.store.keys("*"):
            if not name.startswith(b"test:"):
                self.store.delete(name)
        for name, dumped in self.saved.items():
            self.store.restore(name, 0, dumped)
        self._restarted()
        for packed, body in self.store.hgetall("relay:body").items():
            record = next(one for one in self.records if one.key.pack().encode() == packed)
            version, _, _ = orjson.loads(body)
            self.store.hset("relay:body", packed, orjson.dumps([version, record.events, record.ended]))

    def restart(self) -> None:
        """Redis is restarted and keeps its data."""
        self._restarted()

    def _restarted(self) -> None:
        self.run_id += 1
        self.now_us += 100_000  # no server comes back in less
        self._set_time()
        self.store.set("test:run_id", f"run{self.run_id}")
        self.page = None  # a mark is void after a reconnect
        self.counts_from = self.agenda.hello()
        self.beat()
        for record in self.records:
            record.newest_written = -1
            if self.store.hexists("relay:letters", record.key.pack()):
                continue
            record.letter_events = None
        self.agenda.open([record.key for record in self.records], lane="bulk", why="restart")

    # ------------------------------------------------------------------ checks
    def owner(self, record: Record) -> str | None:
        lease = self.store.hget("relay:lease", record.key.pack())
        return lease.split()[0].decode() if lease is not None else None

    def check(self) -> None:  # noqa: C901 - a list of promises, one after the other
        """I1, I3 and I8 to I10 as they can be seen from outside."""
        self.steps += 1
        self._forget_closed()
        pipe = self.store.pipeline(transaction=True)
        pipe.zrange("relay:open", 0, -1)
        pipe.hkeys("relay:seq")
        pipe.hgetall("relay:place")
        zsets = [f"relay:ready:{lane}" for lane in LANES] + ["relay:due", f"relay:parked:{CONNECTION}", "relay:leases"]
        for name in zsets:
            pipe.zrange(name, 0, -1)
        for name in ("body", "attempts", "deaths", "lease", "trouble"):
            pipe.hkeys(f"relay:{name}")
        pipe.get("relay:tick")
        pipe.hgetall("relay:intent")
        pipe.hkeys("relay:replays")
        pipe.hkeys("relay:letters")
        answers = pipe.execute()
        opened, seq, place = set(answers[0]), set(answers[1]), answers[2]
        places = dict(zip(("live", "bulk", "solo", "due", "parked", "lease"), map(set, answers[3:9]), strict=True))
        if not opened == seq == set(place):
            raise Broken(f"I1: open, seq and place differ: {opened} {seq} {place}")
        for packed, where in place.items():
            held_by = [name for name, members in places.items() if packed in members]
            if held_by != [where.decode()]:
                raise Broken(f"I1: {packed!r} should be in {where!r} alone and is in {held_by}")
        for name, members in zip(("body", "attempts", "deaths", "lease", "trouble"), answers[9:14], strict=True):
            if not set(members) <= opened:
                raise Broken(f"I1/I10: {name} holds a record that is not open")
        if not set(answers[16]) <= set(answers[17]):
            raise Broken("I10: replays are counted of a record that has no letter")
        if set(answers[12]) != places["lease"]:
            raise Broken("I1: lease and leases differ")
        tick = int(answers[14] or 0)
        if tick < self.last_tick:
            raise Broken("I3: the tick went back")
        self.last_tick = tick
        for flight in self.flights:
            intent = answers[15].get(flight.record.key.pack().encode())
            if flight.worker is not None and intent is None and self.saved is None and self.run_id == 1:
                raise Broken("I8/I9: a write is under way and Redis holds no note of it")

    def settle(self) -> None:  # noqa: C901 - rounds of everything that may still happen
        """Faults have ended: everything must come in step by itself, within the windows and a bounded number of rounds."""
        self.agenda.resume(CONNECTION)
        while self.wire:
            self.deliver(0, keep=False)
        if self.page is not None:
            if self.page[2] is None:
                self.page_read()
            self.page_open()
        for _ in range(80):
            for worker in self.workers:
                self._run_on(worker)
            for flight in list(self.flights):
                self.land(flight, answered=True)
            self.advance(1_000)
            self.sweep()
            for lane in LANES:
                while self.store.lpop(f"dramatiq:{lane}") is not None:  # each bell wakes a worker
                    idle = next((worker for worker in self.workers if worker.state == "idle"), None)
                    if idle is None:
                        break
                    self.take(idle, lane)
                    self._run_on(idle)
            self.check()
            if not self.store.zcard("relay:open") and not self.flights and all(w.state == "idle" for w in self.workers):
                break
        else:
            raise Broken(f"nothing will bring back what is open: {self.store.hgetall('relay:place')}")
        self._judge()

    def _run_on(self, worker: Worker) -> None:
        """Carries a run to its end without further faults."""
        for _ in range(8):
            if worker.state == "taken":
                self.read(worker)
            elif worker.state == "read":
                self.plan(worker)
            elif worker.state == "held":
                self.send(worker)
            elif worker.state == "sent":
                index = self.workers.index(worker)
                self.land(next(flight for flight in self.flights if flight.worker == index), answered=True)
            elif worker.state == "answered":
                self.finish(worker)
            elif worker.state == "unsure":
                self.hand_back(worker, due=0, spend=True, touched=True)
            if worker.state == "idle":
                return

    def _judge(self) -> None:
        for record in self.records:
            if self.store.hexists("relay:letters", record.key.pack()):
                if record.letter_events is not None and record.events > record.letter_events:
                    raise Broken("an event was buried unread")
                continue
            if record.discarded == record.events:
                continue  # a person has decided to leave it so
            if not record.events and record.downstream is None and not record.capsule:
                continue
            stored = self.store.hget(f"relay:ledger:{CONNECTION}", record.key.field)
            if stored is None and not record.events and self.run_id == 1:
                continue  # edited, but neither delivered nor found: nobody promised anything
            ledger = stored.split(b"\n", 1)[1].decode() if stored is not None else None
            want = content(record.capsule)
            if not want == record.downstream == ledger:
                raise Broken(f"Capsule holds {want}, the downstream {record.downstream}, the ledger {ledger}: nobody looks again")
        left = {name.decode() for name in self.store.keys("relay:*")}
        bounded = {
            "tick", "born", "paused", "seen", "letters", "replays", "discarded", "intent", "procs", "audit", "probe",
            f"ledger:{CONNECTION}", f"tally:{CONNECTION}", "wake:live", "wake:bulk", "wake:solo",
        }  # fmt: skip
        if not {name.removeprefix("relay:") for name in left} <= bounded:
            raise Broken(f"I10: with nothing open there should be nothing left but the bounded keys: {left}")
        intents = set(self.store.hkeys("relay:intent"))
        letters = set(self.store.hkeys("relay:letters"))
        letters |= set(self.store.hkeys("relay:discarded"))
        if not intents <= letters:
            raise Broken("I10: an intent was left behind for a record that is in step")
