"""Single values brought to one form: names, e-mails, phones, Twitter handles, web addresses, dates, numbers.

Each kind of value has a form in which it is sent (`name`, `email`, …) and, where the two differ, a key by which two of
them are compared (`phone_key`, …), so that nothing is written again only because the other side spells it differently
(reference/officernd.md §6, points 9 to 13). Nothing here raises: what cannot be used comes back as None or as it was.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Mapping
from datetime import date
from decimal import Decimal

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

LARGEST_AMOUNT = Decimal(10) ** 15  # above it a JSON number no longer holds every cent

_LARGEST_BITS = 128  # more is no amount, and may be too large to calculate with
_NUMBER = re.compile(r"-?[0-9]{1,30}(?:\.[0-9]{1,30})?")
_DAY = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:T00:00:00(?:\.0+)?Z)?")
_MOMENT = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})(?:[T ].*)?")
_TWITTER_HOST = re.compile(r"(?:https?://)?(?:www\.|mobile\.)?(?:twitter|x)\.com/(?:#!/)?", re.IGNORECASE)
_SLASH = re.compile(r"\s*/\s*")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)", re.DOTALL)


def text(value: str) -> str:
    """Without surrounding space, and with one space where there were several, of any kind."""
    return " ".join(value.split())


def text_key(value: str) -> str:
    """By which two texts are compared: white space and the way in which accents are encoded do not count, case does."""
    return text(unicodedata.normalize("NFC", value))


def word_key(value: str) -> str:
    """By which tags and the names in rules are compared: without regard to case and surrounding space (DESIGN.md §6)."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", value).casefold()).strip()


def milestone_key(value: str) -> str:
    """By which milestones are compared: as any word of the rules, and space around the slash after a pipeline does not count."""
    return _SLASH.sub("/", word_key(value))


def name(*parts: str) -> str:
    """The parts that are not blank, with one space between them; "" if all are blank."""
    return text(" ".join(parts))


def email(value: str) -> str | None:
    """Trimmed and in lower case, as OfficeRnD keeps it (reference/officernd.md §6.9); None for what can be no address."""
    trimmed = value.strip().lower()
    local, at, domain = trimmed.rpartition("@")
    if not at or not local or not domain or len(trimmed.split()) != 1 or not trimmed.isprintable():
        return None
    return trimmed


def phone(value: str) -> str:
    """Free text, trimmed (reference/officernd.md §3.2)."""
    return text(value)


def phone_key(value: str) -> str:
    """Digits, and letters such as those of an extension; without any of them the text itself."""
    key = "".join(character for character in value.casefold() if character.isalnum())
    return key or text(value)


def twitter(value: str) -> str:
    """The bare handle of a handle, an @handle or an address at twitter.com or x.com; other text trimmed."""
    trimmed = text(value)
    found = _TWITTER_HOST.match(trimmed)
    handle = trimmed[found.end() :] if found else trimmed
    handle = re.split(r"[/?#]", handle)[0] if found else handle
    handle = handle.removeprefix("@").strip()
    return handle or trimmed


def twitter_key(value: str) -> str:
    """Handles do not regard case."""
    return twitter(value).casefold()


def url(value: str) -> str:
    """Trimmed, and with a scheme: `https` where there was none."""
    trimmed = "".join(value.split())
    if not trimmed or _SCHEME.match(trimmed):
        return trimmed
    return "https://" + trimmed.removeprefix("//")


def url_key(value: str) -> tuple[str, str]:
    """Scheme ("" if it has none) and the rest: host in lower case, no slash at the end."""
    trimmed = "".join(value.split())
    found = _SCHEME.match(trimmed)
    scheme, rest = (found[1].lower(), found[2]) if found else ("", trimmed.removeprefix("//"))
    host, slash, path = rest.partition("/")
    return scheme, (host.casefold() + slash + path).rstrip("/")


def same_url(a: str, b: str) -> bool:
    """Whether two addresses are one; a missing scheme fits any, since four fifths of those in OfficeRnD have one."""
    (scheme_a, rest_a), (scheme_b, rest_b) = url_key(a), url_key(b)
    return rest_a == rest_b and (scheme_a == scheme_b or not scheme_a or not scheme_b)


def day(value: str) -> str | None:
    """Midnight UTC of the day of a date or moment, in OfficeRnD's form (reference/officernd.md §6.12); None if it is no date."""
    found = _MOMENT.fullmatch(value.strip())
    if found is None:
        return None
    try:
        date.fromisoformat(found[1])
    except ValueError:
        return None
    return found[1] + "T00:00:00.000Z"


def number(value: Decimal) -> int | float | None:
    """A JSON number, whole where it can be; None for one too large to be kept exactly."""
    if not value.is_finite() or abs(value) > LARGEST_AMOUNT:
        return None
    return int(value) if value == value.to_integral_value() else float(value)


def decimal(value: Json) -> Decimal | None:
    """The number that a JSON value is or spells, as Capsule's custom number fields do; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value) if value.bit_length() <= _LARGEST_BITS else None
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return Decimal(value.strip())
    return None


def is_sendable(value: Json) -> bool:
    """Whether a single value can be written as JSON without loss: no infinity, no NaN, no integer above 64 bits."""
    if isinstance(value, float):
        return math.isfinite(value)
    return not isinstance(value, int) or -(2**63) <= value < 2**63


def is_empty(value: Json) -> bool:
    """Absent, null, blank and empty are one to OfficeRnD's readers (reference/officernd.md §3)."""
    if isinstance(value, str):
        return not value.strip()
    return value is None or (isinstance(value, list | dict) and not value)


def plain_key(value: Json) -> object:
    """By which two values of no particular kind are compared; JSON types stay apart, dates are their day, lists have no order."""
    if isinstance(value, bool):
        return bool, value
    if isinstance(value, int | float):
        as_number = decimal(value)
        return (Decimal, as_number) if as_number is not None else (int, str(value) if isinstance(value, float) else value)
    if isinstance(value, str):
        found = _DAY.fullmatch(value.strip())
        return str, found[1] if found else text_key(value)
    if isinstance(value, list):
        return list, tuple(sorted((plain_key(item) for item in value), key=repr))
    if isinstance(value, Mapping):
        return dict, tuple(sorted((key, plain_key(item)) for key, item in value.items()))
    return None


def same_plain(a: Json, b: Json) -> bool:
    """Whether two values of no particular kind are one. A number and a text that spells it are."""
    if isinstance(a, str) != isinstance(b, str):
        as_number = decimal(a)
        return as_number is not None and as_number == decimal(b)
    return plain_key(a) == plain_key(b)
