"""Addresses of a record, for a person to open and for a program to read. None of them holds anything personal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mapping.officernd_fields import PATHS

if TYPE_CHECKING:
    from mapping.rules import Connection

_COLLECTIONS = {
    "party": "parties",
    "opportunity": "opportunities",
    "kase": "kases",
    "task": "tasks",
    "user": "users",
    "entry": "entries",
}


def capsule_api(connection: Connection, kind: str, number: int) -> str:
    """The record in Capsule's API (reference/capsule.md §5)."""
    return f"{connection.capsule.api_url}/{_COLLECTIONS[kind]}/{number}"


def capsule_page(site: str, kind: str, number: int) -> str:
    """The record's page for a browser; `site` is the account's own address (reference/capsule.md §4: likely, not documented)."""
    return f"{site.rstrip('/')}/{kind}/{number}"


def downstream_api(connection: Connection, resource: str, number: str) -> str | None:
    """The record in OfficeRnD's API, whose admin portal tells no form of a record's address (reference/officernd.md §1.5)."""
    rules = connection.officernd
    if rules is None or resource not in PATHS:
        return None
    return f"{rules.api_url}/organizations/{rules.organization}{PATHS[resource]}/{number}"
