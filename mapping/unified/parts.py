"""The parts that several models share: references, addresses, e-mails, phones, web addresses, tags, custom fields.

Source: reference/unified-crm.md §5, shared objects.

All ids are texts, an absent value is None and an absent list is [] (§5). Type words are in lower case; one that is unknown
passes through as it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from mapping import values
from mapping.body import is_restricted, number_of, optional_table, rows, text, truth
from mapping.errors import UnreadableRecord

if TYPE_CHECKING:
    from mapping.values import Json

Body = Mapping[str, "Json"]

URL: Final = "URL"  # the service of a website proper (reference/capsule.md §4.1)


@dataclass(frozen=True, slots=True)
class Definition:
    """A custom field as an account defines it. `key` is its name in `custom_fields`; `kind` is Capsule's type word."""

    id: int
    key: str
    kind: str = "text"
    tag_id: int | None = None


@dataclass(frozen=True, slots=True)
class Definitions:
    """The custom fields of one entity (parties, opportunities or kases). Their numbers may repeat between entities (§4)."""

    by_id: Mapping[int, Definition] = field(default_factory=dict)

    @property
    def by_key(self) -> dict[str, Definition]:
        """The same by the name in `custom_fields`."""
        return {one.key: one for one in self.by_id.values()}


def some(value: str) -> str | None:
    """A text, or None for an empty one."""
    return value or None


def ref(body: Body, key: str, where: str) -> dict[str, Json] | None:
    """A nested record as `{id, name}`; the name of a hidden one is not told (reference/capsule.md §6.10)."""
    nested = optional_table(body, key, where)
    return None if nested is None else named(nested, f"`{key}` of {where}")


def named(nested: Body, where: str) -> dict[str, Json]:
    """`{id, name}` of a nested record; the name of a person is made of its parts."""
    if is_restricted(nested):
        name = ""
    else:
        name = text(nested, "name", where) or values.name(text(nested, "firstName", where), text(nested, "lastName", where))
    return {"id": ident(nested, where), "name": some(name)}


def ident(nested: Body, where: str) -> str:
    """An id as a text. Those of built-in activity types are negative (reference/capsule.md §4.6)."""
    value = nested.get("id")
    if isinstance(value, int) and not isinstance(value, bool) and value < 0:
        return str(value)
    return str(number_of(nested, where))


def party_refs(body: Body, key: str, where: str) -> tuple[dict[str, Json] | None, list[Json]]:
    """A nested party as `(account, contacts)`: an organisation is an account, a person is a contact."""
    nested = optional_table(body, key, where)
    if nested is None:
        return None, []
    found = named(nested, f"`{key}` of {where}")
    if text(nested, "type", where) == "organisation":
        return found, []
    inner = optional_table(nested, "organisation", where)
    account = named(inner, f"the organisation of `{key}` of {where}") if inner is not None else None
    return account, [found]


def addresses(body: Body, where: str) -> list[Json]:
    """Postal addresses. The first line of Capsule's street is street_1, the rest street_2."""
    found: list[Json] = []
    for one in rows(body, "addresses", where):
        first, _, rest = text(one, "street", where).partition("\n")
        found.append(
            {
                "id": optional_ident(one),
                "street_1": some(first.rstrip("\r")),
                "street_2": some(rest),
                "city": some(text(one, "city", where)),
                "state": some(text(one, "state", where)),
                "postal_code": some(text(one, "zip", where)),
                "country": some(text(one, "country", where)),
                "type": kind_word(one, where),
            }
        )
    return found


def emails(body: Body, where: str) -> list[Json]:
    """E-mail addresses; Capsule has no primary one, clients take the first (reference/capsule.md §4.1)."""
    return [
        {
            "id": optional_ident(one),
            "email": text(one, "address", where),
            "type": kind_word(one, where),
            "is_primary": number == 0,
        }
        for number, one in enumerate(rows(body, "emailAddresses", where))
    ]


def phones(body: Body, where: str) -> list[Json]:
    """Telephone numbers, as they were typed."""
    return [
        {"id": optional_ident(one), "number": text(one, "number", where), "extension": None, "type": kind_word(one, where)}
        for one in rows(body, "phoneNumbers", where)
    ]


def urls(body: Body, where: str) -> list[Json]:
    """Websites and social accounts; `handle` is what was typed, `url` what Capsule made of it."""
    found: list[Json] = []
    for one in rows(body, "websites", where):
        address = text(one, "address", where)
        found.append(
            {
                "id": optional_ident(one),
                "url": text(one, "url", where) or address,
                "type": kind_word(one, where),
                "service": text(one, "service", where).lower() or None,
                "handle": some(address),
            }
        )
    return found


def website(body: Body, where: str) -> str | None:
    """The first website proper."""
    for one in rows(body, "websites", where):
        if text(one, "service", where).upper() == URL:
            return some(text(one, "url", where) or text(one, "address", where))
    return None


def tags(body: Body, where: str) -> list[Json]:
    """Tags; `is_data_tag` is None where Capsule does not tell."""
    return [
        {"id": optional_ident(one), "name": text(one, "name", where), "is_data_tag": truth(one, "dataTag", where)}
        for one in rows(body, "tags", where)
    ]


def custom_fields(body: Body, definitions: Definitions, where: str) -> dict[str, Json]:
    """`{name of the field: value}`. A number, which Capsule answers as a text, is a number again where its type is known."""
    found: dict[str, Json] = {}
    for one in rows(body, "fields", where):
        definition = optional_table(one, "definition", where)
        if definition is None:
            raise UnreadableRecord(f"a custom field of {where} has no `definition`")
        known = definitions.by_id.get(number_of(definition, where))
        key = known.key if known is not None else text(definition, "name", where)
        found[key] = plain(one.get("value"), known)
    return found


def custom_field_details(body: Body, definitions: Definitions, where: str) -> list[Json]:
    """The same with all ids (§5, custom_fields)."""
    found: list[Json] = []
    for one in rows(body, "fields", where):
        definition = optional_table(one, "definition", where) or {}
        known = definitions.by_id.get(number_of(definition, where))
        found.append(
            {
                "field_id": ident(definition, where),
                "name": some(text(definition, "name", where)),
                "value": plain(one.get("value"), known),
                "tag_id": str(one["tagId"]) if one.get("tagId") is not None else None,
                "value_id": optional_ident(one),
            }
        )
    return found


def plain(value: Json, definition: Definition | None) -> Json:
    """A custom field's value in its own type."""
    if definition is not None and definition.kind == "number":
        number = values.decimal(value)
        if number is not None and (exact := values.number(number)) is not None:
            return exact
    return value


def optional_ident(one: Body) -> str | None:
    """The id of an entry of a list; Capsule leaves it out in some hooks."""
    value = one.get("id")
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def kind_word(one: Body, where: str) -> str | None:
    """`Home` -> `home`; None when unset (reference/capsule.md §4.1)."""
    return some(text(one, "type", where).lower())


def moment(body: Body, key: str, where: str) -> str | None:
    """A moment (ISO 8601, UTC) or a day (YYYY-MM-DD), as Capsule gives it."""
    return some(text(body, key, where))
