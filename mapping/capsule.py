"""Capsule's JSON -> our records (reference/capsule.md §4), read with the care of `mapping/body.py`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapping.body import as_table, decimal, integer, is_restricted, number_of, optional_table, rows, text
from mapping.errors import UnreadableRecord
from mapping.records import Attached, Milestone, Opportunity, Organisation, Party, Person, Website

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.values import Json


def party(body: object) -> Party:
    """A person or an organisation as Show, a list or a hook gives it.

    Raises:
        UnreadableRecord: it is not a party.
    """
    table = as_table(body, "a party")
    kind = table.get("type")
    if kind == "person":
        return _person(table)
    if kind == "organisation":
        return _organisation(table)
    raise UnreadableRecord("a party's `type` is neither person nor organisation")


def opportunity(body: object) -> Opportunity:
    """An opportunity as Show, a list or a hook gives it.

    Raises:
        UnreadableRecord: it is not an opportunity.
    """
    table = as_table(body, "an opportunity")
    number = number_of(table, "an opportunity")
    restricted = is_restricted(table)
    where = f"opportunity {number}"
    owner = optional_table(table, "party", where)
    milestone_ = optional_table(table, "milestone", where)
    value = optional_table(table, "value", where)
    if not restricted and (owner is None or milestone_ is None):
        raise UnreadableRecord(f"{where} has no `party` or no `milestone`")
    return Opportunity(
        id=number,
        name="" if restricted else text(table, "name", where),
        party_id=None if owner is None else number_of(owner, f"the party of {where}"),
        party_type="" if owner is None else text(owner, "type", where),
        milestone_id=None if milestone_ is None else number_of(milestone_, f"the milestone of {where}"),
        milestone_name="" if milestone_ is None else text(milestone_, "name", where),
        amount=None if value is None else decimal(value, "amount", where),
        currency="" if value is None else text(value, "currency", where),
        duration_basis=text(table, "durationBasis", where).upper() or "FIXED",
        duration=integer(table, "duration", where),
        probability=integer(table, "probability", where),
        expected_close_on=text(table, "expectedCloseOn", where),
        closed_on=text(table, "closedOn", where),
        tags=_tags(table, where),
        created_at=text(table, "createdAt", where),
        updated_at=text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def attached(kind: str, body: object) -> Attached:
    """A kase, task, user or entry as Show or a list gives it (reference/capsule.md §4.3 to §4.6).

    Raises:
        UnreadableRecord: it is none.
    """
    table = as_table(body, f"a record of kind {kind}")
    number = number_of(table, f"a record of kind {kind}")
    where = f"{kind} {number}"
    # The party of a user is the user's own, and decides nothing.
    owner = optional_table(table, "party", where) if kind != "user" else None
    through = None
    for other in ("opportunity", "kase"):
        nested = optional_table(table, other, where) if kind in ("task", "entry") else None
        if nested is not None:
            through = (other, number_of(nested, f"the {other} of {where}"))
    return Attached(
        kind=kind,
        id=number,
        party_id=None if owner is None else number_of(owner, f"the party of {where}"),
        through=through,
        restricted=is_restricted(table),
        raw=table,
    )


def milestone(body: object) -> Milestone:
    """A milestone as `/pipelines/{id}/milestones` gives it.

    Raises:
        UnreadableRecord: it is not a milestone.
    """
    table = as_table(body, "a milestone")
    number = number_of(table, "a milestone")
    where = f"milestone {number}"
    pipeline = optional_table(table, "pipeline", where)
    return Milestone(
        id=number,
        name=text(table, "name", where),
        pipeline_id=None if pipeline is None else number_of(pipeline, f"the pipeline of {where}"),
        pipeline_name="" if pipeline is None else text(pipeline, "name", where),
        probability=integer(table, "probability", where),
        complete=table.get("complete") is True,
    )


def _person(table: Mapping[str, Json]) -> Person:
    number = number_of(table, "a person")
    where = f"party {number}"
    restricted = is_restricted(table)
    nested = optional_table(table, "organisation", where)
    organisation: Organisation | None = None
    if nested is not None and ("tags" in nested or is_restricted(nested)):
        organisation = _organisation(nested)
    return Person(
        id=number,
        first_name="" if restricted else text(table, "firstName", where),
        last_name="" if restricted else text(table, "lastName", where),
        organisation_id=None if nested is None else number_of(nested, f"the organisation of {where}"),
        organisation=organisation,
        emails=_each(table, "emailAddresses", "address", where),
        phones=_each(table, "phoneNumbers", "number", where),
        websites=_websites(table, where),
        tags=_tags(table, where),
        created_at=text(table, "createdAt", where),
        updated_at=text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def _organisation(table: Mapping[str, Json]) -> Organisation:
    number = number_of(table, "an organisation")
    where = f"party {number}"
    restricted = is_restricted(table)
    return Organisation(
        id=number,
        name="" if restricted else text(table, "name", where),
        emails=_each(table, "emailAddresses", "address", where),
        phones=_each(table, "phoneNumbers", "number", where),
        websites=_websites(table, where),
        tags=_tags(table, where),
        created_at=text(table, "createdAt", where),
        updated_at=text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def _each(table: Mapping[str, Json], key: str, inner: str, where: str) -> tuple[str, ...]:
    """The texts `inner` of the entries, in Capsule's order, without blank ones: clients take the first (§4.1)."""
    found = (text(entry, inner, f"`{key}` of {where}").strip() for entry in rows(table, key, where))
    return tuple(value for value in found if value)


def _websites(table: Mapping[str, Json], where: str) -> tuple[Website, ...]:
    inside = f"`websites` of {where}"
    return tuple(
        Website(
            service=text(entry, "service", inside).strip().upper(),
            address=text(entry, "address", inside).strip(),
            url=text(entry, "url", inside).strip(),
        )
        for entry in rows(table, "websites", where)
    )


def _tags(table: Mapping[str, Json], where: str) -> tuple[str, ...] | None:
    """Names of the tags; None if they were not embedded, which is not the same as having none (§3.5)."""
    return _each(table, "tags", "name", where) if "tags" in table else None
