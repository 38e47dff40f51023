"""What a pass over many records has found so far, and what it opens.

Everything that grows with the number of records is kept in Redis and not in memory, so that a pass which was killed goes on
where it was, and needs as much memory for a hundred thousand records as for ten thousand.

    relay:pass:<kind>:<connection>            hash: id, began (ms), rules, stage, place, and n:<reason> -> findings
    relay:pass:<kind>:<connection>:<set>      `kind|id` of records: see SETS
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from mapping import drift
from mapping.agenda import LETTERS, RecordKey, key, ledger_key, tally_key
from mapping.errors import UnreadableRecord
from workers import tracing
from workers.capsule.client import Page

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mapping.agenda import Why
    from mapping.drift import Finding
    from workers.downstream.port import Shown
    from workers.ledger import Entry
    from workers.services import Services

PassKind = Literal["full", "incremental"]
SetName = Literal["seen", "there", "drift", "leaving", "asked", "opened"]
# Shown by Capsule; shown by the downstream under the id that we know; drifted there; to be released; of these, those that do not
# leave through another alone; opened by this pass.
SETS: Final[tuple[SetName, ...]] = ("seen", "there", "drift", "leaving", "asked", "opened")
SYNCED: Final = key("synced")  # hash: connection -> ms of the last full pass that came to its end
COUNT: Final = "n:"
CHUNK: Final = 500
RESUMED_FOR_MS: Final = 12 * 3_600_000


class Pass:
    """One pass over a connection's records."""

    def __init__(self, services: Services, connection: str, kind: PassKind) -> None:
        self.services = services
        self.name = connection
        self.connection = services.connections[connection]
        self.key = key(f"pass:{kind}:{connection}")
        self.full = kind == "full"
        self.first = self.full and not services.redis.hexists(SYNCED, connection)
        self.id = ""
        self.began_ms = 0
        self.doubt = False  # the ledger is not believed: every record that Capsule shows is opened
        self.stage = ""
        self.place = ""

    # ------------------------------------------------------------------ its life
    def begin(self, *, resume: bool) -> bool:
        """Starts it, or takes up one that was broken off under the same rules. True when it goes on."""
        now, rules = self.services.agenda.hello(), drift.rules_digests(self.connection)
        kept = self._load()
        if resume and kept and kept["rules"] == rules and now - int(kept["began"]) < RESUMED_FOR_MS:
            self.id, self.began_ms = kept["id"], int(kept["began"])
            self.stage, self.place = kept.get("stage", ""), kept.get("place", "")
            return True
        self.clear()
        self.id, self.began_ms, self.stage, self.place = secrets.token_hex(8), now, "", ""
        self._save({"id": self.id, "began": str(now), "rules": rules})
        return False

    def at(self, stage: str, place: str) -> None:
        """Notes that everything before this place is done. Killed after this, the pass goes on from here."""
        self.stage, self.place = stage, place
        self._save({"stage": stage, "place": place})

    def found(self) -> dict[str, int]:
        """How many records were found for each reason, and `pages` read."""
        kept = self._load().items()
        return {name.removeprefix(COUNT): int(value) for name, value in kept if name.startswith(COUNT)}

    # ------------------------------------------------------------------ pages
    def there(self, shown: Sequence[Shown], since_ms: int) -> None:
        """A page of the downstream's list, asked for at `since_ms`: which of our records it holds, and which differ."""
        named = [one for one in shown if one.number is not None]
        fields = [f"{one.kind}|{one.number}" for one in named]
        downstream = self.services.downstream(self.name)
        met: list[str] = []
        off: list[str] = []
        for one, field, entry in zip(named, fields, self.services.ledger.get_many(self.name, fields), strict=True):
            if entry is None or entry.id != one.id:
                continue
            met.append(field)
            # A run that ended later than the page was asked for knows better than the page.
            if entry.outcome != "in_step" or entry.last_ms >= since_ms:
                continue
            names = downstream.differs(entry.wrote, one.fields)
            if names:
                off.append(field)
                self.services.log.info("drift", record=f"{self.name}|{field}", fields=sorted(names))
        self.add("there", met)
        self.add("drift", off)
        self.count("drift", len(off))
        self.count("pages_downstream", 1)

    def page(self, kind: str, mark: int, page: Page | Sequence[Mapping[str, Any]]) -> int:
        """A page of Capsule's list, asked for after `mark`: opens what differs, and sets aside what would be released.

        Returns how many records it opened or set aside.

        It has a trace of its own, which the runs of what it opens go on with; its log line names that of the pass as well.
        """
        began, whole = time.monotonic(), tracing.current()
        with tracing.work("page", connection=self.name, kind=kind, found=len(page)) as work:
            opened, leaving = self._page(kind, mark, page)
            line = {"found": len(page), "opened": opened, "set_aside": leaving}
            line |= {"page": page.number} if isinstance(page, Page) else {}
            named = {"part_of": whole.id} if whole is not None else {}
            work.tell(**line, **named)
            ms = round((time.monotonic() - began) * 1000)
            self.services.log.info("page", connection=self.name, kind=kind, **line, **named, ms=ms)
            return opened + leaving

    def _page(self, kind: str, mark: int, page: Page | Sequence[Mapping[str, Any]]) -> tuple[int, int]:
        """Returns how many records were opened, and how many were set aside."""
        # Organisations first: a person whose company is not there yet has to wait for it.
        bodies = {f"{kind}|{body['id']}": body for body in sorted(page, key=lambda body: body.get("type") == "person")}
        fields = list(bodies)
        entries = dict(zip(fields, self.services.ledger.get_many(self.name, fields), strict=True))
        letters = self._letters(fields)
        drifting = self.has("drift", fields)
        others = self._others(kind, bodies, entries)
        opened: dict[Why, list[tuple[RecordKey, Mapping[str, Any]]]] = {"finding": [], "restart": []}
        leaving: list[str] = []
        for field in fields:
            found = self._compare(kind, bodies[field], entries[field], others, letter=field in letters)
            if found is not None:
                self.count(found.why.replace(" ", "_"), 1)
            if found is not None and found.releases:
                leaving.append(field)
            elif found is not None or field in drifting or self.doubt:
                opened["restart" if field in drifting or self.doubt else "finding"].append((self.record(field), bodies[field]))
        for why, records in opened.items():
            self.open_read(records, mark=mark, why=why)
        self.add("leaving", leaving)
        self.add("seen", fields)
        self.count("pages", 1)
        return sum(len(records) for records in opened.values()), len(leaving)

    def _compare(
        self, kind: str, body: Mapping[str, Any], entry: Entry | None, others: Mapping[str, Entry | None], *, letter: bool
    ) -> Finding | None:
        try:
            return drift.compare(self.connection, kind, body, entry, others, letter=letter, full=self.full)
        except UnreadableRecord:
            return drift.Finding("changed")  # its own run says so, and makes it a dead letter

    def _others(
        self, kind: str, bodies: Mapping[str, Mapping[str, Any]], entries: Mapping[str, Entry | None]
    ) -> dict[str, Entry | None]:
        names: set[str] = set()
        for field, body in bodies.items():
            names.update(drift.rests_of(entries[field]), filter(None, [drift.concerned(kind, body)]))
        wanted = sorted(names - entries.keys())
        return {**entries, **dict(zip(wanted, self.services.ledger.get_many(self.name, wanted), strict=True))}

    def _letters(self, fields: Sequence[str]) -> set[str]:
        held = self.services.redis.hmget(LETTERS, [f"{self.name}|{field}" for field in fields]) if fields else []
        return {field for field, letter in zip(fields, held, strict=True) if letter is not None}

    # ------------------------------------------------------------------ the end of a full pass
    def absent(self, kinds: Iterable[str]) -> None:
        """What the ledger knows and the lists did not show: here or there.

        Nothing is concluded from absence. What Capsule did not show is opened to be read by itself, what is in only after
        the guard; what is not downstream any more is opened with doubt.
        """
        walked, asked = set(kinds), self.services.downstream(self.name).can_be_asked
        for some in self.ledger():
            shown, held = self.has("seen", some), self.has("there", some)
            begun = self.has("opened", some)
            leaving: list[str] = []
            missing: list[RecordKey] = []
            vanished: list[RecordKey] = []
            for field, stored in some.items():
                outcome = stored.split(b"\n", 1)[0][1:]
                if field not in shown and outcome != b"gone":
                    if self.services.ledger.parse(stored).is_in:
                        leaving.append(field)
                    elif field.partition("|")[0] in walked:
                        missing.append(self.record(field))
                elif asked and field in shown and field not in held and field not in begun and outcome == b"in_step":
                    entry = self.services.ledger.parse(stored)
                    if entry.id is not None and entry.last_ms < self.began_ms:
                        vanished.append(self.record(field))
            self.open(missing, why="finding")
            self.open(vanished, why="restart")
            self.add("leaving", leaving)
            self.count("missing", len(missing) + len(leaving))
            self.count("vanished", len(vanished))

    def guard(self) -> int:
        """How many records would be released, those included that are in through one of these; 0 when the guard lets them."""
        if not self.size("leaving"):
            return 0
        for fields in self.scan("leaving"):
            self.add("asked", fields)
        grown = -1
        while grown != (grown := self.size("leaving")):
            for some in self.ledger():
                entries = {field: self.services.ledger.parse(stored) for field, stored in some.items()}
                rests = {name for entry in entries.values() for name in drift.rests_of(entry)}
                leaving = self.has("leaving", sorted(rests))
                self.add("leaving", [field for field, entry in entries.items() if drift.follows(entry, leaving)])
        known = int(cast("bytes | None", self.services.redis.hget(tally_key(self.name), "in_step")) or 0)
        rules = self.connection
        return grown if grown > rules.guard_records and grown > rules.guard_percent / 100 * known else 0

    def release(self) -> None:
        """Opens what was set aside: each is read by itself, and only what is read then is concluded."""
        for some in self.scan("leaving"):
            self.open([self.record(field) for field in some], why="finding")

    # ------------------------------------------------------------------ what it does to the agenda
    def record(self, field: str) -> RecordKey:
        """`kind|id` as a record of this connection."""
        return RecordKey.unpack(f"{self.name}|{field}")

    def open(self, records: Sequence[RecordKey], *, why: Why) -> None:
        """Opens records that are to be read by their runs."""
        self.services.agenda.open(records, lane="bulk", why=why)
        self.add("opened", [record.field for record in records])

    def open_read(self, found: Sequence[tuple[RecordKey, Mapping[str, Any]]], *, mark: int, why: Why) -> None:
        """Opens records with what was read of them after `mark`."""
        sealed = [(record, self.services.vault.seal({"record": body, "first": self.first})) for record, body in found]
        self.services.agenda.open_read(sealed, lane="bulk", mark=mark, why=why)
        self.add("opened", [record.field for record, _ in found])

    # ------------------------------------------------------------------ where it is kept
    def add(self, name: SetName, fields: Sequence[str]) -> None:
        """Adds records to one of the sets."""
        if fields:
            self.services.redis.sadd(f"{self.key}:{name}", *fields)

    def has(self, name: SetName, fields: Iterable[str]) -> set[str]:
        """Those of these that are in a set."""
        asked = list(fields)
        if not asked:
            return set()
        answers = cast("list[int]", self.services.redis.smismember(f"{self.key}:{name}", asked))
        return {field for field, there in zip(asked, answers, strict=True) if there}

    def size(self, name: SetName) -> int:
        """How many records are in a set."""
        return int(self.services.redis.scard(f"{self.key}:{name}"))

    def scan(self, name: SetName) -> Iterator[list[str]]:
        """The records of a set, some at a time; one may come twice."""
        cursor = 0
        while True:
            cursor, found = cast(
                "tuple[int, list[bytes]]", self.services.redis.sscan(f"{self.key}:{name}", cursor=cursor, count=CHUNK)
            )
            yield [field.decode() for field in found]
            if not cursor:
                return

    def count(self, name: str, number: int) -> None:
        """Counts what was found."""
        if number:
            self.services.redis.hincrby(self.key, COUNT + name, number)

    def clear(self) -> None:
        """Forgets the pass."""
        self.services.redis.delete(self.key, *(f"{self.key}:{name}" for name in SETS))

    def _load(self) -> dict[str, str]:
        kept = cast("dict[bytes, bytes]", self.services.redis.hgetall(self.key))
        return {name.decode(): value.decode() for name, value in kept.items()}

    def _save(self, values: Mapping[str, str]) -> None:
        self.services.redis.hset(self.key, items=[part for pair in values.items() for part in pair])

    def ledger(self) -> Iterator[dict[str, bytes]]:
        """The connection's ledger, some entries at a time; one may come twice."""
        cursor = 0
        while True:
            cursor, found = cast(
                "tuple[int, dict[bytes, bytes]]",
                self.services.redis.hscan(ledger_key(self.name), cursor=cursor, count=CHUNK),
            )
            if found:
                yield {field.decode(): stored for field, stored in found.items()}
            if not cursor:
                return
