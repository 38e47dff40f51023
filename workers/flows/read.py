"""Reads a record of Capsule as it is now, with everything that its verdict rests on."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mapping.capsule import attached as attached_of
from mapping.capsule import opportunity as opportunity_of
from mapping.capsule import party as party_of
from mapping.judge import judge_attached, judge_opportunity, judge_party, needs_party
from mapping.records import Attached, Gone, Organisation, Person
from workers.downstream.port import Subject

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.rules import Connection
    from workers.capsule.client import Capsule
    from workers.flows.run import Run


def read_subject(run: Run, connection: Connection, capsule: Capsule) -> Subject | Gone:
    """What Capsule holds: from the snapshot that a reconcile handed on, else by a read that begins now.

    Raises:
        Temporary, Permanent: from the client.
        UnreadableRecord: Capsule's answer has not the shape of a record.
    """
    body: Mapping[str, Any] | None
    kind, number = run.record.kind, run.record.id
    if run.taken.body:
        # No call was made, so nothing is said of whether Capsule answers.
        handed_on = run.services.vault.open(run.taken.body)
        body, run.first_pass = handed_on["record"], bool(handed_on.get("first"))
    elif kind == "party":
        body = capsule.party(number, lane=run.lane, alive=run.alive)
        run.answered.add(capsule.name)
    elif kind == "opportunity":
        body = capsule.opportunity(number, lane=run.lane, alive=run.alive)
        run.answered.add(capsule.name)
    else:
        body = capsule.record(kind, number, lane=run.lane, alive=run.alive)
        run.answered.add(capsule.name)
    if body is None:
        return Gone(kind=kind, id=number, restricted=False)
    if kind not in ("party", "opportunity"):
        return _attached(run, connection, capsule, attached_of(kind, body))
    record = party_of(body) if kind == "party" else opportunity_of(body)
    if record.restricted:
        return Gone(kind=kind, id=number, restricted=True)
    if isinstance(record, Organisation):
        return Subject(key=run.record, record=record, verdict=judge_party(connection, record, None))
    if isinstance(record, Person):
        organisation, its_verdict = _organisation(run, connection, capsule, record)
        return Subject(
            key=run.record,
            record=record,
            verdict=judge_party(connection, record, organisation),
            organisation=organisation,
            organisation_in=its_verdict,
        )
    party = _party(run, capsule, record.party_id) if record.party_id is not None else None
    organisation, organisation_in = None, False
    if isinstance(party, Person):
        organisation, organisation_in = _organisation(run, connection, capsule, party)
    return Subject(
        key=run.record,
        record=record,
        verdict=judge_opportunity(connection, record, party, organisation),
        organisation=organisation,
        organisation_in=organisation_in,
        party=party,
    )


def _attached(run: Run, connection: Connection, capsule: Capsule, record: Attached) -> Subject | Gone:
    """A kase, task, user or entry. Its party is read only where the verdict rests on it."""
    if record.restricted:
        return Gone(kind=record.kind, id=record.id, restricted=True)
    party, organisation, organisation_in = None, None, False
    if needs_party(connection, record):
        number = record.party_id if record.party_id is not None else _party_through(run, capsule, record)
        party = _party(run, capsule, number) if number is not None else None
        if isinstance(party, Person):
            organisation, organisation_in = _organisation(run, connection, capsule, party)
    return Subject(
        key=run.record,
        record=record,
        verdict=judge_attached(connection, record, party, organisation),
        organisation=organisation,
        organisation_in=organisation_in,
        party=party,
    )


def _party_through(run: Run, capsule: Capsule, record: Attached) -> int | None:
    """The party of the opportunity or kase that a task or entry belongs to; None when there is none or it is hidden."""
    if record.through is None:
        return None
    kind, number = record.through
    read = capsule.opportunity if kind == "opportunity" else partial(capsule.record, kind)
    body = read(number, lane=run.lane, alive=run.alive)
    run.answered.add(capsule.name)
    party = body.get("party") if body is not None else None
    found = party.get("id") if isinstance(party, dict) else None
    return found if isinstance(found, int) else None


def _party(run: Run, capsule: Capsule, number: int) -> Person | Organisation | None:
    """A party that another record's verdict rests on; None when it is gone or hidden from us."""
    body = capsule.party(number, lane=run.lane, alive=run.alive)
    run.answered.add(capsule.name)
    if body is None:
        return None
    party = party_of(body)
    return None if party.restricted else party


def _organisation(run: Run, connection: Connection, capsule: Capsule, person: Person) -> tuple[Organisation | None, bool]:
    """A person's organisation and whether it is in.

    The one embedded in the person is used if its tags came with it (whether they do is not documented:
    reference/capsule.md §3.5); otherwise it is read. It is never taken from the ledger (agenda.md §9.2).
    """
    if person.organisation_id is None:
        return None, False
    organisation = person.organisation
    if organisation is None or organisation.tags is None:
        found = _party(run, capsule, person.organisation_id)
        organisation = found if isinstance(found, Organisation) else None
    if organisation is None or organisation.restricted:
        return None, False
    return organisation, judge_party(connection, organisation, None).is_in
