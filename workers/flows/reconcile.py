"""Compares both sides with the ledger and opens what differs, for the same walk as an event (DESIGN.md §4, reconcile).

A full pass reads one list of each side: OfficeRnD's renews the index and shows what was changed there by hand, Capsule's
shows what no event told. An incremental pass reads what Capsule says was changed or deleted since the last one. What a page
holds is handed on with the agenda entry; a tick is drawn before each page is asked for, and an event that comes later makes
the agenda refuse the page's body. No release is concluded from a list: each is read by itself, and the guard comes first.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol, cast

import redis

from mapping import drift
from mapping.agenda import KINDS, LETTERS, RecordKey, key, tally_key
from workers.errors import Misconfigured, Permanent, QueueAway
from workers.flows import setaside
from workers.flows.passes import CHUNK, SYNCED, Pass
from workers.flows.restored import BORN, born, in_doubt
from workers.flows.tagwatch import watch_tags

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from redis.lock import Lock

    from workers.capsule.client import Page
    from workers.downstream.port import Shown
    from workers.services import Services

POLL_SECONDS: Final = 0.2
LOCK_SECONDS: Final = 30.0  # more than two calls to their deadline
RENEW_SECONDS: Final = 1.0
OVERLAP_MS: Final = 5 * 60_000  # clocks differ, and whole seconds are compared (reference/capsule.md §3.4)
# Capsule lists these by their time, newest first, and says of none that it was changed (reference/capsule.md §5.5).
NEWEST_FIRST: Final = frozenset({"entry"})
# Of these alone Capsule says what was deleted; the others are missed by a full pass (§3.6).
TOLD_DELETED: Final = frozenset({"party", "opportunity", "kase"})


class Progress(Protocol):
    """Told how a long piece of work is getting on."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`stage` is `index`, `read` or `sync`; `total` is None while it is not known."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a reconcile ended.

    `outcomes`: this connection's records by the outcome of their last run. `found`: records that Capsule's lists showed;
    `findings`: why some were opened, and `pages` read. `guarded`: releases that the guard stopped. `left`: calls left in each
    window of the vendors' limits.
    """

    connection: str
    found: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    waiting: int = 0
    seconds: float = 0.0
    opened: int = 0
    findings: Mapping[str, int] = field(default_factory=dict)
    guarded: int = 0
    resumed: bool = False
    left: Mapping[str, int] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether nothing failed, nothing still waits, and the guard stopped nothing."""
        return not self.failed and not self.waiting and not self.guarded


def _silent(stage: str, done: int, total: int | None) -> None:
    """For callers that do not look."""


def was_synced(services: Services, connection: str) -> bool:
    """Whether a full pass over this connection once came to its end."""
    return bool(services.redis.hexists(SYNCED, connection))


def memory_key(connection: str) -> str:
    """Hash of what a connection's reconciles remember: since, full (ms), rules, guard, and the state of the pass over tags."""
    return key(f"reconcile:{connection}")


def memory(services: Services, connection: str) -> dict[str, str]:
    """What this connection's reconciles remember."""
    kept = cast("dict[bytes, bytes]", services.redis.hgetall(memory_key(connection)))
    return {name.decode(): value.decode() for name, value in kept.items()}


def full_sync(
    services: Services,
    connection: str,
    progress: Progress = _silent,
    *,
    wait: bool = True,
    allow_release: bool = False,
    resume: bool = False,
) -> Outcome:
    """A full pass: every record of both sides. With `wait`, returns when all that it opened is decided.

    Only one reconcile runs for a connection at a time. `resume`: go on with a pass that was broken off, if there is one.

    Raises:
        Misconfigured: the connection is not in relay.toml, or another reconcile of it is under way.
        Temporary, Permanent: from reading the lists. What was found so far is kept for `resume`.
    """
    with _only(services, connection, progress) as told:
        began = time.monotonic()
        walk, server = Pass(services, connection, "full"), born(services)
        resumed = walk.begin(resume=resume)
        try:
            guarded = walk_all(walk, told, allow_release=allow_release)
        except Permanent:
            walk.clear()  # perhaps it is the place itself that is refused: the next pass begins anew
            raise
        remembered = {"full": str(walk.began_ms), "since": str(walk.began_ms), "rules": drift.rules_digests(walk.connection)}
        if not resumed:  # what was compared before it was broken off may have been compared with what is lost now
            remembered[BORN] = server
        _finish(walk, remembered, guarded)
        services.redis.hset(SYNCED, connection, walk.began_ms)
        return _ended(walk, told, guarded, wait=wait, began=began, resumed=resumed)


