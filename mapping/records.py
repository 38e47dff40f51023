"""Capsule's records in our words: what the rules judge and what the mapping maps.

Personal data is kept out of every `repr`, so that a record in a traceback or a log line shows its kind and id alone.
`raw` is the record as Capsule answered it: an operator's own fields (JMESPath) read from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from decimal import Decimal

    from mapping.values import Json


@dataclass(frozen=True, slots=True)
class Website:
    """One entry of `websites`: for some services `address` is the account's name (reference/capsule.md §4.1)."""

    service: str  # Capsule's word in upper case, such as "URL" or "TWITTER"
    address: str  # what the user typed
    url: str  # what Capsule made of it; "" if it made nothing


@dataclass(frozen=True, slots=True)
class Organisation:
    """A party of type `organisation`."""

    id: int
    name: str = field(repr=False)  # "" when restricted: the word Private is no name
    emails: tuple[str, ...] = field(repr=False)
    phones: tuple[str, ...] = field(repr=False)
    websites: tuple[Website, ...] = field(repr=False)
    tags: tuple[str, ...] | None = field(repr=False)  # None: it was read without its tags
    created_at: str  # ISO 8601, UTC; "" if it was not told
    updated_at: str
    restricted: bool  # hidden from the token's user; then nothing but the id is known
    raw: Mapping[str, Json] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Person:
    """A party of type `person`."""

    id: int
    first_name: str = field(repr=False)
    last_name: str = field(repr=False)
    organisation_id: int | None
    organisation: Organisation | None  # only if it was embedded with its tags, or is known to be hidden
    emails: tuple[str, ...] = field(repr=False)
    phones: tuple[str, ...] = field(repr=False)
    websites: tuple[Website, ...] = field(repr=False)
    tags: tuple[str, ...] | None = field(repr=False)
    created_at: str
    updated_at: str
    restricted: bool
    raw: Mapping[str, Json] = field(repr=False, compare=False)


Party = Person | Organisation


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A deal (reference/capsule.md §4.2). `amount` is per unit of `duration_basis`."""

    id: int
    name: str = field(repr=False)
    party_id: int | None  # None only when the record is restricted
    party_type: str  # "person", "organisation", or "" if it was not told
    milestone_id: int | None
    milestone_name: str
    amount: Decimal | None  # None: no value was given
    currency: str  # ISO 4217, or ""
    duration_basis: str  # FIXED HOUR DAY WEEK MONTH QUARTER YEAR
    duration: int | None  # how many units; None when FIXED
    probability: int | None  # 0 to 100
    expected_close_on: str  # YYYY-MM-DD or ""
    closed_on: str
    tags: tuple[str, ...] | None = field(repr=False)
    created_at: str
    updated_at: str
    restricted: bool
    raw: Mapping[str, Json] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Attached:
    """A kase, task, user or entry: of it we judge only whom it belongs to. What it says stands in `raw`."""

    kind: str
    id: int
    party_id: int | None  # None: it belongs to no party, or to one through another record
    through: tuple[str, int] | None  # the opportunity or kase by whose party it is judged when it has none itself
    restricted: bool
    raw: Mapping[str, Json] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Gone:
    """What Capsule no longer shows: deleted, or (`restricted`) hidden from the token's user."""

    kind: str
    id: int
    restricted: bool


@dataclass(frozen=True, slots=True)
class Milestone:
    """A step of a pipeline (reference/capsule.md §4.6)."""

    id: int
    name: str
    pipeline_id: int | None
    pipeline_name: str
    probability: int | None
    complete: bool  # a closing milestone: won or lost
