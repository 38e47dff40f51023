"""Lists on a record that is written: contact details, tags, custom fields. Each entry is matched with those that are there.

Capsule adds what comes without an id, so an entry that is sent again would be doubled (reference/capsule.md §5.2).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from mapping import values
from mapping.unified import parts
from mapping.unified.draft import Draft, listed

if TYPE_CHECKING:
    from mapping.unified.parts import Body, Definitions
    from mapping.values import Json

Row = dict[str, "Json"]


def entries(
    draft: Draft, name: str, key: str, row_of: Callable[[Mapping[str, Any]], Row], key_of: Callable[[Body], object]
) -> None:
    """The entries of a list of contact details: changed by id, matched by value, added, or removed."""
    there = [one for one in listed(draft.current, key) if isinstance(one, Mapping)]
    found: list[Json] = []
    for place, entry in enumerate(draft.sent.get(name) or ()):
        row = row_of(entry)
        if entry.get("id") is not None:
            match = next((one for one in there if str(one.get("id")) == entry["id"]), None)
            if match is None:
                draft.fault(f"{name}.{place}.id", "there is no such entry on this record", "read the record again")
                continue
        else:
            match = next((one for one in there if row and key_of(one) == key_of(row)), None)
        if entry.get("_delete"):
            if match is not None:
                found.append({"id": match["id"], "_delete": True})
            continue
        if match is None:
            if not row or not key_of(row):
                draft.fault(f"{name}.{place}", "says nothing that could be added")
                continue
            found.append({one: value for one, value in row.items() if not values.is_empty(value)})
            there.append(row)
            continue
        differs = {
            one: value
            for one, value in row.items()
            if not _same(one, value, match.get(one)) and not (values.is_empty(value) and values.is_empty(match.get(one)))
        }
        if differs and match.get("id") is not None:
            found.append({"id": match["id"], **differs})
    if found:
        draft.body[key] = found


def _same(key: str, value: Json, have: Json) -> bool:
    """Types and services are compared without regard to case, everything else as it is."""
    if key in ("type", "service") and isinstance(value, str) and isinstance(have, str):
        return value.lower() == have.lower()
    return value == have


def _typed(entry: Mapping[str, Any], row: Row) -> Row:
    if "type" in entry:
        kind = entry["type"]
        row["type"] = kind.capitalize() if isinstance(kind, str) and kind.islower() else kind
    return row


def email_row(entry: Mapping[str, Any]) -> Row:
    """What was sent of an e-mail address, by Capsule's keys."""
    return _typed(entry, {"address": entry["email"].strip()} if entry.get("email") else {})


def email_key(row: Body) -> str:
    """By which two e-mail addresses are compared."""
    return str(row.get("address") or "").strip().lower()


def phone_key(row: Body) -> str:
    """By which two telephone numbers are compared."""
    return values.phone_key(str(row.get("number") or ""))


def phone_row(entry: Mapping[str, Any]) -> Row:
    """What was sent of a telephone number, by Capsule's keys."""
    return _typed(entry, {"number": entry["number"].strip()} if entry.get("number") else {})


def url_row(entry: Mapping[str, Any]) -> Row:
    """What was sent of a website or social account, by Capsule's keys; a new one without a service is a website."""
    row: Row = {}
    address = entry.get("handle") or entry.get("url")
    if address:
        row["address"] = address.strip()
    if entry.get("service"):
        row["service"] = entry["service"].upper()
    elif address and entry.get("id") is None:
        row["service"] = parts.URL
    return _typed(entry, row)


def url_key(row: Body) -> object:
    """By which two websites are compared. What is shown as `url` may have got its scheme from Capsule, so that does not count."""
    address = str(row.get("address") or "")
    return (str(row.get("service") or "").upper(), values.url_key(address)[1]) if address else None


_ADDRESS: Final = {"city": "city", "state": "state", "postal_code": "zip", "country": "country"}


