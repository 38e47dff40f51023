"""Organisation -> account, person -> contact (reference/unified-crm.md §5)."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from mapping import values
from mapping.body import as_table, number_of, text, truth
from mapping.errors import UnreadableRecord
from mapping.unified import parts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.unified.parts import Definitions
    from mapping.values import Json


def account(body: object, definitions: Definitions, *, named_fields: Mapping[str, str] | None = None) -> dict[str, Json]:
    """An organisation as an account.

    `named_fields` says which custom fields hold `industry` and `number_of_employees`, which Capsule has no attribute for.

    Raises:
        UnreadableRecord: it is not an organisation.
    """
    table = as_table(body, "an organisation")
    where = f"party {number_of(table, 'an organisation')}"
    if text(table, "type", where) != "organisation":
        raise UnreadableRecord(f"{where} is not an organisation")
    shared = _shared(table, definitions, where)
    own: Mapping[str, Json] = shared["custom_fields"] if isinstance(shared["custom_fields"], dict) else {}
    places = named_fields or {}
    employees = values.decimal(own.get(places.get("number_of_employees", "")))
    industry = own.get(places.get("industry", ""))
    return {
        **shared,
        "name": parts.some(text(table, "name", where)),
        "website": parts.website(table, where),
        "industry": industry if isinstance(industry, str) else None,
        "number_of_employees": None if employees is None else int(employees),
    }


def contact(body: object, definitions: Definitions) -> dict[str, Json]:
    """A person as a contact. `title` is the job title; Capsule's own title (Mr, Dr) is `salutation`.

    Raises:
        UnreadableRecord: it is not a person.
    """
    table = as_table(body, "a person")
    where = f"party {number_of(table, 'a person')}"
    if text(table, "type", where) != "person":
        raise UnreadableRecord(f"{where} is not a person")
    first, last = text(table, "firstName", where), text(table, "lastName", where)
    return with_etag(
        {
            **_shared(table, definitions, where),
            "first_name": parts.some(first),
            "last_name": parts.some(last),
            "name": parts.some(values.name(first, last)),
            "title": parts.some(text(table, "jobTitle", where)),
            "salutation": parts.some(text(table, "title", where)),
            "account": parts.ref(table, "organisation", where),
        }
    )


def with_etag(record: dict[str, Json]) -> dict[str, Json]:
    """The record with an `etag`, a digest of itself: Capsule has none (§5)."""
    text_ = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return {**record, "etag": hashlib.sha256(text_.encode()).hexdigest()[:32]}


def _shared(table: Mapping[str, Json], definitions: Definitions, where: str) -> dict[str, Json]:
    return {
        "id": parts.ident(table, where),
        "description": parts.some(text(table, "about", where)),
        "addresses": parts.addresses(table, where),
        "email_addresses": parts.emails(table, where),
        "phone_numbers": parts.phones(table, where),
        "urls": parts.urls(table, where),
        "tags": parts.tags(table, where),
        "custom_fields": parts.custom_fields(table, definitions, where),
        "custom_field_details": parts.custom_field_details(table, definitions, where),
        "owner": parts.ref(table, "owner", where),
        "team": parts.ref(table, "team", where),
        "last_activity_at": parts.moment(table, "lastContactedAt", where),
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
        "picture_url": parts.some(text(table, "pictureURL", where)),
        "missing_important_fields": truth(table, "missingImportantFields", where),
    }
