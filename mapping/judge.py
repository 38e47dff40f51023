"""In or out, and why: the rules of a connection applied to one record (DESIGN.md §6).

`why` is one sentence for an operator, made of the rules' own words: never a name, an e-mail or another tag of the record.
Whoever wants to know how a verdict came about listens to its steps (`mapping.trace`); the last one is the verdict.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mapping.errors import UnreadableRecord
from mapping.records import Attached, Gone, Opportunity, Organisation, Party, Person
from mapping.trace import Step, unheard

if TYPE_CHECKING:
    from mapping.rules import Connection
    from mapping.tags import Term
    from mapping.trace import Heard


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a record is in, and one sentence why."""

    is_in: bool
    why: str


def judge_party(
    connection: Connection, party: Party | Gone, organisation: Organisation | None, *, heard: Heard = unheard
) -> Verdict:
    """Whether a person or an organisation is in.

    `organisation` is the person's, None if it has none or Capsule no longer shows it; it is not looked at for an
    organisation.

    Raises:
        UnreadableRecord: the record was read without its tags, which must not be taken for having none.
    """
    if isinstance(party, Gone) or party.restricted:
        return _absent(party, heard)
    is_in, why = _by_tags(connection, party, heard)
    if is_in or isinstance(party, Organisation):
        return _decided(party, "tags_to_sync", heard, is_in=is_in, why=why)
    if connection.tags.excludes(_tags(connection, party)) is not None:
        return _decided(party, "tags_to_sync", heard, is_in=False, why=why)
    heard(Step(_name(party), "tags_to_sync", "", why))
    return _through_organisation(connection, party, organisation, why=why, heard=heard)


def judge_opportunity(
    connection: Connection,
    opportunity: Opportunity | Gone,
    party: Party | Gone | None,
    organisation: Organisation | None,
    *,
    heard: Heard = unheard,
) -> Verdict:
    """Whether an opportunity is in: by the rule of its party, or of its party's organisation.

    Raises:
        UnreadableRecord: the party was read without its tags.
    """
    rule = "sync_opportunities"
    if not connection.sync_opportunities:
        return _decided(opportunity, rule, heard, is_in=False, why="sync_opportunities is off")
    if isinstance(opportunity, Gone) or opportunity.restricted:
        return _absent(opportunity, heard)
    if party is None or isinstance(party, Gone) or party.restricted:
        why = "its party is deleted in Capsule or hidden from the token's user"
        return _decided(opportunity, "capsule", heard, is_in=False, why=why)
    heard(Step(_name(opportunity), rule, "", "sync_opportunities is on, so its party decides"))
    return _by_party(connection, opportunity, party, organisation, rule=rule, heard=heard)


def _by_party(
    connection: Connection,
    record: Opportunity | Attached,
    party: Party,
    organisation: Organisation | None,
    *,
    rule: str,
    heard: Heard,
) -> Verdict:
    """What belongs to a party is in when that is, or its organisation."""
    own = judge_party(connection, party, organisation, heard=heard)
    if own.is_in:
        return _decided(record, rule, heard, is_in=True, why=f"its party is in: {own.why}")
    if isinstance(party, Person) and organisation is not None and not organisation.restricted:
        other = judge_party(connection, organisation, None, heard=heard)
        if other.is_in:
            return _decided(record, rule, heard, is_in=True, why=f"the organisation of its party is in: {other.why}")
    return _decided(record, rule, heard, is_in=False, why=f"its party is out: {own.why}")


def judge_attached(
    connection: Connection,
    record: Attached | Gone,
    party: Party | Gone | None,
    organisation: Organisation | None,
    *,
    heard: Heard = unheard,
) -> Verdict:
    """Whether a kase, task, user or entry is in: users always, all of them without `tags_to_sync`, else as an opportunity is.

    Raises:
        UnreadableRecord: the party was read without its tags.
    """
    rule = "tags_to_sync"
    if isinstance(record, Gone) or record.restricted:
        return _absent(record, heard)
    if record.kind == "user":
        return _decided(record, rule, heard, is_in=True, why="users are always in")
    if not needs_party(connection, record):
        return _decided(record, rule, heard, is_in=True, why="tags_to_sync is empty, so everything is in")
    if party is None or isinstance(party, Gone) or party.restricted:
        why = "it belongs to no party that Capsule shows us, and tags_to_sync is not empty"
        return _decided(record, "capsule", heard, is_in=False, why=why)
    return _by_party(connection, record, party, organisation, rule=rule, heard=heard)


def needs_party(connection: Connection, record: Attached) -> bool:
    """Whether the verdict on such a record rests on its party, which otherwise need not be read."""
    return record.kind != "user" and bool(connection.tags.terms)


def _through_organisation(
    connection: Connection, person: Person, organisation: Organisation | None, *, why: str, heard: Heard
) -> Verdict:
    """A person whose own tags do not let it in (`why`), but do not exclude it either."""
    rule = "sync_untagged_contacts"
    if not connection.sync_untagged_contacts:
        return _decided(person, rule, heard, is_in=False, why=f"{why}, and sync_untagged_contacts is off")
    if person.organisation_id is None:
        return _decided(person, rule, heard, is_in=False, why=f"{why}, and it has no organisation")
    if organisation is None or organisation.restricted:
        why = f"{why}, and its organisation is deleted in Capsule or hidden from the token's user"
        return _decided(person, rule, heard, is_in=False, why=why)
    heard(Step(_name(person), rule, "", "sync_untagged_contacts is on, so its organisation decides"))
    other = judge_party(connection, organisation, None, heard=heard)
    if other.is_in:
        return _decided(person, rule, heard, is_in=True, why=f"its organisation is in: {other.why}")
    return _decided(person, rule, heard, is_in=False, why=f"{why}, and its organisation is out: {other.why}")


def _by_tags(connection: Connection, party: Party, heard: Heard) -> tuple[bool, str]:
    """What `tags_to_sync` says, each of its terms told as it is asked."""

    def asked(term: Term, holds: bool) -> None:
        excludes = "keeps out: " if term.excludes else ""
        text = f"{excludes}{term.describe()}: {'yes' if holds else 'no'}"
        heard(Step(_name(party), "tags_to_sync", "", text))

    # No words are made where nobody hears them.
    tags = _tags(connection, party)
    return connection.tags.judge(tags) if heard is unheard else connection.tags.judge(tags, asked)


def _tags(connection: Connection, party: Party) -> tuple[str, ...]:
    if party.tags is None:
        if not connection.tags.terms:
            return ()
        raise UnreadableRecord(f"party {party.id} was read without its tags, so it cannot be judged")
    return party.tags


def _absent(record: Party | Opportunity | Attached | Gone, heard: Heard) -> Verdict:
    why = "it is hidden from the token's user in Capsule" if record.restricted else "it was deleted in Capsule"
    return _decided(record, "capsule", heard, is_in=False, why=why)


def _decided(record: Party | Opportunity | Attached | Gone, rule: str, heard: Heard, *, is_in: bool, why: str) -> Verdict:
    """The verdict on a record; it is also the last step that is told of it."""
    heard(Step(_name(record), rule, "in" if is_in else "out", why))
    return Verdict(is_in, why)


def _name(record: Party | Opportunity | Attached | Gone) -> str:
    kind = record.kind if isinstance(record, Attached | Gone) else type(record).__name__.lower()
    return f"{kind} {record.id}"