def incremental_sync(
    services: Services, connection: str, progress: Progress = _silent, *, wait: bool = True, allow_release: bool = False
) -> Outcome:
    """What was changed or deleted since the last pass, and a part of the pass over tags. A full one if there was none yet.

    Raises:
        Misconfigured, Temporary, Permanent: as `full_sync`.
    """
    kept = memory(services, connection)
    since = kept.get("since")
    if since is None:
        return full_sync(services, connection, progress, wait=wait, allow_release=allow_release, resume=True)
    with _only(services, connection, progress) as told:
        began = time.monotonic()
        walk, server = Pass(services, connection, "incremental"), born(services)
        walk.doubt = in_doubt(services, kept)
        walk.begin(resume=False)
        guarded = walk_changes(walk, told, int(since) - OVERLAP_MS, allow_release=allow_release)
        _finish(walk, {"since": str(walk.began_ms), BORN: server}, guarded)
        return _ended(walk, told, guarded, wait=wait, began=began, resumed=False)


def walk_all(walk: Pass, told: Told, *, allow_release: bool) -> int:
    """The pages of a full pass, from where it stands. Returns how many releases the guard stopped."""
    services, name = walk.services, walk.name
    if walk.stage in ("", "index"):
        _survey(walk, told)
        walk.at("party", "1")
    kinds = kinds_of(walk)
    for kind in kinds:
        if walk.stage != kind:
            continue
        capsule = services.capsule(name)
        listed = capsule.list_records(kind, page=int(walk.place), lane="bulk", alive=lambda: told("read", walk.size("seen")))
        for mark, page in marked(services, listed):
            walk.page(kind, mark, page)
            walk.at(kind, str(page.number + 1))
            told("read", walk.size("seen"))
        following = kinds[kinds.index(kind) + 1 :]
        walk.at(following[0] if following else "end", "1")
    walk.absent(kinds)
    return _release(walk, allow_release=allow_release)


def walk_changes(walk: Pass, told: Told, since_ms: int, *, allow_release: bool) -> int:
    """What Capsule says was changed or deleted since then. Returns how many releases the guard stopped."""
    services = walk.services
    capsule, since = services.capsule(walk.name), moment(since_ms)

    def alive() -> None:
        told("read", walk.size("seen"))

    for kind in kinds_of(walk):
        listed = capsule.list_records(kind, since=since, lane="bulk", alive=alive)
        for mark, page in marked(services, listed):
            opened = walk.page(kind, mark, page)
            if kind in NEWEST_FIRST and not opened:
                break  # what comes after is older still, and known
        for numbers in capsule.deleted(kind, since=since, alive=alive) if kind in TOLD_DELETED else ():
            for start in range(0, len(numbers), CHUNK):
                _gone(walk, [f"{kind}|{number}" for number in numbers[start : start + CHUNK]])
    if not services.rehearsal:  # a part of a round shows nothing without its place, which would have to be kept
        watch_tags(walk, memory_key(walk.name), alive)
    setaside.recall(walk, memory_key(walk.name))
    return _release(walk, allow_release=allow_release)


def _gone(walk: Pass, fields: Sequence[str]) -> None:
    """Records that the deleted list names: those that we know are to be read again, what is in only after the guard."""
    known = zip(fields, walk.services.ledger.get_many(walk.name, fields), strict=True)
    there = [(one, entry) for one, entry in known if entry is not None and entry.outcome != "gone"]
    walk.add("leaving", [one for one, entry in there if entry.is_in])
    walk.open([walk.record(one) for one, entry in there if not entry.is_in], why="finding")
    walk.count("deleted", len(there))


def kinds_of(walk: Pass) -> list[str]:
    """The kinds of records that this connection's passes read."""
    kinds = walk.services.downstream(walk.name).kinds
    return [kind for kind in KINDS if kind in kinds and (kind != "opportunity" or walk.connection.sync_opportunities)]


def marked(services: Services, pages: Iterator[Page]) -> Iterator[tuple[int, Page]]:
    """Each page with a tick drawn before it was asked for."""
    while True:
        mark = services.agenda.mark()
        page = next(pages, None)
        if page is None:
            return
        yield mark, page


