"""Capsule's users -> users of the CRM and of the user directory (reference/unified-crm.md §5).

A user has no e-mail address: it is on the user's own party (reference/capsule.md §4.6), which is embedded or read beside it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mapping.body import as_table, number_of, optional_table, rows, text, truth
from mapping.unified import parts

if TYPE_CHECKING:
    from mapping.unified.parts import Body
    from mapping.values import Json

ACTIVE: Final = "ACTIVE"
INVITED: Final = frozenset({"INVITED", "PENDING", "INVITE_SENT"})
ROLES: Final = {"isAccountOwner": "owner", "isAccountAdmin": "admin"}


def user(body: object, *, party: Body | None = None) -> dict[str, Json]:
    """A user of the CRM. `party` is the user's own, where it was read.

    Raises:
        UnreadableRecord: it is not a user.
    """
    table = as_table(body, "a user")
    where = f"user {number_of(table, 'a user')}"
    own = party if party is not None else optional_table(table, "party", where)
    found = parts.emails(own, where) if own is not None else []
    first = found[0] if found else None
    return {
        "id": parts.ident(table, where),
        "name": parts.some(text(table, "name", where)),
        "email": first["email"] if isinstance(first, dict) else None,
        "is_active": status(table, where) == "active",
        "username": parts.some(text(table, "username", where)),
        "timezone": parts.some(text(table, "timezone", where)),
        "locale": parts.some(text(table, "locale", where)),
        "currency": parts.some(text(table, "currency", where)),
        "party_id": None if own is None else parts.ident(own, where),
        "urls": [],
        "created_at": None,
        "updated_at": None,
    }


def directory_user(body: object, *, party: Body | None = None) -> dict[str, Json]:
    """A user of the directory. `party` as above.

    Raises:
        UnreadableRecord: it is not a user.
    """
    table = as_table(body, "a user")
    where = f"user {number_of(table, 'a user')}"
    own = party if party is not None else optional_table(table, "party", where)
    known: Body = own if own is not None else {}
    roles = optional_table(table, "roles", where) or {}
    words = [word for key, word in ROLES.items() if truth(roles, key, where)] or (["user"] if roles else [])
    return {
        "id": parts.ident(table, where),
        "external_id": None,
        "identifiers": {},
        "first_name": parts.some(text(known, "firstName", where)),
        "last_name": parts.some(text(known, "lastName", where)),
        "name": parts.some(text(table, "name", where)),
        "title": parts.some(text(known, "jobTitle", where)),
        "username": parts.some(text(table, "username", where)),
        "emails": [
            {"email": text(one, "address", where), "type": parts.kind_word(one, where), "is_primary": number == 0}
            for number, one in enumerate(rows(known, "emailAddresses", where))
        ],
        "phones": [
            {"number": text(one, "number", where), "extension": None, "type": parts.kind_word(one, where)}
            for one in rows(known, "phoneNumbers", where)
        ],
        "status": status(table, where),
        "is_email_verified": None,
        "is_2fa_enabled": None,
        "roles": [{"id": word, "name": word} for word in words],
        "last_login_at": parts.moment(table, "lastLoginAt", where),
        "timezone": parts.some(text(table, "timezone", where)),
        "locale": parts.some(text(table, "locale", where)),
        "avatar": parts.some(text(table, "pictureURL", where)) or parts.some(text(known, "pictureURL", where)),
        "created_at": None,
        "updated_at": None,
    }


def status(table: Body, where: str) -> str:
    """active, invited, deleted or inactive."""
    word = text(table, "status", where).upper()
    if truth(table, "deleted", where):
        return "deleted"
    if word in INVITED:
        return "invited"
    return "active" if word == ACTIVE or not word else "inactive"
