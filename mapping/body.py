"""Reading Capsule's JSON with care (reference/capsule.md §3.10 and §4).

Unknown keys are ignored and missing optional ones are empty, as Capsule may add or drop them at any time. A key of another
type than the reference states is an error: read as "empty" it would clear the other side's value. Messages name the key and
never its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from mapping import values
from mapping.errors import UnreadableRecord

if TYPE_CHECKING:
    from decimal import Decimal

    from mapping.values import Json

LARGEST_ID: Final = 2**63 - 1


def as_table(body: object, what: str) -> Mapping[str, Json]:
    """A JSON object. Raises UnreadableRecord, as all of this module, if it is none."""
    if not isinstance(body, Mapping):
        raise UnreadableRecord(f"{what} is not a JSON object")
    return cast("Mapping[str, Json]", body)


def optional_table(body: Mapping[str, Json], key: str, where: str) -> Mapping[str, Json] | None:
    """The JSON object under a key, None if there is none."""
    value = body.get(key)
    return None if value is None else as_table(value, f"`{key}` of {where}")


def is_restricted(body: Mapping[str, Json]) -> bool:
    """Hidden from the token's user (§3.6): its name then reads "Private" and must never be taken for one (§6.10)."""
    return body.get("isRestricted") is True


def number_of(body: Mapping[str, Json], what: str) -> int:
    """The id of a record."""
    value = body.get("id")
    if isinstance(value, bool) or not isinstance(value, int) or not 0 < value <= LARGEST_ID:
        raise UnreadableRecord(f"{what} has no usable `id`")
    return value


def text(body: Mapping[str, Json], key: str, where: str) -> str:
    """A text, "" if there is none."""
    value = body.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableRecord(f"`{key}` of {where} is not a text")
    return value


def integer(body: Mapping[str, Json], key: str, where: str) -> int | None:
    """A whole number, also one that is spelled as a text."""
    value = body.get(key)
    if value is None:
        return None
    number = values.decimal(value)
    if number is None or number != number.to_integral_value() or abs(number) > LARGEST_ID:
        raise UnreadableRecord(f"`{key}` of {where} is not a whole number")
    return int(number)


def decimal(body: Mapping[str, Json], key: str, where: str) -> Decimal | None:
    """A number, also one that is spelled as a text."""
    value = body.get(key)
    if value is None:
        return None
    number = values.decimal(value)
    if number is None:
        raise UnreadableRecord(f"`{key}` of {where} is not a number")
    return number


def truth(body: Mapping[str, Json], key: str, where: str) -> bool | None:
    """True, false, or None if it was not told."""
    value = body.get(key)
    if value is not None and not isinstance(value, bool):
        raise UnreadableRecord(f"`{key}` of {where} is neither true nor false")
    return value


def rows(body: Mapping[str, Json], key: str, where: str) -> list[Mapping[str, Json]]:
    """The JSON objects of a list, none if there is no list."""
    value = body.get(key)
    if value is None:
        return []
    if not isinstance(value, list):
        raise UnreadableRecord(f"`{key}` of {where} is not a list")
    return [as_table(item, f"an entry of `{key}` of {where}") for item in value if item is not None]
