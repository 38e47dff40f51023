"""The heart: brings one record in step. Event, reconcile, replay and first sync all end here.

Read the record as it is now, judge it by the rules, work out what the downstream should hold, see what it holds, remove
the difference, note it in the ledger. Doing it twice changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.errors import MappingError
from mapping.plan import Held, Waits
from mapping.records import Gone
from workers import errors
from workers.flows.fanout import PASSES_ON, concerns_others, fan_out, is_organisation, is_party
from workers.flows.read import read_subject
from workers.flows.run import Run
from workers.flows.upsert import Applied, Upsert, WaitForWindow
from workers.ledger import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping

    from workers.agenda import Taken
    from workers.downstream.port import Downstream, Subject
    from workers.ledger import Outcome
    from workers.services import Services

WAIT_FOR_OTHER_MS: Final = (2_000, 60_000)
TEXT_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a run ends when nothing went wrong. `entry` is None for a kind of record that the downstream does not follow."""

    outcome: Outcome
    entry: Entry | None


class WaitForOther(Exception):
    """Not a failure: another record must be in step first, and has been opened."""

    def __init__(self, other: RecordKey, text: str) -> None:
        super().__init__(text)
        self.other = other


def synchronise(services: Services, taken: Taken) -> None:
    """Works on one leased record until it is done, handed back or buried. Never raises what a record can cause."""
    run = Run(services, taken)
    began = time.monotonic()
    line: dict[str, Any] = {"record": taken.record.pack(), "lane": taken.lane, "attempt": taken.attempts + 1}
    try:
        _close(run, bring_in_step(run, line), line)
    except errors.LeaseLost:
        line["end"] = "lease lost"
        if run.touched:
            _hand_back(run, line, wait_ms=0, spend=False)
    except errors.QueueAway as error:
        line |= {"end": "unanswered", "error": str(error)}
    except WaitForWindow as pause:
        line["end"] = "waits for the stray window"
        _hand_back(run, line, wait_ms=max(0, pause.due_ms - taken.now_ms), spend=False)
    except WaitForOther as pause:
        line |= {"end": "waits for another", "other": pause.other.pack()}
        shortest, longest = WAIT_FOR_OTHER_MS
        wait_ms = min(max(taken.now_ms - taken.opened_ms, shortest), longest)
        _hand_back(run, line, wait_ms=wait_ms, spend=False, error=pause)
    except (errors.WorkerError, MappingError) as error:
        _fail(run, error, line)
    except Exception as bug:
        # Whatever it is, the record must not be lost: it is tried again, and in the end becomes a letter.
        services.log.exception("bug", record=taken.record.pack(), kind=type(bug).__name__)
        _fail(run, errors.Temporary(f"{type(bug).__name__} in our own code; see the log."), line)
    services.log.info("record", **line, ms=round((time.monotonic() - began) * 1000))


def bring_in_step(run: Run, line: dict[str, Any]) -> Conclusion:
    """Everything between `take` and `done`. Fills `line`, the wide log line of this unit of work."""
    services, record = run.services, run.record
    connection = services.connections.get(record.connection)
    if connection is None:
        raise errors.Misconfigured(f"{record.pack()}: the connection {record.connection} is not in relay.toml.")
    downstream, capsule = services.downstream(record.connection), services.capsule(record.connection)
    if record.kind not in downstream.kinds:
        return Conclusion(outcome="out", entry=None)
    if run.lane == "bulk":
        # Asked before Capsule is read, so that a long wait for a write slot costs no call.
        run.wait(downstream.room("bulk"), system=downstream.name)
    case = Case(run, downstream, services.ledger.get(record), line)
    subject = read_subject(run, connection, capsule)
    if isinstance(subject, Gone):
        why = "It is hidden from our Capsule user." if subject.restricted else "It was deleted in Capsule."
        return case.release(why, "gone", subject)
    line["in"], line["why"] = subject.verdict.is_in, subject.verdict.why
    if not subject.verdict.is_in:
        return case.release(subject.verdict.why, "out", subject.record)
    wanted = downstream.wanted(subject, alive=run.alive)
    if isinstance(wanted, Waits):
        wanted = case.wait_or_hold(wanted)
    applied = wanted if isinstance(wanted, Held) else case.upsert.apply(subject, wanted)
    if isinstance(applied, Held):
        return case.hold(subject, applied)
    return case.in_step(subject, applied, {**downstream.passes_on(subject, wanted), "in": True, "linked": True})  # type: ignore[arg-type]


