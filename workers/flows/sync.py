"""The heart: brings one record in step. Event, reconcile, replay and first sync all end here.

Read the record as it is now, judge it by the rules, work out what the downstream should hold, see what it holds, remove
the difference, note it in the ledger. Doing it twice changes nothing.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.drift import ACCOUNT, NO_ACCOUNT, PASSES_ON, account, agrees
from mapping.errors import MappingError
from mapping.plan import Held, Waits
from mapping.records import Gone, Organisation, Person
from workers import errors, tracing
from workers.flows.fanout import GONE, concerns_others, fan_out, passes_on, rests_on
from workers.flows.read import read_subject
from workers.flows.run import Run
from workers.flows.upsert import Applied, Upsert, WaitForWindow
from workers.ledger import Entry

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mapping.plan import Note
    from mapping.rules import Connection
    from workers.agenda import Taken
    from workers.downstream.port import Downstream, Leaving, Subject
    from workers.ledger import Known, Outcome
    from workers.services import Services

NOTES: Final = "notes"
# Live writes of one record lie at least so far apart, so that a hundred edits within a second are two writes.
QUIET_MS: Final = 1_000
WAIT_FOR_OTHER_MS: Final = (2_000, 60_000)
# Each wait is a quarter of the record's age: the age counts an outage too, and nobody should wait for as long again after it.
WAITS_OF_AN_AGE: Final = 4
TEXT_LENGTH: Final = 500


@dataclass(frozen=True, slots=True)
class Conclusion:
    """How a run ends when nothing went wrong. `entry` is None for a record that there is nothing to remember of."""

    outcome: Outcome
    entry: Entry | None


class WaitForOther(Exception):
    """Not a failure: another record must be in step first, and has been opened."""

    def __init__(self, other: RecordKey, text: str) -> None:
        super().__init__(text)
        self.other = other


class WaitForQuiet(Exception):
    """Not a failure: this record was written a moment ago, and more of the same burst may be on its way."""

    def __init__(self, wait_ms: int) -> None:
        super().__init__(f"written less than {QUIET_MS} ms ago")
        self.wait_ms = wait_ms


def synchronise(services: Services, taken: Taken) -> None:
    """Works on one leased record until it is done, handed back or buried. Never raises what a record can cause."""
    record = taken.record.pack()
    with tracing.work("record", follows=taken.trace, record=record, lane=taken.lane, attempt=taken.attempts + 1) as work:
        line = _synchronise(services, taken)
        work.tell(**{name: line[name] for name in ("end", "plan", "writes", "held", "waited_ms") if name in line})
        if "error" in line:
            work.failed(line["error"])


def _synchronise(services: Services, taken: Taken) -> dict[str, Any]:
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
        _wait(run, line, wait_ms=max(0, pause.due_ms - taken.now_ms))
    except WaitForQuiet as pause:
        line["end"] = "waits for quiet"
        _wait(run, line, wait_ms=pause.wait_ms)
    except WaitForOther as pause:
        line |= {"end": "waits for another", "other": pause.other.pack()}
        shortest, longest = WAIT_FOR_OTHER_MS
        wait_ms = min(max((taken.now_ms - taken.opened_ms) // WAITS_OF_AN_AGE, shortest), longest)
        _wait(run, line, wait_ms=wait_ms, why=pause)
    except (errors.WorkerError, MappingError) as error:
        _fail(run, error, line)
    except Exception as bug:
        # Whatever it is, the record must not be lost: it is tried again, and in the end becomes a letter.
        services.log.exception("bug", record=taken.record.pack(), kind=type(bug).__name__)
        _fail(run, errors.Temporary(f"{type(bug).__name__} in our own code; see the log."), line)
    services.log.info("record", **line, ms=round((time.monotonic() - began) * 1000))
    return line


def bring_in_step(run: Run, line: dict[str, Any]) -> Conclusion:
    """Everything between `take` and `done`. Fills `line`, the wide log line of this unit of work."""
    services, record = run.services, run.record
    connection = services.connections.get(record.connection)
    if connection is None:
        # The receiver takes a new connection over at once, a worker only with a restart: no event may be given up meanwhile.
        raise errors.Temporary(
            f"{record.pack()}: this worker does not know the connection {record.connection}.",
            advice="Restart the workers if it is new in relay.toml; if it was taken out, discard the letter.",
        )
    downstream, capsule = services.downstream(record.connection), services.capsule(record.connection)
    if record.kind not in downstream.kinds:
        return Conclusion(outcome="out", entry=None)
    if run.lane == "bulk":
        # Asked before Capsule is read, so that a long wait for a write slot costs no call.
        run.wait(downstream.room("bulk"), system=downstream.name)
    known = services.ledger.known(record)
    if run.lane == "live":
        _let_burst_pass(run, known.entry)
    case = Case(run, connection, downstream, known, line)
    subject = read_subject(run, connection, capsule)
    if isinstance(subject, Gone):
        why = "It is hidden from our Capsule user." if subject.restricted else "It was deleted in Capsule."
        return case.release(why, "gone", subject, GONE)
    line["in"], line["why"] = subject.verdict.is_in, subject.verdict.why
    case.subject = subject
    if (held := case.agree(subject)) is not None:
        return case.hold(subject, held)
    now = passes_on(connection, downstream, subject)
    if why := _left_out(downstream, subject):
        return case.release(why, "out", subject.record, now)
    wanted = downstream.wanted(subject, alive=run.alive)
    if isinstance(wanted, Waits):
        other = RecordKey(record.connection, wanted.kind, wanted.id)
        wanted = case.wait_or_hold(other, services.ledger.known(other), wanted.text)
    applied = wanted if isinstance(wanted, Held) else case.upsert.apply(subject, wanted)
    if isinstance(applied, Held):
        return case.hold(subject, applied)
    return case.in_step(subject, applied)


def _left_out(downstream: Downstream, subject: Subject) -> str:
    """Why nothing of it goes downstream: by the rules, or because it takes none of its kind; empty when it goes."""
    return downstream.declines(subject) if subject.verdict.is_in else subject.verdict.why


def _let_burst_pass(run: Run, entry: Entry | None) -> None:
    """Before Capsule is read: what is read after the wait holds all edits of the burst.

    Raises:
        WaitForQuiet: this record was written a moment ago.
    """
    if entry is not None and entry.wrote_ms is not None and run.taken.now_ms < entry.wrote_ms + QUIET_MS:
        raise WaitForQuiet(entry.wrote_ms + QUIET_MS - run.taken.now_ms)


class Case:
    """One record under judgement: what the ledger says of it, and the ways in which its run may end."""

    def __init__(self, run: Run, connection: Connection, downstream: Downstream, known: Known, line: dict[str, Any]) -> None:
        self.run = run
        self.connection = connection
        self.downstream = downstream
        self.entry = known.entry
        self.letter = known.letter
        self.line = line
        self.subject: Subject | None = None
        self.rests: dict[str, tuple[Mapping[str, Any], str | None]] = {}
        self.upsert = Upsert(run, downstream, known.entry, line)

    def in_step(self, subject: Subject, applied: Applied) -> Conclusion:
        """The downstream holds what it should."""
        now = passes_on(self.connection, self.downstream, subject)
        self._tell_others(subject.record, now, linked=True)
        state = {PASSES_ON: now, NOTES: self._told(applied.notes)}
        return self._conclude("in_step", subject.verdict.why, is_in=True, applied=applied, state=state)

    def hold(self, subject: Subject, held: Held) -> Conclusion:
        """A person must decide something. Not an error: shown with its reason, tried again when record or rules change."""
        self.line["held"] = held.code
        now = passes_on(self.connection, self.downstream, subject)
        self._tell_others(subject.record, now, linked=False, held=True)
        state = {PASSES_ON: now, "held": [held.code, held.text]}
        return self._conclude("held", subject.verdict.why, is_in=subject.verdict.is_in, applied=self._there(), state=state)

    def release(self, why: str, outcome: Outcome, record: object, now: Mapping[str, Any]) -> Conclusion:
        """The record is not in any more, or never was. What is downstream stays, but for what `on_gone` asks."""
        there = self._there() or self.upsert.find_unanswered()
        if outcome == "gone" and self.entry is None and there is None:
            # Nothing was ever known of it: whoever sends us made-up ids must not fill the ledger.
            return Conclusion(outcome, None)
        self._tell_others(record, now, linked=False)
        if there is not None:
            hidden = isinstance(record, Gone) and record.restricted
            leaving: Leaving = "restricted" if hidden else "deleted" if outcome == "gone" else "out"
            wanted = self.downstream.released(there.resource, there.wrote, why=leaving)
            if wanted is not None:
                there = self.upsert.release(there.resource, there.id, wanted)
        state = {PASSES_ON: dict(now), NOTES: self._told(there.notes if there is not None else ())}
        return self._conclude(outcome, why, is_in=False, applied=there, state=state)

    def agree(self, subject: Subject) -> Held | None:
        """Makes sure that what this record rests on is known to us as it is in Capsule now (`fanout.agrees`).

        Raises:
            WaitForOther: it is not, and is being judged anew.
        """
        for other, seen in rests_on(self.connection, self.downstream, subject):
            known = self.run.services.ledger.known(other)
            self.rests[other.field] = (seen, known.entry.id if known.entry is not None else None)
            if not agrees(known.entry, seen):
                # Its being held is no reason to be held with it: what it was held for is not what Capsule shows now.
                return self.wait_or_hold(other, known, "what it rests on is being judged anew", or_held=False)
        return None

    def wait_or_hold(self, other: RecordKey, known: Known, text: str, *, or_held: bool = True) -> Held:
        """The other record is opened and waited for; if a person must act on it first, this one is held with it.

        Only if the other is not open: a run of it may be about to close its letter or to end its being held, and it has
        opened us, if it has, before its end (model: guards `fanout_letter` and `held_closed`).

        Raises:
            WaitForOther: the other record is on its way.
        """
        if known.place is None:
            if known.letter:
                return Held("other_dead", f"{text}: {other.kind} {other.id} is a dead letter")
            if or_held and known.entry is not None and "held" in known.entry.state:
                return Held("other_held", f"{text}: {other.kind} {other.id} is held, {known.entry.state['held'][1]}")
        # One that waits for a time of its own is left to it: brought forward by everybody who rests on it, it would spend
        # its attempts in no time, and a held one would go round with them.
        if known.place is None or (known.place == "bulk" and self.run.lane == "live"):
            self.run.services.agenda.open([other], lane=self.run.lane, why="finding")
        raise WaitForOther(other, text)

    def _told(self, notes: Sequence[Note]) -> list[list[str]]:
        """What the downstream does not let us do, as the ledger keeps it; logged the first time for this record."""
        known = {tuple(note) for note in (self.entry.state.get(NOTES, []) if self.entry is not None else [])}
        for note in notes:
            if (note.code, note.text) not in known:
                self.run.services.log.info("note", record=self.run.record.pack(), code=note.code)
        return [[note.code, note.text] for note in notes]

    def _there(self) -> Applied | None:
        """What the ledger says is there, if this record was ever written."""
        entry = self.entry
        if entry is None or entry.id is None or entry.resource is None:
            return None
        return Applied(id=entry.id, resource=entry.resource, wrote=entry.wrote, notes=())

    def _tell_others(self, record: object, now: Mapping[str, Any], *, linked: bool, held: bool = False) -> None:
        """Opens what rests on this record, if what it passes on has changed. A party that is gone takes its deals along.

        Also when it ceases to be held or a dead letter, since others are held with it.
        """
        run = self.run
        gone_party = isinstance(record, Gone) and record.kind == "party"
        if not (gone_party or isinstance(record, Organisation | Person)):
            return
        freed = self.letter or (self.entry is not None and self.entry.outcome == "held" and not held)
        if freed or concerns_others(self.entry, now, linked=linked, from_full_pass=run.first_pass):
            capsule = run.services.capsule(run.record.connection)
            organisation = gone_party or isinstance(record, Organisation)
            self.line["fan_out"] = fan_out(run, self.connection, capsule, organisation=organisation, kinds=self.downstream.kinds)

    def _conclude(
        self, outcome: Outcome, why: str, *, is_in: bool, applied: Applied | None, state: Mapping[str, Any]
    ) -> Conclusion:
        run, entry = self.run, self.entry
        now = run.taken.now_ms
        subject = self.subject
        accounted = account(self.connection, subject.record, self.rests) if subject is not None else NO_ACCOUNT
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
            state={**state, ACCOUNT: accounted},
        )
        return Conclusion(outcome=outcome, entry=new)


def _close(run: Run, conclusion: Conclusion, line: dict[str, Any]) -> None:
    services, taken = run.services, run.taken
    entry = services.ledger.seal(conclusion.entry) if conclusion.entry is not None else b""
    held = conclusion.entry.held if conclusion.entry is not None else ""
    done = services.agenda.done(taken.record, taken.token, wrote=run.touched, entry=entry, outcome=conclusion.outcome, held=held)
    line |= {"end": conclusion.outcome if done.accepted else "refused", "waited_ms": done.waited_ms}
    if done.closed and taken.lane == "live":
        services.counts.lag(taken.record.connection, done.waited_ms)
    services.counts.add("runs", taken.record.connection)
    services.breaker.ended(run)


def _wait(run: Run, line: dict[str, Any], *, wait_ms: int, why: Exception | None = None) -> None:
    """Hands back a record that has nothing to do but to wait."""
    _hand_back(run, line, wait_ms=wait_ms, spend=False, error=why)
    run.services.breaker.ended(run)


def _hand_back(run: Run, line: dict[str, Any], *, wait_ms: int, spend: bool, error: Exception | None = None) -> None:
    trouble = {"error": type(error).__name__, "text": str(error)[:TEXT_LENGTH]} if error is not None else None
    try:
        run.services.agenda.later(
            run.record,
            run.taken.token,
            wait_ms=wait_ms,
            spend=spend,
            touched=run.touched,
            trouble=trouble,
            # Nothing has failed: what a reconcile has read is as good as before, and need not be read again.
            unused=b"" if spend else run.taken.body,
        )
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
        # It was refused, or is of no use: neither says that a system is down.
        services.breaker.ended(run)
        return
    wait_ms, spend = decision or (0, False)
    line |= {"end": "later", "wait_ms": wait_ms}
    _hand_back(run, line, wait_ms=0 if paused else wait_ms, spend=spend and not paused, error=error)
