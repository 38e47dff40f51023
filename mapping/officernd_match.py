"""Finding what is already in OfficeRnD before anything is created (DESIGN.md §6, "First match, in order").

Neither API has idempotency keys, and the built-in integration or staff may have created the record long ago.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mapping import officernd_fields as fields
from mapping import values
from mapping.plan import Held, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mapping.values import Json


@dataclass(frozen=True, slots=True)
class Search:
    """One place to look: in a local index (`by` and `value`) or by a list call (`path` and `query`).

    `path` and `query` are None where the API has no such filter (§2.6: opportunities); then their party's are walked.
    """

    by: Literal["link", "email", "name"]
    value: str = field(repr=False)  # in the form in which an index keeps it (`match_key`)
    path: str | None
    query: Mapping[str, str] | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class Adopt:
    """This record of OfficeRnD is the one: take it up as `id`. `current` is its body."""

    id: str
    current: Mapping[str, Json] = field(repr=False)


def match_key(by: str, value: str) -> str:
    """The form in which a link id, an e-mail or a name is compared: e-mails without case, names with single spaces."""
    key = values.text_key(value)
    return key.lower() if by == "email" else key


def link_of(body: Mapping[str, Json]) -> str | None:
    """The Capsule id that a record of OfficeRnD is linked to, or None."""
    bag = body.get("properties")
    link = bag.get(fields.LINK.partition(".")[2]) if isinstance(bag, dict) else None
    if isinstance(link, float) and link.is_integer():
        link = int(link)
    if isinstance(link, bool) or not isinstance(link, str | int):
        return None
    return str(link).strip() or None


def search_terms(wanted: Wanted) -> tuple[Search, ...]:
    """Where to look for the record, in the order of preference."""
    path = fields.PATHS[wanted.resource]
    link = str(wanted.fields.get(fields.LINK, ""))
    if wanted.resource == fields.OPPORTUNITY:
        owners = {key: str(wanted.initial[key]) for key in ("member", "company") if wanted.initial.get(key)}
        first = dict(list(owners.items())[:1])
        return (Search("link", link, path if first else None, first or None),)
    key = fields.LINK.partition(".")[2]
    terms = [Search("link", link, path, {f"properties[{key}]": link})] if link else []
    email, name = wanted.fields.get("email"), wanted.fields.get("name")
    if wanted.resource == fields.MEMBER and isinstance(email, str):
        terms.append(Search("email", match_key("email", email), path, {"email": email}))
    if wanted.resource == fields.COMPANY and isinstance(name, str):
        terms.append(Search("name", match_key("name", name), path, {"name": name}))
    return tuple(terms)


def choose(wanted: Wanted, candidates: Sequence[Mapping[str, Json]]) -> Adopt | Held | None:
    """Which of the records found is the one; None if none is, so that it may be created.

    `candidates` may come from any of the searches, in any order, with others among them and with repeats.
    """
    link = str(wanted.fields.get(fields.LINK, ""))
    unique = {str(body.get("_id")): body for body in candidates if body.get("_id")}
    linked = {number: body for number, body in unique.items() if link and link_of(body) == link}
    if linked:
        return _single(
            linked,
            Held(
                "linked_twice",
                f"{len(linked)} records of OfficeRnD carry capsule_link_id {link}; "
                f"empty the property on all but one of these {wanted.resource} records: {', '.join(sorted(linked))}",
            ),
        )
    if wanted.resource == fields.OPPORTUNITY:
        return None
    by = "email" if wanted.resource == fields.MEMBER else "name"
    value = wanted.fields.get(by)
    if not isinstance(value, str):
        return None
    alike = {number: body for number, body in unique.items() if link_of(body) is None and _has(body, by, value)}
    if not alike:
        return None
    return _single(
        alike,
        Held(
            f"shared_{by}",
            f"{len(alike)} {wanted.resource} records of OfficeRnD have this {'e-mail' if by == 'email' else 'name'} and no "
            f"capsule_link_id; set capsule_link_id to {link} on the right one of: {', '.join(sorted(alike))}",
        ),
    )


def _has(body: Mapping[str, Json], by: str, value: str) -> bool:
    there = body.get(by)
    return isinstance(there, str) and match_key(by, there) == match_key(by, value)


def _single(found: Mapping[str, Mapping[str, Json]], several: Held) -> Adopt | Held:
    if len(found) > 1:
        return several
    number, body = next(iter(found.items()))
    return Adopt(number, body)
