"""Makes the downstream hold what is wanted: see what it holds, work out the difference, send it, note each write first.

The write cannot be fenced, so an intent is in Redis before its first byte leaves, and a run that was told not to trust the
ledger looks at the downstream itself (reference/agenda.md §4).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from mapping.plan import Held, Nothing
from workers import errors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.plan import Note, Plan, Wanted
    from workers.downstream.port import Downstream, Subject
    from workers.flows.run import Run
    from workers.ledger import Entry

NOT_FOUND: Final = 404


class WaitForWindow(Exception):
    """Not a failure: an earlier POST may still land, so nothing is created before `due_ms` of Redis' clock."""

    def __init__(self, due_ms: int) -> None:
        super().__init__(f"no create before {due_ms}")
        self.due_ms = due_ms


@dataclass(frozen=True, slots=True)
class Applied:
    """A downstream record after a run: its id, what we know it to hold of ours, and what it refuses to change."""

    id: str
    resource: str
    wrote: Mapping[str, Any]
    notes: tuple[Note, ...]


@dataclass(frozen=True, slots=True)
class _There:
    """What is there before the writes. `have` is None when there is no record; `current` when it was not read.

    `unsure`: a write whose answer never came may have changed it, and the downstream cannot be asked.
    """

    id: str | None
    have: Mapping[str, Any] | None
    current: Mapping[str, Any] | None
    unsure: bool = False