def address_row(entry: Mapping[str, Any]) -> Row:
    """What was sent of a postal address, by Capsule's keys."""
    row: Row = {key: entry[name] for name, key in _ADDRESS.items() if name in entry}
    if "street_1" in entry or "street_2" in entry:
        lines = [one for one in (entry.get("street_1"), entry.get("street_2")) if one]
        row["street"] = "\n".join(lines) or None
    return _typed(entry, row)


def address_key(row: Body) -> object:
    """By which two postal addresses are compared; their types do not count."""
    found = tuple(values.text_key(str(row.get(key) or "")) for key in ("street", "city", "state", "zip", "country"))
    return found if any(found) else None


def website(draft: Draft) -> None:
    """The first website proper is exchanged, cleared, or added."""
    wanted = draft.sent["website"]
    there = [one for one in listed(draft.current, "websites") if isinstance(one, Mapping)]
    first = next((one for one in there if str(one.get("service") or "").upper() == parts.URL), None)
    if first is None:
        if wanted:
            draft.body["websites"] = [*listed(draft.body, "websites"), {"service": parts.URL, "address": wanted}]
        return
    if not wanted:
        draft.body["websites"] = [*listed(draft.body, "websites"), {"id": first["id"], "_delete": True}]
    elif wanted not in (first.get("address"), first.get("url")):
        draft.body["websites"] = [*listed(draft.body, "websites"), {"id": first["id"], "address": wanted}]


def tags(draft: Draft) -> None:
    """Tags by id or name, which does not regard case; one that is on already is not sent."""
    there = [one for one in listed(draft.current, "tags") if isinstance(one, Mapping)]
    found: list[Json] = []
    for place, tag in enumerate(draft.sent["tags"]):
        match = next((one for one in there if _is_tag(one, tag)), None)
        if tag.get("_delete"):
            if match is not None:
                found.append({"id": match["id"], "_delete": True})
        elif match is None and tag.get("id") is not None:
            found.append({"id": int(tag["id"])})
        elif match is None and tag.get("name"):
            found.append({"name": tag["name"]})
            there.append({"name": tag["name"]})
        elif match is None:
            draft.fault(f"tags.{place}", "has neither a name nor an id")
    if found:
        draft.body["tags"] = found


def _is_tag(there: Body, tag: Mapping[str, Any]) -> bool:
    if tag.get("id") is not None:
        return str(there.get("id")) == str(tag["id"])
    name = str(tag.get("name") or "")
    return bool(name) and values.word_key(str(there.get("name") or "")) == values.word_key(name)


def custom_fields(draft: Draft, definitions: Definitions) -> None:
    """Custom fields by their key; only those that differ are sent."""
    now = parts.custom_fields(draft.current or {}, definitions, "the record")
    known = definitions.by_key
    found: list[Json] = []
    for name, value in draft.sent["custom_fields"].items():
        definition = known.get(name)
        if definition is None:
            draft.fault("custom_fields", "names a field that this account does not have", "see /unified/crm/fields")
        elif not _fits(definition.kind, value):
            draft.fault("custom_fields", f"a field of type {definition.kind} was given another type of value")
        elif definition.kind == "boolean":
            # null is refused for these, and a false one reads back as absent (reference/capsule.md §5.2).
            if bool(value) != bool(now.get(name)):
                found.append({"definition": {"id": definition.id}, "value": bool(value)})
        elif not (values.is_empty(value) and values.is_empty(now.get(name))) and value != now.get(name):
            found.append({"definition": {"id": definition.id}, "value": value})
    if found:
        draft.body["fields"] = found


def _fits(kind: str, value: Json) -> bool:
    if value is None:
        return True
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "number":
        return values.decimal(value) is not None and values.is_sendable(value)
    if kind in ("text", "link", "date"):
        return isinstance(value, str)
    # A list of one value is a text; the shape of one of several is not known, an array is likely (reference/capsule.md §4.6).
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(one, str) for one in value))