class Case:
    """One record under judgement: what the ledger says of it, and the ways in which its run may end."""

    def __init__(self, run: Run, downstream: Downstream, entry: Entry | None, line: dict[str, Any]) -> None:
        self.run = run
        self.downstream = downstream
        self.entry = entry
        self.line = line
        self.upsert = Upsert(run, downstream, entry, line)

    def in_step(self, subject: Subject, applied: Applied, passes_on: Mapping[str, Any]) -> Conclusion:
        """The downstream holds what it should."""
        self._pass_on(subject.record, passes_on)
        known = {tuple(note) for note in (self.entry.state.get("notes", []) if self.entry else [])}
        for note in applied.notes:
            if (note.code, note.text) not in known:
                self.run.services.log.info("note", record=self.run.record.pack(), code=note.code)
        state = {PASSES_ON: passes_on, "notes": [[note.code, note.text] for note in applied.notes]}
        return self._conclude("in_step", subject.verdict.why, is_in=True, applied=applied, state=state)

    def hold(self, subject: Subject, held: Held) -> Conclusion:
        """A person must decide something. Not an error: shown with its reason, tried again when record or rules change."""
        self.line["held"] = held.code
        passes_on = {"in": True, "linked": self.entry is not None and self.entry.id is not None}
        self._pass_on(subject.record, passes_on)
        state = {PASSES_ON: passes_on, "held": [held.code, held.text]}
        return self._conclude("held", subject.verdict.why, is_in=True, applied=self._known(), state=state)

    def release(self, why: str, outcome: Outcome, record: object) -> Conclusion:
        """The record is not in any more, or never was. What is downstream stays, but for what `on_gone` asks."""
        self._pass_on(record, {"in": False})
        known = self._known()
        if known is not None:
            wanted = self.downstream.released(known.resource, known.wrote)
            if wanted is not None:
                known = self.upsert.release(known.resource, known.id, wanted)
        return self._conclude(outcome, why, is_in=False, applied=known, state={PASSES_ON: {"in": False}})

    def wait_or_hold(self, waits: Waits) -> Held:
        """The other record is opened and waited for; if a person must act on it first, this one is held with it.

        Raises:
            WaitForOther: the other record is on its way.
        """
        services = self.run.services
        other = RecordKey(self.run.record.connection, waits.kind, waits.id)
        if services.ledger.has_letter(other):
            return Held("other_dead", f"{waits.text}: {other.kind} {other.id} is a dead letter")
        entry = services.ledger.get(other)
        if entry is not None and entry.outcome == "held":
            return Held("other_held", f"{waits.text}: {other.kind} {other.id} is held, {entry.state['held'][1]}")
        services.agenda.open([other], lane="live", why="finding")
        raise WaitForOther(other, waits.text)

    def _known(self) -> Applied | None:
        """What the ledger says is there, if this record was ever written."""
        entry = self.entry
        if entry is None or entry.id is None or entry.resource is None:
            return None
        return Applied(id=entry.id, resource=entry.resource, wrote=entry.wrote, notes=())

    def _pass_on(self, record: object, passes_on: Mapping[str, Any]) -> None:
        """Opens what depends on this record, if what it depends on has changed. A deleted party takes its deals along."""
        run = self.run
        gone_party = isinstance(record, Gone) and record.kind == "party"
        if not (is_party(record) or gone_party):
            return
        if concerns_others(self.entry, passes_on, from_full_pass=bool(run.taken.body)):
            connection = run.services.connections[run.record.connection]
            capsule = run.services.capsule(run.record.connection)
            organisation = is_organisation(record) or (gone_party and self.entry is not None)
            opened = fan_out(run, connection, capsule, organisation=organisation)
            self.line["fan_out"] = opened

    def _conclude(
        self, outcome: Outcome, why: str, *, is_in: bool, applied: Applied | None, state: Mapping[str, Any]
    ) -> Conclusion:
        run, entry = self.run, self.entry
        now = run.taken.now_ms
        new = Entry(
            id=applied.id if applied else None,
            resource=applied.resource if applied else None,
            is_in=is_in,
            why=why,
            outcome=outcome,
            first_ms=entry.first_ms if entry else now,
            last_ms=now,
            wrote_ms=now if run.wrote else entry.wrote_ms if entry else None,
            wrote=dict(applied.wrote) if applied else {},
            state=dict(state),
        )
        return Conclusion(outcome=outcome, entry=new)


def _close(run: Run, conclusion: Conclusion, line: dict[str, Any]) -> None:
    services, taken = run.services, run.taken
    entry = services.ledger.seal(conclusion.entry) if conclusion.entry is not None else b""
    done = services.agenda.done(taken.record, taken.token, wrote=run.touched, entry=entry, outcome=conclusion.outcome)
    line |= {"end": conclusion.outcome if done.accepted else "refused", "waited_ms": done.waited_ms}
    services.breaker.succeeded(run)
    if done.closed and taken.lane == "live":
        services.counts.lag(taken.record.connection, done.waited_ms)
    services.counts.add("runs", taken.record.connection)


def _hand_back(run: Run, line: dict[str, Any], *, wait_ms: int, spend: bool, error: Exception | None = None) -> None:
    trouble = {"error": type(error).__name__, "text": str(error)[:TEXT_LENGTH]} if error is not None else None
    try:
        run.services.agenda.later(run.record, run.taken.token, wait_ms=wait_ms, spend=spend, touched=run.touched, trouble=trouble)
    except errors.QueueAway as away:
        line["unanswered"] = str(away)


def _fail(run: Run, error: Exception, line: dict[str, Any]) -> None:
    """Decides in one place whether the record is tried again, and hands it back or buries it."""
    services = run.services
    line |= {"error": type(error).__name__, "text": str(error)[:TEXT_LENGTH]}
    paused = services.breaker.failed(run, error)
    decision = services.again(error, run.taken.attempts)
    if decision is None and not paused:
        services.letters.bury(run, error, line)
        return
    wait_ms, spend = decision or (0, False)
    line |= {"end": "later", "wait_ms": wait_ms}
    _hand_back(run, line, wait_ms=0 if paused else wait_ms, spend=spend and not paused, error=error)
