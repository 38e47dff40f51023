"""Single values out of a request body, checked as the server checks them (reference/capsule.md §3.10, §4).

A value of the wrong JSON type is 400; a value that the field does not allow is 422. `null` and `""` store null (§5.2).
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Any

from tests.simulators.capsule.errors import bad_request, invalid

if TYPE_CHECKING:
    from collections.abc import Collection

    from tests.simulators.capsule.account import Account

Body = dict[str, Any]

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def text(value: object, key: str) -> str | None:
    """A text or null."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise bad_request(f"{key}: invalid type")
    return value


def choice(value: object, key: str, allowed: Collection[str], *, resource: str) -> str | None:
    """One of a set of words, or null."""
    word = text(value, key)
    if word is not None and word not in allowed:
        raise invalid(f"{key}: invalid value", resource=resource, field=key)
    return word


def day(value: object, key: str, *, resource: str) -> str | None:
    """A date `YYYY-MM-DD`, or null."""
    word = text(value, key)
    if word is not None and not is_day(word):
        raise invalid(f"{key}: invalid date", resource=resource, field=key)
    return word


def is_day(word: str) -> bool:
    """Whether a text is a date that exists."""
    if not DAY.fullmatch(word):
        return False
    try:
        dt.date.fromisoformat(word)
    except ValueError:
        return False
    return True


def whole(value: object, key: str) -> int | None:
    """A whole number, or null."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int):
        raise bad_request(f"{key}: invalid type")
    return value


def instant(value: object, key: str) -> float | None:
    """A time in ISO 8601 as seconds since the epoch, or null; a day alone is its first moment, and no offset means UTC."""
    word = text(value, key)
    if word is None:
        return None
    try:
        found = dt.datetime.fromisoformat(word)
    except ValueError:
        raise bad_request(f"{key}: invalid date") from None
    return (found if found.tzinfo else found.replace(tzinfo=dt.UTC)).timestamp()


def id_of(value: object, key: str) -> int | None:
    """The id in a reference: `{"id": 14}` or a bare id (§5.2), or null."""
    if value is None:
        return None
    number = value.get("id") if isinstance(value, dict) else value
    if isinstance(number, bool) or not isinstance(number, int):
        raise bad_request(f"{key}: id is required")
    return number


def reference(account: Account, sort: str, value: object, key: str, *, resource: str) -> int | None:
    """A reference to a row of the reference data, or null. A deleted user can no more be chosen."""
    number = id_of(value, key)
    if number is not None and account.reference[sort].get(number, {"deleted": True}).get("deleted"):
        raise invalid(f"{key} not found", resource=resource, field=key)
    return number


def record_reference(account: Account, kind: str, value: object, *, resource: str) -> int | None:
    """A reference to a record that the caller may see, or null."""
    number = id_of(value, kind)
    if number is not None and not account.visible(kind, number):
        raise invalid(f"{kind} not found", resource=resource, field=kind)
    return number
