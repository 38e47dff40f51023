"""The filters of each model: what of them Capsule can look for itself (reference/capsule.md §3.9), and what is looked at here.

Capsule's filters know whole days, and how exactly they compare texts is not told. So they only narrow what is read; whether a
record is in is decided by its own unified form. Pure.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from mapping import values
from workers.console.unified.problems import failures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mapping.unified.parts import Definition, Definitions
    from workers.console.unified.queries import Condition

Record: TypeAlias = Mapping[str, Any]
Question: TypeAlias = dict[str, Any]
Narrow: TypeAlias = Callable[[str, str], list[Question]]

WORD: Final = "text, without regard to case"
NUMBER: Final = "id"
MOMENT: Final = "ISO 8601 moment or day; also [gt], [gte], [lt], [lte]"
# Capsule's days may be those of another time zone than UTC, so the net is cast two days wider than asked.
IDENT: Final = re.compile(r"((opportunity|project):)?[1-9][0-9]{0,17}")
SLACK: Final = dt.timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Filter:
    """One filter. `field` is Capsule's own name for it where it has one, `says` what its values are."""

    says: str
    narrow: Narrow | None = None
    look: Callable[[Record], Sequence[Any]] = lambda _: ()

    @property
    def dated(self) -> bool:
        """Whether it takes comparisons."""
        return self.says == MOMENT

    def check(self, condition: Condition) -> None:
        """Raises Problem 400 for a value that is none of this filter's."""
        if self.dated:
            parsed(condition.value)
        elif self.says == NUMBER and not IDENT.fullmatch(condition.value):
            raise failures(400, "The question cannot be served.", [(condition.name, "is not an id", "As the record shows it.")])

    def holds(self, record: Record, condition: Condition) -> bool:
        """Whether a record is in."""
        found = [one for one in self.look(record) if one is not None]
        if self.dated:
            return any(compares(str(one), condition.operator, condition.value) for one in found)
        return any(_bare(one) == _bare(condition.value) for one in found)


def word(field: str | None, path: str) -> Filter:
    """A text that is compared without regard to case."""
    narrow: Narrow | None = None if field is None else lambda _, value: [{"field": field, "operator": "is", "value": value}]
    return Filter(WORD, narrow, lambda record: _at(record, path))


def part_of_name(path: str) -> Filter:
    """A first or last name: Capsule looks for the whole name alone."""
    return Filter(
        WORD, lambda _, value: [{"field": "name", "operator": "contains", "value": value}], lambda record: _at(record, path)
    )


def number(field: str | None, path: str) -> Filter:
    """The id of another record, with or without its entity."""

    def narrow(_: str, value: str) -> list[Question]:
        return [{"field": field, "operator": "is", "value": _id(value)}]

    return Filter(NUMBER, None if field is None else narrow, lambda record: _at(record, path))


def moment(field: str | None, path: str) -> Filter:
    """A day or a moment."""

    def narrow(operator: str, value: str) -> list[Question]:
        day = parsed(value)
        found = []
        if operator in ("gt", "gte", "eq"):
            found.append({"field": field, "operator": "is after", "value": (day - SLACK).strftime("%Y-%m-%d")})
        if operator in ("lt", "lte", "eq"):
            found.append({"field": field, "operator": "is before", "value": (day + SLACK).strftime("%Y-%m-%d")})
        return found

    return Filter(MOMENT, None if field is None else narrow, lambda record: _at(record, path))


def custom(definitions: Definitions, condition: Condition) -> Question:
    """A question after a custom field.

    Raises:
        Problem: 422, there is no such field, or the value is not of its type.
    """
    definition = definitions.by_key.get(condition.part)
    if definition is None:
        there = ", ".join(sorted(definitions.by_key)) or "none"
        raise failures(
            422, "There is no such custom field.", [("custom_fields", "has no field of that name", f"There are: {there}.")]
        )
    return {"field": f"custom:{definition.id}", "operator": "is", "value": _typed(definition, condition.value)}


def custom_holds(record: Record, definitions: Definitions | None, condition: Condition) -> bool:
    """Whether a record's custom field has the value; a false boolean is absent in Capsule (reference/capsule.md §5.2)."""
    definition = definitions.by_key.get(condition.part) if definitions is not None else None
    have = (record.get("custom_fields") or {}).get(condition.part)
    if (definition is not None and definition.kind == "boolean") or isinstance(have, bool):
        return bool(have) == (condition.value.lower() == "true")
    if isinstance(have, list):
        return any(_bare(one) == _bare(condition.value) for one in have)
    left, right = values.decimal(have), values.decimal(condition.value)
    if left is not None and right is not None:
        return left == right
    return have is not None and _bare(have) == _bare(condition.value)


def _typed(definition: Definition, value: str) -> object:
    if definition.kind == "boolean" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if definition.kind == "number" and (exact := values.decimal(value)) is not None:
        return values.number(exact)
    if definition.kind == "date" and (values.day(value) or "").partition("T")[0] == value:
        return value
    if definition.kind in ("boolean", "date", "number"):
        raise failures(422, "The value is not of the field's type.", [("custom_fields", f"is not a {definition.kind}", "")])
    return value


