"""Nested lists of a POST or PUT (reference/capsule.md §5.2): no `id` adds, `id` changes, `id` with `_delete` removes.

What is not mentioned stays; `[]` does nothing; `_destroy` and unknown keys are ignored without a word.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.countries import COUNTRY_ALIASES, COUNTRY_NAMES
from tests.simulators.capsule.errors import NotFound, bad_request, invalid
from tests.simulators.capsule.values import Body, choice, id_of, is_day, text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulators.capsule.account import Account, Record

SERVICES = frozenset(
    [
        "URL",
        "SKYPE",
        "TWITTER",
        "LINKED_IN",
        "FACEBOOK",
        "XING",
        "FEED",
        "GOOGLE_PLUS",
        "FLICKR",
        "GITHUB",
        "YOUTUBE",
        "INSTAGRAM",
        "PINTEREST",
    ],
)
ADDRESS_KEYS = ("street", "city", "state", "country", "zip")
TYPES = {
    "addresses": frozenset({"Home", "Postal", "Office", "Billing", "Shipping"}),
    "phoneNumbers": frozenset({"Home", "Work", "Mobile", "Fax", "Direct"}),
    "emailAddresses": frozenset({"Home", "Work"}),
    "websites": frozenset({"Home", "Work"}),
}
KEYS = {
    "addresses": ADDRESS_KEYS,
    "phoneNumbers": ("number",),
    "emailAddresses": ("address",),
    "websites": ("service", "address"),
}
SINGULAR = {"addresses": "address", "phoneNumbers": "phoneNumber", "emailAddresses": "emailAddress", "websites": "website"}


def elements(value: object, key: str) -> Iterator[Body]:
    """The elements of a nested list. Raises 400 for anything but a list of objects."""
    if not isinstance(value, list) or not all(isinstance(element, dict) for element in value):
        raise bad_request(f"{key}: invalid type")
    yield from value


def contacts(account: Account, held: list[Record], value: object, key: str) -> list[Record]:
    """The contact details of one list after the change. Removing or changing one that is not there is 404."""
    after = {element["id"]: element for element in held}
    for element in elements(value, key):
        number = element.get("id")
        if number is None:
            created = {"id": account.next_id(key), "type": None, **dict.fromkeys(KEYS[key])}
            after[created["id"]] = _changed(created, element, key)
        elif number not in after:
            raise NotFound
        elif element.get("_delete") is True:
            del after[number]
        else:
            after[number] = _changed(after[number], element, key)
    return list(after.values())


def tags(account: Account, kind: str, held: list[int], value: object) -> list[int]:
    """The tags after the change: by name without regard to case, created if new, harmless if already on."""
    after = list(held)
    for element in elements(value, "tags"):
        if element.get("id") is not None:
            number = id_of(element, "tags")
            if element.get("_delete") is True:
                if number not in after:
                    raise invalid("tag not found to delete", resource=kind, field="tags")
                after.remove(number)
                continue
            if number not in account.tags[kind]:
                raise invalid("tag not found", resource=kind, field="tags")
        else:
            number = tag_named(account, kind, text(element.get("name"), "name"))
        if number not in after:
            after.append(number)
    return after


def tag_named(account: Account, kind: str, name: str | None) -> int:
    """The tag of this name, created if new."""
    if name is None or not name.strip():
        raise invalid("name is required", resource="tag", field="name")
    wanted = name.strip().casefold()
    for number, tag in account.tags[kind].items():
        if tag["name"].casefold() == wanted:
            return number
    number = account.next_id(f"{kind} tag")
    account.tags[kind][number] = {"id": number, "name": name.strip(), "description": None, "dataTag": False}
    return number


def fields(account: Account, kind: str, held: dict[int, Record], value: object) -> dict[int, Record]:
    """The custom fields after the change. Only the definitions that are named change; null clears."""
    after = {number: dict(one) for number, one in held.items()}
    for element in elements(value, "fields"):
        definition = _definition(account, kind, after, element)
        number = definition["id"]
        if element.get("_delete") is True and element.get("id") is not None:
            del after[number]
        elif element.get("value") is None and definition["type"] != "boolean":
            after.pop(number, None)
        else:
            new = _field_value(kind, definition, element.get("value"))
            after[number] = {"id": after[number]["id"] if number in after else account.next_id("field"), "value": new}
    return after


def _definition(account: Account, kind: str, held: dict[int, Record], element: Body) -> Record:
    """The definition that an element of `fields` means: by the value's id, the definition's id, or its name."""
    table = account.definitions[kind]
    if element.get("id") is not None:
        for held_number, one in held.items():
            if one["id"] == element["id"]:
                return table[held_number]
        raise NotFound
    wanted = element.get("definition")
    if isinstance(wanted, dict) and wanted.get("id") is None and isinstance(wanted.get("name"), str):
        for definition in table.values():
            if definition["name"] == wanted["name"]:
                return definition
    else:
        number = id_of(wanted, "definition")
        if number in table:
            return table[number]
    raise invalid("definition not found", resource=kind, field="fields")


def _field_value(kind: str, definition: Record, value: object) -> object:
    """A custom field's value as it is kept: a number becomes a string (§4.6)."""
    sort = definition["type"]
    if sort == "boolean" and isinstance(value, bool):
        return value
    if sort == "number" and isinstance(value, str | int | float) and not isinstance(value, bool) and _is_number(value):
        return str(value)
    if sort in {"text", "link"} and isinstance(value, str):
        return value
    if sort == "list" and value in definition["options"]:
        return value
    if sort == "date" and isinstance(value, str) and is_day(value):
        return value
    raise invalid("field.value: invalid type for field", resource=kind, field="fields")


def _is_number(value: str | float) -> bool:
    """Whether a value reads as a number."""
    try:
        float(value)
    except ValueError:
        return False
    return True


def _changed(held: Record, element: Body, key: str) -> Record:
    """One contact detail with the keys of an element applied."""
    resource = SINGULAR[key]
    after = dict(held)
    for name in KEYS[key]:
        if name in element:
            after[name] = text(element[name], name)
    if "type" in element:
        after["type"] = choice(element["type"], "type", TYPES[key], resource=resource)
    if key != "addresses":
        for name in KEYS[key]:
            if after[name] is None:
                raise invalid(f"{name} is required", resource=resource, field=name)
    elif after["country"] is not None:
        after["country"] = COUNTRY_ALIASES.get(after["country"], after["country"])
        if after["country"] not in COUNTRY_NAMES:
            raise invalid("address.country: unknown country", resource=resource, field="country")
    if key == "websites" and after["service"] not in SERVICES:
        raise invalid("service: invalid value", resource=resource, field="service")
    return after


def apply_nested(account: Account, kind: str, record: Record, body: Body) -> None:
    """Apply the nested lists of a body to a record in place."""
    for key in KEYS:
        if key in body and key in record and body[key] is not None:
            record[key] = contacts(account, record[key], body[key], key)
    if body.get("tags") is not None and "tags" in record:
        record["tags"] = tags(account, kind, record["tags"], body["tags"])
    if body.get("fields") is not None and "fields" in record:
        record["fields"] = fields(account, kind, record["fields"], body["fields"])


def blank_contacts() -> dict[str, Any]:
    """The contact details of a new party."""
    return {key: [] for key in KEYS}
