"""How one field of a body is judged, and in which words it is refused (reference/officernd.md §2.7).

The words are those of class-validator, which the messages seen on the real service match. Where a kind of field was never
seen refused, its sentence is formed the same way.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from tests.simulators.officernd.answers import read_date

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tests.simulators.control import Document

Kind = Literal["name", "text", "email", "id", "date", "flag", "number", "whole", "texts", "enum", "bag", "nested"]

_EMAIL = re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+")


@dataclass(frozen=True, slots=True)
class Field:
    """One field that a body may have.

    `name` and `id` are strings that cannot be null; `text` and `email` are strings that the switch `clear_with` may empty.
    `nullable` fields take null in every position of that switch.
    """

    kind: Kind
    nullable: bool = False
    least: float | None = None
    most: float | None = None
    values: tuple[str, ...] = ()
    parts: Mapping[str, Field] | None = None


def text() -> Field:
    """An optional string."""
    return Field("text")


def parts(**fields: Field) -> Field:
    """An object with fields of its own."""
    return Field("nested", parts=fields)


ADDRESS = parts(country=text(), state=text(), city=text(), street=text(), zip=text())
BILLING_DETAILS = parts(
    billingName=text(), vatNumber=text(), registrationNumber=text(), paymentMethod=text(), billingAddress=ADDRESS
)
PORTAL_PRIVACY = parts(isVisible=Field("flag"), showContactDetails=Field("flag"), showSocialProfiles=Field("flag"))
SOCIAL_PROFILES = parts(linkedin=text(), twitter=text(), instagram=text(), facebook=text())


def check(body: Document, fields: Mapping[str, Field], required: frozenset[str], switches: Mapping[str, str]) -> list[str]:
    """Every fault of a body, unknown fields first; an empty list when there is none."""
    faults = [f"property {name} should not exist" for name in body if name not in fields]
    for name, field in fields.items():
        if name in body or name in required:
            faults += check_field(name, body.get(name), field, switches)
    return faults


def check_field(name: str, value: object, field: Field, switches: Mapping[str, str]) -> list[str]:
    """The faults of one field's value."""
    if value is None and (field.nullable or _clears(field, "null", switches)):
        return []
    if field.kind == "nested":
        return _check_parts(name, value, field.parts or {}, switches)
    if field.kind in {"number", "whole"}:
        return _check_number(name, value, field)
    sentence = _sentence(value, field, switches)
    return [sentence.format(name=name)] if sentence else []


def _clears(field: Field, way: str, switches: Mapping[str, str]) -> bool:
    """Whether an optional string is cleared in this way as the switch `clear_with` stands."""
    return field.kind in {"text", "email"} and switches["clear_with"] in {way, "both"}


def _sentence(value: object, field: Field, switches: Mapping[str, str]) -> str | None:
    """What is said of a value that does not fit; None when it does."""
    if field.kind in {"text", "email"} and value == "":
        return None if _clears(field, "empty_string", switches) else "{name} should not be empty"
    if field.kind == "email" and switches["email_format"] == "checked" and isinstance(value, str):
        return None if _EMAIL.fullmatch(value) else "{name} must be an email"
    if field.kind == "texts" and isinstance(value, list):
        return None if all(isinstance(item, str) for item in value) else "each value in {name} must be a string"
    if field.kind == "enum":
        return None if value in field.values else "{name} must be one of the following values: " + ", ".join(field.values)
    fits, sentence = _PLAIN[field.kind]
    return None if fits(value) else "{name} " + sentence


def _is_text(value: object) -> bool:
    return isinstance(value, str)


_PLAIN: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (_is_text, "must be a string"),
    "text": (_is_text, "must be a string"),
    "email": (_is_text, "must be a string"),
    "id": (_is_text, "must be a string"),
    "date": (lambda value: read_date(value) is not None, "must be a valid ISO 8601 date string"),
    "flag": (lambda value: isinstance(value, bool), "must be a boolean value"),
    "texts": (lambda _value: False, "must be an array"),
    "bag": (lambda value: isinstance(value, dict), "must be an object"),
}


def _check_number(name: str, value: object, field: Field) -> list[str]:
    """The faults of a number: its type, then its bounds."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        whole = field.kind == "whole"
        return [
            f"{name} must be an integer number" if whole else f"{name} must be a number conforming to the specified constraints"
        ]
    faults = []
    if field.kind == "whole" and value != int(value):
        faults.append(f"{name} must be an integer number")
    if field.least is not None and value < field.least:
        faults.append(f"{name} must not be less than {field.least:g}")
    if field.most is not None and value > field.most:
        faults.append(f"{name} must not be greater than {field.most:g}")
    return faults


def _check_parts(name: str, value: object, fields: Mapping[str, Field], switches: Mapping[str, str]) -> list[str]:
    """The faults of a nested object, named with their path as class-validator does."""
    if not isinstance(value, dict):
        return [f"{name} must be an object"]
    faults = check(value, fields, frozenset(), switches)
    return [f"{name}.{fault}" for fault in faults]


def cleaned(body: Document, fields: Mapping[str, Field]) -> Document:
    """The values as the server keeps them: dates in UTC with milliseconds, addresses of e-mail in lower case (§2.6)."""
    kept = {}
    for name, value in body.items():
        kind = fields[name].kind
        if kind == "date":
            kept[name] = read_date(value)
        elif kind == "email" and isinstance(value, str):
            kept[name] = value.lower()
        else:
            kept[name] = value
    return kept
