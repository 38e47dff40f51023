"""Activity types and entries -> engagement types, engagements and notes (reference/unified-crm.md §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mapping.body import as_table, number_of, optional_table, rows, text, truth
from mapping.unified import parts

if TYPE_CHECKING:
    from mapping.unified.parts import Body
    from mapping.values import Json

NOTE_TYPE: Final = -1
# Capsule's built-in activity types (reference/capsule.md §4.6).
BUILT_IN: Final = {"-1": "note", "-2": "meeting", "-3": "call", "-4": "task"}
WORDS: Final = frozenset({"call", "meeting", "email", "note", "task"})


def engagement_type(body: object) -> dict[str, Json]:
    """An activity type. `type` is one of call, meeting, email, note and task where its number or name says so, else its name.

    Raises:
        UnreadableRecord: it is not an activity type.
    """
    table = as_table(body, "an activity type")
    number = parts.ident(table, "an activity type")
    where = f"activity type {number}"
    icon = optional_table(table, "icon", where) or {}
    return {
        "id": number,
        "type": type_word(table, where),
        "name": parts.some(text(table, "name", where)),
        "is_system": truth(icon, "isSystem", where),
        "updates_last_contacted": truth(table, "updateLastContacted", where),
        "created_at": None,
        "updated_at": None,
    }


def type_word(activity: Body, where: str) -> str | None:
    """The word for an activity type."""
    number, name = parts.ident(activity, where), text(activity, "name", where)
    if number in BUILT_IN:
        return BUILT_IN[number]
    return name.lower() if name.lower() in WORDS else parts.some(name)


def engagement(body: object) -> dict[str, Json]:
    """Any entry.

    Raises:
        UnreadableRecord: it is not an entry.
    """
    table = as_table(body, "an entry")
    where = f"entry {number_of(table, 'an entry')}"
    kind = text(table, "type", where)
    activity = optional_table(table, "activityType", where)
    word = None if activity is None or kind in ("email", "task") else type_word(activity, where)
    shared = _shared(table, where)
    return {
        **shared,
        "engagement_type": word or parts.some(kind),
        "engagement_type_id": None if activity is None else parts.ident(activity, where),
        "subject": parts.some(text(table, "subject", where)),
        "direction": None,
        "internal_notes": None,
        "notes": [{"id": shared["id"]}] if is_note(table) else [],
        "status": None,
        "start_time": parts.moment(table, "entryAt", where),
        "end_time": None,
        "duration": None,
        "phone_numbers": [],
        "custom_fields": {},
        "participants": [
            {
                "id": parts.optional_ident(one),
                "name": parts.some(text(one, "name", where)),
                "email": parts.some(text(one, "address", where)),
                "role": parts.some(text(one, "role", where)),
            }
            for one in rows(table, "participants", where)
        ],
    }


def note(body: object) -> dict[str, Json]:
    """An entry that is a plain note (`is_note`).

    Raises:
        UnreadableRecord: it is not an entry.
    """
    table = as_table(body, "an entry")
    where = f"entry {number_of(table, 'an entry')}"
    return {
        **_shared(table, where),
        "title": parts.some(text(table, "subject", where)),
        "visibility": "public",
        "urls": [],
        "entry_at": parts.moment(table, "entryAt", where),
    }


def is_note(body: Body) -> bool:
    """A note of no particular activity type: everything else is an engagement alone (§5, note)."""
    activity = body.get("activityType")
    number = activity.get("id") if isinstance(activity, dict) else NOTE_TYPE
    return body.get("type") == "note" and number == NOTE_TYPE


def _shared(table: Body, where: str) -> dict[str, Json]:
    account, contacts = parts.party_refs(table, "party", where)
    seen = {one["id"] for one in contacts if isinstance(one, dict)}
    for one in rows(table, "parties", where):
        found = parts.named(one, where)
        if text(one, "type", where) == "organisation":
            account = account or found
        elif found["id"] not in seen:
            seen.add(found["id"])
            contacts.append(found)
    opportunity = parts.ref(table, "opportunity", where)
    return {
        "id": parts.ident(table, where),
        "owner": parts.ref(table, "creator", where),
        "content": parts.some(text(table, "content", where)),
        "account": account,
        "contact": contacts,
        "opportunity": [] if opportunity is None else [opportunity],
        "lead": [],
        "project": parts.ref(table, "kase", where),
        "attachments": [
            {
                "id": parts.optional_ident(one),
                "filename": parts.some(text(one, "filename", where)),
                "content_type": parts.some(text(one, "contentType", where)),
                "size": one.get("size"),
            }
            for one in rows(table, "attachments", where)
        ],
        "created_at": parts.moment(table, "createdAt", where),
        "updated_at": parts.moment(table, "updatedAt", where),
    }
