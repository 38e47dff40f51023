"""In or out, and why: the rules of a connection applied to one record (DESIGN.md §6).

`why` is one sentence for an operator, made of the rules' own words: never a name, an e-mail or another tag of the record.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mapping.errors import UnreadableRecord
from mapping.records import Gone, Opportunity, Organisation, Party, Person

if TYPE_CHECKING:
    from mapping.rules import Connection


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a record is in, and one sentence why."""

    is_in: bool
    why: str


def judge_party(connection: Connection, party: Party | Gone, organisation: Organisation | None) -> Verdict:
    """Whether a person or an organisation is in.

    `organisation` is the person's, None if it has none or Capsule no longer shows it; it is not looked at for an
    organisation.

    Raises:
        UnreadableRecord: the record was read without its tags, which must not be taken for having none.
    """
    if isinstance(party, Gone) or party.restricted:
        return _absent(party)
    is_in, why = connection.tags.judge(_tags(connection, party))
    if is_in or isinstance(party, Organisation):
        return Verdict(is_in, why)
    if connection.tags.excludes(_tags(connection, party)) is not None:
        return Verdict(is_in=False, why=why)
    return _through_organisation(connection, party, organisation, why)


def judge_opportunity(
    connection: Connection, opportunity: Opportunity | Gone, party: Party | Gone | None, organisation: Organisation | None
) -> Verdict:
    """Whether an opportunity is in: by the rule of its party, or of its party's organisation.

    Raises:
        UnreadableRecord: the party was read without its tags.
    """
    if not connection.sync_opportunities:
        return Verdict(is_in=False, why="sync_opportunities is off")
    if isinstance(opportunity, Gone) or opportunity.restricted:
        return _absent(opportunity)
    if party is None or isinstance(party, Gone) or party.restricted:
        return Verdict(is_in=False, why="its party is deleted in Capsule or hidden from the token's user")
    own = judge_party(connection, party, organisation)
    if own.is_in:
        return Verdict(is_in=True, why=f"its party is in: {own.why}")
    if isinstance(party, Person) and organisation is not None and not organisation.restricted:
        other = judge_party(connection, organisation, None)
        if other.is_in:
            return Verdict(is_in=True, why=f"the organisation of its party is in: {other.why}")
    return Verdict(is_in=False, why=f"its party is out: {own.why}")


def _through_organisation(connection: Connection, person: Person, organisation: Organisation | None, why: str) -> Verdict:
    """A person whose own tags do not let it in (`why`), but do not exclude it either."""
    if not connection.sync_untagged_contacts:
        return Verdict(is_in=False, why=f"{why}, and sync_untagged_contacts is off")
    if person.organisation_id is None:
        return Verdict(is_in=False, why=f"{why}, and it has no organisation")
    if organisation is None or organisation.restricted:
        return Verdict(is_in=False, why=f"{why}, and its organisation is deleted in Capsule or hidden from the token's user")
    other = judge_party(connection, organisation, None)
    if other.is_in:
        return Verdict(is_in=True, why=f"its organisation is in: {other.why}")
    return Verdict(is_in=False, why=f"{why}, and its organisation is out: {other.why}")


def _tags(connection: Connection, party: Party) -> tuple[str, ...]:
    if party.tags is None:
        if not connection.tags.terms:
            return ()
        raise UnreadableRecord(f"party {party.id} was read without its tags, so it cannot be judged")
    return party.tags


def _absent(record: Party | Opportunity | Gone) -> Verdict:
    if record.restricted:
        return Verdict(is_in=False, why="it is hidden from the token's user in Capsule")
    return Verdict(is_in=False, why="it was deleted in Capsule")
