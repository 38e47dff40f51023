"""What OfficeRnD's v2 API holds and lets us write, field by field (reference/officernd.md §3.1 to §3.3).

A field is named flat, with one dot: "email", "properties.capsule_link_id", "socialProfiles.twitter". What POST takes and
PUT refuses is fixed at creation; what only PUT takes is written by a second call after the POST.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from mapping import values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mapping.values import Json

COMPANY: Final = "company"
MEMBER: Final = "member"
OPPORTUNITY: Final = "opportunity"
RESOURCES: Final = (COMPANY, MEMBER, OPPORTUNITY)

PATHS: Final[Mapping[str, str]] = {COMPANY: "/companies", MEMBER: "/members", OPPORTUNITY: "/opportunities"}
# Which `targets` word a custom property must have to be kept on that resource (§3.6: legacy names).
TARGETS: Final[Mapping[str, str]] = {COMPANY: "team", MEMBER: "member", OPPORTUNITY: "lead"}
# Capsule's own word for what becomes that resource, as `[connections.NAME.fields.<word>]` has it.
SOURCES: Final[Mapping[str, str]] = {COMPANY: "organisation", MEMBER: "person", OPPORTUNITY: "opportunity"}

LINK: Final = "properties.capsule_link_id"
TWITTER: Final = "properties.capsule_twitter"
PHONE: Final = "properties.capsule_phone"
LOCATION: Final = "properties.capsule_location"
DEAL_SIZE: Final = "properties.capsule_deal_size"
PROBABILITY: Final = "properties.capsule_probability"
MEMBER_TWITTER: Final = "socialProfiles.twitter"

# Objects inside a record. They are sent whole, so that it does not matter whether PUT merges them (§2.3: unknown).
BAGS: Final = frozenset({"properties", "socialProfiles", "address", "billingDetails", "portalPrivacy"})

_COMPANY_BODY: Final = frozenset(
    {
        "name",
        "location",
        "startDate",
        "email",
        "url",
        "description",
        "image",
        "address",
        "billingDetails",
        "portalPrivacy",
        "hasActiveMembersAllowance",
        "activeMembersAllowanceLimit",
        "properties",
    }
)
POST: Final[Mapping[str, frozenset[str]]] = {
    COMPANY: _COMPANY_BODY,
    MEMBER: frozenset(
        {
            "name",
            "location",
            "startDate",
            "email",
            "phone",
            "company",
            "description",
            "properties",
            "tags",
            "isContactPerson",
            "isBillingPerson",
        }
    ),
    OPPORTUNITY: frozenset(
        {
            "name",
            "member",
            "company",
            "status",
            "probability",
            "startDate",
            "dealSize",
            "membersCount",
            "resources",
            "requestedPlans",
            "properties",
        }
    ),
}
PUT: Final[Mapping[str, frozenset[str]]] = {
    COMPANY: _COMPANY_BODY,
    MEMBER: frozenset(
        {
            "name",
            "email",
            "phone",
            "startDate",
            "isBillingPerson",
            "isContactPerson",
            "tags",
            "properties",
            "address",
            "billingDetails",
            "portalPrivacy",
            "socialProfiles",
        }
    ),
    OPPORTUNITY: frozenset({"properties", "name", "startDate", "status"}),
}
# Fields with an endpoint of their own, by which they can be changed after creation (§2.2).
OWN_ENDPOINT: Final[Mapping[str, frozenset[str]]] = {
    COMPANY: frozenset(),
    MEMBER: frozenset({"company", "status"}),
    OPPORTUNITY: frozenset(),
}
# Required fields, and a member's company, which cannot be taken away since its endpoint needs an id (§3.2).
NEVER_CLEARED: Final[Mapping[str, frozenset[str]]] = {
    COMPANY: frozenset({"name", "location", "startDate"}),
    MEMBER: frozenset({"name", "company", "startDate"}),
    OPPORTUNITY: frozenset({"name", "status"}),
}

_DATES: Final = frozenset({"startDate"})
_TRUTHS: Final = frozenset({"isContactPerson", "isBillingPerson", "hasActiveMembersAllowance"})
_NUMBERS: Final = frozenset({"membersCount", "activeMembersAllowanceLimit", "dealSize", "probability"})
_LISTS: Final = frozenset({"tags", "resources", "requestedPlans"})
_NUMBER_PROPERTIES: Final = frozenset({DEAL_SIZE, PROBABILITY})
_TEXT_PROPERTIES: Final = frozenset({LINK, TWITTER, PHONE, LOCATION})


def head(field: str) -> str:
    """The key of the record that holds the field: the part before the first dot."""
    return field.partition(".")[0]


def fixed_at_creation(resource: str) -> frozenset[str]:
    """Top-level fields that POST takes and that nothing can change afterwards."""
    return POST[resource] - PUT[resource] - OWN_ENDPOINT[resource]


def type_of(field: str) -> str:
    """What a field holds: "text", "date", "truth", "number", "list", or "any" for an operator's own property."""
    if field in _NUMBER_PROPERTIES or field in _NUMBERS:
        return "number"
    if field in _DATES:
        return "date"
    if field in _TRUTHS:
        return "truth"
    if field in _LISTS:
        return "list"
    if head(field) == "properties" and field not in _TEXT_PROPERTIES:
        return "any"
    return "text"


def cleared(field: str, before: Json) -> Json:
    """What is sent to empty a field that held `before` (None if that is not known) (§2.3, "Clearing a value").

    A member's status goes back to being calculated.
    """
    if field == "status":
        return "auto"
    kind = type_of(field)
    if kind == "any" and isinstance(before, str | list):
        kind = "text" if isinstance(before, str) else "list"
    empty: dict[str, Json] = {"text": "", "list": [], "truth": False}
    return empty.get(kind)


def observed(resource: str, body: Mapping[str, Json]) -> dict[str, Json]:
    """A record as OfficeRnD answers it, flat; what is absent, null or empty there is absent here (§3)."""
    known = POST[resource] | PUT[resource] | {"status"}
    flat: dict[str, Json] = {}
    for key, value in body.items():
        if key not in known:
            continue
        if key in BAGS:
            flat.update({f"{key}.{inner}": item for inner, item in _items(value) if not values.is_empty(item)})
        elif not values.is_empty(value):
            flat[key] = value
    return flat


def same(field: str, a: Json, b: Json) -> bool:  # noqa: PLR0911 - one return for each kind of field
    """Whether two values of a field say the same, whatever their form (§6, points 9 to 14)."""
    if values.is_empty(a) or values.is_empty(b):
        return values.is_empty(a) and values.is_empty(b)
    if not isinstance(a, str) or not isinstance(b, str):
        return values.same_plain(a, b)
    if field == "email":
        return values.text_key(a).lower() == values.text_key(b).lower()
    if field in {"phone", PHONE}:
        return values.phone_key(a) == values.phone_key(b)
    if field == "url":
        return values.same_url(a, b)
    if field in {MEMBER_TWITTER, TWITTER}:
        return values.twitter_key(a) == values.twitter_key(b)
    if field in _DATES:
        return (values.day(a) or a) == (values.day(b) or b)
    return values.same_plain(a, b)


def _items(value: Json) -> list[tuple[str, Json]]:
    return list(value.items()) if isinstance(value, dict) else []