def moment(ms: int) -> str:
    """A time of Redis' clock as Capsule takes it: ISO 8601 in whole seconds."""
    return dt.datetime.fromtimestamp(ms // 1000, dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _survey(walk: Pass, told: Told) -> None:
    asked_ms = walk.services.agenda.mark() // 1000
    seen = 0

    def visit(shown: Sequence[Shown], place: str) -> None:
        nonlocal asked_ms, seen
        walk.there(shown, asked_ms)
        walk.at("index", place)
        seen += len(shown)
        told("index", seen)
        asked_ms = walk.services.agenda.mark() // 1000

    downstream = walk.services.downstream(walk.name)
    if not downstream.can_be_asked:
        return
    if not downstream.survey(visit, owner=walk.id, start=walk.place, alive=lambda: told("index", seen)):
        raise Misconfigured(
            f"Another reconcile of {walk.name} reads {downstream.name}.", advice="Wait two minutes and try again."
        )


def _release(walk: Pass, *, allow_release: bool) -> int:
    services, stopped = walk.services, walk.guard()
    if stopped and not allow_release:
        # Asked once: what is remembered of the last time is not said again, unless it has become more.
        if not services.rehearsal and stopped > int(memory(services, walk.name).get("guard", 0)):
            services.log.error(
                "guard",
                connection=walk.name,
                releases=stopped,
                advice=f"nothing was released; look why, then capsule-relay sync {walk.name} --allow-release",
            )
        return stopped
    walk.release()
    return 0


def _finish(walk: Pass, remembered: Mapping[str, str], guarded: int) -> None:
    store, name = walk.services.redis, memory_key(walk.name)
    # Before the moment from which the next pass asks, so that a kill between the two forgets nothing.
    if guarded:
        setaside.keep(walk, name)
        store.hset(name, "guard", str(guarded))
    else:
        setaside.forget(walk, name)
        store.hdel(name, "guard")
    for what, value in remembered.items():
        store.hset(name, what, value)


def _ended(walk: Pass, told: Told, guarded: int, *, wait: bool, began: float, resumed: bool) -> Outcome:
    services, name = walk.services, walk.name
    opened, found, findings = walk.size("opened"), walk.size("seen"), walk.found()
    records = [walk.record(one) for some in walk.scan("opened") for one in some] if wait else []
    walk.clear()
    services.counts.add("reconciles", name)
    services.counts.add("drift", name, findings.get("drift", 0))
    services.counts.flush()
    failed = waiting = 0
    if wait:
        failed, waiting = _wait_for(services, name, set(records), told)
    tally = cast("dict[bytes, bytes]", services.redis.hgetall(tally_key(name))) if wait else {}
    return Outcome(
        connection=name,
        found=found,
        outcomes={what.decode(): int(number) for what, number in tally.items() if int(number)},
        failed=failed,
        waiting=waiting,
        seconds=time.monotonic() - began,
        opened=opened,
        findings=findings,
        guarded=guarded,
        resumed=resumed,
        left={one.name: max(one.limit - one.used, 0) for one in services.usage(name) if one.limit},
    )


@dataclass(slots=True)
class Told:
    """Tells how far it is, and keeps the lock of this reconcile meanwhile."""

    lock: Lock | None
    progress: Progress
    renewed: float = 0.0

    def __call__(self, stage: str, done: int, total: int | None = None) -> None:
        """As `Progress`; raises redis.LockError when another has taken over."""
        if self.lock is not None and time.monotonic() - self.renewed > RENEW_SECONDS:
            self.lock.reacquire()
            self.renewed = time.monotonic()
        self.progress(stage, done, total)


@contextlib.contextmanager
def _only(services: Services, connection: str, progress: Progress) -> Iterator[Told]:
    """One reconcile of a connection at a time; one that was killed is forgotten after half a minute."""
    if connection not in services.connections:
        raise Misconfigured(f"{connection} is not in relay.toml.", advice="Give the name of a connection that is there.")
    lock = services.redis.lock(f"{key('sync')}:{connection}", timeout=LOCK_SECONDS, blocking=False, thread_local=False)
    try:
        if not lock.acquire():
            raise Misconfigured(
                f"A sync of {connection} is under way.",
                advice="Wait for it; one that was killed is forgotten after half a minute.",
            )
        try:
            yield Told(lock, progress)
        finally:
            with contextlib.suppress(redis.RedisError):
                lock.release()
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error


def _wait_for(services: Services, connection: str, found: set[RecordKey], told: Told) -> tuple[int, int]:
    """Returns when none of these records is open any more, nor any that they opened in turn: (failed, still waiting)."""
    looked: set[RecordKey] = set()
    left: list[RecordKey] = []
    while found and not left:
        looked |= found
        left = _until_closed(services, sorted(found), partial(told, "sync"), before=len(looked) - len(found))
        found = _bulk_open(services, connection) - looked
    failed = 0
    for some in _chunks(sorted(looked)):
        failed += sum(letter is not None for letter in services.redis.hmget(LETTERS, [record.pack() for record in some]))
    return failed, len(left)


def _until_closed(services: Services, left: list[RecordKey], told: Callable[[int, int], None], *, before: int) -> list[RecordKey]:
    """Those that are still open when the process is to stop; none otherwise."""
    whole = before + len(left)
    while True:
        still: list[RecordKey] = []
        for some in _chunks(left):
            places = services.redis.hmget(key("place"), [record.pack() for record in some])
            still += [record for record, place in zip(some, places, strict=True) if place is not None]
        left = still
        told(whole - len(left), whole)
        if not left or services.stopping.wait(POLL_SECONDS):
            return left


def _bulk_open(services: Services, connection: str) -> set[RecordKey]:
    """What of this connection is ready in the bulk lane or under way: opened by what this reconcile has opened."""
    found: set[RecordKey] = set()
    for place in ("ready:bulk", "leases"):
        for packed, _ in services.redis.zscan_iter(key(place), match=f"{connection}|*", count=CHUNK):
            found.add(RecordKey.unpack(packed.decode()))
    return found


def _chunks(records: Sequence[RecordKey]) -> Iterator[Sequence[RecordKey]]:
    for start in range(0, len(records), CHUNK):
        yield records[start : start + CHUNK]
