"""What rests on what: a person on its organisation, an opportunity on its party (agenda.md §9.2).

When a party comes in or leaves, or when what others take from it changes, those are opened to be judged again, *before* the
run's `done`: a crash between the two repeats the fan-out, one after `done` would lose it. Whether it is needed is judged
from Capsule as read now and from the ledger entry as it was before this run.

That alone has a hole, which the model shows (guard `fanout_agree`): an organisation that leaves and comes back between two
of its runs looks unchanged to itself, while a person was judged in between. So a record that reads its organisation
differently from what the organisation's own last run saw opens that one and waits for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from mapping.agenda import RecordKey
from mapping.drift import agrees
from mapping.judge import judge_party, needs_party
from mapping.records import Attached, Opportunity, Organisation, Person

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from mapping.rules import Connection
    from workers.capsule.client import Capsule
    from workers.downstream.port import Downstream, Subject
    from workers.flows.run import Run
    from workers.ledger import Entry

GONE: Final[Mapping[str, Any]] = {"in": False}


def passes_on(connection: Connection, downstream: Downstream, subject: Subject) -> Mapping[str, Any]:
    """What other records take from this one: for an organisation its people, for any party its opportunities."""
    record = subject.record
    if isinstance(record, Organisation):
        return _of_organisation(connection, downstream, record)
    if isinstance(record, Person):
        return {"in": subject.verdict.is_in, "organisation_in": subject.organisation_in}
    return {}


def rests_on(connection: Connection, downstream: Downstream, subject: Subject) -> Iterator[tuple[RecordKey, Mapping[str, Any]]]:
    """The records whose state this one is judged by, each with what was read of it just now."""
    record, name = subject.record, subject.key.connection
    if isinstance(record, Person) and record.organisation_id is not None:
        seen = GONE if subject.organisation is None else _of_organisation(connection, downstream, subject.organisation)
        yield RecordKey(name, "party", record.organisation_id), seen
    if isinstance(record, Attached):
        if subject.party is not None and needs_party(connection, record):
            yield _seen_of(connection, downstream, subject, subject.party.id)
    elif isinstance(record, Opportunity) and record.party_id is not None:
        yield _seen_of(connection, downstream, subject, record.party_id)


def _seen_of(
    connection: Connection, downstream: Downstream, subject: Subject, number: int
) -> tuple[RecordKey, Mapping[str, Any]]:
    """A record's party, and what was read of it."""
    party = subject.party
    if party is None:
        seen = GONE
    elif isinstance(party, Organisation):
        seen = _of_organisation(connection, downstream, party)
    else:
        verdict = judge_party(connection, party, subject.organisation)
        seen = {"in": verdict.is_in, "organisation_in": subject.organisation_in}
    return RecordKey(subject.key.connection, "party", number), seen


def concerns_others(entry: Entry | None, now: Mapping[str, Any], *, linked: bool, from_full_pass: bool) -> bool:
    """Whether what others take from this record is not what it was when they may have been judged.

    That is also so when it has just got its downstream id, since others may wait for that. A record that was never looked
    at concerns others only if it passes something on; in a full pass it does not: the pass opens every record itself, and
    asking for the people of each organisation would cost one call for each.
    """
    if entry is None:
        return not agrees(None, now) and not from_full_pass
    return not agrees(entry, now) or (linked and entry.id is None)


def fan_out(run: Run, connection: Connection, capsule: Capsule, *, organisation: bool, kinds: Collection[str]) -> int:
    """Opens the people of an organisation, and the opportunities and kases of a party where the downstream follows those.

    Capsule lists no tasks or entries of a party for all to read (reference/capsule.md §5.1): the passes judge those again.

    Returns:
        How many records were opened.
    """
    name, party_id = run.record.connection, run.record.id
    opened = 0
    if organisation:
        for page in capsule.people_of(party_id, lane=run.lane, alive=run.alive):
            people = [RecordKey(name, "party", body["id"]) for body in page]
            opened += run.services.agenda.open(people, lane=run.lane, why="finding")
    if connection.sync_opportunities:
        for page in capsule.opportunities_of(party_id, lane=run.lane, alive=run.alive):
            deals = [RecordKey(name, "opportunity", body["id"]) for body in page]
            opened += run.services.agenda.open(deals, lane=run.lane, why="finding")
    if "kase" in kinds and connection.tags.terms:
        for page in capsule.kases_of(party_id, lane=run.lane, alive=run.alive):
            kases = [RecordKey(name, "kase", body["id"]) for body in page]
            opened += run.services.agenda.open(kases, lane=run.lane, why="finding")
    return opened


def _of_organisation(connection: Connection, downstream: Downstream, organisation: Organisation) -> Mapping[str, Any]:
    return {"in": judge_party(connection, organisation, None).is_in, **downstream.inherited(organisation)}