class Upsert:
    """One record's way into the downstream. `line` is the wide log line of the run."""

    def __init__(self, run: Run, downstream: Downstream, entry: Entry | None, line: dict[str, Any]) -> None:
        self.run = run
        self.downstream = downstream
        self.entry = entry
        self.line = line
        self.wrote: Mapping[str, Any] = entry.wrote if entry is not None else {}
        # What a write set whose answer never came is ours too, though the ledger does not know of it.
        self.ours = frozenset(self.wrote) | run.taken.sent

    def apply(self, subject: Subject, wanted: Wanted) -> Applied | Held:
        """Makes it hold what is wanted. A record that vanished there is looked for once more, then made anew.

        Raises:
            WaitForWindow: nothing may be created yet.
            Temporary, Permanent, LeaseLost, QueueAway, ShuttingDown: from the calls.
        """
        try:
            return self._apply(subject, wanted, distrust=self.run.taken.read_back)
        except errors.Refused as error:
            if error.status != NOT_FOUND or self.entry is None or self.entry.id is None:
                raise
            self.line["vanished"] = True
            return self._apply(subject, wanted, distrust=True)

    def find_unanswered(self) -> Applied | None:
        """The record that a create of ours made whose answer never came, so that what must leave is not overlooked."""
        run = self.run
        if not run.taken.sent:
            return None
        found = self.downstream.linked(run.record.kind, run.record.id, lane=run.lane, alive=run.alive)
        run.answered.add(self.downstream.name)
        if found is None:
            return None
        resource, existing = found
        observed = self.downstream.observed(resource, existing.current)
        wrote = {name: observed[name] for name in run.taken.sent if name in observed}
        return Applied(existing.id, resource, wrote, ())

    def release(self, resource: str, downstream_id: str, wanted: Wanted) -> Applied:
        """Makes a record that left hold what `on_gone` asks. One that is not there any more is left so."""
        there = self._told(downstream_id)
        plan = self._compare(wanted, there)
        if self.downstream.can_be_asked and (self.run.taken.read_back or not isinstance(plan, Nothing)):
            current = self._read(resource, downstream_id)
            if current is None:
                return Applied(downstream_id, resource, self.wrote, ())
            there = _There(downstream_id, self.downstream.observed(resource, current), current)
            plan = self._compare(wanted, there)
        return self._write(wanted, plan, there)

    def _apply(self, subject: Subject, wanted: Wanted, *, distrust: bool) -> Applied | Held:
        there = self._look(subject, wanted, distrust=distrust)
        if isinstance(there, Held):
            return there
        plan = self._compare(wanted, there)
        if there.id is not None and there.current is None and self.downstream.needs_current(plan):
            current = self._read(wanted.resource, there.id)
            if current is None:
                text = f"{wanted.resource} {there.id} is not there any more."
                raise errors.Refused(text, status=NOT_FOUND, system=self.downstream.name)
            there = _There(there.id, self.downstream.observed(wanted.resource, current), current)
            plan = self._compare(wanted, there)
        if there.id is None and self.run.taken.create_nothing and self.downstream.can_be_asked:
            raise WaitForWindow(self.run.taken.foreign_ms + 1)
        return self._write(wanted, plan, there)

    def _look(self, subject: Subject, wanted: Wanted, *, distrust: bool) -> _There | Held:
        """What is there: by the ledger if it can be trusted, else by reading or finding it."""
        run, known = self.run, self.entry.id if self.entry is not None else None
        if known is not None and not (distrust and self.downstream.can_be_asked):
            return self._told(known)
        if known is not None:
            current = self._read(wanted.resource, known)
            if current is not None:
                return _There(known, self.downstream.observed(wanted.resource, current), current)
        fresh = distrust or run.lane == "live"
        found = self.downstream.find(subject, wanted, fresh=fresh, lane=run.lane, alive=run.alive)
        run.answered.add(self.downstream.name)
        if found is None or isinstance(found, Held):
            return found or _There(None, None, None)
        self.line["adopted"] = True
        return _There(found.id, self.downstream.observed(wanted.resource, found.current), found.current)

    def _told(self, downstream_id: str) -> _There:
        """What the ledger says is there."""
        doubt = self.run.taken.read_back and not self.downstream.can_be_asked
        return _There(downstream_id, self.wrote, None, unsure=doubt)

    def _compare(self, wanted: Wanted, there: _There) -> Plan:
        return self.downstream.compare(wanted, there.have, ours=self.ours, unsure=there.unsure)

    def _read(self, resource: str, downstream_id: str) -> Mapping[str, Any] | None:
        current = self.downstream.read(resource, downstream_id, lane=self.run.lane, alive=self.run.alive)
        self.run.answered.add(self.downstream.name)
        return current

    def _write(self, wanted: Wanted, plan: Plan, there: _There) -> Applied:
        downstream, resource, downstream_id = self.downstream, wanted.resource, there.id
        writes, refused = downstream.writes(
            self.run.record, wanted, plan, downstream_id=downstream_id, have=there.have, current=there.current
        )
        for write in writes:
            while wait_ms := downstream.reserve_write(self.run.lane, alive=self.run.alive):
                self.run.wait(wait_ms, system=downstream.name)
            answer = self._send(write, downstream_id)
            downstream_id = downstream_id or downstream.id_of(answer)
            self.line["writes"] = self.line.get("writes", 0) + 1
        if downstream_id is None:
            raise errors.Permanent(f"{self.run.record.pack()}: there is no record and the plan makes none.")
        self.line["plan"] = type(plan).__name__.lower()
        if self.entry is None or self.entry.id != downstream_id:
            downstream.remember(resource, self.run.record.id, downstream_id, wanted.fields)
        wrote = downstream.remembered(wanted, plan, there.have, ours=self.ours)
        return Applied(downstream_id, resource, wrote, (*wanted.notes, *refused))

    def _send(self, write: Any, downstream_id: str | None) -> Mapping[str, Any]:  # noqa: ANN401 - the downstream's own kind
        """One write. Until its answer says otherwise, it may have had its effect."""
        run, touched = self.run, self.run.touched
        run.touched = True
        run.tried = write
        try:
            noted = partial(run.about_to_write, tuple(write.covers))
            answer = self.downstream.send(write, downstream_id=downstream_id, before_send=noted)
        except errors.NoAnswer:
            raise
        except errors.WorkerError:
            # Refused before the sending, or answered in a way that is known to mean: no effect.
            run.touched = touched
            raise
        run.wrote = True
        run.answered.add(self.downstream.name)
        run.services.counts.add("writes", run.record.connection)
        return answer