def parsed(value: str) -> dt.datetime:
    """A moment, of a day its midnight in UTC.

    Raises:
        Problem: 400, it is neither.
    """
    try:
        found = dt.datetime.fromisoformat(value)
        found = found.replace(tzinfo=dt.UTC) if found.tzinfo is None else found.astimezone(dt.UTC)
        if SLACK.days < found.toordinal() - 1 < dt.date.max.toordinal() - 1 - SLACK.days:
            return found
    except (ValueError, OverflowError):
        pass
    hint = "ISO 8601, such as 2026-01-31T12:00:00Z; a + must be written %2B."
    raise failures(400, "The question cannot be served.", [("date", "is not a moment or a day", hint)])


def compares(have: str, operator: str, wanted: str) -> bool:
    """Whether a record's moment or day stands so to the one that was asked for."""
    left, right = parsed(have), parsed(wanted)
    if operator == "eq":
        return have[:10] == wanted if len(wanted) == len("2026-01-31") else left == right
    return {"gt": left > right, "gte": left >= right, "lt": left < right, "lte": left <= right}[operator]


def _at(record: Record, path: str) -> Sequence[Any]:
    """What stands at a path of a record: `owner.id`, `tags.name` (any of them)."""
    found: list[Any] = [record]
    for step in path.split("."):
        inner = [one.get(step) for one in found if isinstance(one, Mapping)]
        found = [one for part in inner for one in (part if isinstance(part, list) else [part])]
    return found


def _id(value: str) -> int | str:
    bare = value.rpartition(":")[2]
    return int(bare) if bare.isascii() and bare.isdigit() and len(bare) < len("1000000000000000000") else value


def _bare(value: object) -> str:
    """One form for comparing; `opportunity:14` is 14."""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value).strip().casefold()
    entity, colon, rest = text.partition(":")
    return rest if colon and entity in ("opportunity", "project", "party", "kase") and rest.isdigit() else text


DATES: Final[dict[str, Filter]] = {
    "created_at": moment("addedOn", "created_at"),
    "updated_at": moment("updatedOn", "updated_at"),
}
LABELLED: Final[dict[str, Filter]] = {
    **DATES,
    "name": word("name", "name"),
    "owner.id": number("owner", "owner.id"),
    "tags.name": word("tag", "tags.name"),
    "team.id": number("team", "team.id"),
    "custom_fields": Filter("the field's value, by its name: custom_fields[Plan]=Flex"),
}
PARTY: Final[dict[str, Filter]] = {
    **LABELLED,
    "email_addresses.email": word("email", "email_addresses.email"),
    "last_activity_at": moment("lastContactedOn", "last_activity_at"),
    "phone_numbers.number": word("phone", "phone_numbers.number"),
}
DEAL: Final[dict[str, Filter]] = {
    **LABELLED,
    "account.id": number(None, "account.id"),
    "close_date": moment(None, "close_date"),
    "closed_on": moment("closedOn", "closed_on"),
    "contact.id": number(None, "contact.id"),
    "expected_close_date": moment("expectedCloseOn", "expected_close_date"),
    "status": word("status", "status"),
}
PARENTS: Final[dict[str, Filter]] = {
    "account.id": number(None, "account.id"),
    "contact.id": number(None, "contact.id"),
    "opportunity.id": number(None, "opportunity.id"),
    "project.id": number(None, "project.id"),
}
ENTRY: Final[dict[str, Filter]] = {
    **PARENTS,
    "created_at": moment(None, "created_at"),
    "owner.id": number(None, "owner.id"),
    "updated_at": moment(None, "updated_at"),
}
FILTERS: Final[dict[str, dict[str, Filter]]] = {
    "accounts": PARTY,
    "contacts": {
        **PARTY,
        "account.id": number(None, "account.id"),
        "first_name": part_of_name("first_name"),
        "last_name": part_of_name("last_name"),
        "title": word("jobTitle", "title"),
    },
    "engagement_types": {"name": word(None, "name"), "type": word(None, "type")},
    "engagements": {**ENTRY, "engagement_type": word(None, "engagement_type"), "start_time": moment(None, "start_time")},
    "fields": {"entity": word(None, "entity_type"), "name": word(None, "name"), "type": word(None, "type")},
    "notes": {**ENTRY, "entry_at": moment(None, "entry_at")},
    "opportunities": {**DEAL, "pipeline.id": number("pipeline", "pipeline.id"), "stage.id": number("milestone", "stage.id")},
    "pipelines": {"entity": word(None, "entity"), "name": word(None, "name")},
    "projects": {
        **DEAL,
        "opportunity.id": number(None, "opportunity.id"),
        "pipeline.id": number("board", "pipeline.id"),
        "stage.id": number("stage", "stage.id"),
    },
    "stages": {
        "entity": word(None, "entity"),
        "name": word(None, "name"),
        "pipeline.id": number(None, "pipeline.id"),
        "status": word(None, "status"),
    },
    "tasks": {
        **PARENTS,
        "created_at": moment(None, "created_at"),
        "due_date": moment(None, "due_date"),
        "owner.id": number(None, "owner.id"),
        "status": word(None, "status"),
        "updated_at": moment(None, "updated_at"),
    },
    "users": {
        "email": word(None, "email"),
        "is_active": word(None, "is_active"),
        "name": word(None, "name"),
        "username": word(None, "username"),
    },
    "directory_users": {
        "emails.email": word(None, "emails.email"),
        "name": word(None, "name"),
        "status": word(None, "status"),
        "username": word(None, "username"),
    },
}
