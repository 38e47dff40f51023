"""What a change of one record concerns besides the record itself, opened before its run ends (agenda.md §9.2).

A person is judged by its organisation, an opportunity by its party. So when a party comes in or leaves, or when what others
inherit from it changes, those are opened to be judged again. It happens *before* `done`: a crash between the two repeats
the fan-out, one after `done` would lose it. Whether it is needed is judged from Capsule as read now and from the ledger
entry as it was before this run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mapping.agenda import RecordKey
from mapping.records import Organisation, Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.rules import Connection
    from workers.capsule.client import Capsule
    from workers.flows.run import Run
    from workers.ledger import Entry

PASSES_ON = "passes_on"


def concerns_others(entry: Entry | None, passes_on: Mapping[str, Any], *, from_full_pass: bool) -> bool:
    """Whether what others depend on is different from when this record was last in step.

    A record that was never looked at concerns others only if it is in. In a full pass it does not: the pass opens every
    record itself, and asking for the people of each organisation would cost one call for each.
    """
    if entry is None or PASSES_ON not in entry.state:
        return bool(passes_on.get("in")) and not from_full_pass
    return dict(entry.state[PASSES_ON]) != dict(passes_on)


def fan_out(run: Run, connection: Connection, capsule: Capsule, *, organisation: bool) -> int:
    """Opens the people of an organisation and the opportunities of a party.

    Returns:
        How many records were opened.
    """
    name, party_id = run.record.connection, run.record.id
    opened = 0
    if organisation:
        for page in capsule.people_of(party_id, lane=run.lane, alive=run.alive):
            people = [RecordKey(name, "party", body["id"]) for body in page]
            opened += run.services.agenda.open(people, lane="live", why="finding")
    if connection.sync_opportunities:
        for page in capsule.opportunities_of(party_id, lane=run.lane, alive=run.alive):
            deals = [RecordKey(name, "opportunity", body["id"]) for body in page]
            opened += run.services.agenda.open(deals, lane="live", why="finding")
    return opened


def is_organisation(record: object) -> bool:
    """Whether a Capsule record is one that people belong to."""
    return isinstance(record, Organisation)


def is_party(record: object) -> bool:
    """Whether a Capsule record is one that opportunities belong to."""
    return isinstance(record, Organisation | Person)
