"""Why is this record as it is? What Capsule holds, each rule's verdict, what would be written and why, what waits.

Nothing is decided here. The record goes through the very run that a worker would make of it (`flows.sync`), with objects in
place of those that write, as in a dry run; what passes by is noted. So the explanation cannot say anything else than what a
run would do. Nothing is written anywhere; calls are counted in the shared limits, and a token that has run out is fetched.

The result holds personal data, for the person who asked: it is shown and never logged.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from mapping import links
from mapping.errors import MappingError
from mapping.judge import judge_attached, judge_opportunity, judge_party
from mapping.plan import Held, Wanted
from mapping.records import Attached, Gone, Opportunity, Person
from workers.agenda import Taken
from workers.counts import Counts
from workers.errors import Misconfigured, QueueAway, WorkerError
from workers.flows.explain_taps import CapsuleTap, DownstreamTap
from workers.flows.explanation import Call, Difference, Explanation, Field, answer_of, state_of
from workers.flows.read import read_subject
from workers.flows.rehearse import FAR_MS, CollectingAgenda
from workers.flows.run import Run
from workers.flows.sync import QUIET_MS, WaitForOther, bring_in_step
from workers.standing import standing_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.agenda import RecordKey
    from mapping.rules import Connection
    from mapping.trace import Step
    from workers.agenda import Agenda
    from workers.capsule.client import Capsule
    from workers.downstream.port import Downstream, Subject
    from workers.ledger import Entry
    from workers.letters import Letter
    from workers.services import Services
    from workers.standing import Standing


def explain(services: Services, record: RecordKey) -> Explanation:
    """Explains one record; reads Redis, Capsule and the downstream, and writes nothing.

    A side that cannot be asked leaves its part empty and stands in `unasked`.

    Raises:
        Misconfigured: there is no such connection, or its credentials are not set.
        QueueAway: Redis did not answer.
    """
    connection = services.connections.get(record.connection)
    if connection is None:
        raise Misconfigured(f"{record.connection} is not in relay.toml.", advice="Give the name of a connection that is there.")
    standing = standing_of(services.redis, record)
    entry = services.ledger.get(record)
    letter = services.letters.of_record(record)
    stage = _Stage(services, connection, record)
    stage.play()
    return _told(stage, connection, standing=standing, entry=entry, letter=letter)


class _Stage:
    """One run of the record that writes nothing, and what passed by in it."""

    def __init__(self, services: Services, connection: Connection, record: RecordKey) -> None:
        name = record.connection
        self.record = record
        self.connection = connection
        looking = replace(
            services,
            agenda=cast("Agenda", _LookingAgenda(services)),
            counts=Counts(services.redis),  # never flushed
            rehearsal=True,
            _sign_ins={},
            _capsules={},
            _downstreams={},
        )
        self.capsule = CapsuleTap(looking.capsule(name))
        self.downstream = DownstreamTap(looking.downstream(name))
        self.services = replace(
            looking,
            _capsules={name: cast("Capsule", self.capsule)},
            _downstreams={name: cast("Downstream", self.downstream)},
        )
        self.subject: Subject | Gone | None = None
        self.steps: list[Step] = []
        self.waits_for: tuple[RecordKey, str] | None = None
        self.held: Held | None = None
        self.notes: tuple[str, ...] = ()
        self.unasked: dict[str, str] = {}
        self.concluded = ""

    def play(self) -> None:
        """Reads and judges, then makes the run; what stops it is noted."""
        capsule = cast("Capsule", self.capsule)
        try:
            self.subject = read_subject(self._run(), self.connection, capsule)
            self._trace(self.subject)
        except QueueAway:
            raise
        except (WorkerError, MappingError) as error:
            self.unasked["capsule"] = _words(error)
            return
        try:
            conclusion = bring_in_step(self._run(), {})
            self.concluded = conclusion.outcome
            state = conclusion.entry.state if conclusion.entry is not None else {}
            if "held" in state:
                self.held = Held(*state["held"])
            self.notes = tuple(text for _, text in state.get("notes", []))
        except WaitForOther as pause:
            self.waits_for = (pause.other, str(pause))
            self._body()
        except QueueAway:
            raise
        except (WorkerError, MappingError) as error:
            self.unasked[getattr(error, "system", "") or self.downstream.name] = _words(error)

    def _run(self) -> Run:
        # As after a doubt, so that a downstream that can be asked is read and not the ledger believed; and not within a burst.
        now = self.services.agenda.hello() + QUIET_MS
        return Run(
            self.services,
            Taken(
                self.record,
                "",
                b"",
                0,
                int(self.downstream.can_be_asked),
                now,
                FAR_MS,
                now,
                "live",
                probing=False,
                seq=0,
                sent=frozenset(),
            ),
        )

    def _body(self) -> None:
        """The body of a record that waits for another, where it can be told."""
        if self.downstream.wanted_ is None and not isinstance(self.subject, Gone) and self.subject is not None:
            try:
                if self.subject.verdict.is_in:
                    self.downstream.wanted(self.subject, alive=_nothing)
            except QueueAway:
                raise
            except (WorkerError, MappingError) as error:
                self.unasked[getattr(error, "system", "") or self.downstream.name] = _words(error)

    def _trace(self, subject: Subject | Gone) -> None:
        """The steps of the verdict: the same pure functions on the same records as in `read_subject`."""
        hear = self.steps.append
        if isinstance(subject, Gone):
            judge = judge_opportunity if subject.kind == "opportunity" else None
            if judge is None:
                judge_party(self.connection, subject, None, heard=hear)
            else:
                judge(self.connection, subject, None, None, heard=hear)
        elif isinstance(subject.record, Attached):
            judge_attached(self.connection, subject.record, subject.party, subject.organisation, heard=hear)
        elif isinstance(subject.record, Opportunity):
            judge_opportunity(self.connection, subject.record, subject.party, subject.organisation, heard=hear)
        else:
            organisation = subject.organisation if isinstance(subject.record, Person) else None
            judge_party(self.connection, subject.record, organisation, heard=hear)


class _LookingAgenda(CollectingAgenda):
    """Also pauses nothing: a sign-in that is lost is told, and left to those who work."""

    def __init__(self, services: Services) -> None:
        super().__init__(services)
        self.client = services.redis

    def pause(self, connection: str, *, reason: str, until_ms: int | None = None, probe_every_ms: int = 0) -> None:
        """Nothing."""

    def resume(self, connection: str) -> bool:  # noqa: ARG002 - as the agenda's
        """Nothing."""
        return False


def _told(
    stage: _Stage, connection: Connection, *, standing: Standing, entry: Entry | None, letter: Letter | None
) -> Explanation:
    subject, tap, record = stage.subject, stage.downstream, stage.record
    wanted = tap.wanted_ if isinstance(tap.wanted_, Wanted) else None
    there_id = tap.there_id or (entry.id if entry is not None else None)
    resource = wanted.resource if wanted is not None else entry.resource if entry is not None and entry.resource else ""
    is_in, why = None, ""
    if isinstance(subject, Gone):
        is_in, why = False, stage.steps[-1].text
    elif subject is not None:
        is_in, why = subject.verdict.is_in, subject.verdict.why
    told = Explanation(
        record=record,
        state="",
        answer="",
        capsule=stage.capsule.seen.get((record.kind, record.id)),
        steps=tuple(stage.steps),
        is_in=is_in,
        why=why,
        resource=resource,
        body=_body_of(wanted),
        notes=stage.notes or (tuple(note.text for note in wanted.notes) if wanted is not None else ()),
        held=(stage.held.code, stage.held.text) if stage.held is not None else None,
        waits_for=stage.waits_for,
        downstream_id=there_id,
        there=tap.there,
        differences=_differences(tap),
        calls=tuple(
            Call(str(getattr(one, "method", "")), str(getattr(one, "path", "")), tuple(getattr(one, "covers", ())))
            for one in tap.calls
        ),
        entry=entry,
        standing=standing,
        letter=letter,
        links=_links(stage, connection, resource, there_id),
        unasked=stage.unasked,
    )
    state = state_of(told, gone=isinstance(subject, Gone))
    return replace(told, state=state, answer=answer_of(told, state, stage.downstream.name))


def _body_of(wanted: Wanted | None) -> tuple[Field, ...]:
    if wanted is None:
        return ()
    both = [(name, value, "always") for name, value in wanted.fields.items()]
    both += [(name, value, "creating") for name, value in wanted.initial.items() if name not in wanted.fields]
    nowhere = "worked out by the mapping"
    return tuple(
        Field(name, value, wanted.sources[name].text if name in wanted.sources else nowhere, when) for name, value, when in both
    )


def _differences(tap: DownstreamTap) -> tuple[Difference, ...]:
    there = tap.there or {}
    if tap.plan is None or tap.there is None:
        return ()
    changed: Mapping[str, Any] = getattr(tap.plan, "changed", {})
    stuck: Mapping[str, Any] = getattr(tap.plan, "stuck", {})
    found = [Difference(name, there.get(name), value) for name, value in changed.items()]
    return (*found, *(Difference(name, there.get(name), value, stuck=True) for name, value in stuck.items()))


def _links(stage: _Stage, connection: Connection, resource: str, there_id: str | None) -> dict[str, str]:
    record = stage.record
    found = {"capsule_api": links.capsule_api(connection, record.kind, record.id)}
    if "capsule" not in stage.unasked:
        try:
            site = stage.capsule.site()
        except (WorkerError, MappingError):
            site = ""  # the address of the API is left
        if site:
            found["capsule"] = links.capsule_page(site, record.kind, record.id)
    address = links.downstream_api(connection, resource, there_id) if there_id else None
    return found | ({f"{stage.downstream.name}_api": address} if address else {})


def _words(error: Exception) -> str:
    advice = error.advice if isinstance(error, WorkerError) else "Look at the record in Capsule."
    return f"{str(error).rstrip('.')}. {advice}"


def _nothing() -> None:
    """No lease is held."""
