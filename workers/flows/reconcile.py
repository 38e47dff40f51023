"""The first sync, in plain form: every record of Capsule by list pages, through the same flow as an event.

What a page holds is handed on with the agenda entry and not read again. A tick is drawn before each page is asked for; an
event that comes later makes the agenda refuse the page's body, so nothing older than an event is ever written.
"""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol, cast

import redis

from mapping.agenda import LETTERS, RecordKey, key, ledger_key
from workers.errors import Misconfigured, QueueAway

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from redis.lock import Lock

    from workers.capsule.client import Page
    from workers.services import Services

POLL_SECONDS: Final = 0.2
CHUNK: Final = 500
LOCK_SECONDS: Final = 60.0


class Progress(Protocol):
    """Told how a long piece of work is getting on."""

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        """`stage` is `index`, `read` or `sync`; `total` is None while it is not known."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a sync ended: records by the outcome of their last run, and those that became dead letters."""

    connection: str
    found: int
    outcomes: Mapping[str, int] = field(default_factory=dict)
    failed: int = 0
    waiting: int = 0
    seconds: float = 0.0

    @property
    def ok(self) -> bool:
        """Whether nothing failed and nothing still waits."""
        return not self.failed and not self.waiting


def _silent(stage: str, done: int, total: int | None) -> None:
    """For callers that do not look."""


def was_synced(services: Services, connection: str) -> bool:
    """Whether every record of this connection was once opened by a pass that came to its end."""
    return bool(services.redis.hexists(key("synced"), connection))


def full_sync(services: Services, connection: str, progress: Progress = _silent, *, wait: bool = True) -> Outcome:
    """Opens every record that Capsule lists and every one that the ledger knows, and waits until all are decided.

    Only one runs for a connection at a time.

    Raises:
        Misconfigured: the connection is not in relay.toml, or another sync of it is under way.
        Temporary, Permanent: from reading the lists.
    """
    if connection not in services.connections:
        raise Misconfigured(f"{connection} is not in relay.toml.", advice="Give the name of a connection that is there.")
    began = time.monotonic()
    lock = services.redis.lock(f"{key('sync')}:{connection}", timeout=LOCK_SECONDS, blocking=False, thread_local=False)
    if not lock.acquire():
        raise Misconfigured(
            f"A sync of {connection} is under way.", advice="Wait for it; one that was killed is forgotten after a minute."
        )
    told = _Told(lock, progress)
    try:
        services.downstream(connection).build_index(lambda done: told("index", done))
        found = _open_all(services, connection, told)
        services.redis.hset(key("synced"), connection, services.agenda.hello())
        if not wait:
            return Outcome(connection=connection, found=len(found), seconds=time.monotonic() - began)
        _wait_for(services, found, told)
        return _outcome(services, connection, found, time.monotonic() - began)
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    finally:
        with contextlib.suppress(redis.RedisError):
            lock.release()


@dataclass(frozen=True, slots=True)
class _Told:
    """Tells how far it is, and keeps the lock of this sync meanwhile."""

    lock: Lock
    progress: Progress

    def __call__(self, stage: str, done: int, total: int | None = None) -> None:
        self.lock.reacquire()
        self.progress(stage, done, total)


def _open_all(services: Services, connection: str, told: _Told) -> set[RecordKey]:
    agenda, vault = services.agenda, services.vault
    capsule, kinds = services.capsule(connection), services.downstream(connection).kinds
    found: set[RecordKey] = set()
    for kind, pages in (("party", capsule.list_parties), ("opportunity", capsule.list_opportunities)):
        if kind not in kinds or (kind == "opportunity" and not services.connections[connection].sync_opportunities):
            continue
        walk = pages(lane="bulk", alive=lambda: told("read", len(found)))
        for mark, page in _marked(services, walk):
            # Organisations first: a person whose company is not there yet has to wait for it.
            ordered = sorted(page, key=lambda body: body.get("type") == "person")
            read = [(RecordKey(connection, kind, body["id"]), vault.seal({"record": body})) for body in ordered]
            agenda.open_read(read, lane="bulk", mark=mark)
            found.update(record for record, _ in read)
            told("read", len(found))
    # Records that the ledger knows and no page showed: deleted, hidden, or moved between pages. Each is read by itself, so
    # nothing is concluded from its absence here.
    known = {RecordKey(connection, *_field(name)) for name in cast("list[bytes]", services.redis.hkeys(ledger_key(connection)))}
    missing = sorted(known - found)
    for start in range(0, len(missing), CHUNK):
        agenda.open(missing[start : start + CHUNK], lane="bulk", why="finding")
    return found | set(missing)


def _field(name: bytes) -> tuple[str, int]:
    kind, number = name.decode().split("|")
    return kind, int(number)


def _marked(services: Services, pages: Iterator[Page]) -> Iterator[tuple[int, Page]]:
    """Each page with a tick drawn before it was asked for."""
    while True:
        mark = services.agenda.mark()
        page = next(pages, None)
        if page is None:
            return
        yield mark, page


def _wait_for(services: Services, found: set[RecordKey], told: _Told) -> None:
    """Returns when none of these records is open any more."""
    left = sorted(found)
    while True:
        still: list[RecordKey] = []
        for start in range(0, len(left), CHUNK):
            some = left[start : start + CHUNK]
            places = services.redis.hmget(key("place"), [record.pack() for record in some])
            still += [record for record, place in zip(some, places, strict=True) if place is not None]
        left = still
        told("sync", len(found) - len(left), len(found))
        if not left or services.stopping.wait(POLL_SECONDS):
            return


def _outcome(services: Services, connection: str, found: set[RecordKey], seconds: float) -> Outcome:
    outcomes: Counter[str] = Counter()
    failed = waiting = 0
    records = sorted(found)
    for start in range(0, len(records), CHUNK):
        some = records[start : start + CHUNK]
        letters = services.redis.hmget(LETTERS, [record.pack() for record in some])
        places = services.redis.hmget(key("place"), [record.pack() for record in some])
        entries = cast("list[bytes | None]", services.redis.hmget(ledger_key(connection), [record.field for record in some]))
        for letter, place, entry in zip(letters, places, entries, strict=True):
            if letter is not None:
                failed += 1
            elif place is not None:
                waiting += 1
            elif entry is not None:
                outcomes[entry.split(b"\n", 1)[0][1:].decode()] += 1
    return Outcome(
        connection=connection, found=len(found), outcomes=dict(outcomes), failed=failed, waiting=waiting, seconds=seconds
    )
