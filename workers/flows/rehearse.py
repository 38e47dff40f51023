"""A dry run of a reconcile: what would be created, updated, released and held. Nothing is written anywhere.

The same walk and the same runs as in earnest, with other objects in place of those that write: an agenda that only collects,
a ledger with the dry run's own conclusions laid over it, a downstream that sends nothing. What is used up all the same are
calls: they are counted in the shared limits, and a token that has run out is fetched.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, cast

import redis

from mapping.errors import MappingError
from workers.agenda import Agenda, Taken
from workers.counts import Counts
from workers.errors import Misconfigured, QueueAway, WorkerError
from workers.flows.passes import Pass
from workers.flows.reconcile import OVERLAP_MS, Told, memory, walk_all, walk_changes
from workers.flows.run import Run
from workers.flows.sync import WaitForOther, bring_in_step
from workers.ledger import Entry, Known, Ledger

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mapping.agenda import Lane, RecordKey, Why
    from workers.flows.passes import PassKind, SetName
    from workers.flows.reconcile import Progress
    from workers.services import Services

PATIENCE: Final = 4
FAR_MS: Final = 10**15


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What a reconcile would do. `would`: created, updated, released, held, unchanged, out, failed, waiting -> records."""

    connection: str
    found: int
    would: Mapping[str, int]
    findings: Mapping[str, int] = field(default_factory=dict)
    guarded: int = 0
    seconds: float = 0.0
    left: Mapping[str, int] = field(default_factory=dict)


def rehearse(services: Services, connection: str, progress: Progress, *, full: bool, allow_release: bool = False) -> Rehearsal:
    """Walks as `full_sync` or `incremental_sync` would.

    Raises:
        Misconfigured, Temporary, Permanent: as those.
    """
    if connection not in services.connections:
        raise Misconfigured(f"{connection} is not in relay.toml.", advice="Give the name of a connection that is there.")
    began = time.monotonic()
    try:
        since = memory(services, connection).get("since")
        stage = _Stage(services, connection, full=full or since is None)
        told = Told(None, progress)
        if full or since is None:
            guarded = walk_all(stage.walk, told, allow_release=allow_release)
        else:
            stage.services.downstream(connection).survey(_unseen, owner="", start="", alive=lambda: told("index", 0))
            guarded = walk_changes(stage.walk, told, int(since) - OVERLAP_MS, allow_release=allow_release)
        would = stage.play(told)
        left = {one.name: max(one.limit - one.used, 0) for one in services.usage(connection) if one.limit}
    except redis.RedisError as error:
        raise QueueAway(f"Redis did not answer: {type(error).__name__}") from error
    return Rehearsal(
        connection=connection,
        found=stage.walk.size("seen"),
        would=would,
        findings=stage.walk.found(),
        guarded=guarded,
        seconds=time.monotonic() - began,
        left=left,
    )


def _unseen(_shown: object, _place: str) -> None:
    """An incremental pass compares nothing with the downstream's lists; only the index is needed."""


class _Stage:
    """The objects that take the place of those that write, and the runs on them."""

    def __init__(self, services: Services, connection: str, *, full: bool) -> None:
        self.agenda = CollectingAgenda(services)
        self.ledger = OverlaidLedger(services)
        self.services = replace(
            services,
            agenda=cast("Agenda", self.agenda),
            ledger=self.ledger,
            counts=Counts(services.redis),  # never flushed
            rehearsal=True,
            _downstreams={},
        )
        self.walk = MemoryPass(self.services, connection, "full" if full else "incremental")
        self.would: Counter[str] = Counter()

    def play(self, told: Told) -> dict[str, int]:
        """Runs everything that was opened, and what those runs open in turn."""
        done = 0
        while self.agenda.waiting:
            record, body, doubt = self.agenda.waiting.popleft()
            self._run(record, body, doubt=doubt)
            done += 1
            told("sync", done, done + len(self.agenda.waiting))
        return dict(self.would)

    def _run(self, record: RecordKey, body: Mapping[str, Any] | None, *, doubt: bool, depth: int = 0) -> None:
        before = self.ledger.get(record)
        sealed = self.services.vault.seal({"record": body, "first": self.walk.first}) if body is not None else b""
        for _ in range(PATIENCE):
            now = self.agenda.hello()
            taken = Taken(record, "", sealed, 0, int(doubt), now, FAR_MS, now, "bulk", probing=False, seq=0)
            line: dict[str, Any] = {}
            try:
                conclusion = bring_in_step(Run(self.services, taken), line)
            except WaitForOther as pause:
                if depth >= PATIENCE:
                    break
                self._run(pause.other, None, doubt=False, depth=depth + 1)
                continue
            except QueueAway:
                raise
            except (WorkerError, MappingError):
                self.would["failed"] += 1
                return
            if conclusion.entry is not None:
                self.ledger.lay(record, conclusion.entry)
            self.would[_word(conclusion.outcome, line, before)] += 1
            return
        self.would["waiting"] += 1


