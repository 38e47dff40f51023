"""Capsule's JSON -> our records (reference/capsule.md §4).

Unknown keys are ignored and missing optional ones are empty, as Capsule may add or drop them at any time (§3.10). A key of
another type than the reference states is an error: read as "empty" it would clear the other side's value. Messages name
the key and never its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, cast

from mapping import values
from mapping.errors import UnreadableRecord
from mapping.records import Milestone, Opportunity, Organisation, Party, Person, Website

if TYPE_CHECKING:
    from decimal import Decimal

    from mapping.values import Json

_LARGEST_ID = 2**63 - 1


def party(body: object) -> Party:
    """A person or an organisation as Show, a list or a hook gives it.

    Raises:
        UnreadableRecord: it is not a party.
    """
    table = _table(body, "a party")
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
    table = _table(body, "an opportunity")
    number = _id(table, "an opportunity")
    restricted = _restricted(table)
    where = f"opportunity {number}"
    owner = _optional_table(table, "party", where)
    milestone_ = _optional_table(table, "milestone", where)
    value = _optional_table(table, "value", where)
    if not restricted and (owner is None or milestone_ is None):
        raise UnreadableRecord(f"{where} has no `party` or no `milestone`")
    return Opportunity(
        id=number,
        name="" if restricted else _text(table, "name", where),
        party_id=None if owner is None else _id(owner, f"the party of {where}"),
        party_type="" if owner is None else _text(owner, "type", where),
        milestone_id=None if milestone_ is None else _id(milestone_, f"the milestone of {where}"),
        milestone_name="" if milestone_ is None else _text(milestone_, "name", where),
        amount=None if value is None else _decimal(value, "amount", where),
        currency="" if value is None else _text(value, "currency", where),
        duration_basis=_text(table, "durationBasis", where).upper() or "FIXED",
        duration=_integer(table, "duration", where),
        probability=_integer(table, "probability", where),
        expected_close_on=_text(table, "expectedCloseOn", where),
        closed_on=_text(table, "closedOn", where),
        tags=_tags(table, where),
        created_at=_text(table, "createdAt", where),
        updated_at=_text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def milestone(body: object) -> Milestone:
    """A milestone as `/pipelines/{id}/milestones` gives it.

    Raises:
        UnreadableRecord: it is not a milestone.
    """
    table = _table(body, "a milestone")
    number = _id(table, "a milestone")
    where = f"milestone {number}"
    pipeline = _optional_table(table, "pipeline", where)
    return Milestone(
        id=number,
        name=_text(table, "name", where),
        pipeline_id=None if pipeline is None else _id(pipeline, f"the pipeline of {where}"),
        pipeline_name="" if pipeline is None else _text(pipeline, "name", where),
        probability=_integer(table, "probability", where),
        complete=table.get("complete") is True,
    )


def _person(table: Mapping[str, Json]) -> Person:
    number = _id(table, "a person")
    where = f"party {number}"
    restricted = _restricted(table)
    nested = _optional_table(table, "organisation", where)
    organisation: Organisation | None = None
    if nested is not None and ("tags" in nested or _restricted(nested)):
        organisation = _organisation(nested)
    return Person(
        id=number,
        first_name="" if restricted else _text(table, "firstName", where),
        last_name="" if restricted else _text(table, "lastName", where),
        organisation_id=None if nested is None else _id(nested, f"the organisation of {where}"),
        organisation=organisation,
        emails=_each(table, "emailAddresses", "address", where),
        phones=_each(table, "phoneNumbers", "number", where),
        websites=_websites(table, where),
        tags=_tags(table, where),
        created_at=_text(table, "createdAt", where),
        updated_at=_text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def _organisation(table: Mapping[str, Json]) -> Organisation:
    number = _id(table, "an organisation")
    where = f"party {number}"
    restricted = _restricted(table)
    return Organisation(
        id=number,
        name="" if restricted else _text(table, "name", where),
        emails=_each(table, "emailAddresses", "address", where),
        phones=_each(table, "phoneNumbers", "number", where),
        websites=_websites(table, where),
        tags=_tags(table, where),
        created_at=_text(table, "createdAt", where),
        updated_at=_text(table, "updatedAt", where),
        restricted=restricted,
        raw=table,
    )


def _table(body: object, what: str) -> Mapping[str, Json]:
    if not isinstance(body, Mapping):
        raise UnreadableRecord(f"{what} is not a JSON object")
    return cast("Mapping[str, Json]", body)


def _optional_table(table: Mapping[str, Json], key: str, where: str) -> Mapping[str, Json] | None:
    value = table.get(key)
    return None if value is None else _table(value, f"`{key}` of {where}")


def _restricted(table: Mapping[str, Json]) -> bool:
    """Hidden from the token's user (§3.6): its name then reads "Private" and must never be taken for one (§6.10)."""
    return table.get("isRestricted") is True


def _id(table: Mapping[str, Json], what: str) -> int:
    value = table.get("id")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= _LARGEST_ID:
        raise UnreadableRecord(f"{what} has no usable `id`")
    return value


def _text(table: Mapping[str, Json], key: str, where: str) -> str:
    value = table.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableRecord(f"`{key}` of {where} is not a text")
    return value


def _integer(table: Mapping[str, Json], key: str, where: str) -> int | None:
    value = table.get(key)
    if value is None:
        return None
    number = values.decimal(value)
    if number is None or number != number.to_integral_value() or abs(number) > _LARGEST_ID:
        raise UnreadableRecord(f"`{key}` of {where} is not a whole number")
    return int(number)


def _decimal(table: Mapping[str, Json], key: str, where: str) -> Decimal | None:
    value = table.get(key)
    if value is None:
        return None
    number = values.decimal(value)
    if number is None:
        raise UnreadableRecord(f"`{key}` of {where} is not a number")
    return number


def _list(table: Mapping[str, Json], key: str, where: str) -> list[Mapping[str, Json]]:
    value = table.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnreadableRecord(f"`{key}` of {where} is not a list")
    return [_table(item, f"an entry of `{key}` of {where}") for item in value if item is not None]


def _each(table: Mapping[str, Json], key: str, inner: str, where: str) -> tuple[str, ...]:
    """The texts `inner` of the entries, in Capsule's order, without blank ones: clients take the first (§4.1)."""
    found = (_text(entry, inner, f"`{key}` of {where}").strip() for entry in _list(table, key, where))
    return tuple(value for value in found if value)


def _websites(table: Mapping[str, Json], where: str) -> tuple[Website, ...]:
    inside = f"`websites` of {where}"
    return tuple(
        Website(
            service=_text(entry, "service", inside).strip().upper(),
            address=_text(entry, "address", inside).strip(),
            url=_text(entry, "url", inside).strip(),
        )
        for entry in _list(table, "websites", where)
    )


def _tags(table: Mapping[str, Json], where: str) -> tuple[str, ...] | None:
    """Names of the tags; None if they were not embedded, which is not the same as having none (§3.5)."""
    return _each(table, "tags", "name", where) if "tags" in table else None
