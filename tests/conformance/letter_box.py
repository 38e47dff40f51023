"""A relay in small for tests of dead letters: a real store with agenda, vault and letters, and runs that end as told."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from mapping.agenda import RecordKey
from workers.agenda import Agenda, Timing
from workers.counts import Counts
from workers.errors import Refused
from workers.flows.run import Run
from workers.ledger import Vault
from workers.letters import Letters

if TYPE_CHECKING:
    import redis

    from workers.letters import Letter
    from workers.services import Services

SECRET = "a-secret-key-that-is-long-enough-for-a-test"
BODY = (
    b'{"name":"Ada Lovelace","email":"ada@example.com","phone":"+44 20 7946 0018",'
    b'"location":"64b7f0c2a1d3e4f5a6b7c8d9","seats":3}'
)


def refusal(**change: Any) -> Refused:
    """What OfficeRnD says to a body that it does not like."""
    told: dict[str, Any] = {
        "system": "officernd",
        "status": 400,
        "answer": '{"message":["phone must be a string"]}',
        "method": "POST",
        "route": "POST /members",
        "body": BODY,
    } | change
    return Refused(f"officernd: {told['route']}: {told['status']}", **told)


class LetterBox:
    """`store` is emptied; the connection is acme."""

    def __init__(self, store: redis.Redis, *, secrets: tuple[str, ...] = (SECRET,)) -> None:
        self.store = cast("Any", store)
        self.agenda = Agenda(store, Timing(call_ms=500, stray_ms=500))
        self.store.set("relay:clean_stop", 1)
        self.agenda.hello()
        self.vault = Vault(secrets)
        self.letters = Letters(self.agenda, self.vault)
        self.services = cast("Services", SimpleNamespace(counts=Counts(store)))

    def record(self, number: int, kind: str = "party") -> RecordKey:
        return RecordKey("acme", kind, number)

    def run(self, record: RecordKey, lane: Any = "live") -> Run:
        """A run of a record that an event has opened."""
        if not self.store.hexists("relay:place", record.pack()):
            self.agenda.open([record], lane=lane, why="event")
        opened = self.agenda.hello()
        while self.agenda.hello() <= opened:
            pass  # a run that begins in the millisecond of a replay has to look again: its doubt is as young as the run
        taken = self.agenda.take(lane, proc="test")
        assert taken is not None
        assert taken.record == record
        return Run(self.services, taken)

    def bury(self, number: int, error: Exception | None = None, *, kind: str = "party", lane: Any = "live") -> Letter:
        """A letter of this record."""
        record = self.record(number, kind)
        line: dict[str, Any] = {}
        self.letters.bury(self.run(record, lane), error or refusal(), line)
        assert line["end"] == "buried"
        found = self.letters.of_record(record)
        assert found is not None
        assert found.id == line["letter"]
        return found

    def done(self, run: Run) -> None:
        self.agenda.done(run.record, run.taken.token, wrote=False, entry=b"entry", outcome="in_step")