def _word(outcome: str, line: Mapping[str, Any], before: Entry | None) -> str:
    if outcome == "in_step":
        return {"create": "created", "update": "updated"}.get(line.get("plan", ""), "unchanged")
    if outcome == "held":
        return "held"
    return "released" if before is not None and before.is_in else "out"


class CollectingAgenda:
    """Collects what would be opened. Its clock is that of Redis."""

    def __init__(self, services: Services) -> None:
        self._store = services.redis
        self.waiting: deque[tuple[RecordKey, Mapping[str, Any] | None, bool]] = deque()
        self._known: set[RecordKey] = set()

    def collect(self, record: RecordKey, body: Mapping[str, Any] | None, *, doubt: bool) -> None:
        """One record, once."""
        if record not in self._known:
            self._known.add(record)
            self.waiting.append((record, body, doubt))

    def open(self, records: Iterable[RecordKey], *, lane: Lane, why: Why) -> int:  # noqa: ARG002 - as the agenda's
        """As `Agenda.open`; returns how many were given."""
        given = list(records)
        for record in given:
            self.collect(record, None, doubt=why == "restart")
        return len(given)

    def mark(self) -> int:
        """The time in microseconds."""
        seconds, micros = self._store.time()
        return seconds * 1_000_000 + micros

    def hello(self) -> int:
        """The time in milliseconds."""
        return self.mark() // 1000

    def hold(self, record: RecordKey, token: str, *, writing: bool) -> int:  # noqa: ARG002 - as the agenda's
        """Always held."""
        return FAR_MS


class OverlaidLedger(Ledger):
    """The ledger, with what the dry run concluded laid over it."""

    def __init__(self, services: Services) -> None:
        super().__init__(services.redis, services.vault)
        self._laid: dict[tuple[str, str], Entry] = {}

    def lay(self, record: RecordKey, entry: Entry) -> None:
        """Keeps a conclusion for this dry run."""
        self._laid[record.connection, record.field] = entry

    def get_many(self, connection: str, fields: Sequence[str]) -> list[Entry | None]:
        """As `Ledger.get_many`."""
        stored = super().get_many(connection, fields)
        return [self._laid.get((connection, name), entry) for name, entry in zip(fields, stored, strict=True)]

    def known(self, record: RecordKey) -> Known:
        """As `Ledger.known`, as if nothing else were under way."""
        return Known(place=None, letter=False, entry=self.get(record))


class MemoryPass(Pass):
    """A pass that keeps everything in memory, and opens nothing."""

    def __init__(self, services: Services, connection: str, kind: PassKind) -> None:
        super().__init__(services, connection, kind)
        self._sets: dict[str, set[str]] = {}
        self._counts: Counter[str] = Counter()
        self.began_ms = services.agenda.hello()

    def at(self, stage: str, place: str) -> None:
        """Notes it for the walk alone."""
        self.stage, self.place = stage, place

    def found(self) -> dict[str, int]:
        """As `Pass.found`."""
        return dict(self._counts)

    def open_read(self, found: Sequence[tuple[RecordKey, Mapping[str, Any]]], *, mark: int, why: Why) -> None:  # noqa: ARG002 - nothing can be newer
        """Collects them with what was read."""
        agenda = cast("CollectingAgenda", self.services.agenda)
        for record, body in found:
            agenda.collect(record, body, doubt=why == "restart")
        self.add("opened", [record.field for record, _ in found])

    def add(self, name: SetName, fields: Sequence[str]) -> None:
        """As `Pass.add`."""
        self._sets.setdefault(name, set()).update(fields)

    def has(self, name: SetName, fields: Iterable[str]) -> set[str]:
        """As `Pass.has`."""
        return self._sets.get(name, set()).intersection(fields)

    def size(self, name: SetName) -> int:
        """As `Pass.size`."""
        return len(self._sets.get(name, ()))

    def scan(self, name: SetName) -> Iterator[list[str]]:
        """As `Pass.scan`."""
        yield sorted(self._sets.get(name, ()))

    def count(self, name: str, number: int) -> None:
        """As `Pass.count`."""
        self._counts[name] += number
